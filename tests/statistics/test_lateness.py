"""When a file is missed: by a pace day and night, or by the clock on some weekdays of a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pipelines.contracts.watching import Freshness
from pipelines.statistics.lateness import lateness

DAILY = Freshness(expected_every="P1D")
WORKDAYS = Freshness(due_by="08:00", weekdays=("mon", "tue", "wed", "thu", "fri"), zone="Europe/Berlin")
FRIDAY = datetime(2024, 3, 8, 6, 30, tzinfo=UTC)  # 07:30 in Berlin


@pytest.mark.parametrize(("hours", "missed"), [(0, 0), (23, 0), (24, 1), (47, 1), (48, 2), (24 * 400, 60)])
def test_by_pace_a_file_is_missed_a_period_after_the_last(hours: int, missed: int) -> None:
    found = lateness(DAILY, FRIDAY, FRIDAY + timedelta(hours=hours))
    assert found.missed == missed
    assert found.since == (FRIDAY + timedelta(days=1) if missed else None)


def test_a_clock_that_went_back_is_not_late() -> None:
    assert lateness(DAILY, FRIDAY, FRIDAY - timedelta(hours=3)).missed == 0


@pytest.mark.parametrize(
    ("now", "missed"),
    [
        ("2024-03-08T09:00", 0),  # Friday: it came at 07:30
        ("2024-03-10T23:00", 0),  # Sunday: nothing is due
        ("2024-03-11T07:59", 0),  # Monday, before the time
        ("2024-03-11T08:00", 1),
        ("2024-03-12T07:59", 1),
        ("2024-03-12T08:00", 2),
        ("2024-03-18T12:00", 6),
    ],
)
def test_by_the_clock_a_weekend_without_files_is_no_alarm(now: str, missed: int) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    found = lateness(WORKDAYS, FRIDAY, at)
    assert found.missed == missed
    assert (found.since is None) == (missed == 0)
    if missed:
        assert found.since == datetime(2024, 3, 11, 8, tzinfo=ZoneInfo("Europe/Berlin"))


def test_a_file_that_comes_late_ends_it() -> None:
    late = datetime(2024, 3, 11, 9, tzinfo=UTC)
    assert lateness(WORKDAYS, late, late + timedelta(hours=1)).missed == 0


def test_a_file_of_the_weekend_is_not_the_one_due_on_monday_morning_unless_it_came_within_a_day() -> None:
    monday = datetime(2024, 3, 11, 8, tzinfo=ZoneInfo("Europe/Berlin"))
    assert lateness(WORKDAYS, monday - timedelta(hours=25), monday).missed == 1
    assert lateness(WORKDAYS, monday - timedelta(hours=24), monday).missed == 0


def test_the_time_follows_the_zone_through_summer_time() -> None:
    spring = datetime(2024, 4, 1, 6, 0, tzinfo=UTC)  # Monday, 08:00 in Berlin by now
    assert lateness(WORKDAYS, FRIDAY, spring - timedelta(minutes=1)).missed == 15
    assert lateness(WORKDAYS, FRIDAY, spring).missed == 16
    assert lateness(WORKDAYS, spring, spring).due == datetime(2024, 4, 2, 8, tzinfo=ZoneInfo("Europe/Berlin"))
