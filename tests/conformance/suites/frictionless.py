"""The CSV files of frictionless, and one tool's opinion about each: type, row and field of every error.

Each file is read under a contract of text columns with its own names. What a good file says is told by the reference reader; each
error of the opinion must be found on its row. Where opinions differ on purpose the reason is listed here.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from tests.conformance.cases import Broken, Case, Fault
from tests.conformance.suite import Suite, conformance
from tests.conformance.suites.as_text import says_as_text
from tests.reading.reference_csv import Record, tokenize
from tests.reading.reference_verdict import BOM

FOLDER = conformance("frictionless")
RULES = {
    "extra-cell": {"long_row"},
    "missing-cell": {"short_row"},
    "blank-row": {"short_row"},
    "blank-label": {"header_blank"},
    "duplicate-label": {"header_duplicate"},
    "type-error": {"type", "number_range"},
    "encoding-error": {"encoding", "nul_byte", "compression", "archive"},
}
TYPES = {
    "data/capital-invalid.csv": {"c0": "int"},
    "data/issue-277.csv": {"c3": "int"},
    "data/table-infer-increase-limit.csv": {"c1": "int"},
}
"""Columns that their opinion takes for numbers, for the errors that only a type can tell."""
DELIMITERS = {"data/issue-1138.csv": ";"}
OTHERWISE = {
    "data/countries.csv": "its first line is a comment, which to a reader that was not told is the header",
}
"""Files of which another opinion is held here, and why."""


def cases() -> Iterator[Case]:
    said: dict[str, list[list[Any]]] = json.loads((FOLDER / "expected_frictionless.json").read_text("utf-8"))
    for name, errors in said.items():
        path = FOLDER / name
        if path.exists():
            yield _case(name, path.read_bytes(), errors)


def _case(name: str, content: bytes, errors: list[list[Any]]) -> Case:
    plain = _unpacked(name, content)
    delimiter = DELIMITERS.get(name, ",")
    records = tokenize(plain.removeprefix(BOM), delimiter)
    contract, said = says_as_text(plain, TYPES.get(name), delimiter)
    if name in OTHERWISE or plain is not content:  # compressed files are read as what they hold
        return Case(name, content, contract, said)
    width = len(records[0].fields) if records else 0
    faults = [fault for kind, row, _ in errors for fault in _faults(kind, row, records, width, errors)]
    if faults:
        said = Broken([*faults, *(said.faults if isinstance(said, Broken) else ())])
    return Case(name, content, contract, said)


def _unpacked(name: str, content: bytes) -> bytes:
    if not name.startswith("data/compression/"):
        return content
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(archive.namelist()[0])
    return gzip.decompress(content)


def _faults(kind: str, row: int | None, records: list[Record], width: int, errors: list[list[Any]]) -> Iterator[Fault]:
    rules = frozenset(RULES.get(kind, ()))
    if kind in ("blank-label", "duplicate-label"):
        yield Fault(rules, 1)
        return
    if any(k.endswith("-label") for k, *_ in errors):
        return  # behind such a header no row is read
    if not rules:
        return
    if row is None:
        yield Fault(rules)
        return
    record = records[row - 1]
    last = max(n for n, r in enumerate(records, 1) if not r.is_blank)
    if kind == "blank-row" and (row > last or len(record.fields) == width):
        return  # blank lines at the end are no rows, and a row of empty cells is a row of nulls
    if kind == "type-error" and len(record.fields) != width:
        return  # a row with another number of fields is not looked into
    yield Fault(rules, record.line)


SUITES = (Suite("frictionless", cases, folder=FOLDER),)
