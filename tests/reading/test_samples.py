"""Beside each fault stands the record as it is in the file, capped, so that a person sees what to repair."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.reading.collector import MAX_RAW
from pipelines.reading.protocol import decode_summary, encode_summary
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest
from pipelines.reading.violations import MAX_SAMPLES
from tests.reading.support import RowList, dataset, read

COLUMNS: dict[str, dict[str, Any]] = {"id": {"type": "int", "nullable": False, "max": 99}, "name": {"type": "string"}}
CSV = dataset(COLUMNS)
CASES = {
    "a value": (CSV, b'id,name\n1,"a\r\nb"\nx,"c\r\nd"\r\n', "type", (4, 'x,"c\r\nd"')),
    "a rule": (CSV, b"id,name\r\n100,a\r\n", "range", (2, "100,a")),
    "a short row": (CSV, b"id,name\r1,a\r2\r", "short_row", (3, "2")),
    "a long row": (CSV, b"id,name\n1,a,b", "long_row", (2, "1,a,b")),
    "a bare quote": (CSV, b'id,name\n1,"a\nb"\n2,a"b\n', "bare_quote", (4, '2,a"b')),
    "a NUL": (CSV, b"id,name\n1,a\0b\n", "nul_byte", (2, "1,a\0b")),
    "bad UTF-8": (CSV, b"id,name\n1,\xff\n", "encoding", (2, "1,\\xff")),
    "an unclosed quote": (CSV, b'id,name\n1,a\n2,"b\n3,c\n', "unclosed_quote", (3, '2,"b\n3,c')),
    "a missing column": (CSV, b"id,nome\n1,a\n", "column_missing", (1, "id,nome")),
    "a header's last name": (CSV, b"id,name,", "header_blank", (1, "id,name,")),
    "another encoding": (
        dataset(COLUMNS, {"type": "csv", "encoding": "cp1252"}),
        b"id,name\nx,\xe9\n",
        "type",
        (2, "x,é"),
    ),
    "a JSON value": (dataset(COLUMNS, "jsonl"), b'{"id":1}\n {"id":"x", "name":"a"} \r\n', "type", (2, '{"id":"x", "name":"a"}')),
    "JSON syntax": (dataset(COLUMNS, "jsonl"), b'{"id":1}\n{"id":}\n', "json_syntax", (2, '{"id":}')),
    "an unknown key": (dataset(COLUMNS, "jsonl"), b'{"id":1,"name":"a"}\n{"id":1,"b":2,"name":"a"}\n', "column_unexpected",
                       (2, '{"id":1,"b":2,"name":"a"}')),
    "an element": (dataset(COLUMNS, "json"), b'[{"id":1,"name":"a"},\n {"id":null,"name":"a"}\n]', "null",
                   (2, '{"id":null,"name":"a"}')),
}  # fmt: skip


@pytest.mark.parametrize("block_bytes", [4 << 20, 7])
@pytest.mark.parametrize("name", CASES)
def test_the_record_stands_beside_its_fault(name: str, block_bytes: int) -> None:
    contract, content, rule, expected = CASES[name]
    _, summary = read(contract, content, block_bytes=block_bytes)
    (violation,) = [v for v in summary.violations if v.rule == rule]
    sample = violation.samples[0]
    assert (sample.line, sample.raw) == expected
    assert decode_summary(encode_summary(summary)).violations == summary.violations


def test_a_long_record_is_capped() -> None:
    _, summary = read(CSV, b"id,name\nx," + b"a" * 70_000 + b"\n")
    raw = summary.violations[0].samples[0].raw
    assert raw is not None
    assert (len(raw), raw[:4], raw[-1]) == (MAX_RAW, "x,aa", "…")


def test_raw_text_is_kept_for_the_samples_and_no_further_row() -> None:
    _, summary = read(CSV, b"id,name\n" + b"x,a\n" * 1_000)
    assert [s.raw for s in summary.violations[0].samples] == ["x,a"] * MAX_SAMPLES
    assert summary.violations[0].count == 1_000


@pytest.mark.parametrize("block_bytes", [3, 4 << 20])
def test_the_first_of_many_lines_without_an_object_is_shown_whatever_they_hold(block_bytes: int) -> None:
    content = b"1\n" + b"\n{}\n" * 30
    summary = InProcessReader(block_bytes).read(
        ReadRequest(dataset({"a": {"type": "int"}}, {"type": "jsonl"}), None, {}), lambda: [content], RowList()
    )
    (violation,) = (v for v in summary.violations if v.rule == "json_shape")
    assert (violation.line, violation.byte_offset, violation.count) == (1, 0, 31)
    assert [sample.line for sample in violation.samples] == [1, *range(2, 20, 2)]
