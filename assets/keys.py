"""The names by which Dagster knows a dataset's assets, the run tags Lakegate sets, and how numbers are said beside them.

One place, because people type and read them. The graph shows only the last part of a key, so that part alone says what the
node is; the prefix keeps it from ever being the name of another dataset's table.
"""

from collections.abc import Mapping

import dagster as dg

from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import rejected_dataset

__all__ = [
    "LANE_TAG",
    "LAUNCH_TAG",
    "OPERATIONS",
    "TABLES_POOL",
    "TRIGGER_TAG",
    "counted",
    "landing_key",
    "pool_of",
    "quarantine_key",
    "rejected_key",
    "table_key",
]

LAUNCH_TAG = "lakegate/launch"
"""Names the group of batches a run was requested for; the ledger holds the membership."""
LANE_TAG = "lakegate/lane"
"""Where its files stand: `fresh`, or `backlog`, which has no more than its share of the places (`dagster.yaml`)."""
TRIGGER_TAG = "lakegate/trigger"
"""What made the run start: event, backfill, replay or sweep."""

OPERATIONS: Mapping[str, str] = {"lakegate/part": "operations"}
"""The tags of assets that belong to no dataset. Those of datasets say landing, table, quarantine or rejected."""


TABLES_POOL = "table_files"
"""The pool of upkeep that writes to tables: one run at a time."""


def landing_key(dataset: Dataset) -> dg.AssetKey:
    """The files as they land."""
    return dg.AssetKey(["landing", f"{dataset.name}_landing"])


def table_key(dataset: Dataset) -> dg.AssetKey:
    """The table."""
    return dg.AssetKey([dataset.name])


def quarantine_key(dataset: Dataset) -> dg.AssetKey:
    """The files that broke the contract."""
    return dg.AssetKey(["quarantine", f"{dataset.name}_quarantine"])


def rejected_key(dataset: Dataset) -> dg.AssetKey:
    """The rows that broke the contract; the last part is the name of their table."""
    return dg.AssetKey(["rejected", rejected_dataset(dataset).table])


def pool_of(dataset: Dataset) -> str:
    """The pool that says how many runs may work on the dataset at a time."""
    return f"write_{dataset.name}"


def counted(number: int, what: str) -> str:
    """A number of things as a person says it: `1 file`, `2 batches`."""
    plural = f"{what}es" if what.endswith("ch") else f"{what}s"
    return f"{number:,} {what if number == 1 else plural}"
