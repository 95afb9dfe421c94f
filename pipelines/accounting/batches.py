"""The life of a batch: planned, claimed, renewed, finished or released. One live batch a dataset and day, and one of fresh files.

The batch's item is the fence. `epoch` grows with each claim and with each release, and every later write of a worker
checks it in the same transaction; so whoever was fenced off can change nothing. The slot is removed last: while it is
there, whoever looks finds the batch and can finish what a dead process began.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pipelines.accounting.books import Books
from pipelines.accounting.changes import Group, add_history, entry_change, pack
from pipelines.accounting.entries import (
    AlreadyDone,
    Batch,
    BatchRecord,
    BatchStep,
    Claim,
    ClaimResult,
    HeldByOther,
    Member,
    Planned,
    PlanResult,
    Reading,
    SlotTaken,
    UnknownBatch,
    VersionRef,
)
from pipelines.accounting.items import FORMAT, batch_of, decode_members, encode_batch, encode_reading, member_items
from pipelines.accounting.keys import batch_key, day_key, history_key, iso, parse_iso, run_item_key, slot_key
from pipelines.accounting.outbox import encode_change
from pipelines.accounting.states import DUE_STATES, LIVE_BATCH_STATES, BatchState, FaultKind, State
from pipelines.accounting.transitions import planned, put_back
from pipelines.errors import ClaimLostError, TransientError
from pipelines.ports import (
    Absent,
    Change,
    Check,
    Condition,
    Delete,
    Equals,
    ItemValue,
    OneOf,
    Put,
    Refused,
    Update,
    Written,
)

__all__ = ["Batches"]

_ROUNDS = 20


class Batches:
    """What planner and workers do with batches."""

    def __init__(self, books: Books) -> None:
        """Works on the books given."""
        self._books = books

    # ---- planner

    def plan(self, batch: Batch) -> PlanResult:
        """Write a batch down and take its members out of what is due.

        First the list of members, then slot and batch at once, then the members' states. Whatever step a crash follows,
        claiming the batch completes it. Members that changed since the batch was worked out are left out.
        """
        books = self._books
        for key, item in member_items(batch.batch_id, batch.members):
            books.write([Put(key, item)])
        now = books.now()
        record = batch_of(batch, now)
        named = {"format": FORMAT, "batch_id": batch.batch_id}
        outcome = books.write(
            [
                Put(slot_key(batch.dataset, batch.landing_day, batch.lane), named, (Absent(),)),
                Put(batch_key(batch.batch_id), encode_batch(record), (Absent(),)),
                Put(day_key(batch.dataset, batch.landing_day, batch.batch_id), named),
                Put(run_item_key(batch.run_key, batch.batch_id), named),
                self._history(record, now, "planned", ""),
            ]
        )
        if isinstance(outcome, Refused):
            holder = self.slot(batch)
            if holder != batch.batch_id:
                return SlotTaken(holder or "")
        alive = Check(batch_key(batch.batch_id), (OneOf("state", _values(LIVE_BATCH_STATES)),))
        return Planned(batch.batch_id, self._plan_members(batch.batch_id, batch.members, (alive,)))

    def slot(self, batch: Batch | BatchRecord) -> str | None:
        """The batch that holds the slot of this one's dataset, day and lane."""
        key = slot_key(batch.dataset, batch.landing_day, batch.lane)
        item = self._books.store.get([key]).get(key)
        return str(item["batch_id"]) if item is not None else None

    def _plan_members(self, batch_id: str, members: Sequence[Member], checks: tuple[Change, ...]) -> int:
        """Take members that are still as they were into the batch; the number that belong to it afterwards."""
        books = self._books
        count = 0
        singly = False
        left = {member.ref: member for member in members}
        for _ in range(_ROUNDS):
            entries = books.entries(left)
            groups: dict[str, tuple[Group, VersionRef]] = {}
            for ref, member in list(left.items()):
                entry = entries.get(ref)
                if entry is not None and entry.state is State.PLANNED and entry.batch_id == batch_id:
                    count += 1
                    del left[ref]
                elif entry is None or entry.state not in DUE_STATES or entry.revision != member.revision:
                    del left[ref]
                else:
                    group = Group(f"{ref.object_id}#{ref.version_id}")
                    after, told = planned(entry, batch_id, books.now())
                    entry_change(group, entry, after)
                    group.told.append(encode_change(after, told))
                    groups[group.name] = group, ref
            if not groups:
                return count
            for transaction in pack([group for group, _ in groups.values()], books.new_id, checks, singly=singly):
                outcome = books.write(transaction.changes)
                if isinstance(outcome, Written):
                    for name in {n for n in transaction.names if n}:
                        del left[groups[name][1]]
                        count += 1
                elif any(position < len(checks) for position in outcome.positions):
                    return count  # the batch was claimed or released meanwhile: not ours to complete
            singly = True
        raise TransientError(f"members of {batch_id} change too often to be planned; try again")

    # ---- worker

    def claim(self, batch_id: str, owner: str, lease_s: float) -> ClaimResult:
        """Take a batch for `lease_s` seconds: a planned one, one whose lease ran out, or one this owner has already.

        The epoch grows, so an earlier claim is void. Members settled by an earlier claim are left out.
        """
        books = self._books
        for _ in range(_ROUNDS):
            record = books.batch(batch_id)
            if record is None:
                return UnknownBatch(batch_id)
            if record.state not in LIVE_BATCH_STATES:
                return AlreadyDone(record)
            now = books.now()
            if record.owner not in (None, owner) and record.lease_until is not None and record.lease_until > now:
                return HeldByOther(record.owner or "", record.lease_until)
            claimed = replace(
                record,
                state=BatchState.CLAIMED,
                owner=owner,
                epoch=record.epoch + 1,
                lease_until=now + timedelta(seconds=lease_s),
                revision=record.revision + 1,
            )
            told = f"epoch {claimed.epoch}"
            if self._put(record, claimed, "claimed", told):
                first = claimed.epoch == 1
                steps = (BatchStep(now, State.CLAIMED, owner, told),) if first else self._steps(batch_id)
                return self._members_of(claimed, owner, steps)
        raise TransientError(f"the batch {batch_id} changes too often to be claimed; try again")

    def _members_of(self, record: BatchRecord, owner: str, steps: tuple[BatchStep, ...]) -> Claim:
        assert record.lease_until is not None  # noqa: S101 - it was claimed just now
        claim = Claim(record, record.epoch, owner, record.lease_until, (), steps)
        members = self.members(record)
        # Only needed when the planner died half-way; it costs the read that follows anyway.
        entries = self._books.entries([m.ref for m in members])
        unplanned = [
            m for m in members if (e := entries.get(m.ref)) and e.state in DUE_STATES and e.revision == m.revision
        ]
        if unplanned:
            self._plan_members(record.batch_id, unplanned, (self.fence(claim),))
            entries = self._books.entries([m.ref for m in members])
        mine = [
            replace(e, state=State.CLAIMED)
            for m in members
            if (e := entries.get(m.ref)) and e.state is State.PLANNED and e.batch_id == record.batch_id
        ]
        return replace(claim, members=tuple(mine))

    def _steps(self, batch_id: str) -> tuple[BatchStep, ...]:
        """Every claim of the batch, and every commit begun, in order of time."""
        told = self._books.query(f"batch#{batch_id}", "history#")
        return tuple(
            BatchStep(
                parse_iso(str(item["at"])), State(str(item["state"])), _text(item["run"]), _text(item["reason"]) or ""
            )
            for item in told
            if item["state"] in (State.CLAIMED, State.COMMITTING)
        )

    def members(self, record: BatchRecord) -> list[Member]:
        """The members as planned. Raises TransientError when the store did not tell all: a batch is never taken for smaller."""
        members = list(decode_members(self._books.query(f"batch#{record.batch_id}", "members#")))
        if len(members) != record.member_count:
            raise TransientError(
                f"the ledger named {len(members):,} members of the batch {record.batch_id}, which has {record.member_count:,}"
            )
        return members

    def fence(self, claim: Claim) -> Check:
        """The condition under which a claim still holds; it goes into every transaction that relies on it."""
        return Check(
            batch_key(claim.batch_id),
            (Equals("epoch", claim.epoch), OneOf("state", (BatchState.CLAIMED.value, BatchState.COMMITTING.value))),
        )

    def renew(self, claim: Claim, lease_s: float, reading: Reading | None = None) -> Claim:
        """Extend the lease, and say how far the file under way is. Raises ClaimLostError when another has the batch, or it was released."""
        until = self._books.now() + timedelta(seconds=lease_s)
        fence = self.fence(claim)
        set_: dict[str, ItemValue] = {"lease_until": iso(until)}
        if reading is not None:
            set_["reading"] = encode_reading(reading)
        remove = ("reading",) if reading is None else ()
        outcome = self._books.write([Update(fence.key, set_=set_, remove=remove, conditions=fence.conditions)])
        if isinstance(outcome, Refused):
            raise self.lost(claim)
        return replace(claim, lease_until=until)

    def mark_committing(self, claim: Claim) -> Claim:
        """Say that the table commit of this claim may be under way. Raises ClaimLostError when fenced off."""
        now, fence = self._books.now(), self.fence(claim)
        outcome = self._books.write(
            [
                Update(fence.key, set_={"state": BatchState.COMMITTING.value}, conditions=fence.conditions),
                self._history(claim.batch, now, "committing", "", claim.owner),
            ]
        )
        if isinstance(outcome, Refused):
            raise self.lost(claim)
        step = BatchStep(now, State.COMMITTING, claim.owner)
        return replace(claim, batch=replace(claim.batch, state=BatchState.COMMITTING), steps=(*claim.steps, step))

    def finish(self, claim: Claim, snapshot_id: int | None = None) -> None:
        """The worker is through: members it did not settle become due again, the batch is done, its slot free.

        Repeatable. Raises ClaimLostError when fenced off.
        """
        books = self._books
        fence = self.fence(claim)
        self._put_back(
            claim.batch,
            self.members(claim.batch),
            "not settled by its batch",
            fault=None,
            checks=(fence,),
            claim=claim,
        )
        done: dict[str, str | int] = {"state": BatchState.DONE.value}
        if snapshot_id is not None:
            done["snapshot_id"] = snapshot_id
        outcome = books.write(
            [
                Update(fence.key, set_=done, conditions=fence.conditions),
                self._free(claim.batch),
                self._history(claim.batch, books.now(), "done", "", claim.owner),
            ]
        )
        if isinstance(outcome, Refused):
            record = books.batch(claim.batch_id)
            if record is None or record.state is not BatchState.DONE or record.epoch != claim.epoch:
                raise self.lost(claim)

    def lost(self, claim: Claim) -> ClaimLostError:
        """The error that tells a worker to stop, with what is known of the reason."""
        record = self._books.batch(claim.batch_id)
        what = f"it is {record.state} in epoch {record.epoch} by {record.owner}" if record else "it is not there"
        return ClaimLostError(
            f"the batch {claim.batch_id} was claimed in epoch {claim.epoch} by {claim.owner}, now {what}: "
            "this worker stops; whoever has the batch finishes it"
        )

    # ---- whoever finds a dead run

    def release(
        self,
        batch_id: str,
        reason: str,
        *,
        fault: FaultKind | None,
        spared: bool = False,
        claim: Claim | None = None,
    ) -> bool:
        """Give the members of a live batch back; each has met the `fault`, if there was one. False when it was done already.

        With `claim` only what that claim still holds. First the batch is fenced off, then its unsettled members are due again, then the slot is free. Repeatable at any
        point, also by two at once.
        """
        books = self._books
        for _ in range(_ROUNDS):
            record = books.batch(batch_id)
            if record is None or record.state is BatchState.DONE:
                return False
            if claim is not None and record.state in LIVE_BATCH_STATES and record.epoch != claim.epoch:
                return False
            if record.state is BatchState.COMMITTING and fault is FaultKind.DEATH:
                # Its files were read and judged: they did not kill the worker, and their rows may be in the table. The
                # next attempt looks there first, so they must not have used up their attempts before it.
                fault = FaultKind.PASSING
            if record.state is not BatchState.RELEASED:
                fenced = replace(
                    record,
                    state=BatchState.RELEASED,
                    epoch=record.epoch + 1,
                    reason=reason,
                    revision=record.revision + 1,
                )
                if not self._put(record, fenced, "released", reason):
                    continue
                record = fenced
            self._put_back(record, self.members(record), record.reason or reason, fault=fault, spared=spared, checks=())
            books.write([self._free(record)])
            return True
        raise TransientError(f"the batch {batch_id} changes too often to be released; try again")

    def _put_back(
        self,
        record: BatchRecord,
        members: Iterable[Member],
        reason: str,
        *,
        fault: FaultKind | None,
        spared: bool = False,
        checks: tuple[Change, ...],
        claim: Claim | None = None,
    ) -> None:
        books = self._books
        refs = [member.ref for member in members]
        steps = claim.steps if claim else self._steps(record.batch_id)
        singly = False
        for _ in range(_ROUNDS):
            groups: list[Group] = []
            write_id = books.new_id()
            for ref, entry in books.entries(refs).items():
                if entry.state is not State.PLANNED or entry.batch_id != record.batch_id:
                    continue
                after, told = put_back(
                    entry, books.now(), books.policy, reason=reason, fault=fault, spared=spared, run=record.owner
                )
                if claim is None and record.owner is not None:
                    # Its worker may still be on its way to the table, or have died right after it.
                    after = replace(after, given_up=(*after.given_up, record.batch_id))
                group = Group(f"{ref.object_id}#{ref.version_id}")
                entry_change(group, entry, after)
                # The number of the version among the members keeps apart the records of two versions of one key.
                add_history(
                    group, after, [replace(told, steps=steps, trace_id=record.trace_id)], f"{write_id}{len(groups):04d}"
                )
                groups.append(group)
            if not groups:
                return
            for transaction in pack(groups, books.new_id, checks, singly=singly):
                outcome = books.write(transaction.changes)
                if claim is not None and isinstance(outcome, Refused) and 0 in outcome.positions:
                    raise self.lost(claim)
            singly = True
        raise TransientError(f"members of {record.batch_id} change too often to be given back; try again")

    # ---- helpers

    @staticmethod
    def _free(record: BatchRecord) -> Delete:
        slot = slot_key(record.dataset, record.landing_day, record.lane)
        return Delete(slot, (Equals("batch_id", record.batch_id),))

    def _put(self, before: BatchRecord, after: BatchRecord, what: str, reason: str) -> bool:
        """Replace the batch, if it is still as it was read."""
        now = self._books.now()
        conditions: list[Condition] = [
            Equals("revision", before.revision),
            Equals("epoch", before.epoch),
            Equals("state", before.state.value),
        ]
        if before.lease_until is not None:
            # A lease renewed since it was read is a living worker's.
            conditions.append(Equals("lease_until", iso(before.lease_until)))
        outcome = self._books.write(
            [
                Put(batch_key(before.batch_id), encode_batch(after), tuple(conditions)),
                self._history(after, now, what, reason, after.owner),
            ]
        )
        return isinstance(outcome, Written)

    def _history(self, record: BatchRecord, now: datetime, what: str, reason: str, run: str | None = None) -> Put:
        shown = {"planned": State.PLANNED, "claimed": State.CLAIMED, "committing": State.COMMITTING}.get(what)
        item: dict[str, ItemValue] = {
            "format": FORMAT,
            "at": iso(now),
            "what": what,
            "reason": reason,
            "run": run,
            "state": shown,
        }
        if what == "planned":
            item["trace_id"] = record.trace_id
        return Put(history_key(f"batch#{record.batch_id}", now, self._books.new_id(), 0), item)


def _text(value: ItemValue) -> str | None:
    return None if value is None else str(value)


def _values(states: Iterable[BatchState]) -> tuple[str, ...]:
    return tuple(state.value for state in states)
