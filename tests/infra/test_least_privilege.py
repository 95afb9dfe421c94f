"""What each policy allows and denies, tried with credentials that carry it, against an AWS that enforces IAM."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lakegate.local.laptop import STACK_NAME, Laptop
from resources.environment import Deployment, client

pytestmark = pytest.mark.aws
Clients = Callable[[str, str], Any]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The stack in an AWS that checks signatures and policies; the environment is put back afterwards."""
    before = dict(os.environ)
    laptop = Laptop(tmp_path_factory.mktemp("strict"), any_port=True, enforce_iam=True)
    try:
        yield Deployment.from_environment(laptop.start())
    finally:
        laptop.stop()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def as_worker(strict: Deployment) -> Clients:
    """Return a client of a service with the credentials of a user who has one of the template's policies, and nothing else."""
    iam, users = client("iam"), {}

    def make(policy: str, service: str) -> Any:
        if policy not in users:
            found = client("cloudformation").describe_stack_resource(StackName=STACK_NAME, LogicalResourceId=policy)
            name = f"{policy}-{uuid.uuid4().hex[:6]}"
            iam.create_user(UserName=name)
            arn = found["StackResourceDetail"]["PhysicalResourceId"]
            iam.attach_user_policy(UserName=name, PolicyArn=arn)
            users[policy] = iam.create_access_key(UserName=name)["AccessKey"]
        key = users[policy]
        session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=strict.region)
        return session.client(service)

    return make


def assert_denied(call: Callable[[], object]) -> None:
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] in (
        "AccessDenied",
        "AccessDeniedException",
        "403",
        "AuthorizationError",
    )


def test_events_reach_the_queue_under_its_policy(strict: Deployment) -> None:
    key = f"landing/{uuid.uuid4().hex}"
    client("s3").put_object(Bucket=strict.landing_bucket, Key=key, Body=b"x")
    bodies: list[str] = []
    for _ in range(10):
        answer = client("sqs").receive_message(QueueUrl=strict.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        bodies += [message["Body"] for message in answer.get("Messages", [])]
        if any(key in body for body in bodies):
            return
    raise AssertionError(bodies)


def test_the_sensor_receives_and_registers_and_reads_no_object(strict: Deployment, as_worker: Clients) -> None:
    as_worker("SensorPolicy", "sqs").receive_message(QueueUrl=strict.queue_url)
    ledger = as_worker("SensorPolicy", "dynamodb")
    ledger.put_item(TableName=strict.ledger_table, Item={"pk": {"S": "a"}, "sk": {"S": "b"}})
    ledger.query(
        TableName=strict.ledger_table,
        IndexName="due",
        KeyConditionExpression="due_pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "x"}},
    )
    assert_denied(lambda: ledger.scan(TableName=strict.ledger_table))
    assert_denied(lambda: ledger.delete_table(TableName=strict.ledger_table))
    client("s3").put_object(Bucket=strict.landing_bucket, Key="landing/secret", Body=b"x")
    assert_denied(
        lambda: as_worker("SensorPolicy", "s3").get_object(Bucket=strict.landing_bucket, Key="landing/secret")
    )
    assert_denied(lambda: as_worker("SensorPolicy", "s3").list_object_versions(Bucket=strict.landing_bucket))
    assert_denied(lambda: as_worker("SensorPolicy", "glue").get_tables(DatabaseName=strict.glue_database))


def test_the_sensor_looks_at_dead_letters_and_takes_none(strict: Deployment, as_worker: Clients) -> None:
    client("sqs").send_message(QueueUrl=strict.dlq_url, MessageBody="looked at")
    sqs = as_worker("SensorPolicy", "sqs")
    [letter] = sqs.receive_message(QueueUrl=strict.dlq_url, WaitTimeSeconds=5)["Messages"]
    sqs.change_message_visibility(QueueUrl=strict.dlq_url, ReceiptHandle=letter["ReceiptHandle"], VisibilityTimeout=0)
    assert_denied(lambda: sqs.delete_message(QueueUrl=strict.dlq_url, ReceiptHandle=letter["ReceiptHandle"]))
    assert_denied(lambda: sqs.send_message(QueueUrl=strict.queue_url, MessageBody="x"))


def test_the_sensor_and_the_operator_send_alerts_and_nobody_else(strict: Deployment, as_worker: Clients) -> None:
    for policy in ("SensorPolicy", "OperatorPolicy"):
        as_worker(policy, "sns").publish(TopicArn=strict.alert_topic, Message="x")
    for policy in ("RunPolicy", "QueryPolicy"):
        assert_denied(lambda of=policy: as_worker(of, "sns").publish(TopicArn=strict.alert_topic, Message="x"))
    assert_denied(lambda: as_worker("SensorPolicy", "sns").delete_topic(TopicArn=strict.alert_topic))


def test_an_operator_sends_dead_letters_back(strict: Deployment, as_worker: Clients) -> None:
    client("sqs").send_message(QueueUrl=strict.dlq_url, MessageBody="sent back")
    sqs = as_worker("OperatorPolicy", "sqs")
    letters = sqs.receive_message(QueueUrl=strict.dlq_url, WaitTimeSeconds=5, MaxNumberOfMessages=10)["Messages"]
    for letter in letters:
        sqs.send_message(QueueUrl=strict.queue_url, MessageBody=letter["Body"])
        handle = letter["ReceiptHandle"]
        sqs.change_message_visibility(QueueUrl=strict.dlq_url, ReceiptHandle=handle, VisibilityTimeout=30)
        sqs.delete_message(QueueUrl=strict.dlq_url, ReceiptHandle=handle)


def test_a_run_reads_versions_publishes_and_quarantines_but_cannot_touch_what_landed(
    strict: Deployment, as_worker: Clients
) -> None:
    version = client("s3").put_object(Bucket=strict.landing_bucket, Key="landing/a", Body=b"x")["VersionId"]
    s3 = as_worker("RunPolicy", "s3")
    assert s3.get_object(Bucket=strict.landing_bucket, Key="landing/a", VersionId=version)["Body"].read() == b"x"
    s3.put_object(Bucket=strict.processed_bucket, Key="processed/t/data/1.parquet", Body=b"x")
    s3.delete_object(Bucket=strict.processed_bucket, Key="processed/t/data/1.parquet")
    s3.put_object(Bucket=strict.quarantine_bucket, Key="report.json", Body=b"{}")
    as_worker("RunPolicy", "glue").get_tables(DatabaseName=strict.glue_database)
    for bucket in (strict.landing_bucket, strict.processed_bucket, strict.quarantine_bucket):
        s3.list_object_versions(Bucket=bucket)  # the sweep, and the search for orphans
    assert_denied(lambda: s3.put_object(Bucket=strict.landing_bucket, Key="landing/a", Body=b"changed"))
    assert_denied(lambda: s3.delete_object(Bucket=strict.landing_bucket, Key="landing/a"))
    assert_denied(lambda: s3.delete_object(Bucket=strict.landing_bucket, Key="landing/a", VersionId=version))
    # Athena writes what it answers, and reads it, with the rights of whoever asks; nothing it wrote is deleted by a run.
    s3.put_object(Bucket=strict.processed_bucket, Key="athena-results/x", Body=b"x")
    assert s3.get_object(Bucket=strict.processed_bucket, Key="athena-results/x")["Body"].read() == b"x"
    assert_denied(lambda: s3.delete_object(Bucket=strict.processed_bucket, Key="athena-results/x"))
    assert_denied(lambda: s3.put_object(Bucket=strict.processed_bucket, Key="elsewhere/x", Body=b"x"))
    assert_denied(lambda: as_worker("RunPolicy", "sqs").receive_message(QueueUrl=strict.queue_url))
    assert_denied(lambda: as_worker("RunPolicy", "glue").delete_database(Name=strict.glue_database))


def test_an_analyst_reads_what_is_published_and_nothing_raw(strict: Deployment, as_worker: Clients) -> None:
    admin, s3 = client("s3"), as_worker("QueryPolicy", "s3")
    admin.put_object(Bucket=strict.processed_bucket, Key="processed/t/1", Body=b"row")
    admin.put_object(Bucket=strict.quarantine_bucket, Key="raw", Body=b"personal")
    admin.put_object(Bucket=strict.landing_bucket, Key="landing/raw", Body=b"personal")
    assert s3.get_object(Bucket=strict.processed_bucket, Key="processed/t/1")["Body"].read() == b"row"
    as_worker("QueryPolicy", "glue").get_tables(DatabaseName=strict.glue_database)
    assert_denied(lambda: s3.list_object_versions(Bucket=strict.landing_bucket))
    assert_denied(lambda: s3.get_object(Bucket=strict.quarantine_bucket, Key="raw"))
    assert_denied(lambda: s3.get_object(Bucket=strict.landing_bucket, Key="landing/raw"))
    assert_denied(lambda: s3.put_object(Bucket=strict.processed_bucket, Key="processed/t/1", Body=b"changed"))
    assert_denied(lambda: as_worker("QueryPolicy", "dynamodb").get_item(
        TableName=strict.ledger_table, Key={"pk": {"S": "a"}, "sk": {"S": "b"}}
    ))  # fmt: skip
    assert_denied(lambda: as_worker("QueryPolicy", "glue").delete_table(DatabaseName=strict.glue_database, Name="t"))


def test_an_operator_sees_dead_letters_and_lands_files_and_deletes_nothing(
    strict: Deployment, as_worker: Clients
) -> None:
    sqs, s3 = as_worker("OperatorPolicy", "sqs"), as_worker("OperatorPolicy", "s3")
    sqs.receive_message(QueueUrl=strict.dlq_url)
    sqs.get_queue_attributes(QueueUrl=strict.queue_url, AttributeNames=["All"])
    s3.put_object(Bucket=strict.landing_bucket, Key="landing/corrected", Body=json.dumps([]).encode())
    s3.list_object_versions(Bucket=strict.landing_bucket, Prefix="landing/")
    assert_denied(lambda: s3.delete_object(Bucket=strict.landing_bucket, Key="landing/corrected"))
    assert_denied(lambda: s3.put_bucket_versioning(
        Bucket=strict.landing_bucket, VersioningConfiguration={"Status": "Suspended"}
    ))  # fmt: skip
    assert_denied(lambda: sqs.purge_queue(QueueUrl=strict.queue_url))
