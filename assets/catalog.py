"""The definitions of a catalog: what Dagster is told of all datasets of a folder, the broken ones among them."""

import dagster as dg

from assets.neighbours import broken_asset
from assets.tables import build_assets
from pipelines.contracts.loading import DatasetCatalog
from pipelines.links import Links

__all__ = ["dataset_definitions"]


def dataset_definitions(catalog: DatasetCatalog, links: Links) -> dg.Definitions:
    """Assets, checks and jobs of every dataset; a broken dataset becomes one node that says why."""
    built = [build_assets(dataset, links, catalog.files.get(dataset.name)) for dataset in catalog.datasets]
    return dg.Definitions(
        assets=[
            *(b.table for b in built),
            *(spec for b in built for spec in b.neighbours),
            *(broken_asset(broken, links) for broken in catalog.broken),
        ],
        asset_checks=[b.checks for b in built],
        jobs=[b.job for b in built],
    )
