"""What dead attempts left behind: data files that no snapshot knows, and copies in quarantine that no verdict names.

A file is an orphan when all of this holds, and only then is it ever removed:

- it is older than a grace (a day by default), which must be longer than any run can take from staging to commit;
- no snapshot that the table still keeps refers to it;
- its name is one that Lakegate gives (`<batch>-….parquet`), and no live batch in the ledger has that name;
- asked again, right before it is removed, all of that still holds.

A commit between listing and removal cannot lose a file: the table is read again after the listing, a batch that may still commit is
live until it is settled, and no attempt is as old as the grace. What compaction wrote has no batch, and neither have the metadata files of Iceberg,
which no state refers to once old states are let go of: before any of these is removed, the table is made to move on, so that a commit
planned before cannot come any more and bring them back into use.
Memory is bounded: files are held in blocks, each compared with all the table refers to.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from pipelines.accounting.entries import Facts, LedgerEntry, VersionRef
from pipelines.accounting.states import LIVE_BATCH_STATES, State
from pipelines.contracts.model import Dataset
from pipelines.errors import PermanentError
from pipelines.gate import Gate
from pipelines.ports import ListedVersion, TableCommit
from pipelines.printable import printable
from pipelines.publication.quarantine import version_segment
from pipelines.publication.table_upkeep import every_table

__all__ = ["ORPHAN_GRACE", "Orphan", "OrphanReport", "find_orphans"]

ORPHAN_GRACE = timedelta(hours=24)
"""How old a file must be before it can be an orphan: longer than any run can take."""
_A_BLOCK = 20_000
_AT_ONCE = 1000
_MOST_NAMED = 100
_OURS = re.compile(r"(?:(?:history|sheet)-)?([0-9a-hjkmnp-tv-z]{26})-[0-9a-z-]+\.parquet")
_COMPACTED = "-compacted-"
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_METADATA = re.compile(rf"[0-9]{{5,}}-{_UUID}\.metadata\.json|snap-[0-9]+-[0-9]+-{_UUID}\.avro|{_UUID}-m[0-9]+\.avro")
_LEAST_METADATA = 100
_IN_QUARANTINE = re.compile(r"quarantine/[^/]+/[0-9-]{10}/([0-9a-f]{40})/([^/]+)/(?:object|report\.json)")
_AT_WORK = frozenset({State.SEEN, State.RETRY_WAIT, State.PLANNED, State.CLAIMED, State.COMMITTING})


@dataclass(frozen=True, slots=True)
class Orphan:
    """A file that nothing refers to, and why it is taken for one."""

    bucket: str
    key: str
    size_bytes: int
    written_at: datetime
    why: str

    def sentence(self) -> str:
        """One line for logs and people."""
        return f"{printable(self.key)} ({self.size_bytes:,} bytes, {self.written_at:%Y-%m-%d %H:%M} UTC): {self.why}"


@dataclass(slots=True)
class OrphanReport:
    """What a search came to. `files` were looked at; `young` and `owned` were left; `foreign` are unreferenced, but not named by Lakegate.

    Of orphans and foreign files the first hundred are named.
    """

    removes: bool
    files: int = 0
    young: int = 0
    owned: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    removed: int = 0
    foreign: int = 0
    notes: list[str] = field(default_factory=list[str])
    named: list[Orphan] = field(default_factory=list[Orphan])
    named_foreign: list[Orphan] = field(default_factory=list[Orphan])

    def sentence(self) -> str:
        """The report in one sentence."""
        if not self.orphans:
            told = f"looked at {self.files:,} files: no orphan"
        else:
            one = "orphan" if self.orphans == 1 else "orphans"
            done = f"{self.removed:,} removed" if self.removes else "left where they are"
            told = f"looked at {self.files:,} files: {self.orphans:,} {one} ({self.orphan_bytes:,} bytes), {done}"
        if self.owned:
            told += f"; {self.owned:,} of batches under way"
        if self.young:
            told += f"; {self.young:,} too young to tell"
        if self.foreign:
            told += f"; {self.foreign:,} that another program wrote and no table refers to"
        return told


def find_orphans(
    gate: Gate,
    *,
    grace: timedelta = ORPHAN_GRACE,
    remove: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> OrphanReport:
    """Look through the tables' data files and through quarantine; with `remove`, remove what nothing refers to.

    `tell` is given a line for each orphan, and for each one removed. Files of tables that no dataset file describes are not looked at.

    Raises TransientError, PermanentError: a bucket, a table or the ledger cannot be read. Doing it again does the rest.
    """
    return _Search(gate, gate.clock() - grace, OrphanReport(remove), tell).run()


class _Search:
    def __init__(self, gate: Gate, old_enough: datetime, report: OrphanReport, tell: Callable[[str], None]) -> None:
        self._gate = gate
        self._old_enough = old_enough
        self._report = report
        self._tell = tell
        self._fenced: set[str] = set()

    def run(self) -> OrphanReport:
        for table in every_table(self._gate.datasets):
            bucket, prefix = self._gate.tables.data_location(table)
            listing = self._old(bucket, f"{prefix}/")
            while block := list(islice(listing, _A_BLOCK)):
                self._look_at_files(table, bucket, block)
            listing = self._old(bucket, f"{prefix.rpartition('/')[0]}/metadata/", told=False)
            while block := list(islice(listing, _A_BLOCK)):
                self._look_at_metadata(table, bucket, block)
        listing = self._old(self._gate.quarantine_bucket, "quarantine/")
        while block := list(islice(listing, _AT_ONCE)):
            self._look_at_copies(block)
        return self._report

    def _old(self, bucket: str, prefix: str, *, told: bool = True) -> Iterator[ListedVersion]:
        for one in self._gate.store.list_versions(bucket, prefix):
            if not one.is_latest or one.is_marker:
                continue
            self._report.files += told
            if one.version.landed_at > self._old_enough:
                self._report.young += told
            else:
                yield one

    def _found(self, orphans: Sequence[Orphan]) -> None:
        report = self._report
        for orphan in orphans:
            report.orphans += 1
            report.orphan_bytes += orphan.size_bytes
            if len(report.named) < _MOST_NAMED:
                report.named.append(orphan)
            self._tell(f"orphan: {orphan.sentence()}")

    def _is_foreign(self, one: ListedVersion, why: str) -> None:
        self._report.foreign += 1
        if len(self._report.named_foreign) < _MOST_NAMED:
            self._report.named_foreign.append(_orphan(one, why))

    def _remove(self, bucket: str, keys: Sequence[str]) -> None:
        self._gate.store.delete(bucket, keys)
        self._report.removed += len(keys)
        for key in keys:
            self._tell(f"removed: {printable(key)}")

    # ---- data files

    def _look_at_files(self, table: Dataset, bucket: str, block: Sequence[ListedVersion]) -> None:
        addresses = {self._gate.store.uri(bucket, one.version.key): one for one in block}
        try:
            self._strike_referenced(table, addresses)
        except PermanentError as error:
            self._report.notes.append(f"{len(block):,} files of {table.table} were left alone: {error}")
            return
        mine: list[ListedVersion] = []
        for one in addresses.values():
            if _OURS.fullmatch(_name(one)):
                mine.append(one)
            else:
                self._is_foreign(
                    one, f"not named as Lakegate names files, and no snapshot of {table.table} refers to it"
                )
        left = self._unowned(table, bucket, mine)
        self._report.owned += len(mine) - len(left)
        self._found(
            [_orphan(one, f"no snapshot of {table.table} refers to it, and its batch is not at work") for one in left]
        )
        if self._report.removes and left:
            if any(_COMPACTED in _name(one) for one in left):
                self._fence(table)
            self._remove(bucket, [one.version.key for one in self._unowned(table, bucket, left)])

    def _look_at_metadata(self, table: Dataset, bucket: str, block: Sequence[ListedVersion]) -> None:
        """Metadata that no kept state refers to. It piles up with every commit: a few are left, they are not worth a commit of ours."""
        try:
            left = self._unused_metadata(table, bucket, block)
            if len(left) < _LEAST_METADATA:
                return
            self._found([_orphan(one, f"no state that {table.table} keeps refers to it") for one in left])
            if self._report.removes:
                self._fence(table)
                self._remove(bucket, [one.version.key for one in self._unused_metadata(table, bucket, left)])
        except PermanentError as error:
            self._report.notes.append(f"the metadata of {table.table} was left alone: {error}")

    def _unused_metadata(self, table: Dataset, bucket: str, files: Sequence[ListedVersion]) -> list[ListedVersion]:
        left = {self._gate.store.uri(bucket, one.version.key): one for one in files if _METADATA.fullmatch(_name(one))}
        _, prefix = self._gate.tables.data_location(table)
        inside = self._gate.store.uri(bucket, f"{prefix.rpartition('/')[0]}/metadata/")
        for address in self._gate.tables.metadata_files(table):
            if not address.startswith(inside):
                raise PermanentError(f"some of it lies elsewhere, such as {printable(address)}")
            left.pop(address, None)
        return list(left.values())

    def _fence(self, table: Dataset) -> None:
        """Let the table move on, once a search: whoever planned a commit before can no longer make it, so what it wrote stays unreferenced.

        A conflict says the same: somebody else let it move on after the files were listed.
        """
        if table.table in self._fenced:
            return
        tables = self._gate.tables
        change = TableCommit(f"fence-{self._gate.ledger.new_id()}", (), (), (), tables.current(table))
        tables.commit(table, change)
        self._fenced.add(table.table)

    def _unowned(self, table: Dataset, bucket: str, files: Sequence[ListedVersion]) -> list[ListedVersion]:
        """Those whose batch is not at work and that no snapshot refers to now: asked in this order.

        A batch that is no longer at work has committed what it will, and what it committed the table refers to from then on.
        """
        batches = {one: _OURS.fullmatch(_name(one)) for one in files}
        live = {batch_id: self._is_live(batch_id) for batch_id in {m.group(1) for m in batches.values() if m}}
        dead = [one for one, match in batches.items() if match and not live[match.group(1)]]
        left = {self._gate.store.uri(bucket, one.version.key): one for one in dead}
        if left:
            self._strike_referenced(table, left)
        return list(left.values())

    def _strike_referenced(self, table: Dataset, files: dict[str, ListedVersion]) -> None:
        for address in self._gate.tables.data_files(table):
            files.pop(address, None)

    def _is_live(self, batch_id: str) -> bool:
        batch = self._gate.ledger.batch(batch_id)
        return batch is not None and batch.state in LIVE_BATCH_STATES

    # ---- quarantine

    def _look_at_copies(self, block: Sequence[ListedVersion]) -> None:
        known: list[tuple[ListedVersion, str, str]] = []
        for one in block:
            match = _IN_QUARANTINE.fullmatch(one.version.key)
            if match:
                known.append((one, match.group(1), match.group(2)))
            else:
                self._is_foreign(one, "not named as Lakegate names what is in quarantine")
        orphans = self._unnamed(known)
        self._found([_orphan(one, "the ledger has no verdict on its file that names it") for one, _, _ in orphans])
        if self._report.removes and orphans:
            # Asked again: its file may be with a run by now.
            keys = [one.version.key for one, _, _ in self._unnamed(orphans)]
            self._remove(self._gate.quarantine_bucket, keys)

    def _unnamed(self, copies: Sequence[tuple[ListedVersion, str, str]]) -> list[tuple[ListedVersion, str, str]]:
        ledger = self._gate.ledger
        beside = ledger.versions_beside([VersionRef(object_id, "") for object_id in {c[1] for c in copies}])
        versions = {ref.object_id: entries for ref, entries in beside.items()}
        left: list[tuple[ListedVersion, str, str]] = []
        for copy in copies:
            one, object_id, segment = copy
            entry = next((e for e in versions[object_id] if version_segment(e.version.version_id) == segment), None)
            if entry is None:
                self._is_foreign(one, "the ledger does not know its file: it may be the only copy")
            elif entry.state in _AT_WORK:
                self._report.owned += 1
            elif not self._is_named(entry, one.version.key.rpartition("/")[0]):
                left.append(copy)
        return left

    def _is_named(self, entry: LedgerEntry, folder: str) -> bool:
        """Whether the version's verdicts, those of today or any before, put it there."""
        verdicts = [entry.facts, entry.rejudged]
        if not any(_puts(facts, folder) for facts in verdicts):
            version = entry.version
            told = self._gate.ledger.history(version.bucket, version.key)
            mine = [record for record in told if record.version_id == version.version_id]
            return any(_puts(r.facts, folder) or r.to_state is State.QUARANTINED for r in mine)
        return True


def _puts(facts: Facts | None, folder: str) -> bool:
    return facts is not None and facts.report_key is not None and facts.report_key.rpartition("/")[0] == folder


def _name(one: ListedVersion) -> str:
    return one.version.key.rpartition("/")[2]


def _orphan(one: ListedVersion, why: str) -> Orphan:
    return Orphan(one.version.bucket, one.version.key, one.version.size_bytes, one.version.landed_at, why)
