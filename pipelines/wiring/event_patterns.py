"""Whether a rule of EventBridge lets S3's events through: as much of its patterns as such rules use. Pure.

Source: Amazon EventBridge User Guide, "Comparison operators for use in event patterns".
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["lets_through", "s3_event"]

_DETAIL_TYPES = {"created": "Object Created", "removed": "Object Deleted", "restored": "Object Restore Completed"}


def s3_event(kind: str, bucket: str, key: str, account: str | None) -> dict[str, Any]:
    """An event as S3 sends it, as far as rules look: `kind` is created, removed or restored."""
    event: dict[str, Any] = {
        "source": "aws.s3",
        "detail-type": _DETAIL_TYPES[kind],
        "detail": {"bucket": {"name": bucket}, "object": {"key": key}},
        "resources": [f"arn:aws:s3:::{bucket}"],
    }
    return event if account is None else {**event, "account": account}


def lets_through(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool | None:
    """Whether the event fits the pattern; None where the pattern uses what is not understood here."""
    answers = [_field(wanted, event.get(name)) for name, wanted in pattern.items()]
    if False in answers:
        return False
    return None if None in answers else True


def _field(wanted: Any, found: Any) -> bool | None:
    if isinstance(wanted, Mapping):
        return lets_through(wanted, found) if isinstance(found, Mapping) else None
    if not isinstance(wanted, list):
        return None
    if found is None:
        return None  # our event does not tell it; S3's may
    answers = [_value(one, value) for one in wanted for value in (found if isinstance(found, list) else [found])]
    if True in answers:
        return True
    return None if None in answers else False


def _value(wanted: Any, found: Any) -> bool | None:
    if not isinstance(wanted, Mapping):
        return wanted == found
    if set(wanted) == {"prefix"} and isinstance(wanted["prefix"], str):
        return str(found).startswith(wanted["prefix"])
    if set(wanted) == {"suffix"} and isinstance(wanted["suffix"], str):
        return str(found).endswith(wanted["suffix"])
    if set(wanted) == {"exists"}:
        return bool(wanted["exists"])
    return None
