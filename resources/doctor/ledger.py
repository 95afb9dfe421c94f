"""The ledger: the table the template describes, its back-ups, and a write that is read again."""

import uuid
from datetime import UTC, datetime

from pipelines.accounting.ledger import Ledger
from pipelines.wiring.diagnosis import Finding
from resources.doctor.looking import Look, ask, stoppable
from resources.dynamodb import DynamoItemStore
from resources.environment import client

__all__ = ["look_at_backups", "look_at_ledger", "look_at_ledger_writes"]

_KEYS = [("pk", "HASH"), ("sk", "RANGE")]
_DUE_KEYS = [("due_pk", "HASH"), ("due_sk", "RANGE")]
_AS_MADE = "restore it from a back-up, or let `lakegate setup --apply --repair` make a new one: then `lakegate sweep` registers what is in the bucket"


@stoppable
def look_at_ledger(at: Look) -> Finding:
    """Whether the table is there with its keys and its index."""
    name = at.deployment.ledger_table
    gone = Finding.wrong(f"there is no table {name}", "the ledger", f"check LAKEGATE_LEDGER_TABLE; {_AS_MADE}")
    table = ask(
        client("dynamodb").describe_table, "dynamodb:DescribeTable", {"ResourceNotFoundException": gone}, TableName=name
    )["Table"]
    if table["TableStatus"] not in ("ACTIVE", "UPDATING"):
        return Finding.wrong(
            f"the table is {table['TableStatus']}", "ACTIVE", "wait until it is, or look into the account's events"
        )
    if _key(table["KeySchema"]) != _KEYS:
        return Finding.wrong("the table has other keys", "pk and sk", "LAKEGATE_LEDGER_TABLE names another table")
    index = next((one for one in table.get("GlobalSecondaryIndexes", ()) if one["IndexName"] == "due"), None)
    if index is None or _key(index["KeySchema"]) != _DUE_KEYS:
        return Finding.wrong(
            "the table has no index `due`" if index is None else "the index `due` has other keys",
            "an index over due_pk and due_sk, by which work is found",
            "`lakegate setup --apply --repair` makes it again; nothing is lost meanwhile, and nothing is worked on",
        )
    if index.get("IndexStatus", "ACTIVE") != "ACTIVE":
        return Finding.warning(f"the index `due` is {index['IndexStatus']}", "ACTIVE", "wait: it is being filled")
    lived = ask(client("dynamodb").describe_time_to_live, "dynamodb:DescribeTimeToLive", TableName=name)[
        "TimeToLiveDescription"
    ]
    if lived.get("TimeToLiveStatus", "DISABLED") not in ("DISABLED", "DISABLING"):
        return Finding.wrong(
            "items expire (time to live is on)", "nothing expires: each item is part of the account",
            f"aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification Enabled=false,AttributeName={lived.get('AttributeName')}",
        )  # fmt: skip
    return Finding.ok(f"{name}, with its index")


@stoppable
def look_at_backups(at: Look) -> Finding:
    """Whether the ledger can be put back to any second."""
    name = at.deployment.ledger_table
    described = ask(
        client("dynamodb").describe_continuous_backups, "dynamodb:DescribeContinuousBackups", TableName=name
    )
    recovery = described["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") == "ENABLED":
        return Finding.ok("point-in-time recovery is on")
    return Finding.warning(
        "point-in-time recovery is off", "on: the ledger is the only list of what was done",
        f"aws dynamodb update-continuous-backups --table-name {name} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
    )  # fmt: skip


@stoppable
def look_at_ledger_writes(at: Look) -> Finding:
    """Write a mark as a wiring test does, read it, ask the index, take the mark away."""
    ledger = Ledger(
        DynamoItemStore(client("dynamodb"), at.deployment.ledger_table), lambda: datetime.now(UTC), pause=lambda _: None
    )
    mark = uuid.uuid4().hex
    try:
        ledger.wiring.arrived(mark)
        there = ledger.wiring.arrival(mark)
        ledger.due("lakegate-doctor", limit=1)
    finally:
        ledger.wiring.forget(mark)
    if there is None:
        return Finding.wrong(
            "what was written is not there when it is read",
            "a consistent read",
            "tell AWS support: the ledger cannot be trusted",
        )
    return Finding.ok("written, read, taken away")


def _key(schema: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(part["AttributeName"], part["KeyType"]) for part in schema]
