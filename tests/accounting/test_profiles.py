"""What a landing day looks like: exact where a run publishes all of it, in proportion where it replaces a part."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from pipelines.accounting.profiles import DayProfile, after_publishing
from tests.ingest.world import World

DAY = date(2024, 3, 1)


def test_files_of_a_day_add_up() -> None:
    day = after_publishing(DayProfile(DAY), 10, {"a": 5}, 10)
    day = after_publishing(day, 30, {"a": 1, "b": 3}, 40)
    assert (day.rows, day.nulls) == (40, {"a": 6, "b": 3})


def test_a_day_published_anew_forgets_what_it_was() -> None:
    wrong = after_publishing(DayProfile(DAY), 10, {"a": 10}, 10)
    right = after_publishing(wrong, 12, {}, 12)
    assert (right.rows, right.nulls) == (12, {})


def test_rows_that_were_replaced_take_their_share_of_nulls_along() -> None:
    before = DayProfile(DAY, 100, {"a": 50})
    after = after_publishing(before, 20, {"a": 0}, 100)
    assert (after.rows, after.nulls) == (100, {"a": 40})


def test_rows_taken_away_leave_the_rest_as_it_was() -> None:
    assert after_publishing(DayProfile(DAY, 100, {"a": 50}), 0, {}, 10) == DayProfile(DAY, 10, {"a": 5})
    assert after_publishing(DayProfile(DAY, 100, {"a": 50}), 0, {}, 0) == DayProfile(DAY, 0, {})


_counts = st.integers(0, 10**6)


@given(_counts, _counts, _counts, _counts)
def test_there_are_never_more_rows_than_the_table_has(known: int, published: int, extra: int, nulls: int) -> None:
    before = DayProfile(DAY, known, {"a": min(nulls, known)})
    table = min(published + extra, published + known)
    after = after_publishing(before, published, {"a": min(nulls, published)}, table)
    assert published <= after.rows <= table
    assert after.nulls.get("a", 0) <= after.rows + 1


def test_days_are_kept_in_the_ledger_in_order() -> None:
    world = World()
    profiles = world.gate().ledger.profiles
    for number in (3, 1, 2):
        profiles.published("orders", date(2024, 3, number), number, {"a": 1}, number, arrived=number != 2)
    assert [(p.landing_day.day, p.rows, p.nulls) for p in profiles.since("orders", date(2024, 3, 2))] == [
        (2, 2, {"a": 1}),
        (3, 3, {"a": 1}),
    ]
    assert [p.landing_day.day for p in profiles.newest("orders", 2)] == [2, 3]
    assert profiles.since("others", DAY) == []
    arrived = {p.landing_day.day: p.arrived_at for p in profiles.newest("orders", 9)}
    assert arrived == {1: world.clock(), 2: None, 3: world.clock()}


def test_a_file_processed_again_does_not_count_as_come() -> None:
    world = World()
    profiles = world.gate().ledger.profiles
    first = profiles.published("orders", DAY, 1, {}, 1, arrived=True)
    world.clock.turn(3600)
    again = profiles.published("orders", DAY, 1, {}, 1, arrived=False)
    assert again.arrived_at == first.arrived_at
    assert again.arrived_at is not None
    assert again.arrived_at < world.clock()
    assert again.revision == 2
