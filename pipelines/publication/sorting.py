"""Rows of any number sorted in bounded memory: sorted runs on local disk, then merged.

The order is Arrow's: text by its bytes, NaN behind all numbers, null behind everything. Memory is that of one run while rows come, and of
two small pieces of each run while they go.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["RUN_BYTES", "SortedRows"]

RUN_BYTES = 96 << 20
"""Arrow data of one run: sorting it takes about three times as much memory."""
_PIECE_BYTES = 512 << 10


class SortedRows:
    """Takes rows in any order, and gives them back sorted by `keys`. One pass; `scratch` is a folder of its own."""

    def __init__(
        self, keys: Sequence[str], scratch: Path, run_bytes: int = RUN_BYTES, piece_bytes: int = _PIECE_BYTES
    ) -> None:
        """Begins empty."""
        self._keys = tuple(keys)
        self._scratch = scratch
        self._run_bytes, self._piece_bytes = run_bytes, piece_bytes
        self._codes: dict[str, _Codes] = {}
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._runs: list[Path] = []

    def add(self, rows: pa.Table) -> None:
        """Take rows, all under one schema; columns of dictionaries are kept as numbers meanwhile."""
        if not rows.num_rows:
            return
        rows = self._coded(rows)
        self._held.append(rows)
        self._held_bytes += rows.nbytes
        if self._held_bytes >= self._run_bytes:
            self._spill()

    def rows(self) -> Iterator[pa.Table]:
        """All rows, sorted, in pieces. Files of runs are removed once they are read."""
        if not self._runs:
            if self._held:
                yield from (self._decoded(piece) for piece in _pieces(self._sorted(), self._piece_bytes * 8))
            return
        if self._held:
            self._spill()
        runs = [_Run(path, self._keys, self._piece_bytes) for path in self._runs]
        for piece in _merged(runs, self._keys):
            yield self._decoded(piece)

    def _sorted(self) -> pa.Table:
        rows = pa.concat_tables(self._held).combine_chunks()
        self._held, self._held_bytes = [], 0
        return _sort(rows, self._keys)

    def _spill(self) -> None:
        path = self._scratch / f"run-{len(self._runs)}.arrow"
        rows = self._sorted()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, rows.schema, options=options) as writer:
            for piece in _pieces(rows, self._piece_bytes):
                writer.write_table(piece)
        self._runs.append(path)

    def _coded(self, rows: pa.Table) -> pa.Table:
        for position, field in enumerate(rows.schema):
            if pa.types.is_dictionary(field.type):
                codes = self._codes.setdefault(field.name, _Codes(field))
                rows = rows.set_column(position, pa.field(field.name, pa.int32()), codes.encode(rows.column(position)))
        return rows

    def _decoded(self, rows: pa.Table) -> pa.Table:
        for name, codes in self._codes.items():
            position = rows.schema.get_field_index(name)
            rows = rows.set_column(position, codes.field, codes.decode(rows.column(position)))
        return rows


class _Codes:
    """One number for each distinct value of a dictionary column, whatever dictionary it comes in."""

    def __init__(self, field: pa.Field) -> None:
        self.field = field
        self._numbers: dict[Any, int] = {}
        self._values: list[Any] = []

    def encode(self, column: pa.ChunkedArray) -> pa.Array:
        column = column.unify_dictionaries()
        parts: list[pa.Array] = []
        for chunk in column.chunks:
            numbers = pa.array([self._number(value) for value in chunk.dictionary.to_pylist()], pa.int32())
            parts.append(numbers.take(chunk.indices))
        return pa.concat_arrays(parts)

    def decode(self, column: pa.ChunkedArray) -> pa.Array:
        """Under a dictionary of the values that stand in it."""
        encoded = column.combine_chunks().dictionary_encode()
        encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
        values = [self._values[number] for number in encoded.dictionary.to_pylist()]
        return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(values, self.field.type.value_type))

    def _number(self, value: Any) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self._values)
            self._values.append(value)
        return number


class _Run:
    """A sorted run being read: the rows at hand, and how far the rest is."""

    def __init__(self, path: Path, keys: Sequence[str], piece_bytes: int) -> None:
        self._path = path
        self._file = pa.memory_map(str(path))
        self._reader = pa.ipc.open_file(self._file)
        self._next = 0
        self._least = piece_bytes
        self._keys = keys
        self.rows: pa.Table = self._reader.schema.empty_table()
        self._columns: list[Callable[[int], tuple[int, Any]]] = []
        self.fill()

    @property
    def is_at_end(self) -> bool:
        return self._next >= self._reader.num_record_batches

    def fill(self) -> None:
        """Have rows at hand: a piece at least, as long as there are any."""
        more: list[pa.RecordBatch] = []
        size = self.rows.nbytes
        while not self.is_at_end and size < self._least:
            more.append(self._reader.get_batch(self._next))
            size += more[-1].nbytes
            self._next += 1
        if more:
            self.rows = pa.concat_tables([self.rows, pa.Table.from_batches(more)]).combine_chunks()
        self._columns = [_comparable(self.rows.column(name)) for name in self._keys]

    def key(self, row: int) -> tuple[Any, ...]:
        """The row's key, comparable as Arrow compares."""
        return tuple(read(row) for read in self._columns)

    def take(self, bound: tuple[Any, ...] | None) -> pa.Table:
        """The rows at hand up to that key; all of them without one."""
        low, high = 0, self.rows.num_rows
        if bound is None:
            low = high
        while low < high:
            middle = (low + high) // 2
            if self.key(middle) <= bound:  # pyright: ignore[reportOperatorIssue]  # there is a bound here
                low = middle + 1
            else:
                high = middle
        taken, self.rows = self.rows.slice(0, low), self.rows.slice(low)
        return taken

    def close(self) -> None:
        """Remove the run."""
        self._file.close()
        self._path.unlink()


def _merged(runs: list[_Run], keys: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of sorted runs in order: all up to the least key that a run ends with for now, and so on."""
    while runs:
        ends = [run.key(run.rows.num_rows - 1) for run in runs if not run.is_at_end]
        bound = min(ends) if ends else None
        parts = [part for run in runs if (part := run.take(bound)).num_rows]
        if len(parts) == 1:
            yield parts[0]
        elif parts:
            yield _sort(pa.concat_tables(parts).combine_chunks(), keys)
        for run in runs:
            run.fill()
        for run in [run for run in runs if not run.rows.num_rows]:
            run.close()
            runs.remove(run)


def _sort(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    order = pc.sort_indices(rows.select(list(keys)), sort_keys=[(name, "ascending") for name in keys])
    return rows.take(order)


def _pieces(rows: pa.Table, piece_bytes: int) -> Iterator[pa.Table]:
    step = max(1, int(rows.num_rows * piece_bytes / max(rows.nbytes, 1)))
    for start in range(0, rows.num_rows, step):
        yield rows.slice(start, step)


def _comparable(column: pa.ChunkedArray) -> Callable[[int], tuple[int, Any]]:
    """What gives a row's value as Python compares it: moments as numbers, NaN behind numbers, null last."""
    kind = column.type
    if pa.types.is_date32(kind):
        column = column.cast(pa.int32())
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    is_float = pa.types.is_floating(kind)

    def read(row: int) -> tuple[int, Any]:
        value = column[row].as_py()
        if value is None:
            return 2, None
        return (1, None) if is_float and np.isnan(value) else (0, value)

    return read
