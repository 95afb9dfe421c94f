"""What waits to be planned, by lane, read without going through all of it. Changes nothing.

Fresh files are found from the newest on, what people asked for from the oldest, and the backlog by landing day, each in a bounded number
of short queries. Where it is listed: `due_index.py`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from pipelines.accounting.books import Books
from pipelines.accounting.due_index import AFTER, ASKED, DAYS, DEFERRED, EVENTS
from pipelines.accounting.entries import LedgerEntry
from pipelines.accounting.keys import DUE_SHARDS, due_partitions, iso
from pipelines.accounting.states import FaultKind, Lane, Trigger

__all__ = ["Look", "Waiting", "lane_of", "suspicion", "waiting"]

_PROBE = 100
"""Index items read to see whether a partition has few: then there is no need to look at each stretch."""
_MOST_READ = 1000
"""Index items read of one stretch of one partition in a look."""
_MOST_STEPS = 60
"""Queries in one stretch of days: one or two a day."""


def suspicion(entry: LedgerEntry) -> int:
    """How often in a row something went wrong with this version in hand that it may itself be the cause of."""
    return entry.fault_times if entry.fault in (FaultKind.DEATH, FaultKind.LASTING) else 0


def lane_of(entry: LedgerEntry, fresh_since: datetime) -> Lane:
    """The lane in which a version travels: fresh is what landed (or was removed) since then and harmed no worker."""
    match entry.trigger:
        case Trigger.REPLAY:
            return Lane.ASKED
        case Trigger.EVENT if entry.version.landed_at >= fresh_since and not suspicion(entry):
            return Lane.FRESH
        case Trigger.REMOVAL if entry.changed_at >= fresh_since and not suspicion(entry):
            return Lane.FRESH
        case _:
            return Lane.BACKLOG


@dataclass(frozen=True, slots=True)
class Look:
    """What to look for: what is fresh landed since `fresh_since`; `busy` are the days of each lane that need no look.

    A lane that is not in `lanes` is not read where there is much. `most` entries of a lane are enough, `most_of_day` of one day.
    What is deferred is looked at only if `deferred`.
    """

    fresh_since: datetime
    busy: Mapping[Lane, Collection[date]] = field(default_factory=dict[Lane, Collection[date]])
    lanes: frozenset[Lane] = frozenset(Lane)
    most: int = 4000
    most_of_day: int = 500
    deferred: bool = False


@dataclass(slots=True)
class Waiting:
    """What may be planned now, by lane; in no order. `is_all`: there is nothing else, and all lanes are told of."""

    lanes: dict[Lane, list[LedgerEntry]] = field(default_factory=lambda: {lane: [] for lane in Lane})
    is_all: bool = True


def waiting(books: Books, dataset: str, look: Look) -> Waiting:
    """Look at what waits of a dataset: a bounded number of short queries, however much there is. May lag a moment behind."""
    found = Waiting()
    seen: set[tuple[str, str]] = set()
    now = books.now()
    for partition in due_partitions(dataset):
        read = _Partition(books, partition, look, now)
        for entry in read.entries():
            name = entry.ref.object_id, entry.ref.version_id
            lane = lane_of(entry, look.fresh_since)
            waits = entry.deferred is not None and not look.deferred
            if name not in seen and not waits and (entry.next_at is None or entry.next_at <= now):
                seen.add(name)
                if entry.landing_day not in look.busy.get(lane, ()):
                    found.lanes[lane].append(entry)
        found.is_all = found.is_all and read.is_all
    return found


class _Partition:
    """One partition of the index, as much of it as a look needs."""

    def __init__(self, books: Books, partition: str, look: Look, now: datetime) -> None:
        self._books = books
        self._partition = partition
        self._look = look
        self._now = now
        self.is_all = False
        self._share = min(_MOST_READ, look.most // DUE_SHARDS + 1)

    def entries(self) -> Iterator[LedgerEntry]:
        """Those of the lanes that are looked at, others among them; some of them twice."""
        few, more = self._page(limit=_PROBE)
        if more is None:
            self.is_all = True
            yield from few
            return
        look, now = self._look, iso(self._now)
        if Lane.FRESH in look.lanes:
            yield from self._stretch(EVENTS + iso(look.fresh_since), EVENTS + now + "#~", descending=True)
        if Lane.ASKED in look.lanes:
            yield from self._stretch(ASKED, ASKED + now + "#~")
        if Lane.BACKLOG in look.lanes:
            yield from self._stretch(EVENTS, EVENTS + min(now, iso(look.fresh_since)))
            yield from self._days()
        if look.deferred:
            yield from self._stretch(DEFERRED, DEFERRED + "~")

    def _stretch(self, since: str, upto: str, *, descending: bool = False) -> Iterator[LedgerEntry]:
        entries, _ = self._page(limit=self._share, since=since, upto=upto, descending=descending)
        yield from entries

    def _days(self) -> Iterator[LedgerEntry]:
        """By landing day, the earliest first; busy days are skipped, and of each other day no more is read than a batch takes."""
        busy = self._look.busy.get(Lane.BACKLOG, ())
        since, start, taken, of_day = DAYS, None, 0, 0
        last: date | None = None
        for _ in range(_MOST_STEPS):
            # The first day that is there is not known: where days are busy, one item tells it.
            limit = 1 if busy and start is None else self._look.most_of_day
            entries, more = self._page(limit=limit, since=since, upto=AFTER, start=start)
            for entry in entries:
                of_day = of_day + 1 if entry.landing_day == last else 1
                last = entry.landing_day
                if last not in busy:
                    taken += 1
                    yield entry
            if more is None or last is None or taken >= self._share:
                return
            start = more
            if last in busy or of_day >= self._look.most_of_day:
                after = last + timedelta(days=1)
                while after in busy:
                    after += timedelta(days=1)
                since, start, of_day = after.isoformat(), None, 0

    def _page(
        self,
        *,
        limit: int,
        since: str | None = None,
        upto: str | None = None,
        start: str | None = None,
        descending: bool = False,
    ) -> tuple[list[LedgerEntry], str | None]:
        return self._books.listed_page(
            self._partition, limit=limit, since=since, upto=upto, start=start, descending=descending
        )
