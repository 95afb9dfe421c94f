"""What `lakegate convert` is measured against, each a process of its own: what a user would write without it.

    python -m benchmarks.contenders NAME FILE OUT       FILE is the benchmark's CSV or JSON Lines, OUT a folder or s3://…/

pyarrow      pyarrow.csv or pyarrow.json in blocks -> pyarrow's partitioned dataset writer, with row groups of a sensible size
duckdb       read_csv or read_json with declared types -> COPY, partitioned
polars       a lazy scan with declared types -> partitioned sink
awswrangler  pandas in chunks -> awswrangler.s3.to_parquet(dataset=True)
duckdb_checked   DuckDB with the rules of the benchmark's contract, bad rows aside with line and text, in one pass (JSON Lines)

Only duckdb_checked checks a value; all write ZSTD Parquet, partitioned by the event's date.
"""

import json
import sys
from pathlib import Path

import pyarrow as pa

PARTITION_COLUMN = "event_date"
ARROW_TYPES = {
    "id": pa.int64(), "customer_id": pa.int32(), "store_id": pa.int32(), "quantity": pa.int32(), "score": pa.float64(),
    "ratio": pa.float64(), "weight": pa.float64(), "price": pa.decimal128(10, 2), "discount": pa.decimal128(6, 4),
    "event_time": pa.timestamp("us"), "updated_at": pa.timestamp("us", tz="UTC"), "event_date": pa.date32(),
    "birth_date": pa.date32(), "active": pa.bool_(), "name": pa.string(), "code": pa.string(), "country": pa.string(),
    "note": pa.string(),
}  # fmt: skip
"""What the contract of the benchmark's file says, in Arrow's words."""
_SQL_TYPES = {
    pa.int64(): "BIGINT", pa.int32(): "INTEGER", pa.float64(): "DOUBLE", pa.decimal128(10, 2): "DECIMAL(10,2)",
    pa.decimal128(6, 4): "DECIMAL(6,4)", pa.timestamp("us"): "TIMESTAMP", pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
    pa.date32(): "DATE", pa.bool_(): "BOOLEAN", pa.string(): "VARCHAR",
}  # fmt: skip
_JSON_BLOCK_BYTES = 8 << 20
_BROKEN_RULES = [
    *(f"v.{name} IS NULL" for name in ("id", "customer_id", "price", "event_time", "event_date", "code")),
    "v.id < 0", "v.quantity NOT BETWEEN 0 AND 1000", "v.ratio NOT BETWEEN -1 AND 1", "v.price < 0", "length(v.name) > 60",
    "NOT regexp_full_match(v.code, '[A-Z]{2}[0-9]{4}')", "v.country NOT IN ('DE', 'FR', 'PL', 'ES', 'US', 'JP', 'SE', 'IE')",
]  # fmt: skip
"""The rules of the benchmark's contract in SQL, for rows of a struct `v`."""


def pyarrow(source: Path, out: Path) -> None:
    """Typed streaming parse and pyarrow's own dataset writer: the least a conversion in Arrow can do."""
    import pyarrow.dataset as ds

    reader = _csv_reader(source) if source.suffix == ".csv" else _json_reader(source)
    ds.write_dataset(
        reader,
        out,
        format="parquet",
        partitioning=ds.partitioning(pa.schema([reader.schema.field(PARTITION_COLUMN)]), flavor="hive"),
        file_options=ds.ParquetFileFormat().make_write_options(compression="zstd"),
        existing_data_behavior="overwrite_or_ignore",
        # Thirty dates in shuffled order: without this each block makes thirty row groups, and the writer takes twice as long.
        min_rows_per_group=100_000,
        max_rows_per_group=1_000_000,
    )


def _csv_reader(source: Path) -> pa.RecordBatchReader:
    import pyarrow.csv as pc

    return pc.open_csv(
        source,
        convert_options=pc.ConvertOptions(
            column_types=ARROW_TYPES, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
        parse_options=pc.ParseOptions(newlines_in_values=True),
    )


def _json_reader(source: Path) -> pa.RecordBatchReader:
    import pyarrow.json as pj

    # pyarrow.json reads no dates and no offsets: they come as text and are cast.
    late = {name for name, kind in ARROW_TYPES.items() if pa.types.is_date(kind) or getattr(kind, "tz", None)}
    early = pa.schema([(name, pa.string() if name in late else kind) for name, kind in ARROW_TYPES.items()])
    reader = pj.open_json(
        source,
        read_options=pj.ReadOptions(block_size=_JSON_BLOCK_BYTES),
        parse_options=pj.ParseOptions(explicit_schema=early, unexpected_field_behavior="error"),
    )
    schema = pa.schema(list(ARROW_TYPES.items()))
    return pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in reader))


def duckdb(source: Path, out: Path) -> None:
    """DuckDB's reader with declared types, and its partitioned COPY."""
    import duckdb as db

    columns = ", ".join(f"'{name}': '{_SQL_TYPES[kind]}'" for name, kind in ARROW_TYPES.items())
    if source.suffix == ".csv":
        rows = f"read_csv('{source}', header=true, columns={{{columns}}}, quote='\"', escape='\"', delim=',', auto_detect=false)"
    else:
        rows = f"read_json('{source}', format='newline_delimited', columns={{{columns}}}, auto_detect=false)"
    with db.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET partitioned_write_flush_threshold = 200000")
        connection.execute(
            f"COPY (SELECT * FROM {rows}) TO '{out}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY ({PARTITION_COLUMN}))"
        )


def duckdb_checked(source: Path, out: Path) -> None:
    """Each line as text with its number, json_valid, json_transform, a null where the line has a value is a misfit, and the contract's rules.

    Good rows go to `bad=false/event_date=…`, bad ones to `bad=true/…` with the text of their line. DuckDB's casts are lenient (2.7 is 3, "5" is 5,
    1.239 is 1.24, an offset may be missing), and neither repeated keys nor repeated ids are seen: it does less than Lakegate.
    """
    import duckdb as db

    if source.suffix == ".csv":
        raise SystemExit("duckdb_checked reads JSON Lines")
    types = {name: _SQL_TYPES[kind] for name, kind in ARROW_TYPES.items()}
    # A second transform to text is far cheaper than asking the line for each column (2.4 against 5.6 CPU s for 200 MB).
    texts = dict.fromkeys(types, "VARCHAR")
    misfits = [f"(v.{name} IS NULL AND w.{name} IS NOT NULL)" for name in types]
    bad = " OR ".join(f"coalesce({test}, false)" for test in [*misfits, *_BROKEN_RULES])
    query = f"""
        WITH lines AS (
            SELECT row_number() OVER () AS line, text, json_valid(text) AS is_json FROM read_csv('{source}', header=false,
                columns={{'text': 'VARCHAR'}}, delim='\x01', quote='', escape='', auto_detect=false, max_line_size=16777216)
        ), typed AS (
            SELECT line, text, is_json, json_transform(CASE WHEN is_json THEN text END, '{json.dumps(types)}') AS v,
                json_transform(CASE WHEN is_json THEN text END, '{json.dumps(texts)}') AS w FROM lines
        ), judged AS (SELECT *, NOT is_json OR {bad} AS bad FROM typed)
        SELECT bad, line, CASE WHEN bad THEN text END AS text, {", ".join(f"v.{name}" for name in types)} FROM judged"""
    with db.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET partitioned_write_flush_threshold = 200000")
        connection.execute(
            f"COPY ({query}) TO '{out}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (bad, {PARTITION_COLUMN}))"
        )


def polars(source: Path, out: Path) -> None:
    """A lazy scan with declared types, streamed into a partitioned sink."""
    import polars as pl

    schema = {name: _polars_type(kind) for name, kind in ARROW_TYPES.items()}
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
        frame = pl.scan_csv(source, schema=early).with_columns(
            *(
                pl.col(name).str.to_datetime(time_unit="us", time_zone=kind.time_zone)
                if isinstance(kind, pl.Datetime)
                else pl.col(name).cast(kind)
                for name, kind in late.items()
            )
        )
    frame.sink_parquet(pl.PartitionBy(out, key=PARTITION_COLUMN), compression="zstd", mkdir=True)


def _polars_type(kind: pa.DataType) -> "object":
    import polars as pl

    if pa.types.is_decimal(kind):
        return pl.Decimal(kind.precision, kind.scale)
    return pl.from_arrow(pa.array([], kind)).dtype


def awswrangler(source: Path, out: str) -> None:
    """What most people write: pandas in chunks, to_parquet with dataset=True."""
    import awswrangler as wr
    import pandas as pd

    times = [PARTITION_COLUMN, "birth_date", "event_time", "updated_at"]
    if source.suffix == ".csv":
        chunks = pd.read_csv(source, chunksize=500_000, parse_dates=times)
    else:
        chunks = pd.read_json(source, lines=True, chunksize=500_000, convert_dates=times)
    for chunk in chunks:
        chunk[PARTITION_COLUMN] = pd.to_datetime(chunk[PARTITION_COLUMN]).dt.date
        wr.s3.to_parquet(chunk, out, dataset=True, partition_cols=[PARTITION_COLUMN], compression="zstd", mode="append")


if __name__ == "__main__":
    contender, source, out = sys.argv[1:4]
    local = {"pyarrow": pyarrow, "duckdb": duckdb, "duckdb_checked": duckdb_checked, "polars": polars}
    if contender in local:
        local[contender](Path(source), Path(out))
    elif contender == "awswrangler":
        awswrangler(Path(source), out)
    else:
        sys.exit(f"unknown contender {contender!r}")
