"""The keeper: a dead worker is replaced, a dead run is told of, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lakegate.local.laptop import REPOSITORY
from lakegate.workers.notes import is_ready, notes, take_note

KEEPER = """
import signal, sys
from pathlib import Path
from lakegate.workers.keeper import Keeper

keeper = Keeper(Path(sys.argv[1]) / "notes", [sys.executable, sys.argv[1] + "/worker.py"], [sys.executable, sys.argv[1] + "/teller.py"], float(sys.argv[2]))
signal.signal(signal.SIGTERM, lambda *_: keeper.stop())
keeper.run()
"""
WORKER = """
import os, signal, subprocess, sys, time
from pathlib import Path
from lakegate.workers.notes import FOLDER_VARIABLE, say_ready, take_note

folder = Path(os.environ[FOLDER_VARIABLE])
if os.fork() == 0:
    take_note(folder, "run-of-a-child")
    time.sleep(600)
say_ready(folder)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True:
    time.sleep(600)
"""
TELLER = """
import sys
from pathlib import Path
told = Path(sys.argv[0]).with_name("told")
told.write_text((told.read_text() if told.exists() else "") + " ".join(sys.argv[1:]) + "\\n")
sys.exit(EXIT)
"""


class Kept:
    """A keeper in a process of its own, with a worker that forks one child, as Celery does."""

    def __init__(self, folder: Path, teller_exit: int = 0, stop_timeout_s: float = 10) -> None:
        self.folder, self.notes = folder, folder / "notes"
        (folder / "worker.py").write_text(textwrap.dedent(WORKER))
        (folder / "teller.py").write_text(TELLER.replace("EXIT", str(teller_exit)))
        self.process = subprocess.Popen(
            [sys.executable, "-c", KEEPER, str(folder), str(stop_timeout_s)],
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )

    def worker(self) -> int:
        """The worker's main process, once it is ready and its child works on a run."""
        self.wait(lambda: is_ready(self.notes) and [n for n in notes(self.notes) if n.is_alive])
        [pid] = {os.getpgid(note.pid) for note in notes(self.notes) if note.is_alive}
        return pid

    def told(self) -> list[str]:
        path = self.folder / "told"
        return path.read_text().split() if path.exists() else []

    def session(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for process in psutil.process_iter(["status"]):
            try:
                if os.getsid(process.pid) == self.process.pid and process.info["status"] != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (ProcessLookupError, PermissionError):
                continue
        return found

    @staticmethod
    def wait(found: Callable[[], object], within_s: float = 30) -> None:
        deadline = time.monotonic() + within_s
        while not found():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    yield kept
    for process in kept.session():
        process.kill()
    kept.process.wait()


def test_a_worker_whose_whole_group_is_killed_is_replaced_and_its_runs_are_told_of(kept: Kept) -> None:
    first = kept.worker()
    os.killpg(first, signal.SIGKILL)
    kept.wait(lambda: kept.told() == ["run-of-a-child"])
    kept.wait(lambda: kept.worker() != first)
    assert kept.process.poll() is None


def test_the_run_of_a_killed_process_is_told_of_once_while_its_worker_lives_on(kept: Kept) -> None:
    first = kept.worker()
    [note] = notes(kept.notes)
    os.kill(note.pid, signal.SIGKILL)
    kept.wait(lambda: kept.told() == ["run-of-a-child"])
    kept.wait(lambda: not list(notes(kept.notes)))
    assert psutil.pid_exists(first)
    assert is_ready(kept.notes)


def test_what_could_not_be_told_is_told_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path, teller_exit=1)
    try:
        kept.worker()
        [note] = notes(kept.notes)
        os.kill(note.pid, signal.SIGKILL)
        kept.wait(lambda: len(kept.told()) >= 2)
        assert [n.run_id for n in notes(kept.notes)] == ["run-of-a-child"]
    finally:
        for process in kept.session():
            process.kill()
        kept.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_keeper_is_the_end_of_its_worker(kept: Kept, number: signal.Signals) -> None:
    worker = kept.worker()
    kept.process.send_signal(number)
    kept.wait(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE)
    kept.process.wait(20)
    if number is signal.SIGTERM:
        kept.wait(lambda: not kept.session())


def test_a_run_that_does_not_end_in_time_is_told_of_before_the_keeper_ends_where_there_is_time(tmp_path: Path) -> None:
    kept = Kept(tmp_path, stop_timeout_s=30)
    try:
        kept.worker()
        kept.process.send_signal(signal.SIGTERM)
        assert kept.process.wait(20) == 0
        assert kept.told() == ["run-of-a-child"]
        assert list(notes(kept.notes)) == []
        kept.wait(lambda: not kept.session())
    finally:
        for process in kept.session():
            process.kill()
        kept.process.wait()


def test_where_there_is_no_time_it_is_left_to_the_next_keeper_of_the_folder(kept: Kept) -> None:
    kept.worker()
    kept.process.send_signal(signal.SIGTERM)
    kept.process.wait(20)
    assert kept.told() == []
    assert [note.run_id for note in notes(kept.notes)] == ["run-of-a-child"]


def test_a_note_of_a_process_that_has_the_pid_of_a_dead_one_is_of_a_dead_one(tmp_path: Path) -> None:
    note = take_note(tmp_path, "run")
    assert note.is_alive
    path = tmp_path / "run.run"
    path.write_text(path.read_text().replace(str(note.created_at), str(note.created_at - 60)))
    [read] = notes(tmp_path)
    assert (read.run_id, read.is_alive) == ("run", False)
    read.drop()
    assert list(notes(tmp_path)) == []
