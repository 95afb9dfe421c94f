"""Reading one object version from S3 as a stream, however long it takes and however often the connection is cut.

What came is never asked for again: after a cut, a ranged request goes on behind the last byte, for the same version and the same entity
tag (Amazon S3 API Reference, GetObject: `Range`, `If-Match`, `versionId`). No request is limited in time as a whole, because a
large object takes as long as its reader; a connection that stays silent is. (obstore goes on by itself too, but only within its
first three minutes.)

obstore reads a small object for an eighth of boto3's CPU. It takes keys as paths and rewrites some (`/a`, `a//b`,
`a/`); another object would answer, so such keys are read by boto3.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.errors import TransientError
from pipelines.intake.objects import ObjectVersion
from resources.environment import TOTAL_MAX_ATTEMPTS, client
from resources.s3_errors import boto_errors, count_read, obstore_errors

if TYPE_CHECKING:
    from obstore.store import S3Store

__all__ = ["read_version"]

_CHUNK_BYTES = 4 << 20
_STEP_BYTES = 1 << 20
"""A connection that brought less than this before it was cut did not help."""
_FIRST_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class _Answer:
    """What S3 answered: the rest of the object, of which the whole has `size` bytes and this tag."""

    size: int
    etag: str | None
    chunks: Iterator[bytes]


def read_version(store: "Callable[[str], S3Store]", version: ObjectVersion) -> Iterator[bytes]:
    """Stream exactly this version in chunks of at most 4 MiB; `store` gives obstore's store of a bucket.

    Raises ObjectGoneError when the version no longer exists, ObjectArchivedError when it lies in an archive, TransientError when it
    cannot be reached, or one connection after the other is cut within a mebibyte.
    """
    read, begun, idle = 0, None, 0
    while begun is None or read < begun.size:
        before = read
        try:
            answer = _ask(store, version, read, None if begun is None else begun.etag)
            begun = begun or answer
            for chunk in answer.chunks:
                read += len(chunk)
                for start in range(0, len(chunk), _CHUNK_BYTES):
                    yield chunk if len(chunk) <= _CHUNK_BYTES else chunk[start : start + _CHUNK_BYTES]
            if read != begun.size:
                raise TransientError(f"reading {version.uri}: {read:,} bytes came, {begun.size:,} were announced")
        except TransientError:
            idle = 0 if read - before >= _STEP_BYTES else idle + 1
            if begun is None or idle >= TOTAL_MAX_ATTEMPTS or read > begun.size:
                raise
            time.sleep(_FIRST_PAUSE_S * 2**idle)


def _ask(store: "Callable[[str], S3Store]", version: ObjectVersion, start: int, etag: str | None) -> _Answer:
    """One request for what begins at `start`, of the object with this tag if one is given."""
    if _is_plain(version.key):
        return _ask_obstore(store(version.bucket), version, start, etag)
    return _ask_boto3(version, start, etag)


def _ask_obstore(store: "S3Store", version: ObjectVersion, start: int, etag: str | None) -> _Answer:
    import obstore

    options: Any = {"version": version.version_id}
    if start:
        options |= {"range": {"offset": start}, "if_match": etag}
    with obstore_errors(version):
        count_read()
        answer = obstore.get(store, version.key, options=options)
        size, tag = answer.meta["size"], answer.meta["e_tag"]

    def chunks() -> Iterator[bytes]:
        with obstore_errors(version):
            if size - start <= _CHUNK_BYTES:
                content = bytes(answer.bytes())
                if content:
                    yield content
            else:
                for chunk in answer.stream(min_chunk_size=_CHUNK_BYTES // 2):
                    yield bytes(chunk)

    return _Answer(size, tag, chunks())


def _ask_boto3(version: ObjectVersion, start: int, etag: str | None) -> _Answer:
    asked = {"Bucket": version.bucket, "Key": version.key, "VersionId": version.version_id}
    if start:
        asked |= {"Range": f"bytes={start}-", "IfMatch": etag or "*"}
    with boto_errors(f"reading {version.uri}"):
        answer = client("s3").get_object(**asked)

    def chunks() -> Iterator[bytes]:
        with boto_errors(f"reading {version.uri}"):
            yield from answer["Body"].iter_chunks(_CHUNK_BYTES)

    return _Answer(start + answer["ContentLength"], answer["ETag"], chunks())


def _is_plain(key: str) -> bool:
    """Whether obstore takes the key as it is."""
    return key.isprintable() and all(segment not in ("", ".", "..") for segment in key.split("/"))
