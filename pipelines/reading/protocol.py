"""What parent and child say to each other over two pipes: frames of a kind, a length and a payload; JSON and Arrow, no pickle.

    parent -> child   DATASET {number, dataset} · REQUEST {dataset, size_bytes, key_values, landed_at, delimiter, traceparent} · CHUNK bytes · END
    child -> parent   READY · BATCH, REJECTED an Arrow IPC record batch message · SUMMARY json · MISCONFIGURED text · FAILED {memory, disk, text}

The child says READY once, when it can read. A file is one REQUEST, its CHUNKs and one END; its answer is any number of BATCHes and REJECTEDs and one SUMMARY. The parent may send the
next file before the answer to the last one is there.
"""

import json
import struct
from collections.abc import Mapping
from datetime import date, datetime
from enum import IntEnum
from typing import IO, Any

from pipelines.contracts.model import Dataset, KeyValue
from pipelines.reading.summary import ReadSummary
from pipelines.reading.violations import Rule, Sample, Violation

__all__ = [
    "HEADER_BYTES",
    "Frame",
    "decode_summary",
    "encode_dataset",
    "encode_keys",
    "encode_summary",
    "read_frame",
    "send",
]

_HEADER = struct.Struct("<BQ")
HEADER_BYTES = _HEADER.size
_MAX_FRAME_BYTES = 1 << 31


class Frame(IntEnum):
    """The kinds of frames."""

    DATASET = 1
    REQUEST = 2
    CHUNK = 3
    END = 4
    BATCH = 5
    SUMMARY = 6
    MISCONFIGURED = 7
    FAILED = 8
    REJECTED = 9
    READY = 10


def send(pipe: IO[bytes], kind: Frame, payload: "bytes | memoryview" = b"") -> None:
    """Write one frame; the pipe's owner flushes."""
    pipe.write(_HEADER.pack(kind, len(payload)))
    if len(payload):
        pipe.write(payload)


def read_frame(pipe: IO[bytes]) -> "tuple[Frame, bytes] | None":
    """The next frame; None when the other side is gone or does not speak this protocol."""
    header = pipe.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    kind, length = _HEADER.unpack(header)
    if length > _MAX_FRAME_BYTES or kind not in _KINDS:
        return None
    payload = pipe.read(length) if length else b""
    return (Frame(kind), payload) if len(payload) == length else None


_KINDS = frozenset(int(kind) for kind in Frame)


def encode_dataset(number: int, dataset: Dataset) -> bytes:
    """A dataset under the number that requests name it by."""
    said = dataset.model_dump(mode="json", by_alias=True, exclude={"freshness"})
    return json.dumps({"number": number, "dataset": said}).encode()


def encode_keys(values: Mapping[str, KeyValue]) -> dict[str, str]:
    """Key values as text; the column's type reads them again."""
    return {n: v.isoformat() if isinstance(v, date | datetime) else str(v) for n, v in values.items()}


def encode_summary(summary: ReadSummary) -> bytes:
    """A summary as JSON."""
    said: dict[str, Any] = {name: getattr(summary, name) for name in ReadSummary.__slots__}
    said["violations"] = [_violation(v) for v in summary.violations]
    said["warnings"] = [_violation(v) for v in summary.warnings]
    said["null_counts"] = dict(summary.null_counts)
    for counted in ("rescued", "new_columns", "wider_types"):
        said[counted] = dict(getattr(summary, counted))
    return json.dumps(said).encode()


def _violation(violation: Violation) -> dict[str, Any]:
    said: dict[str, Any] = {name: getattr(violation, name) for name in Violation.__slots__}
    said["rule"] = str(violation.rule)
    said["samples"] = [[s.line, s.byte_offset, s.found, s.raw] for s in violation.samples]
    return said


def decode_summary(payload: bytes) -> ReadSummary:
    """Read a summary. Raises ValueError, KeyError or TypeError when it is none."""
    said = json.loads(payload)
    said["violations"] = tuple(_violation_from(v) for v in said["violations"])
    said["warnings"] = tuple(_violation_from(v) for v in said["warnings"])
    said["source_columns"] = tuple(said["source_columns"])
    said["likely_causes"] = tuple(said["likely_causes"])
    said["moments"] = tuple(float(moment) for moment in said["moments"])
    return ReadSummary(**said)


def _violation_from(said: dict[str, Any]) -> Violation:
    said["rule"] = Rule(said["rule"])
    said["samples"] = tuple(Sample(*s) for s in said["samples"])
    return Violation(**said)
