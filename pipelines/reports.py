"""What a batch came to, as values: what Dagster shows as metadata, the CLI prints and the tests assert on."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum

from pipelines.accounting.states import FaultKind
from pipelines.contracts.model import Severity
from pipelines.ports import Committed
from pipelines.printable import printable
from pipelines.publication.row_changes import RowChanges
from pipelines.reading.summary import ReadSummary
from pipelines.reading.violations import Violation

__all__ = ["VERDICTS", "BatchNotRun", "BatchReport", "ExpectationResult", "FileEnding", "FileReport", "Stage"]


class FileEnding(StrEnum):
    """What became of one object version in this batch."""

    LOADED = "loaded"
    QUARANTINED = "quarantined"
    EMPTY = "empty"
    SUPERSEDED = "superseded"
    GONE = "gone"
    REMOVED = "removed"
    ARCHIVED = "archived"
    RETRY = "retry"
    DEFERRED = "deferred"


VERDICTS = frozenset(
    {FileEnding.LOADED, FileEnding.QUARANTINED, FileEnding.EMPTY, FileEnding.SUPERSEDED, FileEnding.REMOVED}
)
"""Endings that were reached by looking at the file: whatever is needed for that works."""


class Stage(StrEnum):
    """Where the time of a batch goes; the values are metadata keys."""

    READ = "read"
    STAGE = "stage"
    COMMIT = "commit"
    COMPARE = "compare"
    BOOKS = "books"


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file's story in one batch. Rows are counts; `seconds` is reading time; `error` is set for RETRY and DEFERRED alone.

    `rows_rejected` of a loaded file went to the table beside the dataset's own; its `violations` say why. `rows_removed` left the
    table with a removed object. `changes` is what a loaded file changed that took the place of older rows of its key.
    `rescued` counts the values that went to `_rescued`, by the column's name in the file. `new_columns` (the file's name to the
    table's) and `wider_types` (by column) are what the table lacked to hold the file. `landed_at` is set where an event told of the
    file: of one that is processed again on purpose, or was found by a sweep, the time says nothing of how fast it went.
    """

    key: str
    version_id: str
    size_bytes: int
    outcome: FileEnding
    rows_read: int = 0
    rows_loaded: int = 0
    rows_rejected: int = 0
    rows_removed: int = 0
    changes: RowChanges | None = None
    read_complete: bool = True
    violations: tuple[Violation, ...] = ()
    violations_total: int = 0
    warnings: tuple[Violation, ...] = ()
    rescued: Mapping[str, int] = field(default_factory=dict[str, int])
    new_columns: Mapping[str, str] = field(default_factory=dict[str, str])
    wider_types: Mapping[str, str] = field(default_factory=dict[str, str])
    partitions: tuple[str, ...] = ()
    likely_causes: tuple[str, ...] = ()
    delimiter: str | None = None
    delimiter_score: float | None = None
    quarantine_id: str | None = None
    report_key: str | None = None
    error: str | None = None
    error_code: str | None = None
    error_kind: FaultKind = FaultKind.LASTING
    seconds: float = 0.0
    landed_at: datetime | None = None

    def read_as(self, summary: ReadSummary, partitions: tuple[str, ...]) -> "FileReport":
        """The report with what one reading of the file told."""
        return replace(
            self,
            rows_read=summary.rows_read,
            read_complete=summary.read_complete,
            warnings=summary.warnings,
            likely_causes=summary.likely_causes,
            delimiter=summary.delimiter,
            delimiter_score=summary.delimiter_score,
            rescued=summary.rescued,
            partitions=partitions,
            seconds=summary.seconds,
        )

    def sentence(self) -> str:
        """One line for the log: what happened to the file, without any of its content."""
        match self.outcome:
            case FileEnding.LOADED:
                count = sum(self.rescued.values())
                rescued = f", {count:,} {'value' if count == 1 else 'values'} rescued" if count else ""
                rejected = f", rejected {self.rows_rejected:,}" if self.rows_rejected else ""
                changes = f"; {printable(self.changes.sentence())}" if self.changes else ""
                return f"{self.key!r}: loaded {_rows(self.rows_loaded)}{rejected} in {self.seconds * 1000:.0f} ms{rescued}{changes}"
            case FileEnding.QUARANTINED:
                first = self.violations[0] if self.violations else None
                where = f", first at line {first.line}" if first is not None and first.line is not None else ""
                rules = ", ".join(sorted({v.rule.value for v in self.violations}))
                return f"{self.key!r}: quarantined as {self.quarantine_id}: {self.violations_total:,} {'fault' if self.violations_total == 1 else 'faults'} ({rules}){where}"
            case FileEnding.EMPTY:
                return f"{self.key!r}: empty; what its key has in the table stays"
            case FileEnding.SUPERSEDED:
                return f"{self.key!r}: a later version of the same key is already in the table; this one is not loaded"
            case FileEnding.GONE:
                return f"{self.key!r}: the object version was removed before it could be read"
            case FileEnding.REMOVED:
                return f"{self.key!r}: its object was removed; {_rows(self.rows_removed)} taken out of the table"
            case FileEnding.ARCHIVED:
                return f"{self.key!r}: lies in an archive; it is read when S3 tells that it was restored"
            case FileEnding.RETRY:
                return f"{self.key!r}: will be tried again: {printable(self.error or 'unknown')}"
            case FileEnding.DEFERRED:
                return f"{self.key!r}: waits for the next batch: {self.error}"


@dataclass(frozen=True, slots=True)
class ExpectationResult:
    """How one expectation came out on one batch. `observed` is a short text without row contents.

    `expected` are the arguments beside the column; `unexpected` counts the rows of `rows` that do not fit, where GX counts them.
    """

    name: str
    arguments: str
    severity: Severity
    success: bool
    observed: str
    column: str = ""
    expected: str = ""
    unexpected: int | None = None
    rows: int | None = None

    @property
    def share(self) -> float | None:
        """The share of rows that do not fit, where they were counted."""
        return None if self.unexpected is None or not self.rows else self.unexpected / self.rows

    def with_counts(self, observed: str, unexpected: int | None, rows: int | None) -> "ExpectationResult":
        """The same with other numbers."""
        return replace(self, observed=observed, unexpected=unexpected, rows=rows)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch's story. Times are seconds per stage; bytes in are the objects' sizes, bytes out the data files'.

    `columns_added` (the table's name: the file's) and `types_widened` (column: type before and after) changed the table for it.
    `rows_published` are the rows in its data files, and `column_nulls` how many of them are null in each column of the table (in a
    nested column, the value as a whole); None where an attempt that died published some of them. `queryable_at` is when the commit was
    made, by this attempt. `names_in_files` are those under which the loaded files had a column, where they brought it.
    `expectations` are those that were looked at after the commit, by this attempt.
    """

    dataset: str
    landing_day: date
    batch_id: str
    trigger: str
    files: tuple[FileReport, ...]
    committed: Committed | None
    bytes_out: int = 0
    partitions: tuple[str, ...] = ()
    seconds: Mapping[Stage, float] = field(default_factory=dict[Stage, float])
    recognised: bool = False
    rows_published: int | None = 0
    column_nulls: Mapping[str, int] | None = field(default_factory=dict[str, int])
    columns_added: Mapping[str, str] = field(default_factory=dict[str, str])
    types_widened: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    queryable_at: datetime | None = None
    names_in_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    expectations: tuple[ExpectationResult, ...] = ()

    def count(self, outcome: FileEnding) -> int:
        """How many files had this outcome."""
        return sum(1 for f in self.files if f.outcome is outcome)

    @property
    def rows_read(self) -> int:
        """Rows read, in all files."""
        return sum(f.rows_read for f in self.files)

    @property
    def rows_loaded(self) -> int:
        """Rows that are in the table now because of this batch."""
        return sum(f.rows_loaded for f in self.files)

    @property
    def changes(self) -> Mapping[str, int]:
        """Rows added, removed, changed and as before, over the files that replaced older rows; `not compared` counts files."""
        counts: Counter[str] = Counter()
        for change in (file.changes for file in self.files if file.changes is not None):
            told = {
                "added": change.added,
                "removed": change.removed,
                "changed": change.changed,
                "as before": change.unchanged,
            }
            counts.update({name: number for name, number in told.items() if number is not None})
            if change.added is None:
                counts["not compared"] += 1
        return counts

    @property
    def rows_rejected(self) -> int:
        """Rows of loaded files that went to the table beside the dataset's own."""
        return sum(f.rows_rejected for f in self.files)

    @property
    def rescued(self) -> Mapping[str, int]:
        """Values in `_rescued` because of this batch, by the column's name in the files."""
        counts: Counter[str] = Counter()
        for file in self.files:
            if file.outcome is FileEnding.LOADED:
                counts.update(file.rescued)
        return counts

    @property
    def latencies(self) -> tuple[float, ...]:
        """Seconds from landing to queryable of the loaded files that came by an event, shortest first; clocks differ: never below 0."""
        if self.queryable_at is None:
            return ()
        landed = (f.landed_at for f in self.files if f.outcome is FileEnding.LOADED and f.landed_at is not None)
        return tuple(sorted(max(0.0, (self.queryable_at - at).total_seconds()) for at in landed))

    @property
    def bytes_in(self) -> int:
        """Size of the objects."""
        return sum(f.size_bytes for f in self.files)

    @property
    def reconciled(self) -> bool:
        """Whether every row read is loaded, or rejected by itself, or belongs to a file that, as a whole, was not loaded."""
        loaded = sum(f.rows_read for f in self.files if f.outcome is FileEnding.LOADED)
        added = self.committed.rows_added if self.committed is not None else 0
        return (loaded == self.rows_loaded + self.rows_rejected and self.rows_loaded == added) or self.recognised

    def sentence(self) -> str:
        """One line for the log."""
        parts = [f"{self.count(outcome)} {outcome.value}" for outcome in FileEnding if self.count(outcome)]
        removed = (
            f", {_rows(self.committed.rows_removed, 'older ')} out"
            if self.committed and self.committed.rows_removed
            else ""
        )
        if changes := self.changes:
            removed += f" ({', '.join(f'{number:,} {what}' for what, number in changes.items())})"
        grown = [f"column {name} added" for name in self.columns_added]
        grown += [f"column {name} widened from {old} to {new}" for name, (old, new) in self.types_widened.items()]
        return (
            f"{self.dataset} {self.landing_day}: {len(self.files):,} {'file' if len(self.files) == 1 else 'files'} ({', '.join(parts) or 'nothing to do'}), "
            f"{_rows(self.rows_loaded)} in{removed}" + "".join(f"; {change}" for change in grown)
        )


@dataclass(frozen=True, slots=True)
class BatchNotRun:
    """A batch this worker left alone, and why; its files are not lost, someone else has them."""

    batch_id: str
    reason: str


def _rows(number: int, which: str = "") -> str:
    return f"{number:,} {which}{'row' if number == 1 else 'rows'}"
