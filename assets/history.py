"""The job that exports the history: changes of state from the ledger's outbox to the tables `file_history` and `balance_sheet`.

Dagster resolves annotations at decoration: none from the future.
"""

import dagster as dg

from assets.run_tags import SHORT_RUN
from pipelines.gate import Gate
from pipelines.publication.export import export_history as export

__all__ = ["build_history_job"]


def build_history_job() -> dg.JobDefinition:
    """Make the job. Two runs of it at once do no harm; each takes the page that is under way."""

    @dg.op(
        name="export_changes",
        required_resource_keys={"gate"},
        out=dg.Out(dg.Nothing),
        description="Adds what waits in the outbox to `file_history`, and writes the months it touched of `balance_sheet` anew.",
    )
    def export_changes(context: dg.OpExecutionContext) -> None:
        gate: Gate = context.resources.gate.open()
        report = export(gate)
        context.log.info(report.sentence())
        context.add_output_metadata(
            {"changes exported": report.changes, "days written": report.days, "outbox empty": report.is_empty}
        )

    @dg.job(
        name="export_history",
        tags=SHORT_RUN,
        description="Brings every change of state of every file to the table `file_history`, exactly once, and the balance sheet to "
        "`balance_sheet`. It can be stopped, repeated and run twice at once: nothing is lost and nothing is there twice.",
    )
    def export_history() -> None:
        export_changes()

    return export_history
