"""Texts that look wrong are read alone; the others keep the values that they would have without them."""

from typing import Any

import pyarrow as pa
import pytest

from pipelines.contracts.model import Column
from pipelines.reading.conversion import Converter
from pipelines.reading.suspects import suspects_of
from pipelines.reading.values import Misfit, value_reader

MANY = 400
COLUMNS: list[tuple[dict[str, Any], list[str], list[str], list[str]]] = [
    ({"type": "int"}, ["1", "-20", "+3"], ["12x", "2.7", "99999999999", "5000000000", "", " 1"], ["2147483647", "0000000001"]),
    ({"type": "bigint"}, ["1", "-20"], ["0x1F", "99999999999999999999", "1e3"], ["9223372036854775807"]),
    ({"type": "double"}, ["1.5", "-2e3", "+4"], ["n/a", "1,5", "", "0x1"], []),
    ({"type": "decimal(6,2)"}, ["1.25", "-3", "+0.5"], ["1.239", "12345.1", "1e2", "1.2.3", ""], ["0000001.25"]),
    ({"type": "boolean"}, ["true", "false"], ["yes", "TRUE ", ""], []),
    ({"type": "date"}, ["2024-02-29", "1999-12-31"], ["2024-02-30", "2024-13-01", "2024-1-05", "20240105", "2024-00-10", ""], []),
    ({"type": "timestamp"}, ["2024-01-05T10:00:00Z", "2024-01-05 10:00:00.25+02:00", "2024-01-05T10:00+01:00"],
     ["2024-01-05 10:00:00", "2024-02-30T10:00:00Z", "2024-01-05T24:00:00Z", "2024-01-05T10:60:00Z", "now", ""], []),
    ({"type": "timestamp", "zone": "Europe/Berlin"}, ["2024-01-05T10:00:00", "2024-07-05 10:00"],
     ["2024-01-05", "2024-02-30T10:00:00", "x"], ["2024-01-05T10:00:00Z"]),
    ({"type": "timestamp", "format": "epoch_s"}, ["0", "1700000000"], ["1.7e9", "soon"], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "good", "bad", "odd"), COLUMNS, ids=lambda v: str(v) if isinstance(v, dict) else ""
)
@pytest.mark.parametrize("has_nulls", [False, True])
@pytest.mark.parametrize("offset", [0, 3])
def test_a_bad_text_is_pointed_at_and_every_other_one_keeps_its_value(
    declared: dict[str, Any], good: list[str], bad: list[str], odd: list[str], has_nulls: bool, offset: int
) -> None:
    column = Column.model_validate(declared)
    read, find = value_reader(column), suspects_of(column)
    assert find is not None
    for wrong in bad:
        texts: list[str | None] = [good[i % len(good)] for i in range(MANY)]
        texts[7], texts[250] = wrong, wrong
        for place, rare in enumerate(odd):
            texts[20 + place] = rare
        if has_nulls:
            texts[3] = texts[399] = None
        array = pa.array(texts, pa.string()).slice(offset)
        assert {7 - offset, 250 - offset} <= set(find(array).tolist()), wrong
        converted = Converter(column).convert(array)
        wanted = [None if text is None else read(text) for text in texts][offset:]
        misfits = sorted(row for rows in converted.misfits.by_kind.values() for row in rows)
        assert misfits == [row for row, value in enumerate(wanted) if isinstance(value, Misfit)]
        plain = [None if isinstance(value, Misfit) else value for value in wanted]
        assert converted.values.equals(pa.array(plain, converted.values.type))


def test_what_does_not_look_wrong_and_is_is_found_all_the_same() -> None:
    column = Column.model_validate({"type": "double"})
    texts = pa.array([*["1.5"] * MANY, "1e400", "x", *["2"] * MANY], pa.string())
    converted = Converter(column).convert(texts)
    assert sorted(row for rows in converted.misfits.by_kind.values() for row in rows) == [MANY, MANY + 1]
    assert converted.values.null_count == 2


def test_a_column_of_long_numbers_is_not_read_one_by_one() -> None:
    find = suspects_of(Column.model_validate({"type": "int"}))
    assert find is not None
    assert find(pa.array(["1700000000"] * MANY + ["12x", "170000000000"], pa.string())).tolist() == [MANY, MANY + 1]
