"""What each role may do and what not: one table, tried row by row by `test_permissions.py` and printed as `docs/permissions.md`.

`python -m tests.infra.permissions` writes the page. A row is one action on one thing; every role tries it, and those that are not named
must be denied. The call is a real one, with the credentials of a session of the role.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakegate.local.roles import Role

PAGE = Path(__file__).resolve().parents[2] / "docs" / "permissions.md"
PRODUCER, SENSOR, RUN, QUERY, OPERATOR = Role
ATHENA_LIMIT_S = 30.0


class Stage(ABC):
    """What the rows touch, and a role's clients; `test_permissions.py` sets it up."""

    landing: str
    landed_version: str
    """The version of `landing/a`."""
    processed: str
    quarantine: str
    other: str
    """Another bucket of this account."""
    foreign: str
    """A bucket of another account, which lets everybody in."""
    queue: str
    dead: str
    dead_arn: str
    runs: str
    ledger: str
    database: str
    topic: str
    stack: str
    key: str
    role: Role
    role_arns: dict[Role, str]

    @abstractmethod
    def client(self, service: str) -> Any:
        """A client with the credentials of the role that tries the row."""

    @abstractmethod
    def ask(self, sql: str, workgroup: str) -> None:
        """Have Athena answer a query; raises PermissionError where the query, and not the request, is refused."""

    @property
    def own_workgroup(self) -> str:
        """The one workgroup that the role may use, if it may use any."""
        return self.stack if self.role is Role.QUERY else f"{self.stack}-operators"


@dataclass(frozen=True, slots=True)
class Row:
    """An action, on what, how it is tried, and the roles that may; all others must be denied."""

    action: str
    thing: str
    call: Callable[[Stage], object]
    allowed: tuple[Role, ...] = ()

    @property
    def id(self) -> str:
        """The row's name in a test report."""
        return f"{self.action} on {self.thing}"


def _s3(action: str, thing: str, call: Callable[[Stage, Any], object], *allowed: Role) -> Row:
    return Row(f"s3:{action}", thing, lambda stage: call(stage, stage.client("s3")), allowed)


def _sqs(action: str, thing: str, call: Callable[[Stage, Any], object], *allowed: Role) -> Row:
    return Row(f"sqs:{action}", thing, lambda stage: call(stage, stage.client("sqs")), allowed)


def _ledger(action: str, call: Callable[[Any, str], object], *allowed: Role) -> Row:
    return Row(f"dynamodb:{action}", "the ledger", lambda stage: call(stage.client("dynamodb"), stage.ledger), allowed)


def _glue(action: str, thing: str, call: Callable[[Any, str], object], *allowed: Role) -> Row:
    return Row(f"glue:{action}", thing, lambda stage: call(stage.client("glue"), stage.database), allowed)


def _ask(thing: str, sql: str, *allowed: Role, workgroup: str | None = None) -> Row:
    return Row("query through Athena", thing, lambda s: s.ask(sql, workgroup or s.own_workgroup), allowed)


def _put(bucket: str, key: str) -> Callable[[Stage, Any], object]:
    return lambda stage, s3: s3.put_object(Bucket=getattr(stage, bucket), Key=key, Body=b"x")


def _get(bucket: str, key: str) -> Callable[[Stage, Any], object]:
    return lambda stage, s3: s3.get_object(Bucket=getattr(stage, bucket), Key=key)


def _delete(bucket: str, key: str) -> Callable[[Stage, Any], object]:
    return lambda stage, s3: s3.delete_object(Bucket=getattr(stage, bucket), Key=key)


def _list(bucket: str) -> Callable[[Stage, Any], object]:
    return lambda stage, s3: s3.list_objects_v2(Bucket=getattr(stage, bucket))


def _newest(stage: Stage, s3: Any) -> object:
    return s3.get_object(Bucket=stage.landing, Key="landing/a", VersionId=stage.landed_version)


def _receive(queue: str) -> Callable[[Stage, Any], object]:
    return lambda stage, sqs: sqs.receive_message(QueueUrl=getattr(stage, queue), VisibilityTimeout=0)


def _send(queue: str) -> Callable[[Stage, Any], object]:
    return lambda stage, sqs: sqs.send_message(QueueUrl=getattr(stage, queue), MessageBody="x")


def _forget(queue: str) -> Callable[[Stage, Any], object]:
    # Allowed or not is decided before SQS looks at the receipt.
    return lambda stage, sqs: sqs.delete_message(QueueUrl=getattr(stage, queue), ReceiptHandle="none")


ITEM = {"pk": {"S": "tried"}, "sk": {"S": "tried"}}
COLUMNS = {
    "StorageDescriptor": {
        "Columns": [{"Name": "a", "Type": "string"}],
        "Location": "s3://nowhere/",
        "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde"},
    }
}
OPEN_POLICY = '{"Version": "2012-10-17", "Statement": []}'

ROWS: tuple[Row, ...] = (
    # ---- what landed
    _s3("PutObject", "`landing/…`", _put("landing", "landing/b"), PRODUCER, OPERATOR),
    _s3("PutObject", "the landing bucket outside `landing/`", _put("landing", "elsewhere/b")),
    _s3("GetObject", "`landing/…`", _get("landing", "landing/a"), RUN, OPERATOR),
    _s3("GetObjectVersion", "`landing/…`", _newest, RUN, OPERATOR),
    _s3("ListBucket", "the landing bucket", _list("landing"), RUN, OPERATOR),
    _s3(
        "ListBucketVersions",
        "the landing bucket",
        lambda stage, s3: s3.list_object_versions(Bucket=stage.landing),
        RUN,
        OPERATOR,
    ),
    _s3("DeleteObject", "`landing/…`", _delete("landing", "landing/a")),
    _s3(
        "DeleteObjectVersion",
        "`landing/…`",
        lambda stage, s3: s3.delete_object(Bucket=stage.landing, Key="landing/a", VersionId=stage.landed_version),
    ),
    _s3(
        "PutBucketNotification",
        "the landing bucket",
        lambda stage, s3: s3.put_bucket_notification_configuration(Bucket=stage.landing, NotificationConfiguration={}),
    ),
    _s3(
        "PutBucketPolicy",
        "the landing bucket",
        lambda stage, s3: s3.put_bucket_policy(Bucket=stage.landing, Policy=OPEN_POLICY),
    ),
    _s3(
        "PutBucketVersioning",
        "the landing bucket",
        lambda stage, s3: s3.put_bucket_versioning(
            Bucket=stage.landing, VersioningConfiguration={"Status": "Suspended"}
        ),
    ),
    _s3(
        "PutLifecycleConfiguration",
        "the landing bucket",
        lambda stage, s3: s3.put_bucket_lifecycle_configuration(
            Bucket=stage.landing,
            LifecycleConfiguration={"Rules": [{"Status": "Enabled", "Prefix": "", "Expiration": {"Days": 1}}]},
        ),
    ),
    _s3("DeleteBucket", "the landing bucket", lambda stage, s3: s3.delete_bucket(Bucket=stage.landing)),
    # ---- what is published
    _s3("PutObject", "`processed/…`", _put("processed", "processed/t/b"), RUN),
    _s3("GetObject", "`processed/…`", _get("processed", "processed/t/a.csv"), RUN, QUERY, OPERATOR),
    _s3("DeleteObject", "`processed/…`", _delete("processed", "processed/t/b"), RUN),
    _s3("ListBucket", "the processed bucket", _list("processed"), RUN, QUERY, OPERATOR),
    _s3("PutObject", "the processed bucket, elsewhere", _put("processed", "elsewhere/b")),
    _s3("PutObject", "analysts' answers", _put("processed", "athena-results/b"), QUERY),
    _s3("GetObject", "analysts' answers", _get("processed", "athena-results/a"), QUERY, OPERATOR),
    _s3("DeleteObject", "analysts' answers", _delete("processed", "athena-results/a")),
    _s3(
        "PutBucketPolicy",
        "the processed bucket",
        lambda stage, s3: s3.put_bucket_policy(Bucket=stage.processed, Policy=OPEN_POLICY),
    ),
    # ---- what was rejected
    _s3("PutObject", "`quarantine/…`", _put("quarantine", "quarantine/b"), RUN),
    _s3("GetObject", "`quarantine/…`", _get("quarantine", "quarantine/a"), OPERATOR),
    _s3("DeleteObject", "`quarantine/…`", _delete("quarantine", "quarantine/a")),
    _s3("PutObject", "rejected rows", _put("quarantine", "rejected/t/b"), RUN),
    _s3("GetObject", "rejected rows", _get("quarantine", "rejected/t/a.csv"), RUN, OPERATOR),
    _s3("DeleteObject", "rejected rows", _delete("quarantine", "rejected/t/b"), RUN),
    _s3("PutObject", "operators' answers", _put("quarantine", "athena-results/b"), RUN, OPERATOR),
    _s3("GetObject", "operators' answers", _get("quarantine", "athena-results/a"), RUN, OPERATOR),
    _s3("ListBucket", "the quarantine bucket", _list("quarantine"), RUN, OPERATOR),
    _s3(
        "PutBucketPolicy",
        "the quarantine bucket",
        lambda stage, s3: s3.put_bucket_policy(Bucket=stage.quarantine, Policy=OPEN_POLICY),
    ),
    # ---- other buckets
    _s3("GetObject", "another bucket of this account", _get("other", "a")),
    _s3("PutObject", "another bucket of this account", _put("other", "landing/b")),
    _s3("ListBucket", "another bucket of this account", _list("other")),
    _s3("GetObject", "a bucket of another account that lets everybody in", _get("foreign", "a")),
    _s3("PutObject", "a bucket of another account that lets everybody in", _put("foreign", "landing/b")),
    _s3("ListBucket", "a bucket of another account that lets everybody in", _list("foreign")),
    # ---- events
    _sqs("ReceiveMessage", "the event queue", _receive("queue"), SENSOR, OPERATOR),
    _sqs("DeleteMessage", "the event queue", _forget("queue"), SENSOR, OPERATOR),
    _sqs("SendMessage", "the event queue", _send("queue"), OPERATOR),
    _sqs("PurgeQueue", "the event queue", lambda stage, sqs: sqs.purge_queue(QueueUrl=stage.queue)),
    _sqs("DeleteQueue", "the event queue", lambda stage, sqs: sqs.delete_queue(QueueUrl=stage.queue)),
    _sqs(
        "SetQueueAttributes",
        "the event queue",
        lambda stage, sqs: sqs.set_queue_attributes(QueueUrl=stage.queue, Attributes={"Policy": ""}),
    ),
    _sqs("ReceiveMessage", "the dead letters", _receive("dead"), SENSOR, OPERATOR),
    _sqs("DeleteMessage", "the dead letters", _forget("dead"), OPERATOR),
    _sqs("SendMessage", "the dead letters", _send("dead")),
    _sqs(
        "StartMessageMoveTask",
        "the dead letters",
        lambda stage, sqs: sqs.start_message_move_task(SourceArn=stage.dead_arn),
        OPERATOR,
    ),
    _sqs("PurgeQueue", "the dead letters", lambda stage, sqs: sqs.purge_queue(QueueUrl=stage.dead)),
    _sqs("SendMessage", "the run queue", _send("runs"), SENSOR),
    _sqs("ReceiveMessage", "the run queue", _receive("runs"), RUN),
    _sqs("DeleteMessage", "the run queue", _forget("runs"), RUN),
    _sqs("PurgeQueue", "the run queue", lambda stage, sqs: sqs.purge_queue(QueueUrl=stage.runs)),
    # ---- the ledger
    _ledger("GetItem", lambda db, table: db.get_item(TableName=table, Key=ITEM), SENSOR, RUN, OPERATOR),
    _ledger("PutItem", lambda db, table: db.put_item(TableName=table, Item=ITEM), SENSOR, RUN, OPERATOR),
    _ledger(
        "Query",
        lambda db, table: db.query(
            TableName=table,
            IndexName="due",
            KeyConditionExpression="due_pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "x"}},
        ),
        SENSOR,
        RUN,
        OPERATOR,
    ),
    _ledger(
        "TransactWriteItems",
        lambda db, table: db.transact_write_items(TransactItems=[{"Put": {"TableName": table, "Item": ITEM}}]),
        SENSOR,
        RUN,
        OPERATOR,
    ),
    _ledger("Scan", lambda db, table: db.scan(TableName=table)),
    _ledger("DeleteTable", lambda db, table: db.delete_table(TableName=table)),
    _ledger("UpdateTable", lambda db, table: db.update_table(TableName=table, DeletionProtectionEnabled=False)),
    # ---- the catalog
    _glue("GetTable", "a table", lambda glue, db: glue.get_table(DatabaseName=db, Name="t"), RUN, QUERY, OPERATOR),
    _glue("GetTables", "the database", lambda glue, db: glue.get_tables(DatabaseName=db), RUN, QUERY, OPERATOR),
    _glue(
        "CreateTable",
        "the database",
        lambda glue, db: glue.create_table(DatabaseName=db, TableInput={"Name": "made", **COLUMNS}),
        RUN,
    ),
    _glue(
        "UpdateTable",
        "a table",
        lambda glue, db: glue.update_table(DatabaseName=db, TableInput={"Name": "updated", **COLUMNS}),
        RUN,
    ),
    _glue("DeleteTable", "a table", lambda glue, db: glue.delete_table(DatabaseName=db, Name="t")),
    _glue("DeleteDatabase", "the database", lambda glue, db: glue.delete_database(Name=db)),
    _glue("GetTable", "a table of another database", lambda glue, _: glue.get_table(DatabaseName="other", Name="t")),
    # ---- queries
    _ask("a published table", "SELECT * FROM t", RUN, QUERY, OPERATOR),
    _ask("a published table, in the analysts' workgroup", "SELECT * FROM t", QUERY, workgroup="lakegate"),
    _ask(
        "a published table, in the operators' workgroup",
        "SELECT * FROM t",
        RUN,
        OPERATOR,
        workgroup="lakegate-operators",
    ),
    _ask("a published table, in another workgroup", "SELECT * FROM t", workgroup="primary"),
    _ask("rejected rows", "SELECT * FROM t__rejected", RUN, OPERATOR),
    _ask("a table over `landing/`", "SELECT * FROM landed", RUN, OPERATOR),
    _ask("a table over `quarantine/`", "SELECT * FROM quarantined", OPERATOR),
    _ask("a table of another database", "SELECT * FROM other.t"),
    _ask("`CREATE TABLE … AS`", "CREATE TABLE copied AS SELECT * FROM t", RUN),
    Row(
        "athena:UpdateWorkGroup",
        "the analysts' workgroup",
        lambda s: s.client("athena").update_work_group(WorkGroup=s.stack, Description="x"),
    ),
    # ---- alerts
    Row(
        "sns:Publish",
        "the alert topic",
        lambda s: s.client("sns").publish(TopicArn=s.topic, Message="x"),
        (SENSOR, OPERATOR),
    ),
    Row(
        "sns:Subscribe",
        "the alert topic",
        lambda s: s.client("sns").subscribe(TopicArn=s.topic, Protocol="sqs", Endpoint=s.dead_arn),
    ),
    Row("sns:DeleteTopic", "the alert topic", lambda s: s.client("sns").delete_topic(TopicArn=s.topic)),
    # ---- the stack, keys and roles
    Row(
        "cloudformation:DescribeStacks",
        "the stack",
        lambda s: s.client("cloudformation").describe_stacks(StackName=s.stack),
        (OPERATOR,),
    ),
    Row(
        "cloudformation:DeleteStack",
        "the stack",
        lambda s: s.client("cloudformation").delete_stack(StackName=s.stack),
    ),
    Row(
        "kms:ScheduleKeyDeletion",
        "the key",
        lambda s: s.client("kms").schedule_key_deletion(KeyId=s.key, PendingWindowInDays=30),
    ),
    Row("kms:Decrypt", "the key, called directly", lambda s: s.client("kms").decrypt(KeyId=s.key, CiphertextBlob=b"x")),
    Row(
        "iam:AttachRolePolicy",
        "its own role",
        lambda s: s.client("iam").attach_role_policy(
            RoleName=s.role_arns[s.role].rsplit("/", 1)[1], PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"
        ),
    ),
    Row("iam:CreateUser", "the account", lambda s: s.client("iam").create_user(UserName="backdoor")),
    Row(
        "sts:AssumeRole",
        "another role",
        lambda s: s.client("sts").assume_role(
            RoleArn=s.role_arns[Role.RUN if s.role is Role.OPERATOR else Role.OPERATOR], RoleSessionName="tried"
        ),
    ),
)

_HEAD = """# What each role may do

Generated from `tests/infra/permissions.py` (`python -m tests.infra.permissions`); do not edit.

The stack makes five roles. Each line below is tried by all five in `make test`, with a real call under a session of the role, against a local AWS
that checks signatures and policies: **yes** means that it went through, **–** that it was denied.

| role | is for | trusted |
|---|---|---|
| producer | whoever lands files | this account, or whom `ProducerArns` names |
| sensor | Dagster's daemon, code server and web server | the service `WorkerService` (ECS tasks) |
| run | the workers in which runs run, and nothing else | the service `WorkerService` (ECS tasks) |
| query | analysts, in the workgroup named like the stack | this account |
| operator | people who look after it, and the command line | this account |

- **Only S3 sends to the event queue** (or the topic or rule that S3's events come by). The queue's own policy denies it to everybody else in the account, whatever
  their policies say, except the operator: to send a dead letter back SQS asks for `SendMessage` on the queue it goes to. So an
  administrator who wants to press *Start DLQ redrive* in the console takes the operator's role first.
- **No role reaches a bucket of another account**, by whatever client, even if that bucket lets everybody in or has the name of one of ours that was deleted: a
  policy of its own (`OwnAccountPolicy`), which every role has, denies all of S3 where `aws:ResourceAccount` is another.
- **Analysts see no raw text**: neither what landed, nor what is in quarantine, nor rejected rows, nor the answers to others' queries about those. Runs and
  operators ask Athena in a workgroup of their own (`<stack>-operators`), whose answers lie in the quarantine bucket; a
  deployment's environment names it in `LAKEGATE_OPERATOR_WORKGROUP`.
- Nobody deletes what landed or what is in quarantine, changes a policy, a notification or versioning, or purges a queue. Those are an administrator's.

`lakegate up --enforce` and `lakegate demo --enforce` run each part under its own role on a laptop; `lakegate env --role query` prints the environment of one.

Not shown by this table, for no emulator can: that AWS's own IAM decides the same. The policies use nothing that is particular to the emulator, but run the table's
worst rows by hand after the first deployment.
"""


def page() -> str:
    """The text of `docs/permissions.md`."""
    lines = [_HEAD, f"| action | on | {' | '.join(role.value for role in Role)} |", "|---|---|" + "---|" * len(Role)]
    lines += [
        f"| `{row.action}` | {row.thing} | {' | '.join('**yes**' if role in row.allowed else '–' for role in Role)} |"
        for row in ROWS
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {len(ROWS)} actions of {len(Role)} roles\n")
