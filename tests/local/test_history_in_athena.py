"""The history and the balance sheet as an analyst sees them: Iceberg tables in Glue, asked through Athena."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from pipelines.accounting.ledger import Ledger
from pipelines.contracts.system_tables import audit_log, balance_sheet, file_history
from pipelines.errors import CommitConflictError
from pipelines.gate import Gate
from pipelines.publication.export import export_history
from resources.athena import AthenaQueryEngine
from resources.dynamodb import DynamoItemStore
from resources.environment import Deployment, client
from resources.iceberg import glue_tables
from resources.s3 import S3ObjectStore
from tests.accounting.books import sighting
from tests.ingest.world import BAD, ORDERS, World, dataset, orders

pytestmark = pytest.mark.aws


@pytest.fixture(scope="module")
def world(deployment: Deployment) -> World:
    """A dataset of its own with a loaded, a replaced and a quarantined file, exported in two runs."""
    name = f"orders_{uuid.uuid4().hex[:8]}"
    world = World(tables=glue_tables(deployment, S3ObjectStore()), datasets=(dataset(ORDERS.replace("orders", name)),))
    store: Any = S3ObjectStore()
    gate = replace(world.gate(), store=store)
    world.put(f"landing/{name}/2026-02-01/a.csv", orders(1, 2))
    world.put(f"landing/{name}/2026-02-01/b.csv", BAD)
    world.settle_down()
    assert export_history(gate).changes > 0
    world.clock.turn(60)
    world.put(f"landing/{name}/2026-02-01/a.csv", orders(3))
    world.settle_down()
    assert export_history(gate).changes > 0
    return world


@pytest.fixture
def ask(deployment: Deployment) -> Any:
    engine = AthenaQueryEngine(deployment)
    return lambda sql: engine.query(sql).table.to_pylist()


def test_the_history_answers_what_happened_to_a_file_and_why(world: World, ask: Any) -> None:
    name = world.datasets[0].name
    found = ask(
        f"SELECT to_state, outcome, rows_read, reason FROM file_history WHERE dataset = '{name}' "
        "AND key LIKE '%/a.csv' AND version = 'v1' ORDER BY at, change_id"
    )
    assert [row["to_state"] for row in found] == ["seen", "planned", "claimed", "committing", "committed", "committed"]
    assert (found[-1]["outcome"], found[-1]["reason"]) == ("superseded", "superseded by v3")
    assert found[4]["rows_read"] == 2
    twice = ask("SELECT change_id FROM file_history GROUP BY change_id HAVING count(*) > 1")
    assert twice == []


def test_rows_lead_to_the_change_that_published_them(world: World, ask: Any) -> None:
    name = world.datasets[0].name
    [found] = ask(
        f"SELECT o.id, h.run, h.at FROM {name} o JOIN file_history h "
        "USING (_source_file, _source_version, _batch_id) WHERE h.to_state = 'committed' AND h.outcome = 'loaded'"
    )
    assert found["id"] == 3
    assert found["run"].startswith("run-")


def test_the_balance_sheet_has_one_row_a_dataset_and_day(world: World, ask: Any) -> None:
    name = world.datasets[0].name
    [row] = ask(f"SELECT * FROM balance_sheet WHERE dataset = '{name}'")
    counts = {o: row[o] for o in ("objects", "loaded", "superseded", "quarantined", "rows_in_table", "duplicates")}
    assert counts == {
        "objects": 3,
        "loaded": 1,
        "superseded": 1,
        "quarantined": 1,
        "rows_in_table": 1,
        "duplicates": 0,
    }
    assert row["problems"] is None


def test_every_column_says_in_the_catalog_what_it_is(world: World, deployment: Deployment) -> None:
    for table in (file_history(), balance_sheet(), audit_log()):
        found = client("glue").get_table(DatabaseName=deployment.glue_database, Name=table.table)["Table"]
        comments = {c["Name"]: c.get("Comment") for c in found["StorageDescriptor"]["Columns"]}
        assert all(comments.values()), comments
        assert found["Parameters"]["table_type"] == "ICEBERG"


def test_three_exporters_at_once_export_each_change_once(
    deployment: Deployment, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over DynamoDB, S3 and Glue, while files keep coming."""
    monkeypatch.setattr("pipelines.accounting.outbox._PAGE_ITEMS", 8)
    name = f"orders_{uuid.uuid4().hex[:8]}"
    of = dataset(ORDERS.replace("orders", name))
    items = DynamoItemStore(client("dynamodb"), deployment.ledger_table)
    store: Any = S3ObjectStore()

    def gate() -> Gate:
        world = World(tables=glue_tables(deployment, S3ObjectStore()), datasets=(of,))
        return replace(world.gate(), store=store, ledger=Ledger(items, world.clock))

    ledger = gate().ledger
    ledger.register([sighting(f"landing/{name}/first.csv", dataset=name)])
    export_history(gate())  # the tables are there
    done = threading.Event()

    def exporter() -> None:
        mine, is_last = gate(), False
        while not is_last:
            is_last = done.is_set()
            try:
                export_history(mine)
            except CommitConflictError:
                is_last = False

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(exporter) for _ in range(3)]
        try:
            for number in range(15):
                ledger.register([sighting(f"landing/{name}/{number}.csv", dataset=name)])
        finally:
            done.set()
        for one in working:
            one.result(timeout=120)
    found = ask(f"SELECT key, change_id FROM file_history WHERE dataset = '{name}'")
    wanted = [f"landing/{name}/{number}.csv" for number in ("first", *range(15))]
    assert sorted(row["key"] for row in found) == sorted(wanted)
    [sheet] = ask(f"SELECT objects FROM balance_sheet WHERE dataset = '{name}'")
    assert sheet["objects"] == 16
