"""The asset checks of a dataset: a handful, declared with the asset and answered from numbers the run already has.

| check               | fails when                                              | severity          |
|---------------------|---------------------------------------------------------|-------------------|
| files_accepted      | a file of the run was quarantined                       | WARN              |
| rows_reconciled     | rows read and rows in the table differ                  | ERROR, blocking   |
| expectations        | an expectation with severity `warn` does not hold       | WARN              |
| expectations_block  | an expectation with severity `block` does not hold      | ERROR, blocking   |
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date

import dagster as dg

from assets.expectations import ExpectationResult, shown_arguments
from assets.keys import counted, table_key
from pipelines.contracts.expectations import identified, is_native
from pipelines.contracts.model import Dataset, Severity
from pipelines.reports import BatchReport, FileEnding

__all__ = ["check_results", "check_specs"]

FILES_ACCEPTED = "files_accepted"
ROWS_RECONCILED = "rows_reconciled"
EXPECTATIONS = "expectations"
EXPECTATIONS_BLOCK = "expectations_block"


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
            description="Every row read from an accepted file is in the table, and no other.",
        ),
    ]
    if _has(dataset, Severity.WARN):
        specs.append(
            dg.AssetCheckSpec(
                EXPECTATIONS,
                asset=key,
                description="The contract's expectations with severity `warn`, on the rows just published.",
            )
        )
    if _has(dataset, Severity.BLOCK):
        specs.append(
            dg.AssetCheckSpec(
                EXPECTATIONS_BLOCK,
                asset=key,
                blocking=True,
                description="The contract's expectations with severity `block`: what is downstream stops when one fails.",
            )
        )
    return specs


def _has(dataset: Dataset, severity: Severity) -> bool:
    return any(e.severity is severity for e in dataset.expectations)


def check_results(
    dataset: Dataset, reports: Sequence[BatchReport], expectations: Mapping[date, Sequence[ExpectationResult]]
) -> list[dg.AssetCheckResult]:
    """Answer every declared check from the run's reports."""
    results = [_files_accepted(reports), _rows_reconciled(reports)]
    for severity, name in ((Severity.WARN, EXPECTATIONS), (Severity.BLOCK, EXPECTATIONS_BLOCK)):
        if _has(dataset, severity):
            results.append(_expectations(dataset, name, severity, reports, expectations))
    return results


def _files_accepted(reports: Sequence[BatchReport]) -> dg.AssetCheckResult:
    bad = [(r, f) for r in reports for f in r.files if f.outcome is FileEnding.QUARANTINED]
    records = [
        dg.TableRecord(
            {
                "file": f.key,
                "rule": f.violations[0].rule.value if f.violations else "",
                "line": str(f.violations[0].line or "") if f.violations else "",
                "column": (f.violations[0].column or "") if f.violations else "",
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


def _rows_reconciled(reports: Sequence[BatchReport]) -> dg.AssetCheckResult:
    wrong = [r for r in reports if not r.reconciled]
    return dg.AssetCheckResult(
        check_name=ROWS_RECONCILED,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "rows read": dg.MetadataValue.int(sum(r.rows_read for r in reports)),
            "rows loaded": dg.MetadataValue.int(sum(r.rows_loaded for r in reports)),
            "rows in files not loaded": dg.MetadataValue.int(
                sum(f.rows_read for r in reports for f in r.files if f.outcome is not FileEnding.LOADED)
            ),
        },
        description="Do not use the table before this is understood: " + "; ".join(r.sentence() for r in wrong)
        if wrong
        else "Rows read from accepted files and rows added to the table are the same number.",
    )


def _expectations(
    dataset: Dataset,
    name: str,
    severity: Severity,
    reports: Sequence[BatchReport],
    by_day: Mapping[date, Sequence[ExpectationResult]],
) -> dg.AssetCheckResult:
    results = [(day, r) for day, found in by_day.items() for r in found if r.severity is severity]
    results += [(r.landing_day, result) for r in reports for result in _of_report(dataset, r, severity)]
    failed = sum(not result.success for _, result in results)
    results.sort(key=lambda found: (found[1].success, found[0]))
    metadata: dict[str, dg.MetadataValue] = {
        "evaluated": dg.MetadataValue.int(len(results)),
        "failed": dg.MetadataValue.int(failed),
    }
    if results:
        metadata["expectations"] = dg.MetadataValue.table([_record(day.isoformat(), r) for day, r in results[:200]])
    if failed:
        description = f"{failed} of {counted(len(results), 'expectation')} {'does' if failed == 1 else 'do'} not hold."
    else:
        description = (
            "All expectations hold." if results else "The run published no rows: there was nothing to evaluate."
        )
    return dg.AssetCheckResult(
        check_name=name,
        passed=failed == 0,
        severity=dg.AssetCheckSeverity.WARN if severity is Severity.WARN else dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
        description=description,
    )


def _record(day: str, result: ExpectationResult) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "expectation": result.name,
            "arguments": result.arguments,
            "landing day": day,
            "holds": "yes" if result.success else "NO",
            "observed": result.observed,
        }
    )


def _of_report(dataset: Dataset, report: BatchReport, severity: Severity) -> list[ExpectationResult]:
    """What the reader found on the files that were loaded; all that was missed when this run did not read them."""
    loaded = [file for file in report.files if file.outcome is FileEnding.LOADED]
    rows = sum(file.rows_read for file in loaded)
    if not rows:
        return []
    broken = Counter[str]()
    for warning in (w for file in loaded for w in file.warnings):
        broken[warning.expectation or ""] += warning.count
    results: list[ExpectationResult] = []
    for identity, expectation in identified(dataset):
        if expectation.severity is not severity or not (is_native(expectation) or report.recognised):
            continue
        observed = f"{broken[identity]:,} of {rows:,} rows do not fit"
        if report.recognised:
            observed = "not evaluated: an attempt that died had published these rows; materialize the day again"
        success = broken[identity] == 0 and not report.recognised
        results.append(ExpectationResult(expectation.name, shown_arguments(expectation), severity, success, observed))
    return results
