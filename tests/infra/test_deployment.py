"""Deploying the template: what stands afterwards, that doing it again changes nothing, what is refused."""

from __future__ import annotations

import json
import uuid

import pytest

from lakegate.local.laptop import TEMPLATE, TEMPLATE_PARAMETERS
from pipelines.errors import ConfigurationError
from resources.deployment import deploy, plan, require_versioned_landing
from resources.environment import Deployment, client

pytestmark = pytest.mark.aws


def test_deploying_twice_changes_nothing(deployment: Deployment) -> None:
    again = deploy("lakegate", TEMPLATE, TEMPLATE_PARAMETERS)
    assert again.changes == ()
    assert again.deployment == deployment


def test_a_parameter_that_was_given_once_keeps_its_value_and_can_be_given_anew(local_aws: object) -> None:
    name = f"kept-{uuid.uuid4().hex[:8]}"
    database = f"kept_{uuid.uuid4().hex[:8]}"
    first = deploy(name, TEMPLATE, {**TEMPLATE_PARAMETERS, "GlueDatabaseName": database})
    again = deploy(name, TEMPLATE, {})
    assert again.changes == ()
    assert again.deployment == first.deployment
    assert again.deployment.glue_database == database
    assert any("Database" in str(change) for change in plan(name, TEMPLATE, {"GlueDatabaseName": f"{database}_2"}))


def test_a_repair_asks_for_what_was_changed_by_hand_and_only_of_a_stack_that_stands(local_aws: object) -> None:
    """What CloudFormation makes of it is its own: the emulator compares nothing but templates."""
    asked: list[str | None] = []
    client("cloudformation").meta.events.register(
        "before-parameter-build.cloudformation.CreateChangeSet",
        lambda params, **_: asked.append(params.get("DeploymentMode")),
    )
    name = f"repair-{uuid.uuid4().hex[:8]}"
    parameters = {**TEMPLATE_PARAMETERS, "GlueDatabaseName": name.replace("-", "_")}
    deploy(name, TEMPLATE, parameters, repair=True)
    plan(name, TEMPLATE, parameters)
    assert plan(name, TEMPLATE, parameters, repair=True) == ()
    assert asked == [None, None, "REVERT_DRIFT"]


def test_a_plan_lists_what_would_be_made_and_makes_nothing(local_aws: object) -> None:
    name = f"planned-{uuid.uuid4().hex[:8]}"
    changes = [str(change) for change in plan(name, TEMPLATE, TEMPLATE_PARAMETERS)]
    assert "Add    Ledger (AWS::DynamoDB::Table)" in changes
    with pytest.raises(ConfigurationError, match="lakegate setup"):
        Deployment.from_stack(name)


def test_a_plan_for_a_deployed_stack_is_empty(deployment: Deployment) -> None:
    assert plan("lakegate", TEMPLATE, TEMPLATE_PARAMETERS) == ()


def test_a_wrong_template_is_refused_with_its_name(local_aws: object, tmp_path) -> None:
    template = tmp_path / "wrong.yaml"
    template.write_text("Resources: [unclosed")
    with pytest.raises(ConfigurationError, match=r"wrong\.yaml was refused"):
        deploy("wrong", template)


def test_the_deployment_survives_the_way_through_an_environment(deployment: Deployment) -> None:
    assert Deployment.from_environment(deployment.to_environment()) == deployment


def test_a_deployment_without_a_topic_for_alerts_is_one_too(deployment: Deployment) -> None:
    older = {n: v for n, v in deployment.to_environment().items() if n != "LAKEGATE_ALERT_TOPIC"}
    assert Deployment.from_environment(older).alert_topic is None
    assert Deployment.from_environment(older).to_environment() == older


def test_missing_variables_are_all_named() -> None:
    with pytest.raises(ConfigurationError, match=r"LAKEGATE_PROCESSED_BUCKET.*LAKEGATE_LEDGER_TABLE"):
        Deployment.from_environment({"LAKEGATE_LANDING_BUCKET": "landing"})


def test_a_landing_bucket_without_versions_is_refused_with_the_command_that_helps(deployment: Deployment) -> None:
    bucket = f"unversioned-{uuid.uuid4().hex[:8]}"
    client("s3").create_bucket(Bucket=bucket)
    unversioned = Deployment.from_environment({**deployment.to_environment(), "LAKEGATE_LANDING_BUCKET": bucket})
    with pytest.raises(ConfigurationError, match="put-bucket-versioning --bucket " + bucket):
        require_versioned_landing(unversioned)


def test_the_deployed_buckets_queue_and_ledger_are_as_designed(deployment: Deployment) -> None:
    s3, sqs = client("s3"), client("sqs")
    described = client("kms").describe_key(KeyId="alias/lakegate")["KeyMetadata"]
    assert client("kms").get_key_rotation_status(KeyId=described["KeyId"])["KeyRotationEnabled"] is True
    key = described["Arn"]
    assert s3.get_bucket_versioning(Bucket=deployment.landing_bucket)["Status"] == "Enabled"
    for bucket in (deployment.landing_bucket, deployment.processed_bucket, deployment.quarantine_bucket):
        assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rules[0]["BucketKeyEnabled"] is True
        assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    attributes = sqs.get_queue_attributes(QueueUrl=deployment.queue_url, AttributeNames=["All"])["Attributes"]
    assert (attributes["VisibilityTimeout"], attributes["MessageRetentionPeriod"]) == ("60", "345600")
    assert '"maxReceiveCount":5' in attributes["RedrivePolicy"].replace(" ", "")
    dead = sqs.get_queue_attributes(QueueUrl=deployment.dlq_url, AttributeNames=["All"])["Attributes"]
    assert dead["MessageRetentionPeriod"] == "1209600"
    table = client("dynamodb").describe_table(TableName=deployment.ledger_table)["Table"]
    assert [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] == [("pk", "HASH"), ("sk", "RANGE")]
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["due"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert client("glue").get_database(Name=deployment.glue_database)["Database"]["Name"] == "lakegate"


def test_no_policy_is_longer_than_iam_takes(deployment: Deployment) -> None:
    iam, lengths = client("iam"), {}
    for policy in iam.list_policies(Scope="Local")["Policies"]:
        version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])["PolicyVersion"]
        lengths[policy["PolicyName"]] = len("".join(json.dumps(version["Document"]).split()))
    assert len(lengths) >= 5
    # IAM User Guide, "IAM and AWS STS quotas": 6,144 characters without white space; a longer stack's name is in each ARN.
    assert {name: length for name, length in lengths.items() if length > 5_500} == {}
