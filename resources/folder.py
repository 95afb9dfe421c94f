"""A folder in place of S3 and Glue: what `lakegate convert` publishes into, by the very same code.

A bucket is a sub-folder of the root; the bucket `.` is the root itself, so that keys such as `processed/…` and
`quarantine/…` come out as folders of those names. The bucket `local` holds every file of this machine under its absolute
path: input files stay where they are. The catalog is one SQLite file in the root.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import ObjectGoneError, PermanentError, TransientError
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.ports import ListedVersion

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from resources.iceberg import IcebergTables

__all__ = ["CATALOG_FILE", "LOCAL", "ROOT", "FolderObjectStore", "folder_tables", "local_version"]

LOCAL = "local"
"""The bucket of all files of this machine; keys are absolute paths."""
ROOT = "."
"""The bucket that is the root folder itself."""
CATALOG_FILE = ".lakegate-catalog.db"
_CHUNK_BYTES = 4 << 20
_WRITING = ".writing-"


def local_version(path: Path, bucket: str = LOCAL, key: str | None = None) -> ObjectVersion:
    """A file of this machine as an object version: its version id changes with its size and modification time.

    Raises ObjectGoneError when there is no such file.
    """
    absolute = path.absolute()
    with _file_errors(f"looking at {absolute}"):
        status = absolute.stat()
    return ObjectVersion(
        bucket=bucket,
        key=key or str(absolute),
        version_id=_version_id(absolute, status),
        sequencer=Sequencer(status.st_mtime_ns),
        size_bytes=status.st_size,
        etag="",
        landed_at=datetime.fromtimestamp(status.st_mtime, UTC),
    )


class FolderObjectStore:
    """The ObjectStore port over a folder. A version is what the file is now: an older one is gone."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        """Stream the file in chunks of at most 4 MiB.

        Raises ObjectGoneError when it is gone or was changed, TransientError when it ends early.
        """
        path = self._version_path(version)
        with _file_errors(f"reading {path}"), path.open("rb") as file:
            rest = version.size_bytes
            while chunk := file.read(_CHUNK_BYTES):
                rest -= len(chunk)
                yield chunk
        if rest != 0:
            raise TransientError(
                f"{path} has {version.size_bytes - rest} bytes, not {version.size_bytes}: is it still growing?"
            )

    def copy(self, version: ObjectVersion, bucket: str, key: str) -> None:
        """Copy the file, unchanged. Raises ObjectGoneError when it is gone or was changed."""
        self.put_file(bucket, key, self._version_path(version))

    def put_bytes(self, bucket: str, key: str, content: bytes, content_type: str) -> None:  # noqa: ARG002  # a folder has no content types
        """Write a small object, whole or not at all."""
        with self._replacing(bucket, key) as temporary:
            temporary.write_bytes(content)

    def put_file(self, bucket: str, key: str, path: Path) -> None:
        """Copy a local file in, whole or not at all."""
        with self._replacing(bucket, key) as temporary:
            shutil.copyfile(path, temporary)

    def get_bytes(self, bucket: str, key: str) -> bytes:
        """Read a small object whole. Raises ObjectGoneError when there is none."""
        path = self.path(bucket, key)
        with _file_errors(f"reading {path}"):
            return path.read_bytes()

    def list_keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys under a prefix, in order."""
        base = self.path(bucket, "")
        below = base / prefix.rpartition("/")[0]
        keys = [
            str(Path(folder, name).relative_to(base))
            for folder, _, names in os.walk(below)
            for name in names
            if not name.startswith(_WRITING)
        ]
        yield from sorted(key for key in keys if key.startswith(prefix))

    def list_versions(self, bucket: str, prefix: str, start_after: str | None = None) -> Iterator[ListedVersion]:
        """Every file under a prefix as the one version it has; a file that goes meanwhile is left out."""
        keys = sorted(self.list_keys(bucket, prefix), key=os.fsencode)
        for key in keys:
            if start_after is None or os.fsencode(key) > os.fsencode(start_after):
                with suppress(ObjectGoneError):
                    yield ListedVersion(local_version(self.path(bucket, key), bucket, key), is_latest=True)

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Remove files, and the folders that become empty by it; keys that do not exist are no error."""
        base = self.path(bucket, "")
        for key in keys:
            path = self.path(bucket, key)
            with _file_errors(f"deleting {path}"):
                path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == base or base not in folder.parents:
                    break
                with suppress(OSError):
                    folder.rmdir()

    def uri(self, bucket: str, key: str) -> str:
        """`file://…`; the bare path where a URL would end early at one of its characters."""
        path = self.path(bucket, key)
        return str(path) if any(c in str(path) for c in "?#%;") else f"file://{path}"

    def path(self, bucket: str, key: str) -> Path:
        """Where an object lies. Raises PermanentError for a bucket or key that would lead out of its folder."""
        if bucket == LOCAL:
            path = Path(key)
            if not path.is_absolute():
                raise PermanentError(f"a key of the bucket {LOCAL} is an absolute path, not {key!r}")
            return path
        if (
            not bucket
            or "/" in bucket
            or bucket == ".."
            or key.startswith("/")
            or ".." in key.split("/")
            or "\0" in key
        ):
            raise PermanentError(f"{bucket!r}, {key!r} cannot be a bucket and key in a folder")
        return self.root / bucket / key

    def _version_path(self, version: ObjectVersion) -> Path:
        path = self.path(version.bucket, version.key)
        with _file_errors(f"reading {path}"):
            status = path.stat()
        if _version_id(path.absolute(), status) != version.version_id:
            raise ObjectGoneError(f"{path} was changed after it was listed: convert it again")
        return path

    @contextmanager
    def _replacing(self, bucket: str, key: str) -> Generator[Path]:
        """A temporary file that takes the object's place when all went well."""
        target = self.path(bucket, key)
        with _file_errors(f"writing {target}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=_WRITING)
            os.close(handle)
            temporary = Path(name)
            try:
                yield temporary
                temporary.chmod(0o644)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)


def folder_tables(root: Path) -> "IcebergTables":
    """Tables under `<root>/processed/`, catalogued in a SQLite file in the root."""
    from resources.iceberg import IcebergTables

    store = FolderObjectStore(root)

    def catalog() -> "Catalog":
        from pyiceberg.catalog.sql import SqlCatalog

        store.root.mkdir(parents=True, exist_ok=True)
        made = SqlCatalog(
            "lakegate",
            uri=f"sqlite:///{store.root / CATALOG_FILE}",
            **{"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO"},
        )
        made.create_namespace_if_not_exists("lakegate")
        return made

    return IcebergTables(catalog, store, database="lakegate", bucket=ROOT)


def _version_id(path: Path, status: os.stat_result) -> str:
    said = f"{path}\0{status.st_size}\0{status.st_mtime_ns}"
    return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@contextmanager
def _file_errors(doing: str) -> Generator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ObjectGoneError(f"{doing}: {error.strerror}") from error
    except OSError as error:
        raise PermanentError(f"{doing}: {error.strerror or error}") from error
