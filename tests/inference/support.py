"""What the tests of inference share: files in memory, and a short way to what was inferred from them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from pipelines.contracts.loading import parse_dataset
from pipelines.contracts.model import Dataset
from pipelines.inference.infer import BrokenFile, Inferred, Options, infer
from pipelines.inference.sources import SourceFile
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest
from tests.reading.support import RowList

TODAY = date(2026, 1, 2)


def source(name: str, content: bytes | Path) -> SourceFile:
    """A file of this content, or of the file at this path, under a name."""
    body = content.read_bytes() if isinstance(content, Path) else content
    return SourceFile(name, tuple(name.split("/")), len(body), lambda: [body])


def outcome(files: dict[str, bytes | Path], **told: Any) -> Inferred | tuple[BrokenFile, ...]:
    """What comes of files by their names."""
    sources = [source(name, content) for name, content in files.items()]
    return infer(sources, Options(**told), InProcessReader(), TODAY)


def inferred(files: dict[str, bytes | Path], **told: Any) -> tuple[Dataset, str]:
    """The dataset, loaded as any other, and its text."""
    found = outcome(files, **told)
    assert isinstance(found, Inferred), found
    loaded = parse_dataset(found.text.encode(), Path(f"{found.name}.yaml"))
    assert isinstance(loaded, Dataset), str(loaded)
    return loaded, found.text


def of_csv(content: str, **told: Any) -> tuple[Dataset, str]:
    """The same for one CSV file called rows.csv."""
    return inferred({"rows.csv": content.encode()}, **told)


def types(dataset: Dataset) -> dict[str, str]:
    """The type of each column."""
    return {name: column.type for name, column in dataset.columns.items()}


def line_of(text: str, column: str) -> str:
    """A column's line in the file, with the comments above it."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"  {column}: "))
    first = at
    while lines[first - 1].startswith("  # "):
        first -= 1
    return "\n".join(lines[first : at + 1])


def rows(dataset: Dataset, content: bytes, key_values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The rows of a content under a dataset; it must be accepted."""
    sink = RowList()
    summary = InProcessReader().read(ReadRequest(dataset, None, key_values or {}), lambda: [content], sink)
    assert not summary.violations, [v.message for v in summary.violations]
    return sink.rows
