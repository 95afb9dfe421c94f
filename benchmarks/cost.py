"""What a file costs on AWS: requests, units and bytes a file, counted at the wire on the laptop's AWS, and what they come to in dollars.

    python -m benchmarks.cost [--case 20KB:500 --case 1MB:200 --case 100MB:10] [--folder benchmarks/data]

For each size: Dagster with warm workers runs and has loaded one file; the dataset is paused, the files land and are registered, the dataset is
resumed: so all of them go into full batches (500 files or 1 GiB). What Dagster and its runs ask of AWS from the first of them on goes through a
counting proxy, until all is at rest and the history is exported; what they ask anyway at rest is counted for a minute after that and taken
off. What the producer, Athena's own reading and this script ask is not counted. CPU is that of all of Lakegate's processes, less what they
use at rest. Prices are in `benchmarks/prices.py`; `docs/cost.md` has the tables.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.aws_requests import Asked, CountingProxy
from benchmarks.prices import AS_OF, FIXED_A_MONTH, bill_of, glue_bill, lambda_bill
from benchmarks.small_files import CONTRACT
from lakegate.local.laptop import Laptop
from lakegate.status import look
from pipelines.accounting.states import Outcome
from pipelines.contracts.loading import load_datasets
from resources.assembly import open_gate
from resources.environment import Deployment, client

DAY = date(2024, 1, 1)
REST_S = 60.0
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
Counts = Mapping[tuple[str, str], Asked]


@dataclass(frozen=True, slots=True)
class Case:
    """So many files of about so many bytes."""

    label: str
    size_bytes: int
    files: int

    @staticmethod
    def parse(text: str) -> "Case":
        """From `20KB:500`."""
        label, _, files = text.partition(":")
        return Case(label, int(float(label[:-2]) * _UNITS[label[-2:]]), int(files))


def content_of(rng: random.Random, number: int, size_bytes: int) -> bytes:
    """Rows of the dataset `readings` up to about the size; the primary key (sensor, moment) is each file's own."""
    lines = ["sensor,moment,value,unit,note"]
    length = len(lines[0]) + 1
    row = 0
    while length < size_bytes:
        second, fraction = divmod(row, 1_000)
        sensor = number * 100 + second // 86_400
        second %= 86_400
        at = f"{DAY}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{fraction:03d}"
        lines.append(f"{sensor},{at},{rng.gauss(20, 5):.6f},{'CFK'[row % 3]},reading {row} of it")
        length += len(lines[-1]) + 1
        row += 1
    return ("\n".join(lines) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Counted:
    """What so many files asked for, less what is asked for at rest, and what that is in a minute; CPU seconds likewise."""

    case: Case
    asked: Counts
    at_rest_a_minute: Counts
    cpu_s: float

    @property
    def requests_a_file(self) -> float:
        """With the message that S3 itself sends for each file."""
        return 1 + sum(asked.requests for asked in self.asked.values()) / self.case.files


def run_case(case: Case, folder: Path) -> Counted:
    """Let Lakegate take the files, and count."""
    home = folder / f"cost-{case.label}"
    shutil.rmtree(home, ignore_errors=True)
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "readings.yaml").write_text(CONTRACT)
    os.environ["LAKEGATE_DATASETS"] = str((home / "datasets").resolve())
    rng = random.Random(7)
    laptop = Laptop(home / "laptop", any_port=True)
    proxies: list[CountingProxy] = []

    def look_at() -> tuple[float, float, dict[tuple[str, str], Asked]]:
        return time.monotonic(), _cpu_s(laptop), _all(proxies)

    try:
        environment = laptop.start(tied=True)
        deployment = Deployment.from_environment(environment)
        gate = open_gate(deployment, load_datasets(home / "datasets"))
        s3 = client("s3")

        def land(number: int) -> None:
            content = content_of(rng, number, case.size_bytes if number else 1_000)
            s3.put_object(
                Bucket=deployment.landing_bucket, Key=f"landing/readings/{DAY}/part-{number:05d}.csv", Body=content
            )

        counted = dict(environment)
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ATHENA"):
            proxies.append(CountingProxy(environment[name]))
            counted[name] = proxies[-1].url
        # Celery asks the very address of its queue.
        for name in ("LAKEGATE_QUEUE_URL", "LAKEGATE_DLQ_URL", "LAKEGATE_RUN_QUEUE_URL"):
            counted[name] = f"{proxies[0].url}{urlsplit(environment[name]).path}"
        pages = laptop.start_dagster(counted, tied=True, warm_workers=True)
        os.environ.update(environment)

        def is_over(objects: int) -> bool:
            rest = look(gate)
            return rest.at_rest and rest.sheet.objects == objects and not _runs_under_way(pages)

        land(0)
        _await(lambda: is_over(1))
        gate.ledger.pauses.pause("readings", "benchmark", "the files are to go into full batches")
        began, cpu_began, before = look_at()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(land, range(1, case.files + 1)))
        _await(lambda: look(gate).sheet.objects == case.files + 1)
        gate.ledger.pauses.resume("readings", "benchmark")
        _await(lambda: is_over(case.files + 1))
        command = [sys.executable, "-m", "lakegate.cli.main", "history", "export"]
        subprocess.run(command, check=True, env={**os.environ, **counted}, stdout=subprocess.DEVNULL)
        ended, cpu_ended, whole = look_at()
        loaded = look(gate).sheet.outcome(Outcome.LOADED)
        time.sleep(REST_S)
        rested, cpu_rested, after = look_at()
    finally:
        laptop.stop()
        for proxy in proxies:
            proxy.close()
    if loaded != case.files + 1:
        raise SystemExit(f"{loaded} of {case.files + 1} files were loaded: nothing is counted")
    rest = {name: asked - whole.get(name, Asked()) for name, asked in after.items()}
    share = (ended - began) / (rested - ended)
    asked = {
        name: (asked - before.get(name, Asked()) - rest[name] * share).at_least_none for name, asked in whole.items()
    }
    minute = {name: asked * (60 / (rested - ended)) for name, asked in rest.items()}
    return Counted(case, asked, minute, cpu_ended - cpu_began - share * (cpu_rested - cpu_ended))


def _runs_under_way(pages: str) -> bool:
    """Whether a run still works: its checks ask Athena after the ledger is at rest."""
    query = "{runsOrError(filter: {statuses: [QUEUED, STARTING, STARTED]}) {... on Runs {results {runId}}}}"
    request = urllib.request.Request(
        f"{pages}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bool(json.load(answer)["data"]["runsOrError"]["results"])


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 1800
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("not at rest after half an hour")
        time.sleep(1)


def _all(proxies: list[CountingProxy]) -> dict[tuple[str, str], Asked]:
    counts: dict[tuple[str, str], Asked] = defaultdict(Asked)
    for proxy in proxies:
        for name, asked in proxy.counts().items():
            counts[name] += asked
    return dict(counts)


def _cpu_s(laptop: Laptop) -> float:
    total = 0.0
    for status in laptop.status():
        if status.pid is None or status.name in ("ministack", "athena"):
            continue
        root = psutil.Process(status.pid)
        for process in [root, *root.children(recursive=True)]:
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def main() -> None:
    """Run each case, print the counts and the dollars as the tables of docs/cost.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data"))
    given = parser.parse_args()
    done = [run_case(Case.parse(text), given.folder) for text in given.case or ["20KB:500", "1MB:200", "100MB:10"]]
    for counted in done:
        _print_counts(counted)
    _print_dollars(done)


def _print_counts(counted: Counted) -> None:
    files = counted.case.files
    print(
        f"\n{files} files of {counted.case.label}: {counted.requests_a_file:.2f} requests a file, {counted.cpu_s / files * 1000:.1f} ms CPU a file\n"
    )
    print("| service | operation | a file | at rest, a minute | units a file | bytes sent, received a file |")
    print("|---|---|---|---|---|---|")
    for (service, operation), asked in sorted(counted.asked.items()):
        at_rest = counted.at_rest_a_minute.get((service, operation), Asked()).requests
        units = (asked.read_units + asked.write_units) / files
        print(f"| {service} | {operation} | {asked.requests / files:.3f} | {at_rest:.0f} | {f'{units:.1f}' if units else ''} | {asked.sent_bytes / files:,.0f}, {asked.received_bytes / files:,.0f} |")  # fmt: skip


def _print_dollars(done: Sequence[Counted]) -> None:
    print(f"\nDollars for a million files, list prices of us-east-1, {AS_OF}\n")
    print("| | " + " | ".join(counted.case.label for counted in done) + " |")
    print("|---|" + "---|" * len(done))
    ours = [bill_of(c.asked, c.case.files, c.cpu_s) for c in done]
    services = sorted({service for bill in ours for service in bill.dollars})
    for service in services:
        _print_row(f"Lakegate: {service}", [bill.dollars.get(service, 0.0) for bill in ours])
    _print_row("**Lakegate**", [bill.total for bill in ours])
    for name, bills in (
        ("Lambda", [lambda_bill(_seconds(c)) for c in done]),
        ("Glue job", [glue_bill(_seconds(c)) for c in done]),
    ):
        _print_row(f"**{name} a file**", [bill.total for bill in bills])
    print("\nA month, whether files come or not\n")
    at_rest = done[0].at_rest_a_minute
    idle: dict[str, float] = {**FIXED_A_MONTH, "requests at rest": bill_of(at_rest, 1, 0.0).total * 60 * 730}
    for what, dollars in idle.items():
        print(f"| {what} | {dollars:,.2f} |")
    print(f"| **together** | **{sum(idle.values()):,.2f}** |")


def _print_row(name: str, dollars: Sequence[float]) -> None:
    print(f"| {name} | " + " | ".join(f"{amount * 1e6:,.2f}" for amount in dollars) + " |")


def _seconds(counted: Counted) -> float:
    """How long one process would take for one file: our own time, and half a second of starting and of waiting for S3 and Glue."""
    return 0.5 + counted.cpu_s / counted.case.files


if __name__ == "__main__":
    main()
