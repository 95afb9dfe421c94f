"""What was removed from the landing bucket: what is recorded of it, and what becomes of the versions of its key.

A delete marker hides every version below it until the marker is itself deleted; one version may be deleted for good. Both
are recorded as they are told, in any order and as often as they come; which versions are removed follows from the records.

Where a dataset keeps the rows of removed objects, that is all. Where it retracts (`on_delete: retract`):

- A serving version whose object was removed is due, to have its rows taken out. Once that is decided it is done, even if the
  object comes back into sight meanwhile: then it is due again afterwards. So whoever publishes a lower version of the key may take
  those rows out in the same commit.
- Any other version whose object was removed is `removed`, unless a live batch has it, or a released one may have published
  it: then its settlement decides.
- The highest accepted version that is there is due again, if what stood above it is gone.
- A version that comes back into sight is what it was before: superseded, quarantined, empty; one never read is due.

Every write that depends on more than one version of such a key also writes or checks the head: whoever comes second reads again.
"""

from collections.abc import Collection
from dataclasses import replace

from pipelines.accounting.books import Books
from pipelines.accounting.changes import Group, add_history, entry_change, head_change, pack
from pipelines.accounting.entries import Head, HistoryRecord, LedgerEntry, Removal, VersionRef
from pipelines.accounting.items import decode_head, decode_removal, encode_removal
from pipelines.accounting.keys import head_key, removal_key
from pipelines.accounting.states import Outcome, State, Trigger
from pipelines.accounting.transitions import KeyWork, awaits_retraction, made_due
from pipelines.errors import TransientError
from pipelines.intake.objects import object_id
from pipelines.ports import Absent, Check, Equals, Put, Refused, Written

__all__ = ["Removals", "reconsider", "removal_of"]

_ROUNDS = 20
_BACK_AS = {
    State.COMMITTED: Outcome.SUPERSEDED,
    State.QUARANTINED: Outcome.QUARANTINED,
    State.EMPTY: Outcome.EMPTY,
    State.DEAD: Outcome.FAILED,
    State.ARCHIVED: Outcome.PENDING,
}


# ---- the rules, pure ----------------------------------------------------------------------------------------------


def reconsider(work: KeyWork, retracting: Collection[str], *, settled: bool) -> None:
    """Bring all versions of a key in line with which of their objects are there, as far as their datasets retract.

    `settled` says that a batch's verdicts were just written: what lies below a version that still waits for its retraction
    is then left until that is settled, or the two could wait for each other without end.
    """
    for entry in list(work.entries.values()):
        if entry.dataset not in retracting or entry.state is State.PLANNED:
            continue
        if entry.object_removed and entry.outcome is not Outcome.REMOVED:
            _take_away(work, entry)
        elif not entry.object_removed and entry.outcome is Outcome.REMOVED:
            _bring_back(work, entry)
    _uncover(work, [e for e in work.entries.values() if e.dataset in retracting], settled=settled)


def _take_away(work: KeyWork, entry: LedgerEntry) -> None:
    version = entry.version.version_id
    if entry.serving:
        if not awaits_retraction(entry):
            _make_due(work, entry, "its object was removed: its rows are to be taken out")
        return
    if entry.given_up:
        _make_due(work, entry, "its object was removed: whether a released batch had published it is to be seen")
        return
    # What waited to be read is as if it had never been: should it come back into sight, it is read then.
    waiting = entry.state in (State.SEEN, State.RETRY_WAIT)
    state = State.GONE if waiting else entry.state
    work.change(
        version,
        None,
        state=state,
        outcome_=Outcome.REMOVED,
        next_at=None,
        deferred=None,
        reason="its object was removed",
    )


def _bring_back(work: KeyWork, entry: LedgerEntry) -> None:
    if entry.state in _BACK_AS:
        work.change(
            entry.version.version_id, None, outcome_=_BACK_AS[entry.state], reason="its object is back in sight"
        )
    else:
        _make_due(work, entry, "its object is back in sight")


def _uncover(work: KeyWork, entries: Collection[LedgerEntry], *, settled: bool) -> None:
    """Make the highest accepted version that is there due if it does not serve; what was rejected above it is not superseded."""
    there = [entry for entry in entries if not entry.object_removed]
    top = max(filter(_was_accepted, there), key=lambda entry: entry.order, default=None)
    serving = work.entries.get(work.head.serving_version or "")
    leaves = serving is not None and (serving.object_removed or awaits_retraction(serving))
    # What a released batch may have published above it is settled first: until then that one's rows would push it out again and again.
    unsure = top is not None and any(entry.given_up and entry.order > top.order for entry in there)
    if top is not None and top.state is State.COMMITTED and not (top.serving or unsure or (settled and leaves)):
        _make_due(work, top, "the highest accepted version that is there: it is to serve again")
    for entry in there:
        if entry.state is State.QUARANTINED:
            is_below = top is not None and entry.order < top.order
            outcome = Outcome.SUPERSEDED if is_below else Outcome.QUARANTINED
            if entry.outcome is not outcome:
                reason = "an accepted version is above it" if is_below else "no accepted version is above it any more"
                work.change(entry.version.version_id, None, outcome_=outcome, reason=reason)


def _was_accepted(entry: LedgerEntry) -> bool:
    waits = entry.state in (State.SEEN, State.RETRY_WAIT, State.PLANNED)
    return entry.serving or entry.state is State.COMMITTED or (
        waits and entry.trigger is Trigger.REMOVAL and entry.facts is not None
    )  # fmt: skip


def _make_due(work: KeyWork, entry: LedgerEntry, reason: str) -> None:
    version = entry.version.version_id
    changed = made_due(entry, work.now, Trigger.REMOVAL, reason)
    if changed is not None:
        work.entries[version] = changed[0]
        work.history.append(changed[1])
    elif entry.trigger is not Trigger.REMOVAL:  # due already, for another reason
        work.entries[version] = replace(
            entry, trigger=Trigger.REMOVAL, changed_at=work.now, revision=entry.revision + 1
        )
        work.history.append(HistoryRecord(work.now, version, entry.state, entry.state, entry.outcome, reason=reason))


def removal_of(entry: LedgerEntry) -> Removal:
    """The record of a version that nothing told to be removed, and that was not there when it was read."""
    version = entry.version
    return Removal(
        version.bucket, version.key, version.version_id, entry.order, entry.changed_at, False, "not there when read"
    )


# ---- the operations -----------------------------------------------------------------------------------------------


class Removals:
    """What intake tells the ledger of objects that went, or can be read again."""

    def __init__(self, books: Books) -> None:
        """Works on the books given."""
        self._books = books

    def removed(self, removal: Removal, retracting: Collection[str], *, listed: bool = False) -> None:
        """Record a removal, then what follows from it. Repeatable at any point.

        `listed`: a listing shows where a delete marker stands, which moves it up if it is recorded below that.
        """
        self._record(removal, listed=listed)
        self.apply(object_id(removal.bucket, removal.key), retracting)

    def apply(self, oid: str, retracting: Collection[str]) -> None:
        """Bring a key's versions in line with the removals recorded. Changes nothing where they are."""
        books = self._books
        for _ in range(_ROUNDS):
            head = self._head(oid)
            if not head.removals:
                return
            gone, top = _recorded(self._known(oid).values())
            entries = {e.version.version_id: e for e in books.versions(oid)}
            work = KeyWork(head, entries, books.now(), books.policy)
            for version, entry in list(entries.items()):
                removed = version in gone or (top is not None and entry.order < top)
                if removed != entry.object_removed:
                    reason = (gone.get(version) or "a delete marker hides it") if removed else "delete marker removed"
                    work.change(version, None, outcome_=entry.outcome, object_removed=removed, reason=reason)
            reconsider(work, retracting, settled=False)
            if isinstance(self._write(work), Written):
                return
        raise TransientError(f"the key with the hash {oid} changes too often to record its removals; try again")

    def apply_where_removed(self, oids: Collection[str], retracting: Collection[str]) -> None:
        """`apply` for those of these keys of which anything was ever removed: one look at their heads."""
        found = self._books.store.get([head_key(oid) for oid in dict.fromkeys(oids)])
        for oid in dict.fromkeys(oids):
            if decode_head(oid, found.get(head_key(oid))).removals:
                self.apply(oid, retracting)

    def restored(self, ref: VersionRef) -> bool:
        """An archived version can be read now: due again. False when it was not waiting for that.

        One that a batch has in hand just now may be found archived by it all the same: it is not waited for then.
        """
        books = self._books
        for _ in range(_ROUNDS):
            entry = books.entries([ref]).get(ref)
            if entry is None or entry.outcome is not Outcome.PENDING:
                return False
            group = Group(ref.object_id)
            if entry.state is State.ARCHIVED:
                change = made_due(entry, books.now(), Trigger.EVENT, "restored from the archive")
                assert change is not None  # noqa: S101 - an archived version is never due already
                entry_change(group, entry, change[0])
                add_history(group, change[0], [change[1]], books.new_id())
            elif entry.restored:
                return False
            else:
                entry_change(group, entry, replace(entry, restored=True, revision=entry.revision + 1))
            if isinstance(books.write(next(pack([group], books.new_id)).changes), Written):
                return entry.state is State.ARCHIVED
        raise TransientError(f"version {ref.version_id} changes too often to be restored; try again")

    # ---- steps

    def _record(self, removal: Removal, *, listed: bool) -> None:
        """Write the removal down, and on the head that there is one: together, so that whoever reads the head knows."""
        books, oid = self._books, object_id(removal.bucket, removal.key)
        key = removal_key(oid, removal)
        for _ in range(_ROUNDS):
            head = self._head(oid)
            known = self._known(oid)
            stored = known.get(key.sk)
            if stored is None:
                known[key.sk] = removal, False
            elif stored[0].marker and not removal.marker and not stored[1]:
                # The version that was deleted is the delete marker itself: what it hid is in sight again.
                known[key.sk] = stored[0], True
            elif listed and removal.marker and stored[0].marker and not stored[1] and stored[0].order < removal.order:
                known[key.sk] = removal, False
            else:
                return
            told, lifted = known[key.sk]
            group = Group(oid)
            conditions = (Absent(),) if stored is None else (Equals("lifted", False),)
            group.changes.append(Put(key, encode_removal(told, lifted=lifted), conditions))
            head_change(group, head, replace(head, removed_order=_recorded(known.values())[1], removals=True))
            if isinstance(books.write(group.changes), Written):
                return
        raise TransientError(f"s3://{removal.bucket}/{removal.key} changes too often to record its removal; try again")

    def _head(self, oid: str) -> Head:
        return decode_head(oid, self._books.store.get([head_key(oid)]).get(head_key(oid)))

    def _known(self, oid: str) -> dict[str, tuple[Removal, bool]]:
        """Every removal recorded of a key, and whether it was lifted, by where it lies."""
        found = map(decode_removal, self._books.query(f"object#{oid}", "removal#"))
        return {removal_key(oid, removal).sk: (removal, lifted) for removal, lifted in found}

    def _write(self, work: KeyWork) -> Written | Refused:
        """Write a key's entries under the condition that its head is as it was read; several transactions where one is too small."""
        oid = work.head.object_id
        alone = Check(head_key(oid), (Equals("revision", work.head.revision),))
        groups: list[Group] = []
        for before, after in work.changed:
            group = Group(f"{oid}#{after.version.version_id}")
            entry_change(group, before, after)
            records = [r for r in work.history if r.version_id == after.version.version_id]
            add_history(group, after, records, self._books.new_id())
            groups.append(group)
        for transaction in pack(groups, self._books.new_id, (alone,)):
            if isinstance(refused := self._books.write(transaction.changes), Refused):
                return refused
        return Written()


def _recorded(known: Collection[tuple[Removal, bool]]) -> tuple[dict[str, str], str | None]:
    """From the records: each version that is gone, with the reason told; and the order of the highest marker in place."""
    standing = [removal for removal, lifted in known if not lifted]
    gone = {r.version_id: r.reason or "object removed" for r in standing if not r.marker and r.version_id is not None}
    return gone, max((r.order for r in standing if r.marker), default=None)
