"""Taking note of what was put into the landing bucket: versions seen, and adopted by a new dataset.

Registering is one conditional put a version, up to about a hundred in one transaction with their counters. Only when a
transaction is refused are the versions looked up: those known already are duplicates and are counted as such.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from pipelines.accounting.books import Books
from pipelines.accounting.changes import (
    Group,
    add_history,
    entry_change,
    head_change,
    new_entry,
    pack,
)
from pipelines.accounting.entries import (
    HistoryRecord,
    LedgerEntry,
    Registered,
    Sighting,
    VersionRef,
    order_of,
)
from pipelines.accounting.items import FORMAT
from pipelines.accounting.keys import NO_DATASET, entry_key
from pipelines.accounting.outbox import encode_change
from pipelines.accounting.removals import Removals
from pipelines.accounting.states import Outcome, State, Trigger
from pipelines.accounting.transitions import KeyWork, registered
from pipelines.errors import TransientError
from pipelines.ports import Change, Equals, ItemKey, Present, Put, Refused, Update, Written

__all__ = ["Registration"]

_ROUNDS = 20
_ROUTING = ItemKey("routing", "mark")


class Registration:
    """What intake tells the ledger."""

    def __init__(self, books: Books, removals: Removals) -> None:
        """Remembers which datasets it has listed, to list each once a process."""
        self._books = books
        self._removals = removals
        self._listed: set[str] = set()

    def register(self, sightings: Sequence[Sighting], retracting: Collection[str]) -> Registered:
        """Enter each version that is not known; count each that is. Doing it again changes nothing but that count.

        Last comes what removals told before: a removal that is recorded meanwhile finds the versions that are entered here.
        """
        self._list_datasets(sightings)
        write_id = self._books.new_id()
        first: dict[VersionRef, Sighting] = {}
        again: list[Sighting] = []
        for sighting in sightings:
            if sighting.ref in first:
                again.append(sighting)
            else:
                first[sighting.ref] = sighting
        new = self._enter(list(first.values()), write_id)
        again.extend(s for s in first.values() if s.ref not in new)
        if again:
            self._count_duplicates(again)
        self._removals.apply_where_removed([s.ref.object_id for s in sightings], retracting)
        return Registered(
            new=tuple(ref for ref in first if ref in new),
            duplicates=tuple(s.ref for s in again),
        )

    def adopt(self, sighting: Sighting) -> bool:
        """Give a version that no dataset claimed to the dataset that does now; False when that has happened already."""
        self._list_datasets([sighting])
        books = self._books
        for _ in range(_ROUNDS):
            entries, heads = books.entries_and_heads([sighting.ref], [sighting.ref.object_id])
            entry = entries.get(sighting.ref)
            if entry is None or entry.state is not State.UNROUTED or sighting.dataset is None:
                return False
            now = books.now()
            after = replace(
                entry,
                dataset=sighting.dataset,
                landing_day=sighting.landing_day,
                state=State.SEEN,
                outcome=Outcome.PENDING,
                next_at=now,
                changed_at=now,
                revision=entry.revision + 1,
            )
            version_id = sighting.ref.version_id
            work = KeyWork(heads[sighting.ref.object_id], {version_id: entry}, now, books.policy)
            work.entries[version_id] = after
            reason = f"claimed by the dataset {sighting.dataset}"
            work.history.append(
                HistoryRecord(now, version_id, State.UNROUTED, State.SEEN, Outcome.PENDING, reason=reason)
            )
            if isinstance(self._write_key(work), Written):
                return True
        raise TransientError(f"{sighting.version.uri} changes too often to be adopted; try again")

    def routing_mark(self) -> str | None:
        """The mark of the routing that unclaimed versions were last held against."""
        item = self._books.store.get([_ROUTING]).get(_ROUTING)
        return str(item["mark"]) if item is not None else None

    def set_routing_mark(self, mark: str) -> None:
        """Remember that unclaimed versions were held against this routing."""
        self._books.write([Put(_ROUTING, {"format": FORMAT, "mark": mark})])

    # ---- helpers

    def _list_datasets(self, sightings: Sequence[Sighting]) -> None:
        for name in sorted({s.dataset or NO_DATASET for s in sightings} - self._listed):
            self._books.write([Put(ItemKey("datasets", name), {"format": FORMAT, "dataset": name})])
            self._listed.add(name)

    def _enter(self, sightings: Sequence[Sighting], write_id: str) -> set[VersionRef]:
        """The versions that are new. Refused transactions are cleared of known versions and written again."""
        new: set[VersionRef] = set()
        left = {s.ref: self._fresh(s, write_id) for s in sightings}
        for _ in range(_ROUNDS):
            if not left:
                return new
            refused = False
            for transaction in pack([self._group_of(entry) for entry in left.values()], self._books.new_id):
                names = {name for name in transaction.names if name is not None}
                if isinstance(self._books.write(transaction.changes), Refused):
                    refused = True
                    continue
                for ref in [ref for ref in left if _name(ref) in names]:
                    new.add(ref)
                    del left[ref]
            if refused:
                for ref, known in self._books.entries(left).items():
                    if known.registered_by == write_id:
                        new.add(ref)  # our own write, whose answer was lost
                    del left[ref]
        raise TransientError("versions could not be registered: others register the same ones; try again")

    def _count_duplicates(self, sightings: Sequence[Sighting]) -> None:
        """Count further events of known versions; and take their sequencer, if only a listing had told of them so far.

        Written once, never sent again: after an unknown outcome the message comes again and is counted then.
        """
        told: dict[VersionRef, list[Sighting]] = {}
        for sighting in sightings:
            told.setdefault(sighting.ref, []).append(sighting)
        groups: list[Group] = []
        for ref, entry in self._books.entries(told).items():
            number = len(told[ref])
            change = Update(entry_key(ref), add={"duplicates": number}, conditions=(Present(),))
            version = told[ref][0].version
            if version.sequencer and not entry.version.sequencer and entry.outcome is Outcome.PENDING:
                learned = {
                    "sequencer": version.sequencer.sortable(),
                    "order": order_of(version),
                    "revision": entry.revision + 1,
                }
                change = replace(change, set_=learned, conditions=(Equals("revision", entry.revision),))
            counted = {(entry.dataset, entry.landing_day): {"duplicates": number}}
            groups.append(Group(_name(ref), [change], counted))
        for transaction in pack(groups, self._books.new_id):
            if isinstance(self._books.store.write(transaction.changes), Refused):
                # Somebody changed a version whose sequencer was to be learned: counted without it.
                plain = [replace(g, changes=[_count_only(g.changes[0])]) for g in groups if g.name in transaction.names]
                for again in pack(plain, self._books.new_id):
                    self._books.store.write(again.changes)

    def _fresh(self, sighting: Sighting, write_id: str) -> LedgerEntry:
        now = self._books.now()
        return LedgerEntry(
            version=sighting.version,
            order=order_of(sighting.version),
            dataset=sighting.dataset,
            landing_day=sighting.landing_day,
            state=State.UNROUTED if sighting.dataset is None else State.SEEN,
            outcome=Outcome.UNROUTED if sighting.dataset is None else Outcome.PENDING,
            first_seen_at=now,
            changed_at=now,
            next_at=now,
            trigger=Trigger.SWEEP if sighting.source == "sweep" else Trigger.EVENT,
            registered_by=write_id,
        )

    @staticmethod
    def _group_of(entry: LedgerEntry) -> Group:
        group = Group(_name(entry.ref))
        new_entry(group, entry)
        group.told.append(encode_change(entry, registered(entry)))
        return group

    def _write_key(self, work: KeyWork, *more: Put) -> Written | Refused:
        """Write a key's changes in one transaction, or in several when it has more versions than one can hold."""
        oid = work.head.object_id
        groups: list[Group] = []
        for before, after in work.changed:
            group = Group(f"{oid}#{after.version.version_id}")
            entry_change(group, before, after)
            records = [r for r in work.history if r.version_id == after.version.version_id]
            moved = before.landing_day if before.landing_day != after.landing_day else None
            add_history(group, after, records, self._books.new_id(), counted_before=moved)
            groups.append(group)
        last = Group(oid)
        if work.head != work.before_head:
            head_change(last, work.before_head, work.head)
        last.changes.extend(more)
        if last:
            groups.append(last)  # what makes the whole known comes last: a crash in between is done again
        for transaction in pack(groups, self._books.new_id):
            if isinstance(refused := self._books.write(transaction.changes), Refused):
                return refused
        return Written()


def _name(ref: VersionRef) -> str:
    return f"{ref.object_id}#{ref.version_id}"


def _count_only(change: Change) -> Change:
    return replace(change, set_={}, conditions=(Present(),)) if isinstance(change, Update) else change
