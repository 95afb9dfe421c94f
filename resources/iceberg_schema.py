"""A dataset's table in Iceberg's terms: schema, partition spec and properties; and how one in the catalog differs.

pyiceberg is imported inside the functions: a process that touches no table does not pay for it.
"""

from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.contracts.model import Dataset, PartitionField
from pipelines.contracts.schema import (
    BATCH_ID,
    INGESTED_AT,
    RESCUED,
    SOURCE_FILE,
    SOURCE_LINE,
    SOURCE_VERSION,
    table_schema,
)
from pipelines.publication.staging import DEFAULT_FILE_BYTES

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.types import PrimitiveType

__all__ = ["differences", "partition_spec", "schema", "table_properties"]

_SNAPSHOT_DAYS = 5
_COMMENTS = {
    SOURCE_FILE: "The key of the object the row came from.",
    SOURCE_VERSION: "The version id of that object.",
    SOURCE_LINE: "The line of the file the record starts at, from 1.",
    BATCH_ID: "The batch that published the row.",
    INGESTED_AT: "When the batch was read, UTC.",
    RESCUED: "What the contract had no place for, as JSON.",
}


def schema(dataset: Dataset) -> "Schema":
    """The Iceberg schema of a new table: ids from 1 in table order, comments from the contract."""
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    fields: list[NestedField] = []
    for position, field in enumerate(table_schema(dataset), start=1):
        column = dataset.columns.get(field.name)
        comment = column.description if column else _COMMENTS.get(field.name)
        fields.append(
            NestedField(position, field.name, iceberg_type(field.type), required=not field.nullable, doc=comment)
        )
    return Schema(*fields)


def iceberg_type(arrow: pa.DataType) -> "PrimitiveType":
    """The Iceberg type of one of the contract's Arrow types."""
    from pyiceberg import types

    if pa.types.is_decimal128(arrow):
        return types.DecimalType(arrow.precision, arrow.scale)
    simple: dict[pa.DataType, PrimitiveType] = {
        pa.string(): types.StringType(),
        pa.bool_(): types.BooleanType(),
        pa.int32(): types.IntegerType(),
        pa.int64(): types.LongType(),
        pa.float32(): types.FloatType(),
        pa.float64(): types.DoubleType(),
        pa.date32(): types.DateType(),
        pa.timestamp("us", "UTC"): types.TimestamptzType(),
    }
    return simple[arrow]


def partition_spec(dataset: Dataset, table: "Schema") -> "PartitionSpec":
    """The Iceberg partition spec of a new table."""
    from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionSpec
    from pyiceberg.partitioning import PartitionField as IcebergField
    from pyiceberg.transforms import parse_transform

    return PartitionSpec(
        *(
            IcebergField(
                source_id=table.find_field(field.column).field_id,
                field_id=PARTITION_FIELD_ID_START + position,
                transform=parse_transform(_transform(field)),
                name=field.name,
            )
            for position, field in enumerate(dataset.partition_by)
        )
    )


def table_properties(dataset: Dataset) -> dict[str, str]:
    """The properties a new table gets."""
    full = "write.metadata.metrics.column"
    return {
        "format-version": "2",
        "comment": dataset.description,
        "lakegate.dataset": dataset.name,
        "write.format.default": "parquet",
        "write.parquet.compression-codec": "zstd",
        "write.parquet.compression-level": "3",
        "write.target-file-size-bytes": str(DEFAULT_FILE_BYTES),
        # Whole bounds of the sources tell which data files may hold a version; 16 characters are all `landing/` and name.
        f"{full}.{SOURCE_FILE}": "full",
        f"{full}.{SOURCE_VERSION}": "full",
        # Planning again after a conflict is ours: a blind retry would publish rows that were superseded meanwhile.
        "commit.retry.num-retries": "0",
        "commit.manifest-merge.enabled": "true",
        # A replacement looks through every manifest: a few larger ones are read faster than a hundred small ones.
        "commit.manifest.min-count-to-merge": "20",
        "write.metadata.previous-versions-max": "100",
        # A batch is recognised by its snapshot; none may expire while a worker can still come back for it. Nor may they pile
        # up: each commit reads and writes them all (0.2 ms of CPU a snapshot).
        "history.expire.max-snapshot-age-ms": str(_SNAPSHOT_DAYS * 86_400_000),
        "history.expire.min-snapshots-to-keep": "100",
    }


def differences(dataset: Dataset, there: "Schema", there_spec: "PartitionSpec") -> list[str]:
    """Every way in which the table in the catalog cannot hold what the contract describes, in words."""
    wanted = schema(dataset)
    found = {field.name: field for field in there.fields}
    faults: list[str] = []
    for field in wanted.fields:
        other = found.pop(field.name, None)
        if other is None:
            faults.append(f"column {field.name} ({field.field_type}) is in the contract, not in the table")
            continue
        if other.field_type != field.field_type:
            faults.append(f"column {field.name} is {field.field_type} in the contract, {other.field_type} in the table")
        if other.required and not field.required:
            faults.append(f"column {field.name} may be null in the contract, but not in the table")
    faults += [
        f"column {name} ({field.field_type}) is in the table, not in the contract" for name, field in found.items()
    ]
    mine = [f"{_transform(field)}({field.column})" for field in dataset.partition_by]
    theirs = [f"{field.transform}({there.find_column_name(field.source_id)})" for field in there_spec.fields]
    if mine != theirs:
        faults.append(
            f"partitioned by {', '.join(mine) or 'nothing'} in the contract, by {', '.join(theirs) or 'nothing'} in the table"
        )
    return faults


def _transform(field: PartitionField) -> str:
    return f"bucket[{field.buckets}]" if field.transform == "bucket" else field.transform
