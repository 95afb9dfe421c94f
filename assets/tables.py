"""From a dataset to its Dagster assets: the table, what stands around it (`neighbours.py`), and the job that ingests.

What a person reads in the UI about an asset's definition is written here; what a run adds is in `materialization.py`.
Dagster resolves annotations at decoration, so this module must not import annotations from the future.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.checks import check_specs
from assets.column_lineage import column_lineage
from assets.columns import column_schema
from assets.freshness import freshness_policy
from assets.keys import landing_key, pool_of, table_key
from assets.launch_form import WhichFiles
from assets.materialization import materialize
from assets.neighbours import Nodes, neighbours, read_more, references_of
from assets.rechecks import recheck
from assets.run_tags import DATASET_TAG
from assets.standing import build_standing_checks, standing_keys
from pipelines.contracts.loading import DatasetFile
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import provenance_fields
from pipelines.links import Links

__all__ = ["MAX_DAYS_PER_RUN", "DatasetAssets", "build_assets"]

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


def build_assets(dataset: Dataset, links: Links, file: DatasetFile | None = None) -> DatasetAssets:
    """Make the assets of one dataset: landing (external) -> table, quarantine and rejected rows.

    `links` and the lines of `file` go into what people read.
    """
    nodes = Nodes(dataset, links, file)
    shared = nodes.shared("table")

    spec = dg.AssetSpec(
        table_key(dataset),
        deps=[landing_key(dataset)],
        description=_description(dataset, links),
        kinds={"iceberg", "parquet"},
        freshness_policy=freshness_policy(dataset),
        metadata={
            "dagster/column_schema": column_schema(dataset),
            "dagster/column_lineage": column_lineage(dataset),
            "dagster/table_name": dataset.table,
            "landing pattern": dataset.landing.key,
            "partitioned by": ", ".join(p.name for p in dataset.partition_by) or "nothing",
            "primary key": ", ".join(dataset.primary_key) or "none",
            **references_of(dataset),
            **nodes.yaml("name"),
        },
        **shared,
    )

    # Of one asset and its checks each may be selected alone: a check executed without the asset looks at the table as it is.
    @dg.multi_asset(
        name=dataset.name,
        specs=[spec],
        partitions_def=spec.partitions_def,
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
        neighbours=neighbours(nodes),
        job=dg.define_asset_job(
            f"ingest_{dataset.name}",
            selection=dg.AssetSelection.assets(table_key(dataset)) - dg.AssetSelection.checks(*standing_keys(dataset)),
            description=f"Reads, checks and publishes the files of `{dataset.name}` that have landed.",
            tags={DATASET_TAG: dataset.name},
        ),
    )


def _description(dataset: Dataset, links: Links) -> str:
    provenance = ", ".join(f"`{f.name}`" for f in provenance_fields())
    return (
        f"{dataset.description}\n\nAn Iceberg table, queried by Athena as `{dataset.table}`. New files come in by themselves, and a file sent again under its "
        f"key replaces its older rows in one transaction. Each row says where it came from ({provenance}).\n\n**To read days again under today's contract, "
        "press Materialize and choose the days**: it is safe to press twice, and while new files arrive. What was wrong with files is on the Checks tab. "
        f"{read_more(links, 'operating.md', 'More on this page', 'in-dagster')}."
    )
