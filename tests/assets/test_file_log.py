"""The log of a run names every file, in few events."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from assets.file_log import log_files, together
from pipelines.reports import FileEnding, FileReport


class _Log:
    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, text: str) -> None:
        self.said.append(text)


def _files(count: int) -> list[FileReport]:
    return [FileReport(f"landing/a/part-{n:05d}.csv", "v1", 10, FileEnding.LOADED, rows_loaded=n) for n in range(count)]


def _logged(count: int) -> list[str]:
    context: Any = SimpleNamespace(log=_Log())
    log_files(context, "bucket", _files(count))
    return context.log.said


def test_five_hundred_files_are_a_few_events_and_each_is_named_once_in_order() -> None:
    said = _logged(500)
    assert len(said) < 10
    assert "\n".join(said).split("\n") == [file.sentence() for file in _files(500)]


def test_one_file_is_one_event_and_none_is_none() -> None:
    assert _logged(1) == [_files(1)[0].sentence()]
    assert _logged(0) == []


def test_a_sentence_longer_than_an_event_stands_alone() -> None:
    assert list(together(["a", "b" * 30, "c", "d"], most=10)) == ["a", "b" * 30, "c\nd"]


def test_each_file_has_a_line_of_its_own_where_the_process_logs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lakegate.files"):
        _logged(3)
    assert [record.message for record in caplog.records] == [file.sentence() for file in _files(3)]
