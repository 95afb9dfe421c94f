"""Runs a translated query in DuckDB: in memory, within limits, with no way to files, network or extensions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from lakegate.local.athena.failures import ExecutionFailedError, from_duckdb
from lakegate.local.athena.results import ResultColumn, result_column
from lakegate.local.athena.tables import TableContent, read_table
from lakegate.local.athena.translation import UNNAMED, Query, to_duckdb

DUCKDB_MEMORY = "1GB"
DUCKDB_THREADS = 2
_SETTINGS = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    f"SET threads = {DUCKDB_THREADS}",
    "SET TimeZone = 'UTC'",
    # As in Trino 7 / 2 is 3. (Then a double divided by zero fails, which in Trino is infinity.)
    "SET integer_division = true",
    # What Trino has and DuckDB calls otherwise, where sqlglot does not know.
    "CREATE MACRO every(x) AS bool_and(x)",
    "CREATE MACRO map_agg(k, v) AS map(list(k), list(v))",
    "CREATE MACRO at_timezone(x, zone) AS x AT TIME ZONE zone",
    "CREATE MACRO from_iso8601_date(x) AS CAST(x AS DATE)",
    "SET lock_configuration = true",
)


@dataclass(frozen=True, slots=True)
class QueryRows:
    """The rows of a query with Athena's types beside them."""

    columns: tuple[ResultColumn, ...]
    rows: pa.Table
    scanned_bytes: int


_INSIST_S = 0.05


@dataclass(slots=True)
class Cancellation:
    """Lets another thread stop a running query."""

    _connection: duckdb.DuckDBPyConnection | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    is_requested: bool = False

    def request(self) -> None:
        """Stop the query, now or as soon as it begins."""
        with self._lock:
            is_new, self.is_requested = not self.is_requested, True
            is_running = self._connection is not None
        if is_new and is_running:
            threading.Thread(target=self._insist, name="athena-cancel", daemon=True).start()

    def begin(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Say which connection is going to run the query; False when it is not wanted any more."""
        with self._lock:
            if self.is_requested:
                return False
            self._connection = connection
            return True

    def end(self) -> None:
        """Say that no connection runs the query any more."""
        with self._lock:
            self._connection = None

    def _insist(self) -> None:
        """Interrupt until the query has ended: DuckDB forgets an interrupt that comes before a statement begins."""
        while True:
            with self._lock:
                if self._connection is None:
                    return
                self._connection.interrupt()
            time.sleep(_INSIST_S)


def run(query: Query, cancellation: Cancellation) -> QueryRows:
    """Read the tables the query names, run it, and return its rows.

    Raises:
        ExecutionFailedError: the query fails, with Athena's code and words.
    """
    contents: dict[str, TableContent] = {}
    for reference in query.tables:
        if cancellation.is_requested:
            break
        contents[reference.registered_as] = read_table(reference)
    connection = duckdb.connect(
        config={"enable_external_access": "false", "temp_directory": "", "memory_limit": DUCKDB_MEMORY}
    )
    try:
        for setting in _SETTINGS:
            connection.execute(setting)
        for name, content in contents.items():
            connection.register(name, content.rows)
        if not cancellation.begin(connection):
            raise ExecutionFailedError("USER_CANCELLED", "the query was stopped before it began")
        relation = connection.sql(to_duckdb(query, _date_columns(contents.values())))
        if relation is None:
            raise ExecutionFailedError("SYNTAX_ERROR", "the statement returns no rows")
        names, types = relation.columns, relation.types
        rows = relation.to_arrow_table()
    except duckdb.Error as error:
        raise from_duckdb(error, query.column_positions) from error
    finally:
        cancellation.end()
        connection.close()
    digits = 6 if not contents or any(content.is_iceberg for content in contents.values()) else 3
    columns = tuple(
        result_column(f"_col{index}" if name.startswith(UNNAMED) else name, str(duckdb_type), digits)
        for index, (name, duckdb_type) in enumerate(zip(names, types, strict=True))
    )
    return QueryRows(columns, _as_athena_has_them(rows, columns), sum(c.scanned_bytes for c in contents.values()))


def _date_columns(contents: Iterable[TableContent]) -> frozenset[str]:
    """Return the names of columns that hold dates, and hold nothing else in another table of the query."""
    fields = [field for content in contents for field in content.rows.schema]
    dates = {field.name.lower() for field in fields if pa.types.is_date(field.type)}
    return frozenset(dates - {field.name.lower() for field in fields if not pa.types.is_date(field.type)})


def _as_athena_has_them(rows: pa.Table, columns: tuple[ResultColumn, ...]) -> pa.Table:
    """Return the rows with the types Athena would give: DuckDB adds up integers in 128 bits, Trino in 64."""
    arrays = []
    for column, array in zip(columns, rows.columns, strict=True):
        wanted = {"bigint": pa.int64(), "integer": pa.int32()}.get(column.type)
        if wanted is None or array.type == wanted:
            arrays.append(array)
            continue
        try:
            arrays.append(array.cast(wanted))
        except pa.ArrowInvalid as error:
            raise ExecutionFailedError("NUMERIC_VALUE_OUT_OF_RANGE", f"{column.name}: bigint overflow") from error
    return pa.Table.from_arrays(arrays, names=[column.name for column in columns])
