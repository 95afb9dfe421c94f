"""Files of this machine as the object versions they would land as, for `lakegate validate` and `convert`."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import ConfigurationError, ObjectGoneError
from pipelines.intake.objects import ObjectVersion, Sequencer

__all__ = ["LANDING", "LocalFile", "local_files"]

LANDING = "landing"
"""The name of the bucket that the local files stand for."""
_CHUNK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One file of this machine under the key it would land as; it must not change while it is read."""

    path: Path
    version: ObjectVersion
    modified_ns: int

    def chunks(self) -> Iterator[bytes]:
        """Stream it in chunks of at most 4 MiB. Raises ObjectGoneError when it is gone or was changed."""
        with self.unchanged().open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                yield chunk
        self.unchanged()

    def unchanged(self) -> Path:
        """Where it lies. Raises ObjectGoneError when it is gone or was changed since it was taken."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise ObjectGoneError(f"{self.path}: {error.strerror or error}") from error
        if (status.st_size, status.st_mtime_ns) != (self.version.size_bytes, self.modified_ns):
            raise ObjectGoneError(f"{self.path} changed while it was converted: convert it again")
        return self.path


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
