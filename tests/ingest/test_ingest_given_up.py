"""A batch is released while its worker may have published it, or still may: what the next batch finds gone is not forgotten in the table."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pipelines.accounting.entries import RetryPolicy
from pipelines.errors import ClaimLostError, LakegateError
from pipelines.intake.dispatching import RunState
from resources.folder import folder_tables
from tests.ingest.fragile import Died, Fuse, fragile
from tests.ingest.removing import RETRACTING, removal_body
from tests.ingest.world import ORDERS_BY_ROWS, Ports, World, dataset, mixed, orders, orders_key, planned

LIMIT_S = 30


@pytest.fixture(params=["memory", "folder"])
def world(request: pytest.FixtureRequest, tmp_path: Any) -> World:
    """One version is loaded, and another of the same key is about to replace it."""
    datasets = (dataset(ORDERS_BY_ROWS + "on_empty: accept\n"),)
    tables = {} if request.param == "memory" else {"tables": folder_tables(tmp_path / "lake")}
    world = World(datasets=datasets, **tables)
    world.put(orders_key("a"), orders(1, 2))
    world.settle_down()
    return world


def of_orders(arguments: Any) -> bool:
    return arguments[0].name == "orders"


def fail_runs(world: World) -> None:
    world.runs = {key: RunState.FAILED if s is RunState.STARTED else s for key, s in world.runs.items()}


NEXT = {"with rows": mixed(3, bad=1), "without a row": b""}


@pytest.mark.parametrize("content", NEXT)
def test_a_version_published_by_a_worker_that_died_and_deleted_since_is_loaded(world: World, content: str) -> None:
    second = world.put(orders_key("a"), NEXT[content])
    with pytest.raises(Died):
        world.settle_down(fragile(world.ports, Fuse(name="tables.commit", how="after", where=of_orders)), owner="first")
    world.store.remove_version(second)
    fail_runs(world)
    world.settle_down(owner="second")
    assert world.outcomes() == {"v1": "superseded", "v2": "loaded"}
    assert world.ids() == ([3] if content == "with rows" else [])
    assert [row["_source_version"] for row in world.rejected()] == (["v2"] if content == "with rows" else [])
    world.assert_balanced()


def test_a_version_recognised_in_the_table_and_deleted_since_is_loaded(world: World) -> None:
    second = world.put(orders_key("a"), NEXT["without a row"])
    with pytest.raises(Died):
        world.settle_down(fragile(world.ports, Fuse(name="tables.commit", how="after", where=of_orders)), owner="first")
    world.store.remove_version(second)
    [batch] = world.gate().ledger.live_batches("orders")
    world.clock.turn(31)
    world.take(world.gate(), world.datasets[0], batch.batch_id, "second")
    world.runs[batch.run_key] = RunState.SUCCEEDED
    world.settle_down()
    assert world.outcomes() == {"v1": "superseded", "v2": "loaded"}
    assert world.rows() == []
    world.assert_balanced()


class AsleepAtCommit:
    """Tables whose worker falls asleep when all is checked and only the commit is left."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.asleep, self.wake = inner, threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def commit(self, of: Any, change: Any) -> Any:
        if of.name == "orders" and not self.asleep.is_set():
            self.asleep.set()
            assert self.wake.wait(LIMIT_S)
        return self.inner.commit(of, change)


def test_a_worker_that_sleeps_right_before_its_commit_brings_no_row_of_what_was_found_gone(world: World) -> None:
    second = world.put(orders_key("a"), orders(3))
    [launch] = planned(world)
    slow = AsleepAtCommit(world.tables)
    gate = world.gate(Ports(world.items, world.queue, world.store, slow))
    ended: list[LakegateError] = []

    def work() -> None:
        try:
            world.take(gate, world.datasets[0], launch.batches[0], "first")
        except LakegateError as error:
            ended.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    assert slow.asleep.wait(LIMIT_S)
    world.store.remove_version(second)
    world.runs[launch.run_key] = RunState.FAILED
    world.clock.turn(31)
    world.settle_down(owner="second")
    assert world.outcomes() == {"v1": "loaded", "v2": "removed"}
    slow.wake.set()
    worker.join(LIMIT_S)
    assert [type(error) for error in ended] == [ClaimLostError]
    assert world.ids() == [1, 2]
    world.assert_balanced()


def test_a_version_published_by_a_worker_that_died_and_removed_since_is_retracted(tmp_path: Any) -> None:
    for tables in ({}, {"tables": folder_tables(tmp_path / "lake")}):
        world = World(datasets=(RETRACTING,), **tables)
        world.put(orders_key("a"), orders(1, 2))
        world.settle_down()
        second = world.put(orders_key("a"), orders(3))
        with pytest.raises(Died):
            world.settle_down(
                fragile(world.ports, Fuse(name="tables.commit", how="after", where=of_orders)), owner="first"
            )
        fail_runs(world)
        planned(world)  # released: it waits to be tried again
        world.store.remove_version(second)
        world.queue.send(removal_body("ObjectRemoved:Delete", second.key, second.version_id, 9))
        world.settle_down(owner="second")
        assert world.outcomes() == {"v1": "loaded", "v2": "removed"}
        assert world.ids() == [1, 2]
        world.assert_balanced()


def test_a_death_right_after_the_commit_never_ends_a_file_whose_rows_are_in_the_table(world: World) -> None:
    """Its attempts are not used up by deaths that it cannot be the cause of: the next attempt finds the commit."""
    world.policy = RetryPolicy(max_attempts=1)
    second = world.put(orders_key("a"), orders(3))
    with pytest.raises(Died):
        world.settle_down(fragile(world.ports, Fuse(name="tables.commit", how="after", where=of_orders)), owner="first")
    fail_runs(world)
    world.settle_down(owner="second")
    assert world.outcome(second) == "loaded"
    assert world.ids() == [3]
    world.assert_balanced()
