"""What a newer release wrote is neither given out nor changed; who writes first says which release it is."""

from collections.abc import Callable, Sequence

import pytest

from pipelines.accounting.entries import BatchTimes, Facts
from pipelines.accounting.format_guard import DEPLOYMENT, FormatGuard
from pipelines.accounting.items import decode_entry, decode_history
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.states import State, Trigger
from pipelines.errors import NewerFormatError
from pipelines.formats import LEDGER_FORMAT, RELEASE
from pipelines.giving_up import give_up
from pipelines.ports import Change, Item, ItemKey, Put, Refused, Written
from resources.memory import MemoryItemStore
from tests.accounting.books import BUCKET, HandClock, claim_due, good, ledger_on, sighting

PLACE = ItemKey("object#1", "version#1")


class Counting(MemoryItemStore):
    """Counts what a request would cost, and may be told to let another writer in first."""

    def __init__(self) -> None:
        super().__init__()
        self.gets: list[Sequence[ItemKey]] = []
        self.writes = 0
        self.before_write: Callable[[], None] | None = None

    def get(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        self.gets.append(tuple(keys))
        return dict(super().get(keys))

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        self.writes += 1
        if self.before_write is not None:
            other, self.before_write = self.before_write, None
            other()
        return super().write(changes)


def guard(store: MemoryItemStore, clock: HandClock, release: str = RELEASE, reads: int = LEDGER_FORMAT) -> FormatGuard:
    return FormatGuard(store, clock, release, reads)


def put(key: ItemKey = PLACE, form: int = 1) -> Put:
    return Put(key, {"format": form, "said": "something", "due_pk": "due#a", "due_sk": "1"})


def test_the_first_write_says_which_release_writes_and_no_later_one_says_it_again() -> None:
    store, clock = Counting(), HandClock()
    one = guard(store, clock)
    one.write([put()])
    one.write([put()])
    assert store.items()[DEPLOYMENT]["release"] == RELEASE
    assert (len(store.gets), store.writes) == (1, 3)
    another = guard(store, clock)
    another.get([PLACE])
    another.write([put()])
    assert store.gets[1:] == [(PLACE, DEPLOYMENT)]
    assert store.writes == 4


def test_the_look_goes_along_with_a_read_and_comes_again_after_five_minutes() -> None:
    store, clock = Counting(), HandClock()
    one = guard(store, clock)
    assert one.get([PLACE]) == {}
    one.write([put()])
    clock.turn(299)
    one.get([PLACE])
    one.write([put()])
    clock.turn(1)
    assert list(one.get([PLACE])) == [PLACE]
    assert [DEPLOYMENT in keys for keys in store.gets] == [True, False, True]


def test_a_hundred_keys_are_still_one_request() -> None:
    store = Counting()
    one = guard(store, HandClock())
    one.get([ItemKey("object#1", f"version#{n}") for n in range(100)])
    assert len(store.gets[0]) == 100
    one.get([])
    assert store.gets[1:] == [()]


def test_an_older_process_stops_before_it_writes_and_one_that_runs_within_five_minutes() -> None:
    store, clock = MemoryItemStore(), HandClock()
    running = guard(store, clock, "0.2.0", 1)
    running.write([put()])
    newer = guard(store, clock, "0.3.0", 2)
    newer.write([put(form=2)])
    before = store.items()
    with pytest.raises(
        NewerFormatError,
        match=r"ledger is of format 2, written by Lakegate 0\.3\.0; .*up to format 1\. Nothing was\s+changed",
    ):
        guard(store, clock, "0.2.0", 1).write([put()])
    clock.turn(300)
    with pytest.raises(NewerFormatError):
        running.write([put()])
    with pytest.raises(NewerFormatError):
        running.get([ItemKey("object#2", "head")])
    assert store.items() == before


def test_an_older_process_stops_where_only_the_tables_have_a_newer_format() -> None:
    store, clock = MemoryItemStore(), HandClock()
    FormatGuard(store, clock, "0.3.0", 1, 2).write([put()])
    with pytest.raises(NewerFormatError, match=r"tables is of format 2, written by Lakegate 0\.3\.0"):
        FormatGuard(store, clock, "0.2.0", 1, 1).write([put()])


def test_a_newer_release_that_needs_no_migration_keeps_what_was_migrated() -> None:
    store, clock = MemoryItemStore(), HandClock()
    first = guard(store, clock, "0.3.0", 2)
    first.announce()
    assert first.migrated_to() == 1
    first.record_migrated(2)
    first.record_migrated(1)
    second = guard(store, clock, "0.4.0", 2)
    assert second.written_by() == "0.3.0"
    second.announce()
    assert (second.written_by(), second.migrated_to()) == ("0.4.0", 2)


def test_of_two_releases_of_one_format_the_newer_is_remembered_and_the_older_goes_on() -> None:
    store, clock = MemoryItemStore(), HandClock()
    for release in ("0.9.1", "0.10.0", "0.2.0"):
        guard(store, clock, release).write([put()])
    assert store.items()[DEPLOYMENT]["release"] == "0.10.0"


def test_of_two_that_come_first_at_once_an_older_one_stops() -> None:
    store, clock = Counting(), HandClock()
    older = guard(store, clock, "0.2.0", 1)
    store.before_write = lambda: guard(store, clock, "0.3.0", 2).write([put(form=2)]) and None
    with pytest.raises(NewerFormatError):
        older.write([put(ItemKey("object#9", "head"))])
    assert ItemKey("object#9", "head") not in store.items()


@pytest.mark.parametrize("form", [2, 0, None, "1"], ids=str)
def test_no_item_of_another_format_is_given_out_however_it_is_read(form: object) -> None:
    store, clock = MemoryItemStore(), HandClock()
    store.write([Put(PLACE, {"format": form, "due_pk": "due#a", "due_sk": "1"})])  # pyright: ignore[reportArgumentType]
    reads: list[Callable[[], object]] = [
        lambda: guard(store, clock).get([PLACE]),
        lambda: guard(store, clock).query("object#1"),
        lambda: guard(store, clock).query_due("due#a"),
    ]
    for read in reads:
        with pytest.raises(NewerFormatError, match=r"item object#1 version#1 .*docs/upgrading\.md"):
            read()


def test_an_item_of_an_older_format_is_given_out() -> None:
    store, clock = MemoryItemStore(), HandClock()
    store.write([put(form=1)])
    newer = guard(store, clock, "0.3.0", 2)
    assert newer.get([PLACE])[PLACE]["format"] == 1
    assert newer.query("object#1").items[0]["format"] == 1


def test_every_door_of_the_ledger_is_behind_the_guard() -> None:
    store = MemoryItemStore()
    ledger_on(store).register([sighting()])
    later = {**store.items()[DEPLOYMENT], "format": LEDGER_FORMAT + 1, "release": "9.0.0"}
    store.write([Put(DEPLOYMENT, later)])
    ledger: Ledger = ledger_on(store)
    calls: list[Callable[[], object]] = [
        lambda: ledger.register([sighting("landing/flights/b.csv")]),
        lambda: ledger.claim("1", "run"),
        lambda: ledger.pauses.pause("flights", "me", "because"),
        lambda: ledger.pin_delimiter("flights", ";"),
        lambda: ledger.set_routing_mark("x"),
        ledger.outbox.seal,
    ]
    for call in calls:
        with pytest.raises(NewerFormatError, match=r"Lakegate 9\.0\.0"):
            call()


def test_what_a_later_release_of_the_same_format_adds_is_left_alone() -> None:
    store = MemoryItemStore()
    ledger = ledger_on(store)
    ledger.register([sighting()])
    claim = claim_due(ledger)
    ledger.settle(claim, [good(claim.members[0].ref)], BatchTimes(1, 2, 3))
    items = store.items()
    (place,) = [key for key in items if key.sk.startswith("version#")]
    item = dict(items[place])
    facts = item["facts"]
    assert isinstance(facts, dict)
    assert decode_entry({**item, "later": 1, "facts": {**facts, "later": [1]}}) == decode_entry(item)
    told = next(i for i in items.values() if "batch_times" in i and str(i["sk"]).startswith("history#"))
    times = told["batch_times"]
    assert isinstance(times, dict)
    assert decode_history({**told, "later": "x", "batch_times": {**times, "wait": 9}}) == decode_history(told)
    store.write([Put(place, {**item, "later": 1, "facts": {**facts, "later": [1]}})])
    ledger.make_due([claim.members[0].ref], Trigger.REPLAY)
    assert store.items()[place]["later"] == 1
    assert ledger.entries(BUCKET, "landing/flights/a.csv")[0].facts == Facts(**_known(facts))


def test_a_file_is_no_nearer_to_its_end_for_a_worker_that_is_too_old() -> None:
    clock = HandClock()
    store = MemoryItemStore()
    ledger = ledger_on(store, clock)
    ledger.register([sighting()])
    for _ in range(40):
        clock.turn(7200)
        give_up(ledger, claim_due(ledger), NewerFormatError("the table is newer"))
    (entry,) = ledger.entries(BUCKET, "landing/flights/a.csv")
    assert entry.state is State.RETRY_WAIT
    assert entry.error == "the table is newer"


def _known(facts: dict[str, object]) -> dict[str, object]:
    return {**facts, "partitions": tuple(facts["partitions"]), "rules": tuple(facts["rules"])}  # type: ignore[arg-type]
