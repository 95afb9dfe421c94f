"""Counts what is asked of AWS: every attempt of boto3's clients, and the reads that obstore does.

Only answers that are no part of the work count as errors: the ledger lives on conditions that do not hold, a sweep on
objects that are gone.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.telemetry.metrics import AWS_ERRORS, AWS_REQUESTS, AWS_THROTTLES, Record
from resources.aws_errors import is_conflict, is_throttled

__all__ = ["count_read", "count_requests"]

_PART_OF_THE_WORK = frozenset(
    {
        "304",
        "404",
        "AlreadyExistsException",
        "ConditionalCheckFailedException",
        "EntityNotFoundException",
        "InvalidObjectState",
        "NoSuchKey",
        "NoSuchVersion",
        "NotFound",
        "ObjectArchived",
        "PreconditionFailed",
    }
)
_CANCELED = "TransactionCanceledException"
_LONGEST_CODE = 64


def count_requests(client: Any) -> None:
    """Have a boto3 client's attempts counted, by the meter of this process."""
    service = str(client.meta.service_model.service_id.hyphenize())

    def answered(
        event_name: str, parsed_response: Mapping[str, Any] | None, exception: Exception | None, **_: Any
    ) -> None:
        operation = event_name.rpartition(".")[2]
        if exception is not None:
            _tell(_requested(service, operation), *_answered(service, type(exception).__name__))
            return
        answer = parsed_response or {}
        error: Mapping[str, Any] = answer.get("Error") or {}
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 200)
        code = str(error.get("Code") or "") or (str(status) if status >= 300 else "")
        if code == _CANCELED:
            code = _canceled_by(answer)
        _tell(_requested(service, operation), *_answered(service, code))

    client.meta.events.register(f"response-received.{service}", answered, unique_id="lakegate-metrics")


def count_read(code: str = "") -> None:
    """Count a read by obstore as it is sent, or, with a code, the error that it came to."""
    _tell(*(_answered("s3", code) if code else (_requested("s3", "GetObject"),)))


def _requested(service: str, operation: str) -> Record:
    return AWS_REQUESTS.of(1, service=service, operation=operation)


def _answered(service: str, code: str) -> Iterator[Record]:
    """What an error code comes to, if it stands for trouble."""
    if is_throttled(code) or code in ("429", "Throttled"):
        yield AWS_THROTTLES.of(1, service=service)
    elif code and code not in _PART_OF_THE_WORK and not is_conflict(code):
        shown = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in code)
        yield AWS_ERRORS.of(1, service=service, code=shown[:_LONGEST_CODE])


def _tell(*records: Record) -> None:
    from resources.telemetry_metrics import meter_of

    meter_of(os.environ).tell(records)


def _canceled_by(answer: Mapping[str, Any]) -> str:
    """What canceled a transaction of the ledger: nothing to count where a condition did not hold, or another one was under way."""
    codes = {str(reason.get("Code", "None")) for reason in answer.get("CancellationReasons", ())} - {"None"}
    throttled = sorted(code for code in codes if is_throttled(code) or code == "ThrottlingError")
    if throttled:
        return throttled[0]
    others = sorted(code for code in codes if code != "ConditionalCheckFailed" and not is_conflict(code))
    return others[0] if others else ""
