"""The world, as the core sees it: every Protocol that an adapter satisfies, and the values that cross it.

Adapters live in `resources/`; fakes that satisfy the same behaviour suites live beside them, because the fake is part
of the product (`convert` and the simulator run on it). An adapter raises TransientError for what may pass, and
PermanentError (or one of its children) for what will not; it never lets a library's own exception through.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from pipelines.contracts.model import Dataset
from pipelines.intake.objects import ObjectVersion
from pipelines.publication.staged import StagedFile

__all__ = [
    "Absent",
    "AlertChannel",
    "AlertMessage",
    "Change",
    "Check",
    "Clock",
    "Committed",
    "Condition",
    "Conflict",
    "Delete",
    "Equals",
    "EventQueue",
    "FilesGone",
    "Item",
    "ItemKey",
    "ItemScan",
    "ItemStore",
    "ItemValue",
    "LessThan",
    "ListedVersion",
    "ObjectStore",
    "OneOf",
    "Page",
    "Present",
    "Put",
    "QueryEngine",
    "QueryResult",
    "QueueMessage",
    "Refused",
    "Rewrite",
    "RewrittenFile",
    "SourceInTable",
    "SourceVersion",
    "TableCommit",
    "TableFile",
    "TableSnapshot",
    "Tables",
    "ThreadPools",
    "Update",
    "Written",
]  # fmt: skip


class Clock(Protocol):
    """What time it is: aware, UTC. The simulator turns it by hand."""

    def __call__(self) -> datetime:
        """The present moment."""
        ...


class ThreadPools(Protocol):
    """How many things are waited for at once: by so many threads, or one after the other."""

    def __call__(self, max_workers: int, /) -> Executor:
        """An executor with at most so many threads."""
        ...


# ---- object store -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """One version as a bucket lists it; `landed_at` is when it was written, and it has no sequencer.

    `is_marker`: a delete marker, which hides what is older under its key; it has no bytes. `is_latest`: nothing of its key is newer.
    A bucket that keeps no versions lists each object once.
    """

    version: ObjectVersion
    is_latest: bool
    is_marker: bool = False


class ObjectStore(Protocol):
    """Buckets of objects."""

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        """Stream the bytes of exactly this version, in chunks of at most 4 MiB.

        Raises ObjectGoneError when the version no longer exists, ObjectArchivedError when it lies in an archive, TransientError on a
        cut connection or short body.
        """
        ...

    def copy(self, version: ObjectVersion, bucket: str, key: str) -> None:
        """Copy exactly this version, unchanged and on the server's side, to another place. Repeatable."""
        ...

    def put_bytes(self, bucket: str, key: str, content: bytes, content_type: str) -> None:
        """Write a small object."""
        ...

    def put_file(self, bucket: str, key: str, path: Path) -> None:
        """Upload a local file, in parts when it is large."""
        ...

    def get_bytes(self, bucket: str, key: str) -> bytes:
        """Read a small object whole. Raises ObjectGoneError when there is none."""
        ...

    def list_keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys under a prefix, in order."""
        ...

    def list_versions(self, bucket: str, prefix: str, start_after: str | None = None) -> Iterator[ListedVersion]:
        """Every version and delete marker under a prefix, by key in the order of its UTF-8 bytes, newest first within a key.

        With `start_after`, only keys behind that one. Streamed: no more than a page is held.
        """
        ...

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Remove objects; keys that do not exist are no error."""
        ...

    def uri(self, bucket: str, key: str) -> str:
        """The address of an object, for people and for table metadata (`s3://…`, `file://…`)."""
        ...


# ---- event queue --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """One message as received; `receipt` deletes it, or puts it back. `sent_at` is when the queue (or that before it) got it."""

    message_id: str
    body: str
    receipt: str
    receive_count: int
    sent_at: datetime | None = None


class EventQueue(Protocol):
    """The queue that S3's notifications arrive in, or the one that its redrive takes dead letters to."""

    def receive(self, wait_s: float, limit: int = 10) -> Sequence[QueueMessage]:
        """Up to ten messages; waits up to `wait_s` (at most 20) for the first."""
        ...

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages for good. A receipt too old to count is no error: the message will come again."""
        ...

    def put_back(self, receipts: Sequence[str]) -> None:
        """Let received messages be received again at once, by anybody. A receipt too old to count is no error."""
        ...

    def send(self, body: str) -> None:
        """Put a message in. Raises TransientError when it may not be there."""
        ...

    def depth(self) -> int:
        """About how many messages are in it, also those that somebody has received and not deleted."""
        ...


# ---- alerts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """One message. `subject`: at most 100 printable ASCII characters. `text` is for people, `chat` the same for chat programs.

    `document` is for programs (docs/alerts.md). `attributes` are what a subscriber may filter by. `id` is the same when it is sent again.
    """

    id: str
    subject: str
    text: str
    chat: str
    document: Mapping[str, object]
    attributes: Mapping[str, tuple[str, ...]]


class AlertChannel(Protocol):
    """A way to people."""

    @property
    def name(self) -> str:
        """By which it is known: `sns`, `webhook`."""
        ...

    @property
    def place(self) -> str:
        """Where it leads, as logs may show it: without secrets and account ids."""
        ...

    def send(self, message: AlertMessage) -> None:
        """Hand a message over; once this returns, the channel has it. Ends within some seconds.

        Raises TransientError, PermanentError: it did not take it, or nobody knows; the message tells no secret.
        """
        ...


# ---- item store: what the ledger is kept in -----------------------------------------------------------------------

ItemValue = str | int | bool | None | list["ItemValue"] | dict[str, "ItemValue"]
Item = Mapping[str, ItemValue]


@dataclass(frozen=True, slots=True, order=True)
class ItemKey:
    """Partition key and sort key."""

    pk: str
    sk: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The item (or, with a name, the attribute) does not exist."""

    attribute: str | None = None


@dataclass(frozen=True, slots=True)
class Present:
    """The item exists."""


@dataclass(frozen=True, slots=True)
class Equals:
    """The attribute exists and equals the value."""

    attribute: str
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class OneOf:
    """The attribute exists and is one of the values."""

    attribute: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LessThan:
    """The attribute is absent, or smaller than the value."""

    attribute: str
    value: str | int


Condition = Absent | Present | Equals | OneOf | LessThan


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole item, if all conditions hold."""

    key: ItemKey
    item: Item
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """Change attributes of an item (creating it if need be), if all conditions hold."""

    key: ItemKey
    set_: Mapping[str, ItemValue] = field(default_factory=dict[str, ItemValue])
    add: Mapping[str, int] = field(default_factory=dict[str, int])
    remove: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an item, if all conditions hold."""

    key: ItemKey
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """Change nothing, but let the write fail unless all conditions hold."""

    key: ItemKey
    conditions: tuple[Condition, ...]


Change = Put | Update | Delete | Check


@dataclass(frozen=True, slots=True)
class Written:
    """Every change was made."""


@dataclass(frozen=True, slots=True)
class Refused:
    """No change was made: the changes at these positions had a condition that did not hold."""

    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Items of one query page; `next` continues it, None at the end."""

    items: tuple[Item, ...]
    next: str | None


class ItemStore(Protocol):
    """Items under a two-part key, with conditional writes: DynamoDB, or a dictionary. Reads are consistent."""

    def get(self, keys: Sequence[ItemKey]) -> Mapping[ItemKey, Item]:
        """The items that exist, by key."""
        ...

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        upto: str | None = None,
        limit: int = 1000,
        start: str | None = None,
        descending: bool = False,
    ) -> Page:
        """Items of one partition in sort-key order: those whose sort key has the prefix and is at most `upto`."""
        ...

    def query_due(
        self,
        due_pk: str,
        *,
        since: str | None = None,
        upto: str | None = None,
        limit: int = 1000,
        start: str | None = None,
        descending: bool = False,
    ) -> Page:
        """Items whose `due_pk` equals this, in `due_sk` order from `since` up to `upto`; eventually consistent on DynamoDB."""
        ...

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        """Make all changes (at most 100, each on its own item) or none.

        Raises TransientError when the outcome is unknown: the caller looks it up, it never guesses.
        """
        ...


class ItemScan(Protocol):
    """All that is in an item store. For migrations: nothing else reads a ledger whole."""

    def scan(self, *, limit: int = 1000, start: str | None = None) -> Page:
        """Every item once, in any order; what is written meanwhile may be missed or seen as it was. Reads are consistent."""
        ...


# ---- tables -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """One object version as tables name it: `_source_file` is the key, `_source_version` S3's version id."""

    key: str
    version_id: str


@dataclass(frozen=True, slots=True)
class TableCommit:
    """One change of one table: data files in, rows of superseded versions out, in one transaction.

    `sources` are the versions whose rows the files hold. `base` is the snapshot the removals were planned against:
    the commit must fail if the table is at another. `properties` go into the snapshot's summary.
    """

    batch_id: str
    adds: tuple[StagedFile, ...]
    sources: tuple[SourceVersion, ...]
    removes: tuple[SourceVersion, ...]
    base: "TableSnapshot"
    properties: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class TableSnapshot:
    """A state of a table to plan against; `snapshot_id` is None for a table without one."""

    table: str
    snapshot_id: int | None


@dataclass(frozen=True, slots=True)
class Committed:
    """The table holds the batch. `files_rewritten` counts data files rewritten for removals; rows are exact."""

    snapshot_id: int
    rows_added: int
    rows_removed: int
    files_added: int
    files_rewritten: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """The table moved on from `base`: nothing was changed; plan again."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """One data file of a table. `partition` names its partition for people (`day=2024-01-01`, "" where there is none); files with the same
    name there are of one partition. `added_at`: when it came, None when that state is forgotten.
    """

    address: str
    partition: str
    rows: int
    size_bytes: int
    added_at: datetime | None


@dataclass(frozen=True, slots=True)
class RewrittenFile:
    """A Parquet file on local disk that takes the place of others; `name` is that of its object."""

    path: Path
    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The same rows in other files of one partition: `replaces` go, `adds` come, in one transaction on `base`. `rewrite_id` is its own."""

    rewrite_id: str
    replaces: tuple[str, ...]
    adds: tuple[RewrittenFile, ...]
    base: TableSnapshot


@dataclass(frozen=True, slots=True)
class FilesGone:
    """Files that were to be replaced are not in the table any more: somebody else changed their rows. Nothing was changed."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceInTable:
    """A source version that has rows in the table."""

    source: SourceVersion
    rows: int


class Tables(Protocol):
    """Iceberg tables in a catalog whose commit is a compare-and-set."""

    def ensure(self, dataset: Dataset) -> None:
        """Create the dataset's table if there is none; else change its columns to what the dataset describes. Repeatable.

        Columns come and may become wider, are renamed by alias, and allow null; none goes. Two workers may do it at once.
        Raises TableMismatchError, with every difference, when Iceberg cannot do it: nothing was changed then. Raises
        CommitConflictError when other writers kept coming first.
        """
        ...

    def current(self, dataset: Dataset) -> TableSnapshot:
        """The table's state now."""
        ...

    def find_batch(self, dataset: Dataset, batch_id: str) -> Committed | None:
        """Whether a snapshot of the table carries this batch: how a commit with an unknown outcome is looked up."""
        ...

    def find_sources(
        self, base: TableSnapshot, dataset: Dataset, sources: Sequence[SourceVersion]
    ) -> Sequence[SourceInTable]:
        """Which of these versions have rows in that state of the table."""
        ...

    def read_rows(
        self, base: TableSnapshot, dataset: Dataset, sources: Collection[SourceVersion]
    ) -> Iterator[tuple[SourceVersion, pa.Table]]:
        """The rows of these versions in that state of the table, streamed in pieces of bounded size, under `columns`.

        Reads every data file that holds one of them whole.
        """
        ...

    def columns(self, dataset: Dataset) -> pa.Schema:
        """The table's columns as they are now, in table order, each with its id in the catalog (`PARQUET:field_id`).

        One whose name in files is another carries it as metadata (`evolution.SOURCE_NAME`).
        """
        ...

    def file_schema(self, dataset: Dataset) -> pa.Schema:
        """The schema to stage the dataset's files in, each field with its id in the catalog (`PARQUET:field_id`).

        Raises TableMismatchError when the table lacks a column of the dataset: `ensure` was not called, or the table was made anew.
        """
        ...

    def data_location(self, dataset: Dataset) -> tuple[str, str]:
        """Bucket and key prefix under which the table's data files are written."""
        ...

    def data_files(self, dataset: Dataset) -> Iterator[str]:
        """The address of every data file that any snapshot kept of the table refers to, as `ObjectStore.uri` writes it; streamed.

        Read from the table's newest state when the first is asked for. A file may come more than once.
        """
        ...

    def metadata_files(self, dataset: Dataset) -> Iterator[str]:
        """The address of every file of the table's own metadata that is in use, as `ObjectStore.uri` writes it; streamed.

        They lie in `metadata/` beside the data. Read from the table's newest state. A file may come more than once.
        """
        ...

    def commit(self, dataset: Dataset, change: TableCommit) -> Committed | Conflict:
        """Publish: all of it or nothing. Raises TransientError when the outcome is unknown (then: `find_batch`)."""
        ...

    def table_files(self, base: TableSnapshot, dataset: Dataset) -> Iterator[TableFile]:
        """The data files of that state of the table that can be rewritten: those of its present partitioning; streamed.

        Raises PermanentError when another engine wrote row-level deletes: the rows of a data file are not those of the table then.
        """
        ...

    def read_file(self, dataset: Dataset, address: str, columns: pa.Schema) -> Iterator[pa.Table]:
        """The rows of a data file in their order, in pieces of bounded size; provenance columns as dictionaries.

        Under these `columns`: those that the table has, or had when its files were listed.
        """
        ...

    def rewrite(self, dataset: Dataset, change: Rewrite) -> Committed | Conflict | FilesGone:
        """Let files take the place of others, all or nothing; done before, it is found done. The caller has seen that rows are the same.

        `Conflict`: the table is at another state than `base`. Raises TransientError when the outcome is unknown: do it again.
        """
        ...

    def expire(
        self,
        dataset: Dataset,
        before: datetime,
        least: int = 100,
        most: int = 500,
        keeps: Callable[[str], bool] = lambda _: False,
    ) -> int:
        """Forget the oldest states that were replaced before that moment, at most `most` and never the newest; how many.

        `keeps` is asked with a state's batch id whether it stays; all that came after it stay with it. Rows stay as they are; `find_batch` does not find the commits of forgotten states any more. None is forgotten while there are
        fewer than `least`, because that costs a commit, or when another writer comes first. Safe to repeat, and twice at once.
        """
        ...


# ---- query engine -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The answer of a query as an Arrow table, and what it cost."""

    table: pa.Table
    scanned_bytes: int
    milliseconds: int


class QueryEngine(Protocol):
    """Athena, or what answers as Athena does."""

    def query(self, sql: str) -> QueryResult:
        """Run one SELECT. Raises QueryFailedError with the engine's reason."""
        ...
