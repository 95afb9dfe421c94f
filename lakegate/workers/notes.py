"""Notes of runs under way: a small file for each, named by the run, with the process that works on it.

Whoever finds a note whose process is dead knows of a run that nobody will end. Written by worker processes, read by their
keeper, on one machine; a pid alone may belong to somebody else by then, so the time of the process's start goes with it.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["FOLDER_VARIABLE", "Note", "is_ready", "notes", "say_ready", "take_note"]

FOLDER_VARIABLE = "LAKEGATE_WORKER_FOLDER"
"""Where the notes of one worker lie: its keeper sets it. Without a keeper none are taken."""
_TOLERANCE_S = 2.0
_READY = "ready"


@dataclass(frozen=True, slots=True)
class Note:
    """Process `pid`, started at `created_at` (seconds since the epoch), works on the run that `path` is named by."""

    path: Path
    pid: int
    created_at: float

    @property
    def run_id(self) -> str:
        """The run."""
        return self.path.stem

    @property
    def is_alive(self) -> bool:
        """Whether that very process lives."""
        try:
            process = psutil.Process(self.pid)
            is_it = abs(process.create_time() - self.created_at) < _TOLERANCE_S
            return is_it and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def drop(self) -> None:
        """Forget it. Repeatable."""
        self.path.unlink(missing_ok=True)


def take_note(folder: Path, run_id: str) -> Note:
    """Note that this process works on the run."""
    return _write(folder / f"{run_id}.run")


def notes(folder: Path) -> Iterator[Note]:
    """Every note in the folder."""
    for path in sorted(folder.glob("*.run")):
        note = _read(path)
        if note is not None:
            yield note


def say_ready(folder: Path) -> None:
    """Note that the worker, this process, takes runs from now on."""
    _write(folder / _READY)


def is_ready(folder: Path) -> bool:
    """Whether a worker that takes runs lives."""
    note = _read(folder / _READY)
    return note is not None and note.is_alive


def _write(path: Path) -> Note:
    note = Note(path, os.getpid(), psutil.Process().create_time())
    temporary = path.with_suffix(f".{note.pid}.new")
    temporary.write_text(json.dumps({"pid": note.pid, "created_at": note.created_at}))
    temporary.replace(path)
    return note


def _read(path: Path) -> Note | None:
    try:
        record = json.loads(path.read_text())
        return Note(path, int(record["pid"]), float(record["created_at"]))
    except FileNotFoundError:
        return None
