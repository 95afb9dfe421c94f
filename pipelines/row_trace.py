"""From rows of a table back to where they came from: file, version, line, and the text that stands there.

Asks the query engine with the caller's own condition, then reads those versions from the landing bucket. What it finds is for the
person who asked: nothing of it is logged. The files were read before, in a process with limits; here their limits on size hold.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from pipelines.accounting.entries import LedgerEntry, VersionRef
from pipelines.contracts.model import CsvFormat, Dataset
from pipelines.contracts.rejected import main_table, rejected_dataset, tables_of
from pipelines.contracts.schema import BATCH_ID, SOURCE_FILE, SOURCE_LINE, SOURCE_VERSION
from pipelines.errors import ConfigurationError, LakegateError, ObjectArchivedError, ObjectGoneError, QueryFailedError
from pipelines.gate import Gate
from pipelines.intake.objects import object_id
from pipelines.reading.raw_records import RawRecord, raw_records

__all__ = ["MOST_ROWS", "RowSource", "RowTrace", "checked_condition", "trace_rows"]

MOST_ROWS = 20
_MOST_RECORDS = 3
"""Records of one line that are shown for a row, where nothing tells which of them it was."""


@dataclass(frozen=True, slots=True)
class RowSource:
    """One row, and where it came from. `values` are its key columns (of a rejected row: the rules it broke and why).

    `raw` are the records that stand at its line; several where a line of JSON holds several and the key does not tell which.
    `missing` says why there are none. `entry` is what the ledger knows of the version.
    """

    key: str
    version_id: str
    line: int
    batch_id: str
    values: Mapping[str, Any]
    entry: LedgerEntry | None
    raw: tuple[str, ...] = ()
    records_there: int = 0
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class RowTrace:
    """The rows found, at most `MOST_ROWS`; `has_more` says that there are others."""

    table: str
    sql: str
    rows: tuple[RowSource, ...]
    has_more: bool


def trace_rows(gate: Gate, table: str, condition: str) -> RowTrace:
    """Find rows of a table by a condition in the query engine's SQL, and the text each came from.

    Raises ConfigurationError when there is no such table, when the condition is not one expression, or when the engine refuses it.
    """
    dataset, asked = _table(gate, table)
    is_rejected = asked.table != dataset.table
    shown = ("raw", "rules", "reasons") if is_rejected else dataset.primary_key
    names = list(dict.fromkeys((SOURCE_FILE, SOURCE_VERSION, SOURCE_LINE, BATCH_ID, *shown)))
    columns = ", ".join(f'"{name}"' for name in names)
    sql = f'SELECT {columns} FROM "{asked.table}" WHERE ({checked_condition(condition)}) LIMIT {MOST_ROWS + 1}'  # noqa: S608 - the caller's own right; one expression, in parentheses
    if gate.queries is None:
        raise ConfigurationError("this deployment has no query engine: rows cannot be looked for")
    try:
        found = gate.queries.query(sql).table.to_pylist()
    except QueryFailedError as error:
        raise ConfigurationError(f"Athena refused the condition: {error}\n  It was asked: {sql}") from error
    rows = [_bare(gate, row, shown) for row in found[:MOST_ROWS]]
    sources = [_with_kept_text(row) for row in rows] if is_rejected else _with_texts(gate, dataset, rows)
    return RowTrace(asked.table, sql, tuple(sources), len(found) > MOST_ROWS)


def checked_condition(condition: str) -> str:
    """The condition, if it is one expression that stays inside the parentheses it is put into.

    Raises ConfigurationError for a second statement, a comment, and what is not closed or closes more than it opened.
    """
    depth, at = 0, 0
    while at < len(condition):
        character, pair = condition[at], condition[at : at + 2]
        if character in "'\"":
            end = condition.find(character, at + 1)
            if end < 0:
                raise _no_condition(f"the quote {character} at character {at + 1} is never closed")
            at = end
        elif pair in ("--", "/*"):
            raise _no_condition(f"{pair} at character {at + 1} begins a comment")
        elif character == ";":
            raise _no_condition(f"; at character {at + 1} ends the statement")
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth < 0:
                raise _no_condition(f"the ) at character {at + 1} closes nothing")
        at += 1
    if depth:
        raise _no_condition(f"{depth} ( are never closed")
    if not condition.strip():
        raise _no_condition("it is empty")
    return condition


def _no_condition(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"--where takes one condition, as behind WHERE in a SELECT: {why}. Example: --where \"carrier = 'UA' AND flight = 1545\""
    )


def _table(gate: Gate, name: str) -> tuple[Dataset, Dataset]:
    """The dataset, and the one of its tables that has this name."""
    known = {table.table: (dataset, table) for dataset in gate.datasets.datasets for table in tables_of(dataset)}
    main = main_table(name)
    for dataset in gate.datasets.datasets:
        if dataset.table == main:
            known.setdefault(name, (dataset, rejected_dataset(dataset)))
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known)) or 'none'}"
        raise ConfigurationError(f"no dataset has the table {name!r}: {hint}")
    return known[name]


def _bare(gate: Gate, row: Mapping[str, Any], shown: Sequence[str]) -> RowSource:
    key, version_id = str(row[SOURCE_FILE]), str(row[SOURCE_VERSION])
    return RowSource(
        key=key,
        version_id=version_id,
        line=int(row[SOURCE_LINE]),
        batch_id=str(row[BATCH_ID]),
        values={name: row[name] for name in shown},
        entry=gate.ledger.entry(VersionRef(object_id(gate.landing_bucket, key), version_id)),
    )


def _with_kept_text(row: RowSource) -> RowSource:
    """A rejected row: its table keeps its text."""
    values = dict(row.values)
    raw = str(values.pop("raw"))
    return replace(row, values=values, raw=(raw,), records_there=1)


def _with_texts(gate: Gate, dataset: Dataset, rows: Sequence[RowSource]) -> list[RowSource]:
    """Each row with its text; a version is read once for all its rows."""
    of_version: dict[tuple[str, str], list[RowSource]] = {}
    for row in rows:
        of_version.setdefault((row.key, row.version_id), []).append(row)
    done: dict[int, RowSource] = {}
    for some in of_version.values():
        for row, told in zip(some, _read(gate, dataset, some), strict=True):
            done[id(row)] = told
    return [done[id(row)] for row in rows]


def _read(gate: Gate, dataset: Dataset, rows: Sequence[RowSource]) -> list[RowSource]:
    entry = rows[0].entry
    if entry is None:
        return [
            replace(row, missing="the ledger does not know this version: where it lies is not known") for row in rows
        ]
    wanted = {row.line for row in rows}
    sniffs = isinstance(dataset.format, CsvFormat) and dataset.format.sniffs_delimiter
    delimiter = gate.ledger.pinned_delimiter(dataset.name) if sniffs else None
    first: dict[int, list[RawRecord]] = {line: [] for line in wanted}
    fitting: dict[int, list[RawRecord]] = {place: [] for place in range(len(rows))}
    there: dict[int, int] = dict.fromkeys(wanted, 0)
    try:
        for record in raw_records(dataset, gate.store.read(entry.version), wanted, delimiter):
            lines = [record.line] if record.line in wanted else [line for line in wanted if line > record.line][:1]
            for line in lines:
                there[line] += 1
                if len(first[line]) < _MOST_RECORDS:
                    first[line].append(record)
                for place, row in enumerate(rows):
                    if row.line == line and len(fitting[place]) < _MOST_RECORDS and _has_key(dataset, record.raw, row):
                        fitting[place].append(record)
    except ObjectGoneError:
        return [replace(row, missing="the object version is no longer in the landing bucket") for row in rows]
    except ObjectArchivedError:
        return [
            replace(row, missing="the object version lies in an archive: restore it in S3 to read it") for row in rows
        ]
    except LakegateError as error:
        return [replace(row, missing=str(error)) for row in rows]
    return [
        replace(
            row,
            raw=tuple(record.raw for record in fitting[place] or first[row.line]),
            records_there=1 if len(fitting[place]) == 1 else there[row.line],
            missing=None if there[row.line] else "the file ends before that line: was it read under another contract?",
        )
        for place, row in enumerate(rows)
    ]


def _has_key(dataset: Dataset, raw: str, row: RowSource) -> bool:
    """Whether a record of JSON says the row's primary key, where its columns stand at the top of the record."""
    columns = {name: dataset.columns[name] for name in row.values}
    if isinstance(dataset.format, CsvFormat) or not columns or any(c.path for c in columns.values()):
        return False
    try:
        record = json.loads(raw)
    except ValueError:
        return False
    if not isinstance(record, dict):
        return False
    said = {name: record.get(column.source or name) for name, column in columns.items()}
    return all(str(said[name]) == str(value) for name, value in row.values.items())
