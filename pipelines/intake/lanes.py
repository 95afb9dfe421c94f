"""Who goes first: what each dataset may have planned in each lane, in which order datasets get their turn, and what waits. Pure.

A dataset with a million files has no more runs waiting than one with a few thousand, and a lane never fills the place of another:
so the queue of runs is short, and whatever comes next is near its head.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pipelines.accounting.entries import Batch, BatchRecord, LedgerEntry, VersionRef
from pipelines.accounting.states import Lane, Trigger
from pipelines.contracts.work import Deferral

__all__ = [
    "LaneLimits",
    "Underway",
    "by_turn",
    "may_go_now",
    "newest_first",
    "reasons_to_wait",
    "shared_out",
    "underway",
]

_DEFERRABLE = (Trigger.EVENT, Trigger.SWEEP)
"""What nobody asked for by hand."""


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """How much of one dataset may be under way in one lane; what is planned goes beyond it by one run at most."""

    runs: int = 8
    days: int = 62
    files: int = 4000
    size_bytes: int = 512 * 1024**2


@dataclass(slots=True)
class Underway:
    """What of one dataset is planned or worked on in one lane."""

    runs: int = 0
    days: int = 0
    files: int = 0
    size_bytes: int = 0

    def add(self, batches: Sequence[Batch]) -> None:
        """One more run."""
        self.runs += 1
        self.days += len(batches)
        self.files += sum(len(batch.members) for batch in batches)
        self.size_bytes += sum(batch.size_bytes for batch in batches)

    def leaves_room(self, limits: LaneLimits) -> bool:
        """Whether another run may be planned."""
        return (
            self.runs < limits.runs
            and self.days < limits.days
            and self.files < limits.files
            and self.size_bytes < limits.size_bytes
        )


def underway(records: Iterable[BatchRecord]) -> tuple[dict[Lane, Underway], dict[Lane, set[date]]]:
    """Of one dataset's batches that hold slots: how much each lane has, and the days on which it can plan nothing.

    What was asked for again and the backlog share the slots of their days, with the batches that runs planned for themselves;
    those count for no lane.
    """
    found = {lane: Underway() for lane in Lane}
    busy: dict[Lane, set[date]] = {lane: set() for lane in Lane}
    runs: set[str] = set()
    for record in records:
        if record.lane is Lane.FRESH:
            busy[Lane.FRESH].add(record.landing_day)
        else:
            busy[Lane.ASKED].add(record.landing_day)
            busy[Lane.BACKLOG].add(record.landing_day)
        if record.trigger is Trigger.BACKFILL:
            continue
        has = found[record.lane or Lane.BACKLOG]
        has.runs += record.run_key not in runs
        has.days += 1
        has.files += record.member_count
        has.size_bytes += record.size_bytes
        runs.add(record.run_key)
    return found, busy


def shared_out(fresh: Iterable[LedgerEntry], most_of_day: int) -> tuple[list[LedgerEntry], list[LedgerEntry]]:
    """Fresh files, and those of a day that has more of them than its batch takes: the oldest of it, for the lane of the backlog."""
    by_day: dict[date, list[LedgerEntry]] = {}
    for entry in fresh:
        by_day.setdefault(entry.landing_day, []).append(entry)
    kept: list[LedgerEntry] = []
    left: list[LedgerEntry] = []
    for entries in by_day.values():
        entries.sort(key=lambda entry: entry.version.landed_at, reverse=True)
        kept += entries[:most_of_day]
        left += entries[most_of_day:]
    return kept, left


def newest_first(groups: Iterable[Sequence[Batch]], entries: Iterable[LedgerEntry]) -> list[Sequence[Batch]]:
    """Runs of fresh files: first the one with the file that landed last."""
    landed: dict[date, datetime] = {}
    for entry in entries:
        at = entry.version.landed_at
        landed[entry.landing_day] = max(at, landed.get(entry.landing_day, at))
    return sorted(groups, key=lambda group: max(landed[batch.landing_day] for batch in group), reverse=True)


def by_turn(names: Sequence[str], busy: Collection[str], priorities: Mapping[str, int], now: datetime) -> list[str]:
    """The order of datasets in one look: those with nothing under way, then by priority, then in turn.

    The turn moves on with each minute: should a look have no time for all of them, each is first once.
    """
    places = {name: (number + int(now.timestamp() // 60)) % len(names) for number, name in enumerate(names)}
    return sorted(names, key=lambda name: (name in busy, -priorities.get(name, 0), places[name]))


def may_go_now(defer: Deferral | None, now: datetime) -> bool:
    """Whether files that were deferred may be planned at this moment: in their hours, and when nothing is deferred any more."""
    return defer is None or defer.is_open(now)


def reasons_to_wait(
    defer: Deferral | None, entries: Iterable[LedgerEntry], now: datetime
) -> dict[VersionRef, tuple[int, str]]:
    """Those of the entries that have to wait for other hours: with the revision each has, and why.

    What a person asked for, and the rows of a removed object, wait for nothing.
    """
    if defer is None or defer.is_open(now):
        return {}
    found: dict[VersionRef, tuple[int, str]] = {}
    for entry in entries:
        reason = defer.reason(entry.version.size_bytes, entry.landing_day, now)
        if reason is not None and entry.trigger in _DEFERRABLE:
            found[entry.ref] = entry.revision, reason
    return found
