"""When the sweep runs by itself. Dagster resolves annotations here: none from the future."""

from typing import Any

import dagster as dg

__all__ = ["build_sweep_schedule"]


def build_sweep_schedule(job: Any, cron: str) -> dg.ScheduleDefinition:
    """Make the schedule of the job `sweep`; `cron` is read as UTC. A run names what it came to on its assets."""
    return dg.ScheduleDefinition(
        name="sweep_schedule",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Once a day (`LAKEGATE_SWEEP_CRON`): compares the landing bucket with the ledger, registers what no event told of, and "
        "proves the balance sheet. Stopping it loses nothing while all events arrive; without it, what no event told of waits unseen.",
    )
