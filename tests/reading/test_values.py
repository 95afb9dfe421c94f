"""The vectorised conversion says of every text what the value-by-value reference says."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contracts.model import Column
from pipelines.reading.conversion import Converter
from pipelines.reading.values import Misfit, value_reader

DIGITS = st.text("0123456789", min_size=1, max_size=22)
NUMBERS = st.from_regex(r"\A[+-]?[0-9]{0,40}(\.[0-9]{0,42})?([eE][+-]?[0-9]{1,12})?\Z")
DATES = st.from_regex(r"\A[0-9]{4}-[01][0-9]-[0-3][0-9]\Z")
TIMES = st.from_regex(
    r"\A(0000|0001|19[0-9]{2}|20[0-9]{2}|9999)-(0[1-9]|1[0-2])-[0-3][0-9]([T ][0-2][0-9](:?[0-5][0-9](:[0-6][0-9](\.[0-9]{1,8})?)?)?)?"
    r"(Z|z|[+-][0-2][0-9](:?[0-6][0-9])?)?\Z"
)
ODD = st.sampled_from(
    ["", " 1", "1 ", "0x1F", "inf", "-inf", "NaN", "nan", "Infinity", "1_0", "١", "1.", ".5", "-", "+", ".", "1e", "1d", "true",
     "1e-999999999", "1" * 500, "1." + "1" * 500, "0." + "0" * 400 + "1", "1e400", "1e-400", "1e39", "-1e-46", "3.4028235677973366e38", "3.4028235677973367e38", "1e-45", "0e999999999999", "-0", "+0.0",
     "2024-02-30", "2024-1-1", "2024-01-01T24:00:00Z", "2024-01-01T05+01", "\x00", "1\x00"]
)  # fmt: skip
COLUMNS = [
    {"type": "int"},
    {"type": "bigint"},
    {"type": "float"},
    {"type": "double"},
    {"type": "decimal(10,2)"},
    {"type": "decimal(38,0)"},
    {"type": "decimal(38,38)"},
    {"type": "decimal(38,10)"},
    {"type": "date"},
    {"type": "timestamp"},
    {"type": "timestamp", "zone": "UTC"},
    {"type": "timestamp", "zone": "America/New_York"},
    {"type": "timestamp", "format": "epoch_ms"},
    {"type": "timestamp", "format": "epoch_s"},
    {"type": "boolean", "true_values": ["1", "true"], "false_values": ["0", "inf"]},
]


@pytest.mark.parametrize("said", COLUMNS, ids=lambda c: "-".join(map(str, c.values())))
@settings(max_examples=120, deadline=None)
@given(texts=st.lists(st.one_of(DIGITS, NUMBERS, DATES, TIMES, ODD, st.none()), min_size=1, max_size=120))
def test_whole_columns_are_converted_as_single_values_are(said: dict[str, Any], texts: list[str | None]) -> None:
    column = Column.model_validate(said)
    one = value_reader(column)
    converted = Converter(column).convert(pa.array(texts, pa.string()))
    converted.values.validate(full=True)
    misfits = {row: kind for kind, rows in converted.misfits.by_kind.items() for row in rows}
    for row, text in enumerate(texts):
        value = None if text is None else one(text)
        if isinstance(value, Misfit):
            assert misfits[row] == value, text
            assert converted.values[row].as_py() is None
        else:
            assert row not in misfits, text
            assert converted.values[row].as_py() == value, text


@pytest.mark.parametrize("said", COLUMNS, ids=lambda c: "-".join(map(str, c.values())))
@settings(max_examples=200, deadline=None)
@given(text=st.one_of(DIGITS, NUMBERS, DATES, TIMES, ODD))
def test_one_text_alone_is_converted_as_the_reference_does(said: dict[str, Any], text: str) -> None:
    column = Column.model_validate(said)
    value = value_reader(column)(text)
    converted = Converter(column).convert(pa.array([text], pa.string()))
    assert bool(converted.misfits.by_kind) is isinstance(value, Misfit)
    assert converted.values[0].as_py() == (None if isinstance(value, Misfit) else value)


FLOAT = value_reader(Column.model_validate({"type": "float"}))


@settings(max_examples=500, deadline=None)
@given(
    bits=st.integers(1, 0x7F7F_FFFE),
    sign=st.sampled_from(["", "-"]),
    nudge=st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(1, 3), Fraction(2, 3)]),
    hair=st.integers(-1, 1),
)
def test_a_float_is_the_nearest_of_the_two_around_it(bits: int, sign: str, nudge: Fraction, hair: int) -> None:
    """Texts at, and a hair beside, the middle of two floats: where rounding to a double first goes the wrong way."""
    low, high = (Fraction(float(np.uint32(b).view(np.float32))) for b in (bits, bits + 1))
    exact = low + (high - low) * nudge + hair * (high - low) / 10**30
    digits = 230
    scaled = round(exact * 10**digits)
    text = f"{sign}{scaled // 10**digits}.{scaled % 10**digits:0{digits}}"
    value = FLOAT(text)
    assert isinstance(value, float)
    distance = {Fraction(abs(value)): abs(Fraction(scaled, 10**digits) - Fraction(abs(value)))}
    best = min(abs(Fraction(scaled, 10**digits) - end) for end in (low, high))
    assert distance[Fraction(abs(value))] == best
    assert Converter(Column.model_validate({"type": "float"})).convert(pa.array([text])).values[0].as_py() == value
