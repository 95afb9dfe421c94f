"""Two at once: while one operation is between any two of its calls, another happens whole. The books end right all the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest

from pipelines.accounting.balance import balance
from pipelines.accounting.entries import Claim, HeldByOther, Removal, VersionRef
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.outcomes import FileOutcome
from pipelines.accounting.states import LIVE_BATCH_STATES, Outcome, State, Trigger
from pipelines.errors import ClaimLostError
from pipelines.ports import Change, Item, ItemKey, Page, Refused, Written
from resources.memory import MemoryItemStore
from tests.accounting.books import BUCKET, DAY, HandClock, bad, batch_of, good, ledger_on, plan_due, sighting
from tests.accounting.fragile import FragileStore, assert_counters_are_sums

A = "landing/flights/a.csv"
B = "landing/flights/b.csv"
NEXT = DAY + timedelta(days=1)


class InterruptedStore(FragileStore):
    """Before its n-th call, something else happens on the same store."""

    def __init__(self, inner: MemoryItemStore, at: int, meanwhile: Callable[[], object]) -> None:
        super().__init__(inner)
        self.interrupt_at = at
        self.meanwhile = meanwhile

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        self._interrupt()
        return super().write(changes)

    def get(self, keys: Sequence[ItemKey]) -> Mapping[ItemKey, Item]:
        self._interrupt()
        return super().get(keys)

    def query(self, pk: str, **how: Any) -> Page:
        self._interrupt()
        return super().query(pk, **how)

    def query_due(self, due_pk: str, **how: Any) -> Page:
        self._interrupt()
        return super().query_due(due_pk, **how)

    def _interrupt(self) -> None:
        if self.calls == self.interrupt_at:
            self.interrupt_at = -1
            self.meanwhile()


@dataclass
class World:
    """v1 of key a is claimed on one day and v2 on the next; v3 is in quarantine; b waits to be planned."""

    store: MemoryItemStore = field(default_factory=MemoryItemStore)
    clock: HandClock = field(default_factory=HandClock)
    claims: dict[str, Claim] = field(default_factory=dict)

    def build(self) -> "World":
        ledger = ledger_on(self.store, self.clock)
        ledger.register([sighting(A, 3, day=NEXT)])
        self._claimed(ledger, "v3", NEXT)
        ledger.settle(self.claims["v3"], [bad(sighting(A, 3).ref)])
        ledger.finish(self.claims["v3"])
        ledger.register([sighting(A, 1), sighting(A, 2, day=NEXT)])
        self._claimed(ledger, "v1", DAY)
        self._claimed(ledger, "v2", NEXT)
        ledger.register([sighting(B, 1, day=NEXT + timedelta(days=1))])
        return self

    def build_below(self) -> "World":
        """v0 of a is in quarantine; v1 is claimed on one day and v2 on the next."""
        ledger = ledger_on(self.store, self.clock)
        ledger.register([sighting(A, 0)])
        self._claimed(ledger, "v0", DAY)
        ledger.settle(self.claims["v0"], [bad(sighting(A, 0).ref)])
        ledger.finish(self.claims["v0"])
        ledger.register([sighting(A, 1), sighting(A, 2, day=NEXT)])
        self._claimed(ledger, "v1", DAY)
        self._claimed(ledger, "v2", NEXT)
        return self

    def _claimed(self, ledger: Ledger, name: str, day: date) -> None:
        claim = ledger.claim(plan_due(ledger, day=day).batch_id, f"run-{name}", 30)
        assert isinstance(claim, Claim)
        self.claims[name] = claim

    def rest(self) -> None:
        """Whoever comes later does what is left, with every file good but v3 of a."""
        ledger = ledger_on(self.store, self.clock)
        for _ in range(20):
            self.clock.turn(4000)
            for batch in ledger.live_batches("flights"):
                ledger.release(batch.batch_id, "the end", burn=False)
            due = ledger.due("flights")
            if not due:
                return
            day = due[0].landing_day
            claim = ledger.claim(plan_due(ledger, day=day).batch_id, "last")
            assert isinstance(claim, Claim)
            ledger.settle(claim, [verdict(m.ref) for m in claim.members])
            ledger.finish(claim)
        raise AssertionError("it never comes to rest")


def verdict(ref: VersionRef) -> FileOutcome:
    return bad(ref) if ref == sighting(A, 3).ref else good(ref)


def plan_b(ledger: Ledger, _: World) -> None:
    due = [e for e in ledger.due("flights") if e.version.key == B]
    if due:
        ledger.plan(batch_of(ledger, due, day=due[0].landing_day))


def settle_and_finish(name: str) -> Callable[[Ledger, World], None]:
    def do(ledger: Ledger, world: World) -> None:
        claim = world.claims[name]
        try:
            ledger.settle(claim, [good(m.ref) for m in claim.members])
            ledger.finish(claim, 7)
        except ClaimLostError:
            pass

    return do


def claim_b(ledger: Ledger, world: World) -> None:
    plan_b(ledger, world)
    for batch in ledger.live_batches("flights"):
        if batch.landing_day > NEXT:
            claim = ledger.claim(batch.batch_id, f"run-{ledger.new_id()}")
            if isinstance(claim, Claim):
                try:
                    ledger.settle(claim, [good(m.ref) for m in claim.members])
                    ledger.finish(claim)
                except ClaimLostError:
                    pass


def release_all(ledger: Ledger, _: World) -> None:
    for batch in ledger.live_batches("flights"):
        ledger.release(batch.batch_id, "its run failed", burn=False)


def take_over(ledger: Ledger, world: World) -> None:
    world.clock.turn(31)
    for batch in ledger.live_batches("flights"):
        ledger.claim(batch.batch_id, "thief", 30)


def duplicates(ledger: Ledger, _: World) -> None:
    ledger.register([sighting(A, 1), sighting(A, 4, day=NEXT), sighting(B, 1, day=NEXT + timedelta(days=1))])


def backfill(ledger: Ledger, _: World) -> None:
    ledger.make_due(ledger.versions_of_days("flights", [DAY, NEXT, NEXT + timedelta(days=1)]), Trigger.BACKFILL)


def remove(ledger: Ledger, world: World) -> None:
    ledger.removed(Removal(BUCKET, A, "m", f"{9:032x}#m", world.clock(), True))


OPERATIONS = {
    "plan": plan_b,
    "settle v1": settle_and_finish("v1"),
    "settle v2": settle_and_finish("v2"),
    "plan, claim, settle": claim_b,
    "release": release_all,
    "take over": take_over,
    "duplicates and a new version": duplicates,
    "backfill": backfill,
    "remove": remove,
}


@pytest.mark.parametrize("inner", OPERATIONS)
@pytest.mark.parametrize("outer", OPERATIONS)
def test_an_operation_between_any_two_calls_of_another_leaves_the_books_right(outer: str, inner: str) -> None:
    counting = World().build()
    fragile = FragileStore(counting.store)
    OPERATIONS[outer](ledger_on(fragile, counting.clock), counting)
    for at in range(fragile.calls):
        world = World().build()

        def meanwhile(world: World = world) -> None:
            OPERATIONS[inner](ledger_on(world.store, world.clock), world)

        store = InterruptedStore(world.store, at, meanwhile)
        OPERATIONS[outer](ledger_on(store, world.clock), world)
        assert_right(world)
        world.rest()
        assert_right(world)
        ledger = ledger_on(world.store)
        told = {e.version.version_id: e.outcome.value for e in ledger.entries(BUCKET, A)}
        if "v4" in told:
            assert told == {"v1": "superseded", "v2": "superseded", "v3": "superseded", "v4": "loaded"}
        else:
            assert told == {"v1": "superseded", "v2": "loaded", "v3": "quarantined"}
        assert [e.outcome for e in ledger.entries(BUCKET, B)] == [Outcome.LOADED]
        assert balance(ledger.counts()).problems == ()


def assert_right(world: World) -> None:
    """What holds at any moment, at work or at rest."""
    assert_counters_are_sums(world.store)
    ledger = ledger_on(world.store, world.clock)
    live = {b.batch_id: b for b in ledger.live_batches("flights")}
    assert len({b.landing_day for b in live.values()}) == len(live)
    for key in (A, B):
        entries = ledger.entries(BUCKET, key)
        serving = [e.version.version_id for e in entries if e.serving]
        head = ledger.head(BUCKET, key)
        assert serving == ([head.serving_version] if head.serving_version else [])
        for entry in entries:
            if entry.state in (State.PLANNED, State.CLAIMED, State.COMMITTING):
                assert entry.batch_id in live
                assert live[entry.batch_id or ""].state in LIVE_BATCH_STATES


def test_a_lease_renewed_at_the_last_moment_is_not_taken_over() -> None:
    world = World().build()
    claim = world.claims["v1"]
    world.clock.turn(31)

    def renew() -> None:
        ledger_on(world.store, world.clock).renew(claim, 30)

    # The thief's first call reads the batch, its second writes the claim.
    outcome = ledger_on(InterruptedStore(world.store, 1, renew), world.clock).claim(claim.batch_id, "thief", 30)
    assert isinstance(outcome, HeldByOther)
    assert outcome.owner == "run-v1"


def test_a_version_rejected_while_a_higher_one_is_accepted_is_superseded_whichever_is_written_first() -> None:
    """Also where the key has rejections already, so that one more leaves its head as it is."""
    for first, second in (("v1", "v2"), ("v2", "v1")):
        for at in range(20):
            world = World().build_below()
            other = ledger_on(world.store, world.clock)

            def settle(ledger: Ledger, name: str, world: World = world) -> None:
                claim = world.claims[name]
                ledger.settle(claim, [(bad if name == "v1" else good)(m.ref) for m in claim.members])

            store = InterruptedStore(world.store, at, lambda other=other, second=second: settle(other, second))
            settle(ledger_on(store, world.clock), first)
            if store.interrupt_at >= 0:
                settle(other, second)
            outcomes = {e.version.version_id: e.outcome for e in other.entries(BUCKET, A)}
            assert outcomes == {"v0": Outcome.SUPERSEDED, "v1": Outcome.SUPERSEDED, "v2": Outcome.LOADED}, (first, at)
