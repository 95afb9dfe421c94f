"""Values taken by path, and arrays exploded into rows: the same as plain Python makes of the same JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest
from tests.reading.support import RowList, dataset, found, read

ORDER = {
    "order_id": {"type": "int"},
    "city": {"type": "string", "path": '$.customer["home town"].city'},
    "first": {"type": "string", "path": "$.tags[0]"},
    "sku": {"type": "string", "path": "$.lines.items[*].sku"},
    "net": {"type": "decimal(8,2)", "path": "$.lines.items[*].price.net"},
    "line": {"type": "int", "path": "$.lines.items[*]#"},
    "item": {"type": "json", "path": "$.lines.items[*]"},
}
EXPLODED = "$.lines.items[*]"
NETS = st.none() | st.integers(0, 10**7).map(lambda n: str(Decimal(n) / 100))
ITEMS = st.none() | st.fixed_dictionaries({}, optional={"sku": st.none() | st.text(max_size=3), "price": st.none() | st.fixed_dictionaries({}, optional={"net": NETS})})  # fmt: skip
ORDERS = st.fixed_dictionaries(
    {"order_id": st.integers(0, 99)},
    optional={
        "customer": st.none()
        | st.fixed_dictionaries(
            {}, optional={"home town": st.none() | st.fixed_dictionaries({}, optional={"city": st.none() | st.text(max_size=3), "zip": st.text(max_size=2)})}
        ),
        "tags": st.none() | st.lists(st.none() | st.text(max_size=3), max_size=2),
        "lines": st.none() | st.fixed_dictionaries({}, optional={"items": st.none() | st.lists(ITEMS, max_size=4)}),
    },
)  # fmt: skip


def flattened(order: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of one order, in the plainest Python."""
    town = (order.get("customer") or {}).get("home town") or {}
    tags = order.get("tags") or [None]
    items = (order.get("lines") or {}).get("items") or [None]
    for number, item in enumerate(items):
        net = ((item or {}).get("price") or {}).get("net")
        yield {
            "order_id": order["order_id"],
            "city": town.get("city"),
            "first": tags[0],
            "sku": (item or {}).get("sku"),
            "net": None if net is None else Decimal(net),
            "line": number if (order.get("lines") or {}).get("items") else None,
            "item": item,
        }


@settings(max_examples=200, deadline=None)
@given(
    orders=st.lists(ORDERS, min_size=1, max_size=6),
    form=st.sampled_from(["json", "jsonl", "records", "lines of records"]),
    indent=st.sampled_from([None, 1]),
    block_bytes=st.sampled_from([13, 4 << 20]),
)
def test_flattening_and_exploding_say_what_python_says(
    orders: list[dict[str, Any]], form: str, indent: int | None, block_bytes: int
) -> None:
    if form == "jsonl":
        content = "\n".join(map(json.dumps, orders))
    elif form == "lines of records":
        content = "\n".join(json.dumps({"n": 1, "a": {"b c": part}}) for part in (orders[:2], orders[2:]))
    else:
        content = json.dumps(orders if form == "json" else {"x": [{}], "a": {"b c": orders, "y": 1}}, indent=indent)
    said: dict[str, Any] = {"type": "json" if form in ("json", "records") else "jsonl", "explode": EXPLODED}
    if "records" in form:
        said["records"] = '$.a["b c"][*]'
    of = dataset(ORDER, said, schema={"missing_columns": "allow"})
    rows, summary = read(of, content.encode(), block_bytes=block_bytes)
    assert summary.violations == ()
    expected = [row for order in orders for row in flattened(order)]
    assert summary.rows_read == len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        del row["_source_line"]
        row["item"] = None if row["item"] is None else json.loads(row["item"])
        assert row == wanted


def test_each_row_says_the_line_of_its_element() -> None:
    content = b"""[
  {"id": 1, "a": [
    {"b": 1},
    {"b":
      2}], "z": 3}, {"id": 2, "a": []},
  {
    "id": 3, "a": [{"b": 3}, {"b": 4},

      {"b": "five"}]}
]"""
    columns = {"id": {"type": "int"}, "b": {"type": "int", "path": "$.a[*].b"}, "z": {"type": "int"}}
    of = dataset(columns, {"type": "json", "explode": "$.a[*]"})
    for block_bytes in (9, 4 << 20):
        rows, summary = read(of, content.replace(b'"five"', b"5"), block_bytes=block_bytes)
        assert summary.violations == ()
        assert [(r["b"], r["_source_line"]) for r in rows] == [(1, 3), (2, 4), (None, 5), (3, 7), (4, 7), (5, 9)]
        _, summary = read(of, content, block_bytes=block_bytes)
        assert found(summary) == [("type", "b", 9)]
        offset = summary.violations[0].byte_offset
        assert offset is not None
        assert content[offset:].startswith(b'"five"')


WRONG: list[tuple[dict[str, Any], str, str | None, str, str, str]] = [
    ({"customer": "x"}, "type", "city", '"x"', '"x"', "an object at $.customer"),
    ({"customer": {"home town": []}}, "type", "city", "[]", "[]", 'an object at $.customer["home town"]'),
    ({"customer": {"home town": {"city": 5}}}, "type", "city", "5", "5", "text"),
    ({"tags": {"0": "a"}}, "type", "first", '{"0":"a"}', '{"0": "a"}', "an array at $.tags"),
    ({"lines": 7}, "json_shape", None, "7", "7", "an object at $.lines"),
    ({"lines": {"items": {}}}, "json_shape", None, "{}", "{}", "an array at $.lines.items"),
    ({"lines": {"items": [{}, {"sku": 5}]}}, "type", "sku", "5", "5", "text"),
    ({"lines": {"items": [{}, {"price": [1]}]}}, "type", "net", "[1]", "[1]", "an object at $.lines.items[1].price"),
    ({"lines": {"items": [{"price": {"net": 1.005}}]}}, "number_range", "net", "1.005", "1.005", "2 after the point"),
    ({"gate": 1}, "column_unexpected", "gate", "1", "1", "only keys that the contract knows"),
]


@pytest.mark.parametrize("form", ["jsonl", "lines of records"])
@pytest.mark.parametrize(("order", "rule", "column", "text", "raw", "expected"), WRONG)
def test_what_a_path_cannot_take_is_told_at_its_own_place(
    form: str, order: dict[str, Any], rule: str, column: str | None, text: str, raw: str, expected: str
) -> None:
    lines = [{"order_id": 1}, {"order_id": 2, **order}]
    wrapped = [{"a": [line]} for line in lines] if form != "jsonl" else lines
    content = "\n".join(map(json.dumps, wrapped)).encode()
    said = {"type": "jsonl", "explode": EXPLODED, **({"records": "$.a[*]"} if form != "jsonl" else {})}
    _, summary = read(dataset(ORDER, said, schema={"missing_columns": "allow"}), content)
    assert found(summary) == [(rule, column, 2)]
    (violation,) = summary.violations
    assert violation.found == text
    assert violation.expected.endswith(expected)
    assert violation.byte_offset is not None
    assert content[violation.byte_offset :].startswith(raw.encode())


def test_members_that_no_path_takes_are_left_out_and_other_keys_are_not() -> None:
    columns = {"login": {"type": "string", "path": "$.actor.login"}}
    content = b'{"actor": {"login": "a", "id": 5, "more": {"deep": []}}}\n'
    rows, summary = read(dataset(columns, "jsonl"), content)
    assert (summary.violations, rows) == ((), [{"login": "a", "_source_line": 1}])
    assert summary.source_columns == ("actor",)
    _, summary = read(dataset(columns, "jsonl"), content.replace(b"}}}", b"}}, " + b'"x": 1}'))
    assert found(summary) == [("column_unexpected", "x", 1)]


def test_a_path_is_missing_when_no_record_has_its_first_key() -> None:
    columns = {
        "id": {"type": "int"},
        "login": {"type": "string", "path": "$.actor.login"},
        "sku": {"type": "string", "path": "$.items[*].sku"},
    }
    of = dataset(columns, {"type": "jsonl", "explode": "$.items[*]"})
    _, summary = read(of, b'{"id": 1, "actor": null}\n{"id": 2, "items": []}\n')
    assert summary.violations == ()
    _, summary = read(of, b'{"id": 1}\n{"id": 2}\n')
    assert sorted((str(v.rule), v.column, v.expected) for v in summary.violations) == [
        ("column_missing", "login", "a key actor in some record"),
        ("column_missing", "sku", "a key items in some record"),
    ]


def test_what_stands_in_a_paths_way_is_rescued_where_the_contract_says_so() -> None:
    of = dataset(
        ORDER, {"type": "jsonl", "explode": EXPLODED}, schema={"type_changes": "rescue", "missing_columns": "allow"}
    )
    line = {"order_id": 1, "customer": 7, "lines": {"items": [{"price": 3}, {"sku": 5}]}}
    rows, summary = read(of, json.dumps(line).encode())
    assert summary.violations == ()
    told = [{(t["column"], t["value"], t["wanted"]) for t in json.loads(row["_rescued"])} for row in rows]
    assert told == [
        {("$.customer", 7, "string"), ("$.lines.items[0].price", 3, "decimal(8,2)")},
        {("$.customer", 7, "string"), ("$.lines.items[1].sku", 5, "string")},
    ]


def test_bad_elements_leave_alone_where_rows_are_quarantined() -> None:
    of = dataset(ORDER, {"type": "jsonl", "explode": EXPLODED}, schema={"missing_columns": "allow"},
                 rows={"on_bad": "quarantine_rows", "max_bad": 5})  # fmt: skip
    lines = [{"order_id": 1, "lines": {"items": [{"sku": "a"}, {"sku": 5}]}}, {"order_id": 2, "lines": {"items": 1}}]
    sink = RowList()
    content = "\n".join(map(json.dumps, lines)).encode()
    summary = InProcessReader().read(ReadRequest(of, None, {}), lambda: [content], sink)
    assert {v.severity for v in summary.violations} == {"reject_row"}
    assert (summary.rows_read, summary.rows_bad) == (3, 2)
    assert [(row["order_id"], row["sku"]) for row in sink.rows] == [(1, "a")]
    assert [(row["rules"], row["_source_line"]) for row in sink.rejected] == [("type", 1), ("json_shape", 2)]


class Sizes(RowList):
    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, int]] = []

    def write(self, batch: pa.RecordBatch) -> None:
        self.sizes.append((batch.num_rows, batch.nbytes))


def test_rows_of_one_record_come_in_slices_and_their_copies_have_a_limit() -> None:
    columns = {"text": {"type": "string"}, "n": {"type": "int", "path": "$.a[*]"}}
    of = dataset(columns, {"type": "jsonl", "explode": "$.a[*]"})
    record = {"text": "x" * 100_000, "a": list(range(1_000))}
    sink = Sizes()
    summary = InProcessReader().read(ReadRequest(of, None, {}), lambda: [json.dumps(record).encode()], sink)
    assert (summary.violations, summary.rows_read) == ((), 1_000)
    assert max(size for _, size in sink.sizes) < 32 << 20
    sink = Sizes()
    small = {"text": "", "a": list(range(100_000))}
    InProcessReader().read(ReadRequest(of, None, {}), lambda: [json.dumps(small).encode()], sink)
    assert sum(rows for rows, _ in sink.sizes) == 100_000
    assert max(rows for rows, _ in sink.sizes) <= 32_768
    limited = dataset(columns, {"type": "jsonl", "explode": "$.a[*]"}, limits={"decompressed_bytes": 50_000_000})
    _, summary = read(limited, json.dumps(record).encode())
    assert found(summary) == [("decompressed_size", None, None)]


def test_a_large_cell_is_told_at_the_end_of_its_path() -> None:
    of = dataset(
        ORDER, {"type": "jsonl", "explode": EXPLODED}, limits={"cell_bytes": 1_000}, schema={"missing_columns": "allow"}
    )
    fits = {"order_id": 1, "customer": {"note": "x" * 2_000}, "lines": {"items": [{"sku": "x" * 900}] * 3}}
    assert read(of, json.dumps(fits).encode())[1].violations == ()
    large = {"order_id": 1, "lines": {"items": [{}, {"sku": "x" * 1_001}]}}
    content = json.dumps(large).encode()
    _, summary = read(of, content)
    assert found(summary) == [("cell_size", "sku", 1)]
    offset = summary.violations[0].byte_offset
    assert offset is not None
    assert content[offset:].startswith(b'"xxx')


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"customer": {"note": "x" * 1_001}}, "$.customer.note"),
        ({"lines": {"items": [{}, {"note": ["x" * 1_001]}]}}, "$.lines.items[1].note"),
    ],
)
def test_what_paths_leave_has_cells_too_where_it_is_rescued(record: dict[str, Any], name: str) -> None:
    columns = {
        "city": {"type": "string", "path": "$.customer.city"},
        "sku": {"type": "string", "path": "$.lines.items[*].sku"},
    }
    of = dataset(
        columns,
        {"type": "jsonl", "explode": EXPLODED},
        limits={"cell_bytes": 1_000},
        schema={"missing_columns": "allow", "new_columns": "rescue"},
    )
    assert found(read(of, json.dumps(record).encode())[1]) == [("cell_size", name, 1)]
    short = json.loads(json.dumps(record).replace("x" * 1_001, "x" * 500))
    rows, summary = read(of, json.dumps(short).encode())
    assert summary.violations == ()
    assert "x" * 500 in rows[-1]["_rescued"]


def test_keys_are_counted_by_record_where_a_line_holds_several() -> None:
    of = dataset({"v": {"type": "json"}}, {"type": "jsonl", "records": "$.a[*]"}, limits={"keys": 10})
    rows, summary = read(of, json.dumps({"a": [{"v": {str(n): n for n in range(9)}}] * 5}).encode())
    assert (summary.violations, len(rows)) == ((), 5)
    _, summary = read(of, json.dumps({"a": [{"v": 1}, {"v": {str(n): n for n in range(10)}}]}).encode())
    assert found(summary) == [("key_count", None, 1)]
