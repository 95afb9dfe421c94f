"""A staged data file: Parquet that is written, invisible, and ready to be committed. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

__all__ = ["PartitionValue", "StagedFile", "count_nulls"]

PartitionValue = str | int | bool | Decimal | date | None
"""A partition value after its transform, as Iceberg keeps it (day: date, month: months since 1970, bucket: number)."""


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One Parquet file on local disk, named and placed for the table but not yet uploaded.

    `name` is `<batch>-<epoch>-<n>.parquet`; `relative_key` is `<partition>=<value>/…/<name>`, below the table's data
    location. `rows_by_source` counts rows per `_source_version`: it tells who is in the file. `nulls` counts nulls per column.
    """

    path: Path
    name: str
    relative_key: str
    partition: Mapping[str, PartitionValue]
    rows: int
    size_bytes: int
    rows_by_source: Mapping[str, int]
    nulls: Mapping[str, int]


def count_nulls(files: Sequence[StagedFile]) -> dict[str, int]:
    """The nulls of each column in all files, our own columns left out; a file without the column, staged before it was added, holds only nulls."""
    names = dict.fromkeys(name for file in files for name in file.nulls if not name.startswith("_"))
    return {name: sum(file.nulls.get(name, file.rows) for file in files) for name in names}
