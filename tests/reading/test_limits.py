"""Each limit by its own reason, just below and just above it; and the page that publishes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.contracts.model import LimitOverrides
from pipelines.reading.json_rows import MAX_BROKEN
from pipelines.reading.limits import Limits, limits_of
from pipelines.reading.violations import Rule
from tests.reading.support import dataset, found, read

TWO: dict[str, dict[str, Any]] = {"id": {"type": "int"}, "name": {"type": "string"}}
DEEP: dict[str, dict[str, Any]] = {"id": {"type": "int"}, "more": {"type": "json"}}
DAYS: dict[str, dict[str, Any]] = {"day": {"type": "date"}, "n": {"type": "int"}, "s": {"type": "string"}}


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def members(keys: int) -> str:
    return json.dumps({f"k{n}": ":,{" for n in range(keys)}, separators=(",", ":"))


def days(count: int) -> bytes:
    return b"day,n,s\n" + b"".join(b"2024-01-%02d,%d,a\n" % (n % 28 + 1, n) for n in range(count))


def limited(columns: dict[str, dict[str, Any]], form: str, limit: str, value: int, **more: Any) -> Any:
    return dataset(columns, form, limits={limit: value}, **more)


CASES = {
    "record_bytes": (TWO, "csv", b"id,name\n1,%s\n", "record_size", 2),
    "cell_bytes": (TWO, "csv", b"id,name\n1,%s\n", "cell_size", 0),
    "header_bytes": (TWO, "csv", b"id,name,%s\n1,a,b\n", "header_size", 8),
}


@pytest.mark.parametrize("block_bytes", [4 << 20, 16])
@pytest.mark.parametrize("limit", CASES)
def test_a_size_in_bytes_holds_to_the_byte(limit: str, block_bytes: int) -> None:
    columns, form, shape, rule, before = CASES[limit]
    more = {"schema": {"new_columns": "rescue"}} if limit == "header_bytes" else {}
    # A line end belongs to its record and to the header.
    text = b"x" * (100 - before - (limit != "cell_bytes"))
    just = read(limited(columns, form, limit, 100, **more), shape % text, block_bytes=block_bytes)[1]
    over = read(limited(columns, form, limit, 100, **more), shape % (text + b"x"), block_bytes=block_bytes)[1]
    assert [r for r, _, _ in found(just)] == []
    assert [r for r, _, _ in found(over)] == [rule]


@pytest.mark.parametrize(("form", "shape"), [("jsonl", '{"id":1,"name":"%s"}\n'), ("json", '[{"id":1,"name":"%s"}]')])
@pytest.mark.parametrize(("limit", "rule"), [("record_bytes", "record_size"), ("cell_bytes", "cell_size")])
@pytest.mark.parametrize("block_bytes", [4 << 20, 16])
def test_a_json_size_in_bytes_holds_to_the_byte(form: str, shape: str, limit: str, rule: str, block_bytes: int) -> None:
    around = 0 if limit == "cell_bytes" else len('{"id":1,"name":""}') + (form == "jsonl")
    contract = limited(TWO, form, limit, 100)
    just = read(contract, (shape % ("x" * (100 - around))).encode(), block_bytes=block_bytes)[1]
    over = read(contract, (shape % ("x" * (101 - around))).encode(), block_bytes=block_bytes)[1]
    assert found(just) == []
    assert [r for r, _, _ in found(over)] == [rule]


@pytest.mark.parametrize("limit", [2, 3])
def test_columns(limit: int) -> None:
    rescued = limited(TWO, "csv", "columns", limit, schema={"new_columns": "rescue"})
    rules = [r for r, _, _ in found(read(rescued, b"id,name,c\n1,a,b\n")[1])]
    assert rules == (["column_count"] if limit == 2 else [])
    lines = limited(TWO, "jsonl", "columns", limit, schema={"new_columns": "rescue"})
    rules = [r for r, _, _ in found(read(lines, b'{"id":1,"name":"a","c":2}\n')[1])]
    assert rules == (["column_count"] if limit == 2 else [])


def test_a_header_of_too_many_columns_is_called_that_however_long_it_is() -> None:
    summary = read(dataset(TWO), b",".join(b"c%d" % n for n in range(300_000)) + b"\n1\n")[1]
    assert found(summary) == [("column_count", None, 1)]


def test_a_header_whose_quote_is_open_says_so() -> None:
    summary = read(dataset(TWO), b'id,"name\n' + b"1,a\n" * 100_000)[1]
    assert found(summary) == [("header_size", None, 1)]
    assert "a quote opened on line 1 is still open" in summary.violations[0].message


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize(("depth", "rules"), [(8, []), (9, ["depth"])])
def test_the_depth_of_a_record(form: str, depth: int, rules: list[str]) -> None:
    # An array around all records is a level of its own.
    record = f'{{"id":1,"more":{nested(depth - 1 - (form == "json"))}}}'
    content = f"[{record}]" if form == "json" else record + "\n"
    assert [r for r, _, _ in found(read(limited(DEEP, form, "depth", 8), content.encode())[1])] == rules


@pytest.mark.parametrize(("depth", "rules"), [(8, []), (9, ["depth"])])
def test_the_depth_of_json_in_a_cell(depth: int, rules: list[str]) -> None:
    contract = limited(DEEP, "csv", "depth", 8)
    assert [r for r, _, _ in found(read(contract, f'id,more\n1,"{nested(depth)}"\n'.encode())[1])] == rules
    text = dataset({"id": {"type": "int"}, "more": {"type": "json"}}, "csv", limits={"depth": 8})
    assert read(text, f'id,more\n1,"{nested(depth)}"\n'.encode())[1].rows_bad == len(rules)


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize(("keys", "rules"), [(9, []), (10, ["key_count"])])
def test_the_keys_of_a_record_at_all_depths(form: str, keys: int, rules: list[str]) -> None:
    # `id` and `more` are two of them; colons inside text are none.
    record = f'{{"id":1,"more":[{members(keys - 4)},{{"a":1,"b":[]}}]}}'
    content = f"[{record}]" if form == "json" else record + "\n"
    assert [r for r, _, _ in found(read(limited(DEEP, form, "keys", 9), content.encode())[1])] == rules


@pytest.mark.parametrize(("keys", "rules"), [(9, []), (10, ["key_count"])])
def test_the_keys_of_json_in_a_cell(keys: int, rules: list[str]) -> None:
    cell = members(keys).replace('"', '""')
    contract = limited(DEEP, "csv", "keys", 9)
    assert [r for r, _, _ in found(read(contract, f'id,more\n1,"{cell}"\n'.encode())[1])] == rules


def test_the_fast_way_has_the_same_limit_on_keys() -> None:
    columns = {f"c{n}": {"type": "int"} for n in range(12)}
    line = json.dumps(dict.fromkeys(columns, 1)).encode() + b"\n"
    for limit, rules in ((12, []), (11, ["key_count"])):
        assert [r for r, _, _ in found(read(limited(columns, "jsonl", "keys", limit), line * 50)[1])] == rules


@pytest.mark.parametrize("block_bytes", [4 << 20, 40])
@pytest.mark.parametrize("by", ["day", "day(day)", "bucket(1000, n)", "n", "s"])
def test_the_partitions_of_a_file(by: str, block_bytes: int) -> None:
    def rules(limit: int, content: bytes) -> list[str]:
        contract = limited(DAYS, "csv", "partitions", limit, partition_by=[by])
        return [r for r, _, _ in found(read(contract, content, block_bytes=block_bytes)[1])]

    if by == "s":
        assert rules(1, days(20)) == []
        return
    assert rules(20, days(20)) == []
    assert rules(19, days(20)) == ["partition_count"]


@pytest.mark.parametrize("block_bytes", [4 << 20, 40])
def test_too_many_partitions_say_where_and_how_many_and_let_no_row_out(block_bytes: int) -> None:
    contract = limited(DAYS, "csv", "partitions", 3, partition_by=["day", "n"])
    rows, summary = read(contract, days(3) + days(10).split(b"\n", 1)[1], block_bytes=block_bytes)
    (violation,) = summary.violations
    assert (violation.line, violation.found, violation.count) == (8, "day=2024-01-04/n=3", 7)
    assert violation.samples[0].raw == "2024-01-04,3,a"
    assert len(rows) <= 6
    assert summary.rows_read == 13


def test_rejected_rows_touch_no_partition() -> None:
    contract = limited(DAYS, "csv", "partitions", 2, partition_by=["day"], rows={"on_bad": "quarantine_rows"})
    bad = b"2024-02-01,x,a\n"
    assert found(read(contract, days(2) + bad)[1])[:0] == []
    summary = read(contract, days(1) + bad + b"2024-03-01,1,a\n2024-04-01,1,a\n")[1]
    (violation,) = [v for v in summary.violations if v.rule == "partition_count"]
    assert (violation.line, violation.found) == (5, "day=2024-04-01")


def test_every_limit_can_be_overridden_and_is_published() -> None:
    names = set(Limits.__dataclass_fields__)
    assert names == set(LimitOverrides.model_fields)
    raised = limits_of(dataset(TWO, limits=dict.fromkeys(names, 7)))
    assert all(getattr(raised, name) == 7 for name in names)


def test_the_page_publishes_every_limit_with_its_default_and_its_rule() -> None:
    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text("utf-8")
    rows = {line.split("|")[1].strip(" `"): line for line in page.splitlines() if line.startswith("| `")}
    assert list(rows) == list(Limits.__dataclass_fields__)
    for name, row in rows.items():
        default = getattr(Limits(), name)
        size = next((f"{default >> by} {unit}" for by, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB"))
                     if name.endswith("_bytes") and default >> by), f"{default:,}")  # fmt: skip
        assert f"| {size}" in row, name
        rules = {cell.strip(" `") for cell in row.split("|")} & set(Rule)
        assert len(rules) == (name != "batch_partitions"), name


@pytest.mark.parametrize(
    ("line", "rule"), [(b"{x}\n", "json_syntax"), (b"1\n", "json_shape"), (b"{}\n\n", "json_shape")]
)
@pytest.mark.parametrize("block_bytes", [4 << 20, 64 << 10])
def test_behind_a_hundred_thousand_broken_records_nothing_is_read(line: bytes, rule: str, block_bytes: int) -> None:
    contract = dataset({"id": {"type": "int"}}, "jsonl", schema={"missing_columns": "allow"})
    _, just = read(contract, line * (MAX_BROKEN - 1) + b'{"id":1}\n', block_bytes=block_bytes)
    assert (just.read_complete, [v.count for v in just.violations if v.rule == rule]) == (True, [MAX_BROKEN - 1])
    _, over = read(contract, line * (MAX_BROKEN + 50_000) + b'{"id":1}\n', block_bytes=block_bytes)
    assert (over.read_complete, [v.count for v in over.violations]) == (False, [MAX_BROKEN])


def test_where_bad_rows_are_rejected_one_by_one_all_are_read() -> None:
    contract = dataset({"id": {"type": "int"}}, "jsonl", rows={"on_bad": "quarantine_rows"})
    _, summary = read(contract, b"{x}\n" * (MAX_BROKEN + 10) + b'{"id":1}\n')
    assert (summary.read_complete, summary.rows_read) == (True, MAX_BROKEN + 11)
