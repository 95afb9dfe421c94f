"""Removals in the books of a dataset that retracts: what comes between two calls of another operation, crashes, archives."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipelines.accounting.balance import balance
from pipelines.accounting.entries import Claim, Facts, LedgerEntry, Removal
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.outcomes import FileArchived, FileCommitted, FileOutcome, FileRemoved
from pipelines.accounting.states import Outcome, State, Trigger
from pipelines.errors import ClaimLostError
from resources.memory import MemoryItemStore
from tests.accounting.books import BUCKET, DAY, HandClock, batch_of, claim_due, good, ledger_on, sighting
from tests.accounting.fragile import Died, FragileStore, assert_counters_are_sums
from tests.accounting.test_interleavings import InterruptedStore

KEY = "landing/flights/a.csv"
RETRACTING = ("flights",)
LANDED = sighting(KEY).version.landed_at


def removal(number: int, version_id: str, *, marker: bool) -> Removal:
    return Removal(BUCKET, KEY, version_id, f"{number:032x}#{version_id}", LANDED, marker, "ObjectRemoved")


def hide(ledger: Ledger) -> None:
    """A delete marker above v1 and v2, below v4."""
    ledger.removed(removal(3, "m3", marker=True), RETRACTING)


def show(ledger: Ledger) -> None:
    ledger.removed(removal(6, "m3", marker=False), RETRACTING)


def delete(ledger: Ledger) -> None:
    ledger.removed(removal(7, "v2", marker=False), RETRACTING)


def put(ledger: Ledger) -> None:
    ledger.register([sighting(KEY, 1), sighting(KEY, 4)], RETRACTING)


def put_below(ledger: Ledger) -> None:
    """A version that the marker hides, heard of late."""
    ledger.register([sighting(KEY, 2, version_id="late")], RETRACTING)


def work(ledger: Ledger) -> None:
    """A worker takes what is due."""
    for batch in ledger.live_batches("flights"):
        ledger.release(batch.batch_id, "its run failed", burn=False)
    due = ledger.due("flights")
    if due:
        ledger.plan(batch_of(ledger, due))
    for batch in ledger.live_batches("flights"):
        claim = ledger.claim(batch.batch_id, f"run-{ledger.new_id()}")
        if isinstance(claim, Claim):
            try:
                ledger.settle(claim, [verdict(m) for m in claim.members], retracting=RETRACTING)
                ledger.finish(claim)
            except ClaimLostError:
                pass


def verdict(member: LedgerEntry) -> FileOutcome:
    """What a run makes of a member: all files are good."""
    goes = member.object_removed or (member.serving and member.trigger is Trigger.REMOVAL)
    return FileRemoved(member.ref) if goes else good(member.ref)


OPERATIONS: dict[str, Callable[[Ledger], None]] = {
    "hide": hide, "show": show, "delete": delete, "put": put, "put below": put_below, "work": work,
}  # fmt: skip


def begin() -> tuple[MemoryItemStore, HandClock]:
    store, clock = MemoryItemStore(), HandClock()
    ledger = ledger_on(store, clock)
    ledger.register([sighting(KEY, 1), sighting(KEY, 2)], RETRACTING)
    work(ledger)
    return store, clock


def rest(store: MemoryItemStore, clock: HandClock, done: set[str]) -> None:
    """Work until nothing is due; then every version is what the operations that were done make it."""
    ledger = ledger_on(store, clock)
    for _ in range(12):
        clock.turn(4000)
        work(ledger)
    numbers = {"v1": 1, "v2": 2, **({"v4": 4} if "put" in done else {}), **({"late": 2} if "put below" in done else {})}
    hidden = "hide" in done and "show" not in done
    there = {v for v, n in numbers.items() if not (hidden and n < 3) and not (v == "v2" and "delete" in done)}
    order = {v: (n, v) for v, n in numbers.items()}
    serving = max(there, key=lambda v: order[v], default=None)
    expected = {v: "removed" if v not in there else "loaded" if v == serving else "superseded" for v in numbers}
    entries = ledger.entries(BUCKET, KEY)
    if serving is not None:  # a version's own id decides between two of one moment
        serving = max((e for e in entries if e.version.version_id in there), key=lambda e: e.order).version.version_id
        expected |= {v: "loaded" if v == serving else "superseded" for v in there}
    assert {e.version.version_id: e.outcome.value for e in entries} == expected
    assert {e.version.version_id for e in entries if e.object_removed} == numbers.keys() - there
    assert ledger.head(BUCKET, KEY).serving_version == serving
    assert_counters_are_sums(store)
    assert balance(ledger.counts()).problems == ()


@pytest.mark.parametrize("inner", OPERATIONS)
@pytest.mark.parametrize("outer", OPERATIONS)
def test_an_operation_between_any_two_calls_of_another_leaves_the_books_right(outer: str, inner: str) -> None:
    store, clock = begin()
    counting = FragileStore(store)
    OPERATIONS[outer](ledger_on(counting, clock))
    for first in ((), ("hide",), ("put",)):
        for at in range(counting.calls + 8):
            store, clock = begin()
            for name in first:
                OPERATIONS[name](ledger_on(store, clock))

            def meanwhile(store: MemoryItemStore = store, clock: HandClock = clock) -> None:
                OPERATIONS[inner](ledger_on(store, clock))

            interrupted = InterruptedStore(store, at, meanwhile)
            OPERATIONS[outer](ledger_on(interrupted, clock))
            happened = interrupted.interrupt_at == -1
            rest(store, clock, {outer, *first, *([inner] if happened else [])})


@pytest.mark.parametrize("how", ["before", "after"])
def test_dying_at_any_call_and_doing_it_again_ends_the_same(how: str) -> None:
    steps = ["hide", "put below", "work", "show", "put", "delete", "work"]

    def all_of(ledger: Ledger) -> None:
        for step in steps:
            OPERATIONS[step](ledger)

    store, clock = begin()
    counting = FragileStore(store)
    all_of(ledger_on(counting, clock))
    for at in range(counting.calls):
        store, clock = begin()
        try:
            all_of(ledger_on(FragileStore(store, at, how), clock))
        except Died:
            clock.turn(60)
        all_of(ledger_on(store, clock))
        rest(store, clock, set(steps))


# ---- what a batch says of the table is what counts


def test_a_version_whose_rows_were_left_out_does_not_serve_though_what_was_above_it_has_gone_meanwhile() -> None:
    store, clock = MemoryItemStore(), HandClock()
    ledger = ledger_on(store, clock)
    ledger.register([sighting(KEY, 2)], RETRACTING)
    work(ledger)
    ledger.register([sighting(KEY, 1)], RETRACTING)
    late = claim_due(ledger, "run-late")
    # Its worker has looked at the table, found v2 above it, and is slow to say so. v2 goes meanwhile, in a batch of its own.
    delete(ledger)
    other = claim_of(ledger, "v2")
    ledger.settle(other, [FileRemoved(m.ref) for m in other.members], retracting=RETRACTING)
    ledger.settle(late, [FileCommitted(m.ref, Facts(10, 10), left_out=True) for m in late.members], retracting=RETRACTING)  # fmt: skip
    [low, high] = ledger.entries(BUCKET, KEY)
    assert (low.outcome, low.serving, high.outcome) == (Outcome.PENDING, False, Outcome.REMOVED)
    assert ledger.head(BUCKET, KEY).serving_version is None
    for claim in (late, other):
        ledger.finish(claim)
    rest_outcomes(ledger, clock, {"v1": "loaded", "v2": "removed"})


def claim_of(ledger: Ledger, version_id: str) -> Claim:
    """Claim one version in a batch of another day's slot: two batches of one key at the same time."""
    entry = next(e for e in ledger.entries(BUCKET, KEY) if e.version.version_id == version_id)
    batch = batch_of(ledger, [entry], day=DAY.replace(day=2))
    ledger.plan(batch)
    claim = ledger.claim(batch.batch_id, "run-other")
    assert isinstance(claim, Claim)
    return claim


def rest_outcomes(ledger: Ledger, clock: HandClock, expected: dict[str, str]) -> None:
    for _ in range(6):
        clock.turn(4000)
        work(ledger)
    assert {e.version.version_id: e.outcome.value for e in ledger.entries(BUCKET, KEY)} == expected


def test_what_is_to_be_retracted_is_retracted_whatever_is_asked_of_it_meanwhile() -> None:
    """Its rows may have left with another batch already: no backfill may take it for one that only has to be read again."""
    store, clock = begin()
    ledger = ledger_on(store, clock)
    hide(ledger)
    show(ledger)
    ledger.make_due(ledger.versions_of_days("flights", [DAY]), Trigger.BACKFILL)
    claim = claim_due(ledger)
    assert {(m.version.version_id, m.trigger) for m in claim.members if m.serving} == {("v2", Trigger.REMOVAL)}
    ledger.release(claim.batch_id, "its run failed")
    ledger.make_due(ledger.versions_of_days("flights", [DAY]), Trigger.BACKFILL)
    claim = claim_due(ledger)
    assert {(m.version.version_id, m.trigger) for m in claim.members if m.serving} == {("v2", Trigger.REMOVAL)}


def test_what_a_dead_worker_may_have_published_is_looked_for_before_it_is_called_removed() -> None:
    store, clock = begin()
    ledger = ledger_on(store, clock)
    ledger.register([sighting(KEY, 4)], RETRACTING)
    claim = claim_due(ledger)
    ledger.release(claim.batch_id, "its run failed")
    ledger.removed(removal(9, "v4", marker=False), RETRACTING)
    entry = ledger.entries(BUCKET, KEY)[-1]
    assert (entry.version.version_id, entry.state, entry.outcome) == ("v4", State.SEEN, Outcome.PENDING)
    assert entry.given_up == (claim.batch_id,)
    ledger.register([sighting(KEY, 5)], RETRACTING)
    ledger.removed(removal(10, "v5", marker=False), RETRACTING)
    assert ledger.entries(BUCKET, KEY)[-1].outcome is Outcome.REMOVED, "nobody ever had it in hand"


# ---- archives


def test_a_restore_that_is_told_while_a_batch_finds_the_object_archived_is_not_lost() -> None:
    ledger = ledger_on(MemoryItemStore())
    ledger.register([sighting(KEY)])
    claim = claim_due(ledger)
    assert not ledger.restored(sighting(KEY).ref)
    ledger.settle(claim, [FileArchived(sighting(KEY).ref)])
    ledger.finish(claim)
    [entry] = ledger.entries(BUCKET, KEY)
    assert (entry.state, entry.restored) == (State.SEEN, False)
    claim = claim_due(ledger)
    ledger.settle(claim, [FileArchived(sighting(KEY).ref)])
    ledger.finish(claim)
    assert [e.state for e in ledger.entries(BUCKET, KEY)] == [State.ARCHIVED]
    assert ledger.restored(sighting(KEY).ref)
    assert [e.state for e in ledger.entries(BUCKET, KEY)] == [State.SEEN]


def test_a_serving_version_that_was_archived_since_keeps_its_rows_when_it_is_taken_again() -> None:
    ledger = ledger_on(MemoryItemStore())
    ledger.register([sighting(KEY)])
    work(ledger)
    ledger.make_due(ledger.versions_of_days("flights", [DAY]), Trigger.BACKFILL)
    claim = claim_due(ledger)
    ledger.settle(claim, [FileArchived(sighting(KEY).ref)])
    [entry] = ledger.entries(BUCKET, KEY)
    assert (entry.outcome, entry.serving, entry.state) == (Outcome.LOADED, True, State.COMMITTED)
    assert balance(ledger.counts()).problems == ()
