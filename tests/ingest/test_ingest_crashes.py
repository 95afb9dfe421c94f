"""Die at every call of every port in turn, and let another worker go on: the end is the same as without a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.accounting.states import BatchState
from pipelines.errors import TransientError
from pipelines.intake.dispatching import RunState
from pipelines.ports import Update
from pipelines.reports import BatchReport
from resources.folder import folder_tables
from tests.ingest.fragile import Died, Fuse, How, fragile
from tests.ingest.world import BAD, World, orders, orders_key

LONGER_THAN_A_LEASE_S = 61


def scenario(world: World) -> World:
    """One file is loaded; then two good ones land, a bad one, and a correction of the first."""
    world.put(orders_key("a"), orders(1, 2))
    world.settle_down()
    world.put(orders_key("b"), orders(3))
    world.put(orders_key("c"), orders(4, 5))
    world.put(orders_key("d"), BAD)
    world.put(orders_key("a"), orders(6))
    return world


def undisturbed() -> tuple[dict[str, Any], list[str]]:
    """The end without a crash, and the calls on the way to it."""
    world, fuse = scenario(World()), Fuse()
    world.settle_down(fragile(world.ports, fuse))
    world.assert_balanced()
    return world.state(), fuse.calls


EXPECTED, CALLS = undisturbed()


def die(world: World, fuse: Fuse) -> bool:
    """Work until the fuse burns through; whether it did."""
    try:
        world.settle_down(fragile(world.ports, fuse), owner="first")
    except Died:
        return True
    return fuse.dead  # a thread that read ahead died, and nobody asked for what it read


def assert_same_end(world: World) -> None:
    world.settle_down(owner="second")
    assert world.state() == EXPECTED
    world.assert_balanced()


def test_the_scenario_is_what_it_is_meant_to_be() -> None:
    assert EXPECTED["outcomes"] == {
        "v1": "superseded",
        "v2": "loaded",
        "v3": "loaded",
        "v4": "quarantined",
        "v5": "loaded",
    }
    assert [row["id"] for row in EXPECTED["rows"]] == [6, 3, 4, 5]
    assert {"items.write", "queue.delete", "store.read", "store.copy", "store.put_bytes", "tables.commit"} <= set(CALLS)


@pytest.mark.parametrize("how", ["before", "after"])
def test_dying_at_any_call_when_dagster_tells_that_the_run_failed(how: How) -> None:
    for at in range(len(CALLS)):
        world = scenario(World())
        assert die(world, Fuse(at, how=how)), f"call {at} of {CALLS[at]} was not made"
        world.runs = {key: RunState.FAILED if s is RunState.STARTED else s for key, s in world.runs.items()}
        world.clock.turn(LONGER_THAN_A_LEASE_S)
        assert_same_end(world)


@pytest.mark.parametrize("how", ["before", "after"])
def test_dying_at_any_call_when_the_run_just_falls_silent(how: How) -> None:
    for at in range(len(CALLS)):
        world = scenario(World())
        assert die(world, Fuse(at, how=how))
        # Dagster goes on saying "started", and the ledger finds out by the lease. A run that died before it claimed anything
        # has no lease: it is Dagster's run monitoring that finds out then.
        if not any(batch.lease_until for batch in world.gate().ledger.live_batches("orders")):
            world.runs = {key: RunState.FAILED if s is RunState.STARTED else s for key, s in world.runs.items()}
        assert_same_end(world)


@pytest.mark.parametrize("how", ["before", "after"])
def test_dying_at_any_call_when_another_worker_takes_the_same_batch(how: How) -> None:
    for at in range(len(CALLS)):
        world = scenario(World())
        assert die(world, Fuse(at, how=how))
        world.clock.turn(LONGER_THAN_A_LEASE_S)
        gate = world.gate()
        for batch in gate.ledger.live_batches("orders"):
            assert isinstance(world.take(gate, world.datasets[0], batch.batch_id, "second"), BatchReport)
            world.runs[batch.run_key] = RunState.SUCCEEDED
        assert_same_end(world)


def test_dying_at_any_two_calls() -> None:
    for first in range(0, len(CALLS), 4):
        for second in range(1, len(CALLS), 9):
            world = scenario(World())
            for at, how in ((first, "after"), (second, "before")):
                die(world, Fuse(at, how=how))
                world.runs = {key: RunState.FAILED if s is RunState.STARTED else s for key, s in world.runs.items()}
                world.clock.turn(LONGER_THAN_A_LEASE_S)
            assert_same_end(world)


# ---- by name, and on Iceberg's tables as well


@pytest.fixture(params=["memory", "folder"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return scenario(World() if request.param == "memory" else World(tables=folder_tables(tmp_path / "lake")))


def writes_batch_state(state: BatchState) -> Any:
    """Whether a ledger write puts a batch into this state."""

    def found(arguments: Any) -> bool:
        for change in arguments[0]:
            said = change.set_ if isinstance(change, Update) else getattr(change, "item", {})
            if change.key.sk == "batch" and said.get("state") == state:
                return True
        return False

    return found


MOMENTS: dict[str, Fuse] = {
    "after the registration, before the message is deleted": Fuse(name="queue.delete"),
    "after the message is deleted": Fuse(name="queue.delete", how="after"),
    "after the batch is planned": Fuse(name="items.write", how="after", where=writes_batch_state(BatchState.PLANNED)),
    "after the claim": Fuse(name="items.write", how="after", where=writes_batch_state(BatchState.CLAIMED)),
    "after the copy to quarantine, before its report": Fuse(name="store.put_bytes"),
    "after the report, before the books know it": Fuse(name="store.put_bytes", how="after"),
    "after it said that it commits": Fuse(
        name="items.write", how="after", where=writes_batch_state(BatchState.COMMITTING)
    ),
    "before the commit": Fuse(name="tables.commit"),
    "after the commit": Fuse(name="tables.commit", how="after"),
    "before the batch is finished": Fuse(name="items.write", where=writes_batch_state(BatchState.DONE)),
    "after the batch is finished": Fuse(name="items.write", how="after", where=writes_batch_state(BatchState.DONE)),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_dying_at_a_moment_that_matters(world: World, moment: str) -> None:
    template = MOMENTS[moment]
    assert die(world, Fuse(name=template.name, how=template.how, where=template.where)), moment
    assert_same_end(world)


def test_a_commit_whose_worker_died_is_recognised_and_not_made_again(world: World) -> None:
    assert die(world, Fuse(name="tables.commit", how="after"))
    snapshot = world.tables.current(world.datasets[0])
    world.clock.turn(LONGER_THAN_A_LEASE_S)
    gate = world.gate()
    [batch] = gate.ledger.live_batches("orders")
    report = world.take(gate, world.datasets[0], batch.batch_id, "second")
    assert isinstance(report, BatchReport)
    assert report.recognised
    assert world.tables.current(world.datasets[0]) == snapshot
    world.runs[batch.run_key] = RunState.SUCCEEDED
    assert_same_end(world)


class Mute:
    """Tables whose commit takes effect, or does not, and whose answer is lost."""

    def __init__(self, inner: Any, *, applied: bool) -> None:
        self.inner, self.applied, self.asked = inner, applied, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def commit(self, of: Any, change: Any) -> Any:
        self.asked += 1
        if self.asked > 1:
            return self.inner.commit(of, change)
        if self.applied:
            self.inner.commit(of, change)
        raise TransientError("no answer")


@pytest.mark.parametrize("applied", [True, False])
def test_a_commit_whose_answer_is_lost_is_looked_up(world: World, applied: bool) -> None:
    ports = world.ports
    ports.tables = mute = Mute(world.tables, applied=applied)
    world.settle_down(ports)
    assert mute.asked == (1 if applied else 2)
    assert world.state() == EXPECTED
    world.assert_balanced()
