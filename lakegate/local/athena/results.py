"""How Athena shows what a query returned: its types, its text for each value, its CSV file, its pages.

After "Working with query results, recent queries, and output files" and "GetQueryResults" of Athena's documentation. The
`.metadata` file is undocumented and binary on AWS; here it holds the columns as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

PAGE_ROWS = 1000
_PRECISION = {
    "boolean": 0,
    "tinyint": 3,
    "smallint": 5,
    "integer": 10,
    "bigint": 19,
    "float": 17,
    "double": 17,
    "varchar": 2147483647,
    "varbinary": 1073741824,
    "date": 0,
}
_NAMES = {
    "BOOLEAN": "boolean",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "HUGEINT": "bigint",
    "UTINYINT": "integer",
    "USMALLINT": "integer",
    "UINTEGER": "bigint",
    "UBIGINT": "bigint",
    "FLOAT": "float",
    "DOUBLE": "double",
    "VARCHAR": "varchar",
    "BLOB": "varbinary",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "JSON": "json",
    "UUID": "uuid",
    '"NULL"': "unknown",
}
_CELL = re.compile(r'(?:"((?:[^"]|"")*)")?(,|\n)')


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result: name, Athena's type, precision and scale (of a timestamp: the digits after the second)."""

    name: str
    type: str
    precision: int
    scale: int = 0

    def as_column_info(self) -> dict[str, Any]:
        """Return the `ColumnInfo` of GetQueryResults."""
        return {
            "CatalogName": "hive",
            "SchemaName": "",
            "TableName": "",
            "Name": self.name,
            "Label": self.name,
            "Type": self.type,
            "Precision": self.precision,
            "Scale": self.scale,
            "Nullable": "UNKNOWN",
            "CaseSensitive": self.type == "varchar",
        }


def result_column(name: str, duckdb_type: str, timestamp_digits: int) -> ResultColumn:
    """Return the column as Athena describes it; DuckDB does not know a timestamp's digits, so they are said."""
    if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", duckdb_type):
        return ResultColumn(name, "decimal", int(match[1]), int(match[2]))
    if duckdb_type.endswith("]"):
        return ResultColumn(name, "array", 0)
    if duckdb_type.startswith("MAP("):
        return ResultColumn(name, "map", 0)
    if duckdb_type.startswith("STRUCT("):
        return ResultColumn(name, "row", 0)
    athena_type = _NAMES.get(duckdb_type, "varchar")
    precision = timestamp_digits if athena_type.startswith("timestamp") else _PRECISION.get(athena_type, 0)
    return ResultColumn(name, athena_type, precision)


def render(value: Any, column: ResultColumn) -> str | None:
    """Return the text Athena has for a value; None for NULL."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case datetime():
            text = value.strftime("%Y-%m-%d %H:%M:%S.%f")
            text = text[: len(text) - 6 + (column.precision or 6)]
            return f"{text} UTC" if value.tzinfo else text
        case date():
            return value.isoformat()
        case float():
            return _java_float(value)
        case Decimal():
            return f"{value:f}"
        case bytes():
            return value.hex(" ")
        case dict():
            return "{" + ", ".join(f"{name}={_nested(item, column)}" for name, item in value.items()) + "}"
        case list() if column.type == "map" and value and isinstance(value[0], tuple):
            return "{" + ", ".join(f"{_nested(k, column)}={_nested(v, column)}" for k, v in value) + "}"
        case list():
            return "[" + ", ".join(_nested(item, column) for item in value) + "]"
        case _:
            return str(value)


def _nested(value: Any, column: ResultColumn) -> str:
    text = render(value, column)
    return "null" if text is None else text


def _java_float(value: float) -> str:
    """Return the number as Java prints it, which is what Athena's CSV holds: 1.0E7, 1.0E-4, Infinity, NaN."""
    if value != value:  # the definition of NaN
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = f"{Decimal(repr(value)):f}"
        return text if "." in text else f"{text}.0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    first, rest = str(digits[0]), "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{first}.{rest}E{int(exponent) + len(digits) - 1}"


def rendered_rows(columns: tuple[ResultColumn, ...], rows: pa.Table) -> Iterator[list[str | None]]:
    """Return each row as Athena's texts."""
    for batch in rows.to_batches(max_chunksize=10_000):
        values = [array.to_pylist() for array in batch.columns]
        for row in zip(*values, strict=True):
            yield [render(value, column) for value, column in zip(row, columns, strict=True)]


def to_csv(columns: tuple[ResultColumn, ...], rows: Iterable[list[str | None]]) -> bytes:
    """Return the result file: a header, every value quoted, NULL as nothing at all."""
    lines = [",".join(_quoted(column.name) for column in columns)]
    lines += [",".join("" if text is None else _quoted(text) for text in row) for row in rows]
    return ("\n".join(lines) + "\n").encode()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def from_csv(content: bytes) -> list[list[str | None]]:
    """Return the rows of a result file, the header first; an unquoted empty cell is NULL."""
    rows: list[list[str | None]] = []
    row: list[str | None] = []
    for match in _CELL.finditer(content.decode()):
        text = match[1]
        row.append(None if text is None else text.replace('""', '"'))
        if match[2] == "\n":
            rows.append(row)
            row = []
    return rows


def metadata_file(columns: tuple[ResultColumn, ...]) -> bytes:
    """Return the content of the `.metadata` file beside a result."""
    return json.dumps([column.as_column_info() for column in columns]).encode()


def page(
    columns: tuple[ResultColumn, ...], rows: list[list[str | None]], offset: int, limit: int
) -> tuple[dict[str, Any], int | None]:
    """Return a `ResultSet` of up to `limit` rows from `offset` on (the header is row 0), and the next offset."""
    taken = rows[offset : offset + limit]
    result_set = {
        "Rows": [{"Data": [{} if text is None else {"VarCharValue": text} for text in row]} for row in taken],
        "ResultSetMetadata": {"ColumnInfo": [column.as_column_info() for column in columns]},
    }
    following = offset + len(taken)
    return result_set, following if following < len(rows) else None
