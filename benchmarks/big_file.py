"""One big file through the whole stack on the laptop's AWS, with a real Dagster daemon and warm workers: memory, disk, time, and a kill half-way.

    python -m benchmarks.big_file [--gigabytes 5] [--format csv|jsonl] [--kill-at 0.5] [--source FILE] [--picture FILE.png]

The file is made by `benchmarks/generate.py` (or is `--source`), uploaded in parts, and read by the run that its notification starts. Every second
the memory of each process is sampled (PSS: shared pages counted once) and what lies on disk where temporary files go, files without a name among
it. The emulator's processes are counted apart: they stand for AWS. With `--kill-at` the run's process and its reader are killed (SIGKILL)
at that share of the file, and whatever takes the file afterwards finishes it. At the end the rows in the table are counted by a query, and their
sums compared with those of the source by DuckDB; and the books are proved.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from boto3.s3.transfer import TransferConfig

from lakegate.cli.proof import prove_books
from lakegate.local.laptop import Laptop
from lakegate.status import FileRead, files_read, look
from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from resources.assembly import open_gate
from resources.environment import Deployment, client

_READER = "pipelines.reading.worker"
_SUMS = (
    "count(*) AS n, count(DISTINCT id) AS ids, sum(id) AS s, sum(customer_id) AS c, sum(quantity) AS q, sum(price) AS p"
)
_PART_BYTES = 64 << 20


@dataclass
class Watch:
    """What the processes took, by what they are: the highest of any one of a kind, and the CPU of all of them."""

    laptop: Laptop
    scratch: Path
    peak_mb: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    cpu_s: dict[tuple[str, int], float] = field(default_factory=dict)
    peak_together_mb: float = 0.0
    peak_disk_mb: float = 0.0

    def look(self) -> None:
        """Sample once."""
        together = 0.0
        unnamed = 0
        for kind, process in self._processes():
            with contextlib.suppress(psutil.Error, OSError):
                times = process.cpu_times()
                self.cpu_s[kind, process.pid] = times.user + times.system
                mb = process.memory_full_info().pss / 1e6
                self.peak_mb[kind] = max(self.peak_mb[kind], mb)
                if kind != "emulator":
                    together += mb
                    unnamed += _unnamed_bytes(process.pid, self.scratch)
        named = sum(_size(path) for path in self.scratch.rglob("*"))
        self.peak_together_mb = max(self.peak_together_mb, together)
        self.peak_disk_mb = max(self.peak_disk_mb, (named + unnamed) / 1e6)

    def readers(self) -> list[psutil.Process]:
        """The reading processes, the busiest last."""
        readers = [process for kind, process in self._processes() if kind == "reader"]
        return sorted(readers, key=lambda process: self.cpu_s.get(("reader", process.pid), 0.0))

    def of_kind(self) -> dict[str, float]:
        """CPU seconds by kind of process, those that have ended among them."""
        totals: dict[str, float] = defaultdict(float)
        for (kind, _), seconds in self.cpu_s.items():
            totals[kind] += seconds
        return totals

    def _processes(self) -> Iterator[tuple[str, psutil.Process]]:
        for status in self.laptop.status():
            if status.pid is None:
                continue
            with contextlib.suppress(psutil.Error):
                root = psutil.Process(status.pid)
                for process in [root, *root.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        is_reader = _READER in process.cmdline()
                        kind = "emulator" if status.name in ("ministack", "athena") else status.name
                        yield "reader" if is_reader else kind, process


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size if path.is_file() else 0
    return 0


def _unnamed_bytes(pid: int, folder: Path) -> int:
    """Files of a process that were made in the folder and unlinked: they take room until they are closed."""
    total = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(link)
            if target.startswith(str(folder)) and target.endswith("(deleted)"):
                total += link.stat().st_size
    return total


def main() -> None:
    """Make the file, start, drop, watch, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--format", choices=["csv", "jsonl"], default="csv")
    parser.add_argument("--kill-at", type=float)
    parser.add_argument("--source", type=Path, help="a file that is there, with its .yaml beside it")
    parser.add_argument("--picture", type=Path, help="where to put a picture of the run's page while the file is read")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data"))
    given = parser.parse_args()
    home = (given.folder / "big").resolve()
    shutil.rmtree(home, ignore_errors=True)
    source = (given.source or _generated(home, given.gigabytes, given.format)).resolve()
    for folder in ("datasets", "tmp"):
        (home / folder).mkdir(parents=True)
    shutil.copy(source.with_suffix(".yaml"), home / "datasets" / "wide.yaml")
    os.environ |= {"LAKEGATE_DATASETS": str(home / "datasets"), "TMPDIR": str(home / "tmp")}
    laptop = Laptop(home / "laptop", any_port=True)
    try:
        environment = laptop.start(tied=True)
        deployment = Deployment.from_environment(environment)
        gate = open_gate(deployment, load_datasets(home / "datasets"))
        address = laptop.start_dagster(environment, tied=True, warm_workers=True)
        watch = Watch(laptop, home / "tmp")
        watch.look()
        before = watch.of_kind()
        started = time.monotonic()
        key = f"landing/wide/{source.name}"
        parts = TransferConfig(multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, max_concurrency=2)
        client("s3").upload_file(str(source), deployment.landing_bucket, key, Config=parts)
        uploaded = time.monotonic()
        print(f"{source.name}: {source.stat().st_size / 1e9:.2f} GB uploaded in {uploaded - started:.0f} s", flush=True)
        _wait(gate, watch, given, address)
        wall_s = time.monotonic() - uploaded
        _print(watch, before, source, wall_s)
        _check(gate, source, home / "tmp")
        _print_events(home / "laptop" / "dagster")
    finally:
        laptop.stop_started()
        shutil.rmtree(home, ignore_errors=True)


def _generated(home: Path, gigabytes: float, form: str) -> Path:
    command = [sys.executable, "-m", "benchmarks.generate", str(home / "source")]
    subprocess.run([*command, "--gigabytes", str(gigabytes), "--format", form], check=True)
    return home / "source" / f"wide.{form}"


def _wait(gate: Gate, watch: Watch, given: argparse.Namespace, address: str) -> None:
    """Until all is at rest, killing on the way if asked for, and saying what `lakegate status` would say."""
    told, killed, pictured = None, False, False
    while True:
        watch.look()
        under_way = files_read(gate)
        for file in under_way:
            if file.reading != told:
                told = file.reading
                print(f"  status: {file.sentence()}", flush=True)
            if given.kill_at is not None and not killed and _share(file) >= given.kill_at:
                killed = True
                _kill(watch)
            if given.picture is not None and not pictured and _share(file) >= 0.4:
                pictured = True
                _picture(f"{address}/runs/{file.run}", given.picture)
        rest = look(gate)
        if rest.at_rest and rest.sheet.objects:
            return
        time.sleep(1)


def _share(file: FileRead) -> float:
    return file.reading.bytes_read / file.reading.size_bytes


def _kill(watch: Watch) -> None:
    """The run's process and its reader at once, as a machine that goes would take them."""
    reader = watch.readers()[-1]
    run = reader.parent()
    assert run is not None
    print(
        f"  killing the run's process {run.pid} ({' '.join(run.cmdline()[:4])} …) and its reader {reader.pid}",
        flush=True,
    )
    os.kill(run.pid, signal.SIGKILL)
    os.kill(reader.pid, signal.SIGKILL)


def _picture(url: str, path: Path) -> None:
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.goto(url)
        page.wait_for_timeout(8000)
        page.screenshot(path=path)
        browser.close()


def _print(watch: Watch, before: dict[str, float], source: Path, wall_s: float) -> None:
    after = watch.of_kind()
    cpu = {kind: seconds - before.get(kind, 0.0) for kind, seconds in after.items()}
    ours = sum(seconds for kind, seconds in cpu.items() if kind != "emulator")
    size_mb = source.stat().st_size / 1e6
    print(f"uploaded to at rest       {wall_s:8.0f} s   {size_mb / wall_s:6.1f} MB/s")
    print(
        f"our CPU                   {ours:8.0f} s   {ours / size_mb * 1000:6.1f} s a GB   (the emulator's {cpu['emulator']:.0f} s)"
    )
    for kind, mb in sorted(watch.peak_mb.items(), key=lambda one: -one[1]):
        print(f"peak of one process       {mb:8.0f} MB  {kind}")
    print(f"peak of ours together     {watch.peak_together_mb:8.0f} MB")
    print(f"peak of temporary files   {watch.peak_disk_mb:8.0f} MB  {watch.peak_disk_mb / size_mb:.0%} of the file")


def _check(gate: Gate, source: Path, scratch: Path) -> None:
    """Say whether all is right; the process fails where it is not."""
    import duckdb

    kind = "read_csv" if source.suffix == ".csv" else "read_json"
    types = "{'id': 'BIGINT', 'customer_id': 'BIGINT', 'quantity': 'BIGINT', 'price': 'DECIMAL(10,2)'}"
    named = f"types={types}" if kind == "read_csv" else f"format='newline_delimited', columns={types}"
    truth = duckdb.connect().execute(f"SELECT {_SUMS} FROM {kind}('{source}', {named})").fetchone()
    assert gate.queries is not None
    [row] = gate.queries.query(f"SELECT {_SUMS} FROM wide").table.to_pylist()
    found = tuple(row.values())
    problems = [] if _same(found, truth) else [f"the table has {found}, the source {truth}"]
    problems += prove_books(gate).problems
    left = [str(path) for path in scratch.glob("lakegate-attempt-*")]
    problems += [f"left behind: {path}" for path in left]
    print(problems if problems else f"rows in the table         {found[0]:,}; sums equal to the source's, books proved")
    if problems:
        raise SystemExit(1)


def _same(found: tuple[Any, ...], truth: tuple[Any, ...] | None) -> bool:
    return truth is not None and [str(value) for value in found] == [str(value) for value in truth]


def _print_events(dagster_home: Path) -> None:
    """What the event log of each run says of the file."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        for record in reversed(instance.get_run_records()):
            run = record.dagster_run
            said = [one for one in instance.all_logs(run.run_id) if " read, " in one.user_message]
            print(f"run {run.run_id} {run.status.value}: {len(said)} lines of progress in its event log")
            for one in said:
                print(f"  {one.user_message}")


if __name__ == "__main__":
    main()
