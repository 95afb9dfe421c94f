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
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pipelines.accounting.ledger import Ledger
from pipelines.contracts.loading import DatasetCatalog
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import tables_of
from pipelines.errors import ConfigurationError, ObjectGoneError, PermanentError, TransientError
from pipelines.gate import Gate
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.ports import Change, ItemKey, ItemValue, Refused, Written
from pipelines.reading.child import ChildReader
from resources.assembly import utc_now
from resources.folder import ROOT, FolderObjectStore, folder_tables
from resources.memory import MemoryItemStore

if TYPE_CHECKING:
    from resources.iceberg import IcebergTables

__all__ = ["LANDING", "ConversionStore", "FileItemStore", "LocalFile", "local_files", "open_conversion"]

LANDING = "landing"
"""The name of the bucket that the local files stand for."""
_BOOKS_FILE = ".lakegate-books.db"
_CHUNK_BYTES = 4 << 20
_LOCK_WAIT_S = 60.0
"""How long a conversion waits for the one before it in the same folder."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One file of this machine under the key it would land as; it must not change while it is read."""

    path: Path
    version: ObjectVersion
    modified_ns: int


def local_files(paths_by_key: Mapping[str, Path]) -> list[LocalFile]:
    """Take local files as new object versions, in order. Raises ConfigurationError for one that cannot be read."""
    found: list[LocalFile] = []
    for key, path in paths_by_key.items():
        try:
            status = path.stat()
            with path.open("rb"):
                pass
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror or error}") from error
        moment = time.time_ns() + len(found)
        version = ObjectVersion(
            LANDING,
            key,
            f"{moment:x}",
            Sequencer(moment),
            status.st_size,
            "",
            datetime.fromtimestamp(moment / 1e9, UTC),
        )
        found.append(LocalFile(path, version, status.st_mtime_ns))
    return found


class ConversionStore(FolderObjectStore):
    """A folder to write to, and local files to read from."""

    def __init__(self, root: Path, files: Sequence[LocalFile]) -> None:
        """`root` receives `processed/…` and `quarantine/…`."""
        super().__init__(root)
        self._files = {file.version: file for file in files}

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        """Stream a local file in chunks of at most 4 MiB. Raises ObjectGoneError when it is gone or was changed."""
        with self._unchanged(version).open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                yield chunk
        self._unchanged(version)

    def copy(self, version: ObjectVersion, bucket: str, key: str) -> None:
        """Copy a local file, unchanged, to where the pipeline would put it."""
        target = self.path(bucket, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._unchanged(version), target)

    def _unchanged(self, version: ObjectVersion) -> Path:
        file = self._files.get(version)
        if file is None:
            raise ObjectGoneError(
                f"{version.key} was converted by an earlier command that did not finish; convert it again"
            )
        try:
            status = file.path.stat()
        except OSError as error:
            raise ObjectGoneError(f"{file.path}: {error.strerror or error}") from error
        if (status.st_size, status.st_mtime_ns) != (version.size_bytes, file.modified_ns):
            raise ObjectGoneError(f"{file.path} changed while it was converted: convert it again")
        return file.path


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
