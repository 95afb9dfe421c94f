"""The road of rejected rows: into the table beside the dataset's own, and out of it again with the version they are of."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipelines.contracts.rejected import rejected_dataset
from pipelines.intake.backfill import take_days
from pipelines.reports import BatchReport, FileEnding
from resources.folder import folder_tables
from tests.ingest.fragile import Died, Fuse, fragile
from tests.ingest.world import BAD, DAY, ORDERS, ORDERS_BY_ROWS, World, dataset, file_of, mixed, orders, orders_key

OF = dataset(ORDERS_BY_ROWS)


@pytest.fixture(params=["memory", "folder"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    datasets = (OF,)
    if request.param == "memory":
        return World(datasets=datasets)
    return World(tables=folder_tables(tmp_path / "lake"), datasets=datasets)


def raws(world: World) -> list[tuple[str, str]]:
    return [(row["_source_version"], row["raw"]) for row in world.rejected()]


def snapshot(world: World) -> Any:
    return world.tables.current(rejected_dataset(OF))


def test_good_rows_are_loaded_and_bad_ones_stand_beside_them_with_their_reasons(world: World) -> None:
    version = world.put(orders_key("a"), mixed(1, 2, bad=1))
    [report] = world.settle_down()
    assert world.ids() == [1, 2]
    [row] = world.rejected()
    assert row.pop("_ingested_at") == world.clock()
    assert json.loads(row.pop("reasons")) == [
        {"rule": "type", "column": "id", "found": "none0", "expected": "a whole number of 64 bits, in digits only"}
    ]
    assert row == {
        "landing_day": DAY,
        "raw": "none0,9",
        "rules": "type",
        "_source_file": version.key,
        "_source_version": version.version_id,
        "_source_line": 4,
        "_batch_id": report.batch_id,
    }
    told = file_of([report], version)
    assert (told.outcome, told.rows_read, told.rows_loaded, told.rows_rejected) == (FileEnding.LOADED, 3, 2, 1)
    assert [(v.rule, v.column, v.line) for v in told.violations] == [("type", "id", 4)]
    assert "loaded 2 rows, rejected 1 in" in told.sentence()
    assert report.reconciled
    assert world.outcome(version) == "loaded"
    [line] = world.gate().ledger.counts()
    assert (line.rows_read, line.rows_in_table, line.rows_rejected) == (3, 2, 1)
    world.assert_balanced()


def test_beyond_max_bad_the_file_goes_to_quarantine_and_none_of_its_rows_to_the_table_beside(world: World) -> None:
    good, bad = world.put(orders_key("a"), mixed(1, bad=1)), world.put(orders_key("b"), mixed(2, bad=2))
    world.settle_down()
    assert [world.outcome(v) for v in (good, bad)] == ["loaded", "quarantined"]
    assert raws(world) == [(good.version_id, "none0,9")]
    told = world.report_of(bad)
    assert [v.rule for v in told.violations] == ["bad_rows", "type"]
    assert (told.rows_read, told.rows_bad) == (3, 2)
    world.assert_balanced()


def test_corrected_files_take_the_rejected_rows_of_the_ones_before_away(world: World) -> None:
    neighbour = world.put(orders_key("other"), mixed(50, bad=1))
    first = world.put(orders_key("a"), mixed(1, 2, bad=2))
    world.settle_down()
    assert raws(world) == [
        (first.version_id, "none0,9"),
        (first.version_id, "none1,9"),
        (neighbour.version_id, "none0,9"),
    ]
    second = world.put(orders_key("a"), orders(1, 2, 3, 4))
    world.settle_down()
    assert raws(world) == [(neighbour.version_id, "none0,9")]
    world.assert_balanced()
    third = world.put(orders_key("a"), mixed(5, 6, bad=1))
    world.settle_down()
    assert raws(world) == [(third.version_id, "none0,9"), (neighbour.version_id, "none0,9")]
    assert world.ids() == [5, 6, 50]
    assert [world.outcome(v) for v in (first, second, third)] == ["superseded", "superseded", "loaded"]
    world.assert_balanced()


def test_a_wrong_new_version_takes_no_rejected_row_away(world: World) -> None:
    first = world.put(orders_key("a"), mixed(1, 2, bad=1))
    world.settle_down()
    world.put(orders_key("a"), BAD + b"none,1\n")
    world.put(orders_key("a"), b"")
    world.settle_down()
    assert raws(world) == [(first.version_id, "none0,9")]
    world.assert_balanced()


def test_versions_in_one_batch_and_told_late_leave_the_bad_rows_of_the_last(world: World) -> None:
    late = world.put(orders_key("a"), mixed(1, bad=1), events=0)
    versions = [world.put(orders_key("a"), mixed(n, n + 10, bad=bad)) for n, bad in ((1, 1), (2, 2), (3, 9))]
    [report] = world.settle_down()
    assert [f.rows_rejected for f in report.files] == [0, 2, 0], "the last has too many bad rows"
    assert raws(world) == [(versions[1].version_id, "none0,9"), (versions[1].version_id, "none1,9")]
    world.tell(late)
    world.settle_down()
    assert {version for version, _ in raws(world)} == {versions[1].version_id}
    assert world.outcome(late) == "superseded"
    world.assert_balanced()


def test_an_accepted_empty_file_takes_rejected_rows_away(world: World) -> None:
    world.datasets = (dataset(ORDERS_BY_ROWS + "on_empty: accept\n"),)
    world.put(orders_key("a"), mixed(1, bad=1))
    world.settle_down()
    world.put(orders_key("a"), b"id,amount\n")
    world.settle_down()
    assert (world.ids(), raws(world)) == ([], [])
    world.assert_balanced()


def test_a_backfill_replaces_what_it_reads_again(world: World) -> None:
    version = world.put(orders_key("a"), mixed(1, 2, bad=2))
    world.settle_down()
    before = world.state()
    gate = world.gate()
    for batch in take_days(gate, OF, [DAY], run_key="backfill").batches():
        report = world.take(gate, OF, batch.batch_id, "backfill")
        assert isinstance(report, BatchReport)
        assert report.rows_rejected == 2
    assert world.state() == before
    assert {row["_batch_id"] for row in world.rejected()} == {report.batch_id}
    world.datasets = (dataset(ORDERS_BY_ROWS.replace("60%", "0")),)
    gate = world.gate()
    for batch in take_days(gate, world.datasets[0], [DAY], run_key="again").batches():
        world.take(gate, world.datasets[0], batch.batch_id, "again")
    after = world.state()
    [counted] = after["counters"]
    assert sum(counts.refused for counts in counted.contracts.values()) == 1
    told = {"quarantine": None, "counters": [replace(counted, contracts=before["counters"][0].contracts)]}
    assert {**after, **told} == {**before, "quarantine": None}, "rejected when read again: its rows stay"
    assert world.outcome(version) == "loaded"


def test_nothing_is_committed_beside_where_no_row_comes_or_goes(world: World) -> None:
    world.put(orders_key("a"), orders(1))
    world.settle_down()
    empty = snapshot(world)
    assert empty.snapshot_id is None
    world.put(orders_key("a"), mixed(1, 2, bad=1))
    world.settle_down()
    full = snapshot(world)
    assert full != empty
    world.put(orders_key("b"), orders(7))
    world.put(orders_key("c"), BAD + b"none,1\n")
    world.settle_down()
    assert snapshot(world) == full
    world.assert_balanced()


def test_rejected_rows_lie_by_landing_day(world: World) -> None:
    world.put(orders_key("a"), mixed(1, bad=1))
    world.put(orders_key("a", date(2026, 2, 3)), mixed(2, bad=1))
    world.settle_down()
    assert [row["landing_day"] for row in world.rejected()] == [DAY, date(2026, 2, 3)]
    world.assert_balanced()


def test_a_dataset_that_rejects_whole_files_touches_no_such_table(tmp_path: Path) -> None:
    world = World(datasets=(dataset(ORDERS),))
    world.put(orders_key("a"), orders(1))
    world.put(orders_key("b"), BAD)
    world.settle_down()
    assert world.rejected() == []
    assert not world._has_table(rejected_dataset(world.datasets[0]))


def test_many_bad_rows_are_staged_beside_the_good_ones_in_bounded_memory(world: World) -> None:
    lines = [b"%d,1\n" % n if n % 2 else b"none%d,1\n" % n for n in range(100_000)]
    version = world.put(orders_key("a"), b"id,amount\n" + b"".join(lines))
    [report] = world.settle_down()
    assert (report.rows_loaded, report.rows_rejected, report.reconciled) == (50_000, 50_000, True)
    assert {row["_source_version"] for row in world.rejected()} == {version.version_id}
    world.assert_balanced()


def test_a_version_that_never_gets_into_the_table_neither_brings_nor_takes_rejected_rows(world: World) -> None:
    first = world.put(orders_key("a"), mixed(1, 2, bad=1))
    world.settle_down()
    second = world.put(orders_key("a"), mixed(3, bad=1))
    before_good_rows = Fuse(name="tables.commit", where=lambda arguments: arguments[0].name == "orders")
    with pytest.raises(Died):
        world.settle_down(fragile(world.ports, before_good_rows))
    assert (second.version_id, "none0,9") in raws(world), "rejected rows come first"
    assert (first.version_id, "none0,9") in raws(world), "and take nothing away"
    world.store.remove_version(second)
    world.clock.turn(61)
    world.settle_down()
    assert raws(world) == [(first.version_id, "none0,9")]
    assert world.ids() == [1, 2]
    world.assert_balanced()
