"""The template, read as text: what must hold on AWS and cannot be seen on an emulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lakegate.local.laptop import TEMPLATE

BUCKETS = ("LandingBucket", "ProcessedBucket", "QuarantineBucket")
EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectRestore:Completed", "s3:LifecycleExpiration:*")
POLICIES = ("SensorPolicy", "RunPolicy", "QueryPolicy", "OperatorPolicy")


class TemplateLoader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, each kept as `{tag: value}`."""


def _keep_tag(loader: TemplateLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    raise TypeError(node)


TemplateLoader.add_multi_constructor("!", _keep_tag)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return yaml.load(TEMPLATE.read_text(), TemplateLoader)


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    return template["Resources"]


def statements(resource: dict[str, Any]) -> list[dict[str, Any]]:
    properties = resource["Properties"]
    document = properties.get("PolicyDocument") or properties.get("AssumeRolePolicyDocument") or {"Statement": []}
    return document["Statement"]


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from strings_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item)
    else:
        yield str(value)


def test_only_the_landing_bucket_keeps_versions_and_it_does(resources: dict[str, Any]) -> None:
    assert resources["LandingBucket"]["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}


@pytest.mark.parametrize("name", BUCKETS)
def test_a_bucket_is_private_encrypted_kept_and_refuses_plain_http(resources: dict[str, Any], name: str) -> None:
    bucket = resources[name]
    assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())
    assert len(bucket["Properties"]["PublicAccessBlockConfiguration"]) == 4
    assert bucket["Properties"]["BucketEncryption"]
    assert bucket["Properties"]["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    [refusal] = statements(resources[f"{name}Policy"])
    assert (refusal["Effect"], refusal["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_what_happens_under_landing_is_told_the_way_that_was_chosen(resources: dict[str, Any]) -> None:
    name, by_rule, otherwise = resources["LandingBucket"]["Properties"]["NotificationConfiguration"]["If"]
    other, by_topic, direct = otherwise["If"]
    assert (name, other) == ("ByEventBridge", "BySns")
    assert by_rule == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    ways = {"Topic": by_topic["TopicConfigurations"], "Queue": direct["QueueConfigurations"]}
    for way, configurations in ways.items():
        assert tuple(entry["Event"] for entry in configurations) == EVENTS
        for entry in configurations:
            assert entry["Filter"] == {"S3Key": {"Rules": [{"Name": "prefix", "Value": "landing/"}]}}
            assert entry[way] == ({"GetAtt": "Queue.Arn"} if way == "Queue" else {"Ref": "EventTopic"})


def test_only_our_bucket_may_send_to_the_queue(resources: dict[str, Any]) -> None:
    allowed, *ways = statements(resources["QueuePolicy"])
    assert allowed["Principal"] == {"Service": "s3.amazonaws.com"}
    assert allowed["Action"] == "sqs:SendMessage"
    assert set(allowed["Condition"]) == {"ArnEquals", "StringEquals"}
    assert list(allowed["Condition"]["ArnEquals"]) == ["aws:SourceArn"]
    condition, own, existing = allowed["Condition"]["ArnEquals"]["aws:SourceArn"]["If"]
    assert condition == "MakesLanding"
    assert "-landing-" in own["Sub"]
    assert existing == {"Sub": "arn:${AWS::Partition}:s3:::${ExistingLandingBucket}"}
    assert allowed["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    for way, (name, service, source) in zip(
        ways,
        [
            ("BySns", "sns.amazonaws.com", {"Ref": "EventTopic"}),
            ("ByEventBridge", "events.amazonaws.com", {"GetAtt": "EventRule.Arn"}),
        ],
        strict=True,
    ):
        condition, statement, otherwise = way["If"]
        assert (condition, otherwise) == (name, {"Ref": "AWS::NoValue"})
        assert (statement["Principal"], statement["Action"]) == ({"Service": service}, "sqs:SendMessage")
        assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": source}}


def test_only_our_bucket_may_publish_to_the_topic_of_events(resources: dict[str, Any]) -> None:
    publishes, others = statements(resources["EventTopicPolicy"])
    assert (publishes["Principal"], publishes["Action"]) == ({"Service": "s3.amazonaws.com"}, "sns:Publish")
    assert set(publishes["Condition"]) == {"ArnEquals", "StringEquals"}
    assert "sns:Publish" not in others["Action"]


def test_the_dead_letter_queue_keeps_longer_than_the_queue(resources: dict[str, Any]) -> None:
    queue, dead = resources["Queue"]["Properties"], resources["DeadLetterQueue"]["Properties"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 5
    assert queue["MessageRetentionPeriod"] == 4 * 86400
    assert dead["MessageRetentionPeriod"] == 14 * 86400


def test_the_run_queue_is_encrypted_and_only_roles_send_to_it(resources: dict[str, Any]) -> None:
    assert resources["RunQueue"]["Properties"]["SqsManagedSseEnabled"] is True
    assert {"Ref": "RunQueue"} not in resources["QueuePolicy"]["Properties"]["Queues"]
    actions = {
        name: [
            a
            for s in statements(resources[name])
            if s.get("Resource") == {"GetAtt": "RunQueue.Arn"}
            for a in s["Action"]
        ]
        for name in POLICIES
    }
    assert "sqs:SendMessage" in actions["SensorPolicy"]
    assert "sqs:ReceiveMessage" not in actions["SensorPolicy"]
    assert {"sqs:ReceiveMessage", "sqs:DeleteMessage"} <= set(actions["RunPolicy"])
    assert "sqs:SendMessage" not in actions["RunPolicy"]
    assert actions["QueryPolicy"] == actions["OperatorPolicy"] == []


def test_alerts_are_encrypted_and_published_by_the_sensor_and_the_operator_only(resources: dict[str, Any]) -> None:
    assert resources["AlertTopic"]["Properties"]["KmsMasterKeyId"] == "alias/aws/sns"
    publish = {
        name
        for name in POLICIES
        for statement in statements(resources[name])
        if "sns:Publish" in strings_in(statement["Action"])
    }
    assert publish == {"SensorPolicy", "OperatorPolicy"}


def test_the_ledger_can_be_restored_to_any_second_and_outlives_the_stack(resources: dict[str, Any]) -> None:
    ledger = resources["Ledger"]
    assert ledger["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert ledger["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    assert ledger["DeletionPolicy"] == "Retain"


def test_protection_and_tls_are_on_unless_switched_off(template: dict[str, Any]) -> None:
    parameters = template["Parameters"]
    assert parameters["LedgerDeletionProtection"]["Default"] == parameters["RequireTls"]["Default"] == "true"


def test_nobody_is_allowed_by_a_wildcard(resources: dict[str, Any]) -> None:
    for name, resource in resources.items():
        for listed in statements(resource):
            statement = listed["If"][1] if "If" in listed else listed
            if statement["Effect"] == "Allow":
                assert "*" not in list(strings_in(statement.get("Principal", {}))), name
                actions = list(strings_in(statement["Action"]))
                assert not [action for action in actions if "*" in action], (name, actions)
                assert "*" not in list(strings_in(statement.get("Resource", []))), name


@pytest.mark.parametrize("name", POLICIES)
def test_nobody_may_delete_what_landed_or_scan_the_ledger(resources: dict[str, Any], name: str) -> None:
    for statement in statements(resources[name]):
        actions = set(strings_in(statement["Action"]))
        assert "dynamodb:Scan" not in actions
        if statement["Effect"] == "Allow" and "s3:DeleteObject" in actions:
            assert "Landing" not in " ".join(strings_in(statement["Resource"]))
        assert not {"s3:DeleteObjectVersion", "s3:PutBucketVersioning", "dynamodb:DeleteTable"} & actions


def test_the_sensor_reads_no_object_and_the_analyst_is_denied_the_raw_bytes(resources: dict[str, Any]) -> None:
    sensor = {
        action for statement in statements(resources["SensorPolicy"]) for action in strings_in(statement["Action"])
    }
    assert not [action for action in sensor if action.startswith("s3:")]
    [denied] = [statement for statement in statements(resources["QueryPolicy"]) if statement["Effect"] == "Deny"]
    named = " ".join(strings_in(denied["Resource"]))
    assert "LandingBucket" in named
    assert "QuarantineBucket" in named


def test_the_template_uses_no_yaml_aliases_which_cloudformation_refuses() -> None:
    assert not [token for token in yaml.scan(TEMPLATE.read_text()) if isinstance(token, yaml.AliasToken)]
