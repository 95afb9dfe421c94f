"""Where everything lies in the item store: partition keys, sort keys and the partitions of the sparse index. Pure.

    pk                        sk                          item
    object#<object_id>        version#<version_id>        LedgerEntry; due_pk/due_sk while somebody has to look at it
    object#<object_id>        head                        Head: which version serves the key
    object#<object_id>        history#<time>#<id>#<n>     HistoryRecord
    object#<object_id>        removal#<version>           Removal: a delete marker or a deleted version
    batch#<batch_id>          batch                       BatchRecord: state, epoch, lease
    batch#<batch_id>          members#<nnnn>              the members, in pieces of at most 200 kB
    batch#<batch_id>          history#<time>#<id>#<n>     what the batch went through
    slots#<dataset>           <landing_day>               the one live batch of a dataset and day
    slots#<dataset>           <landing_day>#fresh         beside it, the one of fresh files
    days#<dataset>            <landing_day>#<batch_id>    every batch a day ever had: how a backfill finds its versions
    run#<run_key>             <batch_id>                  the batches that one run was asked to do
    counts#<dataset>          <landing_day>#<shard>       counters
    profiles#<dataset>        <landing_day>               rows and nulls of a day in the table, and when a file last came
    datasets                  <dataset>                   every dataset that ever had a file
    delimiters                <dataset>                   the delimiter that a dataset's files are read with, where it is told from them
    sweeps                    <dataset>                   what the last sweep of a dataset came to
    swept#<dataset>           <landing_day>               a day that lacks versions, as a sweep proved it
    wiring#<test_id>          test                        that the event of a test object came out of the queue
    routing                   mark                        the routing that unclaimed versions were last held against
    outbox#<shard>            <id>                        changes of state on their way to the table `file_history`
    outbox                    page                        which of them are being exported now
    breakers                  <dataset>                   the dataset's breaker, once a fault was counted or somebody paused it
    breaker#<dataset>         history#<time>#<id>#0       paused, probed, resumed
    deployment                release                     the newest release that wrote here, and its format
    audit#<yyyy-mm>           <time>#<id>                 who did what by hand; written once, never changed or deleted

The sparse index (`due_pk`, `due_sk`) lists what waits: `due#<dataset>#<shard>` for work, `quarantine#<dataset>` and
`dead#<dataset>` for people, `archived#<dataset>` for a restore, `removed#<dataset>` what went before any batch had it. The shard comes from the landing day, so that the backlog
of one day stands before few others; the order within `due#…` is in `waiting.py`.
"""

import hashlib
from datetime import UTC, date, datetime

from pipelines.accounting.entries import Removal, VersionRef
from pipelines.accounting.states import Lane
from pipelines.ports import ItemKey

__all__ = [
    "COUNT_SHARDS",
    "DUE_SHARDS",
    "NO_DATASET",
    "OUTBOX_PAGE",
    "OUTBOX_SHARDS",
    "audit_key",
    "batch_key",
    "count_key",
    "day_key",
    "delimiter_key",
    "due_partitions",
    "entry_key",
    "head_key",
    "history_key",
    "iso",
    "outbox_key",
    "parse_iso",
    "removal_key",
    "run_item_key",
    "short_version",
    "slot_key",
    "version_removal_key",
]

DUE_SHARDS = 4
COUNT_SHARDS = 4
OUTBOX_SHARDS = 4
OUTBOX_PAGE = ItemKey("outbox", "page")
"""Where the page is named that is being exported."""
NO_DATASET = "-"
"""Stands for "no dataset" in keys; no dataset can be called so."""
_LONGEST_PLAIN_VERSION = 200


def iso(moment: datetime) -> str:
    """Fixed-width UTC text with microseconds: sorts as time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_iso(text: str) -> datetime:
    """The moment that `iso` wrote."""
    return datetime.fromisoformat(text)


# ---- keys ---------------------------------------------------------------------------------------------------------


def short_version(version_id: str) -> str:
    """The version id as it stands in a sort key."""
    # S3 allows 1,024 bytes for a version id, and DynamoDB 1,024 for the whole sort key.
    if len(version_id.encode("utf-8", "surrogatepass")) <= _LONGEST_PLAIN_VERSION:
        return version_id
    return "sha256-" + hashlib.sha256(version_id.encode("utf-8", "surrogatepass")).hexdigest()


def entry_key(ref: VersionRef) -> ItemKey:
    """Where an object version lies."""
    return ItemKey(f"object#{ref.object_id}", f"version#{short_version(ref.version_id)}")


def head_key(object_id: str) -> ItemKey:
    """Where the head of a key lies."""
    return ItemKey(f"object#{object_id}", "head")


def removal_key(object_id: str, removal: Removal) -> ItemKey:
    """Where a removal lies; the same event always at the same place."""
    return ItemKey(f"object#{object_id}", f"removal#{short_version(removal.version_id or removal.order)}")


def version_removal_key(ref: VersionRef) -> ItemKey:
    """Where the removal of one version, or of the delete marker with that id, lies."""
    return ItemKey(f"object#{ref.object_id}", f"removal#{short_version(ref.version_id)}")


def batch_key(batch_id: str) -> ItemKey:
    """Where a batch lies."""
    return ItemKey(f"batch#{batch_id}", "batch")


def history_key(pk: str, at: datetime, write_id: str, number: int) -> ItemKey:
    """Where a history record lies, below an object's or a batch's partition."""
    return ItemKey(pk, f"history#{iso(at)}#{write_id}#{number:04d}")


def slot_key(dataset: str, day: date, lane: Lane | None = None) -> ItemKey:
    """Where the live batch of a dataset and day is named; fresh files have a slot beside that of all others."""
    return ItemKey(f"slots#{dataset}", f"{day.isoformat()}#fresh" if lane is Lane.FRESH else day.isoformat())


def day_key(dataset: str, day: date, batch_id: str) -> ItemKey:
    """Where a batch is listed under its day, for good."""
    return ItemKey(f"days#{dataset}", f"{day.isoformat()}#{batch_id}")


def run_item_key(run_key: str, batch_id: str) -> ItemKey:
    """Where a batch is listed under its run."""
    return ItemKey(f"run#{run_key}", batch_id)


def count_key(dataset: str | None, day: date, shard: int) -> ItemKey:
    """Where one shard of a day's counters lies."""
    return ItemKey(f"counts#{dataset or NO_DATASET}", f"{day.isoformat()}#{shard:02d}")


def delimiter_key(dataset: str) -> ItemKey:
    """Where the delimiter of a dataset's files is pinned."""
    return ItemKey("delimiters", dataset)


def outbox_key(shard: int, item_id: str) -> ItemKey:
    """Where changes of state wait to be exported."""
    return ItemKey(f"outbox#{shard:02d}", item_id)


def audit_key(at: datetime, record_id: str) -> ItemKey:
    """Where a record of the audit log lies."""
    return ItemKey(f"audit#{at.astimezone(UTC):%Y-%m}", f"{iso(at)}#{record_id}")


def due_partitions(dataset: str | None) -> tuple[str, ...]:
    """The index partitions that list a dataset's due versions (None: what no dataset claims)."""
    if dataset is None:
        return (f"due#{NO_DATASET}#00",)
    return tuple(f"due#{dataset}#{shard:02d}" for shard in range(DUE_SHARDS))
