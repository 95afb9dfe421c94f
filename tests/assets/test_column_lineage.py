"""Column lineage, as Dagster has it and as a person reads it."""

from collections.abc import Sequence

import dagster as dg

from assets.column_lineage import column_lineage, landing_schema
from assets.columns import column_schema
from assets.tables import build_assets
from pipelines.contracts.evolution import extended
from pipelines.links import Links
from tests.ingest.world import dataset

TRIPS = """
name: trips
description: Trips, one file a day.
landing: {key: "landing/trips/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  distance: {type: int, source: distance_mi, aliases: [dist], description: Miles.}
"""
EVENTS = """
name: events
description: Events, nested.
landing: {key: "landing/events/*.json", start: 2026-01-01}
format: {type: json}
columns:
  id: {type: string}
  actor: {type: string, path: "$.actor.login"}
"""
LANDING = dg.AssetKey(["landing", "trips_landing"])


def names(deps: Sequence[dg.TableColumnDep]) -> list[str]:
    return [dep.column_name for dep in deps]


def test_every_column_that_has_a_source_leads_to_columns_that_the_landing_files_show() -> None:
    for text in (TRIPS, EVENTS):
        of = dataset(text)
        shown = {column.name for column in landing_schema(of).columns}
        lineage = column_lineage(of).deps_by_column
        assert {name for deps in lineage.values() for name in names(deps)} == shown
        assert set(lineage) == {c.name for c in column_schema(of).columns} - {"_batch_id", "_ingested_at"}


def test_a_run_tells_the_names_that_its_files_had() -> None:
    by_contract = column_lineage(dataset(TRIPS)).deps_by_column
    assert names(by_contract["distance"]) == ["dist", "distance", "distance_mi"]
    assert {dep.asset_key for dep in by_contract["distance"]} == {LANDING}
    found = column_lineage(dataset(TRIPS), {"distance": ("Dist",)}).deps_by_column
    assert (names(found["distance"]), names(found["id"])) == (["Dist"], ["id"])


def test_names_that_strangers_chose_cannot_break_the_page_nor_the_lineage() -> None:
    hostile = "a\x1b[31m|<b>*x*"
    grown = extended(dataset(TRIPS), {hostile: "a_31m_b_x"}, {})
    [column] = [c for c in landing_schema(grown).columns if "31m" in c.name and c.name != "a_31m_b_x"]
    assert column.name == "a\\x1b[31m|<b>*x*"
    # Two names that look alike when they can be printed are one.
    found = column_lineage(dataset(TRIPS), {"id": ("a\x1b", "a\\x1b")}).deps_by_column
    assert names(found["id"]) == ["a\\x1b"]


def test_a_column_says_in_words_where_its_values_come_from() -> None:
    said = {column.name: column.description for column in column_schema(dataset(TRIPS)).columns}
    assert said["day"] == "From the object's key."
    assert said["id"] is None
    assert said["distance"] == "Miles. From `distance_mi`, or else `distance`, `dist`."
    assert column_schema(dataset(EVENTS)).columns[1].description == "From `$.actor.login`."


def test_the_assets_carry_both() -> None:
    built = build_assets(dataset(TRIPS), Links())
    [landing] = [spec for spec in built.neighbours if spec.key == LANDING]
    assert landing.metadata["dagster/column_schema"] == landing_schema(dataset(TRIPS))
    [table] = list(built.table.specs)
    assert table.metadata["dagster/column_lineage"] == column_lineage(dataset(TRIPS))
