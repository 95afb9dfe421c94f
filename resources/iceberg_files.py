"""Data files of an Iceberg table: registering ours with their statistics, finding whose rows lie where, planning removals."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from pipelines.contracts.schema import SOURCE_FILE, SOURCE_VERSION
from pipelines.errors import PermanentError, TableMismatchError
from pipelines.ports import SourceVersion
from pipelines.publication.parquet_writer import field_ids
from pipelines.publication.rewriting import count_sources, open_parquet
from pipelines.publication.staged import PartitionValue

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.typedef import Record

__all__ = ["DataFileFactory", "HeldFile", "SourceIndex", "partition_record"]

_PARALLEL_READS = 8
_CACHED_FILES = 4096


class DataFileFactory:
    """Makes the manifest entries of Parquet files on local disk, from their footers."""

    def __init__(self, table: "Table") -> None:
        from pyiceberg.io.pyarrow import compute_statistics_plan, parquet_path_to_id_mapping

        self._table = table
        self._ids = {field.name: field.field_id for field in table.schema().fields}
        self._plan = compute_statistics_plan(table.schema(), table.metadata.properties)
        self._mapping = parquet_path_to_id_mapping(table.schema())

    def make(self, path: Path, uri: str, partition: "Record") -> "DataFile":
        """The entry for the file at `path`, to be found at `uri`.

        Raises TableMismatchError when its field ids are not the table's: Iceberg would read other columns from it.
        """
        from pyiceberg.io.pyarrow import data_file_statistics_from_parquet_metadata
        from pyiceberg.manifest import DataFile, DataFileContent, FileFormat

        footer = pq.read_metadata(path)
        if field_ids(footer.schema.to_arrow_schema()) != self._ids:
            raise TableMismatchError(
                f"{path.name} was staged for another schema of {'.'.join(self._table.name())} than the table has now. "
                "The contract or the table changed while the batch was read: process the batch again."
            )
        statistics = data_file_statistics_from_parquet_metadata(footer, self._plan, self._mapping)
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


def partition_record(table: "Table", values: Mapping[str, PartitionValue]) -> "Record":
    """The partition values in Iceberg's own form: days for dates, microseconds for timestamps."""
    from pyiceberg.typedef import Record

    return Record(*(_internal(values[field.name]) for field in table.spec().fields))


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
