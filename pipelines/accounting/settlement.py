"""Writing verdicts into the books, and making versions due again on purpose.

Settling goes key by key: the head decides which version serves, so entries, head, history and counters of a key change in
one transaction, and as many keys as fit share it. When one is refused, its keys are read again and written one by one.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from pipelines.accounting.batches import Batches
from pipelines.accounting.books import Books
from pipelines.accounting.changes import Group, add_history, entry_change, head_change, pack
from pipelines.accounting.entries import BatchTimes, Claim, Head, LedgerEntry, MadeDue, SettleReport, VersionRef
from pipelines.accounting.items import encode_removal
from pipelines.accounting.keys import due_partitions, removal_key
from pipelines.accounting.outcomes import FileCommitted, FileOutcome, FileRemoved
from pipelines.accounting.removals import reconsider, removal_of
from pipelines.accounting.states import DUE_STATES, Outcome, State, Trigger
from pipelines.accounting.transitions import KeyWork, can_be_made_due, deferred, made_due
from pipelines.errors import TransientError
from pipelines.ports import Put, Refused, Written

__all__ = ["Settlement"]

_ROUNDS = 20
_VERSIONS_A_WAVE = 15
"""Versions of one key settled at once: entry and history of each, and of those they supersede, fit one transaction."""


class Settlement:
    """What workers and operators decide about versions."""

    def __init__(self, books: Books, batches: Batches) -> None:
        """Works on the books given; `batches` knows how a claim is fenced."""
        self._books = books
        self._batches = batches

    def settle(
        self,
        claim: Claim,
        outcomes: Sequence[FileOutcome],
        batch_times: BatchTimes | None = None,
        retracting: Collection[str] = (),
    ) -> SettleReport:
        """Write down what became of members of a claimed batch. Repeatable: what is settled already is skipped.

        `batch_times` go into the history of each. Raises ClaimLostError when another has the batch: then nothing more was written.
        """
        by_key: dict[str, list[FileOutcome]] = {}
        for outcome in outcomes:
            by_key.setdefault(outcome.ref.object_id, []).append(outcome)
        settled: list[VersionRef] = []
        while by_key:
            wave = {key: listed[:_VERSIONS_A_WAVE] for key, listed in by_key.items()}
            by_key = {key: listed[_VERSIONS_A_WAVE:] for key, listed in by_key.items() if listed[_VERSIONS_A_WAVE:]}
            settled.extend(self._settle_wave(claim, wave, batch_times, retracting))
        done = set(settled)
        skipped = tuple(o.ref for o in outcomes if o.ref not in done)
        if skipped:
            # Settled before by this very claim, or taken from it: where nothing was written, nothing has told which.
            record = self._books.batch(claim.batch_id)
            if record is None or record.epoch != claim.epoch:
                raise self._batches.lost(claim)
        return SettleReport(tuple(settled), skipped)

    def _settle_wave(
        self,
        claim: Claim,
        wave: Mapping[str, Sequence[FileOutcome]],
        batch_times: BatchTimes | None,
        retracting: Collection[str],
    ) -> Iterator[VersionRef]:
        fence = self._batches.fence(claim)
        left = dict(wave)
        for attempt in range(_ROUNDS):
            groups: list[Group] = []
            written: dict[str, list[VersionRef]] = {}
            for object_id, work in self._load(claim, left, batch_times).items():
                mine = [o for o in left[object_id] if self._is_mine(work.entries.get(o.ref.version_id), claim)]
                # Highest first: what lies below it is then superseded at once instead of twice changed.
                for outcome in sorted(mine, key=lambda o: work.entries[o.ref.version_id].order, reverse=True):
                    work.settle(outcome)
                if mine and _was_removed(work.before_head, mine):
                    work.head = replace(work.head, removals=True)
                    reconsider(work, retracting, settled=True)
                made = self._groups(work)
                groups.extend(made)
                written[object_id] = [o.ref for o in mine]
                if not made:
                    del left[object_id]
            refused: set[str] = set()
            for transaction in pack(groups, self._books.new_id, (fence,), singly=attempt > 0):
                names = {name for name in transaction.names if name is not None}
                if names & refused:
                    refused |= names
                    continue
                result = self._books.write(transaction.changes)
                if isinstance(result, Refused):
                    if 0 in result.positions:
                        raise self._batches.lost(claim)
                    refused |= names
            for object_id in {group.name for group in groups} - refused:
                yield from written[object_id]
                del left[object_id]
            if not left:
                return
        raise TransientError(f"files of {claim.batch_id} change too often to be settled; try again")

    @staticmethod
    def _is_mine(entry: LedgerEntry | None, claim: Claim) -> bool:
        return entry is not None and entry.state is State.PLANNED and entry.batch_id == claim.batch_id

    def _load(
        self, claim: Claim, wave: Mapping[str, Sequence[FileOutcome]], batch_times: BatchTimes | None
    ) -> dict[str, KeyWork]:
        """Everything of each key that its verdicts can touch, in two reads and one query for each key with rejections."""
        books = self._books
        refs = [outcome.ref for listed in wave.values() for outcome in listed]
        entries, heads = books.entries_and_heads(refs, wave)
        serving = [
            VersionRef(head.object_id, head.serving_version)
            for head in heads.values()
            if head.serving_version and VersionRef(head.object_id, head.serving_version) not in entries
        ]
        entries.update(books.entries(serving))
        by_key: dict[str, dict[str, LedgerEntry]] = {object_id: {} for object_id in wave}
        for ref, entry in entries.items():
            by_key[ref.object_id][ref.version_id] = entry
        works: dict[str, KeyWork] = {}
        for object_id, head in heads.items():
            known = by_key[object_id]
            if _was_removed(head, wave[object_id]):
                known = {e.version.version_id: e for e in books.versions(object_id)}
            elif head.rejections and any(isinstance(o, FileCommitted) for o in wave[object_id]):
                rejected = [e for e in books.versions(object_id) if e.outcome is Outcome.QUARANTINED]
                known = {**{e.version.version_id: e for e in rejected}, **known}
            works[object_id] = KeyWork(
                head, known, books.now(), books.policy, claim.owner, batch_times, claim.steps, claim.batch.trace_id
            )
        return works

    def _groups(self, work: KeyWork) -> list[Group]:
        """The changes of one key. Superseded rejects beyond a handful go ahead of the rest, in groups of their own."""
        object_id = work.head.object_id
        group = Group(object_id)
        ahead: list[Group] = []
        in_main = 0
        for before, after in work.changed:
            records = [r for r in work.history if r.version_id == after.version.version_id]
            target = group
            if before.state is State.QUARANTINED and after.state is State.QUARANTINED:
                in_main += 1
                if in_main > _VERSIONS_A_WAVE:
                    target = Group(object_id)
                    ahead.append(target)
            entry_change(target, before, after)
            add_history(target, after, records, self._books.new_id())
        for entry in work.found_gone:
            removal = removal_of(entry)
            group.changes.append(Put(removal_key(object_id, removal), encode_removal(removal, lifted=False)))
        # One more rejected or removed version leaves such a head as it is: who settles another of the key must find out all the same.
        if work.before_head != work.head or (group and (work.head.removals or work.head.rejections)):
            head_change(group, work.before_head, work.head)
        return [*ahead, group] if group else ahead

    # ---- on purpose

    def make_due(self, refs: Iterable[VersionRef], trigger: Trigger, reason: str = "") -> MadeDue:
        """Make versions due again: those that serve, and those never accepted. What a live batch holds is left to it."""
        books = self._books
        due: list[VersionRef] = []
        held: list[VersionRef] = []
        out: list[VersionRef] = []
        left = dict.fromkeys(refs)
        singly = False
        for _ in range(_ROUNDS):
            entries = books.entries(left)
            groups: list[Group] = []
            write_id = books.new_id()
            owner: dict[str, VersionRef] = {}
            for ref in list(left):
                entry = entries.get(ref)
                if entry is not None and entry.state is State.PLANNED:
                    held.append(ref)
                elif entry is None or not can_be_made_due(entry):
                    out.append(ref)
                elif (change := made_due(entry, books.now(), trigger, reason)) is None:
                    due.append(ref)
                else:
                    group = Group(f"{ref.object_id}#{ref.version_id}")
                    entry_change(group, entry, change[0])
                    add_history(group, change[0], [change[1]], f"{write_id}{len(groups):04d}")
                    groups.append(group)
                    owner[group.name] = ref
                    continue
                del left[ref]
            for transaction in pack(groups, books.new_id, singly=singly):
                if isinstance(books.write(transaction.changes), Written):
                    for name in {n for n in transaction.names if n}:
                        due.append(owner[name])
                        del left[owner[name]]
            singly = True
            if not left:
                return MadeDue(tuple(due), tuple(held), tuple(out))
        raise TransientError("versions change too often to be made due; try again")

    def defer(self, reasons: Mapping[VersionRef, tuple[int, str]]) -> int:
        """Let due versions wait for other hours: by ref, the revision each was seen with and why. The number that do now.

        What changed meanwhile is left as it is, and so is what a transaction lost to another: the next look sees it again.
        """
        books = self._books
        groups: list[Group] = []
        write_id = books.new_id()
        for ref, entry in books.entries(reasons).items():
            revision, reason = reasons[ref]
            if entry.revision == revision and entry.state in DUE_STATES and entry.deferred is None:
                group = Group(f"{ref.object_id}#{ref.version_id}")
                after, told = deferred(entry, books.now(), reason)
                entry_change(group, entry, after)
                add_history(group, after, [told], f"{write_id}{len(groups):04d}")
                groups.append(group)
        written = 0
        for transaction in pack(groups, books.new_id):
            if isinstance(books.write(transaction.changes), Written):
                written += len({name for name in transaction.names if name})
        return written

    def of_days(self, dataset: str, days: frozenset[date]) -> Iterator[tuple[date, list[VersionRef]]]:
        """Every version of a dataset's days that the books know, a day at a time and read when it is asked for.

        A day's versions are the members of every batch it had, and what an index lists that was never in a batch.
        """
        listed: dict[date, list[VersionRef]] = {}
        for partition in (*due_partitions(dataset), f"quarantine#{dataset}"):
            for entry in self._books.listed(partition):
                if entry.landing_day in days:
                    listed.setdefault(entry.landing_day, []).append(entry.ref)
        for day in sorted(days):
            found: dict[VersionRef, None] = {}
            ids = [str(item["batch_id"]) for item in self._books.query(f"days#{dataset}", f"{day.isoformat()}#")]
            for record in self._books.batches(ids).values():
                found |= dict.fromkeys(member.ref for member in self._batches.members(record))
            yield day, list(found | dict.fromkeys(listed.get(day, [])))


def _was_removed(head: Head, outcomes: Iterable[FileOutcome]) -> bool:
    """Whether anything of a key was ever removed: then every version of it counts for what serves."""
    return head.removals or any(isinstance(outcome, FileRemoved) for outcome in outcomes)
