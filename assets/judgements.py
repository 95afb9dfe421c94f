"""The checks `expectations` and `rules`: what became of each on the rows looked at, as one readable table.

One line for each that holds, over all days; one for each day on which it does not. Worst first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg

from assets.expectations import ExpectationResult, column_of, expected_of, shown_arguments
from assets.keys import counted
from pipelines.contracts.expectations import identified, is_native
from pipelines.contracts.model import Dataset, Severity
from pipelines.reading.row_rules import identified_rules
from pipelines.reports import BatchReport, FileEnding

__all__ = ["EXPECTATIONS", "RULES", "Asked", "Judged", "asked_expectations", "asked_rules", "in_reports", "judged"]

EXPECTATIONS = {"expectations": Severity.WARN, "expectations_block": Severity.BLOCK}
RULES = {"rules": Severity.WARN, "rules_block": Severity.BLOCK}
_SHOWN = 200

Judged = tuple[date, ExpectationResult]
"""How an expectation or a rule came out on the rows of one landing day."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An expectation or a row rule that a check asks about. `identity` is what the reader names it by; `by_reader`: it evaluates it."""

    identity: str
    name: str
    arguments: str
    severity: Severity
    column: str = ""
    expected: str = ""
    by_reader: bool = True

    def found(self, observed: str, *, success: bool, unexpected: int | None, rows: int | None) -> ExpectationResult:
        """How it came out."""
        return ExpectationResult(
            self.name, self.arguments, self.severity, success, observed, self.column, self.expected, unexpected, rows
        )

    def counted(self, broken: int, rows: int) -> ExpectationResult:
        """How it came out where every row was counted."""
        observed = f"{broken:,} of {rows:,} rows do not fit"
        return self.found(observed, success=not broken, unexpected=broken, rows=rows)


def asked_expectations(dataset: Dataset, severity: Severity) -> list[Asked]:
    """The contract's expectations of this severity."""
    return [
        Asked(identity, e.name, shown_arguments(e), severity, column_of(e), expected_of(e), is_native(e))
        for identity, e in identified(dataset)
        if e.severity is severity
    ]


def asked_rules(dataset: Dataset, severity: Severity) -> list[Asked]:
    """The contract's row rules of this severity."""
    return [Asked(i, r.rule, r.name or "", severity) for i, r in identified_rules(dataset) if r.severity is severity]


def in_reports(asked: Asked, reports: Sequence[BatchReport]) -> Iterator[Judged]:
    """What the reader found on the files that were loaded; all that was missed when this run did not read them."""
    for report in reports:
        loaded = [file for file in report.files if file.outcome is FileEnding.LOADED]
        rows = sum(file.rows_read for file in loaded)
        if not rows or not (asked.by_reader or report.recognised):
            continue
        broken = sum(w.count for file in loaded for w in file.warnings if w.expectation == asked.identity)
        if report.recognised:
            why = "not evaluated: an attempt that died had published these rows; materialize the day again, or execute this check"
            yield report.landing_day, asked.found(why, success=False, unexpected=None, rows=rows)
        else:
            yield report.landing_day, asked.counted(broken, rows)


def judged(
    name: str, severity: Severity, results: Sequence[Judged], *, note: str = "", nothing: str = ""
) -> dg.AssetCheckResult:
    """The answer of one check. `note` says what was left out, `nothing` what to say where there was nothing to look at."""
    what = "rule" if name in RULES else "expectation"
    lines = sorted(_lines(results), key=lambda line: (line[1].success, -(line[1].share or 0), line[0]))
    failed = sum(not result.success for _, result in results)
    metadata: dict[str, dg.MetadataValue] = {
        "evaluated": dg.MetadataValue.int(len(results)),
        "failed": dg.MetadataValue.int(failed),
    }
    if lines:
        metadata[f"{what}s"] = dg.MetadataValue.table([_record(what, days, result) for days, result in lines[:_SHOWN]])
    broken = len({(r.name, r.arguments) for _, r in results if not r.success})
    asked = len({(r.name, r.arguments) for _, r in results})
    if failed:
        said = f"{broken} of {counted(asked, what)} {'does' if broken == 1 else 'do'} not hold."
    else:
        said = (
            f"All {what}s hold." if results else nothing or "The run published no rows: there was nothing to evaluate."
        )
    return dg.AssetCheckResult(
        check_name=name,
        passed=failed == 0,
        severity=dg.AssetCheckSeverity.WARN if severity is Severity.WARN else dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
        description=f"{said} {note}".rstrip(),
    )


def _lines(results: Sequence[Judged]) -> Iterator[tuple[str, ExpectationResult]]:
    """Each result that does not hold with its day; those that hold put together over their days."""
    holding: dict[tuple[str, str], list[Judged]] = {}
    for day, result in results:
        if result.success:
            holding.setdefault((result.name, result.arguments), []).append((day, result))
        else:
            yield day.isoformat(), result
    for found in holding.values():
        days = sorted({day for day, _ in found})
        said = days[0].isoformat() if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"
        yield said, _together([result for _, result in found])


def _together(results: Sequence[ExpectationResult]) -> ExpectationResult:
    first = results[0]
    counts = [(r.unexpected, r.rows) for r in results]
    if len(results) == 1 or any(unexpected is None or rows is None for unexpected, rows in counts):
        return first if len(results) == 1 else first.with_counts("holds on each day", None, None)
    unexpected, rows = sum(u or 0 for u, _ in counts), sum(r or 0 for _, r in counts)
    return first.with_counts(f"{unexpected:,} of {rows:,} rows do not fit", unexpected, rows)


def _record(what: str, days: str, result: ExpectationResult) -> dg.TableRecord:
    share = result.share
    counts = {
        "rows that do not fit": "" if result.unexpected is None else f"{result.unexpected:,}",
        "share": "" if share is None else _percent(share),
        "severity": result.severity.value,
    }
    passed = "yes" if result.success else "NO"
    if what == "rule":
        named = {"rule": result.name, "name": result.arguments}
        return dg.TableRecord(named | {"passed": passed, "landing day": days, "observed": result.observed} | counts)
    named = {"expectation": result.name, "column": result.column, "expected": result.expected}
    return dg.TableRecord(named | {"passed": passed, "observed": result.observed, "landing day": days} | counts)


def _percent(share: float) -> str:
    """A share so that a single row of many is never told as none."""
    percent = 100 * share
    return f"{percent:.1f} %" if percent >= 0.1 or not percent else f"{percent:.2g} %"
