"""Many small files through the whole stack on the laptop's AWS: Dagster's daemon and warm workers, as `lakegate up` has them.

    python -m benchmarks.small_files [--files 10000] [--backlog] [--days 10] [--folder benchmarks/data]

Files are about 20 KB of CSV, spread over landing days. Dagster is up before the first PUT. All at rest is when no message waits and no
file is pending. CPU is counted for each of the laptop's processes, with their children: the emulator's work is not ours, and what makes
and puts the files is this script, which is counted nowhere. With `--backlog` the dataset is paused until all files are registered, and
the rate of each tenth of the drain is told: each should be like the one before.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import psutil

from lakegate.local.laptop import Laptop
from lakegate.status import look
from pipelines.accounting.states import Outcome
from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from resources.assembly import open_gate
from resources.environment import Deployment, client

_SETTLE_S = 10.0
"""How long the workers go on importing after the pages are there."""
_IDLE_S = 20.0
_NOT_OURS = ("ministack", "athena")
"""Stand-ins for AWS."""
CONTRACT = """\
name: readings
description: Small files of sensor readings, for the benchmark.
landing: {key: "landing/readings/{day:%Y-%m-%d}/*.csv", day: day, start: 2024-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  sensor: {type: int, nullable: false, min: 0}
  moment: {type: timestamp, zone: UTC, nullable: false}
  value: {type: double}
  unit: {type: string, allowed: [C, F, K]}
  note: {type: string, max_length: 80}
partition_by: [day]
primary_key: [sensor, moment]
"""


def _file(rng: random.Random, day: date, number: int) -> bytes:
    lines = ["sensor,moment,value,unit,note"]
    for row in range(360):
        second = row * 240
        at = f"{day}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        lines.append(f"{number},{at},{rng.gauss(20, 5):.6f},{rng.choice('CFK')},reading {row} of it")
    return ("\n".join(lines) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Drained:
    """What became of the files over time: moments in seconds since the first PUT, and how many files were done then."""

    first_work_s: float
    moments: Sequence[tuple[float, int]]

    def tenths(self, files: int) -> list[float]:
        """Files a second in each tenth of the files."""
        reached = [next(at for at, done in self.moments if done * 10 >= files * tenth) for tenth in range(1, 11)]
        begins = [self.first_work_s, *reached[:-1]]
        return [files / 10 / max(end - begin, 0.001) for begin, end in zip(begins, reached, strict=True)]


def _cpu_s(laptop: Laptop) -> dict[str, float]:
    """CPU seconds of each of the laptop's processes, with the children that live and those that ended."""
    spent: dict[str, float] = {}
    for status in laptop.status():
        if status.pid is None:
            continue
        root = psutil.Process(status.pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total = times.user + times.system + times.children_user + times.children_system
                spent[status.name] = spent.get(status.name, 0.0) + total
    return spent


def _idle(laptop: Laptop) -> dict[str, float]:
    """CPU seconds a second that each process takes while there is nothing to do."""
    before, began = _cpu_s(laptop), time.monotonic()
    time.sleep(_IDLE_S)
    after, took_s = _cpu_s(laptop), time.monotonic() - began
    return {name: (seconds - before.get(name, 0.0)) / took_s for name, seconds in after.items()}


def _line(name: str, seconds: float, idle_s: float, files: int) -> str:
    told = f"CPU {name:22} {seconds:7.1f} s {seconds / files * 1000:6.2f} ms a file"
    return f"{told}; idle it would have been {idle_s:5.1f} s: {(seconds - idle_s) / files * 1000:6.2f} ms a file beyond"


def _await_all(gate: Gate, files: int, started: float) -> Drained:
    moments: list[tuple[float, int]] = []
    begun = time.monotonic() - started
    while True:
        rest = look(gate)
        done = rest.sheet.outcome(Outcome.LOADED)
        moments.append((time.monotonic() - started, done))
        if rest.at_rest and rest.sheet.objects >= files:
            return Drained(begun, moments)
        time.sleep(1)


def _runs(pages: str) -> int:
    query = "{runsOrError(limit: 100000) {... on Runs {results {runId}}}}"
    request = urllib.request.Request(
        f"{pages}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return len(json.load(answer)["data"]["runsOrError"]["results"])


def main() -> None:
    """Start, drop, wait, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--backlog", action="store_true")
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data"))
    given = parser.parse_args()
    home = given.folder / "small"
    shutil.rmtree(home, ignore_errors=True)
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "readings.yaml").write_text(CONTRACT)
    os.environ["LAKEGATE_DATASETS"] = str((home / "datasets").resolve())
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(given.days)]
    laptop = Laptop(home / "laptop", any_port=True)
    try:
        environment = laptop.start(tied=True)
        deployment = Deployment.from_environment(environment)
        gate = open_gate(deployment, load_datasets(home / "datasets"))
        s3 = client("s3")

        def put(number: int) -> None:
            day = days[number % len(days)]
            key = f"landing/readings/{day}/part-{number:06d}.csv"
            s3.put_object(Bucket=deployment.landing_bucket, Key=key, Body=_file(random.Random(number), day, number))

        if given.backlog:
            gate.ledger.pauses.pause("readings", "benchmark", "the files are to be a backlog")
        pages = laptop.start_dagster(environment, tied=True, warm_workers=True)
        time.sleep(_SETTLE_S)
        idle = _idle(laptop)
        before, load_before = _cpu_s(laptop), os.getloadavg()[0]
        measured_from = started = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            for _ in pool.map(put, range(given.files)):
                pass
        put_s = time.monotonic() - started
        if given.backlog:
            while look(gate).sheet.objects < given.files:
                time.sleep(1)
            before, measured_from = _cpu_s(laptop), time.monotonic()
            gate.ledger.pauses.resume("readings", "benchmark")
        drained = _await_all(gate, given.files, started)
        measured_s = time.monotonic() - measured_from
        after, load_after = _cpu_s(laptop), os.getloadavg()[0]
        runs = _runs(pages)
        outputs = sum(1 for _ in gate.tables.data_files(gate.datasets.datasets[0]))
        loaded = look(gate).sheet.outcome(Outcome.LOADED)
    finally:
        laptop.stop_started()
    if loaded != given.files:
        raise SystemExit(f"{loaded} of {given.files} files were loaded: nothing is counted")
    end_s = drained.moments[-1][0]
    print(f"{given.files:,} files over {len(days)} days, {runs} runs, {outputs} data files")
    print(f"load average {load_before:.1f} before, {load_after:.1f} after; the PUTs took {put_s:.0f} s")
    if given.backlog:
        rates = drained.tenths(given.files)
        print(f"backlog to all at rest     {given.files / (end_s - drained.first_work_s):7.1f} files/s")
        print("each tenth, files/s        " + " ".join(f"{rate:.0f}" for rate in rates))
    else:
        print(f"first PUT to all at rest   {given.files / end_s:7.1f} files/s")
        print(f"last PUT to all at rest    {given.files / (end_s - put_s):7.1f} files/s ({end_s - put_s:.0f} s)")
    spent = {name: after[name] - before.get(name, 0.0) for name in after}
    ours = sum(seconds for name, seconds in spent.items() if name not in _NOT_OURS)
    for name, seconds in sorted(spent.items()):
        print(_line(name, seconds, idle.get(name, 0.0) * measured_s, given.files))
    idle_s = measured_s * sum(rate for name, rate in idle.items() if name not in _NOT_OURS)
    print(_line("of Lakegate", ours, idle_s, given.files))


if __name__ == "__main__":
    main()
