"""The table of allowed and denied actions (`permissions.py`), tried with sessions of the roles against an AWS that enforces IAM."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lakegate.local.laptop import STACK_NAME, Laptop
from lakegate.local.roles import Role
from resources.environment import Deployment, client
from tests.infra.permissions import ATHENA_LIMIT_S, COLUMNS, PAGE, ROWS, Row, Stage, page

pytestmark = pytest.mark.aws
FOREIGN_ACCOUNT = "222222222222"
DENIED = ("AccessDenied", "AccessDeniedException", "AuthorizationError", "403")
# The action was let through, and what it was for is not there (or not any more).
BESIDE_THE_POINT = ("ReceiptHandleIsInvalid", "AlreadyExistsException", "InvalidCiphertextException")


class LocalStage(Stage):
    """The stack of an enforcing laptop, with something in every corner."""

    def __init__(self, laptop: Laptop, environment: dict[str, str]) -> None:
        deployment = Deployment.from_environment(environment)
        self._region = deployment.region
        self._sessions: dict[Role, boto3.Session] = {}
        self._clients: dict[tuple[Role, str], Any] = {}
        self._outputs = {
            output["OutputKey"]: output["OutputValue"]
            for output in client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]["Outputs"]
        }
        self._athena = environment["AWS_ENDPOINT_URL_ATHENA"]
        self.stack, self.role = STACK_NAME, Role.PRODUCER
        self.landing, self.processed = deployment.landing_bucket, deployment.processed_bucket
        self.quarantine, self.other = deployment.quarantine_bucket, "another-bucket"
        self.queue, self.dead, self.runs = deployment.queue_url, deployment.dlq_url, deployment.run_queue_url
        self.ledger, self.database = deployment.ledger_table, deployment.glue_database
        self.topic, self.key = self._outputs["AlertTopic"], self._outputs["KmsKeyArn"]
        self.role_arns = {role: self._outputs[role.output] for role in Role}
        self.dead_arn = client("sqs").get_queue_attributes(QueueUrl=self.dead, AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]
        self._furnish()

    def client(self, service: str) -> Any:
        if self.role not in self._sessions:
            answer = client("sts").assume_role(RoleArn=self.role_arns[self.role], RoleSessionName="table")
            key = answer["Credentials"]
            self._sessions[self.role] = boto3.Session(
                key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"], region_name=self._region
            )
        if (self.role, service) not in self._clients:
            made = self._sessions[self.role].client(service)  # pyright: ignore[reportCallIssue, reportArgumentType]  # boto3 types each service name
            self._clients[self.role, service] = made
        return self._clients[self.role, service]

    def ask(self, sql: str, workgroup: str) -> None:
        athena = self.client("athena")
        query = athena.start_query_execution(
            QueryString=sql, WorkGroup=workgroup, QueryExecutionContext={"Database": self.database}
        )["QueryExecutionId"]
        deadline = time.monotonic() + ATHENA_LIMIT_S
        while True:
            status = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
            if status["State"] in ("SUCCEEDED", "FAILED") or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        if status["State"] == "FAILED" and "is not authorized to perform" in status["StateChangeReason"]:
            raise PermissionError(status["StateChangeReason"])
        assert status["State"] == "SUCCEEDED", status
        if sql.startswith("SELECT"):
            athena.get_query_results(QueryExecutionId=query)

    def _furnish(self) -> None:
        s3, glue = client("s3"), client("glue")
        s3.create_bucket(Bucket=self.other)
        for bucket, key in (
            (self.processed, "processed/t/a.csv"),
            (self.processed, "athena-results/a"),
            (self.quarantine, "quarantine/a"),
            (self.quarantine, "rejected/t/a.csv"),
            (self.quarantine, "athena-results/a"),
            (self.other, "a"),
        ):
            s3.put_object(Bucket=bucket, Key=key, Body=b"x\n")
        self.landed_version = s3.put_object(Bucket=self.landing, Key="landing/a", Body=b"x\n")["VersionId"]
        glue.create_database(DatabaseInput={"Name": "other"})
        for database, name, place in (
            (self.database, "t", f"{self.processed}/processed/t"),
            (self.database, "t__rejected", f"{self.quarantine}/rejected/t"),
            (self.database, "landed", f"{self.landing}/landing"),
            (self.database, "quarantined", f"{self.quarantine}/quarantine"),
            (self.database, "updated", f"{self.processed}/processed/t"),
            ("other", "t", f"{self.processed}/processed/t"),
        ):
            storage = COLUMNS["StorageDescriptor"] | {"Location": f"s3://{place}/"}
            glue.create_table(DatabaseName=database, TableInput={"Name": name, "StorageDescriptor": storage})
        self.foreign = foreign_bucket(f"foreign-{uuid.uuid4().hex[:8]}")


def foreign_client() -> Any:
    """A client of the administrator of another account."""
    return boto3.Session(FOREIGN_ACCOUNT, "test", region_name="us-east-1").client("s3")


def foreign_bucket(name: str) -> str:
    """Make a bucket of another account that lets everybody in, with the object `a`; return its name."""
    s3 = foreign_client()
    s3.create_bucket(Bucket=name)
    s3.delete_public_access_block(Bucket=name)
    resource = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": resource}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket=name, Key="a", Body=b"x\n")
    return name


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStage]:
    """The stack in an AWS that checks signatures and policies; the environment is put back afterwards."""
    before = dict(os.environ)
    laptop = Laptop(tmp_path_factory.mktemp("strict"), any_port=True, enforce_iam=True)
    try:
        yield LocalStage(laptop, laptop.start())
    finally:
        laptop.stop()
        os.environ.clear()
        os.environ.update(before)


def is_allowed(call: Callable[[], object]) -> bool:
    """Whether it was let through; raises for any other failure."""
    try:
        call()
    except PermissionError:
        return False
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in DENIED:
            return False
        if code not in BESIDE_THE_POINT:
            raise
    return True


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_the_roles_named_may_and_all_others_are_denied(stage: LocalStage, row: Row) -> None:
    found: list[Role] = []
    # Those that may not come first: what one of them changes, the others would find.
    for role in sorted(Role, key=lambda role: role in row.allowed):
        stage.role = role
        if is_allowed(lambda: row.call(stage)):
            found.append(role)
    assert sorted(found) == sorted(row.allowed)


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.infra.permissions"


def test_each_row_of_the_table_is_there_once() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)


def test_s3_sends_to_the_queue(stage: LocalStage) -> None:
    key = f"landing/{uuid.uuid4().hex}"
    client("s3").put_object(Bucket=stage.landing, Key=key, Body=b"x")
    bodies: list[str] = []
    for _ in range(20):
        answer = client("sqs").receive_message(QueueUrl=stage.queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        bodies += [message["Body"] for message in answer.get("Messages", [])]
        if any(key in body for body in bodies):
            return
    raise AssertionError(bodies)


def test_who_has_every_permission_may_not_send_to_the_queue_either(stage: LocalStage) -> None:
    iam = client("iam")
    iam.create_user(UserName="administrator")
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_user_policy(UserName="administrator", PolicyName="all", PolicyDocument=json.dumps(everything))
    key = iam.create_access_key(UserName="administrator")["AccessKey"]
    sqs = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name="us-east-1").client("sqs")
    assert is_allowed(lambda: sqs.receive_message(QueueUrl=stage.queue))
    assert not is_allowed(lambda: sqs.send_message(QueueUrl=stage.queue, MessageBody="forged"))


def test_a_bucket_of_ours_that_somebody_else_has_made_again_is_not_written_to(stage: LocalStage) -> None:
    """A deleted bucket's name is free for everybody: policies that name buckets alone would let our rows go there."""
    s3, stage.role = client("s3"), Role.RUN
    assert is_allowed(lambda: stage.client("s3").put_object(Bucket=stage.processed, Key="processed/mine", Body=b"x"))
    for entry in s3.list_objects_v2(Bucket=stage.processed).get("Contents", []):
        s3.delete_object(Bucket=stage.processed, Key=entry["Key"])
    s3.delete_bucket(Bucket=stage.processed)
    try:
        foreign_bucket(stage.processed)
        assert not is_allowed(
            lambda: stage.client("s3").put_object(Bucket=stage.processed, Key="processed/theirs", Body=b"x")
        )
    finally:
        foreign_client().delete_object(Bucket=stage.processed, Key="a")
        foreign_client().delete_bucket(Bucket=stage.processed)


@pytest.mark.parametrize("role", Role)
def test_a_policy_stays_below_the_size_that_aws_allows(stage: LocalStage, role: Role) -> None:
    """IAM and STS quotas: a managed policy has at most 6,144 characters, white space not counted; some are left for growth."""
    iam, name = client("iam"), stage.role_arns[role].rsplit("/", 1)[1]
    for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)["PolicyVersion"][
            "Document"
        ]
        assert len(json.dumps(document, separators=(",", ":"))) < 6_000
