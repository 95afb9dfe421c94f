"""Log lines as JSON, one a record whatever stands in it, and what they are correlated by: dataset, batch, file, run and trace.

Whoever begins with something says so with `logged`; every line until it ends, of whatever library, has it. No account's number is ever in a
line: it is cut out of ARNs, and wherever the names of this deployment's buckets and queues have it.
"""

import json
import logging
import re
import traceback
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from pipelines.intake.objects import object_id
from pipelines.telemetry.files import short_key

__all__ = ["JsonFormatter", "account_numbers", "file_fields", "logged", "without_accounts"]

_MESSAGE_CHARACTERS = 10_000
_ACCOUNT_IN_ARN = re.compile(r"(arn:[\w-]*:[\w-]*:[\w-]*:)\d{12}(?=[:/])")
_ACCOUNT_IN_NAME = re.compile(r"(?<![0-9])\d{12}(?![0-9])")
_NAMES = ("BUCKET", "QUEUE_URL", "DLQ_URL", "TOPIC", "ACCOUNT_ID")
_HIDDEN = "<account>"
_NOTHING: Mapping[str, str] = {}
_fields: ContextVar[Mapping[str, str]] = ContextVar("lakegate_log_fields", default=_NOTHING)


@contextmanager
def logged(**fields: str | None) -> Generator[None]:
    """Have these fields on every line logged inside, in this thread, beside those of whoever is around it."""
    token = _fields.set({**_fields.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _fields.reset(token)


def file_fields(bucket: str, key: str, version_id: str) -> dict[str, str]:
    """What names a file on a line: the ledger's id of its key, its version, and the key as one printable line of at most 200 characters."""
    return {"file": object_id(bucket, key), "version": version_id, "key": short_key(key)}


def account_numbers(environment: Mapping[str, str]) -> frozenset[str]:
    """The numbers of the accounts that the names of a deployment (`LAKEGATE_…`) give away."""
    named = (v for n, v in environment.items() if n.startswith("LAKEGATE_") and n.endswith(_NAMES))
    return frozenset(number for value in named for number in _ACCOUNT_IN_NAME.findall(value))


def without_accounts(text: str, numbers: Iterable[str]) -> str:
    """The text with the account left out of each ARN, and these numbers wherever they stand."""
    text = _ACCOUNT_IN_ARN.sub(rf"\1{_HIDDEN}", text)
    for number in numbers:
        text = text.replace(number, _HIDDEN)
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object a record: `ts` (UTC, microseconds), `level`, `logger`, `message`, what it is correlated by, `error`, `audit`, `progress`."""

    def __init__(self, hidden: Iterable[str] = ()) -> None:
        """`hidden` are numbers of accounts that appear in no line."""
        super().__init__()
        self._hidden = tuple(hidden)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end. Never raises: a record that cannot be put into words says so."""
        said: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record)[:_MESSAGE_CHARACTERS],
            **_of_dagster(record),
            **_fields.get(),
        }
        # Dagster puts a text there, once it has stored the record.
        if isinstance(record.exc_info, tuple) and (error := record.exc_info[1]) is not None:
            said["error"] = type(error).__name__
            said["stack"] = "".join(traceback.format_exception(error))[-_MESSAGE_CHARACTERS:]
        for name in ("audit", "progress"):
            if isinstance(more := record.__dict__.get(name), Mapping):
                said[name] = more
        # ASCII alone: no line end of any alphabet, no terminal's escape and no half of a surrogate leaves here.
        return without_accounts(json.dumps(said, default=str), self._hidden)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001  # a wrong number of arguments is no reason to lose the line
        return f"{record.msg} ({type(error).__name__} while it was put into words)"


def _of_dagster(record: logging.LogRecord) -> dict[str, str]:
    """The run, where Dagster's own handler says which."""
    meta = record.__dict__.get("dagster_meta")
    if not isinstance(meta, Mapping):
        return {}
    told = {"run_id": meta.get("run_id"), "job": meta.get("job_name"), "step": meta.get("step_key")}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return {name: str(value) for name, value in told.items() if value}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
