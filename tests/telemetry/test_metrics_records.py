"""What the work tells of itself: as much as the ledger took, once, whatever goes wrong on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from pipelines.accounting.entries import Claim, Facts
from pipelines.accounting.ledger import LEASE_S
from pipelines.accounting.outcomes import FileCommitted
from pipelines.accounting.proof import prove
from pipelines.accounting.states import Outcome, Trigger
from pipelines.errors import ClaimLostError, TransientError
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.intake.receiving import receive
from pipelines.intake.sweep import sweep
from pipelines.ports import Conflict
from pipelines.telemetry import metrics as m
from pipelines.telemetry.records import of_settled
from pipelines.telemetry.standing import standing
from resources.memory_tables import MemoryTables
from tests.accounting.books import HandClock
from tests.ingest.world import (
    BAD,
    DAY,
    ORDERS,
    ORDERS_BY_ROWS,
    World,
    dataset,
    event_body,
    mixed,
    orders,
    orders_key,
    planned,
)
from tests.telemetry.hearing import Hearing

ORDERS_ONLY = ("orders",)


@pytest.fixture
def heard() -> Hearing:
    return Hearing()


@pytest.fixture
def world(heard: Hearing) -> World:
    return World(meter=heard)


def test_files_rows_bytes_and_reasons_are_told_once_each(world: World, heard: Hearing) -> None:
    good, bad = orders(1, 2), BAD
    world.put(orders_key("0900"), good, events=2)
    world.put(orders_key("1000"), bad)
    world.put(orders_key("1100"), b"id,amount\n")

    world.settle_down()

    assert heard.sums(m.EVENTS_RECEIVED) == {("registered",): 3, ("duplicate",): 1}
    assert heard.sums(m.FILES_SETTLED) == {
        ("orders", "loaded"): 1,
        ("orders", "quarantined"): 1,
        ("orders", "empty"): 1,
    }
    assert heard.sums(m.FILES_QUARANTINED) == {("orders", "type"): 1}
    assert heard.sums(m.ROWS_LOADED) == {ORDERS_ONLY: 2}
    assert heard.sums(m.ROWS_READ) == {ORDERS_ONLY: 4}
    assert heard.sums(m.ROWS_REJECTED) == {ORDERS_ONLY: 2}
    assert heard.sums(m.BYTES_READ) == {ORDERS_ONLY: len(good) + len(bad) + len(b"id,amount\n")}
    assert heard.sums(m.BYTES_WRITTEN)[ORDERS_ONLY] > 0
    assert heard.values(m.BATCH_FILES) == [3]
    assert {labels[1] for labels in heard.sums(m.STAGE_DURATION)} >= {"read", "stage", "commit", "books"}


def test_rows_rejected_one_by_one_are_told_beside_those_loaded(heard: Hearing) -> None:
    world = World(meter=heard, datasets=(dataset(ORDERS_BY_ROWS),))
    world.put(orders_key("0900"), mixed(1, 2, 3, bad=2))

    world.settle_down()

    assert heard.sums(m.ROWS_LOADED) == {ORDERS_ONLY: 3}
    assert heard.sums(m.ROWS_REJECTED) == {ORDERS_ONLY: 2}
    assert heard.sums(m.ROWS_READ) == {ORDERS_ONLY: 5}


def test_the_lag_of_a_file_is_from_its_landing_to_its_commit_and_only_of_what_an_event_told(heard: Hearing) -> None:
    clock = HandClock()
    world = World(meter=heard, clock=clock)
    world.put(orders_key("0900"), orders(1))
    clock.turn(42)
    world.settle_down()
    assert heard.values(m.FILE_LAG) == [42.0]
    assert heard.values(m.QUEUE_LAG) == [42.0]

    gate = world.gate()
    gate.ledger.make_due([entry.ref for entry in world.entries()], Trigger.REPLAY, "once more")
    world.settle_down()

    assert heard.sums(m.FILES_SETTLED) == {("orders", "loaded"): 2}
    assert heard.values(m.FILE_LAG) == [42.0]


def test_a_message_that_comes_again_is_refused_once(heard: Hearing) -> None:
    world = World(meter=heard)
    world.queue.send("no json")
    foreign = ObjectVersion("another-bucket", "a.csv", "v1", Sequencer(1), 1, "e", world.clock())
    world.queue.send(event_body(foreign, world.clock()))
    for _ in range(3):
        receive(world.gate(), wait_s=0, budget_s=60)
        world.clock.turn(400)
    assert heard.sums(m.EVENTS_RECEIVED) == {("rejected",): 2}


def test_what_was_registered_is_told_though_the_tick_then_fails(world: World, heard: Hearing) -> None:
    world.put(orders_key("0900"), orders(1))
    ports = world.ports

    class Undeletable:
        def __getattr__(self, name: str) -> object:
            return getattr(world.queue, name)

        def delete(self, receipts: list[str]) -> None:
            raise TransientError(f"{len(receipts)} messages stay")

    ports.queue = Undeletable()
    with pytest.raises(TransientError):
        receive(world.gate(ports), wait_s=0, budget_s=60)
    assert heard.sums(m.EVENTS_RECEIVED) == {("registered",): 1}


def test_a_worker_that_wakes_up_late_tells_of_a_lost_lease_and_of_no_file(world: World, heard: Hearing) -> None:
    world.put(orders_key("0900"), orders(1))
    [launch] = planned(world)
    gate = world.gate()
    gate.tables.ensure(world.datasets[0])
    [batch] = launch.batches
    stalled = _StalledBeforeSettling(world)

    with pytest.raises(ClaimLostError):
        stalled.take(batch)

    assert heard.sums(m.LEASES_LOST) == {ORDERS_ONLY: 1}
    # The other worker found the commit and settled the file: once, with its rows.
    assert heard.sums(m.FILES_SETTLED) == {("orders", "loaded"): 1}
    assert heard.sums(m.ROWS_LOADED) == {ORDERS_ONLY: 1}


def test_what_the_ledger_had_settled_before_is_not_told_again(world: World, heard: Hearing) -> None:
    world.put(orders_key("0900"), orders(1))
    world.put(orders_key("1000"), BAD)
    [launch] = planned(world)
    ledger, [batch] = world.gate().ledger, launch.batches
    claim = ledger.claim(batch, "run")
    assert isinstance(claim, Claim)
    outcomes = [FileCommitted(entry.ref, Facts(rows_read=1, rows_accepted=1)) for entry in claim.members]
    first = ledger.settle(claim, outcomes[:1])
    heard.tell(of_settled(claim, outcomes[:1], first, world.clock()))
    again = ledger.settle(claim, outcomes)
    heard.tell(of_settled(claim, outcomes, again, world.clock()))
    assert heard.values(m.FILES_SETTLED) == [1, 1]
    assert heard.values(m.ROWS_LOADED) == [1, 1]
    assert len(heard.values(m.FILE_LAG)) == 2


class _StalledBeforeSettling:
    """A worker whose lease runs out after its commit; another does its batch meanwhile."""

    def __init__(self, world: World) -> None:
        self._world = world

    def take(self, batch: str) -> None:
        world = self._world
        gate = world.gate()
        commit = gate.tables.commit

        def slow(*given: object) -> object:
            outcome = commit(*given)  # pyright: ignore[reportArgumentType]
            world.clock.turn(2 * LEASE_S)
            world.take(world.gate(), world.datasets[0], batch, "another")
            return outcome

        ports = world.ports
        ports.tables = _With(world.tables, commit=slow)
        world.take(world.gate(ports), world.datasets[0], batch, "late")


class _With:
    """Something with some of its methods replaced, once."""

    def __init__(self, inner: object, **methods: object) -> None:
        self._inner, self._methods = inner, methods

    def __getattr__(self, name: str) -> object:
        return self._methods.pop(name, None) or getattr(self._inner, name)


def test_each_conflict_and_each_further_try_of_a_commit_is_told(world: World, heard: Hearing) -> None:
    world.put(orders_key("0900"), orders(1))
    answers: Iterator[object] = iter([Conflict(), TransientError("no answer"), Conflict()])

    class Contended(MemoryTables):
        def commit(self, *given: object) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
            answer = next(answers, None)
            if isinstance(answer, TransientError):
                raise answer
            return answer or super().commit(*given)  # pyright: ignore[reportArgumentType]

    world.tables = Contended()
    world.settle_down()
    assert heard.sums(m.COMMIT_CONFLICTS) == {ORDERS_ONLY: 2}
    assert heard.sums(m.COMMIT_RETRIES) == {ORDERS_ONLY: 3}


def test_a_sweep_tells_what_no_event_had_told(world: World, heard: Hearing) -> None:
    world.put(orders_key("0900"), orders(1), events=0)
    world.clock.turn(3600)
    sweep(world.gate(), correct=False)
    assert heard.sums(m.MISSING_EVENTS) == {}
    sweep(world.gate(), pause=lambda _: None)
    assert heard.sums(m.MISSING_EVENTS) == {("registered",): 1, ("removed",): 0, ("restored",): 0, ("missing",): 0}
    sweep(world.gate(), pause=lambda _: None)
    none = {(kind,): 0 for kind in m.LABELS["kind"].values}
    assert heard.sums(m.MISSING_EVENTS) == none | {("registered",): 1}


def test_a_proof_tells_how_much_does_not_add_up(world: World, heard: Hearing) -> None:
    world.put(orders_key("0900"), orders(1))
    world.settle_down()
    prove(world.gate())
    sweep(world.gate(), pause=lambda _: None)
    prove(world.gate())
    assert heard.values(m.BOOKS_DIFFERENCES) == [1, 0]


def test_how_things_stand_is_asked_of_the_ledger(world: World, heard: Hearing) -> None:
    world.put(orders_key("0900"), orders(1))
    world.put(orders_key("1000"), BAD)
    world.settle_down()
    world.put(orders_key("1100"), orders(2))
    world.put("landing/nobody/x.csv", b"a\n1\n")
    world.clock.turn(90)
    receive(world.gate(), wait_s=0, budget_s=60)

    heard.tell(standing(world.gate()))

    files = heard.sums(m.FILES)
    assert {labels: number for labels, number in files.items() if number} == {
        ("orders", "loaded"): 1,
        ("orders", "quarantined"): 1,
        ("orders", "pending"): 1,
        ("-", "unrouted"): 1,
    }
    # What is watched for is told as 0 too, by any process: the one that told more may have ended.
    assert {labels for labels, number in files.items() if not number} == {
        ("orders", "failed"),
        ("clicks", "failed"),
        ("clicks", "pending"),
        ("clicks", "quarantined"),
    }
    assert heard.sums(m.OLDEST_UNCOMMITTED) == {("orders",): 90.0, ("clicks",): 0.0}
    assert heard.values(m.PAUSED) == [0]
    # No dataset here says when its files are due.
    assert heard.values(m.OVERDUE) == []


def test_the_oldest_file_is_the_same_while_a_batch_has_it_and_none_when_it_is_done(world: World) -> None:
    world.put(orders_key("0900"), orders(1))
    landed = world.clock()
    world.clock.turn(100)
    gate = world.gate()
    [launch] = planned(world)
    assert gate.ledger.oldest_waiting("orders") == landed
    world.run(gate, launch)
    assert gate.ledger.oldest_waiting("orders") is None


def test_a_file_that_people_have_processed_again_does_not_wait(world: World) -> None:
    world.put(orders_key("0900"), orders(1))
    world.settle_down()
    gate = world.gate()
    world.clock.turn(timedelta(days=400).total_seconds())
    gate.ledger.make_due([entry.ref for entry in world.entries()], Trigger.BACKFILL, "by hand")
    assert gate.ledger.oldest_waiting("orders") is None


def test_only_the_newest_landing_days_are_counted(world: World) -> None:
    days = [DAY + timedelta(days=n) for n in range(4)]
    world.clock.turn(timedelta(days=10).total_seconds())
    for day in days:
        world.put(orders_key("0900", day), orders(1))
    world.settle_down()
    assert world.gate().ledger.recent_outcomes("orders", 3)[Outcome.LOADED] == 3
    assert world.gate().ledger.recent_outcomes("orders", 31)[Outcome.LOADED] == 4
    assert world.gate().ledger.recent_outcomes(None, 31)[Outcome.UNROUTED] == 0


def test_a_dataset_whose_file_does_not_come_is_overdue(heard: Hearing) -> None:
    due = dataset(ORDERS + "freshness: {expected_every: P1D}\n")
    world = World(meter=heard, datasets=(due,))
    heard.tell(standing(world.gate()))
    assert heard.values(m.OVERDUE) == []  # nothing is expected before the first file
    world.put(orders_key("0900"), orders(1))
    world.settle_down()
    world.gate().ledger.profiles.published("orders", DAY, 1, {}, 1, arrived=True)
    heard.tell(standing(world.gate()))
    world.clock.turn(timedelta(hours=25).total_seconds())
    heard.tell(standing(world.gate()))
    assert heard.values(m.OVERDUE) == [0.0, 3600.0]
