"""Points at the texts of a column that are most likely no value of its type, so that all the others can be proven at once.

A guess that costs no correctness: what is pointed at is read one by one, and what is not must still pass the proof of the whole
column (`conversion.py`). It looks at bytes and lengths alone, a few vectorised passes over the column.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.model import Column, ColumnType
from pipelines.reading.csv_blocks import Positions

__all__ = ["Suspects", "suspects_of"]

Suspects = Callable[[pa.StringArray], Positions]
"""The rows to be looked at one by one, in rising order; none of them null."""

_Octets = npt.NDArray[np.uint8]
_Mask = npt.NDArray[np.bool_]
_ZERO = 0x30
_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, *[0] * 156], np.uint8)
"""The days of each month; of what two bytes say that are no month, none."""
_MANY = 16
"""One row in so many is not worth being looked at alone: long numbers are then what the column holds."""


def suspects_of(column: Column) -> Suspects | None:
    """How to find the suspects of a column; None for a type whose texts are never proven as a whole."""
    match column.kind:
        case ColumnType.INT:
            return lambda texts: _in_number(texts, b"+-", (9, 11))
        case ColumnType.BIGINT:
            return lambda texts: _in_number(texts, b"+-", (18, 20))
        case ColumnType.FLOAT | ColumnType.DOUBLE:
            return lambda texts: _in_number(texts, b"+-.eE", None)
        case ColumnType.DECIMAL:
            precision, scale = column.decimal_digits
            return lambda texts: _in_decimal(texts, precision - scale, scale)
        case ColumnType.BOOLEAN:
            meanings = pa.array([*column.true_values, *column.false_values], pa.string())
            return lambda texts: _in_words(texts, meanings)
        case ColumnType.DATE:
            return _in_dates
        case ColumnType.TIMESTAMP:
            if column.formats != ("iso8601",):
                return lambda texts: _in_number(texts, b"+-", (18, 20))
            is_local = column.zone is not None
            return lambda texts: _in_timestamps(texts, is_local=is_local)
        case ColumnType.STRING | ColumnType.JSON | ColumnType.STRUCT | ColumnType.ARRAY | ColumnType.MAP:
            return None


class _Texts:
    """The bytes of a column, where each text starts and how long it is."""

    def __init__(self, texts: pa.StringArray, others: bytes) -> None:
        """`others` are the bytes beside digits that may stand in a value."""
        buffers = texts.buffers()
        self._texts = texts
        bounds = np.frombuffer(buffers[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
        self.octets: _Octets = np.frombuffer(buffers[2] or b"", np.uint8)
        self._bounds = bounds
        self.starts = bounds[:-1]
        self.lengths = np.diff(bounds)
        known = np.zeros(256, np.bool_)
        known[list(others)] = True
        within = self.octets[bounds[0] : bounds[-1]]
        odd = np.flatnonzero((within - np.uint8(_ZERO)) > 9)
        self._odd = odd + bounds[0]
        self.wrong: _Mask = self.lengths == 0
        self.wrong[self.rows_of(self._odd[~known[self.octets[self._odd]]])] = True

    def rows_of(self, places: Positions) -> Positions:
        """The rows that bytes at some places belong to."""
        return np.searchsorted(self._bounds, places, side="right") - 1

    def places_of(self, octet: int) -> Positions:
        """Where a byte that is no digit stands."""
        return self._odd[self.octets[self._odd] == octet]

    def found(self) -> Positions:
        """The wrong ones that are not null."""
        rows = np.flatnonzero(self.wrong)
        if not self._texts.null_count or not len(rows):
            return rows
        return rows[self._texts.is_valid().to_numpy(zero_copy_only=False)[rows]]


def _in_number(texts: pa.StringArray, others: bytes, digits: tuple[int, int] | None) -> Positions:
    looked = _Texts(texts, others)
    if digits is not None:
        fits, never_fits = digits
        long = looked.lengths > fits
        looked.wrong |= long if np.count_nonzero(long) * _MANY <= len(long) else looked.lengths > never_fits
    return looked.found()


def _in_decimal(texts: pa.StringArray, whole: int, scale: int) -> Positions:
    looked = _Texts(texts, b"+-.")
    points = looked.places_of(ord("."))
    rows = looked.rows_of(points)
    before = looked.lengths.copy()
    before[rows] = points - looked.starts[rows]
    behind = np.zeros(len(before), np.int64)
    behind[rows] = looked.lengths[rows] - before[rows] - 1
    for sign in b"+-":
        before[looked.rows_of(looked.places_of(sign))] -= 1
    looked.wrong |= (before > whole) | (behind > scale)
    looked.wrong[rows[1:][np.diff(rows) == 0]] = True
    return looked.found()


def _in_words(texts: pa.StringArray, meanings: pa.StringArray) -> Positions:
    known = pc.index_in(texts, meanings).is_valid().to_numpy(zero_copy_only=False)
    if texts.null_count:
        known = known | texts.is_null().to_numpy(zero_copy_only=False)
    return np.flatnonzero(~known)


def _in_dates(texts: pa.StringArray) -> Positions:
    looked = _Texts(texts, b"-")
    looked.wrong |= looked.lengths != 10
    _no_such_day(looked)
    return looked.found()


def _in_timestamps(texts: pa.StringArray, *, is_local: bool) -> Positions:
    looked = _Texts(texts, b"-+:.TZ ")
    looked.wrong |= looked.lengths < 16
    _no_such_day(looked)
    rows = np.flatnonzero(~looked.wrong)
    starts, octets = looked.starts[rows], looked.octets
    late = (_pair(octets, starts + 11) > 23) | (_pair(octets, starts + 14) > 59) | (octets[starts + 13] != ord(":"))
    ends = starts + looked.lengths[rows]
    has_offset = octets[ends - 1] == ord("Z")
    for back in (3, 5, 6):
        sign = octets[ends - back]
        has_offset |= (sign == ord("+")) | (sign == ord("-"))
    looked.wrong[rows[late | (has_offset == is_local)]] = True
    return looked.found()


def _no_such_day(looked: _Texts) -> None:
    """Mark what has no day of a month at its sixth byte; 29 February passes in every year."""
    rows = np.flatnonzero(~looked.wrong)
    starts = looked.starts[rows]
    month, day = _pair(looked.octets, starts + 5), _pair(looked.octets, starts + 8)
    looked.wrong[rows[(day == 0) | (day > _DAYS[np.minimum(month, 99)])]] = True


def _pair(octets: _Octets, at: npt.NDArray[np.int32]) -> _Octets:
    """Two digits as a number; what are no digits give anything."""
    return (octets[at] - np.uint8(_ZERO)) * np.uint8(10) + (octets[at + 1] - np.uint8(_ZERO))
