"""A generated file whose bad rows are known: each is found, at its line and in its column, and nothing else is."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import damage
from benchmarks.feeds import WIDE
from benchmarks.generate import Plan, generate
from pipelines.contracts.loading import parse_dataset
from pipelines.contracts.model import Dataset
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest, ReadSummary
from pipelines.reading.violations import Rule
from tests.reading.support import RowList, dataset

ROWS = 12_000
Found = dict[int, tuple[str | None, str]]
"""By the line of a bad row: the column and the rule."""


_WRONG_QUOTES = [("code", 'AB"1234', "bare_quote"), ("name", '"Anna" Smith', "text_after_quote")]
"""These put their whole file in doubt."""


def _contract(rows: str = "") -> Dataset:
    found = parse_dataset(f"{WIDE.contract_for('csv', dirty=False)}{rows}\n".encode(), Path("wide.yaml"))
    assert isinstance(found, Dataset)
    return found


def _file(folder: Path, share: float) -> tuple[bytes, Found]:
    plan = Plan("wide", "csv", ROWS * 200, share, seed=7)
    assert plan.rows == ROWS
    path = generate(plan, folder)
    said = [json.loads(line) for line in (folder / "wide.truth.jsonl").read_text("utf-8").splitlines()]
    return path.read_bytes(), {row["line"]: (row["column"], row["rule"]) for row in said}


def _read(contract: Dataset, content: bytes, block_bytes: int) -> tuple[ReadSummary, RowList]:
    sink = RowList()
    request = ReadRequest(contract, len(content), {})
    return InProcessReader(block_bytes).read(request, lambda: iter([content]), sink), sink


def _reasons(rejected: Sequence[Mapping[str, Any]]) -> Found:
    found: Found = {}
    for row in rejected:
        (reason,) = json.loads(row["reasons"])
        found[row["_source_line"]] = (reason["column"], reason["rule"])
    return found


@pytest.mark.parametrize("share", [0.001, 0.05])
@pytest.mark.parametrize("block_bytes", [64 << 10, 4 << 20])
def test_each_bad_row_is_rejected_for_its_own_reason_and_no_other_row_is(
    tmp_path: Path, share: float, block_bytes: int
) -> None:
    content, truth = _file(tmp_path, share)
    summary, sink = _read(_contract("rows: {on_bad: quarantine_rows, max_bad: 20%}"), content, block_bytes)
    assert _reasons(sink.rejected) == truth
    assert (summary.rows_read, summary.rows_bad, len(sink.rows)) == (ROWS, len(truth), ROWS - len(truth))
    lines = content.split(b"\n")
    assert all(row["raw"].split("\n")[0].encode() == lines[row["_source_line"] - 1] for row in sink.rejected)
    ids = np.sort([row["id"] for row in sink.rows])
    assert np.array_equal(ids, np.unique(ids))


@pytest.mark.parametrize("block_bytes", [64 << 10, 4 << 20])
def test_a_rejected_file_names_every_kind_of_bad_row_with_its_number_and_first_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, block_bytes: int
) -> None:
    cells = [*damage._CELLS, *_WRONG_QUOTES]  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(damage, "_CELLS", cells)
    monkeypatch.setattr(damage, "_CSV_KINDS", len(cells) + 2)
    content, truth = _file(tmp_path, 0.01)
    summary, sink = _read(_contract(), content, block_bytes)
    wanted: dict[tuple[str, str | None], list[int]] = {}
    for line, (column, rule) in sorted(truth.items()):
        wanted.setdefault((rule, column), []).append(line)
    found = {(str(v.rule), v.column): (v.count, v.line) for v in summary.violations}
    assert found == {kind: (len(lines), lines[0]) for kind, lines in wanted.items()}
    assert (summary.rows_bad, summary.violations_total) == (len(truth), len(truth))
    assert not sink.rejected


@pytest.mark.parametrize("short", [1, 999, 1_000, 1_001, 5_000])
def test_rows_of_another_width_are_counted_whether_they_are_few_or_many(short: int) -> None:
    rows = [b"%d,a" % i if i % 3 else b'%d,"a\nb"' % i for i in range(6_000)]
    for i in range(short):
        rows[i] = b"%d" % i if i % 2 else b'%d,"x,\ny",z' % i
    contract = dataset(
        {"id": {"type": "int"}, "name": {"type": "string"}}, rows={"on_bad": "quarantine_rows", "max_bad": "90%"}
    )
    summary, sink = _read(contract, b"\n".join([b"id,name", *rows]), 4 << 20)
    assert (summary.rows_bad, len(sink.rows), len(sink.rejected)) == (short, 6_000 - short, short)
    starts = np.cumsum([2, *(1 + row.count(b"\n") for row in rows[:-1])])
    assert [row["_source_line"] for row in sink.rejected] == starts[:short].tolist()
    assert [row["_source_line"] for row in sink.rows] == starts[short:].tolist()


def test_bytes_that_are_no_text_and_rows_of_another_width_stand_side_by_side() -> None:
    content = b"id,name\n" + b"1,\xff\xff\xff,x\n" * 11_000
    summary, _ = _read(dataset({"id": {"type": "int"}, "name": {"type": "string"}}), content, 4 << 20)
    assert {v.rule for v in summary.violations} >= {Rule.ENCODING}
    assert not summary.read_complete
