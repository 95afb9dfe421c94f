"""The border to PyIceberg and all that it stands on: every error becomes one of our types."""

from collections.abc import Generator
from contextlib import contextmanager

from pipelines.disk import disk_full, is_disk_full
from pipelines.errors import LakegateError, PermanentError, TransientError

__all__ = ["mapped"]


@contextmanager
def mapped(doing: str) -> Generator[None]:
    """Let no exception of a library through; `doing` says at what it was raised."""
    try:
        yield
    except LakegateError:
        raise
    except Exception as error:  # the border: whatever it is, it gets one of our types
        raise _as_lakegate_error(error, doing) from error


def _as_lakegate_error(error: Exception, doing: str) -> LakegateError:
    from botocore.exceptions import BotoCoreError, ClientError
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
    from sqlalchemy.exc import DBAPIError

    from resources.aws_errors import as_lakegate_error, without_account_ids

    match error:
        case ClientError() | BotoCoreError():
            return as_lakegate_error(error, doing)
        case NoSuchTableError() | NoSuchNamespaceError():
            return PermanentError(
                f"{doing}: {error}. Was it dropped? `lakegate setup` makes the database, a run the table."
            )
        case DBAPIError():
            return TransientError(f"{doing}: the catalog's database: {error.orig}")
        case OSError() if is_disk_full(error):
            return disk_full(error.strerror or str(error))
        case OSError() | TimeoutError():
            # Arrow's file systems raise OSError for whatever S3 answers; a cut connection and a lost answer are among it.
            return TransientError(f"{doing}: {without_account_ids(str(error))}")
        case _:
            return PermanentError(f"{doing}: {type(error).__name__}: {error}")
