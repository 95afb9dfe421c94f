"""`python -m lakegate.workers.keeper`: keeps one Celery worker alive, and tells of runs that died with a process of it.

The worker leads a process group of its own, so that whoever kills that leaves the keeper. Twice a second the keeper looks
whether the worker lives, and whether the process behind each note of a run does (`notes.py`). On SIGTERM the worker
takes no more runs and has some seconds to end those it has; what it does not end is killed, and told of: by this keeper where
it has the time (`--stop-timeout`), else by the next one that starts with this folder.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from lakegate.logs import configure_logging
from lakegate.tied import tie_to_parent
from lakegate.workers.notes import FOLDER_VARIABLE, Note, notes
from lakegate.workers.settings import QUEUE

__all__ = ["Keeper"]

_LOOK_S = 0.5
_STOP_TIMEOUT_S = 10.0
_MARGIN_S = 2.0
_LAST_WORDS_S = 15.0
"""What telling of killed runs may take at the end: a process that imports Dagster, and a few writes."""
_SHORT_LIFE_S = 10.0
"""A worker that ended sooner is started again after a pause, which doubles up to the longest."""
_LONGEST_PAUSE_S = 30.0
_TELL_AGAIN_S = 5.0
_log = logging.getLogger("keeper")


class Keeper:
    """One worker, and the notes in one folder."""

    def __init__(
        self, folder: Path, worker: Sequence[str], teller: Sequence[str], stop_timeout_s: float = _STOP_TIMEOUT_S
    ) -> None:
        """`worker` is started again whenever it ends; `teller` is given the ids of runs whose process died, and ends with 0 when it told.

        `folder` belongs to this keeper alone; it is made if need be. `stop_timeout_s` is what `run` has for ending after `stop`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._command = tuple(worker)
        self._teller = tuple(teller)
        self._stopping = threading.Event()
        self._worker: subprocess.Popen[bytes] | None = None
        self._born = 0.0
        self._pause_s = 0.0
        self._telling: tuple[subprocess.Popen[bytes], list[Note]] | None = None
        self._tell_after = 0.0
        self._last_words_s = _LAST_WORDS_S if stop_timeout_s >= 2 * _LAST_WORDS_S else 0.0
        self._grace_s = max(0.0, stop_timeout_s - _MARGIN_S - self._last_words_s)

    def stop(self) -> None:
        """Have `run` end."""
        self._stopping.set()

    def run(self) -> None:
        """Keep the worker alive until `stop`."""
        try:
            while not self._stopping.is_set():
                self._look_after_worker()
                self._look_after_runs()
                self._stopping.wait(_LOOK_S)
        finally:
            self._end_worker()
            self._last_words()

    def _look_after_worker(self) -> None:
        now = time.monotonic()
        if self._worker is not None:
            code = self._worker.poll()
            if code is None:
                return
            _log.warning(
                "the worker (process %d) ended with code %d after %.0f s", self._worker.pid, code, now - self._born
            )
            self._pause_s = (
                min(max(1.0, 2 * self._pause_s), _LONGEST_PAUSE_S) if now - self._born < _SHORT_LIFE_S else 0.0
            )
            self._worker, self._born = None, now
        if now - self._born >= self._pause_s:
            self._start_worker()

    def _start_worker(self) -> None:
        self._worker = subprocess.Popen(
            self._command,
            env={**os.environ, FOLDER_VARIABLE: str(self._folder)},
            process_group=0,
            preexec_fn=tie_to_parent(os.getpid()),
        )
        self._born = time.monotonic()
        _log.info("started a worker: process %d", self._worker.pid)

    def _look_after_runs(self) -> None:
        if self._telling is not None:
            teller, told = self._telling
            code = teller.poll()
            if code is None:
                return
            self._telling = None
            if code == 0:
                for note in told:
                    note.drop()
            else:
                self._tell_after = time.monotonic() + _TELL_AGAIN_S
        lost = [note for note in notes(self._folder) if not note.is_alive]
        if lost and time.monotonic() >= self._tell_after:
            _log.warning("died at work: %s", ", ".join(f"process {note.pid} with run {note.run_id}" for note in lost))
            self._telling = subprocess.Popen([*self._teller, *(note.run_id for note in lost)]), lost

    def _end_worker(self) -> None:
        worker = self._worker
        if worker is None or worker.poll() is not None:
            return
        worker.terminate()
        try:
            worker.wait(self._grace_s)
        except subprocess.TimeoutExpired:
            _log.warning("the worker did not end its runs in time and is killed; their files are processed again")
        # Its processes too: they end with it by themselves, unless they are at work.
        try:
            os.killpg(worker.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        worker.wait()

    def _last_words(self) -> None:
        """Tell of runs that were killed. Where nobody starts here again, as in a container, the ledger alone would find them."""
        deadline = time.monotonic() + self._last_words_s
        while time.monotonic() < deadline:
            self._look_after_runs()
            if self._telling is None and not list(notes(self._folder)):
                return
            time.sleep(0.1)


def worker_command(processes: int) -> tuple[str, ...]:
    """The command of a Celery worker that works on so many runs at once. What is left out needs a broker that can broadcast."""
    celery = (sys.executable, "-m", "celery", "-A", "lakegate.workers.app", "worker")
    left_out = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    return (*celery, "--concurrency", str(processes), "--queues", QUEUE, "--loglevel", "INFO", *left_out)


def main() -> None:
    """Keep a worker until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m lakegate.workers.keeper")
    parser.add_argument("--processes", type=int, default=2, help="how many runs it works on at once (default: 2)")
    parser.add_argument(
        "--folder", type=Path, help="where it notes what runs; its own (default: a new one, below the temporary folder)"
    )
    parser.add_argument(
        "--stop-timeout",
        type=float,
        default=_STOP_TIMEOUT_S,
        metavar="SECONDS",
        help="how long after SIGTERM it is killed here: its runs may end until shortly before (default: 10; on ECS: stopTimeout)",
    )
    given = parser.parse_args()
    configure_logging(os.environ, "%(asctime)s %(levelname)s keeper: %(message)s", has_dagster=False)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="lakegate-worker-"))
    teller = (sys.executable, "-m", "lakegate.workers.lost")
    keeper = Keeper(folder, worker_command(given.processes), teller, given.stop_timeout)

    def stop(_number: int, _frame: FrameType | None) -> None:
        keeper.stop()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    keeper.run()


if __name__ == "__main__":
    main()
