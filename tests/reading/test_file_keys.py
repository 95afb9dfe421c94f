"""What stands once in a file: several keys side by side, null, little memory; and how many rows a file has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.reading.collector import Collector
from pipelines.reading.file_keys import FileKeys
from pipelines.reading.summary import Accepted, Empty, Rejected, judge
from tests.reading.support import dataset, found, read

COLUMNS: dict[str, dict[str, Any]] = {
    "id": {"type": "int"},
    "ticket": {"type": "string"},
    "store": {"type": "int"},
    "receipt": {"type": "int"},
}


@pytest.mark.parametrize("block_bytes", [8, 4 << 20])
@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_each_key_is_told_for_itself_and_null_repeats_nothing(form: str, block_bytes: int) -> None:
    contract = dataset(COLUMNS, form, primary_key=["id"], unique=[["ticket"], ["store", "receipt"]])
    rows = [(1, "a", 1, 1), (2, "", 1, 2), (3, None, 1, None), (4, None, 1, None), (5, "b", 2, 1), (5, "a", 2, 1)]
    if form == "csv":
        lines = [",".join("" if v is None else '""' if v == "" else str(v) for v in row) for row in rows]
        content = "\n".join([",".join(COLUMNS), *lines, ""])
        first = 2
    else:
        import json

        lines = [json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in rows]
        content = "\n".join([*lines, ""]) if form == "jsonl" else "[" + ",\n".join(lines) + "]"
        first = 1
    _, summary = read(contract, content.encode(), block_bytes=block_bytes)
    last = first + 5
    assert sorted(found(summary), key=str) == [
        ("primary_key", "id", last),
        ("unique", "ticket", last),
        ("unique", None, last),
    ]
    said = {v.column: (v.found, v.expected) for v in summary.violations if v.rule == "unique"}
    assert said == {
        "ticket": ("ticket=a", f"each value once; this one stood on line {first} already"),
        None: ("store=2, receipt=1", f"each value once; this one stood on line {first + 4} already"),
    }
    assert summary.rows_bad == 1


def test_two_groups_of_columns_are_two_violations() -> None:
    contract = dataset(COLUMNS, unique=[["id", "store"], ["id", "receipt"]])
    _, summary = read(contract, b"id,ticket,store,receipt\n1,,1,1\n1,,1,2\n1,,3,2\n1,,1,3\n")
    assert [(v.found, v.count) for v in summary.violations] == [("id=1, store=1", 2), ("id=1, receipt=2", 1)]


def test_the_memory_of_all_keys_is_shared_and_what_does_not_fit_is_spilled() -> None:
    contract = dataset(COLUMNS, primary_key=["id"], unique=[["ticket"], ["store", "receipt"], ["receipt"]])
    keys = FileKeys(contract, run_rows=4_000, spool_bytes=4_096)
    rng = np.random.default_rng(3)
    rows = 50_000
    ids = rng.permutation(rows).astype(np.int32)
    for start in range(0, rows, 700):
        chosen = ids[start : start + 700]
        values = {
            "id": pa.array(chosen),
            "ticket": pa.array([f"T{n // 2}" for n in chosen]),
            "store": pa.array(chosen // 1000),
            "receipt": pa.array(chosen % 1000),
        }
        keys.add(values, np.arange(start, start + len(chosen), dtype=np.int64), None)
    held = [key.index._run_rows for key in keys._keys]  # pyright: ignore[reportPrivateUsage]
    assert held == [1_000] * 4
    collector = Collector()
    bad = keys.finish(collector, set())
    keys.close()
    counted = {(v.rule.value, v.column): v.count for v in collector.violations()}
    assert counted == {("unique", "ticket"): rows // 2, ("unique", "receipt"): rows - 1000}
    assert bad == rows - 1000


COUNTED = {"a": {"type": "int"}}


@pytest.mark.parametrize(
    ("count", "rows", "expected"),
    [
        (2, 2, None),
        (2, 1, "2 rows"),
        (1, 2, "1 row"),
        ({"min": 2, "max": 3}, 2, None),
        ({"min": 2, "max": 3}, 3, None),
        ({"min": 2, "max": 3}, 4, "2 to 3 rows"),
        ({"min": 2}, 1, "at least 2 rows"),
        ({"max": 1000}, 1001, "at most 1,000 rows"),
        ({"max": 1000}, 1000, None),
    ],
)
@pytest.mark.parametrize(("form", "row", "head"), [("csv", b"1\n", b"a\n"), ("jsonl", b'{"a":1}\n', b"")])
def test_row_counts(count: Any, rows: int, expected: str | None, form: str, row: bytes, head: bytes) -> None:
    contract = dataset(COUNTED, form, rows={"count": count})
    _, summary = read(contract, head + row * rows, block_bytes=64)
    assert [(str(v.rule), v.found, v.expected, v.line) for v in summary.violations] == (
        [] if expected is None else [("row_count", f"{rows:,} row{'' if rows == 1 else 's'}", expected, None)]
    )


def test_bad_rows_are_rows_too() -> None:
    contract = dataset({"a": {"type": "int"}, "b": {"type": "int"}}, rows={"count": 3})
    _, summary = read(contract, b"a,b\n1,1\nx,1\n1\n")
    assert "row_count" not in {str(v.rule) for v in summary.violations}
    assert summary.rows_read == 3


def test_a_file_that_was_not_read_to_its_end_is_not_counted() -> None:
    contract = dataset(COUNTED, rows={"count": 3})
    _, summary = read(contract, b'a\n1\n"2\n')
    assert [str(v.rule) for v in summary.violations] == ["unclosed_quote"]


@pytest.mark.parametrize("content", [b"", b"a\n", b"a\n\n\n"])
@pytest.mark.parametrize(("on_empty", "verdict"), [("keep", Empty), ("accept", Accepted)])
def test_a_file_without_rows_is_empty_whatever_the_count(content: bytes, on_empty: str, verdict: type) -> None:
    contract = dataset(
        {"a": {"type": "int"}, "b": {"type": "int", "nullable": True}},
        schema={"missing_columns": "allow"},
        rows={"count": 3},
        on_empty=on_empty,
    )
    _, summary = read(contract, content)
    assert isinstance(judge(contract, summary), verdict)


def test_a_wrong_count_rejects() -> None:
    contract = dataset(COUNTED, rows={"count": 3})
    _, summary = read(contract, b"a\n1\n")
    assert judge(contract, summary) == Rejected(summary.violations, 1)
    assert summary.violations[0].message == (
        'the file has fewer or more rows than the contract allows: found "1 row", expected 3 rows. '
        "Send the whole file, or correct `rows.count`."
    )
