"""The road of a file through the core, from the queue's message to rows and reports, over tables in memory and Iceberg's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipelines.accounting.breaker import BreakerPolicy
from pipelines.accounting.entries import RetryPolicy
from pipelines.accounting.states import Outcome
from pipelines.errors import TransientError
from pipelines.intake.backfill import take_days
from pipelines.intake.dispatching import RunState
from pipelines.intake.objects import ObjectVersion
from pipelines.reports import BatchReport, FileEnding
from resources.folder import folder_tables
from tests.ingest.world import (
    BAD,
    CLICKS,
    DAY,
    ORDERS,
    Ports,
    World,
    batches_by_day,
    dataset,
    file_of,
    orders,
    orders_key,
    planned,
)


@pytest.fixture(params=["memory", "folder"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World() if request.param == "memory" else World(tables=folder_tables(tmp_path / "lake"))


def test_the_rows_of_a_good_file_are_in_the_table_and_say_where_they_came_from(world: World) -> None:
    version = world.put(orders_key("a"), orders(1, 2, 3))
    [report] = world.settle_down()
    rows = world.rows()
    assert [(r["day"], r["id"], str(r["amount"])) for r in rows] == [(DAY, n, "1.50") for n in (1, 2, 3)]
    assert {(r["_source_file"], r["_source_version"], r["_batch_id"]) for r in rows} == {
        (version.key, version.version_id, report.batch_id)
    }
    assert [r["_source_line"] for r in rows] == [2, 3, 4]
    assert {r["_ingested_at"] for r in rows} == {world.clock()}
    assert world.outcome(version) == "loaded"
    assert report.reconciled
    assert report.partitions == ("day=2026-02-01",)
    assert len(world.queue) == 0
    world.assert_balanced()


def test_a_bad_file_goes_to_quarantine_unchanged_with_its_report_and_its_neighbours_load(world: World) -> None:
    good, bad, other = (
        world.put(orders_key("a"), orders(1)),
        world.put(orders_key("b"), BAD),
        world.put(orders_key("c"), orders(2)),
    )
    [report] = world.settle_down()
    assert world.ids() == [1, 2]
    assert [world.outcome(v) for v in (good, bad, other)] == ["loaded", "quarantined", "loaded"]
    told = world.report_of(bad)
    [violation] = told.violations
    assert (violation.rule, violation.column, violation.line, violation.found) == ("type", "id", 3, "none")
    assert (told.rows_read, told.rows_bad, told.key, told.run_id) == (2, 1, bad.key, f"run-{next(iter(world.runs))}")
    assert file_of([report], bad).quarantine_id == told.id
    assert list(world.runs.values()) == [RunState.SUCCEEDED], "bad data is an outcome, not a failure"
    world.assert_balanced()


def test_an_empty_file_keeps_what_its_key_has(world: World) -> None:
    first = world.put(orders_key("a"), orders(1, 2))
    world.settle_down()
    empty, header = world.put(orders_key("a"), b""), world.put(orders_key("a"), b"id,amount\n")
    world.settle_down()
    assert world.ids() == [1, 2]
    assert [world.outcome(v) for v in (first, empty, header)] == ["loaded", "empty", "empty"]
    world.assert_balanced()


def test_an_empty_file_takes_its_keys_rows_away_where_the_dataset_accepts_it(world: World) -> None:
    world.datasets = (dataset(ORDERS.replace("partition_by", "on_empty: accept\npartition_by")),)
    first = world.put(orders_key("a"), orders(1, 2))
    world.settle_down()
    empty = world.put(orders_key("a"), b"id,amount\n")
    world.settle_down()
    assert world.ids() == []
    assert [world.outcome(v) for v in (first, empty)] == ["superseded", "loaded"]
    world.assert_balanced()


def test_a_corrected_file_replaces_the_bad_one_and_the_rows_of_the_one_before(world: World) -> None:
    first = world.put(orders_key("a"), orders(1, 2))
    world.put(orders_key("other"), orders(7))
    world.settle_down()
    bad = world.put(orders_key("a"), BAD)
    world.settle_down()
    assert world.ids() == [1, 2, 7], "a wrong new version leaves the good one serving"
    assert [world.outcome(v) for v in (first, bad)] == ["loaded", "quarantined"]
    world.assert_balanced()
    good = world.put(orders_key("a"), orders(3, 4, 5))
    [report] = world.settle_down()
    assert world.ids() == [3, 4, 5, 7]
    assert report.committed is not None
    assert report.committed.rows_removed == 2
    assert [world.outcome(v) for v in (first, bad, good)] == ["superseded", "superseded", "loaded"]
    assert list(world.gate().ledger.quarantined()) == []
    world.assert_balanced()


def test_three_versions_of_a_key_in_one_batch_leave_the_rows_of_the_last(world: World) -> None:
    versions = [world.put(orders_key("a"), orders(n, n + 10)) for n in (1, 2, 3)]
    [report] = world.settle_down()
    assert world.ids() == [3, 13]
    assert [world.outcome(v) for v in versions] == ["superseded", "superseded", "loaded"]
    assert [f.outcome for f in report.files] == [FileEnding.SUPERSEDED, FileEnding.SUPERSEDED, FileEnding.LOADED]
    assert (report.rows_loaded, report.reconciled) == (2, True)
    world.assert_balanced()


def test_events_told_late_and_out_of_order_end_the_same(world: World) -> None:
    old = world.put(orders_key("a"), orders(1), events=0)
    new = world.put(orders_key("a"), orders(2))
    world.settle_down()
    world.tell(old)
    [report] = world.settle_down()
    assert world.ids() == [2]
    assert [world.outcome(v) for v in (old, new)] == ["superseded", "loaded"]
    assert (file_of([report], old).outcome, report.committed) == (FileEnding.SUPERSEDED, None)
    world.assert_balanced()


def test_duplicate_events_change_nothing(world: World) -> None:
    version = world.put(orders_key("a"), orders(1, 2), events=3)
    world.settle_down()
    before = world.state()
    snapshot = world.tables.current(world.datasets[0])
    for _ in range(2):
        world.tell(version)
        assert world.settle_down() == []
    assert world.state() == before
    assert world.tables.current(world.datasets[0]) == snapshot
    [line] = world.gate().ledger.counts()
    assert (line.objects, line.duplicates) == (1, 4)
    world.assert_balanced()


def test_bytes_that_come_back_are_a_new_version(world: World) -> None:
    versions = []
    for content in (orders(1), orders(2), orders(1)):
        versions.append(world.put(orders_key("a"), content))
        world.settle_down()
        world.assert_balanced()
    assert [r["_source_version"] for r in world.rows()] == [versions[-1].version_id]
    assert [world.outcome(v) for v in versions] == ["superseded", "superseded", "loaded"]


def test_a_file_of_no_dataset_is_unrouted_and_taken_up_when_one_claims_it(world: World) -> None:
    world.datasets = (dataset(ORDERS),)
    version = world.put("landing/clicks/a.csv", b"id\n1\n2\n")
    assert world.settle_down() == []
    assert world.outcome(version) == "unrouted"
    assert len(world.queue) == 0
    world.datasets = (dataset(ORDERS), dataset(CLICKS))
    world.settle_down()
    assert world.outcome(version) == "loaded"
    assert world.ids("clicks") == [1, 2]
    world.assert_balanced()


@pytest.mark.parametrize(
    ("day", "rule", "said"),
    [
        ("2026-02-31", "key_value", "{day} in the key is '2026-02-31', no date"),
        ("2025-12-31", "landing_day", "landing.start is 2026-01-01"),
        ("2026-03-02", "landing_day", "today is 2026-03-01 (UTC)"),
    ],
)
def test_a_key_with_an_impossible_day_is_quarantined_with_that_reason(
    world: World, day: str, rule: str, said: str
) -> None:
    good = world.put(orders_key("a"), orders(1))
    wrong = world.put(orders_key("a", day), orders(2))
    world.settle_down()
    assert [world.outcome(v) for v in (good, wrong)] == ["loaded", "quarantined"]
    told = world.report_of(wrong)
    assert ([v.rule for v in told.violations], told.read_complete) == ([rule], False)
    assert said in told.violations[0].message
    assert told.likely_cause == "The file was sent under a wrong key."
    assert world.ids() == [1]
    world.assert_balanced()


def test_an_object_deleted_between_its_event_and_the_read_is_told_as_removed(world: World) -> None:
    gone, good = world.put(orders_key("a"), orders(1)), world.put(orders_key("b"), orders(2))
    world.store.remove_version(gone)
    [report] = world.settle_down()
    assert file_of([report], gone).outcome is FileEnding.GONE
    assert [world.outcome(v) for v in (gone, good)] == ["removed", "loaded"]
    assert world.ids() == [2]
    assert list(world.store.list_keys("quarantine-bucket", "")) == []
    world.assert_balanced()


def test_an_object_deleted_between_the_read_and_the_copy_to_quarantine_is_told_as_removed(world: World) -> None:
    bad = world.put(orders_key("a"), BAD)

    class Store:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.store, name)

        def copy(self, version: ObjectVersion, bucket: str, key: str) -> None:
            world.store.remove_version(version)
            world.store.copy(version, bucket, key)

    world.settle_down(Ports(world.items, world.queue, Store(), world.tables))
    assert world.outcome(bad) == "removed"
    assert list(world.store.list_keys("quarantine-bucket", "")) == []
    world.assert_balanced()


class Moody:
    """A store whose reads of one key fail `times` times."""

    def __init__(self, world: World, key: str, times: int) -> None:
        self.inner, self.key, self.times = world.store, key, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        if version.key == self.key and self.times:
            self.times -= 1
            raise TransientError("SlowDown: reduce your request rate")
        return self.inner.read(version)


def test_a_passing_fault_with_one_file_tries_that_file_again_and_loads_the_others(world: World) -> None:
    moody, calm = world.put(orders_key("a"), orders(1)), world.put(orders_key("b"), orders(2))
    store = Moody(world, moody.key, 1)
    first, *later = world.settle_down(Ports(world.items, world.queue, store, world.tables))
    assert [file_of([first], v).outcome for v in (moody, calm)] == [FileEnding.RETRY, FileEnding.LOADED]
    assert "SlowDown" in file_of([first], moody).sentence()
    assert file_of(later, moody).outcome is FileEnding.LOADED
    assert [world.outcome(v) for v in (moody, calm)] == ["loaded", "loaded"]
    assert world.ids() == [1, 2]
    assert set(world.runs.values()) == {RunState.SUCCEEDED}
    world.assert_balanced()


def test_a_fault_that_does_not_pass_ends_as_failed_and_is_due_again_on_purpose(world: World) -> None:
    world.policy, world.breaker = RetryPolicy(passing_attempts=5), BreakerPolicy(faults=1000)
    moody, calm = world.put(orders_key("a"), orders(1)), world.put(orders_key("b"), orders(2))
    ports = Ports(world.items, world.queue, Moody(world, moody.key, 5), world.tables)
    world.settle_down(ports)
    assert [world.outcome(v) for v in (moody, calm)] == ["failed", "loaded"]
    assert [e.error for e in world.gate().ledger.dead()] == ["SlowDown: reduce your request rate"]
    backfill(world, [DAY])
    assert [world.outcome(v) for v in (moody, calm)] == ["loaded", "loaded"]
    assert world.ids() == [1, 2]
    world.assert_balanced()


def test_one_key_on_two_days_in_a_dataset_without_a_day_of_its_own(world: World) -> None:
    first = world.put("landing/clicks/all.csv", b"id\n1\n2\n")
    world.settle_down()
    world.clock.turn(86_400)
    second = world.put("landing/clicks/all.csv", b"id\n3\n")
    world.settle_down()
    assert world.ids("clicks") == [3], "a key has one serving version, whatever day it came on"
    assert [world.outcome(v) for v in (first, second)] == ["superseded", "loaded"]
    assert [
        (str(c.landing_day), c.outcomes[Outcome.LOADED], c.rows_in_table) for c in world.gate().ledger.counts()
    ] == [
        ("2026-03-01", 0, 0),
        ("2026-03-02", 1, 1),
    ]
    world.assert_balanced()


def test_the_same_key_in_batches_of_two_days_at_once_ends_with_the_later_one_whichever_runs_first(world: World) -> None:
    first = world.put("landing/clicks/all.csv", b"id\n1\n2\n")
    world.clock.turn(86_400)
    second = world.put("landing/clicks/all.csv", b"id\n3\n")
    launches = planned(world)
    assert sorted(day for launch in launches for day in launch.days) == [date(2026, 3, 1), date(2026, 3, 2)]
    clicks = world.datasets[1]
    for batch_id in reversed(batches_by_day(launches)):
        assert isinstance(world.take(world.gate(), clicks, batch_id, "r"), BatchReport)
    assert world.ids("clicks") == [3]
    assert [world.outcome(v) for v in (first, second)] == ["superseded", "loaded"]
    world.assert_balanced()


def backfill(world: World, days: list[date], run: str = "backfill") -> list[BatchReport]:
    gate = world.gate()
    of = world.datasets[0]
    reports: list[BatchReport] = []
    for batch in take_days(gate, of, days, run).batches():
        outcome = world.take(gate, of, batch.batch_id, run)
        assert isinstance(outcome, BatchReport)
        reports.append(outcome)
    return reports


def test_a_backfill_pressed_twice_changes_nothing(world: World) -> None:
    for number, content in enumerate((orders(1, 2), orders(3), BAD, b"")):
        world.put(orders_key(f"f{number}"), content)
    world.put(orders_key("f0"), orders(4))
    world.settle_down()
    before = world.state()
    assert before["outcomes"] == {
        "v1": "superseded",
        "v2": "loaded",
        "v3": "quarantined",
        "v4": "empty",
        "v5": "loaded",
    }
    for number in (1, 2):
        [report] = backfill(world, [DAY], f"backfill-{number}")
        assert report.trigger == "backfill"
        assert sorted(f.version_id for f in report.files) == ["v2", "v3", "v4", "v5"]
        assert world.state() == before
        assert {r["_batch_id"] for r in world.rows()} == {report.batch_id}
        world.assert_balanced()


def test_a_backfill_leaves_what_another_run_holds_and_says_so(world: World) -> None:
    world.put(orders_key("a"), orders(1))
    world.settle_down()
    world.put(orders_key("b"), orders(2))
    planned(world)
    gate = world.gate()
    taken = take_days(gate, world.datasets[0], [DAY], "backfill")
    [batch] = taken.batches()
    assert len(batch.members) == 1
    assert f"{DAY}: 1 file is with another run now, left to it" in taken.notes
    again = take_days(gate, world.datasets[0], [DAY], "another backfill")
    assert list(again.batches()) == []
    assert f"{DAY}: 2 files are with another run now, left to it" in again.notes
    assert isinstance(world.take(gate, world.datasets[0], batch.batch_id, "backfill"), BatchReport)
    world.settle_down()
    assert world.ids() == [1, 2]
    world.assert_balanced()


def test_a_serving_file_that_a_stricter_contract_rejects_keeps_its_rows(world: World) -> None:
    version = world.put(orders_key("a"), orders(1, 2))
    world.settle_down()
    world.datasets = (dataset(ORDERS.replace("id: {type: bigint, nullable: false}", "id: {type: bigint, max: 1}")),)
    [report] = backfill(world, [DAY])
    assert file_of([report], version).outcome is FileEnding.QUARANTINED
    assert world.outcome(version) == "loaded"
    assert world.ids() == [1, 2]
    world.assert_balanced()


def test_what_cannot_be_understood_ends_in_the_dead_letter_queue_and_stops_nobody(world: World) -> None:
    world.queue.send("not json")
    world.put(orders_key("a"), orders(1))
    world.settle_down()
    assert world.ids() == [1]
    assert (len(world.queue), len(world.dead_letters)) == (0, 1)
