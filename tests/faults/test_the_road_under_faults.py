"""A fault of each kind at each step of the road: after rest, each accepted row is in the table once and the books agree.

The road is that of a batch in which a file is accepted, one rejected, and one replaces another: it goes through every step.
Faults strike once, which a client's own retries may hide, or for longer than any client tries, which the ledger has to
survive. `make test` takes a covering part of the matrix; `make proof` (LAKEGATE_ALL_FAULTS=1) all of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.aws_world import AwsWorld
from tests.faults.proxy import (
    Answer,
    Cut,
    Fault,
    FaultyAws,
    Rule,
    Silence,
    Truncate,
    conflict,
    denied,
    failed,
    throttled,
    unavailable,
)
from tests.ingest.world import BAD, orders

pytestmark = pytest.mark.aws
ALL = os.environ.get("LAKEGATE_ALL_FAULTS") == "1"
LONG = 24 if ALL else 7
"""Requests in a row: more than a client's five attempts; more than those times the four of the ledger's writes."""


@dataclass(frozen=True)
class Step:
    """The requests of one step: of a service and operation, with this in path or body."""

    service: str
    operation: str
    contains: str = ""


STEPS = {
    "receive": Step("sqs", "ReceiveMessage"),
    "register": Step("dynamodb", "TransactWriteItems", '"seen"'),
    "delete the message": Step("sqs", "DeleteMessageBatch"),
    "look for live batches": Step("dynamodb", "Query", '"slots#'),
    "look for what is due": Step("dynamodb", "Query", '"due#'),
    "plan": Step("dynamodb", "TransactWriteItems", '"slots#'),
    "take members": Step("dynamodb", "TransactWriteItems", '"planned"'),
    "claim": Step("dynamodb", "TransactWriteItems", '"claimed"'),
    "look up the members": Step("dynamodb", "Query", '"members#'),
    "look up the entries": Step("dynamodb", "BatchGetItem", '"version#'),
    "look at the table": Step("glue", "GetTable"),
    "read the table's state": Step("s3", "GetObject", "/metadata/"),
    "measure the table's state": Step("s3", "HeadObject", "/metadata/"),
    "read": Step("s3", "GetObject", "/landing/"),
    "copy to quarantine": Step("s3", "CopyObject"),
    "write the report": Step("s3", "PutObject", "report.json"),
    "settle the rejected": Step("dynamodb", "TransactWriteItems", '"quarantined"'),
    "mark committing": Step("dynamodb", "TransactWriteItems", '"committing"'),
    "look for superseded rows": Step("s3", "GetObject", "/data/"),
    "upload": Step("s3", "PutObject", "/data/"),
    "begin a manifest": Step("s3", "CreateMultipartUpload", "/metadata/"),
    "write a manifest": Step("s3", "UploadPart", "/metadata/"),
    "end a manifest": Step("s3", "CompleteMultipartUpload", "/metadata/"),
    "commit": Step("glue", "UpdateTable"),
    "settle the accepted": Step("dynamodb", "TransactWriteItems", '"committed"'),
    "finish": Step("dynamodb", "TransactWriteItems", '"done"'),
}
READS = ("Get", "Head", "Query", "Batch", "Receive")


def kinds(step: Step) -> dict[str, Fault]:
    """The faults that a step can meet, by name."""
    reads = step.operation.startswith(READS)
    found: dict[str, Fault] = {
        "throttled": throttled(step.service),
        "500": failed(),
        "503": unavailable(),
        "cut before": Cut(),
        "cut after": Cut(applied=True),
        "denied": denied(),
    }
    if not reads:
        found |= {"500 after": failed(applied=True), "silent after": Silence(applied=True)}
    else:
        found |= {"silent": Silence()}
    if step.operation != "HeadObject":
        found |= {"short": Truncate(), "cut in mid-body": Truncate(reset=True)}
    if step.service == "s3":
        found |= {"409": conflict()}
    if step.operation == "TransactWriteItems":
        reasons = {"CancellationReasons": [{"Code": "TransactionConflict", "Message": "by rule"}]}
        found |= {"409": Answer(400, "TransactionCanceledException", more=reasons)}
    if step.operation == "UpdateTable":
        found |= {"409": Answer(400, "ConcurrentModificationException")}
    return found


def times_of(fault: Fault) -> dict[str, int]:
    """How long each fault lasts: what needs a person lasts no longer than the ledger's patience with it."""
    if isinstance(fault, Silence):
        return {"one": 1}
    return {"one": 1, "many": 2 if fault == denied() else LONG}


def matrix() -> Iterator[Any]:
    """Every fault at every step; of those, `make test` takes each step once, with another kind each time."""
    for place, (name, step) in enumerate(STEPS.items()):
        for order, (kind, fault) in enumerate(kinds(step).items()):
            for length, times in times_of(fault).items():
                covers = length == "many" and order == place % len(kinds(step))
                lost_commit = step.operation == "UpdateTable" and kind in ("cut after", "500 after", "silent after")
                lost_members = name == "look up the members" and kind == "short" and length == "many"
                if ALL or covers or lost_commit or lost_members:
                    yield pytest.param(step, fault, times, id=f"{name}-{kind}-{length}")


def scenario(world: AwsWorld) -> None:
    """One file is loaded; then a good one lands, a bad one, and a correction of the first."""
    world.put("a", orders(1, 2))
    world.settle_down()
    world.put("b", orders(3))
    world.put("c", BAD)
    world.put("a", orders(6, 7, 8))


@pytest.mark.parametrize(("step", "fault", "times"), list(matrix()))
def test_after_rest_rows_and_books_are_right(
    world: AwsWorld, aws: FaultyAws, step: Step, fault: Fault, times: int
) -> None:
    scenario(world)
    aws.reset(Rule(fault, step.service, step.operation, step.contains, times=times))
    world.settle_down()
    assert aws.struck() > 0, "the step was not met"
    aws.reset()
    world.assert_right([3, 6, 7, 8], ["superseded", "loaded", "quarantined", "loaded"])
