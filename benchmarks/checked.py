"""The peers that check: DuckDB and Polars with the rules of the wide feed's contract, bad rows aside, in one pass.

Good rows go to `bad=false/event_date=…`, bad ones to `bad=true/…`. Each does less than Lakegate; the README says what each misses.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.feeds import COUNTRIES, WIDE, feed_of

__all__ = ["duckdb_checked", "polars_checked"]

_REQUIRED = ("id", "customer_id", "price", "event_time", "event_date", "code")
_BROKEN_RULES = [
    *(f"v.{name} IS NULL" for name in _REQUIRED),
    "v.id < 0", "v.quantity NOT BETWEEN 0 AND 1000", "v.ratio NOT BETWEEN -1 AND 1", "v.price < 0", "length(v.name) > 60",
    "NOT regexp_full_match(v.code, '[A-Z]{2}[0-9]{4}')", "v.country NOT IN ('DE', 'FR', 'PL', 'ES', 'US', 'JP', 'SE', 'IE')",
]  # fmt: skip
"""The rules of the wide feed's contract in SQL, for rows `v`."""


def duckdb_checked(source: Path, out: Path) -> None:
    """DuckDB's reader with what it has for bad rows, and the contract's rules as predicates."""
    import duckdb as db

    if feed_of(source) is not WIDE:
        raise SystemExit("only the wide feed has rules written in SQL")
    with db.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET partitioned_write_flush_threshold = 200000")
        copy = f"TO '{out}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (bad, {WIDE.partition}))"
        if source.suffix == ".csv":
            connection.execute("SET preserve_insertion_order = false")
            connection.execute(f"COPY ({_csv_query(source)}) {copy}")
            (out / "bad=true").mkdir(exist_ok=True)
            connection.execute(
                "COPY (SELECT line, column_name, error_type, error_message, csv_line FROM reject_errors)"
                f" TO '{out}/bad=true/rejects.parquet' (FORMAT parquet, COMPRESSION zstd)"
            )
        else:
            connection.execute(f"COPY ({_json_query(source)}) {copy}")


def _csv_query(source: Path) -> str:
    """Rows that do not parse go to DuckDB's table of rejects (record number, column, text); rows that break a rule are marked.

    Its casts are lenient (2.7 is 3, 1.239 is 1.24, yes is true, an offset may be missing); repeated ids are not seen.
    """
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in WIDE.sql_types.items())
    bad = " OR ".join(f"coalesce({test}, false)" for test in _BROKEN_RULES)
    return f"""
        SELECT v.*, {bad} AS bad FROM read_csv('{source}', header=true, columns={{{columns}}}, quote='"', escape='"', delim=',',
            auto_detect=false, store_rejects=true) AS v"""


def _json_query(source: Path) -> str:
    """Each line as text with its number, json_valid, json_transform; a null where the line has a value is a misfit; the rules.

    Its casts are lenient (2.7 is 3, "5" is 5, 1.239 is 1.24, an offset may be missing), and neither repeated keys nor repeated ids are seen.
    """
    types = WIDE.sql_types
    # A second transform to text is far cheaper than asking the line for each column (2.4 against 5.6 CPU s for 200 MB).
    texts = dict.fromkeys(types, "VARCHAR")
    misfits = [f"(v.{name} IS NULL AND w.{name} IS NOT NULL)" for name in types]
    bad = " OR ".join(f"coalesce({test}, false)" for test in [*misfits, *_BROKEN_RULES])
    return f"""
        WITH lines AS (
            SELECT row_number() OVER () AS line, text, json_valid(text) AS is_json FROM read_csv('{source}', header=false,
                columns={{'text': 'VARCHAR'}}, delim='\x01', quote='', escape='', auto_detect=false, max_line_size=16777216)
        ), typed AS (
            SELECT line, text, is_json, json_transform(CASE WHEN is_json THEN text END, '{json.dumps(types)}') AS v,
                json_transform(CASE WHEN is_json THEN text END, '{json.dumps(texts)}') AS w FROM lines
        ), judged AS (SELECT *, NOT is_json OR {bad} AS bad FROM typed)
        SELECT bad, line, CASE WHEN bad THEN text END AS text, {", ".join(f"v.{name}" for name in types)} FROM judged"""


def polars_checked(source: Path, out: Path) -> None:
    """All columns as text, casts that give null where they fail, the contract's rules; two sinks from one scan.

    Rows with too many fields lose them silently, a row that is too short has nulls; the number is the record's, not the line's.
    """
    import polars as pl

    if feed_of(source) is not WIDE or source.suffix != ".csv":
        raise SystemExit("written for the wide CSV only")
    texts = pl.scan_csv(
        source, schema=dict.fromkeys(WIDE.columns, pl.String()), truncate_ragged_lines=True, row_index_name="record"
    )
    typed = texts.with_columns(_polars_cast(name, kind).alias(f"_{name}") for name, kind in WIDE.columns.items())
    misfits = [pl.col(f"_{name}").is_null() & pl.col(name).is_not_null() for name in WIDE.columns]
    rules = [
        *(pl.col(f"_{name}").is_null() for name in _REQUIRED),
        pl.col("_id") < 0,
        ~pl.col("_quantity").is_between(0, 1000),
        ~pl.col("_ratio").is_between(-1, 1),
        pl.col("_price") < 0,
        pl.col("_name").str.len_chars() > 60,
        ~pl.col("_code").str.contains("^[A-Z]{2}[0-9]{4}$"),
        ~pl.col("_country").is_in(COUNTRIES),
    ]
    judged = typed.with_columns(bad=pl.any_horizontal(*(test.fill_null(False) for test in [*misfits, *rules])))
    good = judged.filter(~pl.col("bad")).select(pl.col(f"_{name}").alias(name) for name in WIDE.columns)
    bad = judged.filter(pl.col("bad")).select("record", *WIDE.columns)
    (out / "bad=true").mkdir(parents=True, exist_ok=True)
    pl.collect_all(
        [
            good.sink_parquet(
                pl.PartitionBy(out / "bad=false", key=WIDE.partition), compression="zstd", mkdir=True, lazy=True
            ),
            bad.sink_parquet(out / "bad=true" / "rejects.parquet", compression="zstd", lazy=True),
        ],
        engine="streaming",
    )


def _polars_cast(name: str, kind: pa.DataType) -> Any:
    import polars as pl

    column = pl.col(name)
    if pa.types.is_timestamp(kind):
        pattern = "%Y-%m-%dT%H:%M:%S" if kind.tz is None else "%Y-%m-%dT%H:%M:%S%.fZ"
        moments = column.str.to_datetime(pattern, time_unit="us", strict=False)
        return moments if kind.tz is None else moments.dt.replace_time_zone("UTC")
    if pa.types.is_date32(kind):
        return column.str.to_date("%Y-%m-%d", strict=False)
    if pa.types.is_boolean(kind):
        return pl.when(column == "true").then(statement=True).when(column == "false").then(statement=False)
    if pa.types.is_decimal(kind):
        return column.cast(pl.Decimal(kind.precision, kind.scale), strict=False)
    return column.cast(pl.from_arrow(pa.array([], kind)).dtype, strict=False)
