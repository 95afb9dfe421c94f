"""Repeated keys are found as a dictionary finds them: whatever is spilled to disk, whatever shares a hash."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from pipelines.reading import unique
from pipelines.reading.unique import KeyIndex, Repeats
from tests.reading.support import dataset, read

Row = tuple[Any, ...]
TYPES = [
    pa.string(),
    pa.int32(),
    pa.decimal128(20, 3),
    pa.date32(),
    pa.timestamp("us", "UTC"),
    pa.float64(),
    pa.bool_(),
]


def indexed(rows: Sequence[Row], types: Sequence[pa.DataType], batch: int, run_rows: int, spool_bytes: int) -> Repeats:
    names = [str(n) for n in range(len(types))]
    with KeyIndex(names, run_rows, spool_bytes) as index:
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            columns = [pa.array([row[n] for row in part], kind) for n, kind in enumerate(types)]
            lines = np.arange(start, start + len(part), dtype=np.int64) + 2
            index.add(columns, lines, lines * 10)
        return index.repeats()


def by_dictionary(rows: Sequence[Row]) -> tuple[int, list[tuple[int, int, Row]]]:
    seen: dict[Row, int] = {}
    repeats: list[tuple[int, int, Row]] = []
    for line, row in enumerate(rows, 2):
        if None in row:
            continue
        if row in seen:
            repeats.append((line, seen[row], row))
        else:
            seen[row] = line
    return len(repeats), repeats[:10]


def some_rows(rng: random.Random, count: int, variety: int) -> list[Row]:
    start = datetime(2024, 1, 1, tzinfo=UTC)

    def row() -> Row:
        n = rng.randrange(variety)
        text = "" if n == 0 else "é" * (n % 11) + str(n)
        moment = start + timedelta(microseconds=n)
        key = (text, n - 5, Decimal(n) / 8 - 3, date(2024, 1, 1) + timedelta(n % 9), moment, n / 3 - 1, n % 2 == 0)
        return (None, *key[1:]) if rng.random() < 0.02 else key

    return [row() for _ in range(count)]


@pytest.mark.parametrize(("run_rows", "spool_bytes"), [(1, 1), (7, 100), (100, 1), (1 << 20, 1 << 20)])
@pytest.mark.parametrize("variety", [3, 400, 1_000_000])
def test_keys_of_every_type_are_found_as_a_dictionary_finds_them(run_rows: int, spool_bytes: int, variety: int) -> None:
    rows = some_rows(random.Random(variety + run_rows), 1_500, variety)
    repeats = indexed(rows, TYPES, 64, run_rows, spool_bytes)
    count, first = by_dictionary(rows)
    assert repeats.count == count
    assert [(r.line, r.first_line, r.key) for r in repeats.first] == first
    assert all(r.byte_offset == r.line * 10 for r in repeats.first)


def test_the_first_repeat_is_found_among_many_more_than_are_compared() -> None:
    rows = [(n,) for n in range(30_000)] + [(n,) for n in reversed(range(30_000))]
    repeats = indexed(rows, [pa.int64()], 5_000, 8_000, 1)
    assert repeats.count == 30_000
    assert [(r.line, r.first_line) for r in repeats.first[:2]] == [(30_002, 30_001), (30_003, 30_000)]


def test_one_key_in_every_row() -> None:
    repeats = indexed([("x",)] * 20_000, [pa.string()], 3_000, 4_000, 1)
    assert (repeats.count, repeats.first[0].line, repeats.first[-1].line) == (19_999, 3, 12)


def test_keys_that_share_a_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def coarse(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        return state % np.uint64(50)

    monkeypatch.setattr(unique, "mixed", coarse)
    rows = [(n,) for n in range(400)] + [(7,), (399,)]
    repeats = indexed(rows, [pa.int64()], 30, 64, 1)
    assert repeats.count == 2
    assert [(r.line, r.first_line, r.key) for r in repeats.first] == [(402, 9, (7,)), (403, 401, (399,))]


def test_a_key_over_columns_of_the_file_and_of_its_name() -> None:
    contract = dataset(
        {"day": {"type": "date", "from": "key"}, "a": {"type": "string"}, "b": {"type": "int"}},
        primary_key=["day", "a", "b"],
    )
    content = b"a,b\nx,1\nx,2\ny,1\nx,2\n"
    _, summary = read(contract, content, key_values={"day": date(2024, 1, 5)}, block_bytes=5)
    (violation,) = summary.violations
    assert (violation.line, violation.byte_offset, violation.count) == (5, 16, 1)
    assert violation.found == "day=2024-01-05, a=x, b=2"


def test_a_key_repeats_whatever_the_length_of_the_keys_in_its_block() -> None:
    texts = ["", "a", "a" * 8, "b" * 9, "a" * 40, "", "c" * 17, "a", "a" * 8]
    rows: list[Row] = [(text,) for text in texts]
    for batch in (1, 2, 3, 9):
        repeats = indexed(rows, [pa.string()], batch, 100, 1 << 20)
        assert [(r.line, r.first_line, r.key) for r in repeats.first] == by_dictionary(rows)[1]
        assert repeats.count == 3
