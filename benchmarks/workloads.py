"""The workloads over one file: what is converted, and who takes part, ours first.

Of a peer it is said what it does not do that ours does; what it misses of the bad rows is counted.
"""

from dataclasses import dataclass

from benchmarks.feeds import LETTERS, WIDE
from benchmarks.generate import Plan

__all__ = ["DIRTY_SHARE", "OURS", "WORKLOADS", "Contender", "Workload"]

OURS = "lakegate"
DIRTY_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class Contender:
    """One that takes part. `on_clean`: it is given the clean file, because it stops at the first bad row."""

    name: str
    label: str
    lacks: str
    on_clean: bool = False
    environment: str = "own"  # own, s3 (needs the laptop's S3), bench (an environment of its own)


@dataclass(frozen=True, slots=True)
class Workload:
    """A file and the contenders. Each of them but ours is a line of the table."""

    name: str
    title: str
    feed: str
    form: str
    contenders: tuple[Contender, ...]
    dirty: bool = False

    def plan(self, size_bytes: int, *, clean: bool = False) -> Plan:
        """What is generated for it; with `clean` without the bad rows."""
        return Plan(self.feed, self.form, size_bytes, DIRTY_SHARE if self.dirty and not clean else 0.0)


_NO_CHECKS = "no checks, no provenance"
_LENIENT = "casts leniently (2.7 is 3, 1.239 is 1.24, yes is true); repeated keys unseen; no provenance"
_OURS = Contender(OURS, "lakegate convert", "")
_PYARROW = Contender("pyarrow", "pyarrow, dataset writer", _NO_CHECKS)
_PANDAS = Contender("pandas", "pandas in chunks", f"{_NO_CHECKS}; decimals as doubles")
_AWSWRANGLER = Contender("awswrangler", "pandas + awswrangler", f"{_NO_CHECKS}; decimals as doubles", environment="s3")
_DUCKDB = Contender("duckdb", "DuckDB", _NO_CHECKS)
_POLARS = Contender("polars", "Polars", _NO_CHECKS)
_DLT = Contender("dlt", "dlt, DuckDB reader", f"{_NO_CHECKS}; one table without partitions", environment="bench")
_SPARK = Contender("spark", "Spark local", _NO_CHECKS, environment="bench")
_DUCKDB_CHECKED = Contender("duckdb_checked", "DuckDB with checks", f"{_LENIENT}; numbers of records, not lines")
_SPARK_CHECKED = Contender(
    "spark_checked",
    "Spark local with checks",
    "no line, no column; repeated keys unseen; no provenance",
    environment="bench",
)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(
            "csv",
            "CSV, clean",
            WIDE.name,
            "csv",
            (_OURS, _PYARROW, _PANDAS, _AWSWRANGLER, _DUCKDB, _DUCKDB_CHECKED, _POLARS, _DLT, _SPARK),
        ),
        Workload(
            "csv-dirty",
            "CSV, 0.1 % bad rows, row quarantine",
            WIDE.name,
            "csv",
            (
                _OURS,
                Contender(
                    "pyarrow", "pyarrow on the clean file", f"stops at the first bad value; {_NO_CHECKS}", on_clean=True
                ),
                _DUCKDB_CHECKED,
                Contender(
                    "polars_checked",
                    "Polars with casts as checks",
                    "numbers of records, not lines; long rows cut silently; repeated keys unseen; no provenance",
                ),
                _SPARK_CHECKED,
            ),
            dirty=True,
        ),
        Workload(
            "jsonl",
            "JSON Lines, clean",
            WIDE.name,
            "jsonl",
            (_OURS, _PYARROW, _PANDAS, _DUCKDB, _DUCKDB_CHECKED, _POLARS, _SPARK),
        ),
        Workload(
            "jsonl-dirty",
            "JSON Lines, 0.1 % bad rows, row quarantine",
            WIDE.name,
            "jsonl",
            (_OURS, _DUCKDB_CHECKED, _SPARK_CHECKED),
            dirty=True,
        ),
        Workload(
            "letters",
            "CSV nobody tuned on: tall, narrow, Latin-1, long quoted texts",
            LETTERS.name,
            "csv",
            (_OURS, _PYARROW, _PANDAS, _DUCKDB, _SPARK),
        ),
    )
}
