"""Where rows and rejected files are kept, the keys that encrypt them, the catalog, and Athena."""

import uuid
from collections.abc import Iterator

from botocore.exceptions import ClientError

from pipelines.errors import LakegateError
from pipelines.wiring.diagnosis import Finding
from resources.doctor.looking import Look, Stopped, ask, is_denied, stoppable
from resources.environment import as_lakegate_error, client

__all__ = ["look_at_athena", "look_at_catalog", "look_at_keys", "look_at_processed", "look_at_quarantine"]

_USABLE = frozenset({"Enabled"})


@stoppable
def look_at_keys(at: Look) -> Finding:
    """Whether the KMS keys that encrypt buckets and ledger can be used."""
    keys = dict(_keys(at))
    if not keys:
        return Finding.skipped("nothing is encrypted with a key of your own")
    for key, what in keys.items():
        gone = Finding.wrong(
            f"the key of {what} is gone", "the key", "what it encrypted cannot be read any more; restore from a copy"
        )
        found = ask(client("kms").describe_key, "kms:DescribeKey", {"NotFoundException": gone}, KeyId=key)[
            "KeyMetadata"
        ]
        state = str(found["KeyState"])
        if state not in _USABLE:
            named = key.rsplit("/", 1)[-1]
            how = f"aws kms cancel-key-deletion --key-id {named}; then " if state == "PendingDeletion" else ""
            return Finding.wrong(
                f"the key of {what} is {state}",
                "Enabled: nothing can be read or written without it",
                f"{how}aws kms enable-key --key-id {named}",
            )
    return Finding.ok(f"{len(keys)} in use, enabled")


@stoppable
def look_at_processed(at: Look) -> Finding:
    """Whether the tables' bucket answers."""
    return _look_at_bucket(at, at.deployment.processed_bucket, "processed/.lakegate/")


@stoppable
def look_at_quarantine(at: Look) -> Finding:
    """Whether the bucket of rejected files answers."""
    return _look_at_bucket(at, at.deployment.quarantine_bucket, ".lakegate/")


@stoppable
def look_at_catalog(at: Look) -> Finding:
    """Whether the Glue database is there, and can be read."""
    name = at.deployment.glue_database
    gone = Finding.wrong(
        f"there is no Glue database {name}",
        "the database of the tables",
        "check LAKEGATE_GLUE_DATABASE; `lakegate setup --apply --repair` makes it. Tables that were in it are gone from the catalog, their files are not",
    )
    ask(client("glue").get_database, "glue:GetDatabase", {"EntityNotFoundException": gone}, Name=name)
    tables = ask(client("glue").get_tables, "glue:GetTables", DatabaseName=name, MaxResults=100)["TableList"]
    return Finding.ok(f"{name}, with {len(tables)}{'+' if len(tables) == 100 else ''} tables")


@stoppable
def look_at_athena(at: Look) -> Finding:
    """Whether the workgroups are enabled, and ours answers a query."""
    from resources.athena import AthenaQueryEngine

    names = list(
        dict.fromkeys(name for name in (at.deployment.athena_workgroup, at.deployment.operator_workgroup) if name)
    )
    for name in names:
        gone = Finding.wrong(
            f"there is no workgroup {name}",
            "the workgroup",
            "check LAKEGATE_ATHENA_WORKGROUP and LAKEGATE_OPERATOR_WORKGROUP; `lakegate setup --apply --repair` makes it",
        )
        group = ask(
            client("athena").get_work_group, "athena:GetWorkGroup", {"InvalidRequestException": gone}, WorkGroup=name
        )["WorkGroup"]
        if group.get("State", "ENABLED") != "ENABLED":
            return Finding.wrong(
                f"the workgroup {name} is {group['State']}", "ENABLED: checks after a commit and everybody's queries go through them",
                f"aws athena update-work-group --work-group {name} --state ENABLED",
            )  # fmt: skip
    try:
        AthenaQueryEngine(at.deployment, limit_s=25).query("SELECT 1")
    except LakegateError as error:
        return Finding.wrong(
            f"`SELECT 1` failed: {error}",
            "an answer",
            "see the message; results go to a bucket of the stack, under athena-results/",
        )
    return Finding.ok(f"{names[-1]} answers")


def _look_at_bucket(at: Look, bucket: str, prefix: str) -> Finding:
    gone = Finding.wrong(
        f"there is no bucket {bucket}",
        "the bucket",
        "`lakegate setup --apply --repair` makes it; what was in it is lost",
    )
    ask(
        client("s3").list_objects_v2, "s3:ListBucket", {"NoSuchBucket": gone, "404": gone},
        Bucket=bucket, MaxKeys=1, ExpectedBucketOwner=at.account,
    )  # fmt: skip
    key = f"{prefix}doctor-{uuid.uuid4().hex}"
    place = {"Bucket": bucket, "Key": key, "ExpectedBucketOwner": at.account}
    try:
        client("s3").put_object(**place, Body=b"")
    except ClientError as error:
        if is_denied(error):
            return Finding.ok("can be listed; writing was not tried, which is the runs' right and not ours")
        raise as_lakegate_error(error, f"writing to {bucket}") from error
    try:
        client("s3").delete_object(**place)
    except ClientError as error:
        return Finding.warning(
            f"a test object was written and cannot be removed: {as_lakegate_error(error, 'removing it')}",
            "both, as runs do",
            f"remove s3://{bucket}/{key}",
        )
    return Finding.ok("listed, written, removed")


def _keys(at: Look) -> Iterator[tuple[str, str]]:
    """The customer's keys in use, each with one thing that it encrypts."""
    table = ask(client("dynamodb").describe_table, "dynamodb:DescribeTable", TableName=at.deployment.ledger_table)[
        "Table"
    ]
    if key := table.get("SSEDescription", {}).get("KMSMasterKeyArn"):
        yield key, "the ledger"
    buckets = {
        "the quarantine": at.deployment.quarantine_bucket,
        "the tables": at.deployment.processed_bucket,
        "what lands": at.deployment.landing_bucket,
    }
    for what, bucket in buckets.items():
        nothing = Finding.skipped("no encryption is set")
        try:
            answer = ask(
                client("s3").get_bucket_encryption, "s3:GetEncryptionConfiguration",
                {"ServerSideEncryptionConfigurationNotFoundError": nothing}, Bucket=bucket, ExpectedBucketOwner=at.account,
            )  # fmt: skip
        except Stopped as stopped:
            if stopped.finding is nothing:
                continue
            raise
        for rule in answer["ServerSideEncryptionConfiguration"]["Rules"]:
            if key := rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID"):
                yield key, what
