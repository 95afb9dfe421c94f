"""What to do with due versions and with planned batches: decided from values alone. Pure; knows neither Dagster nor the store.

A Dagster run costs seconds, a file must cost milliseconds: files of one dataset, day and lane share a batch, batches of
consecutive days share a run. Runs are short, so that nothing waits long for a place. A batch that failed comes back in smaller
ones, so that a file that kills its worker ends alone and takes no other with it.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import assert_never

from pipelines.accounting.entries import Batch, BatchRecord, LedgerEntry, Member
from pipelines.accounting.ledger import LEASE_S
from pipelines.accounting.states import BatchState, Lane, Trigger
from pipelines.accounting.waiting import suspicion

__all__ = [
    "BatchLimits",
    "Decision",
    "FailRun",
    "Leave",
    "Offer",
    "Release",
    "RunLimits",
    "RunState",
    "decide",
    "group_into_runs",
    "plan_batches",
]

SILENT_LEASES = 2.0
"""How many leases after its last one ran out a started run is taken for dead."""
_FOLLOWED = 5
UNCLAIMED_S = 900
"""How long batches may wait for a run that planned them for itself (backfill), or that works on others and falls silent."""


class RunState(StrEnum):
    """What became of the run that a batch was given to, in our own words.

    `LINGERING` has started longer ago than a run needs to claim its first batch.
    """

    NOT_STARTED = "not_started"
    WAITING = "waiting"
    LINGERING = "lingering"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def liveliness(self) -> int:
        """Of several runs of one launch, the one with the highest number counts."""
        order = (self.FAILED, self.SUCCEEDED, self.NOT_STARTED, self.WAITING, self.LINGERING, self.STARTED)
        return order.index(self)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much goes into one batch. A file larger than `max_bytes` has a batch of its own.

    `files_of_suspects[n]` is the number of files in a batch of versions with which n workers in a row died, or met a fault that
    does not pass by itself: one of them may be the cause, so from the second time on each is tried alone.
    """

    max_files: int = 500
    max_bytes: int = 256 * 1024**2
    files_of_suspects: tuple[int, ...] = (500, 25, 1)

    def files(self, suspicion: int) -> int:
        """How many files under so much suspicion may share a batch."""
        return min(self.max_files, self.files_of_suspects[min(suspicion, len(self.files_of_suspects) - 1)])


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How much goes into one run: it ends in well under a minute, unless a single batch takes longer."""

    max_days: int = 31
    max_files: int = 2000
    max_bytes: int = 256 * 1024**2


# ---- from due versions to batches ---------------------------------------------------------------------------------


def plan_batches(
    due: Iterable[LedgerEntry],
    busy: Collection[date],
    new_id: Callable[[], str],
    limits: BatchLimits | None = None,
    trigger: Trigger | None = None,
    lane: Lane | None = None,
) -> list[Batch]:
    """One batch for each dataset and day that is not busy, of the versions least suspected, and of those tried least.

    `trigger` says why; without it, that of the versions themselves: a replay, or the sweep, if it was that alone. Those that
    wait longest go first; in the lane of fresh files, where more wait than a batch takes, the newest.
    """
    limits = limits or BatchLimits()
    days: dict[tuple[str, date], list[LedgerEntry]] = {}
    for entry in due:
        if entry.dataset is not None and entry.landing_day not in busy:
            days.setdefault((entry.dataset, entry.landing_day), []).append(entry)
    batches: list[Batch] = []
    for (dataset, day), waiting in sorted(days.items()):
        batch_id = new_id()
        taken = _taken(waiting, limits, newest=lane is Lane.FRESH)
        members = tuple(Member(entry.ref, entry.revision) for entry in taken)
        oldest = min((since for entry in taken if (since := entry.waits_since)), default=None)
        told = trigger or _trigger_of(taken)
        size = sum(entry.version.size_bytes for entry in taken)
        batches.append(Batch(batch_id, dataset, day, batch_id, told, members, _followed(taken), oldest, lane, size))
    return batches


def _followed(entries: Iterable[LedgerEntry]) -> tuple[str, ...]:
    """The batches that some of these files were in last, the latest first."""
    return tuple(sorted({entry.batch_id for entry in entries if entry.batch_id is not None}, reverse=True)[:_FOLLOWED])


def _trigger_of(entries: Iterable[LedgerEntry]) -> Trigger:
    triggers = {entry.trigger for entry in entries}
    only = triggers.pop() if len(triggers) == 1 else Trigger.EVENT
    # What a backfill left behind is due as any other: nobody waits for it any more.
    return Trigger.EVENT if only is Trigger.BACKFILL else only


def _taken(waiting: Sequence[LedgerEntry], limits: BatchLimits, *, newest: bool) -> list[LedgerEntry]:
    # By key and order last, so that what one key brings stays in order within a batch.
    def since(entry: LedgerEntry) -> float:
        return -entry.version.landed_at.timestamp() if newest else (entry.next_at or entry.changed_at).timestamp()

    ordered = sorted(waiting, key=lambda e: (suspicion(e), e.attempts, since(e), e.ref.object_id, e.order))
    taken: list[LedgerEntry] = []
    total = 0
    for entry in ordered:
        if suspicion(entry) != suspicion(ordered[0]) or len(taken) >= limits.files(suspicion(entry)):
            break
        if taken and total + entry.version.size_bytes > limits.max_bytes:
            break
        taken.append(entry)
        total += entry.version.size_bytes
    return taken


def group_into_runs(batches: Iterable[Batch], limits: RunLimits | None = None) -> list[tuple[Batch, ...]]:
    """Batches of one dataset, lane and trigger on consecutive days share a run, within the limits: they get one run key."""
    limits = limits or RunLimits()
    groups: list[list[Batch]] = []
    for batch in sorted(batches, key=lambda b: (b.dataset, b.landing_day)):
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and last.dataset == batch.dataset
            and last.trigger == batch.trigger
            and last.lane == batch.lane
            and batch.landing_day - last.landing_day == timedelta(days=1)
            and len(groups[-1]) < limits.max_days
            and sum(len(b.members) for b in groups[-1]) + len(batch.members) <= limits.max_files
            and sum(b.size_bytes for b in groups[-1]) + batch.size_bytes <= limits.max_bytes
        ):
            groups[-1].append(batch)
        else:
            groups.append([batch])
    # A new key for each attempt: Dagster never launches a run key twice, and a failed run keeps its key (dagster#15982).
    return [tuple(replace(b, run_key=f"{g[0].dataset}-{g[0].batch_id}") for b in g) for g in groups]


# ---- what became of planned batches -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer:
    """Request the run: for the first time, or once more under the same run key."""


@dataclass(frozen=True, slots=True)
class Leave:
    """It is under way, or done."""


@dataclass(frozen=True, slots=True)
class Release:
    """Give the members back; `burn` an attempt of each if something went wrong with them in hand."""

    reason: str
    burn: bool = True


@dataclass(frozen=True, slots=True)
class FailRun:
    """The run is dead though nobody said so: mark it failed, and release its batches."""

    reason: str


Decision = Offer | Leave | Release | FailRun


def decide(
    batch: BatchRecord,
    run: RunState | None,
    now: datetime,
    run_alive_until: datetime | None = None,
    lease_s: float = LEASE_S,
) -> Decision:
    """What to do about one batch that holds a slot. `run` is None when no run is known.

    `run_alive_until` is the latest lease of any batch of the same run: a run that works through several days shows its life
    on one at a time. It is None when the run never claimed any, or when that decides nothing.
    """
    if batch.state is BatchState.DONE:
        return Leave()
    if batch.state is BatchState.RELEASED:
        return Release(batch.reason or "released before")  # begun by somebody who did not live to finish it
    lease_holds = batch.lease_until is not None and batch.lease_until > now
    match run:
        case None:
            return _without_run(batch, now, lease_s, lease_holds=lease_holds)
        case RunState.NOT_STARTED:
            return Offer()
        case RunState.WAITING:
            return Leave()
        case RunState.LINGERING if batch.lease_until is None and run_alive_until is None:
            return FailRun("its run started and never began to work")
        case RunState.STARTED | RunState.LINGERING:
            return _with_started_run(batch, now, run_alive_until, lease_s, lease_holds=lease_holds)
        case RunState.SUCCEEDED:
            # A lease that holds is another run's, which took the batch over.
            return Leave() if lease_holds else Release("its run ended without finishing it")
        case RunState.FAILED:
            return Release("its run failed or was canceled")
        case _ as never:
            assert_never(never)


def _without_run(batch: BatchRecord, now: datetime, lease_s: float, *, lease_holds: bool) -> Decision:
    if lease_holds:
        return Leave()
    if batch.trigger is not Trigger.BACKFILL:
        return Offer()
    # Planned by a run for itself: it is not ours to launch. Whoever claims keeps its lease; who never does is gone.
    since = batch.lease_until or batch.created_at
    wait = SILENT_LEASES * lease_s if batch.lease_until else UNCLAIMED_S
    if (now - since).total_seconds() < wait:
        return Leave()
    return Release("the run that planned it is gone", burn=batch.lease_until is not None)


def _with_started_run(
    batch: BatchRecord, now: datetime, run_alive_until: datetime | None, lease_s: float, *, lease_holds: bool
) -> Decision:
    if batch.lease_until is None and run_alive_until is not None:
        since = max(run_alive_until, batch.created_at)
        if (now - since).total_seconds() >= UNCLAIMED_S:
            return FailRun("its run began with another batch and has shown no sign of life since")
    if lease_holds or batch.lease_until is None:
        return Leave()  # at work, or waiting for its turn
    alive_until = max(batch.lease_until, run_alive_until or batch.lease_until)
    if (now - alive_until).total_seconds() >= SILENT_LEASES * lease_s:
        return FailRun("its run shows no sign of life: the lease ran out and was not renewed")
    if alive_until > batch.lease_until:
        return Release("its run gave it up and went on with another day")
    return Leave()
