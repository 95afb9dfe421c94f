"""What the ledger is told of a file that was read: from its report to its outcome and the facts that stay with it. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from pipelines.accounting.entries import Facts, VersionRef
from pipelines.accounting.outcomes import (
    FileArchived,
    FileCommitted,
    FileDeferred,
    FileEmpty,
    FileFailed,
    FileGone,
    FileOutcome,
    FileQuarantined,
    FileRemoved,
)
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import Committed, SourceVersion
from pipelines.printable import printable
from pipelines.publication.publish import Published, source_of
from pipelines.reports import FileEnding, FileReport

__all__ = ["ended", "ending_of", "facts_of", "published_outcome", "unpublished_outcome"]

_PARTITIONS_KEPT = 100
_RULES_KEPT = 5
_COLUMN_CHARACTERS = 100


def facts_of(report: FileReport, contract: str, commit: Committed | None, verdicts_before: int = 0) -> Facts:
    """The numbers of a file under a contract's fingerprint; of a quarantined file every row read is rejected."""
    rejected = report.outcome is FileEnding.QUARANTINED
    first = report.violations[0] if report.violations else None
    return Facts(
        rows_read=report.rows_read,
        rows_accepted=report.rows_loaded,
        rows_rejected=report.rows_read if rejected else report.rows_rejected,
        read_complete=report.read_complete,
        violations_total=report.violations_total,
        contract=contract,
        report_key=report.report_key,
        partitions=report.partitions[:_PARTITIONS_KEPT],
        snapshot_id=commit.snapshot_id if commit else None,
        rules=tuple(dict.fromkeys(violation.rule.value for violation in report.violations))[:_RULES_KEPT],
        line=first.line if first else None,
        column=printable(first.column)[:_COLUMN_CHARACTERS] if first and first.column else None,
        verdicts=verdicts_before + 1,
    )


def unpublished_outcome(
    ref: VersionRef, report: FileReport, facts: Facts, milliseconds: int, spared: bool = False
) -> FileOutcome | None:
    """The outcome of a file that needs no commit; None for one that does. `spared`: its dataset is paused for the fault."""
    match report.outcome:
        case FileEnding.QUARANTINED:
            return FileQuarantined(ref, facts, milliseconds)
        case FileEnding.EMPTY:
            return FileEmpty(ref, facts, milliseconds)
        case FileEnding.GONE:
            return FileGone(ref, milliseconds)
        case FileEnding.RETRY:
            return FileFailed(ref, report.error or "unknown", milliseconds, report.error_kind, spared)
        case FileEnding.DEFERRED:
            return FileDeferred(ref, report.error or "unknown", milliseconds)
        case FileEnding.ARCHIVED:
            return FileArchived(ref, milliseconds)
        case FileEnding.LOADED | FileEnding.SUPERSEDED | FileEnding.REMOVED:
            return None
        case _ as never:
            assert_never(never)


_BY_ANOTHER = "another attempt at its batch had published it"


def ending_of(
    report: FileReport, version: ObjectVersion, published: Published, rows: Mapping[SourceVersion, int] | None
) -> FileEnding:
    """What became of a file in the table.

    `rows` are given where the commit was found and not made just now: another attempt may have planned it, before or
    after an object was removed.
    """
    ending = report.outcome
    if rows is not None and ending is FileEnding.LOADED and report.rows_loaded:
        return ending if source_of(version) in rows else FileEnding.SUPERSEDED
    if rows is not None and ending is FileEnding.REMOVED:
        return FileEnding.DEFERRED if source_of(version) in rows else ending
    if version in published.superseded:
        return FileEnding.SUPERSEDED
    return FileEnding.REMOVED if version in published.retracted else ending


def published_outcome(
    ref: VersionRef, report: FileReport, ending: FileEnding, facts: Facts, milliseconds: int, *, gone: bool
) -> FileOutcome | None:
    """What the ledger is told of a file that the commit had to do with; None of any other."""
    match report.outcome:
        case FileEnding.LOADED if ending is FileEnding.REMOVED:
            return FileRemoved(ref, milliseconds=milliseconds)
        case FileEnding.LOADED:
            note = report.changes.sentence() if report.changes else ""
            return FileCommitted(ref, facts, milliseconds, ending is FileEnding.SUPERSEDED, note)
        case FileEnding.REMOVED if ending is FileEnding.REMOVED:
            return FileRemoved(ref, gone=gone)
        case FileEnding.REMOVED:
            return FileDeferred(ref, _BY_ANOTHER)
        case _:
            return None


def ended(report: FileReport, ending: FileEnding, rows_removed: int) -> FileReport:
    """A file's report with what became of it in the table."""
    match ending:
        case FileEnding.SUPERSEDED:
            return replace(report, outcome=ending, rows_loaded=0, rows_rejected=0)
        case FileEnding.REMOVED:
            return replace(report, outcome=ending, rows_loaded=0, rows_rejected=0, rows_removed=rows_removed)
        case FileEnding.DEFERRED if report.outcome is FileEnding.REMOVED:
            return replace(report, outcome=ending, error=_BY_ANOTHER)
        case _:
            return report
