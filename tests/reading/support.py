"""What the reader's tests share: a sink that keeps rows, and short ways to a dataset and a reading."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import REJECTED_READING
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest, ReadSummary

SHARED = Path(os.environ.get("LAKEGATE_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
"""The data of others to test with: beside the checkout, or where LAKEGATE_SHARED_DATA says."""


class RowList:
    """A sink that keeps rows as dictionaries."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.rejected: list[dict[str, Any]] = []
        self.restarts = 0

    def write(self, batch: pa.RecordBatch) -> None:
        batch.validate(full=True)
        self.rows += batch.to_pylist()

    def reject(self, batch: pa.RecordBatch) -> None:
        batch.validate(full=True)
        assert batch.schema.equals(REJECTED_READING)
        self.rejected += batch.to_pylist()

    def restart(self) -> None:
        self.rows.clear()
        self.rejected.clear()
        self.restarts += 1


def dataset(columns: dict[str, dict[str, Any]], form: str | dict[str, Any] = "csv", **more: Any) -> Dataset:
    """A dataset with these columns; the rest is what tests do not care for."""
    return Dataset.model_validate(
        {
            "name": "tested",
            "description": "A dataset of a test.",
            "landing": {"key": "landing/tested/*", "start": "2024-01-01"},
            "format": {"type": form} if isinstance(form, str) else form,
            "columns": columns,
            **more,
        }
    )


def read(
    contract: Dataset,
    content: bytes,
    *,
    block_bytes: int = 4 << 20,
    key_values: dict[str, Any] | None = None,
    landed_at: datetime | None = None,
) -> tuple[list[dict[str, Any]], ReadSummary]:
    """Rows and summary of one content."""
    sink = RowList()
    request = ReadRequest(contract, None, key_values or {}, landed_at)
    summary = InProcessReader(block_bytes).read(request, lambda: [content], sink)
    return sink.rows, summary


def found(summary: ReadSummary) -> list[tuple[str, str | None, int | None]]:
    """Rule, column and line of each violation."""
    return [(str(v.rule), v.column, v.line) for v in summary.violations]


def shared(path: str) -> Path:
    """A path of the shared data; skips the test where it is absent, and fails it where that may not be."""
    place = SHARED / path
    if not place.exists():
        assert os.environ.get("LAKEGATE_REQUIRE_SHARED") != "1", f"there is no {place}"
        pytest.skip(f"the shared data is not beside this checkout ({path})")
    return place
