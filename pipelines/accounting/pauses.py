"""The breakers of all datasets in the books: one item a dataset, and a history of what became of each.

    breakers               <dataset>              the breaker, once a fault was counted
    breaker#<dataset>      history#<time>#<id>#0  paused, probed, resumed

Each change is conditional on the breaker it was worked out from; whoever comes second works it out again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipelines.accounting.audit import AuditLog, Deed
from pipelines.accounting.books import Books
from pipelines.accounting.breaker import (
    Breaker,
    BreakerPolicy,
    Flow,
    after_fault,
    after_verdict,
    paused_by,
    probing,
    resumed_by,
)
from pipelines.accounting.items import FORMAT
from pipelines.accounting.keys import history_key, iso, parse_iso
from pipelines.errors import TransientError
from pipelines.ports import Absent, Condition, Equals, Item, ItemKey, ItemValue, Put, Written

__all__ = ["PauseRecord", "Pauses"]

_ROUNDS = 20
_ITSELF = "lakegate"
_DEEDS = {"paused": "pause", "resumed": "resume"}


@dataclass(frozen=True, slots=True)
class PauseRecord:
    """One thing that became of a dataset's breaker: `what` is paused, probed or resumed."""

    at: datetime
    what: str
    by: str
    reason: str


class Pauses:
    """What planner, workers and operators do with breakers."""

    def __init__(self, books: Books, policy: BreakerPolicy, audit: AuditLog) -> None:
        """Works on the books given; what people do is in the audit log, in the same transaction."""
        self._books = books
        self._audit = audit
        self.policy = policy

    def breakers(self, datasets: Sequence[str]) -> dict[str, Breaker]:
        """The breaker of each of these datasets."""
        keys = {_key(name): name for name in datasets}
        found = self._books.store.get(list(keys)) if keys else {}
        return {name: _decode(name, found.get(key)) for key, name in keys.items()}

    def fault(self, dataset: str, code: str, reason: str, batch_id: str) -> Breaker:
        """Count a fault that stopped a batch before any verdict; the breaker after it."""
        now = self._books.now()
        return self._change(dataset, lambda b: after_fault(b, code, reason, batch_id, now, self.policy), "paused", code)

    def verdict(self, dataset: str) -> Breaker:
        """A batch of the dataset reached a verdict: one read, and a write only if faults were counted."""
        return self._change(dataset, after_verdict, "resumed", "a file came to its verdict")

    def probe(self, dataset: str, batch_id: str) -> Breaker | None:
        """Take the right to send this batch as the probe; None when it is no longer there to take."""
        now = self._books.now()
        before = self.breakers([dataset])[dataset]
        if before.flow(now) is not Flow.PROBE:
            return None
        after = probing(before, batch_id, now, self.policy)
        return after if self._put(before, after, "probed", f"with the batch {batch_id}") else None

    def pause(self, dataset: str, who: str, reason: str) -> Breaker:
        """Pause a dataset by hand."""
        now = self._books.now()
        return self._change(dataset, lambda b: paused_by(b, who, reason, now), "paused", reason, who)

    def resume(self, dataset: str, who: str) -> Breaker:
        """Let a dataset go on; the breaker as it was."""
        before = self.breakers([dataset])[dataset]
        self._change(dataset, resumed_by, "resumed", "by hand", who)
        return before

    def history(self, dataset: str) -> Iterator[PauseRecord]:
        """What became of a dataset's breaker, in order of time."""
        for item in self._books.query(f"breaker#{dataset}", "history#"):
            yield PauseRecord(parse_iso(str(item["at"])), str(item["what"]), str(item["by"]), str(item["reason"]))

    # ---- helpers

    def _change(
        self, dataset: str, change: Callable[[Breaker], Breaker], what: str, reason: str, who: str = _ITSELF
    ) -> Breaker:
        for _ in range(_ROUNDS):
            before = self.breakers([dataset])[dataset]
            after = change(before)
            if after == before:
                return before
            told = before.is_paused != after.is_paused or (before.until, before.by) != (after.until, after.by)
            said = reason if who != _ITSELF or what != "paused" else f"{after.times} times {after.code}: {after.reason}"
            if self._put(before, after, what if told else "", said, who):
                return after
        raise TransientError(f"the breaker of {dataset} changes too often; try again")

    def _put(self, before: Breaker, after: Breaker, what: str, reason: str, who: str = _ITSELF) -> bool:
        now = self._books.now()
        same: Condition = Equals("revision", before.revision) if before.revision else Absent()
        changes = [Put(_key(before.dataset), _encode(after, before.revision + 1), (same,))]
        if what:
            item: dict[str, ItemValue] = {"format": FORMAT, "at": iso(now), "what": what, "by": who, "reason": reason}
            changes.append(Put(history_key(f"breaker#{before.dataset}", now, self._books.new_id(), 0), item))
        deed = Deed(who, _DEEDS.get(what, what), before.dataset, why=reason)
        noted = self._audit.changes(deed) if what and who != _ITSELF else []
        is_written = isinstance(self._books.write([*changes, *noted]), Written)
        if is_written and noted:
            self._audit.told(noted)
        return is_written


def _key(dataset: str) -> ItemKey:
    return ItemKey("breakers", dataset)


def _encode(breaker: Breaker, revision: int) -> dict[str, ItemValue]:
    return {
        "format": FORMAT,
        "code": breaker.code,
        "reason": breaker.reason,
        "times": breaker.times,
        "pauses": breaker.pauses,
        "paused_at": iso(breaker.paused_at) if breaker.paused_at else None,
        "until": iso(breaker.until) if breaker.until else None,
        "probe": breaker.probe,
        "by": breaker.by,
        "revision": revision,
    }


def _decode(dataset: str, item: Item | None) -> Breaker:
    if item is None:
        return Breaker(dataset)
    raw: Mapping[str, object] = item
    paused_at, until, probe = raw["paused_at"], raw["until"], raw["probe"]
    return Breaker(
        dataset=dataset,
        code=str(raw["code"]),
        reason=str(raw["reason"]),
        times=int(str(raw["times"])),
        pauses=int(str(raw["pauses"])),
        paused_at=parse_iso(str(paused_at)) if paused_at else None,
        until=parse_iso(str(until)) if until else None,
        probe=str(probe) if probe else None,
        by=str(raw["by"]),
        revision=int(str(raw["revision"])),
    )
