"""`lakegate quarantine replay` and `lakegate failed` against the laptop's AWS."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipelines.accounting.entries import Claim, RetryPolicy
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.outcomes import FileFailed
from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from pipelines.intake.dispatching import dispatch
from pipelines.intake.receiving import receive
from resources.assembly import open_gate
from resources.clock import utc_now
from resources.dynamodb import DynamoItemStore
from resources.environment import Deployment, client
from tests.cli.command import BAD, GOOD, ORDERS, inside, lakegate
from tests.cli.settling import settle

pytestmark = pytest.mark.aws
DAYS = ("2026-02-01", "2026-02-02", "2026-02-03")


@dataclass(frozen=True)
class Shop:
    """A dataset of this module's own: days 1 and 2 are in quarantine, day 3 has failed."""

    name: str
    deployment: Deployment
    folder: Path

    def key(self, day: str) -> str:
        return f"landing/{self.name}/{day}.csv"

    def gate(self) -> Gate:
        return open_gate(self.deployment, load_datasets(self.folder))


@pytest.fixture(scope="module")
def shop(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    name = f"orders_{uuid.uuid4().hex[:8]}"
    folder = tmp_path_factory.mktemp("replay")
    (folder / f"{name}.yaml").write_text(ORDERS.replace("orders", name))
    before = dict(os.environ)
    os.environ["LAKEGATE_DATASETS"] = str(folder)
    try:
        with inside(folder):
            shop = Shop(name, deployment, folder)
            for day, content in zip(DAYS, (BAD, BAD, GOOD), strict=True):
                Path(f"{day}.csv").write_bytes(content)
            lakegate("drop", f"{DAYS[0]}.csv", f"{DAYS[1]}.csv", "-d", name)
            settle(shop.gate(), [shop.key(DAYS[0]), shop.key(DAYS[1])])
            lakegate("drop", f"{DAYS[2]}.csv", "-d", name)
            fail(shop)
            yield shop
    finally:
        os.environ.clear()
        os.environ.update(before)


def fail(shop: Shop) -> None:
    """Day 3 has one attempt, and AWS does not answer."""
    items = DynamoItemStore(client("dynamodb"), shop.deployment.ledger_table)
    ledger = Ledger(items, utc_now, policy=RetryPolicy(max_attempts=1, passing_attempts=1))
    gate = replace(shop.gate(), ledger=ledger)
    while not ledger.entries(shop.deployment.landing_bucket, shop.key(DAYS[2])):
        receive(gate, wait_s=1, budget_s=10)
    launches: list[str] = []
    while not launches:
        launches = [b for x in dispatch(gate, lambda _: {}).launches if x.dataset == shop.name for b in x.batches]
    [batch] = launches
    claim = ledger.claim(batch, "run-1")
    assert isinstance(claim, Claim)
    ledger.settle(claim, [FileFailed(m.ref, "reading s3://x/y: AccessDenied: \x1b[31mno") for m in claim.members])
    ledger.finish(claim)


def ids(shop: Shop) -> dict[str, str]:
    files = lakegate("quarantine", "list", "-d", shop.name, "--json").json["files"]
    return {file["key"]: file["id"] for file in files}


def test_files_are_replayed_by_id_and_by_reason_and_the_report_is_renewed(shop: Shop) -> None:
    first, second = (ids(shop)[shop.key(day)] for day in DAYS[:2])
    answer = lakegate("quarantine", "replay", first[:8], "--why", "looked at")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "1 quarantined file due again; the landing sensor plans and runs them within a minute.\n"
    assert list(ids(shop)) == [shop.key(DAYS[1])]
    settle(shop.gate(), [shop.key(DAYS[0])])
    assert ids(shop) == {shop.key(DAYS[0]): first, shop.key(DAYS[1]): second}
    assert lakegate("quarantine", "show", first, "--json").json["tried"] == 2
    assert "tried 2 times, last 20" in lakegate("quarantine", "show", first).out
    history = lakegate("trace", shop.key(DAYS[0]), "--json").json["history"]
    [told] = [h["reason"] for h in history if h["reason"].startswith("replayed by ")]
    assert told.endswith(": looked at")
    none = lakegate("quarantine", "replay", "-d", shop.name, "--reason", "encoding", "--json")
    assert none.json == {"version": 1, "due": 0, "held": 0, "left": 0}


def test_a_replay_under_a_new_contract_brings_the_good_rows_in(shop: Shop) -> None:
    contract = shop.folder / f"{shop.name}.yaml"
    before = contract.read_text()
    contract.write_text(before + "rows: {on_bad: quarantine_rows, max_bad: 80%}\n")
    try:
        assert lakegate("quarantine", "replay", "-d", shop.name, "--reason", "type", "--json").json["due"] == 2
        gate = shop.gate()
        settle(gate, [shop.key(DAYS[0]), shop.key(DAYS[1])])
        assert ids(shop) == {}
        counts = {c.landing_day.isoformat(): c for c in gate.ledger.counts(shop.name)}
        assert [(counts[d].rows_in_table, counts[d].rows_rejected) for d in DAYS[:2]] == [(1, 2), (1, 2)]
    finally:
        contract.write_text(before)


def test_failed_files_are_listed_by_reason_and_retried(shop: Shop) -> None:
    listed = lakegate("failed", "list", "-d", shop.name)
    assert (listed.code, listed.err) == (0, "")
    assert listed.out.splitlines()[0] == "1 file: reading …: AccessDenied: \\x1b[…mno"
    assert "\x1b" not in listed.out
    assert shop.key(DAYS[2]) in listed.out
    document = lakegate("failed", "list", "-d", shop.name, "--json").json
    assert (document["failed"], document["reasons"][0]["count"]) == (1, 1)
    assert document["reasons"][0]["files"][0]["key"] == shop.key(DAYS[2])
    assert lakegate("failed", "list", "-d", shop.name, "--reason", "throttled").out == "No file has failed.\n"
    assert lakegate("failed", "retry", "-d", shop.name, "--reason", "throttled", "--json").json["due"] == 0
    assert lakegate("failed", "retry", "-d", shop.name, "--reason", "accessdenied").out.startswith(
        "1 failed file due again"
    )
    settle(shop.gate(), [shop.key(DAYS[2])])
    assert lakegate("failed", "list", "-d", shop.name).out == "No file has failed.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["quarantine", "replay"],
        ["quarantine", "replay", "ffffffff"],
        ["quarantine", "replay", "f"],
        ["quarantine", "replay", "--dataset", "x", "--reason", "bad_luck"],
        ["quarantine", "list", "--reason", "bad_luck"],
        ["quarantine", "show", "ffffffff"],
        ["failed", "retry", "--nonsense"],
    ],
)
def test_misuse_is_told(shop: Shop, arguments: list[str]) -> None:
    answer = lakegate(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err
