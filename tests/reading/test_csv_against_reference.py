"""The CSV reader says of any text what the slow reference says: the same cells on the same lines, or the same faults."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.reading import csv_blocks
from tests.reading.reference_csv import Record, tokenize
from tests.reading.support import dataset, found, read

TWO = dataset({"a": {"type": "string"}, "b": {"type": "string"}})
ONE = dataset({"a": {"type": "string"}})
PIECES = st.sampled_from(
    ['"', '"', '""', ",", "\n", "\r", "\r\n", "x", "é", "\ufeff", " ", "日本", '","', '"\n"', "a,b\n"]
)
TEXTS = st.lists(PIECES, max_size=24).map("".join)


def expected_rows(records: list[Record]) -> list[dict[str, object]]:
    return [
        {
            **{
                name: None if text == "" and not quoted else text
                for name, (text, quoted) in zip("ab", record.fields, strict=False)
            },
            "_source_line": record.line,
        }
        for record in records
    ]


def expected_faults(records: list[Record], width: int) -> set[tuple[str, int]]:
    faults: set[tuple[str, int]] = set()
    for record in records:
        if record.unclosed is not None and record.fault is None:
            faults.add(("unclosed_quote", record.unclosed))
        elif record.unclosed is not None and record.fault is not None:
            faults |= {("unclosed_quote", record.unclosed), record.fault}
        elif record.fault is not None:
            faults.add(record.fault)
        elif record.is_blank and width == 1:
            continue
        elif len(record.fields) != width:
            faults.add(("short_row" if len(record.fields) < width else "long_row", record.line))
    return faults


def check(width: int, body: str, block_bytes: int) -> None:
    header = "a,b\n" if width == 2 else "a\n"
    records = tokenize(header + body)[1:]
    while records and records[-1].is_blank and records[-1].unclosed is None:
        records.pop()
    faults = expected_faults(records, width)
    rows, summary = read(TWO if width == 2 else ONE, (header + body).encode(), block_bytes=block_bytes)
    if faults:
        firsts: dict[str, int] = {}
        for rule, line in faults:
            firsts[rule] = min(line, firsts.get(rule, line))
        said: dict[str, int | None] = {}
        for rule, _, line in found(summary):
            said[rule] = min(line or 0, said.get(rule) or line or 0)
        assert said == firsts
        assert summary.read_complete is not any(r.unclosed is not None for r in records)
    else:
        assert found(summary) == []
        assert rows == expected_rows(records)
        assert summary.rows_read == len(records)


@settings(max_examples=2000, deadline=None)
@given(body=TEXTS, block_bytes=st.sampled_from([1, 2, 3, 5, 8, 4 << 20]))
@example(body='"a""\n', block_bytes=1)
@example(body='x,"y\r\nz"\r\n\r\n', block_bytes=2)
@example(body="\ufeffx,y\n", block_bytes=3)
def test_two_columns_are_read_as_the_reference_reads_them(body: str, block_bytes: int) -> None:
    check(2, body, block_bytes)


@settings(max_examples=200, deadline=None)
@given(body=TEXTS, block_bytes=st.sampled_from([1, 2, 3, 5, 8, 4 << 20]))
def test_one_column_is_read_as_the_reference_reads_it(body: str, block_bytes: int) -> None:
    check(1, body, block_bytes)


@settings(max_examples=300, deadline=None)
@given(body=TEXTS, window=st.integers(1, 12))
def test_dense_text_cut_in_smaller_windows_is_read_the_same(body: str, window: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "_DENSE_BYTES", window)
        patch.setattr(csv_blocks, "_QUOTES_AT_ONCE", window)
        patch.setattr(csv_blocks, "_is_dense", lambda buffer: len(buffer) > window)
        check(2, body, 4 << 20)
