"""A disk without room is a fault of this machine, never of the file that happened to be written or read."""

import errno
import tempfile
from collections.abc import Generator
from contextlib import contextmanager

from pipelines.errors import DiskFullError

__all__ = ["disk_full", "full_disk_is_ours", "is_disk_full"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_disk_full(error: BaseException) -> bool:
    """Whether an error of the operating system, or of Arrow, says that a file has no room to grow."""
    return isinstance(error, OSError) and error.errno in _FULL


def disk_full(what: str) -> DiskFullError:
    """The error that says what to do; `what` is how the operating system put it."""
    return DiskFullError(
        f"No room is left for temporary files in {tempfile.gettempdir()} ({what}). Free some, or let TMPDIR name a larger disk; "
        "nothing is lost, and the files are tried again by themselves."
    )


@contextmanager
def full_disk_is_ours() -> Generator[None]:
    """Raise DiskFullError for an error inside that says that the disk is full."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise disk_full(error.strerror or str(error)) from error
