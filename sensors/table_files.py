"""When small files are put together, and old states let go of. Dagster resolves annotations here: none from the future."""

from typing import Any

import dagster as dg

from assets.keys import TABLES_POOL
from sensors.pools import set_pool_limits

__all__ = ["build_table_schedules"]

_OPEN = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def build_table_schedules(compaction: Any, expiry: Any, compaction_cron: str, expiry_cron: str) -> list[Any]:
    """Make the schedules of the jobs `compact_tables` and `expire_states`; cron lines are read as UTC."""
    return [
        _schedule(
            compaction,
            compaction_cron,
            "Nightly (`LAKEGATE_COMPACTION_CRON`): puts the small files of tables together. Stopping it loses nothing; queries read more files.",
        ),
        _schedule(
            expiry,
            expiry_cron,
            "Nightly (`LAKEGATE_EXPIRY_CRON`): lets go of old states of tables. Stopping it loses nothing; commits become slower, and "
            "files that were replaced stay.",
        ),
    ]


def _schedule(job: Any, cron: str, description: str) -> Any:
    @dg.schedule(
        job=job,
        name=f"{job.name}_schedule",
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        # One at a time, and none that waits for the one of last night.
        set_pool_limits(context.instance, [TABLES_POOL], 1)
        open_runs = context.instance.get_run_records(
            dg.RunsFilter(job_name=job.name, statuses=_OPEN), limit=1, ascending=True
        )
        if open_runs:
            began = open_runs[0].create_timestamp
            return dg.SkipReason(f"a run requested at {began:%Y-%m-%d %H:%M} UTC has not ended yet")
        return dg.RunRequest()

    return schedule
