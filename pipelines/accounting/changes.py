"""From entries before and after to conditional writes: updates, counters in step with them, transactions of the right size.

Pure. The counters are a sum over entries by construction: a change adds what the entry counts for after, less what it
counted for before, in the same transaction and under the condition that the entry still is what it was.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from pipelines.accounting.day_counts import contract_counters
from pipelines.accounting.entries import Head, HistoryRecord, LedgerEntry
from pipelines.accounting.items import FORMAT, encode_entry, encode_head, encode_history
from pipelines.accounting.keys import (
    COUNT_SHARDS,
    NO_DATASET,
    OUTBOX_SHARDS,
    count_key,
    entry_key,
    head_key,
    history_key,
    outbox_key,
)
from pipelines.accounting.outbox import encode_change
from pipelines.accounting.states import Outcome
from pipelines.ports import Absent, Change, Condition, Equals, ItemKey, ItemValue, Put, Update

__all__ = ["MAX_CHANGES", "Counters", "Group", "Transaction", "add_history", "counter_update", "counts_for", "entry_change",
           "head_change", "new_entry", "pack", "shard_of"]  # fmt: skip

MAX_CHANGES = 100
"""Changes in one transaction (DynamoDB, TransactWriteItems)."""
_TOLD_CHARACTERS = 60_000
"""What one transaction puts into the outbox, unless a single key has more to tell: DynamoDB takes items of up to 400 kB."""
Counters = dict[tuple[str | None, date], dict[str, int]]


@dataclass(slots=True)
class Group:
    """Changes that must be made together: those of one key. `name` says whose they are.

    `told` are the changes of state among them, for the outbox.
    """

    name: str
    changes: list[Change] = field(default_factory=list[Change])
    counters: Counters = field(default_factory=Counters)
    told: list[str] = field(default_factory=list[str])

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.changes)

    @property
    def size(self) -> int:
        """Changes that the group takes in a transaction, its counters among them."""
        return len(self.changes) + len(self.counters)


@dataclass(slots=True)
class Transaction:
    """What is written at once. `names[i]` is the group that change i belongs to, None for checks and counters."""

    changes: list[Change]
    names: list[str | None]

    def groups_at(self, positions: Iterable[int]) -> set[str]:
        """The groups that changes at these positions belong to."""
        return {name for i in positions if (name := self.names[i]) is not None}


def counts_for(entry: LedgerEntry) -> dict[str, int]:
    """What one entry counts for, beside its duplicates (those are counted as they come)."""
    counts = {"objects": 1, "bytes": entry.version.size_bytes, entry.outcome.value: 1}
    if entry.serving and entry.facts:
        counts["serving_files"] = 1
        counts["rows_read"] = entry.facts.rows_read
        counts["rows_in_table"] = entry.facts.rows_accepted
        counts["rows_rejected"] = entry.facts.rows_rejected
    if entry.outcome is Outcome.QUARANTINED and entry.facts:
        counts["quarantined_rows_read"] = entry.facts.rows_read
    if entry.deferred is not None:
        counts["deferred"] = 1
    return counts | contract_counters(entry)


def new_entry(group: Group, entry: LedgerEntry) -> None:
    """Add the writing of an entry that must not exist yet."""
    group.changes.append(Put(entry_key(entry.ref), encode_entry(entry), (Absent(),)))
    _count(group.counters, entry, 1)


def entry_change(group: Group, before: LedgerEntry, after: LedgerEntry) -> None:
    """Add the change of an entry, if it still has the revision it had."""
    old, new = encode_entry(before), encode_entry(after)
    group.changes.append(
        Update(
            entry_key(after.ref),
            set_={name: value for name, value in new.items() if name not in old or old[name] != value},
            remove=tuple(name for name in old if name not in new),
            conditions=(Equals("revision", before.revision),),
        )
    )
    _count(group.counters, before, -1)
    _count(group.counters, after, 1)
    for counted, numbers in list(group.counters.items()):
        for name in [name for name, number in numbers.items() if number == 0]:
            del numbers[name]
        if not numbers:
            del group.counters[counted]


def head_change(group: Group, before: Head, after: Head) -> None:
    """Add the change of a head, if it still has the revision it had (or is still absent)."""
    condition: Condition = Equals("revision", before.revision) if before.revision else Absent()
    item = encode_head(after)
    item["revision"] = before.revision + 1
    group.changes.append(Put(head_key(after.object_id), item, (condition,)))


def add_history(
    group: Group,
    after: LedgerEntry,
    records: Sequence[HistoryRecord],
    write_id: str,
    *,
    counted_before: date | None = None,
) -> None:
    """Add the history of a changed version: kept under its key, and told to the outbox.

    `counted_before` is the landing day it was counted under, where that changes.
    """
    for number, record in enumerate(records):
        key = history_key(f"object#{after.ref.object_id}", record.at, write_id, number)
        group.changes.append(Put(key, encode_history(record)))
        group.told.append(encode_change(after, record, counted_before))


def pack(
    groups: Iterable[Group], new_id: Callable[[], str], checks: Sequence[Change] = (), *, singly: bool = False
) -> Iterator[Transaction]:
    """Pack groups into transactions in order, each with the checks, one counter update for each day touched, and what it tells.

    `new_id` names what goes to the outbox: one item a transaction. `singly` gives each group a transaction of its own. A group
    is never split. Of a day's counter shards, a transaction takes the one that its first group falls on: transactions at the
    same time rarely meet.
    """
    waiting: list[Group] = []
    counted: set[tuple[str | None, date]] = set()
    first = len(checks) + 1
    size, told = first, 0
    for group in groups:
        more = len(group.changes) + len(set(group.counters) - counted)
        telling = sum(map(len, group.told))
        if waiting and (singly or size + more > MAX_CHANGES or told + telling > _TOLD_CHARACTERS):
            yield _transaction(waiting, new_id, checks)
            waiting, counted, size, told = [], set(), first, 0
            more = group.size
        waiting.append(group)
        counted |= set(group.counters)
        size += more
        told += telling
    if waiting:
        yield _transaction(waiting, new_id, checks)


def _transaction(groups: Sequence[Group], new_id: Callable[[], str], checks: Sequence[Change]) -> Transaction:
    changes: list[Change] = list(checks)
    names: list[str | None] = [None] * len(checks)
    total: Counters = {}
    for group in groups:
        changes.extend(group.changes)
        names.extend([group.name] * len(group.changes))
        for counted, numbers in group.counters.items():
            day = total.setdefault(counted, {})
            for name, number in numbers.items():
                day[name] = day.get(name, 0) + number
    shard = shard_of(groups[0].name)
    for (dataset, landing_day), numbers in total.items():
        add = {name: number for name, number in numbers.items() if number}
        if add:
            changes.append(counter_update(dataset, landing_day, shard, add))
            names.append(None)
    if told := [line for group in groups for line in group.told]:
        # Never sent twice with effect: what a change of state is conditional on refuses the whole transaction.
        item: dict[str, ItemValue] = {"format": FORMAT, "count": len(told), "changes": "\n".join(told)}
        changes.append(Put(outbox_key(shard % OUTBOX_SHARDS, new_id()), item))
        names.append(None)
    return Transaction(changes, names)


def shard_of(name: str) -> int:
    """The counter shard that a group's name falls on."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) % COUNT_SHARDS


def counter_update(dataset: str | None, day: date, shard: int, add: Mapping[str, int]) -> Update:
    """Add numbers to a day's counters."""
    key: ItemKey = count_key(dataset, day, shard)
    facts = {"format": FORMAT, "dataset": dataset or NO_DATASET, "landing_day": day.isoformat()}
    return Update(key, set_=facts, add=add)


def _count(counters: Counters, entry: LedgerEntry, sign: int) -> None:
    numbers = counters.setdefault((entry.dataset, entry.landing_day), {})
    for name, number in counts_for(entry).items():
        numbers[name] = numbers.get(name, 0) + sign * number
