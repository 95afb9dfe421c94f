"""`lakegate setup` for a bucket that exists and tells others of its objects already, on an AWS that enforces every policy."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lakegate.local.laptop import Laptop
from pipelines.contracts.loading import load_datasets
from pipelines.intake.receiving import IntakeReport, receive
from pipelines.wiring.notifications import WATCHED_EVENTS
from resources.assembly import open_gate
from resources.environment import Deployment, client
from tests.cli.command import GOOD, ORDERS, lakegate

pytestmark = pytest.mark.aws
LIMIT_S = 60


@pytest.fixture(scope="module")
def strict_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """An AWS that checks signatures and policies, without a stack; the environment is put back afterwards."""
    before = dict(os.environ)
    laptop = Laptop(tmp_path_factory.mktemp("setup"), any_port=True, enforce_iam=True)
    try:
        yield laptop.start_aws()
    finally:
        laptop.stop()
        os.environ.clear()
        os.environ.update(before)


class Theirs:
    """A bucket that somebody made, with an event for another prefix that goes to a queue of theirs."""

    def __init__(self, *, versioned: bool = True, prefix: str = "exports/") -> None:
        mark = uuid.uuid4().hex[:8]
        self.bucket, self.stack = f"theirs-{mark}", f"lg-{mark}"
        client("s3").create_bucket(Bucket=self.bucket)
        if versioned:
            client("s3").put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.queue = client("sqs").create_queue(QueueName=f"theirs-{mark}")["QueueUrl"]
        arn = client("sqs").get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
                    "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{self.bucket}"}},
                }
            ],
        }  # fmt: skip
        client("sqs").set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": json.dumps(policy)})
        self.configuration = {
            "Id": "exports",
            "QueueArn": arn,
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
        }
        self.put({"QueueConfigurations": [self.configuration]})

    def put(self, document: dict[str, Any]) -> None:
        client("s3").put_bucket_notification_configuration(Bucket=self.bucket, NotificationConfiguration=document)  # type: ignore[arg-type]

    @property
    def notifications(self) -> dict[str, Any]:
        answer = client("s3").get_bucket_notification_configuration(Bucket=self.bucket)
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    def setup(self, *more: str) -> Any:
        database = f"--parameter=GlueDatabaseName={self.stack.replace('-', '_')}"
        return lakegate("setup", "--stack", self.stack, "--landing-bucket", self.bucket, database, *more)

    def heard_by_them(self) -> list[str]:
        """The keys that their own queue told of."""
        keys: list[str] = []
        for _ in range(3):
            for message in client("sqs").receive_message(QueueUrl=self.queue, WaitTimeSeconds=1).get("Messages", []):
                keys += [r["s3"]["object"]["key"] for r in json.loads(message["Body"]).get("Records", [])]
        return keys


def land_a_file(deployment: Deployment, folder: Path) -> tuple[IntakeReport, list[str]]:
    """Put a file, take its event as the sensor does; what intake said, and what is due then."""
    name = f"orders_{uuid.uuid4().hex[:8]}"
    (folder / f"{name}.yaml").write_text(ORDERS.replace("orders", name))
    gate = open_gate(deployment, load_datasets(folder))
    client("s3").put_object(Bucket=deployment.landing_bucket, Key=f"landing/{name}/2026-02-01.csv", Body=GOOD)
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        report = receive(gate, wait_s=1, budget_s=5)
        due = [entry.version.key for entry in gate.ledger.due(name)]
        if due:
            return report, due
    raise AssertionError("no event came")


@pytest.mark.parametrize("delivery", ["direct", "sns", "eventbridge"])
def test_a_file_comes_to_the_ledger_and_others_still_hear_of_theirs(
    strict_aws: object, tmp_path: Path, delivery: str
) -> None:
    theirs = Theirs()
    plan = theirs.setup("--plan", "--delivery", delivery)
    assert (plan.code, plan.err) == (0, "")
    assert "keep          exports: s3:ObjectCreated:* of exports/*" in plan.out
    assert theirs.notifications == {"QueueConfigurations": [theirs.configuration]}
    done = theirs.setup("--apply", "--delivery", delivery, "--json")
    assert done.code == 0, done
    assert done.json["proof"]["arrived"]
    assert done.json["proof"]["leftover"] is None
    deployment = Deployment.from_stack(theirs.stack)
    assert deployment.landing_bucket == theirs.bucket
    report, due = land_a_file(deployment, tmp_path)
    assert len(due) == 1
    assert (report.foreign, report.unintelligible) == (0, 0)
    client("s3").put_object(Bucket=theirs.bucket, Key="exports/1", Body=b"x")
    assert theirs.heard_by_them() == ["exports/1"]
    assert theirs.configuration in theirs.notifications["QueueConfigurations"]
    again = lakegate("setup", "--stack", theirs.stack, "--apply", "--json")
    assert again.code == 0, again
    assert (again.json["changed"], again.json["changes"]) == (False, [])
    assert again.json["bucket"]["name"] == theirs.bucket
    assert again.json["delivery"] == delivery


def test_a_topic_that_wraps_what_it_sends_is_understood_too(strict_aws: object, tmp_path: Path) -> None:
    theirs = Theirs()
    assert theirs.setup("--apply", "--delivery", "sns").code == 0
    [topic] = [
        t["TopicArn"]
        for t in client("sns").list_topics()["Topics"]
        if f"{theirs.stack}-landing-events" in t["TopicArn"]
    ]
    [subscription] = client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    client("sns").set_subscription_attributes(
        SubscriptionArn=subscription["SubscriptionArn"], AttributeName="RawMessageDelivery", AttributeValue="false"
    )
    deployment = Deployment.from_stack(theirs.stack)
    client("s3").put_object(Bucket=theirs.bucket, Key="landing/looked-at", Body=b"x")
    deadline = time.monotonic() + LIMIT_S
    bodies: list[dict[str, Any]] = []
    while not any(body.get("Type") == "Notification" for body in bodies):
        assert time.monotonic() < deadline
        answer = client("sqs").receive_message(QueueUrl=deployment.queue_url, WaitTimeSeconds=1, VisibilityTimeout=0)
        bodies += [json.loads(message["Body"]) for message in answer.get("Messages", [])]
    assert land_a_file(deployment, tmp_path)[1]


def test_a_stack_of_its_own_bucket_changes_its_way_of_delivery(strict_aws: object, tmp_path: Path) -> None:
    stack = f"lg-{uuid.uuid4().hex[:8]}"
    for delivery in ("direct", "eventbridge", "sns", "direct"):
        database = f"--parameter=GlueDatabaseName={stack.replace('-', '_')}"
        done = lakegate("setup", "--apply", "--stack", stack, "--delivery", delivery, database, "--json")
        assert done.code == 0, done
        assert done.json["proof"]["arrived"], delivery
    assert land_a_file(Deployment.from_stack(stack), tmp_path)[1]


def test_ours_takes_the_place_of_an_older_one_of_ours(strict_aws: object) -> None:
    theirs = Theirs()
    assert theirs.setup("--apply", "--delivery", "sns").code == 0
    plan = theirs.setup("--plan", "--delivery", "direct", "--json").json["bucket"]["wiring"]
    assert (
        [one["Id"] for one in plan["removed"]] == [one["Id"] for one in plan["added"]] == [f"lakegate-{theirs.stack}"]
    )
    assert theirs.setup("--apply", "--delivery", "direct").code == 0
    assert "TopicConfigurations" not in theirs.notifications
    [ours] = [one for one in theirs.notifications["QueueConfigurations"] if one != theirs.configuration]
    assert (ours["Id"], ours["Events"]) == (f"lakegate-{theirs.stack}", list(WATCHED_EVENTS))


@pytest.mark.parametrize("how", ["--plan", "--apply"])
def test_an_overlap_is_refused_and_nothing_is_made(strict_aws: object, how: str) -> None:
    theirs = Theirs(prefix="landing/flights/")
    answer = theirs.setup(how)
    assert answer.code == 2
    assert "configuration exports sends s3:ObjectCreated:* of landing/flights/*" in answer.err
    assert "--delivery eventbridge" in answer.err
    assert theirs.notifications == {"QueueConfigurations": [theirs.configuration]}
    assert lakegate("setup", "--stack", theirs.stack, "--plan", "--json").json["changes"]
    assert theirs.setup("--apply", "--delivery", "eventbridge").code == 0
    assert theirs.notifications == {"QueueConfigurations": [theirs.configuration], "EventBridgeConfiguration": {}}


def test_the_buckets_own_access_logs_under_what_is_watched_are_a_loop(strict_aws: object) -> None:
    theirs = Theirs()
    client("s3").put_bucket_logging(
        Bucket=theirs.bucket,
        BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": theirs.bucket, "TargetPrefix": "landing/logs/"}},
    )
    answer = theirs.setup("--plan")
    assert answer.code == 2
    assert f"the bucket's access logs go to s3://{theirs.bucket}/landing/logs/" in answer.err


def test_a_bucket_without_versions_is_refused_until_they_may_be_switched_on(strict_aws: object) -> None:
    theirs = Theirs(versioned=False)
    answer = theirs.setup("--apply")
    assert answer.code == 2
    assert "keeps no versions (versioning is off)" in answer.err
    assert "Status" not in client("s3").get_bucket_versioning(Bucket=theirs.bucket)
    plan = theirs.setup("--plan", "--enable-versioning")
    assert plan.code == 0
    assert "switch on     versioning" in plan.out
    assert "Status" not in client("s3").get_bucket_versioning(Bucket=theirs.bucket)
    assert theirs.setup("--apply", "--enable-versioning").code == 0
    assert client("s3").get_bucket_versioning(Bucket=theirs.bucket)["Status"] == "Enabled"


def test_what_else_the_owner_may_want_to_change_is_said_and_left(strict_aws: object) -> None:
    theirs = Theirs()
    client("s3").delete_public_access_block(Bucket=theirs.bucket)
    answer = theirs.setup("--plan", "--json").json["bucket"]["remarks"]
    told = " ".join(remark["found"] for remark in answer)
    assert "public access is not blocked" in told
    assert "requests without TLS" in told
    assert "given up" in told


def test_a_test_object_leaves_nothing_behind(strict_aws: object) -> None:
    theirs = Theirs()
    assert theirs.setup("--apply").code == 0
    listed = client("s3").list_object_versions(Bucket=theirs.bucket)
    assert "Versions" not in listed
    assert "DeleteMarkers" not in listed


def test_wiring_that_does_not_work_is_no_success(strict_aws: object) -> None:
    theirs = Theirs()
    assert theirs.setup("--apply", "--delivery", "eventbridge").code == 0
    client("events").disable_rule(Name=f"{theirs.stack}-landing-events")
    answer = theirs.setup("--apply", "--wait", "2")
    assert answer.code == 3
    assert "Not proved:" in answer.out
    assert "lakegate doctor" in answer.out


def test_notifications_that_change_under_our_hands_are_not_overwritten(
    strict_aws: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Theirs()
    mine = {
        **theirs.configuration,
        "Id": "just-added",
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "new/"}]}},
    }

    def meanwhile(_stack: str) -> dict[str, str]:
        theirs.put({"QueueConfigurations": [theirs.configuration, mine]})
        return {}

    # The stack takes minutes on AWS: somebody writes in between.
    import resources.deployment as deployment

    deploy = deployment.deploy

    def deploy_and_write(stack: str, *more: Any, **how: Any) -> Any:
        made = deploy(stack, *more, **how)
        meanwhile(stack)
        return made

    monkeypatch.setattr("resources.deployment.deploy", deploy_and_write)
    answer = theirs.setup("--apply")
    assert answer.code == 2
    assert "have changed since they were looked at" in answer.err
    assert {one["Id"] for one in theirs.notifications["QueueConfigurations"]} == {"exports", "just-added"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plan", "--apply"], "not both"),
        ([], "Say --plan"),
        (["--plan", "--landing-bucket", "there-is-none-of-that-name"], "There is no bucket"),
        (["--plan", "--parameter", "x"], "NAME=VALUE"),
        (["--plan", "--parameter", "Delivery=sns"], "--delivery"),
    ],
)
def test_what_cannot_be_meant_is_refused(strict_aws: object, arguments: list[str], said: str) -> None:
    answer = lakegate("setup", *arguments)
    assert answer.code == 2, answer
    assert said in answer.err
