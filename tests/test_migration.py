"""A migration of the ledger: every item once, page by page; it may die anywhere, run twice at once, and beside living processes.

The migration here is made up: no release has needed one yet.
"""

from collections.abc import Callable, Mapping, Sequence

import pytest

from pipelines import migration
from pipelines.accounting.books import Books
from pipelines.accounting.entries import RetryPolicy
from pipelines.accounting.ids import IdFactory
from pipelines.accounting.ledger import Ledger
from pipelines.errors import NewerFormatError, PermanentError, TransientError
from pipelines.formats import LEDGER_FORMAT
from pipelines.migration import STEPS, ItemReport, Step, kind_of, migrate_items, pending_steps
from pipelines.ports import Change, Delete, Item, ItemKey, ItemValue, Page, Put, Refused, Update, Written
from resources.memory import MemoryItemStore
from tests.accounting.books import HandClock, bad, claim_due, good, ledger_on, sighting


def _noted(kind: str, item: Item) -> Mapping[str, ItemValue]:
    """Format 2 says on each version how often it was tried, and drops the word `trigger`."""
    if kind != "object/version":
        return item
    return {
        **{name: value for name, value in item.items() if name != "trigger"},
        "tries": _number(item["attempts"]) + 1,
    }


def _doubled(kind: str, item: Item) -> Mapping[str, ItemValue]:
    """Format 3 counts tries in halves: done twice, it would show."""
    return {**item, "tries": 2 * _number(item["tries"])} if kind == "object/version" else item


def _number(value: ItemValue) -> int:
    assert isinstance(value, int)
    return value


TWO = (Step(2, "versions say how often they were tried", _noted), Step(3, "tries are counted in halves", _doubled))


class Died(BaseException):
    """The process is gone."""


class Store(MemoryItemStore):
    """Small pages; dies, is cut off, or lets another writer in before a write."""

    def __init__(self, page: int = 7) -> None:
        super().__init__()
        self.page = page
        self.writes = 0
        self.dies_at = -1
        self.how = ""
        self.before_write: Callable[[Sequence[Change]], None] | None = None

    def scan(self, *, limit: int = 1000, start: str | None = None) -> Page:
        return super().scan(limit=min(limit, self.page), start=start)

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        self.writes += 1
        if self.before_write is not None:
            other, self.before_write = self.before_write, None
            other(changes)
        if self.writes == self.dies_at and self.how == "before":
            raise Died
        outcome = super().write(changes)
        if self.writes == self.dies_at and self.how == "after":
            raise Died
        if self.writes == self.dies_at and self.how == "unheard":
            raise TransientError("the answer was lost")
        return outcome


def books(store: MemoryItemStore) -> Books:
    clock = HandClock()
    return Books(store, clock, IdFactory(clock), RetryPolicy(), pause=lambda _: None)


def migrate(store: Store, *, apply: bool = True) -> ItemReport:
    return migrate_items(store, books(store), TWO, apply=apply)


def filled(store: Store, files: int = 12) -> Ledger:
    """A ledger with items of most kinds, in format 1."""
    ledger = ledger_on(store)
    ledger.register([sighting(f"landing/flights/{n}.csv") for n in range(files)])
    claim = claim_due(ledger)
    refs = [entry.ref for entry in claim.members]
    ledger.settle(claim, [good(ref) for ref in refs[2:]] + [bad(ref) for ref in refs[:2]])
    ledger.finish(claim)
    ledger.pauses.pause("flights", "me", "because")
    ledger.register([sighting("landing/flights/waits.csv")])
    store.writes = 0
    return ledger


def plain(store: Store) -> dict[ItemKey, Item]:
    return dict(store.items())


def assert_right(before: Mapping[ItemKey, Item], after: Mapping[ItemKey, Item]) -> None:
    """Each item went through both steps exactly once, and says otherwise what it said."""
    assert after.keys() == before.keys()
    for key, item in after.items():
        was = before[key]
        assert item["format"] == 3, key
        if kind_of(was) == "object/version":
            assert item["tries"] == 2 * (_number(was["attempts"]) + 1), key
            assert "trigger" not in item
        ours = ("format", "tries", "trigger")
        assert {k: v for k, v in item.items() if k not in ours} == {k: v for k, v in was.items() if k not in ours}


def test_a_plan_counts_and_shows_examples_and_changes_nothing() -> None:
    store = Store()
    filled(store)
    before = plain(store)
    report = migrate(store, apply=False)
    assert plain(store) == before
    assert store.writes == 0
    assert report.items == len(before)
    assert report.older(3) == len(before)
    assert report.found["object/version"] == {1: 13}
    assert len(report.examples["object/version"]) == 3
    assert report.examples["breakers"] == ["breakers flights"]
    assert report.changed == 0


def test_every_item_goes_through_every_step_once_and_a_second_run_changes_nothing() -> None:
    store = Store()
    filled(store)
    before = plain(store)
    report = migrate(store)
    assert report.changed == len(before)
    assert_right(before, plain(store))
    store.writes = 0
    assert migrate(store).changed == 0
    assert store.writes == 0


@pytest.mark.parametrize("how", ["before", "after", "unheard"])
def test_it_may_die_at_every_write_and_goes_on_when_started_again(how: str) -> None:
    whole = Store()
    filled(whole)
    migrate(whole)
    for at in range(1, whole.writes + 1):
        store = Store()
        filled(store)
        before = plain(store)
        store.dies_at, store.how = at, how
        try:
            migrate(store)
            assert how == "unheard"
        except Died:
            assert how != "unheard"
            store.dies_at = -1
            migrate(store)
        assert_right(before, plain(store))


def test_what_a_process_changes_meanwhile_is_kept() -> None:
    store = Store(page=1000)
    filled(store)
    before = plain(store)
    version = next(key for key, item in before.items() if kind_of(item) == "object/version")
    count = next(key for key, item in before.items() if kind_of(item) == "counts")

    def others(_: Sequence[Change]) -> None:
        MemoryItemStore.write(store, [Update(version, set_={"attempts": 5, "revision": 99})])
        MemoryItemStore.write(store, [Update(count, add={"objects": 7})])

    store.before_write = others
    migrate(store)
    changed = {version: {**before[version], "attempts": 5, "revision": 99}}
    changed[count] = {**before[count], "objects": _number(before[count]["objects"]) + 7}
    assert_right({**before, **changed}, plain(store))


def test_what_a_process_deletes_meanwhile_does_not_come_back() -> None:
    store = Store(page=1000)
    filled(store)
    before = plain(store)
    gone = next(key for key in before if key.pk.startswith("outbox#"))
    store.before_write = lambda _: MemoryItemStore.write(store, [Delete(gone)]) and None
    migrate(store)
    assert_right({key: item for key, item in before.items() if key != gone}, plain(store))


def test_two_migrations_at_once_do_each_step_once() -> None:
    store = Store(page=1000)
    filled(store)
    before = plain(store)
    store.before_write = lambda _: migrate(store) and None
    assert migrate(store).changed == 0
    assert_right(before, plain(store))


def test_an_item_goes_through_the_steps_that_it_still_needs_alone() -> None:
    store = Store()
    place = ItemKey("object#1", "version#1")
    store.write([Put(place, {"format": 2, "attempts": 1, "tries": 10})])
    assert migrate(store).changed == 1
    assert store.items()[place]["tries"] == 20


def test_an_item_of_a_format_beyond_the_last_step_stops_it() -> None:
    store = Store()
    filled(store)
    store.write([Put(ItemKey("slots#x", "2026-01-01"), {"format": 4})])
    with pytest.raises(NewerFormatError, match="slots#x"):
        migrate(store, apply=False)


def test_a_step_that_moves_an_item_is_refused() -> None:
    store = Store()
    filled(store)
    moving = (Step(2, "moves", lambda _, item: {**item, "sk": "elsewhere"}),)
    with pytest.raises(PermanentError, match="in place"):
        migrate_items(store, books(store), moving, apply=True)


def test_the_steps_of_this_release_lead_to_its_format_without_a_gap() -> None:
    assert [step.to for step in STEPS] == list(range(2, LEDGER_FORMAT + 1))
    assert pending_steps(LEDGER_FORMAT) == ()
    assert [step.to for step in pending_steps(2, TWO)] == [3]
    assert migration.pending_steps(1, TWO) == TWO
