"""The page that lists a materialization's metadata, held against what materializations tell."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from assets.day_metadata import day_metadata
from lakegate.settings import repository_root
from pipelines.ports import Committed
from pipelines.publication.row_changes import RowChanges
from pipelines.reports import BatchReport, FileEnding, FileReport, Stage
from tests.assets.stage import DEPARTURES, staged
from tests.assets.test_materialization import as_request
from tests.ingest.world import World, dataset

PAGE = Path(repository_root()) / "docs" / "what-a-materialization-tells.md"
DAY = "2024-02-01"
GROWING = DEPARTURES + "schema: {new_columns: add, missing_columns: allow, type_changes: widen_or_rescue}\n"

COUNTED = {"rows", "files", "bytes", "seconds", "percent", "values", "partitions"}


def listed() -> dict[str, str]:
    """The page's names with their units."""
    return dict(re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE))


def told() -> dict[str, Any]:
    """Everything that a materialization may tell: of a run in Dagster, and of reports that it would take several runs to make."""
    with dg.DagsterInstance.ephemeral() as instance, staged(instance, GROWING) as stage:
        stage.world.put(f"landing/departures/{DAY}/a.csv", b"Flight,origin,Gate,delay\n5000000000,EWR,A7,soon\n")
        [launch] = stage.planned()
        assert stage.run_request(as_request(launch)).success
        [record] = instance.fetch_materializations(dg.AssetKey("departures"), limit=1).records
        assert record.asset_materialization is not None
        of_run = dict(record.asset_materialization.metadata)
    changed = FileReport("a", "v", 1, FileEnding.LOADED, changes=RowChanges(("v0",), 1, 1, 1, 1, 1, 1), delimiter=";")
    report = BatchReport(
        "departures",
        date(2024, 2, 1),
        "b",
        "replay",
        (changed,),
        Committed(1, 1, 1, 1, 0),
        seconds=dict.fromkeys(Stage, 1.0),
    )
    uncompared = BatchReport("departures", date(2024, 2, 1), "b", "replay", (FileReport("b", "v", 1, FileEnding.LOADED, changes=RowChanges(("v0",), 1, 1)),), None)  # fmt: skip
    gate, of = World().gate(), dataset(GROWING)
    return of_run | day_metadata(gate, of, [report, uncompared], 1) | day_metadata(gate, of, [], 0)


def test_the_page_lists_every_name_with_its_unit_and_no_other() -> None:
    found = told()
    units = listed()
    assert sorted(found) == sorted(units)
    numbers = {name for name, value in found.items() if isinstance(value.value, int | float)}
    assert numbers == {name for name, unit in units.items() if unit in COUNTED}
