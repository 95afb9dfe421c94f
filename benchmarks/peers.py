"""Peers that live in an environment of their own (`.venv-bench`): Spark in local mode, with and without checks, and dlt.

.venv-bench/bin/python -m benchmarks.peers NAME FILE OUT
"""

import os
import sys
import tempfile
from pathlib import Path

import pyarrow as pa

from benchmarks.feeds import COUNTRIES, WIDE, Feed, feed_of

_CORRUPT = "_corrupt_record"


def spark(source: Path, out: Path) -> None:
    """Declared types, FAILFAST, partitioned write: no checks of values."""
    _spark(source, out, checked=False)


def spark_checked(source: Path, out: Path) -> None:
    """PERMISSIVE with the corrupt record kept, and the contract's rules; bad rows to `bad=true/…` in the same pass."""
    _spark(source, out, checked=True)


def _spark(source: Path, out: Path, *, checked: bool) -> None:
    from pyspark.sql import SparkSession

    feed = feed_of(source)
    session = (
        SparkSession.builder.master("local[*]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .config("spark.local.dir", str(out.parent / "spark-scratch"))
        .getOrCreate()
    )
    schema = ", ".join(f"{name} {_spark_type(kind)}" for name, kind in feed.columns.items())
    reader = session.read.option("mode", "PERMISSIVE" if checked else "FAILFAST")
    if checked:
        schema += f", {_CORRUPT} string"
        reader = reader.option("columnNameOfCorruptRecord", _CORRUPT)
    if source.suffix == ".csv":
        # multiLine because of newlines in quotes: the file is read by one task.
        options = {
            "header": True,
            "sep": feed.delimiter,
            "quote": '"',
            "escape": '"',
            "multiLine": True,
            "encoding": feed.encoding,
        }
        rows = reader.schema(schema).options(**options).csv(str(source))
    else:
        rows = reader.schema(schema).json(str(source))
    partitions = [feed.partition]
    if checked:
        rows, partitions = _judged(rows), ["bad", feed.partition]
    rows.write.partitionBy(*partitions).mode("overwrite").parquet(str(out))
    session.stop()


def _judged(rows: "object") -> "object":
    from pyspark.sql import functions as f

    required = ("id", "customer_id", "price", "event_time", "event_date", "code")
    tests = [
        f.col(_CORRUPT).isNotNull(),
        *(f.col(name).isNull() for name in required),
        f.col("id") < 0,
        ~f.col("quantity").between(0, 1000),
        ~f.col("ratio").between(-1, 1),
        f.col("price") < 0,
        f.length("name") > 60,
        ~f.col("code").rlike("^[A-Z]{2}[0-9]{4}$"),
        ~f.col("country").isin(COUNTRIES),
    ]
    bad = f.lit(False)
    for test in tests:
        bad = bad | f.coalesce(test, f.lit(False))
    return rows.withColumn("bad", bad)


def _spark_type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamp_ntz" if kind.tz is None else "timestamp"
    return {
        pa.int64(): "bigint",
        pa.int32(): "int",
        pa.float64(): "double",
        pa.date32(): "date",
        pa.bool_(): "boolean",
        pa.string(): "string",
    }[kind]


def dlt(source: Path, out: Path) -> None:
    """dlt's fastest own reader of CSV (DuckDB to Arrow, types declared) into its filesystem destination: no partitions, no checks."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt as d
    from dlt.sources.filesystem import filesystem, read_csv_duckdb

    feed: Feed = feed_of(source)
    if feed is not WIDE or source.suffix != ".csv":
        raise SystemExit("written for the wide CSV only")
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        pipeline = d.pipeline(
            "benchmark",
            pipelines_dir=scratch,
            destination=d.destinations.filesystem(bucket_url=out.resolve().as_uri()),
            dataset_name="benchmark",
        )
        files = filesystem(bucket_url=source.parent.resolve().as_uri(), file_glob=source.name)
        options = {"header": True, "columns": feed.sql_types, "quotechar": '"', "escapechar": '"', "delimiter": ","}
        rows = files | read_csv_duckdb(chunk_size=100_000, use_pyarrow=True, **options)
        pipeline.run(rows.with_name(feed.name), loader_file_format="parquet")


_NAMES = {"spark": spark, "spark_checked": spark_checked, "dlt": dlt}

if __name__ == "__main__":
    contender, source, out = sys.argv[1:4]
    if contender not in _NAMES:
        sys.exit(f"unknown peer {contender!r}")
    _NAMES[contender](Path(source), Path(out))
