"""The names by which Dagster knows a dataset's assets, and the run tags Lakegate sets. One place, because people type them."""

import dagster as dg

from pipelines.contracts.model import Dataset

__all__ = ["LAUNCH_TAG", "TRIGGER_TAG", "landing_key", "quarantine_key", "table_key"]

LAUNCH_TAG = "lakegate/launch"
"""Names the group of batches a run was requested for; the ledger holds the membership."""
TRIGGER_TAG = "lakegate/trigger"
"""What made the run start: event, backfill, replay or sweep."""


def landing_key(dataset: Dataset) -> dg.AssetKey:
    """The files as they land."""
    return dg.AssetKey(["landing", dataset.name])


def table_key(dataset: Dataset) -> dg.AssetKey:
    """The table."""
    return dg.AssetKey([dataset.name])


def quarantine_key(dataset: Dataset) -> dg.AssetKey:
    """The files that broke the contract."""
    return dg.AssetKey(["quarantine", dataset.name])
