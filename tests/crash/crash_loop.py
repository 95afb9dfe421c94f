"""The crash loop: real processes over the laptop's AWS, killed at every point and at any, until enough have died.

    python -m tests.crash.crash_loop --kills 200 --seed 1

A supervisor drops files, keeps one intake process alive, starts a worker for each run that is requested, and sends most of
them into the world with a point to die at (`resources/crash_points.py`): each point that a quiet run passes in turn, then
any. Some are stopped past their lease instead, and woken when others have done their work. When enough have died nobody is killed
any more, and when all has come to rest, tables, ledger, queues and quarantine are held against what was dropped.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import multiprocessing.util
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil

from lakegate.local.laptop import Laptop
from lakegate.status import look
from pipelines.accounting.states import LIVE_BATCH_STATES, Outcome
from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from pipelines.intake.dispatching import RunState
from resources.assembly import open_gate
from resources.environment import Deployment, client
from tests.crash import processes
from tests.crash.evidence import Evidence, gather
from tests.crash.processes import BROKEN, Runs
from tests.crash.producer import DATASETS, POISON, REJECTS_ROWS, Producer, write_datasets
from tests.road.road import environment_kept, hasten_the_queue

LEASE_S = 3.0
_WORKERS = 2
_MOST_WAITING = 12
_DROP_EVERY_S = 0.5
_STOPS = {"intake": 0.13, "worker": 0.25}
"""Up to which chance (beyond 0.1, where nothing happens to it) a process is stopped and not killed."""
_ONCE = {
    "intake": tuple(
        f"{when}:ledger.{what}" for what in ("deployment", "datasets", "routing") for when in ("before", "after")
    ),
    "worker": ("before:catalog.CreateTable", "after:catalog.CreateTable"),
}
_TRIES = 4
"""How many processes are sent to die at a point of the quiet run; some points come only once, such as the making of a table."""


@dataclass
class Life:
    """One process, and what was meant for it. A `point` that is not `any` comes again until somebody died there."""

    role: str
    process: ForkServerProcess
    passed: Path
    log: Path
    point: str = ""
    tries: int = 0
    stops: bool = False
    run_key: str = ""
    stopped_at: float = 0.0
    wake_after_s: float = 0.0


@dataclass
class Report:
    """What the loop prints."""

    seed: int
    kills: int = 0
    stops: int = 0
    taken_over: int = 0
    restarts: int = 0
    seconds: float = 0.0
    points: int = 0
    died_at: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    redriven: int = 0
    scratch_left: int = 0
    evidence: Evidence = field(default_factory=Evidence)

    def lines(self) -> Iterator[str]:
        """The report, a fact a line."""
        found = self.evidence
        yield f"seed                    {self.seed}"
        yield f"kills (SIGKILL)         {self.kills} at {len(self.died_at)} of {self.points} points"
        yield f"stops (SIGSTOP)         {self.stops}, {self.taken_over} of them past the lease: their work was another's when they woke"
        yield f"restarts                {self.restarts}"
        yield f"files, versions         {found.files}, {found.versions}; {self.duplicates} events told twice"
        yield f"rows expected, found    {found.rows_expected}, {found.rows_found}"
        yield f"dead letters            {found.dead_letters}, and {self.redriven} redriven"
        yield f"left by the dead        {found.orphans} orphans, swept; {self.scratch_left} scratch folders"
        yield f"seconds                 {self.seconds:.0f}"
        yield f"differences             {len(found.differences)}"
        yield from found.differences

    def told(self) -> int:
        """Print it; the exit code that says whether there is a difference."""
        sys.stdout.write("\n".join([*self.lines(), ""]))
        return 1 if self.evidence.differences else 0


class CrashLoop:
    """The supervisor. It kills at least so many; with `every_point`, until somebody was sent to each point of a quiet run."""

    def __init__(self, home: Path, seed: int, kills: int, patience_s: float, *, every_point: bool = True) -> None:
        self.home, self.kills, self.ends = home, kills, time.monotonic() + patience_s
        self.rng = random.Random(seed)
        self.every_point = every_point
        self.report = Report(seed)
        self.runs = Runs(home / "runs")
        self.points: dict[str, list[str]] = {"intake": [], "worker": []}
        self.due: dict[str, deque[tuple[str, int]]] = {"intake": deque(), "worker": deque()}
        self.lives: list[Life] = []
        self.is_killing = False
        self._started = 0
        self._drop_at = 0.0
        # The fork server's socket lies outside of `home`: a path to a socket may have no more than about 100 bytes.
        multiprocessing.util.get_temp_dir()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.crash.warm"])
        for folder in ("runs", "lives", "tmp"):
            (home / folder).mkdir(parents=True)

    # ---- the whole

    def run(self) -> Report:
        """From an empty AWS to the report."""
        started = time.monotonic()
        with environment_kept():
            laptop = Laptop(self.home / "laptop", any_port=True)
            try:
                self._run(laptop)
            finally:
                for life in self.lives:
                    life.process.kill()
                    life.process.join()
                laptop.stop()
        self.report.scratch_left = len(list((self.home / "tmp").glob("lakegate-*")))
        self.report.seconds = time.monotonic() - started
        return self.report

    def _run(self, laptop: Laptop) -> None:
        # Of the scratch folders of the dead, those of this loop are to be counted.
        self.datasets = write_datasets(self.home / "datasets")
        os.environ.update(
            TMPDIR=str(self.home / "tmp"),
            LAKEGATE_LEASE_S=str(LEASE_S),
            LAKEGATE_PAUSE_AFTER="10000",
            LAKEGATE_DATASETS=str(self.datasets),
        )
        # Readers start by the hundred: compiled once.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        laptop.start(tied=True)
        self.deployment = Deployment.from_environment()
        self.gate: Gate = open_gate(self.deployment, load_datasets(self.datasets))
        self.producer = Producer(self.deployment, self.rng)
        hasten_the_queue(self.deployment, receives=10, again_after_s=2)  # so many die here with messages in hand
        if self.every_point:
            self._first_run()
        self._quiet_run()
        self.is_killing = True
        if self.every_point:
            self.producer.send(POISON)
        self._loop(self._is_enough)
        self.is_killing = False
        self._loop(self._is_at_rest)
        self.report.duplicates = self.producer.duplicates
        self.report.evidence = gather(self.gate, self.deployment, self.producer)
        self._leftover_processes()

    def _first_run(self) -> None:
        """Deaths at what is done once in the life of a deployment or a table."""
        self.due = {role: deque((point, _TRIES) for point in points) for role, points in _ONCE.items()}
        self.is_killing = True
        self._loop(lambda: not any(self.due.values()) and not any(life.tries for life in self.lives))
        self.is_killing = False
        self._loop(self._is_at_rest)

    def _quiet_run(self) -> None:
        """Files of each kind, and nobody dies: the points that are passed are those to die at."""
        for n in (1, 2):
            for dataset in DATASETS if self.every_point else REJECTS_ROWS:
                for bad in (0, 1):
                    key = f"landing/{dataset}/2026-02-01/quiet-{bad}.csv"
                    key = key if dataset != "clicks" else f"landing/clicks/quiet-{bad}.csv"
                    self.producer.write(dataset, key, ((n, 0), (n + 10, 1)), bad)
            self._loop(self._is_at_rest)
        for life in sorted((self.home / "lives").glob("*.points")):
            role = life.name.split("-")[1].removesuffix(".points")
            seen = self.points[role]
            seen.extend(p for p in dict.fromkeys(_passed(life)) if p not in seen)
        self.report.points = len({point for points in self.points.values() for point in points})
        for role, points in self.points.items():
            wanted = len(points) if self.every_point else min(len(points), self.kills // 2)
            self.due[role] = deque((point, _TRIES) for point in self.rng.sample(points, wanted))

    # ---- the loop

    def _loop(self, is_over: Callable[[], bool]) -> None:
        while True:
            for life in list(self.lives):
                self._look_after(life)
            self._start_what_is_due()
            if self.is_killing and time.monotonic() > self._drop_at:
                self._drop_at = time.monotonic() + _DROP_EVERY_S
                self._drop()
            if is_over():
                return
            if time.monotonic() > self.ends:
                raise TimeoutError(
                    f"not at rest in time (seed {self.report.seed}, {self.report.kills} kills): "
                    f"{look(self.gate).sentence()}; alive: {[(life.role, life.point) for life in self.lives]}"
                )
            time.sleep(0.05)

    def _drop(self) -> None:
        """Land a file, unless so many wait already that little else would be seen but the same files dying again."""
        known = look(self.gate).sheet
        if len(self.producer.versions()) - known.objects + known.outcome(Outcome.PENDING) < _MOST_WAITING:
            self.producer.drop()
            if self.rng.random() < 0.2:
                self.producer.tell_again()

    def _start_what_is_due(self) -> None:
        intakes = [life for life in self.lives if life.role == "intake" and not life.stopped_at]
        if not intakes:
            self._start("intake", processes.intake)
        at_work = sum(life.role == "worker" and not life.stopped_at for life in self.lives)
        for run in self.runs.requested()[: _WORKERS - at_work]:
            self.runs.set(run["run_key"], RunState.STARTED)
            in_process = self.rng.random() < 0.7
            self._start("worker", processes.worker, run["run_key"], run["dataset"], in_process)

    def _start(self, role: str, target: Callable[..., None], run_key: str = "", *more: Any) -> None:
        self._started += 1
        passed = self.home / "lives" / f"{self._started:05d}-{role}.points"
        log = passed.with_suffix(".log")
        environment = {"LAKEGATE_CRASH_LOG": str(passed), "LAKEGATE_CRASH_AT": "", "LAKEGATE_STOP_AT": ""}
        point, tries, stops = self._fate(role)
        environment["LAKEGATE_STOP_AT" if stops else "LAKEGATE_CRASH_AT"] = point
        process = self._context.Process(
            target=target, args=(environment, self.datasets, log, self.runs, run_key, *more)
        )
        process.start()
        life = Life(role, process, passed, log, point, tries, stops, run_key)
        life.wake_after_s = self.rng.uniform(0, 2 * LEASE_S)
        self.lives.append(life)

    def _fate(self, role: str) -> tuple[str, int, bool]:
        """Where the next process of this role dies, or (True) stops; often enough nowhere, or nothing would get done.

        The number says how often that point is still tried, when the process does not come to it.
        """
        chance = self.rng.random()
        if not self.is_killing or chance < 0.1:
            return "", 0, False
        if chance < _STOPS[role] and sum(life.stops for life in self.lives) < 2 and (points := self._to_stop_at(role)):
            return self.rng.choice(points), 0, True
        if self.due[role]:
            return *self.due[role].popleft(), False
        return f"any:{self.rng.randrange(1, 80)}", 0, False

    def _to_stop_at(self, role: str) -> list[str]:
        """Of a worker, the points from its claim on: before it there is nothing that another could take over."""
        points, claimed = self.points[role], "after:ledger.batch-claimed"
        return points[points.index(claimed) :] if claimed in points else points

    # ---- one life

    def _look_after(self, life: Life) -> None:
        code = life.process.exitcode
        if code is None:
            self._wake(life)
            return
        life.process.join()
        self.lives.remove(life)
        if code == -signal.SIGKILL:
            self.report.kills += 1
            self.report.restarts += 1
            self.report.died_at[_passed(life.passed)[-1]] += 1
        elif life.tries:
            self.due[life.role].append((life.point, life.tries - 1))
        if code == BROKEN or (code < 0 and code != -signal.SIGKILL):
            self.report.evidence.differences.append(f"{life.role} ended with {code}: {life.log.read_text()[-2000:]}")
            raise RuntimeError(self.report.evidence.differences[-1])
        if life.run_key and self.runs.get(life.run_key) is RunState.STARTED:
            self._end_run(life, code)

    def _end_run(self, life: Life, code: int) -> None:
        """Dagster hears of the end; of every second death it does not, and the lease has to tell."""
        if code == 0:
            self.runs.set(life.run_key, RunState.SUCCEEDED)
        elif code > 0 or self.rng.random() < 0.5 or not self._claimed(life.run_key):
            self.runs.set(life.run_key, RunState.FAILED)

    def _claimed(self, run_key: str) -> bool:
        """Whether the run holds a lease that can run out; one that died before it is found by Dagster's own monitoring."""
        return any(b.lease_until and b.state in LIVE_BATCH_STATES for b in self.gate.ledger.batches_of_run(run_key))

    def _wake(self, life: Life) -> None:
        """Wake a process that stopped itself, when its run's work is no longer its own, or there was none it could lose."""
        if not life.stops or life.process.pid is None:
            return
        if not life.stopped_at:
            with contextlib.suppress(psutil.NoSuchProcess):  # it came to its end without passing the point
                if psutil.Process(life.process.pid).status() == psutil.STATUS_STOPPED:
                    life.stopped_at = time.monotonic()
                    self.report.stops += 1
            return
        batches = self.gate.ledger.batches_of_run(life.run_key) if life.run_key else []
        lost = bool(batches) and all(b.state not in LIVE_BATCH_STATES for b in batches)
        asleep_s = time.monotonic() - life.stopped_at
        patience_s = 20 * LEASE_S if batches and self._claimed(life.run_key) else 2 * LEASE_S
        if asleep_s < life.wake_after_s or not (lost or asleep_s > patience_s):
            return
        self.report.taken_over += lost
        os.kill(life.process.pid, signal.SIGCONT)
        life.stops = False

    # ---- the watcher

    def _is_enough(self) -> bool:
        return self.report.kills >= self.kills and not (self.every_point and any(self.due.values()))

    def _is_at_rest(self) -> bool:
        if any(life.role == "worker" or life.stops for life in self.lives) or self.runs.requested():
            return False
        rest = look(self.gate)
        if rest.messages == 0 and rest.dead_letters > 1:
            self.report.redriven += _redrive(self.deployment)
            return False
        return rest.at_rest and rest.sheet.objects >= len(self.producer.versions())

    def _leftover_processes(self) -> None:
        """Wait until the last intake has ended: then nothing may be alive, the readers of the dead among it."""
        for life in self.lives:
            life.process.join()
        self.lives.clear()
        psutil.wait_procs(_readers(self.home), timeout=30)
        self.report.evidence.differences += [f"still alive: {process}" for process in _readers(self.home)]


def _readers(home: Path) -> list[psutil.Process]:
    """Reading processes of this loop's workers, dead or alive."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["environ", "cmdline"]):
        environ = process.info["environ"] or {}
        is_reader = any("pipelines.reading" in word for word in process.info["cmdline"] or ())
        if is_reader and environ.get("TMPDIR", "").startswith(str(home)):
            found.append(process)
    return found


def _passed(file: Path) -> list[str]:
    """The points that a process passed, in order."""
    return [line.split()[1] for line in file.read_text().splitlines()] if file.exists() else []


def _redrive(deployment: Deployment) -> int:
    """Send dead letters that can be understood to the queue again, as an operator would; how many."""
    sqs, sent = client("sqs"), 0
    answer = sqs.receive_message(QueueUrl=deployment.dlq_url, MaxNumberOfMessages=10, VisibilityTimeout=1)
    for message in answer.get("Messages", ()):
        if message["Body"] != POISON:
            sqs.send_message(QueueUrl=deployment.queue_url, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=deployment.dlq_url, ReceiptHandle=message["ReceiptHandle"])
            sent += 1
    return sent


@contextmanager
def crash_loop_home(folder: Path | None) -> Iterator[Path]:
    """A folder for the loop: the one given, which stays, or a temporary one."""
    if folder is not None:
        folder.mkdir(parents=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="crash-loop-") as temporary:
        yield Path(temporary)


def parse(doc: str, arguments: Iterable[str], kills: int) -> argparse.Namespace:
    """What both loops are told on the command line."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--kills", type=int, default=kills)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--few", action="store_true", help="not at every point: some of them, drawn by the seed")
    parser.add_argument("--home", type=Path, help="keep everything in this folder, which must not exist")
    parser.add_argument("--patience", type=float, default=3600, help="seconds until it is given up")
    return parser.parse_args(list(arguments))


def main(arguments: Iterable[str]) -> int:
    """Run, print, and say by the exit code whether everything was there once."""
    given = parse(__doc__ or "", arguments, kills=200)
    with crash_loop_home(given.home) as home:
        loop = CrashLoop(home.resolve(), given.seed, given.kills, given.patience, every_point=not given.few)
        return loop.run().told()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
