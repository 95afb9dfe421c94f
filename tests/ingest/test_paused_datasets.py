"""A dataset that faults of ours stop again and again is paused, loses nothing meanwhile, and goes on by itself; others never notice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipelines.accounting.states import Outcome
from pipelines.errors import PermanentError, ThrottledError
from pipelines.intake.dispatching import RunState, dispatch
from pipelines.intake.receiving import receive
from sensors.landing import sentence
from tests.ingest.world import BAD, Ports, World, orders, orders_key

DAYS = ["2026-02-01", "2026-02-03", "2026-02-05"]


@dataclass
class Locked:
    """A store or tables that refuse what is named so, until they are unlocked."""

    inner: Any
    method: str
    about: str
    error: Exception
    locked: bool = True
    calls: int = field(default=0)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name != self.method or not self.locked:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            if self.about not in str(arguments):
                return found(*arguments, **named)
            self.calls += 1
            raise self.error

        return call


def denied() -> Exception:
    return PermanentError("reading s3://landing: AccessDenied: no. Give the role this permission", code="AccessDenied")


def tick(world: World, ports: Ports) -> str:
    """One tick and its runs; what the sensor says."""
    gate = world.gate(ports)
    heard = receive(gate, wait_s=0, budget_s=60)
    looked = dispatch(gate, lambda keys: {k: world.runs[k] for k in keys if k in world.runs})
    for launch in looked.launches:
        world.run(gate, launch)
    return sentence(heard, looked)


def work(world: World, ports: Ports, *, minutes: int) -> list[str]:
    told: list[str] = []
    for _ in range(minutes * 2):
        told.append(tick(world, ports))
        world.clock.turn(30)
    return told


def with_store(world: World, store: Any) -> Ports:
    return Ports(world.items, world.queue, store, world.tables)


def pending(world: World, of: str) -> int:
    return sum(e.dataset == of and e.outcome is Outcome.PENDING for e in world.entries())


def test_a_source_that_cannot_be_read_is_paused_its_files_wait_and_others_go_on() -> None:
    world = World()
    store = Locked(world.store, "read", "/orders/", denied())
    ports = with_store(world, store)
    files = [world.put(orders_key(f"f{n}", DAYS[n % 3]), orders(n)) for n in range(30)]
    told = work(world, ports, minutes=10)
    assert any("orders paused until" in t and " times AccessDenied" in t for t in told)
    world.put("landing/clicks/a.csv", b"id\n1\n")
    work(world, ports, minutes=300)
    assert world.ids("clicks") == [1]
    assert pending(world, "orders") == 30, "nothing was given up in five hours"
    calls = store.calls
    work(world, ports, minutes=300)
    assert store.calls - calls <= 7, "paused for an hour each time: one file a probe"

    store.locked = False
    work(world, ports, minutes=62)  # the longest pause
    work(world, ports, minutes=30)  # the longest back-off of a file
    assert world.ids() == list(range(30))
    assert {world.outcome(v) for v in files} == {"loaded"}
    assert not world.gate().ledger.pauses.breakers(["orders"])["orders"].is_paused
    assert "paused" not in tick(world, ports)
    world.assert_balanced()


def test_a_table_that_cannot_be_committed_to_pauses_its_dataset() -> None:
    world = World()
    tables = Locked(world.tables, "current", "orders", ThrottledError("committing: ThrottlingException: slower"))
    ports = Ports(world.items, world.queue, world.store, tables)
    for n in range(6):
        world.put(orders_key(f"f{n}"), orders(n))
    told = work(world, ports, minutes=120)
    assert any("5 times Throttled" in t for t in told)
    assert pending(world, "orders") == 6
    tables.locked = False
    work(world, ports, minutes=95)
    assert world.ids() == list(range(6))
    world.assert_balanced()


def test_verdicts_on_data_never_pause() -> None:
    world = World()
    for n in range(12):
        world.put(orders_key(f"bad{n}", f"2026-02-{n + 1:02d}"), BAD)
        world.settle_down()
    assert not world.gate().ledger.pauses.breakers(["orders"])["orders"].is_paused


def test_one_file_that_cannot_be_read_does_not_pause_a_dataset_whose_others_can() -> None:
    world = World()
    ports = with_store(world, Locked(world.store, "read", "/stuck.csv", denied()))
    stuck = world.put(orders_key("stuck"), orders(0))
    for n in range(1, 10):
        world.put(orders_key(f"f{n}"), orders(n))
        told = work(world, ports, minutes=3)
        assert not any("paused" in t for t in told)
    assert world.ids() == list(range(1, 10))
    assert world.outcome(stuck) == "failed"


def test_a_person_pauses_and_resumes_and_nothing_is_lost() -> None:
    world = World()
    world.gate().ledger.pauses.pause("orders", "ann", "the feed sends nonsense")
    world.put(orders_key("a"), orders(1))
    told = work(world, world.ports, minutes=120)
    assert "orders paused by ann: the feed sends nonsense" in told[-1]
    assert (world.runs, pending(world, "orders")) == ({}, 1)
    world.gate().ledger.pauses.resume("orders", "ann")
    world.settle_down()
    assert world.ids() == [1]


def test_a_run_that_dies_again_and_again_before_it_takes_anything_pauses_and_gives_up_no_file() -> None:
    world = World()
    for n in range(6):
        world.put(orders_key(f"f{n}"), orders(n))
    for _ in range(400):
        gate = world.gate()
        receive(gate, wait_s=0, budget_s=60)
        for launch in dispatch(gate, lambda keys: {k: world.runs[k] for k in keys if k in world.runs}).launches:
            world.runs[launch.run_key] = RunState.FAILED
        world.clock.turn(30)
    assert len(world.runs) < 12
    assert pending(world, "orders") == 6
    assert world.gate().ledger.pauses.breakers(["orders"])["orders"].is_paused
