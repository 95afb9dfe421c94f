"""The template, read as text: what must hold on AWS and cannot be seen on an emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lakegate.local.laptop import TEMPLATE
from resources.template import as_sent

BUCKETS = ("LandingBucket", "ProcessedBucket", "QuarantineBucket")
EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectRestore:Completed", "s3:LifecycleExpiration:*")
POLICIES = ("ProducerPolicy", "SensorPolicy", "RunPolicy", "QueryPolicy", "OperatorPolicy")
KEY = {"If": ["OwnKey", {"GetAtt": "Key.Arn"}, {"Ref": "KmsKeyArn"}]}
SMALLER_THAN_BYTES = 46_000  # of the 51,200 that CloudFormation takes in a request


class TemplateLoader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, each kept as `{tag: value}`."""


def _keep_tag(loader: TemplateLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    raise TypeError(node)


TemplateLoader.add_multi_constructor("!", _keep_tag)


def load_template(path: Path) -> dict[str, Any]:
    """A template as a document, with its short tags kept."""
    return yaml.load(path.read_text(), TemplateLoader)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return load_template(TEMPLATE)


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    return template["Resources"]


def statements(resource: dict[str, Any]) -> list[dict[str, Any]]:
    properties = resource["Properties"]
    document = properties.get("PolicyDocument") or properties.get("AssumeRolePolicyDocument") or {"Statement": []}
    return [_switched_on(statement) for statement in document["Statement"]]


def _switched_on(statement: dict[str, Any]) -> dict[str, Any]:
    """Return a statement that a condition of the template switches as it is when that is true, with the condition's name."""
    return {**statement["If"][1], "Switch": statement["If"][0]} if "If" in statement else statement


def held(resources: dict[str, Any], policy: str) -> list[dict[str, Any]]:
    """The statements of all policies of the role that has this policy as its own."""
    policies = resources[policy.replace("Policy", "Role")]["Properties"]["ManagedPolicyArns"]
    assert policies[0] == {"Ref": policy}
    return [each for shared in policies for each in statements(resources[shared["Ref"]])]


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
    [encryption] = bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["BucketKeyEnabled"] is True
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    abandoned = bucket["Properties"]["LifecycleConfiguration"]["Rules"][0]
    assert (abandoned["Status"], abandoned["AbortIncompleteMultipartUpload"]) == ("Enabled", {"DaysAfterInitiation": 7})
    assert bucket["Properties"]["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    refusal = statements(resources[f"{name}Policy"])[0]
    assert (refusal["Effect"], refusal["Principal"], refusal["Action"]) == ("Deny", "*", "s3:*")
    assert refusal["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


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
    allowed, *ways = [each for each in statements(resources["QueuePolicy"]) if each["Effect"] == "Allow"]
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
        assert way["Switch"] == name
        assert (way["Principal"], way["Action"]) == ({"Service": service}, "sqs:SendMessage")
        assert way["Condition"] == {"ArnEquals": {"aws:SourceArn": source}}


def test_whatever_their_own_policies_say_nobody_but_a_service_and_the_operator_sends_to_the_queue(
    resources: dict[str, Any],
) -> None:
    [refusal] = [each for each in statements(resources["QueuePolicy"]) if each["Sid"] == "NobodyElseSends"]
    assert (refusal["Effect"], refusal["Principal"], refusal["Action"]) == ("Deny", "*", "sqs:SendMessage")
    role = "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/${AWS::StackName}-OperatorRole-*"
    assert refusal["Condition"] == {
        "Bool": {"aws:PrincipalIsAWSService": "false"},
        "ArnNotLike": {"aws:PrincipalArn": {"Sub": role}},
    }


@pytest.mark.parametrize("name", POLICIES)
def test_no_role_reaches_a_bucket_of_another_account(resources: dict[str, Any], name: str) -> None:
    """Whatever client it calls with: not all of them can send `x-amz-expected-bucket-owner`."""
    [guard] = [each for each in held(resources, name) if each["Sid"] == "NoBucketElsewhere"]
    assert (guard["Effect"], guard["Action"], guard["Resource"]) == ("Deny", "s3:*", "*")
    assert guard["Condition"] == {"StringNotEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}}


def test_what_operators_ask_is_not_left_where_analysts_read(resources: dict[str, Any]) -> None:
    def results(name: str) -> str:
        configuration = resources[name]["Properties"]["WorkGroupConfiguration"]
        assert configuration["EnforceWorkGroupConfiguration"] is True
        return configuration["ResultConfiguration"]["OutputLocation"]["Sub"]

    assert results("Workgroup") == "s3://${ProcessedBucket}/athena-results/"
    assert results("OperatorWorkgroup") == "s3://${QuarantineBucket}/athena-results/"


def test_only_our_bucket_may_publish_to_the_topic_of_events(resources: dict[str, Any]) -> None:
    publishes, others = statements(resources["EventTopicPolicy"])
    assert (publishes["Principal"], publishes["Action"]) == ({"Service": "s3.amazonaws.com"}, "sns:Publish")
    assert set(publishes["Condition"]) == {"ArnEquals", "StringEquals"}
    assert "sns:Publish" not in others["Action"]


def test_the_dead_letter_queue_keeps_longer_than_the_queue(resources: dict[str, Any]) -> None:
    queue, dead = resources["Queue"]["Properties"], resources["DeadLetterQueue"]["Properties"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 5
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"GetAtt": "DeadLetterQueue.Arn"}
    assert queue["MessageRetentionPeriod"] == 4 * 86400
    assert dead["MessageRetentionPeriod"] == 14 * 86400


def test_the_run_queue_is_encrypted_and_only_roles_send_to_it(resources: dict[str, Any]) -> None:
    assert resources["RunQueue"]["Properties"]["SqsManagedSseEnabled"] is True
    assert {"Ref": "RunQueue"} not in resources["QueuePolicy"]["Properties"]["Queues"]
    assert [each["Effect"] for each in statements(resources["OtherQueuesPolicy"])] == ["Deny"]
    actions = {
        name: [a for s in held(resources, name) if s.get("Resource") == {"GetAtt": "RunQueue.Arn"} for a in s["Action"]]
        for name in POLICIES
    }
    assert "sqs:SendMessage" in actions["SensorPolicy"]
    assert "sqs:ReceiveMessage" not in actions["SensorPolicy"]
    assert {"sqs:ReceiveMessage", "sqs:DeleteMessage"} <= set(actions["RunPolicy"])
    assert "sqs:SendMessage" not in actions["RunPolicy"]
    assert actions["ProducerPolicy"] == actions["QueryPolicy"] == actions["OperatorPolicy"] == []


def test_alerts_are_encrypted_and_published_by_the_sensor_and_the_operator_only(resources: dict[str, Any]) -> None:
    assert resources["AlertTopic"]["Properties"]["KmsMasterKeyId"] == KEY
    publish = {
        name
        for name in POLICIES
        for statement in held(resources, name)
        if "sns:Publish" in strings_in(statement["Action"])
    }
    assert publish == {"SensorPolicy", "OperatorPolicy"}


@pytest.mark.parametrize("queue", ["Queue", "DeadLetterQueue", "RunQueue"])
def test_a_queue_is_encrypted_and_refuses_plain_http(resources: dict[str, Any], queue: str) -> None:
    assert resources[queue]["Properties"]["SqsManagedSseEnabled"] is True
    policies = [each for each in resources.values() if each["Type"] == "AWS::SQS::QueuePolicy"]
    [policy] = [each for each in policies if {"Ref": queue} in each["Properties"]["Queues"]]
    [refusal] = [each for each in statements(policy) if each["Sid"] == "RefusePlainHttp"]
    assert refusal["Effect"] == "Deny"
    assert (refusal["Action"], refusal["Resource"], refusal["Principal"]) == ("sqs:*", "*", "*")
    assert refusal["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_service_is_let_in_only_on_behalf_of_this_account(resources: dict[str, Any]) -> None:
    names = {"aws:SourceAccount", "aws:SourceArn", "kms:EncryptionContext:aws:logs:arn"}
    let_in = 0
    for name, resource in resources.items():
        for statement in [*statements(resource), *resource["Properties"].get("KeyPolicy", {}).get("Statement", ())]:
            if statement["Effect"] == "Allow" and "Service" in statement.get("Principal", {}):
                let_in += 1
                said = {key for keys in statement.get("Condition", {}).values() for key in keys}
                assert said & names, (name, statement.get("Sid"))
    assert let_in >= 6  # the queue's three, the topic of events, the two roles of workers, the key's two


def test_the_key_rotates_outlives_the_stack_and_serves_this_account_only(resources: dict[str, Any]) -> None:
    key = resources["Key"]
    assert key["DeletionPolicy"] == key["UpdateReplacePolicy"] == "Retain"
    assert key["Properties"]["EnableKeyRotation"] is True
    owner, *services = key["Properties"]["KeyPolicy"]["Statement"]
    assert owner["Principal"] == {"AWS": {"Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
    for statement in services:
        assert set(statement["Principal"]) == {"Service"}
        assert "kms:*" not in statement["Action"]
        assert "AWS::AccountId" in " ".join(strings_in(statement["Condition"]))
    published = services[0]
    assert published["Principal"]["Service"] == ["cloudwatch.amazonaws.com", "s3.amazonaws.com"]
    assert published["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


@pytest.mark.parametrize("name", POLICIES)
def test_everybody_uses_the_key_through_a_service_and_for_two_actions_only(
    resources: dict[str, Any], name: str
) -> None:
    [use] = [each for each in held(resources, name) if "kms:Decrypt" in strings_in(each["Action"])]
    assert use["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert use["Resource"] == KEY
    assert set(use["Condition"]["StringLike"]["kms:ViaService"]) <= {"athena.*", "dynamodb.*", "s3.*", "sns.*"}
    others = {a for s in held(resources, name) if s is not use for a in strings_in(s["Action"]) if a.startswith("kms:")}
    assert others <= {"kms:DescribeKey"}


def test_a_producer_lands_files_and_can_do_nothing_else(resources: dict[str, Any]) -> None:
    landing, key = statements(resources["ProducerPolicy"])
    assert landing["Action"] == ["s3:AbortMultipartUpload", "s3:PutObject"]
    assert landing["Resource"]["Sub"][0].endswith(":s3:::${Bucket}/landing/*")
    assert landing["Condition"] == {"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}}
    assert key["Condition"] == {"StringLike": {"kms:ViaService": ["s3.*"]}}
    [trust] = statements(resources["ProducerRole"])
    named, otherwise = trust["Principal"]["AWS"]["If"][1:]
    assert (named, otherwise["Sub"].endswith(":root")) == ({"Split": [",", {"Ref": "ProducerArns"}]}, True)


def test_a_key_that_may_be_written_once_needs_the_condition_whatever_is_uploaded(resources: dict[str, Any]) -> None:
    [once] = [each for each in statements(resources["LandingBucketPolicy"]) if each["Sid"] == "LandEachKeyOnce"]
    assert (once["Effect"], once["Principal"], once["Action"]) == ("Deny", "*", "s3:PutObject")
    # Amazon S3 User Guide, "Enforce conditional writes": the parts of an upload carry no such header, its completion does.
    assert once["Condition"] == {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}


def test_query_results_are_encrypted_with_the_key_and_expire(resources: dict[str, Any]) -> None:
    configuration = resources["Workgroup"]["Properties"]["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    encryption = configuration["ResultConfiguration"]["EncryptionConfiguration"]
    assert encryption == {"EncryptionOption": "SSE_KMS", "KmsKey": KEY}
    rules = resources["ProcessedBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [(rule["Prefix"], rule["ExpirationInDays"]) for rule in rules if "Prefix" in rule] == [
        ("athena-results/", 14)
    ]


def test_the_ledger_can_be_restored_to_any_second_and_outlives_the_stack(resources: dict[str, Any]) -> None:
    ledger = resources["Ledger"]
    assert ledger["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert ledger["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    assert ledger["DeletionPolicy"] == "Retain"
    encryption = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}
    assert ledger["Properties"]["SSESpecification"] == encryption


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
    for statement in held(resources, name):
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


def test_the_template_leaves_room_below_the_limit_of_a_request() -> None:
    assert len(as_sent(TEMPLATE).encode()) < SMALLER_THAN_BYTES


def test_what_is_sent_says_what_the_file_says(tmp_path: Path) -> None:
    template = tmp_path / "small.yaml"
    template.write_text(
        "Version: 2012-10-17 # not a date\n"
        "When: !And [!Condition A, !Not [!Equals [!Ref B, yes]]]\n"
        "Arn: !GetAtt Queue.Arn\n"
        'Both: !Sub ["${C}/ü", {C: !If [A, !Ref B, !Ref "AWS::NoValue"]}]\n'
    )
    assert json.loads(as_sent(template)) == {
        "Version": "2012-10-17",
        "When": {"Fn::And": [{"Condition": "A"}, {"Fn::Not": [{"Fn::Equals": [{"Ref": "B"}, True]}]}]},
        "Arn": {"Fn::GetAtt": ["Queue", "Arn"]},
        "Both": {"Fn::Sub": ["${C}/ü", {"C": {"Fn::If": ["A", {"Ref": "B"}, {"Ref": "AWS::NoValue"}]}}]},
    }


def test_cfn_lint_finds_nothing_in_any_template() -> None:
    from cfnlint.api import ManualArgs, lint

    templates = [
        path for path in sorted(TEMPLATE.parent.glob("*.yaml")) if "AWSTemplateFormatVersion" in path.read_text()
    ]
    assert TEMPLATE in templates
    for path in templates:
        found = lint(path.read_text(), config=ManualArgs(regions=["us-east-1"]))
        assert [str(match) for match in found] == [], path.name


def test_the_template_uses_no_yaml_aliases_which_cloudformation_refuses() -> None:
    assert not [token for token in yaml.scan(TEMPLATE.read_text()) if isinstance(token, yaml.AliasToken)]


def test_whoever_keeps_the_ledger_may_not_change_or_delete_what_the_audit_log_holds(resources: dict[str, Any]) -> None:
    """DynamoDB names the partition key of each item in `dynamodb:LeadingKeys`; the local AWS does not."""
    keepers = []
    for name in POLICIES:
        by_sid = {statement["Sid"]: statement for statement in held(resources, name)}
        if "dynamodb:DeleteItem" not in by_sid.get("KeepTheLedger", {"Action": []})["Action"]:
            continue
        keepers.append(name)
        denied = by_sid["LeaveTheAuditLog"]
        assert denied["Effect"] == "Deny"
        assert denied["Action"] == ["dynamodb:DeleteItem", "dynamodb:UpdateItem"]
        # Not ForAllValues: that holds where a request names no key, and would deny it.
        assert denied["Condition"] == {"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": "audit#*"}}
    assert keepers == ["SensorPolicy", "RunPolicy", "OperatorPolicy"]
