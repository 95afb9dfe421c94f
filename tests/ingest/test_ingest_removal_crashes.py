"""Removals and returns with a crash at calls of every port (at each in `make proof`), with a late worker, and in random orders."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.accounting.states import Outcome
from pipelines.errors import ClaimLostError
from pipelines.intake.backfill import take_days
from pipelines.intake.dispatching import RunState
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.receiving import receive
from pipelines.reports import BatchNotRun, BatchReport
from tests.accounting.fragile import assert_counters_are_sums
from tests.ingest.fragile import Died, Fuse, How, fragile
from tests.ingest.removing import RETRACTING, RETRACTING_BY_ROWS, Deletions
from tests.ingest.test_ingest_zombie import LIMIT_S, Sleeper, Worker
from tests.ingest.world import BAD, DAY, Ports, World, mixed, orders_key, planned
from tests.proof import examples, sampled

A, B, C = orders_key("a"), orders_key("b"), orders_key("c")


def removals(*, by_rows: bool = False) -> World:
    """Three keys are loaded; of one the top version is deleted for good, one is hidden, and one was hidden and is shown again."""
    world = World(datasets=(RETRACTING_BY_ROWS if by_rows else RETRACTING,))
    deletions = Deletions(world)
    bad = 1 if by_rows else 0
    world.put(A, mixed(1, 2, bad=bad))
    top = world.put(A, mixed(3, bad=bad))
    world.put(B, mixed(4, bad=bad))
    world.put(C, mixed(5, bad=bad))
    world.put(orders_key("n"), mixed(9, bad=bad))
    marker, hidden = deletions.hide(C)
    deletions.send(hidden)
    world.settle_down()
    deletions.send(deletions.delete(top), deletions.hide(B, below=3)[1], deletions.show(C, marker))
    world.put(B, BAD * 3)
    return world


def by_rows() -> World:
    return removals(by_rows=True)


SCENARIOS: list[Callable[[], World]] = [removals, by_rows]
EXPECTED = {"v1": "loaded", "v2": "removed", "v3": "removed", "v4": "loaded", "v5": "loaded", "v6": "quarantined"}


def undisturbed(scenario: Callable[[], World]) -> tuple[dict[str, Any], list[str]]:
    world, fuse = scenario(), Fuse()
    world.settle_down(fragile(world.ports, fuse))
    world.assert_balanced()
    return world.state(), fuse.calls


ENDS = {scenario: undisturbed(scenario) for scenario in SCENARIOS}
both = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)


@both
def test_the_scenario_is_what_it_is_meant_to_be(scenario: Callable[[], World]) -> None:
    state, _ = ENDS[scenario]
    assert state["outcomes"] == EXPECTED
    assert [row["id"] for row in state["rows"]] == [1, 2, 5, 9]
    assert [row["_source_version"] for row in state["rejected"]] == (["v1", "v4", "v5"] if scenario is by_rows else [])


@both
@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("takes_over", [True, False])
def test_dying_at_any_call_ends_the_same(scenario: Callable[[], World], how: How, takes_over: bool) -> None:
    offset = 2 * takes_over + (how == "after")
    for at in sampled(len(ENDS[scenario][1]), 6, offset):
        world = scenario()
        with suppress(Died):
            world.settle_down(fragile(world.ports, Fuse(at, how=how)), owner="first")
        world.clock.turn(61)
        if takes_over:
            gate = world.gate()
            for batch in gate.ledger.live_batches("orders"):
                assert isinstance(world.take(gate, world.datasets[0], batch.batch_id, "second"), BatchReport)
                world.runs[batch.run_key] = RunState.SUCCEEDED
        else:
            world.runs = {key: RunState.FAILED if s is RunState.STARTED else s for key, s in world.runs.items()}
        world.settle_down(owner="second")
        assert world.state() == ENDS[scenario][0], f"died {how} call {at}: {ENDS[scenario][1][at]}"
        world.assert_balanced()


# ---- a worker that wakes up late

MOMENTS = {
    "while it reads": ("store", "read", False),
    "before it looks for its commit": ("tables", "current", False),
    "before the commit": ("tables", "commit", False),
    "after the commit": ("tables", "commit", True),
}


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("taken_over", [False, True])
def test_a_removal_while_a_batch_has_the_version_in_hand(moment: str, back: bool, taken_over: bool) -> None:
    """The worker sleeps; the object is removed (and comes back); perhaps another worker takes the batch over; then it wakes up."""
    port, name, after = MOMENTS[moment]
    world = World(datasets=(RETRACTING,))
    deletions = Deletions(world)
    low = world.put(A, mixed(1, bad=0))
    world.settle_down()
    high, other = world.put(A, mixed(2, bad=0)), world.put(B, mixed(3, bad=0))
    [launch] = planned(world)
    [batch_id] = launch.batches
    slow = Ports(world.items, world.queue, world.store, world.tables)
    sleeper = Sleeper(getattr(slow, port), name, after=after, table="orders" if name == "commit" else None)
    setattr(slow, port, sleeper)
    first = Worker(world, world.gate(slow), batch_id, "first")
    first.start()
    assert sleeper.asleep.wait(LIMIT_S)
    marker, hidden = deletions.hide(A)
    deletions.send(hidden)
    receive(world.gate(), wait_s=0, budget_s=60)
    if taken_over:
        world.clock.turn(31)
        assert isinstance(world.take(world.gate(), world.datasets[0], batch_id, "second"), BatchReport)
    if back:
        deletions.send(deletions.show(A, marker))
        receive(world.gate(), wait_s=0, budget_s=60)
    sleeper.wake.set()
    first.join(LIMIT_S)
    assert isinstance(first.ended, ClaimLostError if taken_over else BatchReport), first.ended
    world.runs[launch.run_key] = RunState.SUCCEEDED
    world.settle_down()
    assert world.ids() == ([2, 3] if back else [3])
    assert [world.outcome(v) for v in (low, high, other)] == (
        ["superseded", "loaded", "loaded"] if back else ["removed", "removed", "loaded"]
    )
    world.assert_balanced()


def test_a_late_retraction_takes_no_row_of_a_version_that_came_back() -> None:
    """The worker that retracts sleeps before its commit; it is taken over, the object comes back and is loaded again."""
    world = World(datasets=(RETRACTING,))
    deletions = Deletions(world)
    version = world.put(A, mixed(1, bad=0))
    world.settle_down()
    marker, hidden = deletions.hide(A)
    deletions.send(hidden)
    [launch] = planned(world)
    [batch_id] = launch.batches
    slow = Ports(world.items, world.queue, world.store, Sleeper(world.tables, "commit"))
    first = Worker(world, world.gate(slow), batch_id, "first")
    first.start()
    assert slow.tables.asleep.wait(LIMIT_S)
    world.clock.turn(31)
    assert isinstance(world.take(world.gate(), world.datasets[0], batch_id, "second"), BatchReport)
    world.runs[launch.run_key] = RunState.SUCCEEDED
    deletions.send(deletions.show(A, marker))
    world.settle_down()
    assert world.ids() == [1]
    slow.tables.wake.set()
    first.join(LIMIT_S)
    assert isinstance(first.ended, ClaimLostError)
    assert world.ids() == [1]
    assert world.outcome(version) == "loaded"
    world.assert_balanced()


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("new_run", [True, False])
def test_a_version_that_went_after_its_worker_had_published_it_and_died_leaves_the_turn_to_the_one_below(
    told: bool, new_run: bool
) -> None:
    """Its commit took the rows of the version below away: those have to come back."""
    world = World(datasets=(RETRACTING,))
    deletions = Deletions(world)
    low = world.put(A, mixed(1, bad=0))
    world.settle_down()
    high = world.put(A, mixed(2, bad=0))
    fuse = Fuse(name="tables.commit", how="after", where=lambda arguments: arguments[0].name == "orders")
    with suppress(Died):
        world.settle_down(fragile(world.ports, fuse), owner="first")
    assert world.ids() == [2]
    world.clock.turn(61)
    if new_run:
        world.runs = {key: RunState.FAILED if s is RunState.STARTED else s for key, s in world.runs.items()}
    body = deletions.delete(high)
    if told:
        deletions.send(body)
    world.settle_down(owner="second")
    assert world.ids() == [1]
    assert [world.outcome(v) for v in (low, high)] == ["loaded", "removed"]
    world.assert_balanced()


# ---- any order of anything


@dataclass
class Truth:
    """The bucket as a dictionary: for each key its versions (good or bad), what was deleted, and the markers in place."""

    versions: dict[str, list[tuple[ObjectVersion, bool]]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    markers: dict[str, dict[str, int]] = field(default_factory=dict)

    def is_there(self, key: str, version: ObjectVersion) -> bool:
        assert version.sequencer is not None
        number = version.sequencer.number >> 64
        return version.version_id not in self.deleted and all(number >= m for m in self.markers.get(key, {}).values())

    def outcomes(self) -> dict[str, str]:
        told: dict[str, str] = {}
        for key, versions in self.versions.items():
            serving = max((n for n, (v, good) in enumerate(versions) if good and self.is_there(key, v)), default=-1)
            for n, (version, good) in enumerate(versions):
                if not self.is_there(key, version):
                    told[version.version_id] = "removed"
                elif good:
                    told[version.version_id] = "loaded" if n == serving else "superseded"
                else:
                    told[version.version_id] = "superseded" if n < serving else "quarantined"
        return told


ACTIONS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from([A, B]), st.integers(0, 3)),
    st.tuples(st.sampled_from(["hide", "show", "delete"]), st.sampled_from([A, B]), st.integers(0, 3)),
    st.tuples(st.sampled_from(["hear", "work", "rest", "backfill"]), st.just(A), st.integers(0, 20)),
)


class Bucket:
    """A producer who puts, deletes and undeletes, and messages that come late, in any order, more than once."""

    def __init__(self) -> None:
        self.world = World(datasets=(RETRACTING,))
        self.world.tables.ensure(RETRACTING)
        self.deletions = Deletions(self.world)
        self.truth = Truth()
        self.told: list[str] = []
        """Messages that are on their way."""
        self.number = 0

    def do(self, what: str, key: str, choice: int) -> None:
        world, truth = self.world, self.truth
        match what:
            case "put":
                self.number += 1
                good = choice > 0
                version = world.put(key, mixed(self.number, bad=0) if good else BAD, events=0)
                truth.versions.setdefault(key, []).append((version, good))
                self.told.append(version.version_id)
            case "hide":
                # Above everything there is: the next version put has the next number.
                above = len(world.versions) + 1
                marker, body = self.deletions.hide(key, below=above - 1)
                truth.markers.setdefault(key, {})[marker] = above
                self.told.append(body)
            case "show":
                markers = list(truth.markers.get(key, {}))
                if markers:
                    marker = markers[choice % len(markers)]
                    del truth.markers[key][marker]
                    self.told.append(self.deletions.show(key, marker))
            case "delete":
                left = [v for v, _ in truth.versions.get(key, []) if v.version_id not in truth.deleted]
                if left:
                    version = left[choice % len(left)]
                    truth.deleted.add(version.version_id)
                    self.told.append(self.deletions.delete(version))
            case "hear":
                if self.told:
                    body = self.told[choice % len(self.told)]
                    self.tell(body)
                    if choice % 3:
                        self.told.remove(body)
                    receive(world.gate(), wait_s=0, budget_s=60)
            case "work":
                for launch in planned(world):
                    world.run(world.gate(), launch)
            case "backfill":
                gate = world.gate()
                for batch in take_days(gate, world.datasets[0], [DAY], f"backfill-{choice}").batches():
                    assert not isinstance(world.take(gate, world.datasets[0], batch.batch_id, "backfill"), BatchNotRun)
            case _:
                world.settle_down()

    def tell(self, message: str) -> None:
        by_id = {v.version_id: v for v in self.world.versions}
        if message in by_id:
            self.world.tell(by_id[message])
        else:
            self.deletions.send(message)

    def end(self) -> None:
        """Every message comes at last; then all is as the bucket is."""
        for message in reversed(self.told):
            self.tell(message)
        self.world.settle_down()
        world, expected = self.world, self.truth.outcomes()
        assert world.outcomes() == expected
        serving = sorted(v for v, outcome in expected.items() if outcome == "loaded")
        assert sorted(row["_source_version"] for row in world.rows()) == serving
        world.assert_balanced()
        assert_counters_are_sums(world.items)
        removed = [e for e in world.entries() if e.outcome is Outcome.REMOVED]
        assert all(e.object_removed and not e.serving for e in removed)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(ACTIONS, max_size=25))
def test_whatever_is_put_removed_and_told_in_whatever_order_the_table_is_as_the_bucket(
    actions: list[tuple[str, str, int]],
) -> None:
    bucket = Bucket()
    for action in actions:
        bucket.do(*action)
    bucket.end()


def test_what_was_heard_while_a_worker_slept_is_settled_by_whoever_comes_later() -> None:
    """Threads: the two workers of a key's versions, of different days of work, and a removal between them."""
    bucket = Bucket()
    for action in (("put", A, 1), ("put", A, 1), ("hear", A, 0), ("work", A, 0)):
        bucket.do(*action)
    gate = bucket.world.gate()
    workers = [threading.Thread(target=receive, args=(gate,), kwargs={"wait_s": 0, "budget_s": 1}) for _ in range(3)]
    bucket.do("hide", A, 0)
    for message in bucket.told * 2:
        bucket.tell(message)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(LIMIT_S)
    bucket.end()
