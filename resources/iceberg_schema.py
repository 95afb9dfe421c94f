"""A dataset's table in Iceberg's terms: schema, partition spec and properties; and how one in the catalog differs.

pyiceberg is imported inside the functions: a process that touches no table does not pay for it.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.contracts.evolution import SOURCE_NAME
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
from pipelines.formats import TABLE_FORMAT, TABLE_FORMAT_PROPERTY
from pipelines.publication.parquet_writer import FIELD_ID
from pipelines.publication.staging import DEFAULT_FILE_BYTES

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.types import IcebergType, PrimitiveType

__all__ = [
    "SOURCE_PROPERTY",
    "arrow_schema",
    "comments",
    "field_ids",
    "iceberg_type",
    "partition_difference",
    "partition_spec",
    "schema",
    "source_properties",
    "table_properties",
]

SOURCE_PROPERTY = "lakegate.source."
"""Begins the table property that holds the name a column has in files, where it is another: `lakegate.source.<column>`."""

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

    arrow = table_schema(dataset)
    ids = count(len(arrow) + 1)
    fields: list[NestedField] = []
    for position, field in enumerate(arrow, start=1):
        column = dataset.columns.get(field.name)
        comment = _comment(column.description if column else _COMMENTS.get(field.name))
        fields.append(
            NestedField(position, field.name, iceberg_type(field.type, ids), required=not field.nullable, doc=comment)
        )
    return Schema(*fields)


def _comment(text: str | None) -> str | None:
    """A description as Glue takes it: one line of at most 255 bytes (AWS Glue API, "Column")."""
    if text is None:
        return None
    line = " ".join(text.split())
    return line if len(line.encode()) <= 255 else line.encode()[:252].decode("utf-8", "ignore") + "…"


def field_ids(table: "Schema") -> dict[str, int]:
    """The field ids of a table's schema by path (`labels.element.color`)."""
    return {str(table.find_column_name(number)): number for number in table.field_ids}


def iceberg_type(arrow: pa.DataType, ids: Iterator[int]) -> "IcebergType":
    """The Iceberg type of one of the contract's Arrow types; the fields inside a nested one take their ids from `ids`."""
    from pyiceberg import types

    if pa.types.is_struct(arrow):
        numbers = [next(ids) for _ in arrow.fields]
        return types.StructType(
            *(
                types.NestedField(number, field.name, iceberg_type(field.type, ids), required=False)
                for number, field in zip(numbers, arrow.fields, strict=True)
            )
        )
    if pa.types.is_map(arrow):
        key, value = next(ids), next(ids)
        return types.MapType(key, types.StringType(), value, iceberg_type(arrow.item_type, ids), value_required=False)
    if pa.types.is_list(arrow):
        return types.ListType(next(ids), iceberg_type(arrow.value_type, ids), element_required=False)
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
        TABLE_FORMAT_PROPERTY: str(TABLE_FORMAT),
        **source_properties(dataset, dataset.columns),
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


def source_properties(dataset: Dataset, names: Iterable[str]) -> dict[str, str]:
    """The properties that keep what files call these columns, where it is another name."""
    sources = ((name, dataset.columns[name].source) for name in names if name in dataset.columns)
    return {f"{SOURCE_PROPERTY}{name}": source for name, source in sources if source is not None}


def arrow_schema(table: "Table") -> pa.Schema:
    """The table's columns in Arrow's terms, each with its field id, and its name in files where that is another."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    fields: list[pa.Field] = []
    for field in schema_to_pyarrow(table.schema(), metadata={}):
        source = table.properties.get(f"{SOURCE_PROPERTY}{field.name}")
        named = {} if source is None else {SOURCE_NAME: source.encode()}
        fields.append(_small(field).with_metadata({FIELD_ID: (field.metadata or {})[FIELD_ID], **named}))
    return pa.schema(fields)


def _small(field: pa.Field) -> pa.Field:
    """The field with the contract's types of strings and lists in place of PyIceberg's large ones."""
    kind = field.type
    if pa.types.is_large_string(kind):
        return field.with_type(pa.string())
    if pa.types.is_struct(kind):
        return field.with_type(pa.struct([_small(inner) for inner in kind.fields]))
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return field.with_type(pa.list_(_small(kind.value_field)))
    if pa.types.is_map(kind):
        return field.with_type(pa.map_(_small(kind.key_field), _small(kind.item_field)))
    return field


def comments(dataset: Dataset, table: "Schema", renamed: Mapping[str, str]) -> dict[str, str]:
    """The comments of the contract that the table's columns do not have yet; `renamed` maps new names to the table's."""
    found = {field.name: field.doc for field in table.fields}
    wanted = ((field.name, field.doc) for field in schema(dataset).fields)
    return {name: doc for name, doc in wanted if doc and doc != found.get(renamed.get(name, name))}


def partition_difference(
    dataset: Dataset, there: "Schema", there_spec: "PartitionSpec", renamed: Mapping[str, str]
) -> str | None:
    """How the table's partitions differ from the contract's, in words; `renamed` maps the table's column names to new ones."""
    mine = [f"{_transform(field)}({field.column})" for field in dataset.partition_by]
    names = [str(there.find_column_name(field.source_id)) for field in there_spec.fields]
    theirs = [f"{f.transform}({renamed.get(n, n)})" for f, n in zip(there_spec.fields, names, strict=True)]
    if mine == theirs:
        return None
    return f"partitioned by {', '.join(mine) or 'nothing'} in the contract, by {', '.join(theirs) or 'nothing'} in the table"


def _transform(field: PartitionField) -> str:
    return f"bucket[{field.buckets}]" if field.transform == "bucket" else field.transform
