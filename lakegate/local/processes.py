"""Starts and stops the laptop's child processes, so that none is lost and none is left behind.

Each child leads a session of its own (its descendants stay in it), writes to a log file of its own, and is remembered in
a file that holds its pid and the time it was created: a pid alone may belong to somebody else after a reboot. A child is
found again by a later `lakegate down`, even after its starter was killed. What a child is for, and when it counts as
healthy, is said by those who start it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from lakegate.tied import tie_to_parent
from pipelines.errors import PermanentError

LOG_LIMIT_BYTES = 10 * 1024 * 1024
# psutil derives the creation time from the boot time, which moves a little when the clock is set.
CREATED_TOLERANCE_S = 2.0
PORT_PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: `environment` is the whole environment of the child, not an addition to ours."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


@dataclass(frozen=True, slots=True)
class Child:
    """A process that was started here or by an earlier run; `created_at` is in seconds since the epoch."""

    name: str
    pid: int
    created_at: float
    log: Path

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs (not a later one with its pid, not a zombie)."""
        try:
            process = psutil.Process(self.pid)
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and abs(process.create_time() - self.created_at) < CREATED_TOLERANCE_S
            )
        except psutil.NoSuchProcess:
            return False

    def members(self) -> list[psutil.Process]:
        """Return the living processes of the child's session: itself and its descendants, orphans included."""
        if psutil.pid_exists(self.pid) and not self.is_alive and not self._is_zombie():
            return []  # the pid belongs to somebody else now, which the kernel allows only when the session is empty
        found: list[psutil.Process] = []
        for process in psutil.process_iter(["pid", "status"]):
            try:
                same_session = os.getsid(process.pid) == self.pid
            except (ProcessLookupError, PermissionError):
                continue
            if same_session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def _is_zombie(self) -> bool:
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class ProcessRunner:
    """The child processes of one state folder: `run/<name>.json` and `logs/<name>.log` below `home`."""

    def __init__(self, home: Path) -> None:
        self._run = home / "run"
        self._logs = home / "logs"
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, command: Command, is_healthy: Callable[[], bool], *, within_s: float, tied: bool = False) -> Child:
        """Start the command and wait until `is_healthy()`; see `launch` and `await_health`.

        Raises:
            PermanentError: the child ended, or was not healthy in time; it is stopped then. The message holds the end
                of its log.
        """
        child = self.launch(command, tied=tied)
        self.await_health(child, is_healthy, within_s=within_s)
        return child

    def launch(self, command: Command, *, tied: bool = False) -> Child:
        """Start the command and return at once.

        With `tied` the child gets SIGTERM when the calling thread ends, however it ends; call it from the main thread
        then (Linux ties a child to the thread that started it). Elsewhere `tied` has no effect.
        """
        self._run.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{command.name}.log"
        _rotate(log)
        with log.open("ab") as output:
            output.write(f"--- {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} starting {command.name}\n".encode())
            popen = subprocess.Popen(
                command.arguments,
                cwd=command.folder,
                env=dict(command.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=tie_to_parent(os.getpid()) if tied else None,
            )
        try:
            created_at = psutil.Process(popen.pid).create_time()
        except psutil.NoSuchProcess:
            created_at = time.time()
        child = Child(command.name, popen.pid, created_at, log)
        self._started[command.name] = popen
        self._remember(child)
        return child

    def await_health(self, child: Child, is_healthy: Callable[[], bool], *, within_s: float) -> None:
        """Wait until `is_healthy()`.

        Raises:
            PermanentError: the child ended, or was not healthy in time; it is stopped then. The message holds the end
                of its log.
        """
        deadline = time.monotonic() + within_s
        try:
            while not is_healthy():
                popen = self._started.get(child.name)
                code = popen.poll() if popen is not None else None
                if code is not None or time.monotonic() > deadline:
                    what = (
                        f"was not healthy within {within_s:.0f} s" if code is None else f"ended with exit code {code}"
                    )
                    raise PermanentError(f"{child.name} {what}. The end of its log, {child.log}:\n{_tail(child.log)}")
                time.sleep(0.05)
        except BaseException:
            self.stop(child.name, grace_s=2)
            raise

    @property
    def started(self) -> list[str]:
        """Return the names of the children that this very runner started, in the order of their start."""
        return list(self._started)

    def find(self, name: str) -> Child | None:
        """Return the child of that name if it, or something it left behind, still runs."""
        path = self._run / f"{name}.json"
        try:
            record = json.loads(path.read_text())
            child = Child(name, int(record["pid"]), float(record["created_at"]), self._logs / f"{name}.log")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError):  # a half-written file: the process behind it cannot be told any more
            path.unlink(missing_ok=True)
            return None
        self._reap(name)
        return child if child.is_alive or child.members() else None

    def names(self) -> list[str]:
        """Return the names of all children ever started here and not yet stopped, in alphabetical order."""
        return sorted(path.stem for path in self._run.glob("*.json"))

    def stop(self, name: str, *, grace_s: float = 10) -> bool:
        """Stop the child and all of its session: SIGTERM, up to `grace_s` to end, SIGKILL. Say whether it ran."""
        child = self.find(name)
        if child is not None:
            # The leader first: a server that is told to stop ends its own workers in good order.
            if child.is_alive:
                _signal_process(child.pid, signal.SIGTERM)
                self._await_end(name, child, grace_s, leader_only=True)
            _signal_all(child, signal.SIGTERM)
            if not self._await_end(name, child, min(grace_s, 3)):
                _signal_all(child, signal.SIGKILL)
                self._await_end(name, child, 5)
        popen = self._started.pop(name, None)
        if popen is not None and popen.poll() is None:
            popen.wait(timeout=5)
        (self._run / f"{name}.json").unlink(missing_ok=True)
        return child is not None

    def _remember(self, child: Child) -> None:
        path = self._run / f"{child.name}.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({"pid": child.pid, "created_at": child.created_at}))
        temporary.replace(path)

    def _reap(self, name: str) -> None:
        popen = self._started.get(name)
        if popen is not None:
            popen.poll()

    def _await_end(self, name: str, child: Child, within_s: float, *, leader_only: bool = False) -> bool:
        deadline = time.monotonic() + within_s
        while True:
            self._reap(name)
            if not (child.is_alive if leader_only else child.members()):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)


def answers(url: str, *, timeout_s: float = 2) -> bool:
    """Whether a GET of the URL is answered with a 2xx status."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:
            return 200 <= response.status < 300
    except (urllib.error.URLError, OSError, ValueError):
        return False


def free_port(preferred: int | None = None) -> int:
    """Return a port of 127.0.0.1 that nobody listens on: the preferred one if it is free."""
    if preferred is not None and _can_listen(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _can_listen(port: int) -> bool:
    # The connections of a server killed a moment ago hold its port for some milliseconds more.
    deadline = time.monotonic() + PORT_PATIENCE_S
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return True
            except OSError:
                with socket.socket() as caller:
                    is_taken = caller.connect_ex(("127.0.0.1", port)) == 0
        if is_taken or time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def _signal_process(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _signal_all(child: Child, number: signal.Signals) -> None:
    for process in child.members():
        _signal_process(process.pid, number)


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))


def _tail(log: Path, lines: int = 20) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 64 * 1024))
        return "\n".join(stream.read().decode("utf-8", errors="replace").splitlines()[-lines:])
