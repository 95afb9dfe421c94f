"""Arrow's own CSV files: those its fuzzer found, which must be no crash, and good ones."""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.cases import Case, Either
from tests.conformance.suite import Suite, conformance
from tests.conformance.suites.as_text import says_as_text
from tests.reading.support import dataset

FOLDER = conformance("arrow-testing-csv")


def cases() -> Iterator[Case]:
    documents = dataset({"j": {"type": "json"}}, "jsonl", schema={"new_columns": "rescue", "missing_columns": "allow"})
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file() and path.suffix not in (".md", ".txt") and path.name != ".gitattributes":
            content = path.read_bytes()
            yield Case(path.name, content, *says_as_text(content))
            yield Case(f"{path.name}, as JSON Lines", content, documents, Either())


SUITES = (Suite("arrow-testing-csv", cases, folder=FOLDER),)
