"""Struct, array and map columns: every value as the file has it, and every misfit at its own place."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contracts.schema import reading_schema
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest
from tests.reading.nested_values import nested_types, values
from tests.reading.support import RowList, dataset, found, read

EVENT = {
    "id": {"type": "int"},
    "actor": {"type": "struct<login: string, site_admin: boolean>"},
    "labels": {"type": "array<struct<name: string, score: decimal(5,2)>>"},
    "extra": {"type": "map<string, array<int>>"},
}


class Batches(RowList):
    """A sink that keeps batches as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        self.batches.append(batch)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), form=st.sampled_from(["json", "jsonl"]), block_bytes=st.sampled_from([11, 200, 4 << 20]))
def test_random_values_of_random_types_survive_to_parquet(data: st.DataObject, form: str, block_bytes: int) -> None:
    kind = data.draw(nested_types())
    drawn = data.draw(st.lists(values(kind), min_size=1, max_size=5))
    contract = dataset({"n": {"type": "int"}, "v": {"type": str(kind)}}, form)
    records = [f'{{"v": {text}, "n": {n}}}' for n, (text, _) in enumerate(drawn)]
    content = "[" + ",\n".join(records) + "]" if form == "json" else "\n".join(records)
    sink = Batches()
    summary = InProcessReader(block_bytes).read(ReadRequest(contract, None, {}), lambda: [content.encode()], sink)
    assert summary.violations == ()
    stored = io.BytesIO()
    for batch in sink.batches:
        batch.validate(full=True)
    pq.write_table(pa.Table.from_batches(sink.batches, reading_schema(contract)), stored)
    rows = pq.read_table(stored).to_pylist()
    assert [row["v"] for row in rows] == [value for _, value in drawn]
    assert [row["n"] for row in rows] == list(range(len(drawn)))
    assert summary.null_counts["v"] == sum(value is None for _, value in drawn)


def test_absent_members_are_null_and_names_are_compared_as_columns_are() -> None:
    content = (
        b'{"id": 1, "actor": {"Site Admin": true}, "labels": [{}, null], "Extra": {"Any key": [1, null], "": null}}\n'
    )
    rows, summary = read(dataset(EVENT, "jsonl"), content)
    assert summary.violations == ()
    assert rows == [
        {
            "id": 1,
            "actor": {"login": None, "site_admin": True},
            "labels": [{"name": None, "score": None}, None],
            "extra": [("Any key", [1, None]), ("", None)],
            "_source_line": 1,
        }
    ]


MISFITS: list[tuple[dict[str, Any], str, str, str, str, str]] = [
    ({"actor": 5}, "type", "actor", "5", "5", "an object"),
    ({"actor": {"login": 5}}, "type", "actor.login", "5", "5", "text at actor.login"),
    ({"actor": {"login": [1, "a"]}}, "type", "actor.login", '[1,"a"]', '[1, "a"]', "text at actor.login"),
    ({"actor": {"site_admin": "yes"}}, "type", "actor.site_admin", '"yes"', '"yes"', "at actor.site_admin"),
    ({"labels": {}}, "type", "labels", "{}", "{}", "an array"),
    ({"labels": [{"name": "a"}, "b"]}, "type", "labels", '"b"', '"b"', "an object at labels[1]"),
    ({"labels": [None, {"name": "[", "score": 1.005}]}, "number_range", "labels.score", "1.005", "1.005", "labels[1].score"),
    ({"extra": {"a": [1], "b c": [2, 1.5]}}, "type", "extra", "1.5", "1.5", 'in digits only at extra["b c"][1]'),
    ({"extra": {"a": 1}}, "type", "extra", "1", "1", "an array at extra.a"),
    ({"extra": {"a": [2147483648]}}, "number_range", "extra", "2147483648", "2147483648", "extra.a[0]"),
    ({"actor": {"avatar": {"url": 1}}}, "column_unexpected", "actor.avatar", '{"url":1}', '{"url": 1}', "knows at actor"),
    ({"labels": [{}, {"color": 1}]}, "column_unexpected", "labels.color", "1", "1", "knows at labels[1]"),
    ({"actor": {"login": "a", "Login": "b"}}, "json_duplicate_key", "actor.Login", "Login", '"b"', "login at actor"),
]  # fmt: skip


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize(("record", "rule", "column", "text", "raw", "expected"), MISFITS)
def test_a_misfit_is_told_with_its_path_and_its_place(
    form: str, record: dict[str, Any], rule: str, column: str, text: str, raw: str, expected: str
) -> None:
    lines = [json.dumps({"id": 1}), json.dumps({"id": 2, **record}), json.dumps({"id": 3})]
    content = "\n".join(lines) if form == "jsonl" else "[\n" + ",\n".join(lines) + "\n]"
    of = dataset(EVENT, form, schema={"missing_columns": "allow"})
    for block_bytes in (7, 4 << 20):
        rows, summary = read(of, content.encode(), block_bytes=block_bytes)
        assert found(summary) == [(rule, column, 3 if form == "json" else 2)]
        (violation,) = summary.violations
        assert violation.found == text
        assert expected in violation.expected
        assert violation.byte_offset is not None
        assert content.encode()[violation.byte_offset :].startswith(raw.encode())
        assert summary.rows_bad == 1
        assert len(rows) <= 1


def test_a_misfit_counts_the_rows_it_is_in() -> None:
    lines = [{"labels": [{"name": 1}, {"name": 2}]}, {"labels": []}, {"labels": [{"name": "a"}, None, {"name": 3}]}]
    of = dataset(EVENT, "jsonl", schema={"missing_columns": "allow"})
    _, summary = read(of, "\n".join(map(json.dumps, lines)).encode())
    (violation,) = summary.violations
    assert (violation.count, summary.rows_bad, [s.found for s in violation.samples]) == (2, 2, ["1", "3"])


def test_what_has_no_place_is_rescued_where_the_contract_says_so() -> None:
    of = dataset(EVENT, "jsonl", schema={"new_columns": "rescue", "type_changes": "rescue", "missing_columns": "allow"})
    content = b"""\
{"id": 1, "Actor": {"login": 5, "avatar": {"n": 1.50}}, "labels": [{"name": "a", "score": 1.005}, {"color": null}], "more": [1]}
{"id": 2, "actor": [], "extra": {"a": [1, "2"]}}
{"id": 3, "actor": {"login": "a"}}
"""
    rows, summary = read(of, content)
    assert summary.violations == ()
    assert [row["actor"] for row in rows] == [
        {"login": None, "site_admin": None},
        None,
        {"login": "a", "site_admin": None},
    ]
    assert [label["score"] for label in rows[0]["labels"]] == [None, None]
    assert rows[1]["extra"] == [("a", [1, None])]
    told = [None if row["_rescued"] is None else json.loads(row["_rescued"]) for row in rows]
    assert told[2] is None
    assert sorted((t["column"], t["value"], t["wanted"], t["reason"]) for t in told[0]) == [
        ("Actor.avatar", {"n": 1.50}, None, "new_column"),
        ("Actor.login", 5, "string", "type"),
        ("labels[0].score", 1.005, "decimal(5,2)", "number_range"),
        ("labels[1].color", None, None, "new_column"),
        ("more", [1], None, "new_column"),
    ]
    assert sorted((t["column"], t["value"], t["wanted"], t["reason"]) for t in told[1]) == [
        ("actor", [], "struct<login: string, site_admin: boolean>", "type"),
        ("extra.a[1]", "2", "int", "type"),
    ]


def test_a_cell_is_a_leaf_of_a_nested_column() -> None:
    """The column itself is bounded by the record alone; a text, a key of a map or JSON kept as text is a cell."""
    columns = {"labels": {"type": "array<string>"}, "extra": {"type": "map<string, json>"}}
    of = dataset(columns, "jsonl", limits={"cell_bytes": 100}, schema={"missing_columns": "allow"})
    fits = {"labels": ["x" * 100] * 50, "extra": {"k" * 100: ["y" * 96]}}
    rows, summary = read(of, json.dumps(fits).encode())
    assert (summary.violations, len(rows[0]["labels"])) == ((), 50)
    for wrong in ({"labels": ["", "x" * 101]}, {"extra": {"k" * 101: 1}}, {"extra": {"k": ["y" * 97]}}):
        _, summary = read(of, json.dumps(wrong).encode())
        assert [(str(v.rule), v.column) for v in summary.violations] == [("cell_size", next(iter(wrong)))]


def test_null_breaks_a_column_that_may_not_be_null_and_never_what_is_inside_it() -> None:
    of = dataset({"actor": {"type": "struct<login: string>", "nullable": False}}, "jsonl")
    rows, summary = read(of, b'{"actor": {}}\n{"actor": {"login": null}}\n')
    assert (summary.violations, len(rows)) == ((), 2)
    _, summary = read(of, b'{"actor": {}}\n{"actor": null}\n')
    assert found(summary) == [("null", "actor", 2)]


def test_dates_inside_follow_the_columns_format_and_zone() -> None:
    columns = {"seen": {"type": "array<timestamp>", "format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}}
    rows, summary = read(dataset(columns, "jsonl"), b'{"seen": ["02.01.2024 10:30"]}')
    assert summary.violations == ()
    assert rows[0]["seen"][0].isoformat() == "2024-01-02T09:30:00+00:00"


@pytest.mark.parametrize(
    "value",
    [
        "[" * 100_000,
        "[" * 40 + "]" * 40,
        '{"a":' * 40 + "1" + "}" * 40,
    ],
    ids=["open", "arrays", "objects"],
)
def test_depth_holds_inside_nested_columns(value: str) -> None:
    of = dataset({"v": {"type": "array<json>"}}, "jsonl")
    _, summary = read(of, f'{{"v": {value}}}'.encode())
    assert {str(v.rule) for v in summary.violations} <= {"depth", "json_syntax"}
    assert summary.violations


def test_a_struct_that_has_new_keys_in_each_object_is_told_within_bounds() -> None:
    of = dataset({"v": {"type": "array<struct<a: int>>"}}, "json", limits={"keys": 100_000})
    items = ",".join(f'{{"k{n}":1}}' for n in range(50_000))
    _, summary = read(of, f'[{{"v": [{items}]}}]'.encode())
    assert {str(v.rule) for v in summary.violations} == {"column_unexpected"}
    assert len(summary.violations) == 100
    assert summary.violations[0].column == "v.k0"
