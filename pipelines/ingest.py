"""One batch's story from top to bottom: claim, read, judge, stage, quarantine, publish, settle.

Each step can be done twice with the same result, and a worker may die between any two of them:

    claim             nothing visible; the lease runs out and another worker claims with a higher epoch
    read and stage    local scratch only, gone with the worker
    let the table     columns that files bring and types they need, where the contract allows it: nullable, and found there by the
    grow              next attempt
    quarantine        copies under names derived from the version: writing them again changes nothing
    settle the bad    the ledger knows them; the next attempt leaves them out. Files that one commit has no room for are due
                      again, for the next batch
    mark committing   the ledger knows that a commit may be under way
    publish           one table commit, all or nothing; it carries the batch id, so it is recognised later; rows rejected one by
                      one are published before it, and what it superseded of those is taken away after it
    settle the good   found in the table under the batch's id, they are settled without being published again
    finish            the slot is free again
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import assert_never

from pipelines.accounting.entries import AlreadyDone, Claim, Facts, HeldByOther, LedgerEntry, UnknownBatch
from pipelines.accounting.outcomes import FileCommitted, FileOutcome, FileRemoved
from pipelines.accounting.removals import removal_of
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import bad_row_limit
from pipelines.contracts.schema import fingerprint
from pipelines.disk import full_disk_is_ours
from pipelines.errors import ClaimLostError, LakegateError
from pipelines.gate import Gate
from pipelines.giving_up import give_up, tell_breaker
from pipelines.intake.objects import ObjectVersion
from pipelines.lineage.news import telling
from pipelines.members import MemberReader, NamesInFiles, ReadMember, Timings
from pipelines.ports import Committed, SourceVersion
from pipelines.progress import TellProgress
from pipelines.publication.growing import GrowingTable
from pipelines.publication.known import known_versions
from pipelines.publication.publish import AcceptedFile, KnownVersion, Published, publish, source_of
from pipelines.publication.rejected import RejectedRows
from pipelines.publication.row_changes import compare_replaced
from pipelines.publication.staged import StagedFile, count_nulls
from pipelines.reading.summary import FileReader
from pipelines.reports import VERDICTS, BatchNotRun, BatchReport, ExpectationResult, FileEnding, FileReport, Stage
from pipelines.scratch import scratch_folder
from pipelines.settling import ended, ending_of, facts_of, published_outcome, unpublished_outcome
from pipelines.telemetry.attempt import AttemptTrace
from pipelines.telemetry.metrics import LEASES_LOST
from pipelines.telemetry.records import of_batch, of_settled

__all__ = ["Inspect", "ingest_batch"]

Inspect = Callable[[Sequence[StagedFile]], Sequence[ExpectationResult]]
"""Looks at the batch's data files after the commit, while they are still on local disk."""


def ingest_batch(
    gate: Gate,
    reader: FileReader,
    dataset: Dataset,
    batch_id: str,
    owner: str,
    inspect: Inspect | None = None,
    tell: TellProgress | None = None,
) -> BatchReport | BatchNotRun:
    """Take one planned batch through the gate.

    Bad files are outcomes in the report. `owner` is the run's id; `inspect` is called after a commit of this attempt,
    `tell` now and then while a file that takes long is read.

    Raises:
        ClaimLostError: the lease ran out and another worker has the batch: nothing more was written.
        TransientError, PermanentError: a fault of ours; the files were given back, to be tried again later.
    """
    asked_at = gate.clock()
    claimed = gate.ledger.claim(batch_id, owner)
    match claimed:
        case Claim():
            trace = AttemptTrace(gate.tracer, gate.clock, claimed, asked_at)
            work = _Work(gate, reader, dataset, claimed, inspect, tell, trace)
            return trace.around(
                lambda: telling(
                    gate.lineage, gate.clock, gate.tables, dataset, claimed, lambda: _attempt(gate, claimed, work)
                )
            )
        case AlreadyDone():
            return BatchNotRun(batch_id, "its work is done already")
        case HeldByOther():
            return BatchNotRun(batch_id, f"run {claimed.owner} works on it until {claimed.until:%H:%M:%S} UTC at least")
        case UnknownBatch():
            return BatchNotRun(batch_id, "the ledger has no such batch")
        case _ as never:
            assert_never(never)


def _attempt(gate: Gate, claim: Claim, work: "_Work") -> BatchReport:
    try:
        with full_disk_is_ours():
            report = work.run()
    except ClaimLostError:
        gate.meter.tell((LEASES_LOST.of(1, dataset=claim.batch.dataset),))
        raise
    except LakegateError as error:
        give_up(gate.ledger, claim, error)
        raise
    gate.meter.tell(of_batch(report))
    return report


class _Work:
    """One attempt at one claimed batch."""

    def __init__(
        self,
        gate: Gate,
        reader: FileReader,
        dataset: Dataset,
        claim: Claim,
        inspect: Inspect | None,
        tell: TellProgress | None,
        trace: AttemptTrace,
    ) -> None:
        self.gate = gate
        self.reader = reader
        self.dataset = dataset
        self.claim = claim
        self.inspect = inspect
        self.tell = tell
        self.expectations: tuple[ExpectationResult, ...] = ()
        self.heartbeat = gate.heartbeat(gate.ledger, claim)
        self.contract = fingerprint(dataset)
        self.rejected: RejectedRows | None = None
        self.timings = Timings(trace)
        self.names = NamesInFiles()
        self.queryable_at: datetime | None = None

    def run(self) -> BatchReport:
        """Do it all."""
        with (
            self.heartbeat,
            scratch_folder() as scratch,
            GrowingTable(
                self.gate.tables,
                self.dataset,
                self.claim.batch_id,
                self.claim.epoch,
                scratch,
                self.gate.clock(),
            ) as table,
            self._beside(scratch) as self.rejected,
        ):
            members = MemberReader(
                self.gate,
                self.reader,
                self.dataset,
                self.claim,
                self.heartbeat,
                table,
                self.rejected,
                self.timings,
                self.names,
                self.tell,
            )
            found = self._find_commit()
            if found is not None:
                return self._recognise(found, members)
            reads, published = self._published_before(members.read_all())
            self._settle_unpublished(reads)
            return self._publish(reads, table, published)

    def _beside(self, scratch: Path) -> AbstractContextManager[RejectedRows | None]:
        if bad_row_limit(self.dataset) is None:
            return nullcontext()
        return RejectedRows(self.gate, self.dataset, self.claim, scratch, self.heartbeat.renew)

    # ---- settling and publishing

    def _settle_unpublished(self, reads: Sequence[ReadMember]) -> None:
        """Write down what needs no commit: the rejected, the empty, the gone, and those to be tried again."""
        spared = tell_breaker(self.gate.ledger, self.claim, [read.report for read in reads])
        outcomes = (unpublished_outcome(r.entry.ref, r.report, self._facts(r), r.milliseconds, spared) for r in reads)
        self._settle([outcome for outcome in outcomes if outcome is not None])

    def _publish(
        self, reads: Sequence[ReadMember], table: GrowingTable, published_before: Sequence[ReadMember]
    ) -> BatchReport:
        told = [read.report for read in published_before]
        accepted = [read for read in reads if read.report.outcome is FileEnding.LOADED]
        removed = [read for read in reads if read.report.outcome is FileEnding.REMOVED]
        going = frozenset(read.entry.ref for read in removed)
        files = [AcceptedFile(read.entry.version) for read in accepted]
        if not accepted and not removed:
            if self.rejected is not None:
                self.rejected.publish(files)
            return self._finish([*(read.report for read in reads), *told], None, recognised=bool(told), grown=table)
        with self.timings.of(Stage.STAGE):
            staged = table.finish()
        with self.timings.of(Stage.COMMIT) as said:
            self.claim = self.gate.ledger.mark_committing(self.claim)
            if self.rejected is not None:
                self.rejected.publish(files, going)
            published = publish(
                self.gate.tables,
                self.dataset,
                self.claim.batch_id,
                files,
                staged,
                lambda: known_versions(
                    self.gate.ledger,
                    self.claim,
                    [read.entry for read in (*accepted, *removed)],
                    removed=going,
                    retracts=self.dataset.retracts,
                ),
                properties={"lakegate.run-id": self.claim.owner, "lakegate.contract": self.contract},
                before_commit=self.heartbeat.renew,
                fence=any(self._was_given_up(read.entry) for read in removed),
                pause=self.timings.trace.again(self.gate.pause),
                meter=self.gate.meter,
            )
            said["lakegate.tries"] = published.tries
            if published.commit is not None and not published.found:
                self.queryable_at = self.gate.clock()
            endings = self._endings(published, reads)
            if self.rejected is not None:
                left = {FileEnding.SUPERSEDED, FileEnding.REMOVED}
                gone = frozenset(r.entry.ref for r, e in zip(reads, endings, strict=True) if e is FileEnding.REMOVED)
                self.rejected.tidy(
                    [
                        *(read.entry.version for read in published_before),
                        *(
                            r.entry.version
                            for r, ending in zip(reads, endings, strict=True)
                            if r.report.outcome is FileEnding.LOADED and ending not in left
                        ),
                    ],
                    gone,
                )
        if self.inspect is not None and published.commit is not None and accepted:
            with self.timings.trace.stage("expectations"):
                self.expectations = tuple(self.inspect(published.files))
        serving = {
            source_of(read.entry.version): read.report.rows_loaded
            for read, ending in zip(reads, endings, strict=True)
            if ending is FileEnding.LOADED
        }
        with self.timings.of(Stage.COMPARE):
            changes = compare_replaced(self.gate.tables, table.dataset, published, serving)
        reads = [
            replace(read, report=replace(read.report, changes=changes.get(source_of(read.entry.version))))
            for read in reads
        ]
        outcomes = (self._published(read, ending, published) for read, ending in zip(reads, endings, strict=True))
        self._settle([outcome for outcome in outcomes if outcome is not None])
        reports = [
            ended(read.report, ending, published.replaced.get(source_of(read.entry.version), 0))
            for read, ending in zip(reads, endings, strict=True)
        ]
        return self._finish([*reports, *told], published.commit, published.files, recognised=bool(told), grown=table)

    def _endings(self, published: Published, reads: Sequence[ReadMember]) -> list[FileEnding]:
        """What became of each file in the table, which is asked where the commit was found and not made just now."""
        concerned = [r.entry.version for r in reads if r.report.outcome in (FileEnding.LOADED, FileEnding.REMOVED)]
        rows = self._rows(concerned) if published.found else None
        return [ending_of(read.report, read.entry.version, published, rows) for read in reads]

    def _published(self, read: ReadMember, ending: FileEnding, published: Published) -> FileOutcome | None:
        facts = self._facts(read, published.commit)
        return published_outcome(read.entry.ref, read.report, ending, facts, read.milliseconds, gone=read.found_gone)

    # ---- an earlier attempt's commit

    def _find_commit(self) -> Committed | None:
        """The commit of an earlier attempt at this batch, whose worker did not live to settle it."""
        return self.gate.tables.find_batch(self.dataset, self.claim.batch_id) if self.claim.epoch > 1 else None

    def _recognise(self, commit: Committed, members: MemberReader) -> BatchReport:
        """Settle from the table what that commit published, and read only the rest.

        What reads well now but has no rows is left to the next batch. What is gone was there when it was published.
        """
        rows = self._rows([entry.version for entry in self.claim.members])
        published = [entry for entry in self.claim.members if source_of(entry.version) in rows]
        reads = members.read([entry for entry in self.claim.members if entry not in published])
        published += [read.entry for read in reads if read.report.outcome is FileEnding.GONE]
        left = [
            read
            for read in reads
            if read.report.outcome not in (FileEnding.LOADED, FileEnding.GONE) and read.asks is None
        ]
        self._settle_unpublished(left)
        removed = [read for read in left if read.report.outcome is FileEnding.REMOVED]
        if self.rejected is not None:
            self.rejected.tidy([entry.version for entry in published], frozenset(read.entry.ref for read in removed))
        found = self._as_loaded(published)
        self._settle([FileRemoved(read.entry.ref, gone=read.found_gone) for read in removed])
        self._settle([FileCommitted(read.entry.ref, self._facts(read, commit)) for read in found])
        return self._finish([read.report for read in (*left, *found)], commit, recognised=True)

    def _published_before(self, reads: Sequence[ReadMember]) -> tuple[list[ReadMember], list[ReadMember]]:
        """The members without those that a released batch had published, and those, settled as loaded.

        Read now, such a file may be gone, or the contract may have changed; but its rows are in the table, and what it replaced is
        not. A commit of ours comes first, so that no worker of a released batch can still bring them. Where such a file was removed and
        its dataset retracts, it is loaded first and then due again, to have its rows taken out.
        """
        published_or_due = (FileEnding.LOADED, FileEnding.RETRY, FileEnding.DEFERRED)
        others = [read.entry for read in reads if read.report.outcome not in published_or_due]
        given_up = [entry for entry in others if self._was_given_up(entry) and not entry.serving]
        if not given_up:
            return list(reads), []
        self._fence()
        rows = self._rows([entry.version for entry in given_up])
        batches = {batch for entry in given_up for batch in (*entry.given_up, self.claim.batch_id)}
        commits = {batch: self.gate.tables.find_batch(self.dataset, batch) for batch in sorted(batches)}
        published = [
            entry
            for entry in given_up
            if source_of(entry.version) in rows
            or any(commits[batch] is not None for batch in (*entry.given_up, self.claim.batch_id))
        ]
        found = self._as_loaded(published)
        self._settle([FileCommitted(read.entry.ref, self._facts(read)) for read in found])
        for read in reads:
            if read.found_gone and read.entry in published:
                self.gate.ledger.removed(removal_of(read.entry), self.gate.retracting)
        return [read for read in reads if read.entry not in published], found

    def _was_given_up(self, entry: LedgerEntry) -> bool:
        """Whether another worker had the file in hand, and may still be on its way to the table."""
        return bool(entry.given_up) or self.claim.epoch > 1

    def _fence(self) -> None:
        """Commit nothing, so that the table has moved on for whoever planned a commit before."""
        with self.timings.of(Stage.COMMIT):
            publish(
                self.gate.tables,
                self.dataset,
                f"{self.claim.batch_id}-{self.claim.epoch}-fence",
                (),
                (),
                list[KnownVersion],
                before_commit=self.heartbeat.renew,
                fence=True,
                pause=self.gate.pause,
                meter=self.gate.meter,
            )

    def _rows(self, versions: Sequence[ObjectVersion]) -> dict[SourceVersion, int]:
        """The rows that these versions have in the table now."""
        now = self.gate.tables.current(self.dataset)
        found = self.gate.tables.find_sources(now, self.dataset, [source_of(version) for version in versions])
        return {one.source: one.rows for one in found}

    def _as_loaded(self, entries: Sequence[LedgerEntry]) -> list[ReadMember]:
        """Members as the tables show them."""
        versions = [entry.version for entry in entries]
        rows = self._rows(versions)
        rejected = self.rejected.rows([source_of(v) for v in versions]) if self.rejected is not None else {}
        reads: list[ReadMember] = []
        for entry in entries:
            version = entry.version
            count, bad = rows.get(source_of(version), 0), rejected.get(source_of(version), 0)
            report = FileReport(version.key, version.version_id, version.size_bytes, FileEnding.LOADED)
            reads.append(
                ReadMember(entry, replace(report, rows_read=count + bad, rows_loaded=count, rows_rejected=bad))
            )
        return reads

    # ---- the books

    def _settle(self, outcomes: Sequence[FileOutcome]) -> None:
        if outcomes:
            with self.timings.of(Stage.BOOKS):
                retracting = (self.dataset.name,) if self.dataset.retracts else ()
                done = self.gate.ledger.settle(self.claim, outcomes, self.timings.of_batch(), retracting)
            self.gate.meter.tell(of_settled(self.claim, outcomes, done, self.queryable_at or self.gate.clock()))

    def _facts(self, read: ReadMember, commit: Committed | None = None) -> Facts:
        return facts_of(read.report, self.contract, commit, read.entry.verdicts)

    def _finish(
        self,
        files: Sequence[FileReport],
        commit: Committed | None,
        staged: Sequence[StagedFile] = (),
        *,
        recognised: bool = False,
        grown: GrowingTable | None = None,
    ) -> BatchReport:
        with self.timings.of(Stage.BOOKS):
            if any(file.outcome in VERDICTS for file in files):
                self.gate.ledger.pauses.verdict(self.dataset.name)
            self.gate.ledger.finish(self.claim, commit.snapshot_id if commit else None)
        batch = self.claim.batch
        published_here = not recognised and (bool(staged) or commit is None or not commit.rows_added)
        return BatchReport(
            dataset=self.dataset.name,
            landing_day=batch.landing_day,
            batch_id=batch.batch_id,
            trigger=batch.trigger.value,
            files=tuple(files),
            committed=commit,
            bytes_out=sum(file.size_bytes for file in staged),
            partitions=tuple(sorted({file.relative_key.rpartition("/")[0] for file in staged})),
            seconds=dict(self.timings.seconds),
            recognised=recognised,
            rows_published=sum(file.rows for file in staged) if published_here else None,
            column_nulls=count_nulls(staged) if published_here else None,
            columns_added=grown.columns_added if grown else {},
            types_widened=grown.types_widened if grown else {},
            queryable_at=self.queryable_at,
            names_in_files=self.names.by_column,
            expectations=self.expectations,
        )
