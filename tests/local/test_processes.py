"""Child processes: started, found again, stopped with all they started, and never left behind."""

from __future__ import annotations

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

from lakegate.local.processes import Command, ProcessRunner, answers, free_port
from pipelines.errors import PermanentError

SLEEPER = "import time\nprint('ready', flush=True)\ntime.sleep(600)\n"
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(600)\n"
)
WITH_CHILD = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print('child', child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


def wait_until(condition: Callable[[], object], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def hear_every_signal() -> None:
    """Before a child begins: what this process ignores or holds back is not the child's."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[ProcessRunner]:
    runner = ProcessRunner(tmp_path)
    yield runner
    for name in runner.names():
        runner.stop(name, grace_s=1)


def command(tmp_path: Path, script: str, name: str = "sleeper") -> Command:
    return Command(name, (sys.executable, "-c", script), dict(os.environ), tmp_path)


def has_said(tmp_path: Path, text: str, name: str = "sleeper") -> Callable[[], bool]:
    return lambda: text in (tmp_path / "logs" / f"{name}.log").read_text()


def test_a_child_is_started_found_by_another_runner_and_stopped(tmp_path: Path, runner: ProcessRunner) -> None:
    child = runner.start(command(tmp_path, SLEEPER), has_said(tmp_path, "ready"), within_s=10)
    other = ProcessRunner(tmp_path)
    found = other.find("sleeper")
    assert found is not None
    assert (found.pid, found.is_alive) == (child.pid, True)
    assert other.stop("sleeper") is True
    assert not is_alive(child.pid)
    assert runner.find("sleeper") is None
    assert other.stop("sleeper") is False


def test_stopping_ends_what_the_child_started_too(tmp_path: Path, runner: ProcessRunner) -> None:
    runner.start(command(tmp_path, WITH_CHILD), has_said(tmp_path, "child"), within_s=10)
    grandchild = int((tmp_path / "logs" / "sleeper.log").read_text().split("child ")[-1])
    assert is_alive(grandchild)
    runner.stop("sleeper")
    assert not is_alive(grandchild)


def test_what_a_killed_child_left_behind_is_found_and_stopped(tmp_path: Path, runner: ProcessRunner) -> None:
    child = runner.start(command(tmp_path, WITH_CHILD), has_said(tmp_path, "child"), within_s=10)
    grandchild = int((tmp_path / "logs" / "sleeper.log").read_text().split("child ")[-1])
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(child.pid))
    assert ProcessRunner(tmp_path).find("sleeper") is not None
    runner.stop("sleeper")
    assert not is_alive(grandchild)


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, runner: ProcessRunner) -> None:
    child = runner.start(command(tmp_path, STUBBORN), has_said(tmp_path, "ready"), within_s=10)
    started = time.monotonic()
    runner.stop("sleeper", grace_s=0.3)
    assert not is_alive(child.pid)
    assert time.monotonic() - started < 5


def test_a_child_that_ends_at_once_is_reported_with_the_end_of_its_log(tmp_path: Path, runner: ProcessRunner) -> None:
    with pytest.raises(PermanentError, match=r"(?s)sleeper ended with exit code 3.*the port is taken"):
        runner.start(command(tmp_path, "print('the port is taken'); raise SystemExit(3)"), lambda: False, within_s=10)
    assert runner.names() == []


def test_a_child_that_does_not_become_healthy_is_stopped_and_reported(tmp_path: Path, runner: ProcessRunner) -> None:
    pids: list[int] = []

    def never() -> bool:
        found = runner.find("sleeper")
        pids.extend([found.pid] if found else [])
        return False

    with pytest.raises(PermanentError, match="was not healthy within 0 s"):
        runner.start(command(tmp_path, SLEEPER), never, within_s=0.2)
    assert pids
    assert not is_alive(pids[0])


def test_a_pid_that_belongs_to_somebody_else_is_left_alone(tmp_path: Path, runner: ProcessRunner) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "sleeper.json").write_text(f'{{"pid": {stranger.pid}, "created_at": 1000.0}}')
        assert runner.find("sleeper") is None
        assert runner.stop("sleeper") is False
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


STARTER = """
    import os, sys, time
    from pathlib import Path
    from lakegate.local.processes import Command, ProcessRunner
    home = Path({home!r})
    runner = ProcessRunner(home)
    log = home / "logs" / "sleeper.log"
    child = runner.start(
        Command("sleeper", (sys.executable, "-c", {script!r}), dict(os.environ), home),
        lambda: "ready" in log.read_text(), within_s=10, tied={tied})
    print(child.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a child is tied to its parent by Linux's prctl")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_tied_child_ends_with_its_starter_however_that_ends(tmp_path: Path, number: signal.Signals) -> None:
    code = textwrap.dedent(STARTER).format(home=str(tmp_path), script=SLEEPER, tied=True)
    starter = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, preexec_fn=hear_every_signal
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.send_signal(number)
    starter.wait()
    starter.stdout.close()
    wait_until(lambda: not is_alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="a child is tied to its parent by Linux's prctl")
@pytest.mark.parametrize("deaf", ["signal(signal.SIGTERM, signal.SIG_IGN)", "pthread_sigmask(signal.SIG_BLOCK, {15})"])
def test_a_tied_child_hears_of_its_starters_end_even_if_that_would_not_listen(tmp_path: Path, deaf: str) -> None:
    code = f"import signal\nsignal.{deaf}\n" + textwrap.dedent(STARTER).format(
        home=str(tmp_path), script=SLEEPER, tied=True
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    starter.stdout.close()
    wait_until(lambda: not is_alive(pid))


def test_a_detached_child_survives_its_starter_and_is_stopped_later(tmp_path: Path, runner: ProcessRunner) -> None:
    code = textwrap.dedent(STARTER).format(home=str(tmp_path), script=SLEEPER, tied=False)
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    starter.stdout.close()
    assert is_alive(pid)
    assert runner.stop("sleeper") is True
    assert not is_alive(pid)


def test_a_free_port_is_the_preferred_one_unless_somebody_listens_there() -> None:
    import socket

    port = free_port()
    assert free_port(port) == port
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        assert free_port(port) != port


def test_nobody_answers_where_nobody_listens() -> None:
    assert answers(f"http://127.0.0.1:{free_port()}/") is False
