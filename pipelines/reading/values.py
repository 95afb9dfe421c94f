"""What one text means in one column's type: the reference, value by value, in plain Python.

`conversion.py` does the same for whole columns and comes here for the few texts that its vectorised proof does not cover;
what this module says is the grammar. No rounding, no trimming, no guessing:

    int, bigint   [+-]digits                         float, double  decimal or exponent form; never inf or nan
    decimal       decimal or exponent form, exact    boolean  the column's true_values and false_values
    date          YYYY-MM-DD, or a strptime pattern  timestamp  date, `T` or space, time, offset; epoch; strptime
"""

import ctypes
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Context, Decimal, localcontext
from zoneinfo import ZoneInfo

from pipelines.contracts.model import Column, ColumnType
from pipelines.errors import ConfigurationError
from pipelines.reading.collector import shown
from pipelines.reading.json_objects import JsonFault, parse_record
from pipelines.reading.violations import Rule

__all__ = ["INT_RANGES", "Misfit", "Value", "ValueReader", "describe", "local_in_utc", "value_reader"]

Value = str | bool | int | float | Decimal | date | datetime
ValueReader = Callable[[str], "Value | Misfit"]

INT_RANGES = {ColumnType.INT: (-(2**31), 2**31 - 1), ColumnType.BIGINT: (-(2**63), 2**63 - 1)}
_INT = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
    r"(?:(Z)|([+-])([0-9]{2})(?::?([0-9]{2}))?)?"
)
_MAX_DIGITS = 400
_MAX_DEPTH = 1_000
_DIRECTIVE = re.compile(r"%[%a-zA-Z]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = Context(prec=1000, Emax=10**6, Emin=-(10**6))
_MICROSECOND = {"epoch_s": 1_000_000, "epoch_ms": 1_000}


@dataclass(frozen=True, slots=True)
class Misfit:
    """The text is no value of the type: the rule it breaks, and a reason where `expected` does not say enough."""

    rule: Rule
    reason: str | None = None


_NOT_OF_TYPE = Misfit(Rule.TYPE)


def value_reader(column: Column, depth: int = _MAX_DEPTH, keys: int | None = None) -> ValueReader:
    """The function that reads one text as a value of the column's type; `depth` and `keys` bound a JSON document.

    Raises ConfigurationError when the column's zone or format cannot be used.
    """
    match column.kind:
        case ColumnType.STRING:
            return _identity
        case ColumnType.JSON:
            return lambda text: _json(text, depth, keys)
        case ColumnType.BOOLEAN:
            true, false = frozenset(column.true_values), frozenset(column.false_values)
            return lambda text: True if text in true else False if text in false else _NOT_OF_TYPE
        case ColumnType.INT | ColumnType.BIGINT:
            low, high = INT_RANGES[column.kind]
            return lambda text: _integer(text, low, high)
        case ColumnType.FLOAT:
            return _float
        case ColumnType.DOUBLE:
            return _double
        case ColumnType.DECIMAL:
            precision, scale = column.decimal_digits
            return lambda text: _decimal(text, precision, scale)
        case ColumnType.DATE:
            return _first_that_fits([_date_reader(form) for form in column.formats])
        case ColumnType.TIMESTAMP:
            zone = _zone(column.zone)
            return _first_that_fits([_timestamp_reader(form, zone) for form in column.formats])
        case ColumnType.STRUCT | ColumnType.ARRAY | ColumnType.MAP:
            raise ConfigurationError(f"a value of type {column.type} is no text: it is read from JSON alone")


def describe(column: Column) -> str:
    """What a column expects, in words that end a sentence."""
    match column.kind:
        case ColumnType.STRING:
            return "text"
        case ColumnType.JSON:
            return "valid JSON"
        case ColumnType.BOOLEAN:
            return "one of " + ", ".join((*column.true_values, *column.false_values))
        case ColumnType.INT:
            return "a whole number of 32 bits, in digits only"
        case ColumnType.BIGINT:
            return "a whole number of 64 bits, in digits only"
        case ColumnType.FLOAT | ColumnType.DOUBLE:
            return "a number"
        case ColumnType.DECIMAL:
            precision, scale = column.decimal_digits
            return f"a number with at most {precision - scale} digits before and {scale} after the point"
        case ColumnType.DATE:
            return "a date as " + " or ".join(_form(f, "YYYY-MM-DD") for f in column.formats)
        case ColumnType.TIMESTAMP:
            offset = (
                f" (without an offset: {column.zone} time)" if column.zone else " with an offset such as Z or +02:00"
            )
            epoch = all(f in _MICROSECOND for f in column.formats)
            forms = " or ".join(_form(f, "YYYY-MM-DDThh:mm:ss[.ffffff]") for f in column.formats)
            return f"a timestamp as {forms}{'' if epoch else offset}"
        case ColumnType.STRUCT | ColumnType.MAP:
            return "an object"
        case ColumnType.ARRAY:
            return "an array"


def _form(form: str, iso: str) -> str:
    return {"iso8601": iso, "epoch_s": "seconds since 1970", "epoch_ms": "milliseconds since 1970"}.get(form, form)


def _identity(text: str) -> Value | Misfit:
    return text


def _json(text: str, depth: int, keys: int | None) -> Value | Misfit:
    """Valid by the same parser as a JSON file's records: strict about keys, lenient about the size of numbers."""
    value = parse_record(text.encode("utf-8"), depth, keys)
    if not isinstance(value, JsonFault):
        return text
    if value.rule in (Rule.DEPTH, Rule.KEY_COUNT):
        return Misfit(value.rule, f"The limit is {value.expected}.")
    return Misfit(Rule.TYPE, f"As JSON it is wrong: {_reason(value)}.")


def _reason(fault: JsonFault) -> str:
    if fault.rule is Rule.JSON_DUPLICATE_KEY:
        return f"the key {shown(fault.found)} stands twice in an object"
    return fault.expected if fault.rule is Rule.JSON_SYNTAX else fault.found


def _integer(text: str, low: int, high: int) -> Value | Misfit:
    if not _INT.fullmatch(text):
        return _NOT_OF_TYPE
    digits = text.lstrip("+-0")
    if len(digits) > 20:
        return Misfit(Rule.NUMBER_RANGE)
    number = int(text[0] + digits if text[0] == "-" and digits else digits or "0")
    return number if low <= number <= high else Misfit(Rule.NUMBER_RANGE)


def _double(text: str) -> Value | Misfit:
    return _floating(text, float, "double")


def _float(text: str) -> Value | Misfit:
    return _floating(text, _nearest_float32, "float")


def _floating(text: str, nearest: Callable[[str], float], kind: str) -> Value | Misfit:
    if not _NUMBER.fullmatch(text):
        return _NOT_OF_TYPE
    number = nearest(text)
    if number in (float("inf"), float("-inf")):
        return Misfit(Rule.NUMBER_RANGE, f"It is larger than a {kind} can be.")
    if number == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
        return Misfit(Rule.NUMBER_RANGE, f"It is so small that a {kind} would make it 0.")
    return number


def _nearest_float32(text: str) -> float:
    """The number of 32 bits nearest to a decimal text, in a Python float; infinite beyond the largest.

    Rounding to 64 bits and then to 32 may go the wrong way. It does not when the first step is rounded to odd: where the text is
    between two doubles, the one whose last bit is set (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums").
    """
    double = float(text)
    if double and math.isfinite(double):
        exact = Decimal(text)
        if exact != Decimal(double) and not struct.unpack("<q", struct.pack("<d", double))[0] & 1:
            double = math.nextafter(double, math.inf if exact > Decimal(double) else -math.inf)
    return ctypes.c_float(double).value


def _decimal(text: str, precision: int, scale: int) -> Value | Misfit:
    """Exact, or not at all; digits behind the scale are allowed only when they are zeros."""
    if not _NUMBER.fullmatch(text):
        return _NOT_OF_TYPE
    mantissa, _, exponent = text.lower().partition("e")
    significant = mantissa.lstrip("+-0.").replace(".", "")
    if not significant.strip("0"):
        return Decimal(0)
    if len(mantissa) > _MAX_DIGITS or len(exponent.lstrip("+-0")) > 4:
        mantissa = _shortened(mantissa)
        if len(mantissa) > _MAX_DIGITS or len(exponent.lstrip("+-0")) > 4:
            return Misfit(Rule.NUMBER_RANGE)
    with localcontext(_EXACT):
        number = Decimal(f"{mantissa}e{exponent}" if exponent else mantissa)
        scaled = number.scaleb(scale)
        if scaled != scaled.to_integral_value():
            return Misfit(Rule.NUMBER_RANGE, f"It has more than {scale} digits after the point; nothing is rounded.")
        if abs(scaled) >= Decimal(10) ** precision:
            return Misfit(Rule.NUMBER_RANGE)
        return number.quantize(Decimal(1).scaleb(-scale))


def _shortened(mantissa: str) -> str:
    """The same number without zeros at its ends."""
    sign = "-" if mantissa.startswith("-") else ""
    whole, point, fraction = mantissa.lstrip("+-").partition(".")
    return f"{sign}{whole.lstrip('0') or '0'}{point}{fraction.rstrip('0')}"


def _first_that_fits(readers: list[ValueReader]) -> ValueReader:
    if len(readers) == 1:
        return readers[0]

    def read(text: str) -> Value | Misfit:
        kept = _NOT_OF_TYPE
        for reader in readers:
            value = reader(text)
            if not isinstance(value, Misfit):
                return value
            if value.reason:
                kept = value
        return kept

    return read


def _date_reader(form: str) -> ValueReader:
    if form == "iso8601":
        return _iso_date
    moment = _strptime_reader(form)

    def read(text: str) -> Value | Misfit:
        value = moment(text)
        return value.date() if isinstance(value, datetime) else _NOT_OF_TYPE

    return read


def _iso_date(text: str) -> Value | Misfit:
    match = _DATE.fullmatch(text)
    if not match:
        return _NOT_OF_TYPE
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return Misfit(Rule.TYPE, "There is no such day in the calendar.")


def _strptime_reader(form: str) -> Callable[[str], datetime | None]:
    """Python's strptime, less its leniency: ASCII only, and white space exactly as the pattern has it."""
    directives = _DIRECTIVE.findall(form)
    if not directives:
        raise ConfigurationError(f"format {form!r} is neither iso8601, epoch_s, epoch_ms nor a strptime pattern")
    spaces = re.sub(r"\S+", "|", form)

    def read(text: str) -> datetime | None:
        if not text.isascii() or re.sub(r"\S+", "|", text) != spaces:
            return None
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - the zone is applied by the caller
        except ValueError:
            return None

    return read


def _timestamp_reader(form: str, zone: tzinfo | None) -> ValueReader:
    if form in _MICROSECOND:
        return lambda text: _epoch(text, _MICROSECOND[form])
    if form == "iso8601":
        return lambda text: _iso_timestamp(text, zone)
    moment = _strptime_reader(form)

    def read(text: str) -> Value | Misfit:
        value = moment(text)
        return _NOT_OF_TYPE if value is None else local_in_utc(value, zone)

    return read


def _epoch(text: str, unit_us: int) -> Value | Misfit:
    number = _integer(text, *INT_RANGES[ColumnType.BIGINT])
    if not isinstance(number, int):
        return number
    try:
        moment = _EPOCH + timedelta(microseconds=number * unit_us)
    except OverflowError:
        return Misfit(Rule.NUMBER_RANGE, "It lies outside the years 1 to 9999.")
    return moment


def _iso_timestamp(text: str, zone: tzinfo | None) -> Value | Misfit:
    match = _TIMESTAMP.fullmatch(text)
    if not match:
        return _NOT_OF_TYPE
    year, month, day, hour, minute, second, fraction, z, sign, off_h, off_m = match.groups()
    if fraction and fraction[6:].strip("0"):
        return Misfit(Rule.TYPE, "It is finer than a microsecond; nothing is rounded.")
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micro)  # noqa: DTZ001
    except ValueError:
        return Misfit(Rule.TYPE, "There is no such day or time.")
    if z:
        return moment.replace(tzinfo=UTC)
    if sign:
        hours, minutes = int(off_h), int(off_m or 0)
        if hours > 23 or minutes > 59:
            return Misfit(Rule.TYPE, "There is no such offset.")
        return _shifted(moment, timedelta(hours=hours, minutes=minutes) * (1 if sign == "+" else -1))
    return local_in_utc(moment, zone)


def _shifted(moment: datetime, offset: timedelta) -> Value | Misfit:
    try:
        return (moment - offset).replace(tzinfo=UTC)
    except OverflowError:
        return Misfit(Rule.TYPE, "In UTC it lies outside the years 1 to 9999.")


def local_in_utc(moment: datetime, zone: tzinfo | None) -> Value | Misfit:
    """A naive local time as UTC; a time that the zone skips or has twice is refused, never resolved in silence."""
    offset = moment.utcoffset()
    if offset is not None:
        return _shifted(moment.replace(tzinfo=None), offset)
    if zone is None:
        return Misfit(Rule.TYPE, "It has no offset and the column declares no zone.")
    first = moment.replace(tzinfo=zone, fold=0).utcoffset()
    second = moment.replace(tzinfo=zone, fold=1).utcoffset()
    if first is None or second is None:
        return _NOT_OF_TYPE
    if first > second:
        return Misfit(Rule.TYPE, f"In {zone} this time happens twice (clocks go back): send it with its offset.")
    if first < second:
        return Misfit(Rule.TYPE, f"In {zone} this time does not exist (clocks go forward).")
    return _shifted(moment, first)


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError):
        raise ConfigurationError(f"zone {name!r} is not an IANA time zone this machine knows") from None
