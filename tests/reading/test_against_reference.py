"""Nearly right files: the reader's verdict, its rows and its places are those of a slow and obviously right reading."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.contracts.model import Dataset
from pipelines.reading import csv_blocks
from pipelines.reading.magics import container_of, foreign_kind
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest, ReadSummary, Rejected, judge
from tests.conformance.written import same
from tests.reading.nearly_right import CONTRACTS, contract, files
from tests.reading.reference_json import parse
from tests.reading.reference_verdict import Place, Said, csv_says, json_says, jsonl_says
from tests.reading.support import RowList, dataset

READINGS = {"csv": csv_says, "json": json_says, "jsonl": jsonl_says}


def read_in_pieces(dataset: Dataset, content: bytes, block: int, piece: int) -> tuple[RowList, ReadSummary]:
    sink = RowList()
    pieces = [content[at : at + piece] for at in range(0, len(content), piece)]
    return sink, InProcessReader(block).read(ReadRequest(dataset, None, {}), lambda: pieces, sink)


def faults_of(summary: ReadSummary, said: Said) -> dict[tuple[str, str | None], Place]:
    """Line and byte offset of each violation, the offset where the reference knows it."""
    faults: dict[tuple[str, str | None], Place] = {}
    for v in summary.violations:
        key = str(v.rule), v.column
        if v.rule != "bad_rows":
            faults[key] = v.line or 0, None if key in said.faults and said.faults[key][1] is None else v.byte_offset
    return faults


def is_no_text(content: bytes) -> bool:
    """Whether the first bytes say that the file is something else, which is not the reference's affair."""
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return is_utf16 or container_of(content) is not None or foreign_kind(content) is not None


def check(dataset: Dataset, form: str, content: bytes, block: int, piece: int) -> None:
    said: Said = READINGS[form](dataset, content)
    sink, summary = read_in_pieces(dataset, content, block, piece)
    faults = faults_of(summary, said)
    if not said.is_certain or is_no_text(content):
        assert faults
        return
    assert faults == said.faults
    assert summary.read_complete or faults
    if not faults:
        assert sink.rows == said.rows
        assert [[type(v) for v in row.values()] for row in sink.rows] == [
            [type(v) for v in r.values()] for r in said.rows
        ]


FUZZ = int(os.environ.get("LAKEGATE_FUZZ", "0"))
"""How many examples `make fuzz` looks at instead."""
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
BLOCKS = st.sampled_from([1, 2, 3, 5, 8, 64, 4 << 20])
PIECES = st.sampled_from(
    ['"', '"', '""', ",", "\n", "\r", "\r\n", "x", "é", "\ufeff", " ", "日本", '","', '"\n"', "a,b\n"]
)
TEXTS = st.lists(PIECES, max_size=24).map("".join)


@settings(SLOW, max_examples=FUZZ or 600)
@given(file=files(), block=BLOCKS, piece=st.sampled_from([1, 3, 64, 1 << 20]))
@example(file=(contract(0, "json"), "json", b'[{"a":"1"}}'), block=4 << 20, piece=64)
@example(file=(contract(0, "csv"), "csv", b"a,b\nx,y\na,b\n"), block=4 << 20, piece=64)
@example(file=(contract(2, "jsonl"), "jsonl", b'{"b":""}\n{"b":"123456789"}\n{"b":""}'), block=1, piece=64)
def test_a_file_is_what_the_reference_says(file: tuple[Dataset, str, bytes], block: int, piece: int) -> None:
    check(*file, block, piece)


@settings(SLOW, max_examples=FUZZ or 400)
@given(file=files(), block=BLOCKS)
@example(file=(contract(0, "jsonl"), "jsonl", b'{"a":"","b":""}\n\n\n"\n'), block=1)
def test_bad_rows_are_rejected_and_the_others_loaded(file: tuple[Dataset, str, bytes], block: int) -> None:
    contract, form, content = file
    kept = {"on_bad": "quarantine_rows", "max_bad": "99%"}
    contract = under(contract, rows=kept)
    said = READINGS[form](contract, content)
    sink, summary = read_in_pieces(contract, content, block, 1 << 20)
    verdict = judge(contract, summary)
    if not said.is_certain or said.of_file:
        assert isinstance(verdict, Rejected) or not said.is_certain
        assert summary.violations
        return
    assert faults_of(summary, said) == said.faults
    assert isinstance(verdict, Rejected) == (len(said.bad) > 0 and not said.good_rows)
    assert summary.rows_bad == len(said.bad)
    if not isinstance(verdict, Rejected):
        assert sink.rows == said.good_rows
        assert len(sink.rejected) == len(said.bad)
        if b"\r" not in content:  # which of several blank lines of JSON Lines ends in which way is not kept
            assert sorted(row["_source_line"] for row in sink.rejected) == sorted(said.bad.values())


def under(other: Dataset, **more: Any) -> Dataset:
    """The same columns and format under other rules."""
    columns = {name: column.model_dump(exclude_none=True, by_alias=True) for name, column in other.columns.items()}
    return dataset(columns, other.format.model_dump(), **more)


@settings(SLOW, max_examples=FUZZ or 400)
@given(
    file=files(),
    block=BLOCKS,
    new=st.sampled_from(["rescue", "reject"]),
    types=st.sampled_from(["rescue", "rescue", "reject"]),
    missing=st.sampled_from(["allow", "reject"]),
)
def test_what_a_column_cannot_hold_is_rescued_whole(
    file: tuple[Dataset, str, bytes], block: int, new: str, types: str, missing: str
) -> None:
    contract, form, content = file
    contract = under(contract, schema={"new_columns": new, "type_changes": types, "missing_columns": missing})
    said = READINGS[form](contract, content)
    sink, summary = read_in_pieces(contract, content, block, 1 << 20)
    faults = faults_of(summary, said)
    assert faults == said.faults if said.is_certain else faults
    if not faults:
        rescued = [parse(text) if (text := row.pop("_rescued", None)) else [] for row in sink.rows]
        for entries, row in zip(rescued, said.rows, strict=True):
            assert same(
                dict(sorted((e["column"], e["value"]) for e in entries)), dict(sorted(row.pop("_rescued", {}).items()))
            )
        assert sink.rows == said.rows


@settings(SLOW, max_examples=FUZZ or 1000)
@given(width=st.sampled_from([0, 0, 0, 1]), body=TEXTS, block=BLOCKS)
@example(width=0, body='"a""\n', block=1)
@example(width=0, body='x,"y\r\nz"\r\n\r\n', block=2)
@example(width=0, body="\ufeffx,y\n", block=3)
def test_quotes_and_line_ends_are_what_the_reference_says(width: int, body: str, block: int) -> None:
    header = ",".join(CONTRACTS[width])
    check(contract(width, "csv"), "csv", f"{header}\n{body}".encode(), block, 1 << 20)


@settings(SLOW, max_examples=FUZZ or 300)
@given(body=TEXTS, window=st.integers(1, 12))
def test_dense_text_cut_in_smaller_windows_is_read_the_same(body: str, window: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "_DENSE_BYTES", window)
        patch.setattr(csv_blocks, "_QUOTES_AT_ONCE", window)
        patch.setattr(csv_blocks, "_is_dense", lambda buffer: len(buffer) > window)
        check(contract(0, "csv"), "csv", f"a,b\n{body}".encode(), 4 << 20, 1 << 20)
