"""Ports whose worker dies at the n-th call of any of them, before the call takes effect or after it did.

Death is not an error that somebody handles: it is no `Exception`, and once dead a worker makes no further call, in
whatever thread. What the call did to the world stays done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.ingest.world import Ports

How = Literal["before", "after"]
PORTS = {
    "items": {"get", "query", "query_due", "write"},
    "queue": {"receive", "delete"},
    "store": {"read", "copy", "put_bytes", "put_file", "get_bytes", "list_keys", "delete"},
    "tables": {
        "ensure",
        "current",
        "find_batch",
        "find_sources",
        "read_rows",
        "columns",
        "file_schema",
        "commit",
        "expire",
    },
}


class Died(BaseException):
    """The process is gone."""


@dataclass
class Fuse:
    """Counts the calls of all ports and burns through at the one numbered `at`, or named so, for the `nth` time."""

    at: int | None = None
    name: str | None = None
    nth: int = 1
    how: How = "before"
    where: Callable[[Sequence[Any]], bool] = lambda _: True
    calls: list[str] = field(default_factory=list)
    dead: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: int = 0

    def call(self, name: str, do: Callable[[], Any], arguments: Sequence[Any]) -> Any:
        with self._lock:
            if self.dead:
                raise Died(name)
            number = len(self.calls)
            self.calls.append(name)
            if self.name == name and self.where(arguments):
                self._seen += 1
            burns = number == self.at or (self.name == name and self.where(arguments) and self._seen == self.nth)
            if burns:
                self.dead = True
        if burns and self.how == "before":
            raise Died(name)
        result = do()
        if burns:
            raise Died(name)
        return result


class FragilePort:
    """One port, on a fuse."""

    def __init__(self, inner: Any, port: str, fuse: Fuse) -> None:
        self._inner, self._port, self._fuse = inner, port, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in PORTS[self._port]:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            def do() -> Any:
                result = found(*arguments, **named)
                # What streams is streamed here: opening alone would have done nothing.
                return iter(list(result)) if name in ("read", "list_keys", "read_rows") else result

            return self._fuse.call(f"{self._port}.{name}", do, arguments)

        return call


def fragile(ports: Ports, fuse: Fuse) -> Ports:
    """These ports on one fuse."""
    return Ports(*(FragilePort(getattr(ports, port), port, fuse) for port in ("items", "queue", "store", "tables")))
