"""The thread that outlives every child: starts them, and watches what they take.

Children are started from here and not from a caller's thread, because the kernel ends a child with the *thread* that
started it (prctl(2), PR_SET_PDEATHSIG). Time counts only while the child keeps its parent waiting: neither a slow source
nor a slow sink is the file's fault.
"""

import contextlib
import queue
import select
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import psutil

from pipelines.errors import TransientError
from pipelines.reading.limits import Limits
from pipelines.reading.protocol import Frame, read_frame
from pipelines.reading.violations import Rule

__all__ = ["START_S", "Keeper", "Watch"]

_TICK_S = 0.05
START_S = 120.0
"""A child that does not say within this time that it can read is given up: it takes 0.5 s on a machine at rest."""
_Start = Callable[[], "subprocess.Popen[bytes]"]


@dataclass(slots=True)
class Watch:
    """One file in one child. `broken` is the limit for which the child was killed.

    `is_starved` says whether the child lacks bytes because the file's source has not given them yet.
    """

    process: psutil.Process | None
    limits: Limits
    is_starved: Callable[[], bool]
    spent_s: float = 0.0
    is_waiting: bool = False
    broken: Rule | None = None

    @contextlib.contextmanager
    def waiting(self) -> Generator[None]:
        """While inside, the parent waits for the child."""
        self.is_waiting = True
        try:
            yield
        finally:
            self.is_waiting = False


class Keeper:
    """Starts children and watches the one at work. The thread starts with the first child."""

    def __init__(self, start: _Start, start_s: float = START_S) -> None:
        """`start` makes a child; it is called in the keeper's thread. `start_s` is how long the child may take to be able to read."""
        self._start = start
        self._start_s = start_s
        self._thread: threading.Thread | None = None
        self._wanted: queue.SimpleQueue[queue.SimpleQueue[subprocess.Popen[bytes] | BaseException] | None]
        self._wanted = queue.SimpleQueue()
        self._watch: Watch | None = None
        self._process: psutil.Process | None = None
        """The child watched last: to find it anew for each file would cost more than to watch it."""
        self.spent_s = 0.0

    def spawn(self) -> "subprocess.Popen[bytes]":
        """Start a child; it can read when this returns.

        Raises what starting raises, and TransientError for a child that does not come to read: no file has to do with that.
        """
        self._process = None
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="reader-keeper", daemon=True)
            self._thread.start()
        answer: queue.SimpleQueue[subprocess.Popen[bytes] | BaseException] = queue.SimpleQueue()
        self._wanted.put(answer)
        child = answer.get()
        if isinstance(child, BaseException):
            raise child
        if not _is_ready(child, self._start_s):
            is_silent = child.poll() is None and not _is_ended(child)
            with child:
                child.kill()
            if is_silent:
                raise TransientError(
                    f"the reading process did not begin to read within {self._start_s:.0f} s and was ended: this machine is overloaded, or "
                    "the disk that Python is installed on does not answer. The files are tried again by themselves"
                )
            raise TransientError(
                f"the reading process ended with exit code {child.returncode} before it could read: the installation is not "
                "whole, or was changed while this ran. `python -c 'import pipelines.reading.reader'` may say more"
            )
        return child

    def close(self) -> None:
        """End the thread; children must have ended before. Repeatable."""
        if self._thread is not None:
            self._wanted.put(None)
            self._thread.join()
            self._thread = None

    @contextlib.contextmanager
    def watching(self, pid: int, limits: Limits, is_starved: Callable[[], bool]) -> Generator[Watch]:
        """Watch a child while it reads one file."""
        if self._process is None or self._process.pid != pid:
            with contextlib.suppress(psutil.Error):
                self._process = psutil.Process(pid)
        watch = Watch(self._process, limits, is_starved)
        self._watch = watch
        try:
            yield watch
        finally:
            self._watch = None
            self.spent_s = watch.spent_s

    def _run(self) -> None:
        last = time.monotonic()
        while True:
            try:
                wanted = self._wanted.get(timeout=_TICK_S)
            except queue.Empty:
                now = time.monotonic()
                self._look(now - last)
                last = now
                continue
            if wanted is None:
                return
            try:
                wanted.put(self._start())
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
                wanted.put(error)

    def _look(self, elapsed_s: float) -> None:
        watch = self._watch
        if watch is None or watch.process is None or watch.broken is not None:
            return
        if watch.is_waiting and not watch.is_starved():
            watch.spent_s += elapsed_s
        try:
            if watch.process.memory_info().rss > watch.limits.reader_memory_bytes:
                watch.broken = Rule.READER_MEMORY
            elif watch.spent_s > watch.limits.reader_seconds:
                watch.broken = Rule.READER_TIME
            if watch.broken is not None:
                watch.process.kill()
        except psutil.Error:
            return  # it is gone already


def _is_ended(child: "subprocess.Popen[bytes]") -> bool:
    """Whether a child that has closed its pipe, or said something else, is about to end by itself."""
    try:
        child.wait(1)
    except subprocess.TimeoutExpired:
        return False
    return True


def _is_ready(child: "subprocess.Popen[bytes]", within_s: float) -> bool:
    assert child.stdout is not None  # noqa: S101 - it was started with a pipe
    spoke, _, _ = select.select([child.stdout], [], [], within_s)
    frame = read_frame(child.stdout) if spoke else None
    return frame is not None and frame[0] is Frame.READY
