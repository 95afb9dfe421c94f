"""Row rules on files: what breaks them, what does not, where it is told, and that no digit is lost."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from pipelines.contracts.model import Dataset
from pipelines.errors import ConfigurationError
from pipelines.reading.reader import InProcessReader
from pipelines.reading.rows import Plan
from pipelines.reading.summary import ReadRequest
from tests.reading.support import RowList, dataset, found, read

MONEY = {name: {"type": "decimal(12,2)"} for name in ("net", "tax", "total")}
LANDED = datetime(2024, 3, 1, 23, 30, tzinfo=UTC)


def broken(
    columns: dict[str, str], rule: str | dict[str, str], row: str, *, landed_at: datetime | None = LANDED
) -> bool:
    """Whether one row of CSV breaks a rule."""
    contract = dataset({name: {"type": kind} for name, kind in columns.items()}, rules=[rule])
    _, summary = read(contract, f"{','.join(columns)}\n{row}\n".encode(), landed_at=landed_at)
    assert {str(v.rule) for v in summary.violations} <= {"row_rule"}
    return bool(summary.violations)


def test_a_broken_sum_is_told_with_its_operands_and_the_rule() -> None:
    contract = dataset(MONEY, rules=[{"rule": "total = net + tax", "name": "gross is net and tax"}])
    rows, summary = read(contract, b"net,tax,total\n1,1,2\n10.00,1.90,12.90\n1,1,3\n")
    [violation] = summary.violations
    assert (violation.rule, violation.column, violation.line, violation.count) == ("row_rule", None, 3, 2)
    assert violation.byte_offset == 20
    assert violation.found == "total 12.90, net 10.00, tax 1.90"
    assert violation.expected == "total = net + tax (gross is net and tax)"
    assert violation.message == (
        'a row breaks a rule of the contract about its columns: found "total 12.90, net 10.00, tax 1.90", '
        "expected total = net + tax (gross is net and tax). 2 times in this file (also on line 4). "
        "Send values that agree, or correct the rule."
    )
    assert (summary.rows_read, summary.rows_bad, rows) == (3, 2, [])


def test_a_rule_about_one_column_is_told_at_its_cell() -> None:
    contract = dataset({"a": {"type": "int"}, "b": {"type": "int"}}, rules=["b != 7"])
    _, summary = read(contract, b"a,b\n1,7\n")
    assert [(v.column, v.byte_offset, v.found) for v in summary.violations] == [("b", 6, "b 7")]


@pytest.mark.parametrize(
    ("rule", "row", "is_broken"),
    [
        ("a = b", "1,1", False),
        ("a = b", "1,2", True),
        ("a != b", "1,1", True),
        ("a < b", "1,1", True),
        ("a <= b", "1,1", False),
        ("a > b", "2,1", False),
        ("a >= b", "0,1", True),
        ("a - b = 1", "3,2", False),
        ("a - (b - 1) = 1", "3,3", False),
        ("a - b - 1 = 1", "3,1", False),
        ("-a = b", "3,-3", False),
        ("abs(a - b) <= 2", "1,3", False),
        ("abs(a - b) <= 2", "1,4", True),
        ("a < 1.5", "1,0", False),
        ("a < 1.5", "2,0", True),
        ("a = 1 and b = 1", "1,2", True),
        ("a = 1 or b = 1", "1,2", False),
        ("not a = 1 or b = 1", "1,2", True),
        ("not (a = 1 or b = 1)", "2,2", False),
        ("a = 1 or b = 1 and b = 2", "1,5", False),
        ("A = 1", "1,1", None),
        ("a = 1 OR b = 1", "2,1", False),
        # Null: what it takes part in is unknown, and unknown breaks no rule.
        ("a = b", ",1", False),
        ("not a = b", ",1", False),
        ("a + b > 0", ",-1", False),
        ("a = 1 and b = 1", ",2", True),
        ("a = 1 and b = 1", ",1", False),
        ("a = 1 or b = 1", ",2", False),
        ("a is null", "1,1", True),
        ("a is not null", ",1", True),
        ("a is null or b is not null", "1,", True),
        ("a is null or b is not null", "1,2", False),
    ],
)
def test_conditions(rule: str, row: str, is_broken: bool | None) -> None:
    if is_broken is None:
        with pytest.raises(ConfigurationError, match="'A' is not among the columns"):
            broken({"a": "int", "b": "int"}, rule, row)
        return
    assert broken({"a": "int", "b": "int"}, rule, row) is is_broken


@pytest.mark.parametrize(
    ("kind", "rule", "row", "is_broken"),
    [
        # Beyond 64 bits: neither wrapped around nor refused.
        ("bigint", "a + a > a", "9223372036854775807", False),
        ("bigint", "a + a < a", "-9223372036854775808", False),
        ("bigint", "-a > 0", "-9223372036854775808", False),
        ("bigint", "abs(a) > 0", "-9223372036854775808", False),
        ("bigint", "a + a = 18446744073709551614", "9223372036854775807", False),
        ("bigint", "a < 99999999999999999999", "9223372036854775807", False),
        ("bigint", "a = 9223372036854775806", "9223372036854775807", True),
        ("int", "a + 1 > a", "2147483647", False),
        # 38 digits and more.
        ("decimal(38,0)", "a + a > a", "9" * 38, False),
        ("decimal(38,0)", "a + 1 = 1" + "0" * 38, "9" * 38, False),
        ("decimal(38,0)", "a - 0.1 < a", "9" * 38, False),
        ("decimal(38,0)", "abs(a) = -a", "-" + "9" * 38, False),
        ("decimal(38,38)", "a + 1 > 1", "0." + "0" * 37 + "1", False),
        ("decimal(38,38)", "a + 1 = 1", "0." + "0" * 37 + "1", True),
        ("decimal(4,2)", "a = 0.1", "0.10", False),
        ("decimal(4,2)", "a + a + a = 0.3", "0.1", False),
        # Doubles are doubles.
        ("double", "a + 0.1 = 0.3", "0.2", True),
        ("double", "a >= -0.5", "-0.5", False),
        ("float", "a = 0.5", "0.5", False),
        ("float", "a = 0.1", "0.1", True),  # 32 bits hold 0.100000001490116
        ("double", "a + a > a", "1.7e308", False),
        # Text by its code points; quotes are written twice.
        ("string", "a < 'b'", "abc", False),
        ("string", "a = 'it''s'", "it's", False),
        ("string", "a != ''", '""', True),
        ("boolean", "a = true", "false", True),
        ("json", "a is not null", "[1]", False),
        ("json", "a is not null", "", True),
        ("boolean", "a != true", "false", False),
        # Dates are days.
        ("date", "a <= landed_on()", "2024-03-01", False),
        ("date", "a <= landed_on()", "2024-03-02", True),
        ("date", "a <= landed_on() + 1", "2024-03-02", False),
        ("date", "a - 1 = date '2024-02-29'", "2024-03-01", False),
        ("date", "a + 1 > a", "9999-12-31", False),
        ("date", "a >= date '0001-01-01'", "0001-01-01", False),
        ("timestamp", "a <= landed_at()", "2024-03-01T23:30:00Z", False),
        ("timestamp", "a <= landed_at()", "2024-03-01T23:30:00.000001Z", True),
        ("timestamp", "a < timestamp '2024-03-01T10:00:00+01:00'", "2024-03-01T09:00:00Z", True),
        ("timestamp", "day(a) = date '1969-12-31'", "1969-12-31T23:59:59.999999Z", False),
        ("timestamp", "day(a, 'America/New_York') = date '2024-02-29'", "2024-03-01T04:59:59Z", False),
        ("timestamp", "day(a, 'America/New_York') = date '2024-02-29'", "2024-03-01T05:00:00Z", True),
        # Far in the future there is summer time too.
        ("timestamp", "day(a, 'America/New_York') = date '2044-07-02'", "2044-07-02T04:00:00Z", False),
        ("timestamp", "day(a, 'America/New_York') = date '2044-07-02'", "2044-07-02T03:59:59Z", True),
        ("timestamp", "day(a, 'Asia/Tokyo') > date '9999-12-31'", "9999-12-31T20:00:00Z", False),
        ("timestamp", "day(a, 'America/New_York') < date '0001-01-01'", "0001-01-01T01:00:00Z", False),
        ("timestamp", "day(landed_at(), 'Asia/Tokyo') = date '2024-03-02' or a is null", "2024-03-01T04:59:59Z", False),
    ],
)
def test_exact_values(kind: str, rule: str, row: str, is_broken: bool) -> None:
    assert broken({"a": kind, "z": "string"}, rule, f"{row},") is is_broken


def test_a_day_may_be_moved_by_a_column_of_days_however_many() -> None:
    columns = {"sent": "date", "days": "bigint", "due": "date"}
    assert not broken(columns, "due = sent + days", "2024-01-01,30,2024-01-31")
    assert broken(columns, "due = sent + days", "2024-01-01,9223372036854775807,2024-01-31")
    assert not broken(columns, "due < sent + days", "2024-01-01,9223372036854775807,2024-01-31")


@pytest.mark.parametrize("rule", ["a <= landed_on()", "a + 400 < landed_on() - 3"])
def test_where_nobody_knows_when_the_file_landed_its_rules_hold(rule: str) -> None:
    assert not broken({"a": "date", "z": "string"}, rule, "2999-01-01,", landed_at=None)


def test_the_value_from_the_key_is_compared_like_any_other() -> None:
    contract = dataset(
        {"day": {"type": "date", "from": "key"}, "at": {"type": "timestamp"}},
        rules=["day(at, 'America/New_York') = day"],
    )
    content = b"at\n2013-01-01T10:00:00Z\n2013-01-02T05:00:00Z\n"
    _, summary = read(contract, content, key_values={"day": date(2013, 1, 1)})
    [violation] = summary.violations
    assert (violation.line, violation.count) == (3, 1)
    assert violation.found == "day(at, 'America/New_York') 2013-01-02, at 2013-01-02T05:00:00Z, day 2013-01-01"


def test_a_bad_cell_is_told_once_and_no_rule_judges_its_row() -> None:
    columns = {"a": {"type": "int"}, "b": {"type": "int"}}
    rules = ["a is not null", "a = b", "b is not null"]
    for form, content in (
        ("csv", b"a,b\n1,1\nx,2\n,3\n1,1\n"),
        ("jsonl", b'{"a":1,"b":1}\n{"a":"x","b":2}\n{"a":null,"b":3}\n{"a":1,"b":1}\n'),
        ("json", b'[{"a":1,"b":1},\n{"a":{},"b":2},\n{"a":null,"b":3},\n{"a":1,"b":1}]'),
    ):
        _, summary = read(dataset(columns, form, rules=rules), content)
        line = 3 if form == "csv" else 2
        assert found(summary) == [("type", "a", line), ("row_rule", "a", line + 1)], form
        assert summary.rows_bad == 2


@pytest.mark.parametrize(("form", "content"), [("csv", b"a\nx\n"), ("jsonl", b'{"a":{}}\n')])
def test_a_rescued_cell_is_not_judged_either(form: str, content: bytes) -> None:
    contract = dataset({"a": {"type": "int"}}, form, rules=["a is not null"], schema={"type_changes": "rescue"})
    rows, summary = read(contract, content)
    assert (len(rows), found(summary)) == (1, [])


def test_a_column_that_the_file_lacks_is_null() -> None:
    contract = dataset(
        {"a": {"type": "int"}, "b": {"type": "int"}},
        schema={"missing_columns": "allow"},
        rules=["a = b", "b is not null"],
    )
    _, summary = read(contract, b"a\n1\n")
    assert [(v.expected, v.found) for v in summary.violations] == [("b is not null", "b null")]


@pytest.mark.parametrize("block_bytes", [7, 64, 4 << 20])
def test_blocks_do_not_matter(block_bytes: int) -> None:
    contract = dataset({"a": {"type": "bigint"}, "b": {"type": "bigint"}}, rules=["a <= b", "a + b > 0"])
    content = b"a,b\n" + b"".join(b"%d,%d\n" % (n, 50) for n in range(100))
    _, summary = read(contract, content, block_bytes=block_bytes)
    [violation] = summary.violations
    assert (violation.line, violation.count, [s.line for s in violation.samples]) == (53, 49, list(range(53, 63)))


@pytest.mark.parametrize(
    ("severity", "rejects", "warns"),
    [
        ("quarantine_rows", True, None),
        ("quarantine_file", True, None),
        ("warn", False, "warn"),
        ("block", False, "block"),
    ],
)
def test_severities(severity: str, rejects: bool, warns: str | None) -> None:
    contract = dataset({"a": {"type": "int"}}, rules=["a > 0", {"rule": "a > 1", "severity": severity}])
    rows, summary = read(contract, b"a\n1\n2\n")
    assert bool(summary.violations) is rejects
    assert [(v.severity, v.expectation, v.count) for v in summary.warnings] == (
        [(warns, "rules[1]", 1)] if warns else []
    )
    assert (len(rows), summary.rows_bad) == ((2, 0) if warns else (0, 1))


def test_two_rules_about_the_same_columns_are_told_apart() -> None:
    contract = dataset({"a": {"type": "int"}}, rules=["a > 1", "a > 2"])
    _, summary = read(contract, b"a\n1\n2\n")
    assert [(v.expected, v.count) for v in summary.violations] == [("a > 1", 1), ("a > 2", 2)]


def test_a_rule_with_a_fault_is_refused_where_nobody_checked_the_dataset() -> None:
    for rule in ("a = b", "a = 'x'", "a ="):
        with pytest.raises(ConfigurationError, match=r"rules\[0\]"):
            Plan(dataset({"a": {"type": "int"}}, rules=[rule]))


def test_the_reader_in_the_child_gets_the_moment_too(tmp_path: Any) -> None:
    from pipelines.reading.child import ChildReader

    contract: Dataset = dataset({"a": {"type": "date"}}, rules=["a <= landed_on()"])
    content = b"a\n2024-03-02\n"
    with ChildReader() as reader:
        for landed_at, count in ((LANDED, 1), (None, 0)):
            request = ReadRequest(contract, None, {}, landed_at)
            summary = reader.read(request, lambda: [content], RowList())
            assert summary.violations == InProcessReader().read(request, lambda: [content], RowList()).violations
            assert summary.violations_total == count
