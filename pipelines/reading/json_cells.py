"""From a column's JSON values to its cells: a value's own kind counts, and one of another kind than the column's is a misfit."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from pipelines.contracts.columns import ANY_JSON
from pipelines.contracts.model import Column, ColumnType
from pipelines.reading.csv_blocks import Positions
from pipelines.reading.json_objects import JsonValue, Number, written
from pipelines.reading.row_blocks import Cells

__all__ = ["Taker", "taker"]

_NO_ROWS: Positions = np.empty(0, np.int64)

Taker = Callable[[list[JsonValue]], Cells]


def taker(column: Column) -> Taker:
    """From a scalar column's JSON values to cells: values of another kind than the column's are misfits."""
    match column.kind:
        case ColumnType.STRING if column.format == ANY_JSON:
            return _anything
        case ColumnType.STRING:
            return lambda values: _texts(values, (str,))
        case ColumnType.JSON:
            return _documents
        case ColumnType.BOOLEAN:
            return _booleans
        case ColumnType.INT | ColumnType.BIGINT | ColumnType.FLOAT | ColumnType.DOUBLE:
            return lambda values: _texts(values, (Number,))
        case ColumnType.DECIMAL:
            return lambda values: _texts(values, (Number, str))
        case ColumnType.DATE | ColumnType.TIMESTAMP:
            kinds = tuple({Number if form.startswith("epoch_") else str for form in column.formats})
            return lambda values: _texts(values, kinds)
        case ColumnType.STRUCT | ColumnType.ARRAY | ColumnType.MAP:
            raise ValueError(f"{column.type} is read by json_nested.py")


def _texts(values: list[JsonValue], kinds: tuple[type, ...]) -> Cells:
    wanted = frozenset((*kinds, type(None)))
    if wanted.issuperset(map(type, values)):
        return Cells(pa.array(values, pa.string()), written=lambda row: written(values[row]))
    found = {row: written(value) for row, value in enumerate(values) if type(value) not in wanted}
    texts = [value if type(value) in wanted else None for value in values]
    rows = np.array(list(found), np.int64)
    return Cells(pa.array(texts, pa.string()), None, rows, found, written=lambda row: written(values[row]))


def _booleans(values: list[JsonValue]) -> Cells:
    found = {row: written(value) for row, value in enumerate(values) if value is not None and type(value) is not bool}
    typed = pa.array([value if type(value) is bool else None for value in values], pa.bool_())
    texts = typed.cast(pa.string())
    rows = np.array(list(found), np.int64) if found else _NO_ROWS
    return Cells(texts, typed, rows, found, written=lambda row: written(values[row]))


def _anything(values: list[JsonValue]) -> Cells:
    """A column that was added from files: strings as their text, all else as JSON text."""
    texts = [v if v is None or type(v) is str else written(v) for v in values]
    return Cells(pa.array(texts, pa.string()))


def _documents(values: list[JsonValue]) -> Cells:
    texts = pa.array([None if value is None else written(value) for value in values], pa.string())
    return Cells(texts, texts)
