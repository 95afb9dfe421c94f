"""Rows as CSV: every value comes back, and no text begins what a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lakegate.cli.export import csv_lines, defused

_BEGINNINGS = "=+-@\t\r\n＝＋－＠"


def parsed(table: pa.Table, *, keep_formulas: bool = False) -> list[list[str]]:
    text = "".join(csv_lines(table, keep_formulas=keep_formulas))
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), min_size=1))
def test_texts_come_back_unchanged_but_for_the_apostrophe(texts: list[str]) -> None:
    table = pa.table({"t": texts})
    assert [row[0] for row in parsed(table, keep_formulas=True)[1:]] == texts
    for shown, text in zip((row[0] for row in parsed(table)[1:]), texts, strict=True):
        assert shown in (text, f"'{text}")
        if shown[:1] in tuple(_BEGINNINGS):
            float(shown.replace(",", ""))  # a number, which no spreadsheet runs


def test_numbers_stay_numbers() -> None:
    for text in ("-5", "+49", "-1.5", "-1e5", "1,000", "-1,000.5"):
        assert defused(text) == text
    for text in ("-5+1", "=5", "--5", "-", "+", "-1e", "=cmd|' /C calc'!A0", "@x", "＝1"):
        assert defused(text) == f"'{text}"


def test_types_are_written_as_they_are_read_back() -> None:
    table = pa.table(
        {
            "i": [-1],
            "d": [Decimal("-1.50")],
            "f": [1.5],
            "b": [True],
            "day": [date(2024, 1, 31)],
            "at": [datetime(2024, 1, 31, tzinfo=UTC)],
            "null": pa.nulls(1, pa.string()),
            "raw": [b"\x00\xff"],
            "=1+1": ["="],
        }
    )
    assert parsed(table) == [
        ["i", "d", "f", "b", "day", "at", "null", "raw", "'=1+1"],
        ["-1", "-1.50", "1.5", "true", "2024-01-31", "2024-01-31T00:00:00+00:00", "", "00ff", "'="],
    ]


def test_null_and_empty_text_are_told_apart() -> None:
    assert "".join(csv_lines(pa.table({"n": [1, 2], "t": ["", None]}))) == '"n","t"\r\n1,""\r\n2,\r\n'


def test_a_null_alone_in_its_row_is_no_blank_line() -> None:
    assert "".join(csv_lines(pa.table({"t": [None, "a"]}))) == '"t"\r\n""\r\n"a"\r\n'
