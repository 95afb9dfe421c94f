"""The history as an asset: changes of state go from the ledger's outbox to the tables `file_history` and `balance_sheet`.

Dagster resolves annotations at decoration: none from the future.
"""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.keys import OPERATIONS
from assets.run_tags import SHORT_RUN
from pipelines.gate import Gate
from pipelines.publication.export import export_history

__all__ = ["FILE_HISTORY", "History", "build_history"]

FILE_HISTORY = dg.AssetKey(["operations", "file_history"])


@dataclass(frozen=True, slots=True)
class History:
    """What Dagster is told of the history; `job` is what `dg.define_asset_job` makes."""

    table: dg.AssetsDefinition
    job: Any


def build_history() -> History:
    """Make the asset and its job. Two runs of it at once do no harm; each takes the page that is under way."""

    @dg.asset(
        key=FILE_HISTORY,
        group_name="operations",
        tags=OPERATIONS,
        kinds={"iceberg", "parquet"},
        required_resource_keys={"gate"},
        metadata={"dagster/table_name": "file_history", "tables": "file_history, balance_sheet"},
        description="Every change of state of every file, exactly once, as a table for Athena: `file_history`. Beside it `balance_sheet`, the counts by dataset and "
        "day. Both are read with SQL where a page of Dagster is not enough (columns: docs/reference/system-tables.md).\n\nWritten every five minutes by "
        "`export_history_schedule`, if anything happened. **Press Materialize to have the latest now.** It can be stopped, repeated and run twice at "
        "once: nothing is lost and nothing is there twice.",
    )
    def file_history(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        gate: Gate = context.resources.gate.open()
        report = export_history(gate)
        context.log.info(report.sentence())
        return dg.MaterializeResult(
            metadata={
                "changes exported": report.changes,
                "days written": report.days,
                "outbox empty": gate.ledger.outbox.is_empty(),
                "sentence": report.sentence(),
            }
        )

    return History(
        table=file_history,
        job=dg.define_asset_job(
            "export_history",
            selection=dg.AssetSelection.assets(FILE_HISTORY),
            tags=SHORT_RUN,
            description="Brings every change of state of every file to the table `file_history`, exactly once, and the counts to "
            "`balance_sheet`. `export_history_schedule` runs it every five minutes, if anything happened.",
        ),
    )
