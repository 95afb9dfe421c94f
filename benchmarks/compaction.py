"""A table of many small files, asked by the laptop's Athena before and after `lakegate compact`; and what the compaction itself took.

    python -m benchmarks.compaction [--files 1200] [--rows 6400] [--folder benchmarks/data]

The small files are Lakegate's own, committed fifty at a time through Glue: rows of a day in no order, ids at random. Two figures tell what a query
reads. What Athena reports is of the laptop: the sizes of all files that partitions and statistics of files leave, whatever of
them was read. What came from S3 is counted at the wire, by a proxy between Athena and S3: footers, the columns asked
for, and of them the row groups that statistics leave. The second is what AWS bills. Answers must be the same before and after, or it fails.
"""

import argparse
import os
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.aws_requests import Asked, CountingProxy
from benchmarks.measure import Run, measure
from lakegate.local.laptop import Laptop
from lakegate.local.own_servers import athena_command, own_server_is_healthy
from lakegate.local.process_environment import child_environment, use_environment
from lakegate.local.processes import ProcessRunner, free_port
from pipelines.contracts.loading import load_datasets
from pipelines.contracts.model import Dataset
from pipelines.ports import Committed, SourceVersion, TableCommit, TableFile
from pipelines.publication.staging import Staging
from resources.assembly import query_engine
from resources.environment import Deployment
from resources.iceberg import IcebergTables, glue_tables
from resources.s3 import S3ObjectStore

_SETTLED_S = 65.0
CONTRACT = """
name: orders
description: Orders of many customers, in many small files.
owner: team:benchmarks
landing: {key: "landing/orders/{day:%Y-%m-%d}/*.csv", day: day, start: 2024-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  customer: {type: string, nullable: false}
  ordered_at: {type: timestamp, zone: UTC, nullable: false}
  amount: {type: "decimal(10,2)"}
  status: {type: string}
  note: {type: string}
partition_by: [day]
primary_key: [id]
compaction: {sort_by: [customer, ordered_at], settled_after: PT1M}
"""
DAYS = (date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3))
_CUSTOMERS = 50_000
_PER_COMMIT = 50
_WORDS = np.array(["gift", "fragile", "heavy", "priority", "cold", "letter", "oversize", "return", "sample", "insured"])
QUERIES = {
    "one customer": "SELECT count(*), sum(amount) FROM orders WHERE customer = 'c-00017'",
    "a range of customers": "SELECT count(*), sum(amount) FROM orders WHERE customer >= 'c-00100' AND customer <= 'c-00150'",
    "one customer, one day": "SELECT count(*), max(ordered_at) FROM orders WHERE customer = 'c-00017' AND day = DATE '2024-01-02'",
    "totals of one day": "SELECT status, count(*), sum(amount) FROM orders WHERE day = DATE '2024-01-02' GROUP BY status ORDER BY status",
    "one column of one day": "SELECT sum(amount) FROM orders WHERE day = DATE '2024-01-02'",
    "count(*)": "SELECT count(*) FROM orders",
}


@dataclass(frozen=True, slots=True)
class Asking:
    """One query's figures, medians of its rounds: bytes as Athena reports them, bytes and requests at the wire, seconds of Athena's process."""

    answer: str
    reported_bytes: int
    read_bytes: int
    requests: int
    cpu_s: float
    wall_s: float


def _rows(rng: np.random.Generator, day: date, number: int, dataset_schema: pa.Schema) -> pa.RecordBatch:
    start = np.datetime64(day, "us")
    columns = {
        "day": pa.array([day] * number, pa.date32()),
        "id": pa.array(rng.integers(0, 2**62, number), pa.int64()),
        "customer": pa.array([f"c-{n:05d}" for n in rng.integers(0, _CUSTOMERS, number)]),
        "ordered_at": pa.array(start + rng.integers(0, 86_400_000_000, number).astype("timedelta64[us]")),
        "amount": pa.array(rng.integers(1, 100_000, number), pa.int32()).cast(pa.decimal128(10, 0)),
        "status": pa.array(np.array(["open", "paid", "sent", "back"])[rng.integers(0, 4, number)]),
        "note": pa.array([" ".join(words) for words in _WORDS[rng.integers(0, len(_WORDS), (number, 3))]]),
        "_source_line": pa.array(np.arange(2, number + 2), pa.int64()),
    }
    arrays = [
        pa.nulls(number, field.type) if field.name not in columns else columns[field.name].cast(field.type)
        for field in dataset_schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=dataset_schema)


def make_small_files(tables: IcebergTables, of: Dataset, files: int, rows: int, scratch: Path) -> None:
    """Commit `files` data files of `rows` rows each, of the days in turn. Seeded: the same rows each time."""
    rng = np.random.default_rng(42)
    tables.ensure(of)
    schema = tables.file_schema(of)
    for first in range(0, files, _PER_COMMIT):
        stagings: list[Staging] = []
        sources: list[SourceVersion] = []
        for number in range(first, min(first + _PER_COMMIT, files)):
            day = DAYS[number % len(DAYS)]
            source = SourceVersion(f"landing/orders/{day}/{number:05d}.csv", f"v{number:05d}")
            staging = Staging(of, f"made{number:05d}", 1, scratch, datetime.now(UTC), schema=schema)
            one = staging.open_file(source)
            one.write(_rows(rng, day, rows, staging.reading_schema))
            one.accept()
            stagings.append(staging)
            sources.append(source)
        adds = tuple(file for staging in stagings for file in staging.finish())
        change = TableCommit(f"made{first}", adds, tuple(sources), (), tables.current(of))
        if not isinstance(tables.commit(of, change), Committed):
            raise RuntimeError("somebody else writes to the table")
        for staging in stagings:
            staging.close()


class Analyst:
    """Asks an Athena whose requests to S3 are counted."""

    def __init__(self, deployment: Deployment, proxy: CountingProxy, athena: psutil.Process) -> None:
        """As started."""
        self._queries, self._proxy, self._athena = query_engine(deployment), proxy, athena

    def ask(self, sql: str, rounds: int) -> Asking:
        """Ask once for nothing, then so many times."""
        self._queries.query(sql)
        return _median([self._once(sql) for _ in range(rounds)])

    def _once(self, sql: str) -> Asking:
        before, cpu, began = self._read(), self._cpu_s(), time.monotonic()
        result = self._queries.query(sql)
        wall = time.monotonic() - began
        read = self._read() - before
        return Asking(
            str(result.table.to_pylist()),
            result.scanned_bytes,
            int(read.received_bytes),
            int(read.requests),
            self._cpu_s() - cpu,
            wall,
        )

    def _read(self) -> Asked:
        found = Asked()
        for (service, operation), asked in self._proxy.counts().items():
            if (service, operation) == ("s3", "GetObject"):
                found += asked
        return found

    def _cpu_s(self) -> float:
        times = self._athena.cpu_times()
        return times.user + times.system


def _median(rounds: Sequence[Asking]) -> Asking:
    def of(name: str) -> float:
        return statistics.median(getattr(one, name) for one in rounds)

    return Asking(
        rounds[0].answer,
        int(of("reported_bytes")),
        int(of("read_bytes")),
        int(of("requests")),
        of("cpu_s"),
        of("wall_s"),
    )


def _tell(before: dict[str, Asking], after: dict[str, Asking]) -> list[str]:
    lines = [
        "| query | Athena's figure, MB | read from S3, MB | GET requests | CPU of Athena, s | wall, s |",
        "|---|---|---|---|---|---|",
    ]

    def pair(old: float, new: float, digits: int) -> str:
        return f"{old:,.{digits}f} → {new:,.{digits}f} (**{new / old:.2f}**)" if old else "—"

    for name, old in before.items():
        new = after[name]
        cells = [
            pair(old.reported_bytes / 1e6, new.reported_bytes / 1e6, 0),
            pair(old.read_bytes / 1e6, new.read_bytes / 1e6, 1),
            pair(old.requests, new.requests, 0),
            pair(old.cpu_s, new.cpu_s, 2),
            pair(old.wall_s, new.wall_s, 2),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _tell_compaction(run: Run, before: Sequence[TableFile], after: Sequence[TableFile]) -> str:
    old, new = sum(file.size_bytes for file in before), sum(file.size_bytes for file in after)
    return (
        f"{len(before):,} files, {old / 1e6:,.1f} MB -> {len(after):,} files, {new / 1e6:,.1f} MB ({new / old:.3f}); "
        f"{sum(file.rows for file in after):,} rows; {run.cpu_s:.1f} CPU s, {run.wall_s:.1f} s wall, "
        f"{old / 1e6 / run.cpu_s:.1f} MB a CPU second, peak {run.peak_mb:.0f} MB"
    )


def main() -> None:
    """Make, ask, compact, ask again, compare."""
    parser = argparse.ArgumentParser(description="Athena before and after compaction")
    parser.add_argument("--files", type=int, default=1200)
    parser.add_argument("--rows", type=int, default=6400, help="rows of each file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data"))
    asked = parser.parse_args()
    folder = asked.folder / "compaction"
    shutil.rmtree(folder, ignore_errors=True)
    datasets, scratch = folder / "datasets", folder / "scratch"
    datasets.mkdir(parents=True)
    scratch.mkdir()
    (datasets / "orders.yaml").write_text(CONTRACT)
    laptop = Laptop(folder / "home", any_port=True)
    athena = ProcessRunner(folder / "athena")
    try:
        environment = laptop.start(tied=True)
        os.environ["LAKEGATE_DATASETS"] = str(datasets)
        deployment = Deployment.from_environment(environment)
        [of] = load_datasets(datasets).datasets
        proxy = CountingProxy(environment["AWS_ENDPOINT_URL"])
        port = free_port()
        command = athena_command(port, child_environment({**environment, "AWS_ENDPOINT_URL": proxy.url}))
        child = athena.start(command, lambda: own_server_is_healthy(port), within_s=60, tied=True)
        use_environment({**environment, "AWS_ENDPOINT_URL_ATHENA": f"http://127.0.0.1:{port}"})
        analyst = Analyst(deployment, proxy, psutil.Process(child.pid))
        tables = glue_tables(deployment, S3ObjectStore())
        make_small_files(tables, of, asked.files, asked.rows, scratch)
        settled_at = time.monotonic() + _SETTLED_S
        files = list(tables.table_files(tables.current(of), of))
        print(f"{len(files):,} files of {sum(f.size_bytes for f in files) / 1e6:,.1f} MB in {len(DAYS)} partitions")
        before = {name: analyst.ask(sql, asked.rounds) for name, sql in QUERIES.items()}
        time.sleep(max(0.0, settled_at - time.monotonic()))
        run = measure([sys.executable, "-m", "lakegate.cli.main", "compact", "orders"], {"TMPDIR": str(scratch)})
        if run.exit_code:
            raise RuntimeError(run.said)
        print(run.said)
        after = {name: analyst.ask(sql, asked.rounds) for name, sql in QUERIES.items()}
        if wrong := [name for name in QUERIES if before[name].answer != after[name].answer]:
            raise RuntimeError(f"other answers than before to: {', '.join(wrong)}")
        print(_tell_compaction(run, files, list(tables.table_files(tables.current(of), of))))
        print("\n".join(_tell(before, after)))
        proxy.close()
    finally:
        for name in athena.started:
            athena.stop(name)
        laptop.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
