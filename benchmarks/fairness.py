"""Fairness: how soon a fresh file is planned and loaded beside a backlog, and whether datasets starve each other.

    python -m benchmarks.fairness                       # a backlog of 1,000,000 files, in memory: about four minutes
    python -m benchmarks.fairness --entries 20000

A tick is a look of the landing sensor. After it two runs work, as on the laptop: those of the highest priority, one of old files at most; a run
ends before the next tick. Counted are ticks, calls of the item store in a tick, and items it read; a second of a busy machine says nothing.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from benchmarks.books import BUCKET, CountingStore, datasets
from pipelines.accounting.entries import Claim, Facts, LedgerEntry, Sighting, VersionRef, order_of
from pipelines.accounting.items import encode_entry
from pipelines.accounting.keys import entry_key
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.outcomes import FileCommitted
from pipelines.accounting.states import BatchState, Lane, Outcome, State
from pipelines.contracts.model import Dataset
from pipelines.intake.dispatching import Launch, RunState, dispatch_from
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.ports import ItemStore, Put
from resources.memory import MemoryItemStore

__all__ = ["LAYOUTS", "Delay", "Factory", "fill_waiting", "fresh_beside", "progress"]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TODAY = NOW.date()
PLACES, OLD_PLACES = 2, 1
LAYOUTS: Mapping[str, Sequence[date]] = {
    "1,000 days": [TODAY - timedelta(days=n) for n in range(1, 1001)],
    "one old day": [TODAY - timedelta(days=30)],
    "today": [TODAY],
}
_TICK_S = 5


def _entry(dataset: str, day: date, number: int, landed_at: datetime, now: datetime) -> LedgerEntry:
    key = f"landing/{dataset}/{day}/old-{number:07d}.csv"
    version = ObjectVersion(BUCKET, key, f"v{number}", Sequencer((number + 1) << 32), 20_000, "etag", landed_at)
    return LedgerEntry(version, order_of(version), dataset, day, State.SEEN, Outcome.PENDING, now, now, next_at=now)


def fill_waiting(store: ItemStore, dataset: str, days: Sequence[date], entries: int) -> None:
    """Let so many old files of a dataset wait to be planned; they landed a month ago and were registered this morning."""
    ledger = Ledger(store, lambda: NOW)
    ledger.register([Sighting(_entry(dataset, days[0], 0, NOW, NOW).version, dataset, days[0])])
    landed, seen = NOW - timedelta(days=30), NOW - timedelta(hours=4)
    for number in range(1, entries):
        entry = _entry(dataset, days[number % len(days)], number, landed, seen)
        put = Put(entry_key(entry.ref), encode_entry(entry))
        if isinstance(store, MemoryItemStore):
            store._store(put.key, {**put.item, "pk": put.key.pk, "sk": put.key.sk})  # each its own: nothing to check
        else:
            store.write([put])


@dataclass
class Factory:
    """Ticks, and what works after each of them."""

    store: ItemStore
    among: Sequence[Dataset]
    now: datetime = NOW
    most_calls: int = 0
    most_items: int = 0
    loaded: dict[str, int] = field(default_factory=dict[str, int])
    _queue: list[Launch] = field(default_factory=list[Launch])
    _states: dict[str, RunState] = field(default_factory=dict[str, RunState])
    _number: int = 10_000_000

    def __post_init__(self) -> None:
        """Open the books."""
        self.counting = CountingStore(self.store)
        self.ledger = Ledger(self.counting, lambda: self.now)

    def land(self, dataset: str, day: date | None = None) -> VersionRef:
        """A fresh file is registered."""
        self._number += 1
        entry = _entry(dataset, day or self.now.date(), self._number, self.now - timedelta(seconds=2), self.now)
        self.ledger.register([Sighting(entry.version, dataset, entry.landing_day)])
        return entry.ref

    def tick(self) -> None:
        """One look of the sensor; then the runs of the highest priority work."""
        self.counting.calls = self.counting.items = 0
        looked = dispatch_from(self.ledger, self.among, lambda: self.now, self._known)
        self.most_calls = max(self.most_calls, self.counting.calls)
        self.most_items = max(self.most_items, self.counting.items)
        for launch in looked.launches:
            self._states[launch.run_key] = RunState.WAITING
            self._queue.append(launch)
        order = list(Lane)
        self._queue.sort(key=lambda launch: order.index(launch.lane))  # stable: equals in the order they came
        places, old = PLACES, OLD_PLACES
        for launch in list(self._queue):
            is_old = launch.lane is not Lane.FRESH
            if places and (old or not is_old):
                places, old = places - 1, old - is_old
                self._queue.remove(launch)
                self._work(launch)
        self.now += timedelta(seconds=_TICK_S)

    @property
    def waiting_runs(self) -> int:
        """Runs in the queue."""
        return len(self._queue)

    def _known(self, keys: Sequence[str]) -> Mapping[str, RunState]:
        return {key: self._states[key] for key in keys if key in self._states}

    def _work(self, launch: Launch) -> None:
        for batch_id in launch.batches:
            claim = self.ledger.claim(batch_id, launch.run_key)
            assert isinstance(claim, Claim)
            done = [FileCommitted(m.ref, Facts(rows_read=1, rows_accepted=1), 1) for m in claim.members]
            self.ledger.settle(claim, done)
            self.ledger.finish(claim, 1)
            self.loaded[launch.dataset] = self.loaded.get(launch.dataset, 0) + len(done)
        self._states[launch.run_key] = RunState.SUCCEEDED

    def state(self, ref: VersionRef) -> State:
        """Where a file stands."""
        entry = self.ledger.entry(ref)
        assert entry is not None
        return entry.state


@dataclass(frozen=True)
class Delay:
    """How long fresh files took, in ticks, the slowest of them; and what a tick asked of the store at most."""

    planned: int
    loaded: int
    calls: int
    items: int


def fresh_beside(factory: Factory, dataset: str, ticks: int, day: date | None = None) -> Delay:
    """A fresh file lands before each tick: how many ticks until the slowest was planned, and loaded."""
    factory.most_calls = factory.most_items = 0
    landed: dict[VersionRef, int] = {}
    planned: dict[VersionRef, int] = {}
    loaded: dict[VersionRef, int] = {}
    for tick in range(ticks + 5):
        if tick < ticks:
            landed[factory.land(dataset, day)] = tick
        factory.tick()
        for ref, since in landed.items():
            state = factory.state(ref)
            if state is not State.SEEN:
                planned.setdefault(ref, tick - since + 1)
            if state is State.COMMITTED:
                loaded.setdefault(ref, tick - since + 1)
    never = ticks + 99
    return Delay(
        max(planned.get(ref, never) for ref in landed),
        max(loaded.get(ref, never) for ref in landed),
        factory.most_calls,
        factory.most_items,
    )


def progress(factory: Factory, ticks: int) -> Iterator[Mapping[str, int]]:
    """How many files of each dataset are loaded after each tick."""
    for _ in range(ticks):
        factory.tick()
        yield dict(factory.loaded)


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--ticks", type=int, default=20)
    given = parser.parse_args()
    print(
        f"{'a backlog of':>24}{'fresh files of':>20}{'planned':>9}{'loaded':>8}{'calls':>8}{'items':>8}{'runs queued':>13}"
    )
    print(f"{'':44}{'after ticks, at most':>17}{'a tick, at most':>16}")
    for name, days in LAYOUTS.items():
        among = datasets(2)
        store = MemoryItemStore()
        began = time.perf_counter()
        fill_waiting(store, among[0].name, days, given.entries)
        filled = time.perf_counter() - began
        for whose, dataset, day in (
            ("the same dataset", among[0].name, days[0]),
            ("another", among[1].name, None),
        ):
            factory = Factory(store, among)
            told = fresh_beside(factory, dataset, given.ticks, day)
            print(
                f"{f'{given.entries:,}, {name}':>24}{whose:>20}{told.planned:>9}{told.loaded:>8}{told.calls:>8,}{told.items:>8,}"
                f"{factory.waiting_runs:>13}  (filled in {filled:.0f} s)"
            )
            # What is under way here belongs to runs that the next factory does not know.
            _let_go(factory)
        del store
    sizes = (1, 100, given.entries)
    among, store = datasets(3), MemoryItemStore()
    for dataset, size in zip(among, sizes, strict=True):
        fill_waiting(store, dataset.name, LAYOUTS["1,000 days"], size)
    factory = Factory(store, among)
    print(
        f"\nthree datasets with backlogs of {', '.join(f'{size:,}' for size in sizes)} files; loaded after so many ticks:"
    )
    for tick, loaded in enumerate(progress(factory, given.ticks), 1):
        if tick in (1, 2, 3, 5, 10, given.ticks):
            print(f"{tick:>4}  " + "".join(f"{loaded.get(d.name, 0):>10,}" for d in among))


def _let_go(factory: Factory) -> None:
    for dataset in factory.among:
        for record in factory.ledger.live_batches(dataset.name):
            if record.state in (BatchState.PLANNED, BatchState.CLAIMED):
                factory.ledger.release(record.batch_id, "the next measurement begins", burn=False)


if __name__ == "__main__":
    main()
