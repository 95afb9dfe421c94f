"""A time counts only when the output is right: what is lost, doubled, changed or moved is seen, and bad rows are held to their truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks.blocks import rows_of
from benchmarks.contenders import pyarrow as plain_pyarrow
from benchmarks.feeds import LETTERS, WIDE, Feed
from benchmarks.generate import Plan, generate
from benchmarks.measure import Run
from benchmarks.suite import Measured, Series, rounds
from benchmarks.table import GOALS, lines_of, rendered, spread, written
from benchmarks.verify import Verdict, rejected_rows, verify
from benchmarks.workloads import OURS, WORKLOADS

SIZE = 300_000


def _rows(feed: Feed, plan: Plan) -> pa.Table:
    return pa.Table.from_batches([rows_of(feed, plan.seed, 0, plan.rows, 0.0)])


def _kept(folder: Path, table: pa.Table) -> Path:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    pq.write_table(table, out / "rows.parquet")
    return out


def _replaced(table: pa.Table, name: str, row: int, value: object) -> pa.Table:
    values = table.column(name).to_pylist()
    values[row] = value
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values, table.schema.field(name).type))


def _swapped(table: pa.Table, name: str) -> pa.Table:
    values = table.column(name).to_pylist()
    other = next(n for n, value in enumerate(values) if value != values[0])
    return _replaced(_replaced(table, name, 0, values[other]), name, other, values[0])


SPOILED: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "a lost row": (lambda t: t.slice(1), "rows instead of"),
    "a doubled row": (lambda t: pa.concat_tables([t, t.slice(3, 1)]), "rows instead of"),
    "one row lost and another doubled": (lambda t: pa.concat_tables([t.slice(1), t.slice(3, 1)]), "id: "),
    "a changed int": (lambda t: _replaced(t, "quantity", 5, 1_001), "quantity: "),
    "a changed double": (lambda t: _replaced(t, "weight", 5, t.column("weight")[5].as_py() + 0.001), "weight: "),
    "a changed decimal": (lambda t: _replaced(t, "price", 5, t.column("price")[5].as_py() + 1), "price: "),
    "a null for a value": (lambda t: _replaced(t, "quantity", 5, None), "quantity: 1 nulls"),
    "a changed letter": (lambda t: _replaced(t, "code", 5, "AB1235"), "code: "),
    "two texts that changed rows": (lambda t: _swapped(t, "code"), "code: another value, or a value in another row"),
    "two moments that changed rows": (lambda t: _swapped(t, "event_time"), "event_time: "),
    "two letters that changed places": (
        lambda t: _replaced(t, "name", 5, t.column("name")[5].as_py()[1::-1] + t.column("name")[5].as_py()[2:]),
        "name: ",
    ),
}


@pytest.mark.parametrize("what", SPOILED)
def test_verification_catches_(what: str, tmp_path: Path) -> None:
    plan = Plan("wide", "csv", SIZE)
    generate(plan, tmp_path)
    spoil, told = SPOILED[what]
    assert verify(WIDE, tmp_path, _kept(tmp_path, _rows(WIDE, plan))).wrong == ""
    assert told in verify(WIDE, tmp_path, _kept(tmp_path, spoil(_rows(WIDE, plan)))).wrong


def test_a_double_off_in_its_last_digit_is_told_apart(tmp_path: Path) -> None:
    plan = Plan("wide", "csv", SIZE)
    generate(plan, tmp_path)
    table = _rows(WIDE, plan)
    found = verify(
        WIDE, tmp_path, _kept(tmp_path, _replaced(table, "weight", 5, table.column("weight")[5].as_py() * (1 + 3e-16)))
    )
    assert (found.wrong, found.rounded) == ("", True)


@pytest.mark.parametrize(("feed", "form"), [(WIDE, "csv"), (WIDE, "jsonl"), (LETTERS, "csv")])
def test_what_a_reader_makes_of_the_file_is_the_truth_of_it(feed: Feed, form: str, tmp_path: Path) -> None:
    source = generate(Plan(feed.name, form, SIZE), tmp_path)
    plain_pyarrow(source, tmp_path / "out")
    found = verify(feed, tmp_path, tmp_path / "out")
    assert (found.wrong, found.rounded) == ("", False)
    assert found.rows > 500


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    first, second, other = (
        generate(Plan("wide", "csv", SIZE, 0.01, seed), tmp_path / name).read_bytes()
        for seed, name in [(1, "a"), (1, "b"), (2, "c")]
    )
    assert first == second != other


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_bad_rows_stand_where_their_truth_says(form: str, tmp_path: Path) -> None:
    source = generate(Plan("wide", form, SIZE, 0.1), tmp_path)
    content = source.read_text("utf-8")
    bad = [json.loads(line) for line in (tmp_path / "wide.truth.jsonl").read_text("utf-8").splitlines()]
    lines = content.split("\n")
    assert len(bad) > 40
    for row in bad:
        assert "\n".join(lines[row["line"] - 1 :]).startswith(row["raw"] + "\n")


def _reject(folder: Path, rows: list[dict[str, object]]) -> Path:
    out = folder / "rejected"
    out.mkdir(exist_ok=True)
    table = [
        {
            "_source_line": r["line"],
            "raw": r["raw"],
            "reasons": json.dumps([{"column": r["column"], "rule": r["rule"]}]),
        }
        for r in rows
    ]
    pq.write_table(pa.Table.from_pylist(table), out / "rows.parquet")
    return out


def test_rejected_rows_are_held_to_line_column_rule_and_text(tmp_path: Path) -> None:
    generate(Plan("wide", "csv", SIZE, 0.05), tmp_path)
    bad = [json.loads(line) for line in (tmp_path / "wide.truth.jsonl").read_text("utf-8").splitlines()]
    assert rejected_rows(WIDE, tmp_path, _reject(tmp_path, bad)) == ""
    for spoiled, told in [
        (bad[1:], "were not rejected"),
        ([*bad, bad[0]], "rejected twice"),
        ([*bad, bad[0] | {"line": 10**6}], "good rows were rejected"),
        ([bad[0] | {"line": bad[0]["line"] + 1}, *bad[1:]], "were not rejected"),
        ([bad[0] | {"column": "nobody"}, *bad[1:]], "instead of"),
        ([bad[0] | {"rule": "nothing"}, *bad[1:]], "instead of"),
        ([bad[0] | {"raw": "other"}, *bad[1:]], "is not the file's"),
    ]:
        assert told in rejected_rows(WIDE, tmp_path, _reject(tmp_path, spoiled))


def test_bad_rows_in_the_table_are_counted_and_do_not_hide_a_lost_good_one(tmp_path: Path) -> None:
    plan = Plan("wide", "csv", SIZE, 0.05)
    generate(plan, tmp_path)
    bad = [json.loads(line)["id"] for line in (tmp_path / "wide.truth.jsonl").read_text("utf-8").splitlines()]
    everything = _rows(WIDE, plan)
    found = verify(WIDE, tmp_path, _kept(tmp_path, everything))
    assert (found.wrong, found.missed, found.bad_rows) == ("", len(bad), len(bad))
    good = next(n for n in range(plan.rows) if n not in bad)
    without = everything.filter(pc.not_equal(everything.column("id"), good))
    assert "rows instead of" in verify(WIDE, tmp_path, _kept(tmp_path, without)).wrong


def _series(label: str, cpu_s: list[float], wrong: str = "", missed: int = 0) -> Series:
    verdict = Verdict("", 10, 4, missed, False, 1, 1000)
    return Series(label, "", [Measured(Run(cpu, cpu, 100, 0), verdict, wrong, 0.0) for cpu in cpu_s])


def test_a_ratio_is_the_median_of_the_rounds_own_ratios_and_stands_beside_its_goal() -> None:
    found = {OURS: _series("ours", [10, 30, 12]), "pyarrow": _series("pyarrow", [10, 10, 10])}
    [line] = lines_of(WORKLOADS["csv"], found)
    assert line.value == "**1.20** (1.00–3.00)"
    assert line.goal == "1.25 | 1 | met"
    assert spread([2.0]) == "**2.00**"
    assert GOALS["csv", "pyarrow", "CPU"].words(1.3).endswith("not met**")
    assert GOALS["small-files", "", "files/s"].words(150).endswith("| met")


def test_what_is_wrong_has_no_ratio_and_ours_wrong_stops_the_line() -> None:
    table = {OURS: _series("ours", [10]), "duckdb": _series("DuckDB", [10], "9 rows instead of 10")}
    lines = lines_of(WORKLOADS["csv"], table)
    assert [(line.value, line.note[:28]) for line in lines] == [("", "wrong: 9 rows instead of 10;")]
    assert not lines[0].is_ours_and_wrong
    [line] = lines_of(WORKLOADS["csv"], table | {OURS: _series("ours", [10], "a row | too few")})
    assert line.is_ours_and_wrong
    rows = rendered([line, *lines], ["below"]).splitlines()
    assert {row.count("|") for row in rows[:4]} == {12}
    assert written("a <!-- table: begin -->old<!-- table: end --> b", "new") == (
        "a <!-- table: begin -->\n\nnew\n\n<!-- table: end --> b"
    )


def test_what_a_peer_misses_stands_in_its_line() -> None:
    found = {OURS: _series("ours", [10]), "duckdb_checked": _series("DuckDB", [10], missed=3)}
    recall, line = lines_of(WORKLOADS["csv-dirty"], found)
    assert "missed 3 of 4" in line.note
    assert recall.value == "**100 %**"


def test_each_round_begins_with_another_one() -> None:
    order: list[str] = []

    def run(name: str) -> Measured:
        order.append(name)
        return _series(name, [1]).rounds[0]

    found = rounds(3, {name: lambda name=name: run(name) for name in "abc"}, lambda _: None)
    assert "".join(order) == "abcbcacab"
    assert {name: len(each) for name, each in found.items()} == {"a": 3, "b": 3, "c": 3}
