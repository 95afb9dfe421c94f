"""Days that Dagster calls failed because their run was killed: told of as soon as the ledger says that they are loaded."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from assets import late_days
from assets.keys import LAUNCH_TAG
from tests.assets.stage import Stage, days, departures, key, staged
from tests.sensors.test_attention_sensor import tick

DAYS = ("2024-02-01", "2024-02-02", "2024-02-03")
ASSET = dg.AssetKey(["departures"])
PARTITIONS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_offset=1)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Over SQLite: what Dagster remembers of partitions is asked as its pages do."""
    with dg.instance_for_test() as instance, staged(instance) as found:
        yield found


def landed(stage: Stage) -> Any:
    for number, day in enumerate(DAYS, 1):
        stage.world.put(key(day), departures(number))
    [launch] = stage.planned()
    return launch


def killed(stage: Stage, *, launch: str | None = None) -> str:
    """A run of all three days that Dagster knows as failed, with nothing told of any day."""
    tags = days(DAYS[0], DAYS[-1]) | ({LAUNCH_TAG: launch} if launch else {})
    run = stage.instance.create_run_for_job(
        stage.repository.get_job("ingest_departures"), tags=tags, status=dg.DagsterRunStatus.STARTED
    )
    for day in DAYS:
        planned = dg.DagsterEvent(
            "ASSET_MATERIALIZATION_PLANNED",
            "ingest_departures",
            event_specific_data=_planned(day),
        )
        stage.instance.report_dagster_event(planned, run.run_id)
    stage.instance.report_run_failed(run)
    return run.run_id


def _planned(day: str) -> Any:
    from dagster._core.events import AssetMaterializationPlannedData

    return AssetMaterializationPlannedData(ASSET, partition=day)


def take(stage: Stage, batches: Sequence[str], owner: str) -> None:
    for batch in batches:
        stage.world.take(stage.gate, stage.world.datasets[0], batch, owner)


def failed(stage: Stage) -> list[str]:
    found = stage.instance.get_status_by_partition(ASSET, DAYS, PARTITIONS) or {}
    return [day for day, status in found.items() if status is not None and status.value == "FAILED"]


def tell(stage: Stage) -> dict[str, dg.AssetMaterialization]:
    """One tick; what it tells is stored as the daemon does."""
    found = [e for e in tick(stage).asset_events if isinstance(e, dg.AssetMaterialization)]
    for event in found:
        stage.instance.report_runless_asset_event(event)
    return {event.partition or "": event for event in found}


def test_days_that_a_killed_run_had_loaded_are_shown_as_loaded(stage: Stage) -> None:
    launch = landed(stage)
    run_id = killed(stage, launch=launch.run_key)
    take(stage, launch.batches[:2], run_id)
    assert failed(stage) == list(DAYS)
    told = tell(stage)
    assert list(told) == list(DAYS[:2])
    assert told[DAYS[0]].metadata["dagster/partition_row_count"].value == 1
    assert told[DAYS[0]].metadata["files loaded"].value == 1
    assert f"The run {run_id[:8]} ended before it could tell of this day" in (told[DAYS[0]].description or "")
    assert failed(stage) == [DAYS[2]]
    assert tell(stage) == {}


def test_a_day_that_another_batch_loaded_later_is_shown_as_loaded(stage: Stage) -> None:
    killed(stage)
    stage.world.clock.now = datetime.now(UTC) + timedelta(minutes=1)
    landed(stage)
    assert tell(stage) == {}, "its files wait"
    stage.world.settle_down()
    assert list(tell(stage)) == list(DAYS)
    assert failed(stage) == []


def test_a_day_that_the_killed_backfill_never_came_to_stays_failed(stage: Stage) -> None:
    landed(stage)
    stage.world.settle_down()
    killed(stage)
    assert failed(stage) == list(DAYS)
    assert tell(stage) == {}
    assert failed(stage) == list(DAYS)


def test_a_day_with_a_file_that_failed_stays_failed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = landed(stage)
    killed(stage, launch=launch.run_key)
    stage.world.settle_down()
    monkeypatch.setattr(late_days, "_waits", lambda counts: counts.landing_day.isoformat() == DAYS[1])
    assert list(tell(stage)) == [DAYS[0], DAYS[2]]


def test_no_day_is_looked_for_while_no_run_has_failed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(*_: object) -> None:
        raise AssertionError("looked for failed days")

    monkeypatch.setattr(late_days, "_failed_days", looked)
    tick(stage)


def test_of_many_failed_days_some_are_looked_at_each_minute(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_days, "_DAYS_AT_ONCE", 2)
    launch = landed(stage)
    killed(stage, launch=launch.run_key)
    stage.world.settle_down()
    assert len(tell(stage)) == 2
    assert len(tell(stage)) == 1
    assert failed(stage) == []
