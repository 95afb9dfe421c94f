"""A worker that sleeps past its lease and wakes up when another has done its work: it stops, or finds the work done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.contracts.rejected import tables_of
from pipelines.errors import ClaimLostError, LakegateError
from pipelines.gate import Gate
from pipelines.ports import Committed, Conflict
from pipelines.reports import BatchNotRun, BatchReport
from resources.folder import folder_tables
from tests.ingest.world import (
    BAD,
    CLICKS,
    ORDERS_BY_ROWS,
    Ports,
    World,
    batches_by_day,
    dataset,
    mixed,
    orders_key,
    planned,
)

LIMIT_S = 30


@pytest.fixture(params=["memory", "folder"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[World], Any]:
    """Tables as one worker has them; all workers share the catalog."""
    if request.param == "memory":
        return lambda world: world.tables
    return lambda _: folder_tables(tmp_path / "lake")


def _world(connect: Callable[[World], Any], *, by_rows: bool) -> World:
    world = World(datasets=(dataset(ORDERS_BY_ROWS),)) if by_rows else World()
    world.tables = connect(world)
    bad = 1 if by_rows else 0
    world.put(orders_key("a"), mixed(1, 2, bad=bad))
    world.settle_down()
    world.put(orders_key("a"), mixed(3, bad=bad))
    world.put(orders_key("b"), mixed(4, bad=bad))
    world.put(orders_key("c"), BAD + b"none,3.00\n" * 2 * bad)
    return world


@pytest.fixture(params=["whole files", "single rows"])
def world(request: pytest.FixtureRequest, connect: Callable[[World], Any]) -> World:
    return _world(connect, by_rows=request.param == "single rows")


@pytest.fixture
def world_by_rows(connect: Callable[[World], Any]) -> World:
    return _world(connect, by_rows=True)


class Sleeper:
    """A port that falls asleep in one of its calls, until it is woken."""

    def __init__(self, inner: Any, name: str, *, after: bool = False, table: str | None = None, nth: int = 1) -> None:
        self._inner, self._name, self._after, self._table, self._left = inner, name, after, table, nth
        self.asleep, self.wake = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._name:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            if self._table is not None and arguments[0].name != self._table:
                return found(*arguments, **named)
            self._left -= 1
            if self._left > 0:
                return found(*arguments, **named)
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
    sleeper = Sleeper(getattr(slow, port), name, after=after, table="orders" if name == "commit" else None)
    setattr(slow, port, sleeper)
    first = Worker(world, world.gate(slow), batch_id, "first")
    first.start()
    assert sleeper.asleep.wait(LIMIT_S)
    _taken_over(world, first, sleeper, batch_id, recognised=moment == "after the commit")


REJECTED_MOMENTS = {
    "before the rejected rows' commit": (1, False),
    "after the rejected rows' commit": (1, True),
    "before the commit that tidies up": (2, False),
    "after the commit that tidies up": (2, True),
}


@pytest.mark.parametrize("moment", REJECTED_MOMENTS)
def test_a_worker_that_wakes_up_late_changes_no_rejected_row(
    world_by_rows: World, connect: Callable[[World], Any], moment: str
) -> None:
    world = world_by_rows
    nth, after = REJECTED_MOMENTS[moment]
    [launch] = planned(world)
    [batch_id] = launch.batches
    slow = Ports(world.items, world.queue, world.store, connect(world))
    slow.tables = sleeper = Sleeper(slow.tables, "commit", after=after, table="orders__rejected", nth=nth)
    first = Worker(world, world.gate(slow), batch_id, "first")
    first.start()
    assert sleeper.asleep.wait(LIMIT_S)
    _taken_over(world, first, sleeper, batch_id, recognised=nth == 2)


def _taken_over(world: World, first: Worker, sleeper: Sleeper, batch_id: str, *, recognised: bool) -> None:
    """Another worker does the sleeping one's work; when that one wakes up, it changes nothing."""
    too_early = world.take(world.gate(), world.datasets[0], batch_id, "second")
    assert isinstance(too_early, BatchNotRun)
    assert "run first works on it" in too_early.reason
    world.clock.turn(31)
    second = world.take(world.gate(), world.datasets[0], batch_id, "second")
    assert isinstance(second, BatchReport)
    assert second.recognised is recognised
    before = world.state()
    snapshot = world.tables.current(world.datasets[0])

    sleeper.wake.set()
    first.join(LIMIT_S)
    assert isinstance(first.ended, ClaimLostError), first.ended
    assert world.tables.current(world.datasets[0]) == snapshot
    assert world.state() == before
    assert world.ids() == [3, 4]
    assert world.outcomes() == {"v1": "superseded", "v2": "loaded", "v3": "loaded", "v4": "quarantined"}
    by_rows = len(tables_of(world.datasets[0])) == 2
    assert [row["_source_version"] for row in world.rejected()] == (["v2", "v3"] if by_rows else [])
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
            if of.name != "orders":
                return tables.commit(of, change)
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
    lower, higher = batches_by_day(planned(world))
    clicks = world.datasets[1]
    world.tables.ensure(clicks)
    sleeper = Sleeper(connect(world), "commit")
    gate = world.gate(Ports(world.items, world.queue, world.store, sleeper))
    first = threading.Thread(target=world.take, args=(gate, clicks, lower, "first"), daemon=True)
    first.start()
    assert sleeper.asleep.wait(LIMIT_S)
    second = world.take(
        world.gate(Ports(world.items, world.queue, world.store, connect(world))), clicks, higher, "second"
    )
    assert isinstance(second, BatchReport)
    sleeper.wake.set()
    first.join(LIMIT_S)
    assert world.ids("clicks") == [3, 9]
    assert world.outcomes() == {"v1": "superseded", "v2": "loaded", "v3": "loaded"}
    world.assert_balanced()


CLICKS_BY_ROWS = CLICKS + "rows: {on_bad: quarantine_rows, max_bad: 60%}\n"
SLEEPS = {
    "before its rejected rows' commit": ("clicks__rejected", False),
    "after its rejected rows' commit": ("clicks__rejected", True),
    "before its good rows' commit": ("clicks", False),
    "after its good rows' commit": ("clicks", True),
}


@pytest.mark.parametrize("lower_sleeps", [True, False])
@pytest.mark.parametrize("moment", SLEEPS)
def test_two_workers_with_versions_of_a_key_leave_the_bad_rows_of_the_one_that_serves(
    connect: Callable[[World], Any], moment: str, lower_sleeps: bool
) -> None:
    """The one's worker sleeps around one of its commits; the other's does all its work meanwhile."""
    world = World(datasets=(dataset(CLICKS_BY_ROWS),))
    world.tables = connect(world)
    world.put("landing/clicks/all.csv", b"id\n1\n2\nnone1\n")
    world.put("landing/clicks/other.csv", b"id\n9\nnone9\n")
    world.clock.turn(86_400)
    world.put("landing/clicks/all.csv", b"id\n3\nnone3\n")
    lower, higher = batches_by_day(planned(world))
    clicks = world.datasets[0]
    for table in tables_of(clicks):
        world.tables.ensure(table)
    mine, others = (lower, higher) if lower_sleeps else (higher, lower)
    table, after = SLEEPS[moment]
    sleeper = Sleeper(connect(world), "commit", after=after, table=table)
    gate = world.gate(Ports(world.items, world.queue, world.store, sleeper))
    first = threading.Thread(target=world.take, args=(gate, clicks, mine, "first"), daemon=True)
    first.start()
    assert sleeper.asleep.wait(LIMIT_S)
    ports = Ports(world.items, world.queue, world.store, connect(world))
    assert isinstance(world.take(world.gate(ports), clicks, others, "second"), BatchReport)
    sleeper.wake.set()
    first.join(LIMIT_S)
    assert world.ids("clicks") == [3, 9]
    assert [row["raw"] for row in world.rejected("clicks")] == ["none3", "none9"]
    assert world.outcomes() == {"v1": "superseded", "v2": "loaded", "v3": "loaded"}
    world.assert_balanced()


def test_a_late_commit_of_rejected_rows_does_not_come_after_an_attempt_without_any(
    connect: Callable[[World], Any],
) -> None:
    """The second attempt has nothing to put into the table, because the object is gone; it shuts the door all the same."""
    world = World(datasets=(dataset(CLICKS_BY_ROWS),))
    world.tables = connect(world)
    version = world.put("landing/clicks/all.csv", b"id\n1\nnone1\n")
    [launch] = planned(world)
    [batch_id] = launch.batches
    clicks = world.datasets[0]
    sleeper = Sleeper(connect(world), "commit", table="clicks__rejected")
    first = Worker(world, world.gate(Ports(world.items, world.queue, world.store, sleeper)), batch_id, "first")
    first.start()
    assert sleeper.asleep.wait(LIMIT_S)
    world.clock.turn(31)
    world.store.remove_version(version)
    assert isinstance(world.take(world.gate(), clicks, batch_id, "second"), BatchReport)
    sleeper.wake.set()
    first.join(LIMIT_S)
    assert isinstance(first.ended, ClaimLostError)
    assert world.rejected("clicks") == []
    assert world.ids("clicks") == []
    world.assert_balanced()
