"""What `lakegate convert` runs on: local files under the keys they would have in the landing bucket, and books in a file.

Each conversion is a new version of its key, even of the same bytes: converting a file again replaces its rows. The books lie
beside the tables, so a conversion that died is finished by the next one, like any other. One conversion works in a folder
at a time: the books are locked, by a lock that ends with its process.

A folder is for reading with whatever reads Parquet, not for time travel: data files that the table no longer holds are
removed when a conversion ends, so that `processed/<table>/data/**/*.parquet` is the table.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pipelines.accounting.ledger import Ledger
from pipelines.contracts.loading import DatasetCatalog
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import tables_of
from pipelines.errors import ConfigurationError, ObjectGoneError, PermanentError, TransientError
from pipelines.gate import Gate
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import Change, ItemKey, ItemValue, Refused, Written
from pipelines.reading.child import ChildReader
from resources.clock import utc_now
from resources.folder import ROOT, FolderObjectStore, folder_tables
from resources.local_files import LANDING, LocalFile
from resources.memory import MemoryItemStore

if TYPE_CHECKING:
    from resources.iceberg import IcebergTables

__all__ = ["ConversionStore", "FileItemStore", "open_conversion"]

_BOOKS_FILE = ".lakegate-books.db"
_LOCK_WAIT_S = 60.0
"""How long a conversion waits for the one before it in the same folder."""


class ConversionStore(FolderObjectStore):
    """A folder to write to, and local files to read from."""

    def __init__(self, root: Path, files: Sequence[LocalFile]) -> None:
        """`root` receives `processed/…` and `quarantine/…`."""
        super().__init__(root)
        self._files = {file.version: file for file in files}

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        """Stream a local file in chunks of at most 4 MiB. Raises ObjectGoneError when it is gone or was changed."""
        yield from self._file(version).chunks()

    def copy(self, version: ObjectVersion, bucket: str, key: str) -> None:
        """Copy a local file, unchanged, to where the pipeline would put it."""
        target = self.path(bucket, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._file(version).unchanged(), target)

    def _file(self, version: ObjectVersion) -> LocalFile:
        file = self._files.get(version)
        if file is None:
            raise ObjectGoneError(
                f"{version.key} was converted by an earlier command that did not finish; convert it again"
            )
        return file


class FileItemStore(MemoryItemStore):
    """Items in memory, each write kept in one SQLite file before it counts. Locks the file until it is closed."""

    def __init__(self, path: Path, lock_wait_s: float = _LOCK_WAIT_S) -> None:
        """Opens the file, or makes it, and loads every item.

        Raises TransientError when another process has it, ConfigurationError when it is not a file of ours.
        """
        super().__init__()
        self._path = path
        with self._errors("opening"):
            self._database = sqlite3.connect(path, lock_wait_s, check_same_thread=False, isolation_level=None)
            try:
                # Exclusive first: what is in memory is true only while nobody else writes.
                self._database.execute("PRAGMA locking_mode=EXCLUSIVE")
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=NORMAL")
                self._database.execute("BEGIN IMMEDIATE")
                self._database.execute(
                    "CREATE TABLE IF NOT EXISTS items (pk TEXT, sk TEXT, item TEXT, PRIMARY KEY (pk, sk))"
                )
                self._database.execute("COMMIT")
                for pk, sk, text in self._database.execute("SELECT pk, sk, item FROM items").fetchall():
                    super()._store(ItemKey(pk, sk), json.loads(text))
            except BaseException:
                self._database.close()
                raise

    def close(self) -> None:
        """Let go of the file, and of its lock."""
        self._database.close()

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        """Make all changes or none, on disk as in memory. Raises PermanentError when the disk refuses."""
        with self._lock, self._errors("writing"):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                outcome = super().write(changes)
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
            return outcome

    def _store(self, key: ItemKey, item: dict[str, ItemValue] | None) -> None:
        if item is None:
            self._database.execute("DELETE FROM items WHERE pk = ? AND sk = ?", (key.pk, key.sk))
        else:
            text = json.dumps(item)
            self._database.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", (key.pk, key.sk, text))
        super()._store(key, item)

    @contextmanager
    def _errors(self, doing: str) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise TransientError(
                    f"another conversion is writing to {self._path.parent}: wait until it has ended, then do this again"
                ) from error
            raise PermanentError(f"{doing} {self._path}: {error}") from error
        except (sqlite3.DatabaseError, ValueError) as error:
            raise ConfigurationError(
                f"{self._path} is not what `lakegate convert` keeps its books in ({error}): give another output folder"
            ) from error


@contextmanager
def open_conversion(root: Path, dataset: Dataset, files: Sequence[LocalFile]) -> Generator[Gate]:
    """The gate of a folder: tables under `<root>/processed`, quarantine under `<root>/quarantine`; closed on leaving.

    On leaving without a fault, data files that the dataset's table no longer holds are removed.
    Raises ConfigurationError when the folder cannot be written to, TransientError while another conversion has it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigurationError(f"{root} cannot be the output folder: {said}") from error
    if not os.access(root, os.W_OK):
        raise ConfigurationError(f"{root} cannot be the output folder: it is not writable")
    items = FileItemStore(root / _BOOKS_FILE)
    try:
        store, tables = ConversionStore(root, files), folder_tables(root)
        yield Gate(
            datasets=DatasetCatalog((dataset,)),
            store=store,
            ledger=Ledger(items, utc_now),
            tables=tables,
            reader=ChildReader,
            clock=utc_now,
            landing_bucket=LANDING,
            quarantine_bucket=ROOT,
        )
        for table in tables_of(dataset):
            _remove_unheld(store, tables, table)
    finally:
        items.close()


def _remove_unheld(store: ConversionStore, tables: "IcebergTables", dataset: Dataset) -> None:
    """Remove data files that the table's present state does not hold: superseded ones, and those of attempts that died."""
    table = tables.load(dataset)
    snapshot = table.current_snapshot()
    # By name, which no two files share: the folder may have been reached by another path when they were written.
    held = {
        PurePosixPath(entry.data_file.file_path).name
        for manifest in (snapshot.manifests(table.io) if snapshot else ())
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    }
    bucket, prefix = tables.data_location(dataset)
    unheld = [key for key in store.list_keys(bucket, f"{prefix}/") if PurePosixPath(key).name not in held]
    store.delete(bucket, unheld)
