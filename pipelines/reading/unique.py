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
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.reading.csv_blocks import Positions
from pipelines.row_hashes import Hashes, mixed, words_of

__all__ = ["RUN_ROWS", "SPOOL_BYTES", "KeyIndex", "Repeat", "Repeats", "shown_key"]

RUN_ROWS = 2 << 20
SPOOL_BYTES = 16 << 20
_MAX_SUSPECTS = 4 << 20
_MAX_COMPARED = 1_000
_MAX_FIRST = 10
_SLICE_ROWS = 1 << 20
_RANGES = 4_096
_BOUNDS = np.arange(1, _RANGES, dtype=np.uint64) * np.uint64((1 << 64) // _RANGES)


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
        self._fresh: list[Hashes] = []
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
        count, kept, suspects = 0, 0, list[Hashes]()
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

    def _batches(self) -> Iterator[tuple[pa.RecordBatch, Hashes]]:
        self._keys.seek(0)
        with pa.ipc.open_stream(self._keys) as reader:
            for batch in reader:
                yield batch, self._hash(batch)

    def _candidates(self, suspects: Hashes) -> tuple[Hashes, int]:
        """The hashes of the first rows whose hash an earlier row has, and how many batches hold these rows."""
        seen = np.zeros(len(suspects), np.bool_)
        found: list[Hashes] = []
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

    def _compared(self, count: int, candidates: Hashes, batches: int) -> Repeats:
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

    def _sorted_slices(self) -> Iterator[Hashes]:
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

    def _read(self, start: int, stop: int) -> Hashes:
        assert self._run_file is not None  # noqa: S101 - asked for only where runs were written
        self._run_file.seek(8 * start)
        return np.frombuffer(self._run_file.read(8 * (stop - start)), np.uint64)

    def _hash(self, batch: pa.RecordBatch) -> Hashes:
        state = np.full(batch.num_rows, self._seed, np.uint64)
        for name in self._names:
            for rows, words in words_of(batch[name]):
                state[rows] = mixed(state[rows] ^ words)
        return state
