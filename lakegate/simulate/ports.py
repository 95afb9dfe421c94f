"""The ports as one actor has them: every call is a step of the engine, where others may come in between or things go wrong."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from lakegate.simulate.engine import Actor, Engine
from lakegate.simulate.story import Names, commit_words, version_words, write_words
from pipelines.contracts.model import Dataset
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import (
    Change,
    Committed,
    Conflict,
    EventQueue,
    FilesGone,
    Item,
    ItemKey,
    ItemStore,
    ListedVersion,
    ObjectStore,
    Page,
    QueueMessage,
    Refused,
    Rewrite,
    SourceInTable,
    SourceVersion,
    TableCommit,
    TableFile,
    TableSnapshot,
    Written,
)
from resources.memory_tables import MemoryTables

__all__ = ["SteppedItems", "SteppedObjects", "SteppedQueue", "SteppedTables"]


class SteppedItems:
    """The ledger's items."""

    def __init__(self, engine: Engine, actor: Actor, inner: ItemStore, names: Names) -> None:
        """As this actor has them."""
        self._engine, self._actor, self._inner, self._names = engine, actor, inner, names

    def get(self, keys: Sequence[ItemKey]) -> Mapping[ItemKey, Item]:
        """Items by key."""
        return self._engine.call(self._actor, lambda: "look into the ledger", lambda: self._inner.get(keys), quiet=True)

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
        """Items of one partition."""
        return self._engine.call(
            self._actor,
            lambda: "look into the ledger",
            lambda: self._inner.query(pk, prefix=prefix, upto=upto, limit=limit, start=start, descending=descending),
            quiet=True,
        )

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
        """Items of the sparse index."""
        return self._engine.call(
            self._actor,
            lambda: "look for what is due",
            lambda: self._inner.query_due(
                due_pk, since=since, upto=upto, limit=limit, start=start, descending=descending
            ),
            quiet=True,
        )

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        """A transaction."""
        words = write_words(changes, self._names) if self._engine.telling else None
        return self._engine.call(
            self._actor,
            lambda: words or "ledger: a note",
            lambda: self._inner.write(changes),
            quiet=words is None,
        )


class SteppedQueue:
    """The queue."""

    def __init__(self, engine: Engine, actor: Actor, inner: EventQueue) -> None:
        """As this actor has it."""
        self._engine, self._actor, self._inner = engine, actor, inner

    def receive(self, wait_s: float, limit: int = 10) -> Sequence[QueueMessage]:
        """Messages."""
        return self._engine.call(
            self._actor, lambda: "receive messages", lambda: self._inner.receive(wait_s, limit), quiet=True
        )

    def send(self, body: str) -> None:
        """Put a message in."""
        self._engine.call(self._actor, lambda: "send a message", lambda: self._inner.send(body))

    def put_back(self, receipts: Sequence[str]) -> None:
        """Let messages be received again."""
        self._engine.call(
            self._actor, lambda: f"put {len(receipts)} messages back", lambda: self._inner.put_back(receipts)
        )

    def depth(self) -> int:
        """How many messages there are."""
        return self._inner.depth()

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages."""
        self._engine.call(self._actor, lambda: f"delete {len(receipts)} messages", lambda: self._inner.delete(receipts))


class SteppedObjects:
    """The buckets."""

    def __init__(self, engine: Engine, actor: Actor, inner: ObjectStore) -> None:
        """As this actor has them."""
        self._engine, self._actor, self._inner = engine, actor, inner

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        """The bytes of a version."""
        yield from self._engine.call(
            self._actor, lambda: f"read {version_words(version)}", lambda: list(self._inner.read(version))
        )

    def copy(self, version: ObjectVersion, bucket: str, key: str) -> None:
        """Copy a version."""
        self._engine.call(
            self._actor,
            lambda: f"copy {version_words(version)} to quarantine",
            lambda: self._inner.copy(version, bucket, key),
        )

    def put_bytes(self, bucket: str, key: str, content: bytes, content_type: str) -> None:
        """Write a small object."""
        self._engine.call(
            self._actor, lambda: "write a report", lambda: self._inner.put_bytes(bucket, key, content, content_type)
        )

    def put_file(self, bucket: str, key: str, path: Path) -> None:
        """Upload a file."""
        self._engine.call(self._actor, lambda: "upload a file", lambda: self._inner.put_file(bucket, key, path))

    def get_bytes(self, bucket: str, key: str) -> bytes:
        """Read a small object."""
        return self._engine.call(
            self._actor, lambda: "read an object", lambda: self._inner.get_bytes(bucket, key), quiet=True
        )

    def list_keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """Keys."""
        yield from self._engine.call(
            self._actor, lambda: "list keys", lambda: list(self._inner.list_keys(bucket, prefix)), quiet=True
        )

    def list_versions(self, bucket: str, prefix: str, start_after: str | None = None) -> Iterator[ListedVersion]:
        """Versions and delete markers."""
        yield from self._engine.call(
            self._actor,
            lambda: "list the bucket",
            lambda: list(self._inner.list_versions(bucket, prefix, start_after)),
        )

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Remove objects."""
        self._engine.call(self._actor, lambda: f"delete {len(keys)} objects", lambda: self._inner.delete(bucket, keys))

    def uri(self, bucket: str, key: str) -> str:
        """The address of an object: no call."""
        return self._inner.uri(bucket, key)


class SteppedTables:
    """The tables."""

    def __init__(self, engine: Engine, actor: Actor, inner: MemoryTables, names: Names, reading_s: float = 0.0) -> None:
        """As this actor has them; to read a data file takes it `reading_s`."""
        self._engine, self._actor, self._inner, self._names = engine, actor, inner, names
        self._reading_s = reading_s

    def ensure(self, dataset: Dataset) -> None:
        """Make the table."""
        self._engine.call(
            self._actor, lambda: f"ensure {dataset.table}", lambda: self._inner.ensure(dataset), quiet=True
        )

    def current(self, dataset: Dataset) -> TableSnapshot:
        """The table's state."""
        return self._engine.call(
            self._actor, lambda: f"look at {dataset.table}", lambda: self._inner.current(dataset), quiet=True
        )

    def find_batch(self, dataset: Dataset, batch_id: str) -> Committed | None:
        """Whether a batch is in the table."""
        whose = batch_id.split("-")[0]
        return self._engine.call(
            self._actor,
            lambda: f"look for {self._names.batch(whose)} in {dataset.table}",
            lambda: self._inner.find_batch(dataset, batch_id),
            quiet=True,
        )

    def find_sources(
        self, base: TableSnapshot, dataset: Dataset, sources: Sequence[SourceVersion]
    ) -> Sequence[SourceInTable]:
        """Which versions have rows."""
        return self._engine.call(
            self._actor,
            lambda: f"look whose rows are in {dataset.table}",
            lambda: self._inner.find_sources(base, dataset, sources),
            quiet=True,
        )

    def read_rows(
        self, base: TableSnapshot, dataset: Dataset, sources: Collection[SourceVersion]
    ) -> Iterator[tuple[SourceVersion, pa.Table]]:
        """Rows of versions."""
        yield from self._engine.call(
            self._actor,
            lambda: f"read rows of {dataset.table}",
            lambda: list(self._inner.read_rows(base, dataset, sources)),
            quiet=True,
        )

    def data_files(self, dataset: Dataset) -> Iterator[str]:
        """Data files of every state."""
        yield from self._engine.call(
            self._actor,
            lambda: f"list the data files of {dataset.table}",
            lambda: list(self._inner.data_files(dataset)),
            quiet=True,
        )

    def metadata_files(self, dataset: Dataset) -> Iterator[str]:
        """None here."""
        return self._inner.metadata_files(dataset)

    def columns(self, dataset: Dataset) -> pa.Schema:
        """The table's columns: they never change here."""
        return self._inner.columns(dataset)

    def file_schema(self, dataset: Dataset) -> pa.Schema:
        """The schema to stage in: it never changes here."""
        return self._inner.file_schema(dataset)

    def data_location(self, dataset: Dataset) -> tuple[str, str]:
        """Where data files go: no call."""
        return self._inner.data_location(dataset)

    def table_files(self, base: TableSnapshot, dataset: Dataset) -> Iterator[TableFile]:
        """The data files of a state."""
        yield from self._engine.call(
            self._actor,
            lambda: f"list the files of {dataset.table}",
            lambda: list(self._inner.table_files(base, dataset)),
            quiet=True,
        )

    def read_file(self, dataset: Dataset, address: str, columns: pa.Schema) -> Iterator[pa.Table]:
        """The rows of a file."""
        yield from self._engine.call(
            self._actor,
            lambda: f"read a file of {dataset.table}",
            lambda: list(self._inner.read_file(dataset, address, columns)),
            quiet=True,
        )
        if self._reading_s:
            self._engine.pause(self._actor, self._reading_s)

    def rewrite(self, dataset: Dataset, change: Rewrite) -> Committed | Conflict | FilesGone:
        """Let files take the place of others."""
        return self._engine.call(
            self._actor,
            lambda: f"put {len(change.replaces)} files of {dataset.table} together",
            # A request may take effect when the worker that sent it, and its disk, are gone.
            self._inner.rewriting(dataset, change),
        )

    def expire(
        self,
        dataset: Dataset,
        before: datetime,
        least: int = 100,
        most: int = 500,
        keeps: Callable[[str], bool] = lambda _: False,
    ) -> int:
        """Forget old states."""
        return self._engine.call(
            self._actor,
            lambda: f"forget old states of {dataset.table}",
            lambda: self._inner.expire(dataset, before, least, most, keeps),
            quiet=True,
        )

    def commit(self, dataset: Dataset, change: TableCommit) -> Committed | Conflict:
        """Publish."""
        return self._engine.call(
            self._actor,
            lambda: commit_words(dataset.table, change, self._names),
            # A request may take effect when the worker that sent it, and its disk, are gone.
            self._inner.uploaded(dataset, change),
        )
