"""The promises of a contract, each with whether files broke it: what OpenLineage calls data quality assertions.

Every promise that the reader judges is listed, kept or broken; what else was wrong with a file stands behind them, broken.
Columns are called as the landing files call them. No row's content is in any of it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.contracts.column_sources import column_sources
from pipelines.contracts.expectations import identified, is_native
from pipelines.contracts.model import Column, ColumnType, Dataset, OnBad, Severity
from pipelines.contracts.nested_types import NESTED
from pipelines.lineage.events import Assertion
from pipelines.printable import printable
from pipelines.reading.row_rules import identified_rules
from pipelines.reading.violations import MAX_VIOLATIONS, Rule, Violation
from pipelines.reports import BatchReport, FileEnding, FileReport

__all__ = ["assertions", "field_of"]

_JUDGED = frozenset({FileEnding.LOADED, FileEnding.QUARANTINED, FileEnding.EMPTY, FileEnding.SUPERSEDED})
_TEXT_LIMIT = 300
_Key = tuple[Rule, str | None]
"""A rule, and the column of the table, or the identity of what the contract says of several columns or more than once."""


@dataclass(frozen=True, slots=True)
class _Promise:
    key: _Key
    assertion: str
    expected: str | None
    column: str | None = None
    severity: Severity | None = None
    content: str | None = None
    name: str | None = None


def field_of(dataset: Dataset) -> Mapping[str, str]:
    """How the landing files call each column of the table, where they have it: by the spelling looked for first."""
    return {column: sources[0].name for column, sources in column_sources(dataset).items() if sources}


def assertions(dataset: Dataset, report: BatchReport) -> tuple[Assertion, ...]:
    """Each promise of the contract, as the files of this batch kept it; none where no file was read.

    Kept means that no breach was found. Where a file had more faults than are listed of one, what nobody broke in the list is
    left out: it is not known.
    """
    files = [file for file in report.files if file.outcome in _JUDGED and (file.rows_read or file.violations)]
    if not files or report.recognised:
        return ()
    broken: dict[_Key, list[Violation]] = {}
    for violation in (v for file in files for v in (*file.violations, *file.warnings)):
        broken.setdefault(_key(dataset, violation), []).append(violation)
    is_whole = not any(_is_cut(file) for file in files)
    promises = list(_promises(dataset))
    fields = field_of(dataset)
    told = [
        _assertion(promise, broken.get(promise.key, ()), dataset, fields)
        for promise in promises
        if is_whole or promise.key in broken
    ]
    known = {promise.key for promise in promises}
    others = (
        _Promise(key, key[0].value, None, key[1] if key[1] in dataset.columns else None)
        for key in broken
        if key not in known
    )
    others_told = (_assertion(other, broken[other.key], dataset, fields) for other in others)
    return (*told, *others_told, *_after_commit(dataset, report, fields))


def _after_commit(dataset: Dataset, report: BatchReport, fields: Mapping[str, str]) -> Iterator[Assertion]:
    """What Great Expectations said of the rows that were published."""
    asked = [identity for identity, expectation in identified(dataset) if not is_native(expectation)]
    for identity, result in zip(asked, report.expectations, strict=False):
        yield Assertion(
            assertion=result.name,
            success=result.success,
            column=fields.get(result.column),
            severity="warn" if result.severity is Severity.WARN else "error",
            consequence=result.severity.value,
            name=identity,
            expected=_short(result.arguments),
            actual=_short(result.observed),
            content=_short(result.arguments),
        )


def _key(dataset: Dataset, violation: Violation) -> _Key:
    # A number its column cannot hold is no value of the column's type.
    rule = Rule.TYPE if violation.rule is Rule.NUMBER_RANGE else violation.rule
    # What a file calls a column that the contract does not know may be a cell of a row, where the header is missing.
    column = violation.column if violation.column in dataset.columns else None
    return rule, violation.expectation or column


def _is_cut(file: FileReport) -> bool:
    return len(file.violations) >= MAX_VIOLATIONS or len(file.warnings) >= MAX_VIOLATIONS


def _assertion(
    promise: _Promise, breaches: Sequence[Violation], dataset: Dataset, fields: Mapping[str, str]
) -> Assertion:
    rule, column = promise.key[0], promise.column
    severity = promise.severity or _usual(dataset)
    count = sum(breach.count for breach in breaches)
    field = None if column is None else printable(fields.get(column, column))
    return Assertion(
        assertion=promise.assertion,
        success=not breaches,
        column=field,
        severity="warn" if severity is Severity.WARN else "error",
        consequence=severity.value,
        name=promise.name or ".".join(part for part in (promise.assertion, field) if part),
        description=rule.meaning if promise.expected is None else None,
        expected=_short(promise.expected) if promise.expected is not None else None,
        actual=f"{count:,} breaches" if count != 1 else "1 breach",
        content=promise.content,
    )


def _usual(dataset: Dataset) -> Severity:
    by_rows = dataset.rows.on_bad is OnBad.QUARANTINE_ROWS
    return Severity.QUARANTINE_ROWS if by_rows else Severity.QUARANTINE_FILE


def _promises(dataset: Dataset) -> Iterator[_Promise]:
    for name, column in dataset.columns.items():
        yield from _of_column(dataset, name, column)
    if dataset.primary_key:
        yield _unique((Rule.PRIMARY_KEY, _alone(dataset.primary_key)), dataset.primary_key)
    for index, names in enumerate(dataset.unique):
        yield _unique((Rule.UNIQUE, f"unique[{index}]"), names)
    if dataset.rows.count is not None:
        expected = f"{dataset.rows.count.words} in a file"
        yield _Promise((Rule.ROW_COUNT, None), "row_count", expected, severity=Severity.QUARANTINE_FILE)
    for identity, rule in identified_rules(dataset):
        key = (Rule.ROW_RULE, identity)
        yield _Promise(key, "row_rule", rule.words, None, rule.severity, rule.rule, rule.name or identity)
    for identity, expectation in identified(dataset):
        if is_native(expectation):
            said = {k: v for k, v in expectation.arguments.items() if k not in ("notes", "meta")}
            content = json.dumps(said, default=str, ensure_ascii=False, sort_keys=True)
            column = expectation.arguments.get("column")
            key = (Rule.EXPECTATION, identity)
            yield _Promise(key, expectation.name, content, column, expectation.severity, content, identity)


def _unique(key: _Key, names: Sequence[str]) -> _Promise:
    together = names[0] if len(names) == 1 else f"({', '.join(names)})"
    expected = f"each {together} once in a file"
    name = f"unique.{together}"
    return _Promise(key, "unique", expected, _alone(names), Severity.QUARANTINE_FILE, name=name)


def _of_column(dataset: Dataset, name: str, column: Column) -> Iterator[_Promise]:
    if column.from_ == "key":
        return
    if any(part.column == name for part in dataset.partition_by):
        yield _Promise(
            (Rule.PARTITION_NULL, name), "not_null", "a value: the table is partitioned by this column", name
        )
    elif not column.nullable or name in dataset.primary_key:
        yield _Promise((Rule.NULL, name), "not_null", "a value in each row", name)
    if column.kind not in (ColumnType.STRING, ColumnType.JSON, *NESTED):
        yield _Promise((Rule.TYPE, name), "type", column.type, name)
    if column.pattern is not None:
        yield _Promise((Rule.PATTERN, name), "pattern", f"text that matches {column.pattern}", name)
    if column.allowed is not None:
        one_of = f"one of {', '.join(map(str, column.allowed))}"
        yield _Promise((Rule.ALLOWED, name), "accepted_values", one_of, name)
    if column.min is not None or column.max is not None:
        yield _Promise((Rule.RANGE, name), "range", _between(column.min, column.max), name)
    if column.min_length is not None or column.max_length is not None:
        expected = f"{_between(column.min_length, column.max_length)} characters"
        yield _Promise((Rule.LENGTH, name), "length", expected, name)


def _between(low: object, high: object) -> str:
    return " ".join(f"{word} {bound}" for word, bound in (("from", low), ("to", high)) if bound is not None)


def _alone(names: Sequence[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _TEXT_LIMIT else f"{shown[: _TEXT_LIMIT - 1]}…"
