"""A worker that sleeps past its lease and wakes up when another has done its work: it stops, or finds the work done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ClaimLostError, LakegateError
from pipelines.gate import Gate
from pipelines.ports import Committed, Conflict
from pipelines.reports import BatchNotRun, BatchReport
from resources.folder import folder_tables
from tests.ingest.world import BAD, Ports, World, orders, orders_key, planned

LIMIT_S = 30


@pytest.fixture(params=["memory", "folder"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[World], Any]:
    """Tables as one worker has them; all workers share the catalog."""
    if request.param == "memory":
        return lambda world: world.tables
    return lambda _: folder_tables(tmp_path / "lake")


@pytest.fixture
def world(request: pytest.FixtureRequest, connect: Callable[[World], Any]) -> World:
    world = World()
    world.tables = connect(world)
    world.put(orders_key("a"), orders(1, 2))
    world.settle_down()
    world.put(orders_key("a"), orders(3))
    world.put(orders_key("b"), orders(4))
    world.put(orders_key("c"), BAD)
    return world


class Sleeper:
    """A port that falls asleep in one of its calls, until it is woken."""

    def __init__(self, inner: Any, name: str, *, after: bool = False) -> None:
        self._inner, self._name, self._after = inner, name, after
        self.asleep, self.wake = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._name:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            result = found(*arguments, **named) if self._after else None
            if not self.asleep.is_set():
                self.asleep.set()
                assert self.wake.wait(LIMIT_S)
            return result if self._after else found(*arguments, **named)

        return call


class Worker(threading.Thread):
    """One attempt at a batch; `ended` is its report or the error that stopped it."""

    def __init__(self, world: World, gate: Gate, batch_id: str, owner: str) -> None:
        super().__init__(daemon=True)
        self._take = lambda: world.take(gate, world.datasets[0], batch_id, owner)
        self.ended: BatchReport | BatchNotRun | LakegateError | None = None

    def run(self) -> None:
        try:
            self.ended = self._take()
        except LakegateError as error:
            self.ended = error


MOMENTS = {
    "while it reads": ("store", "read", False),
    "before the copy to quarantine": ("store", "copy", False),
    "before it looks for its commit": ("tables", "current", False),
    "before the commit": ("tables", "commit", False),
    "after the commit": ("tables", "commit", True),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_that_wakes_up_late_changes_nothing(
    world: World, connect: Callable[[World], Any], moment: str
) -> None:
    port, name, after = MOMENTS[moment]
    [launch] = planned(world)
    [batch_id] = launch.batches
    slow = Ports(world.items, world.queue, world.store, connect(world))
    sleeper = Sleeper(getattr(slow, port), name, after=after)
    setattr(slow, port, sleeper)
    first = Worker(world, world.gate(slow), batch_id, "first")
    first.start()
    assert sleeper.asleep.wait(LIMIT_S)

    too_early = world.take(world.gate(), world.datasets[0], batch_id, "second")
    assert isinstance(too_early, BatchNotRun)
    assert "run first works on it" in too_early.reason
    world.clock.turn(31)
    second = world.take(world.gate(), world.datasets[0], batch_id, "second")
    assert isinstance(second, BatchReport)
    assert second.recognised is (moment == "after the commit")
    before = world.state()
    snapshot = world.tables.current(world.datasets[0])

    sleeper.wake.set()
    first.join(LIMIT_S)
    assert isinstance(first.ended, ClaimLostError), first.ended
    assert world.tables.current(world.datasets[0]) == snapshot
    assert world.state() == before
    assert world.ids() == [3, 4]
    assert world.outcomes() == {"v1": "superseded", "v2": "loaded", "v3": "loaded", "v4": "quarantined"}
    world.assert_balanced()


def test_the_table_itself_stops_a_commit_that_was_under_way(world: World, connect: Callable[[World], Any]) -> None:
    """The last look at the lease is before the commit; what comes between the two is the catalog's to refuse."""
    [launch] = planned(world)
    [batch_id] = launch.batches
    tables = connect(world)
    asleep, wake = threading.Event(), threading.Event()
    refused: list[Committed | Conflict] = []

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(tables, name)

        def commit(self, of: Any, change: Any) -> Committed | Conflict:
            asleep.set()
            assert wake.wait(LIMIT_S)
            refused.append(tables.commit(of, change))
            return refused[-1]

    ports = Ports(world.items, world.queue, world.store, Slow())
    first = Worker(world, world.gate(ports), batch_id, "first")
    first.start()
    assert asleep.wait(LIMIT_S)
    world.clock.turn(31)
    assert isinstance(world.take(world.gate(), world.datasets[0], batch_id, "second"), BatchReport)
    wake.set()
    first.join(LIMIT_S)
    assert refused == [Conflict()]
    assert isinstance(first.ended, ClaimLostError)
    assert world.ids() == [3, 4]
    world.assert_balanced()


def test_a_batch_that_is_done_or_unknown_is_left_alone(world: World) -> None:
    [launch] = planned(world)
    [batch_id] = launch.batches
    gate = world.gate()
    world.take(gate, world.datasets[0], batch_id, "first")
    before = world.state()
    again = world.take(gate, world.datasets[0], batch_id, "second")
    unknown = world.take(gate, world.datasets[0], "nothing", "second")
    assert again == BatchNotRun(batch_id, "its work is done already")
    assert unknown == BatchNotRun("nothing", "the ledger has no such batch")
    assert world.state() == before


def test_two_workers_with_different_days_of_a_key_lose_no_row_and_double_none(
    connect: Callable[[World], Any],
) -> None:
    """The lower version's worker sleeps before its commit; the higher one is published meanwhile."""
    world = World()
    world.tables = connect(world)
    world.put("landing/clicks/all.csv", b"id\n1\n2\n")
    world.put("landing/clicks/other.csv", b"id\n9\n")
    world.clock.turn(86_400)
    world.put("landing/clicks/all.csv", b"id\n3\n")
    [launch] = planned(world)
    clicks = world.datasets[1]
    world.tables.ensure(clicks)
    sleeper = Sleeper(connect(world), "commit")
    gate = world.gate(Ports(world.items, world.queue, world.store, sleeper))
    first = threading.Thread(target=world.take, args=(gate, clicks, launch.batches[0], "first"), daemon=True)
    first.start()
    assert sleeper.asleep.wait(LIMIT_S)
    second = world.take(
        world.gate(Ports(world.items, world.queue, world.store, connect(world))), clicks, launch.batches[1], "second"
    )
    assert isinstance(second, BatchReport)
    sleeper.wake.set()
    first.join(LIMIT_S)
    assert world.ids("clicks") == [3, 9]
    assert world.outcomes() == {"v1": "superseded", "v2": "loaded", "v3": "loaded"}
    world.assert_balanced()
