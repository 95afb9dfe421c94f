"""The text at a line is the text of the record that the reader says begins there, for every format, encoding and compression."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contracts.model import Dataset
from pipelines.errors import PermanentError
from pipelines.reading.raw_records import raw_records
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest
from tests.reading.support import RowList, dataset

TEXT = {"a": {"type": "string"}, "b": {"type": "string"}}


def pieces(content: bytes, size: int = 7) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def found(contract: Dataset, content: bytes, *lines: int, **more: Any) -> list[tuple[int, str]]:
    return [(r.line, r.raw) for r in raw_records(contract, pieces(content), lines, **more)]


def lines_read(contract: Dataset, content: bytes) -> list[int]:
    """The lines that the reader gives the rows of a file."""
    sink = RowList()
    request = ReadRequest(contract, len(content), {}, None, None)
    summary = InProcessReader().read(request, lambda: pieces(content), sink)
    assert not summary.violations, summary.violations
    return [row["_source_line"] for row in sink.rows]


CSV = 'a,b\r\n1,"two\r\nlines, ""quoted"""\r\n3,ä\r\n4,last'
CASES: dict[str, tuple[Any, bytes, list[tuple[int, str]]]] = {
    "csv": ("csv", CSV.encode(), [(2, '1,"two\r\nlines, ""quoted"""'), (4, "3,ä"), (5, "4,last")]),
    "csv, windows-1252": (
        {"type": "csv", "encoding": "windows-1252"},
        CSV.encode("cp1252"),
        [(2, '1,"two\r\nlines, ""quoted"""'), (4, "3,ä"), (5, "4,last")],
    ),
    "csv, UTF-16 with a mark, compressed": (
        {"type": "csv", "encoding": "utf-16"},
        gzip.compress(CSV.encode("utf-16")),
        [(2, '1,"two\r\nlines, ""quoted"""'), (4, "3,ä"), (5, "4,last")],
    ),
    "jsonl": (
        "jsonl",
        b'{"a":"1","b":"x"}\n{"a":"2","b":"\\u00e4"}\r\n{"a":"3","b":null}',
        [(1, '{"a":"1","b":"x"}'), (2, '{"a":"2","b":"\\u00e4"}'), (3, '{"a":"3","b":null}')],
    ),
    "json over lines": (
        "json",
        b'[\n  {"a": "1",\n   "b": "x"},\n\n  {"a": "2", "b": "y"}\n]\n',
        [(2, '{"a": "1",\n   "b": "x"}'), (5, '{"a": "2", "b": "y"}')],
    ),
    "json in one line": ("json", b'[{"a":"1"},{"a":"2"}]', [(1, '{"a":"1"}'), (1, '{"a":"2"}')]),
    "records inside an object": (
        {"type": "json", "records": "$.all.rows[*]"},
        b'{"meta": {"n": 2},\n "all": {"rows": [\n {"a": "1"},\n {"a": "2"}]}}',
        [(3, '{"a": "1"}'), (4, '{"a": "2"}')],
    ),
}


def contract_of(form: Any) -> Dataset:
    return dataset(TEXT, form, schema={"missing_columns": "allow"})


@pytest.mark.parametrize("name", CASES)
def test_the_text_at_a_rows_line_is_the_rows_text(name: str) -> None:
    form, content, wanted = CASES[name]
    contract = contract_of(form)
    assert lines_read(contract, content) == [line for line, _ in wanted]
    lines = sorted({line for line, _ in wanted})
    assert found(contract, content, *lines) == wanted
    for line in lines:
        assert found(contract, content, line) == [record for record in wanted if record[0] == line]


CELL = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")) | st.sampled_from('\n\r",;'), max_size=8)


@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=30), end=st.sampled_from(["\n", "\r\n"]))
def test_any_csv_row_leads_to_its_own_text(rows: list[tuple[str, str]], end: str) -> None:
    texts = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    content = ("a,b" + end + end.join(texts) + end).encode()
    contract = dataset(TEXT)
    lines = lines_read(contract, content)
    assert [found(contract, content, line) for line in lines] == [
        [(line, text)] for line, text in zip(lines, texts, strict=True)
    ]


@given(
    rows=st.lists(st.dictionaries(st.sampled_from("ab"), CELL), min_size=1, max_size=30),
    indent=st.sampled_from([None, 1]),
)
def test_any_element_of_a_json_array_leads_to_its_own_text(rows: list[dict[str, str]], indent: int | None) -> None:
    content = json.dumps(rows, indent=indent).encode()
    contract = dataset(TEXT, "json", schema={"missing_columns": "allow"})
    lines = lines_read(contract, content)
    texts = [raw for line in sorted(set(lines)) for _, raw in found(contract, content, line)]
    assert [json.loads(text) for text in texts] == rows


def test_a_line_inside_a_record_leads_to_that_record() -> None:
    assert found(dataset(TEXT), CSV.encode(), 3) == [(2, '1,"two\r\nlines, ""quoted"""')]


def test_a_line_behind_the_end_has_no_record_and_a_damaged_file_says_why() -> None:
    assert found(dataset(TEXT), b"a,b\n1,2\n", 9) == []
    with pytest.raises(PermanentError, match="cannot be read to that line: found"):
        found(dataset(TEXT), gzip.compress(b"a,b\n1,2\n" * 1000)[:-20], 900)


def test_nothing_behind_the_last_line_asked_for_is_read() -> None:
    def endless() -> Iterator[bytes]:
        yield b"a,b\n"
        for _ in range(4):
            yield b"1,2\n" * (1 << 20)
        raise AssertionError("read on")

    assert [r.raw for r in raw_records(dataset(TEXT), endless(), [3])] == ["1,2"]


def test_what_was_told_of_the_delimiter_is_used() -> None:
    contract = dataset(TEXT, {"type": "csv", "delimiter": "auto"})
    assert found(contract, b'a;b\n"1;\n";2\n3;4\n', 4, delimiter=";") == [(4, "3;4")]
