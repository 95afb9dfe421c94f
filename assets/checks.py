"""The asset checks of a dataset: a handful, declared with the asset and answered from numbers the run already has.

Those that ask the tables after the commit are in `lookups.py`; those that ask the ledger, in no run, in `standing.py`.

| check               | fails when                                              | severity          |
|---------------------|---------------------------------------------------------|-------------------|
| files_accepted      | a file of the run was quarantined                       | WARN              |
| rows_accepted       | rows of the run were rejected one by one                | WARN              |
| rows_reconciled     | rows read and rows in the table differ                  | ERROR, blocking   |
| expectations        | an expectation with severity `warn` does not hold       | WARN              |
| expectations_block  | an expectation with severity `block` does not hold      | ERROR, blocking   |
| rules               | a row breaks a rule with severity `warn`                | WARN              |
| rules_block         | a row breaks a rule with severity `block`               | ERROR, blocking   |
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import dagster as dg

from assets.expectations import ExpectationResult
from assets.judgements import EXPECTATIONS, RULES, asked_expectations, asked_rules, in_reports, judged
from assets.keys import counted, table_key
from assets.lookups import lookup_results, lookup_specs
from assets.past import Past, past_results, past_specs
from pipelines.contracts.model import Dataset, Severity
from pipelines.contracts.rejected import bad_row_limit, rejected_dataset
from pipelines.ports import QueryEngine
from pipelines.printable import printable
from pipelines.reports import BatchReport, FileEnding

__all__ = ["FILES_ACCEPTED", "ROWS_ACCEPTED", "ROWS_RECONCILED", "check_results", "check_specs", "rejected_rows_sql"]

FILES_ACCEPTED = "files_accepted"
ROWS_ACCEPTED = "rows_accepted"
ROWS_RECONCILED = "rows_reconciled"


def check_specs(dataset: Dataset) -> list[dg.AssetCheckSpec]:
    """What is checked in every run of the dataset's asset."""
    key = table_key(dataset)
    specs = [
        dg.AssetCheckSpec(
            FILES_ACCEPTED,
            asset=key,
            description="No file of the run broke the contract. Quarantined files are listed with their first fault.",
        ),
        dg.AssetCheckSpec(
            ROWS_RECONCILED,
            asset=key,
            blocking=True,
            description="Every row read from an accepted file is in the table or was rejected, and no other is there.",
        ),
    ]
    if bad_row_limit(dataset) is not None:
        specs.append(
            dg.AssetCheckSpec(
                ROWS_ACCEPTED,
                asset=key,
                description=f"No row of an accepted file was rejected. Rejected rows are in {rejected_dataset(dataset).table}.",
            )
        )
    for name, severity in EXPECTATIONS.items():
        if asked_expectations(dataset, severity):
            specs.append(
                _spec(
                    key,
                    name,
                    severity,
                    "The contract's expectations",
                    "on the rows just published; executed alone, on the rows of the table",
                )
            )
    for name, severity in RULES.items():
        if asked_rules(dataset, severity):
            specs.append(
                _spec(
                    key,
                    name,
                    severity,
                    "The contract's row rules",
                    "on every row of the files just loaded; executed alone, of the table",
                )
            )
    return [*specs, *lookup_specs(dataset), *past_specs(dataset)]


def _spec(key: dg.AssetKey, name: str, severity: Severity, what: str, where: str) -> dg.AssetCheckSpec:
    blocks = severity is Severity.BLOCK
    then = ": what is downstream stops when one fails." if blocks else f", {where}."
    return dg.AssetCheckSpec(
        name, asset=key, blocking=blocks, description=f"{what} with severity `{severity.value}`{then}"
    )


def check_results(
    dataset: Dataset,
    reports: Sequence[BatchReport],
    expectations: Mapping[date, Sequence[ExpectationResult]],
    queries: QueryEngine | None,
    past: Past,
) -> list[dg.AssetCheckResult]:
    """Answer every declared check: from the run's reports, from the tables where only they can tell, and from the days before."""
    results = [_files_accepted(reports), _rows_reconciled(reports)]
    if bad_row_limit(dataset) is not None:
        results.append(_rows_accepted(dataset, reports))
    for name, severity in EXPECTATIONS.items():
        if asked := asked_expectations(dataset, severity):
            found = [(day, r) for day, told in expectations.items() for r in told if r.severity is severity]
            found += [judgement for one in asked for judgement in in_reports(one, reports)]
            results.append(judged(name, severity, found))
    for name, severity in RULES.items():
        if asked := asked_rules(dataset, severity):
            results.append(judged(name, severity, [j for one in asked for j in in_reports(one, reports)]))
    days = {report.landing_day for report in reports if report.files}
    results += lookup_results(dataset, reports, queries)
    return [*results, *past_results(dataset, past, days)]


def _files_accepted(reports: Sequence[BatchReport]) -> dg.AssetCheckResult:
    bad = [(r, f) for r in reports for f in r.files if f.outcome is FileEnding.QUARANTINED]
    records = [
        dg.TableRecord(
            {
                "file": printable(f.key),
                "rule": f.violations[0].rule.value if f.violations else "",
                "line": str(f.violations[0].line or "") if f.violations else "",
                "column": printable(f.violations[0].column or "") if f.violations else "",
                "faults": f.violations_total,
                "quarantine id": f.quarantine_id or "",
            }
        )
        for _, f in bad[:100]
    ]
    metadata: dict[str, dg.MetadataValue] = {
        "files": dg.MetadataValue.int(sum(len(r.files) for r in reports)),
        "quarantined": dg.MetadataValue.int(len(bad)),
    }
    if records:
        metadata["quarantined files"] = dg.MetadataValue.table(records)
    return dg.AssetCheckResult(
        check_name=FILES_ACCEPTED,
        passed=not bad,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
        description=f"{counted(len(bad), 'file')} went to quarantine; each report says what to repair."
        if bad
        else "Every file kept the contract.",
    )


def rejected_rows_sql(dataset: Dataset, days: Iterable[date]) -> str:
    """The query by which a person sees the rejected rows of these landing days."""
    listed = ", ".join(f"DATE '{day}'" for day in sorted(days))
    table = rejected_dataset(dataset).table
    return (
        f"SELECT _source_file, _source_line, rules, raw, reasons FROM {table} WHERE landing_day IN ({listed}) "  # noqa: S608 - for people; the names are the contract's
        "ORDER BY _source_file, _source_line"
    )


def _rows_accepted(dataset: Dataset, reports: Sequence[BatchReport]) -> dg.AssetCheckResult:
    files = [f for r in reports for f in r.files if f.rows_rejected]
    rejected = sum(f.rows_rejected for f in files)
    table = rejected_dataset(dataset).table
    metadata: dict[str, dg.MetadataValue] = {
        "rows rejected": dg.MetadataValue.int(rejected),
        "rows loaded": dg.MetadataValue.int(sum(r.rows_loaded for r in reports)),
    }
    if files:
        records = [
            dg.TableRecord(
                {
                    "file": printable(f.key),
                    "rule": v.rule.value,
                    "column": printable(v.column or ""),
                    "line": str(v.line or ""),
                    "count": v.count,
                    "what to do": v.rule.remedy,
                }
            )
            for f in files
            for v in f.violations
        ]
        if records:
            metadata["rejected rows"] = dg.MetadataValue.table(records[:100])
        days = {r.landing_day for r in reports if r.rows_rejected}
        metadata["to see them"] = dg.MetadataValue.text(rejected_rows_sql(dataset, days))
    return dg.AssetCheckResult(
        check_name=ROWS_ACCEPTED,
        passed=not rejected,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
        description=f"{counted(rejected, 'row')} of {counted(len(files), 'file')} went to {table}; the rest of {'it' if len(files) == 1 else 'them'} was loaded."
        if rejected
        else "Every row of the accepted files is in the table.",
    )


def _rows_reconciled(reports: Sequence[BatchReport]) -> dg.AssetCheckResult:
    wrong = [r for r in reports if not r.reconciled]
    return dg.AssetCheckResult(
        check_name=ROWS_RECONCILED,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "rows read": dg.MetadataValue.int(sum(r.rows_read for r in reports)),
            "rows loaded": dg.MetadataValue.int(sum(r.rows_loaded for r in reports)),
            "rows rejected": dg.MetadataValue.int(sum(r.rows_rejected for r in reports)),
            "rows in files not loaded": dg.MetadataValue.int(
                sum(f.rows_read for r in reports for f in r.files if f.outcome is not FileEnding.LOADED)
            ),
        },
        description="Do not use the table before this is understood: " + "; ".join(r.sentence() for r in wrong)
        if wrong
        else "Every row read from accepted files was added to the table or rejected by itself.",
    )
