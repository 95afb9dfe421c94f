"""`lakegate datasets impact` against the laptop's AWS: what a changed contract would have processed again, and doing it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from resources.assembly import open_gate
from resources.environment import Deployment
from tests.cli.command import GOOD, ORDERS, inside, lakegate
from tests.cli.settling import settle

pytestmark = pytest.mark.aws
DAYS = ("2026-02-01", "2026-02-02")


@dataclass(frozen=True)
class Shop:
    """A dataset of this module's own with a file on each of two days."""

    name: str
    deployment: Deployment
    folder: Path

    @property
    def contract(self) -> Path:
        return self.folder / f"{self.name}.yaml"

    @property
    def keys(self) -> list[str]:
        return [f"landing/{self.name}/{day}.csv" for day in DAYS]

    def gate(self) -> Gate:
        return open_gate(self.deployment, load_datasets(self.folder))


@pytest.fixture(scope="module")
def shop(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    name = f"orders_{uuid.uuid4().hex[:8]}"
    shop = Shop(name, deployment, tmp_path_factory.mktemp("impact"))
    shop.contract.write_text(ORDERS.replace("orders", name))
    before = dict(os.environ)
    os.environ["LAKEGATE_DATASETS"] = str(shop.folder)
    try:
        with inside(shop.folder):
            for day in DAYS:
                Path(f"{day}.csv").write_bytes(GOOD)
            lakegate("drop", *(f"{day}.csv" for day in DAYS), "-d", name)
            settle(shop.gate(), shop.keys)
            yield shop
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_a_change_is_looked_at_before_it_is_made_then_made_and_processed(shop: Shop, tmp_path: Path) -> None:
    current = lakegate("datasets", "impact", shop.name)
    assert (current.code, current.out.startswith("Every file was read under today's contract (")) == (0, True)
    before = shop.contract.read_text()
    wanted = tmp_path / f"{shop.name}.yaml"
    wanted.write_text(before.replace("note: {type: string}", "note: {type: string, max_length: 9}"))
    document = lakegate("datasets", "impact", wanted, "--json").json
    assert (document["dataset"], document["to_process"]) == (shop.name, 2)
    assert [(d["landing_day"], d["files"], d["rows"]) for d in document["days"]] == [(DAYS[0], 1, 2), (DAYS[1], 1, 2)]
    refused = lakegate("datasets", "impact", wanted, "--process")
    assert (refused.code, "put it into the datasets' folder first" in refused.err) == (2, True)

    shop.contract.write_text(wanted.read_text())
    shown = lakegate("datasets", "impact", shop.name)
    assert shown.out.splitlines()[-1].startswith(
        "2 files in the table were read under an older contract (of 2 days from"
    )
    done = lakegate("datasets", "impact", shop.name, "--process", "--days", DAYS[1])
    assert done.out == "1 file due again; the landing sensor plans and runs them within a minute.\n"
    settle(shop.gate(), shop.keys)
    [left] = lakegate("datasets", "impact", shop.name, "--json").json["days"]
    assert left["landing_day"] == DAYS[0]
    assert (
        lakegate("datasets", "impact", shop.name, "--process", "--days", f"{DAYS[0]}..{DAYS[1]}", "--json").json["due"]
        == 1
    )
    settle(shop.gate(), shop.keys)
    assert lakegate("datasets", "impact", shop.name, "--json").json["days"] == []
    assert sum(c.rows_in_table for c in shop.gate().ledger.counts(shop.name)) == 4


@pytest.mark.parametrize(
    "days", ["", "yesterday", "2026-02-30", "2026-02-02..2026-02-01", "2026-02-01..", "..2026-02-01"]
)
def test_days_that_are_none_are_misuse(shop: Shop, days: str) -> None:
    answer = lakegate("datasets", "impact", shop.name, "--process", "--days", days)
    assert (answer.code, answer.out) == (2, "")
    assert "neither a day such as" in answer.err or "ends before it begins" in answer.err


def test_days_without_process_and_unknown_datasets_are_misuse(shop: Shop) -> None:
    assert lakegate("datasets", "impact", shop.name, "--days", DAYS[0]).code == 2
    assert lakegate("datasets", "impact", "nobody").code == 2
