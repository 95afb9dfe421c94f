"""When people are told: once, again with reason, and when it is over; each channel for itself."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.alerting.conditions import Condition, Kind
from pipelines.alerting.deciding import AlertPolicy
from pipelines.alerting.memory import MOST_KNOWN, Memory
from tests.alerting.rounds import HOUR, MINUTE, NOON, Kept, Sensor, files, paused


def alone() -> tuple[Sensor, Kept]:
    kept = Kept()
    return Sensor([kept]), kept


def test_a_new_condition_is_told_once() -> None:
    sensor, kept = alone()
    assert sensor.subjects(files(1)) == ["orders: 1 file in quarantine: type"]
    for _ in range(20):
        assert sensor.subjects(files(1), after=MINUTE) == []
    assert len(kept.took) == 1


def test_a_producers_tenth_bad_file_within_the_interval_is_counted_in_the_next_message() -> None:
    sensor, _ = alone()
    sensor.round(files(1))
    for number in range(2, 11):
        assert sensor.subjects(files(number, newest=NOON + number * MINUTE), after=MINUTE) == []
    [told] = sensor.subjects(files(10, newest=NOON + 10 * MINUTE), after=4 * HOUR)
    assert told == "orders: 10 files in quarantine: type (1 when last told)"


def test_it_is_told_at_once_when_it_has_become_much_worse() -> None:
    sensor, _ = alone()
    sensor.round(files(3))
    assert sensor.subjects(files(27), after=MINUTE) == []
    assert sensor.subjects(files(30), after=MINUTE) == ["orders: 30 files in quarantine: type (3 when last told)"]
    assert sensor.subjects(files(299), after=MINUTE) == []
    assert sensor.subjects(files(300), after=MINUTE) == ["orders: 300 files in quarantine: type (30 when last told)"]


@pytest.mark.parametrize(
    ("condition", "repeats"), [(files(1), []), (paused(), ["flights: still paused: AccessDenied"])]
)
def test_without_news_only_what_waits_for_a_person_is_told_again(condition: Condition, repeats: list[str]) -> None:
    sensor, _ = alone()
    sensor.round(condition)
    assert sensor.subjects(condition, after=4 * HOUR - MINUTE) == []
    assert sensor.subjects(condition, after=MINUTE) == repeats


def test_the_interval_doubles_up_to_a_day() -> None:
    sensor, _ = alone()
    sensor.round(paused())
    told_at = [NOON]
    while sensor.now < NOON + timedelta(days=4):
        if sensor.subjects(paused(), after=15 * MINUTE):
            told_at.append(sensor.now)
    hours = [(b - a) / HOUR for a, b in pairwise(told_at)]
    assert hours == [4, 8, 16, 24, 24]


def test_new_files_in_the_place_of_others_are_news_though_the_number_is_the_same() -> None:
    sensor, _ = alone()
    sensor.round(files(2))
    assert sensor.subjects(files(2, newest=NOON + HOUR), after=4 * HOUR) == ["orders: 2 files in quarantine: type"]


def test_when_it_is_over_that_is_told_once_after_a_quarter_of_an_hour() -> None:
    sensor, _ = alone()
    sensor.round(files(2))
    assert sensor.subjects(after=MINUTE) == []
    assert sensor.subjects(after=14 * MINUTE) == []
    assert sensor.subjects(after=MINUTE) == ["orders: over: none of the files is in quarantine any more (type)"]
    assert sensor.subjects(after=MINUTE) == []
    assert Memory.load(sensor.cursor).known == {}


def test_what_comes_back_within_the_quarter_of_an_hour_was_never_over() -> None:
    sensor, _ = alone()
    sensor.round(files(2))
    for _ in range(20):
        assert sensor.subjects(after=10 * MINUTE) == []
        assert sensor.subjects(files(1), after=MINUTE) == []


def test_what_was_never_told_is_not_told_to_be_over() -> None:
    kept = Kept(error="dead")
    sensor = Sensor([kept])
    sensor.round(files(1))
    kept.error = None
    assert sensor.subjects(after=MINUTE) == []
    assert sensor.subjects(after=20 * MINUTE) == []


def test_what_nobody_can_look_at_is_not_over() -> None:
    sensor, _ = alone()
    sensor.round(files(1), paused())
    assert sensor.subjects(after=HOUR, unsure=[Kind.QUARANTINE]) == []
    assert sensor.subjects(after=HOUR, unsure=[Kind.QUARANTINE]) == ["flights: over: it goes on (breaker)"]


def test_many_at_once_are_one_digest_the_worst_first() -> None:
    sensor, kept = alone()
    many = [files(n + 1, f"d{n}") for n in range(7)]
    assert sensor.subjects(*many, paused()) == ["8 alerts: flights, d0, d1 and 5 more"]
    [digest] = kept.took
    assert digest.document["alerts"][0]["dataset"] == "flights"  # type: ignore[index]
    assert digest.attributes["dataset"] == ("flights", *(f"d{n}" for n in range(7)))
    assert digest.attributes["severity"] == ("error",)


def test_a_thousand_files_of_three_reasons_in_two_datasets_are_few_messages() -> None:
    sensor, kept = alone()
    for number in range(1, 168, 3):
        news = NOON + number * MINUTE
        sensor.round(
            *(files(number, d, r, newest=news) for d in ("orders", "clicks") for r in ("type", "null", "short_row")),
            after=MINUTE,
        )
    assert len(kept.took) <= 3
    assert all("6 alerts" in message.subject for message in kept.took)


def test_a_dead_channel_gets_its_alerts_grouped_when_it_lives_again_and_does_not_hold_the_other() -> None:
    dead, well = Kept("dead", "there", error="it answered 500"), Kept("well")
    sensor = Sensor([dead, well])
    first = sensor.round(files(1))
    assert well.subjects == ["orders: 1 file in quarantine: type"]
    assert "dead (there): 1 alert not taken and sent again in a minute: it answered 500" in first.sentence()
    for number in range(2, 9):
        sensor.round(files(number, newest=NOON + number * MINUTE), after=MINUTE)
    assert len(well.took) == 1
    dead.error = None
    sensor.round(files(9), after=MINUTE)
    assert dead.subjects == ["orders: 9 files in quarantine: type"]
    assert len(well.took) == 1


def test_a_channel_that_stays_dead_is_told_on_the_others_and_when_it_lives_again() -> None:
    dead, well = Kept("dead", "there", error="no connection"), Kept("well")
    sensor = Sensor([dead, well])
    for _ in range(11):
        sensor.round(files(1), after=MINUTE)
    assert well.subjects == [
        "orders: 1 file in quarantine: type",
        "the alert channel dead (there) takes nothing",
    ]
    dead.error = None
    for _ in range(20):
        sensor.round(files(1), after=MINUTE)
    assert dead.subjects == ["orders: 1 file in quarantine: type"]
    assert well.subjects[2:] == ["over: the channel takes alerts again (dead)"]


def test_a_channel_that_is_added_later_is_told_what_stands() -> None:
    sensor, kept = alone()
    sensor.round(paused())
    later = Kept("later")
    sensor.channels = [kept, later]
    sensor.round(paused(), after=MINUTE)
    assert (len(kept.took), len(later.took)) == (1, 1)


def test_a_channel_that_is_taken_away_leaves_nothing_in_the_memory() -> None:
    kept, gone = Kept(), Kept("gone", error="x")
    sensor = Sensor([kept, gone])
    sensor.round(paused())
    sensor.channels = [kept]
    sensor.round(after=MINUTE)
    sensor.round(after=20 * MINUTE)
    assert Memory.load(sensor.cursor).known == {}
    assert Memory.load(sensor.cursor).failing == {}


def test_who_dies_between_message_and_memory_sends_the_same_message_once_more() -> None:
    sensor, kept = alone()
    sensor.round(paused())
    before = sensor.cursor
    sensor.round(paused(), files(1), after=MINUTE)
    sensor.cursor = before
    sensor.round(paused(), files(2, newest=NOON + MINUTE), after=MINUTE)
    sensor.round(paused(), files(2, newest=NOON + MINUTE), after=MINUTE)
    assert kept.subjects[1:] == ["orders: 1 file in quarantine: type", "orders: 2 files in quarantine: type"]
    assert kept.took[1].id == kept.took[2].id
    assert kept.took[0].id != kept.took[1].id


def test_a_slow_channel_does_not_take_the_tick_away_from_the_other() -> None:
    clock = [0.0]

    class Slow(Kept):
        def send(self, message: object) -> None:
            clock[0] += 9

    from pipelines.alerting.conditions import Look
    from pipelines.alerting.telling import tell

    slow, well = Slow("slow"), Kept("well")
    done = tell(
        [slow, well], Memory(), Look((files(1), paused(), files(1, "c"))), NOON, AlertPolicy(), lambda: clock[0]
    )
    assert [(s.alerts, s.still_due) for s in done.sent] == [(2, 1), (3, 0)]


def test_a_condition_that_has_to_last_is_not_told_before() -> None:
    from dataclasses import replace

    sensor, _ = alone()
    blind = replace(paused(), kind=Kind.BLIND, dataset=None, headline="cannot see")
    assert sensor.subjects(blind) == []
    assert sensor.subjects(blind, after=4 * MINUTE) == []
    assert sensor.subjects(blind, after=MINUTE) == ["cannot see"]


def test_the_cursor_is_bounded_and_what_has_no_room_is_looked_at_again() -> None:
    sensor, kept = alone()
    reason = "é" * 120
    many = [files(1_000, f"{'d' * 60}{n}", reason) for n in range(MOST_KNOWN + 50)]
    sensor.round(*many)
    assert len(sensor.cursor.encode()) < 100_000
    memory = Memory.load(sensor.cursor)
    assert (len(memory.known), memory.looked_at) == (MOST_KNOWN, None)
    assert "and 200 more conditions" in kept.took[0].text
    assert kept.took[0].document["left_out"] == 200


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", "{}", '{"version": 2}', '{"version": 1, "known": [[1]]}', "null"]
)
def test_a_cursor_that_says_nothing_begins_anew(text: str) -> None:
    assert Memory.load(text) == Memory()
    assert Memory.load(None) == Memory()


steps = st.lists(
    st.tuples(
        st.integers(1, 300),  # minutes
        st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d", "e"]), st.integers(1, 2000)), unique_by=lambda x: x[0]),
        st.booleans(),  # whether the channel is dead
    ),
    max_size=25,
)


@given(steps)
def test_whatever_comes_nobody_is_told_twice_within_the_interval_without_reason(told: list) -> None:
    kept = Kept()
    sensor = Sensor([kept])
    last: dict[str, tuple[object, int, str]] = {}
    for minutes, present, dead in told:
        kept.error = "dead" if dead else None
        before = len(kept.took)
        sensor.round(*(files(n, name) for name, n in present), after=minutes * MINUTE)
        messages = kept.took[before:]
        assert len(messages) <= 3
        if dead:
            assert not messages
        for alert in (alert for message in messages for alert in message.document["alerts"]):  # type: ignore[attr-defined]
            at, count, event = last.get(alert["dataset"], (None, 0, "over"))
            match alert["event"]:
                case "new":
                    assert event == "over"
                case "worse":
                    assert alert["count"] >= 10 * count
                case "again":
                    assert sensor.now - at >= 4 * HOUR  # type: ignore[operator]
                case "over":
                    assert event != "over"
                    assert alert["dataset"] not in dict(present)
                case other:
                    raise AssertionError(other)
            last[alert["dataset"]] = (sensor.now, alert["count"], alert["event"])
        if not dead:
            assert {name for name, _ in present} <= {name for name, (*_, event) in last.items() if event != "over"}
