"""When the history is exported: every five minutes, if anything happened. A thin shell over the core.

Dagster resolves annotations here: none from the future.
"""

from typing import Any

import dagster as dg

from pipelines.gate import Gate

__all__ = ["build_history_schedule"]

_OPEN = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def build_history_schedule(job: Any) -> dg.ScheduleDefinition:
    """Make the schedule of the job `export_history`, as `dg.define_asset_job` makes it. A run costs seconds: none is requested while the outbox is empty."""

    @dg.schedule(
        job=job,
        name="export_history_schedule",
        cron_schedule="*/5 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        required_resource_keys={"gate"},
        description="Every five minutes, if any file changed its state since: adds it to the tables `file_history` and `balance_sheet`. "
        "Stopping it loses nothing: changes wait in the ledger.",
    )
    def export_history_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        gate: Gate = context.resources.gate.open()
        if gate.ledger.outbox.is_empty():
            return dg.SkipReason("no file changed its state since the last export")
        open_runs = context.instance.get_run_records(
            dg.RunsFilter(job_name=job.name, statuses=_OPEN), limit=1, ascending=True
        )
        if open_runs:
            began = open_runs[0].create_timestamp
            return dg.SkipReason(f"an export requested at {began:%H:%M} UTC has not ended yet")
        return dg.RunRequest()

    return export_history_schedule
