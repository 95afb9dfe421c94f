"""The checks `volume`, `null_share` and `schema_drift`: a dataset beside its own past, and its table beside the contract.

| check        | fails when                                                                     | severity     |
|--------------|--------------------------------------------------------------------------------|--------------|
| volume       | a landing day has unusually few or many rows                                   | the contract |
| null_share   | a column has unusually few or many nulls on a landing day                      | the contract |
| schema_drift | the table's columns are others than the contract's, and no run made them so    | the contract |

A run judges the days it published; executed alone, they judge the newest days of the table. From numbers that are in the ledger: no
row is read.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import dagster as dg
import pyarrow as pa

from assets.keys import counted, table_key
from pipelines.accounting.day_counts import DayCounts
from pipelines.accounting.profiles import DayProfile
from pipelines.accounting.states import Outcome, Trigger
from pipelines.contracts.drift import differences
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import fingerprint
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.printable import printable
from pipelines.reports import BatchReport
from pipelines.statistics.past import WINDOW_DAYS, TooFewDays, Usual, usual

__all__ = ["NEWEST_DAYS", "Columns", "Past", "columns_of", "note_profiles", "past_of", "past_results", "past_specs"]

VOLUME = "volume"
NULL_SHARE = "null_share"
SCHEMA_DRIFT = "schema_drift"
NEWEST_DAYS = 31
"""Landing days that a check executed alone judges."""
_SHOWN = 50
_FEW_ROWS = 20
"""So many rows more or less are never unusual, whatever the share."""

_ARRIVALS = frozenset({Trigger.EVENT.value, Trigger.SWEEP.value})
"""Why files are processed that their producer sent: not because a person asked for them again."""

_Severity = Literal["warn", "block", "off"]


@dataclass(frozen=True, slots=True)
class Columns:
    """The table's columns; None where they cannot be read, and why. `applied`: a file was loaded under today's contract before."""

    schema: pa.Schema | None
    why: str = ""
    applied: bool = True


@dataclass(frozen=True, slots=True)
class Past:
    """What a dataset's days are compared with: counters and profiles of the days, today (UTC), and the table's columns."""

    today: date
    counts: Sequence[DayCounts] = ()
    profiles: Sequence[DayProfile] = ()
    columns: Columns = Columns(None)


@dataclass(frozen=True, slots=True)
class _Line:
    """One number beside what is usual."""

    day: date
    column: str
    found: float
    usual: Usual
    unusual: bool

    @property
    def distance(self) -> float:
        """How far it is from the median, by the range it may have."""
        width = max(self.usual.high - self.usual.low, 1e-9)
        return abs(self.found - self.usual.median) / width


def past_of(gate: Gate, dataset: Dataset, days: Collection[date], columns: Columns) -> Past:
    """The past of these landing days; without any, of the newest ones. Two short queries of the ledger."""
    today = gate.clock().date()
    if days:
        since = min(days) - timedelta(days=WINDOW_DAYS)
        counts, profiles = (
            gate.ledger.counts(dataset.name, since=since),
            gate.ledger.profiles.since(dataset.name, since),
        )
    else:
        counts = gate.ledger.counts(dataset.name)
        profiles = gate.ledger.profiles.newest(dataset.name, NEWEST_DAYS + WINDOW_DAYS)
    return Past(today, counts, profiles, columns)


def columns_of(gate: Gate, dataset: Dataset) -> Columns:
    """The table's columns as they are now. The ledger is asked only where they are not the contract's."""
    try:
        found = gate.tables.columns(dataset)
    except LakegateError as error:
        return Columns(None, " ".join(str(error).split()))
    if not differences(dataset, found, applied=True):
        return Columns(found)
    today = fingerprint(dataset)
    days = gate.ledger.counts(dataset.name)
    return Columns(found, applied=any(d.contracts[today].serving_files for d in days if today in d.contracts))


def note_profiles(
    gate: Gate, dataset: Dataset, reports: Sequence[BatchReport], rows_in_table: Mapping[date, int]
) -> Iterator[str]:
    """Write down what a run published of each landing day. What cannot be written is told: the rows are published all the same."""
    for day in sorted({report.landing_day for report in reports}):
        mine = [r for r in reports if r.landing_day == day and r.committed is not None]
        if not mine:
            continue
        known = [report for report in mine if report.column_nulls is not None]
        nulls: Counter[str] = Counter()
        for report in known:
            nulls.update(report.column_nulls or {})
        try:
            gate.ledger.profiles.published(
                dataset.name,
                day,
                sum(report.rows_published or 0 for report in known),
                nulls,
                rows_in_table.get(day, 0),
                arrived=any(report.trigger in _ARRIVALS and report.rows_loaded for report in mine),
            )
        except LakegateError as error:
            yield f"{dataset.name} {day}: its rows are published, but not what they are like, for later days to be compared with: {error}"


def past_specs(dataset: Dataset) -> list[dg.AssetCheckSpec]:
    """The checks that the contract asks for, which by itself are all."""
    said = dataset.checks
    specs = (
        (
            VOLUME,
            said.volume.severity,
            "A landing day has as many rows as is usual. If not: look whether files are missing or were sent twice.",
        ),
        (
            NULL_SHARE,
            said.null_share.severity,
            "Each column of a landing day has as many nulls as is usual. If not: ask the producer what became of the column.",
        ),
        (
            SCHEMA_DRIFT,
            said.schema_drift.severity,
            "The table has the contract's columns, and none that somebody else changed. Columns that files added are listed.",
        ),
    )
    return [
        dg.AssetCheckSpec(name, asset=table_key(dataset), blocking=severity == "block", description=description)
        for name, severity, description in specs
        if severity != "off"
    ]


def past_results(
    dataset: Dataset, past: Past, days: Collection[date] | None, names: Collection[str] | None = None
) -> Iterator[dg.AssetCheckResult]:
    """Answer the checks of `past_specs`, those that are named: for these landing days, or for the newest (None)."""
    said = dataset.checks
    if said.volume.severity != "off" and (names is None or VOLUME in names):
        yield _answer(VOLUME, said.volume.severity, *_volume(dataset, past, days))
    if said.null_share.severity != "off" and (names is None or NULL_SHARE in names):
        yield _answer(NULL_SHARE, said.null_share.severity, *_null_share(dataset, past, days))
    if said.schema_drift.severity != "off" and (names is None or SCHEMA_DRIFT in names):
        yield _drift(dataset, past, said.schema_drift.severity)


def _volume(dataset: Dataset, past: Past, days: Collection[date] | None) -> tuple[list[_Line], list[TooFewDays]]:
    said = dataset.checks.volume
    rows = {count.landing_day: float(count.rows_in_table) for count in past.counts if count.rows_in_table}
    growing = {c.landing_day for c in past.counts if c.outcomes.get(Outcome.PENDING) or c.landing_day >= past.today}
    lines: list[_Line] = []
    short: list[TooFewDays] = []
    for day in sorted(sorted(rows)[-NEWEST_DAYS:] if days is None else days):
        found = rows.get(day, 0.0)
        expected = usual(rows, day, relative=said.share, absolute=_FEW_ROWS, min_days=said.min_days)
        if isinstance(expected, TooFewDays):
            short.append(expected)
            continue
        # A day on which rows still come can have too many of them already, but not too few.
        high = found > expected.high
        lines.append(_Line(day, "", found, expected, high or (found < expected.low and day not in growing)))
    return lines, short


def _null_share(dataset: Dataset, past: Past, days: Collection[date] | None) -> tuple[list[_Line], list[TooFewDays]]:
    said = dataset.checks.null_share
    profiles = {profile.landing_day: profile for profile in past.profiles if profile.rows}
    lines: list[_Line] = []
    short: list[TooFewDays] = []
    judged = [day for day in sorted(sorted(profiles)[-NEWEST_DAYS:] if days is None else days) if day in profiles]
    for name in dataset.columns:
        shares = {day: profile.null_share(name) for day, profile in profiles.items()}
        for day in judged:
            least = max(said.share, _FEW_ROWS / profiles[day].rows)
            expected = usual(shares, day, absolute=least, highest=1.0, min_days=said.min_days)
            if isinstance(expected, TooFewDays):
                short.append(expected)
            else:
                lines.append(_Line(day, name, shares[day], expected, not expected.holds(shares[day])))
    return lines, short


def _answer(name: str, severity: _Severity, lines: list[_Line], short: list[TooFewDays]) -> dg.AssetCheckResult:
    lines.sort(key=lambda line: (not line.unusual, -line.distance, line.day))
    unusual = [line for line in lines if line.unusual]
    days = {line.day for line in lines}
    metadata: dict[str, dg.MetadataValue] = {
        "landing days judged": dg.MetadataValue.int(len(days)),
        "unusual": dg.MetadataValue.int(len(unusual)),
    }
    shown = lines if name == VOLUME else [line for line in lines if line.unusual or line.found or line.usual.high]
    if shown:
        metadata["the most unusual first"] = dg.MetadataValue.table([_record(name, line) for line in shown[:_SHOWN]])
    if unusual:
        said = _sentence(name, unusual[0])
        if len(unusual) > 1:
            said += f" {counted(len(unusual) - 1, 'other number')} {'is' if len(unusual) == 2 else 'are'} unusual too; the table names them."
    elif lines:
        what = "rows" if name == VOLUME else "nulls in each column"
        newest = max(lines, key=lambda line: line.day)
        said = f"As many {what} as usual on {counted(len(days), 'landing day')}, the newest {newest.day}."
        if name == VOLUME:
            said = f"{said[:-1]}: {_sentence(name, newest)}"
    elif short:
        few = short[-1]
        said = f"Not judged yet: {counted(few.days, 'earlier landing day')} of the last {WINDOW_DAYS} {'has' if few.days == 1 else 'have'} rows, {few.needed} are needed."
    else:
        said = "There is no landing day to judge: no rows were published."
    return dg.AssetCheckResult(
        check_name=name,
        passed=not unusual,
        severity=dg.AssetCheckSeverity.ERROR if severity == "block" else dg.AssetCheckSeverity.WARN,
        metadata=metadata,
        description=said,
    )


def _sentence(name: str, line: _Line) -> str:
    expected = f"{_number(name, line.usual.low)} to {_number(name, line.usual.high)}"
    compared = f"usual are {expected}, by the {line.usual.days} {line.usual.of} before it (median {_number(name, line.usual.median)})"
    if name == VOLUME:
        return f"{line.day} has {counted(round(line.found), 'row')}; {compared}."
    return f"{_number(name, line.found)} of {line.column} on {line.day} is null; {compared}."


def _record(name: str, line: _Line) -> dg.TableRecord:
    column: Mapping[str, str] = {} if name == VOLUME else {"column": line.column}
    return dg.TableRecord(
        {
            "landing day": line.day.isoformat(),
            **column,
            "usual": "NO" if line.unusual else "yes",
            "found": _number(name, line.found),
            "usual from": _number(name, line.usual.low),
            "to": _number(name, line.usual.high),
            "median": _number(name, line.usual.median),
            "compared with": f"{line.usual.days} {line.usual.of}",
        }
    )


def _number(name: str, number: float) -> str:
    return f"{round(number):,}" if name == VOLUME else f"{100 * number:.1f} %"


def _drift(dataset: Dataset, past: Past, severity: _Severity) -> dg.AssetCheckResult:
    level = dg.AssetCheckSeverity.ERROR if severity == "block" else dg.AssetCheckSeverity.WARN
    there = past.columns.schema
    if there is None:
        has_rows = any(count.rows_in_table for count in past.counts)
        why = f"Not looked at, so nothing is known: {printable(past.columns.why)}"
        return dg.AssetCheckResult(
            check_name=SCHEMA_DRIFT,
            passed=not has_rows,
            severity=level,
            description=why if has_rows else "No run has made the table yet.",
        )
    found = differences(dataset, there, applied=past.columns.applied)
    faults = [difference for difference in found if difference.is_fault]
    metadata: dict[str, dg.MetadataValue] = {
        "columns in the table": dg.MetadataValue.int(len(there)),
        "differences": dg.MetadataValue.int(len(found)),
    }
    if found:
        records = [
            dg.TableRecord(
                {
                    "column": printable(d.column),
                    "in the table": d.in_table,
                    "in the contract": d.in_contract,
                    "what": printable(d.what),
                    "all right": "NO" if d.is_fault else "yes",
                }
            )
            for d in found[:_SHOWN]
        ]
        metadata["columns that differ"] = dg.MetadataValue.table(records)
    if faults:
        first = faults[0]
        said = f"{counted(len(faults), 'column')} of the table {'is' if len(faults) == 1 else 'are'} not as the contract says: {first.column} ({first.what})."
    elif found:
        said = f"The table has the contract's columns, and {counted(len(found), 'difference')} that a run made or will make."
    else:
        said = "The table has the contract's columns, and no others."
    return dg.AssetCheckResult(
        check_name=SCHEMA_DRIFT, passed=not faults, severity=level, metadata=metadata, description=printable(said)
    )
