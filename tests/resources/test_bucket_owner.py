"""Every request on a bucket names the account that must own it; another owner's bucket is refused, whoever asks."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pipelines.errors import PermanentError
from pipelines.intake.objects import ObjectVersion
from resources import bucket_owner
from resources.deployment import require_versioned_landing
from resources.environment import Deployment, client
from resources.s3 import S3ObjectStore

pytestmark = pytest.mark.aws
OWN, OTHER = "000000000000", "222222222222"
HEADER, SOURCE_HEADER = "x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"


@pytest.fixture(autouse=True)
def told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_owner, "_owners", dict(bucket_owner._owners))


@pytest.fixture
def requests() -> Iterator[list[tuple[str, Any]]]:
    """What boto3 sends to S3: the operation's name and the request's headers."""
    sent: list[tuple[str, Any]] = []

    def record(request: Any, event_name: str, **_: Any) -> None:
        sent.append((event_name.rpartition(".")[2], request.headers))

    events = client("s3").meta.events
    events.register("before-send.s3", record)
    yield sent
    events.unregister("before-send.s3", record)


def landed(deployment: Deployment, key: str, content: bytes) -> ObjectVersion:
    answer = client("s3").put_object(Bucket=deployment.landing_bucket, Key=key, Body=content)
    moment = datetime.now(UTC)
    return ObjectVersion(
        deployment.landing_bucket, key, answer["VersionId"], None, len(content), answer["ETag"], moment
    )


def test_every_operation_of_ours_names_the_owner_of_the_bucket_and_of_what_it_copies(
    deployment: Deployment, requests: list[tuple[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, processed = S3ObjectStore(), deployment.processed_bucket
    large = tmp_path / "large.parquet"
    large.write_bytes(b"x" * (17 << 20))
    version = landed(deployment, f"landing/owner//{uuid.uuid4().hex}", b"a key that obstore cannot ask for")
    assert b"".join(store.read(version)).startswith(b"a key")
    store.copy(version, deployment.quarantine_bucket, "quarantine/owner/small")
    monkeypatch.setattr("resources.s3._SINGLE_COPY_BYTES", 0)
    big = landed(deployment, f"landing/owner/{uuid.uuid4().hex}", b"y" * (9 << 20))
    store.copy(big, deployment.quarantine_bucket, "quarantine/owner/in-parts")
    store.put_bytes(processed, "processed/owner/small", b"x", "text/plain")
    store.put_file(processed, "processed/owner/large", large)
    assert store.get_bytes(processed, "processed/owner/small") == b"x"
    assert list(store.list_keys(processed, "processed/owner/"))
    assert list(store.list_versions(deployment.landing_bucket, "landing/owner/"))
    store.delete(processed, ["processed/owner/small", "processed/owner/large"])
    require_versioned_landing(deployment)
    assert {name for name, _ in requests} >= {
        "PutObject", "GetObject", "CopyObject", "HeadObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy",
        "CompleteMultipartUpload", "ListObjectsV2", "ListObjectVersions", "DeleteObjects", "GetBucketVersioning",
    }  # fmt: skip
    for name, headers in requests:
        assert headers.get(HEADER) == OWN.encode(), name
        if "x-amz-copy-source" in headers:
            assert headers.get(SOURCE_HEADER) == OWN.encode(), name


def test_a_bucket_of_another_account_is_refused_though_its_policy_lets_us_in(deployment: Deployment) -> None:
    bucket = f"taken-over-{uuid.uuid4().hex[:12]}"
    thief = boto3.Session(OTHER, "x", region_name="us-east-1").client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    thief.create_bucket(Bucket=bucket)
    arn = f"arn:aws:s3:::{bucket}"
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    thief.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))
    thief.put_object(Bucket=bucket, Key="landing/planted", Body=b"not yours")
    assert client("s3").get_object(Bucket=bucket, Key="landing/planted")["Body"].read() == b"not yours"
    taken = Deployment.from_environment({**deployment.to_environment(), "LAKEGATE_LANDING_BUCKET": bucket})
    with pytest.raises(PermanentError, match="AccessDenied"):
        S3ObjectStore().get_bytes(taken.landing_bucket, "landing/planted")
    with pytest.raises(PermanentError, match="AccessDenied"):
        S3ObjectStore().put_bytes(taken.landing_bucket, "landing/rows", b"ours", "text/plain")
    with pytest.raises(PermanentError, match="AccessDenied"):
        require_versioned_landing(taken)


def test_obstore_names_the_owner_too_and_is_refused_by_another(deployment: Deployment) -> None:
    version = landed(deployment, f"landing/{uuid.uuid4().hex}", b"rows")
    assert b"".join(S3ObjectStore().read(version)) == b"rows"
    bucket_owner.expect_owner([deployment.landing_bucket], OTHER)
    with pytest.raises(PermanentError, match="403"):
        b"".join(S3ObjectStore().read(version))


def test_a_copy_from_another_accounts_bucket_is_refused(deployment: Deployment) -> None:
    version = landed(deployment, f"landing/{uuid.uuid4().hex}", b"rows")
    bucket_owner.expect_owner([deployment.landing_bucket], OTHER)
    with pytest.raises(PermanentError, match="AccessDenied"):
        S3ObjectStore().copy(version, deployment.quarantine_bucket, "quarantine/copied")


def test_what_a_caller_says_of_an_owner_stays(deployment: Deployment) -> None:
    with pytest.raises(ClientError, match="403"):
        client("s3").head_bucket(Bucket=deployment.landing_bucket, ExpectedBucketOwner=OTHER)
    client("s3").head_bucket(Bucket=deployment.landing_bucket)


def test_a_deployment_that_says_no_account_asks_as_before(
    deployment: Deployment, requests: list[tuple[str, Any]]
) -> None:
    bucket = f"older-{uuid.uuid4().hex[:12]}"
    client("s3").create_bucket(Bucket=bucket)
    given = {**deployment.to_environment(), "LAKEGATE_LANDING_BUCKET": bucket}
    del given["LAKEGATE_ACCOUNT_ID"]
    assert Deployment.from_environment(given).account_id is None
    client("s3").head_bucket(Bucket=bucket)
    assert HEADER not in requests[-1][1]


def test_no_deployment_shows_its_account_when_it_is_printed(deployment: Deployment) -> None:
    assert deployment.account_id == OWN
    assert "account_id" not in repr(replace(deployment, alert_topic=None))
