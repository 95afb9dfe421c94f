"""The fast way for JSON Lines says what the strict way says, or leaves the block to it."""

from __future__ import annotations

import json
import random
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks import generate
from pipelines.contracts.loading import load_dataset
from pipelines.contracts.model import Dataset
from pipelines.reading import json_reader
from pipelines.reading.json_blocks import JsonBlock, split_lines
from pipelines.reading.json_fast import FastLines
from pipelines.reading.json_line_forms import LineForm
from pipelines.reading.json_objects import parse_record
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest
from tests.reading.support import RowList, dataset, read

CONTRACT_COLUMNS: dict[str, dict[str, Any]] = {
    "a": {"type": "int", "min": -5},
    "b": {"type": "bigint", "nullable": False},
    "d": {"type": "double"},
    "g": {"type": "float", "max": 1e9},
    "m": {"type": "decimal(10,2)", "max": 1000},
    "s": {"type": "string", "pattern": "[^z]*"},
    "t": {"type": "timestamp", "aliases": ["when"]},
    "f": {"type": "boolean"},
}
CONTRACT = dataset(CONTRACT_COLUMNS, "jsonl")
NUMBERS = ["0", "-0", "1", "-7", "2.0", "1e3", "1e-2", "1e-77", "1e-999999999", "1E400", "-1e-400", "1.7976931348623159e308",
           "0." + "0" * 400 + "1", "0." + "0" * 45 + "1", "1e39", "-0.1", "1" * 40, "2147483648", "9223372036854775807", "9223372036854775808", "01", "+1", ".5", "1.",
           "NaN", "-Infinity", "1.234", "999.99", "5000", "123456789", "-99999999.99"]  # fmt: skip
TEXTS = ['"x"', '""', '"1.5"', '"\\u00e9"', '"\\ud800"', '"\\ud83d\\ude00"', '"é"', '"a\tb"', '"\\u0000"', '"2024-01-01T00:00:00Z"',
         '"2024-02-30T00:00:00Z"', '"blue-12"', '"zz"', '"{}"', '"b"', '"1e-99"']  # fmt: skip
OTHERS = ["null", "true", "false", "[]", "{}", "[1]", '{"a": 1}', "nul", "TRUE"]
KEYS = ['"a"', '"b"', '"d"', '"g"', '"m"', '"s"', '"t"', '"f"', '"when"', '"x"', '"\\u0061"', '"A"']
VALUES = st.sampled_from(NUMBERS + TEXTS + OTHERS)
MEMBERS = st.tuples(st.sampled_from(KEYS), VALUES).map(": ".join)
GOOD = {"a": "1", "b": "2", "d": "1.5", "g": "0.1", "m": "1.25", "s": '"x"', "t": '"2024-01-01T00:00:00Z"', "f": "true"}
RECORDS = st.one_of(
    st.lists(MEMBERS, max_size=4).map(lambda members: "{" + ", ".join(members) + "}"),
    st.dictionaries(st.sampled_from(list(GOOD)), VALUES, max_size=2).map(
        lambda other: "{" + ",".join(f'"{k}":{v}' for k, v in {**GOOD, **other}.items()) + "}"
    ),
    st.sampled_from(["", " ", "null", "[]", '{"b":1}{"b":2}', '{"b":1} ', '{"b":', "1}", '{"b":1}//', "{}}"]),
)


def both_ways(content: bytes, block_bytes: int) -> tuple[Any, Any]:
    fast = read(CONTRACT, content, block_bytes=block_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FastLines, "build", staticmethod(lambda _plan, _keys: None))
        strict = read(CONTRACT, content, block_bytes=block_bytes)
    return fast, strict


@settings(max_examples=400, deadline=None)
@given(records=st.lists(RECORDS, min_size=1, max_size=6), block_bytes=st.sampled_from([20, 4 << 20]))
@example(records=['{"b": 1, "d": NaN}'], block_bytes=20)
@example(records=['{"b": 1, "m": 1e-999999999}'], block_bytes=20)
@example(records=['{"b": 1, "b": null}'], block_bytes=20)
@example(records=["null"], block_bytes=20)
@example(records=['{"b": 0, "a": 0}'], block_bytes=20)
def test_the_fast_way_says_what_the_strict_way_says(records: list[str], block_bytes: int) -> None:
    (fast_rows, fast), (rows, strict) = both_ways(("\n".join(records) + "\n").encode(), block_bytes)
    assert fast.violations == strict.violations
    assert (fast.rows_read, fast.rows_bad, fast.read_complete) == (
        strict.rows_read,
        strict.rows_bad,
        strict.read_complete,
    )
    assert fast_rows == rows
    assert set(fast.source_columns) <= set(strict.source_columns)
    if not strict.violations:
        assert fast.null_counts == strict.null_counts


def test_clean_lines_are_read_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[bool] = []
    parse = FastLines.parse

    def watched(self: FastLines, *args: Any) -> Any:
        cells = parse(self, *args)
        outcomes.append(cells is not None)
        return cells

    monkeypatch.setattr(FastLines, "parse", watched)
    line = "{" + ", ".join(f"{json.dumps(k)}: {v}" for k, v in GOOD.items()) + "}\n"
    rows, summary = read(CONTRACT, (line * 50).encode(), block_bytes=2_000)
    assert summary.violations == ()
    assert len(rows) == 50
    assert outcomes
    assert all(outcomes)


def all_ways(contract: Dataset, content: bytes) -> list[Any]:
    """What is said of a content in one block: the fast way, and the strict way."""
    said: list[Any] = []
    for is_fast in (True, False):
        sink = RowList()
        with pytest.MonkeyPatch.context() as patch:
            if not is_fast:
                patch.setattr(FastLines, "build", staticmethod(lambda _plan, _keys: None))
            summary = InProcessReader().read(ReadRequest(contract, None, {}), lambda: [content], sink)
        rejected = sorted(sink.rejected, key=lambda row: row["_source_line"])
        facts = replace(summary, seconds=0.0, source_columns=())
        said.append((sink.rows, rejected, facts))
    return said


GOOD_LINE = "{" + ",".join(f'"{k}":{v}' for k, v in GOOD.items()) + "}"
POLICIES = [
    dataset(CONTRACT_COLUMNS, "jsonl", **more)
    for more in (
        {"rows": {"on_bad": "quarantine_rows", "max_bad": "90%"}},
        {
            "rows": {"on_bad": "quarantine_rows", "max_bad": "90%"},
            "schema": {"new_columns": "rescue", "type_changes": "widen_or_rescue"},
        },
        {
            "rows": {"on_bad": "quarantine_rows", "max_bad": "90%"},
            "schema": {"new_columns": "add", "type_changes": "widen"},
        },
        {
            "rows": {"on_bad": "quarantine_rows", "max_bad": "90%"},
            "schema": {"type_changes": "rescue"},
            "primary_key": ["b"],
        },
        {"primary_key": ["b"]},
    )
]


@settings(max_examples=150, deadline=None)
@given(
    contract=st.sampled_from(POLICIES),
    records=st.lists(RECORDS, min_size=1, max_size=8),
    clean=st.integers(0, 20),
    order=st.randoms(use_true_random=False),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_lines_left_to_the_strict_way_find_their_places_again(
    contract: Dataset, records: list[str], clean: int, order: random.Random, end: str
) -> None:
    lines = records + [GOOD_LINE] * clean
    order.shuffle(lines)
    fast, strict = all_ways(contract, (end.join(lines) + end).encode())
    assert fast == strict


@pytest.mark.parametrize(
    "line", ['{"b":1,"b":2}', '{"b":1,"a":2147483648}', '{"b":9999999999999999999}', '{"b":null}', '{"b":1,"x":2}']
)
def test_one_line_is_no_reason_to_read_its_block_the_strict_way(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    strictly: list[int] = []

    def watched(raw: bytes, depth: int, keys: int | None = None) -> Any:
        strictly.append(1)
        return parse_record(raw, depth, keys)

    monkeypatch.setattr(json_reader, "parse_record", watched)
    content = (f"{GOOD_LINE}\n" * 700 + f"{line}\n" + f"{GOOD_LINE}\n" * 300).encode()
    sink = RowList()
    summary = InProcessReader().read(ReadRequest(POLICIES[0], None, {}), lambda: [content], sink)
    assert (summary.rows_read, summary.rows_bad, len(sink.rows)) == (1_001, 1, 1_000)
    assert [row["_source_line"] for row in sink.rejected] == [701]
    assert len(strictly) <= 64


def test_every_bad_row_of_the_benchmark_is_found_on_its_line_in_its_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["generate", str(tmp_path), "--gigabytes", "0.008", "--format", "jsonl", "--dirty", "0.01"]
    )
    generate.main()
    truth = [json.loads(line) for line in (tmp_path / "wide.truth.jsonl").read_text("utf-8").splitlines()]
    contract = tmp_path / "wide.yaml"
    wide = load_dataset(contract)
    assert isinstance(wide, Dataset)
    source = tmp_path / "wide.jsonl"
    sink = RowList()
    summary = InProcessReader(1 << 20).read(ReadRequest(wide, None, {}), lambda: [source.read_bytes()], sink)
    found = [
        (row["_source_line"], reason["column"], reason["rule"], row["raw"])
        for row in sink.rejected
        for reason in json.loads(row["reasons"])
    ]
    assert len(truth) > 100
    assert sorted(found) == [(bad["line"], bad["column"], bad["rule"], bad["raw"]) for bad in truth]
    lines = source.read_text("utf-8").split("\n")
    assert all(bad["raw"] == lines[bad["line"] - 1] for bad in truth)
    assert (summary.rows_read, len(sink.rows)) == (len(lines) - 1, len(lines) - 1 - len(truth))


MANY = {f"a_long_name_of_a_column_{number}": {"type": "double"} for number in range(250)}
WIDE = dataset({**CONTRACT_COLUMNS, **MANY}, "jsonl", schema={"missing_columns": "allow"})


@settings(max_examples=150, deadline=None)
@given(
    before=st.text("a1:, ", max_size=40),
    digits=st.integers(1, 90),
    after=st.text("a1:, ", max_size=40),
    is_wide=st.booleans(),
    exponent=st.sampled_from(["", "e-5", "e-99", "E-12"]),
)
def test_no_number_that_arrow_reads_wrong_has_the_form(
    before: str, digits: int, after: str, is_wide: bool, exponent: str
) -> None:
    columns = (WIDE if is_wide else CONTRACT).columns
    text = f'{{"b":1,"m":"{before}{"7" * digits}{exponent}{after}"}}'
    [has_form] = LineForm(columns).has(one_line(text))
    fits = re.fullmatch(r"-?[0-9]{1,8}", f"{before}{'7' * digits}{exponent}{after}") is not None
    is_short = max(map(len, re.findall(r"[0-9.]+", text))) <= 36 and not re.search(r"[0-9.][eE]-[0-9]{2}", text)
    if is_wide:
        assert has_form == is_short
    elif has_form:
        assert fits
        assert is_short


@pytest.mark.parametrize(
    "value", ["1e-999999999", "NaN", "01", "1.", ".5", "+1", "1e400", "- 1", "0x1F", "1_0", "Infinity", "1e", "9" * 201]
)
def test_what_is_no_double_has_not_the_form(value: str) -> None:
    assert LineForm(CONTRACT.columns).has(one_line(f'{{"b":1,"d":{value}}}')).tolist() == [False]
    assert LineForm(CONTRACT.columns).has(one_line('{"b":1,"d":-1.5e-3}')).tolist() == [True]


@settings(max_examples=25, deadline=None)
@given(records=st.lists(RECORDS, min_size=1, max_size=6))
def test_a_wide_contract_is_read_alike(records: list[str]) -> None:
    fast, strict = all_ways(WIDE, ("\n".join([*records, *[GOOD_LINE] * 9]) + "\n").encode())
    assert fast == strict


def one_line(text: str) -> JsonBlock:
    [block] = split_lines([f"{text}\n".encode()], 1 << 20, 1 << 20)
    return block
