"""When the tables' files are looked after: one run at a time, and behind all others."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from assets.keys import TABLES_POOL
from tests.assets.stage import Stage, staged


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Over an instance on disk: a schedule's context opens it by its settings."""
    with dg.instance_for_test() as instance, staged(instance) as found:
        yield found


def test_the_schedules_ask_for_one_run_at_a_time_behind_all_others(stage: Stage) -> None:
    for job in ("compact_tables", "expire_states"):
        schedule = stage.repository.get_schedule_def(f"{job}_schedule")
        with dg.build_schedule_context(instance=stage.instance) as context:
            ticked = schedule.evaluate_tick(context)
        assert len(ticked.run_requests or []) == 1
        assert stage.repository.get_job(job).tags["dagster/priority"] == "-10"
        stage.instance.create_run_for_job(stage.repository.get_job(job), status=dg.DagsterRunStatus.STARTED)
        with dg.build_schedule_context(instance=stage.instance) as context:
            again = schedule.evaluate_tick(context)
        assert not again.run_requests
        assert "has not ended yet" in (again.skip_message or "")
    limits = {pool.name: pool.limit for pool in stage.instance.event_log_storage.get_pool_limits()}
    assert limits.get(TABLES_POOL, 1) == 1
