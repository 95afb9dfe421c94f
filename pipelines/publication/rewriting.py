"""Taking the rows of some sources out of a Parquet data file, streamed; and counting whose rows are in one.

Used for staged files (a version superseded before it was published) and for files of the table (a version replaced).
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.contracts.schema import SOURCE_FILE, SOURCE_VERSION
from pipelines.ports import SourceVersion
from pipelines.publication.parquet_writer import (
    DICTIONARY_COLUMNS,
    FIELD_ID,
    DataFileWriter,
    choose_encodings,
    with_dictionaries,
)
from pipelines.publication.staged import StagedFile

__all__ = ["CopiedFile", "all_rows", "copy_without", "count_sources", "open_parquet", "rewrite_without", "rows_of"]

_READ_ROWS = 1 << 16
_GROUP_BYTES = 32 << 20
_PIECE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """What came of `copy_without`; `size_bytes` is 0 and there is no file when no row was left."""

    rows: int
    rows_removed: int
    size_bytes: int
    rows_by_source: Mapping[str, int]
    nulls: Mapping[str, int]


def open_parquet(source: "str | Path | pa.NativeFile") -> pq.ParquetFile:
    """Open a data file so that provenance columns come as dictionaries."""
    return pq.ParquetFile(source, read_dictionary=list(DICTIONARY_COLUMNS), memory_map=False)


def count_sources(parquet: pq.ParquetFile) -> dict[SourceVersion, int]:
    """How many rows each source version has in the file, in whatever order they stand; reads two dictionary columns."""
    counts: Counter[SourceVersion] = Counter()
    for batch in parquet.iter_batches(batch_size=1 << 18, columns=[SOURCE_FILE, SOURCE_VERSION]):
        for source, rows in _rows_by_source(batch):
            counts[source] += len(rows)
    return dict(counts)


def copy_without(
    parquet: pq.ParquetFile, removes: Collection[SourceVersion], path: Path, schema: pa.Schema
) -> CopiedFile:
    """Write the file's other rows to `path`, in their order, under `schema` (`file_schema`); memory is bounded.

    Columns are found by field id, as Iceberg does: one that the file lacks is null, one that was widened is cast.
    """
    columns = _columns_by_id(parquet.schema_arrow, schema)
    writer: DataFileWriter | None = None
    counts: Counter[str] = Counter()
    removed = 0
    try:
        for group in _groups(parquet):
            kept: list[pa.RecordBatch] = []
            for batch in group:
                mask, dropped = _keep_mask(batch, removes, counts)
                removed += dropped
                kept.append(batch if dropped == 0 else batch.filter(mask))
            table = _project(pa.Table.from_batches(kept), columns, schema)
            if table.num_rows == 0:
                continue
            if writer is None:
                writer = DataFileWriter(path, schema, choose_encodings(table))
            writer.write(table)
    except BaseException:
        if writer is not None:
            writer.abandon()
        raise
    if writer is None:
        return CopiedFile(0, removed, 0, {}, {})
    return CopiedFile(writer.rows, removed, writer.close(), dict(counts), writer.nulls)


def rows_of(
    parquet: pq.ParquetFile, sources: Collection[SourceVersion], schema: pa.Schema
) -> Iterator[tuple[SourceVersion, pa.Table]]:
    """The rows of some versions in the file, streamed, under `schema` as `copy_without` has them; a version in pieces."""
    columns = _columns_by_id(parquet.schema_arrow, schema)
    groups = _groups_with(parquet, {source.key for source in sources})
    for batch in parquet.iter_batches(batch_size=_READ_ROWS, row_groups=groups):
        for source, rows in _rows_by_source(batch):
            if source in sources:
                yield source, _project(pa.Table.from_batches([batch.take(pa.array(rows))]), columns, schema)


def all_rows(parquet: pq.ParquetFile, schema: pa.Schema) -> Iterator[pa.Table]:
    """Every row of the file in its order, in pieces, under `schema` as `copy_without` has them."""
    columns = _columns_by_id(parquet.schema_arrow, schema)
    groups = [parquet.metadata.row_group(n) for n in range(parquet.metadata.num_row_groups)]
    widest = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
    for batch in parquet.iter_batches(batch_size=max(1, min(_READ_ROWS, _PIECE_BYTES // max(widest, 1)))):
        yield _project(pa.Table.from_batches([batch]), columns, schema)


def rewrite_without(staged: Sequence[StagedFile], versions: Collection[SourceVersion]) -> tuple[StagedFile, ...]:
    """The staged files without the rows of these versions; files that hold none of them are the same as before.

    A rewritten file has a name of its own, derived from the versions taken out: the one before may be uploaded already.
    """
    ids = {v.version_id for v in versions}
    result: list[StagedFile] = []
    for file in staged:
        if ids.isdisjoint(file.rows_by_source):
            result.append(file)
            continue
        digest = sha256("\0".join(sorted(f"{v.key}\0{v.version_id}" for v in versions)).encode()).hexdigest()[:12]
        name = f"{file.name.removesuffix('.parquet')}-{digest}.parquet"
        path = file.path.with_name(name)
        with open_parquet(file.path) as parquet:
            copied = copy_without(parquet, versions, path, _schema_of(parquet))
        if copied.rows:
            folder = file.relative_key.rpartition("/")[0]
            result.append(
                replace(
                    file,
                    path=path,
                    name=name,
                    relative_key=f"{folder}/{name}" if folder else name,
                    rows=copied.rows,
                    size_bytes=copied.size_bytes,
                    rows_by_source=copied.rows_by_source,
                    nulls=copied.nulls,
                )
            )
    return tuple(result)


def _groups_with(parquet: pq.ParquetFile, keys: Collection[str]) -> list[int]:
    """The row groups whose statistics do not rule out every one of these keys."""
    metadata = parquet.metadata
    paths = [metadata.schema.column(n).path for n in range(metadata.num_columns)]
    column = paths.index(SOURCE_FILE)
    found: list[int] = []
    for group in range(metadata.num_row_groups):
        said = metadata.row_group(group).column(column).statistics
        if said is None or not said.has_min_max or any(str(said.min) <= key <= str(said.max) for key in keys):
            found.append(group)
    return found


def _schema_of(parquet: pq.ParquetFile) -> pa.Schema:
    """The file's own schema, as `file_schema` would give it."""
    return pa.schema(
        [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in parquet.schema_arrow]
    )


def _groups(parquet: pq.ParquetFile) -> Iterator[list[pa.RecordBatch]]:
    """The rows in pieces that make a row group each: about 32 MiB of Arrow data."""
    group: list[pa.RecordBatch] = []
    size = 0
    for batch in parquet.iter_batches(batch_size=_READ_ROWS):
        group.append(batch)
        size += batch.nbytes
        if size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _rows_by_source(batch: pa.RecordBatch) -> Iterator[tuple[SourceVersion, "np.ndarray[Any, np.dtype[np.int64]]"]]:
    """Each source of the batch with the positions of its rows, in their order; rows of sources may stand among each other."""
    if batch.num_rows == 0:
        return
    keys, versions = batch.column(SOURCE_FILE), batch.column(SOURCE_VERSION)
    key_codes = keys.indices.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    version_codes = versions.indices.to_numpy(zero_copy_only=False)
    pairs = key_codes * len(versions.dictionary) + version_codes
    order = np.argsort(pairs, kind="stable")
    starts = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    for start, end in zip(starts, [*starts[1:], batch.num_rows], strict=True):
        first = int(order[start])
        source = SourceVersion(
            keys.dictionary[int(key_codes[first])].as_py(), versions.dictionary[int(version_codes[first])].as_py()
        )
        yield source, order[start:end]


def _keep_mask(
    batch: pa.RecordBatch, removes: Collection[SourceVersion], counts: "Counter[str]"
) -> tuple[pa.BooleanArray, int]:
    """Which rows stay, and how many do not; counts those that stay by version."""
    keep: np.ndarray[Any, Any] = np.ones(batch.num_rows, dtype=bool)
    dropped = 0
    for source, rows in _rows_by_source(batch):
        if source in removes:
            keep[rows] = False
            dropped += len(rows)
        else:
            counts[source.version_id] += len(rows)
    return pa.array(keep), dropped


def _columns_by_id(read: pa.Schema, wanted: pa.Schema) -> list[str | None]:
    """For each wanted field the name the file has for its id, None where it has none."""
    names = {(field.metadata or {}).get(FIELD_ID): field.name for field in read}
    return [names.get((field.metadata or {})[FIELD_ID]) for field in wanted]


def _project(table: pa.Table, columns: Sequence[str | None], schema: pa.Schema) -> pa.Table:
    written = with_dictionaries(schema)
    arrays: list[pa.ChunkedArray] = []
    for name, field in zip(columns, written, strict=True):
        if name is None:
            arrays.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
            continue
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            # One dictionary for the row group: the writer falls back to plain strings where it changes midway.
            column = column.unify_dictionaries().combine_chunks()
            column = pa.chunked_array([column]) if isinstance(column, pa.Array) else column
        arrays.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=written)
