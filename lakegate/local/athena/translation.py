"""From Athena's SQL to a statement that DuckDB runs: which tables it names, what it needs of them, what it writes.

sqlglot does the dialects; here is what it leaves: parameters, UNLOAD and CTAS, time travel, unnamed columns, and the refusal
of whatever would change a table. Nothing here touches AWS or DuckDB.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.optimizer.scope import traverse_scope

from lakegate.local.athena.failures import InvalidRequestError

UNNAMED = "__unnamed_"
_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
}
_MIRRORED = {"=": "=", ">": "<", ">=": "<=", "<": ">", "<=": ">="}
_DATE_ARITHMETIC = (exp.Add, exp.Sub, exp.DateAdd, exp.DateSub, exp.TimestampTrunc, exp.DateTrunc)
_TIME_UNITS = frozenset({"HOUR", "MINUTE", "SECOND", "MILLISECOND"})
_UNLOAD = re.compile(
    r"\s*UNLOAD\s*\((?P<query>.*)\)\s*TO\s*'(?P<to>[^']+)'\s*WITH\s*\((?P<options>.*)\)\s*;?\s*", re.I | re.S
)
_SHOW = re.compile(
    r"\s*SHOW\s+(?P<what>TABLES|DATABASES|SCHEMAS|COLUMNS)(?:\s+(?:IN|FROM)\s+(?P<name>\S+?))?\s*;?\s*", re.I
)
_OPTION = re.compile(r"(\w+)\s*=\s*(ARRAY\s*\[[^\]]*\]|'[^']*'|[\w.]+)", re.I)
_KNOWN_OPTIONS = frozenset(
    {"format", "compression", "write_compression", "parquet_compression", "partitioned_by", "external_location"}
)


class StatementKind(StrEnum):
    """Athena's own classes of statements."""

    DML = "DML"
    DDL = "DDL"
    UTILITY = "UTILITY"


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant of the query: its text, and whether it was written as a number, a string, a date or a timestamp."""

    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`column operator value`, which every row of the table must satisfy to matter; `IN` has several values."""

    column: str
    operator: str
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class TableReference:
    """One mention of a table: the name it gets in DuckDB, and what the query can need of it."""

    registered_as: str
    database: str
    table: str
    metadata_table: str | None
    snapshot_id: int | None
    as_of: str | None
    columns: frozenset[str] | None
    comparisons: tuple[Comparison, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Output:
    """Where a CTAS or an UNLOAD writes Parquet; `table` is the one a CTAS makes."""

    location: str | None
    table: tuple[str, str] | None
    compression: str
    partitioned_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement that DuckDB runs, once `to_duckdb` has put it into DuckDB's words."""

    kind: StatementKind
    tree: exp.Expr
    tables: tuple[TableReference, ...]
    output: Output | None
    column_positions: dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Show:
    """SHOW TABLES, DATABASES or COLUMNS, or DESCRIBE: answered from Glue."""

    what: str
    database: str
    table: str | None

    kind = StatementKind.UTILITY


def parse(sql: str, parameters: Sequence[str], database: str) -> Query | Show:
    """Return the statement; `parameters` are SQL literals for its question marks, `database` is the default one.

    Raises:
        InvalidRequestError: it is not SQL as Athena has it, or it is of a kind that is refused here.
    """
    if show := _SHOW.fullmatch(sql):
        return _show(show, database)
    if unload := _UNLOAD.fullmatch(sql):
        output = _output(unload["options"], unload["to"], None)
        return _query(_parse_one(unload["query"]), parameters, database, output, StatementKind.DML)
    tree = _parse_one(sql)
    if isinstance(tree, exp.Describe) and isinstance(tree.this, exp.Table):
        return Show("columns", tree.this.db or database, tree.this.name)
    if isinstance(tree, exp.Create) and tree.kind == "TABLE" and isinstance(tree.expression, exp.Query):
        return _create_table_as(tree, sql, parameters, database)
    if isinstance(tree, exp.Values):
        tree = exp.select("*").from_(exp.Subquery(this=tree))
    if isinstance(tree, exp.Query):
        return _query(tree, parameters, database, None, StatementKind.DML)
    words = sql.split()
    raise InvalidRequestError(
        f"NOT_SUPPORTED: {words[0].upper() if words else 'an empty statement'} is refused: the laptop's Athena reads tables and "
        "writes query results. It changes no table; tables are changed by Lakegate's own commits."
    )


def _parse_one(sql: str) -> exp.Expr:
    try:
        trees = [tree for tree in sqlglot.parse(sql, read="athena") if tree is not None]
    except SqlglotError as error:
        fault = error.errors[0] if isinstance(error, ParseError) and error.errors else None
        if fault is None:
            raise InvalidRequestError(f"line 1:1: {error}") from error
        raise InvalidRequestError(
            f"line {fault['line']}:{fault['col']}: mismatched input '{fault['highlight']}'. {fault['description']}"
        ) from error
    if len(trees) != 1:
        raise InvalidRequestError(f"Only one sql statement is allowed. Got: {len(trees)}")
    return trees[0]


def _show(match: re.Match[str], database: str) -> Show:
    what, name = match["what"].lower(), (match["name"] or "").replace('"', "").replace("`", "")
    if what == "columns":
        schema, _, table = name.rpartition(".")
        return Show(what, schema or database, table)
    return Show("databases" if what == "schemas" else what, name or database, None)


def _create_table_as(tree: exp.Create, sql: str, parameters: Sequence[str], database: str) -> Query:
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    properties = re.search(r"\bWITH\s*\((.*?)\)\s*AS\b", sql, re.I | re.S)
    output = _output(properties[1] if properties else "", None, (target.db or database, target.name))
    return _query(tree.expression, parameters, database, output, StatementKind.DDL)


def _output(options: str, location: str | None, table: tuple[str, str] | None) -> Output:
    given = {name.lower(): value.strip("'") for name, value in _OPTION.findall(options)}
    unknown = sorted(given.keys() - _KNOWN_OPTIONS)
    if unknown or given.get("format", "PARQUET").upper() != "PARQUET":
        raise InvalidRequestError(
            f"NOT_SUPPORTED: {', '.join(unknown) or 'format ' + given['format']} is refused: the laptop's Athena writes "
            "Parquet, with external_location, compression and partitioned_by."
        )
    codec = next(
        (given[name] for name in ("write_compression", "parquet_compression", "compression") if name in given), "GZIP"
    )
    columns = tuple(
        re.findall(r"'([^']*)'", given.get("partitioned_by", "") + "'" if "partitioned_by" in given else "")
    )
    return Output(given.get("external_location", location), table, codec.upper(), columns)


def _query(
    tree: exp.Expr, parameters: Sequence[str], database: str, output: Output | None, kind: StatementKind
) -> Query:
    if not isinstance(tree, exp.Query):
        raise InvalidRequestError("NOT_SUPPORTED: only a query can be written out.")
    _refuse_changes(tree)
    _bind(tree, parameters)
    positions = {
        column.name.lower(): (column.this.meta["line"], column.this.meta["col"] - len(column.name) + 1)
        for column in tree.find_all(exp.Column)
        if "line" in column.this.meta
    }
    tables = _take_tables(tree, database)
    _name_columns(tree)
    return Query(kind, tree, tables, output, positions)


def _refuse_changes(tree: exp.Expr) -> None:
    for node in tree.find_all(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into):
        raise InvalidRequestError(
            f"NOT_SUPPORTED: {node.key.upper()} is refused: the laptop's Athena changes no table."
        )


def _bind(tree: exp.Expr, parameters: Sequence[str]) -> None:
    """Put the literals in place of the question marks, in the order in which they stand in the text."""
    marks = list(tree.find_all(exp.Placeholder, bfs=False))
    if len(marks) != len(parameters):
        raise InvalidRequestError(
            f"INVALID_PARAMETER_USAGE: Incorrect number of parameters: expected {len(marks)} but found {len(parameters)}"
        )
    for mark, text in zip(marks, parameters, strict=True):
        value = _parse_one(f"SELECT {text}")
        has_more = [name for name, part in value.args.items() if part and name != "expressions"]
        literal = value.expressions[0] if isinstance(value, exp.Select) and len(value.expressions) == 1 else None
        if literal is None or has_more or any(literal.find_all(exp.Column, exp.Query, exp.Star)):
            raise InvalidRequestError(f"INVALID_PARAMETER_USAGE: {text} is not a literal; strings are quoted: 'text'")
        mark.replace(literal)


def _take_tables(tree: exp.Expr, database: str) -> tuple[TableReference, ...]:
    """Replace each mention of a real table (not of a CTE) by a name of its own, and say what it stands for."""
    columns = _mentioned_columns(tree)
    references: list[TableReference] = []
    for scope in traverse_scope(tree):
        sources = [
            (alias, node) for alias, (node, source) in scope.selected_sources.items() if isinstance(source, exp.Table)
        ]
        for alias, node in sources:
            if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
                continue
            name = f"t{len(references)}"
            references.append(
                _reference(node, name, database, columns, _comparisons(scope.expression, alias, len(sources)))
            )
            node.set("this", exp.to_identifier(name, quoted=True))
            for part in ("db", "catalog", "version"):
                node.set(part, None)
            if not node.alias:
                node.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    return tuple(references)


def _reference(
    node: exp.Table, name: str, database: str, columns: frozenset[str] | None, comparisons: tuple[Comparison, ...]
) -> TableReference:
    table, _, metadata_table = node.name.partition("$")
    snapshot_id, as_of = None, None
    if version := node.args.get("version"):
        value = version.expression
        if version.this == "VERSION":
            snapshot_id = int(value.name)
        else:
            as_of = value.find(exp.Literal).name
    identifier = node.this
    line = identifier.meta.get("line", 1)
    column = identifier.meta.get("col", len(node.name)) - len(node.name) + 1
    return TableReference(
        name,
        (node.db or database).lower(),
        table.lower(),
        metadata_table.lower() or None,
        snapshot_id,
        as_of,
        columns,
        comparisons,
        line,
        column,
    )


def _mentioned_columns(tree: exp.Expr) -> frozenset[str] | None:
    """Return every column name in the query, in lower case; None when a `*` asks for all (`count(*)` does not).

    What stands before a dot is a column, a struct, unless a table is called that.
    """
    if any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star)):
        return None
    tables = {table.alias_or_name.lower() for table in tree.find_all(exp.Table, exp.Subquery, exp.Unnest)}
    names: set[str] = set()
    for column in tree.find_all(exp.Column):
        *before, last = (part.name.lower() for part in column.parts)
        names |= {last, *(name for name in before if name not in tables)}
    # JOIN … USING (a) names columns as bare identifiers.
    for join in tree.find_all(exp.Join):
        names |= {identifier.name.lower() for identifier in join.args.get("using") or []}
    return frozenset(names)


def _comparisons(select: exp.Expr, alias: str, source_count: int) -> tuple[Comparison, ...]:
    """Return the conjuncts of WHERE that compare a column of this table to constants.

    Each of them is false for NULL, so a row that fails one cannot reach the result, whatever the joins are. An unqualified
    column counts only when there is no other table it could belong to.
    """
    where = select.args.get("where")
    found: list[Comparison] = []
    for conjunct in (
        where.this.flatten() if where and isinstance(where.this, exp.And) else [where.this] if where else []
    ):
        condition = conjunct.unnest()
        comparison = _comparison(condition)
        column = condition.this if isinstance(condition, (exp.In, exp.Between)) else condition.find(exp.Column)
        if comparison is None or not isinstance(column, exp.Column):
            continue
        if column.table == alias or (not column.table and source_count == 1 and not select.args.get("joins")):
            found += comparison
    return tuple(found)


def _comparison(condition: exp.Expr) -> list[Comparison] | None:
    if isinstance(condition, exp.In) and isinstance(condition.this, exp.Column) and condition.expressions:
        values = [_literal(value) for value in condition.expressions]
        return (
            None if None in values else [Comparison(condition.this.name.lower(), "in", tuple(v for v in values if v))]
        )
    if isinstance(condition, exp.Between) and isinstance(condition.this, exp.Column):
        low, high = _literal(condition.args["low"]), _literal(condition.args["high"])
        name = condition.this.name.lower()
        return [Comparison(name, ">=", (low,)), Comparison(name, "<=", (high,))] if low and high else None
    operator = _COMPARISONS.get(type(condition))
    if operator is None:
        return None
    left, right = condition.this, condition.expression
    if isinstance(right, exp.Column):
        left, right, operator = right, left, _MIRRORED[operator]
    value = _literal(right)
    return [Comparison(left.name.lower(), operator, (value,))] if isinstance(left, exp.Column) and value else None


def _literal(node: exp.Expr) -> Literal | None:
    if isinstance(node, exp.Literal):
        return Literal(node.name, "string" if node.is_string else "number")
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal) and node.this.is_string:
        if node.to.is_type("date"):
            return Literal(node.this.name, "date")
        if node.to.is_type("timestamp", "timestamptz"):
            return Literal(node.this.name, "timestamp")
    return None


def _name_columns(tree: exp.Query) -> None:
    """Mark the unnamed columns of the outermost SELECT: Athena calls them `_col` and their position."""
    select = tree
    while isinstance(select, (exp.SetOperation, exp.Subquery)):
        select = select.this
    if isinstance(select, exp.Select):
        for index, item in enumerate(select.expressions):
            if not isinstance(item, (exp.Alias, exp.Aliases, exp.Column, exp.Star)):
                item.replace(exp.alias_(item.copy(), f"{UNNAMED}{index}", quoted=True))


def to_duckdb(query: Query, date_columns: frozenset[str]) -> str:
    """Return the query as DuckDB's SQL; `date_columns` are the names, in lower case, of columns that hold dates."""
    dates = set(date_columns)
    # What is made of dates has a name of its own in what encloses it.
    while (
        named := {alias.alias.lower() for alias in query.tree.find_all(exp.Alias) if _is_date(alias.this, dates)}
        - dates
    ):
        dates |= named
    tree = query.tree.transform(lambda node: _adapt(node, dates))
    return tree.sql("duckdb", unsupported_level=sqlglot.ErrorLevel.IGNORE)


def _adapt(node: exp.Expr, dates: set[str]) -> exp.Expr:
    """Change what the two dialects name alike but do not mean alike."""
    # The same instant shown in UTC: DuckDB would make it a timestamp without a zone.
    if isinstance(node, exp.AtTimeZone) and node.args["zone"].name.upper() == "UTC":
        return node.this
    # A date plus days, or cut to its month, is a date; DuckDB makes it a timestamp.
    if isinstance(node, _DATE_ARITHMETIC) and _is_date(node, dates) and not isinstance(node.parent, exp.Cast):
        return exp.cast(node.copy(), "date")
    return node


def _is_date(node: exp.Expr | None, dates: set[str]) -> bool:
    match node:
        case exp.Column():
            return node.name.lower() in dates
        case exp.Cast():
            return node.to.is_type("date")
        case exp.CurrentDate():
            return True
        case exp.Add() | exp.Sub():
            return isinstance(node.expression, exp.Interval) and _is_date(node.this, dates)
        case exp.DateAdd() | exp.DateSub() | exp.TimestampTrunc() | exp.DateTrunc():
            return node.text("unit").upper() not in _TIME_UNITS and _is_date(node.this, dates)
        case exp.Min() | exp.Max() | exp.AnyValue() | exp.Coalesce() | exp.Paren():
            return _is_date(node.this, dates)
        case _:
            return False
