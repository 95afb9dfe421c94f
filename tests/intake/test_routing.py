"""A key goes to the one dataset whose pattern it matches, on the day it names; or it is told why not."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contracts.key_pattern import KeyPattern, KeyPatternError
from pipelines.contracts.model import Dataset
from pipelines.intake.automaton import can_match_the_same
from pipelines.intake.routing import (
    BadKey,
    KeyValueError,
    Outside,
    Routed,
    Unrouted,
    event_day,
    key_values,
    overlapping,
    overlaps,
    route,
)
from pipelines.reading.violations import Rule

TODAY = date(2026, 3, 10)
EVENT = date(2026, 3, 9)


def dataset(name: str, key: str, day: str | None = None, **columns: Any) -> Dataset:
    return Dataset.model_validate(
        {
            "name": name,
            "description": "A test.",
            "landing": {"key": key, "start": "2026-01-01", "day": day},
            "format": {"type": "csv"},
            "columns": {**{n: {"type": t, "from": "key"} for n, t in columns.items()}, "x": {"type": "int"}},
        }
    )


FLIGHTS = dataset("flights", "landing/flights/{flight_date:%Y-%m-%d}.csv*", "flight_date", flight_date="date")
ORDERS = dataset("orders", "landing/orders/{shop}/*.jsonl", shop="string")
BOTH = (FLIGHTS, ORDERS)


def test_a_key_goes_to_its_dataset_on_the_day_it_names() -> None:
    found = route("landing/flights/2026-03-01.csv.gz", BOTH, EVENT, TODAY)
    assert found == Routed(FLIGHTS, date(2026, 3, 1), {"flight_date": date(2026, 3, 1)})


def test_without_a_day_in_the_key_the_day_is_that_of_the_event() -> None:
    assert route("landing/orders/berlin/1.jsonl", BOTH, EVENT, TODAY) == Routed(ORDERS, EVENT, {"shop": "berlin"})


def test_the_day_of_an_event_is_its_day_in_utc() -> None:
    assert event_day(datetime.fromisoformat("2026-03-01T01:00:00+02:00")) == date(2026, 2, 28)


@pytest.mark.parametrize(
    "key",
    [
        "landing/flights_evil/2026-03-01.csv",
        "landing/flights/2026-3-1.csv",
        "landing/flights/2026-03-01.txt",
        "landing/flights/x/2026-03-01.csv",
        "landing/flights/../orders/berlin/1.jsonl",
        "landing//flights/2026-03-01.csv",
        "landing/orders/berlin/x/1.jsonl",
        "landing/orders//1.jsonl",
        "landing/flights/2026-03-01.csv/evil",
        "landing/flights/２０２６-03-01.csv",
        "landing/",
        "landing/flights/",
    ],
)
def test_what_no_pattern_matches_exactly_is_unrouted(key: str) -> None:
    assert route(key, BOTH, EVENT, TODAY) == Unrouted()


@pytest.mark.parametrize("key", ["processed/flights/2026-03-01.csv", "/landing/x", "Landing/x", "landing", ""])
def test_what_is_not_under_landing_is_outside(key: str) -> None:
    assert route(key, BOTH, EVENT, TODAY) == Outside()


def test_a_date_that_is_none_is_a_bad_key_that_says_so() -> None:
    found = route("landing/flights/2026-02-30.csv", BOTH, EVENT, TODAY)
    assert isinstance(found, BadKey)
    assert (found.rule, found.accounted_day) == (Rule.KEY_VALUE, EVENT)
    assert "{flight_date}" in found.message
    assert "2026-02-30" in found.message


@pytest.mark.parametrize(
    ("day", "inside"),
    [("2025-12-31", False), ("2026-01-01", True), ("2026-03-10", True), ("2026-03-11", False), ("9999-12-31", False)],
)
def test_days_before_the_start_and_after_today_are_bad_keys(day: str, inside: bool) -> None:
    found = route(f"landing/flights/{day}.csv", BOTH, EVENT, TODAY)
    assert isinstance(found, Routed) == inside
    if isinstance(found, BadKey):
        assert found.rule is Rule.LANDING_DAY
        assert found.accounted_day == EVENT


def test_an_event_before_the_start_is_a_bad_key_and_listed_on_the_first_day() -> None:
    found = route("landing/orders/berlin/1.jsonl", BOTH, date(2020, 1, 1), TODAY)
    assert isinstance(found, BadKey)
    assert found.accounted_day == date(2026, 1, 1)


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("string", "a b", "a b"),
        ("string", "Köln\u00a0West", "Köln\u00a0West"),
        ("string", "a\nb", None),
        ("string", "a\x7fb", None),
        ("string", "a\u202eb", None),
        ("int", "-12", -12),
        ("int", "2147483648", None),
        ("int", "١", None),
        ("int", "1_0", None),
        ("int", "1.0", None),
        ("bigint", "9223372036854775807", 2**63 - 1),
        ("bigint", "9223372036854775808", None),
        ("decimal(4,2)", "12.50", Decimal("12.50")),
        ("decimal(4,2)", "12.500", Decimal("12.500")),
        ("decimal(4,2)", "123.4", None),
        ("decimal(4,2)", "1.234", None),
        ("decimal(4,2)", "NaN", None),
        ("decimal(4,2)", "1E5", None),
        ("date", "2026-01-31", date(2026, 1, 31)),
        ("date", "20260131", None),
        ("date", "2026-W05-6", None),
        ("timestamp", "2026-01-31T10:00:00+02:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("timestamp", "2026-01-31T10:00:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("timestamp", "0001-01-01T00:00:00+14:00", None),
        ("timestamp", "noon", None),
    ],
)
def test_a_value_in_a_key_has_its_columns_type_or_is_refused(type_: str, text: str, value: Any) -> None:
    one = dataset("one", "landing/one/{part}.csv", part=type_)
    if value is None:
        with pytest.raises(KeyValueError, match="part"):
            key_values(one, f"landing/one/{text}.csv")
    else:
        assert key_values(one, f"landing/one/{text}.csv") == {"part": value}
    assert key_values(one, "landing/two/x.csv") is None


# ---- overlap ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("landing/a/*.csv", "landing/a/*.csv", True),
        ("landing/a/*.csv", "landing/b/*.csv", False),
        ("landing/a/*.csv", "landing/a/*.csv.gz", False),
        ("landing/a/*.csv*", "landing/a/*.csv.gz", True),
        ("landing/a/{d:%Y-%m-%d}.csv", "landing/a/{n}.csv", True),
        ("landing/a/{d:%Y-%m-%d}.csv", "landing/a/{d:%Y%m%d}.csv", False),
        ("landing/a/{d:%Y-%m-%d}.csv", "landing/a/x*.csv", False),
        ("landing/a/{d:%b}.csv", "landing/a/Jan.csv", True),
        ("landing/a/{d:%b}.csv", "landing/a/J4n.csv", False),
        ("landing/a/{d:%b}.csv", "landing/a/{d:%j}.csv", False),
        ("landing/a/{t:%f}.csv", "landing/a/12.csv", True),
        ("landing/a/{t:%f}.csv", "landing/a/1234567.csv", False),
        ("landing/a/{x}/b.csv", "landing/a/b.csv", False),
        ("landing/a/{x}/b.csv", "landing/{y}/c/b.csv", True),
        ("landing/a*", "landing/ab*", True),
        ("landing/a*b", "landing/a*c", False),
        ("landing/a+b*", "landing/a.b*", False),
        ("landing/x*y*z", "landing/x*z", True),
    ],
)
def test_two_patterns_overlap_when_some_key_fits_both(one: str, other: str, shared: bool) -> None:
    a, b = KeyPattern.parse(one), KeyPattern.parse(other)
    assert overlaps(a, b) == overlaps(b, a) == shared


PATTERNS = st.lists(
    st.sampled_from(["a", "b", "1", "-", "/", "*", "{x}", "{y}", "{d:%m}", "{e:%b}", "{f:%f}"]), min_size=1, max_size=6
).map(lambda parts: "landing/" + "".join(parts))


@given(PATTERNS, PATTERNS)
def test_the_decision_is_exact(one: str, other: str) -> None:
    try:
        a, b = KeyPattern.parse(one), KeyPattern.parse(other)
    except KeyPatternError:
        return
    # Every key of up to nine characters over an alphabet that tells all classes apart would be too many: those of one
    # pattern's own making are enough to find a witness, and a witness found proves an overlap.
    witnesses = {k for p in (a, b) for k in samples(p)}
    shared = any(re.fullmatch(a.expression, k) and re.fullmatch(b.expression, k) for k in witnesses)
    if shared:
        assert overlaps(a, b)
    if not overlaps(a, b):
        assert not shared


def samples(pattern: KeyPattern) -> list[str]:
    """Keys that the pattern matches, with the parts of its fields and wildcards chosen in a few ways."""
    out = [""]
    for part in re.findall(r"\{[^}]*\}|.", pattern.text):
        fills = {
            "*": ["", "a", "1", "-", "ab1", "aab"],
            "{d:%m}": ["11"],
            "{e:%b}": ["aab", "bbb"],
            "{f:%f}": ["1", "11", "111111"],
        }
        out = [
            k + fill for k in out for fill in fills.get(part, ["a", "b", "1", "11", "aab"] if "{" in part else [part])
        ]
        out = out[:400]
    return out


def test_an_expression_of_another_kind_is_taken_to_overlap() -> None:
    assert can_match_the_same("(a|b)", "c")


def test_overlapping_datasets_are_named_in_pairs() -> None:
    wide = dataset("wide", "landing/flights/*")
    assert overlapping([FLIGHTS, ORDERS, wide]) == [(FLIGHTS, wide)]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_key_is_routed_without_an_error(tail: str) -> None:
    key = f"landing/{tail}"
    assert isinstance(route(key, BOTH, EVENT, TODAY), Routed | BadKey | Unrouted)
