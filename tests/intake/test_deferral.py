"""Large and old files wait for their dataset's hours, nobody else waits for them, and none is forgotten: `work.defer`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.books import BUCKET, CONTRACT, NOW
from benchmarks.fairness import Factory, fill_waiting
from pipelines.accounting.balance import balance
from pipelines.accounting.changes import counts_for
from pipelines.accounting.entries import LedgerEntry, Sighting, VersionRef
from pipelines.accounting.states import Lane, State, Trigger
from pipelines.contracts.loading import parse_dataset
from pipelines.contracts.model import Dataset
from pipelines.contracts.work import Deferral
from pipelines.intake.dispatching import Dispatch, dispatch_from
from pipelines.intake.objects import ObjectVersion, Sequencer
from resources.memory import MemoryItemStore

NIGHT = 'hours: "20:00-06:00"'
LARGE = f"work: {{defer: {{larger_than_bytes: 1000000, {NIGHT}}}}}\n"
OLD = f"work: {{defer: {{older_than: P7D, {NIGHT}}}}}\n"
NOON, EVENING = NOW, NOW.replace(hour=20)
TODAY = NOON.date()


def dataset(more: str = "") -> Dataset:
    found = parse_dataset((CONTRACT.format(name="d00") + more).encode(), Path("d00.yaml"))
    assert isinstance(found, Dataset), found
    return found


@dataclass
class Desk:
    """The books of one dataset, a clock, and looks at them."""

    of: Dataset
    factory: Factory = field(init=False)
    _number: int = 0

    def __post_init__(self) -> None:
        self.factory = Factory(MemoryItemStore(), [self.of])

    def land(self, size_bytes: int, day: date = TODAY) -> VersionRef:
        self._number += 1
        key = f"landing/d00/{day}/{self._number}.csv"
        version = ObjectVersion(BUCKET, key, "v1", Sequencer(self._number << 32), size_bytes, "e", self.factory.now)
        sighting = Sighting(version, "d00", day)
        self.factory.ledger.register([sighting])
        return sighting.ref

    def look(self) -> Dispatch:
        return dispatch_from(self.factory.ledger, [self.of], lambda: self.factory.now, lambda _: {})

    def entry(self, ref: VersionRef) -> LedgerEntry:
        found = self.factory.ledger.entry(ref)
        assert found is not None
        return found

    @property
    def deferred(self) -> int:
        return sum(line.counts.deferred for line in balance(self.factory.ledger.counts("d00")).lines)


def test_a_large_file_waits_for_its_hours_and_says_why_a_small_one_does_not() -> None:
    desk = Desk(dataset(LARGE))
    large, small = desk.land(2_000_000), desk.land(1_000_000)
    looked = desk.look()
    assert (desk.entry(large).state, desk.entry(small).state) == (State.SEEN, State.PLANNED)
    assert looked.deferred == {"d00": 1}
    assert desk.entry(large).deferred == "2.0 MB are more than 1.0 MB: it waits for 20:00-06:00 UTC"
    assert desk.deferred == 1
    [told] = [r for r in desk.factory.ledger.history(BUCKET, desk.entry(large).version.key) if r.from_state is not None]
    assert told.reason == desk.entry(large).deferred
    assert desk.look().deferred == {}, "it is written down once"
    desk.factory.now = EVENING
    desk.look()
    assert desk.entry(large).state is State.PLANNED
    assert (desk.entry(large).deferred, desk.deferred) == (None, 0)


def test_a_file_of_an_old_day_waits_and_one_of_a_day_just_young_enough_does_not() -> None:
    desk = Desk(dataset(OLD))
    old, young = desk.land(1, NOON.date() - timedelta(days=8)), desk.land(1, NOON.date() - timedelta(days=7))
    desk.look()
    assert (desk.entry(old).state, desk.entry(young).state) == (State.SEEN, State.PLANNED)


def test_in_the_hours_nothing_waits() -> None:
    desk = Desk(dataset(LARGE))
    desk.factory.now = EVENING
    large = desk.land(2_000_000)
    assert desk.look().deferred == {}
    assert desk.entry(large).state is State.PLANNED


@pytest.mark.parametrize("more", ["", LARGE.replace("1000000,", "3000000,")])
def test_a_changed_dataset_file_is_heeded(more: str) -> None:
    """Without `defer`, at once; with a greater size, what was deferred before keeps its hours."""
    desk = Desk(dataset(LARGE))
    large = desk.land(2_000_000)
    desk.look()
    desk.of = dataset(more)
    desk.look()
    assert desk.entry(large).state is (State.SEEN if more else State.PLANNED)
    desk.factory.now = EVENING
    desk.look()
    assert desk.entry(large).state is State.PLANNED


@pytest.mark.parametrize("trigger", [Trigger.REPLAY, Trigger.BACKFILL])
def test_whoever_asks_for_a_deferred_file_gets_it(trigger: Trigger) -> None:
    desk = Desk(dataset(LARGE))
    large = desk.land(2_000_000)
    desk.look()
    assert desk.factory.ledger.make_due([large], trigger, "asked for").due == (large,)
    assert (desk.entry(large).deferred, desk.deferred) == (None, 0)
    assert len(desk.look().launches) == 1


def test_what_waits_is_no_delay() -> None:
    desk = Desk(dataset(LARGE))
    desk.land(2_000_000)
    assert desk.factory.ledger.oldest_waiting("d00") is not None
    desk.look()
    assert desk.factory.ledger.oldest_waiting("d00") is None


def test_a_backlog_that_waits_stands_in_nobodys_way_and_goes_when_the_hours_begin() -> None:
    desk = Desk(dataset(OLD))
    days = [NOON.date() - timedelta(days=30 + n) for n in range(20)]
    fill_waiting(desk.factory.store, "d00", days, 1_200)
    fresh = desk.land(1)
    for _ in range(12):
        desk.factory.tick()
    assert desk.entry(fresh).state is State.COMMITTED
    assert (desk.factory.loaded["d00"], desk.deferred) == (1, 1_200)
    calls = desk.factory.counting.calls
    assert calls < 60, "what is deferred is not read in every look"
    desk.factory.now = EVENING
    for _ in range(60):
        desk.factory.tick()
    assert (desk.factory.loaded["d00"], desk.deferred) == (1_201, 0)


def test_a_file_that_changed_meanwhile_is_not_deferred() -> None:
    desk = Desk(dataset(LARGE))
    large = desk.land(2_000_000)
    seen = desk.entry(large)
    assert desk.factory.ledger.defer({large: (seen.revision + 1, "too late")}) == 0
    assert desk.factory.ledger.defer({large: (seen.revision, "in time")}) == 1
    assert desk.factory.ledger.defer({large: (seen.revision + 1, "again")}) == 0
    assert counts_for(desk.entry(large))["deferred"] == 1


def test_a_paused_dataset_probes_with_nothing_that_waits() -> None:
    desk = Desk(dataset(LARGE))
    desk.land(2_000_000)
    for _ in range(20):
        desk.factory.ledger.pauses.fault("d00", "Broken", "broken", "batch")
    assert desk.factory.ledger.pauses.breakers(["d00"])["d00"].is_paused
    desk.factory.now += timedelta(hours=1)
    assert desk.look().launches == []
    desk.factory.now = EVENING
    assert [launch.lane for launch in desk.look().launches] != [Lane.FRESH, Lane.FRESH]
    assert desk.look().paused


@pytest.mark.parametrize(
    ("hours", "zone", "hour", "is_open", "opens"),
    [
        ("20:00-06:00", "UTC", 19, False, (1, 20)),
        ("20:00-06:00", "UTC", 20, True, (1, 20)),
        ("20:00-06:00", "UTC", 5, True, (1, 5)),
        ("20:00-06:00", "UTC", 6, False, (1, 20)),
        ("01:00-05:00", "UTC", 12, False, (2, 1)),
        ("01:00-05:00", "Europe/Berlin", 0, True, (1, 0)),
        ("20:00-22:00", "America/New_York", 1, True, (1, 1)),
        ("20:00-22:00", "America/New_York", 3, False, (2, 1)),
    ],
)
def test_hours_are_of_their_time_zone(hours: str, zone: str, hour: int, is_open: bool, opens: tuple[int, int]) -> None:
    defer = Deferral(larger_than_bytes=1, hours=hours, zone=zone)
    now = datetime(2026, 3, 1, hour, tzinfo=UTC)
    day, at = opens
    assert defer.is_open(now) is is_open
    assert defer.opens_at(now) == datetime(2026, 3, day, at, tzinfo=UTC)
