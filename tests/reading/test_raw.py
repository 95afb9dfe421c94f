"""The raw text of a row is its record as it stands in the file: readable whatever its bytes are, and bounded."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.reading.collector import Collector
from pipelines.reading.csv_reader import CsvReader
from pipelines.reading.decompression import Content
from pipelines.reading.encoding import Text
from pipelines.reading.json_lines import JsonLinesReader
from pipelines.reading.json_reader import JsonArrayReader
from pipelines.reading.raw import RAW_CHARACTERS, raw_text
from pipelines.reading.rejects import RowRejects
from pipelines.reading.row_blocks import RowBlock
from pipelines.reading.rows import Plan, RowJudge
from tests.reading.support import dataset


class RawJudge(RowJudge):
    """Keeps line and raw text of each row it is given."""

    def __init__(self, plan: Plan, collector: Collector) -> None:
        super().__init__(plan, {}, collector, lambda batch: None)
        self.seen: list[tuple[int, str]] = []

    def judge(self, block: RowBlock) -> Any:
        self.seen += [(int(block.lines[row]), block.raw(row)) for row in range(block.rows)]
        return super().judge(block)


def raws(content: bytes, form: str, block_bytes: int, columns: dict[str, dict[str, Any]], **more: Any) -> Any:
    plan = Plan(dataset(columns, form, **more))
    collector = Collector()
    judge = RawJudge(plan, collector)
    text = Text(Content([content], plan.limits), plan.dataset.format.encoding)
    reader = {"csv": CsvReader, "jsonl": JsonLinesReader, "json": JsonArrayReader}[form]
    reader(plan, text, collector, judge, RowRejects(plan.dataset, lambda _: None), block_bytes).read()
    return judge.seen


BLOCKS = pytest.mark.parametrize("block_bytes", [4 << 20, 7])
TWO = {"a": {"type": "string"}, "b": {"type": "string"}}


@BLOCKS
def test_a_csv_row_keeps_quotes_and_inner_lines_but_not_its_line_end(block_bytes: int) -> None:
    content = b'a,b\r\n1,"x ""y""\r\nz"\r\n 2 , w \r\n3,"last"'
    assert raws(content, "csv", block_bytes, TWO) == [(2, '1,"x ""y""\r\nz"'), (4, " 2 , w "), (5, '3,"last"')]


@BLOCKS
def test_rows_beside_broken_ones_keep_their_own_raw_text(block_bytes: int) -> None:
    content = b"a,b\n1,2\nshort\n3,\xff\n4,5\n"
    assert raws(content, "csv", block_bytes, TWO) == [(2, "1,2"), (5, "4,5")]


@BLOCKS
def test_a_blank_line_that_is_a_row_has_an_empty_raw_text(block_bytes: int) -> None:
    content = b"a\nx\n\n\ny\n"
    assert raws(content, "csv", block_bytes, {"a": {"type": "string"}}) == [(2, "x"), (3, ""), (4, ""), (5, "y")]


@BLOCKS
@pytest.mark.parametrize("way", ["fast", "strict"])
def test_a_json_line_keeps_its_text(block_bytes: int, way: str) -> None:
    more: dict[str, Any] = {} if way == "fast" else {"schema": {"new_columns": "rescue"}}
    content = b'{"a": "1",  "b": "\xc3\xa9"}\n{"a": "\\u0041", "b": null}\n'
    assert raws(content, "jsonl", block_bytes, TWO, **more) == [
        (1, '{"a": "1",  "b": "é"}'),
        (2, '{"a": "\\u0041", "b": null}'),
    ]


@BLOCKS
def test_an_array_element_comes_without_what_stands_around_it(block_bytes: int) -> None:
    content = b'[ {"a": "1",\n "b": "2"} ,\n\n {"a": "3"}\n]'
    assert raws(content, "json", block_bytes, TWO) == [(1, '{"a": "1",\n "b": "2"}'), (4, '{"a": "3"}')]


def test_bytes_that_are_not_utf8_are_escaped() -> None:
    assert raw_text(b"xx\xe9t\xc3\xa9\xff\nyy", 2, 8) == "\\xe9té\\xff"


@pytest.mark.parametrize("character", ["x", "é", "漢", "\U0001f600"])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\r"])
def test_the_text_is_capped_at_whole_characters(character: str, ending: str) -> None:
    fits = (character * RAW_CHARACTERS + ending).encode()
    assert raw_text(fits, 0, len(fits)) == character * RAW_CHARACTERS
    longer = (character * (RAW_CHARACTERS + 1) + ending).encode()
    assert raw_text(longer, 0, len(longer)) == character * (RAW_CHARACTERS - 1) + "…"
