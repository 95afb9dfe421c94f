"""Ids sort by the time they were made, also within one millisecond and when the clock goes back."""

from datetime import timedelta

from pipelines.accounting.ids import IdFactory
from tests.accounting.books import HandClock


def test_each_id_is_greater_than_the_last() -> None:
    clock = HandClock()
    new_id = IdFactory(clock)
    made: list[str] = []
    for step in (0, 0, 0.001, 0, -5, 0, 3600):
        clock.now += timedelta(seconds=step)
        made.extend(new_id() for _ in range(100))
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {len(one) for one in made} == {26}


def test_ids_are_the_same_for_the_same_clock_and_randomness() -> None:
    assert len({IdFactory(HandClock(), lambda _: 7)() for _ in range(3)}) == 1
