"""Counts the table partitions a file touches, so that a file that would shatter the table is refused before it does."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import arrow_type
from pipelines.publication.partitioning import Partitioner, PartitionKey, partition_path
from pipelines.reading.widening import widest_columns

__all__ = ["Excess", "PartitionCount"]

_ROW = "=row"  # no column is called that
_ROWS_AT_ONCE = 65_536
_COUNTED_BEYOND = 10_000
"""Partitions are counted up to here beyond the limit: enough to say how far off the file is."""


@dataclass(frozen=True, slots=True)
class Excess:
    """Partitions beyond the limit: the row of the block where the first of them begins, its path, and how many there are."""

    row: int
    path: str
    count: int


class PartitionCount:
    """The distinct partitions of one file."""

    def __init__(self, dataset: Dataset, schema: pa.Schema, limit: int) -> None:
        """Count for a dataset whose rows have `schema`."""
        names = dict.fromkeys(f.column for f in dataset.partition_by)
        # A column may become wider in the middle of a file: its partitions are told by the widest it can be, where they are the same.
        widest = {name: arrow_type(column) for name, column in widest_columns(dataset).items()}
        fields = [pa.field(name, widest.get(name, schema.field(name).type)) for name in names]
        self._schema = pa.schema([*fields, pa.field(_ROW, pa.int64())])
        self._partitioner = Partitioner(dataset.partition_by, self._schema)
        self._limit = limit
        self._seen: set[PartitionKey] = set()
        self.expected = f"at most {limit:,} partitions"

    def add(self, values: Mapping[str, pa.Array]) -> Excess | None:
        """Count the partitions of one block; what it has beyond the limit, if anything."""
        columns = [values[name] for name in self._schema.names[:-1]]
        rows = pa.RecordBatch.from_arrays([*columns, pa.array(np.arange(len(columns[0])))], schema=self._schema)
        if any(column.null_count for column in columns):
            rows = rows.drop_null()  # a null in a partition column is a breach of its own
        first: tuple[int, PartitionKey] | None = None
        before = len(self._seen)
        for start in range(0, rows.num_rows, _ROWS_AT_ONCE):
            if len(self._seen) > self._limit + _COUNTED_BEYOND:
                break
            some = rows.slice(start, _ROWS_AT_ONCE)
            new = [key for key in self._partitioner.keys(some) if key not in self._seen]
            room = max(self._limit - len(self._seen), 0)
            self._seen.update(new)
            if first is None and len(new) > room:
                first = self._row_of(some, new[room]), new[room]
        if first is None:
            return None
        row, key = first
        count = len(self._seen) - max(before, self._limit)
        return Excess(row, partition_path(self._partitioner.fields, key), count)

    def _row_of(self, rows: pa.RecordBatch, key: PartitionKey) -> int:
        return next(part.column(_ROW)[0].as_py() for other, part in self._partitioner.split(rows) if other == key)
