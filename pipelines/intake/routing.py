"""Which dataset an object belongs to, and to which landing day: decided by its decoded key alone. Pure.

A key is matched against each dataset's pattern exactly; two datasets whose patterns could match one key are refused at
load (`overlaps`), so the order of datasets never matters.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import combinations
from typing import assert_never

from pipelines.contracts.key_pattern import KeyPattern
from pipelines.contracts.model import Column, ColumnType, Dataset, KeyValue
from pipelines.contracts.values import find_zone
from pipelines.intake.automaton import can_match_the_same
from pipelines.intake.wiring_tests import is_wiring_test
from pipelines.reading.violations import Rule, Violation

__all__ = ["LANDING_PREFIX", "BadKey", "KeyValueError", "Outside", "Route", "Routed", "Unrouted", "event_day", "key_values", "overlapping", "overlaps", "route"]  # fmt: skip

LANDING_PREFIX = "landing/"
"""Where files land; events of other keys of the bucket are counted and left."""
_MAX_SHOWN = 100
# Control characters and what turns the direction of text would reach partition paths, logs and pages.
_UNWANTED = frozenset({"Cc", "Zl", "Zp"})
_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Routed:
    """The dataset's own: with its day, and the values of columns that come from the key."""

    dataset: Dataset
    landing_day: date
    key_values: Mapping[str, KeyValue]


@dataclass(frozen=True, slots=True)
class BadKey:
    """The dataset's own, but its key is wrong: quarantined unread. `accounted_day` is where the books list it."""

    dataset: Dataset
    rule: Rule
    message: str
    accounted_day: date


@dataclass(frozen=True, slots=True)
class Unrouted:
    """Inside landing, but no dataset claims it."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Not inside landing, or there only to test the wiring."""


Route = Routed | BadKey | Unrouted | Outside


class KeyValueError(ValueError):
    """A text taken from a key is no value of its column; the message says which and why."""


def route(key: str, datasets: Iterable[Dataset], event_day: date, today: date) -> Route:
    """Decide where a decoded key belongs. `event_day` is the UTC day of the event, `today` the UTC day now.

    A day before `landing.start`, or after today, is no partition of the dataset (its partitions run to today inclusive).
    """
    if not key.startswith(LANDING_PREFIX) or is_wiring_test(key):
        return Outside()
    for dataset in datasets:
        pattern = dataset.key_pattern
        if not key.startswith(pattern.prefix):
            continue
        texts = pattern.match(key)
        if texts is not None:
            return _routed(dataset, texts, event_day, today)
    return Unrouted()


def _routed(dataset: Dataset, texts: Mapping[str, str], event_day: date, today: date) -> Route:
    accounted = min(max(event_day, dataset.landing.start), max(today, dataset.landing.start))
    try:
        values = _typed(dataset, texts)
    except KeyValueError as error:
        return BadKey(dataset, Rule.KEY_VALUE, str(error), accounted)
    day = event_day
    if dataset.landing.day is not None:
        value = values[dataset.landing.day]
        day = value.date() if isinstance(value, datetime) else value
        assert isinstance(day, date)  # noqa: S101 - the loader lets only a date column be the day
    if not dataset.landing.start <= day <= today:
        bound = (
            f"landing.start is {dataset.landing.start}" if day < dataset.landing.start else f"today is {today} (UTC)"
        )
        return BadKey(
            dataset, Rule.LANDING_DAY, f"the landing day {day} is outside the dataset's days: {bound}", accounted
        )
    return Routed(dataset, day, values)


def key_values(dataset: Dataset, key: str) -> dict[str, KeyValue] | None:
    """The values that a key gives to columns; None when the key is not the dataset's.

    Raises KeyValueError for the first text that is no value of its column.
    """
    texts = dataset.key_pattern.match(key)
    return None if texts is None else _typed(dataset, texts)


def _typed(dataset: Dataset, texts: Mapping[str, str]) -> dict[str, KeyValue]:
    values: dict[str, KeyValue] = {}
    for name, text in texts.items():
        column = dataset.columns[name]
        try:
            values[name] = _value(column, text, dataset.key_pattern.fields[name])
        except (ValueError, ArithmeticError) as error:
            shown = ascii(text)[:_MAX_SHOWN]
            raise KeyValueError(
                f"{{{name}}} in the key is {shown}, no {column.type}: {str(error)[:_MAX_SHOWN]}"
            ) from None
    return values


def _value(column: Column, text: str, form: str | None) -> KeyValue:
    """The text as a value of the column; `form` is the field's strptime pattern. Raises ValueError when it is none."""
    if any(unicodedata.category(c) in _UNWANTED or c in _BIDI for c in text):
        raise ValueError("it holds control characters")
    match column.kind:
        case ColumnType.STRING:
            return text
        case ColumnType.INT | ColumnType.BIGINT:
            if not re.fullmatch(r"-?[0-9]{1,19}", text):
                raise ValueError("not a whole number")
            bits = 31 if column.kind is ColumnType.INT else 63
            if not -(2**bits) <= int(text) < 2**bits:
                raise ValueError(f"it does not fit {bits + 1} bits")
            return int(text)
        case ColumnType.DECIMAL:
            precision, scale = column.decimal_digits
            found = re.fullmatch(r"-?([0-9]{1,38})(?:\.([0-9]{1,38}))?", text)
            if not found or len(found[1].lstrip("0")) > precision - scale or len((found[2] or "").rstrip("0")) > scale:
                raise ValueError("not a number of so many digits")
            return Decimal(text)
        case ColumnType.DATE:
            if form is None and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
                raise ValueError("not a date such as 2026-01-31")
            return datetime.strptime(text, form).date() if form else date.fromisoformat(text)  # noqa: DTZ007 - a day has no zone
        case ColumnType.TIMESTAMP:
            moment = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - its zone comes next
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=find_zone(column.zone) if column.zone else UTC)
            return moment.astimezone(UTC)
        case (
            ColumnType.BOOLEAN
            | ColumnType.FLOAT
            | ColumnType.DOUBLE
            | ColumnType.JSON
            | ColumnType.STRUCT
            | ColumnType.ARRAY
            | ColumnType.MAP
        ):
            raise ValueError(f"a {column.kind} cannot be taken from a key")
        case _ as never:
            assert_never(never)


def bad_key_violation(found: BadKey, key: str) -> Violation:
    """A wrong key as a violation, like any other."""
    landing = found.dataset.landing
    return Violation(
        rule=found.rule,
        column=None,
        line=None,
        byte_offset=None,
        found=key[:200],
        expected=f"a key like {landing.key}, of a day from {landing.start} to today",
        count=1,
        message=f"{found.message}; {found.rule.remedy}",
    )


def overlaps(one: KeyPattern, other: KeyPattern) -> bool:
    """Whether some key fits both patterns: then a file could go to either dataset. Exact."""
    return can_match_the_same(one.expression, other.expression)


def overlapping(datasets: Sequence[Dataset]) -> list[tuple[Dataset, Dataset]]:
    """The pairs of datasets that could both claim some key."""
    return [(one, other) for one, other in combinations(datasets, 2) if overlaps(one.key_pattern, other.key_pattern)]


def event_day(moment: datetime) -> date:
    """The UTC day of an event."""
    return moment.astimezone(UTC).date()
