"""Which sources each column of a table has."""

import pytest

from pipelines.contracts.column_sources import SourceKind, column_sources, landing_columns
from pipelines.contracts.evolution import extended
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import table_schema
from tests.ingest.world import dataset

TRIPS = """
name: trips
description: Trips, one file a day.
landing: {key: "landing/trips/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  distance: {type: int, source: distance_mi, aliases: [distance, dist]}
"""
EVENTS = """
name: events
description: Events, nested.
landing: {key: "landing/events/*.json", start: 2026-01-01}
format: {type: json, records: "$.Records[*]", explode: "$.items[*]"}
columns:
  id: {type: string}
  actor: {type: string, path: "$.actor.login"}
  sku: {type: string, path: "$.items[*].sku"}
  place: {type: int, path: "$.items[*]#"}
"""


def names(of: Dataset) -> dict[str, list[str]]:
    return {column: [source.name for source in sources] for column, sources in column_sources(of).items()}


def test_each_column_of_the_table_has_its_spellings_and_key_values_and_what_lakegate_knows_of_the_object() -> None:
    assert names(dataset(TRIPS)) == {
        "day": ["{day}"],
        "id": ["id"],
        "distance": ["distance_mi", "distance", "dist"],
        "_source_file": ["(object key)"],
        "_source_version": ["(object version)"],
        "_source_line": ["(line number)"],
        "_batch_id": [],
        "_ingested_at": [],
    }
    assert list(column_sources(dataset(TRIPS))) == table_schema(dataset(TRIPS)).names


def test_another_name_of_a_column_says_of_which_it_is() -> None:
    [first, *others] = column_sources(dataset(TRIPS))["distance"]
    assert first.preferred is None
    assert [other.preferred for other in others] == ["distance_mi", "distance_mi"]
    assert others[0].words == "A column of the file; another name of distance_mi."


def test_json_has_members_and_paths() -> None:
    found = column_sources(dataset(EVENTS))
    assert [(s.name, s.kind) for of in ("id", "actor", "sku", "place") for s in found[of]] == [
        ("id", SourceKind.MEMBER),
        ("$.actor.login", SourceKind.PATH),
        ("$.items[*].sku", SourceKind.PATH),
        ("$.items[*]#", SourceKind.PATH),
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("{new_columns: rescue}", ["(any other column)"]),
        ("{type_changes: rescue}", ["id", "distance_mi", "distance", "dist"]),
        (
            "{new_columns: rescue, type_changes: widen_or_rescue}",
            ["id", "distance_mi", "distance", "dist", "(any other column)"],
        ),
    ],
)
def test_rescued_values_come_from_what_may_be_rescued(policy: str, expected: list[str]) -> None:
    assert names(dataset(f"{TRIPS}schema: {policy}\n"))["_rescued"] == expected


def test_a_column_that_files_brought_comes_from_the_name_it_has_there_or_its_own() -> None:
    grown = extended(dataset(TRIPS), {"Gate No.": "gate_no"}, {})
    assert names(grown)["gate_no"] == ["Gate No.", "gate_no"]


def test_the_landing_files_have_each_source_once() -> None:
    grown = dataset(f"{TRIPS}schema: {{new_columns: rescue, type_changes: rescue}}\n")
    assert [source.name for source in landing_columns(grown)] == [
        "{day}",
        "id",
        "distance_mi",
        "distance",
        "dist",
        "(any other column)",
        "(object key)",
        "(object version)",
        "(line number)",
    ]
