"""The fast way for JSON Lines says what the strict way says, or leaves the block to it."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.reading.json_fast import FastLines, _decimals_are_safe
from tests.reading.support import dataset, read

CONTRACT = dataset(
    {
        "a": {"type": "int", "min": -5},
        "b": {"type": "bigint", "nullable": False},
        "d": {"type": "double"},
        "g": {"type": "float", "max": 1e9},
        "m": {"type": "decimal(10,2)", "max": 1000},
        "s": {"type": "string", "pattern": "[^z]*"},
        "t": {"type": "timestamp", "aliases": ["when"]},
        "f": {"type": "boolean"},
    },
    "jsonl",
)
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


@settings(max_examples=300, deadline=None)
@given(
    before=st.text("a1:,", max_size=40),
    digits=st.integers(1, 90),
    after=st.text("a1:,", max_size=40),
    bound=st.integers(15, 38),
)
def test_no_number_too_long_for_arrow_is_overlooked(before: str, digits: int, after: str, bound: int) -> None:
    content = f"{before}{'7' * digits}{after}\n".encode()
    longest = max(len(run) for run in re.findall(r"[0-9.]+", content.decode()))
    safe = _decimals_are_safe(np.frombuffer(content, np.uint8), content, bound)
    assert safe is (longest <= bound)
