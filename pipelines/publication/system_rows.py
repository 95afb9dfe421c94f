"""Rows of Lakegate's own tables, from values to staged Parquet files: small, in memory, one file a table partition."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import table_schema
from pipelines.publication.parquet_writer import DICTIONARY_COLUMNS, DataFileWriter, choose_encodings, with_dictionaries
from pipelines.publication.partitioning import Partitioner, partition_mapping, partition_path
from pipelines.publication.staged import StagedFile

__all__ = ["stage_rows"]


def stage_rows(
    dataset: Dataset, schema: pa.Schema, rows: Sequence[Mapping[str, Any]], stem: str, folder: Path
) -> tuple[StagedFile, ...]:
    """Write rows of one of our tables, one file a partition, named `<stem>-<n>.parquet` in `folder`.

    `schema` carries the catalog's field ids (`Tables.file_schema`); each row has every column of `table_schema(dataset)` that may
    not be null, the last ones that every table ends with among them.
    """
    table = pa.Table.from_pylist(list(rows), schema=table_schema(dataset)).combine_chunks()
    partitioner = Partitioner(dataset.partition_by, table.schema)
    staged: list[StagedFile] = []
    for batch in table.to_batches():
        for key, some in partitioner.split(batch):
            staged.append(_write(dataset, schema, pa.table(some), f"{stem}-{len(staged)}.parquet", folder, key))
    return tuple(staged)


def _write(
    dataset: Dataset, schema: pa.Schema, rows: pa.Table, name: str, folder: Path, key: tuple[Any, ...]
) -> StagedFile:
    columns = [
        rows[field.name].combine_chunks().dictionary_encode() if field.name in DICTIONARY_COLUMNS else rows[field.name]
        for field in schema
    ]
    writer = DataFileWriter(folder / name, schema, choose_encodings(rows))
    writer.write(pa.table(columns, schema=with_dictionaries(schema)))
    size = writer.close()
    path = partition_path(dataset.partition_by, key)
    return StagedFile(
        path=folder / name,
        name=name,
        relative_key=f"{path}/{name}" if path else name,
        partition=partition_mapping(dataset.partition_by, key),
        rows=rows.num_rows,
        size_bytes=size,
        rows_by_source={},
        nulls=writer.nulls,
    )
