"""What S3 answers, as our own errors: whether it came through boto3 or through obstore."""

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from pipelines.errors import LakegateError, ObjectArchivedError, ObjectGoneError, PermanentError, TransientError
from pipelines.intake.objects import ObjectVersion
from resources.aws_errors import as_lakegate_error, without_account_ids

__all__ = ["GONE", "boto_errors", "count_read", "obstore_errors"]

GONE = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound"})
"""The error codes of what is not there."""
_ARCHIVED = "InvalidObjectState"  # S3 API, GetObject: the storage class is an archive, and there is no restored copy
_GONE_MEANWHILE = re.compile("<Code>(NoSuchKey|NoSuchVersion)</Code>")  # when obstore itself went on after a cut
_CLIENT_FAULT = re.compile(r"status code: 4\d\d")
_WAIT_FAULT = re.compile(r"status code: (408|409|425|429)|SlowDown|RequestTimeout|Throttl")


@contextmanager
def boto_errors(doing: str) -> Generator[None]:
    """Raise ObjectGoneError, ObjectArchivedError, TransientError or PermanentError for what boto3 raises inside; `doing` says at what."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in GONE:
            raise ObjectGoneError(f"{doing}: it no longer exists") from error
        if error.response.get("Error", {}).get("Code") == _ARCHIVED:
            raise ObjectArchivedError(f"{doing}: it lies in an archive and was not restored") from error
        raise as_lakegate_error(error, doing) from error
    except BotoCoreError as error:
        raise as_lakegate_error(error, doing) from error
    except Boto3Error as error:
        # upload_file wraps what went wrong in an error of its own.
        cause: Any = error.__cause__ or error.__context__
        if isinstance(cause, ClientError | BotoCoreError):
            raise as_lakegate_error(cause, doing) from error
        raise TransientError(f"{doing}: {error}") from error


@contextmanager
def obstore_errors(version: ObjectVersion) -> Generator[None]:
    """The same for what obstore raises while this version is read."""
    from obstore.exceptions import BaseError

    doing = f"reading {version.uri}"
    try:
        yield
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise PermanentError(f"{doing}: there is no bucket {version.bucket}") from error
        raise ObjectGoneError(f"{doing}: this version no longer exists") from error
    except (BaseError, OSError, ValueError) as error:
        known = _obstore_error(error, doing)
        count_read(known.code)
        raise known from error


def count_read(code: str = "") -> None:
    """Count a read by obstore, or the error it came to; what it tries again by itself is not seen."""
    if os.environ.get("LAKEGATE_METRICS"):
        from resources.telemetry_aws import count_read as count

        count(code)


def _obstore_error(error: Exception, doing: str) -> LakegateError:
    """S3 answered with a fault of the request: permanent. Anything else, a cut or silent connection among it: transient."""
    from obstore.exceptions import PermissionDeniedError, PreconditionError, UnauthenticatedError

    if isinstance(error, PreconditionError):
        return ObjectGoneError(f"{doing}: another object has taken its place while it was read")
    text = without_account_ids(str(error))
    if _ARCHIVED in text:
        return ObjectArchivedError(f"{doing}: it lies in an archive and was not restored")
    if _GONE_MEANWHILE.search(text):
        return ObjectGoneError(f"{doing}: this version no longer exists")
    said = text if len(text) <= 500 else f"{text[:500]}…"
    if isinstance(error, ValueError | PermissionDeniedError | UnauthenticatedError):
        return PermanentError(f"{doing}: {said}")
    permanent = _CLIENT_FAULT.search(text) and not _WAIT_FAULT.search(text)
    return (PermanentError if permanent else TransientError)(f"{doing}: {said}")
