"""The asset checks executed alone: on the table as it is and on what the ledger says now, whatever run brought it about.

| check               | looks at                                                                            |
|---------------------|-------------------------------------------------------------------------------------|
| files_accepted      | the files that wait in quarantine now                                                |
| rows_accepted       | the rejected rows of the files that serve now                                        |
| rows_reconciled     | the rows of each file in the table, beside what the ledger says of it                |
| rules, expectations | every row of the table; those of Great Expectations the newest days, one by one      |
| lookups             | every row of the table                                                               |
| volume, null_share  | the newest landing days, each beside the days before it                              |
| schema_drift        | the table's columns                                                                  |
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date
from itertools import islice

import dagster as dg

from assets.checks import FILES_ACCEPTED, ROWS_ACCEPTED, ROWS_RECONCILED, rejected_rows_sql
from assets.expectations import MAX_ROWS, ExpectationResult, evaluate_table, gx_columns, gx_expectations
from assets.judgements import EXPECTATIONS, RULES, Asked, Judged, asked_expectations, asked_rules, judged
from assets.keys import counted
from assets.lookups import table_lookup_results
from assets.past import columns_of, past_of, past_results
from pipelines.accounting.day_counts import DayCounts
from pipelines.accounting.states import Outcome
from pipelines.accounting.table_proof import prove_table
from pipelines.asking import NotLooked
from pipelines.contracts.model import Dataset, Severity
from pipelines.contracts.rejected import rejected_dataset, tables_of
from pipelines.gate import Gate
from pipelines.printable import printable
from pipelines.rejudging import rejudge

__all__ = ["GX_DAYS", "recheck"]

GX_DAYS = 31
"""Landing days, the newest with rows, on which Great Expectations is asked: it takes a day's rows into memory."""
_SHOWN = 100


def recheck(
    gate: Gate, dataset: Dataset, names: Collection[str], tell: Callable[[str], None]
) -> Iterator[dg.AssetCheckResult]:
    """Answer these checks of the dataset's table. `tell` takes a sentence about the progress.

    Raises TransientError, PermanentError: the ledger cannot be read. A table that cannot be read fails the check, with the reason.
    """
    days = gate.ledger.counts(dataset.name)
    if FILES_ACCEPTED in names:
        yield _files_in_quarantine(gate, dataset, days)
    if ROWS_ACCEPTED in names:
        yield _rows_rejected(dataset, days)
    if ROWS_RECONCILED in names:
        yield _rows_in_table(gate, dataset)
    yield from past_results(dataset, past_of(gate, dataset, (), columns_of(gate, dataset)), None, names)
    yield from _judgements(gate, dataset, days, names, tell)
    yield from table_lookup_results(dataset, gate.queries, names, has_rows=any(day.rows_in_table for day in days))


def _files_in_quarantine(gate: Gate, dataset: Dataset, days: Sequence[DayCounts]) -> dg.AssetCheckResult:
    number = sum(day.outcomes.get(Outcome.QUARANTINED, 0) for day in days)
    shown = list(islice(gate.ledger.quarantined(dataset.name), _SHOWN)) if number else []
    metadata: dict[str, dg.MetadataValue] = {"quarantined": dg.MetadataValue.int(number)}
    if shown:
        metadata["quarantined files"] = dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "file": printable(entry.version.key),
                        "landing day": entry.landing_day.isoformat(),
                        "rules": ", ".join(entry.facts.rules) if entry.facts else "",
                        "faults": entry.facts.violations_total if entry.facts else 0,
                        "report": entry.facts.report_key or "" if entry.facts else "",
                    }
                )
                for entry in shown
            ]
        )
    waits = "waits" if number == 1 else "wait"
    return dg.AssetCheckResult(
        check_name=FILES_ACCEPTED,
        passed=not number,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
        description=f"{counted(number, 'file')} {waits} in quarantine now; each report says what to repair."
        if number
        else "No file waits in quarantine.",
    )


def _rows_rejected(dataset: Dataset, days: Sequence[DayCounts]) -> dg.AssetCheckResult:
    bad = sorted((day for day in days if day.rows_rejected), key=lambda day: day.landing_day, reverse=True)
    rejected = sum(day.rows_rejected for day in bad)
    metadata: dict[str, dg.MetadataValue] = {
        "rows rejected": dg.MetadataValue.int(rejected),
        "rows loaded": dg.MetadataValue.int(sum(day.rows_in_table for day in days)),
    }
    if bad:
        records = [
            {"landing day": d.landing_day.isoformat(), "rows rejected": d.rows_rejected, "rows loaded": d.rows_in_table}
            for d in bad[:_SHOWN]
        ]
        metadata["days"] = dg.MetadataValue.table([dg.TableRecord(record) for record in records])
        metadata["to see them"] = dg.MetadataValue.text(
            rejected_rows_sql(dataset, [day.landing_day for day in bad[:_SHOWN]])
        )
    return dg.AssetCheckResult(
        check_name=ROWS_ACCEPTED,
        passed=not rejected,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
        description=f"{counted(rejected, 'row')} of the files that serve now {'is' if rejected == 1 else 'are'} in {rejected_dataset(dataset).table}, not in the table."
        if rejected
        else "Every row of the files that serve is in the table.",
    )


def _rows_in_table(gate: Gate, dataset: Dataset) -> dg.AssetCheckResult:
    proofs = [prove_table(gate, dataset, table) for table in tables_of(dataset)]
    problems = [problem for proof in proofs for problem in proof.problems]
    moving = sum(proof.moving for proof in proofs)
    metadata: dict[str, dg.MetadataValue] = {
        "files": dg.MetadataValue.int(proofs[0].files),
        "rows in the table": dg.MetadataValue.int(proofs[0].rows or 0),
        "rows in the ledger": dg.MetadataValue.int(proofs[0].rows_in_ledger),
        "files on their way": dg.MetadataValue.int(moving),
    }
    if problems:
        metadata["differences"] = dg.MetadataValue.table(
            [dg.TableRecord({"difference": printable(problem)}) for problem in problems]
        )
    if problems:
        said = f"Do not use the table before this is understood: {printable(problems[0])}"
        if len(problems) > 1:
            said += f" ({len(problems) - 1} more below)"
    elif proofs[0].note:
        said = f"There is nothing to compare: {proofs[0].note}."
    else:
        rows = counted(proofs[0].rows or 0, "row")
        said = f"The table has {rows} of {counted(proofs[0].files, 'file')}, each as many as the ledger says, and no others."
        if moving:
            said += f" {counted(moving, 'file')} could not be judged: work on {'it is' if moving == 1 else 'them is'} under way."
    return dg.AssetCheckResult(
        check_name=ROWS_RECONCILED,
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
        description=said,
    )


def _judgements(
    gate: Gate, dataset: Dataset, days: Sequence[DayCounts], names: Collection[str], tell: Callable[[str], None]
) -> Iterator[dg.AssetCheckResult]:
    """Rules and expectations together: the rows are read once."""
    checks = {n: (s, asked_rules(dataset, s)) for n, s in RULES.items() if n in names}
    checks |= {n: (s, asked_expectations(dataset, s)) for n, s in EXPECTATIONS.items() if n in names}
    if not checks:
        return
    by_reader = [one for _, asked in checks.values() for one in asked if one.by_reader]
    left = {(e.name, e.severity) for e in gx_expectations(dataset)}
    severities = {
        s for n, (s, asked) in checks.items() if n in EXPECTATIONS and any((a.name, s) in left for a in asked)
    }
    filled = sorted((day for day in days if day.rows_in_table), key=lambda day: day.landing_day, reverse=True)
    gx_days = [day.landing_day for day in filled[:GX_DAYS]] if severities else []
    found: dict[str, list[Judged]] = {name: [] for name in checks}
    looked = filled if by_reader else filled[:GX_DAYS]
    for day in rejudge(
        gate,
        dataset,
        looked,
        keep=gx_columns(dataset) if severities else (),
        keep_days=gx_days,
        keep_rows=MAX_ROWS,
    ):
        if isinstance(day, NotLooked):
            yield from (_not_looked(name, severity, asked, day) for name, (severity, asked) in checks.items())
            return
        tell(f"{dataset.name} {day.landing_day}: {counted(day.rows, 'row')} judged")
        for name, (severity, asked) in checks.items():
            if day.rows:
                found[name] += [
                    (day.landing_day, one.counted(day.broken.get(one.identity, 0), day.rows))
                    for one in asked
                    if one.by_reader
                ]
            if name in EXPECTATIONS and day.kept is not None and day.kept.num_rows:
                found[name] += [(day.landing_day, r) for r in evaluate_table(dataset, day.kept, severity)]
    large = {day.landing_day for day in filled[:GX_DAYS] if day.rows_in_table > MAX_ROWS}
    for name, (severity, asked) in checks.items():
        by_gx = [one for one in asked if not one.by_reader]
        for one in by_gx:
            found[name] += [(day, _too_large(one)) for day in sorted(large)]
        note = f"Great Expectations looked at {_days(gx_days)}." if by_gx and gx_days else ""
        yield judged(
            name, severity, found[name], note=note, nothing="The table has no rows: there is nothing to look at."
        )


def _days(days: Sequence[date]) -> str:
    return f"{days[0]}" if len(days) == 1 else f"the newest {len(days)} landing days with rows, {days[-1]} to {days[0]}"


def _too_large(asked: Asked) -> ExpectationResult:
    why = f"not evaluated: the day has more rows than the {MAX_ROWS:,} that fit in memory"
    return asked.found(why, success=False, unexpected=None, rows=None)


def _not_looked(name: str, severity: Severity, asked: Sequence[Asked], why: NotLooked) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN if severity is Severity.WARN else dg.AssetCheckSeverity.ERROR,
        metadata={"not evaluated": dg.MetadataValue.int(len(asked))},
        description=f"Not looked at, so nothing is known: {printable(why.reason)}",
    )
