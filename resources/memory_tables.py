"""The Tables port in memory, for tests and the simulator: whole states, compare-and-set, nothing on disk.

Held to the same behaviour suite as Iceberg's tables, as far as a suite can see that does not open data files.
"""

import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice, pairwise, takewhile
from pathlib import Path

import pyarrow as pa

from pipelines.contracts.evolution import SOURCE_NAME, TableChange, is_wider, plan_change
from pipelines.contracts.model import Dataset, PartitionField
from pipelines.contracts.nested_evolution import grown, holds
from pipelines.contracts.rejected import main_table
from pipelines.contracts.schema import SOURCE_FILE, SOURCE_VERSION, table_schema
from pipelines.errors import PermanentError, TableMismatchError
from pipelines.ports import (
    Clock,
    Committed,
    Conflict,
    FilesGone,
    Rewrite,
    SourceInTable,
    SourceVersion,
    TableCommit,
    TableFile,
    TableSnapshot,
)
from pipelines.publication.parquet_writer import column_ids, field_ids, file_schema, with_dictionaries, with_field_ids
from pipelines.publication.rewriting import open_parquet

__all__ = ["MemoryTables"]

_File = Mapping[SourceVersion, pa.Table]
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A data file: its address, its partition, and its rows by source."""

    address: str
    partition: str
    rows: _File
    at: datetime


@dataclass(frozen=True, slots=True)
class _State:
    """A table between two commits."""

    snapshot_id: int | None = None
    files: tuple[_Held, ...] = ()
    at: datetime = _NEVER


@dataclass(slots=True)
class _Table:
    schema: pa.Schema
    partition_by: tuple[PartitionField, ...]
    next_id: int
    states: list[_State] = field(default_factory=lambda: [_State()])
    batches: dict[str, Committed] = field(default_factory=dict[str, Committed])
    rewrites: dict[str, Committed] = field(default_factory=dict[str, Committed])
    addresses: list[str] = field(default_factory=list[str])


class MemoryTables:
    """Tables in dictionaries. Safe to share between threads: a commit is one step."""

    def __init__(self, clock: Clock = lambda: datetime.now(UTC)) -> None:
        """Begins empty. `clock` says when a state was made."""
        self._clock = clock
        self._lock = threading.Lock()
        self._tables: dict[str, _Table] = {}
        self._ids = itertools.count(1)

    def ensure(self, dataset: Dataset) -> None:
        """Create the dataset's table if there is none; else change its columns to what the dataset describes.

        Raises TableMismatchError when that cannot be done: nothing was changed then.
        """
        with self._lock:
            table = self._tables.get(dataset.table)
            if table is None:
                schema = _named(file_schema(dataset), dataset)
                self._tables[dataset.table] = _Table(schema, dataset.partition_by, max(field_ids(schema).values()) + 1)
                return
            change = plan_change(dataset, table.schema)
            renamed = dict(change.renames)
            mine = [(p.transform, p.column, p.buckets) for p in dataset.partition_by]
            theirs = [(p.transform, renamed.get(p.column, p.column), p.buckets) for p in table.partition_by]
            if change.faults or mine != theirs:
                listed = "; ".join((*change.faults, *(["other partitions"] if mine != theirs else [])))
                raise TableMismatchError(
                    f"the table {dataset.table} cannot become what the contract describes: {listed}"
                )
            table.partition_by = dataset.partition_by
            self._change(table, dataset, change)

    @staticmethod
    def _change(table: _Table, dataset: Dataset, change: TableChange) -> None:
        renamed = dict(change.renames)
        inside = {step.path[0] for step in change.inside}
        wanted = table_schema(dataset)
        fields: list[pa.Field] = []
        for one in table.schema:
            field = one.with_name(renamed.get(one.name, one.name))
            field = field.with_type(change.widens.get(field.name, field.type))
            if field.name in inside:
                field = field.with_type(grown(wanted.field(field.name).type, field.type))
            fields.append(field.with_nullable(True) if field.name in change.relaxes else field)

        def fresh(_path: str) -> int:
            table.next_id += 1
            return table.next_id - 1

        fields += change.adds
        table.schema = _named(pa.schema([with_field_ids(field, fresh) for field in fields]), dataset)

    def columns(self, dataset: Dataset) -> pa.Schema:
        """The table's columns as they are now, each with its id, and its name in files where that is another."""
        return self._table(dataset).schema

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
            source: sum(file.rows[source].num_rows for file in state.files if source in file.rows)
            for source in dict.fromkeys(sources)
        }
        return tuple(SourceInTable(source, rows) for source, rows in counts.items() if rows)

    def read_rows(
        self, base: TableSnapshot, dataset: Dataset, sources: Collection[SourceVersion]
    ) -> Iterator[tuple[SourceVersion, pa.Table]]:
        """The rows of these versions in that state of the table, under its columns."""
        table = self._table(dataset)
        state = next(s for s in table.states if s.snapshot_id == base.snapshot_id)
        for file in state.files:
            for source in (source for source in dict.fromkeys(sources) if source in file.rows):
                yield source, pa.table(as_schema(file.rows[source], table.schema), schema=table.schema)

    def data_location(self, dataset: Dataset) -> tuple[str, str]:
        """A bucket and prefix that nothing is written under."""
        main = main_table(dataset.table)
        return "memory", f"processed/{dataset.table}/data" if main is None else f"rejected/{main}/data"

    def data_files(self, dataset: Dataset) -> Iterator[str]:
        """The address of every file that was ever committed, whatever state is forgotten."""
        yield from list(self._table(dataset).addresses)

    def metadata_files(self, dataset: Dataset) -> Iterator[str]:
        """None: there is no metadata."""
        self._table(dataset)
        return iter(())

    def _address(self, dataset: Dataset, relative_key: str) -> str:
        bucket, prefix = self.data_location(dataset)
        return f"memory://{bucket}/{prefix}/{relative_key}"

    def file_schema(self, dataset: Dataset) -> pa.Schema:
        """The schema to stage the dataset's files in: with the field ids the table has."""
        return file_schema(dataset, field_ids(self.columns(dataset)))

    def commit(self, dataset: Dataset, change: TableCommit) -> Committed | Conflict:
        """Publish, if the table is at `change.base`."""
        return self.uploaded(dataset, change)()

    def uploaded(self, dataset: Dataset, change: TableCommit) -> Callable[[], Committed | Conflict]:
        """Take the staged files in; what is returned publishes them, whenever it is called."""
        table = self._table(dataset)
        added = [self._held(dataset, file.relative_key, self._staged(table, file.path)) for file in change.adds]
        return lambda: self._publish(table, change, added)

    def _is_at(self, state: TableSnapshot, base: TableSnapshot) -> bool:
        """Whether a commit planned on `base` may be made on this state."""
        return state.snapshot_id == base.snapshot_id

    def _held(self, dataset: Dataset, relative_key: str, rows: _File) -> _Held:
        return _Held(self._address(dataset, relative_key), relative_key.rpartition("/")[0], rows, self._clock())

    def _publish(self, table: "_Table", change: TableCommit, added: "Sequence[_Held]") -> Committed | Conflict:
        removes = frozenset(change.removes)
        with self._lock:
            state = table.states[-1]
            if not self._is_at(TableSnapshot(change.base.table, state.snapshot_id), change.base):
                return Conflict()
            snapshot_id = next(self._ids)
            kept = [
                self._without(file, removes, f"{change.batch_id}-rewritten-{snapshot_id}-{n}")
                for n, file in enumerate(state.files)
            ]
            committed = Committed(
                snapshot_id=snapshot_id,
                rows_added=sum(_count(file.rows) for file in added),
                rows_removed=sum(_count(f.rows) for f in state.files) - sum(_count(f.rows) for f in kept),
                files_added=len(added),
                files_rewritten=sum(
                    0 < len(new.rows) < len(old.rows) for new, old in zip(kept, state.files, strict=True)
                ),
            )
            self._set(table, snapshot_id, (*(file for file in kept if file.rows), *added))
            table.batches[change.batch_id] = committed
            return committed

    def _without(self, file: _Held, removes: Collection[SourceVersion], name: str) -> _Held:
        """The file, or a new one without those rows."""
        if file.rows.keys().isdisjoint(removes):
            return file
        rows = {source: rows for source, rows in file.rows.items() if source not in removes}
        return _Held(f"{file.address.rpartition('/')[0]}/{name}.parquet", file.partition, rows, self._clock())

    def _set(self, table: _Table, snapshot_id: int, files: tuple[_Held, ...]) -> None:
        known = {file.address for file in table.states[-1].files}
        table.addresses += [file.address for file in files if file.address not in known]
        table.states.append(_State(snapshot_id, files, self._clock()))

    def table_files(self, base: TableSnapshot, dataset: Dataset) -> Iterator[TableFile]:
        """The data files of that state of the table."""
        state = next(s for s in self._table(dataset).states if s.snapshot_id == base.snapshot_id)
        for file in state.files:
            size = sum(rows.nbytes for rows in file.rows.values())
            yield TableFile(file.address, file.partition, _count(file.rows), size, file.at)

    def read_file(self, dataset: Dataset, address: str, columns: pa.Schema) -> Iterator[pa.Table]:
        """The rows of a data file under these columns, source by source."""
        table = self._table(dataset)
        file = next(f for state in table.states for f in state.files if f.address == address)
        coded = with_dictionaries(columns)
        for rows in file.rows.values():
            yield pa.table(as_schema(rows, columns), schema=columns).cast(coded)

    def rewrite(self, dataset: Dataset, change: Rewrite) -> Committed | Conflict | FilesGone:
        """Let files take the place of others, if the table is at `change.base` and has them."""
        return self.rewriting(dataset, change)()

    def rewriting(self, dataset: Dataset, change: Rewrite) -> Callable[[], Committed | Conflict | FilesGone]:
        """Take the files in; what is returned puts them in place, whenever it is called."""
        table = self._table(dataset)
        rows = [self._staged(table, file.path) for file in change.adds]
        return lambda: self._replace(dataset, table, change, rows)

    def _replace(
        self, dataset: Dataset, table: _Table, change: Rewrite, rows: Sequence[_File]
    ) -> Committed | Conflict | FilesGone:
        with self._lock:
            state = table.states[-1]
            if change.rewrite_id in table.rewrites:
                return table.rewrites[change.rewrite_id]
            if not self._is_at(TableSnapshot(change.base.table, state.snapshot_id), change.base):
                return Conflict()
            there = {file.address: file for file in state.files}
            old = [there[address] for address in change.replaces if address in there]
            if (gone := self._refusal(change, {file.address for file in old})) is not None:
                return gone
            if len({file.partition for file in old}) > 1:
                raise PermanentError("files of more than one partition cannot be put together. Nothing was changed.")
            if len(old) == len(change.replaces) and sum(_count(f.rows) for f in old) != sum(map(_count, rows)):
                raise PermanentError("the files do not hold as many rows as those they replace. Nothing was changed.")
            folder = f"{old[0].partition}/" if old and old[0].partition else ""
            new = [self._held(dataset, f"{folder}{f.name}", held) for f, held in zip(change.adds, rows, strict=True)]
            committed = Committed(next(self._ids), 0, 0, len(new), len(old))
            gone_now = frozenset(change.replaces)
            kept = tuple(file for file in state.files if file.address not in gone_now)
            self._set(table, committed.snapshot_id, (*kept, *new))
            table.rewrites[change.rewrite_id] = committed
            return committed

    def _refusal(self, change: Rewrite, there: Collection[str]) -> FilesGone | None:
        """What a rewrite is told when files that it replaces are not the table's any more."""
        gone = tuple(address for address in change.replaces if address not in there)
        return FilesGone(gone) if gone else None

    def expire(
        self,
        dataset: Dataset,
        before: datetime,
        least: int = 100,
        most: int = 500,
        keeps: Callable[[str], bool] = lambda _: False,
    ) -> int:
        """Forget the oldest states that were replaced before that moment, and that their batches were committed; how many."""
        table = self._table(dataset)
        batches = {made.snapshot_id: name for name, made in table.batches.items()}
        kept = {number for number, name in batches.items() if keeps(name)}
        with self._lock:
            replaced = (s.snapshot_id for s, after in pairwise(table.states) if after.at < before)
            going = takewhile(lambda number: number not in kept, (n for n in replaced if n is not None))
            old = list(islice(going, most))
            if len(old) < max(least, 1):
                return 0
            table.states = [state for state in table.states if state.snapshot_id not in old]
            table.batches = {name: made for name, made in table.batches.items() if made.snapshot_id not in old}
            return len(old)

    def rows(self, dataset: Dataset) -> pa.Table:
        """Every row of the table now, for tests and the simulator: no adapter of a catalog can do this cheaply."""
        table = self._table(dataset)
        schema = table.schema
        parts = [rows for file in table.states[-1].files for rows in file.rows.values()]
        tables = [pa.table(as_schema(rows, schema), schema=schema) for rows in (schema.empty_table(), *parts)]
        return pa.concat_tables(tables).cast(schema.remove_metadata())

    def sources(self, dataset: Dataset) -> Mapping[SourceVersion, int]:
        """How many rows each source version has in the table now."""
        counts: dict[SourceVersion, int] = {}
        for file in self._table(dataset).states[-1].files:
            for source, rows in file.rows.items():
                counts[source] = counts.get(source, 0) + rows.num_rows
        return counts

    @staticmethod
    def _staged(table: _Table, path: Path) -> _File:
        """A staged file's rows. Raises TableMismatchError when the table cannot take them, as Iceberg's tables do."""
        rows = open_parquet(path).read()
        there = {ident: table.schema.field(name) for name, ident in column_ids(table.schema).items()}
        mine = {ident: rows.schema.field(name) for name, ident in column_ids(rows.schema).items()}
        for ident, one in mine.items():
            known = there.get(ident)
            kind = one.type.value_type if pa.types.is_dictionary(one.type) else one.type
            fits = known is not None and holds(known.type, kind, is_wider)
            if not fits or (one.nullable and known is not None and not known.nullable):
                raise TableMismatchError(f"{path.name} was staged for another schema than {one.name} has now")
        if any(not one.nullable and ident not in mine for ident, one in there.items()):
            raise TableMismatchError(f"{path.name} was staged for another schema: it lacks a column that is never null")
        return by_source(rows)

    def _table(self, dataset: Dataset) -> _Table:
        with self._lock:
            if dataset.table not in self._tables:
                raise PermanentError(f"there is no table {dataset.table}. Was it dropped? A run makes it.")
            return self._tables[dataset.table]


def by_source(rows: pa.Table) -> _File:
    """The rows of a data file by source, under plain types; fields keep their ids."""
    plain = pa.schema([f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in rows.schema])
    rows = rows.cast(plain)
    keys, versions = rows[SOURCE_FILE].to_pylist(), rows[SOURCE_VERSION].to_pylist()
    positions: dict[SourceVersion, list[int]] = {}
    for position, pair in enumerate(zip(keys, versions, strict=True)):
        positions.setdefault(SourceVersion(*pair), []).append(position)
    return {source: rows.take(pa.array(taken)) for source, taken in positions.items()}


def as_schema(rows: pa.Table, schema: pa.Schema) -> list[pa.ChunkedArray]:
    """The rows' columns under another schema of their table: found by id, null where they lack one, widened."""
    names = {ident: name for name, ident in column_ids(rows.schema).items()}
    return [
        rows[names[ident]].cast(schema.field(name).type)
        if ident in names
        else pa.chunked_array([pa.nulls(rows.num_rows, schema.field(name).type)])
        for name, ident in column_ids(schema).items()
    ]


def _named(schema: pa.Schema, dataset: Dataset) -> pa.Schema:
    """The schema with what files call each column, where the dataset says so."""
    fields: list[pa.Field] = []
    for one in schema:
        source = dataset.columns[one.name].source if one.name in dataset.columns else None
        named = {} if source is None else {SOURCE_NAME: source.encode()}
        fields.append(one.with_metadata({**(one.metadata or {}), **named}))
    return pa.schema(fields)


def _count(file: _File) -> int:
    return sum(rows.num_rows for rows in file.values())
