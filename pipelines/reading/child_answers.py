"""What a child's answers come to: rows that are looked at again because the child is not trusted, and how it ended, in words."""

import contextlib
import json
import signal
import subprocess
from dataclasses import dataclass

import pyarrow as pa

from pipelines.disk import disk_full
from pipelines.reading.limits import Limits
from pipelines.reading.violations import Rule

__all__ = ["Death", "checked", "failure", "how"]


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended: the rule it broke, in words."""

    rule: Rule
    found: str
    expected: str


def checked(payload: bytes, schema: pa.Schema) -> pa.RecordBatch | None:
    """The batch, if it is whole and of the contract's schema: the child is not trusted."""
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(payload), schema)
        batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError):
        return None
    required = (f for f in schema if not f.nullable)
    return None if any(batch.column(f.name).null_count for f in required) else batch


def how(child: "subprocess.Popen[bytes]", broken: Rule | None, limits: Limits) -> Death:
    """How a child ended that fell silent; `broken` is the limit for which it was killed."""
    if broken is Rule.READER_MEMORY:
        bound = f"{limits.reader_memory_bytes >> 20:,} MiB"
        return Death(broken, f"more than {bound} of resident memory", f"at most {bound}")
    if broken is Rule.READER_TIME:
        return Death(broken, f"more than {limits.reader_seconds:,} s", f"at most {limits.reader_seconds:,} s")
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(5)
    code = child.returncode
    words = f"exit code {code}"
    if code is not None and code < 0:
        words = f"signal {-code} ({signal.Signals(-code).name})"
    return Death(Rule.READER_CRASH, f"the reader's death by {words}", "a reader that lives to the end of the file")


def failure(payload: bytes, limits: Limits) -> Death:
    """What a child said of its own failure. Raises DiskFullError where the disk is full, which no file is to blame for."""
    try:
        said = json.loads(payload)
        memory, full, text = bool(said["memory"]), said["disk"], str(said["text"])
    except (ValueError, KeyError, TypeError):
        memory, full, text = False, None, "an answer that cannot be read"
    if full is not None:
        raise disk_full(str(full))
    if memory:
        return Death(Rule.READER_MEMORY, text, f"at most {limits.reader_memory_bytes >> 20:,} MiB")
    return Death(Rule.READER_CRASH, text, "a reader that lives to the end of the file")
