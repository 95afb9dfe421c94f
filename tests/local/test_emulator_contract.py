"""What Lakegate relies on in S3, SQS, DynamoDB and Glue, checked at every bump of the emulator.

Nothing here knows that it runs against an emulator: with credentials of a real account it is the same test of AWS.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote_plus

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from pyiceberg.exceptions import CommitFailedException

from resources.environment import Deployment, client, iceberg_catalog, object_store

pytestmark = pytest.mark.aws


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def receive(queue_url: str, wanted: Callable[[dict[str, Any]], bool], count: int) -> list[dict[str, Any]]:
    """Receive and delete until `count` records that are wanted have come (or 20 s are over)."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        answer = client("sqs").receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=2)
        for message in answer.get("Messages", []):
            client("sqs").delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            found += [record for record in json.loads(message["Body"]).get("Records", []) if wanted(record)]
    return found


# ------------------------------------------------------------------------------------------------ S3 and its events


def test_a_put_is_announced_with_its_key_version_size_and_sequencer(deployment: Deployment) -> None:
    key = f"landing/{unique('a b+c=é')}.csv"
    put = client("s3").put_object(Bucket=deployment.landing_bucket, Key=key, Body=b"a,b\n1,2\n")
    [record] = receive(deployment.queue_url, lambda record: unquote_plus(record["s3"]["object"]["key"]) == key, 1)
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["s3"]["bucket"]["name"] == deployment.landing_bucket
    assert record["s3"]["object"]["versionId"] == put["VersionId"]
    assert record["s3"]["object"]["size"] == 8
    assert int(record["s3"]["object"]["sequencer"], 16) > 0


def test_a_later_version_of_a_key_has_the_higher_sequencer_and_the_older_stays_readable(deployment: Deployment) -> None:
    key = f"landing/{unique('versions')}.csv"
    s3 = client("s3")
    versions = [
        s3.put_object(Bucket=deployment.landing_bucket, Key=key, Body=body)["VersionId"]
        for body in (b"first", b"second", b"first")
    ]
    records = receive(deployment.queue_url, lambda record: record["s3"]["object"]["key"] == key, 3)
    by_sequencer = sorted(records, key=lambda record: int(record["s3"]["object"]["sequencer"], 16))
    assert [record["s3"]["object"]["versionId"] for record in by_sequencer] == versions
    bodies = [
        s3.get_object(Bucket=deployment.landing_bucket, Key=key, VersionId=version)["Body"].read()
        for version in versions
    ]
    assert bodies == [b"first", b"second", b"first"]


def test_a_delete_is_announced_with_the_version_of_its_marker_and_leaves_the_old_version_readable(
    deployment: Deployment,
) -> None:
    key = f"landing/{unique('deleted')}.csv"
    s3 = client("s3")
    version = s3.put_object(Bucket=deployment.landing_bucket, Key=key, Body=b"kept")["VersionId"]
    marker = s3.delete_object(Bucket=deployment.landing_bucket, Key=key)["VersionId"]
    records = receive(deployment.queue_url, lambda record: record["s3"]["object"]["key"] == key, 2)
    [removed] = [record for record in records if record["eventName"].startswith("ObjectRemoved:")]
    [created] = [record for record in records if record["eventName"].startswith("ObjectCreated:")]
    assert removed["eventName"] == "ObjectRemoved:DeleteMarkerCreated"
    assert removed["s3"]["object"]["versionId"] == marker
    assert int(removed["s3"]["object"]["sequencer"], 16) > int(created["s3"]["object"]["sequencer"], 16)
    assert s3.get_object(Bucket=deployment.landing_bucket, Key=key, VersionId=version)["Body"].read() == b"kept"


def test_objects_outside_the_landing_prefix_are_not_announced(deployment: Deployment) -> None:
    name = unique("outside")
    client("s3").put_object(Bucket=deployment.landing_bucket, Key=f"elsewhere/{name}", Body=b"x")
    client("s3").put_object(Bucket=deployment.landing_bucket, Key=f"landing/{name}", Body=b"x")
    records = receive(deployment.queue_url, lambda record: name in record["s3"]["object"]["key"], 1)
    assert [record["s3"]["object"]["key"] for record in records] == [f"landing/{name}"]


def test_a_version_that_never_was_is_answered_with_404(deployment: Deployment) -> None:
    key = f"landing/{unique('gone')}"
    version = client("s3").put_object(Bucket=deployment.landing_bucket, Key=key, Body=b"x")["VersionId"]
    client("s3").delete_object(Bucket=deployment.landing_bucket, Key=key, VersionId=version)
    with pytest.raises(ClientError) as caught:
        client("s3").get_object(Bucket=deployment.landing_bucket, Key=key, VersionId=version)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert caught.value.response["Error"]["Code"] in ("NoSuchVersion", "NoSuchKey")


def test_a_conditional_put_has_one_winner(deployment: Deployment) -> None:
    key = f"processed/{unique('once')}"
    outcomes: list[int] = []

    def put() -> None:
        try:
            client("s3").put_object(Bucket=deployment.processed_bucket, Key=key, Body=b"x", IfNoneMatch="*")
            outcomes.append(200)
        except ClientError as error:
            outcomes.append(error.response["ResponseMetadata"]["HTTPStatusCode"])

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(200) == 1
    assert set(outcomes) <= {200, 409, 412}


def test_obstore_reads_a_version_by_its_id_as_a_stream(deployment: Deployment) -> None:
    key = f"landing/{unique('streamed')}"
    body = b"0123456789" * 200_000
    version = client("s3").put_object(Bucket=deployment.landing_bucket, Key=key, Body=body)["VersionId"]
    client("s3").put_object(Bucket=deployment.landing_bucket, Key=key, Body=b"newer")
    answer = object_store(deployment.landing_bucket).get(key, options={"version": version})
    assert b"".join(bytes(chunk) for chunk in answer.stream()) == body


@pytest.mark.parametrize("megabytes", [1, 24], ids=["small", "large"])
def test_a_part_of_a_version_is_read_where_it_still_is_that_object(deployment: Deployment, megabytes: int) -> None:
    s3, bucket, key = client("s3"), deployment.landing_bucket, f"landing/{unique('parts')}"
    body = os.urandom(megabytes << 20)
    older = s3.put_object(Bucket=bucket, Key=key, Body=body)
    newer = s3.put_object(Bucket=bucket, Key=key, Body=body[::-1])
    for put, content in ((older, body), (newer, body[::-1])):
        named = {"Bucket": bucket, "Key": key, "VersionId": put["VersionId"]}
        answer = s3.get_object(**named, Range="bytes=700000-", IfMatch=put["ETag"])
        assert answer["ContentRange"] == f"bytes 700000-{len(body) - 1}/{len(body)}"
        assert answer["Body"].read() == content[700_000:]
        assert s3.get_object(**named, Range="bytes=5-9")["Body"].read() == content[5:10]
        assert s3.get_object(**named)["Body"].read() == content
        with pytest.raises(ClientError, match="InvalidRange"):
            s3.get_object(**named, Range=f"bytes={len(body)}-")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.get_object(Bucket=bucket, Key=key, VersionId=older["VersionId"], IfMatch=newer["ETag"])


def test_an_answer_that_nobody_reads_on_stops_nobody(deployment: Deployment) -> None:
    s3, bucket, key = client("s3"), deployment.landing_bucket, f"landing/{unique('left')}"
    s3.put_object(Bucket=bucket, Key=key, Body=bytes(48 << 20))
    left = s3.get_object(Bucket=bucket, Key=key)["Body"]
    assert left.read(1 << 20)
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == 48 << 20
    left.close()
    assert len(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) == 48 << 20


def test_uploads_by_the_cpp_client_are_not_slowed_by_the_emulators_checksums(deployment: Deployment) -> None:
    catalog = iceberg_catalog()
    location = f"s3://{deployment.processed_bucket}/{unique('large')}"
    io = catalog._load_file_io(location=location)
    body = b"x" * 16 * 1024 * 1024
    started = time.monotonic()
    with io.new_output(location).create() as stream:
        stream.write(body)
    assert time.monotonic() - started < 2  # pure Python sums need more than 2.3 s for this on any machine we saw
    with io.new_input(location).open() as stream:
        assert stream.read() == body


# ------------------------------------------------------------------------------------------------ SQS


@pytest.fixture
def queues(local_aws: object) -> Iterator[tuple[str, str]]:
    """A queue that gives up after two receives, and its dead-letter queue."""
    sqs = client("sqs")
    name = unique("contract")
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    queue = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "1", "RedrivePolicy": redrive})[
        "QueueUrl"
    ]
    yield queue, dead
    sqs.delete_queue(QueueUrl=queue)
    sqs.delete_queue(QueueUrl=dead)


def test_a_long_poll_returns_at_the_first_message(queues: tuple[str, str]) -> None:
    queue, _ = queues
    sender = threading.Timer(0.7, lambda: client("sqs").send_message(QueueUrl=queue, MessageBody="now"))
    sender.start()
    started = time.monotonic()
    answer = client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=20)
    waited_s = time.monotonic() - started
    sender.join()
    assert [message["Body"] for message in answer["Messages"]] == ["now"]
    assert 0.6 < waited_s < 5


def test_a_long_poll_of_an_empty_queue_waits_its_time_and_returns_nothing(queues: tuple[str, str]) -> None:
    started = time.monotonic()
    answer = client("sqs").receive_message(QueueUrl=queues[0], WaitTimeSeconds=1)
    assert "Messages" not in answer
    assert time.monotonic() - started >= 0.9


def test_a_message_received_too_often_moves_to_the_dead_letter_queue_and_can_be_sent_back(
    queues: tuple[str, str],
) -> None:
    queue, dead = queues
    sqs = client("sqs")
    sqs.send_message(QueueUrl=queue, MessageBody="poison")
    counts: list[str] = []
    deadline = time.monotonic() + 20
    moved: list[dict[str, Any]] = []
    while not moved and time.monotonic() < deadline:
        answer = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1, MessageSystemAttributeNames=["All"])
        counts += [message["Attributes"]["ApproximateReceiveCount"] for message in answer.get("Messages", [])]
        moved = sqs.receive_message(QueueUrl=dead, VisibilityTimeout=0).get("Messages", [])
    assert counts == ["1", "2"]
    assert [message["Body"] for message in moved] == ["poison"]

    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [queue]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sqs.start_message_move_task(SourceArn=arn)
    answer = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10, MessageSystemAttributeNames=["All"])
    assert [message["Body"] for message in answer["Messages"]] == ["poison"]
    assert answer["Messages"][0]["Attributes"]["ApproximateReceiveCount"] == "1"


def test_a_message_that_was_not_deleted_becomes_visible_again(queues: tuple[str, str]) -> None:
    queue, _ = queues
    sqs = client("sqs")
    sqs.send_message(QueueUrl=queue, MessageBody="again")
    [first] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)
    [second] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    assert first["MessageId"] == second["MessageId"]


# ------------------------------------------------------------------------------------------------ DynamoDB


def key(pk: str, sk: str = "1") -> dict[str, dict[str, str]]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def test_a_transaction_changes_all_or_nothing_and_says_which_condition_failed(deployment: Deployment) -> None:
    table, pk = deployment.ledger_table, unique("transaction")
    dynamodb = client("dynamodb")
    dynamodb.put_item(TableName=table, Item={**key(pk, "old"), "state": {"S": "seen"}})
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as caught:
        dynamodb.transact_write_items(
            TransactItems=[
                {
                    "Put": {
                        "TableName": table,
                        "Item": key(pk, "new"),
                        "ConditionExpression": "attribute_not_exists(pk)",
                    }
                },
                {
                    "Put": {
                        "TableName": table,
                        "Item": key(pk, "old"),
                        "ConditionExpression": "attribute_not_exists(pk)",
                        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                    }
                },
            ]
        )
    reasons = caught.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed"]
    assert reasons[1]["Item"]["state"] == {"S": "seen"}
    assert "Item" not in dynamodb.get_item(TableName=table, Key=key(pk, "new"), ConsistentRead=True)


def test_a_transaction_takes_a_hundred_changes_and_refuses_more(deployment: Deployment) -> None:
    table, pk = deployment.ledger_table, unique("hundred")
    changes = [{"Put": {"TableName": table, "Item": key(pk, f"{n:03}")}} for n in range(101)]
    with pytest.raises(ClientError, match="ValidationException"):
        client("dynamodb").transact_write_items(TransactItems=changes)
    client("dynamodb").transact_write_items(TransactItems=changes[:100])
    answer = client("dynamodb").query(
        TableName=table, KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": {"S": pk}}, Select="COUNT"
    )
    assert answer["Count"] == 100


def test_a_transaction_that_names_an_item_twice_is_refused(deployment: Deployment) -> None:
    put = {"Put": {"TableName": deployment.ledger_table, "Item": key(unique("twice"))}}
    with pytest.raises(ClientError, match="ValidationException"):
        client("dynamodb").transact_write_items(TransactItems=[put, put])


def test_a_conditional_update_fails_without_changing_and_returns_what_is_there(deployment: Deployment) -> None:
    table, pk = deployment.ledger_table, unique("conditional")
    dynamodb = client("dynamodb")
    dynamodb.put_item(TableName=table, Item={**key(pk), "epoch": {"N": "7"}})
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException) as caught:
        dynamodb.update_item(
            TableName=table,
            Key=key(pk),
            UpdateExpression="SET epoch = :new",
            ConditionExpression="epoch = :expected",
            ExpressionAttributeValues={":new": {"N": "9"}, ":expected": {"N": "6"}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert caught.value.response["Item"]["epoch"] == {"N": "7"}


def test_add_counts_concurrent_changes_without_losing_one(deployment: Deployment) -> None:
    table, pk = deployment.ledger_table, unique("counter")

    def add() -> None:
        for _ in range(10):
            client("dynamodb").update_item(
                TableName=table,
                Key=key(pk),
                UpdateExpression="ADD seen :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    item = client("dynamodb").get_item(TableName=table, Key=key(pk), ConsistentRead=True)["Item"]
    assert item["seen"] == {"N": "40"}


def test_the_due_index_is_sparse_sorted_ranged_and_paged(deployment: Deployment) -> None:
    table, pk, due = deployment.ledger_table, unique("due"), unique("due-pk")
    dynamodb = client("dynamodb")
    for n in range(25):
        item = {**key(pk, f"{n:02}"), "due_pk": {"S": due}, "due_sk": {"S": f"2026-01-{n + 1:02}"}}
        dynamodb.put_item(TableName=table, Item=item)
    dynamodb.put_item(TableName=table, Item=key(pk, "not due"))
    found: list[str] = []
    start: dict[str, Any] = {}
    pages = 0
    while True:
        answer = dynamodb.query(
            TableName=table,
            IndexName="due",
            KeyConditionExpression="due_pk = :pk AND due_sk <= :now",
            ExpressionAttributeValues={":pk": {"S": due}, ":now": {"S": "2026-01-20"}},
            Limit=7,
            **start,
        )
        pages += 1
        found += [item["due_sk"]["S"] for item in answer["Items"]]
        if "LastEvaluatedKey" not in answer:
            break
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    assert found == [f"2026-01-{n:02}" for n in range(1, 21)]
    assert pages in (3, 4)

    dynamodb.update_item(TableName=table, Key=key(pk, "00"), UpdateExpression="REMOVE due_pk, due_sk")
    answer = dynamodb.query(
        TableName=table,
        IndexName="due",
        KeyConditionExpression="due_pk = :pk",
        ExpressionAttributeValues={":pk": {"S": due}},
    )
    assert answer["Count"] == 24


# ------------------------------------------------------------------------------------------------ Glue and Iceberg


def test_of_two_commits_from_the_same_state_one_fails_and_nothing_is_lost(deployment: Deployment) -> None:
    name = (deployment.glue_database, unique("cas").replace("-", "_"))
    location = f"s3://{deployment.processed_bucket}/processed/{name[1]}"
    rows = pa.table({"n": pa.array([1, 2, 3], pa.int64())})
    catalog = iceberg_catalog()
    # Without PyIceberg's own retry a lost race must show.
    properties = {"commit.retry.num-retries": "0"}
    table = catalog.create_table(name, schema=rows.schema, location=location, properties=properties)
    table.append(rows)
    stale = catalog.load_table(name)
    catalog.load_table(name).append(rows)
    with pytest.raises(CommitFailedException):
        stale.append(rows)
    stale.refresh()
    stale.append(rows)
    assert catalog.load_table(name).scan().to_arrow().num_rows == 9


def test_a_stale_glue_version_id_is_refused(deployment: Deployment) -> None:
    glue, name = client("glue"), unique("versioned").replace("-", "_")
    database = deployment.glue_database
    table_input = {"Name": name, "TableType": "EXTERNAL_TABLE", "Parameters": {"n": "0"}}
    glue.create_table(DatabaseName=database, TableInput=table_input)
    version = glue.get_table(DatabaseName=database, Name=name)["Table"]["VersionId"]
    changed = {**table_input, "Parameters": {"n": "1"}}
    glue.update_table(DatabaseName=database, TableInput=changed, VersionId=version, SkipArchive=True)
    with pytest.raises(ClientError, match="ConcurrentModificationException"):
        glue.update_table(DatabaseName=database, TableInput=changed, VersionId=version, SkipArchive=True)
    assert glue.get_table(DatabaseName=database, Name=name)["Table"]["Parameters"]["n"] == "1"
