"""Reading the members of one batch, for one attempt at it: each is read and judged, its rows staged, or its object quarantined."""

import time
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import assert_never

from pipelines.accounting.entries import BatchTimes, Claim, LedgerEntry, Reading, VersionRef
from pipelines.accounting.heartbeat import Heartbeat
from pipelines.accounting.states import Trigger
from pipelines.accounting.transitions import awaits_retraction
from pipelines.contracts.model import CsvFormat, Dataset
from pipelines.errors import LakegateError, ObjectArchivedError, ObjectGoneError
from pipelines.gate import Gate
from pipelines.giving_up import kind_of
from pipelines.intake.objects import object_id
from pipelines.intake.routing import BadKey, Outside, Routed, Unrouted, bad_key_violation, event_day, route
from pipelines.prefetch import Fetched, fetch_ahead
from pipelines.progress import FileUnderWay, Progress, TellProgress
from pipelines.publication.growing import MAX_GROWTHS, GrowingTable
from pipelines.publication.publish import source_of
from pipelines.publication.quarantine import make_report, quarantine
from pipelines.publication.rejected import FileSink, RejectedRows
from pipelines.reading.headers import names_meant
from pipelines.reading.limits import limits_of
from pipelines.reading.summary import Accepted, Empty, FileReader, ReadRequest, ReadSummary, Rejected, Verdict, judge
from pipelines.reports import FileEnding, FileReport, Stage
from pipelines.telemetry.attempt import AttemptTrace
from pipelines.telemetry.logs import file_fields, logged
from pipelines.telemetry.tracing import Attribute

__all__ = ["MemberReader", "NamesInFiles", "ReadMember", "Timings"]

_HEADERS_REMEMBERED = 64
_NAMES_KEPT = 20


class NamesInFiles:
    """Under which names the accepted files of a batch had each column, up to 20 of one: files choose them."""

    def __init__(self) -> None:
        """Begin with none."""
        self._found: dict[str, dict[str, None]] = {}
        self._seen: set[tuple[str, ...]] = set()

    def add(self, dataset: Dataset, source_columns: tuple[str, ...]) -> None:
        """Note the columns of one file."""
        if source_columns in self._seen:
            return
        if len(self._seen) < _HEADERS_REMEMBERED:
            self._seen.add(source_columns)
        for column, names in names_meant(dataset, source_columns).items():
            found = self._found.setdefault(column, {})
            found.update(dict.fromkeys(names[: _NAMES_KEPT - len(found)]))

    @property
    def by_column(self) -> Mapping[str, tuple[str, ...]]:
        """The names, by column of the table."""
        return {column: tuple(names) for column, names in self._found.items()}


class Timings:
    """Where the time of one attempt goes, in seconds."""

    def __init__(self, trace: AttemptTrace) -> None:
        """Begin with none."""
        self.seconds: dict[Stage, float] = dict.fromkeys(Stage, 0.0)
        self.trace = trace

    @contextmanager
    def of(self, stage: Stage, name: str | None = None) -> Generator[dict[str, Attribute]]:
        """Count the time inside, and have it as a span, called as the stage is unless a `name` is given; what is put into the mapping
        is said with it.
        """
        started = time.perf_counter()
        try:
            with self.trace.stage(name or stage.value) as said:
                yield said
        finally:
            self.seconds[stage] += time.perf_counter() - started

    def of_batch(self) -> BatchTimes:
        """What the batch spent so far beside reading."""
        stage, commit, books = (round(self.seconds[s] * 1000) for s in (Stage.STAGE, Stage.COMMIT, Stage.BOOKS))
        return BatchTimes(stage, commit, books)


@dataclass(frozen=True, slots=True)
class ReadMember:
    """One member after it was read: `report.outcome` says what has to be done about it."""

    entry: LedgerEntry
    report: FileReport
    asks: ReadSummary | None = None
    """Set while the table lacks something that the file needs: nothing of it is staged, and it is read again."""
    found_gone: bool = False
    """Whether nothing but reading told that the object was removed."""

    @property
    def milliseconds(self) -> int:
        """How long it was read."""
        return round(self.report.seconds * 1000)


class MemberReader:
    """Reads members of a batch into what the attempt stages for its tables. Used once, by one thread."""

    def __init__(
        self,
        gate: Gate,
        reader: FileReader,
        dataset: Dataset,
        claim: Claim,
        heartbeat: Heartbeat,
        table: GrowingTable,
        rejected: RejectedRows | None,
        timings: Timings,
        names: NamesInFiles,
        tell: TellProgress | None = None,
    ) -> None:
        self.gate = gate
        self.tell = tell
        self.reader = reader
        self.dataset = dataset
        self.claim = claim
        self.heartbeat = heartbeat
        self.table = table
        self.rejected = rejected
        self.timings = timings
        self.names = names
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

    def read_all(self) -> list[ReadMember]:
        """Read every member; those that the table has to grow for are read again when it has."""
        reads = self.read(self.claim.members)
        for _ in range(MAX_GROWTHS):
            asking = [(position, read.entry, read.asks) for position, read in enumerate(reads) if read.asks is not None]
            if not asking:
                break
            self.heartbeat.renew()
            with self.timings.of(Stage.COMMIT):
                # In the order of their keys: which of two files gives a column its name must not hang on who came first.
                self.table.grow([asks for _, _, asks in sorted(asking, key=lambda asked: asked[1].version.key)])
            again = self.read([entry for _, entry, _ in asking])
            for (position, _, asks), read in zip(asking, again, strict=True):
                grown = replace(read.report, new_columns=asks.new_columns, wider_types=asks.wider_types)
                reads[position] = replace(read, report=grown)
        return reads

    def read(self, members: Sequence[LedgerEntry]) -> list[ReadMember]:
        """Read some members, in order; those that one commit has no room for are left, those that were removed are not read."""
        there = [entry for entry in members if not self._is_removed(entry)]
        reads: list[ReadMember] = []
        with closing(fetch_ahead(self.gate.store, [entry.version for entry in there], self.gate.pools)) as ahead:
            for entry, fetched in zip(there, ahead, strict=True):
                version = entry.version
                with logged(**file_fields(version.bucket, version.key, version.version_id)):
                    reads.append(self._read(entry, fetched))
                if self.is_full:
                    break
        told = {read.entry.ref: read for read in reads}
        return [told.get(entry.ref) or ReadMember(entry, self._unread(entry)) for entry in members]

    def _is_removed(self, entry: LedgerEntry) -> bool:
        """Whether a member's rows are to leave the table, or never to come: its object was removed and the dataset retracts."""
        return awaits_retraction(entry) or (self.dataset.retracts and entry.object_removed)

    def _unread(self, entry: LedgerEntry) -> FileReport:
        if self._is_removed(entry):
            version = entry.version
            return FileReport(version.key, version.version_id, version.size_bytes, FileEnding.REMOVED)
        return self._deferred(entry)

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

    def _read(self, entry: LedgerEntry, fetched: Fetched) -> ReadMember:
        """Read and judge one file. A fault of ours with this file is its own outcome, not its neighbours'."""
        self.heartbeat.check()
        version = entry.version
        landed_at = version.landed_at if entry.trigger is Trigger.EVENT else None
        report = FileReport(version.key, version.version_id, version.size_bytes, FileEnding.RETRY, landed_at=landed_at)
        routed = route(version.key, (self.dataset,), event_day(version.landed_at), event_day(self.gate.clock()))
        match routed:
            case Routed():
                pass
            case BadKey():
                fault = bad_key_violation(routed, version.key)
                return self._reject(entry, replace(report, read_complete=False), Rejected((fault,), 1))
            case Unrouted() | Outside():
                return ReadMember(
                    entry, replace(report, error=f"landing.key of {self.dataset.name} no longer claims this key")
                )
            case _ as never:
                assert_never(never)
        trace = self.timings.trace
        request = ReadRequest(
            self.table.dataset,
            version.size_bytes,
            routed.key_values,
            version.landed_at,
            self.delimiter,
            trace.of_file(entry),
        )
        began, started = self.gate.clock(), time.perf_counter()
        beside = None if self.rejected is None else self.rejected.staging
        stage = FileSink(self.table.staging, beside, source_of(version), entry.landing_day)
        under_way = FileUnderWay(version, fetched.open, stage, self._tell)
        try:
            summary = self.reader.read(request, under_way.chunks, under_way)
            verdict = self._judge(summary)
        except LakegateError as error:
            stage.discard()
            trace.read(entry, began, type(error).__name__, error=error.code)
            return self._not_read(entry, report, error)
        finally:
            self.heartbeat.reading = None
        trace.read(entry, began, type(verdict).__name__.lower(), summary)
        seconds = time.perf_counter() - started
        self.timings.seconds[Stage.READ] += seconds
        report = replace(report.read_as(summary, stage.partition_paths), seconds=seconds)
        match verdict:
            case Accepted() if not self._agrees(summary.delimiter):
                stage.discard()
                return self._read(entry, fetched)  # with the delimiter that another worker pinned meanwhile
            case Accepted() if summary.changes_table:
                stage.discard()
                asking = replace(report, error="the table kept changing while the file was read")
                return ReadMember(entry, asking, summary)
            case Accepted() if self._is_beyond(stage.partition_paths):
                stage.discard()
                self.is_full = True
                return ReadMember(entry, self._deferred(entry))
            case Accepted():
                with self.timings.of(Stage.STAGE):
                    stage.accept()
                self.partitions.update(stage.partition_paths)
                self.names.add(self.table.dataset, summary.source_columns)
                report = replace(
                    report,
                    outcome=FileEnding.LOADED,
                    rows_loaded=verdict.rows,
                    rows_rejected=stage.rows_rejected,
                    violations=verdict.violations,
                    violations_total=verdict.violations_total,
                )
                return ReadMember(entry, report)
            case Rejected():
                stage.discard()
                return self._reject(entry, report, verdict, rows_bad=summary.rows_bad)
            case Empty():
                stage.discard()
                return ReadMember(entry, replace(report, outcome=FileEnding.EMPTY))
            case _ as never:
                assert_never(never)

    def _tell(self, progress: Progress) -> None:
        """Say how far the file is: to the ledger with the next beat, and to whoever asked to hear of it."""
        version = progress.version
        ref = VersionRef(object_id(version.bucket, version.key), version.version_id)
        self.heartbeat.reading = Reading(
            ref, progress.bytes_read, progress.size_bytes, progress.rows, self.gate.clock()
        )
        if self.tell is not None:
            self.tell(progress)

    def _not_read(self, entry: LedgerEntry, report: FileReport, error: LakegateError) -> ReadMember:
        if isinstance(error, ObjectGoneError):
            return self._gone(entry, report)
        if isinstance(error, ObjectArchivedError):
            return ReadMember(entry, replace(report, outcome=FileEnding.ARCHIVED))
        return ReadMember(entry, _stopped(report, error))

    def _gone(self, entry: LedgerEntry, report: FileReport) -> ReadMember:
        """No event told of it yet, and the object is not there: what that does to rows is the dataset's to say."""
        if self.dataset.retracts:
            return ReadMember(entry, replace(report, outcome=FileEnding.REMOVED), found_gone=True)
        return ReadMember(entry, replace(report, outcome=FileEnding.GONE))

    def _judge(self, summary: ReadSummary) -> Verdict:
        verdict = judge(self.dataset, summary)
        refusals = self.table.refusals(summary)
        return Rejected(refusals, len(refusals)) if refusals and isinstance(verdict, Accepted) else verdict

    def _reject(self, entry: LedgerEntry, report: FileReport, verdict: Rejected, rows_bad: int = 0) -> ReadMember:
        """Copy the rejected object and write its report, before the ledger says it is there."""
        report = replace(
            report,
            outcome=FileEnding.QUARANTINED,
            violations=verdict.violations,
            violations_total=verdict.violations_total,
        )
        try:
            with self.timings.of(Stage.BOOKS, "quarantine"):
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
                        tried=entry.verdicts + 1,
                    ),
                )
        except ObjectGoneError:
            return self._gone(entry, report)
        except LakegateError as error:
            return ReadMember(entry, _stopped(report, error))
        report = replace(report, quarantine_id=placed.id, report_key=placed.report_key)
        return ReadMember(entry, report)


def _stopped(report: FileReport, error: LakegateError) -> FileReport:
    """A fault of ours with this file: it is tried again later."""
    told = {"error": str(error), "error_code": error.code, "error_kind": kind_of(error)}
    return replace(report, outcome=FileEnding.RETRY, **told)  # pyright: ignore[reportArgumentType]
