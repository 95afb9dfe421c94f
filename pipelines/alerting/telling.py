"""One round: what is due to each channel goes out, and told is what the channel took.

A channel that does not take a message is left for this round, its alerts stay due, and the others get theirs. Delivery is at
least once: who dies between a message and the memory sends the same message, under the same id, once more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.alerting.conditions import Condition, Kind, Look, Severity, counted
from pipelines.alerting.deciding import AlertPolicy, Due, due_alerts
from pipelines.alerting.memory import Memory
from pipelines.alerting.message import compose
from pipelines.errors import LakegateError
from pipelines.ports import AlertChannel

__all__ = ["BUDGET_S", "Round", "Sent", "tell"]

BUDGET_S = 10.0
"""No message is begun to a channel after so long: Dagster gives a tick sixty seconds, and what was sent in one that is cut off
is sent again."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a channel: alerts that it took, in so many messages; those still due; and why it did not take them."""

    channel: str
    place: str
    alerts: int = 0
    messages: int = 0
    still_due: int = 0
    error: str | None = None

    def sentence(self) -> str:
        """For a log."""
        taken = f"{counted(self.alerts, 'alert')} in {counted(self.messages, 'message')}" if self.alerts else ""
        if self.error:
            stays = f"{counted(self.still_due, 'alert')} not taken and sent again in a minute: {self.error}"
            return f"{self.channel} ({self.place}): {f'{taken}; ' if taken else ''}{stays}"
        more = f"; {counted(self.still_due, 'alert')} in the next round" if self.still_due else ""
        return f"{self.channel} ({self.place}): {taken or 'nothing'}{more}"


@dataclass(frozen=True, slots=True)
class Round:
    """What a round came to, and the memory to go on with."""

    memory: Memory
    sent: tuple[Sent, ...]
    conditions: int

    def sentence(self) -> str:
        """What the round saw and did."""
        parts = [sent.sentence() for sent in self.sent if sent.alerts or sent.error or sent.still_due]
        seen = f"{counted(self.conditions, 'thing')} wrong" if self.conditions else "nothing is wrong"
        return "; ".join([f"{seen}, {'told' if parts else 'nothing new to tell'}", *parts])


@dataclass(slots=True)
class _Way:
    """A channel during a round."""

    channel: AlertChannel
    dues: list[Due]
    alerts: int = 0
    messages: int = 0
    error: str | None = field(default=None)


def tell(
    channels: Sequence[AlertChannel],
    memory: Memory,
    look: Look,
    now: datetime,
    policy: AlertPolicy,
    elapsed_s: Callable[[], float],
) -> Round:
    """Send what is due. `elapsed_s` is a clock for how long things take."""
    deaf = tuple(_deaf(memory, channels, now))
    look = Look((*look.conditions, *deaf), look.unsure)
    memory = memory.after(look, now, [channel.name for channel in channels], policy.settle)
    sent: list[Sent] = []
    for channel in channels:
        due = due_alerts(memory, look.conditions, channel.name, now, policy)
        way = _Way(
            channel, [d for d in due if not (d.known.kind is Kind.DEAF_CHANNEL and d.known.reason == channel.name)]
        )
        memory = _send(way, memory, now, policy, elapsed_s)
        sent.append(Sent(channel.name, channel.place, way.alerts, way.messages, len(way.dues), way.error))
    return Round(memory, tuple(sent), len(look.conditions))


def _send(way: _Way, memory: Memory, now: datetime, policy: AlertPolicy, elapsed_s: Callable[[], float]) -> Memory:
    name, begun_s = way.channel.name, elapsed_s()
    if not way.dues:
        return memory.took(name)
    while way.dues and elapsed_s() - begun_s < BUDGET_S:
        batch = way.dues if way.messages == 0 and len(way.dues) > policy.digest_above else way.dues[:1]
        try:
            way.channel.send(compose(batch, now, left_out=memory.left_out))
        except LakegateError as error:
            way.error = str(error)
            return memory.failed(name, way.error, now)
        for due in batch:
            memory = memory.told(name, due.key, due.told(now))
        memory = memory.took(name)
        way.alerts, way.messages, way.dues = way.alerts + len(batch), way.messages + 1, way.dues[len(batch) :]
    return memory


def _deaf(memory: Memory, channels: Sequence[AlertChannel], now: datetime) -> list[Condition]:
    """A channel that takes nothing is told on the others."""
    places = {channel.name: channel.place for channel in channels}
    return [
        Condition(
            kind=Kind.DEAF_CHANNEL,
            dataset=None,
            reason=name,
            severity=Severity.ERROR,
            headline=f"the alert channel {name} ({places[name]}) takes nothing",
            happened=f"It failed {counted(failing.times, 'time')} in a row, the last time: {failing.error}.",
            todo="`lakegate alerts test` tries each channel and says what happened. What it was to be told is sent as soon as it takes it.",
            since=min(failing.since, now),
        )
        for name, failing in memory.failing.items()
        if name in places
    ]
