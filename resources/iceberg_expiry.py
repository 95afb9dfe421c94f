"""Letting go of a table's oldest states: they are taken out of its metadata, which every commit reads and writes whole.

No file is deleted here. Data files that no kept state refers to are orphans from then on, which the sweep finds; manifests stay where they
are until the table is vacuumed (Athena's VACUUM).
"""

from collections.abc import Callable
from datetime import datetime
from itertools import islice, pairwise, takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["expire_snapshots"]


def expire_snapshots(
    catalog: "Catalog",
    table: "Table",
    before: datetime,
    least: int,
    most: int,
    stays: "Callable[[Snapshot], bool]" = lambda _: False,
) -> int:
    """Take the oldest snapshots that were replaced before that moment out of the table's metadata, `most` at a time; how many.

    By when a snapshot was replaced, and not when it was made: who began to read the state of a quiet table just before it changed has
    all that time to come to an end. What `stays` stays, and all that came after it. None when there are fewer than `least` of them, and none when another writer comes first. What a branch or tag names stays.
    """
    from pyiceberg.exceptions import CommitFailedException
    from pyiceberg.table.refs import MAIN_BRANCH
    from pyiceberg.table.update import AssertRefSnapshotId, AssertTableUUID, RemoveSnapshotsUpdate

    named = {ref.snapshot_id for ref in table.metadata.refs.values()}
    snapshots = sorted(table.metadata.snapshots, key=lambda s: s.timestamp_ms)
    limit = before.timestamp() * 1000
    old = (one for one, after in pairwise(snapshots) if after.timestamp_ms < limit and one.snapshot_id not in named)
    # None behind one that stays: what is looked for in the table's history is looked for from one state to the one before it.
    due = [one.snapshot_id for one in islice(takewhile(lambda one: not stays(one), old), most)]
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
