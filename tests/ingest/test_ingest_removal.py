"""Objects that are removed: their rows leave the table where the dataset says so, and what lies below them serves again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ObjectArchivedError
from pipelines.intake.backfill import take_days
from pipelines.intake.dispatching import dispatch
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.receiving import receive
from pipelines.reports import BatchReport, FileEnding
from resources.folder import folder_tables
from tests.ingest.removing import RETRACTING, RETRACTING_BY_ROWS, Deletions, removal_body
from tests.ingest.world import BAD, CLICKS, DAY, World, dataset, file_of, mixed, orders, orders_key

A = orders_key("a")


def by_rows(world: World) -> bool:
    return world.datasets[0] is RETRACTING_BY_ROWS


@pytest.fixture(params=["memory", "folder"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    return {} if request.param == "memory" else {"tables": folder_tables(tmp_path / "lake")}


@pytest.fixture(params=["whole files", "single rows"])
def world(request: pytest.FixtureRequest, tables: dict[str, Any]) -> World:
    return World(datasets=(RETRACTING if request.param == "whole files" else RETRACTING_BY_ROWS,), **tables)


@pytest.fixture
def deletions(world: World) -> Deletions:
    return Deletions(world)


def content(world: World, *ids: int) -> bytes:
    """A file with these orders, and a bad row where that costs the row alone."""
    return mixed(*ids, bad=1) if by_rows(world) else orders(*ids)


def rejected_versions(world: World) -> list[str]:
    return [row["_source_version"] for row in world.rejected()]


def expect_rejected(world: World, *versions: str) -> None:
    assert rejected_versions(world) == (list(versions) if by_rows(world) else [])


@pytest.mark.parametrize("times", [1, 3])
def test_a_delete_marker_takes_the_rows_of_its_key_away_and_no_others(
    world: World, deletions: Deletions, times: int
) -> None:
    first = world.put(A, content(world, 1, 2))
    neighbours = [world.put(orders_key(f"n{n}"), content(world, 100 + n)) for n in range(5)]
    world.settle_down()
    _, body = deletions.hide(A)
    deletions.send(*[body] * times)
    [report] = world.settle_down()
    assert world.ids() == [100 + n for n in range(5)]
    assert world.outcome(first) == "removed"
    assert {world.outcome(n) for n in neighbours} == {"loaded"}
    expect_rejected(world, *(n.version_id for n in neighbours))
    assert [(f.outcome, f.rows_removed) for f in report.files] == [(FileEnding.REMOVED, 2)]
    assert "its object was removed; 2 rows taken out of the table" in report.files[0].sentence()
    assert report.committed is not None
    assert (report.committed.rows_added, report.committed.rows_removed) == (0, 2)
    world.assert_balanced()
    assert world.settle_down() == []


def test_undeleting_brings_the_highest_accepted_version_back(world: World, deletions: Deletions) -> None:
    old, good, bad = (
        world.put(A, content(world, 1)),
        world.put(A, content(world, 2, 3)),
        world.put(A, BAD * 3),
    )
    world.settle_down()
    marker, body = deletions.hide(A)
    deletions.send(body)
    world.settle_down()
    assert world.ids() == []
    assert [world.outcome(v) for v in (old, good, bad)] == ["removed", "removed", "removed"]
    world.assert_balanced()
    deletions.send(deletions.show(A, marker))
    world.settle_down()
    assert world.ids() == [2, 3]
    assert [world.outcome(v) for v in (old, good, bad)] == ["superseded", "loaded", "quarantined"]
    expect_rejected(world, good.version_id)
    world.assert_balanced()


def test_deleting_the_serving_version_for_good_lets_the_one_below_serve_in_the_same_commit(
    world: World, deletions: Deletions
) -> None:
    low, high = world.put(A, content(world, 1, 2)), world.put(A, content(world, 3))
    world.settle_down()
    deletions.send(deletions.delete(high))
    [report] = world.settle_down()
    assert report.committed is not None
    assert (report.committed.rows_added, report.committed.rows_removed) == (2, 1)
    assert world.ids() == [1, 2]
    assert [world.outcome(v) for v in (low, high)] == ["loaded", "removed"]
    expect_rejected(world, low.version_id)
    world.assert_balanced()


@pytest.mark.parametrize("name", ["LifecycleExpiration:Delete", "ObjectRemoved:Delete"])
def test_deleting_a_version_that_does_not_serve_changes_no_row(world: World, deletions: Deletions, name: str) -> None:
    low, high = world.put(A, content(world, 1, 2)), world.put(A, content(world, 3))
    world.settle_down()
    deletions.send(deletions.delete(low, name))
    assert world.settle_down() == []
    assert world.ids() == [3]
    assert [world.outcome(v) for v in (low, high)] == ["removed", "loaded"]
    world.assert_balanced()


def test_everything_below_a_bad_version_deleted_leaves_nothing_and_the_bad_in_quarantine(
    world: World, deletions: Deletions
) -> None:
    good, bad = world.put(A, content(world, 1)), world.put(A, BAD * 3)
    world.settle_down()
    deletions.send(deletions.delete(good))
    world.settle_down()
    assert world.ids() == []
    assert [world.outcome(v) for v in (good, bad)] == ["removed", "quarantined"]
    world.assert_balanced()


def test_a_bad_version_that_was_superseded_is_in_quarantine_again_when_what_superseded_it_goes(
    world: World, deletions: Deletions
) -> None:
    low, bad, high = world.put(A, content(world, 1)), world.put(A, BAD * 3), world.put(A, content(world, 3))
    world.settle_down()
    assert world.outcome(bad) == "superseded"
    deletions.send(deletions.delete(high))
    world.settle_down()
    assert world.ids() == [1]
    assert [world.outcome(v) for v in (low, bad, high)] == ["loaded", "quarantined", "removed"]
    assert [e.version for e in world.gate().ledger.quarantined()] == [bad]
    world.assert_balanced()


def test_a_new_version_above_a_delete_marker_serves_as_usual(world: World, deletions: Deletions) -> None:
    first = world.put(A, content(world, 1))
    world.settle_down()
    deletions.send(deletions.hide(A, below=1)[1])
    world.settle_down()
    second = world.put(A, content(world, 2))
    world.settle_down()
    assert world.ids() == [2]
    assert [world.outcome(v) for v in (first, second)] == ["removed", "loaded"]
    expect_rejected(world, second.version_id)
    world.assert_balanced()


def test_a_version_and_a_delete_marker_below_it_may_be_told_in_any_order(world: World, deletions: Deletions) -> None:
    """Put, deleted, put again: the events of the last come first."""
    first = world.put(A, content(world, 1), events=0)
    _, hidden = deletions.hide(A, below=1)
    second = world.put(A, content(world, 2))
    world.settle_down()
    deletions.send(hidden)
    world.settle_down()
    world.tell(first)
    world.settle_down()
    assert world.ids() == [2]
    assert [world.outcome(v) for v in (first, second)] == ["removed", "loaded"]
    world.assert_balanced()


@pytest.mark.parametrize("for_good", [True, False])
def test_a_removal_that_is_told_before_the_creation_is_not_forgotten(
    world: World, deletions: Deletions, for_good: bool
) -> None:
    version = world.put(A, content(world, 1), events=0)
    deletions.send(deletions.delete(version) if for_good else deletions.hide(A)[1])
    world.settle_down()
    world.tell(version)
    assert world.settle_down() == [], "what was removed before it was heard of needs no run"
    assert world.outcome(version) == "removed"
    world.assert_balanced()


def test_an_undeletion_that_is_told_before_the_deletion_hides_nothing(world: World, deletions: Deletions) -> None:
    version = world.put(A, content(world, 1))
    world.settle_down()
    marker, hidden = deletions.hide(A)
    deletions.send(deletions.show(A, marker))
    world.settle_down()
    deletions.send(hidden)
    world.settle_down()
    assert world.ids() == [1]
    assert world.outcome(version) == "loaded"
    world.assert_balanced()


def test_a_version_gone_without_any_event_is_retracted_by_a_backfill(world: World) -> None:
    low, high = world.put(A, content(world, 1)), world.put(A, content(world, 2))
    world.settle_down()
    world.store.remove_version(high)
    backfill(world)
    world.settle_down()
    assert world.ids() == [1]
    assert [world.outcome(v) for v in (low, high)] == ["loaded", "removed"]
    expect_rejected(world, low.version_id)
    world.assert_balanced()


def test_a_version_below_that_is_gone_too_leaves_the_turn_to_the_next(world: World, deletions: Deletions) -> None:
    lowest, low, high = (world.put(A, content(world, n)) for n in (1, 2, 3))
    world.settle_down()
    world.store.remove_version(low)
    deletions.send(deletions.delete(high))
    world.settle_down()
    assert world.ids() == [1]
    assert [world.outcome(v) for v in (lowest, low, high)] == ["loaded", "removed", "removed"]
    world.assert_balanced()


def test_where_the_dataset_keeps_rows_a_removal_is_recorded_and_no_more() -> None:
    world = World()
    deletions = Deletions(world)
    version = world.put(A, orders(1, 2))
    world.settle_down()
    deletions.send(deletions.hide(A)[1], deletions.delete(version))
    assert world.settle_down() == []
    assert world.ids() == [1, 2]
    assert world.outcome(version) == "loaded"
    [entry] = world.entries()
    assert entry.object_removed
    world.assert_balanced()


def test_a_dataset_that_comes_to_retract_does_so_when_its_days_are_taken_again() -> None:
    world = World()
    deletions = Deletions(world)
    hidden, there = world.put(A, orders(1, 2)), world.put(orders_key("b"), orders(3))
    world.settle_down()
    deletions.send(deletions.hide(A)[1])
    world.settle_down()
    world.datasets = (RETRACTING,)
    backfill(world)
    assert world.ids() == [3]
    assert [world.outcome(v) for v in (hidden, there)] == ["removed", "loaded"]
    world.assert_balanced()


def test_versions_of_a_key_on_different_days_take_turns_as_well(tables: dict[str, Any]) -> None:
    """The rows of a key lie under the day it landed: what serves may change the day's batch, and the partition."""
    world = World(datasets=(dataset(CLICKS + "on_delete: retract\n"),), **tables)
    deletions = Deletions(world)
    key = "landing/clicks/all.csv"
    low = world.put(key, b"id\n1\n2\n")
    world.clock.turn(86_400)
    high = world.put(key, b"id\n3\n")
    world.settle_down()
    assert world.ids("clicks") == [3]
    deletions.send(deletions.delete(high))
    world.settle_down()
    assert world.ids("clicks") == [1, 2]
    assert [world.outcome(v) for v in (low, high)] == ["loaded", "removed"]
    world.assert_balanced()


class Vault:
    """A store in which some objects lie in an archive."""

    def __init__(self, inner: Any, archived: set[str]) -> None:
        self._inner, self.archived = inner, archived

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        if version.version_id in self.archived:
            raise ObjectArchivedError(f"reading {version.uri}: it lies in an archive and was not restored")
        return self._inner.read(version)


def test_an_archived_object_waits_for_its_restore_and_is_loaded_then(world: World) -> None:
    there, archived = world.put(A, content(world, 1)), world.put(orders_key("b"), content(world, 2))
    ports = world.ports
    ports.store = vault = Vault(world.store, {archived.version_id})
    gate = world.gate(ports)
    receive(gate, wait_s=0, budget_s=60)
    [launch] = dispatch(gate, lambda _: {}).launches
    [report] = world.run(gate, launch)
    assert file_of([report], archived).outcome is FileEnding.ARCHIVED
    assert [world.outcome(v) for v in (there, archived)] == ["loaded", "pending"]
    assert [e.version for e in gate.ledger.archived()] == [archived]
    vault.archived.clear()
    world.queue.send(removal_body("ObjectRestore:Completed", archived.key, archived.version_id, 77))
    world.settle_down(ports)
    assert world.ids() == [1, 2]
    world.assert_balanced()


def test_the_history_of_a_key_tells_of_removal_and_return(world: World, deletions: Deletions) -> None:
    world.put(A, content(world, 1))
    world.settle_down()
    marker, body = deletions.hide(A)
    deletions.send(body)
    world.settle_down()
    deletions.send(deletions.show(A, marker))
    world.settle_down()
    told = [record.reason for record in world.gate().ledger.history("landing-bucket", A)]
    for reason in (
        "a delete marker hides it",
        "its object was removed: its rows are to be taken out",
        "its object was removed: its rows are out of the table",
        "delete marker removed",
        "the highest accepted version that is there: it is to serve again",
    ):
        assert reason in told


def backfill(world: World) -> list[BatchReport]:
    """A run over the day that nobody planned for."""
    gate, of = world.gate(), world.datasets[0]
    reports: list[BatchReport] = []
    for batch in take_days(gate, of, [DAY], "backfill").batches():
        outcome = world.take(gate, of, batch.batch_id, "backfill")
        assert isinstance(outcome, BatchReport)
        reports.append(outcome)
    return reports
