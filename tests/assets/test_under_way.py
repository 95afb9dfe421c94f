"""The run's event log hears of a large file at most twenty times, the process's log each time."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from assets.under_way import FilesUnderWay
from pipelines.intake.objects import ObjectVersion
from pipelines.progress import Progress


def version(key: str) -> ObjectVersion:
    return ObjectVersion("landing", key, "v1", None, 1_000_000, "", datetime(2024, 1, 1, tzinfo=UTC))


def test_a_file_has_few_lines_in_the_event_log_and_all_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    events: list[str] = []
    context: Any = SimpleNamespace(log=SimpleNamespace(info=events.append))
    told = FilesUnderWay(context)
    with caplog.at_level(logging.INFO, "lakegate.progress"):
        for key in ("a", "b"):
            for number in range(500):
                told(Progress(version(key), number * 2000, number, 0, number))
    assert len(caplog.records) == 1000
    assert vars(caplog.records[1])["progress"]["bytes_read"] == 2000
    assert len([event for event in events if event.startswith("a:")]) == 20
    assert len(events) == 40
    assert events[0].startswith("a: 0% read")
