"""Row hashes: equal where the values are, in whatever company; different where they differ, as far as anybody can see."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.row_hashes import hash_rows

UTC = dt.UTC
SAMPLES: list[tuple[list[Any], pa.DataType]] = [
    ([1, None, 0, -1, 2**40], pa.int64()),
    ([1, None, 0, -1], pa.int32()),
    (["", None, "a", "abcdefgh", "abcdefghi", "ä" * 9], pa.string()),
    ([Decimal("1.5"), None, Decimal(0)], pa.decimal128(10, 2)),
    ([True, None, False], pa.bool_()),
    ([1.5, None, 0.0, float("inf")], pa.float64()),
    ([1.5, None, 0.0], pa.float32()),
    ([dt.date(2020, 1, 1), None, dt.date(1970, 1, 1)], pa.date32()),
    ([dt.datetime(2020, 1, 1, tzinfo=UTC), None, dt.datetime(1970, 1, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
    ([[1, 2], None, [], [2, 1], [None], [1], [1, 2, 0]], pa.list_(pa.int32())),
    ([[["a"], []], [[], ["a"]], [["a"]], None, [None]], pa.list_(pa.list_(pa.string()))),
    ([{"a": 1, "b": "x"}, None, {"a": None, "b": None}], pa.struct([("a", pa.int64()), ("b", pa.string())])),
    ([[("k", 1)], None, [], [("k", 2)], [("l", 1)]], pa.map_(pa.string(), pa.int64())),
]


def hashes(values: list[Any], kind: pa.DataType) -> list[int]:
    return hash_rows([pa.array(values, kind)], len(values)).tolist()


@pytest.mark.parametrize(("values", "kind"), SAMPLES, ids=[str(kind) for _, kind in SAMPLES])
def test_different_values_have_different_hashes_and_company_changes_none(values: list[Any], kind: pa.DataType) -> None:
    together = hashes(values, kind)
    assert len(set(together)) == len(values)
    assert together == [hashes([value], kind)[0] for value in values]
    sliced = pa.array([values[0], *values, values[0]], kind).slice(1, len(values))
    assert together == hash_rows([sliced], len(values)).tolist()
    assert together == hash_rows([pa.array(values, kind)], len(values)).tolist()


def test_a_value_counts_in_its_column() -> None:
    ones, twos = pa.array([1, 1]), pa.array([2, None])
    assert hash_rows([ones, twos], 2).tolist() != hash_rows([twos, ones], 2).tolist()


@given(st.lists(st.tuples(st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.text(max_size=20)), max_size=20))
def test_rows_have_one_hash_each(rows: list[tuple[int | None, str | None]]) -> None:
    columns = [pa.array([a for a, _ in rows], pa.int64()), pa.array([b for _, b in rows], pa.string())]
    assert len(set(hash_rows(columns, len(rows)).tolist())) == len(set(rows))
