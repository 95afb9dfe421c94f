"""Reads plain external tables of Glue: folders of Parquet or CSV files, partitioned or not.

Lakegate's own tables are Iceberg; these are what analysts and awswrangler make beside them.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from lakegate.local.athena.authorization import require_list, require_read
from lakegate.local.athena.failures import ExecutionFailedError
from lakegate.local.athena.translation import Comparison
from resources.environment import arrow_filesystem, client

_SIMPLE_TYPES = {
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "binary": pa.binary(),
}


def read_files(
    glue_table: dict[str, Any], columns: frozenset[str] | None, comparisons: tuple[Comparison, ...]
) -> tuple[pa.Table, int]:
    """Return the wanted columns of all files of the partitions that the comparisons leave over, and the files' bytes.

    Raises:
        ExecutionFailedError: the files are neither Parquet nor CSV, or a column has a type that is not read here.
    """
    storage = glue_table["StorageDescriptor"]
    fields = [pa.field(column["Name"], arrow_type(column["Type"])) for column in storage["Columns"]]
    keys = [pa.field(column["Name"], arrow_type(column["Type"])) for column in glue_table.get("PartitionKeys", [])]
    wanted = [field for field in fields if columns is None or field.name.lower() in columns] or fields[:1]
    schema = pa.schema(wanted + keys)
    pieces: list[pa.Table] = []
    scanned_bytes = 0
    for location, values in _locations(glue_table, keys, comparisons):
        require_list(location)
        files = _files(location)
        require_read(path for path, _ in files)
        for path, size_bytes in files:
            scanned_bytes += size_bytes
            piece = _read(path, storage, fields, wanted)
            for key, value in zip(keys, values, strict=True):
                constant = pa.nulls(len(piece), key.type) if value is None else pa.repeat(pa.scalar(value), len(piece))
                piece = piece.append_column(key, constant.cast(key.type))
            pieces.append(piece)
    return pa.concat_tables(pieces) if pieces else schema.empty_table(), scanned_bytes


def arrow_type(hive_type: str) -> pa.DataType:
    """Return the Arrow type of a type as Glue writes it (`decimal(10,2)`, `array<string>`).

    Raises:
        ExecutionFailedError: the type is not one that is read here.
    """
    text = hive_type.strip().lower()
    if text in _SIMPLE_TYPES:
        return _SIMPLE_TYPES[text]
    if match := re.fullmatch(r"decimal\((\d+)\s*,\s*(\d+)\)", text):
        return pa.decimal128(int(match[1]), int(match[2]))
    if re.fullmatch(r"(var)?char\(\d+\)", text):
        return pa.string()
    if match := re.fullmatch(r"array<(.*)>", text):
        return pa.list_(arrow_type(match[1]))
    if match := re.fullmatch(r"map<([^,]*),(.*)>", text):
        return pa.map_(arrow_type(match[1]), arrow_type(match[2]))
    raise ExecutionFailedError("NOT_SUPPORTED", f"the laptop's Athena does not read columns of the type {hive_type}")


def hive_type(arrow: pa.DataType) -> str:
    """Return how Glue writes an Arrow type.

    Raises:
        ExecutionFailedError: there is no such type in Hive.
    """
    if pa.types.is_decimal(arrow):
        return f"decimal({arrow.precision},{arrow.scale})"
    if pa.types.is_timestamp(arrow):
        return "timestamp"
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return f"array<{hive_type(arrow.value_type)}>"
    if pa.types.is_struct(arrow):
        return f"struct<{','.join(f'{field.name}:{hive_type(field.type)}' for field in arrow.fields)}>"
    if pa.types.is_map(arrow):
        return f"map<{hive_type(arrow.key_type)},{hive_type(arrow.item_type)}>"
    if pa.types.is_large_string(arrow):
        return "string"
    if pa.types.is_null(arrow):
        raise ExecutionFailedError("NOT_SUPPORTED", "Column type is unknown")
    for name, known in _SIMPLE_TYPES.items():
        if known == arrow:
            return name
    raise ExecutionFailedError("NOT_SUPPORTED", f"a column of the type {arrow} cannot be written to a table")


def _locations(
    glue_table: dict[str, Any], keys: list[pa.Field], comparisons: tuple[Comparison, ...]
) -> list[tuple[str, list[str | None]]]:
    if not keys:
        return [(glue_table["StorageDescriptor"]["Location"], [])]
    pages = (
        client("glue")
        .get_paginator("get_partitions")
        .paginate(DatabaseName=glue_table["DatabaseName"], TableName=glue_table["Name"])
    )
    found: list[tuple[str, list[str | None]]] = []
    for partition in (partition for page in pages for partition in page["Partitions"]):
        values = [None if value == "__HIVE_DEFAULT_PARTITION__" else value for value in partition["Values"]]
        by_name = {key.name.lower(): value for key, value in zip(keys, values, strict=True)}
        if all(_may_match(comparison, by_name) for comparison in comparisons):
            found.append((partition["StorageDescriptor"]["Location"], values))
    return found


def _may_match(comparison: Comparison, values: dict[str, str | None]) -> bool:
    """Whether a partition can hold matching rows; only equality of strings and dates is decided here."""
    if comparison.column not in values or comparison.operator not in ("=", "in"):
        return True
    if any(literal.kind not in ("string", "date") for literal in comparison.values):
        return True
    return values[comparison.column] in {literal.text for literal in comparison.values}


def _files(location: str) -> list[tuple[str, int]]:
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    entries = [entry for page in pages for entry in page.get("Contents", [])]
    # As Hive has it: names that begin with a dot or an underscore are not data.
    return [
        (f"{bucket}/{entry['Key']}", entry["Size"])
        for entry in entries
        if entry["Size"] and not entry["Key"].rsplit("/", 1)[-1].startswith((".", "_"))
    ]


def _read(path: str, storage: dict[str, Any], fields: list[pa.Field], wanted: list[pa.Field]) -> pa.Table:
    serde = storage.get("SerdeInfo", {})
    library = serde.get("SerializationLibrary", "")
    if "parquet" in library.lower():
        return _read_parquet(path, wanted)
    if library.endswith(("LazySimpleSerDe", "OpenCSVSerde")):
        parameters = {**storage.get("Parameters", {}), **serde.get("Parameters", {})}
        return _read_csv(path, parameters, fields, wanted, is_quoted=library.endswith("OpenCSVSerde"))
    raise ExecutionFailedError(
        "NOT_SUPPORTED", f"the laptop's Athena reads Parquet and CSV, not {library or 'this table'}"
    )


def _read_parquet(path: str, wanted: list[pa.Field]) -> pa.Table:
    source = pq.ParquetFile(arrow_filesystem().open_input_file(path))
    present = {name.lower(): name for name in source.schema_arrow.names}
    rows = source.read([present[field.name.lower()] for field in wanted if field.name.lower() in present])
    count = source.metadata.num_rows
    columns = [
        rows[present[field.name.lower()]].cast(field.type)
        if field.name.lower() in present
        else pa.nulls(count, field.type)
        for field in wanted
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(wanted))


def _read_csv(
    path: str, parameters: dict[str, str], fields: list[pa.Field], wanted: list[pa.Field], *, is_quoted: bool
) -> pa.Table:
    delimiter = parameters.get("separatorChar" if is_quoted else "field.delim") or ("," if is_quoted else "\x01")
    texts = pa.schema([pa.field(field.name, pa.string()) for field in fields])
    layout = ds.CsvFileFormat(
        parse_options=pc_csv.ParseOptions(
            delimiter=delimiter,
            quote_char=parameters.get("quoteChar", '"') if is_quoted else False,
            newlines_in_values=True,
        ),
        read_options=pc_csv.ReadOptions(
            column_names=texts.names, skip_rows=int(parameters.get("skip.header.line.count", "0"))
        ),
        convert_options=pc_csv.ConvertOptions(
            column_types=texts, null_values=[] if is_quoted else ["\\N"], strings_can_be_null=not is_quoted
        ),
    )
    rows = ds.dataset(path, schema=texts, format=layout, filesystem=arrow_filesystem()).to_table(
        columns=[field.name for field in wanted]
    )
    columns = [_from_text(rows[field.name], field.type) for field in wanted]
    return pa.Table.from_arrays(columns, schema=pa.schema(wanted))


def _from_text(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_string(wanted):
        return column
    # Hive reads what it cannot convert as NULL; an empty cell is the case that matters.
    return pa.chunked_array([[text or None for text in column.to_pylist()]], pa.string()).cast(wanted)
