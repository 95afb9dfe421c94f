"""Die at every call of every port in turn, and let another worker go on: the end is the same as without a crash."""

from __future__ import annotations

from collections.abc import Callable
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
from tests.ingest.world import BAD, ORDERS_BY_ROWS, World, dataset, mixed, orders, orders_key
from tests.proof import IN_PROOF

LONGER_THAN_A_LEASE_S = 61


def whole_files(tables: Any = None) -> World:
    """One file is loaded; then two good ones land, a bad one, and a correction of the first."""
    world = World() if tables is None else World(tables=tables)
    world.put(orders_key("a"), orders(1, 2))
    world.settle_down()
    world.put(orders_key("b"), orders(3))
    world.put(orders_key("c"), orders(4, 5))
    world.put(orders_key("d"), BAD)
    world.put(orders_key("a"), orders(6))
    return world


def single_rows(tables: Any = None) -> World:
    """The same with files that have bad rows, in each version of them."""
    datasets = (dataset(ORDERS_BY_ROWS),)
    world = World(datasets=datasets) if tables is None else World(tables=tables, datasets=datasets)
    world.put(orders_key("a"), mixed(1, 2, bad=2))
    world.settle_down()
    world.put(orders_key("b"), mixed(3, bad=1))
    world.put(orders_key("c"), orders(4, 5))
    world.put(orders_key("d"), mixed(9, bad=2))
    world.put(orders_key("a"), mixed(6, bad=1))
    return world


Scenario = Callable[..., World]
SCENARIOS: list[Scenario] = [whole_files, single_rows]


def undisturbed(scenario: Scenario) -> tuple[dict[str, Any], list[str]]:
    """The end without a crash, and the calls on the way to it."""
    world, fuse = scenario(), Fuse()
    world.settle_down(fragile(world.ports, fuse))
    world.assert_balanced()
    return world.state(), fuse.calls


ENDS = {scenario: undisturbed(scenario) for scenario in SCENARIOS}
both = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)


def die(world: World, fuse: Fuse) -> bool:
    """Work until the fuse burns through; whether it did."""
    try:
        world.settle_down(fragile(world.ports, fuse), owner="first")
    except Died:
        return True
    return fuse.dead  # a thread that read ahead died, and nobody asked for what it read


def assert_same_end(world: World, scenario: Scenario) -> None:
    world.settle_down(owner="second")
    assert world.state() == ENDS[scenario][0]
    world.assert_balanced()


@both
def test_the_scenario_is_what_it_is_meant_to_be(scenario: Scenario) -> None:
    expected, calls = ENDS[scenario]
    assert expected["outcomes"] == {
        "v1": "superseded",
        "v2": "loaded",
        "v3": "loaded",
        "v4": "quarantined",
        "v5": "loaded",
    }
    assert [row["id"] for row in expected["rows"]] == [6, 3, 4, 5]
    assert [row["_source_version"] for row in expected["rejected"]] == (["v5", "v2"] if scenario is single_rows else [])
    assert {"items.write", "queue.delete", "store.read", "store.copy", "store.put_bytes", "tables.commit"} <= set(calls)


@both
@pytest.mark.parametrize("how", ["before", "after"])
def test_dying_at_any_call_when_dagster_tells_that_the_run_failed(scenario: Scenario, how: How) -> None:
    for at in range(len(ENDS[scenario][1])):
        world = scenario()
        assert die(world, Fuse(at, how=how)), f"call {at} of {ENDS[scenario][1][at]} was not made"
        world.runs = {key: RunState.FAILED if s is RunState.STARTED else s for key, s in world.runs.items()}
        world.clock.turn(LONGER_THAN_A_LEASE_S)
        assert_same_end(world, scenario)


@both
@pytest.mark.parametrize("how", ["before", "after"])
def test_dying_at_any_call_when_the_run_just_falls_silent(scenario: Scenario, how: How) -> None:
    for at in range(len(ENDS[scenario][1])):
        world = scenario()
        assert die(world, Fuse(at, how=how))
        # Dagster goes on saying "started", and the ledger finds out by the lease. A run that died before it claimed anything
        # has no lease: it is Dagster's run monitoring that finds out then.
        if not any(batch.lease_until for batch in world.gate().ledger.live_batches("orders")):
            world.runs = {key: RunState.FAILED if s is RunState.STARTED else s for key, s in world.runs.items()}
        assert_same_end(world, scenario)


@both
@pytest.mark.parametrize("how", ["before", "after"])
def test_dying_at_any_call_when_another_worker_takes_the_same_batch(scenario: Scenario, how: How) -> None:
    for at in range(len(ENDS[scenario][1])):
        world = scenario()
        assert die(world, Fuse(at, how=how))
        world.clock.turn(LONGER_THAN_A_LEASE_S)
        gate = world.gate()
        for batch in gate.ledger.live_batches("orders"):
            assert isinstance(world.take(gate, world.datasets[0], batch.batch_id, "second"), BatchReport)
            world.runs[batch.run_key] = RunState.SUCCEEDED
        assert_same_end(world, scenario)


@both
def test_dying_at_any_two_calls(scenario: Scenario) -> None:
    number = len(ENDS[scenario][1])
    for first in range(0, number, 4 if IN_PROOF else 8):
        for second in range(1, number, 9 if IN_PROOF else 14):
            world = scenario()
            for at, how in ((first, "after"), (second, "before")):
                die(world, Fuse(at, how=how))
                world.runs = {key: RunState.FAILED if s is RunState.STARTED else s for key, s in world.runs.items()}
                world.clock.turn(LONGER_THAN_A_LEASE_S)
            assert_same_end(world, scenario)


# ---- by name, and on Iceberg's tables as well


@pytest.fixture(params=SCENARIOS, ids=lambda scenario: scenario.__name__)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return request.param


@pytest.fixture(params=["memory", "folder"])
def world(request: pytest.FixtureRequest, scenario: Scenario, tmp_path: Path) -> World:
    return scenario() if request.param == "memory" else scenario(folder_tables(tmp_path / "lake"))


def writes_batch_state(state: BatchState) -> Any:
    """Whether a ledger write puts a batch into this state."""

    def found(arguments: Any) -> bool:
        for change in arguments[0]:
            said = change.set_ if isinstance(change, Update) else getattr(change, "item", {})
            if change.key.sk == "batch" and said.get("state") == state:
                return True
        return False

    return found


def of_orders(arguments: Any) -> bool:
    """Whether a call is about the dataset's own table."""
    return arguments[0].name == "orders"


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
    "before the commit": Fuse(name="tables.commit", where=of_orders),
    "after the commit": Fuse(name="tables.commit", how="after", where=of_orders),
    "before the batch is finished": Fuse(name="items.write", where=writes_batch_state(BatchState.DONE)),
    "after the batch is finished": Fuse(name="items.write", how="after", where=writes_batch_state(BatchState.DONE)),
}


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("how", ["before", "after"])
def test_dying_around_a_commit_of_rejected_rows(tmp_path: Path, how: How, nth: int) -> None:
    world = single_rows(folder_tables(tmp_path / "lake"))
    assert die(world, Fuse(name="tables.commit", how=how, nth=nth, where=lambda of: not of_orders(of)))
    assert_same_end(world, single_rows)


@pytest.mark.parametrize("moment", MOMENTS)
def test_dying_at_a_moment_that_matters(world: World, scenario: Scenario, moment: str) -> None:
    template = MOMENTS[moment]
    assert die(world, Fuse(name=template.name, how=template.how, where=template.where)), moment
    assert_same_end(world, scenario)


def test_a_commit_whose_worker_died_is_recognised_and_not_made_again(world: World, scenario: Scenario) -> None:
    assert die(world, Fuse(name="tables.commit", how="after", where=of_orders))
    snapshot = world.tables.current(world.datasets[0])
    world.clock.turn(LONGER_THAN_A_LEASE_S)
    gate = world.gate()
    [batch] = gate.ledger.live_batches("orders")
    report = world.take(gate, world.datasets[0], batch.batch_id, "second")
    assert isinstance(report, BatchReport)
    assert report.recognised
    assert world.tables.current(world.datasets[0]) == snapshot
    world.runs[batch.run_key] = RunState.SUCCEEDED
    assert_same_end(world, scenario)


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
def test_a_commit_whose_answer_is_lost_is_looked_up(world: World, scenario: Scenario, applied: bool) -> None:
    ports = world.ports
    ports.tables = mute = Mute(world.tables, applied=applied)
    world.settle_down(ports)
    # Of the scenario with rows: the rejected come first, then the good, and then the rejected that were superseded go.
    calls = {whole_files: 1, single_rows: 3}[scenario]
    assert mute.asked == (calls if applied else calls + 1)
    assert world.state() == ENDS[scenario][0]
    world.assert_balanced()
