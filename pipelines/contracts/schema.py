"""The Arrow schemas of a dataset, and the fingerprint of its contract. Everything that has a schema derives it here."""

import hashlib
import json

import pyarrow as pa

from pipelines.contracts.model import Column, ColumnType, Dataset, Severity
from pipelines.contracts.nested_types import ArrayType, DataType, MapType, ScalarType, StructType
from pipelines.contracts.values import decimal_digits

__all__ = ["BATCH_ID", "INGESTED_AT", "RESCUED", "SOURCE_FILE", "SOURCE_LINE", "SOURCE_VERSION",
           "arrow_type", "arrow_type_of", "fingerprint", "provenance_fields", "reading_schema", "table_schema"]  # fmt: skip

SOURCE_FILE = "_source_file"
SOURCE_VERSION = "_source_version"
SOURCE_LINE = "_source_line"
BATCH_ID = "_batch_id"
INGESTED_AT = "_ingested_at"
RESCUED = "_rescued"

_SIMPLE = {
    ColumnType.STRING: pa.string(),
    ColumnType.JSON: pa.string(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.INT: pa.int32(),
    ColumnType.BIGINT: pa.int64(),
    ColumnType.FLOAT: pa.float32(),
    ColumnType.DOUBLE: pa.float64(),
    ColumnType.DATE: pa.date32(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column: int 32 bit, bigint 64, timestamps in microseconds UTC, JSON as text."""
    return arrow_type_of(column.data_type)


def arrow_type_of(kind: DataType) -> pa.DataType:
    """The Arrow type of a type. What is inside a nested type may be null, but for the keys of a map."""
    match kind:
        case StructType(members):
            return pa.struct([pa.field(name, arrow_type_of(member)) for name, member in members])
        case ArrayType(element):
            return pa.list_(pa.field("element", arrow_type_of(element)))
        case MapType(value):
            return pa.map_(pa.string(), pa.field("value", arrow_type_of(value)))
        case ScalarType(text):
            if kind.kind is ColumnType.DECIMAL:
                return pa.decimal128(*decimal_digits(text))
            return _SIMPLE[kind.kind]


def _fields(dataset: Dataset) -> list[pa.Field]:
    required = set(dataset.primary_key) | {p.column for p in dataset.partition_by}
    fields = [
        pa.field(name, arrow_type(column), nullable=column.nullable and name not in required)
        for name, column in dataset.columns.items()
    ]
    if dataset.schema_.rescues:
        fields.append(pa.field(RESCUED, pa.string()))
    return fields


def reading_schema(dataset: Dataset) -> pa.Schema:
    """What the reader emits: the contract's columns in table order, `_rescued` where asked for, and `_source_line`.

    Key columns are among them, filled from the key. `_source_line` is int64: the line the record starts at, from 1.
    """
    return pa.schema([*_fields(dataset), pa.field(SOURCE_LINE, pa.int64(), nullable=False)])


def provenance_fields() -> tuple[pa.Field, ...]:
    """The columns every table ends with: where each row came from."""
    return (
        pa.field(SOURCE_FILE, pa.string(), nullable=False),
        pa.field(SOURCE_VERSION, pa.string(), nullable=False),
        pa.field(SOURCE_LINE, pa.int64(), nullable=False),
        pa.field(BATCH_ID, pa.string(), nullable=False),
        pa.field(INGESTED_AT, pa.timestamp("us", tz="UTC"), nullable=False),
    )


def table_schema(dataset: Dataset) -> pa.Schema:
    """The table's schema: the contract's columns in table order, `_rescued` where asked for, then the provenance."""
    return pa.schema([*_fields(dataset), *provenance_fields()])


def fingerprint(dataset: Dataset) -> str:
    """Sixteen hexadecimal digits that change when files would be read or judged otherwise; they go with every ledger entry.

    Words for people do not count, nor what only decides what is looked at or done afterwards (warnings, checks after the
    commit, removals), nor a default written out: what was read stays read.
    """
    apart = {
        "description",
        "owner",
        "group",
        "freshness",
        "work",
        "checks",
        "compaction",
        "on_delete",
        "primary_key_across_files",
        "expectations",
        "rules",
    }
    said = dataset.model_dump(mode="json", by_alias=True, exclude=apart, exclude_defaults=True)
    for column in said["columns"].values():
        column.pop("description", None)
        column.pop("references", None)
    said["expectations"] = [e.model_dump(mode="json") for e in dataset.expectations if e.severity in _JUDGES]
    said["rules"] = [(r.rule, r.severity.value) for r in dataset.rules if r.severity in _JUDGES]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


_JUDGES = frozenset({Severity.QUARANTINE_ROWS, Severity.QUARANTINE_FILE})
