"""Sorting in bounded memory gives what sorting in memory gives."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.publication.sorting import SortedRows

SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64()),
        pa.field("text", pa.string()),
        pa.field("real", pa.float64()),
        pa.field("money", pa.decimal128(12, 2)),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("day", pa.date32()),
        pa.field("ok", pa.bool_()),
        pa.field("file", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("list", pa.list_(pa.int64())),
    ]
)
KEYS = ["number", "text", "real", "money", "at", "day", "ok"]


def column(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


ROW = st.fixed_dictionaries(
    {
        "number": column(st.integers(-3, 3)),
        "text": column(st.sampled_from(["", "a", "ab", "b", "é", "\U0001f600", "\uffff"])),
        "real": column(st.sampled_from([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.5])),
        "money": column(st.sampled_from([Decimal("-1.50"), Decimal("0.00"), Decimal("7.25")])),
        "at": column(st.sampled_from([datetime(1950, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 0, 0, 0, 5, tzinfo=UTC)])),
        "day": column(st.sampled_from([-5, 0, 4_000_000])),
        "ok": column(st.booleans()),
        "file": st.sampled_from(["x", "y", "z", "größe"]),
        "list": column(st.lists(st.integers(0, 3), max_size=2)),
    }
)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    columns: list[Any] = []
    for field in SCHEMA:
        values = [row[field.name] for row in rows]
        kind = pa.int32() if field.name == "day" else pa.string() if field.name == "file" else field.type
        array = pa.array(values, kind)
        columns.append(array.dictionary_encode() if field.name == "file" else array.cast(field.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def as_rows(pieces: list[pa.Table]) -> list[str]:
    plain = SCHEMA.set(5, pa.field("day", pa.int32())).set(7, pa.field("file", pa.string()))
    return [repr(row) for piece in pieces for row in piece.cast(plain).to_pylist()]


@settings(deadline=None)
@given(st.lists(st.lists(ROW, max_size=12), max_size=8), st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True), st.sampled_from([1, 700, 3000, 1 << 20]))  # fmt: skip
def test_runs_on_disk_give_the_order_that_memory_gives(blocks: list[list[Any]], keys: list[str], run: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sorter = SortedRows(keys, Path(folder), run_bytes=run, piece_bytes=300)
        for block in blocks:
            sorter.add(table(block))
        pieces = list(sorter.rows())
        assert not list(Path(folder).iterdir())
    whole = pa.concat_tables([table(block) for block in blocks] or [SCHEMA.empty_table()])
    assert sorted(as_rows(pieces)) == sorted(as_rows([whole]))
    by = [(name, "ascending") for name in keys]
    expected = whole.sort_by(by).select(keys)
    if pieces:
        found = pa.concat_tables(pieces).select(keys)
        assert [repr(r) for r in plain(found)] == [repr(r) for r in plain(expected)]
        assert all(piece.schema.equals(SCHEMA) for piece in pieces)


def plain(rows: pa.Table) -> list[Any]:
    columns = [c.cast(pa.int32()) if pa.types.is_date32(c.type) else c for c in rows.columns]
    return [tuple(0.0 if v == 0 and isinstance(v, float) else v for v in r) for r in zip(*(c.to_pylist() for c in columns), strict=True)]  # fmt: skip


@pytest.mark.parametrize("order", ["rising", "falling", "same"])
def test_runs_that_do_not_overlap_or_are_all_alike_come_back_whole(tmp_path: Path, order: str) -> None:
    sorter = SortedRows(["number"], tmp_path, run_bytes=4_000, piece_bytes=500)
    numbers = {"rising": range(2_000), "falling": range(2_000, 0, -1), "same": [7] * 2_000}[order]
    for start in range(0, 2_000, 50):
        part = pa.table({"number": pa.array(list(numbers)[start : start + 50], pa.int64())})
        sorter.add(part)
    found = pa.concat_tables(list(sorter.rows()))["number"].to_pylist()
    assert found == sorted(numbers)
