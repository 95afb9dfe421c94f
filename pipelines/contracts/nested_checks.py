"""What can be wrong with nested columns, which JSON files alone can fill. Part of `checks.py`."""

from collections.abc import Iterator

from pipelines.contracts.faults import Problem, Sound
from pipelines.contracts.model import CsvFormat, Dataset
from pipelines.contracts.nested_types import NESTED

__all__ = ["check_nested"]


def check_nested(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    """The problems of nested types."""
    is_csv = isinstance(dataset.format, CsvFormat) and sound("format", "type")
    for name, column in dataset.columns.items():
        if is_csv and column.kind in NESTED and column.from_ is None and sound("columns", name, "type"):
            yield Problem(
                ("columns", name, "type"),
                f"{column.type} with format {dataset.format.type}",
                "a nested type only with json and jsonl",
                "make the column json, which keeps JSON text of a CSV cell as it is",
            )
