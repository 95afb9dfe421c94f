"""A long run: the laptop's whole stack at a steady rate while its processes are killed at random; is everything flat, and every row right?

    python -m benchmarks.soak [--minutes 60] [--rate 2] [--kill-every 120] [--seed 1] [--folder benchmarks/data]

Dagster's daemon, web server and two warm workers are the real ones. Killed (SIGKILL) are a worker's process, Celery itself, the reading child, the
daemon and its code server; the laptop's AWS is stopped for some seconds (SIGSTOP), never killed. Every ten seconds memory (PSS),
open files and threads of each kind of process are looked at; ticks come from Dagster, latencies from the ledger, and requests
are counted by a proxy before the AWS. In the end all must come to rest, `status --prove` must add up, and the tables must hold
exactly the rows of the serving versions. `soak.json` and `soak.png` are written into the folder; exit code 1 for a wrong row or a series that
grows (`soak_report.py` says from when on).
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import psutil

from benchmarks.aws_requests import CountingProxy
from benchmarks.soak_report import draw, fits
from benchmarks.soak_traffic import CONTRACTS, DATASETS, Producer, moment
from lakegate.local.laptop import Laptop
from lakegate.status import look
from pipelines.accounting.states import Outcome, State
from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from resources.assembly import open_gate, query_engine
from resources.environment import Deployment, client

_EVERY_S = 10.0
_YOUNG_S = 60.0
"""A process that has just been started again is warming up: it is not looked at."""
_REST_LIMIT_S = 1800.0
_LOOKS = 50
_READS = ("BatchGetItem", "GetItem", "Query", "TransactGetItems")
_TARGETS = ("worker process", "worker", "reading child", "daemon", "code server", "pause")


class Processes:
    """The laptop's processes by what they are."""

    def __init__(self, laptop: Laptop) -> None:
        self._laptop = laptop

    @property
    def home(self) -> Path:
        """Where all of the laptop's state lies."""
        return self._laptop.home

    def kinds(self) -> dict[str, list[psutil.Process]]:
        """Every living process of the laptop under the name of its kind."""
        found: dict[str, list[psutil.Process]] = {"soak": [psutil.Process()]}
        for path in (self._laptop.home / "run").glob("*.json"):
            try:
                root = psutil.Process(json.loads(path.read_text())["pid"])
                below = root.children(recursive=True)
            except (psutil.Error, ValueError, OSError):
                continue
            for process in (root, *below):
                try:
                    line, parent = " ".join(process.cmdline()), process.ppid()
                    above = "" if process is root else " ".join(psutil.Process(parent).cmdline())
                except psutil.Error:
                    continue
                kind = path.stem if process is root else _kind(path.stem, line, above)
                found.setdefault(kind, []).append(process)
        return found


def _kind(leader: str, line: str, above: str) -> str:
    if "pipelines.reading.worker" in line:
        return "reading child"
    if "celery" in line:
        return "worker process" if "celery" in above else "worker"
    if "lakegate.workers.lost" in line:
        return "teller"
    if "grpc" in line or "code-server" in line:
        return "code server" if leader == "dagster-daemon" else "code server of the pages"
    return f"below {leader}"


def _pss_mb(process: psutil.Process) -> float:
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return int(text.split("\nPss:", 1)[1].split(None, 1)[0]) / 1000


def _size_gb(folder: Path) -> float:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total / 1e9


class Sampler(threading.Thread):
    """Looks every ten seconds until stopped."""

    def __init__(self, processes: Processes, gate: Gate, proxy: CountingProxy, began: float) -> None:
        super().__init__(daemon=True)
        self.series: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[float, float, float]] = []
        self._processes, self._gate, self._proxy, self._began = processes, gate, proxy, began
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self.join()

    def add(self, name: str, unit: str, at: float, value: float) -> None:
        """One point; `at` in seconds since the beginning."""
        self.series.setdefault(name, {"unit": unit, "points": []})["points"].append([round(at, 1), round(value, 3)])

    def run(self) -> None:
        """Look."""
        while not self._stopping.wait(_EVERY_S):
            at = time.time() - self._began
            for kind, processes in self._processes.kinds().items():
                each: list[tuple[float, int, int]] = []
                for process in processes:
                    try:
                        if time.time() - process.create_time() < _YOUNG_S:
                            continue
                        each.append((_pss_mb(process), process.num_fds(), process.num_threads()))
                    except (psutil.Error, OSError, IndexError):
                        continue
                # The largest of its kind: how many there are changes with the kills, what one holds must not.
                if each:
                    self.add(f"memory {kind}", "MB", at, max(e[0] for e in each))
                    self.add(f"open files {kind}", "files", at, max(e[1] for e in each))
                    self.add(f"threads {kind}", "threads", at, max(e[2] for e in each))
            self.add("load average", "load", at, os.getloadavg()[0])
            if len(self.requests) % 6 == 0:
                self.add("disk", "GB", at, _size_gb(self._processes.home))
            asked = {
                name: one.requests for (service, name), one in self._proxy.counts().items() if service == "dynamodb"
            }
            reads = sum(number for name, number in asked.items() if name in _READS)
            self.requests.append((at, reads, sum(asked.values()) - reads))
            try:
                rest = look(self._gate)
            except Exception as error:  # noqa: BLE001 - the AWS is paused: the next look is as good
                print(f"{moment(time.time())} no look at the backlog: {error}", flush=True)
                continue
            self.add("backlog", "files", at, rest.sheet.outcome(Outcome.PENDING) + rest.messages)


class Killer:
    """Kills what it draws."""

    def __init__(
        self, laptop: Laptop, processes: Processes, again: Callable[[], object], seed: int, began: float
    ) -> None:
        self.kills: list[dict[str, Any]] = []
        self._laptop, self._processes, self._again, self._began = laptop, processes, again, began
        self._rng = random.Random(seed)

    def strike(self) -> None:
        """One kill, or one pause; then what nobody else starts again is started."""
        victims: dict[str, list[psutil.Process]] = {}
        there = {"dagster-daemon": "daemon", "ministack": "pause"}
        what = self._rng.choice(_TARGETS)
        for _ in range(_LOOKS):  # a reading child lives as long as its run
            victims = {there.get(kind, kind): found for kind, found in self._processes.kinds().items()}
            if victims.get(what):
                break
            time.sleep(0.2)
        chosen = victims.get(what) or victims.get("worker process") or []
        if not chosen:
            return
        what = what if victims.get(what) else "worker process"
        process = self._rng.choice(chosen)
        pause_s = self._rng.uniform(3, 8)
        self.kills.append({"at": round(time.time() - self._began, 1), "what": what, "pid": process.pid})
        print(f"{moment(time.time())} {what}: process {process.pid}", flush=True)
        try:
            if what == "pause":
                process.send_signal(signal.SIGSTOP)
                try:
                    time.sleep(pause_s)
                finally:
                    process.send_signal(signal.SIGCONT)
            else:
                process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return
        time.sleep(2)
        self._again()


def _ticks(laptop: Laptop, began: float, sampler: Sampler) -> None:
    """The landing sensor's ticks, and the ledger's requests for each of them, into the series."""
    with dg.DagsterInstance.from_config(str(laptop.home / "dagster")) as instance:
        [state] = [s for s in instance.all_instigator_state() if s.instigator_name == "landing_sensor"]
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, after=began)
    ends = sorted(
        (t.timestamp - began, (t.end_timestamp or t.timestamp) - t.timestamp) for t in ticks if t.is_completed
    )
    for at, took in ends:
        sampler.add("tick", "s", at, took)
    step = 6  # a minute: fewer ticks would leave a coarse share
    for before, after in zip(sampler.requests[::step], sampler.requests[step::step], strict=False):
        number = sum(before[0] <= at < after[0] for at, _ in ends)
        if number:
            sampler.add("ledger reads", "requests", after[0], (after[1] - before[1]) / number)
            sampler.add("ledger writes", "requests", after[0], (after[2] - before[2]) / number)


def _latencies(gate: Gate, bucket: str, producer: Producer, began: float, sampler: Sampler) -> None:
    """From the end of each PUT to its version's commit, as the ledger's history tells."""
    wanted = [put for put in producer.puts if put.rows is not None]
    with ThreadPoolExecutor(4) as pool:
        histories = pool.map(lambda put: gate.ledger.history(bucket, put.key), wanted)
        for put, records in zip(wanted, histories, strict=True):
            at = [r.at.timestamp() for r in records if r.version_id == put.version_id and r.to_state is State.COMMITTED]
            if at:
                sampler.add("latency", "s", put.at - began, max(0.0, min(at) - put.at))
    sampler.series.setdefault("latency", {"unit": "s", "points": []})["points"].sort()


def _wrong(gate: Gate, deployment: Deployment, producer: Producer) -> list[str]:
    """Everything that is not as it must be at rest."""
    from lakegate.cli.proof import prove_books

    found = [f"status --prove: {problem}" for problem in prove_books(gate).problems]
    sheet = look(gate).sheet
    found += [f"the balance sheet: {problem}" for problem in sheet.problems]
    if sheet.objects != len(producer.puts):
        found.append(f"{len(producer.puts)} versions were put, the ledger has {sheet.objects}")
    bad = sum(put.rows is None for put in producer.puts)
    counted = Outcome.FAILED, Outcome.PENDING, Outcome.UNROUTED
    found += [f"{sheet.outcome(one)} files {one.value}" for one in counted if sheet.outcome(one)]
    if sheet.outcome(Outcome.QUARANTINED) > bad:
        found.append(f"{bad} bad files were put, {sheet.outcome(Outcome.QUARANTINED)} are quarantined")
    queries = query_engine(deployment)
    for dataset, serving in producer.serving().items():
        sql = f"SELECT _source_file f, _source_version v, count(*) n, count(DISTINCT id) d, sum(id) s FROM {dataset} GROUP BY 1, 2"
        there = {(r["f"], r["v"]): (r["n"], r["d"], int(r["s"])) for r in queries.query(sql).table.to_pylist()}
        must = {(p.key, p.version_id): (p.rows, p.rows, p.id_sum) for p in serving.values()}
        for which in sorted(there.keys() | must.keys()):
            if there.get(which) != must.get(which):
                found.append(f"{dataset} {which}: rows, ids, sum {there.get(which)}, must be {must.get(which)}")
    return found


def _await_rest(gate: Gate, again: Callable[[], object]) -> float:
    """Seconds until all was at rest in three looks in a row; raises TimeoutError."""
    began, calm = time.monotonic(), 0
    while calm < 3:
        if time.monotonic() - began > _REST_LIMIT_S:
            raise TimeoutError(f"not at rest after {_REST_LIMIT_S:.0f} s: {look(gate).sentence()}")
        time.sleep(3)
        again()
        calm = calm + 1 if look(gate).at_rest else 0
    return time.monotonic() - began


def soak(minutes: float, rate: float, kill_every_s: float, seed: int, home: Path) -> dict[str, Any]:
    """Run for so long, come to rest, and tell everything."""
    shutil.rmtree(home, ignore_errors=True)
    (home / "datasets").mkdir(parents=True)
    for name, text in CONTRACTS.items():
        (home / "datasets" / f"{name}.yaml").write_text(text)
    os.environ["LAKEGATE_DATASETS"] = str((home / "datasets").resolve())
    laptop = Laptop(home / "laptop", any_port=True)
    proxies: list[CountingProxy] = []
    try:
        environment = laptop.start(tied=True)
        deployment = Deployment.from_environment(environment)
        gate = open_gate(deployment, load_datasets(home / "datasets"))
        counted = dict(environment)
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ATHENA"):
            proxies.append(CountingProxy(environment[name]))
            counted[name] = proxies[-1].url
        for name in (
            "LAKEGATE_QUEUE_URL",
            "LAKEGATE_DLQ_URL",
            "LAKEGATE_RUN_QUEUE_URL",
        ):  # Celery asks the very address
            counted[name] = f"{proxies[0].url}{urlsplit(environment[name]).path}"

        def again() -> None:
            if any(not status.is_running for status in laptop.status() if status.name in ("dagster-daemon", "workers")):
                laptop.start_dagster(counted, tied=True, warm_workers=True)

        laptop.start_dagster(counted, tied=True, warm_workers=True)
        os.environ.update(environment)
        began = time.time()
        processes = Processes(laptop)
        sampler = Sampler(processes, gate, proxies[0], began)
        producer = Producer(client("s3"), deployment.landing_bucket, rate, seed)
        killer = Killer(laptop, processes, again, seed, began)
        print(f"{moment(began)} soaking for {minutes:g} minutes; {home}", flush=True)
        sampler.start()
        producer.start()
        rng = random.Random(seed)
        while (left := began + 60 * minutes - time.time()) > 0:
            time.sleep(min(left, kill_every_s * rng.uniform(0.5, 1.5)))
            if began + 60 * minutes - time.time() > 5:
                killer.strike()
        producer.stop()
        sampler.stop()
        print(f"{moment(time.time())} {len(producer.puts)} files; waiting for rest", flush=True)
        rest_s = _await_rest(gate, again)
        _ticks(laptop, began, sampler)
        _latencies(gate, deployment.landing_bucket, producer, began, sampler)
        wrong = _wrong(gate, deployment, producer)
    finally:
        laptop.stop()
        for proxy in proxies:
            proxy.close()
    return {
        "minutes": minutes,
        "rate": rate,
        "seed": seed,
        "warm_up_s": min(600.0, minutes * 60 / 3),
        "files": dict(producer.kinds()),
        "producer_retries": producer.retries,
        "datasets": DATASETS,
        "kills": killer.kills,
        "rest_s": round(rest_s, 1),
        "wrong": wrong,
        "series": sampler.series,
    }


def tell(report: Mapping[str, Any]) -> None:
    """Print what was found."""
    print(
        f"\nfiles: {report['files']}; {len(report['kills'])} kills and pauses; at rest {report['rest_s']:.0f} s after the last file"
    )
    latencies = [v for _, v in report["series"]["latency"]["points"]]
    if latencies:
        ordered = sorted(latencies)
        print(
            f"PUT to committed: p50 {statistics.median(ordered):.1f} s, p95 {ordered[int(0.95 * len(ordered))]:.1f} s"
        )
    print(f"\n{'':44}{'mean':>10}{'an hour':>10}{'share':>8}")
    for name, fit in report["fits"].items():
        said = "flat" if fit["flat"] else "GROWS"
        mark = said if fit["judged"] else f"({said})"
        print(f"{name:44}{fit['mean']:10.2f}{fit['slope_an_hour']:+10.2f}{fit['share_an_hour']:+8.1%}  {mark}")
    for problem in report["wrong"]:
        print(f"WRONG: {problem}")


def main() -> None:
    """Soak, fit, draw, tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=2, help="files a second")
    parser.add_argument("--kill-every", type=float, default=120, metavar="SECONDS", help="on average")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data"))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    home = given.folder.resolve() / "soak"
    report = soak(given.minutes, given.rate, given.kill_every, given.seed, home)
    report["fits"] = fits(report)
    (home / "soak.json").write_text(json.dumps(report))
    draw(report, home / "soak.png")
    tell(report)
    grows = [name for name, fit in report["fits"].items() if fit["judged"] and not fit["flat"]]
    sys.exit(1 if report["wrong"] or grows else 0)


if __name__ == "__main__":
    main()
