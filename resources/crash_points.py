"""Points between every two steps of a process at which it kills or stops itself: how we prove that it may die anywhere.

Every call of a port is a step, and has the points `before:<port>.<call>` and `after:<port>.<call>`. Writes of the ledger are
named by what they say (`ledger.batch-claimed`, `ledger.file-committed`), and the compare-and-set of a table commit is a step
of its own (`catalog.UpdateTable`). The environment switches them on; else no port is wrapped, and nothing is paid.

    LAKEGATE_CRASH_AT=after:tables.commit      die (SIGKILL) when the point is passed
    LAKEGATE_CRASH_AT=after:tables.commit:3    … for the third time
    LAKEGATE_CRASH_AT=any:57                   … when the 57th point is passed, whatever it is
    LAKEGATE_CRASH_AT=@/a/file                 … at the point in that file: the first process to open a gate takes it away
    LAKEGATE_STOP_AT=…                         the same, with SIGSTOP: the process sleeps until it gets SIGCONT
    LAKEGATE_CRASH_LOG=/a/file                 append a line for each point passed: `<pid> <point>`, and the signal, if one
"""

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from pipelines.ports import Change, Check, Delete, Put
from pipelines.reading.summary import FileReader

__all__ = ["CrashPoints"]

Port = TypeVar("Port")
_ANY = "any"
_CALLS_NOTHING = frozenset({"uri", "data_location"})


@dataclass(frozen=True, slots=True)
class _At:
    """Where a signal is sent: at the `nth` passing of a point."""

    point: str
    nth: int
    signal: signal.Signals


class CrashPoints:
    """The points of this process. With no variable set, `around` gives back what it was given."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read the variables, and take the file away that one of them may name."""
        wanted = {"LAKEGATE_CRASH_AT": signal.SIGKILL, "LAKEGATE_STOP_AT": signal.SIGSTOP}
        found = [_parse(environment.get(name, ""), sent) for name, sent in wanted.items()]
        self._at = [at for at in found if at is not None]
        self._log = environment.get("LAKEGATE_CRASH_LOG")
        self._is_on = bool(self._at or self._log)
        self._passed: dict[str, int] = {}
        self._lock = threading.Lock()

    def around(self, name: str, port: Port) -> Port:
        """The port, with a point before and after each of its calls."""
        return cast(Port, _Stepped(self, name, port)) if self._is_on else port

    def around_reader(
        self, make: Callable[[], AbstractContextManager[FileReader]]
    ) -> Callable[[], AbstractContextManager[FileReader]]:
        """The maker of readers, each with a point before and after each of its calls."""
        if not self._is_on:
            return make

        @contextmanager
        def made() -> Generator[FileReader]:
            with make() as reader:
                yield self.around("reader", reader)

        return made

    def inside(self, client: Any, service: str, operations: Sequence[str]) -> None:
        """Points before and after the requests of a boto3 client for these operations."""
        if self._is_on:
            events = client().meta.events
            for operation in operations:
                for when in ("before", "after"):
                    point = f"{when}:catalog.{operation}"
                    events.register(f"{when}-call.{service}.{operation}", lambda point=point, **_: self.passed(point))

    def passed(self, point: str) -> None:
        """Say that the process is at this point; it may not live to return from here."""
        with self._lock:
            for name in (point, _ANY):
                self._passed[name] = self._passed.get(name, 0) + 1
            sent = next(
                (at.signal for at in self._at if self._passed.get(at.point) == at.nth and self._is(at, point)), None
            )
            self._tell(f"{point} {sent.name}" if sent else point)
            if sent:
                os.kill(os.getpid(), sent)

    @staticmethod
    def _is(at: _At, point: str) -> bool:
        return at.point in (point, _ANY)

    def _tell(self, what: str) -> None:
        if self._log:
            with Path(self._log).open("a") as log:
                log.write(f"{os.getpid()} {what}\n")


def _parse(text: str, sent: signal.Signals) -> _At | None:
    if text.startswith("@"):
        text = _take(Path(text[1:]))
    if not text:
        return None
    point, _, nth = text.rpartition(":")
    return _At(point, int(nth), sent) if nth.isdigit() else _At(text, 1, sent)


def _take(file: Path) -> str:
    taken = file.with_name(f"{file.name}.taken-{os.getpid()}")
    try:
        file.rename(taken)
    except FileNotFoundError:
        return ""
    return taken.read_text().strip()


class _Stepped:
    """A port whose calls are steps."""

    def __init__(self, points: CrashPoints, name: str, port: Any) -> None:
        self._points, self._name, self._port = points, name, port

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name.startswith("_") or not callable(found) or name in _CALLS_NOTHING:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            step = f"{self._name}.{_said(arguments[0]) if (self._name, name) == ('ledger', 'write') else name}"
            self._points.passed(f"before:{step}")
            result = found(*arguments, **named)
            if isinstance(result, Iterator):
                return self._streamed(step, result)
            self._points.passed(f"after:{step}")
            return result

        return call

    def _streamed(self, step: str, chunks: Iterator[Any]) -> Iterator[Any]:
        yield from chunks
        self._points.passed(f"after:{step}")


def _said(changes: Sequence[Change]) -> str:
    """What a write of the ledger is about: the state that a batch or a file gets, else the kind of its first item."""
    for kind, sort_key in (("batch", "batch"), ("file", "version#")):
        for change in changes:
            if isinstance(change, Check | Delete) or not change.key.sk.startswith(sort_key):
                continue
            written = change.item if isinstance(change, Put) else change.set_
            if "state" in written:
                return f"{kind}-{written['state']}"
            if "lease_until" in written:
                return "lease"
    return changes[0].key.pk.partition("#")[0]
