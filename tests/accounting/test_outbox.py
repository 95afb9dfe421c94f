"""The outbox holds every change of state exactly once, whatever dies; a page of it leaves only when it was exported."""

import itertools
import json
from collections.abc import Sequence

import pytest

from pipelines.accounting.entries import BatchTimes, Claim, Facts
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.outbox import FileChange
from pipelines.accounting.outcomes import FileFailed, FileQuarantined
from pipelines.accounting.states import Outcome, State, Trigger
from pipelines.ports import Change, Refused, Written
from resources.memory import MemoryItemStore
from tests.accounting.books import BUCKET, DAY, HandClock, claim_due, do_bad, do_good, good, ledger_on, sighting
from tests.accounting.fragile import Died, FragileStore
from tests.accounting.test_crashes import again, calls_of, work

KEY = "landing/flights/a.csv"


def drained(ledger: Ledger) -> list[FileChange]:
    """Everything in the outbox, taken out page by page."""
    out: list[FileChange] = []
    while (page := ledger.outbox.seal()) is not None:
        out.extend(ledger.outbox.changes(page))
        ledger.outbox.clear(page)
    return out


def steps(changes: list[FileChange], version: str = "v1") -> list[tuple[str | None, str]]:
    return [(c.from_state and c.from_state.value, c.to_state.value) for c in changes if c.version == version]


def test_a_loaded_file_tells_every_state_it_went_through() -> None:
    clock = HandClock()
    ledger = ledger_on(MemoryItemStore(), clock)
    ledger.register([sighting(KEY)])
    clock.turn(1)
    claim = claim_due(ledger, "run-7")
    clock.turn(1)
    claim = ledger.mark_committing(claim)
    clock.turn(1)
    ledger.settle(claim, [good(m.ref) for m in claim.members], BatchTimes(stage=3, commit=40, books=5))
    changes = drained(ledger)
    assert steps(changes) == [
        (None, "seen"),
        ("seen", "planned"),
        ("planned", "claimed"),
        ("claimed", "committing"),
        ("committing", "committed"),
    ]
    last = changes[-1]
    assert (last.key, last.dataset, last.landing_day, last.size_bytes) == (KEY, "flights", DAY, 100)
    assert (last.run, last.batch, last.outcome, last.trigger) == (
        "run-7",
        claim.batch_id,
        Outcome.LOADED,
        Trigger.EVENT,
    )
    assert (last.rows_read, last.rows_accepted, last.rows_rejected) == (10, 10, 0)
    assert (last.read_ms, last.batch_stage_ms, last.batch_commit_ms, last.batch_books_ms) == (12, 3, 40, 5)
    assert [c.at.second for c in changes] == [0, 1, 1, 2, 3]
    assert len({c.change_id for c in changes}) == len(changes)
    assert ledger.outbox.is_empty()


def test_a_claim_that_was_lost_is_told_with_the_runs_that_held_it() -> None:
    clock = HandClock()
    ledger = ledger_on(MemoryItemStore(), clock)
    ledger.register([sighting(KEY)])
    batch_id = claim_due(ledger, "run-1").batch_id
    clock.turn(60)
    claim = ledger.claim(batch_id, "run-2")
    assert isinstance(claim, Claim)
    ledger.settle(claim, [good(m.ref) for m in claim.members])
    told = [(c.to_state.value, c.run) for c in drained(ledger) if c.to_state is State.CLAIMED]
    assert told == [("claimed", "run-1"), ("claimed", "run-2")]


def test_a_released_batch_tells_who_held_the_file_and_why_it_came_back() -> None:
    ledger = ledger_on(MemoryItemStore())
    ledger.register([sighting(KEY)])
    ledger.release(claim_due(ledger, "run-1").batch_id, "its run failed")
    last = drained(ledger)[-1]
    assert (last.from_state, last.to_state, last.run, last.reason) == (
        State.CLAIMED,
        State.RETRY_WAIT,
        "run-1",
        "its run failed",
    )
    assert last.attempts == 1


def test_what_is_superseded_and_what_is_removed_is_told_of_the_version_it_happened_to() -> None:
    ledger = ledger_on(MemoryItemStore())
    do_bad(ledger, sighting(KEY, 1))
    do_good(ledger, sighting(KEY, 2))
    last = [c for c in drained(ledger) if c.version == "v1"][-1]
    assert (last.outcome, last.reason) == (Outcome.SUPERSEDED, "superseded by v2")
    assert last.rows_read is None, "nothing was read then"


def test_an_adopted_version_names_the_day_it_was_counted_under_before() -> None:
    ledger = ledger_on(MemoryItemStore())
    ledger.register([sighting(KEY, dataset=None)])
    ledger.adopt(sighting(KEY, day=DAY.replace(month=1)))
    last = drained(ledger)[-1]
    assert (last.from_state, last.to_state, last.dataset) == (State.UNROUTED, State.SEEN, "flights")
    assert (last.landing_day.month, last.counted_before) == (1, DAY)


def test_a_verdict_that_took_nothing_away_tells_its_own_numbers() -> None:
    ledger = ledger_on(MemoryItemStore())
    do_good(ledger, sighting(KEY))
    ledger.make_due(ledger.versions_of_days("flights", [DAY]), Trigger.BACKFILL, "look again")
    claim = claim_due(ledger)
    ledger.settle(claim, [FileQuarantined(m.ref, Facts(3, 0, 3, violations_total=2)) for m in claim.members])
    last = drained(ledger)[-1]
    assert (last.to_state, last.outcome, last.rows_read, last.rows_rejected) == (
        State.COMMITTED,
        Outcome.LOADED,
        3,
        3,
    )
    assert (last.violations_total, last.trigger) == (2, Trigger.BACKFILL)


def test_long_reasons_and_names_fit_the_items_of_the_store() -> None:
    ledger = ledger_on(MemoryItemStore())
    keys = [f"landing/flights/{n:03d}{chr(1) * 960}.csv" for n in range(120)]
    ledger.register([sighting(key, 1, version_id="v" * 1000) for key in keys])
    claim = claim_due(ledger)
    ledger.settle(claim, [FileFailed(m.ref, "é" * 100_000) for m in claim.members])
    changes = drained(ledger)
    assert {c.key for c in changes} == set(keys)
    assert max(len(c.reason) for c in changes) == 1_000


def test_a_page_is_bounded_and_sealed_once() -> None:
    store = MemoryItemStore()
    ledger, other = ledger_on(store), ledger_on(store)
    for number in range(1_500):
        ledger.register([sighting(f"landing/flights/{number}.csv")])
    page = ledger.outbox.seal()
    assert page is not None
    assert len(page.items) <= 1_000
    ledger.register([sighting("landing/flights/late.csv")])
    assert other.outbox.seal() == page
    assert other.outbox.is_sealed(page)
    ledger.outbox.clear(page)
    assert not other.outbox.is_sealed(page)
    other.outbox.clear(page)
    assert len(ledger.outbox.changes(page)) == 0
    assert len(drained(other)) == 1_501 - len(page.items)


def test_items_that_an_earlier_page_took_along_are_not_in_a_page_sealed_late() -> None:
    store = MemoryItemStore()
    ledger = ledger_on(store)
    ledger.register([sighting("landing/flights/1.csv")])

    class Slow(FragileStore):
        """Looks for a page and for items, and then sleeps while another exports."""

        def write(self, changes: Sequence[Change]) -> Written | Refused:
            page = ledger.outbox.seal()
            assert page is not None
            ledger.outbox.clear(page)
            ledger.register([sighting("landing/flights/2.csv")])
            self.write = self.inner.write
            return self.inner.write(changes)

    late = ledger_on(Slow(store))
    page = late.outbox.seal()
    assert page is not None
    assert late.outbox.changes(page) == []
    late.outbox.clear(page)
    assert [c.key for c in drained(ledger)] == ["landing/flights/2.csv"]


@pytest.mark.parametrize("how", ["before", "after", "applied", "unapplied"])
def test_whatever_dies_each_change_is_in_the_outbox_once(how: str) -> None:
    for at in range(0, calls_of(again), 2):
        store, clock = MemoryItemStore(), HandClock()
        try:
            again(ledger_on(FragileStore(store, at, how), clock), clock)
        except Died:
            clock.turn(60)
            again(ledger_on(store, clock), clock)
        lines = [
            line
            for key, item in store.items().items()
            if key.pk.startswith("outbox#")
            for line in str(item["changes"]).split("\n")
        ]
        kept = [k for k in store.items() if k.pk.startswith("object#") and k.sk.startswith("history#")]
        stored = [json.loads(line) for line in lines]
        assert len([s for s in stored if s["to"] != "planned" and s.get("reason") != "registered"]) == len(kept)
        ledger = ledger_on(store)
        for change in drained(ledger):
            assert ledger.entries(BUCKET, change.key), change
        registered = [(s["key"], s["version"]) for s in stored if s.get("reason") == "registered"]
        assert len(registered) == len(set(registered))


def test_the_chain_of_each_version_has_no_gap() -> None:
    store, clock = MemoryItemStore(), HandClock()
    work(ledger_on(store, clock), clock)
    chains: dict[tuple[str, str], list[FileChange]] = {}
    for change in drained(ledger_on(store)):
        chains.setdefault((change.key, change.version), []).append(change)
    assert len(chains) == 6
    for chain in chains.values():
        assert chain[0].from_state is None
        for before, after in itertools.pairwise(chain):
            assert after.from_state is before.to_state, chain
