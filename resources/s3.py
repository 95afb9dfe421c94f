"""The ObjectStore port over S3: obstore for streaming reads, boto3 for all that is said once a file or batch.

obstore reads a small object for an eighth of boto3's CPU. It takes keys as paths and rewrites some (`/a`, `a//b`,
`a/`); another object would answer, so such keys are read by boto3.
"""

import os
import re
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from pipelines.errors import LakegateError, ObjectArchivedError, ObjectGoneError, PermanentError, TransientError
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import ListedVersion
from resources.aws_errors import as_lakegate_error, without_account_ids
from resources.environment import client, object_store

if TYPE_CHECKING:
    from obstore.store import S3Store

__all__ = ["S3ObjectStore"]

_CHUNK_BYTES = 4 << 20
_SINGLE_COPY_BYTES = 5 << 30  # S3 API: CopyObject takes objects up to 5 GB
_SINGLE_PUT_BYTES = 16 << 20
_DELETE_KEYS = 1000
_LIST_KEYS = 1000  # S3 API: the most that one page of a listing holds
_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound"})
_ARCHIVED = "InvalidObjectState"  # S3 API, GetObject: the storage class is an archive, and there is no restored copy
_TRANSFER = TransferConfig(
    multipart_threshold=_SINGLE_PUT_BYTES, multipart_chunksize=_SINGLE_PUT_BYTES, max_concurrency=4
)
_CLIENT_FAULT = re.compile(r"status code: 4\d\d")
_WAIT_FAULT = re.compile(r"status code: (408|409|425|429)|SlowDown|RequestTimeout|Throttl")


class S3ObjectStore:
    """Buckets of S3, reached as the environment says. Safe to share between threads."""

    def __init__(self) -> None:
        self._stores: dict[str, S3Store] = {}
        self._lock = threading.Lock()

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        """Stream exactly this version in chunks of at most 4 MiB: one request, sent when the first chunk is asked for.

        Raises ObjectGoneError when the version no longer exists, ObjectArchivedError when it lies in an archive, TransientError on a
        cut connection or short body.
        """
        chunks = self._read_obstore(version) if _is_plain(version.key) else self._read_boto3(version)
        for chunk in chunks:
            for start in range(0, len(chunk), _CHUNK_BYTES):
                yield chunk if len(chunk) <= _CHUNK_BYTES else chunk[start : start + _CHUNK_BYTES]

    def copy(self, version: ObjectVersion, bucket: str, key: str) -> None:
        """Copy exactly this version inside S3, in parts when it is larger than 5 GiB.

        Raises ObjectGoneError when the version no longer exists.
        """
        source = {"Bucket": version.bucket, "Key": version.key, "VersionId": version.version_id}
        with _boto_errors(f"copying {version.uri} to s3://{bucket}/{key}"):
            if version.size_bytes <= _SINGLE_COPY_BYTES:
                client("s3").copy_object(CopySource=source, Bucket=bucket, Key=key)
            else:
                client("s3").copy(CopySource=source, Bucket=bucket, Key=key, Config=TransferConfig())

    def put_bytes(self, bucket: str, key: str, content: bytes, content_type: str) -> None:
        """Write a small object."""
        with _boto_errors(f"writing s3://{bucket}/{key}"):
            client("s3").put_object(Bucket=bucket, Key=key, Body=content, ContentType=content_type)

    def put_file(self, bucket: str, key: str, path: Path) -> None:
        """Upload a local file: in one request up to 16 MiB, else in parts."""
        with _boto_errors(f"uploading {path.name} to s3://{bucket}/{key}"):
            if path.stat().st_size <= _SINGLE_PUT_BYTES:
                client("s3").put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
            else:
                client("s3").upload_file(str(path), bucket, key, Config=_TRANSFER)

    def get_bytes(self, bucket: str, key: str) -> bytes:
        """Read a small object whole. Raises ObjectGoneError when there is none."""
        with _boto_errors(f"reading s3://{bucket}/{key}"):
            return client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()

    def list_keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys under a prefix, in order."""
        with _boto_errors(f"listing s3://{bucket}/{prefix}"):
            for page in client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for listed in page.get("Contents", ()):
                    yield listed["Key"]

    def list_versions(self, bucket: str, prefix: str, start_after: str | None = None) -> Iterator[ListedVersion]:
        """Every version and delete marker under a prefix: by key, newest first within a key, a thousand a request.

        boto3 asks for URL-encoded keys and decodes them, so that keys which XML cannot hold survive.
        """
        asked = {"Bucket": bucket, "Prefix": prefix, **({"KeyMarker": start_after} if start_after else {})}
        pages = client("s3").get_paginator("list_object_versions")
        with _boto_errors(f"listing the versions of s3://{bucket}/{prefix}"):
            for page in pages.paginate(**asked, PaginationConfig={"PageSize": _LIST_KEYS}):
                listed = [_listed(bucket, item, is_marker=False) for item in page.get("Versions", ())]
                listed += [_listed(bucket, item, is_marker=True) for item in page.get("DeleteMarkers", ())]
                listed.sort(key=lambda one: one.version.landed_at, reverse=True)
                yield from sorted(listed, key=lambda one: (one.version.key.encode("utf-8", "surrogatepass"), not one.is_latest))  # fmt: skip

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Remove objects, a thousand a request; keys that do not exist are no error.

        Raises TransientError or PermanentError when S3 refuses a key; those before it are gone.
        """
        for start in range(0, len(keys), _DELETE_KEYS):
            part = [{"Key": key} for key in keys[start : start + _DELETE_KEYS]]
            with _boto_errors(f"deleting {len(part)} objects in s3://{bucket}"):
                answer = client("s3").delete_objects(Bucket=bucket, Delete={"Objects": part, "Quiet": True})
            for fault in answer.get("Errors", ()):
                if fault.get("Code") not in _GONE:
                    refused = ClientError(
                        {"Error": {"Code": fault["Code"], "Message": fault.get("Message", "")}}, "DeleteObjects"
                    )
                    raise as_lakegate_error(refused, f"deleting s3://{bucket}/{fault.get('Key')}")

    def uri(self, bucket: str, key: str) -> str:
        """`s3://<bucket>/<key>`."""
        return f"s3://{bucket}/{key}"

    def _store(self, bucket: str) -> "S3Store":
        with self._lock:
            if bucket not in self._stores:
                self._stores[bucket] = object_store(bucket)
            return self._stores[bucket]

    def _read_obstore(self, version: ObjectVersion) -> Iterator[bytes]:
        import obstore

        with _obstore_errors(version):
            _count_read()
            answer = obstore.get(self._store(version.bucket), version.key, options={"version": version.version_id})
            size = answer.meta["size"]
            read = 0
            if size <= _CHUNK_BYTES:
                content = bytes(answer.bytes())
                read = len(content)
                if content:
                    yield content
            else:
                for chunk in answer.stream(min_chunk_size=_CHUNK_BYTES // 2):
                    read += len(chunk)
                    yield bytes(chunk)
        _check_size(version, read, size)

    def _read_boto3(self, version: ObjectVersion) -> Iterator[bytes]:
        with _boto_errors(f"reading {version.uri}"):
            answer = client("s3").get_object(Bucket=version.bucket, Key=version.key, VersionId=version.version_id)
            read = 0
            for chunk in answer["Body"].iter_chunks(_CHUNK_BYTES):
                read += len(chunk)
                yield chunk
        _check_size(version, read, answer["ContentLength"])


def _listed(bucket: str, item: Mapping[str, Any], *, is_marker: bool) -> ListedVersion:
    version = ObjectVersion(
        bucket=bucket,
        key=item["Key"],
        version_id=item["VersionId"],
        sequencer=None,
        size_bytes=item.get("Size", 0),
        etag=item.get("ETag", ""),
        landed_at=item["LastModified"].astimezone(UTC),
    )
    return ListedVersion(version, item["IsLatest"], is_marker)


def _is_plain(key: str) -> bool:
    """Whether obstore takes the key as it is."""
    return key.isprintable() and all(segment not in ("", ".", "..") for segment in key.split("/"))


def _check_size(version: ObjectVersion, read: int, size: int) -> None:
    if read != size:
        raise TransientError(f"reading {version.uri}: {read} bytes came, {size} were announced")


@contextmanager
def _boto_errors(doing: str) -> Generator[None]:
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _GONE:
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
def _obstore_errors(version: ObjectVersion) -> Generator[None]:
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
        _count_read(known.code)
        raise known from error


def _count_read(code: str = "") -> None:
    """Count a read by obstore, or the error it came to; what it tries again by itself is not seen."""
    if os.environ.get("LAKEGATE_METRICS"):
        from resources.telemetry_aws import count_read

        count_read(code)


def _obstore_error(error: Exception, doing: str) -> LakegateError:
    """S3 answered with a fault of the request: permanent. Anything else, a cut or silent connection among it: transient."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    text = without_account_ids(str(error))
    if _ARCHIVED in text:
        return ObjectArchivedError(f"{doing}: it lies in an archive and was not restored")
    said = text if len(text) <= 500 else f"{text[:500]}…"
    if isinstance(error, ValueError | PermissionDeniedError | UnauthenticatedError):
        return PermanentError(f"{doing}: {said}")
    permanent = _CLIENT_FAULT.search(text) and not _WAIT_FAULT.search(text)
    return (PermanentError if permanent else TransientError)(f"{doing}: {said}")
