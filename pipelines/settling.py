"""What the ledger is told of a file that was read: from its report to its outcome and the facts that stay with it. Pure."""

from typing import assert_never

from pipelines.accounting.entries import (
    Facts,
    FileArchived,
    FileDeferred,
    FileEmpty,
    FileFailed,
    FileGone,
    FileOutcome,
    FileQuarantined,
    VersionRef,
)
from pipelines.ports import Committed
from pipelines.reports import FileEnding, FileReport

__all__ = ["facts_of", "unpublished_outcome"]

_PARTITIONS_KEPT = 100
_RULES_KEPT = 5


def facts_of(report: FileReport, contract: str, commit: Committed | None, verdicts_before: int = 0) -> Facts:
    """The numbers of a file under a contract's fingerprint; of a quarantined file every row read is rejected."""
    rejected = report.outcome is FileEnding.QUARANTINED
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
