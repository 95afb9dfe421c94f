"""The crash loop over the real Dagster: its daemon, its sensor and its runs are killed, and what comes to rest is compared.

    python -m tests.crash.crash_dagster --kills 20 --seed 1

Most kills hit a run at a point of its work (the next process that opens a gate takes the point from a file and dies there).
The others hit the daemon with its code server, all runs and their readers at once; now and then the new code server is given a
point too, and dies in the middle of a tick.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from pipelines.accounting.states import Outcome
from tests.crash.crash_loop import Report, crash_loop_home, parse
from tests.crash.evidence import gather
from tests.crash.producer import Producer, write_datasets
from tests.road.road import Road, environment_kept, hasten_the_queue

WORKSPACE = Path(__file__).with_name("workspace.yaml")
RUN_POINTS = (
    "any:3",
    "after:ledger.batch-claimed",
    "after:store.read",
    "before:reader.read",
    "after:reader.read",
    "after:store.copy",
    "after:store.put_bytes",
    "before:ledger.file-quarantined",
    "after:ledger.batch-committing",
    "before:tables.commit",
    "after:store.put_file",
    "before:catalog.UpdateTable",
    "after:catalog.UpdateTable",
    "after:tables.commit",
    "before:ledger.file-committed",
    "after:ledger.file-committed",
    "before:ledger.batch-done",
    "after:ledger.batch-done",
)
TICK_POINTS = ("after:queue.receive", "after:ledger.file-seen", "before:queue.delete", "after:queue.delete",
               "after:ledger.batch-planned", "after:ledger.file-planned", "any:9")  # fmt: skip
_MOST_WAITING = 10
_QUIET_KILLS_S = 120.0
"""After so long without a death the point was one that nobody passes now: another is drawn."""


class CrashDagster:
    """The supervisor of one laptop with Dagster on it."""

    def __init__(self, home: Path, seed: int, kills: int, patience_s: float) -> None:
        self.home, self.kills, self.ends = home, kills, time.monotonic() + patience_s
        self.rng = random.Random(seed)
        self.report = Report(seed)
        self.point, self.passed = home / "point", home / "passed"
        self._deaths = 0

    def run(self) -> Report:
        """From an empty laptop to the report."""
        started = time.monotonic()
        (self.home / "tmp").mkdir()
        with environment_kept():
            os.environ["TMPDIR"] = str(self.home / "tmp")
            road = Road.start(self.home / "laptop", write_datasets(self.home / "datasets"))
            try:
                self._run(road)
            finally:
                road.laptop.stop()
        self.report.evidence.differences += [f"still alive: {line}" for line in road.left_behind()]
        self.report.scratch_left = len(list((self.home / "tmp").glob("lakegate-*")))
        self.report.seconds = time.monotonic() - started
        return self.report

    def _run(self, road: Road) -> None:
        self.road = road
        road.environment |= {"LAKEGATE_CRASH_AT": f"@{self.point}", "LAKEGATE_CRASH_LOG": str(self.passed)}
        hasten_the_queue(road.deployment, receives=10)
        self.producer = Producer(road.deployment, self.rng)
        road.start_dagster(WORKSPACE)
        self._await_a_tick()
        while self.report.kills < self.kills:
            if self.rng.random() < 0.25:
                self._kill_the_daemon()
            else:
                self._kill_a_process(self.rng.choice(RUN_POINTS))
        self.point.unlink(missing_ok=True)
        self._wait(self._is_at_rest)
        self.report.duplicates = self.producer.duplicates
        self.report.evidence = gather(road.gate, road.deployment, self.producer)

    # ---- the accidents

    def _kill_a_process(self, point: str) -> None:
        """Let the next process that opens a gate die at this point, and wait until it did, or somebody else has to."""
        self.point.write_text(point)
        ends, before = time.monotonic() + _QUIET_KILLS_S, self.report.kills
        self._wait(lambda: self.report.kills > before or time.monotonic() > ends)

    def _kill_the_daemon(self) -> None:
        """After a moment that the seed says: daemon, code server, runs and readers at once; a new daemon is started."""
        pause_ends = time.monotonic() + self.rng.uniform(1, 15)
        self._wait(lambda: time.monotonic() > pause_ends)
        self.point.unlink(missing_ok=True)
        self.road.kill_the_daemon()
        self._count("the daemon, all runs and all readers")
        if self.rng.random() < 0.5:
            self.point.write_text(self.rng.choice(TICK_POINTS))  # the new code server is the first to take it
        self.road.start_dagster(WORKSPACE)
        self._await_a_tick()

    def _await_a_tick(self) -> None:
        """Wait until the code server has opened its gate: the next point is for a run."""
        seen = len(self._lines())
        self._wait(lambda: len(self._lines()) > seen)

    def _lines(self) -> list[str]:
        return self.passed.read_text().splitlines() if self.passed.exists() else []

    def _count_deaths(self) -> None:
        died = [line.split()[1] for line in self._lines() if line.endswith(signal.SIGKILL.name)]
        for point in died[self._deaths :]:
            self._count(point)
        self._deaths = len(died)

    def _count(self, where: str) -> None:
        self.report.kills += 1
        self.report.restarts += 1
        self.report.died_at[where] += 1
        self.report.points = len(self.report.died_at)
        sys.stderr.write(f"kill {self.report.kills}: {where}\n")

    # ---- the watcher

    def _wait(self, is_over: Callable[[], bool]) -> None:
        """Drop files, few at a time, until something is so."""
        while not is_over():
            self._count_deaths()
            if time.monotonic() > self.ends:
                raise TimeoutError(
                    f"not at rest in time (seed {self.report.seed}, {self.report.kills} kills): "
                    f"{self.road.look().sentence()}; runs under way: {Counter(self.road.open_runs())}"
                )
            if self.report.kills < self.kills:
                self._drop()
            time.sleep(0.5)

    def _drop(self) -> None:
        sheet = self.road.look().sheet
        if len(self.producer.versions()) - sheet.objects + sheet.outcome(Outcome.PENDING) < _MOST_WAITING:
            self.producer.drop()
            if self.rng.random() < 0.2:
                self.producer.tell_again()

    def _is_at_rest(self) -> bool:
        rest = self.road.look()
        return rest.at_rest and rest.sheet.objects >= len(self.producer.versions()) and not self.road.open_runs()


def main(arguments: Iterable[str]) -> int:
    """Run, print, and say by the exit code whether everything was there once."""
    given = parse(__doc__ or "", arguments, kills=20)
    with crash_loop_home(given.home) as home:
        report = CrashDagster(home.resolve(), given.seed, given.kills, given.patience).run()
    return report.told()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
