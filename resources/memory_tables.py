"""The Tables port in memory, for tests and the simulator: whole states, compare-and-set, nothing on disk.

Held to the same behaviour suite as Iceberg's tables, as far as a suite can see that does not open data files.
"""

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import SOURCE_FILE, SOURCE_VERSION, table_schema
from pipelines.errors import PermanentError, TableMismatchError
from pipelines.ports import Committed, Conflict, SourceInTable, SourceVersion, TableCommit, TableSnapshot
from pipelines.publication.parquet_writer import file_schema
from pipelines.publication.rewriting import open_parquet

__all__ = ["MemoryTables"]

_File = Mapping[SourceVersion, pa.Table]


@dataclass(frozen=True, slots=True)
class _State:
    """A table between two commits: each file's rows by source."""

    snapshot_id: int | None = None
    files: tuple[_File, ...] = ()


@dataclass(slots=True)
class _Table:
    dataset: Dataset
    states: list[_State] = field(default_factory=lambda: [_State()])
    batches: dict[str, Committed] = field(default_factory=dict[str, Committed])


class MemoryTables:
    """Tables in dictionaries. Safe to share between threads: a commit is one step."""

    def __init__(self) -> None:
        """Begins empty."""
        self._lock = threading.Lock()
        self._tables: dict[str, _Table] = {}
        self._ids = itertools.count(1)

    def ensure(self, dataset: Dataset) -> None:
        """Create the dataset's table if there is none. Raises TableMismatchError when the one there is another."""
        with self._lock:
            there = self._tables.setdefault(dataset.table, _Table(dataset)).dataset
        if not table_schema(there).equals(table_schema(dataset)) or there.partition_by != dataset.partition_by:
            raise TableMismatchError(f"the table {dataset.table} has other columns or partitions than the contract")

    def current(self, dataset: Dataset) -> TableSnapshot:
        """The table's state now."""
        return TableSnapshot(dataset.table, self._table(dataset).states[-1].snapshot_id)

    def find_batch(self, dataset: Dataset, batch_id: str) -> Committed | None:
        """What the batch's commit did, if there was one."""
        return self._table(dataset).batches.get(batch_id)

    def find_sources(
        self, base: TableSnapshot, dataset: Dataset, sources: Sequence[SourceVersion]
    ) -> Sequence[SourceInTable]:
        """Which of these versions have rows in that state of the table."""
        state = next(s for s in self._table(dataset).states if s.snapshot_id == base.snapshot_id)
        counts = {
            source: sum(file[source].num_rows for file in state.files if source in file)
            for source in dict.fromkeys(sources)
        }
        return tuple(SourceInTable(source, rows) for source, rows in counts.items() if rows)

    def data_location(self, dataset: Dataset) -> tuple[str, str]:
        """A bucket and prefix that nothing is written under."""
        return "memory", f"processed/{dataset.table}/data"

    def file_schema(self, dataset: Dataset) -> pa.Schema:
        """The schema to stage files in: that of a new table."""
        return file_schema(dataset)

    def commit(self, dataset: Dataset, change: TableCommit) -> Committed | Conflict:
        """Publish, if the table is at `change.base`."""
        table = self._table(dataset)
        added = [by_source(open_parquet(file.path).read()) for file in change.adds]
        removes = frozenset(change.removes)
        with self._lock:
            state = table.states[-1]
            if state.snapshot_id != change.base.snapshot_id:
                return Conflict()
            kept = [{s: rows for s, rows in file.items() if s not in removes} for file in state.files]
            committed = Committed(
                snapshot_id=next(self._ids),
                rows_added=sum(_count(file) for file in added),
                rows_removed=sum(map(_count, state.files)) - sum(map(_count, kept)),
                files_added=len(added),
                files_rewritten=sum(0 < len(new) < len(old) for new, old in zip(kept, state.files, strict=True)),
            )
            table.states.append(_State(committed.snapshot_id, (*(file for file in kept if file), *added)))
            table.batches[change.batch_id] = committed
            return committed

    def rows(self, dataset: Dataset) -> pa.Table:
        """Every row of the table now, for tests and the simulator: no adapter of a catalog can do this cheaply."""
        parts = [rows for file in self._table(dataset).states[-1].files for rows in file.values()]
        return pa.concat_tables([table_schema(dataset).empty_table(), *parts])

    def sources(self, dataset: Dataset) -> Mapping[SourceVersion, int]:
        """How many rows each source version has in the table now."""
        counts: dict[SourceVersion, int] = {}
        for file in self._table(dataset).states[-1].files:
            for source, rows in file.items():
                counts[source] = counts.get(source, 0) + rows.num_rows
        return counts

    def _table(self, dataset: Dataset) -> _Table:
        with self._lock:
            if dataset.table not in self._tables:
                raise PermanentError(f"there is no table {dataset.table}. Was it dropped? A run makes it.")
            return self._tables[dataset.table]


def by_source(rows: pa.Table) -> _File:
    """The rows of a data file by source, under the table's plain types."""
    plain = pa.schema([f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in rows.schema])
    rows = rows.cast(plain.remove_metadata())
    rows = pa.table(rows.columns, schema=pa.schema([f.remove_metadata() for f in rows.schema]))
    keys, versions = rows[SOURCE_FILE].to_pylist(), rows[SOURCE_VERSION].to_pylist()
    positions: dict[SourceVersion, list[int]] = {}
    for position, pair in enumerate(zip(keys, versions, strict=True)):
        positions.setdefault(SourceVersion(*pair), []).append(position)
    return {source: rows.take(pa.array(taken)) for source, taken in positions.items()}


def _count(file: _File) -> int:
    return sum(rows.num_rows for rows in file.values())
