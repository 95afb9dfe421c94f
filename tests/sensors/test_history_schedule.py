"""The history is exported when something happened, and no run is asked for when nothing did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from pipelines.contracts.system_tables import file_history
from tests.assets.stage import OpenGate, Stage, departures, key, staged


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Over an instance on disk: a schedule's context opens it by its settings."""
    with dg.instance_for_test() as instance, staged(instance) as found:
        yield found


def tick(stage: Stage) -> dg.RunRequest | dg.SkipReason:
    schedule = stage.repository.get_schedule_def("export_history_schedule")
    with dg.build_schedule_context(
        instance=stage.instance,
        scheduled_execution_time=datetime(2024, 3, 10, 12, 5, tzinfo=UTC),
        resources={"gate": OpenGate(stage.gate)},
    ) as context:
        found = schedule.evaluate_tick(context)
    if found.run_requests:
        [request] = found.run_requests
        return request
    return dg.SkipReason(found.skip_message)


def test_a_tick_with_nothing_to_export_is_skipped_with_a_sentence(stage: Stage) -> None:
    assert tick(stage) == dg.SkipReason("no file changed its state since the last export")


def test_no_second_export_queues_up_behind_one_that_waits(stage: Stage) -> None:
    stage.world.put(key("2024-03-09"), departures(1))
    stage.planned()
    job = stage.repository.get_job("export_history")
    run = stage.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING, tags=dict(job.tags))
    skipped = tick(stage)
    assert isinstance(skipped, dg.SkipReason)
    assert "has not ended yet" in (skipped.skip_message or "")
    assert int(run.tags["dagster/priority"]) > 30, "fresh files go first, and there may always be some"
    stage.instance.report_run_canceled(run)
    assert isinstance(tick(stage), dg.RunRequest)


def test_what_happened_is_exported_by_one_run_and_then_there_is_nothing_left(stage: Stage) -> None:
    stage.world.put(key("2024-03-09"), departures(1, 2))
    stage.planned()
    assert isinstance(tick(stage), dg.RunRequest)
    result = stage.repository.get_job("export_history").execute_in_process(instance=stage.instance)
    assert result.success
    assert isinstance(tick(stage), dg.SkipReason)
    tables = stage.world.tables
    assert not hasattr(tables, "load")
    rows = tables.rows(file_history()).to_pylist()  # pyright: ignore[reportAttributeAccessIssue]
    assert {row["to_state"] for row in rows} >= {"seen", "planned"}
    assert {row["key"] for row in rows} == {key("2024-03-09")}
