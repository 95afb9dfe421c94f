"""Tells of large files while a run reads them: each time on a log line of the process, now and then in the run's event log."""

import logging

import dagster as dg

from pipelines.intake.objects import ObjectVersion
from pipelines.progress import Progress

__all__ = ["FilesUnderWay"]

_STEPS = 20
_log = logging.getLogger("lakegate.progress")


class FilesUnderWay:
    """Whom `ingest_batch` tells how far a file is.

    The event log of a run is a table in a database that its page reads whole: a file has at most 20 lines in it, however
    long it takes, the first as soon as there is anything to tell. The process's own log has them all, with the numbers as fields.
    """

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._version: ObjectVersion | None = None
        self._step = -1

    def __call__(self, progress: Progress) -> None:
        """Tell."""
        _log.info(progress.sentence(), extra={"progress": progress.numbers()})
        step = int(progress.share * _STEPS)
        if progress.version != self._version:
            self._version, self._step = progress.version, -1
        if step > self._step:
            self._step = step
            self._context.log.info(progress.sentence())
