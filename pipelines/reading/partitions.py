"""Counts the table partitions a file touches, so that a file that would shatter the table is refused before it does.

Exact for identity, day and month; a bucket field adds at most its number of buckets and is left out of the count.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.model import Dataset, PartitionField

__all__ = ["PartitionCount"]


class PartitionCount:
    """The distinct partitions of one file, up to one beyond the limit."""

    def __init__(self, dataset: Dataset, limit: int) -> None:
        """Count up to `limit` partitions of a dataset."""
        self._fields = [f for f in dataset.partition_by if f.transform != "bucket"]
        self._limit = limit
        self._seen: set[tuple[object, ...]] = set()
        self.expected = f"at most {limit} partitions a file"

    def add(self, values: Mapping[str, pa.Array]) -> None:
        """Count the partitions of one block."""
        if not self._fields or len(self._seen) > self._limit:
            return
        columns = [_transformed(f, values[f.column]) for f in self._fields]
        if len(columns) == 1:
            distinct: list[tuple[object, ...]] = [
                (v,) for v in pc.unique(columns[0]).slice(0, self._limit + 1).to_pylist()
            ]
        else:
            names = [str(i) for i in range(len(columns))]
            grouped = pa.table(columns, names=names).group_by(names).aggregate([]).slice(0, self._limit + 1)
            distinct = list(zip(*(grouped[name].to_pylist() for name in names), strict=True))
        self._seen.update(d for d in distinct if None not in d)

    def excess(self) -> str | None:
        """What was found, when it is more than the limit."""
        return f"more than {self._limit} partitions" if len(self._seen) > self._limit else None


def _transformed(part: PartitionField, values: pa.Array) -> pa.Array:
    if part.transform == "identity":
        return values
    days = values.cast(pa.date32(), safe=False)
    if part.transform == "day":
        return days
    return pc.add(pc.multiply(pc.year(days), 12), pc.month(days))
