"""What the stack's own policies refuse, tried against an AWS that enforces them: a producer's role, write-once, plain HTTP."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lakegate.local.laptop import TEMPLATE, TEMPLATE_PARAMETERS, Laptop
from pipelines.intake.objects import ObjectVersion
from resources.bucket_owner import owner_headers
from resources.deployment import deploy
from resources.environment import Deployment, client
from resources.s3 import S3ObjectStore

pytestmark = pytest.mark.aws


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A stack with WriteOnce, in an AWS that checks signatures and policies; the environment is put back afterwards."""
    before = dict(os.environ)
    laptop = Laptop(tmp_path_factory.mktemp("once"), any_port=True, enforce_iam=True)
    try:
        laptop.start_aws()
        yield deploy("once", TEMPLATE, {**TEMPLATE_PARAMETERS, "WriteOnce": "true"}).deployment
    finally:
        laptop.stop()
        os.environ.clear()
        os.environ.update(before)


def session_of(once: Deployment, name: str, action: str, resource: str) -> boto3.Session:
    """The credentials of a new user who may do one thing, or everything (`*` on `*`). The administrator is above all policies."""
    iam = client("iam")
    iam.create_user(UserName=name)
    may = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}
    iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=json.dumps(may))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=once.region)


@pytest.fixture(scope="module")
def producer(once: Deployment) -> Any:
    """A client of S3 with the producer's role."""
    stack = client("cloudformation").describe_stacks(StackName="once")["Stacks"][0]
    [role] = [each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "ProducerRoleArn"]
    somebody = session_of(once, "somebody", "sts:AssumeRole", role).client("sts")
    given = somebody.assume_role(RoleArn=role, RoleSessionName="a-producer")["Credentials"]
    session = boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], once.region)
    return session.client("s3")


def refused(call: Any, *, with_code: str = "AccessDenied", **arguments: Any) -> None:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    code = caught.value.response["Error"]["Code"]
    denials = ("AccessDenied", "403", "AuthorizationError", "AccessDeniedException")
    assert code in (denials if with_code == "AccessDenied" else (with_code,))


def test_a_producer_lands_a_file_and_can_neither_list_read_nor_delete(once: Deployment, producer: Any) -> None:
    at = {"Bucket": once.landing_bucket, "Key": "landing/flights/2013-01-01.csv"}
    version = producer.put_object(**at, Body=b"x", IfNoneMatch="*")["VersionId"]
    refused(producer.get_object, **at)
    refused(producer.head_object, **at)
    refused(producer.delete_object, **at)
    refused(producer.delete_object, **at, VersionId=version)
    refused(producer.list_objects_v2, Bucket=once.landing_bucket)
    refused(producer.list_object_versions, Bucket=once.landing_bucket)
    refused(producer.put_object_tagging, **at, Tagging={"TagSet": []})
    refused(producer.put_object, Bucket=once.landing_bucket, Key="elsewhere/x", Body=b"x", IfNoneMatch="*")
    for bucket in (once.processed_bucket, once.quarantine_bucket):
        refused(producer.put_object, Bucket=bucket, Key="landing/x", Body=b"x", IfNoneMatch="*")


def test_a_key_is_written_once(once: Deployment, producer: Any) -> None:
    at = {"Bucket": once.landing_bucket, "Key": "landing/flights/2013-01-02.csv"}
    refused(producer.put_object, **at, Body=b"without the condition")
    producer.put_object(**at, Body=b"first", IfNoneMatch="*")
    refused(producer.put_object, **at, Body=b"second", IfNoneMatch="*", with_code="PreconditionFailed")
    assert client("s3").get_object(**at)["Body"].read() == b"first"


def test_an_upload_in_parts_is_held_to_it_when_it_completes(once: Deployment, producer: Any) -> None:
    at = {"Bucket": once.landing_bucket, "Key": "landing/flights/2013-01-03.csv"}
    upload = producer.create_multipart_upload(**at)["UploadId"]
    part = producer.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"ETag": part, "PartNumber": 1}]}
    refused(producer.complete_multipart_upload, **at, UploadId=upload, MultipartUpload=parts)
    producer.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts, IfNoneMatch="*")
    abandoned = producer.create_multipart_upload(Bucket=at["Bucket"], Key="landing/flights/other.csv")["UploadId"]
    producer.abort_multipart_upload(Bucket=at["Bucket"], Key="landing/flights/other.csv", UploadId=abandoned)


def test_a_corrected_file_is_sent_after_the_wrong_one_was_deleted(once: Deployment, producer: Any) -> None:
    at = {"Bucket": once.landing_bucket, "Key": "landing/flights/2013-01-04.csv"}
    producer.put_object(**at, Body=b"wrong", IfNoneMatch="*")
    client("s3").delete_object(**at)
    producer.put_object(**at, Body=b"corrected", IfNoneMatch="*")
    assert client("s3").get_object(**at)["Body"].read() == b"corrected"


def test_the_wiring_is_proved_there_too(once: Deployment) -> None:
    from resources.landing_bucket import land_test_object

    remove = land_test_object(once.landing_bucket, "0" * 32)
    assert remove() is None


def test_a_key_of_ones_own_takes_the_place_of_the_stacks(once: Deployment) -> None:
    own = client("kms").create_key()["KeyMetadata"]["Arn"]
    parameters = {**TEMPLATE_PARAMETERS, "KmsKeyArn": own, "GlueDatabaseName": "brought"}
    brought = deploy("brought", TEMPLATE, parameters)
    aliases = {alias["AliasName"] for alias in client("kms").list_aliases()["Aliases"]}
    assert "alias/once" in aliases
    assert "alias/brought" not in aliases
    for bucket in (brought.deployment.landing_bucket, brought.deployment.quarantine_bucket):
        [rule] = client("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == own


def test_only_who_is_named_may_assume_the_producers_role(once: Deployment) -> None:
    named = [f"arn:aws:iam::{account}:role/feeds" for account in ("111111111111", "222222222222")]
    parameters = {**TEMPLATE_PARAMETERS, "ProducerArns": ",".join(named), "GlueDatabaseName": "shared"}
    deploy("shared", TEMPLATE, parameters)
    roles = client("iam").list_roles()["Roles"]
    [role] = [role for role in roles if role["RoleName"].startswith("shared-ProducerRole")]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"AWS": named}


def test_plain_http_is_refused_whoever_asks_where_the_stack_asks_for_tls(once: Deployment) -> None:
    parameters = {**TEMPLATE_PARAMETERS, "RequireTls": "true", "GlueDatabaseName": "tls"}
    tls = deploy("tls", TEMPLATE, parameters).deployment
    everything = session_of(once, "may-do-everything", "*", "*")
    s3, sqs, sns = (everything.client(service) for service in ("s3", "sqs", "sns"))
    s3.put_object(Bucket=once.quarantine_bucket, Key="x", Body=b"x")  # there it may be plain
    version = client("s3").put_object(Bucket=tls.landing_bucket, Key="landing/told", Body=b"x")["VersionId"]
    for bucket in (tls.landing_bucket, tls.processed_bucket, tls.quarantine_bucket):
        refused(s3.put_object, Bucket=bucket, Key="landing/x", Body=b"x")
        refused(s3.list_objects_v2, Bucket=bucket)
    for url in (tls.queue_url, tls.dlq_url, tls.run_queue_url):
        refused(sqs.send_message, QueueUrl=url, MessageBody="x")
        refused(sqs.receive_message, QueueUrl=url)
    refused(sns.publish, TopicArn=tls.alert_topic, Message="x")
    deploy("tls", TEMPLATE, {**parameters, "RequireTls": "false"})
    told = sqs.receive_message(QueueUrl=tls.queue_url, WaitTimeSeconds=10, MaxNumberOfMessages=10)["Messages"]
    assert any(version in message["Body"] for message in told)  # the bucket's own events had passed


def test_requests_that_name_the_owner_have_signatures_that_hold(once: Deployment) -> None:
    key = "landing/flights/2013-01-05.csv"
    answer = client("s3").put_object(Bucket=once.landing_bucket, Key=key, Body=b"rows", IfNoneMatch="*")
    version = ObjectVersion(
        once.landing_bucket, key, answer["VersionId"], None, 4, answer["ETag"], datetime.now(UTC)
    )  # fmt: skip
    assert owner_headers(once.landing_bucket)
    assert b"".join(S3ObjectStore().read(version)) == b"rows"
    S3ObjectStore().copy(version, once.quarantine_bucket, "quarantine/copied")
    assert S3ObjectStore().get_bytes(once.quarantine_bucket, "quarantine/copied") == b"rows"


def test_a_migration_reads_the_ledger_whole_and_does_nothing_else(once: Deployment) -> None:
    found = client("cloudformation").describe_stack_resource(StackName="once", LogicalResourceId="MigrationPolicy")
    session = session_of(once, "migrates", "iam:GetUser", "*")
    arn = found["StackResourceDetail"]["PhysicalResourceId"]
    client("iam").attach_user_policy(UserName="migrates", PolicyArn=arn)
    ledger = session.client("dynamodb")
    ledger.scan(TableName=once.ledger_table)
    item = {"pk": {"S": "a"}, "sk": {"S": "b"}}
    refused(ledger.put_item, TableName=once.ledger_table, Item=item)
    refused(ledger.get_item, TableName=once.ledger_table, Key=item)
    refused(session.client("s3").list_objects_v2, Bucket=once.landing_bucket)
