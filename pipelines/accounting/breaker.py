"""The breaker of a dataset: pauses it when faults of ours stop it the same way again and again. Pure: no store, no clock.

    closed    batches are planned as files come
       │  the same fault stopped `faults` batches in a row: nothing of them was loaded, rejected or found empty
       ▼
    paused    nothing is planned until `until`; then one batch of one file, the probe
       │  the probe reaches a verdict: closed              the probe is stopped as well: paused, twice as long
       ▼
    closed

Only faults of ours count, never verdicts on data. A person may pause a dataset, then nothing probes, or let it go on. Nothing is
lost meanwhile: files stay pending, and a fault that meets a paused dataset brings none of its files nearer to its end.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

__all__ = ["Breaker", "BreakerPolicy", "Flow", "after_fault", "after_verdict", "paused_by", "probing", "resumed_by"]

_REASON_CHARACTERS = 500


class Flow(StrEnum):
    """What may be planned of a dataset now."""

    ALL = "all"
    PROBE = "probe"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """After how many batches in a row a dataset is paused, and for how long: twice as long each time, up to the longest."""

    faults: int = 5
    first_wait_s: int = 300
    longest_wait_s: int = 3600

    def wait(self, pauses: int) -> timedelta:
        """The n-th pause of one trouble."""
        return timedelta(seconds=min(self.first_wait_s * 2 ** (pauses - 1), self.longest_wait_s))


@dataclass(frozen=True, slots=True)
class Breaker:
    """Where a dataset stands. `code` and `reason` are the latest fault's, met `times` in a row; `pauses` counts those of this trouble.

    `paused_at` is None while it is closed. `until` is when the next probe may go, None where a person (`by`) has to say so.
    `probe` is the batch that was sent last to see whether the trouble is over. `revision` 0 means: not stored yet.
    """

    dataset: str
    code: str = ""
    reason: str = ""
    times: int = 0
    pauses: int = 0
    paused_at: datetime | None = None
    until: datetime | None = None
    probe: str | None = None
    by: str = ""
    revision: int = 0

    @property
    def is_paused(self) -> bool:
        """Whether batches are held back."""
        return self.paused_at is not None

    def flow(self, now: datetime) -> Flow:
        """What may be planned now."""
        if not self.is_paused:
            return Flow.ALL
        return Flow.PROBE if self.until is not None and self.until <= now else Flow.NOTHING

    def sentence(self) -> str:
        """What people are told of a paused dataset."""
        if self.until is None:
            return f"{self.dataset} paused by {self.by}: {self.reason} (`lakegate resume {self.dataset}` ends it)"
        return f"{self.dataset} paused until {self.until:%Y-%m-%d %H:%M} UTC: {self.times} times {self.code}, last: {self.reason}"


def after_fault(
    breaker: Breaker, code: str, reason: str, batch_id: str, now: datetime, policy: BreakerPolicy
) -> Breaker:
    """A fault of ours stopped a batch, with no verdict on any of its files."""
    if breaker.is_paused and breaker.until is None:
        return breaker
    times = breaker.times + 1 if code == breaker.code else 1
    said = replace(breaker, code=code, reason=reason[:_REASON_CHARACTERS], times=times)
    if breaker.is_paused:
        # Batches that were under way when it was paused tell nothing new; the probe does.
        return _paused(said, now, policy) if batch_id == breaker.probe else said
    return _paused(said, now, policy) if times >= policy.faults else said


def _paused(breaker: Breaker, now: datetime, policy: BreakerPolicy) -> Breaker:
    pauses = breaker.pauses + 1
    return replace(
        breaker,
        pauses=pauses,
        paused_at=breaker.paused_at or now,
        until=now + policy.wait(pauses),
        probe=None,
        by="lakegate",
    )


def after_verdict(breaker: Breaker) -> Breaker:
    """A batch reached a verdict on a file: whatever the trouble was, it is over. What a person paused stays so."""
    if breaker.is_paused and breaker.until is None:
        return breaker
    return Breaker(breaker.dataset, revision=breaker.revision)


def probing(breaker: Breaker, batch_id: str, now: datetime, policy: BreakerPolicy) -> Breaker:
    """The probe is sent; should it be lost without a word, the next one goes after as long a wait."""
    return replace(breaker, probe=batch_id, until=now + policy.wait(max(1, breaker.pauses)))


def paused_by(breaker: Breaker, who: str, reason: str, now: datetime) -> Breaker:
    """A person pauses the dataset, until a person resumes it."""
    return replace(breaker, paused_at=breaker.paused_at or now, until=None, probe=None, by=who, reason=reason)


def resumed_by(breaker: Breaker) -> Breaker:
    """A person lets the dataset go on, whatever was."""
    return Breaker(breaker.dataset, revision=breaker.revision)
