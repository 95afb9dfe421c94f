"""The ledger: the list of work, and the account of every object version ever seen. One front for the rooms behind it.

    registration.py   what was put into the bucket       register, adopt
    removals.py       what went from it, or came back    removed, restored
    batches.py        the life of a batch                plan, claim, renew, mark_committing, finish, release
    pauses.py         datasets that are paused           pauses: fault, verdict, probe, pause, resume
    delimiters.py     what `delimiter: auto` told        pinned_delimiter, pin_delimiter
    sweeps.py         what sweeps leave                  swept_days, last_sweeps …
    audit.py          who did what by hand               audit: doing, since
    settlement.py     verdicts, and work made due again  settle, make_due
    queries.py        looking                            due, live_batches, entries, head, history, counts, quarantined …

The rules are in `transitions.py` (what may become of a version) and `changes.py` (counters in step with entries); the
layout is in `items.py`, and `format_guard.py` keeps what a newer release wrote. It runs unchanged on DynamoDB and in memory: all it needs is an ItemStore, a clock and new ids.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime

from pipelines.accounting.audit import AuditLog
from pipelines.accounting.batches import Batches
from pipelines.accounting.books import Books
from pipelines.accounting.breaker import BreakerPolicy
from pipelines.accounting.day_counts import DayCounts
from pipelines.accounting.delimiters import PinnedDelimiters
from pipelines.accounting.entries import (
    Batch,
    BatchRecord,
    BatchTimes,
    Claim,
    ClaimResult,
    Head,
    HistoryRecord,
    LedgerEntry,
    MadeDue,
    PlanResult,
    Reading,
    Registered,
    Removal,
    RetryPolicy,
    SettleReport,
    Sighting,
    VersionRef,
)
from pipelines.accounting.format_guard import FormatGuard
from pipelines.accounting.ids import IdFactory
from pipelines.accounting.outbox import Outbox
from pipelines.accounting.outcomes import FileOutcome
from pipelines.accounting.pauses import Pauses
from pipelines.accounting.profiles import Profiles
from pipelines.accounting.queries import Queries
from pipelines.accounting.registration import Registration
from pipelines.accounting.removals import Removals
from pipelines.accounting.settlement import Settlement
from pipelines.accounting.states import FaultKind, Outcome, Trigger
from pipelines.accounting.sweeps import LastSweep, SweepRecords, SweptDay
from pipelines.accounting.waiting import Look, Waiting
from pipelines.accounting.wiring import WiringTests
from pipelines.ports import Clock, ItemStore, ThreadPools

__all__ = ["LEASE_S", "Ledger"]

LEASE_S = 30.0
"""How long a claim holds without being renewed; renew every third of it."""


class Ledger:
    """What the rest of Lakegate knows of the books. Safe to share between threads as far as its store is."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        new_id: Callable[[], str] | None = None,
        policy: RetryPolicy | None = None,
        pause: Callable[[float], None] = time.sleep,
        pools: ThreadPools = ThreadPoolExecutor,
        lease_s: float = LEASE_S,
        breaker: BreakerPolicy | None = None,
    ) -> None:
        """`new_id` makes ids that sort by time; `pause` waits between attempts of a write; `pools` read many keys at once.

        `lease_s` is how long a claim holds without being renewed: the same for all workers of a deployment.
        """
        self.lease_s = lease_s
        self.new_id = new_id or IdFactory(clock)
        books = Books(FormatGuard(store, clock), clock, self.new_id, policy or RetryPolicy(), pause)
        self._batches = Batches(books)
        self._removals = Removals(books)
        self._registration = Registration(books, self._removals)
        self._settlement = Settlement(books, self._batches)
        self._queries = Queries(books, self._batches, pools)
        self._delimiters = PinnedDelimiters(books)
        self.audit = AuditLog(books)
        """Who did what by hand."""
        self.pauses = Pauses(books, breaker or BreakerPolicy(), self.audit)
        """The breakers of the datasets."""
        self.profiles = Profiles(books)
        """What each landing day looks like, for comparing it with others."""
        self._sweeps = SweepRecords(books)
        self.outbox = Outbox(books)
        """Changes of state on their way to the table of the history."""
        self.wiring = WiringTests(books)
        """Which tests of the wiring came through."""

    # ---- intake

    def register(self, sightings: Sequence[Sighting], retracting: Collection[str] = ()) -> Registered:
        """Enter new versions and count known ones; only then may the message that told of them be deleted.

        `retracting` are the datasets that take the rows of a removed object away: one may have been removed before.
        """
        return self._registration.register(sightings, retracting)

    def adopt(self, sighting: Sighting) -> bool:
        """Give a version that no dataset claimed to the one that does now; False when that has happened already."""
        return self._registration.adopt(sighting)

    def routing_mark(self) -> str | None:
        """The mark of the routing that unclaimed versions were last held against."""
        return self._registration.routing_mark()

    def set_routing_mark(self, mark: str) -> None:
        """Remember that unclaimed versions were held against this routing."""
        self._registration.set_routing_mark(mark)

    def removed(self, removal: Removal, retracting: Collection[str] = (), *, listed: bool = False) -> None:
        """Record that an object or one version of it was deleted; in datasets that retract, its rows are to go. Repeatable.

        `listed`: a listing says where a delete marker stands; it goes before what was recorded of it.
        """
        self._removals.removed(removal, retracting, listed=listed)

    def restored(self, ref: VersionRef) -> bool:
        """Make an archived version due again; False when it was not waiting for that."""
        return self._removals.restored(ref)

    def pinned_delimiter(self, dataset: str) -> str | None:
        """The delimiter that was told from the dataset's first accepted file; None while there was none."""
        return self._delimiters.pinned(dataset)

    def pin_delimiter(self, dataset: str, delimiter: str) -> str:
        """Pin what was told from an accepted file; the delimiter that holds, which another worker may have pinned before."""
        return self._delimiters.pin(dataset, delimiter)

    # ---- planning

    def due(self, dataset: str, limit: int = 5000, busy: Collection[date] = ()) -> list[LedgerEntry]:
        """Up to `limit` versions to be planned, by landing day, none of the `busy` days; may lag a moment behind."""
        return self._queries.due(dataset, limit, busy)

    def waiting(self, dataset: str, look: Look) -> Waiting:
        """What may be planned now, by lane; reads as much as a look needs, however much waits. May lag a moment behind."""
        return self._queries.waiting(dataset, look)

    def oldest_waiting(self, dataset: str) -> datetime | None:
        """When the oldest version landed that came by itself and waits for its first verdict; in a backlog, about."""
        return self._queries.oldest_waiting(dataset)

    def live_batches(self, dataset: str) -> list[BatchRecord]:
        """The batches that hold a slot: at most one a day, and one of fresh files."""
        return self._queries.live_batches(dataset)

    def plan(self, batch: Batch) -> PlanResult:
        """Write a batch down and take its members out of what is due; SlotTaken when another of that day lives."""
        return self._batches.plan(batch)

    def release(
        self, batch_id: str, reason: str, *, burn: bool = True, fault: FaultKind = FaultKind.DEATH, spared: bool = False
    ) -> bool:
        """Give a live batch's unsettled members back, each stopped by the `fault` if `burn`. Repeatable; False when it was done.

        `spared`: the fault is the whole dataset's, and brings no file nearer to its end.
        """
        return self._batches.release(batch_id, reason, fault=fault if burn else None, spared=spared)

    def make_due(self, refs: Iterable[VersionRef], trigger: Trigger, reason: str = "") -> MadeDue:
        """Make serving and never accepted versions due again, on purpose; what a live batch holds is left to it."""
        return self._settlement.make_due(refs, trigger, reason)

    # ---- working

    def defer(self, reasons: Mapping[VersionRef, tuple[int, str]]) -> int:
        """Let due versions wait for other hours: by ref, the revision each was seen with and why. The number that do now."""
        return self._settlement.defer(reasons)

    def claim(self, batch_id: str, owner: str, lease_s: float | None = None) -> ClaimResult:
        """Take a batch to process it; `owner` is the run's id."""
        return self._batches.claim(batch_id, owner, lease_s or self.lease_s)

    def renew(self, claim: Claim, lease_s: float | None = None, reading: Reading | None = None) -> Claim:
        """Extend the lease, and say how far the file under way is. Raises ClaimLostError when fenced off."""
        return self._batches.renew(claim, lease_s or self.lease_s, reading)

    def mark_committing(self, claim: Claim) -> Claim:
        """Say that the table commit may be under way. Raises ClaimLostError when fenced off."""
        return self._batches.mark_committing(claim)

    def settle(
        self,
        claim: Claim,
        outcomes: Sequence[FileOutcome],
        batch_times: BatchTimes | None = None,
        retracting: Collection[str] = (),
    ) -> SettleReport:
        """Write down what became of members, and what the batch had spent. Repeatable. Raises ClaimLostError when fenced off.

        `retracting` names the dataset where it takes the rows of removed objects away: versions may be due for that now.
        """
        return self._settlement.settle(claim, outcomes, batch_times, retracting)

    def finish(self, claim: Claim, snapshot_id: int | None = None) -> None:
        """Close the batch; members not settled become due again. Repeatable. Raises ClaimLostError when fenced off."""
        self._batches.finish(claim, snapshot_id)

    def give_up(self, claim: Claim, reason: str, fault: FaultKind, *, spared: bool = False) -> bool:
        """Release the batch that this claim still holds, and say why; False when it is no longer this claim's."""
        return self._batches.release(claim.batch_id, reason, fault=fault, spared=spared, claim=claim)

    # ---- looking

    def batch(self, batch_id: str) -> BatchRecord | None:
        """One batch."""
        return self._queries.batch(batch_id)

    def batches_of_run(self, run_key: str) -> list[BatchRecord]:
        """The batches a run was asked to do."""
        return self._queries.batches_of_run(run_key)

    def batches_of_day(self, dataset: str, day: date) -> list[BatchRecord]:
        """Every batch a day ever had, oldest first."""
        return self._queries.batches_of_day(dataset, day)

    def batch_entries(self, batch_id: str) -> list[LedgerEntry]:
        """The members of a batch as they are now."""
        return self._queries.batch_entries(batch_id)

    def entry(self, ref: VersionRef) -> LedgerEntry | None:
        """One version."""
        return self._queries.entry(ref)

    def entries_of(self, refs: Iterable[VersionRef]) -> list[LedgerEntry]:
        """These versions, read consistently, as far as they are known."""
        return self._queries.entries_of(refs)

    def versions_beside(self, refs: Collection[VersionRef]) -> dict[VersionRef, list[LedgerEntry]]:
        """For each of these versions, every version of its key, itself among them."""
        return self._queries.versions_beside(refs)

    def entries(self, bucket: str, key: str) -> list[LedgerEntry]:
        """Every version of a key, lowest first."""
        return self._queries.entries(bucket, key)

    def versions_of_days(self, dataset: str | None, days: Iterable[date]) -> list[VersionRef]:
        """Every version of these days of a dataset (None: of what no dataset claims)."""
        wanted = frozenset(days)
        if dataset is None:
            return [entry.ref for entry in self._queries.unrouted() if entry.landing_day in wanted]
        unread = (entry.ref for entry in self._queries.removed_unread(dataset) if entry.landing_day in wanted)
        known = (ref for _, refs in self._settlement.of_days(dataset, wanted) for ref in refs)
        return list(dict.fromkeys((*known, *unread)))

    def versions_by_day(self, dataset: str, days: Iterable[date]) -> Iterator[tuple[date, list[VersionRef]]]:
        """The versions of each of these days that some batch had or that wait for one, a day at a time, in order of the days."""
        return self._settlement.of_days(dataset, frozenset(days))

    def removals(self, bucket: str, key: str) -> list[Removal]:
        """The removals of a key that hold now: delete markers not lifted, and versions gone."""
        return self._queries.removals(bucket, key)

    def recorded_gone(self, refs: Iterable[VersionRef]) -> set[VersionRef]:
        """Which of these versions are recorded as deleted for good."""
        return self._queries.recorded_gone(refs)

    def head(self, bucket: str, key: str) -> Head:
        """What serves a key."""
        return self._queries.head(bucket, key)

    def history(self, bucket: str, key: str) -> list[HistoryRecord]:
        """Every change of state of a key's versions, in order of time."""
        return self._queries.history(bucket, key)

    def datasets(self) -> list[str]:
        """Every dataset that ever had a file."""
        return self._queries.datasets()

    def unrouted(self) -> Iterator[LedgerEntry]:
        """Versions that no dataset claims."""
        return self._queries.unrouted()

    def quarantined(self, dataset: str | None = None) -> Iterator[LedgerEntry]:
        """Versions in quarantine that nothing has superseded."""
        return self._queries.quarantined(dataset)

    def dead(self, dataset: str | None = None) -> Iterator[LedgerEntry]:
        """Versions whose attempts are used up."""
        return self._queries.dead(dataset)

    def newly_quarantined(self, dataset: str, since: datetime) -> Iterator[LedgerEntry]:
        """Versions of a dataset that came into quarantine since then and that nothing has superseded, newest first."""
        return self._queries.newly_quarantined(dataset, since)

    def newly_dead(self, dataset: str, since: datetime) -> Iterator[LedgerEntry]:
        """Versions of a dataset whose attempts were used up since then, newest first."""
        return self._queries.newly_dead(dataset, since)

    def archived(self, dataset: str | None = None) -> Iterator[LedgerEntry]:
        """Versions that wait for a restore."""
        return self._queries.archived(dataset)

    def counts(
        self, dataset: str | None = None, since: date | None = None, month: date | None = None
    ) -> list[DayCounts]:
        """The counters, a line a dataset and day, from a day on or of a month; None for all datasets and what none claims."""
        return self._queries.counts(dataset, since, month)

    def recent_outcomes(self, dataset: str | None, days: int) -> Mapping[Outcome, int]:
        """How many versions of a dataset's newest landing days are in each outcome (None: of what none claims)."""
        return self._queries.recent_outcomes(dataset, days)

    # ---- sweeps

    def swept_days(self, dataset: str | None) -> Mapping[date, SweptDay]:
        """The days of a dataset that a sweep proved to lack versions, and how they stood then."""
        return self._sweeps.days(dataset)

    def last_sweeps(self) -> Mapping[str | None, LastSweep]:
        """What the last sweep of each dataset came to."""
        return self._sweeps.last()

    def record_sweep(self, days: Iterable[SweptDay], sweeps: Iterable[LastSweep]) -> None:
        """Remember a sweep: the days it proved, and what it came to."""
        self._sweeps.write_days(days)
        self._sweeps.write_last(sweeps)
