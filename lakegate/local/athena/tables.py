"""Finds a table in Glue and reads what a query needs of it: Iceberg at a snapshot, or plain Parquet and CSV files.

Only the columns a query mentions are read, and only the files its WHERE leaves over. What is read is held in memory, up to a
limit: a laptop's Athena is for looking at results and for tests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from botocore.exceptions import ClientError
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    LessThan,
    LessThanOrEqual,
)
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import DateType, IntegerType, LongType, StringType, TimestampType, TimestamptzType

from lakegate.local.athena import hive_files
from lakegate.local.athena.authorization import may_see, require_catalog, require_read
from lakegate.local.athena.failures import ExecutionFailedError
from lakegate.local.athena.translation import Comparison, Literal, TableReference
from resources.environment import client, iceberg_catalog

MEMORY_LIMIT_BYTES = 2 * 1024**3
_PREDICATES: dict[str, Any] = {
    "in": In,
    "=": EqualTo,
    ">": GreaterThan,
    ">=": GreaterThanOrEqual,
    "<": LessThan,
    "<=": LessThanOrEqual,
}
_METADATA_TABLES = frozenset({"snapshots", "history", "files", "partitions", "manifests", "refs"})


@dataclass(frozen=True, slots=True)
class TableContent:
    """What was read: rows, the bytes of the files it came from, and whether the table is Iceberg (microseconds) or not."""

    rows: pa.Table
    scanned_bytes: int
    is_iceberg: bool


def read_table(reference: TableReference) -> TableContent:
    """Return the rows of a table that the query can need.

    Raises:
        ExecutionFailedError: there is no such table or snapshot, it is of a kind that is not read here, or it is too large.
    """
    if reference.database == "information_schema":
        return TableContent(_information_schema(reference), 0, is_iceberg=False)
    glue_table = find_table(reference)
    if glue_table.get("Parameters", {}).get("table_type", "").upper() == "ICEBERG":
        return _read_iceberg(reference)
    if glue_table.get("TableType") == "VIRTUAL_VIEW":
        raise ExecutionFailedError(
            "NOT_SUPPORTED", f"{reference.table} is a view; the laptop's Athena reads tables only"
        )
    if reference.metadata_table or reference.snapshot_id or reference.as_of:
        raise ExecutionFailedError("NOT_SUPPORTED", f"{reference.table} is not an Iceberg table: it has no history")
    rows, scanned_bytes = hive_files.read_files(glue_table, reference.columns, reference.comparisons)
    return TableContent(rows, scanned_bytes, is_iceberg=False)


def find_table(reference: TableReference) -> dict[str, Any]:
    """Return Glue's entry of the table.

    Raises:
        ExecutionFailedError: there is none, or the caller may not know.
    """
    require_catalog("glue:GetDatabase", reference.database)
    require_catalog("glue:GetTable", reference.database, reference.table)
    try:
        return client("glue").get_table(DatabaseName=reference.database, Name=reference.table)["Table"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityNotFoundException":
            raise
        raise _not_found(reference) from error


def _not_found(reference: TableReference) -> ExecutionFailedError:
    where = f"line {reference.line}:{reference.column}"
    try:
        client("glue").get_database(Name=reference.database)
    except ClientError:
        return ExecutionFailedError("SCHEMA_NOT_FOUND", f"{where}: Schema '{reference.database}' does not exist")
    name = f"awsdatacatalog.{reference.database}.{reference.table}"
    return ExecutionFailedError("TABLE_NOT_FOUND", f"{where}: Table '{name}' does not exist")


def _read_iceberg(reference: TableReference) -> TableContent:
    try:
        table = iceberg_catalog().load_table((reference.database, reference.table))
    except NoSuchTableError as error:
        raise _not_found(reference) from error
    require_read([table.metadata_location])
    if reference.metadata_table:
        return TableContent(_metadata_table(table, reference.metadata_table), 0, is_iceberg=True)
    snapshot_id = _snapshot_id(table, reference)
    schema = table.schema() if snapshot_id is None else _schema_of(table, snapshot_id)
    scan = table.scan(
        row_filter=_row_filter(schema, reference.comparisons),
        selected_fields=_selected(schema, reference.columns),
        snapshot_id=snapshot_id,
    )
    tasks = list(scan.plan_files())
    require_read(task.file.file_path for task in tasks)
    scanned_bytes = sum(task.file.file_size_in_bytes for task in tasks)
    _mend_pyiceberg()
    reader = scan.to_arrow_batch_reader()
    return TableContent(collect(reader, reader.schema, reference.table), scanned_bytes, is_iceberg=True)


@functools.cache
def _mend_pyiceberg() -> None:
    """Let PyIceberg read a null array or map of structs as null: 0.12 makes it an empty one (apache/iceberg-python#3833)."""
    from pyiceberg.io.pyarrow import ArrowProjectionVisitor

    def mended(read: Callable[..., pa.Array | None]) -> Callable[..., pa.Array | None]:
        def visit(self: Any, kind: Any, array: pa.Array | None, *inner: pa.Array | None) -> pa.Array | None:
            found = read(self, kind, array, *inner)
            if found is None or array is None or found.null_count == array.null_count:
                return found
            return pc.if_else(array.is_valid(), found, pa.scalar(None, found.type))  # pyright: ignore[reportAttributeAccessIssue]

        return visit

    ArrowProjectionVisitor.list = mended(ArrowProjectionVisitor.list)
    ArrowProjectionVisitor.map = mended(ArrowProjectionVisitor.map)


def collect(batches: Iterable[pa.RecordBatch], schema: pa.Schema, name: str) -> pa.Table:
    """Return the batches as one table, up to the memory limit.

    Raises:
        ExecutionFailedError: the limit is reached.
    """
    kept: list[pa.RecordBatch] = []
    held_bytes = 0
    for batch in batches:
        held_bytes += batch.nbytes
        if held_bytes > MEMORY_LIMIT_BYTES:
            raise ExecutionFailedError(
                "EXCEEDED_MEMORY_LIMIT",
                f"{name}: the query needs more than {MEMORY_LIMIT_BYTES >> 20} MiB of it. Name fewer columns or partitions",
            )
        kept.append(batch)
    return pa.Table.from_batches(kept, schema)


def _snapshot_id(table: Table, reference: TableReference) -> int | None:
    if reference.snapshot_id is not None:
        if table.snapshot_by_id(reference.snapshot_id) is None:
            raise ExecutionFailedError(
                "INVALID_ARGUMENTS", f"Iceberg snapshot ID does not exist: {reference.snapshot_id}"
            )
        return reference.snapshot_id
    if reference.as_of is None:
        return None
    moment = as_instant(reference.as_of)
    if moment is None:
        raise ExecutionFailedError("INVALID_ARGUMENTS", f"not a timestamp: {reference.as_of}")
    snapshot = table.snapshot_as_of_timestamp(int(moment.timestamp() * 1000))
    if snapshot is None:
        raise ExecutionFailedError("INVALID_ARGUMENTS", f"No version history table at or before {reference.as_of}")
    return snapshot.snapshot_id


def _schema_of(table: Table, snapshot_id: int) -> Schema:
    snapshot = table.snapshot_by_id(snapshot_id)
    if snapshot is None or snapshot.schema_id is None:
        return table.schema()
    return table.schemas()[snapshot.schema_id]


def _metadata_table(table: Table, name: str) -> pa.Table:
    if name not in _METADATA_TABLES:
        raise ExecutionFailedError("TABLE_NOT_FOUND", f"there is no metadata table ${name}")
    return getattr(table.inspect, name)()


def _selected(schema: Schema, columns: frozenset[str] | None) -> tuple[str, ...]:
    if columns is None:
        return ("*",)
    names = tuple(field.name for field in schema.fields if field.name.lower() in columns)
    # count(*) names no column; a row needs one to be counted.
    return names or (schema.fields[0].name,)


def _row_filter(schema: Schema, comparisons: tuple[Comparison, ...]) -> BooleanExpression:
    types = {field.name.lower(): (field.name, field.field_type) for field in schema.fields}
    wanted: BooleanExpression = AlwaysTrue()
    for comparison in comparisons:
        name, field_type = types.get(comparison.column, ("", None))
        values = [_value(literal, field_type) for literal in comparison.values]
        if not values or any(value is None for value in values):
            continue
        value = values if comparison.operator == "in" else values[0]
        wanted = And(wanted, _PREDICATES[comparison.operator](name, value))
    return wanted


def _value(literal: Literal, field_type: Any) -> Any:
    """Return the literal as a value of the column's type; None where the comparison is better left to DuckDB."""
    match field_type, literal.kind:
        case StringType(), "string":
            return literal.text
        case ((IntegerType() | LongType()), "number"):
            return int(literal.text) if literal.text.lstrip("-").isdigit() else None
        case DateType(), "date":
            try:
                return date.fromisoformat(literal.text.strip())
            except ValueError:
                return None
        case TimestamptzType(), "timestamp":
            return as_instant(literal.text)
        case TimestampType(), "timestamp":
            moment = as_instant(literal.text)
            return moment.replace(tzinfo=None) if moment and "UTC" not in literal.text.upper() else None
        case _:
            return None


def as_instant(text: str) -> datetime | None:
    """Return Athena's `2013-01-01 10:00:00.123 UTC` (UTC where no zone is said); None where it is something else."""
    try:
        moment = datetime.fromisoformat(text.strip().removesuffix("UTC").strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _information_schema(reference: TableReference) -> pa.Table:
    glue = client("glue")
    databases = [
        entry["Name"]
        for page in glue.get_paginator("get_databases").paginate()
        for entry in page["DatabaseList"]
        if may_see(entry["Name"])
    ]
    if reference.table == "schemata":
        return pa.table({"catalog_name": ["awsdatacatalog"] * len(databases), "schema_name": databases})
    tables = [
        (database, entry)
        for database in databases
        for page in glue.get_paginator("get_tables").paginate(DatabaseName=database)
        for entry in page["TableList"]
    ]
    if reference.table == "tables":
        rows = [
            {
                "table_catalog": "awsdatacatalog",
                "table_schema": database,
                "table_name": entry["Name"],
                "table_type": "BASE TABLE",
            }
            for database, entry in tables
        ]
    elif reference.table == "columns":
        rows = [
            {
                "table_catalog": "awsdatacatalog",
                "table_schema": database,
                "table_name": entry["Name"],
                "column_name": column["Name"],
                "ordinal_position": position,
                "data_type": column.get("Type", ""),
            }
            for database, entry in tables
            for position, column in enumerate(columns_of(entry), 1)
        ]
    else:
        raise _not_found(reference)
    text = ("table_catalog", "table_schema", "table_name", "table_type", "column_name", "data_type")
    numbers = [("ordinal_position", pa.int64())] if reference.table == "columns" else []
    wanted = text[:4] if reference.table == "tables" else (*text[:3], *text[4:])
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in wanted] + numbers))


def columns_of(glue_table: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the columns of Glue's entry of a table, the partition columns last, without those an Iceberg schema dropped."""
    columns = glue_table.get("StorageDescriptor", {}).get("Columns", []) + glue_table.get("PartitionKeys", [])
    return [
        column for column in columns if column.get("Parameters", {}).get("iceberg.field.current", "true") != "false"
    ]
