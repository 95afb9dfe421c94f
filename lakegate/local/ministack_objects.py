"""Large objects in ministack: streamed from their files, and in part where a part is asked for; loaded by `ministack_launcher.py`.

As it ships, ministack reads an object whole into memory for each request, all other requests waiting meanwhile, and answers a request
for a part of a version with all of it; and bodies of versions stay in memory for good. What is being uploaded in parts is in memory, twice, until
the upload is complete: that is left as it is.
Like the launcher it imports nothing of Lakegate and is imported by nothing of it.
"""

import asyncio
import contextlib
import importlib
import os
from collections.abc import Callable, Generator
from typing import Any

LARGE_BYTES = 8 << 20
"""Bodies beyond this stay on disk: one of 8 MiB is read in some milliseconds."""
STEP_BYTES = 1 << 20


class LargeBody:
    """A part of a file, in the place of its bytes. It stays what it is when the object goes: the file is open."""

    def __init__(self, descriptor: int, start: int, size: int, *, slices_are_bytes: bool) -> None:
        self.descriptor = descriptor
        self.start = start
        self.size = size
        self.slices_are_bytes = slices_are_bytes

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, wanted: slice) -> "LargeBody | bytes":
        first, behind, _ = wanted.indices(self.size)
        size = max(0, behind - first)
        if self.slices_are_bytes:
            return os.pread(self.descriptor, size, self.start + first)
        return LargeBody(self.descriptor, self.start + first, size, slices_are_bytes=False)


def apply() -> None:
    """Correct ministack, before it serves."""
    s3: Any = importlib.import_module("ministack.services.s3")
    responses: Any = importlib.import_module("ministack.core.responses")
    s3._get_object = _streaming(s3, responses.StreamingResponse, s3._get_object)
    s3._upload_part_copy = _reading_parts(s3, s3._upload_part_copy)
    s3._persist_object = _forgetting(s3, s3._persist_object)


def _forgetting(s3: Any, persist: Callable[..., Any]) -> Callable[..., Any]:
    """Let the body of a large version go once it is on disk; ministack finds it there."""

    def persist_and_forget(bucket: str, key: str, record: Any) -> None:
        persist(bucket, key, record)
        path = s3._object_disk_path(bucket, key)
        if not isinstance(record, dict) or path is None or not os.path.isfile(path):
            return
        for version in s3._object_versions.get((bucket, key)) or ():
            held = version.get("data")
            is_it = version["version_id"] == record.get("version_id")
            if is_it and held is not None and LARGE_BYTES < len(held) == os.path.getsize(path):
                version["data"] = None

    return persist_and_forget


def _streaming(s3: Any, streaming_response: Any, get_object: Callable[..., Any]) -> Callable[..., Any]:
    def get(bucket: str, key: str, headers: dict[str, str], query: dict[str, Any] | None = None) -> Any:
        with _bodies_on_disk(s3, slices_are_bytes=False) as opened:
            status, said, body = get_object(bucket, key, headers, query)
            wanted = headers.get("range")
            if status == 200 and wanted and s3._qp(query or {}, "versionId"):
                status, said, body = _part(s3, wanted, said, body, f"/{bucket}/{key}")
            if not isinstance(body, LargeBody):
                return status, said, body
            opened.remove(body.descriptor)
            return status, {**said, "Content-Length": str(body.size)}, streaming_response(_sender(body))

    return get


def _part(s3: Any, wanted: str, said: dict[str, str], body: Any, resource: str) -> Any:
    """The part of a version that a request asks for (Amazon S3 API Reference, GetObject: `Range`)."""
    size = len(body)
    found = s3._parse_range(wanted, size)
    if found is None:
        return s3._error("InvalidRange", "The requested range is not satisfiable", 416, resource)
    first, last = found
    kept = {name: value for name, value in said.items() if not name.lower().startswith("x-amz-checksum-")}
    length = {"Content-Length": str(last - first + 1), "Content-Range": f"bytes {first}-{last}/{size}"}
    return 206, {**kept, **length}, body[first : last + 1]


def _sender(body: LargeBody) -> Callable[[Any, Any], Any]:
    async def run(send: Any, receive: Any) -> None:
        gone = asyncio.ensure_future(_left(receive))
        try:
            at, end = body.start, body.start + body.size
            while at < end and not gone.done():
                piece = os.pread(body.descriptor, min(STEP_BYTES, end - at), at)
                at += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": at < end})
                await asyncio.sleep(0)  # others are answered between two pieces
        finally:
            gone.cancel()
            os.close(body.descriptor)

    return run


async def _left(receive: Any) -> None:
    """Return when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _reading_parts(s3: Any, copy_part: Callable[..., Any]) -> Callable[..., Any]:
    def copy(*given: Any) -> Any:
        with _bodies_on_disk(s3, slices_are_bytes=True):
            return copy_part(*given)

    return copy


@contextlib.contextmanager
def _bodies_on_disk(s3: Any, *, slices_are_bytes: bool) -> Generator[list[int]]:
    """Let ministack find the bodies of large objects as what they are on disk; files that stay in the list are closed at the end.

    Requests are answered one at a time, and none waits inside: nobody else sees the other functions.
    """
    read_body, version_body = s3._read_body, s3._version_body
    opened: list[int] = []

    def on_disk(path: str | None) -> LargeBody | None:
        if path is None or not os.path.isfile(path) or os.path.getsize(path) <= LARGE_BYTES:
            return None
        descriptor = os.open(path, os.O_RDONLY)
        opened.append(descriptor)
        return LargeBody(descriptor, 0, os.fstat(descriptor).st_size, slices_are_bytes=slices_are_bytes)

    def large_body(bucket: str, key: str, found: dict[str, Any]) -> Any:
        large = on_disk(s3._object_disk_path(bucket, key)) if found.get("body") is None else None
        return read_body(bucket, key, found) if large is None else large

    def large_version(bucket: Any, name: str, key: str, version: dict[str, Any]) -> Any:
        if version.get("data") is None and (large := on_disk(s3._version_disk_path(name, key, version["version_id"]))):
            return large
        return version_body(bucket, name, key, version)

    s3._read_body, s3._version_body = large_body, large_version
    try:
        yield opened
    finally:
        s3._read_body, s3._version_body = read_body, version_body
        for descriptor in opened:
            os.close(descriptor)
