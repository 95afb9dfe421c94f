"""What became of each file, in the log of a run: many files in one event, because Dagster stores each event by itself, which costs more than
reading a small file does. Each file has a line of its own in the process's log, with its fields.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from pipelines.reports import FileReport
from pipelines.telemetry.logs import file_fields, logged

__all__ = ["log_files"]

_EVENT_CHARACTERS = 8_000
"""What one event says at most, unless a single file has more: log lines are cut at 10,000."""
_log = logging.getLogger("lakegate.files")


def log_files(context: dg.AssetExecutionContext, bucket: str, files: Sequence[FileReport]) -> None:
    """Log a sentence for each file, in their order."""
    if len(files) == 1:
        with logged(**_fields(bucket, files[0])):
            context.log.info(files[0].sentence())
        return
    if _log.isEnabledFor(logging.INFO):
        for file in files:
            with logged(**_fields(bucket, file)):
                _log.info(file.sentence())
    for text in together(file.sentence() for file in files):
        context.log.info(text)


def together(sentences: Iterable[str], most: int = _EVENT_CHARACTERS) -> Iterator[str]:
    """Sentences as few texts of lines, each of up to `most` characters."""
    lines: list[str] = []
    length = 0
    for sentence in sentences:
        if lines and length + len(sentence) + 1 > most:
            yield "\n".join(lines)
            lines, length = [], 0
        lines.append(sentence)
        length += len(sentence) + 1
    if lines:
        yield "\n".join(lines)


def _fields(bucket: str, file: FileReport) -> dict[str, str]:
    return file_fields(bucket, file.key, file.version_id)
