"""From a dataset to its Dagster assets: the landing prefix, the table, the quarantine, and the job that ingests.

What a person reads in the UI about an asset's definition is written here; what a run adds is in `materialization.py`.
Dagster resolves annotations at decoration, so this module must not import annotations from the future.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.checks import check_specs
from assets.column_lineage import column_lineage, landing_schema
from assets.columns import column_schema
from assets.keys import landing_key, pool_of, quarantine_key, table_key
from assets.launch_form import WhichFiles
from assets.materialization import materialize
from assets.rechecks import recheck
from assets.standing import build_standing_checks, standing_keys
from pipelines.contracts.loading import BrokenDataset
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import provenance_fields
from pipelines.links import Links

__all__ = ["MAX_DAYS_PER_RUN", "DatasetAssets", "broken_asset", "build_assets", "landing_partitions"]

MAX_DAYS_PER_RUN = 31
"""Landing days one run may take, from a sensor or a backfill: a run costs seconds, a day of files milliseconds."""


@dataclass(frozen=True, slots=True)
class DatasetAssets:
    """Everything Dagster is told about one dataset."""

    table: dg.AssetsDefinition
    checks: dg.AssetChecksDefinition
    neighbours: tuple[dg.AssetSpec, ...]
    job: Any
    """What `dg.define_asset_job` makes; Dagster does not export its type."""


def landing_partitions(dataset: Dataset) -> dg.DailyPartitionsDefinition:
    """The dataset's landing days, from its start to today inclusive (UTC)."""
    return dg.DailyPartitionsDefinition(start_date=dataset.landing.start.isoformat(), end_offset=1)


def build_assets(dataset: Dataset, links: Links) -> DatasetAssets:
    """Make the assets of one dataset: landing (external) -> table, and quarantine beside it. `links` go into what people read."""
    partitions = landing_partitions(dataset)
    group = dataset.group or dataset.name
    owners = [dataset.owner] if dataset.owner else None
    tags = {"lakegate/dataset": dataset.name}
    landing = dg.AssetSpec(
        landing_key(dataset),
        description=f"Files that producers put under `{dataset.landing.key}`, one {dataset.format.type.upper()} file or more a day.",
        partitions_def=partitions,
        group_name=group,
        kinds={"s3", "json" if dataset.format.type.startswith("json") else "csv"},
        owners=owners,
        tags=tags,
        metadata={"dagster/column_schema": landing_schema(dataset)},
    )
    quarantine = dg.AssetSpec(
        quarantine_key(dataset),
        deps=[landing_key(dataset)],
        description=f"Files of `{dataset.name}` that broke the contract, unchanged, each with a report that says what to repair. "
        f"Send the corrected file again under the same key ({links.page('what-is-quarantined.md')}).",
        partitions_def=partitions,
        group_name=group,
        kinds={"s3"},
        owners=owners,
        tags=tags,
    )

    spec = dg.AssetSpec(
        table_key(dataset),
        deps=[landing_key(dataset)],
        description=_description(dataset),
        partitions_def=partitions,
        group_name=group,
        kinds={"iceberg", "parquet"},
        owners=owners,
        tags=tags,
        freshness_policy=_freshness(dataset),
        metadata={
            "dagster/column_schema": column_schema(dataset),
            "dagster/column_lineage": column_lineage(dataset),
            "dagster/table_name": dataset.table,
            "landing pattern": dataset.landing.key,
            "partitioned by": ", ".join(p.name for p in dataset.partition_by) or "nothing",
            "primary key": ", ".join(dataset.primary_key) or "none",
        },
    )

    # Of one asset and its checks each may be selected alone: a check executed without the asset looks at the table as it is.
    @dg.multi_asset(
        name=dataset.name,
        specs=[spec],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=MAX_DAYS_PER_RUN),
        can_subset=True,
        check_specs=check_specs(dataset),
        pool=pool_of(dataset),
        required_resource_keys={"gate"},
    )
    def table(
        context: dg.AssetExecutionContext, config: WhichFiles
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        names = {key.name for key in context.selected_asset_check_keys}
        if context.selected_asset_keys:
            yield materialize(context, dataset, config.choice(), names)
        else:
            yield from recheck(context.resources.gate.open(), dataset, names, context.log.info)

    return DatasetAssets(
        table=table,
        checks=build_standing_checks(dataset),
        neighbours=(landing, quarantine),
        job=dg.define_asset_job(
            f"ingest_{dataset.name}",
            selection=dg.AssetSelection.assets(table_key(dataset)) - dg.AssetSelection.checks(*standing_keys(dataset)),
            description=f"Reads, checks and publishes the files of `{dataset.name}` that have landed.",
            tags=tags,
        ),
    )


def _freshness(dataset: Dataset) -> dg.FreshnessPolicy | None:
    """When Dagster calls the table stale: a warning one period after the last file, a failure after two."""
    if dataset.freshness is None:
        return None
    every = dataset.freshness.every
    return dg.FreshnessPolicy.time_window(fail_window=2 * every, warn_window=every)


def broken_asset(broken: BrokenDataset) -> dg.AssetSpec:
    """The node that stands for a dataset whose YAML is wrong: it shows every fault, and takes no other dataset down."""
    faults = "\n".join(f"- `{fault}`" for fault in broken.faults)
    return dg.AssetSpec(
        dg.AssetKey(["broken", broken.path.name]),
        description=f"**{broken.path.name} is wrong and is not loaded.** Its files wait in the ledger; nothing is lost.\n\n{faults}",
        group_name="broken",
        kinds={"yaml"},
    )


def _description(dataset: Dataset) -> str:
    provenance = ", ".join(f"`{f.name}`" for f in provenance_fields())
    return (
        f"{dataset.description}\n\nAn Iceberg table, queried by Athena as `{dataset.table}`. Each row says where it came from "
        f"({provenance}). A file sent again under its key replaces its older rows in one transaction."
    )
