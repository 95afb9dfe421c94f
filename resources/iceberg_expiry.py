"""Letting go of a table's oldest states: they are taken out of its metadata, which every commit reads and writes whole.

No file is deleted here. Data files that no kept state refers to are orphans from then on, which the sweep finds; manifests stay where they
are until the table is vacuumed (Athena's VACUUM).
"""

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

__all__ = ["expire_snapshots"]


def expire_snapshots(catalog: "Catalog", table: "Table", before: datetime, least: int, most: int) -> int:
    """Take the oldest snapshots from before that moment out of the table's metadata, `most` at a time; how many.

    None when there are fewer than `least` of them, and none when another writer comes first. What a branch or tag names stays.
    """
    from pyiceberg.exceptions import CommitFailedException
    from pyiceberg.table.refs import MAIN_BRANCH
    from pyiceberg.table.update import AssertRefSnapshotId, AssertTableUUID, RemoveSnapshotsUpdate

    named = {ref.snapshot_id for ref in table.metadata.refs.values()}
    old = [s for s in table.metadata.snapshots if s.timestamp_ms < before.timestamp() * 1000]
    due = [s.snapshot_id for s in sorted(old, key=lambda s: s.timestamp_ms) if s.snapshot_id not in named][:most]
    if len(due) < max(least, 1):
        return 0
    current = table.metadata.current_snapshot_id
    requirements = (
        AssertTableUUID(uuid=table.metadata.table_uuid),
        AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=current),  # pyright: ignore[reportCallIssue]  # known by its alias
    )
    update = RemoveSnapshotsUpdate(snapshot_ids=due)  # pyright: ignore[reportCallIssue]  # the same
    try:
        catalog.commit_table(table, requirements, (update,))
    except CommitFailedException:
        return 0
    except ValueError:
        # How PyIceberg says that one of them is not there: another worker took them out meanwhile.
        if catalog.load_table(table.name()).snapshot_by_id(due[0]) is not None:
            raise
        return 0
    return len(due)
