"""Rounds of alerts over a clock turned by hand, and a channel that keeps what it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pipelines.alerting.conditions import Condition, Item, Kind, Look, Severity
from pipelines.alerting.deciding import AlertPolicy
from pipelines.alerting.memory import Memory
from pipelines.alerting.telling import Round, tell
from pipelines.errors import TransientError
from pipelines.ports import AlertMessage

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def files(
    number: int, dataset: str = "orders", reason: str = "type", at: datetime = NOON, newest: datetime | None = None
) -> Condition:
    """So many files in quarantine."""
    return Condition(
        kind=Kind.QUARANTINE,
        dataset=dataset,
        reason=reason,
        severity=Severity.WARNING,
        headline=f"{number:,} {'file' if number == 1 else 'files'} in quarantine: {reason}",
        happened="The contract was broken.",
        todo="Send it again.",
        since=at,
        count=number,
        newest=newest or at,
        owner=f"team:{dataset}",
        items=tuple(Item(f"landing/{dataset}/{n}.csv", 3, "amount", f"{n:016x}") for n in range(min(number, 10))),
        links={"docs": "docs/operating.md"},
    )


def paused(dataset: str = "flights", at: datetime = NOON) -> Condition:
    """A dataset that the breaker has paused: it waits for a person."""
    return replace(
        files(1, dataset, "breaker", at), kind=Kind.PAUSED, severity=Severity.ERROR, headline="paused: AccessDenied", items=()
    )  # fmt: skip


@dataclass
class Kept:
    """A channel that keeps what it took; it takes nothing while `error` is set."""

    name: str = "kept"
    place: str = "here"
    took: list[AlertMessage] = field(default_factory=list)
    error: str | None = None

    def send(self, message: AlertMessage) -> None:
        if self.error:
            raise TransientError(self.error)
        self.took.append(message)

    @property
    def subjects(self) -> list[str]:
        return [message.subject.removeprefix("Lakegate: ") for message in self.took]


@dataclass
class Sensor:
    """What the sensor does with its cursor, round after round; every memory goes through its text."""

    channels: Sequence[Kept]
    now: datetime = NOON
    cursor: str = ""
    policy: AlertPolicy = field(default_factory=AlertPolicy)

    def round(self, *conditions: Condition, after: timedelta = timedelta(), unsure: Sequence[Kind] = ()) -> Round:
        self.now += after
        look = Look(tuple(conditions), frozenset((kind, None) for kind in unsure))
        done = tell(self.channels, Memory.load(self.cursor), look, self.now, self.policy, lambda: 0.0)
        self.cursor = done.memory.dump()
        return done

    def subjects(
        self, *conditions: Condition, after: timedelta = timedelta(), unsure: Sequence[Kind] = ()
    ) -> list[str]:
        """What the first channel is told in a round."""
        before = len(self.channels[0].took)
        self.round(*conditions, after=after, unsure=unsure)
        return self.channels[0].subjects[before:]
