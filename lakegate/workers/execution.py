"""What a worker process does around each run: notes that it has it, looks whether it is to be stopped, tidies up after it.

A note is a file named by the run in the worker's folder, with the process that runs it. The keeper (`keeper.py`) reads the
notes: a note whose process is dead tells of a run that died with it.
"""

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from celery import signals
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import unpack_value

from lakegate.logs import configure_logging, wants_json
from lakegate.workers.notes import FOLDER_VARIABLE, say_ready, take_note
from lakegate.workers.warmth import import_all, refresh, warm_up
from pipelines.reading import spare
from resources.telemetry_metrics import meter_of

__all__ = ["connect"]

_LOOK_S = 1.0
_GRACE_S = 30.0
"""How long after it was told to end a run may take to end: beyond that its process ends, and another takes its place."""
_QUIET = ("botocore", "celery.app.trace", "celery.worker.strategy", "kombu")
"""What these have to say at level INFO is said better below, or nobody wants to know it."""
_log = logging.getLogger("worker")
_STOPPED = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE)


class _Work:
    """The run in hand. One at a time: a worker process has one."""

    def __init__(self, run_id: str) -> None:
        folder = _folder()
        self._run_id, self._began = run_id, time.monotonic()
        self._note = take_note(folder, run_id) if folder else None
        self._on_term = signal.getsignal(signal.SIGTERM)
        self._ended = threading.Event()
        self._watch = threading.Thread(target=_watch, args=(run_id, self._ended), name="cancel-watch", daemon=True)
        self._watch.start()
        _log.info("run %s begins", run_id)

    def end(self) -> None:
        """It has ended, one way or the other."""
        self._ended.set()
        self._watch.join()
        # Dagster leaves SIGTERM with what it found for SIGINT, which the pool ignores: the process could not be ended.
        signal.signal(signal.SIGTERM, self._on_term)
        if self._note is not None:
            self._note.drop()
        _log.info("run %s took %.2f s", self._run_id, time.monotonic() - self._began)
        meter_of(os.environ).flush()
        # Beside the next run, if one waits already: it need not wait for this.
        threading.Thread(target=spare.prepare, name="spare-reader", daemon=True).start()


_works: dict[str, _Work] = {}


def connect() -> None:
    """Be called by Celery from now on."""
    if wants_json(os.environ):
        # Connected, this keeps Celery from configuring the logs itself.
        signals.setup_logging.connect(_on_json_logging, weak=False)
    signals.after_setup_logger.connect(_on_logging, weak=False)
    signals.worker_init.connect(_on_worker, weak=False)
    signals.worker_ready.connect(_on_ready, weak=False)
    signals.worker_process_init.connect(_on_process, weak=False)
    # Apart, because Celery goes on when one of them fails.
    signals.task_prerun.connect(_before, weak=False)
    signals.task_prerun.connect(_on_begin, weak=False)
    signals.task_postrun.connect(_on_end, weak=False)


def _on_json_logging(**_: Any) -> None:
    configure_logging(os.environ)


def _on_logging(**_: Any) -> None:
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _on_worker(**_: Any) -> None:
    atexit.register(_leave, os.getpid())
    import_all()


def _leave(pid: int) -> None:
    """End without taking everything apart first, which takes seconds and changes nothing. What is registered later runs before."""
    if pid == os.getpid():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _on_ready(**_: Any) -> None:
    if folder := _folder():
        say_ready(folder)


def _on_process(**_: Any) -> None:
    warm_up()


def _before(**_: Any) -> None:
    refresh()


def _on_begin(task_id: str, kwargs: Mapping[str, Any], **_: Any) -> None:
    _works[task_id] = _Work(unpack_value(kwargs["execute_job_args_packed"], ExecuteRunArgs).run_id)


def _on_end(task_id: str, **_: Any) -> None:
    if (work := _works.pop(task_id, None)) is not None:
        work.end()


def _folder() -> Path | None:
    said = os.environ.get(FOLDER_VARIABLE)
    return Path(said) if said else None


def _watch(run_id: str, ended: threading.Event) -> None:
    """Interrupt the run when it is to be stopped, or was called failed: what it does no longer counts."""
    if ended.wait(_LOOK_S):
        return  # most runs are over by now
    seen = 0
    told_at: float | None = None
    with dg.DagsterInstance.get() as instance:
        while not ended.wait(_LOOK_S):
            run = instance.get_run_by_id(run_id)
            # A run that fails by itself is seen as failed for a moment before its task has ended: only twice in a row it means us.
            seen = seen + 1 if run is None or run.status in _STOPPED else 0
            if told_at is not None and time.monotonic() - told_at > _GRACE_S:
                os.kill(os.getpid(), signal.SIGKILL)
            if seen >= 2 and told_at is None:
                told_at = time.monotonic()
                os.kill(os.getpid(), signal.SIGINT)
