"""Whatever table is inferred from, every cell read back means what its text said: no silent change, whatever the type."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contracts.model import Column, ColumnType
from tests.inference.support import inferred, rows

_INTS = st.integers(-(10**22), 10**22).map(str)
_CELLS = st.one_of(
    st.lists(st.integers(-1000, 1000).map(str), min_size=1),
    st.lists(_INTS, min_size=1),
    st.lists(st.decimals(-(10**6), 10**6, places=2).map(str), min_size=1),
    st.lists(st.floats(allow_nan=False, allow_infinity=False).map(repr), min_size=1),
    st.lists(st.from_regex(r"[+-]?[0-9]{0,20}\.?[0-9]{0,20}([eE][+-]?[0-9]{1,3})?", fullmatch=True), min_size=1),
    st.lists(st.dates(date(1000, 1, 1)).map(str), min_size=1),
    st.lists(st.dates(date(1000, 1, 1)).map(lambda d: f"{d.month}/{d.day}/{d.year}"), min_size=1),
    st.lists(st.dates(date(1000, 1, 1)).map(lambda d: d.strftime("%d.%m.%Y %H:%M")), min_size=1),
    st.lists(st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC)).map(lambda t: t.isoformat()), min_size=1),  # noqa: DTZ001
    st.lists(st.sampled_from(["true", "false", "TRUE", "", "NA", "Y", "n", "0", "1"]), min_size=1),
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), min_size=1),
)


def means(value: Any, text: str, column: Column) -> bool:
    """Whether the typed value says what the text says."""
    match column.kind:
        case ColumnType.STRING:
            return value == text or (value is None and not text)
        case _ if value is None:
            return not text
        case ColumnType.INT | ColumnType.BIGINT:
            return str(value) == text
        case ColumnType.DECIMAL:
            return value == Decimal(text)
        case ColumnType.DOUBLE:
            return Decimal(text) in (Decimal(value), Decimal(repr(value))) and (str(value)[0] == "-") == (
                text[0] == "-"
            )
        case ColumnType.BOOLEAN:
            return value is (text.lower() == "true")
        case ColumnType.DATE:
            return value == (_strptime(text, column).date() if column.format else date.fromisoformat(text))
        case ColumnType.TIMESTAMP:
            read = _strptime(text, column).replace(tzinfo=UTC) if column.format else datetime.fromisoformat(text)
            return value == read
        case _:
            return False


def _strptime(text: str, column: Column) -> datetime:
    assert isinstance(column.format, str)
    return datetime.strptime(text, column.format)  # noqa: DTZ007 - the zone is put on where there is one


@settings(max_examples=150, deadline=None)
@given(columns=st.lists(_CELLS, min_size=1, max_size=4), blank=st.booleans())
def test_every_cell_means_what_its_text_said(columns: list[list[str]], blank: bool) -> None:
    height = max(map(len, columns))
    cells = [column + [column[-1] if not blank else ""] * (height - len(column)) for column in columns]
    table = [[f"c{i}" for i in range(len(cells))] + ["last"], *([*row, "z"] for row in zip(*cells, strict=True))]
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_MINIMAL).writerows(table)
    content = written.getvalue().encode()
    dataset, _ = inferred({"rows.csv": content}, zone="UTC", delimiter=",")
    read = rows(dataset, content)
    assert len(read) == height
    for row, record in zip(read, zip(*cells, strict=True), strict=True):
        for position, text in enumerate(record):
            name = f"c{position}"
            assert means(row[name], text, dataset.columns[name]), (row[name], text, dataset.columns[name].type)
