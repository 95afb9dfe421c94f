"""What `lakegate convert` runs on: local files under the keys they would have in the landing bucket, and books in a file.

Each conversion is a new version of its key, even of the same bytes: converting a file again replaces its rows. The books lie
beside the tables, so a conversion that died is finished by the next one, like any other.
"""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.reading.child import ChildReader

from pipelines.accounting.ledger import Ledger
from pipelines.contracts.loading import DatasetCatalog
from pipelines.contracts.model import Dataset
from pipelines.errors import ConfigurationError, ObjectGoneError
from pipelines.gate import Gate
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.ports import Change, ItemKey, ItemValue, Refused, Written
from resources.assembly import utc_now
from resources.folder import ROOT, FolderObjectStore, folder_tables
from resources.memory import MemoryItemStore

__all__ = ["LANDING", "ConversionStore", "FileItemStore", "LocalFile", "conversion_gate", "local_files"]

LANDING = "landing"
"""The name of the bucket that the local files stand for."""
_BOOKS_FILE = ".lakegate-books.db"
_CHUNK_BYTES = 4 << 20


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
            LANDING, key, f"{moment:x}", Sequencer(moment), status.st_size, "", datetime.fromtimestamp(moment / 1e9, UTC)
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
            raise ObjectGoneError(f"{version.key} was converted by an earlier command that did not finish; convert it again")
        try:
            status = file.path.stat()
        except OSError as error:
            raise ObjectGoneError(f"{file.path}: {error.strerror or error}") from error
        if (status.st_size, status.st_mtime_ns) != (version.size_bytes, file.modified_ns):
            raise ObjectGoneError(f"{file.path} changed while it was converted: convert it again")
        return file.path


class FileItemStore(MemoryItemStore):
    """Items in memory, each write kept in one SQLite file before it counts."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it, and loads every item."""
        super().__init__()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS items (pk TEXT, sk TEXT, item TEXT, PRIMARY KEY (pk, sk))")
        for pk, sk, text in self._database.execute("SELECT pk, sk, item FROM items").fetchall():
            super()._store(ItemKey(pk, sk), json.loads(text))

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        """Make all changes or none, on disk as in memory."""
        with self._lock:
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


def conversion_gate(root: Path, dataset: Dataset, files: Sequence[LocalFile]) -> Gate:
    """The gate of a folder: tables under `<root>/processed`, quarantine under `<root>/quarantine`."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{root} cannot be the output folder: {error.strerror or error}") from error
    if not os.access(root, os.W_OK):
        raise ConfigurationError(f"{root} cannot be the output folder: it is not writable")
    return Gate(
        datasets=DatasetCatalog((dataset,)),
        store=ConversionStore(root, files),
        ledger=Ledger(FileItemStore(root / _BOOKS_FILE), utc_now),
        tables=folder_tables(root),
        reader=ChildReader,
        clock=utc_now,
        landing_bucket=LANDING,
        quarantine_bucket=ROOT,
    )
