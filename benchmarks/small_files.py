"""Many small files through the whole stack on the laptop's AWS, with a real Dagster daemon. Files a second, CPU a file.

    python -m benchmarks.small_files [--files 1000] [--folder benchmarks/data]

Files are about 20 KB of CSV, spread over ten landing days. The clock runs from the first PUT to all at rest; Dagster is up before it.
CPU is counted for each of the laptop's processes apart: the emulator's work is not ours. Run processes come and go:
theirs is what is left of the machine's busy time, so nothing else should run meanwhile.
"""

import argparse
import os
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import psutil

from lakegate.local.laptop import Laptop
from lakegate.status import look
from pipelines.accounting.states import Outcome
from pipelines.contracts.loading import load_datasets
from resources.assembly import open_gate
from resources.environment import Deployment, client

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


def _cpu_s(name: str, laptop: Laptop) -> float:
    pid = next((s.pid for s in laptop.status() if s.name == name), None)
    if pid is None:
        return 0.0
    total = 0.0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def main() -> None:
    """Start, drop, wait, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data"))
    given = parser.parse_args()
    home = given.folder / "small"
    shutil.rmtree(home, ignore_errors=True)
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "readings.yaml").write_text(CONTRACT)
    os.environ["LAKEGATE_DATASETS"] = str((home / "datasets").resolve())
    rng = random.Random(7)
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(10)]
    files = [
        (f"landing/readings/{days[n % 10]}/part-{n:05d}.csv", _file(rng, days[n % 10], n)) for n in range(given.files)
    ]
    laptop = Laptop(home / "laptop", any_port=True)
    try:
        environment = laptop.start(tied=True)
        deployment = Deployment.from_environment(environment)
        gate = open_gate(deployment, load_datasets(home / "datasets"))
        laptop.start_dagster(environment, tied=True)
        names = ("ministack", "dagster-daemon", "dagster-webserver")
        before = {name: _cpu_s(name, laptop) for name in names}
        busy_before = psutil.cpu_times()
        s3 = client("s3")
        started = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda f: s3.put_object(Bucket=deployment.landing_bucket, Key=f[0], Body=f[1]), files))
        put_s = time.monotonic() - started
        while True:
            rest = look(gate, deployment)
            if rest.at_rest and rest.sheet.objects >= given.files:
                break
            time.sleep(0.5)
        wall_s = time.monotonic() - started
        busy = psutil.cpu_times()
        after = {name: _cpu_s(name, laptop) for name in names}
    finally:
        laptop.stop_started()
    size_kb = sum(len(content) for _, content in files) / len(files) / 1000
    emulator = after["ministack"] - before["ministack"]
    all_busy = (busy.user + busy.system) - (busy_before.user + busy_before.system)
    loaded = rest.sheet.outcome(Outcome.LOADED)
    print(f"{given.files} files of {size_kb:.0f} KB over {len(days)} days: {loaded} loaded")
    print(
        f"first PUT to all at rest   {wall_s:7.1f} s   {given.files / wall_s:6.1f} files/s   (the PUTs alone {put_s:.1f} s)"
    )
    print(f"CPU of the machine         {all_busy:7.1f} s   {all_busy / given.files * 1000:6.1f} ms a file")
    print(f"CPU of the emulator        {emulator:7.1f} s   {emulator / given.files * 1000:6.1f} ms a file")
    print(
        f"CPU of everything else     {all_busy - emulator:7.1f} s   {(all_busy - emulator) / given.files * 1000:6.1f} ms a file"
    )


if __name__ == "__main__":
    main()
