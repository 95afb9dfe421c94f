"""Key patterns match exactly, carry no regular expression in, and a `*` never crosses a slash."""

from __future__ import annotations

import re
from datetime import date, datetime

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.contracts.key_pattern import KeyPattern, KeyPatternError

FLIGHTS = KeyPattern.parse("landing/flights/{flight_date:%Y-%m-%d}.csv*")
LITERAL = st.text(st.characters(exclude_characters="{}*\0", exclude_categories=("Cs",)), max_size=20)
SEGMENT = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), max_size=20)


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("landing/flights/2013-01-01.csv", {"flight_date": "2013-01-01"}),
        ("landing/flights/2013-01-01.csv.gz", {"flight_date": "2013-01-01"}),
        ("landing/flights/2013-02-30.csv", {"flight_date": "2013-02-30"}),  # this dataset's file, with a wrong date
        ("landing/flights/2013-01-01.csv/x", None),
        ("landing/flights/x/2013-01-01.csv", None),
        ("landing/flights/2013-1-1.csv", None),
        ("landing/flights/2013-01-01xcsv", None),
        ("xlanding/flights/2013-01-01.csv", None),
        ("landing/flights/２０１３-01-01.csv", None),  # digits of another script
        ("landing/flights/2013-01-01.cs", None),
        ("LANDING/flights/2013-01-01.csv", None),
    ],
)
def test_a_key_matches_as_a_whole_or_not_at_all(key: str, found: dict[str, str] | None) -> None:
    assert FLIGHTS.match(key) == found


def test_the_prefix_ends_before_the_first_field_or_wildcard() -> None:
    assert FLIGHTS.prefix == "landing/flights/"
    assert KeyPattern.parse("landing/a/b*/c").prefix == "landing/a/"
    assert KeyPattern.parse("landing/a/b.csv").prefix == "landing/a/"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("*.csv", "literal prefix"),
        ("{a}/x.csv", "literal prefix"),
        ("landing/{a}/{a}.csv", "stands twice"),
        ("landing/{a:%Y-%Y}.csv", "stands twice"),
        ("landing/{a:%q}.csv", "not supported"),
        ("landing/{a:%}.csv", "not supported"),
        ("landing/{a:}.csv", "no format"),
        ("landing/{A}.csv", "brace"),
        ("landing/{a.csv", "brace"),
        ("landing/a}.csv", "brace"),
        ("landing/{a}{b}.csv", "literal text between"),
        ("landing/{a}*.csv", "literal text between"),
        ("landing/*{a}.csv", "literal text between"),
        ("landing/**/x.csv", "literal text between"),
        ("landing/a\0b.csv", "NUL"),
    ],
)
def test_a_malformed_pattern_says_what_is_wrong(pattern: str, why: str) -> None:
    with pytest.raises(KeyPatternError, match=re.escape(why)):
        KeyPattern.parse(pattern)


@settings(deadline=None)
@given(LITERAL, LITERAL)
def test_literal_text_matches_itself_and_nothing_else(text: str, other: str) -> None:
    pattern = KeyPattern.parse("landing/" + text)
    assert pattern.match("landing/" + text) == {}
    if other != text:
        assert pattern.match("landing/" + other) is None


@settings(deadline=None)
@given(SEGMENT, LITERAL)
def test_a_star_takes_any_text_without_a_slash(inside: str, after: str) -> None:
    pattern = KeyPattern.parse("landing/x/*" + after)
    assert pattern.match("landing/x/" + inside + after) == {}


@settings(deadline=None)
@given(SEGMENT, SEGMENT)
def test_a_star_never_crosses_a_slash(before: str, after: str) -> None:
    pattern = KeyPattern.parse("landing/x/*.csv")
    assert pattern.match(f"landing/x/{before}/{after}.csv") is None


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_pattern_or_a_pattern_error(text: str) -> None:
    try:
        pattern = KeyPattern.parse("landing/" + text)
    except KeyPatternError:
        return
    pattern.match("landing/" + text)
    pattern.match_last_segment("x")


@settings(deadline=None)
@given(
    st.dates(min_value=date(1000, 1, 1)),
    st.sampled_from(["%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%d.%m.%Y", "%Y-%j", "%d-%b-%Y"]),
)
def test_a_date_written_by_its_format_is_read_back(day: date, form: str) -> None:
    pattern = KeyPattern.parse(f"landing/x/{{day:{form}}}.csv")
    found = pattern.match(f"landing/x/{day.strftime(form) if day.year > 999 else ''}.csv")
    assert found is not None
    assert pattern.parse_time("day", found["day"]) == datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a key has no zone


@settings(deadline=None)
@given(SEGMENT)
def test_a_field_gives_back_the_text_between(value: str) -> None:
    assume(value and "/" not in value)
    pattern = KeyPattern.parse("landing/x/store={store}/part.csv")
    assert pattern.match(f"landing/x/store={value}/part.csv") == {"store": value}


def test_a_local_file_is_matched_by_the_last_segment() -> None:
    assert FLIGHTS.match_last_segment("2013-01-01.csv") == {"flight_date": "2013-01-01"}
    assert FLIGHTS.match_last_segment("flights.csv") is None
    assert KeyPattern.parse("landing/x/{day:%Y/%m/%d}.csv").match_last_segment("01.csv") is None
    assert KeyPattern.parse("landing/x/{day:%Y/%m/%d}/f.csv").match_last_segment("f.csv") == {}
