"""The Tables port over Iceberg, through PyIceberg: one commit publishes a batch, as a compare-and-set on the catalog.

The catalog may be any of PyIceberg's: Glue on AWS and on the laptop, SQLite over a folder for `convert` and tests.
What makes a commit safe is here: it is planned against one snapshot, it fails when the table is at another, it is never
tried again blindly, and it carries the batch's id, by which it is recognised when its outcome was lost.
"""

import hashlib
import json
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import main_table
from pipelines.contracts.schema import fingerprint
from pipelines.errors import TableMismatchError
from pipelines.formats import table_format
from pipelines.ports import (
    Committed,
    Conflict,
    FilesGone,
    ObjectStore,
    Rewrite,
    SourceInTable,
    SourceVersion,
    TableCommit,
    TableFile,
    TableSnapshot,
)
from pipelines.publication.parquet_writer import file_schema
from pipelines.publication.rewriting import all_rows, copy_without, open_parquet, rows_of
from resources.iceberg_columns import change_columns, open_transaction
from resources.iceberg_errors import mapped
from resources.iceberg_expiry import expire_snapshots
from resources.iceberg_files import DataFileFactory, HeldFile, SourceIndex, partition_record, referenced_files
from resources.iceberg_rewrites import REWRITE_PROPERTY, metadata_files, plan_replacement, table_files
from resources.iceberg_schema import arrow_schema, field_ids, partition_spec, schema, table_properties

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

    from resources.environment import Deployment

__all__ = ["IcebergTables", "glue_tables"]

BATCH_PROPERTY = "lakegate.batch-id"
SOURCES_PROPERTY = "lakegate.sources"
_NUMBERS = {
    "rows_added": "lakegate.rows-added",
    "rows_removed": "lakegate.rows-removed",
    "files_added": "lakegate.files-added",
    "files_rewritten": "lakegate.files-rewritten",
}
# Every snapshot's summary stays in the table's metadata file, which each commit reads and writes.
_SOURCES_CHARACTERS = 2_000
_PARALLEL_UPLOADS = 4


@dataclass(frozen=True, slots=True)
class _Removal:
    """One data file that loses rows: `replacement` is what takes its place, None when nothing of it is left."""

    old: "DataFile"
    rows_removed: int
    replacement: "DataFile | None"


class IcebergTables:
    """The Tables port. Used by one thread at a time.

    `catalog` is a PyIceberg catalog, or what makes one when it is first needed. Tables lie in the catalog's `database`,
    their files in `bucket` under `<prefix>/<table>/`, written through `store`. Rejected rows may be personal: the files of their
    tables lie in `quarantine_bucket` (by default the same) under `rejected/<table>/`.
    """

    def __init__(
        self,
        catalog: "Catalog | Callable[[], Catalog]",
        store: ObjectStore,
        database: str,
        bucket: str,
        prefix: str = "processed",
        scratch_dir: Path | None = None,
        *,
        quarantine_bucket: str | None = None,
    ) -> None:
        self.database = database
        self._catalog_or_factory = catalog
        self._made: Catalog | None = None
        self._store = store
        self._bucket = bucket
        self._prefix = prefix
        self._quarantine_bucket = quarantine_bucket or bucket
        self._scratch_dir = scratch_dir
        self._ensured: set[tuple[str, str]] = set()
        self._loaded: dict[str, Table] = {}
        self._uploaded: set[tuple[str, int]] = set()
        self._index = SourceIndex()

    @property
    def catalog(self) -> "Catalog":
        """The PyIceberg catalog, made when first asked for."""
        if self._made is None:
            given = self._catalog_or_factory
            self._made = given() if callable(given) else given
        return self._made

    # ---- the port ---------------------------------------------------------------------------------------------------

    def ensure(self, dataset: Dataset) -> None:
        """Create the dataset's table if there is none; else change it to what the dataset describes, once a process.

        Raises TableMismatchError, with every difference, when Iceberg cannot do that: nothing was changed then.
        """
        if (dataset.table, fingerprint(dataset)) in self._ensured:
            return
        with mapped(f"looking up the table {self._name(dataset)}"):
            table = self._load_or_create(dataset)
        with mapped(f"changing the columns of the table {self._name(dataset)}"):
            change_columns(self.catalog, table, dataset)
        self._ensured.add((dataset.table, fingerprint(dataset)))

    def current(self, dataset: Dataset) -> TableSnapshot:
        """The table's state now."""
        snapshot = self.load(dataset).current_snapshot()
        return TableSnapshot(self._name(dataset), snapshot.snapshot_id if snapshot else None)

    def find_batch(self, dataset: Dataset, batch_id: str) -> Committed | None:
        """What the batch's commit did, if it is in the table's history; the newest is looked at first."""
        return _find(self.load(dataset), BATCH_PROPERTY, batch_id)

    def find_sources(
        self, base: TableSnapshot, dataset: Dataset, sources: Sequence[SourceVersion]
    ) -> Sequence[SourceInTable]:
        """Which of these versions have rows in that state of the table, and how many. Reads little: see SourceIndex."""
        if base.snapshot_id is None or not sources:
            return ()
        table = self._at(dataset, base.snapshot_id)
        with mapped(f"looking for rows in {base.table}"):
            held = self._index.find(table, base.snapshot_id, frozenset(sources))
        rows = {source: sum(file.sources.get(source, 0) for file in held) for source in dict.fromkeys(sources)}
        return tuple(SourceInTable(source, count) for source, count in rows.items() if count)

    def read_rows(
        self, base: TableSnapshot, dataset: Dataset, sources: Collection[SourceVersion]
    ) -> Iterator[tuple[SourceVersion, pa.Table]]:
        """The rows of these versions in that state of the table, streamed, under its columns."""
        if base.snapshot_id is None or not sources:
            return
        table = self._at(dataset, base.snapshot_id)
        columns = self.columns(dataset)
        wanted = frozenset(sources)
        with mapped(f"reading rows of {base.table}"):
            for held in self._index.find(table, base.snapshot_id, wanted):
                path = held.data_file.file_path
                with table.io.new_input(path).open() as source, open_parquet(source) as parquet:  # pyright: ignore[reportArgumentType]  # pyiceberg opens Arrow files
                    yield from rows_of(parquet, wanted, columns)

    def data_location(self, dataset: Dataset) -> tuple[str, str]:
        """Bucket and key prefix under which the table's data files are written."""
        bucket, folder = self._place(dataset)
        return bucket, f"{folder}/data"

    def data_files(self, dataset: Dataset) -> Iterator[str]:
        """The address of every file that a snapshot kept of the table refers to, manifest by manifest."""
        table = self.load(dataset)
        with mapped(f"listing the files of {self._name(dataset)}"):
            yield from referenced_files(table)

    def metadata_files(self, dataset: Dataset) -> Iterator[str]:
        """The address of every metadata file that the table refers to."""
        table = self.load(dataset)
        with mapped(f"listing the metadata of {self._name(dataset)}"):
            yield from metadata_files(table)

    def commit(self, dataset: Dataset, change: TableCommit) -> Committed | Conflict:
        """Upload the staged files, take the removed versions' rows out of `change.base`, publish all in one snapshot.

        A version may be in `sources` and in `removes`: its rows in the base go, those of this batch come. Repeatable.
        Raises TransientError when the outcome is unknown (then `find_batch`), TableMismatchError when the staged files
        have another schema than the table.
        """
        name = self._name(dataset)
        with mapped(f"committing the batch {change.batch_id} to {name}"):
            table = self._load(dataset)
            snapshot = table.current_snapshot()
            if (snapshot.snapshot_id if snapshot else None) != change.base.snapshot_id:
                return Conflict()
            with tempfile.TemporaryDirectory(prefix="lakegate-rewrite-", dir=self._scratch_dir) as scratch:
                factory = DataFileFactory(table)
                added = self._register(dataset, table, factory, change)
                removals = self._remove(dataset, table, factory, change, Path(scratch))
                return self._publish(table, change, added, removals)

    def table_files(self, base: TableSnapshot, dataset: Dataset) -> Iterator[TableFile]:
        """The data files of that state of the table, manifest by manifest."""
        if base.snapshot_id is None:
            return
        table = self._at(dataset, base.snapshot_id)
        with mapped(f"listing the data files of {base.table}"):
            yield from table_files(table, base.snapshot_id)

    def read_file(self, dataset: Dataset, address: str, columns: pa.Schema) -> Iterator[pa.Table]:
        """The rows of a data file under these columns, in their order, streamed."""
        table = self._loaded.get(dataset.table) or self.load(dataset)
        with (
            mapped(f"reading {address}"),
            table.io.new_input(address).open() as source,
            open_parquet(source) as parquet,  # pyright: ignore[reportArgumentType]  # pyiceberg opens Arrow files
        ):
            yield from all_rows(parquet, columns)

    def rewrite(self, dataset: Dataset, change: Rewrite) -> Committed | Conflict | FilesGone:
        """Let files take the place of others in one snapshot, if the table is at `change.base` and has them."""
        name = self._name(dataset)
        with mapped(f"putting files of {name} together"):
            table = self._load(dataset)
            if (done := _find(table, REWRITE_PROPERTY, change.rewrite_id)) is not None:
                return done
            snapshot = table.current_snapshot()
            if (snapshot.snapshot_id if snapshot else None) != change.base.snapshot_id:
                return Conflict()
            bucket, prefix = self.data_location(dataset)
            plan = plan_replacement(table, change, prefix, lambda key: self._store.uri(bucket, key))
            if isinstance(plan, FilesGone):
                return plan
            self._upload(bucket, [(file.path, key) for file, key in plan.uploads])
            numbers = {
                "rows_added": 0,
                "rows_removed": 0,
                "files_added": len(plan.new),
                "files_rewritten": len(plan.old),
            }
            summary = {REWRITE_PROPERTY: change.rewrite_id, **_numbers(numbers)}
            snapshot_id = self._commit_snapshot(table, summary, plan.new, plan.old)
            return Conflict() if snapshot_id is None else Committed(snapshot_id=snapshot_id, **numbers)

    def expire(
        self,
        dataset: Dataset,
        before: datetime,
        least: int = 100,
        most: int = 500,
        keeps: Callable[[str], bool] = lambda _: False,
    ) -> int:
        """Forget the oldest states that were replaced before that moment, but never the newest; how many. No file is deleted."""

        def stays(snapshot: "Snapshot") -> bool:
            batch_id = snapshot.summary.additional_properties.get(BATCH_PROPERTY) if snapshot.summary else None
            return batch_id is not None and keeps(batch_id)

        with mapped(f"letting go of old states of {self._name(dataset)}"):
            return expire_snapshots(self.catalog, self._load(dataset), before, least, most, stays)

    # ---- beyond the port --------------------------------------------------------------------------------------------

    def columns(self, dataset: Dataset) -> pa.Schema:
        """The table's columns as they are now, each with its id, and its name in files where that is another."""
        return arrow_schema(self.load(dataset))

    def file_schema(self, dataset: Dataset) -> pa.Schema:
        """The schema to stage the dataset's files in: with the field ids the table has."""
        table = self.load(dataset)
        return file_schema(dataset, field_ids(table.schema()))

    def load(self, dataset: Dataset) -> "Table":
        """PyIceberg's table, fresh from the catalog: for maintenance, readers and tests."""
        with mapped(f"loading the table {self._name(dataset)}"):
            return self._load(dataset)

    # ---- steps ------------------------------------------------------------------------------------------------------

    def _place(self, dataset: Dataset) -> tuple[str, str]:
        """Bucket and folder of the dataset's table."""
        main = main_table(dataset.table)
        if main is None:
            return self._bucket, f"{self._prefix}/{dataset.table}"
        return self._quarantine_bucket, f"rejected/{main}"

    def _name(self, dataset: Dataset) -> str:
        return f"{self.database}.{dataset.table}"

    def _load(self, dataset: Dataset) -> "Table":
        table = self.catalog.load_table((self.database, dataset.table))
        table_format(self._name(dataset), table.properties)
        self._loaded[dataset.table] = table
        return table

    def _at(self, dataset: Dataset, snapshot_id: int) -> "Table":
        """The table as loaded last, if it knows the snapshot; else fresh."""
        table = self._loaded.get(dataset.table)
        return table if table is not None and table.snapshot_by_id(snapshot_id) else self.load(dataset)

    def _load_or_create(self, dataset: Dataset) -> "Table":
        from pyiceberg.exceptions import NoSuchIcebergTableError, NoSuchTableError, TableAlreadyExistsError

        try:
            return self._load(dataset)
        except NoSuchIcebergTableError as error:
            raise TableMismatchError(
                f"{self._name(dataset)} is in the catalog, but no Iceberg table: {error}. Rename the dataset, or drop that table."
            ) from error
        except NoSuchTableError:
            wanted = schema(dataset)
            try:
                return self.catalog.create_table(
                    (self.database, dataset.table),
                    schema=wanted,
                    location=self._store.uri(*self._place(dataset)),
                    partition_spec=partition_spec(dataset, wanted),
                    properties=table_properties(dataset),
                )
            except TableAlreadyExistsError:
                return self._load(dataset)

    def _register(
        self, dataset: Dataset, table: "Table", factory: DataFileFactory, change: TableCommit
    ) -> list["DataFile"]:
        """Upload the staged files; return their manifest entries."""
        bucket, prefix = self.data_location(dataset)
        places = [(file.path, f"{prefix}/{file.relative_key}", file.partition) for file in change.adds]
        # Entries first: a file of another schema is noticed before anything is uploaded.
        added = [
            factory.make(path, self._store.uri(bucket, key), partition_record(table, partition))
            for path, key, partition in places
        ]
        self._upload(bucket, [(path, key) for path, key, _ in places])
        return added

    def _upload(self, bucket: str, files: Sequence[tuple[Path, str]]) -> None:
        """Put files into the table's bucket, once: planning again after a conflict does not send them again."""
        due = [(path, key) for path, key in files if (key, path.stat().st_size) not in self._uploaded]
        if len(due) == 1:
            self._store.put_file(bucket, due[0][1], due[0][0])
        elif due:
            with ThreadPoolExecutor(_PARALLEL_UPLOADS) as executor:
                for upload in [executor.submit(self._store.put_file, bucket, key, path) for path, key in due]:
                    upload.result()
        self._uploaded.update((key, path.stat().st_size) for path, key in due)

    def _remove(
        self, dataset: Dataset, table: "Table", factory: DataFileFactory, change: TableCommit, scratch: Path
    ) -> list[_Removal]:
        """Rewrite the data files that hold rows of removed versions, without them; drop those that hold nothing else."""
        removes = frozenset(change.removes)
        held = self._index.find(table, change.base.snapshot_id, removes)
        current_spec = table.metadata.default_spec_id
        if foreign := [h.data_file.file_path for h in held if h.data_file.spec_id != current_spec]:
            raise TableMismatchError(
                f"{self._name(dataset)} holds files of an older partitioning, such as {foreign[0]}: "
                "rewrite the table (Athena's OPTIMIZE … REWRITE DATA), then process the batch again."
            )
        removals: list[_Removal] = []
        for position, file in enumerate(held):
            going = sum(rows for source, rows in file.sources.items() if source in removes)
            if going == sum(file.sources.values()):
                removals.append(_Removal(file.data_file, going, None))
            else:
                removals.append(self._rewrite(dataset, table, factory, change, file, scratch / f"{position}.parquet"))
        return removals

    def _rewrite(
        self,
        dataset: Dataset,
        table: "Table",
        factory: DataFileFactory,
        change: TableCommit,
        file: HeldFile,
        path: Path,
    ) -> _Removal:
        bucket, prefix = self.data_location(dataset)
        old = file.data_file
        with table.io.new_input(old.file_path).open() as source, open_parquet(source) as parquet:  # pyright: ignore[reportArgumentType]  # pyiceberg opens Arrow files
            copied = copy_without(parquet, frozenset(change.removes), path, arrow_schema(table))
        # A name nobody else can take: a worker that woke up late plans against another state, and must not write here.
        name = f"{change.batch_id}-{change.base.snapshot_id}-{uuid.uuid4().hex[:12]}.parquet"
        location = self._store.uri(bucket, prefix) + "/"
        inside = old.file_path.startswith(location)
        folder = (
            old.file_path.removeprefix(location).rpartition("/")[0]
            if inside
            else table.spec().partition_to_path(old.partition, table.schema())
        )
        key = "/".join(part for part in (prefix, folder, name) if part)
        made = factory.make(path, self._store.uri(bucket, key), old.partition)
        self._store.put_file(bucket, key, path)
        path.unlink()
        return _Removal(old, copied.rows_removed, made)

    def _publish(
        self, table: "Table", change: TableCommit, added: Sequence["DataFile"], removals: Sequence[_Removal]
    ) -> Committed | Conflict:
        numbers = {
            "rows_added": sum(file.record_count for file in added),
            "rows_removed": sum(removal.rows_removed for removal in removals),
            "files_added": len(added),
            "files_rewritten": sum(removal.replacement is not None for removal in removals),
        }
        summary = {
            **change.properties,
            BATCH_PROPERTY: change.batch_id,
            SOURCES_PROPERTY: _say_sources(change.sources),
            **_numbers(numbers),
        }
        replacements = [removal.replacement for removal in removals if removal.replacement is not None]
        old = [removal.old for removal in removals]
        snapshot_id = self._commit_snapshot(table, summary, [*added, *replacements], old)
        return Conflict() if snapshot_id is None else Committed(snapshot_id=snapshot_id, **numbers)

    def _commit_snapshot(
        self, table: "Table", summary: Mapping[str, str], adds: Sequence["DataFile"], removes: Sequence["DataFile"]
    ) -> int | None:
        """Commit one snapshot on the table as it was loaded; its id, or None when another writer came first."""
        from pyiceberg.exceptions import CommitFailedException
        from pyiceberg.table.update import AssertTableUUID

        transaction = open_transaction(table)
        update = transaction.update_snapshot(snapshot_properties=dict(summary))
        producer = update.overwrite() if removes else update.merge_append()
        for file in adds:
            producer.append_data_file(file)
        for file in removes:
            producer.delete_data_file(file)
        producer.commit()
        staged: Any = transaction
        try:
            # Not `transaction.commit_transaction()`: that tries again by itself, and on a conflict it deletes the manifests
            # it wrote. A conflict may be the answer to our own first request, applied but not heard, and sent again by
            # botocore; the table would then point at deleted manifests.
            self.catalog.commit_table(
                table, (*staged._requirements, AssertTableUUID(uuid=table.metadata.table_uuid)), staged._updates
            )
        except CommitFailedException:
            if self.catalog.load_table(table.name()).snapshot_by_id(producer.snapshot_id) is None:
                return None
        return producer.snapshot_id


def glue_tables(deployment: "Deployment", store: ObjectStore, scratch_dir: Path | None = None) -> IcebergTables:
    """The tables of a deployment: Glue's catalog, files in the processed bucket."""

    def catalog() -> "Catalog":
        from pyiceberg.catalog.glue import GlueCatalog

        from resources.environment import client, iceberg_catalog_properties

        properties = {**iceberg_catalog_properties(), "py-io-impl": "resources.iceberg_io.SharedFileIO"}
        return GlueCatalog("lakegate", client=client("glue"), **properties)

    return IcebergTables(
        catalog,
        store,
        deployment.glue_database,
        deployment.processed_bucket,
        scratch_dir=scratch_dir,
        quarantine_bucket=deployment.quarantine_bucket,
    )


def _find(table: "Table", name: str, value: str) -> Committed | None:
    """What the newest commit did that carries the property with this value."""
    for snapshot in _history(table):
        if snapshot.summary and snapshot.summary.additional_properties.get(name) == value:
            return _committed(snapshot)
    return None


def _history(table: "Table") -> "Iterable[Snapshot]":
    """The snapshots the current state was built from, newest first: what was rolled back is not in the table."""
    from pyiceberg.table.snapshots import ancestors_of

    return ancestors_of(table.current_snapshot(), table.metadata)


def _numbers(numbers: Mapping[str, int]) -> dict[str, str]:
    return {_NUMBERS[name]: str(number) for name, number in numbers.items()}


def _committed(snapshot: "Snapshot") -> Committed:
    said: Mapping[str, str] = snapshot.summary.additional_properties if snapshot.summary else {}
    return Committed(
        snapshot_id=snapshot.snapshot_id, **{name: int(said.get(key, 0)) for name, key in _NUMBERS.items()}
    )


def _say_sources(sources: Sequence[SourceVersion]) -> str:
    """The sources as JSON pairs; where that is long, their number and a hash that tells whether they are the same."""
    pairs = sorted([source.key, source.version_id] for source in sources)
    text = json.dumps(pairs, ensure_ascii=False, separators=(",", ":"))
    if len(text) <= _SOURCES_CHARACTERS:
        return text
    return f"{len(pairs)} sources, sha256:{hashlib.sha256(text.encode()).hexdigest()}"
