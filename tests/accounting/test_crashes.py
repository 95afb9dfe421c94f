"""Die at every call of the store in turn, run again: the books end the same. And no answer of a write is ever trusted to come."""

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.accounting.balance import balance
from pipelines.accounting.entries import Claim, Facts, Removal
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.outcomes import FileEmpty, FileOutcome
from pipelines.accounting.states import Outcome, State, Trigger
from pipelines.errors import TransientError
from pipelines.ports import Delete, ItemKey, Written
from resources.memory import MemoryItemStore
from tests.accounting.books import BUCKET, DAY, HandClock, bad, batch_of, good, ledger_on, sighting
from tests.accounting.fragile import Died, FragileStore, assert_counters_are_sums

SIGHTINGS = [
    sighting("landing/flights/a.csv", 2),
    sighting("landing/flights/a.csv", 1),
    sighting("landing/flights/b.csv", 1),
    sighting("landing/flights/b.csv", 2),
    sighting("landing/flights/c.csv", 1),
    sighting("landing/flights/d.csv", 1),
]
VERDICTS: dict[tuple[str, str], Callable[[Any], FileOutcome]] = {
    ("a.csv", "v2"): good,
    ("a.csv", "v1"): good,
    ("b.csv", "v1"): good,
    ("b.csv", "v2"): bad,
    ("c.csv", "v1"): lambda ref: FileEmpty(ref, Facts()),
    ("d.csv", "v1"): bad,
}
EXPECTED = {
    ("a.csv", "v2"): "loaded",
    ("a.csv", "v1"): "superseded",
    ("b.csv", "v1"): "loaded",
    ("b.csv", "v2"): "quarantined",
    ("c.csv", "v1"): "empty",
    ("d.csv", "v1"): "quarantined",
}


def work(ledger: Ledger, clock: HandClock) -> None:
    """What intake, planner and worker do, level-triggered: whatever was done before, the rest is done now."""
    ledger.register(SIGHTINGS)
    for _ in range(12):
        clock.turn(40)
        for batch in ledger.live_batches("flights"):
            match ledger.claim(batch.batch_id, f"run-{ledger.new_id()}"):
                case Claim() as claim:
                    claim = ledger.mark_committing(claim)
                    half = len(claim.members) // 2
                    for part in (claim.members[:half], claim.members[half:]):
                        name = [(m.version.key.rsplit("/")[-1], m.version.version_id) for m in part]
                        ledger.settle(claim, [VERDICTS[n](m.ref) for n, m in zip(name, part, strict=True)])
                    ledger.finish(claim, 7)
                case _:
                    ledger.release(batch.batch_id, "done by nobody", burn=False)
        due = ledger.due("flights")
        if not due and not ledger.live_batches("flights"):
            return
        if due and not ledger.live_batches("flights"):
            ledger.plan(batch_of(ledger, due))


def told(store: MemoryItemStore) -> dict[tuple[str, str], str]:
    ledger = ledger_on(store)
    keys = sorted({s.version.key for s in SIGHTINGS})
    return {
        (e.version.key.rsplit("/")[-1], e.version.version_id): e.outcome.value
        for key in keys
        for e in ledger.entries(BUCKET, key)
    }


def assert_books_are_right(store: MemoryItemStore) -> None:
    ledger = ledger_on(store)
    assert told(store) == EXPECTED
    sheet = balance(ledger.counts())
    assert sheet.problems == ()
    assert sheet.at_rest
    (line,) = sheet.lines
    assert (line.counts.objects, line.counts.rows_in_table, line.counts.serving_files) == (6, 20, 2)
    assert ledger.live_batches("flights") == []
    assert ledger.due("flights") == []
    assert len(list(ledger.quarantined())) == 2
    assert_counters_are_sums(store)


def calls_of(do: Callable[[Ledger, HandClock], None]) -> int:
    store = FragileStore(MemoryItemStore())
    clock = HandClock()
    do(ledger_on(store, clock), clock)
    return store.calls


CALLS = calls_of(work)


def test_the_road_without_a_crash_ends_as_expected() -> None:
    store, clock = MemoryItemStore(), HandClock()
    work(ledger_on(store, clock), clock)
    assert_books_are_right(store)


@pytest.mark.parametrize("how", ["before", "after"])
def test_dying_at_any_call_and_running_again_ends_the_same(how: str) -> None:
    for at in range(CALLS):
        store, clock = MemoryItemStore(), HandClock()
        with pytest.raises(Died):
            work(ledger_on(FragileStore(store, at, how), clock), clock)
        clock.turn(60)
        work(ledger_on(store, clock), clock)
        assert_books_are_right(store)


def test_dying_at_any_two_calls_and_running_again_ends_the_same() -> None:
    for first in range(0, CALLS, 3):
        for second in range(0, CALLS, 5):
            store, clock = MemoryItemStore(), HandClock()
            for at, how in ((first, "after"), (second, "before")):
                try:
                    work(ledger_on(FragileStore(store, at, how), clock), clock)
                except Died:
                    clock.turn(60)
            work(ledger_on(store, clock), clock)
            assert_books_are_right(store)


@pytest.mark.parametrize("how", ["applied", "unapplied"])
def test_a_write_whose_answer_is_lost_is_looked_up_and_the_road_goes_on(how: str) -> None:
    for at in range(CALLS):
        store, clock = MemoryItemStore(), HandClock()
        work(ledger_on(FragileStore(store, at, how), clock), clock)
        assert_books_are_right(store)
        ledger = ledger_on(store)
        duplicates = sum(e.duplicates for s in SIGHTINGS for e in ledger.entries(BUCKET, s.version.key))
        assert duplicates == 0, "a registration sent twice is not two events"


def test_releasing_at_any_moment_ends_the_same() -> None:
    for at in range(CALLS):
        store, clock = MemoryItemStore(), HandClock()
        with pytest.raises(Died):
            work(ledger_on(FragileStore(store, at, "after"), clock), clock)
        for crash in range(8):
            ledger = ledger_on(FragileStore(store, crash, "before"), clock)
            try:
                for batch in ledger.live_batches("flights"):
                    ledger.release(batch.batch_id, "its run failed")
            except Died:
                continue
        clock.turn(3600)
        work(ledger_on(store, clock), clock)
        assert_books_are_right(store)
        assert all(e.attempts <= 1 for s in SIGHTINGS for e in ledger_on(store).entries(BUCKET, s.version.key))


def again(ledger: Ledger, clock: HandClock) -> None:
    """A backfill, a removal and an adoption on top of finished work."""
    work(ledger, clock)
    clock.turn(1)
    mark = Removal(BUCKET, "landing/flights/a.csv", "m1", f"{9:032x}#m1", clock(), True, "DeleteMarkerCreated")
    ledger.removed(mark)
    ledger.register([sighting("landing/other/x.csv", dataset=None)])
    ledger.adopt(sighting("landing/other/x.csv", dataset="other"))
    if not ledger.datasets() or ledger.head(BUCKET, "landing/flights/a.csv").latest_order is None:
        return
    ledger.make_due(ledger.versions_of_days("flights", [DAY]), Trigger.BACKFILL)


@pytest.mark.parametrize("how", ["before", "after"])
def test_dying_in_a_backfill_a_removal_or_an_adoption_ends_the_same(how: str) -> None:
    for at in range(CALLS, calls_of(again)):
        store, clock = MemoryItemStore(), HandClock()
        try:
            again(ledger_on(FragileStore(store, at, how), clock), clock)
        except Died:
            clock.turn(60)
        again(ledger_on(store, clock), clock)
        due = {(e.version.key.rsplit("/")[-1], e.version.version_id) for e in ledger_on(store, clock).due("flights")}
        assert due == {("a.csv", "v2"), ("b.csv", "v1"), ("b.csv", "v2"), ("c.csv", "v1"), ("d.csv", "v1")}
        assert [e.object_removed for e in ledger_on(store).entries(BUCKET, "landing/flights/a.csv")] == [True, True]
        assert [e.state for e in ledger_on(store).entries(BUCKET, "landing/other/x.csv")] == [State.SEEN]
        assert balance(ledger_on(store).counts()).problems == ()
        assert balance(ledger_on(store).counts()).outcome(Outcome.UNROUTED) == 0
        assert_counters_are_sums(store)


def test_a_batch_is_never_taken_for_smaller_than_it_is() -> None:
    """A store that forgets members would leave their files planned for ever: whoever finishes the batch stops instead."""
    store = MemoryItemStore()
    ledger = ledger_on(store)
    seen = ledger.register([sighting("landing/flights/a.csv"), sighting("landing/flights/b.csv")])
    batch = batch_of(ledger, ledger.entries_of(seen.new))
    ledger.plan(batch)
    members = ItemKey(f"batch#{batch.batch_id}", "members#0001")
    assert store.write([Delete(members)]) == Written()
    for what in (
        lambda: ledger.claim(batch.batch_id, "run-1"),
        lambda: ledger.release(batch.batch_id, "lost", fault=None),
    ):
        with pytest.raises(TransientError, match="named 0 members of the batch"):
            what()
