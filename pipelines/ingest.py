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

import tempfile
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

from pipelines.accounting.entries import (
    AlreadyDone,
    Claim,
    Facts,
    FileCommitted,
    FileOutcome,
    HeldByOther,
    LedgerEntry,
    UnknownBatch,
)
from pipelines.accounting.heartbeat import Heartbeat
from pipelines.contracts.model import CsvFormat, Dataset
from pipelines.contracts.rejected import bad_row_limit
from pipelines.contracts.schema import fingerprint
from pipelines.errors import LakegateError, ObjectGoneError
from pipelines.gate import Gate
from pipelines.intake.routing import BadKey, Outside, Routed, Unrouted, bad_key_violation, event_day, route
from pipelines.ports import Committed, SourceVersion
from pipelines.prefetch import Fetched, fetch_ahead
from pipelines.publication.growing import MAX_GROWTHS, GrowingTable
from pipelines.publication.known import known_versions
from pipelines.publication.publish import AcceptedFile, publish, source_of
from pipelines.publication.quarantine import make_report, quarantine
from pipelines.publication.rejected import FileSink, RejectedRows
from pipelines.publication.staged import StagedFile
from pipelines.reading.limits import limits_of
from pipelines.reading.summary import Accepted, Empty, FileReader, ReadRequest, ReadSummary, Rejected, Verdict, judge
from pipelines.reports import BatchNotRun, BatchReport, FileEnding, FileReport, Stage
from pipelines.settling import facts_of, unpublished_outcome

__all__ = ["Inspect", "ingest_batch"]

Inspect = Callable[[Sequence[StagedFile]], None]
"""Looks at the batch's data files after the commit, while they are still on local disk."""


def ingest_batch(
    gate: Gate, reader: FileReader, dataset: Dataset, batch_id: str, owner: str, inspect: Inspect | None = None
) -> BatchReport | BatchNotRun:
    """Take one planned batch through the gate.

    Bad files are outcomes in the report. `owner` is the run's id; `inspect` is called after a commit of this attempt.

    Raises:
        ClaimLostError: the lease ran out and another worker has the batch: nothing more was written.
        TransientError, PermanentError: a fault of ours; the batch stays claimed until it is released.
    """
    claimed = gate.ledger.claim(batch_id, owner)
    match claimed:
        case Claim():
            return _Work(gate, reader, dataset, claimed, inspect).run()
        case AlreadyDone():
            return BatchNotRun(batch_id, "its work is done already")
        case HeldByOther():
            return BatchNotRun(batch_id, f"run {claimed.owner} works on it until {claimed.until:%H:%M:%S} UTC at least")
        case UnknownBatch():
            return BatchNotRun(batch_id, "the ledger has no such batch")
        case _ as never:
            assert_never(never)


@dataclass(frozen=True, slots=True)
class _Read:
    """One member after it was read: `report.outcome` says what has to be done about it."""

    entry: LedgerEntry
    report: FileReport
    asks: ReadSummary | None = None
    """Set while the table lacks something that the file needs: nothing of it is staged, and it is read again."""

    @property
    def milliseconds(self) -> int:
        return round(self.report.seconds * 1000)


class _Work:
    """One attempt at one claimed batch."""

    def __init__(self, gate: Gate, reader: FileReader, dataset: Dataset, claim: Claim, inspect: Inspect | None) -> None:
        self.gate = gate
        self.reader = reader
        self.dataset = dataset
        self.claim = claim
        self.inspect = inspect
        self.heartbeat = Heartbeat(gate.ledger, claim)
        self.contract = fingerprint(dataset)
        self.rejected: RejectedRows | None = None
        self.seconds: dict[Stage, float] = dict.fromkeys(Stage, 0.0)
        self.partitions: set[str] = set()
        """The partitions that the files accepted so far touch."""
        self.delimiter = self._pinned_delimiter()
        self.is_full = False
        """Whether an accepted file had to be left for the next batch: then all behind it are, in their order."""

    def _pinned_delimiter(self) -> str | None:
        form = self.dataset.format
        if not isinstance(form, CsvFormat) or not form.sniffs_delimiter:
            return None
        return self.gate.ledger.pinned_delimiter(self.dataset.name)

    def run(self) -> BatchReport:
        """Do it all."""
        with (
            self.heartbeat,
            tempfile.TemporaryDirectory(prefix="lakegate-") as scratch,
            GrowingTable(
                self.gate.tables,
                self.dataset,
                self.claim.batch_id,
                self.claim.epoch,
                Path(scratch),
                self.gate.clock(),
            ) as table,
            self._beside(Path(scratch)) as self.rejected,
        ):
            found = self._find_commit()
            if found is not None:
                return self._recognise(found, table)
            reads = self._read_growing(table)
            self._settle_unpublished(reads)
            return self._publish(reads, table)

    def _beside(self, scratch: Path) -> AbstractContextManager[RejectedRows | None]:
        if bad_row_limit(self.dataset) is None:
            return nullcontext()
        return RejectedRows(self.gate, self.dataset, self.claim, scratch, self.heartbeat.renew)

    # ---- reading

    def _read_growing(self, table: GrowingTable) -> list[_Read]:
        """Read every member; those that the table has to grow for are read again when it has."""
        reads = self._read_members(self.claim.members, table)
        for _ in range(MAX_GROWTHS):
            asking = [(position, read.entry, read.asks) for position, read in enumerate(reads) if read.asks is not None]
            if not asking:
                break
            self.heartbeat.renew()
            with self._timed(Stage.COMMIT):
                # In the order of their keys: which of two files gives a column its name must not hang on who came first.
                table.grow([asks for _, _, asks in sorted(asking, key=lambda asked: asked[1].version.key)])
            again = self._read_members([entry for _, entry, _ in asking], table)
            for (position, _, asks), read in zip(asking, again, strict=True):
                grown = replace(read.report, new_columns=asks.new_columns, wider_types=asks.wider_types)
                reads[position] = replace(read, report=grown)
        return reads

    def _read_members(self, members: Sequence[LedgerEntry], table: GrowingTable) -> list[_Read]:
        reads: list[_Read] = []
        with closing(fetch_ahead(self.gate.store, [entry.version for entry in members])) as ahead:
            for entry, fetched in zip(members, ahead, strict=True):
                reads.append(self._read(entry, fetched, table))
                if self.is_full:
                    break
        return [*reads, *(_Read(entry, self._deferred(entry)) for entry in members[len(reads) :])]

    def _deferred(self, entry: LedgerEntry) -> FileReport:
        limit = limits_of(self.dataset).batch_partitions
        reason = f"with it, one commit would touch more than {limit:,} partitions (limits.batch_partitions)"
        version = entry.version
        return FileReport(version.key, version.version_id, version.size_bytes, FileEnding.DEFERRED, error=reason)

    def _agrees(self, told: str | None) -> bool:
        """Pin the delimiter that the first accepted file tells; False when another one holds."""
        if told is not None and self.delimiter is None:
            self.delimiter = self.gate.ledger.pin_delimiter(self.dataset.name, told)
        return told in (None, self.delimiter)

    def _is_beyond(self, paths: Collection[str]) -> bool:
        """Whether the partitions of one more file are too many for one commit; a file alone never is."""
        together = self.partitions.union(paths)
        return bool(self.partitions) and len(together) > limits_of(self.dataset).batch_partitions

    def _read(self, entry: LedgerEntry, fetched: Fetched, table: GrowingTable) -> _Read:
        """Read and judge one file. A fault of ours with this file is its own outcome, not its neighbours'."""
        self.heartbeat.check()
        version = entry.version
        report = FileReport(version.key, version.version_id, version.size_bytes, FileEnding.RETRY)
        routed = route(version.key, (self.dataset,), event_day(version.landed_at), event_day(self.gate.clock()))
        match routed:
            case Routed():
                pass
            case BadKey():
                fault = bad_key_violation(routed, version.key)
                return self._reject(entry, replace(report, read_complete=False), Rejected((fault,), 1))
            case Unrouted() | Outside():
                return _Read(
                    entry, replace(report, error=f"landing.key of {self.dataset.name} no longer claims this key")
                )
            case _ as never:
                assert_never(never)
        request = ReadRequest(table.dataset, version.size_bytes, routed.key_values, version.landed_at, self.delimiter)
        started = time.perf_counter()
        beside = None if self.rejected is None else self.rejected.staging
        stage = FileSink(table.staging, beside, source_of(version), entry.landing_day)
        try:
            summary = self.reader.read(request, fetched.open, stage)
            verdict = self._judge(summary, table)
        except ObjectGoneError:
            stage.discard()
            return _Read(entry, replace(report, outcome=FileEnding.GONE))
        except LakegateError as error:
            stage.discard()
            return _Read(entry, replace(report, error=str(error)))
        seconds = time.perf_counter() - started
        self.seconds[Stage.READ] += seconds
        report = replace(
            report,
            rows_read=summary.rows_read,
            read_complete=summary.read_complete,
            warnings=summary.warnings,
            likely_causes=summary.likely_causes,
            delimiter=summary.delimiter,
            delimiter_score=summary.delimiter_score,
            rescued=summary.rescued,
            partitions=stage.partition_paths,
            seconds=seconds,
        )
        match verdict:
            case Accepted() if summary.changes_table:
                stage.discard()
                asking = replace(report, error="the table kept changing while the file was read")
                return _Read(entry, asking, summary)
            case Accepted() if self._is_beyond(stage.partition_paths):
                stage.discard()
                self.is_full = True
                return _Read(entry, self._deferred(entry))
            case Accepted() if not self._agrees(summary.delimiter):
                stage.discard()
                return self._read(entry, fetched, table)  # with the delimiter that another worker pinned meanwhile
            case Accepted():
                with self._timed(Stage.STAGE):
                    stage.accept()
                self.partitions.update(stage.partition_paths)
                report = replace(
                    report,
                    outcome=FileEnding.LOADED,
                    rows_loaded=verdict.rows,
                    rows_rejected=stage.rows_rejected,
                    violations=verdict.violations,
                    violations_total=verdict.violations_total,
                )
                return _Read(entry, report)
            case Rejected():
                stage.discard()
                return self._reject(entry, report, verdict, rows_bad=summary.rows_bad)
            case Empty():
                stage.discard()
                return _Read(entry, replace(report, outcome=FileEnding.EMPTY))
            case _ as never:
                assert_never(never)

    def _judge(self, summary: ReadSummary, table: GrowingTable) -> Verdict:
        verdict = judge(self.dataset, summary)
        breach = table.refusal(summary)
        return verdict if breach is None or not isinstance(verdict, Accepted) else Rejected((breach,), breach.count)

    def _reject(self, entry: LedgerEntry, report: FileReport, verdict: Rejected, rows_bad: int = 0) -> _Read:
        """Copy the rejected object and write its report, before the ledger says it is there."""
        report = replace(
            report,
            outcome=FileEnding.QUARANTINED,
            violations=verdict.violations,
            violations_total=verdict.violations_total,
        )
        try:
            with self._timed(Stage.BOOKS):
                placed = quarantine(
                    self.gate.store,
                    self.gate.quarantine_bucket,
                    entry.version,
                    make_report(
                        self.dataset,
                        entry.version,
                        landing_day=entry.landing_day,
                        batch_id=self.claim.batch_id,
                        run_id=self.claim.owner,
                        quarantined_at=self.gate.clock(),
                        violations=verdict.violations,
                        violations_total=verdict.violations_total,
                        rows_read=report.rows_read,
                        rows_bad=rows_bad,
                        read_complete=report.read_complete,
                        likely_causes=report.likely_causes,
                    ),
                )
        except ObjectGoneError:
            return _Read(entry, replace(report, outcome=FileEnding.GONE))
        except LakegateError as error:
            return _Read(entry, replace(report, outcome=FileEnding.RETRY, error=str(error)))
        report = replace(report, quarantine_id=placed.id, report_key=placed.report_key)
        return _Read(entry, report)

    # ---- settling and publishing

    def _settle_unpublished(self, reads: Sequence[_Read]) -> None:
        """Write down what needs no commit: the rejected, the empty, the gone, and those to be tried again."""
        outcomes = (unpublished_outcome(r.entry.ref, r.report, self._facts(r), r.milliseconds) for r in reads)
        self._settle([outcome for outcome in outcomes if outcome is not None])

    def _publish(self, reads: Sequence[_Read], table: GrowingTable) -> BatchReport:
        accepted = [read for read in reads if read.report.outcome is FileEnding.LOADED]
        files = [AcceptedFile(read.entry.version) for read in accepted]
        if not accepted:
            if self.rejected is not None:
                self.rejected.publish(files)
            return self._finish([read.report for read in reads], None, grown=table)
        with self._timed(Stage.STAGE):
            staged = table.finish()
        with self._timed(Stage.COMMIT):
            self.gate.ledger.mark_committing(self.claim)
            if self.rejected is not None:
                self.rejected.publish(files)
            published = publish(
                self.gate.tables,
                self.dataset,
                self.claim.batch_id,
                files,
                staged,
                lambda: known_versions(self.gate.ledger, self.claim, [read.entry for read in accepted]),
                properties={"lakegate.run-id": self.claim.owner, "lakegate.contract": self.contract},
                before_commit=self.heartbeat.renew,
            )
            if self.rejected is not None:
                self.rejected.tidy([f.version for f in files if f.version not in published.superseded])
        if self.inspect is not None and published.commit is not None:
            self.inspect(published.files)
        self._settle([FileCommitted(r.entry.ref, self._facts(r, published.commit), r.milliseconds) for r in accepted])
        superseded = {source_of(version) for version in published.superseded}
        reports = [
            replace(read.report, outcome=FileEnding.SUPERSEDED, rows_loaded=0, rows_rejected=0)
            if source_of(read.entry.version) in superseded
            else read.report
            for read in reads
        ]
        return self._finish(reports, published.commit, published.files, grown=table)

    # ---- an earlier attempt's commit

    def _find_commit(self) -> Committed | None:
        """The commit of an earlier attempt at this batch, whose worker did not live to settle it."""
        return self.gate.tables.find_batch(self.dataset, self.claim.batch_id) if self.claim.epoch > 1 else None

    def _recognise(self, commit: Committed, table: GrowingTable) -> BatchReport:
        """Settle from the table what that commit published, and read only the rest.

        What reads well now but was not in that commit (the contract changed meanwhile) is left to the next batch.
        """
        now = self.gate.tables.current(self.dataset)
        sources = [source_of(entry.version) for entry in self.claim.members]
        rows = {found.source: found.rows for found in self.gate.tables.find_sources(now, self.dataset, sources)}
        published = [entry for entry in self.claim.members if source_of(entry.version) in rows]
        reads = self._read_members([entry for entry in self.claim.members if entry not in published], table)
        reads = [read for read in reads if read.report.outcome is not FileEnding.LOADED and read.asks is None]
        self._settle_unpublished(reads)
        rejected: dict[SourceVersion, int] = {}
        if self.rejected is not None:
            self.rejected.tidy([entry.version for entry in published])
            rejected = self.rejected.rows(sources)
        for entry in published:
            version = entry.version
            count, bad = rows[source_of(version)], rejected.get(source_of(version), 0)
            report = FileReport(
                version.key, version.version_id, version.size_bytes, FileEnding.LOADED, count + bad, count
            )
            reads.append(_Read(entry, replace(report, rows_rejected=bad)))
        self._settle(
            [FileCommitted(r.entry.ref, self._facts(r, commit)) for r in reads if r.report.outcome is FileEnding.LOADED]
        )
        return self._finish([read.report for read in reads], commit, recognised=True)

    # ---- the books

    def _settle(self, outcomes: Sequence[FileOutcome]) -> None:
        if outcomes:
            with self._timed(Stage.BOOKS):
                self.gate.ledger.settle(self.claim, outcomes)

    def _facts(self, read: _Read, commit: Committed | None = None) -> Facts:
        return facts_of(read.report, self.contract, commit)

    def _finish(
        self,
        files: Sequence[FileReport],
        commit: Committed | None,
        staged: Sequence[StagedFile] = (),
        *,
        recognised: bool = False,
        grown: GrowingTable | None = None,
    ) -> BatchReport:
        with self._timed(Stage.BOOKS):
            self.gate.ledger.finish(self.claim, commit.snapshot_id if commit else None)
        batch = self.claim.batch
        return BatchReport(
            dataset=self.dataset.name,
            landing_day=batch.landing_day,
            batch_id=batch.batch_id,
            trigger=batch.trigger.value,
            files=tuple(files),
            committed=commit,
            bytes_out=sum(file.size_bytes for file in staged),
            partitions=tuple(sorted({file.relative_key.rpartition("/")[0] for file in staged})),
            seconds=dict(self.seconds),
            recognised=recognised,
            columns_added=grown.columns_added if grown else {},
            types_widened=grown.types_widened if grown else {},
        )

    @contextmanager
    def _timed(self, stage: Stage) -> Generator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - started
