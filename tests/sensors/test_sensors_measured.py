"""What the sensors measure of themselves, and of how things stand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from pipelines.errors import TransientError
from pipelines.telemetry import metrics as m
from sensors import landing
from tests.assets.stage import OpenGate, Stage, departures, key
from tests.telemetry.hearing import Hearing


@pytest.fixture
def heard(stage: Stage) -> Hearing:
    hearing = Hearing()
    stage.gate = replace(stage.gate, meter=hearing)
    return hearing


def tick(stage: Stage, sensor: str) -> Any:
    with dg.build_sensor_context(
        instance=stage.instance, repository_def=stage.repository, resources={"gate": OpenGate(stage.gate)}
    ) as context:
        return stage.repository.get_sensor_def(sensor).evaluate_tick(context)


def test_a_tick_tells_its_events_how_things_stand_and_that_it_ended(stage: Stage, heard: Hearing) -> None:
    stage.world.put(key("2024-02-01"), departures(1))
    tick(stage, "landing_sensor")
    assert heard.sums(m.EVENTS_RECEIVED) == {("registered",): 1}
    assert heard.sums(m.SENSOR_TICKS) == {("landing_sensor",): 1}
    assert len(heard.values(m.TICK_DURATION)) == 1
    assert heard.sums(m.FILES)["departures", "pending"] == 1
    assert heard.flushes == 1


def test_how_things_stand_is_asked_once_a_minute(stage: Stage, heard: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 0.0, 10.0, 10.0, 70.0, 70.0])
    real, clock = landing.time, iter(seconds)

    class Clock:
        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def monotonic(self) -> float:
            return next(clock, 80.0)

    monkeypatch.setattr(landing, "_IDLE_TICK_S", 0.0)
    monkeypatch.setattr(landing, "time", Clock())
    told: list[int] = []
    for _ in range(3):
        tick(stage, "landing_sensor")
        told.append(len(heard.values(m.PAUSED)))
    assert told == [1, 1, 2]


def test_a_ledger_that_cannot_be_asked_how_things_stand_fails_no_tick(
    stage: Stage, heard: Hearing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(_: object) -> Any:
        raise TransientError("throttled")
        yield

    monkeypatch.setattr(landing, "standing", blind)
    stage.world.put(key("2024-02-01"), departures(1))
    assert len(tick(stage, "landing_sensor").run_requests) == 1
    assert heard.sums(m.SENSOR_TICKS) == {("landing_sensor",): 1}


def test_a_tick_that_fails_is_not_counted(stage: Stage, heard: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise TransientError("no queue")

    monkeypatch.setattr(landing, "receive", broken)
    with pytest.raises(TransientError):
        tick(stage, "landing_sensor")
    assert heard.sums(m.SENSOR_TICKS) == {}


def test_dead_letters_are_told_each_minute_also_when_there_are_none(stage: Stage, heard: Hearing) -> None:
    tick(stage, "dead_letter_sensor")
    stage.world.dead_letters.send("nonsense")
    tick(stage, "dead_letter_sensor")
    assert heard.values(m.DEAD_LETTERS) == [0, 1]
    assert heard.sums(m.SENSOR_TICKS) == {("dead_letter_sensor",): 2}


def test_every_sensor_is_measured_under_its_name(stage: Stage) -> None:
    assert {sensor.name for sensor in stage.repository.sensor_defs} == set(m.LABELS["sensor"].values)
