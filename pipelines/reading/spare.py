"""A reader started before anybody needs it: half a second less between a file's landing and its rows.

Each run still has a child process of its own, which has read nothing before: only the moment of its start is another. A
process that works on one run after another calls `prepare` whenever it has time; who never does has no spare.
"""

import contextlib
import threading

from pipelines.errors import LakegateError
from pipelines.reading.child import ChildReader

__all__ = ["prepare", "take"]

_lock = threading.Lock()
_spares: list[ChildReader] = []


def prepare() -> None:
    """Start a reader to be taken later, unless one waits already."""
    with _lock:
        if _spares:
            return
        reader = ChildReader()
        with contextlib.suppress(LakegateError):  # who takes it starts it then, and hears what is wrong
            reader.start()
        _spares.append(reader)


def take() -> ChildReader:
    """The reader that waits, or a new one that starts with its first file. Whoever takes it closes it."""
    with _lock:
        return _spares.pop() if _spares else ChildReader()
