"""A read that is cut goes on where it was, of the same object; one that takes long is not cut for that."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pipelines.errors import ObjectGoneError, TransientError
from pipelines.intake.objects import ObjectVersion
from resources import environment
from resources.s3 import S3ObjectStore
from tests.faults.proxy import FaultyAws, Meddle, Rule, Truncate

pytestmark = pytest.mark.aws

MEBIBYTE = 1 << 20
KEYS = pytest.mark.parametrize("key", ["landing/large.csv", "landing//large.csv"], ids=["obstore", "boto3"])


@pytest.fixture
def proxy(local_aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyAws]:
    monkeypatch.setattr(environment, "READ_TIMEOUT_S", 1)
    with FaultyAws(local_aws["AWS_ENDPOINT_URL"]) as faulty:
        monkeypatch.setenv("AWS_LAKEGATE_TEST", "reading on")  # clients are kept for an environment: this makes others
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.url)
        yield faulty


def landed(key: str, content: bytes) -> ObjectVersion:
    bucket = f"landing-{uuid.uuid4().hex[:12]}"
    s3 = environment.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put = s3.put_object(Bucket=bucket, Key=key, Body=content)
    return ObjectVersion(bucket, key, put["VersionId"], None, len(content), put["ETag"], datetime.now(UTC))


@KEYS
@pytest.mark.parametrize("reset", [False, True])
def test_a_read_that_is_cut_again_and_again_goes_on_where_it_was(proxy: FaultyAws, key: str, reset: bool) -> None:
    content = os.urandom(24 * MEBIBYTE + 12_345)
    version = landed(key, content)
    proxy.reset(Rule(Truncate(0.4, reset=reset), "s3", "GetObject", times=3))
    assert b"".join(S3ObjectStore().read(version)) == content
    asked = [call.range for call in proxy.calls("s3", "GetObject")]
    starts = [int(said.removeprefix("bytes=").split("-")[0]) if said else 0 for said in asked]
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert len(starts) == 4
    assert starts[-1] >= len(content) // 5


@KEYS
def test_a_connection_that_brings_nothing_is_not_asked_for_ever(
    proxy: FaultyAws, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.s3_reading._FIRST_PAUSE_S", 0.001)
    version = landed(key, os.urandom(9 * MEBIBYTE))
    proxy.reset(Rule(Truncate(0.01), "s3", "GetObject", times=None))
    with pytest.raises(TransientError):
        list(S3ObjectStore().read(version))


@KEYS
def test_a_version_removed_while_its_connection_was_cut_is_gone(proxy: FaultyAws, key: str) -> None:
    version = landed(key, os.urandom(9 * MEBIBYTE))
    chunks = S3ObjectStore().read(version)
    remove = Meddle(
        lambda: environment.client("s3").delete_object(
            Bucket=version.bucket, Key=version.key, VersionId=version.version_id
        )
    )
    proxy.reset(Rule(Truncate(0.5), "s3", "GetObject"), Rule(remove, "s3", "GetObject"))
    with pytest.raises(ObjectGoneError):
        list(chunks)


@KEYS
def test_a_reader_may_take_longer_than_any_answer_may_be_awaited(proxy: FaultyAws, key: str) -> None:
    content = os.urandom(24 * MEBIBYTE)
    version = landed(key, content)
    proxy.reset()
    came, started = bytearray(), time.monotonic()
    for chunk in S3ObjectStore().read(version):
        came += chunk
        time.sleep(0.4)
    assert bytes(came) == content
    assert time.monotonic() - started > 2 * environment.READ_TIMEOUT_S
    assert len(proxy.calls("s3", "GetObject")) == 1
