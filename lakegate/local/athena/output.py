"""Writes what a query leaves in S3: its result file, or the Parquet files of a CTAS or an UNLOAD with their manifest."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError

from lakegate.local.athena.authorization import require_catalog, require_write
from lakegate.local.athena.engine import QueryRows
from lakegate.local.athena.failures import ExecutionFailedError
from lakegate.local.athena.hive_files import hive_type
from lakegate.local.athena.results import metadata_file, rendered_rows, to_csv
from lakegate.local.athena.translation import Output
from resources.environment import client

_PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
_PARQUET_INPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
_PARQUET_OUTPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class Written:
    """Where the result is, and the manifest that lists its files, if it has one."""

    location: str
    manifest: str | None


def write_result(execution_id: str, folder: str, result: QueryRows) -> Written:
    """Write `<folder>/<id>.csv` and its `.metadata`."""
    location = f"{folder}/{execution_id}.csv"
    put(location, to_csv(result.columns, rendered_rows(result.columns, result.rows)))
    put(f"{location}.metadata", metadata_file(result.columns))
    return Written(location, None)


def write_text(execution_id: str, folder: str, lines: list[list[str]]) -> Written:
    """Write `<folder>/<id>.txt`, the cells of a line between tabs, as Athena does for SHOW and DESCRIBE."""
    location = f"{folder}/{execution_id}.txt"
    put(location, ("\n".join("\t".join(cells) for cells in lines) + "\n").encode())
    put(f"{location}.metadata", b"")
    return Written(location, None)


def write_parquet(execution_id: str, folder: str, output: Output, result: QueryRows) -> Written:
    """Write the rows as Parquet files and their manifest; for a CTAS make the table, too.

    Raises:
        ExecutionFailedError: the place is not empty, the table exists, or a column cannot be stored.
    """
    base = folder if output.table is None else f"{folder}/tables"
    target = (output.location or f"{base}/{execution_id}").rstrip("/")
    if output.table is not None:
        require_catalog("glue:CreateTable", *output.table)
    if _is_taken(target):
        raise ExecutionFailedError("HIVE_PATH_ALREADY_EXISTS", f"Target directory for table already exists: {target}")
    # Before anything is written: a type that Hive does not have, and a column without a type.
    types = {
        column.name: hive_type(field.type) for column, field in zip(result.columns, result.rows.schema, strict=True)
    }
    if len(types) != len(result.columns):
        raise ExecutionFailedError("DUPLICATE_COLUMN_NAME", "the query has two columns of the same name")
    missing = [name for name in output.partitioned_by if name not in types]
    if missing:
        raise ExecutionFailedError(
            "SYNTAX_ERROR", f"Partition columns are not columns of the query: {', '.join(missing)}"
        )
    paths: list[str] = []
    partitions: list[list[str]] = []
    for number, (values, rows) in enumerate(_partitions(result.rows, output.partitioned_by)):
        path = "/".join([target, *values, f"{execution_id}_{number:05}"])
        put(path, _parquet(rows, output.compression))
        paths.append(path)
        partitions.append(values)
    if output.table is not None:
        _create_table(output, target, types, partitions)
    manifest = f"{base}/{execution_id}-manifest.csv"
    put(manifest, "".join(f"{path}\n" for path in paths).encode())
    put(f"{base}/{execution_id}.metadata", metadata_file(result.columns))
    return Written(target, manifest)


def put(location: str, body: bytes) -> None:
    """Write one object, given as `s3://bucket/key`.

    Raises:
        ExecutionFailedError: the caller may not write there.
    """
    require_write(location)
    bucket, _, key = location.removeprefix("s3://").partition("/")
    client("s3").put_object(Bucket=bucket, Key=key, Body=body)


def fetch(location: str) -> bytes:
    """Read one object, given as `s3://bucket/key`."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def _is_taken(location: str) -> bool:
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    return bool(client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/", MaxKeys=1).get("KeyCount"))


def _parquet(rows: pa.Table, compression: str) -> bytes:
    stream = io.BytesIO()
    pq.write_table(rows, stream, compression=compression.lower())
    return stream.getvalue()


def _partitions(rows: pa.Table, columns: tuple[str, ...]) -> list[tuple[list[str], pa.Table]]:
    """Split the rows by the partition columns; each part with its folders, `column=value`."""
    if not columns:
        return [([], rows)]
    parts: list[tuple[list[str], pa.Table]] = []
    data = rows.drop_columns(list(columns))
    keys = list(zip(*(rows[column].to_pylist() for column in columns), strict=True))
    for key in dict.fromkeys(keys):
        folders = [f"{name}={_NO_VALUE if value is None else value}" for name, value in zip(columns, key, strict=True)]
        parts.append((folders, data.filter(pa.array([other == key for other in keys]))))
    return parts


def _create_table(output: Output, target: str, types: dict[str, str], partitions: list[list[str]]) -> None:
    if output.table is None:
        return
    database, name = output.table
    glue = client("glue")
    storage = {
        "InputFormat": _PARQUET_INPUT,
        "OutputFormat": _PARQUET_OUTPUT,
        "SerdeInfo": {"SerializationLibrary": _PARQUET_SERDE, "Parameters": {"serialization.format": "1"}},
    }
    columns = [{"Name": column, "Type": types[column]} for column in types if column not in output.partitioned_by]
    keys = [{"Name": column, "Type": types[column]} for column in output.partitioned_by]
    try:
        glue.create_table(
            DatabaseName=database,
            TableInput={
                "Name": name.lower(),
                "TableType": "EXTERNAL_TABLE",
                "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
                "StorageDescriptor": {**storage, "Columns": columns, "Location": target},
                "PartitionKeys": keys,
            },
        )
        for folders in partitions if keys else []:
            values = [folder.split("=", 1)[1] for folder in folders]
            location = "/".join([target, *folders])
            glue.create_partition(
                DatabaseName=database,
                TableName=name.lower(),
                PartitionInput={
                    "Values": values,
                    "StorageDescriptor": {**storage, "Columns": columns, "Location": location},
                },
            )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "AlreadyExistsException":
            raise ExecutionFailedError(
                "TABLE_ALREADY_EXISTS", f"Destination table '{database}.{name}' already exists"
            ) from error
        raise ExecutionFailedError(
            "GENERIC_USER_ERROR", f"Glue refused the table {database}.{name}: {error}"
        ) from error
