"""One Parquet data file: its schema with field ids, its encodings, and the writer that appends row groups to it.

Every Parquet file of a table is written here, fresh or rewritten, so that all have the same layout: ZSTD, statistics,
field ids as in the catalog (Iceberg finds columns by id, never by name), decimals as the Iceberg spec stores them,
provenance columns as dictionaries.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import BATCH_ID, SOURCE_FILE, SOURCE_LINE, SOURCE_VERSION, table_schema
from pipelines.errors import TableMismatchError

__all__ = [
    "DICTIONARY_COLUMNS",
    "FIELD_ID",
    "DataFileWriter",
    "choose_encodings",
    "column_ids",
    "field_ids",
    "file_schema",
    "with_field_ids",
]

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

    `ids` are the catalog's, by path (`labels.element.color`); without them the columns' ids are 1, 2, … in table order, and
    what is inside nested columns is numbered on from there. Raises TableMismatchError when `ids` lacks one.
    """
    schema = table_schema(dataset)
    paths = [*schema.names, *(path for field in schema for path, _ in _inner_fields(field.name, field.type))]
    if ids is None:
        ids = {path: number for number, path in enumerate(paths, start=1)}
    elif lacking := [path for path in paths if path not in ids]:
        raise TableMismatchError(
            f"the table {dataset.table} has no column {lacking[0]}: it is older than the contract, or was made anew. Run the dataset again."
        )
    return pa.schema([with_field_ids(field, ids.__getitem__) for field in schema])


def _inner_fields(path: str, kind: pa.DataType) -> Iterator[tuple[str, pa.Field]]:
    """The fields inside a type with their paths, as Iceberg names them: outer ones before those inside them."""
    for field in _children(kind):
        below = f"{path}.{field.name}"
        yield below, field
        yield from _inner_fields(below, field.type)


def _children(kind: pa.DataType) -> list[pa.Field]:
    if pa.types.is_map(kind):
        return [kind.key_field, kind.item_field]
    if pa.types.is_list(kind):
        return [kind.value_field]
    return list(kind.fields) if pa.types.is_struct(kind) else []


def with_field_ids(field: pa.Field, number: Callable[[str], int], path: str | None = None) -> pa.Field:
    """The field, and every field inside it, with a field id: its own, or the one that `number` gives for its path."""
    path = path or field.name
    inner = [with_field_ids(child, number, f"{path}.{child.name}") for child in _children(field.type)]
    kind = field.type
    if pa.types.is_struct(kind):
        kind = pa.struct(inner)
    elif pa.types.is_list(kind):
        kind = pa.list_(inner[0])
    elif pa.types.is_map(kind):
        kind = pa.map_(inner[0], inner[1])
    said = field.metadata or {}
    return field.with_type(kind).with_metadata({**said, FIELD_ID: said.get(FIELD_ID) or str(number(path)).encode()})


def field_ids(schema: pa.Schema) -> dict[str, int]:
    """The field ids of a schema by path (`labels.element.color`). Raises ValueError when a field has none."""
    return {
        path: _field_id(each, path)
        for field in schema
        for path, each in ((field.name, field), *_inner_fields(field.name, field.type))
    }


def column_ids(schema: pa.Schema) -> dict[str, int]:
    """The field ids of a schema's columns by name. Raises ValueError when one has none."""
    return {field.name: _field_id(field, field.name) for field in schema}


def _field_id(field: pa.Field, path: str) -> int:
    text = (field.metadata or {}).get(FIELD_ID)
    if text is None:
        raise ValueError(f"{path} has no field id")
    return int(text)


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
        if name in DICTIONARY_COLUMNS or name in encodings:
            continue
        for path, leaf in _leaves(name, sample.column(name)):
            if pa.types.is_boolean(leaf.type):
                continue
            present = len(leaf) - leaf.null_count
            if present and len(leaf.combine_chunks().dictionary_encode().dictionary) > _DISTINCT_SHARE * present:
                encodings[path] = "DELTA_BINARY_PACKED" if _delta_packable(leaf.type) else "PLAIN"
    return encodings


def _leaves(path: str, column: pa.ChunkedArray) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """The leaf columns of a column by their paths in Parquet, and their values."""
    kind = column.type
    if not pa.types.is_nested(kind):
        yield path, column
    elif pa.types.is_struct(kind):
        for field, inner in zip(kind.fields, column.flatten(), strict=True):
            yield from _leaves(f"{path}.{field.name}", inner)
    elif pa.types.is_map(kind):
        yield f"{path}.key_value.key", pa.chunked_array([chunk.keys for chunk in column.chunks], kind.key_type)
        items = pa.chunked_array([chunk.items for chunk in column.chunks], kind.item_type)
        yield from _leaves(f"{path}.key_value.value", items)
    else:
        inner = pa.chunked_array([chunk.flatten() for chunk in column.chunks], kind.value_type)
        yield from _leaves(f"{path}.list.element", inner)


def _sorting(schema: pa.Schema, names: Sequence[str]) -> list[pq.SortingColumn] | None:
    """The columns as Parquet counts them: by leaves."""
    empty = schema.empty_table()
    leaves = [leaf for field in schema for leaf, _ in _leaves(field.name, empty.column(field.name))]
    return [pq.SortingColumn(leaves.index(name)) for name in names] or None


def _delta_packable(arrow: pa.DataType) -> bool:
    types = pa.types
    return types.is_integer(arrow) or types.is_date32(arrow) or types.is_timestamp(arrow)


class DataFileWriter:
    """Appends row groups to one new Parquet file. `schema` carries field ids (`file_schema`).

    `encodings` come from `choose_encodings`; every other column is dictionary encoded where that pays. `sorted_by` says in the
    footer by which columns the rows are sorted, nulls last.
    """

    def __init__(
        self, path: Path, schema: pa.Schema, encodings: Mapping[str, str], sorted_by: Sequence[str] = ()
    ) -> None:
        self.path = path
        self.rows = 0
        self.nulls: dict[str, int] = dict.fromkeys(schema.names, 0)
        """Nulls written so far, by column: those of the column itself, not of what is inside a nested one."""
        self._schema = with_dictionaries(schema)
        empty = schema.empty_table()
        # Booleans have neither dictionaries nor another encoding.
        leaves = {
            leaf: None
            for field in schema
            for leaf, values in _leaves(field.name, empty.column(field.name))
            if values.type != pa.bool_()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            version="2.6",
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=cast(Any, [path for path in leaves if path not in encodings]),
            column_encoding={path: encoding for path, encoding in encodings.items() if path in leaves},
            write_statistics=True,
            sorting_columns=_sorting(schema, sorted_by),
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
        for name, column in zip(table.column_names, table.columns, strict=True):
            self.nulls[name] += column.null_count

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
