"""Random rules on random rows: the vectorised answer against one worked out row by row, with fractions and Python's own calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.contracts.rule_language import (
    Call,
    ColumnName,
    Comparison,
    Constant,
    IsNull,
    Logic,
    Negative,
    Node,
    Not,
    RuleFault,
    Sum,
    column_names,
    parse_rule,
)
from pipelines.contracts.rule_types import rule_fault
from pipelines.contracts.schema import arrow_type
from pipelines.reading.row_rules import Landed, RowRules
from tests.reading.support import dataset

COLUMNS: dict[str, dict[str, Any]] = {
    "i": {"type": "int"},
    "b": {"type": "bigint"},
    "m": {"type": "decimal(12,2)"},
    "w": {"type": "decimal(38,0)"},
    "f": {"type": "decimal(38,30)"},
    "x": {"type": "double"},
    "s": {"type": "string"},
    "g": {"type": "boolean"},
    "d": {"type": "date"},
    "t": {"type": "timestamp"},
}
CONTRACT = dataset(COLUMNS)
LANDED = datetime(2024, 3, 1, 23, 30, tzinfo=UTC)
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Pacific/Apia")
DAYS = st.dates(date(1, 1, 1), date(9999, 12, 31)) | st.dates(date(2024, 2, 25), date(2024, 3, 5))
MOMENTS = st.datetimes(datetime.fromisoformat("0001-01-02"), datetime.fromisoformat("9999-12-30")) | st.datetimes(
    datetime.fromisoformat("2024-02-28"), datetime.fromisoformat("2024-03-03")
)


def edges(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(-3, 3) | st.sampled_from([low, low + 1, high - 1, high]) | st.integers(low, high)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "i": edges(-(2**31), 2**31 - 1),
    "b": edges(-(2**63), 2**63 - 1),
    "m": edges(-(10**12) + 1, 10**12 - 1).map(lambda n: Decimal(n).scaleb(-2)),
    "w": edges(-(10**38) + 1, 10**38 - 1).map(Decimal),
    "f": edges(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal((n < 0, tuple(map(int, str(abs(n)))), -30))),
    "x": st.sampled_from([0.0, -0.0, 0.1, 0.2, 0.3, 1.0, 1e308, -1e308])
    | st.floats(allow_nan=False, allow_infinity=False),
    "s": st.sampled_from(["", "a", "b", "ä", "it's", "\U0001f600"]),
    "g": st.booleans(),
    "d": DAYS,
    "t": MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC)),
}

NUMBERS = st.recursive(
    st.sampled_from(["i", "b", "m", "w", "f", "0", "1", "-2", "0.01", "1.5", "9223372036854775808"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
        | inner.map(lambda n: f"abs({n})")
        | inner.map(lambda n: f"-{n}" if not n.startswith("-") else n)
    ),
    max_leaves=4,
)
DOUBLES = st.recursive(
    st.sampled_from(["x", "x", "i", "0.1", "1"]),
    lambda inner: st.tuples(inner, st.sampled_from("+-"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
    max_leaves=4,
).filter(lambda text: "x" in text)
DATES = st.builds(
    lambda day, moved: f"{day}{moved}",
    st.sampled_from(["d", "d", "day(t)", "landed_on()", "date '2024-03-01'", *(f"day(t, '{z}')" for z in ZONES)]),
    st.sampled_from(["", "", " + 1", " - 30", " + i", " - b"]),
)
TEXTS = st.sampled_from(["s", "s", "'a'", "'it''s'", "''"])
TIMES = st.sampled_from(["t", "t", "landed_at()", "timestamp '2024-03-01T10:00:00+02:00'"])
SIGNS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


def compared(side: st.SearchStrategy[str], signs: st.SearchStrategy[str] = SIGNS) -> st.SearchStrategy[str]:
    return st.tuples(side, signs, side).map(" ".join)


CONDITIONS = st.recursive(
    compared(NUMBERS)
    | compared(DOUBLES)
    | compared(DATES)
    | compared(TEXTS)
    | compared(TIMES)
    | compared(st.sampled_from(["g", "true", "false"]), st.sampled_from(["=", "!="]))
    | st.tuples(st.sampled_from(sorted(COLUMNS)), st.sampled_from(["is null", "is not null"])).map(" ".join),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
        | inner.map(lambda c: f"not ({c})")
    ),
    max_leaves=4,
)
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()}), min_size=1, max_size=8
)


def truth(node: Node, row: dict[str, Any], landed: datetime | None) -> bool | None:
    """A condition in one row, in SQL's three values."""
    match node:
        case Comparison():
            left, right = value(node.left, row, landed), value(node.right, row, landed)
            if left is None or right is None:
                return None
            if isinstance(left, float) or isinstance(right, float):
                left, right = float(left), float(right)
            return {
                "=": left == right, "!=": left != right, "<": left < right, "<=": left <= right,
                ">": left > right, ">=": left >= right,
            }[node.operator]  # fmt: skip
        case IsNull():
            return (value(node.operand, row, landed) is None) is node.wanted
        case Not():
            inner = truth(node.operand, row, landed)
            return None if inner is None else not inner
        case Logic():
            sides = [truth(node.left, row, landed), truth(node.right, row, landed)]
            decisive = node.operator == "or"
            return decisive if decisive in sides else None if None in sides else not decisive
        case _:
            raise AssertionError(node)


def value(node: Node, row: dict[str, Any], landed: datetime | None) -> Any:
    """A term in one row: numbers as fractions, days as ordinals, doubles as floats."""
    match node:
        case ColumnName():
            return plain(row[node.name])
        case Constant():
            return plain(node.value)
        case Negative():
            operand = value(node.operand, row, landed)
            return None if operand is None else -operand
        case Sum():
            left, right = value(node.left, row, landed), value(node.right, row, landed)
            if left is None or right is None:
                return None
            if isinstance(left, float) or isinstance(right, float):
                left, right = float(left), float(right)
            return left + right if node.operator == "+" else left - right
        case Call():
            arguments = [value(a, row, landed) for a in node.arguments]
            if node.function == "abs":
                return None if arguments[0] is None else abs(arguments[0])
            if node.function == "landed_at":
                return landed
            if node.function == "landed_on":
                return None if landed is None else landed.date().toordinal()
            zone = arguments[1] if len(arguments) == 2 else "UTC"
            return None if arguments[0] is None else arguments[0].astimezone(ZoneInfo(zone)).date().toordinal()
        case _:
            raise AssertionError(node)


def plain(found: Any) -> Any:
    if isinstance(found, bool | str | float | datetime) or found is None:
        return found
    return found.toordinal() if isinstance(found, date) else Fraction(found)


@settings(max_examples=400, deadline=None)
@given(rule=CONDITIONS, rows=ROWS, landed=st.sampled_from([LANDED, None]))
def test_every_rule_says_what_the_slow_reference_says(
    rule: str, rows: list[dict[str, Any]], landed: datetime | None
) -> None:
    node = parse_rule(rule)
    assert not isinstance(node, RuleFault), node
    assume(column_names(node) and rule_fault(node, CONTRACT.columns) is None)
    compiled = RowRules(dataset(COLUMNS, rules=[rule]))
    arrays = {
        name: pa.array([row[name] for row in rows], arrow_type(column)) for name, column in CONTRACT.columns.items()
    }
    bad = [breach.rows.tolist() for breach, _ in compiled.check(arrays, {}, Landed.of(landed))]
    expected = [number for number, row in enumerate(rows) if truth(node, row, landed) is False]
    assert bad == ([expected] if expected else [])


@settings(max_examples=200, deadline=None)
@given(moments=st.lists(st.none() | VALUES["t"], min_size=1, max_size=20), zone=st.sampled_from(ZONES))
def test_days_in_a_zone_are_pythons(moments: list[datetime | None], zone: str) -> None:
    from pipelines.reading.days import days_of

    found = days_of(pa.array([None, *moments, None], pa.timestamp("us", "UTC")).slice(1, len(moments)), zone)
    assert found.to_pylist() == [None if m is None else m.astimezone(ZoneInfo(zone)).date() for m in moments]


def test_an_hour_by_hour_walk_through_the_changes_of_the_clock() -> None:
    from pipelines.reading.days import days_of

    for year in (1970, 2013, 2036, 2037, 2038, 2090):
        hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(366 * 24)]
        for zone in ZONES:
            expected = np.array([m.astimezone(ZoneInfo(zone)).date() for m in hours], "datetime64[D]")
            found = days_of(pa.array(hours, pa.timestamp("us", "UTC")), zone).to_numpy(zero_copy_only=False)
            assert (found == expected).all(), (zone, year)
