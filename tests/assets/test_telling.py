"""What a run tells Dagster beside the outcome of its batches: latency, pictures, and nothing that fails it."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from assets import plots
from assets.day_metadata import MEDIAN_LATENCY, SLOWEST_LATENCY
from assets.plots import INLINE_CHARACTERS
from tests.assets.stage import BAD, Stage, days, departures, key
from tests.assets.test_materialization import as_request

PICTURES = ["plot of rows", "plot of quarantine rate", "plot of latency", "plot of nulls"]


def run_planned(stage: Stage) -> dg.ExecuteInProcessResult:
    [launch] = stage.planned()
    return stage.run_request(as_request(launch))


def test_files_that_an_event_announced_tell_how_long_they_waited(stage: Stage) -> None:
    stage.world.put(key("2024-02-01"), departures(1))
    stage.world.clock.turn(10)
    stage.world.put(key("2024-02-01", "b"), departures(2))
    stage.world.put(key("2024-02-01", "bad"), BAD)
    stage.world.clock.turn(2)
    assert run_planned(stage).success
    told = stage.metadata(["departures"], "2024-02-01")
    assert (told[MEDIAN_LATENCY], told[SLOWEST_LATENCY]) == (7.0, 12.0)
    assert told["summary"] == "3 files: 2 loaded, 1 quarantined; 2 rows loaded"
    assert told["quarantine rate, percent"] == pytest.approx(33.33)
    assert "note" not in told


def test_a_day_processed_again_has_no_latency_and_says_why(stage: Stage) -> None:
    stage.world.put(key("2024-02-01"), departures(1))
    assert run_planned(stage).success
    stage.world.clock.turn(86_400)
    assert stage.run(days("2024-02-01", "2024-02-01")).success
    told = stage.metadata(["departures"], "2024-02-01")
    assert SLOWEST_LATENCY not in told
    assert "plot of latency" not in told
    assert told["note"] == (
        "These files were not announced by an event just now (backfill): there is no time from landing to queryable."
    )
    assert told["summary"] == "1 file: 1 loaded; 1 row loaded, 1 older row out"


def test_the_last_day_of_a_run_has_the_pictures_beside_its_files_and_no_other_day(stage: Stage) -> None:
    for day in ("2024-02-01", "2024-02-02"):
        stage.world.put(key(day), departures(int(day[-1])))
    assert run_planned(stage).success
    first, second = (stage.metadata(["departures"], day) for day in ("2024-02-01", "2024-02-02"))
    assert [name for name in second if name.startswith("plot")] == PICTURES
    assert list(second)[:4] == ["summary", "files of this day", *PICTURES[:2]]
    assert not [name for name in first if name.startswith("plot")]
    assert all(len(second[name]) < INLINE_CHARACTERS for name in PICTURES)


def test_a_day_without_files_behind_one_with_files_does_not_take_its_pictures(stage: Stage) -> None:
    stage.world.put(key("2024-02-01"), departures(1))
    assert run_planned(stage).success
    assert stage.run(days("2024-02-01", "2024-02-03")).success
    assert "plot of rows" in stage.metadata(["departures"], "2024-02-01")
    assert "plot of rows" not in stage.metadata(["departures"], "2024-02-03")


def test_the_picture_of_latency_has_what_earlier_materializations_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def latency(waits: Any) -> str:
        drawn.append(list(waits))
        return "picture"

    monkeypatch.setattr(plots, "latency", latency)
    for number in (1, 2, 3):
        stage.world.put(key(f"2024-02-0{number}"), departures(number))
        stage.world.clock.turn(number)
        assert run_planned(stage).success
    assert sorted(wait.slowest for wait in drawn[-1]) == [1.0, 2.0, 3.0]
    assert max(drawn[-1], key=lambda wait: wait.at).slowest == 3.0
    assert max(wait.at for wait in drawn[-1]) - min(wait.at for wait in drawn[-1]) < timedelta(hours=1)


def test_a_picture_that_cannot_be_drawn_fails_nothing_and_is_not_kept_quiet(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> str:
        raise ValueError("no font\x1b[31m")

    monkeypatch.setattr(plots, "null_share", broken)
    stage.world.put(key("2024-02-01"), departures(1))
    result = run_planned(stage)
    assert result.success
    told = stage.metadata(["departures"], "2024-02-01")
    assert told["rows loaded"] == 1
    assert not [name for name in told if name.startswith("plot")]
    warnings = [e.user_message for e in stage.instance.all_logs(result.run_id) if e.level == 30]
    assert (
        "departures: the plots of this materialization could not be drawn: ValueError: no font\\x1b[31m" in warnings[-1]
    )
