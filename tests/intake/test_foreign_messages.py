"""Messages that name a bucket, an account or a region that is not ours: no call to S3, no word in the ledger, left for the dead letters."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from pipelines.intake.dead_letters import dead_letter_reason
from pipelines.intake.events import ANYWHERE, Foreign, Home, Notification, parse_message
from pipelines.intake.receiving import receive
from resources.assembly import open_gate
from resources.environment import Deployment, client
from tests.cli.settling import settle
from tests.road.road import DATASETS

OURS, ACCOUNT, REGION = "landing", "111122223333", "eu-central-1"
HOME = Home(ACCOUNT, REGION)
KEY = "landing/visits/2024-05-01/1.csv"


def s3_message(bucket: str = OURS, region: str = REGION, owner: str = "A3NL1KOZZKExample") -> dict[str, Any]:
    told = {"key": KEY, "size": 3, "eTag": "e", "versionId": "v1", "sequencer": "0055AED6DCD90281E5"}
    named = {"name": bucket, "ownerIdentity": {"principalId": owner}, "arn": f"arn:aws:s3:::{bucket}"}
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": region,
                "eventTime": "2024-05-01T10:00:00.000Z",
                "eventName": "ObjectCreated:Put",
                "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
                "s3": {"s3SchemaVersion": "1.0", "bucket": named, "object": told},
            }
        ]
    }


def event_bridge_message(
    bucket: str = OURS, account: str = ACCOUNT, region: str = REGION, requester: str = ACCOUNT
) -> dict[str, Any]:
    told = {"key": KEY, "size": 3, "etag": "e", "version-id": "v1", "sequencer": "0055AED6DCD90281E5"}
    return {
        "version": "0",
        "id": "17793124",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": account,
        "time": "2024-05-01T10:00:00Z",
        "region": region,
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {"version": "0", "bucket": {"name": bucket}, "object": told, "requester": requester},
    }


def by_sns(inside: dict[str, Any], account: str = ACCOUNT) -> dict[str, Any]:
    topic = f"arn:aws:sns:{REGION}:{account}:events"
    return {"Type": "Notification", "MessageId": "1", "TopicArn": topic, "Message": json.dumps(inside)}


OTHER = "999999999999"
ELSEWHERE = {
    "direct, another bucket": s3_message(bucket="theirs"),
    "direct, another account": s3_message(owner=OTHER),
    "direct, another region": s3_message(region="us-west-2"),
    "SNS, another bucket": by_sns(s3_message(bucket="theirs")),
    "SNS, another account": by_sns(s3_message(owner=OTHER)),
    "SNS, another account's topic": by_sns(s3_message(), account=OTHER),
    "SNS, another region": by_sns(s3_message(region="us-west-2")),
    "EventBridge, another bucket": event_bridge_message(bucket="theirs"),
    "EventBridge, another account": event_bridge_message(account=OTHER),
    "EventBridge, another region": event_bridge_message(region="us-west-2"),
    "EventBridge by SNS, another account": by_sns(event_bridge_message(account=OTHER)),
}
OF_OURS = {
    "direct": s3_message(),
    "direct, owner told as an account": s3_message(owner=ACCOUNT),
    "SNS": by_sns(s3_message()),
    "EventBridge": event_bridge_message(),
    "EventBridge, put by a producer of another account": event_bridge_message(requester=OTHER),
    "EventBridge by SNS": by_sns(event_bridge_message()),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_not_of_our_bucket_is_foreign(name: str) -> None:
    found = parse_message(json.dumps(ELSEWHERE[name]), OURS, HOME)
    assert isinstance(found, Foreign)
    assert (found.buckets == ("theirs",)) == ("another bucket" in name)


@pytest.mark.parametrize("name", OF_OURS)
def test_what_is_of_our_bucket_is_taken(name: str) -> None:
    assert isinstance(parse_message(json.dumps(OF_OURS[name]), OURS, HOME), Notification)


@pytest.mark.parametrize("name", [name for name in ELSEWHERE if "another bucket" not in name])
def test_where_account_and_region_are_not_known_the_bucket_decides(name: str) -> None:
    assert isinstance(parse_message(json.dumps(ELSEWHERE[name]), OURS, ANYWHERE), Notification)


def test_a_dead_letter_says_in_which_other_place_and_no_account_number() -> None:
    reason = dead_letter_reason(json.dumps(ELSEWHERE["EventBridge, another account"]), OURS, home=HOME)
    assert (reason.kind.value, reason.why) == ("foreign_bucket", "an event of 'landing' in another account")


@contextmanager
def counted_calls() -> Generator[Counter[str]]:
    """Count the requests of every service by its name."""
    calls: Counter[str] = Counter()

    def count(request: Any, event_name: str, **_: Any) -> None:
        calls[event_name.split(".")[1]] += 1

    clients = [client(service) for service in ("s3", "sqs", "dynamodb", "glue", "athena", "sns", "sts", "kms")]
    for each in clients:
        each.meta.events.register("before-send", count, unique_id="counted")
    try:
        yield calls
    finally:
        for each in clients:
            each.meta.events.unregister("before-send", unique_id="counted")


def as_of(deployment: Deployment, message: dict[str, Any]) -> dict[str, Any]:
    """The message with our names in place of the example's."""
    text = json.dumps(copy.deepcopy(message))
    for example, own in (
        (f'\\"{OURS}\\"', f'\\"{deployment.landing_bucket}\\"'),
        (f'"{OURS}"', f'"{deployment.landing_bucket}"'),
    ):
        text = text.replace(example, own)
    return json.loads(text.replace(ACCOUNT, deployment.account_id or "").replace(REGION, deployment.region))


@pytest.fixture
def gate(deployment: Deployment) -> Gate:
    client("sqs").purge_queue(QueueUrl=deployment.queue_url)
    return open_gate(deployment, load_datasets(DATASETS))


@pytest.mark.aws
def test_they_lead_to_no_call_and_stay_in_the_queue(deployment: Deployment, gate: Gate) -> None:
    for message in ELSEWHERE.values():
        body = json.dumps(as_of(deployment, message))
        client("sqs").send_message(QueueUrl=deployment.queue_url, MessageBody=body)
    with counted_calls() as calls:
        report = receive(gate, wait_s=1, budget_s=20)
        while report.foreign < len(ELSEWHERE):
            more = receive(gate, wait_s=1, budget_s=20)
            assert more.received, f"{report.foreign} of {len(ELSEWHERE)}"
            report.foreign += more.foreign
            report.new += more.new
    assert (report.foreign, report.new) == (len(ELSEWHERE), 0)
    assert set(calls) == {"sqs"}
    left = client("sqs").get_queue_attributes(
        QueueUrl=deployment.queue_url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
    )["Attributes"]
    assert left == {"ApproximateNumberOfMessagesNotVisible": str(len(ELSEWHERE))}
    client("sqs").purge_queue(QueueUrl=deployment.queue_url)


@pytest.mark.aws
def test_one_of_ours_is_registered_and_leads_to_no_call_of_s3_either(deployment: Deployment, gate: Gate) -> None:
    client("sqs").send_message(
        QueueUrl=deployment.queue_url, MessageBody=json.dumps(as_of(deployment, OF_OURS["EventBridge"]))
    )
    with counted_calls() as calls:
        assert receive(gate, wait_s=5, budget_s=20).new == 1
    assert set(calls) == {"sqs", "dynamodb"}
    # Its object was never there: left pending, it would keep whoever shares the ledger from coming to rest.
    settle(gate, [KEY])
