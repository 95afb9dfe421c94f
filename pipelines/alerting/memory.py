"""What was told, to which channel and when: kept between two looks as one short text, the sensor's cursor.

It holds conditions that are there or were until just now, and no more than `MOST_KNOWN` of them: it does not grow with
the number of files, runs or days.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.alerting.conditions import Condition, Kind, Look

__all__ = ["MOST_KNOWN", "Failing", "Known", "Memory", "Told"]

MOST_KNOWN = 200
_VERSION = 1
_LONGEST_ERROR = 200


@dataclass(frozen=True, slots=True)
class Told:
    """What a channel was told last of a condition, and how often it was told."""

    at: datetime
    count: int
    newest: datetime | None
    times: int


@dataclass(frozen=True, slots=True)
class Known:
    """A condition as it is remembered. `absent_since`: it was not seen from then on."""

    kind: Kind
    dataset: str | None
    reason: str
    since: datetime
    owner: str | None = None
    absent_since: datetime | None = None
    told: Mapping[str, Told] = field(default_factory=dict[str, Told])


@dataclass(frozen=True, slots=True)
class Failing:
    """A channel that took nothing since then, so many rounds in a row, and why the last time."""

    since: datetime
    times: int
    error: str


@dataclass(frozen=True, slots=True)
class Memory:
    """All that is remembered. `looked_at`: when the last look was; `left_out`: conditions that there was no room for."""

    looked_at: datetime | None = None
    known: Mapping[str, Known] = field(default_factory=dict[str, Known])
    failing: Mapping[str, Failing] = field(default_factory=dict[str, Failing])
    left_out: int = 0

    def since(self, kind: Kind, dataset: str | None, otherwise: datetime) -> datetime:
        """From when on things of this kind have to be looked at: the beginning of the oldest condition that is known."""
        moments = [k.since for k in self.known.values() if k.kind is kind and k.dataset == dataset]
        return min((*moments, otherwise))

    def after(self, look: Look, now: datetime, channels: Collection[str], settle: timedelta) -> "Memory":
        """The memory after a look. What was not seen for `settle`, and of which every channel knows that it is over, is forgotten."""
        present = {condition.key: condition for condition in look.conditions}
        known: dict[str, Known] = {}
        for key, one in self.known.items():
            told = {name: t for name, t in one.told.items() if name in channels}
            if key in present or look.is_unsure(one.kind, one.dataset):
                known[key] = replace(one, absent_since=None, told=told)
            else:
                gone = one.absent_since or now
                if told or now - gone < settle:
                    known[key] = replace(one, absent_since=gone, told=told)
        fresh = sorted((c for key, c in present.items() if key not in known), key=lambda c: (c.severity.rank, c.key))
        room = max(0, MOST_KNOWN - len(known))
        for condition in fresh[:room]:
            known[condition.key] = _known(condition, now)
        failing = {name: f for name, f in self.failing.items() if name in channels}
        left_out = len(fresh[room:])
        # What there was no room for is looked at again: the next look begins where this one did.
        return Memory(self.looked_at if left_out else now, known, failing, left_out)

    def told(self, channel: str, key: str, told: Told | None) -> "Memory":
        """With what a channel took of a condition; None: that it is over."""
        one = self.known[key]
        rest = {name: t for name, t in one.told.items() if name != channel}
        after = replace(one, told=rest if told is None else {**rest, channel: told})
        if told is None and not rest:
            return replace(self, known={k: v for k, v in self.known.items() if k != key})
        return replace(self, known={**self.known, key: after})

    def took(self, channel: str) -> "Memory":
        """A channel took what it was given."""
        return replace(self, failing={name: f for name, f in self.failing.items() if name != channel})

    def failed(self, channel: str, error: str, now: datetime) -> "Memory":
        """A channel took nothing."""
        before = self.failing.get(channel, Failing(now, 0, ""))
        failing = Failing(before.since, before.times + 1, error[:_LONGEST_ERROR])
        return replace(self, failing={**self.failing, channel: failing})

    # ---- as text

    def dump(self) -> str:
        """As one line of JSON."""
        known = [
            [
                one.kind.value, one.dataset, one.reason, one.owner, _seconds(one.since), _seconds(one.absent_since),
                {name: [_seconds(t.at), t.count, _seconds(t.newest), t.times] for name, t in one.told.items()},
            ]
            for one in self.known.values()
        ]  # fmt: skip
        failing = {name: [_seconds(f.since), f.times, f.error] for name, f in self.failing.items()}
        document = {"version": _VERSION, "looked_at": _seconds(self.looked_at), "known": known, "failing": failing}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"))

    @staticmethod
    def load(text: str | None) -> "Memory":
        """As it was dumped; an empty memory for what is none: then conditions that stand are told once more."""
        try:
            raw: Any = json.loads(text or "")
            if raw["version"] != _VERSION:
                return Memory()
            known = [
                Known(Kind(kind), dataset, reason, _moment(since), owner, _maybe(absent), _told(told))
                for kind, dataset, reason, owner, since, absent, told in raw["known"]
            ]
            failing = {name: Failing(_moment(at), times, error) for name, (at, times, error) in raw["failing"].items()}
            return Memory(_maybe(raw["looked_at"]), {_key(one): one for one in known}, failing)
        except (ValueError, TypeError, KeyError, AttributeError):
            return Memory()


def _known(condition: Condition, now: datetime) -> Known:
    since = min(condition.since, now)
    return Known(condition.kind, condition.dataset, condition.reason, since, condition.owner)


def _key(one: Known) -> str:
    return f"{one.kind}|{one.dataset or ''}|{one.reason}"


def _told(raw: Mapping[str, Any]) -> dict[str, Told]:
    return {name: Told(_moment(at), count, _maybe(newest), times) for name, (at, count, newest, times) in raw.items()}


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _maybe(seconds: float | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)
