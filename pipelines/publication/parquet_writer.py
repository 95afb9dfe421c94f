"""One Parquet data file: its schema with field ids, its encodings, and the writer that appends row groups to it.

Every Parquet file of a table is written here, fresh or rewritten, so that all have the same layout: ZSTD, statistics,
field ids as in the catalog (Iceberg finds columns by id, never by name), decimals as the Iceberg spec stores them,
provenance columns as dictionaries.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import BATCH_ID, SOURCE_FILE, SOURCE_LINE, SOURCE_VERSION, table_schema
from pipelines.errors import TableMismatchError

__all__ = ["DICTIONARY_COLUMNS", "FIELD_ID", "DataFileWriter", "choose_encodings", "field_ids", "file_schema"]

FIELD_ID = b"PARQUET:field_id"
"""The Arrow field metadata under which pyarrow keeps a Parquet field id."""

DICTIONARY_COLUMNS = (SOURCE_FILE, SOURCE_VERSION, BATCH_ID)
"""Provenance columns with few values: dictionaries in memory too, or a long key would be copied for every row."""

ROW_GROUP_ROWS = 1 << 20
COMPRESSION_LEVEL = 3
# Of the first rows of a column, the share of distinct values from which a dictionary costs more than it saves: it would
# be built, overflow, and be thrown away in each row group.
_DISTINCT_SHARE = 0.5
_SAMPLE_ROWS = 20_000


def file_schema(dataset: Dataset, ids: Mapping[str, int] | None = None) -> pa.Schema:
    """The schema of the dataset's data files: `table_schema` with a Parquet field id on every field.

    `ids` are the catalog's, by column name; without them the ids are 1, 2, …, which is what a new table gets.
    Raises TableMismatchError when `ids` lacks a column.
    """
    schema = table_schema(dataset)
    if ids is not None and (lacking := [name for name in schema.names if name not in ids]):
        raise TableMismatchError(
            f"the table {dataset.table} has no column {lacking[0]}: it is older than the contract, or was made anew. Run the dataset again."
        )
    return pa.schema(
        [
            field.with_metadata({FIELD_ID: str(ids[field.name] if ids else position)})
            for position, field in enumerate(schema, start=1)
        ]
    )


def field_ids(schema: pa.Schema) -> dict[str, int]:
    """The field ids of a schema by column name. Raises ValueError when a field has none."""
    ids: dict[str, int] = {}
    for field in schema:
        text = (field.metadata or {}).get(FIELD_ID)
        if text is None:
            raise ValueError(f"the column {field.name} has no field id")
        ids[field.name] = int(text)
    return ids


def with_dictionaries(schema: pa.Schema) -> pa.Schema:
    """The schema as the writer takes it: provenance columns as dictionaries of strings."""
    return pa.schema(
        [
            field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.name in DICTIONARY_COLUMNS else field
            for field in schema
        ]
    )


def choose_encodings(table: pa.Table) -> Mapping[str, str]:
    """The columns that are better not dictionary encoded, and the encoding of each, judged by the first rows.

    Only encodings that Athena's engine, Spark, DuckDB, Polars and pyarrow all read.
    """
    encodings = {SOURCE_LINE: "DELTA_BINARY_PACKED"}
    sample = table.slice(0, _SAMPLE_ROWS)
    if sample.num_rows < 1_000:
        return encodings
    for name in table.column_names:
        column = sample.column(name)
        if name in DICTIONARY_COLUMNS or name in encodings or pa.types.is_boolean(column.type):
            continue
        present = sample.num_rows - column.null_count
        if present and len(column.combine_chunks().dictionary_encode().dictionary) > _DISTINCT_SHARE * present:
            encodings[name] = "DELTA_BINARY_PACKED" if _delta_packable(column.type) else "PLAIN"
    return encodings


def _delta_packable(arrow: pa.DataType) -> bool:
    types = pa.types
    return types.is_integer(arrow) or types.is_date32(arrow) or types.is_timestamp(arrow)


class DataFileWriter:
    """Appends row groups to one new Parquet file. `schema` carries field ids (`file_schema`).

    `encodings` come from `choose_encodings`; every other column is dictionary encoded where that pays.
    """

    def __init__(self, path: Path, schema: pa.Schema, encodings: Mapping[str, str]) -> None:
        self.path = path
        self.rows = 0
        self._schema = with_dictionaries(schema)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            version="2.6",
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=cast(Any, [f.name for f in schema if f.name not in encodings and f.type != pa.bool_()]),
            column_encoding={name: encoding for name, encoding in encodings.items() if name in schema.names},
            write_statistics=True,
            # The Arrow schema in the footer would bring the dictionaries back on reading; Parquet's own says enough.
            store_schema=False,
            # Iceberg spec, appendix A, Parquet: decimals of precision up to 9 are int32, up to 18 int64.
            store_decimal_as_integer=True,
        )

    @property
    def bytes_written(self) -> int:
        """Bytes in the file so far, its footer not counted."""
        return self._file.tell()

    def write(self, table: pa.Table) -> None:
        """Append the rows as one row group, or several where they are more than a million."""
        self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self.rows += table.num_rows

    def close(self) -> int:
        """Write the footer; return the file's size in bytes."""
        self._writer.close()
        self._file.close()
        return self.path.stat().st_size

    def abandon(self) -> None:
        """Close without caring and delete the file."""
        self._writer.close()
        self._file.close()
        self.path.unlink(missing_ok=True)


def dictionary_array(indices: Any, values: Sequence[str]) -> pa.DictionaryArray:
    """A dictionary column from int32 positions and distinct values."""
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(values, pa.string()))
