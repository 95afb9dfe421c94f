"""From the end of a PUT to the row being queryable: one small file at a time, on the laptop's AWS, with a real Dagster daemon.

    python -m benchmarks.latency [--drops 30] [--simple] [--folder benchmarks/data]

Everything is up and idle before each drop, which comes at a random moment: the phase of no loop is known to it. The clock stops
when a query of Athena has answered with the row; the query is started as soon as the catalog shows another version of the
table, and its own time counts. One file before the first drop makes the table; it does not count. Times of the parts are those
of the ledger's history and of Dagster's event log. CPU is told by process, without what the emulator and Athena take.
"""

import argparse
import itertools
import os
import random
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import psutil

from benchmarks.small_files import CONTRACT
from lakegate.local.laptop import Laptop
from pipelines.accounting.states import State
from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from resources.assembly import open_gate, query_engine
from resources.environment import Deployment, client

_DAY = "2024-01-01"
_ROWS = 20
_LIMIT_S = 120.0
_PARTS = (
    ("event to ledger", "S3 tells SQS; the sensor's tick hears it and registers the version"),
    ("ledger to plan", "the same tick plans the batch"),
    ("plan to queued", "the tick ends; the daemon creates the run and puts it into the queue"),
    ("queued to launched", "the daemon's queue loop takes it and hands it to the launcher"),
    ("launched to started", "SQS to a worker, or a new process; the job is loaded"),
    ("started to claimed", "the step begins; the batch is claimed in the ledger"),
    ("claimed to committing", "the file is read in a child process, judged and staged"),
    ("committing to committed", "files to S3, one Iceberg commit through Glue, the ledger settled"),
    ("until Athena answers", "a query that started when the catalog changed"),
)


@dataclass(frozen=True, slots=True)
class Drop:
    """One drop: seconds from PUT to row, and of each part; `load` is the machine's load average at its end."""

    total_s: float
    parts_s: tuple[float, ...]
    load: float


class Bench:
    """A running laptop with one dataset."""

    def __init__(self, laptop: Laptop, gate: Gate, deployment: Deployment) -> None:
        self._laptop, self._gate, self._deployment = laptop, gate, deployment
        self._queries = query_engine(deployment)

    def drop(self, number: int) -> Drop:
        """Put one file and follow it to the table."""
        key = f"landing/readings/{_DAY}/drop-{number:05d}.csv"
        before = self._table_version()
        client("s3").put_object(Bucket=self._deployment.landing_bucket, Key=key, Body=_file(number))
        put_at = time.time()
        seen_at = self._visible(key, before, put_at)
        moments = (put_at, *self._moments(key), seen_at)
        parts = tuple(max(0.0, later - earlier) for earlier, later in itertools.pairwise(moments))
        return Drop(seen_at - put_at, parts, os.getloadavg()[0])

    def await_idle(self) -> None:
        """Wait until no run is under way."""
        deadline = time.monotonic() + _LIMIT_S
        while True:
            with self._instance() as instance:
                if all(run.is_finished for run in instance.get_runs(limit=5)):
                    return
            if time.monotonic() > deadline:
                raise TimeoutError("a run did not end")
            time.sleep(0.2)

    def _visible(self, key: str, before: str, put_at: float) -> float:
        while True:
            if self._table_version() != before:
                found = self._queries.query(f"SELECT count(*) AS n FROM readings WHERE _source_file = '{key}'")
                if found.table.to_pylist() == [{"n": _ROWS}]:
                    return time.time()
            if time.time() - put_at > _LIMIT_S:
                raise TimeoutError(f"{key} was not in the table within {_LIMIT_S:.0f} s")
            time.sleep(0.02)

    def _table_version(self) -> str:
        glue = client("glue")
        try:
            table = glue.get_table(DatabaseName=self._deployment.glue_database, Name="readings")["Table"]
        except glue.exceptions.EntityNotFoundException:
            return ""
        return table["Parameters"].get("metadata_location", "")

    def _moments(self, key: str) -> tuple[float, ...]:
        """Registered, planned, queued, launched, started, claimed, committing, committed; seconds since the epoch."""
        deadline = time.monotonic() + _LIMIT_S
        while True:  # the row may be there a moment before the books say so
            history = self._gate.ledger.history(self._deployment.landing_bucket, key)
            at = {record.to_state: record.at.timestamp() for record in reversed(history)}
            if State.COMMITTED in at or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        [entry] = self._gate.ledger.entries(self._deployment.landing_bucket, key)
        with self._instance() as instance:
            [record] = instance.get_run_records(dg.RunsFilter(tags={"lakegate/batch": str(entry.batch_id)}), limit=1)
            stats = instance.get_run_stats(record.dagster_run.run_id)
        moments = (
            at[State.SEEN],
            at[State.PLANNED],
            stats.enqueued_time,
            stats.launch_time,
            stats.start_time,
            at[State.CLAIMED],
            at[State.COMMITTING],
            at[State.COMMITTED],
        )
        return tuple(float(moment or 0) for moment in moments)

    def _instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self._laptop.home / "dagster"))


def _file(number: int) -> bytes:
    moment = datetime.fromtimestamp(1_704_067_200 + number * 60, UTC)
    rows = [f"{row},{moment:%Y-%m-%dT%H:%M:%S},20.5,C,drop {number}" for row in range(_ROWS)]
    return ("\n".join(["sensor,moment,value,unit,note", *rows]) + "\n").encode()


def _cpu_s(laptop: Laptop) -> dict[str, float]:
    spent: dict[str, float] = {}
    for status in laptop.status():
        if status.pid is None:
            continue
        root = psutil.Process(status.pid)
        times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
        spent[status.name] = sum(t.user + t.system + t.children_user + t.children_system for t in times)
    return spent


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)]


def tell(drops: Sequence[Drop], cpu_s: dict[str, float], wall_s: float) -> None:
    """Print the table."""
    totals = [drop.total_s for drop in drops]
    loads = [drop.load for drop in drops]
    print(
        f"\n{len(drops)} files of {_ROWS} rows, one at a time, on {os.cpu_count()} cores; load average {min(loads):.1f} to {max(loads):.1f}"
    )
    print(f"\n{'':26}{'p50':>8}{'p95':>8}{'max':>8}")
    for number, (name, what) in enumerate(_PARTS):
        values = [drop.parts_s[number] for drop in drops]
        print(f"{name:26}{_three(values)}   {what}")
    print(f"{'PUT to queryable':26}{_three(totals)}   the mean is {statistics.mean(totals):.2f} s")
    print(
        f"\nCPU while {wall_s:.0f} s passed, of {', '.join(f'{name} {spent:.1f} s' for name, spent in cpu_s.items())}"
    )


def _three(values: Sequence[float]) -> str:
    return f"{percentile(values, 0.5):7.2f}s{percentile(values, 0.95):7.2f}s{max(values):7.2f}s"


def main() -> None:
    """Start, drop, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--drops", type=int, default=30)
    parser.add_argument("--simple", action="store_true", help="a new process for each run instead of warm workers")
    parser.add_argument("--pause", type=float, default=12.0, help="the longest pause before a drop, in seconds")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data"))
    given = parser.parse_args()
    home = given.folder / "latency"
    shutil.rmtree(home, ignore_errors=True)
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "readings.yaml").write_text(CONTRACT)
    os.environ["LAKEGATE_DATASETS"] = str((home / "datasets").resolve())
    laptop = Laptop(home / "laptop", any_port=True)
    phases = random.Random()
    try:
        environment = laptop.start(tied=True)
        deployment = Deployment.from_environment(environment)
        laptop.start_dagster(environment, tied=True, warm_workers=not given.simple)
        bench = Bench(laptop, open_gate(deployment, load_datasets(home / "datasets")), deployment)
        bench.drop(0)
        bench.await_idle()
        before, started = _cpu_s(laptop), time.monotonic()
        drops: list[Drop] = []
        for number in range(1, given.drops + 1):
            time.sleep(2 + phases.uniform(0, given.pause))
            drops.append(bench.drop(number))
            bench.await_idle()
            print(f"drop {number:3}: {drops[-1].total_s:5.2f} s", flush=True)
        wall_s = time.monotonic() - started
        spent = {name: total - before.get(name, 0.0) for name, total in _cpu_s(laptop).items()}
    finally:
        laptop.stop_started()
    tell(drops, spent, wall_s)


if __name__ == "__main__":
    main()
