"""The benchmark's two feeds: their columns in Arrow's words and in SQL's, and their contracts. Imports pyarrow alone, so that each peer's own environment can.

`wide` is the one that everybody tunes on: eighteen columns of all kinds, thirty dates in shuffled order. `letters` is the one that
nobody tuned on: tall and narrow, semicolons, Latin-1, long texts with newlines and doubled quotes in quotes, dates that rise.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

__all__ = ["FEEDS", "LETTERS", "WIDE", "Feed", "feed_of"]

_SQL = {
    pa.int64(): "BIGINT", pa.int32(): "INTEGER", pa.float64(): "DOUBLE", pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ", pa.date32(): "DATE", pa.bool_(): "BOOLEAN", pa.string(): "VARCHAR",
}  # fmt: skip
COUNTRIES = ["DE", "FR", "PL", "ES", "US", "JP", "SE", "IE"]
CHANNELS = ["chat", "mail", "phone", "post"]

_WIDE_COLUMNS = {
    "id": pa.int64(), "customer_id": pa.int32(), "store_id": pa.int32(), "quantity": pa.int32(), "score": pa.float64(),
    "ratio": pa.float64(), "weight": pa.float64(), "price": pa.decimal128(10, 2), "discount": pa.decimal128(6, 4),
    "event_time": pa.timestamp("us"), "updated_at": pa.timestamp("us", tz="UTC"), "event_date": pa.date32(),
    "birth_date": pa.date32(), "active": pa.bool_(), "name": pa.string(), "code": pa.string(), "country": pa.string(),
    "note": pa.string(),
}  # fmt: skip
_LETTERS_COLUMNS = {
    "id": pa.int64(), "sent_on": pa.date32(), "channel": pa.string(), "grade": pa.int32(), "body": pa.string(),
}  # fmt: skip
_WIDE = """\
name: wide
description: The benchmark's wide table.
landing: {{key: "landing/wide/*.{form}", start: 2024-01-01}}
format: {{type: {form}}}
columns:
  id:          {{type: bigint, nullable: false, min: 0}}
  customer_id: {{type: int, nullable: false}}
  store_id:    {{type: int}}
  quantity:    {{type: int, min: 0, max: 1000}}
  score:       {{type: double}}
  ratio:       {{type: double, min: -1, max: 1}}
  weight:      {{type: double}}
  price:       {{type: "decimal(10,2)", min: 0, nullable: false}}
  discount:    {{type: "decimal(6,4)"}}
  event_time:  {{type: timestamp, zone: UTC, nullable: false}}
  updated_at:  {{type: timestamp}}
  event_date:  {{type: date, nullable: false}}
  birth_date:  {{type: date}}
  active:      {{type: boolean}}
  name:        {{type: string, max_length: 60}}
  code:        {{type: string, nullable: false, pattern: "[A-Z]{{2}}[0-9]{{4}}"}}
  country:     {{type: string, allowed: [DE, FR, PL, ES, US, JP, SE, IE]}}
  note:        {{type: string}}
partition_by: [event_date]
primary_key: [id]
"""
_LETTERS = """\
name: letters
description: The benchmark's tall and narrow table of long texts.
landing: {{key: "landing/letters/*.{form}", start: 2024-01-01}}
format: {{type: {form}, delimiter: ";", encoding: latin-1}}
columns:
  id:      {{type: bigint, nullable: false, min: 0}}
  sent_on: {{type: date, nullable: false}}
  channel: {{type: string, nullable: false, allowed: [chat, mail, phone, post]}}
  grade:   {{type: int, min: 1, max: 6}}
  body:    {{type: string, max_length: 4000}}
partition_by: [sent_on]
primary_key: [id]
"""
_ROW_QUARANTINE = "rows: {on_bad: quarantine_rows}\n"


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed: its columns in order, the column it is partitioned by, and how its CSV is written."""

    name: str
    columns: dict[str, pa.DataType]
    partition: str
    delimiter: str
    encoding: str
    contract: str

    @property
    def schema(self) -> pa.Schema:
        """The columns as an Arrow schema."""
        return pa.schema(list(self.columns.items()))

    @property
    def sql_types(self) -> dict[str, str]:
        """The columns' types in DuckDB's words."""
        return {name: _sql(kind) for name, kind in self.columns.items()}

    def contract_for(self, form: str, *, dirty: bool) -> str:
        """The dataset file for a feed in this format; bad rows are rejected one by one where the feed has some."""
        return self.contract.format(form=form) + (_ROW_QUARANTINE if dirty else "")


def _sql(kind: pa.DataType) -> str:
    return f"DECIMAL({kind.precision},{kind.scale})" if pa.types.is_decimal(kind) else _SQL[kind]


WIDE = Feed("wide", _WIDE_COLUMNS, "event_date", ",", "utf-8", _WIDE)
LETTERS = Feed("letters", _LETTERS_COLUMNS, "sent_on", ";", "latin-1", _LETTERS)
FEEDS = {feed.name: feed for feed in (WIDE, LETTERS)}


def feed_of(file: Path) -> Feed:
    """The feed that a benchmark's file holds, by its name: `wide.csv`, `letters.csv`."""
    return FEEDS[file.stem]
