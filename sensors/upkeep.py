"""When Dagster's own books are tidied. Dagster resolves annotations here: none from the future."""

from typing import Any

import dagster as dg

__all__ = ["build_upkeep_schedule"]


def build_upkeep_schedule(job: Any, cron: str) -> dg.ScheduleDefinition:
    """Make the schedule of the job `upkeep`; `cron` is read as UTC. A run says what it removed on its asset."""
    return dg.ScheduleDefinition(
        name="upkeep_schedule",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Once a day (`LAKEGATE_UPKEEP_CRON`): removes old runs that nothing on Dagster's pages stands on any more. Stopping it "
        "loses nothing; the books grow by about a quarter of a megabyte a run.",
    )
