"""What the books cost as they fill: a sensor's tick, `lakegate status`, and the whole bookkeeping of one new file.

    python -m benchmarks.books                                 # 10,000 against 1,000,000 entries, in memory
    python -m benchmarks.books --dynamodb --entries 10000 50000  # the laptop's DynamoDB

Counted are calls of the item store and items read: what DynamoDB bills and what takes its time. Datasets and days are the same
at every size, and one file in fifty is in quarantine. Times are the best of five: other work on the machine must not count.
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.accounting.balance import balance
from pipelines.accounting.changes import counter_update, counts_for
from pipelines.accounting.entries import Claim, Facts, Head, LedgerEntry, Sighting, VersionRef, order_of
from pipelines.accounting.items import FORMAT, encode_entry, encode_head
from pipelines.accounting.keys import COUNT_SHARDS, entry_key, head_key
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.outcomes import FileCommitted
from pipelines.accounting.states import Outcome, State
from pipelines.contracts.loading import parse_dataset
from pipelines.contracts.model import Dataset
from pipelines.intake.dispatching import dispatch_from
from pipelines.intake.objects import ObjectVersion, Sequencer, object_id
from pipelines.intake.receiving import receive_from
from pipelines.ports import Change, Item, ItemKey, ItemStore, ItemValue, Page, Put, Refused, Written
from resources.memory import MemoryEventQueue, MemoryItemStore

BUCKET = "landing-bucket"
FIRST_DAY = date(2026, 1, 1)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTRACT = """
name: {name}
description: One of the datasets whose books are measured.
owner: team:books
landing: {{key: "landing/{name}/{{day:%Y-%m-%d}}/*.csv", day: day, start: 2026-01-01}}
format: {{type: csv}}
columns: {{day: {{type: date, from: key}}, id: {{type: bigint}}}}
"""


@dataclass
class CountingStore:
    """An item store that counts its calls and the items it gives out."""

    inner: ItemStore
    calls: int = 0
    items: int = 0

    def get(self, keys: Sequence[ItemKey]) -> Mapping[ItemKey, Item]:
        """Count, and ask."""
        found = self.inner.get(keys)
        self.calls, self.items = self.calls + 1, self.items + len(found)
        return found

    def query(self, pk: str, **how: Any) -> Page:
        """Count, and ask."""
        return self._page(self.inner.query(pk, **how))

    def query_due(self, due_pk: str, **how: Any) -> Page:
        """Count, and ask."""
        return self._page(self.inner.query_due(due_pk, **how))

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        """Count, and write."""
        self.calls += 1
        return self.inner.write(changes)

    def _page(self, page: Page) -> Page:
        self.calls, self.items = self.calls + 1, self.items + len(page.items)
        return page


@dataclass(frozen=True)
class Cost:
    """What one step takes of the store, and of the clock."""

    calls: int
    items: int
    ms: float


def datasets(number: int) -> list[Dataset]:
    """So many datasets."""
    parsed = (parse_dataset(CONTRACT.format(name=f"d{n:02d}").encode(), Path(f"d{n:02d}.yaml")) for n in range(number))
    return [one for one in parsed if isinstance(one, Dataset)]


def fill(store: ItemStore, entries: int, among: Sequence[Dataset], days: int) -> None:
    """Put in what files leave that were processed long ago, evenly over datasets and days: entry, head and counters."""
    for of in among:
        store.write([Put(ItemKey("datasets", of.name), {"format": FORMAT, "dataset": of.name})])
    places = [(of.name, FIRST_DAY + timedelta(days=n)) for of in among for n in range(days)]
    for chunk, start in enumerate(range(0, entries, _AT_ONCE)):
        numbers = range(start, min(start + _AT_ONCE, entries))
        dataset, day = places[chunk % len(places)]
        puts = [put for number in numbers for put in _puts(number, dataset, day)]
        total: Counter[str] = Counter()
        for number in numbers:
            total.update(_counts(dataset, day, number % _A_BAD_ONE_IN == 0))
        counters = counter_update(dataset, day, chunk // len(places) % COUNT_SHARDS, total)
        if isinstance(store, MemoryItemStore):
            for put in puts:
                store._store(
                    put.key, {**put.item, "pk": put.key.pk, "sk": put.key.sk}
                )  # a million, each its own: nothing to check
            puts = []
        assert isinstance(store.write([*puts, counters]), Written)


_AT_ONCE = 49
"""Files a transaction: an entry and a head each, and the counters, in a hundred changes."""
_A_BAD_ONE_IN = 50


def _puts(number: int, dataset: str, day: date) -> tuple[Put, Put]:
    key = f"landing/{dataset}/{day}/part-{number:07d}.csv"
    ref = VersionRef(object_id(BUCKET, key), f"version-{number}")
    own = {"key": key, "version_id": ref.version_id, "order": f"{number:032x}#{ref.version_id}"}
    bad = number % _A_BAD_ONE_IN == 0
    entry = {**_encoded(dataset, day, bad), **own}
    if bad:
        entry["due_sk"] = f"{entry['due_sk']}#{ref.object_id}"
    head = Head(ref.object_id, None if bad else ref.version_id, None if bad else own["order"], revision=1)
    return Put(entry_key(ref), entry), Put(head_key(ref.object_id), encode_head(head))


@cache
def _encoded(dataset: str, day: date, bad: bool) -> dict[str, ItemValue]:
    return encode_entry(_processed(dataset, day, bad))


@cache
def _counts(dataset: str, day: date, bad: bool) -> dict[str, int]:
    return counts_for(_processed(dataset, day, bad))


def _processed(dataset: str, day: date, bad: bool) -> LedgerEntry:
    """A file that was loaded, or went to quarantine."""
    version = _version(f"landing/{dataset}/{day}/one.csv", 1)
    state, outcome = (State.QUARANTINED, Outcome.QUARANTINED) if bad else (State.COMMITTED, Outcome.LOADED)
    facts = Facts(rows_read=100, rows_accepted=0 if bad else 100, rows_rejected=100 if bad else 0)
    return LedgerEntry(version, order_of(version), dataset, day, state, outcome, NOW, NOW, serving=not bad, facts=facts)


def _version(key: str, number: int) -> ObjectVersion:
    return ObjectVersion(BUCKET, key, f"version-{number}", Sequencer((number + 1) << 32), 1000, "etag", NOW)


# ---- what is measured


def tick(ledger: Ledger, among: Sequence[Dataset]) -> None:
    """The sensor's tick while nothing is new."""
    receive_from(MemoryEventQueue(time.monotonic), ledger, among, BUCKET, lambda: NOW, wait_s=0, budget_s=10)
    dispatch_from(ledger, among, lambda: NOW, lambda _: {})


def status(ledger: Ledger, _: Sequence[Dataset]) -> None:
    """What `lakegate status` asks the ledger."""
    sheet = balance(ledger.counts())
    assert not sheet.problems, sheet.problems[:3]


def one_file(ledger: Ledger, among: Sequence[Dataset]) -> None:
    """Register, plan, claim, settle and finish one new file."""
    key = f"landing/{among[0].name}/{FIRST_DAY}/new-{time.monotonic_ns()}.csv"
    ledger.register([Sighting(_version(key, time.monotonic_ns()), among[0].name, FIRST_DAY)])
    [launch] = dispatch_from(ledger, among, lambda: NOW, lambda _: {}).launches
    claim = ledger.claim(launch.batches[0], "run")
    assert isinstance(claim, Claim)
    ledger.settle(claim, [FileCommitted(m.ref, Facts(rows_read=1, rows_accepted=1), 1) for m in claim.members])
    ledger.finish(claim, 1)


STEPS: Mapping[str, Callable[[Ledger, Sequence[Dataset]], None]] = {
    "a tick with nothing to do": tick,
    "status": status,
    "one file, all its books": one_file,
}


def measure(store: ItemStore, among: Sequence[Dataset]) -> dict[str, Cost]:
    """The cost of each step on this store, the first time not counted."""
    counting = CountingStore(store)
    ledger = Ledger(counting, lambda: NOW)
    found: dict[str, Cost] = {}
    for name, step in STEPS.items():
        step(ledger, among)
        counting.calls = counting.items = 0
        times = []
        for _ in range(5):
            started = time.perf_counter()
            step(ledger, among)
            times.append((time.perf_counter() - started) * 1000)
        found[name] = Cost(counting.calls // 5, counting.items // 5, min(times))
    return found


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, nargs=2, default=(10_000, 1_000_000))
    parser.add_argument("--datasets", type=int, default=10)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--dynamodb", action="store_true", help="in the laptop's DynamoDB instead of in memory")
    given = parser.parse_args()
    among = datasets(given.datasets)
    costs: list[dict[str, Cost]] = []
    for entries in given.entries:
        with tempfile.TemporaryDirectory() as home:
            started = time.perf_counter()
            store, stop = _dynamodb(Path(home)) if given.dynamodb else (MemoryItemStore(), lambda: None)
            try:
                fill(store, entries, among, given.days)
                print(f"filled with {entries:,} entries in {time.perf_counter() - started:.0f} s")
                costs.append(measure(store, among))
            finally:
                stop()
            del store
    print(
        f"\n{given.datasets} datasets, {given.days} days, {'DynamoDB of the laptop' if given.dynamodb else 'in memory'}"
    )
    small, large = (f"{entries:,}" for entries in given.entries)
    print(f"{'':28}{'calls':>16}{'items read':>20}{'milliseconds':>22}")
    print(f"{'entries':28}" + "".join(f"{small:>{w}}{large:>11}" for w in (8, 10, 11)))
    for name in STEPS:
        a, b = costs[0][name], costs[1][name]
        print(f"{name:28}{a.calls:>8}{b.calls:>11}{a.items:>10}{b.items:>11}{a.ms:>11.2f}{b.ms:>11.2f}")


def _dynamodb(home: Path) -> tuple[ItemStore, Callable[[], object]]:
    from lakegate.local.laptop import Laptop
    from resources.dynamodb import DynamoItemStore
    from resources.environment import Deployment, client

    laptop = Laptop(home, any_port=True)
    laptop.start(tied=True)
    os.environ.pop("LAKEGATE_HOME", None)
    return DynamoItemStore(client("dynamodb"), Deployment.from_environment().ledger_table), laptop.stop


if __name__ == "__main__":
    main()
