"""The asset checks that ask the tables after the commit: is a key in another file too, does another table lack a value?

| check               | fails when                                                                | severity                         |
|---------------------|---------------------------------------------------------------------------|----------------------------------|
| primary_key_unique  | a key just published stands in another file or version too                | WARN, or ERROR and blocking      |
| references          | a value just published is not where a column's `references` says          | WARN                             |
| references_block    | the same, for references with severity `block`                            | ERROR, blocking                  |

Each is one query over what the run published; executed alone, over the whole table. A query that fails is a check that fails, with the reason.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from assets.keys import counted, table_key
from pipelines.contracts.columns import Reference
from pipelines.contracts.model import Dataset
from pipelines.ports import QueryEngine
from pipelines.printable import printable
from pipelines.publication.after_commit import (
    WHOLE_TABLE,
    MissingValues,
    NotLooked,
    Published,
    RepeatedKeys,
    find_missing_values,
    find_repeated_keys,
)
from pipelines.reports import BatchReport

__all__ = ["lookup_results", "lookup_specs", "table_lookup_results"]

_KEY = "primary_key_unique"
_REFERENCES = {"warn": "references", "block": "references_block"}


def lookup_specs(dataset: Dataset) -> list[dg.AssetCheckSpec]:
    """The checks that the contract asks for."""
    specs: list[dg.AssetCheckSpec] = []
    if severity := _key_severity(dataset):
        specs.append(
            dg.AssetCheckSpec(
                _KEY,
                asset=table_key(dataset),
                blocking=severity == "block",
                description=f"No primary key ({', '.join(dataset.primary_key)}) just published stands in another file or version too.",
            )
        )
    for severity, name in _REFERENCES.items():
        if wanted := _references(dataset, severity):
            listed = ", ".join(f"`{c}` in `{r.dataset}.{r.column}`" for c, r in wanted.items())
            specs.append(
                dg.AssetCheckSpec(
                    name,
                    asset=table_key(dataset),
                    blocking=severity == "block",
                    description=f"Every value just published is found where it should be: {listed}.",
                )
            )
    return specs


def lookup_results(
    dataset: Dataset, reports: Sequence[BatchReport], queries: QueryEngine | None
) -> list[dg.AssetCheckResult]:
    """Ask about the rows that a run published, and answer every check of `lookup_specs`."""
    return _look(dataset, _published(reports), queries)


def table_lookup_results(
    dataset: Dataset, queries: QueryEngine | None, names: Collection[str], *, has_rows: bool
) -> list[dg.AssetCheckResult]:
    """Ask about all rows of the table, and answer those checks of `lookup_specs` that are named."""
    return _look(dataset, WHOLE_TABLE if has_rows else None, queries, names)


def _look(
    dataset: Dataset, published: Published | None, queries: QueryEngine | None, names: Collection[str] | None = None
) -> list[dg.AssetCheckResult]:
    results: list[dg.AssetCheckResult] = []
    if (severity := _key_severity(dataset)) and (names is None or _KEY in names):
        found = find_repeated_keys(queries, dataset, published) if published else None
        results.append(_repeated(severity, found, "just published" if published != WHOLE_TABLE else "of the table"))
    for severity, name in _REFERENCES.items():
        if (wanted := _references(dataset, severity)) and (names is None or name in names):
            missing = find_missing_values(queries, dataset, wanted, published) if published else None
            results.append(_missing(name, severity, wanted, missing))
    return results


def _key_severity(dataset: Dataset) -> str | None:
    said = dataset.primary_key_across_files
    return said if dataset.primary_key and said != "off" else None


def _references(dataset: Dataset, severity: str) -> dict[str, Reference]:
    return {n: c.references for n, c in dataset.columns.items() if c.references and c.references.severity == severity}


def _published(reports: Sequence[BatchReport]) -> Published | None:
    committed = [report for report in reports if report.committed is not None]
    if not committed:
        return None
    # A batch recognised in the table was written by an attempt that did not live to say where.
    known = not any(report.recognised for report in committed)
    paths = tuple(sorted({path for report in committed for path in report.partitions}))
    return Published(tuple(report.batch_id for report in committed), paths if known else None)


def _repeated(severity: str, found: RepeatedKeys | NotLooked | None, of: str) -> dg.AssetCheckResult:
    match found:
        case None:
            return _unasked(_KEY, severity)
        case NotLooked():
            return _failed(_KEY, severity, found)
        case RepeatedKeys():
            records = [
                dg.TableRecord(
                    {
                        "key": ", ".join(f"{name}={_shown(value)}" for name, value in s.key.items()),
                        "published from": printable(s.published.key),
                        "line": s.published.line,
                        "version": s.published.version_id,
                        "also from": printable(s.other.key),
                        "its line": s.other.line,
                        "its version": s.other.version_id,
                        "rows": s.rows,
                    }
                )
                for s in found.samples
            ]
            keys = counted(found.total, "key")
            return _answered(
                _KEY,
                severity,
                f"{keys} {of} {'stands' if found.total == 1 else 'stand'} in another file too: send each row in one file, "
                "or correct primary_key."
                if found.total
                else f"No key {of} stands in another file too.",
                {"repeated keys": dg.MetadataValue.int(found.total)},
                records,
            )


def _missing(
    name: str, severity: str, wanted: Mapping[str, Reference], found: MissingValues | NotLooked | None
) -> dg.AssetCheckResult:
    match found:
        case None:
            return _unasked(name, severity)
        case NotLooked():
            return _failed(name, severity, found)
        case MissingValues():
            records = [
                dg.TableRecord(
                    {
                        "column": s.column,
                        "value": printable(s.value),
                        "not in": f"{wanted[s.column].dataset}.{wanted[s.column].column}",
                        "rows": s.rows,
                        "first in": printable(s.first.key),
                        "line": s.first.line,
                    }
                )
                for s in found.samples
            ]
            said = [
                f"{counted(count, 'value')} of {column} ({counted(found.rows[column], 'row')}) "
                f"{'is' if count == 1 else 'are'} not in {wanted[column].dataset}.{wanted[column].column}"
                for column, count in found.values.items()
            ]
            return _answered(
                name,
                severity,
                "; ".join(said) + "." if said else "Every value is found where it should be.",
                {"missing values": dg.MetadataValue.int(sum(found.values.values()))},
                records,
            )


def _answered(
    name: str,
    severity: str,
    description: str,
    metadata: dict[str, dg.MetadataValue],
    records: list[dg.TableRecord],
) -> dg.AssetCheckResult:
    if records:
        metadata["samples"] = dg.MetadataValue.table(records)
    return _result(name, severity, description, passed=not records, metadata=metadata)


def _unasked(name: str, severity: str) -> dg.AssetCheckResult:
    return _result(name, severity, "No rows were published: there was nothing to look up.", passed=True)


def _failed(name: str, severity: str, found: NotLooked) -> dg.AssetCheckResult:
    return _result(name, severity, f"Not looked up, so nothing is known: {printable(found.reason)}", passed=False)


def _result(
    name: str, severity: str, description: str, *, passed: bool, metadata: Mapping[str, dg.MetadataValue] | None = None
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN if severity == "warn" else dg.AssetCheckSeverity.ERROR,
        metadata=metadata or {},
        description=description,
    )


def _shown(value: Any) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else printable(str(value))
