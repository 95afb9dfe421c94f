"""Data files of an Iceberg table: registering ours with their statistics, finding whose rows lie where, planning removals."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.contracts.schema import SOURCE_FILE, SOURCE_VERSION
from pipelines.errors import PermanentError, TableMismatchError
from pipelines.ports import SourceVersion
from pipelines.publication.rewriting import count_sources, open_parquet
from pipelines.publication.staged import PartitionValue

if TYPE_CHECKING:
    from pyiceberg.io.pyarrow import StatisticsCollector
    from pyiceberg.manifest import DataFile, ManifestFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.typedef import Record
    from pyiceberg.types import IcebergType

__all__ = ["DataFileFactory", "HeldFile", "SourceIndex", "partition_record", "referenced_files"]

_PARALLEL_READS = 8
_CACHED_FILES = 4096


@dataclass(frozen=True, slots=True)
class _StatisticsPlan:
    """What PyIceberg needs to read a footer: how to gather each column's statistics, and the ids by Parquet path."""

    columns: "dict[int, StatisticsCollector]"
    ids: dict[str, int]


class DataFileFactory:
    """Makes the manifest entries of Parquet files on local disk, from their footers.

    A file may be of an earlier schema of the table: Iceberg finds columns by id, gives null for those a file lacks, and widens.
    """

    def __init__(self, table: "Table") -> None:
        self._table = table
        self._fields = {field.field_id: field for field in table.schema().fields}
        self._plans: dict[bytes, _StatisticsPlan] = {}

    def make(self, path: Path, uri: str, partition: "Record") -> "DataFile":
        """The entry for the file at `path`, to be found at `uri`.

        Raises TableMismatchError when the table lacks one of its columns, has it with a type that Iceberg does not read from the
        file's, or needs one that the file lacks.
        """
        from pyiceberg.io.pyarrow import data_file_statistics_from_parquet_metadata
        from pyiceberg.manifest import DataFile, DataFileContent, FileFormat

        footer = pq.read_metadata(path)
        plan = self._plan(footer.schema.to_arrow_schema(), path.name)
        statistics = data_file_statistics_from_parquet_metadata(footer, plan.columns, plan.ids)
        made = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=uri,
            file_format=FileFormat.PARQUET,
            partition=partition,
            file_size_in_bytes=path.stat().st_size,
            sort_order_id=None,
            spec_id=self._table.metadata.default_spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )
        made.spec_id = self._table.metadata.default_spec_id
        return made

    def _plan(self, file: pa.Schema, name: str) -> "_StatisticsPlan":
        """How to read the statistics of files with this schema, once they are seen to fit the table."""
        key = file.serialize().to_pybytes()
        known = self._plans.get(key)
        if known is not None:
            return known
        from pyiceberg.io.pyarrow import compute_statistics_plan, parquet_path_to_id_mapping, pyarrow_to_schema
        from pyiceberg.schema import Schema
        from pyiceberg.types import DecimalType

        staged = pyarrow_to_schema(file)
        if fault := self._misfit(staged):
            raise TableMismatchError(
                f"{name} was staged for another schema of {'.'.join(self._table.name())} than the table has now: {fault}. "
                "The contract or the table changed while the batch was read: process the batch again."
            )
        # Bounds are written as the table's type has them; those of a decimal do not depend on its precision, but how Parquet keeps it does.
        typed = Schema(
            *(f if isinstance(f.field_type, DecimalType) else self._fields[f.field_id] for f in staged.fields)
        )
        columns = compute_statistics_plan(typed, self._table.metadata.properties)
        plan = self._plans[key] = _StatisticsPlan(columns, parquet_path_to_id_mapping(staged))
        return plan

    def _misfit(self, staged: "Schema") -> str | None:
        there = {field.field_id: field for field in staged.fields}
        for field in there.values():
            known = self._fields.get(field.field_id)
            if known is None:
                return f"the table has no column with the id {field.field_id} ({field.name})"
            if not _reads(known.field_type, field.field_type):
                return f"{known.name} is {field.field_type} in the file, {known.field_type} in the table"
            if known.required and not field.required:
                return f"{known.name} may be null in the file, but not in the table"
        lacking = next((f for i, f in self._fields.items() if f.required and i not in there), None)
        return f"the file has no {lacking.name}" if lacking else None


def _reads(table: "IcebergType", file: "IcebergType") -> bool:
    """Whether Iceberg reads a column of the file's type as the table's: fields inside are found by id, types may be wider."""
    from pyiceberg.exceptions import ResolveError
    from pyiceberg.schema import promote
    from pyiceberg.types import ListType, MapType, StructType

    match table, file:
        case StructType(), StructType():
            there = {field.field_id: field.field_type for field in table.fields}
            return all(f.field_id in there and _reads(there[f.field_id], f.field_type) for f in file.fields)
        case ListType(), ListType():
            return table.element_id == file.element_id and _reads(table.element_type, file.element_type)
        case MapType(), MapType():
            same = (table.key_id, table.value_id) == (file.key_id, file.value_id)
            return same and _reads(table.key_type, file.key_type) and _reads(table.value_type, file.value_type)
        case _ if table == file:
            return True
        case _:
            try:
                promote(file, table)
            except ResolveError:
                return False
            return True


def partition_record(table: "Table", values: Mapping[str, PartitionValue]) -> "Record":
    """The partition values, in the order of the contract's partitions, in Iceberg's form: days for dates, microseconds for timestamps.

    By position: a partition keeps its name when its column is renamed.
    """
    from pyiceberg.typedef import Record

    return Record(*(_internal(value) for _, value in zip(table.spec().fields, values.values(), strict=True)))


def _internal(value: PartitionValue) -> Any:
    if isinstance(value, datetime):
        delta = value.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    if isinstance(value, date):
        return (value - date(1970, 1, 1)).days
    return value


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A data file of the table that holds rows of versions asked for; `sources` counts the rows of every version in it."""

    data_file: "DataFile"
    sources: Mapping[SourceVersion, int]


class SourceIndex:
    """Tells which data files hold rows of given source versions: first by statistics, then by reading two columns.

    What was read is remembered: neither data files nor manifests ever change.
    """

    def __init__(self) -> None:
        self._sources: dict[str, Mapping[SourceVersion, int]] = {}
        self._manifests: dict[str, tuple[DataFile, ...]] = {}

    def find(self, table: "Table", snapshot_id: int | None, wanted: Collection[SourceVersion]) -> Sequence[HeldFile]:
        """The data files of that snapshot that hold rows of a wanted version.

        Raises PermanentError when the snapshot holds row-level deletes: other engines write them, and rewriting a data
        file without them would bring deleted rows back.
        """
        if snapshot_id is None or not wanted:
            return ()
        candidates = list(_candidates(table, self._data_files(table, snapshot_id), wanted))
        if not candidates:
            return ()
        unread = [f.file_path for f in candidates if f.file_path not in self._sources]
        if len(self._sources) + len(unread) > _CACHED_FILES:
            self._sources.clear()
            unread = [f.file_path for f in candidates]
        if unread:
            with ThreadPoolExecutor(min(_PARALLEL_READS, len(unread))) as executor:
                self._sources.update(zip(unread, executor.map(lambda p: _read_sources(table, p), unread), strict=True))
        held = ((f, self._sources[f.file_path]) for f in candidates)
        return [HeldFile(f, sources) for f, sources in held if not sources.keys().isdisjoint(wanted)]

    def _data_files(self, table: "Table", snapshot_id: int) -> Iterator["DataFile"]:
        """The data files of a snapshot; manifests not read before are read together."""
        from pyiceberg.manifest import ManifestContent

        snapshot = table.snapshot_by_id(snapshot_id)
        if snapshot is None:
            raise PermanentError(f"the snapshot {snapshot_id} of {'.'.join(table.name())} has expired")
        manifests = snapshot.manifests(table.io)
        if any(manifest.content != ManifestContent.DATA for manifest in manifests):
            raise PermanentError(
                f"{'.'.join(table.name())} holds row-level deletes that another engine wrote. Lakegate cannot replace rows "
                "on top of them: run Athena's OPTIMIZE … REWRITE DATA on the table, then try again."
            )
        unread = [manifest for manifest in manifests if manifest.manifest_path not in self._manifests]
        if sum(map(len, self._manifests.values())) > _CACHED_FILES:
            self._manifests.clear()
            unread = manifests
        if unread:

            def read(manifest: "ManifestFile") -> tuple["DataFile", ...]:
                return tuple(entry.data_file for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True))

            with ThreadPoolExecutor(min(_PARALLEL_READS, len(unread))) as executor:
                paths = [manifest.manifest_path for manifest in unread]
                self._manifests.update(zip(paths, executor.map(read, unread), strict=True))
        for manifest in manifests:
            yield from self._manifests[manifest.manifest_path]


def referenced_files(table: "Table") -> Iterator[str]:
    """The path of every data or delete file in a manifest of any snapshot the table keeps; each manifest is read once."""
    seen: set[str] = set()
    for snapshot in table.snapshots():
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path not in seen:
                seen.add(manifest.manifest_path)
                for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                    yield entry.data_file.file_path


def _read_sources(table: "Table", path: str) -> Mapping[SourceVersion, int]:
    with table.io.new_input(path).open() as file, open_parquet(file) as parquet:  # pyright: ignore[reportArgumentType]  # pyiceberg opens Arrow files
        return count_sources(parquet)


def _candidates(table: "Table", files: Iterable["DataFile"], wanted: Collection[SourceVersion]) -> Iterator["DataFile"]:
    """Data files whose bounds of key and version do not rule out every wanted version."""
    key_id = table.schema().find_field(SOURCE_FILE).field_id
    version_id = table.schema().find_field(SOURCE_VERSION).field_id
    pairs = sorted((v.key.encode(), v.version_id.encode()) for v in wanted)
    keys = [key for key, _ in pairs]
    for file in files:
        lower, upper = file.lower_bounds or {}, file.upper_bounds or {}
        first = bisect_left(keys, lower.get(key_id, b""))
        last = bisect_right(keys, upper[key_id]) if key_id in upper else len(keys)
        low, high = lower.get(version_id, b""), upper.get(version_id)
        if any(low <= version and (high is None or version <= high) for _, version in pairs[first:last]):
            yield file
