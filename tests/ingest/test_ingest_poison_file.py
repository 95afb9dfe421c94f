"""A file that kills its worker whenever it is touched: its neighbours are loaded, and it alone ends as failed, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.intake.dispatching import RunState, dispatch
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.receiving import receive
from tests.accounting.fragile import Died
from tests.ingest.world import Ports, World, orders, orders_key

POISON = orders_key("poison")


class PoisonedStore:
    """A store from which one key cannot be read without the process being gone."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.deaths = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        if version.key == POISON:
            self.deaths += 1
            raise Died
        return self.inner.read(version)


def work_on(world: World, store: PoisonedStore) -> int:
    """Ticks and runs until nothing is pending; a worker that died leaves a failed run and its claim. The number of runs."""
    ports = Ports(world.items, world.queue, store, world.tables)
    runs = 0
    for _ in range(400):
        gate = world.gate(ports)
        receive(gate, wait_s=0, budget_s=60)
        looked = dispatch(gate, lambda keys: {k: world.runs[k] for k in keys if k in world.runs})
        for run_key, _ in looked.abandoned:
            world.runs[run_key] = RunState.FAILED
        for launch in looked.launches:
            runs += 1
            try:
                world.run(gate, launch)
            except Died:
                world.runs[launch.run_key] = RunState.FAILED
        if "pending" not in world.outcomes().values():
            return runs
        world.clock.turn(60)
    raise AssertionError(world.outcomes())


def test_its_neighbours_are_loaded_and_it_alone_is_failed() -> None:
    world = World()
    store = PoisonedStore(world.store)
    good = [world.put(orders_key(f"f{n:02d}"), orders(n)) for n in range(40)]
    poison = world.put(POISON, orders(999))
    good += [world.put(orders_key(f"z{n:02d}"), orders(100 + n)) for n in range(40)]
    runs = work_on(world, store)
    assert {world.outcome(version) for version in good} == {"loaded"}
    assert world.outcome(poison) == "failed"
    assert world.ids() == [*range(40), *range(100, 140)]
    assert store.deaths == world.policy.max_attempts == 5
    # One batch of all, four of 25, those it died with again one by one, and its last attempts: never all 81 alone.
    assert runs <= 1 + 4 + 25 + 3
    entry = next(e for e in world.entries() if e.version == poison)
    assert entry.error is not None
    assert "worker" in entry.error or "run" in entry.error
    world.assert_balanced()


def test_sent_again_it_is_loaded() -> None:
    world = World()
    store = PoisonedStore(world.store)
    world.put(POISON, orders(999))
    world.put(orders_key("f"), orders(1))
    work_on(world, store)
    again = world.put(POISON, orders(7))
    store.read = world.store.read  # type: ignore[method-assign]
    work_on(world, store)
    assert world.outcome(again) == "loaded"
    assert world.ids() == [1, 7]
    world.assert_balanced()
