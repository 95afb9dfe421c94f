"""What `lakegate convert` is measured against, each a process of its own: what a user would write without it.

    python -m benchmarks.contenders NAME FILE OUT       FILE is one of the benchmark's files, OUT a folder or s3://…/

pyarrow          pyarrow.csv or pyarrow.json in blocks -> pyarrow's partitioned dataset writer, with row groups of a sensible size
duckdb           read_csv or read_json with declared types -> COPY, partitioned
duckdb_checked   the same with rejects and the contract's rules (`checked.py`)
polars           a lazy scan with declared types -> partitioned sink
polars_checked   all columns as text, casts that may fail, the contract's rules -> two sinks (`checked.py`)
pandas           pandas in chunks -> DataFrame.to_parquet(partition_cols=…)
awswrangler      pandas in chunks -> awswrangler.s3.to_parquet(dataset=True)

All write ZSTD Parquet, partitioned by the feed's date. Those of other environments are in `peers.py`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from benchmarks.checked import duckdb_checked, polars_checked
from benchmarks.feeds import Feed, feed_of

if TYPE_CHECKING:
    import pandas as pd

_JSON_BLOCK_BYTES = 8 << 20


def pyarrow(source: Path, out: Path) -> None:
    """Typed streaming parse and pyarrow's own dataset writer: the least a conversion in Arrow can do."""
    import pyarrow.dataset as ds

    feed = feed_of(source)
    reader = _csv_reader(feed, source) if source.suffix == ".csv" else _json_reader(feed, source)
    ds.write_dataset(
        reader,
        out,
        format="parquet",
        partitioning=ds.partitioning(pa.schema([reader.schema.field(feed.partition)]), flavor="hive"),
        file_options=ds.ParquetFileFormat().make_write_options(compression="zstd"),
        existing_data_behavior="overwrite_or_ignore",
        # Thirty dates in shuffled order: without this each block makes thirty row groups, and the writer takes twice as long.
        min_rows_per_group=100_000,
        max_rows_per_group=1_000_000,
    )


def _csv_reader(feed: Feed, source: Path) -> pa.RecordBatchReader:
    import pyarrow.csv as pc

    return pc.open_csv(
        source,
        read_options=pc.ReadOptions(encoding=feed.encoding),
        convert_options=pc.ConvertOptions(
            column_types=feed.columns, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
        parse_options=pc.ParseOptions(delimiter=feed.delimiter, newlines_in_values=True),
    )


def _json_reader(feed: Feed, source: Path) -> pa.RecordBatchReader:
    import pyarrow.json as pj

    # pyarrow.json reads no dates and no offsets: they come as text and are cast.
    late = {name for name, kind in feed.columns.items() if pa.types.is_date(kind) or getattr(kind, "tz", None)}
    early = pa.schema([(name, pa.string() if name in late else kind) for name, kind in feed.columns.items()])
    reader = pj.open_json(
        source,
        read_options=pj.ReadOptions(block_size=_JSON_BLOCK_BYTES),
        parse_options=pj.ParseOptions(explicit_schema=early, unexpected_field_behavior="error"),
    )
    return pa.RecordBatchReader.from_batches(feed.schema, (batch.cast(feed.schema) for batch in reader))


def duckdb(source: Path, out: Path) -> None:
    """DuckDB's reader with declared types, and its partitioned COPY."""
    import duckdb as db

    feed = feed_of(source)
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in feed.sql_types.items())
    if source.suffix == ".csv":
        rows = (
            f"read_csv('{source}', header=true, columns={{{columns}}}, quote='\"', escape='\"', delim='{feed.delimiter}',"
            f" encoding='{feed.encoding}', auto_detect=false)"
        )
    else:
        rows = f"read_json('{source}', format='newline_delimited', columns={{{columns}}}, auto_detect=false)"
    with db.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET partitioned_write_flush_threshold = 200000")
        connection.execute(
            f"COPY (SELECT * FROM {rows}) TO '{out}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY ({feed.partition}))"
        )


def polars(source: Path, out: Path) -> None:
    """A lazy scan with declared types, streamed into a partitioned sink."""
    import polars as pl

    feed = feed_of(source)
    if feed.encoding != "utf-8":
        raise SystemExit("Polars' lazy scan reads UTF-8 only")
    schema = {name: _polars_type(kind) for name, kind in feed.columns.items()}
    if source.suffix != ".csv":
        # Polars reads no decimal from JSON: as most people would, through a double.
        early = {name: pl.Float64() if isinstance(kind, pl.Decimal) else kind for name, kind in schema.items()}
        frame = pl.scan_ndjson(source, schema=early).with_columns(
            pl.col(name).cast(kind) for name, kind in schema.items() if isinstance(kind, pl.Decimal)
        )
    else:
        # Decimals and times with an offset are read as text and cast: the scan itself takes neither.
        late = {name: kind for name, kind in schema.items() if isinstance(kind, pl.Decimal | pl.Datetime)}
        early = {name: pl.String() if name in late else kind for name, kind in schema.items()}
        frame = pl.scan_csv(source, schema=early, separator=feed.delimiter).with_columns(
            *(
                pl.col(name).str.to_datetime(time_unit="us", time_zone=kind.time_zone)
                if isinstance(kind, pl.Datetime)
                else pl.col(name).cast(kind)
                for name, kind in late.items()
            )
        )
    frame.sink_parquet(pl.PartitionBy(out, key=feed.partition), compression="zstd", mkdir=True)


def _polars_type(kind: pa.DataType) -> "object":
    import polars as pl

    if pa.types.is_decimal(kind):
        return pl.Decimal(kind.precision, kind.scale)
    return pl.from_arrow(pa.array([], kind)).dtype


def pandas(source: Path, out: Path) -> None:
    """pandas in chunks, each written partitioned."""
    feed = feed_of(source)
    for chunk in _pandas_chunks(feed, source):
        chunk.to_parquet(out, partition_cols=[feed.partition], compression="zstd", index=False)


def awswrangler(source: Path, out: str) -> None:
    """What most people write: pandas in chunks, to_parquet with dataset=True."""
    import awswrangler as wr

    feed = feed_of(source)
    for chunk in _pandas_chunks(feed, source):
        wr.s3.to_parquet(chunk, out, dataset=True, partition_cols=[feed.partition], compression="zstd", mode="append")


def _pandas_chunks(feed: Feed, source: Path) -> "Iterator[pd.DataFrame]":
    import pandas as pd

    times = [name for name, kind in feed.columns.items() if pa.types.is_temporal(kind)]
    if source.suffix == ".csv":
        chunks = pd.read_csv(source, chunksize=500_000, parse_dates=times, sep=feed.delimiter, encoding=feed.encoding)
    else:
        chunks = pd.read_json(source, lines=True, chunksize=500_000, convert_dates=times)
    for chunk in chunks:
        chunk[feed.partition] = pd.to_datetime(chunk[feed.partition]).dt.date
        yield chunk


_LOCAL = {
    "pyarrow": pyarrow,
    "duckdb": duckdb,
    "duckdb_checked": duckdb_checked,
    "pandas": pandas,
    "polars": polars,
    "polars_checked": polars_checked,
}

if __name__ == "__main__":
    contender, source, out = sys.argv[1:4]
    if contender in _LOCAL:
        _LOCAL[contender](Path(source), Path(out))
    elif contender == "awswrangler":
        awswrangler(Path(source), out)
    else:
        sys.exit(f"unknown contender {contender!r}")
