"""64-bit hashes of rows, vectorised: equal values have equal hashes, whatever rows they stand among. Pure; knows no file.

Two rows that differ share a hash once in 2^64 pairs: among two million rows, in one of ten million comparisons.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Hashes", "hash_rows", "mixed", "words_of"]

Hashes = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64]
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)
_STEP, _NULL = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)


def hash_rows(columns: Sequence[pa.Array], rows: int, seed: int = 0) -> Hashes:
    """A hash of each row over these columns, each `rows` long: null is a value of its own, nested values count whole."""
    state = np.full(rows, np.uint64(seed), np.uint64)
    for column in columns:
        state = mixed(mixed(state) + _hash_column(column))
    return state


def _hash_column(column: pa.Array) -> Hashes:
    kind = column.type
    if pa.types.is_dictionary(kind):
        if not len(column.dictionary):
            return np.full(len(column), _NULL)
        codes = pc.fill_null(column.indices, 0).to_numpy(zero_copy_only=False)
        return np.where(column.is_valid().to_numpy(zero_copy_only=False), _hash_column(column.dictionary)[codes], _NULL)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_null(kind):
        return np.full(len(column), _NULL)
    if pa.types.is_struct(kind):
        inside = hash_rows(column.flatten(), len(column))
    elif pa.types.is_map(kind):
        inside = _hash_lists(column, lambda: pa.StructArray.from_arrays([column.keys, column.items], names=["k", "v"]))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inside = _hash_lists(column, lambda: column.values)
    else:
        inside = np.full(len(column), _STEP)
        for rows, words in words_of(pc.fill_null(column, _zero(kind)) if column.null_count else column):
            inside[rows] = mixed(inside[rows] ^ words)
    return np.where(valid, inside, _NULL)


def _hash_lists(column: pa.Array, values: Callable[[], pa.Array]) -> Hashes:
    """Each list's elements with their places, added up: lists of other elements, or of the same in another order, differ."""
    offsets = column.offsets.to_numpy().astype(np.int64)
    lengths = np.diff(offsets)
    elements = _hash_column(values())[offsets[0] : offsets[-1]]
    places = np.arange(len(elements), dtype=np.int64) - np.repeat(offsets[:-1] - offsets[0], lengths)
    placed = mixed(elements + places.view(np.uint64) * _STEP)
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(placed, dtype=np.uint64)))
    ends = offsets - offsets[0]
    return mixed((sums[ends[1:]] - sums[ends[:-1]]) ^ mixed(lengths.view(np.uint64)))


def _zero(kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return ""
    if pa.types.is_decimal(kind):
        return pa.scalar(Decimal(0), kind)
    return (
        pa.scalar(False, kind)
        if pa.types.is_boolean(kind)
        else pa.scalar(0, pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)
    )


def mixed(state: Hashes) -> Hashes:
    """SplitMix64's finaliser: every bit of what goes in moves every bit of what comes out."""
    state = (state ^ (state >> _S30)) * _MIX_1
    state = (state ^ (state >> _S27)) * _MIX_2
    return state ^ (state >> _S31)


_Rows = Positions | slice
_ALL = slice(None)


def words_of(column: pa.Array) -> Iterator[tuple[_Rows, Hashes]]:
    """A column's values as 64-bit words, one of each of the rows given; equal values give equal words, in whatever company.

    The words tell all values apart.
    """
    kind = column.type
    if pa.types.is_string(kind):
        yield from _text_words(column)
    elif pa.types.is_decimal(kind):
        words = np.frombuffer(column.buffers()[1], np.uint64)[2 * column.offset : 2 * (column.offset + len(column))]
        yield _ALL, words[0::2]
        yield _ALL, words[1::2]
    elif pa.types.is_boolean(kind):
        yield _ALL, column.cast(pa.int8()).to_numpy().astype(np.uint64)
    elif pa.types.is_floating(kind):
        # -0.0 equals 0.0, and so must their words.
        yield _ALL, (column.cast(pa.float64()).to_numpy() + 0.0).view(np.uint64)
    else:
        wide = column.cast(pa.int32()).cast(pa.int64()) if kind.bit_width == 32 else column.cast(pa.int64())
        yield _ALL, wide.to_numpy().view(np.uint64)


def _text_words(column: pa.Array) -> Iterator[tuple[_Rows, Hashes]]:
    """Texts as their length and then eight bytes at a time, the last ones padded with zeros.

    A text has as many words as it is long, however long the others are: the same key in another block has the same hash.
    """
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1].astype(
        np.int64
    )
    lengths = np.diff(offsets)
    yield _ALL, lengths.view(np.uint64)
    longest = int(lengths.max()) if len(lengths) else 0
    if not longest:
        return
    octets = np.frombuffer(column.buffers()[2], np.uint8)[: offsets[-1]]
    padded = np.concatenate((octets, np.zeros(8, np.uint8)))
    windows = np.ndarray((len(padded) - 7,), np.dtype("<u8"), padded.data, strides=(1,))
    rows = np.arange(len(lengths))
    for start in range(0, longest, 8):
        rows = rows[lengths[rows] > start]
        left = lengths[rows] - start
        keep = np.minimum(left, 8).astype(np.uint64) * np.uint64(8)
        mask = np.where(keep >= 64, np.uint64(2**64 - 1), (np.uint64(1) << (keep % np.uint64(64))) - np.uint64(1))
        yield rows, np.bitwise_and(windows[offsets[:-1][rows] + start], mask, dtype=np.uint64)
