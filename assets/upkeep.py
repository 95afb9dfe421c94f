"""The asset that keeps Dagster's own books small. Dagster resolves annotations at decoration: none from the future."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets.keys import OPERATIONS
from assets.run_history import Pruned, RunRetention, prune_runs

__all__ = ["RUN_HISTORY", "Upkeep", "build_upkeep"]

RUN_HISTORY = dg.AssetKey(["operations", "run_history"])
_RESUME = "goes on after"
_PAGE = "docs/operating.md, “Dagster's own books”"


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What Dagster is told of upkeep; `job` is what `dg.define_asset_job` makes."""

    asset: dg.AssetsDefinition
    job: Any


def build_upkeep(retention: RunRetention) -> Upkeep:
    """Make the asset and the job that a schedule runs."""

    @dg.asset(
        key=RUN_HISTORY,
        group_name="operations",
        tags=OPERATIONS,
        kinds={"dagster"},
        description="What Dagster remembers of runs. Each run writes some thirty events, and Dagster itself forgets none: this removes runs "
        f"that ended more than {retention.others.days} days ago ({retention.failed.days} days if they failed), with their events, check "
        "results and printed output.\n\n**A run that a page still stands on stays, however old**: the newest materialization of a "
        "partition, the last attempt at one that failed, the newest answer of a check. So no partition loses its colour. Tables, ledger, "
        "quarantine and history are not touched.\n\nRuns daily by `upkeep_schedule`, for ten minutes at most; what it does not come to is "
        "left to the next day. Safe at any time and twice at once.",
    )
    def run_history(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        instance = context.instance
        found = prune_runs(instance, retention, datetime.now(UTC), _resume_after(instance))
        context.log.info(found.sentence())
        return dg.MaterializeResult(metadata=_metadata(found, instance.get_runs_count()))

    return Upkeep(
        run_history,
        dg.define_asset_job(
            "upkeep",
            selection=dg.AssetSelection.assets(RUN_HISTORY),
            description="Removes old runs that nothing on Dagster's pages stands on any more. `upkeep_schedule` runs it daily.",
        ),
    )


def _resume_after(instance: dg.DagsterInstance) -> datetime | None:
    records = instance.fetch_materializations(RUN_HISTORY, limit=1).records
    last = records[0].asset_materialization if records else None
    said = last.metadata.get(_RESUME) if last else None
    return datetime.fromisoformat(str(said.value)) if said is not None else None


def _metadata(found: Pruned, runs: int) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {
        "runs removed": dg.MetadataValue.int(found.removed),
        "failed runs removed": dg.MetadataValue.int(found.removed_failed),
        "old runs kept": dg.MetadataValue.int(found.kept),
        "runs in the books": dg.MetadataValue.int(runs),
        "sentence": dg.MetadataValue.text(found.sentence()),
        "read more": dg.MetadataValue.text(_PAGE),
    }
    if found.resume_after is not None:
        metadata[_RESUME] = dg.MetadataValue.text(found.resume_after.isoformat())
    return metadata
