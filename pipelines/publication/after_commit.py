"""What is looked up in the tables after a commit: keys that stand in another file too, values that another table lacks.

A verdict never waits for these: it must not depend on what arrived before. One statement answers each question for all that a
run published. It reads the rows of the run's batches (in their partitions, where these are columns) and the columns asked for
of the table looked into: of the run's partitions only, where the partition column is part of the key. The statements are
Athena's SQL, made of validated names and quoted literals; what did not get an answer is `NotLooked`, never "all is well".
"""
# ruff: noqa: S608 - every name passes `sql_name`, every value `sql_text`: nothing else becomes part of a statement

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.asking import NotLooked, ask, sql_name, sql_text
from pipelines.contracts.columns import Reference
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import BATCH_ID, SOURCE_FILE, SOURCE_LINE, SOURCE_VERSION
from pipelines.contracts.values import ColumnType
from pipelines.ports import QueryEngine
from pipelines.publication.partitioning import parse_segment

__all__ = [
    "MAX_SAMPLES",
    "WHOLE_TABLE",
    "MissingValue",
    "MissingValues",
    "NotLooked",
    "Place",
    "Published",
    "RepeatedKey",
    "RepeatedKeys",
    "find_missing_values",
    "find_repeated_keys",
    "missing_values_sql",
    "repeated_keys_sql",
]

MAX_SAMPLES = 20
"""Keys, and values of each column, that an answer lists; the totals count all."""
_MAX_CHARACTERS = 10_000
"""Of one partition column's values in a statement, of which Athena takes 262,144 bytes ("Service Quotas")."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a run published: its batches, and the paths of their partitions (None where nobody knows them).

    Without batches (None), all rows of the table are asked about, whoever published them.
    """

    batch_ids: tuple[str, ...] | None
    partitions: tuple[str, ...] | None


WHOLE_TABLE = Published(None, None)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row came from."""

    key: str
    version_id: str
    line: int


@dataclass(frozen=True, slots=True)
class RepeatedKey:
    """A primary key in two files: the row just published, and another one."""

    key: Mapping[str, Any]
    rows: int
    published: Place
    other: Place


@dataclass(frozen=True, slots=True)
class RepeatedKeys:
    """How many keys of the rows just published stand in another file too, and the first of them by value."""

    total: int
    samples: tuple[RepeatedKey, ...]


@dataclass(frozen=True, slots=True)
class MissingValue:
    """A value just published that the referenced column lacks; `first` is one row that has it, of `rows`."""

    column: str
    value: str
    rows: int
    first: Place


@dataclass(frozen=True, slots=True)
class MissingValues:
    """By column: how many values are missing, and how many rows have one; and the first values of each."""

    values: Mapping[str, int]
    rows: Mapping[str, int]
    samples: tuple[MissingValue, ...]


def find_repeated_keys(queries: QueryEngine | None, dataset: Dataset, published: Published) -> RepeatedKeys | NotLooked:
    """The primary keys just published that the table also has from another file, or another version of the file."""
    rows = ask(queries, repeated_keys_sql(dataset, published))
    if isinstance(rows, NotLooked):
        return rows
    samples = tuple(
        RepeatedKey(
            {name: row[name] for name in dataset.primary_key},
            row["_rows"],
            _place(row["_published"]),
            _place(row["_other"]),
        )
        for row in rows
    )
    return RepeatedKeys(rows[0]["_total"] if rows else 0, samples)


def find_missing_values(
    queries: QueryEngine | None, dataset: Dataset, references: Mapping[str, Reference], published: Published
) -> MissingValues | NotLooked:
    """The values just published, of these columns, that stand nowhere in the columns they refer to."""
    rows = ask(queries, missing_values_sql(dataset, references, published))
    if isinstance(rows, NotLooked):
        return rows
    return MissingValues(
        {row["_column"]: row["_values"] for row in rows},
        {row["_column"]: row["_all_rows"] for row in rows},
        tuple(MissingValue(row["_column"], row["_value"], row["_rows"], _place(row["_first"])) for row in rows),
    )


def repeated_keys_sql(dataset: Dataset, published: Published) -> str:
    """The statement behind `find_repeated_keys`.

    Each row's source is one text (`1` where the run published it, line, version, key), so that the greatest and the
    smallest of a group are whole sources: a published one, and one that is not, if there is one.
    """
    key = dataset.primary_key
    columns = ", ".join(sql_name(name) for name in key)
    if published.batch_ids is None:
        rows = (
            f"SELECT {columns}, {sql_name(SOURCE_FILE)}, {sql_name(SOURCE_VERSION)}, CONCAT('1 ', {_source('o')}) AS \"_source\" "
            f"FROM {sql_name(dataset.table)} AS o"
        )
        return f"WITH m AS ({rows}) {_repeated_in_m(columns)}"
    within = _within(dataset, published)
    # A partition column that is part of the key has the same value in both rows: the rest of the table need not be read.
    shared = [condition for name, condition in within.items() if name in key]
    theirs = "".join(f" AND o.{condition}" for condition in shared)
    joined = " AND ".join(f"o.{sql_name(name)} = p.{sql_name(name)}" for name in key)
    return (
        f"WITH p AS (SELECT DISTINCT {columns} FROM {sql_name(dataset.table)} WHERE {_of_run(published, within)}), "
        f"m AS (SELECT {', '.join(f'o.{sql_name(name)}' for name in key)}, o.{sql_name(SOURCE_FILE)}, o.{sql_name(SOURCE_VERSION)}, "
        f"CONCAT(CASE WHEN o.{_batches(published)} THEN '1 ' ELSE '0 ' END, {_source('o')}) AS \"_source\" "
        f"FROM {sql_name(dataset.table)} AS o INNER JOIN p ON {joined}{theirs}) {_repeated_in_m(columns)}"
    )


def _repeated_in_m(columns: str) -> str:
    return (
        f'SELECT {columns}, COUNT(*) AS "_rows", MAX("_source") AS "_published", MIN("_source") AS "_other", '
        f'COUNT(*) OVER () AS "_total" FROM m GROUP BY {columns} '
        f"HAVING MIN({sql_name(SOURCE_FILE)}) <> MAX({sql_name(SOURCE_FILE)}) "
        f"OR MIN({sql_name(SOURCE_VERSION)}) <> MAX({sql_name(SOURCE_VERSION)}) "
        f"ORDER BY {columns} LIMIT {MAX_SAMPLES}"
    )


def missing_values_sql(dataset: Dataset, references: Mapping[str, Reference], published: Published) -> str:
    """The statement behind `find_missing_values`: one part a column."""
    parts = (_missing_values(dataset, name, reference, published) for name, reference in references.items())
    return " UNION ALL ".join(f"(SELECT * FROM ({part}))" for part in parts)


def _missing_values(dataset: Dataset, name: str, reference: Reference, published: Published) -> str:
    column = sql_name(name)
    ours = published.batch_ids is not None
    of_run = f"p.{_of_run(published, _within(dataset, published), ' AND p.')} AND " if ours else ""
    return (
        f'SELECT {sql_text(name)} AS "_column", CAST(p.{column} AS VARCHAR) AS "_value", COUNT(*) AS "_rows", '
        f"MIN(CONCAT('1 ', {_source('p')})) AS \"_first\", "
        f'COUNT(*) OVER () AS "_values", CAST(SUM(COUNT(*)) OVER () AS BIGINT) AS "_all_rows" '
        f'FROM {sql_name(dataset.table)} AS p LEFT JOIN (SELECT DISTINCT {sql_name(reference.column)} AS "_there" '
        f'FROM {sql_name(reference.dataset)}) AS o ON p.{column} = o."_there" '
        f"WHERE {of_run}p.{column} IS NOT NULL "
        f'AND o."_there" IS NULL GROUP BY p.{column} ORDER BY p.{column} LIMIT {MAX_SAMPLES}'
    )


def _of_run(published: Published, within: Mapping[str, str], join: str = " AND ") -> str:
    return join.join([_batches(published), *within.values()])


def _batches(published: Published) -> str:
    return f"{sql_name(BATCH_ID)} IN ({', '.join(sql_text(batch) for batch in published.batch_ids or ())})"


def _source(table: str) -> str:
    """Line, version and key of a row in one text; only the key may have a space."""
    line = f"LPAD(CAST({table}.{sql_name(SOURCE_LINE)} AS VARCHAR), 19, '0')"
    return f"{line}, ' ', {table}.{sql_name(SOURCE_VERSION)}, ' ', {table}.{sql_name(SOURCE_FILE)}"


def _place(source: str) -> Place:
    _, line, version, key = source.split(" ", 3)
    return Place(key, version, int(line))


def _within(dataset: Dataset, published: Published) -> dict[str, str]:
    """By partition column, the condition that keeps a query to the partitions of the run; only columns as they are."""
    found: dict[str, set[str]] = {p.column: set() for p in dataset.partition_by if p.transform == "identity"}
    if not found or published.partitions is None:
        return {}
    for path in published.partitions:
        for name, literal in _literals(dataset, path.split("/")):
            if literal is None:
                found.pop(name, None)
            elif name in found:
                found[name].add(literal)
    listed = {name: ", ".join(sorted(literals)) for name, literals in found.items() if literals}
    return {
        name: f"{sql_name(name)} IN ({values})" for name, values in listed.items() if len(values) <= _MAX_CHARACTERS
    }


def _literals(dataset: Dataset, segments: Sequence[str]) -> Iterable[tuple[str, str | None]]:
    """Of each segment of a partition's path the column and its value as SQL; None where the path does not say it exactly."""
    for field, segment in zip(dataset.partition_by, segments, strict=True):
        if field.transform != "identity":
            continue
        try:
            _, text = parse_segment(segment)
        except ValueError:  # too long for a path: cut
            yield field.column, None
            continue
        match dataset.columns[field.column].kind:
            case ColumnType.STRING:
                yield field.column, sql_text(text)
            case ColumnType.DATE:
                yield field.column, f"DATE {sql_text(text)}"
            case ColumnType.INT | ColumnType.BIGINT:
                yield field.column, str(int(text))
            case _:
                yield field.column, None
