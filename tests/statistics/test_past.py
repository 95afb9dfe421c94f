"""What is usual: robust against odd days, aware of weekdays, silent on little past and small numbers."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.statistics.past import TooFewDays, Usual, usual

DAY = date(2024, 3, 11)  # a Monday


def days(*numbers: float, before: date = DAY) -> dict[date, float]:
    """Numbers of the days up to the day before."""
    return {before - timedelta(days=len(numbers) - n): float(number) for n, number in enumerate(numbers)}


def range_of(past: dict[date, float], day: date = DAY, **more: float | int) -> Usual:
    found = usual(past, day, relative=0.5, absolute=20, **more)  # type: ignore[arg-type]
    assert isinstance(found, Usual)
    return found


@pytest.mark.parametrize("number", [0, 1, 6])
def test_nothing_is_said_with_too_little_past(number: int) -> None:
    assert usual(days(*[100] * number), DAY) == TooFewDays(number, 7)


def test_only_earlier_days_of_the_last_eight_weeks_count() -> None:
    past = {DAY: 1.0, DAY + timedelta(days=1): 1.0, DAY - timedelta(days=57): 1.0}
    assert usual(past, DAY) == TooFewDays(0, 7)
    assert usual(past | days(*[100] * 7), DAY, relative=0.5) == Usual(50, 150, 100, 7, "days")


def test_a_few_odd_days_change_nothing() -> None:
    plain = range_of(days(*[1000] * 10))
    assert range_of(days(*[1000] * 7, 0, 90_000, 5)) == plain
    assert (plain.low, plain.high) == (500, 1500)


def test_a_dataset_that_varies_is_given_more_room() -> None:
    found = range_of(days(100, 900, 200, 800, 300, 700, 400, 600, 500))
    assert found.holds(1500)
    assert found.low == 0
    assert not found.holds(2000)


def test_small_differences_never_alarm() -> None:
    assert range_of(days(*[2] * 10)).holds(22)
    assert range_of(days(*[2] * 10)).holds(0)
    assert not range_of(days(*[2] * 10)).holds(23)


WEEK = [1000, 1000, 1000, 1000, 1000, 10, 10]  # Monday to Sunday


def test_a_day_is_compared_with_its_own_weekday_where_there_are_enough() -> None:
    past = days(*WEEK * 5)
    monday, saturday = range_of(past), range_of(past, DAY + timedelta(days=5))
    assert (monday.of, monday.days, monday.median) == ("Mondays", 5, 1000)
    assert (saturday.of, saturday.days, saturday.median) == ("Saturdays", 5, 10)
    assert not saturday.holds(1000)
    assert not monday.holds(10)


def test_the_second_weekend_of_a_new_dataset_is_no_alarm() -> None:
    past = days(*WEEK * 2)
    saturday = range_of(past, DAY + timedelta(days=5))
    assert saturday.of == "days"
    assert saturday.holds(10)
    assert saturday.holds(1000), "with so little past, what any day had is usual"
    assert not range_of(past).holds(10), "but a Monday never had so few"


def test_a_share_has_a_highest_value() -> None:
    found = usual(days(*[0.95] * 10), DAY, absolute=0.1, highest=1.0)
    assert isinstance(found, Usual)
    assert found.holds(1.0)
    assert found.high == 1.0


@given(st.lists(st.integers(0, 10**9), min_size=7, max_size=56))
def test_the_median_is_always_usual_and_no_range_is_below_zero(numbers: list[int]) -> None:
    found = range_of(days(*numbers))
    assert found.holds(found.median)
    assert found.low >= 0
