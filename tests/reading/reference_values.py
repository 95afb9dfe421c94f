"""What a text means in a column's type, said a second time, slowly: nothing here is shared with the product."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo


class Wrong(Exception):  # noqa: N818 - it is an answer
    """The text is no value of the type; `rule` is the one it breaks."""

    def __init__(self, rule: str = "type") -> None:
        super().__init__(rule)
        self.rule = rule


DIGITS = "0123456789"


def read(kind: str, text: str, *, zone: str | None = None) -> Any:
    """The value of a text in a column of this type; raises Wrong."""
    if kind == "string":
        return text
    if kind in ("int", "bigint"):
        return integer(text, 31 if kind == "int" else 63)
    if kind == "double":
        return double(text)
    if kind.startswith("decimal"):
        precision, scale = map(int, kind.removeprefix("decimal(").removesuffix(")").split(","))
        return decimal(text, precision, scale)
    if kind == "boolean":
        if text not in ("true", "false", "True", "False", "TRUE", "FALSE"):
            raise Wrong
        return text.lower() == "true"
    if kind == "date":
        return day(text)
    assert kind == "timestamp"
    return moment(text, zone)


def integer(text: str, bits: int) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits or any(c not in DIGITS for c in digits):
        raise Wrong
    value = 0
    for c in digits:
        value = 10 * value + DIGITS.index(c)
    value = -value if text[0] == "-" else value
    if not -(2**bits) <= value < 2**bits:
        raise Wrong("number_range")
    return value


def number(text: str) -> Fraction:
    """Any number in decimal or exponent form, exactly."""
    sign = -1 if text[:1] == "-" else 1
    rest = text[1:] if text[:1] in ("+", "-") else text
    mantissa, mark, exponent = rest.replace("E", "e").partition("e")
    whole, _, fraction = mantissa.partition(".")
    power = exponent[1:] if exponent[:1] in ("+", "-") else exponent
    if (
        not whole + fraction
        or any(c not in DIGITS for c in whole + fraction + power)
        or bool(mark) != bool(power)
        or mantissa.count(".") > 1
    ):
        raise Wrong
    shift = (-1 if exponent[:1] == "-" else 1) * int(power or "0")
    if abs(shift) > 5000:
        if not (whole + fraction).strip("0"):
            return Fraction(0)
        raise Wrong("number_range")
    return sign * Fraction(int(whole + fraction)) * Fraction(10) ** (shift - len(fraction))


def double(text: str) -> float:
    exact = number(text)
    try:
        value = exact.numerator / exact.denominator  # Python divides integers to the nearest double
    except OverflowError:
        raise Wrong("number_range") from None
    if value == 0 and exact != 0:
        raise Wrong("number_range")
    return -0.0 if exact == 0 and text[0] == "-" else value


def decimal(text: str, precision: int, scale: int) -> Decimal:
    scaled = number(text) * 10**scale
    if scaled.denominator != 1 or abs(scaled) >= 10**precision:
        raise Wrong("number_range")
    return Decimal((int(scaled < 0), tuple(map(int, str(abs(scaled.numerator)))), -scale))


def day(text: str) -> date:
    if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise Wrong
    try:
        return date(int(text[:4]), int(text[5:7]), int(text[8:]))
    except ValueError:
        raise Wrong from None


def moment(text: str, zone: str | None) -> datetime:
    """A date, `T` or a space, hours and minutes, perhaps seconds with a fraction, perhaps an offset."""
    local, offset = text, None
    if text[-1:] == "Z":
        local, offset = text[:-1], timedelta()
    elif shift := re.search("[+-]([0-9]{2}):?([0-9]{2})?$", text[16:]):
        if shift.group().endswith(":"):
            raise Wrong
        local = text[: 16 + shift.start()]
        hours, minutes = int(shift[1]), int(shift[2] or "0")
        if hours > 23 or minutes > 59:
            raise Wrong
        offset = (-1 if shift.group()[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes)
    if local[10:11] not in ("T", " "):
        raise Wrong
    time, _, fraction = local[11:].partition(".")
    if not re.fullmatch("[0-9]{2}:[0-9]{2}(:[0-9]{2})?", time) or (
        "." in local and not re.fullmatch("[0-9]+", fraction)
    ):
        raise Wrong
    if "." in local and len(time) == 5:
        raise Wrong
    if fraction[6:].strip("0"):
        raise Wrong
    base = day(local[:10])
    try:
        naive = datetime(base.year, base.month, base.day, *map(int, time.split(":")))  # noqa: DTZ001 - its zone comes below
    except ValueError:
        raise Wrong from None
    naive += timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
    try:
        if offset is not None:
            return naive.replace(tzinfo=timezone(offset)).astimezone(UTC)
        if zone is None:
            raise Wrong
        both = [naive.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)]
    except OverflowError:
        raise Wrong from None
    if both[0] != both[1]:
        raise Wrong
    return both[0]
