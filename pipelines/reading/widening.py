"""Which wider type holds the numbers that a column's own does not: int to bigint, float to double, decimals with more digits.

Only what Iceberg can make of the column (Iceberg spec, "Schema Evolution"): never another kind of number, never another scale.
"""

from collections.abc import Mapping

import pyarrow as pa

from pipelines.contracts.evolution import WIDER_PRECISIONS, widened
from pipelines.contracts.model import Column, ColumnType, Dataset
from pipelines.reading.conversion import Converter

__all__ = ["Widening", "widenings", "widest_columns"]


class Widening:
    """The wider types of one column, the narrowest first."""

    def __init__(self, dataset: Dataset, name: str) -> None:
        """Compile them. Raises ConfigurationError when the contract cannot be compiled."""
        column = dataset.columns[name]
        self._converters = {kind: Converter(widened(column, kind)) for kind in _wider_types(column)}

    def needed(self, texts: pa.StringArray) -> str | None:
        """The narrowest type that holds all of the texts which the widest holds; None when there is none of these."""
        *_, widest = self._converters.values()
        held = texts.filter(widest.convert(texts).values.is_valid())
        if not len(held):
            return None
        return next(kind for kind, wider in self._converters.items() if not wider.convert(held).misfits.by_kind)


def widenings(dataset: Dataset) -> Mapping[str, Widening]:
    """The columns of the file that the contract lets become wider, and can."""
    return {name: Widening(dataset, name) for name in widest_columns(dataset)}


def widest_columns(dataset: Dataset) -> Mapping[str, Column]:
    """The columns of the file that the contract lets become wider, and can, each with the widest type it can have."""
    if not dataset.schema_.widens:
        return {}
    columns = ((name, dataset.columns[name]) for name in dataset.file_columns)
    return {name: widened(column, kinds[-1]) for name, column in columns if (kinds := _wider_types(column))}


def _wider_types(column: Column) -> tuple[str, ...]:
    match column.kind:
        case ColumnType.INT:
            return ("bigint",)
        case ColumnType.FLOAT:
            return ("double",)
        case ColumnType.DECIMAL:
            digits, scale = column.decimal_digits
            return tuple(f"decimal({wider},{scale})" for wider in WIDER_PRECISIONS if wider > digits)
        case _:
            return ()
