"""What a column cannot hold is kept in `_rescued`: nothing of a row is lost, and every value is counted."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contracts.model import Column
from pipelines.reading.child import ChildReader
from pipelines.reading.json_fast import FastLines
from pipelines.reading.summary import ReadRequest
from pipelines.reading.values import Misfit, value_reader
from tests.reading.support import RowList, dataset, found, read

COLUMNS: dict[str, dict[str, Any]] = {
    "n": {"type": "int", "source": "Number"},
    "d": {"type": "date"},
    "m": {"type": "decimal(4,1)"},
    "s": {"type": "string"},
}
RESCUE = {"type_changes": "rescue", "new_columns": "rescue", "missing_columns": "allow"}
CELLS = st.sampled_from(
    ["", "1", "-7", "2147483648", "x", "0x1", "2024-02-29", "2023-02-29", "12.5", "12.55", "1e3", 'a"b', "a,b", "é\n", "null"]
)  # fmt: skip
HEADER = ["Number", "extra", "d", "m", "s", "Ähnlich"]


def entries(row: dict[str, Any]) -> list[dict[str, Any]]:
    return json.loads(row["_rescued"]) if row["_rescued"] is not None else []


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.lists(CELLS, min_size=6, max_size=6), min_size=1, max_size=70),
    block=st.sampled_from([40, 4 << 20]),
)
def test_each_cell_of_a_csv_file_is_in_its_column_or_in_rescued(rows: list[list[str]], block: int) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([HEADER, *rows])
    contract = dataset(COLUMNS, schema=RESCUE)
    got, summary = read(contract, out.getvalue().encode(), block_bytes=block)
    assert found(summary) == []
    counts: dict[str, int] = {}
    for row, cells in zip(got, rows, strict=True):
        kept = {entry["column"]: entry for entry in entries(row)}
        for name, text in zip(HEADER, cells, strict=True):
            column = {"Number": "n"}.get(name, name)
            said = COLUMNS.get(column)
            value = Misfit if said is None else value_reader(Column.model_validate(said))(text)
            if text == "":
                assert name not in kept
            elif said is None:
                assert kept[name] == {"column": name, "value": text, "wanted": None, "reason": "new_column"}
            elif isinstance(value, Misfit):
                assert row[column] is None
                assert kept[name] == {
                    "column": name,
                    "value": text,
                    "wanted": said["type"],
                    "reason": str(value.rule),
                }
            else:
                assert row[column] == value
                assert name not in kept
        for name in kept:
            counts[name] = counts.get(name, 0) + 1
    assert summary.rescued == counts


def test_rules_do_not_speak_of_a_rescued_value() -> None:
    columns = {"n": {"type": "int", "min": 5, "allowed": [7]}, "s": {"type": "string", "pattern": "[a-z]+"}}
    rows, summary = read(dataset(columns, "jsonl", schema=RESCUE), b'{"n": "x", "s": 5}\n{"n": 8}\n')
    assert found(summary) == [("allowed", "n", 2)]
    rows, summary = read(dataset(columns, "jsonl", schema=RESCUE), b'{"n": "x", "s": 5}\n{"n": 7}\n')
    assert found(summary) == []
    assert [row["n"] for row in rows] == [None, 7]


def test_lines_without_anything_to_rescue_are_read_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[bool] = []
    parse = FastLines.parse

    def watched(*arguments: Any) -> Any:
        cells = parse(*arguments)
        outcomes.append(cells is not None)
        return cells

    monkeypatch.setattr(FastLines, "parse", watched)
    contract = dataset(COLUMNS, "jsonl", schema=RESCUE)
    line = b'{"Number": 1, "d": "2024-01-01", "m": 1.5, "s": "x"}\n'
    rows, summary = read(contract, line * 500, block_bytes=2_000)
    assert outcomes
    assert all(outcomes)
    assert summary.rescued == {}
    assert {row["_rescued"] for row in rows} == {None}
    outcomes.clear()
    odd = b'{"Number": 1, "d": "tomorrow", "why": {"a": [1.0]}}\n'
    rows, summary = read(contract, line * 50 + odd + line * 50)
    assert outcomes == [True]
    assert summary.rescued == {"d": 1, "why": 1}
    assert [number for number, row in enumerate(rows) if row["_rescued"]] == [50]


def test_names_beyond_the_limit_are_counted_as_one() -> None:
    lines = "".join(f'{{"k{n}": {n}}}\n' for n in range(2_100))
    rows, summary = read(dataset({"a": {"type": "int"}}, "jsonl", schema=RESCUE), lines.encode())
    assert len(summary.rescued) == 2_001
    assert summary.rescued["(others)"] == 100
    assert sum(len(entries(row)) for row in rows) == 2_100


def test_the_child_counts_what_was_rescued() -> None:
    contract, sink = dataset(COLUMNS, schema=RESCUE), RowList()
    with ChildReader() as reader:
        summary = reader.read(ReadRequest(contract, None, {}), lambda: [b"Number,s\nx,1\n2,3\n"], sink)
    assert summary.rescued == {"Number": 1}
    assert entries(sink.rows[0]) == [{"column": "Number", "value": "x", "wanted": "int", "reason": "type"}]
