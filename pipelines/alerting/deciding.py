"""Which conditions a channel is to be told of now. Decided as somebody would who has been woken by one. Pure.

    new     it was never told of
    worse   ten times as many as when it was told of, and at least 25 more
    again   some more came, and the interval is over
    still   nothing changed, it waits for a person, and the interval is over
    over    it was told of, and was not seen for a quarter of an hour

The interval after the first message is four hours, then twice as long each time, up to a day. A condition that goes and comes
back within the quarter of an hour is the same one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pipelines.alerting.conditions import Condition
from pipelines.alerting.memory import Known, Memory, Told

__all__ = ["AlertPolicy", "Due", "Event", "due_alerts"]


class Event(StrEnum):
    """Why a condition is told."""

    NEW = "new"
    WORSE = "worse"
    AGAIN = "again"
    STILL = "still"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """When a condition is told again. `digest_above`: more alerts than that go to a channel in one message."""

    repeat: timedelta = timedelta(hours=4)
    longest_repeat: timedelta = timedelta(days=1)
    settle: timedelta = timedelta(minutes=15)
    worse_factor: int = 10
    worse_by: int = 25
    digest_above: int = 3

    def interval(self, times: int) -> timedelta:
        """How long after the n-th message the next one comes at the earliest."""
        return min(self.repeat * 2 ** min(times - 1, 16), max(self.repeat, self.longest_repeat))


@dataclass(frozen=True, slots=True)
class Due:
    """What a channel is to be told: `condition` as it is now, None when it is over; `before` is what it was told last."""

    event: Event
    known: Known
    condition: Condition | None
    before: Told | None

    @property
    def key(self) -> str:
        """By which the condition is known."""
        return f"{self.known.kind}|{self.known.dataset or ''}|{self.known.reason}"

    def told(self, now: datetime) -> Told | None:
        """What is remembered once the channel took it."""
        if self.condition is None:
            return None
        times = self.before.times if self.before else 0
        return Told(now, self.condition.count, self.condition.newest, times + (self.event is not Event.WORSE))


def due_alerts(
    memory: Memory, conditions: Sequence[Condition], channel: str, now: datetime, policy: AlertPolicy
) -> list[Due]:
    """What the channel is to be told now, the worst first. `memory` is that after the look that found the conditions."""
    present = {condition.key: condition for condition in conditions}
    return sorted(_due(memory, present, channel, now, policy), key=_order)


def _due(
    memory: Memory, present: dict[str, Condition], channel: str, now: datetime, policy: AlertPolicy
) -> Iterator[Due]:
    for key, known in memory.known.items():
        before, condition = known.told.get(channel), present.get(key)
        if condition is None:
            if before and known.absent_since and now - known.absent_since >= policy.settle:
                yield Due(Event.OVER, known, None, before)
        elif (event := _event(known, condition, before, now, policy)) is not None:
            yield Due(event, known, condition, before)


def _event(known: Known, condition: Condition, before: Told | None, now: datetime, policy: AlertPolicy) -> Event | None:
    if before is None:
        return Event.NEW if now - known.since >= known.kind.wait else None
    more = condition.count - before.count
    if condition.count >= before.count * policy.worse_factor and more >= policy.worse_by:
        return Event.WORSE
    if now - before.at < policy.interval(before.times):
        return None
    if more > 0 or (condition.newest and before.newest and condition.newest > before.newest):
        return Event.AGAIN
    return Event.STILL if known.kind.stands else None


def _order(due: Due) -> tuple[bool, int, str]:
    return due.condition is None, due.condition.severity.rank if due.condition else 0, due.key
