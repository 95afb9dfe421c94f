"""The table beside a dataset's own: where its rejected rows go, described as a dataset like any other.

A dataset has one when it says `rows: {on_bad: quarantine_rows}`. Nobody writes such a dataset by hand: the loader refuses names
that end as these do.
"""

import pyarrow as pa

from pipelines.contracts.model import BadRowLimit, Dataset, OnBad
from pipelines.contracts.schema import SOURCE_LINE

__all__ = [
    "LANDING_DAY",
    "MAX_REJECTED_ROWS",
    "REJECTED_READING",
    "REJECTED_SUFFIX",
    "bad_row_limit",
    "main_table",
    "rejected_dataset",
    "tables_of",
]

REJECTED_SUFFIX = "__rejected"
LANDING_DAY = "landing_day"
MAX_REJECTED_ROWS = 1_000_000
"""Rows of one file that may be rejected one by one, whatever its contract says: beyond that the file itself is wrong."""
_DEFAULT_LIMIT = BadRowLimit.parse("10%")

REJECTED_READING: pa.Schema = pa.schema(
    [
        pa.field("raw", pa.string(), nullable=False),
        pa.field("rules", pa.string(), nullable=False),
        pa.field("reasons", pa.string(), nullable=False),
        pa.field(SOURCE_LINE, pa.int64(), nullable=False),
    ]
)
"""What the reader says of a bad row: its text, the codes of the rules it breaks, and each reason with what was found and expected."""


def bad_row_limit(dataset: Dataset) -> BadRowLimit | None:
    """How many rows of a file may be rejected before the file is; None where one bad row rejects its file."""
    if dataset.rows.on_bad is not OnBad.QUARANTINE_ROWS:
        return None
    return dataset.rows.bad_row_limit or _DEFAULT_LIMIT


def rejected_dataset(dataset: Dataset) -> Dataset:
    """The table of a dataset's rejected rows, partitioned by landing day."""
    text = {"type": "string", "nullable": False}
    return Dataset.model_validate(
        {
            "name": f"{dataset.name}{REJECTED_SUFFIX}",
            "description": f"Rows that were not loaded into {dataset.table}, as they stand in their files, with the reasons.",
            "owner": dataset.owner,
            "landing": dataset.landing.model_dump(),
            "format": {"type": "jsonl"},
            "columns": {
                LANDING_DAY: {"type": "date", "nullable": False, "description": "The landing day of the row's file."},
                "raw": {**text, "description": "The record as it stands in the file, at most 65,536 characters."},
                "rules": {**text, "description": "The codes of the rules it breaks, parted by commas."},
                "reasons": {
                    **text,
                    "description": "A JSON list: rule, column, found and expected of each breach, and what more there is to say.",
                },
            },
            "partition_by": [LANDING_DAY],
        }
    )


def main_table(table: str) -> str | None:
    """The table that rejected rows in `table` were meant for; None when `table` holds no rejected rows."""
    return table.removesuffix(REJECTED_SUFFIX) if table.endswith(REJECTED_SUFFIX) else None


def tables_of(dataset: Dataset) -> tuple[Dataset, ...]:
    """The dataset, and the table beside it if it has one."""
    return (dataset,) if bad_row_limit(dataset) is None else (dataset, rejected_dataset(dataset))
