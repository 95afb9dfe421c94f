"""The ObjectStore port over S3: obstore for streaming reads, boto3 for all that is said once a file or batch."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from pipelines.intake.objects import ObjectVersion
from pipelines.ports import ListedVersion
from resources.aws_errors import as_lakegate_error
from resources.environment import client, object_store
from resources.s3_errors import GONE, boto_errors
from resources.s3_reading import read_version

if TYPE_CHECKING:
    from obstore.store import S3Store

__all__ = ["S3ObjectStore"]

_SINGLE_COPY_BYTES = 5 << 30  # S3 API: CopyObject takes objects up to 5 GB
_SINGLE_PUT_BYTES = 16 << 20
_DELETE_KEYS = 1000
_LIST_KEYS = 1000  # S3 API: the most that one page of a listing holds
_COPY_PART_BYTES = 256 << 20  # forty times fewer requests than boto3's own parts; S3 allows parts up to 5 GiB
_TRANSFER = TransferConfig(
    multipart_threshold=_SINGLE_PUT_BYTES, multipart_chunksize=_SINGLE_PUT_BYTES, max_concurrency=4
)
_COPY = TransferConfig(multipart_chunksize=_COPY_PART_BYTES, max_concurrency=4)


class S3ObjectStore:
    """Buckets of S3, reached as the environment says. Safe to share between threads."""

    def __init__(self) -> None:
        self._stores: dict[str, S3Store] = {}
        self._lock = threading.Lock()

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        """Stream exactly this version in chunks of at most 4 MiB; the first request is sent when the first chunk is asked for.

        A connection that is cut goes on where it was (`s3_reading.py`). Raises ObjectGoneError when the version no longer exists,
        ObjectArchivedError when it lies in an archive, TransientError where it is cut again and again.
        """
        return read_version(self._store, version)

    def copy(self, version: ObjectVersion, bucket: str, key: str) -> None:
        """Copy exactly this version inside S3, in parts when it is larger than 5 GiB.

        Raises ObjectGoneError when the version no longer exists.
        """
        source = {"Bucket": version.bucket, "Key": version.key, "VersionId": version.version_id}
        with boto_errors(f"copying {version.uri} to s3://{bucket}/{key}"):
            if version.size_bytes <= _SINGLE_COPY_BYTES:
                client("s3").copy_object(CopySource=source, Bucket=bucket, Key=key)
            else:
                client("s3").copy(CopySource=source, Bucket=bucket, Key=key, Config=_COPY)

    def put_bytes(self, bucket: str, key: str, content: bytes, content_type: str) -> None:
        """Write a small object."""
        with boto_errors(f"writing s3://{bucket}/{key}"):
            client("s3").put_object(Bucket=bucket, Key=key, Body=content, ContentType=content_type)

    def put_file(self, bucket: str, key: str, path: Path) -> None:
        """Upload a local file: in one request up to 16 MiB, else in parts."""
        with boto_errors(f"uploading {path.name} to s3://{bucket}/{key}"):
            if path.stat().st_size <= _SINGLE_PUT_BYTES:
                client("s3").put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
            else:
                client("s3").upload_file(str(path), bucket, key, Config=_TRANSFER)

    def get_bytes(self, bucket: str, key: str) -> bytes:
        """Read a small object whole. Raises ObjectGoneError when there is none."""
        with boto_errors(f"reading s3://{bucket}/{key}"):
            return client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()

    def list_keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys under a prefix, in order."""
        with boto_errors(f"listing s3://{bucket}/{prefix}"):
            for page in client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for listed in page.get("Contents", ()):
                    yield listed["Key"]

    def list_versions(self, bucket: str, prefix: str, start_after: str | None = None) -> Iterator[ListedVersion]:
        """Every version and delete marker under a prefix: by key, newest first within a key, a thousand a request.

        boto3 asks for URL-encoded keys and decodes them, so that keys which XML cannot hold survive.
        """
        asked = {"Bucket": bucket, "Prefix": prefix, **({"KeyMarker": start_after} if start_after else {})}
        pages = client("s3").get_paginator("list_object_versions")
        with boto_errors(f"listing the versions of s3://{bucket}/{prefix}"):
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
            with boto_errors(f"deleting {len(part)} objects in s3://{bucket}"):
                answer = client("s3").delete_objects(Bucket=bucket, Delete={"Objects": part, "Quiet": True})
            for fault in answer.get("Errors", ()):
                if fault.get("Code") not in GONE:
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
