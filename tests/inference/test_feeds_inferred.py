"""Every feed of the shared data: inferred, loaded, and every file of it accepted, with the types a person would choose."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipelines.contracts.loading import parse_dataset
from pipelines.contracts.model import Dataset
from pipelines.intake.routing import key_values
from tests.inference.support import inferred, rows, types
from tests.reading.support import shared

FEEDS = {
    "csse_daily/world/*.csv": 38_060,
    "csse_daily/us/*.csv": 6_224,
    "csse_daily/archived_2020_01/*.csv": 3_039,
    "csse_republished/*/*.csv": 14_667,
    "retail_by_day/*.csv": 46_533,
    "nycflights13/flights/*.csv": 4_509,
    "nycflights13/weather/*.csv": 6_463,
    "flight_summary_csv_and_json/csv/*.csv": 1_502,
    "flight_summary_csv_and_json/json/*.json": 1_502,
    "github_issue_events/*.json": 100,
}


def infer_feed(pattern: str, **told: object) -> tuple[Dataset, str, list[Path]]:
    paths = sorted(shared("feeds").glob(pattern))
    assert paths
    dataset, text = inferred({str(path)[1:]: path for path in paths}, **told)
    return dataset, text, paths


@pytest.mark.parametrize("pattern", FEEDS)
def test_every_file_of_a_feed_is_accepted_under_what_was_inferred(pattern: str) -> None:
    dataset, text, paths = infer_feed(pattern)
    folder = dataset.landing.key.rsplit("/", 1)[0]
    read = sum(len(rows(dataset, p.read_bytes(), key_values(dataset, f"{folder}/{p.name}"))) for p in paths)
    assert read == FEEDS[pattern]
    assert f"{read:,} row" in text


def chosen(pattern: str, columns: str, **told: object) -> dict[str, str]:
    dataset = infer_feed(pattern, **told)[0]
    return {name: kind for name, kind in types(dataset).items() if name in columns.split()}


def test_types_of_the_daily_reports() -> None:
    names = "province_state last_update confirmed fips lat long file_date"
    assert chosen("csse_daily/world/*.csv", names) == {
        "file_date": "date", "province_state": "string", "last_update": "string", "confirmed": "int",
        "fips": "string", "lat": "double", "long": "double",
    }  # fmt: skip


def test_types_of_the_shop() -> None:
    names = "invoiceno stockcode quantity invoicedate unitprice customerid country"
    assert chosen("retail_by_day/*.csv", names, zone="Europe/London") == {
        "invoiceno": "string", "stockcode": "string", "quantity": "int", "invoicedate": "timestamp",
        "unitprice": "decimal(12,3)", "customerid": "decimal(10,1)", "country": "string",
    }  # fmt: skip


def test_na_of_the_flights_is_text_until_told() -> None:
    names = "dep_time carrier time_hour tailnum"
    assert chosen("nycflights13/flights/*.csv", names) == {
        "dep_time": "string", "carrier": "string", "tailnum": "string", "time_hour": "timestamp",
    }  # fmt: skip
    assert chosen("nycflights13/flights/*.csv", names, null_values=("NA",)) == {
        "dep_time": "int", "carrier": "string", "tailnum": "string", "time_hour": "timestamp",
    }  # fmt: skip


def test_the_draft_shown_in_the_how_to_is_that_of_the_flights() -> None:
    page = (Path(__file__).parents[2] / "docs" / "adding-a-dataset.md").read_text("utf-8")
    shown = page.split("```text\n# Proven")[1].split("```")[0].splitlines()[1:]
    text = infer_feed("nycflights13/flights/*.csv")[1].splitlines()
    assert len(shown) > 5
    assert [line for line in shown if line not in text] == []


def test_the_key_of_the_weather_is_found() -> None:
    text = infer_feed("nycflights13/weather/*.csv", null_values=("NA",))[1]
    assert "primary_key: [origin, time_hour]" in text


def test_csv_and_json_of_the_same_rows_give_the_same_types() -> None:
    names = "dest_country_name origin_country_name count file_year"
    assert chosen("flight_summary_csv_and_json/csv/*.csv", names) == chosen(
        "flight_summary_csv_and_json/json/*.json", names
    )


def test_the_struct_suggested_for_the_issue_events_holds_them() -> None:
    dataset, text, (path,) = infer_feed("github_issue_events/*.json")
    suggested = re.findall(r"# CHECK: may be (\{type: .*\}), which fits all of them\n  (\w+): \{type: json\}", text)
    assert {"actor", "rename", "label"} <= {name for _, name in suggested}
    for said, name in suggested:
        text = text.replace(f"  {name}: {{type: json}}", f"  {name}: {said}")
    typed = parse_dataset(text.encode(), Path(f"{dataset.name}.yaml"))
    assert isinstance(typed, Dataset), str(typed)
    read = rows(typed, path.read_bytes())
    renamed = [event["rename"] for event in json.loads(path.read_bytes()) if event.get("rename")]
    assert [row["rename"] for row in read if row["rename"]] == renamed


def test_types_of_the_issue_events() -> None:
    names = "id actor event created_at commit_id"
    assert chosen("github_issue_events/*.json", names) == {
        "id": "bigint", "actor": "json", "event": "string", "commit_id": "string", "created_at": "timestamp",
    }  # fmt: skip
