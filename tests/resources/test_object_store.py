"""One behaviour suite for every object store: in memory, in a folder, and S3 as the laptop's AWS serves it."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines.errors import ObjectArchivedError, ObjectGoneError, PermanentError, TransientError
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.ports import ObjectStore
from resources.folder import LOCAL, ROOT, FolderObjectStore, local_version
from resources.memory import MemoryObjectStore

CHUNK = 4 << 20
KINDS = [pytest.param("memory"), pytest.param("folder"), pytest.param("s3", marks=pytest.mark.aws)]
ODD_KEYS = [
    "landing/a b+c&d=e%2Ff.csv",
    "landing/größe/файл.csv",
    "landing/back\\slash#?.csv",
    "landing/it's (1) [2] {3} ~!@$^*.csv",
]


@dataclass
class World:
    """A store, a bucket that producers write to, and one that we write to."""

    store: ObjectStore
    landing: str
    target: str
    land: Callable[[str, bytes], ObjectVersion]
    remove: Callable[[ObjectVersion], None]
    hide: Callable[[str], str] | None = None
    """Deletes a key by a marker and returns the marker's version id; None where nothing keeps versions."""


def memory_world() -> World:
    store = MemoryObjectStore()

    def land(key: str, content: bytes) -> ObjectVersion:
        moment = datetime.now(UTC)
        version = ObjectVersion("landing", key, uuid.uuid4().hex, Sequencer(1), len(content), "", moment)
        store.put_version(version, content)
        return version

    def hide(key: str) -> str:
        marker = ObjectVersion("landing", key, uuid.uuid4().hex, None, 0, "", datetime.now(UTC))
        store.put_marker(marker)
        return marker.version_id

    return World(store, "landing", "target", land, store.remove_version, hide)


def folder_world(root: Path) -> World:
    store = FolderObjectStore(root)

    def land(key: str, content: bytes) -> ObjectVersion:
        store.put_bytes("landing", key, content, "text/csv")
        path = store.path("landing", key)
        earlier = path.stat().st_mtime_ns
        os.utime(path, ns=(earlier, earlier + int.from_bytes(os.urandom(4), "big")))
        return local_version(path, "landing", key)

    return World(store, "landing", "target", land, lambda version: store.delete(version.bucket, [version.key]))


def s3_world() -> World:
    from resources.environment import client
    from resources.s3 import S3ObjectStore

    s3 = client("s3")
    landing, target = f"landing-{uuid.uuid4().hex[:12]}", f"target-{uuid.uuid4().hex[:12]}"
    for bucket in (landing, target):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=landing, VersioningConfiguration={"Status": "Enabled"})

    def land(key: str, content: bytes) -> ObjectVersion:
        put = s3.put_object(Bucket=landing, Key=key, Body=content)
        moment = datetime.now(UTC)
        return ObjectVersion(landing, key, put["VersionId"], Sequencer(1), len(content), put["ETag"], moment)

    def remove(version: ObjectVersion) -> None:
        s3.delete_object(Bucket=version.bucket, Key=version.key, VersionId=version.version_id)

    def hide(key: str) -> str:
        return s3.delete_object(Bucket=landing, Key=key)["VersionId"]

    return World(S3ObjectStore(), landing, target, land, remove, hide)


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "s3":
        request.getfixturevalue("local_aws")
    return {"memory": memory_world, "folder": lambda: folder_world(tmp_path), "s3": s3_world}[request.param]()


def test_a_version_is_read_whole_in_bounded_chunks(world: World) -> None:
    content = os.urandom(9 << 20)
    version = world.land("landing/large.bin", content)
    chunks = list(world.store.read(version))
    assert b"".join(chunks) == content
    assert max(map(len, chunks)) <= CHUNK


def test_an_empty_object_has_no_bytes(world: World) -> None:
    assert b"".join(world.store.read(world.land("landing/empty.csv", b""))) == b""


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_read_copied_and_listed_as_they_are(world: World, key: str) -> None:
    version = world.land(key, b"odd")
    assert b"".join(world.store.read(version)) == b"odd"
    world.store.copy(version, world.target, key)
    assert list(world.store.list_keys(world.target, "landing/")) == [key]
    assert world.store.get_bytes(world.target, key) == b"odd"
    world.store.delete(world.target, [key])
    assert list(world.store.list_keys(world.target, "")) == []


def test_a_version_that_was_removed_is_gone(world: World) -> None:
    version = world.land("landing/a.csv", b"1")
    world.remove(version)
    with pytest.raises(ObjectGoneError):
        list(world.store.read(version))
    with pytest.raises(ObjectGoneError):
        world.store.copy(version, world.target, "copy")


def test_a_key_that_never_was_is_gone(world: World) -> None:
    version = replace(world.land("landing/a.csv", b"1"), key="landing/never.csv")
    with pytest.raises(ObjectGoneError):
        list(world.store.read(version))
    with pytest.raises(ObjectGoneError):
        world.store.get_bytes(world.target, "never")


def test_copying_twice_leaves_one_unchanged_copy(world: World) -> None:
    version = world.land("landing/a.csv", b"\x00\xff as it came")
    for _ in range(2):
        world.store.copy(version, world.target, "quarantine/x/object")
    assert world.store.get_bytes(world.target, "quarantine/x/object") == b"\x00\xff as it came"
    assert list(world.store.list_keys(world.target, "quarantine/")) == ["quarantine/x/object"]


def test_a_file_is_uploaded_whole_and_replaces_what_was_there(world: World, tmp_path: Path) -> None:
    path = tmp_path / "staged.parquet"
    for content in (os.urandom(20 << 20), b"short"):
        path.write_bytes(content)
        world.store.put_file(world.target, "data/p=1/staged.parquet", path)
        assert world.store.get_bytes(world.target, "data/p=1/staged.parquet") == content


def test_keys_are_listed_in_order_below_any_prefix(world: World) -> None:
    for key in ("b/2", "a/1", "b/10", "ab", "b-c/3"):
        world.store.put_bytes(world.target, key, b"", "text/plain")
    assert list(world.store.list_keys(world.target, "")) == ["a/1", "ab", "b-c/3", "b/10", "b/2"]
    assert list(world.store.list_keys(world.target, "b/1")) == ["b/10"]
    assert list(world.store.list_keys(world.target, "b")) == ["b-c/3", "b/10", "b/2"]
    assert list(world.store.list_keys(world.target, "nothing/here")) == []


def test_deleting_what_is_not_there_is_no_error(world: World) -> None:
    world.store.put_bytes(world.target, "a", b"1", "text/plain")
    world.store.delete(world.target, ["a", "never"])
    world.store.delete(world.target, [])
    assert list(world.store.list_keys(world.target, "")) == []


def test_the_same_key_in_two_buckets_is_two_objects(world: World) -> None:
    version = world.land("same", b"landed")
    world.store.put_bytes(world.target, "same", b"ours", "text/plain")
    assert b"".join(world.store.read(version)) == b"landed"


# ---- versions -----------------------------------------------------------------------------------------------------


def listed(world: World, prefix: str = "landing/", **more: str) -> list[tuple[str, str, bool, bool]]:
    found = world.store.list_versions(world.landing, prefix, **more)
    return [(one.version.key, one.version.version_id, one.is_latest, one.is_marker) for one in found]


def test_a_listed_version_is_the_one_that_landed(world: World) -> None:
    version = world.land("landing/a.csv", b"12345")
    [found] = world.store.list_versions(world.landing, "landing/")
    assert (found.version.bucket, found.version.key) == (world.landing, "landing/a.csv")
    assert (found.version.version_id, found.version.size_bytes) == (version.version_id, 5)
    assert abs((found.version.landed_at - version.landed_at).total_seconds()) < 5
    assert b"".join(world.store.read(found.version)) == b"12345"


def test_versions_are_listed_by_key_below_a_prefix_and_behind_a_key(world: World) -> None:
    keys = ["landing/b/2", "landing/a", "landing/b/10", "landing/b-c/3", "elsewhere/x", "landing/￿", "landing/😀"]
    for key in keys:
        world.land(key, b"")
    ordered = sorted((key for key in keys if key.startswith("landing/")), key=str.encode)
    assert [key for key, *_ in listed(world)] == ordered
    assert [key for key, *_ in listed(world, "landing/b/")] == ["landing/b/10", "landing/b/2"]
    assert [key for key, *_ in listed(world, start_after="landing/b/10")] == ordered[3:]
    assert listed(world, "nothing/here") == []


def test_every_version_and_marker_of_a_key_is_listed_newest_first(world: World) -> None:
    if world.hide is None:
        pytest.skip("a folder keeps no versions")
    first, second = world.land("landing/a.csv", b"1"), world.land("landing/a.csv", b"22")
    other = world.land("landing/b.csv", b"1")
    marker = world.hide("landing/a.csv")
    assert listed(world)[0] == ("landing/a.csv", marker, True, True)
    assert listed(world)[-1] == ("landing/b.csv", other.version_id, True, False)
    hidden = [version for _, version, is_latest, is_marker in listed(world) if not (is_latest or is_marker)]
    assert sorted(hidden) == sorted([first.version_id, second.version_id])
    world.remove(first)
    assert [version for _, version, *_ in listed(world, "landing/a")] == [marker, second.version_id]
    world.remove(replace(first, version_id=marker))
    assert listed(world, "landing/a") == [("landing/a.csv", second.version_id, True, False)]


def test_a_bucket_without_versions_lists_what_is_there_once(world: World) -> None:
    for content in (b"1", b"22"):
        world.store.put_bytes(world.target, "data/a.parquet", content, "text/plain")
    world.store.put_bytes(world.target, "data/gone.parquet", b"", "text/plain")
    world.store.delete(world.target, ["data/gone.parquet"])
    [found] = world.store.list_versions(world.target, "data/")
    assert (found.version.key, found.version.size_bytes) == ("data/a.parquet", 2)
    assert found.is_latest
    assert not found.is_marker


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_listed_as_they_are(world: World, key: str) -> None:
    world.land(key, b"odd")
    assert [found for found, *_ in listed(world)] == [key]


# ---- what only one of them has -------------------------------------------------------------------------------------


@pytest.mark.aws
def test_s3_reads_the_older_version_when_that_is_asked_for(local_aws: object) -> None:
    world = s3_world()
    older = world.land("landing/a.csv", b"older")
    newer = world.land("landing/a.csv", b"newer!")
    assert b"".join(world.store.read(older)) == b"older"
    world.store.copy(older, world.target, "copy")
    assert world.store.get_bytes(world.target, "copy") == b"older"
    assert b"".join(world.store.read(newer)) == b"newer!"


@pytest.mark.aws
def test_s3_copies_what_is_too_large_for_one_request_in_parts(
    local_aws: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boto3.s3.transfer import TransferConfig

    monkeypatch.setattr("resources.s3._SINGLE_COPY_BYTES", 8 << 20)
    monkeypatch.setattr("resources.s3._COPY", TransferConfig(multipart_chunksize=5 << 20))
    world = s3_world()
    content = os.urandom((17 << 20) + 3)
    older = world.land("landing/a.csv", content)
    world.land("landing/a.csv", b"newer")
    for _ in range(2):
        world.store.copy(older, world.target, "quarantine/x/object")
    assert world.store.get_bytes(world.target, "quarantine/x/object") == content


@pytest.mark.aws
@pytest.mark.parametrize(
    "key", ["landing//a.csv", "landing/a/", "/landing/a.csv", "landing/./a", "landing/x\u200b\x07.csv"]
)
def test_s3_keys_that_are_no_paths_are_never_taken_for_others(local_aws: object, key: str) -> None:
    world = s3_world()
    world.land(key.strip("/").replace("//", "/"), b"another object")
    assert b"".join(world.store.read(world.land(key, b"this one"))) == b"this one"


@pytest.mark.aws
@pytest.mark.parametrize("page", [1, 2, 1000])
def test_s3_lists_the_same_whatever_a_page_holds(local_aws: object, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.s3._LIST_KEYS", page)
    world = s3_world()
    keys = ["landing/\x01.csv", "landing//a b+%2F.csv", "landing/größe.csv", "landing/\r\n<&>.csv"]
    landed = [(key, world.land(key, b"x").version_id) for key in sorted(keys) for _ in range(3)]
    assert world.hide is not None
    landed.append((keys[0], world.hide(keys[0])))
    assert sorted((key, version) for key, version, *_ in listed(world)) == sorted(landed)
    assert [key for key, *_ in listed(world)] == sorted(key for key, _ in landed)
    assert sum(is_latest for *_, is_latest, _ in listed(world)) == len(keys)


@pytest.mark.aws
def test_s3_faults_come_as_our_own_errors(local_aws: object) -> None:
    world = s3_world()
    version = world.land("landing/a.csv", b"1")
    for bucket_gone in (
        replace(version, bucket="no-such-bucket-here"),
        replace(version, bucket="no-such-bucket-here", key="/a"),
    ):
        with pytest.raises(PermanentError):
            list(world.store.read(bucket_gone))
    with pytest.raises(PermanentError):
        world.store.put_bytes("no-such-bucket-here", "a", b"", "text/plain")
    with pytest.raises(PermanentError):
        list(world.store.list_keys("no-such-bucket-here", ""))
    with pytest.raises(PermanentError):
        list(world.store.list_versions("no-such-bucket-here", ""))


def test_a_silent_endpoint_is_a_transient_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from resources import environment
    from resources.s3 import S3ObjectStore

    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(environment, "TOTAL_MAX_ATTEMPTS", 1)
    version = ObjectVersion("bucket-x", "a", "v", None, 1, "", datetime.now(UTC))
    store = S3ObjectStore()
    with pytest.raises(TransientError):
        list(store.read(version))
    with pytest.raises(TransientError):
        list(store.read(replace(version, key="/a")))
    with pytest.raises(TransientError):
        store.put_bytes("bucket-x", "a", b"", "text/plain")


class Glacier(BaseHTTPRequestHandler):
    """An S3 that has every object in an archive (S3 API, GetObject, InvalidObjectState)."""

    def do_GET(self) -> None:
        body = (
            b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InvalidObjectState</Code><Message>The operation is not valid for '
            b"the object's storage class</Message><RequestId>1</RequestId><StorageClass>GLACIER</StorageClass></Error>"
        )
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("key", ["landing/a.csv", "landing//a.csv"], ids=["by obstore", "by boto3"])
def test_an_archived_object_is_told_from_one_we_may_not_read(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    from resources.s3 import S3ObjectStore

    server = ThreadingHTTPServer(("127.0.0.1", 0), Glacier)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        with pytest.raises(ObjectArchivedError, match="archive"):
            list(S3ObjectStore().read(ObjectVersion("bucket-x", key, "v", None, 1, "", datetime.now(UTC))))
    finally:
        server.shutdown()
        server.server_close()


def test_a_local_file_is_an_object_under_its_path(tmp_path: Path) -> None:
    path = tmp_path / "in put#1.csv"
    path.write_bytes(b"a,b\n")
    store = FolderObjectStore(tmp_path / "out")
    version = local_version(path)
    assert (version.bucket, version.key, version.size_bytes) == (LOCAL, str(path), 4)
    store.copy(version, ROOT, "quarantine/x/object")
    assert (tmp_path / "out/quarantine/x/object").read_bytes() == b"a,b\n"
    path.write_bytes(b"a,b,c\n")
    with pytest.raises(ObjectGoneError, match="was changed"):
        list(store.read(version))


@pytest.mark.parametrize("key", ["../outside", "/outside", "a/../../outside", "nul\0"])
def test_no_key_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(PermanentError):
        FolderObjectStore(tmp_path).put_bytes("bucket", key, b"", "text/plain")


def test_a_folder_is_left_no_half_written_file(tmp_path: Path) -> None:
    store = FolderObjectStore(tmp_path)
    with pytest.raises((PermanentError, ObjectGoneError)):
        store.put_file("bucket", "a", tmp_path / "never.parquet")
    assert list(store.list_keys("bucket", "")) == []
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
