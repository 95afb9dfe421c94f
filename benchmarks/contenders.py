"""What `lakegate convert` is measured against, each a process of its own: what a user would write without it.

python -m benchmarks.contenders pyarrow FILE OUT     pyarrow.csv streaming -> partitioned ZSTD Parquet, no check at all
python -m benchmarks.contenders awswrangler FILE S3  pandas in chunks + awswrangler.s3.to_parquet(dataset=True)
"""

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


def pyarrow_streaming(source: Path, out: Path) -> None:
    """Typed streaming parse and pyarrow's own dataset writer: the least a CSV to Parquet conversion can do."""
    import pyarrow.csv as pc
    import pyarrow.dataset as ds

    reader = pc.open_csv(
        source,
        convert_options=pc.ConvertOptions(
            column_types=ARROW_TYPES, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
        parse_options=pc.ParseOptions(newlines_in_values=True),
    )
    schema = reader.schema
    ds.write_dataset(
        reader,
        out,
        format="parquet",
        partitioning=ds.partitioning(pa.schema([schema.field(PARTITION_COLUMN)]), flavor="hive"),
        file_options=ds.ParquetFileFormat().make_write_options(compression="zstd"),
        existing_data_behavior="overwrite_or_ignore",
    )


def awswrangler_chunks(source: Path, out: str) -> None:
    """What most people write: read_csv in chunks, to_parquet with dataset=True."""
    import awswrangler as wr
    import pandas as pd

    times = [PARTITION_COLUMN, "birth_date", "event_time", "updated_at"]
    for chunk in pd.read_csv(source, chunksize=500_000, parse_dates=times):
        chunk[PARTITION_COLUMN] = chunk[PARTITION_COLUMN].dt.date
        wr.s3.to_parquet(chunk, out, dataset=True, partition_cols=[PARTITION_COLUMN], compression="zstd", mode="append")


if __name__ == "__main__":
    contender, source, out = sys.argv[1:4]
    if contender == "pyarrow":
        pyarrow_streaming(Path(source), Path(out))
    elif contender == "awswrangler":
        awswrangler_chunks(Path(source), out)
    else:
        sys.exit(f"unknown contender {contender!r}")
