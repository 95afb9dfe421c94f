"""Finds primary keys that a file holds twice: exactly, with both lines, in bounded memory.

Each row's key becomes a 64-bit hash; hashes are kept as sorted runs, of which full ones are written to a temporary file.
The keys themselves go, batch by batch, to a second temporary file. Only hashes that occur twice are suspects; the first
thousand repeats are read back and compared as they are, so that two keys that merely share a hash reject no file.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

import itertools
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.reading.csv_blocks import Positions

__all__ = ["RUN_ROWS", "SPOOL_BYTES", "KeyIndex", "Repeat", "Repeats", "shown_key"]

_Hashes = npt.NDArray[np.uint64]
RUN_ROWS = 2 << 20
SPOOL_BYTES = 16 << 20
_MAX_SUSPECTS = 4 << 20
_MAX_COMPARED = 1_000
_MAX_FIRST = 10
_SLICE_ROWS = 1 << 20
_RANGES = 4_096
_BOUNDS = np.arange(1, _RANGES, dtype=np.uint64) * np.uint64((1 << 64) // _RANGES)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A row whose key an earlier row has: both lines, and the key."""

    line: int
    byte_offset: int | None
    first_line: int
    key: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Repeats:
    """How many rows repeat a key (the first of each key not counted), and the first few of them by line.

    `count` is exact but for keys behind the thousandth repeat that differ and share a 64-bit hash: among 20 million
    rows there is one such pair in about 90,000 files. `first` are the very first as long as at most four million keys repeat.
    """

    count: int
    first: tuple[Repeat, ...]


def shown_key(names: Sequence[str], key: Sequence[Any]) -> str:
    """A key for people: `carrier=UA, flight=1545`."""
    return ", ".join(f"{name}={value}" for name, value in zip(names, key, strict=True))


class KeyIndex:
    """All keys of one file. A context manager: leaving it gives back the temporary files."""

    def __init__(self, names: Sequence[str], run_rows: int = RUN_ROWS, spool_bytes: int = SPOOL_BYTES) -> None:
        """Hold at most `run_rows` hashes and `spool_bytes` of keys in memory."""
        self._names = [str(i) for i in range(len(names))]
        self._run_rows = run_rows
        self._fresh: list[_Hashes] = []
        self._fresh_rows = 0
        self._runs: list[Positions] = []  # of each run written, where each range of hashes begins and the last one ends
        self._rows = self._left_out = 0
        self._run_file: IO[bytes] | None = None
        self._keys: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=spool_bytes)  # noqa: SIM115 - closed by close()
        self._writer: pa.RecordBatchStreamWriter | None = None
        # A fresh seed for each file: nobody can prepare keys that collide.
        self._seed = np.uint64(secrets.randbits(64))

    def __enter__(self) -> "KeyIndex":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the temporary files. Repeatable."""
        self._keys.close()
        if self._run_file is not None:
            self._run_file.close()

    def add(self, columns: Sequence[pa.Array], lines: Positions, offsets: Positions | None = None) -> None:
        """Add a block's rows. A row with a null in its key is left out: the null is its fault already."""
        places = pa.nulls(len(lines), pa.int64()) if offsets is None else pa.array(offsets)
        batch = pa.RecordBatch.from_arrays([*columns, pa.array(lines), places], names=[*self._names, "line", "offset"])
        if any(c.null_count for c in columns):
            whole = pc.is_valid(columns[0])
            for column in columns[1:]:
                whole = pc.and_(whole, pc.is_valid(column))
            batch = batch.filter(whole)
        if not batch.num_rows:
            return
        hashes = self._hash(batch)
        self._fresh.append(hashes)
        self._fresh_rows += len(hashes)
        if self._writer is None:
            self._writer = pa.ipc.new_stream(self._keys, batch.schema)
        self._writer.write_batch(batch)
        if self._fresh_rows >= self._run_rows:
            self._spill()

    def repeats(self) -> Repeats:
        """The repeated keys of all rows added. Call once, at the end."""
        if self._writer is None:
            return Repeats(0, ())
        self._writer.close()
        count, kept, suspects = 0, 0, list[_Hashes]()
        for hashes in self._sorted_slices():
            same = hashes[1:] == hashes[:-1]
            here = int(np.count_nonzero(same))
            if here:
                count += here
                if kept < _MAX_SUSPECTS:
                    suspects.append(np.unique(hashes[1:][same])[: _MAX_SUSPECTS - kept])
                    kept += len(suspects[-1])
        if not count:
            return Repeats(0, ())
        return self._compared(count + self._left_out, *self._candidates(np.concatenate(suspects)))

    def _batches(self) -> Iterator[tuple[pa.RecordBatch, _Hashes]]:
        self._keys.seek(0)
        with pa.ipc.open_stream(self._keys) as reader:
            for batch in reader:
                yield batch, self._hash(batch)

    def _candidates(self, suspects: _Hashes) -> tuple[_Hashes, int]:
        """The hashes of the first rows whose hash an earlier row has, and how many batches hold these rows."""
        seen = np.zeros(len(suspects), np.bool_)
        found: list[_Hashes] = []
        batches = left = 0
        for _, hashes in self._batches():
            batches += 1
            places = np.minimum(np.searchsorted(suspects, hashes), len(suspects) - 1)
            rows = np.flatnonzero(suspects[places] == hashes)
            distinct, firsts = np.unique(places[rows], return_index=True)
            repeats = np.ones(len(rows), np.bool_)
            repeats[firsts[~seen[distinct]]] = False
            seen[distinct] = True
            found.append(hashes[rows[repeats]][: _MAX_COMPARED - left])
            left += len(found[-1])
            if left >= _MAX_COMPARED:
                break
        return np.unique(np.concatenate(found)), batches

    def _compared(self, count: int, candidates: _Hashes, batches: int) -> Repeats:
        """Compare the candidates' keys themselves: the count less those that only share a hash, and the first repeats."""
        seen: dict[tuple[Any, ...], int] = {}
        by_hash: dict[int, set[tuple[Any, ...]]] = {}
        first: list[Repeat] = []
        for batch, hashes in itertools.islice(self._batches(), batches):
            chosen = np.flatnonzero(np.isin(hashes, candidates))[: 2 * _MAX_COMPARED]
            if not len(chosen):
                continue
            rows = batch.take(pa.array(chosen))
            columns = [rows[name].to_pylist() for name in self._names]
            lines, offsets = rows["line"].to_pylist(), rows["offset"].to_pylist()
            for position, key in enumerate(zip(*columns, strict=True)):
                if key not in seen:
                    seen[key] = lines[position]
                    by_hash.setdefault(int(hashes[chosen[position]]), set()).add(key)
                elif len(first) < _MAX_FIRST:
                    first.append(Repeat(lines[position], offsets[position], seen[key], key))
        shared = sum(len(keys) - 1 for keys in by_hash.values())
        return Repeats(count - shared, tuple(first))

    def _spill(self) -> None:
        run = np.concatenate(self._fresh)
        self._fresh, self._fresh_rows = [], 0
        run.sort()
        # Two of a kind tell that a hash repeats; a file of one key only would else be one slice.
        further = run[2:] == run[:-2]
        if further.any():
            self._left_out += int(np.count_nonzero(further))
            run = run[np.concatenate(([True, True], ~further))]
        if self._run_file is None:
            self._run_file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        cuts = np.concatenate(([0], np.searchsorted(run, _BOUNDS), [len(run)]))
        self._runs.append(cuts + self._rows)
        self._run_file.write(run.data)
        self._rows += len(run)

    def _sorted_slices(self) -> Iterator[_Hashes]:
        """All hashes in rising order, in slices that each hold every hash of their range."""
        if self._run_file is None:
            yield np.sort(np.concatenate(self._fresh)) if self._fresh else np.empty(0, np.uint64)
            return
        if self._fresh:
            self._spill()
        # Read, not mapped: pages of a mapping count as this process's memory.
        step = max(1, _RANGES * _SLICE_ROWS // self._rows)
        for start in range(0, _RANGES, step):
            stop = min(start + step, _RANGES)
            yield np.sort(np.concatenate([self._read(int(cuts[start]), int(cuts[stop])) for cuts in self._runs]))

    def _read(self, start: int, stop: int) -> _Hashes:
        assert self._run_file is not None  # noqa: S101 - asked for only where runs were written
        self._run_file.seek(8 * start)
        return np.frombuffer(self._run_file.read(8 * (stop - start)), np.uint64)

    def _hash(self, batch: pa.RecordBatch) -> _Hashes:
        state = np.full(batch.num_rows, self._seed, np.uint64)
        for name in self._names:
            for rows, words in _words(batch[name]):
                state[rows] = _mixed(state[rows] ^ words)
        return state


def _mixed(state: _Hashes) -> _Hashes:
    """SplitMix64's finaliser: every bit of what goes in moves every bit of what comes out."""
    state = (state ^ (state >> _S30)) * _MIX_1
    state = (state ^ (state >> _S27)) * _MIX_2
    return state ^ (state >> _S31)


_Rows = Positions | slice
_ALL = slice(None)


def _words(column: pa.Array) -> Iterator[tuple[_Rows, _Hashes]]:
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


def _text_words(column: pa.Array) -> Iterator[tuple[_Rows, _Hashes]]:
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
