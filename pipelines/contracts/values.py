"""Values of a column's type: read from YAML (bounds, allowed values) and from object keys. Pure; knows no file format.

What a file's cells hold is read by `pipelines/reading/`, in bulk; this is for the few values a contract or a key names.
"""

import ctypes
import math
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = [
    "INT_RANGES",
    "STRPTIME_DIRECTIVES",
    "ColumnType",
    "TypedValue",
    "column_kind",
    "decimal_digits",
    "find_zone",
    "iso_date",
    "strptime_directives",
    "typed_value",
]

TypedValue = str | bool | int | float | Decimal | date | datetime
"""A value of a column's type; a timestamp is aware and in UTC."""


class ColumnType(StrEnum):
    """The types of columns, by Athena's names; the last three have types inside (`nested_types.py`)."""

    STRING = "string"
    BOOLEAN = "boolean"
    INT = "int"
    BIGINT = "bigint"
    FLOAT = "float"
    DOUBLE = "double"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"
    JSON = "json"
    STRUCT = "struct"
    ARRAY = "array"
    MAP = "map"


INT_RANGES = {ColumnType.INT: (-(2**31), 2**31 - 1), ColumnType.BIGINT: (-(2**63), 2**63 - 1)}
"""Smallest and largest value of the integer types."""

STRPTIME_DIRECTIVES = frozenset("YymdjbBHIpMSfz%")
"""The directives a column's `format` may use: those that read the same everywhere (Python, "strftime() and strptime()").
`%a %A %U %W %c %x %X %Z` depend on the locale, on the platform or say nothing."""

_NESTED = re.compile(r"(struct|array|map)\s*<.*", re.DOTALL)
_DECIMAL = re.compile(r"decimal\((\d{1,4})\s*,\s*(\d{1,4})\)")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ISO_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)


def column_kind(type_text: str) -> ColumnType:
    """The type without its parameters. Raises ValueError when the text is no type."""
    if match := _NESTED.fullmatch(type_text):
        return ColumnType(match[1])
    return ColumnType.DECIMAL if _DECIMAL.fullmatch(type_text) else ColumnType(type_text)


def decimal_digits(type_text: str) -> tuple[int, int]:
    """Precision and scale of `decimal(p,s)`. Raises ValueError for any other type."""
    match = _DECIMAL.fullmatch(type_text)
    if not match:
        raise ValueError(f"{type_text} has no precision")
    return int(match[1]), int(match[2])


def iso_date(raw: Any) -> date:
    """Read a date written YYYY-MM-DD. Raises ValueError for anything else, numbers among it."""
    if isinstance(raw, date) and not isinstance(raw, datetime):
        return raw
    if isinstance(raw, str) and _ISO_DATE.fullmatch(raw):
        return date.fromisoformat(raw)
    raise ValueError("not a date written YYYY-MM-DD")


def find_zone(name: str) -> ZoneInfo | None:
    """The IANA time zone of that name, or None. A name that climbs out of the zone database is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def typed_value(type_text: str, raw: Any, *, zone: str | None = None) -> TypedValue:
    """Read a value that a contract names (a bound, an allowed value) by its column's type.

    `raw` comes from YAML: text, a number, true or false; a date or timestamp is ISO 8601 text. `zone` is the column's zone,
    for timestamps without an offset. Raises ValueError with the reason when the value is not of the type.
    """
    kind = column_kind(type_text)
    match kind:
        case ColumnType.STRING:
            if not isinstance(raw, str):
                raise ValueError("text is expected: put it in quotes")
            return raw
        case ColumnType.BOOLEAN:
            if not isinstance(raw, bool):
                raise ValueError("true or false is expected")
            return raw
        case ColumnType.INT | ColumnType.BIGINT:
            low, high = INT_RANGES[kind]
            if not isinstance(raw, int) or isinstance(raw, bool):
                raise ValueError("a whole number is expected")
            if not low <= raw <= high:
                raise ValueError(f"{kind} holds {low} to {high}")
            return raw
        case ColumnType.FLOAT | ColumnType.DOUBLE:
            if isinstance(raw, bool) or not isinstance(raw, int | float | Decimal) or not math.isfinite(raw):
                raise ValueError("a number is expected")
            raw = float(raw)
            if kind is ColumnType.FLOAT and math.isinf(ctypes.c_float(raw).value):
                raise ValueError("a float holds numbers up to 3.4028235e38: make the column a double")
            return raw
        case ColumnType.DECIMAL:
            return _decimal(type_text, raw)
        case ColumnType.DATE:
            return iso_date(raw)
        case ColumnType.TIMESTAMP:
            return _timestamp(raw, zone)
        case ColumnType.JSON | ColumnType.STRUCT | ColumnType.ARRAY | ColumnType.MAP:
            raise ValueError(f"a column of type {kind} has no values to compare with")


def strptime_directives(form: str) -> tuple[str, ...]:
    """The directive letters of a strptime pattern, in order; a `%` at the end counts as the empty directive."""
    return tuple(re.findall(r"%(.?)", form, re.DOTALL))


def _decimal(type_text: str, raw: Any) -> Decimal:
    precision, scale = decimal_digits(type_text)
    try:
        # `repr` of a float is the shortest text that reads back the same: 0.1 becomes 0.1, not 0.1000000000000000055.
        number = Decimal(repr(raw)) if isinstance(raw, float) else Decimal(raw)
    except (InvalidOperation, TypeError, ValueError):
        raise ValueError("a number is expected") from None
    if isinstance(raw, bool) or not number.is_finite():
        raise ValueError("a number is expected")
    exponent = number.normalize().as_tuple().exponent
    if -int(exponent) > scale:
        raise ValueError(f"{type_text} has {scale} digits after the point")
    if number and number.adjusted() + 1 > precision - scale:
        raise ValueError(f"{type_text} has {precision - scale} digits before the point")
    return number


def _timestamp(raw: Any, zone: str | None) -> datetime:
    if isinstance(raw, str) and _ISO_TIMESTAMP.fullmatch(raw):
        moment = datetime.fromisoformat(raw)
    elif isinstance(raw, datetime):
        moment = raw
    elif isinstance(raw, str) and _ISO_DATE.fullmatch(raw):
        zone = zone or "UTC"  # a day's first moment, in the column's zone
        moment = datetime.combine(date.fromisoformat(raw), time())
    else:
        raise ValueError("not a timestamp such as 2013-01-01T10:00:00Z")
    if moment.tzinfo is None:
        if not zone or not (found := find_zone(zone)):
            raise ValueError("a timestamp without an offset, and the column names no zone: write 2013-01-01T10:00:00Z")
        moment = moment.replace(tzinfo=found)
    return moment.astimezone(UTC)
