"""Text cells to typed Arrow arrays, a column at a time: exact, or not at all.

Arrow's casts are fast and lax (or worse) in places. So a cast counts only together with a proof, cheap and vectorised, that for
these very texts it says what `values.py` says. Where the proof fails, the texts that look wrong (`suspects.py`) are read one by one,
and all others have to pass the proof again; where even they do not, the column is halved until at most `_LEAF` texts
are left, which are read one by one: a bad cell costs a second look at its column, or its neighbourhood, not its block.

What was found in pyarrow 25 and is guarded here: ints accept `0x1F`; floats and doubles accept `inf`, `nan`, and make `1e400` infinite
and `1e-400` zero; decimals wrap around silently beyond 38 digits and crash the process on `1e-999999999`; timestamps
accept a bare date or hour; dates accept the year 0; local times from 2038 on (with some zone files from 2007 on) know no
summer time, because the rule at the end of a zone file is not read.
"""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.model import Column, ColumnType
from pipelines.contracts.schema import arrow_type
from pipelines.reading.csv_blocks import Positions
from pipelines.reading.limits import Limits
from pipelines.reading.suspects import suspects_of
from pipelines.reading.values import Misfit, Value, ValueReader, local_in_utc, value_reader

__all__ = ["Converted", "Converter", "Misfits", "trusted_years"]

_LEAF = 48
_FEW = 8
"""At most one text in so many is read alone because it looks wrong: where more do, looks deceive, or the column is hopeless."""
_NINE = 0x39
_Octets = npt.NDArray[np.uint8]
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_DAY_US = 86_400_000_000
_MICROSECONDS = pa.timestamp("us")
_ZONE_YEARS = (1900, 2037)
_ZONE_KNOWN = 1985
"""A year whose rules are in every zone file."""
_UTC = pa.timestamp("us", tz="UTC")
_EPOCH_UNITS = {"epoch_s": 1_000_000, "epoch_ms": 1_000}

Proof = Callable[[pa.StringArray], pa.Array | None]
"""Convert all texts, or return None where the outcome is not proven to be what `values.py` says. Never raises for a text."""


@dataclass(slots=True)
class Misfits:
    """Positions of texts that are no value of the type, by rule and reason, in rising order."""

    by_kind: dict[Misfit, list[int]] = field(default_factory=dict[Misfit, list[int]])

    def add(self, position: int, misfit: Misfit) -> None:
        """Note one text."""
        self.by_kind.setdefault(misfit, []).append(position)


@dataclass(frozen=True, slots=True)
class Converted:
    """The typed array (null where the text was null or a misfit), and the misfits."""

    values: pa.Array
    misfits: Misfits


class Converter:
    """Converts one column's texts. Build once a dataset; holds no state of a file."""

    def __init__(self, column: Column, limits: Limits | None = None) -> None:
        """Prepare for a column; `limits` bound the JSON documents in it. Raises ConfigurationError when its zone or format cannot be used."""
        self.type: pa.DataType = arrow_type(column)
        bound = limits or Limits()
        self._read: ValueReader = value_reader(column, bound.depth, bound.keys)
        self._prove = _proof(column)
        self._suspects = suspects_of(column)
        self._is_text = column.kind is ColumnType.STRING

    def convert(self, texts: pa.StringArray, *, is_refuted: bool = False) -> Converted:
        """Convert texts whose nulls are nulls already. Bad texts never raise. `is_refuted`: `prove` did not prove them."""
        misfits = Misfits()
        if self._is_text:
            return Converted(texts, misfits)
        proven = None if is_refuted else self.prove(texts)
        if proven is None:
            proven = self._without_suspects(texts, misfits)
        if proven is not None:
            return Converted(proven, misfits)
        pieces: list[pa.Array] = []
        self._halve(texts, 0, pieces, misfits)
        return Converted(pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces), misfits)

    def prove(self, texts: pa.StringArray) -> pa.Array | None:
        """All texts as values, if none is a misfit and the proof holds for the whole; None says nothing."""
        return self._prove(texts) if self._prove else None

    def _without_suspects(self, texts: pa.StringArray, misfits: Misfits) -> pa.Array | None:
        """All texts as values, those that look wrong read one by one; None where the others are not proven either."""
        rows = self._suspects(texts) if self._prove and self._suspects else ()
        if not 0 < len(rows) <= len(texts) // _FEW:
            return None
        chosen = np.zeros(len(texts), np.bool_)
        chosen[rows] = True
        mask = pa.array(chosen)
        values = self.prove(pc.if_else(mask, pa.scalar(None, pa.string()), texts))
        if values is None:
            return None
        alone = self._one_by_one(texts.take(pa.array(rows)), rows, misfits)
        return pc.replace_with_mask(values, mask, alone) if alone.null_count < len(alone) else values

    def _halve(self, texts: pa.StringArray, base: int, pieces: list[pa.Array], misfits: Misfits) -> None:
        proven = self._prove(texts) if self._prove else None
        if proven is not None:
            pieces.append(proven)
        elif len(texts) <= _LEAF or self._prove is None:
            pieces.append(self._one_by_one(texts, range(base, base + len(texts)), misfits))
        else:
            half = len(texts) // 2
            self._halve(texts.slice(0, half), base, pieces, misfits)
            self._halve(texts.slice(half), base + half, pieces, misfits)

    def _one_by_one(self, texts: pa.StringArray, rows: Sequence[int] | Positions, misfits: Misfits) -> pa.Array:
        known: dict[str, Value | Misfit] = {}
        values: list[Value | None] = []
        for position, text in enumerate(texts.to_pylist()):
            if text is None:
                values.append(None)
                continue
            value = known.get(text)
            if value is None:
                value = known[text] = self._read(text)
            if isinstance(value, Misfit):
                misfits.add(int(rows[position]), value)
                values.append(None)
            else:
                values.append(value)
        return pa.array(values, self.type, from_pandas=False)


def _proof(column: Column) -> Proof | None:
    match column.kind:
        case ColumnType.STRING | ColumnType.JSON | ColumnType.STRUCT | ColumnType.ARRAY | ColumnType.MAP:
            return None
        case ColumnType.BOOLEAN:
            return _boolean_proof(column.true_values, column.false_values)
        case ColumnType.INT | ColumnType.BIGINT:
            kind = arrow_type(column)
            return lambda texts: _integers(texts, kind)
        case ColumnType.FLOAT | ColumnType.DOUBLE:
            kind = arrow_type(column)
            return lambda texts: _floats(texts, kind)
        case ColumnType.DECIMAL:
            kind, room = arrow_type(column), 38 - column.decimal_digits[1]
            return lambda texts: _decimals(texts, kind, room)
        case ColumnType.DATE:
            return _dates if column.formats == ("iso8601",) else None
        case ColumnType.TIMESTAMP:
            if column.formats == ("iso8601",):
                return _timestamp_proof(column.zone)
            if len(column.formats) == 1 and column.formats[0] in _EPOCH_UNITS:
                unit = _EPOCH_UNITS[column.formats[0]]
                return lambda texts: _epochs(texts, unit)
            return None


def _octets(texts: pa.StringArray) -> _Octets:
    """The bytes of all texts, one after another; what lies under nulls is among them."""
    buffers = texts.buffers()
    if buffers[2] is None:
        return np.empty(0, np.uint8)
    offsets = np.frombuffer(buffers[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(buffers[2], np.uint8)[offsets[0] : offsets[-1]]


def _plain(texts: pa.StringArray) -> bool:
    """Whether no byte is a letter: neither hexadecimal nor exponents nor words are among the texts."""
    octets = _octets(texts)
    return not len(octets) or int(octets.max()) <= _NINE


def _lengths(texts: pa.StringArray) -> tuple[int, int]:
    """The shortest and the longest text in bytes; (0, 0) when all are null."""
    bounds = pc.min_max(pc.binary_length(texts))
    return (bounds["min"].as_py() or 0, bounds["max"].as_py() or 0)


def _all_have(texts: pa.StringArray, place: int, octet: int, unless: int) -> bool:
    """Whether each text that is not null has this byte at this place, those of `unless` bytes and more aside."""
    octets, buffers = _octets(texts), texts.buffers()
    bounds = np.frombuffer(buffers[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    if texts.null_count:
        is_short = (np.diff(bounds) < unless) & texts.is_valid().to_numpy(zero_copy_only=False)
    else:
        is_short = np.diff(bounds) < unless
    if not is_short.any():
        return True
    places, ends = bounds[:-1][is_short] + place, bounds[1:][is_short]
    return bool(np.all(places < ends)) and bool(np.all(octets[places - bounds[0]] == octet))


def _cast(texts: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        return None


def _integers(texts: pa.StringArray, kind: pa.DataType) -> pa.Array | None:
    return _cast(texts, kind) if _plain(texts) else None


def _floats(texts: pa.StringArray, kind: pa.DataType) -> pa.Array | None:
    values = _cast(texts, kind)
    if values is None or pc.all(pc.is_finite(values)).as_py() is False:
        return None
    zeros = pc.equal(values, 0.0)
    if pc.any(zeros).as_py():
        suspicious = pc.match_substring_regex(texts.filter(zeros), "^[^eE]*[1-9]")
        if pc.any(suspicious).as_py():
            return None
    return values


def _decimals(texts: pa.StringArray, kind: pa.DataType, room: int) -> pa.Array | None:
    if not _plain(texts) or _lengths(texts)[1] > room:
        return None
    return _cast(texts, kind)


def _dates(texts: pa.StringArray) -> pa.Array | None:
    values = _cast(texts, pa.date32())
    if values is None:
        return None
    days = pc.min_max(values.cast(pa.int32()))
    return values if days["min"].as_py() is None or days["min"].as_py() >= _FIRST_DAY else None


def _timestamp_proof(zone: str | None) -> Proof:
    def prove(texts: pa.StringArray) -> pa.Array | None:
        # Twenty bytes hold at least minutes (`…Thh:mm:ssZ`, `…Thh:mm+01:00`); shorter ones must show their colon.
        if not _all_have(texts, 13, 0x3A, 20):
            return None
        if zone is None:
            values = _cast(texts, _UTC)
        else:
            local = _cast(texts, _MICROSECONDS)
            values = None if local is None or not _in_calendar(local) else _local_to_utc(local, zone)
        return values if values is not None and _in_calendar(values) else None

    return prove


def _local_to_utc(local: pa.Array, zone: str) -> pa.Array | None:
    if zone == "UTC":
        return local.cast(_UTC)
    years = trusted_years(zone)
    if years is None:
        return None
    low, high = (pa.scalar(datetime(year, 1, 1), _MICROSECONDS) for year in years)  # noqa: DTZ001 - local times
    is_far = pc.fill_null(pc.or_(pc.less(local, low), pc.greater_equal(local, high)), False)
    is_any_far = bool(pc.any(is_far).as_py())
    near = pc.if_else(is_far, pa.scalar(None, _MICROSECONDS), local) if is_any_far else local
    try:
        values = pc.assume_timezone(near, zone, ambiguous="raise", nonexistent="raise").cast(_UTC)
    except pa.ArrowInvalid:
        return None
    if not is_any_far:
        return values
    # Mostly one sentinel, such as 9999-12-31, in many rows.
    far = local.filter(is_far)
    distinct = pc.unique(far)
    moments = [local_in_utc(moment, ZoneInfo(zone)) for moment in distinct.to_pylist()]
    if any(isinstance(moment, Misfit) for moment in moments):
        return None
    return pc.replace_with_mask(values, is_far, pa.array(moments, _UTC).take(pc.index_in(far, distinct)))


@functools.cache
def trusted_years(zone: str) -> tuple[int, int] | None:
    """From which year on, and before which, Arrow and Python agree on a zone, looked at twice a month; None if nowhere."""
    rules = ZoneInfo(zone)
    first, last = _ZONE_YEARS
    days = [datetime(y, m, d, 12) for y in range(first, last) for m in range(1, 13) for d in (1, 15)]  # noqa: DTZ001
    theirs = pc.assume_timezone(pa.array(days, _MICROSECONDS), zone, ambiguous="earliest", nonexistent="earliest")
    ours = pa.array([day - (day.replace(tzinfo=rules).utcoffset() or timedelta()) for day in days], _MICROSECONDS)
    agreed = pc.equal(theirs.cast(_UTC).cast(pa.int64()), ours.cast(pa.int64())).to_numpy(zero_copy_only=False)
    by_year = agreed.reshape(last - first, 24).all(axis=1)
    known = _ZONE_KNOWN - first
    wrong_before, wrong_behind = np.flatnonzero(~by_year[:known]), np.flatnonzero(~by_year[known:])
    low = int(wrong_before[-1]) + 1 if len(wrong_before) else 0
    high = known + (int(wrong_behind[0]) if len(wrong_behind) else last - first - known)
    return (first + low, first + high) if low < high else None


def _in_calendar(values: pa.Array) -> bool:
    bounds = pc.min_max(values.cast(pa.int64()))
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    return low is None or (low >= _FIRST_DAY * _DAY_US and high < (_LAST_DAY + 1) * _DAY_US)


def _epochs(texts: pa.StringArray, unit_us: int) -> pa.Array | None:
    numbers = _integers(texts, pa.int64())
    if numbers is None:
        return None
    try:
        values = pc.multiply_checked(numbers, unit_us)
    except pa.ArrowInvalid:
        return None
    moments = values.cast(_UTC)
    return moments if _in_calendar(moments) else None


def _boolean_proof(true: Sequence[str], false: Sequence[str]) -> Proof:
    meanings = pa.array([*true, *false], pa.string())
    plain = list(true[:1]), list(false[:1])

    def prove(texts: pa.StringArray) -> pa.Array | None:
        if plain[0] and plain[1]:
            yes, no = pc.equal(texts, plain[0][0]), pc.equal(texts, plain[1][0])
            if pc.all(pc.xor(yes, no)).as_py() is not False:
                return yes
        which = pc.index_in(texts, meanings)
        if which.null_count > texts.null_count:
            return None
        return pc.less(which, len(true))

    return prove
