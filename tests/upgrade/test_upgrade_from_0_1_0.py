"""What release 0.1.0 left is opened by this one: nothing of it is lost, what was under way is finished, and it is migrated.

The tests tell one story, in order: each begins where the one before ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from lakegate.cli.migrate import migrate_deployment
from lakegate.cli.proof import prove_books
from lakegate.local.laptop import Laptop
from lakegate.status import look
from lakegate.story import story_of
from pipelines.accounting.balance import balance
from pipelines.accounting.format_guard import DEPLOYMENT
from pipelines.accounting.states import BatchState, Outcome
from pipelines.errors import NewerFormatError
from pipelines.formats import RELEASE, TABLE_FORMAT_PROPERTY
from pipelines.ingest import ingest_batch
from pipelines.migration import kind_of
from pipelines.publication.export import export_history
from pipelines.reports import BatchReport, FileEnding
from resources.athena import AthenaQueryEngine
from resources.dynamodb import DynamoItemStore
from resources.environment import Deployment, client, iceberg_catalog
from tests.cli.command import lakegate
from tests.road.road import environment_kept
from tests.upgrade.restored import READER, Restored, csv, restore, sheet_lines

pytestmark = pytest.mark.aws
ARCHIVE = Path(__file__).with_name("0.1.0.tar.gz")
BEFORE = {"orders": 12, "payments": 5, "payments__rejected": 3, "visits": 2}


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    with environment_kept():
        laptop = Laptop(tmp_path_factory.mktemp("laptop"), any_port=True)
        try:
            deployment = Deployment.from_environment(laptop.start())
            yield restore(ARCHIVE, deployment, tmp_path_factory.mktemp("state"))
        finally:
            laptop.stop()


def test_the_state_has_every_kind_of_item_that_the_release_writes(restored: Restored) -> None:
    assert restored.said["release"] == "0.1.0"
    assert restored.said["commit"].startswith("1b9b9f1")
    assert {item["format"]["N"] for item in restored.items} == {"1"}
    kinds = {kind_of({"pk": item["pk"]["S"], "sk": item["sk"]["S"]}) for item in restored.items}
    assert kinds == {
        "object/version", "object/head", "object/history", "object/removal", "batch/batch", "batch/members", "batch/history",
        "slots", "days", "run", "counts", "profiles", "datasets", "delimiters", "sweeps", "swept", "routing", "outbox",
        "outbox/page", "breakers", "breaker/history",
    }  # fmt: skip


def test_the_books_say_what_they_said(restored: Restored) -> None:
    gate = restored.gate()
    sheet = balance(gate.ledger.counts())
    assert sheet.problems == ()
    assert sheet_lines(sheet) == restored.said["sheet"]
    assert {outcome for outcome in Outcome if sheet.outcome(outcome)} == set(Outcome)
    assert {table: len(restored.rows(table)) for table in BEFORE} == BEFORE
    assert {k: v for k, v in restored.said["rows"].items() if k in BEFORE} == BEFORE
    now = look(gate)
    assert [breaker.dataset for breaker in now.paused] == ["clicks"]
    assert (now.messages, now.dead_letters) == (1, 1)


def test_a_file_that_the_old_release_took_tells_its_story(restored: Restored) -> None:
    told = story_of(restored.gate(), "landing/orders/2026-02-01/a.csv")
    assert told is not None
    text = "\n".join(told.lines())
    assert text.count("version ") >= 2
    assert "superseded by a higher version" in text
    bad = story_of(restored.gate(), "landing/orders/2026-02-01/bad.csv")
    assert bad is not None
    assert "none0" in "\n".join(bad.lines())


def test_migrating_is_planned_without_a_change_and_done_once(restored: Restored) -> None:
    before = _items(restored)
    planned = migrate_deployment(restored.deployment, apply=False, scan=True)
    assert planned.written_by is None
    assert set(planned.unmarked) == {*BEFORE, "file_history", "balance_sheet"}
    assert len(planned.todo()) == 2
    assert planned.items is not None
    assert (planned.items.items, planned.items.older()) == (len(restored.items), 0)
    assert _items(restored) == before

    rows = {table: restored.rows(table) for table in BEFORE}
    done = migrate_deployment(restored.deployment, apply=True)
    assert done.todo() == planned.todo()
    again = migrate_deployment(restored.deployment, apply=False)
    assert (again.todo(), again.written_by) == ([], RELEASE)
    assert {one.format for one in again.tables} == {1}
    assert {table: restored.rows(table) for table in BEFORE} == rows
    after = _items(restored)
    assert after.keys() - before.keys() == {(DEPLOYMENT.pk, DEPLOYMENT.sk)}
    assert {place: after[place] for place in before} == before


def test_a_batch_that_the_old_release_committed_and_did_not_settle_is_recognised(restored: Restored) -> None:
    restored.later += timedelta(minutes=5)
    gate = restored.gate()
    orders = next(d for d in gate.datasets.datasets if d.name == "orders")
    (batch,) = [b for b in gate.ledger.live_batches("orders") if b.state is BatchState.COMMITTING]
    before = gate.tables.current(orders)
    report = ingest_batch(gate, READER, orders, batch.batch_id, "run-of-today")
    assert isinstance(report, BatchReport)
    assert (report.recognised, report.count(FileEnding.LOADED)) == (True, 1)
    assert gate.tables.current(orders) == before


def test_what_was_under_way_is_finished(restored: Restored) -> None:
    restored.settle_down()
    sheet = balance(restored.gate().ledger.counts())
    assert sheet.problems == ()
    # Paused by hand, and in an archive: they wait for people.
    assert [(line.dataset, line.landing_day.isoformat()) for line in sheet.lines if line.counts.outcomes.get(Outcome.PENDING)] == [
        ("clicks", "2026-02-01"),
        ("orders", "2026-02-06"),
    ]  # fmt: skip
    assert restored.ids("orders") == [1, 2, 5, 10, 11, 12, 13, 14, 15, 40, 41, 42, 43, 44, 60, 61, 64, 65, 66]
    assert restored.ids("payments") == [20, 23, 24, 62, 63, 67, 68]
    assert restored.ids("visits") == [30, 31, 32, 33, 34]
    assert len(restored.rows("payments__rejected")) == 1 + 1 + 2


def test_what_people_held_back_goes_on(restored: Restored) -> None:
    ledger = restored.gate().ledger
    ledger.pauses.resume("clicks", "operator")
    (frozen,) = ledger.archived("orders")
    assert ledger.restored(frozen.ref)
    restored.settle_down()
    assert restored.ids("clicks") == [50]
    assert restored.ids("orders")[-6:] == [45, 60, 61, 64, 65, 66]
    assert balance(restored.gate().ledger.counts()).at_rest


def test_replacing_a_file_of_the_old_release_takes_exactly_its_rows_away(restored: Restored) -> None:
    before = restored.rows("orders")
    restored.put("landing/orders/2026-02-02/b.csv", csv(10, 99))
    restored.settle_down()
    kept = [row for row in before if row["_source_file"] != "landing/orders/2026-02-02/b.csv"]
    now = restored.rows("orders")
    assert [row for row in now if row in kept] == kept
    assert sorted(row["id"] for row in now if row not in kept) == [10, 99]


def test_the_history_goes_on_where_it_was(restored: Restored) -> None:
    gate = restored.gate()
    exported = export_history(gate)
    assert exported.is_complete
    assert restored.gate().ledger.outbox.is_empty()
    engine = AthenaQueryEngine(restored.deployment)
    told = engine.query("SELECT count(*) AS n, count(DISTINCT change_id) AS d FROM file_history").table.to_pylist()[0]
    assert told["n"] == told["d"] > restored.said["rows"]["file_history"]
    assert engine.query("SELECT sum(amount) AS s FROM orders WHERE id IN (10, 99)").table.to_pylist()[0]["s"] == 3


def test_at_the_end_the_books_are_proved_against_bucket_and_tables(restored: Restored) -> None:
    proof = prove_books(restored.gate())
    assert proof.problems == ()
    assert proof.moving == 0
    # Every item that today's code wrote says its format: the scan would stop at one that does not.
    seen = migrate_deployment(restored.deployment, apply=False, scan=True)
    assert seen.todo() == []
    assert seen.items is not None
    assert seen.items.items > len(restored.items)


def test_the_command_says_what_there_is_to_do(restored: Restored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEGATE_DATASETS", str(restored.datasets))
    told = lakegate("migrate", "--plan", "--scan")
    assert told.code == 0
    assert f"last written by Lakegate {RELEASE}" in told.out
    assert "Nothing to do" in told.out
    document = lakegate("migrate", "--apply", "--json").json
    assert (document["version"], document["applied"], document["todo"]) == (1, True, [])
    assert [lakegate("migrate").code, lakegate("migrate", "--plan", "--apply").code] == [2, 2]


def test_a_table_or_ledger_of_a_newer_release_is_neither_read_nor_changed(restored: Restored) -> None:
    gate, catalog = restored.gate(), iceberg_catalog()
    orders = next(d for d in gate.datasets.datasets if d.name == "orders")
    with catalog.load_table((restored.deployment.glue_database, "orders")).transaction() as change:
        change.set_properties({TABLE_FORMAT_PROPERTY: "2"})
    for call in (lambda: gate.tables.ensure(orders), lambda: gate.tables.current(orders)):
        with pytest.raises(NewerFormatError, match=r"the table lakegate\.orders is of format 2"):
            call()
    with pytest.raises(NewerFormatError):
        migrate_deployment(restored.deployment, apply=True)
    store = DynamoItemStore(client("dynamodb"), restored.deployment.ledger_table)
    item = dict(store.get([DEPLOYMENT])[DEPLOYMENT])
    client("dynamodb").put_item(
        TableName=restored.deployment.ledger_table,
        Item={
            k: {"S" if isinstance(v, str) else "N": str(v)} for k, v in {**item, "format": 2, "release": "9.0"}.items()
        },
    )
    with pytest.raises(NewerFormatError, match=r"Lakegate 9\.0"):
        restored.gate().ledger.routing_mark()


def _items(restored: Restored) -> dict[tuple[str, str], str]:
    found = client("dynamodb").scan(TableName=restored.deployment.ledger_table)["Items"]
    return {(item["pk"]["S"], item["sk"]["S"]): json.dumps(item, sort_keys=True) for item in found}
