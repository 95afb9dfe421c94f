"""`lakegate doctor` on a whole set-up, and on one that was broken for real: it names what is broken and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lakegate.doctor.examination import checks
from lakegate.local.laptop import STACK_NAME, Laptop
from pipelines.wiring.diagnosis import Diagnosis, Verdict, examine
from resources.environment import Deployment, client
from tests.cli.command import ORDERS, lakegate

pytestmark = pytest.mark.aws
SLOW = ("Athena",)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The stack in an AWS that checks signatures and policies; the environment is put back afterwards."""
    before = dict(os.environ)
    home = tmp_path_factory.mktemp("doctor")
    laptop = Laptop(home, any_port=True, enforce_iam=True)
    try:
        datasets = home / "datasets"
        datasets.mkdir()
        (datasets / "orders.yaml").write_text(ORDERS)
        os.environ["LAKEGATE_DATASETS"] = str(datasets)
        deployment = Deployment.from_environment(laptop.start())
        client("sns").subscribe(
            TopicArn=deployment.alert_topic, Protocol="sqs", Endpoint=f"{arn_of(deployment.dlq_url)}"
        )
        yield deployment
    finally:
        laptop.stop()
        os.environ.clear()
        os.environ.update(before)


def arn_of(queue_url: str) -> str:
    return client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def diagnose(
    deployment: Deployment, *, off: timedelta = timedelta(0), without: tuple[str, ...] = SLOW
) -> dict[str, Diagnosis]:
    wanted = checks(deployment, os.environ, Path.cwd(), lambda: datetime.now(UTC) + off)
    return {one.name: one for one in examine([check for check in wanted if check.name not in without])}


def not_well(found: dict[str, Diagnosis]) -> dict[str, str]:
    """The checks that are neither good nor without a subject, and those that could not be reached because of them."""
    return {
        name: one.finding.verdict.value
        for name, one in found.items()
        if one.finding.verdict in (Verdict.WRONG, Verdict.WARNING, Verdict.UNKNOWN)
    }


@dataclass(frozen=True)
class Breakage:
    """What breaks and repairs it, the check that must name it, and words of what it must say."""

    name: str
    break_it: Callable[[Deployment], Callable[[], object]]
    check: str
    says: str
    todo: str
    verdict: str = "wrong"


def notifications(deployment: Deployment) -> tuple[dict[str, Any], Callable[[], object]]:
    s3: Any = client("s3")
    answer = s3.get_bucket_notification_configuration(Bucket=deployment.landing_bucket)
    before = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    return before, lambda: put_notifications(deployment, before)


def put_notifications(deployment: Deployment, document: dict[str, Any]) -> None:
    client("s3").put_bucket_notification_configuration(
        Bucket=deployment.landing_bucket,
        NotificationConfiguration=document,  # type: ignore[arg-type]
    )


def remove_notifications(deployment: Deployment) -> Callable[[], object]:
    _, repair = notifications(deployment)
    put_notifications(deployment, {})
    return repair


def listen_elsewhere(deployment: Deployment) -> Callable[[], object]:
    before, repair = notifications(deployment)
    other = json.loads(json.dumps(before).replace('"landing/"', '"landing/orders/"'))
    put_notifications(deployment, other)
    return repair


def listen_to_creation_only(deployment: Deployment) -> Callable[[], object]:
    before, repair = notifications(deployment)
    created = [one for one in before["QueueConfigurations"] if one["Events"] == ["s3:ObjectCreated:*"]]
    put_notifications(deployment, {"QueueConfigurations": created})
    return repair


def listen_to_no_restores(deployment: Deployment) -> Callable[[], object]:
    before, repair = notifications(deployment)
    some = [one for one in before["QueueConfigurations"] if "ObjectRestore" not in one["Events"][0]]
    put_notifications(deployment, {"QueueConfigurations": some})
    return repair


def queue_attribute(name: str, change: Callable[[str], str]) -> Callable[[Deployment], Callable[[], object]]:
    def break_it(deployment: Deployment) -> Callable[[], object]:
        sqs: Any = client("sqs")
        url = deployment.queue_url
        before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={name: change(before)})
        return lambda: sqs.set_queue_attributes(QueueUrl=url, Attributes={name: before})

    return break_it


def without_condition(policy: str) -> str:
    document = json.loads(policy)
    del document["Statement"][0]["Condition"]
    return json.dumps(document)


def suspend_versioning(deployment: Deployment) -> Callable[[], object]:
    def set_(status: Any) -> None:
        client("s3").put_bucket_versioning(Bucket=deployment.landing_bucket, VersioningConfiguration={"Status": status})

    set_("Suspended")
    return lambda: set_("Enabled")


def disable_key(deployment: Deployment) -> Callable[[], object]:
    rules = client("s3").get_bucket_encryption(Bucket=deployment.landing_bucket)["ServerSideEncryptionConfiguration"][
        "Rules"
    ]
    key: Any = rules[0]["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]  # type: ignore[typeddict-item]
    client("kms").disable_key(KeyId=key)
    return lambda: client("kms").enable_key(KeyId=key)


def drop_index(deployment: Deployment) -> Callable[[], object]:
    dynamodb: Any = client("dynamodb")
    table = dynamodb.describe_table(TableName=deployment.ledger_table)["Table"]
    [index] = table["GlobalSecondaryIndexes"]
    dynamodb.update_table(
        TableName=deployment.ledger_table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "due"}}]
    )
    made = {"IndexName": "due", "KeySchema": index["KeySchema"], "Projection": {"ProjectionType": "ALL"}}
    return lambda: dynamodb.update_table(
        TableName=deployment.ledger_table,
        AttributeDefinitions=table["AttributeDefinitions"],
        GlobalSecondaryIndexUpdates=[{"Create": made}],
    )


def switch_recovery_off(deployment: Deployment) -> Callable[[], object]:
    def set_(on: bool) -> None:
        client("dynamodb").update_continuous_backups(
            TableName=deployment.ledger_table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": on}
        )

    set_(False)
    return lambda: set_(True)


def let_items_expire(deployment: Deployment) -> Callable[[], object]:
    def set_(on: bool) -> None:
        client("dynamodb").update_time_to_live(
            TableName=deployment.ledger_table, TimeToLiveSpecification={"Enabled": on, "AttributeName": "gone_at"}
        )

    set_(True)
    return lambda: set_(False)


def drop_database(deployment: Deployment) -> Callable[[], object]:
    database = client("glue").get_database(Name=deployment.glue_database)["Database"]
    client("glue").delete_database(Name=deployment.glue_database)
    made: Any = {name: database[name] for name in ("Name", "Description", "LocationUri") if name in database}  # type: ignore[literal-required]
    return lambda: client("glue").create_database(DatabaseInput=made)


def disable_workgroup(deployment: Deployment) -> Callable[[], object]:
    athena: Any = client("athena")
    athena.update_work_group(WorkGroup=deployment.athena_workgroup, State="DISABLED")
    return lambda: athena.update_work_group(WorkGroup=deployment.athena_workgroup, State="ENABLED")


def leave_a_dead_letter(deployment: Deployment) -> Callable[[], object]:
    client("sqs").send_message(QueueUrl=deployment.dlq_url, MessageBody="x")
    return lambda: client("sqs").purge_queue(QueueUrl=deployment.dlq_url)


def break_a_dataset(_deployment: Deployment) -> Callable[[], object]:
    path = Path(os.environ["LAKEGATE_DATASETS"]) / "broken.yaml"
    path.write_text("name: [")
    return path.unlink


BREAKAGES = [
    Breakage("notifications removed", remove_notifications, "notifications", "does not hear of s3:ObjectCreated:*, s3:ObjectRemoved:*", "lakegate setup"),
    Breakage("another prefix", listen_elsewhere, "notifications", "is for landing/orders/* only", "lakegate setup"),
    Breakage("creation only", listen_to_creation_only, "notifications", "does not hear of s3:ObjectRemoved:*", "lakegate sweep"),
    Breakage("no restores", listen_to_no_restores, "notifications", "not told: s3:ObjectRestore:Completed", "lakegate setup", "warning"),
    Breakage(
        "another bucket in the queue's policy",
        queue_attribute("Policy", lambda policy: policy.replace("-landing-", "-other-")),
        "queue policy", "LandingBucketSendsEvents lets only aws:SourceArn", "lakegate setup",
    ),
    Breakage(
        "no policy", queue_attribute("Policy", lambda _: ""), "queue policy", "there is no policy", "lakegate setup",
    ),
    Breakage(
        "a policy for everybody's buckets",
        queue_attribute("Policy", without_condition),
        "queue policy", "LandingBucketSendsEvents does not say whose bucket", "lakegate setup", "warning",
    ),
    Breakage(
        "no redrive", queue_attribute("RedrivePolicy", lambda _: ""), "queue", "does not go to the dead-letter queue", "lakegate setup",
    ),
    Breakage(
        "messages kept for an hour", queue_attribute("MessageRetentionPeriod", lambda _: "3600"), "queue", "kept for 1 hours", "lakegate setup", "warning",
    ),
    Breakage("versioning suspended", suspend_versioning, "versions", "versioning is Suspended", "put-bucket-versioning"),
    Breakage("key disabled", disable_key, "keys", "is Disabled", "aws kms enable-key"),
    Breakage("no index", drop_index, "ledger", "no index `due`", "lakegate setup"),
    Breakage("items expire", let_items_expire, "ledger", "items expire", "update-time-to-live"),
    Breakage("no recovery", switch_recovery_off, "ledger back-ups", "recovery is off", "update-continuous-backups", "warning"),
    Breakage("no database", drop_database, "Glue", "no Glue database lakegate", "lakegate setup"),
    Breakage("dead letters", leave_a_dead_letter, "dead letters", "about 1 messages", "lakegate dlq", "warning"),
    Breakage("a broken dataset file", break_a_dataset, "datasets", "1 of 2 dataset files cannot be used: broken.yaml", "lakegate datasets check"),
]  # fmt: skip


def test_on_a_whole_set_up_all_is_well(strict: Deployment) -> None:
    found = diagnose(strict, without=())
    assert not_well(found) == {}
    seen = {name for name, one in found.items() if one.finding.verdict is Verdict.OK}
    assert set(found) - seen == {"Dagster daemon", "landing sensor", "workers"}


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
def test_a_breakage_is_named_with_its_remedy_and_nothing_else_is_blamed(strict: Deployment, breakage: Breakage) -> None:
    repair = breakage.break_it(strict)
    try:
        found = diagnose(strict)
    finally:
        repair()
    assert not_well(found) == {breakage.check: breakage.verdict}
    finding = found[breakage.check].finding
    assert breakage.says in finding.found
    assert breakage.todo in finding.todo
    assert finding.expected


def test_a_disabled_workgroup_is_named(strict: Deployment) -> None:
    repair = disable_workgroup(strict)
    try:
        found = diagnose(strict, without=())
    finally:
        repair()
    assert not_well(found) == {"Athena": "wrong"}
    assert "is DISABLED" in found["Athena"].finding.found


@pytest.mark.parametrize(
    ("off", "verdict", "said"),
    [
        (timedelta(minutes=-7), "wrong", "behind AWS"),
        (timedelta(minutes=6), "wrong", "ahead of AWS"),
        (timedelta(seconds=30), "warning", "ahead of AWS"),
    ],
)
def test_a_clock_that_is_off_is_named(strict: Deployment, off: timedelta, verdict: str, said: str) -> None:
    found = diagnose(strict, off=off)
    assert not_well(found) == {"clock": verdict}
    assert said in found["clock"].finding.found


@pytest.mark.parametrize(
    ("field", "name", "check", "blocked"),
    [
        ("ledger_table", "no-such-table", "ledger", {"ledger back-ups", "ledger writes"}),
        ("landing_bucket", "no-such-bucket-anywhere", "landing bucket", {"versions", "notifications", "queue policy"}),
        ("operator_workgroup", "no-such-group", "Athena", set()),
        ("quarantine_bucket", "no-such-bucket-anywhere", "quarantine", set()),
    ],
)
def test_what_is_gone_is_named_once_and_what_needs_it_says_so(
    strict: Deployment, field: str, name: str, check: str, blocked: set[str]
) -> None:
    found = diagnose(replace(strict, **{field: name}), without=("keys",))
    assert not_well(found) == {check: "wrong"}
    assert {n for n, one in found.items() if one.finding.blocked} == blocked
    assert all(check in found[n].finding.found or "landing bucket" in found[n].finding.found for n in blocked)


def test_a_queue_that_is_gone_is_named(strict: Deployment) -> None:
    found = diagnose(replace(strict, queue_url=f"{strict.queue_url}-gone"))
    assert not_well(found) == {"queue": "wrong"}


@contextmanager
def as_operator(denied: str = "") -> Generator[None]:
    """A session of the operator's role, which may do one thing less."""
    stack = client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]
    arn = next(o["OutputValue"] for o in stack["Outputs"] if o["OutputKey"] == "OperatorRoleArn")
    role, iam = arn.rsplit("/", 1)[-1], client("iam")
    keys = client("sts").assume_role(RoleArn=arn, RoleSessionName="anna")["Credentials"]
    if denied:
        statement = {"Effect": "Deny", "Action": denied, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName=role, PolicyName="less", PolicyDocument=document)
    before = {
        name: os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    }
    os.environ.update(
        AWS_ACCESS_KEY_ID=keys["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=keys["SecretAccessKey"],
        AWS_SESSION_TOKEN=keys["SessionToken"],
    )
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if denied:
            iam.delete_role_policy(RoleName=role, PolicyName="less")


def test_an_operator_may_look_at_everything(strict: Deployment) -> None:
    with as_operator():
        found = diagnose(strict, without=())
    assert not_well(found) == {}
    assert "not tried" in found["quarantine"].finding.found


@pytest.mark.parametrize(
    ("denied", "check"),
    [
        ("s3:GetBucketNotification", {"notifications", "queue policy"}),
        ("dynamodb:DescribeContinuousBackups", {"ledger back-ups"}),
        ("dynamodb:PutItem", {"ledger writes"}),
        ("glue:GetDatabase", {"Glue"}),
    ],
)
def test_a_permission_that_is_missing_is_no_fault_of_what_is_looked_at(
    strict: Deployment, denied: str, check: set[str]
) -> None:
    with as_operator(denied):
        found = diagnose(strict)
    assert not_well(found) == dict.fromkeys(check, "unknown")
    for name in check:
        assert denied.split(":")[1] in f"{found[name].finding.todo} {found[name].finding.found}", found[name]


def test_without_credentials_nothing_else_is_looked_at(strict: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA0000000000000000")
    answer = lakegate("doctor", "--json")
    assert answer.code == 3
    by_name = {one["check"]: one for one in answer.json["checks"]}
    assert by_name["credentials"]["verdict"] == "wrong"
    assert by_name["clock"]["verdict"] == "ok"
    assert by_name["Glue"]["verdict"] == "skipped"


def test_the_command_says_all_on_one_page_and_in_one_number(strict: Deployment) -> None:
    answer = lakegate("doctor")
    assert answer.code == 0, answer.out
    assert "ok       Glue" in answer.out
    assert strict.account_id
    repair = suspend_versioning(strict)
    try:
        answer = lakegate("doctor")
    finally:
        repair()
    assert answer.code == 1
    assert "wrong    versions         versioning is Suspended" in answer.out
    assert "to do: aws s3api put-bucket-versioning" in answer.out
    assert "22 checks" in answer.out
    assert strict.account_id not in answer.out


@pytest.mark.parametrize("delivery", ["sns", "eventbridge"])
def test_the_other_ways_of_delivery_are_understood(strict: Deployment, delivery: str) -> None:
    stack = f"doctor-{delivery}"
    database = f"--parameter=GlueDatabaseName=doctor_{delivery}"
    assert lakegate("setup", "--apply", "--stack", stack, "--delivery", delivery, database).code == 0
    deployment = Deployment.from_stack(stack)
    found = diagnose(deployment)
    assert not_well(found) == {"alerts": "warning"}
    name = {"sns": "through SNS", "eventbridge": "through EventBridge"}[delivery]
    assert found["notifications"].finding.found.startswith(name)
    if delivery == "eventbridge":
        client("events").disable_rule(Name=f"{stack}-landing-events")
        said = diagnose(deployment)["notifications"].finding.found
        assert "the rule doctor-eventbridge-landing-events is disabled" in said
        client("events").enable_rule(Name=f"{stack}-landing-events")
        client("events").remove_targets(Rule=f"{stack}-landing-events", Ids=["queue"])
        assert "does not send to the queue" in diagnose(deployment)["notifications"].finding.found
    else:
        [topic] = [
            t["TopicArn"] for t in client("sns").list_topics()["Topics"] if f"{stack}-landing-events" in t["TopicArn"]
        ]
        policy = client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
        other = policy.replace("-landing-000", "-other-000")
        assert other != policy
        client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=other)
        assert (
            "the topic's policy does not let the bucket publish" in diagnose(deployment)["queue policy"].finding.found
        )
        client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
        [subscription] = client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        client("sns").unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
        assert "no subscription to the topic" in diagnose(deployment)["notifications"].finding.found
