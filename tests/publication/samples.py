"""Datasets, rows and object versions for the tests of publication: small, and different in every value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import reading_schema
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.ports import SourceVersion
from pipelines.publication.staged import StagedFile
from pipelines.publication.staging import Staging

INGESTED_AT = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
COLUMNS = {
    "day": {"type": "date"},
    "id": {"type": "bigint"},
    "carrier": {"type": "string"},
    "price": {"type": "decimal(10,2)"},
    "weight": {"type": "decimal(30,5)"},
    "at": {"type": "timestamp"},
    "ok": {"type": "boolean"},
    "score": {"type": "double"},
    "share": {"type": "float"},
    "stops": {"type": "int"},
    "extra": {"type": "json"},
    "actor": {"type": "struct<login: string, since: date>"},
    "labels": {"type": "array<struct<name: string, tags: array<int>>>"},
    "counts": {"type": "map<string, decimal(5,2)>"},
}


def dataset(
    name: str = "flights",
    partition_by: Sequence[str] = ("day",),
    columns: Mapping[str, Mapping[str, Any]] = COLUMNS,
    **more: Any,
) -> Dataset:
    return Dataset.model_validate(
        {
            "name": name,
            "description": "Flights, for tests.",
            "landing": {"key": f"landing/{name}/*.json", "start": "2024-01-01"},
            "format": {"type": "json"},
            "columns": columns,
            "partition_by": list(partition_by),
            **more,
        }
    )


def row(number: int, day: date = date(2024, 1, 1), **values: Any) -> dict[str, Any]:
    return {
        "day": day,
        "id": number,
        "carrier": ["UA", "größe", "a/b=c"][number % 3],
        "price": Decimal(number) / 4,
        "weight": None if number % 5 == 0 else Decimal(f"{number}.12345"),
        "at": datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=number, microseconds=number),
        "ok": [True, False, None][number % 3],
        "score": number / 7,
        "share": number / 8,
        "stops": None if number % 4 == 0 else number,
        "extra": f'{{"n": {number}}}',
        "actor": None if number % 7 == 0 else {"login": f"user {number}", "since": None if number % 2 else day},
        "labels": [[], [None], [{"name": "a", "tags": [number, None]}, None, {"name": None, "tags": None}]][number % 3],
        "counts": [None, [], [("größe", Decimal(number % 100) / 4), ("b", None)]][number % 3],
        "_source_line": number + 2,
        **values,
    }


def batch(of: Dataset, rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    schema = reading_schema(of)
    return pa.RecordBatch.from_pylist([{name: r[name] for name in schema.names} for r in rows], schema=schema)


def source(key: str, version: str = "v1") -> SourceVersion:
    return SourceVersion(key, version)


def object_version(key: str, version: str = "v1", order: int = 1) -> ObjectVersion:
    return ObjectVersion("landing", key, version, Sequencer(order), 1, "", INGESTED_AT)


def stage(
    of: Dataset,
    files: Mapping[SourceVersion, Sequence[Mapping[str, Any]]],
    scratch: Path,
    batch_id: str = "b1",
    epoch: int = 1,
    **settings: Any,
) -> tuple[StagedFile, ...]:
    """Stage whole files, all accepted. The files stay on disk: the test's folder goes anyway."""
    staging = Staging(of, batch_id, epoch, scratch, INGESTED_AT, **settings)
    for version, rows in files.items():
        one = staging.open_file(version)
        one.write(batch(of, rows))
        one.accept()
    return staging.finish()
