"""What a run tells of rows that were rejected one by one: numbers and reasons, on a node of their own.

Never the rows: they may be personal, and Dagster's event log is read by everybody. The table that holds them is for operators.
"""

from collections.abc import Iterable, Sequence
from datetime import date

import dagster as dg

from assets.checks import rejected_rows_sql
from assets.keys import counted, rejected_key
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import bad_row_limit
from pipelines.gate import Gate
from pipelines.printable import printable
from pipelines.reports import BatchReport, FileReport

__all__ = ["tell_rejected"]

_REASONS_SHOWN = 100


def tell_rejected(
    context: dg.AssetExecutionContext, gate: Gate, dataset: Dataset, reports: Sequence[BatchReport]
) -> None:
    """Log a materialization of the dataset's rejected rows for each day whose files the run worked on, if it has such a table."""
    days = sorted({r.landing_day for r in reports if r.files})
    if bad_row_limit(dataset) is None or not days:
        return
    standing = {c.landing_day: c.rows_rejected for c in gate.ledger.counts(dataset.name, since=days[0])}
    for day in days:
        files = [f for r in reports if r.landing_day == day for f in r.files]
        context.log_event(_materialization(dataset, day, files, standing.get(day, 0)))


def _materialization(
    dataset: Dataset, day: date, files: Sequence[FileReport], standing: int
) -> dg.AssetMaterialization:
    partly = [f for f in files if f.rows_rejected]
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/partition_row_count": dg.MetadataValue.int(standing),
        "rows rejected by this run": dg.MetadataValue.int(sum(f.rows_rejected for f in partly)),
        "files with rejected rows": dg.MetadataValue.int(len(partly)),
    }
    if reasons := list(_reasons(partly)):
        metadata["reasons"] = dg.MetadataValue.table(reasons[:_REASONS_SHOWN])
    if standing:
        metadata["to see them"] = dg.MetadataValue.text(rejected_rows_sql(dataset, [day]))
    return dg.AssetMaterialization(
        rejected_key(dataset),
        partition=day.isoformat(),
        description=f"{counted(standing, 'row')} of this day's files {'is' if standing == 1 else 'are'} rejected"
        if standing
        else "No row of this day's files is rejected",
        metadata=metadata,
    )


def _reasons(files: Iterable[FileReport]) -> Iterable[dg.TableRecord]:
    for file in files:
        for broken in file.violations:
            yield dg.TableRecord(
                {
                    "file": printable(file.key),
                    "rule": broken.rule.value,
                    "column": printable(broken.column or ""),
                    "first line": str(broken.line or ""),
                    "rows": broken.count,
                    "what to do": broken.rule.remedy,
                }
            )
