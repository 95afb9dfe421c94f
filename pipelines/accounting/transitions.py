"""What may become of an object version, and of the versions beside it under the same key. Pure: no store, no clock.

One `KeyWork` holds the head of a key and those of its versions that a change can touch. The rules (DESIGN.md, 4):

- The serving version of a key is its highest accepted one. Accepting a higher version supersedes the one that served and
  every lower one in quarantine; a version accepted or rejected below the serving one is superseded at once. So the end is
  the same in whatever order verdicts come.
- A rejected, empty or failed version takes nothing away, not even from itself: when the serving version is processed again
  (backfill, new contract) and is rejected, its rows are still in the table. It stays loaded, and `rejudged` says so.

What a removed object does to its versions is `removals.py`.
"""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never

from pipelines.accounting.entries import BatchStep, BatchTimes, Head, HistoryRecord, LedgerEntry, RetryPolicy
from pipelines.accounting.outcomes import (
    FileArchived,
    FileCommitted,
    FileDeferred,
    FileEmpty,
    FileFailed,
    FileGone,
    FileOutcome,
    FileQuarantined,
    FileRemoved,
)
from pipelines.accounting.states import DUE_STATES, FaultKind, Outcome, State, Trigger

__all__ = [
    "KeyWork",
    "awaits_retraction",
    "can_be_made_due",
    "deferred",
    "delay_of",
    "made_due",
    "planned",
    "put_back",
    "registered",
]


@dataclass(slots=True)
class KeyWork:
    """The head and the loaded versions of one key, while a change is worked out. Knows what it began with."""

    head: Head
    entries: dict[str, LedgerEntry]
    now: datetime
    policy: RetryPolicy
    run: str | None = None
    batch_times: BatchTimes | None = None
    steps: tuple[BatchStep, ...] = ()
    trace_id: str | None = None
    before_head: Head = field(init=False)
    before: dict[str, LedgerEntry] = field(init=False)
    history: list[HistoryRecord] = field(default_factory=list[HistoryRecord])
    found_gone: list[LedgerEntry] = field(default_factory=list[LedgerEntry])
    """Versions that no event told to be removed, and that were not there when they were read."""

    def __post_init__(self) -> None:
        """Remember the beginning."""
        self.before_head = self.head
        self.before = dict(self.entries)

    @property
    def changed(self) -> list[tuple[LedgerEntry, LedgerEntry]]:
        """Each changed version before and after."""
        return [(self.before[v], e) for v, e in self.entries.items() if e is not self.before[v]]

    def settle(self, outcome: FileOutcome) -> None:
        """Give a planned version of this key its outcome."""
        version = outcome.ref.version_id
        match outcome:
            case FileCommitted():
                self._accept(version, outcome)
            case FileQuarantined():
                self._reject(version, outcome)
            case FileEmpty():
                if self.entries[version].serving:
                    self._keep_serving(version, outcome, "empty when processed again; the rows it has stay")
                else:
                    self.change(version, outcome, state=State.EMPTY, outcome_=Outcome.EMPTY, facts=outcome.facts)
            case FileFailed():
                self._put_back(version, outcome.error, outcome.milliseconds, outcome.kind, spared=outcome.spared)
            case FileDeferred():
                self._put_back(version, outcome.reason, outcome.milliseconds, None)
            case FileGone():
                if self.entries[version].serving:
                    self._keep_serving(version, outcome, "deleted before it was read again; the rows it has stay")
                else:
                    self.change(
                        version,
                        outcome,
                        state=State.GONE,
                        outcome_=Outcome.REMOVED,
                        reason="deleted before it was read",
                    )
            case FileRemoved():
                self._remove(version, outcome)
            case FileArchived() if self.entries[version].serving:
                self._keep_serving(version, outcome, "archived, and not read again; the rows it has stay")
            case FileArchived() if self.entries[version].restored:
                self._put_back(version, "restored while it was read", outcome.milliseconds, None)
                self.entries[version] = replace(self.entries[version], restored=False)
            case FileArchived():
                self.change(
                    version,
                    outcome,
                    state=State.ARCHIVED,
                    outcome_=Outcome.PENDING,
                    reason="archived; waits for a restore",
                )
            case _ as never:
                assert_never(never)

    # ---- verdicts

    def _accept(self, version: str, outcome: FileCommitted) -> None:
        entry, head = self.entries[version], self.head
        if outcome.left_out:
            if head.serving_version == version:
                self.head = replace(head, serving_version=None, serving_order=None)
            self.change(
                version, outcome, state=State.COMMITTED, outcome_=Outcome.SUPERSEDED, facts=outcome.facts, serving=False,
                reason="accepted, and left out: what is above it has rows in the table, or its object was removed",
            )  # fmt: skip
            return
        if head.serving_version not in (None, version) and entry.order < (head.serving_order or ""):
            self.change(
                version, outcome, state=State.COMMITTED, outcome_=Outcome.SUPERSEDED, facts=outcome.facts,
                reason=f"accepted, below the serving version {head.serving_version}",
            )  # fmt: skip
            return
        reason = f"superseded by {version}"
        if head.serving_version not in (None, version):
            # Also when a live batch holds it, processing it again: that settles nothing then.
            self.change(
                head.serving_version or "", None, state=State.COMMITTED, outcome_=Outcome.SUPERSEDED, serving=False,
                next_at=None, reason=reason,
            )  # fmt: skip
        for other in list(self.entries.values()):
            if other.outcome is Outcome.QUARANTINED and other.order < entry.order:
                self.change(other.version.version_id, None, outcome_=Outcome.SUPERSEDED, reason=reason)
        left = any(e.outcome is Outcome.QUARANTINED for e in self.entries.values())
        self.head = replace(self.head, serving_version=version, serving_order=entry.order, rejections=left)
        self.change(
            version,
            outcome,
            state=State.COMMITTED,
            outcome_=Outcome.LOADED,
            serving=True,
            facts=outcome.facts,
            clear=True,
            reason=outcome.note,
        )

    def _remove(self, version: str, outcome: FileRemoved) -> None:
        entry = self.entries[version]
        if outcome.gone and not entry.object_removed:
            self.found_gone.append(entry)
        if self.head.serving_version == version:
            self.head = replace(self.head, serving_version=None, serving_order=None)
        self.change(
            version, outcome, state=State.COMMITTED if entry.serving else State.GONE, outcome_=Outcome.REMOVED,
            serving=False, object_removed=entry.object_removed or outcome.gone,
            reason="its object was removed: its rows are out of the table" if entry.serving else "its object was removed before it was loaded",
        )  # fmt: skip

    def _reject(self, version: str, outcome: FileQuarantined) -> None:
        entry = self.entries[version]
        if entry.serving:
            self._keep_serving(version, outcome, "rejected when processed again; the rows it has stay")
        elif self.head.serving_version is not None and entry.order < (self.head.serving_order or ""):
            self.change(
                version, outcome, state=State.QUARANTINED, outcome_=Outcome.SUPERSEDED, facts=outcome.facts,
                reason=f"rejected, below the serving version {self.head.serving_version}",
            )  # fmt: skip
        else:
            self.head = replace(self.head, rejections=True)
            self.change(version, outcome, state=State.QUARANTINED, outcome_=Outcome.QUARANTINED, facts=outcome.facts)

    def _keep_serving(
        self, version: str, outcome: FileQuarantined | FileEmpty | FileGone | FileArchived, reason: str
    ) -> None:
        rejudged = None if isinstance(outcome, FileGone | FileArchived) else outcome.facts
        self.change(version, outcome, state=State.COMMITTED, outcome_=Outcome.LOADED, rejudged=rejudged, reason=reason)

    def _put_back(
        self, version: str, reason: str, milliseconds: int, fault: FaultKind | None, *, spared: bool = False
    ) -> None:
        entry, record = put_back(
            self.entries[version], self.now, self.policy, reason=reason, fault=fault, spared=spared, run=self.run
        )
        self.entries[version] = entry
        times, trace_id = self.batch_times, self.trace_id
        self.history.append(
            replace(record, milliseconds=milliseconds, batch_times=times, steps=self.steps, trace_id=trace_id)
        )

    def change(
        self,
        version: str,
        outcome: FileOutcome | None,
        *,
        reason: str = "",
        clear: bool = False,
        outcome_: Outcome,
        **fields: object,
    ) -> None:
        old = self.entries[version]
        settled = outcome is not None
        fields.setdefault("facts", old.facts)
        if fields["facts"] is None:
            fields["facts"] = old.facts
        if settled:
            fields.update(next_at=None, error=None, given_up=())
        if clear:
            fields.update(rejudged=None)
        new = replace(
            old, outcome=outcome_, changed_at=self.now, revision=old.revision + 1, **fields  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
        self.entries[version] = new
        judged = outcome.facts if isinstance(outcome, FileCommitted | FileQuarantined | FileEmpty) else None
        shown = old.state
        if old.state is State.PLANNED and settled:
            # What the batch's item says; the entry itself holds `planned` while the batch is claimed.
            shown = State.COMMITTING if isinstance(outcome, FileCommitted) else State.CLAIMED
        self.history.append(
            HistoryRecord(
                at=self.now,
                version_id=version,
                from_state=shown,
                to_state=new.state,
                outcome=new.outcome,
                batch_id=new.batch_id,
                run=self.run,
                reason=reason,
                rows=judged.rows_read if judged else None,
                milliseconds=outcome.milliseconds if outcome else None,
                facts=judged,
                batch_times=self.batch_times if settled else None,
                steps=self.steps if settled else (),
                trace_id=self.trace_id if settled else None,
            )
        )


def registered(entry: LedgerEntry) -> HistoryRecord:
    """The first record of a version. Not kept beside it: the entry says as much."""
    first = State.UNROUTED if entry.dataset is None else State.SEEN
    outcome = Outcome.UNROUTED if entry.dataset is None else Outcome.PENDING
    return HistoryRecord(entry.first_seen_at, entry.version.version_id, None, first, outcome, reason="registered")


def planned(entry: LedgerEntry, batch_id: str, now: datetime) -> tuple[LedgerEntry, HistoryRecord]:
    """A due version goes into a batch. The record is not kept beside it: the batch's own tells it."""
    new = replace(
        entry,
        state=State.PLANNED,
        batch_id=batch_id,
        next_at=None,
        deferred=None,
        changed_at=now,
        revision=entry.revision + 1,
    )
    return new, HistoryRecord(
        now, entry.version.version_id, entry.state, State.PLANNED, entry.outcome, batch_id, reason="planned"
    )


def deferred(entry: LedgerEntry, now: datetime, reason: str) -> tuple[LedgerEntry, HistoryRecord]:
    """A due version waits for other hours, because its dataset says so."""
    new = replace(entry, deferred=reason, changed_at=now, revision=entry.revision + 1)
    return new, HistoryRecord(now, entry.version.version_id, entry.state, entry.state, entry.outcome, reason=reason)


def put_back(
    entry: LedgerEntry,
    now: datetime,
    policy: RetryPolicy,
    *,
    reason: str,
    fault: FaultKind | None,
    run: str | None,
    spared: bool = False,
) -> tuple[LedgerEntry, HistoryRecord]:
    """A planned version leaves its batch unsettled: due at once, or after a `fault` later, dead when that was the last time.

    `spared`: the fault is its whole dataset's (which is paused): it waits like others, and is no nearer to its end.
    """
    new = replace(entry, changed_at=now, revision=entry.revision + 1, state=State.SEEN, outcome=Outcome.PENDING)
    if fault is None:
        new = replace(new, next_at=now)
    else:
        before = entry.fault_times if entry.fault is fault else 0
        times = before if spared else before + 1
        new = replace(new, attempts=entry.attempts + 1, fault=fault, fault_times=times, error=reason)
        if times >= policy.limit(fault):
            new = replace(new, state=State.DEAD, outcome=Outcome.FAILED, next_at=None)
        else:
            new = replace(new, state=State.RETRY_WAIT, next_at=now + delay_of(new, policy))
    state, outcome = new.state, new.outcome
    return new, HistoryRecord(now, entry.version.version_id, entry.state, state, outcome, entry.batch_id, run, reason)


def delay_of(entry: LedgerEntry, policy: RetryPolicy) -> timedelta:
    """How long a version waits after its latest fault."""
    seconds = policy.delay_s(entry.fault or FaultKind.LASTING, max(1, entry.fault_times))
    spread = hashlib.sha256(f"{entry.ref.object_id}{entry.ref.version_id}{entry.attempts}".encode()).digest()[0] / 255
    return timedelta(seconds=seconds * (1 - spread / 4))


def can_be_made_due(entry: LedgerEntry) -> bool:
    """Whether a version has something to be done again: it serves, or was never accepted and nothing stands above it."""
    if entry.outcome is Outcome.REMOVED:
        return False
    if entry.serving or entry.state in DUE_STATES:
        return True
    if entry.state is State.QUARANTINED:
        return entry.outcome is Outcome.QUARANTINED
    return entry.state in (State.EMPTY, State.DEAD, State.ARCHIVED)


def awaits_retraction(entry: LedgerEntry) -> bool:
    """Whether it is decided that a serving version's rows leave the table, whatever becomes of its object until they have."""
    return entry.serving and entry.trigger is Trigger.REMOVAL and entry.state is not State.COMMITTED


def made_due(
    entry: LedgerEntry, now: datetime, trigger: Trigger, reason: str
) -> tuple[LedgerEntry, HistoryRecord] | None:
    """A version becomes due on purpose, with all its attempts, deferred or not; None when it is due already.

    One that waits for its rows to be taken out stays one that does: nothing else may become of it before.
    """
    retries = entry.next_at is not None and entry.next_at > now and entry.state is State.RETRY_WAIT
    waits = retries or entry.deferred is not None
    if entry.state in DUE_STATES and not waits:
        return None
    new = replace(
        entry,
        state=State.SEEN,
        outcome=Outcome.PENDING,
        next_at=now,
        deferred=None,
        attempts=0,
        fault=None,
        fault_times=0,
        trigger=Trigger.REMOVAL if awaits_retraction(entry) else trigger,
        changed_at=now,
        revision=entry.revision + 1,
    )
    record = HistoryRecord(
        now, entry.version.version_id, entry.state, State.SEEN, Outcome.PENDING, reason=reason or trigger.value
    )
    return new, record
