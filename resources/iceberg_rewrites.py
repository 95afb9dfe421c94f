"""Data files of an Iceberg table as compaction sees them: which there are, and others put in their place.

The same rows stand in other files afterwards: that is checked by the caller, and here once more by the counts that the manifests hold.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.errors import PermanentError
from pipelines.ports import FilesGone, Rewrite, RewrittenFile, TableFile
from resources.iceberg_files import DataFileFactory

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.typedef import Record

__all__ = ["REWRITE_PROPERTY", "Replacement", "metadata_files", "plan_replacement", "table_files"]

REWRITE_PROPERTY = "lakegate.compaction-id"


class Replacement:
    """What one commit does: `old` go, `new` come; `uploads` say which local file goes to which key first."""

    def __init__(
        self, old: Sequence["DataFile"], new: Sequence["DataFile"], uploads: Sequence[tuple[RewrittenFile, str]]
    ) -> None:
        """As planned."""
        self.old, self.new, self.uploads = old, new, uploads


def table_files(table: "Table", snapshot_id: int) -> Iterator[TableFile]:
    """The data files of a snapshot in the table's present partitioning, manifest by manifest."""
    added = {snapshot.snapshot_id: snapshot.timestamp_ms for snapshot in table.metadata.snapshots}
    labels: dict[tuple[object, ...], str] = {}
    for manifest in _manifests(table, snapshot_id):
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            file = entry.data_file
            if file.spec_id != table.metadata.default_spec_id:
                continue
            values = _values(file.partition)
            if values not in labels:
                labels[values] = table.spec().partition_to_path(file.partition, table.schema())
            at = added.get(entry.snapshot_id) if entry.snapshot_id is not None else None
            moment = None if at is None else datetime.fromtimestamp(at / 1000, UTC)
            yield TableFile(file.file_path, labels[values], file.record_count, file.file_size_in_bytes, moment)


def metadata_files(table: "Table") -> Iterator[str]:
    """The path of the table's metadata file, of those before it that it names, and of the lists and manifests of every snapshot it keeps."""
    yield table.metadata_location
    yield from (entry.metadata_file for entry in table.metadata.metadata_log)
    yield from (one.statistics_path for one in (*table.metadata.statistics, *table.metadata.partition_statistics))
    for snapshot in table.snapshots():
        yield snapshot.manifest_list
        yield from (manifest.manifest_path for manifest in snapshot.manifests(table.io))


def plan_replacement(
    table: "Table", change: Rewrite, prefix: str, uri: Callable[[str], str]
) -> Replacement | FilesGone:
    """What to commit on the table as it is, which is at `change.base`; `prefix` is where its data lies, `uri` the address of a key.

    Raises PermanentError when the files are not of one partition or do not hold as many rows as those they replace.
    """
    wanted = frozenset(change.replaces)
    found: dict[str, DataFile] = {}
    if change.base.snapshot_id is not None:
        for manifest in _manifests(table, change.base.snapshot_id):
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                if entry.data_file.file_path in wanted:
                    found[entry.data_file.file_path] = entry.data_file
    if gone := tuple(address for address in change.replaces if address not in found):
        return FilesGone(gone)
    old = list(found.values())
    name = ".".join(table.name())
    partitions = {(file.spec_id, _values(file.partition)) for file in old}
    if len(partitions) != 1 or old[0].spec_id != table.metadata.default_spec_id:
        raise PermanentError(
            f"{name}: {len(old)} files to be put together are not of one partition. Nothing was changed."
        )
    folder = _folder(table, old[0], uri(prefix))
    keys = ["/".join(part for part in (prefix, folder, file.name) if part) for file in change.adds]
    factory = DataFileFactory(table)
    new = [factory.make(file.path, uri(key), old[0].partition) for file, key in zip(change.adds, keys, strict=True)]
    before, after = sum(file.record_count for file in old), sum(file.record_count for file in new)
    if before != after:
        raise PermanentError(
            f"{name}: {len(old)} files hold {before:,} rows, what was to replace them {after:,}. Nothing was changed."
        )
    return Replacement(old, new, list(zip(change.adds, keys, strict=True)))


def _manifests(table: "Table", snapshot_id: int) -> "list[ManifestFile]":
    from pyiceberg.manifest import ManifestContent

    snapshot = table.snapshot_by_id(snapshot_id)
    name = ".".join(table.name())
    if snapshot is None:
        raise PermanentError(f"the snapshot {snapshot_id} of {name} has expired")
    manifests = snapshot.manifests(table.io)
    if any(manifest.content != ManifestContent.DATA for manifest in manifests):
        raise PermanentError(
            f"{name} holds row-level deletes that another engine wrote: its files do not say which rows it has. "
            "Run Athena's OPTIMIZE … REWRITE DATA on the table, then try again."
        )
    return manifests


def _values(record: "Record") -> tuple[object, ...]:
    return tuple(record[position] for position in range(len(record)))


def _folder(table: "Table", file: "DataFile", location: str) -> str:
    """The folder below the table's data that files of this partition lie in."""
    inside = file.file_path.startswith(f"{location}/")
    if inside:
        return file.file_path.removeprefix(f"{location}/").rpartition("/")[0]
    return table.spec().partition_to_path(file.partition, table.schema())
