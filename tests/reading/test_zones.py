"""Local times become the instants that Python's zone rules name, in every year, or are refused."""

from __future__ import annotations

import random
from datetime import datetime

import pyarrow as pa
import pytest

from pipelines.contracts.model import Column
from pipelines.reading.conversion import Converter
from pipelines.reading.values import Misfit, value_reader

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "Europe/Dublin",
         "America/Sao_Paulo", "Asia/Tehran", "Pacific/Apia", "Africa/Cairo", "America/Nuuk", "Antarctica/Troll"]  # fmt: skip
YEARS = [1, 1582, 1883, 1899, 1900, 1916, 1945, *range(1969, 2041), 2050, 2100, 2400, 9999]


@pytest.mark.parametrize("zone", ZONES)
def test_whole_columns_are_converted_as_single_values_are(zone: str) -> None:
    rng = random.Random(zone)
    column = Column(type="timestamp", zone=zone)
    read, converter = value_reader(column), Converter(column)
    moments = [
        datetime(rng.choice(YEARS), rng.randrange(1, 13), rng.randrange(1, 29), rng.randrange(24), rng.choice([0, 30]))  # noqa: DTZ001 - local times
        for _ in range(600)
    ]
    texts = [moment.isoformat() for moment in moments]
    values = [read(text) for text in texts]
    expected = pa.array([None if isinstance(v, Misfit) else v for v in values], pa.timestamp("us", "UTC"))
    converted = converter.convert(pa.array(texts))
    assert converted.values.equals(expected)
    misfits = sorted(row for rows in converted.misfits.by_kind.values() for row in rows)
    assert misfits == [row for row, value in enumerate(values) if isinstance(value, Misfit)]
    good = [text for text, value in zip(texts, values, strict=True) if not isinstance(value, Misfit)]
    proven = converter.prove(pa.array([*good, None]))
    assert proven is not None, "no text of a good column needs to be read alone"
    assert proven.equals(pa.array([*(read(text) for text in good), None], pa.timestamp("us", "UTC")))
