"""All eras of the daily reports, through the whole gate into one table: every row and every number of the sources, once."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from resources.folder import folder_tables
from tests.ingest.world import World, dataset
from tests.reading.support import shared

PAGE = Path(__file__).resolve().parents[2] / "docs" / "schema-evolution.md"
REPORTS = PAGE.read_text("utf-8").split("```yaml\n")[1].split("```")[0]
"""The page's own example: what a user would write."""
SUMMED = (
    "Confirmed",
    "Deaths",
    "Recovered",
    "Active",
    "People_Tested",
    "People_Hospitalized",
    "Suspected",
    "ConfnSusp",
)
ADDED = {
    "Admin2": "admin2",
    "Case-Fatality_Ratio": "case_fatality_ratio",
    "Combined_Key": "combined_key",
    "ConfnSusp": "confnsusp",
    "FIPS": "fips",
    "Hospitalization_Rate": "hospitalization_rate",
    "ISO3": "iso3",
    "Incidence_Rate": "incidence_rate",
    "Incident_Rate": "incident_rate",
    "Mortality_Rate": "mortality_rate",
    "Notes": "notes",
    "People_Hospitalized": "people_hospitalized",
    "People_Tested": "people_tested",
    "Suspected": "suspected",
    "Testing_Rate": "testing_rate",
}
ERAS = ("archived_2020_01", "world", "us")


def records(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as source:
        yield from csv.DictReader(source, strict=True)


def sums_of_sources(paths: list[Path]) -> tuple[int, dict[str, Decimal], Counter[str]]:
    """Rows, the sum of each summed column, and the texts of the columns that were added, by Python's csv module."""
    rows, sums, texts = 0, dict.fromkeys(SUMMED, Decimal(0)), Counter[str]()
    for path in paths:
        for record in records(path):
            rows += 1
            for name in SUMMED:
                sums[name] += Decimal(record.get(name) or 0)
            texts.update(f"{name}={record[name]}" for name in ADDED if record.get(name))
    return rows, sums, texts


def sums_of_table(table: pa.Table) -> tuple[int, dict[str, Decimal], Counter[str]]:
    sums: dict[str, Decimal] = {}
    for name in SUMMED:
        values = table[name.lower()].to_pylist() if name.lower() in table.column_names else []
        sums[name] = sum((Decimal(str(v)) for v in values if v is not None), Decimal(0))
    texts = Counter[str]()
    for name, column in ADDED.items():
        if column in table.column_names:
            texts.update(f"{name}={v}" for v in table[column].to_pylist() if v is not None)
    return table.num_rows, sums, texts


def table_of(world: World) -> pa.Table:
    return world.tables.load(world.datasets[0]).scan().to_arrow()


def land(world: World, feed: str, paths: list[Path]) -> None:
    for path in paths:
        world.put(f"landing/csse/{feed}/{path.name}", path.read_bytes())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tables=folder_tables(tmp_path / "lake"), datasets=(dataset(REPORTS),))


def test_all_eras_are_in_one_table_with_the_sources_rows_and_sums(world: World) -> None:
    everything: list[Path] = []
    for feed in ERAS:
        paths = sorted(shared(f"feeds/csse_daily/{feed}").glob("*.csv"))
        everything += paths
        land(world, feed, paths)
        reports = world.settle_down()
        assert all(report.reconciled for report in reports)
    assert len(everything) == 226
    assert set(world.outcomes().values()) == {"loaded"}
    table = table_of(world)
    assert sums_of_table(table) == sums_of_sources(everything)
    assert set(ADDED.values()) <= set(table.column_names)
    world.assert_balanced()
    # One day wrote its ids with a point: they are no whole numbers, and kept as they are.
    rescued = [row for row in table.to_pylist() if row["_rescued"] is not None]
    assert len(rescued) == 58
    assert {row["_source_file"] for row in rescued} == {"landing/csse/us/06-29-2020.csv"}
    assert {row["uid"] for row in rescued} == {None}
    days = {row["_source_file"].rpartition("/")[2][:10]: row["report_date"] for row in table.to_pylist()}
    assert {f"{day:%m-%d-%Y}" for day in days.values()} == set(days)


def test_a_day_published_again_replaces_its_rows_exactly(world: World) -> None:
    """The same keys again and again with other bytes, once with another header."""
    published = {
        day.name: sorted(day.glob("v*.csv"))
        for day in sorted(shared("feeds/csse_republished").iterdir())
        if day.is_dir()
    }
    neighbours = [
        path for path in sorted(shared("feeds/csse_daily/world").glob("03-*.csv")) if path.stem not in published
    ][:3]
    land(world, "world", neighbours)
    world.settle_down()
    for turn in range(max(map(len, published.values()))):
        for day, versions in published.items():
            if turn < len(versions):
                world.put(f"landing/csse/world/{day}.csv", versions[turn].read_bytes())
        world.settle_down()
        serving = [versions[min(turn, len(versions) - 1)] for versions in published.values()]
        assert sums_of_table(table_of(world)) == sums_of_sources([*neighbours, *serving])
    world.assert_balanced()
