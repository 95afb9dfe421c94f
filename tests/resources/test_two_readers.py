"""A table of two generations says the same to readers that share no code: PyIceberg, Polars' own and DuckDB's; in Glue also Athena's."""

from __future__ import annotations

import uuid
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pipelines.publication.parquet_writer import field_ids
from resources.folder import folder_tables
from resources.iceberg import IcebergTables
from tests.publication.samples import COLUMNS, dataset, row, source
from tests.resources.table_world import Connect, World

SQL_TYPES = {
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "date32[day]": "DATE",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}
FIRST = {
    name: c for name, c in COLUMNS.items() if name != "weight" and not c["type"].startswith(("struct", "array", "map"))
}
SECOND = {
    **{name: column for name, column in FIRST.items() if name not in ("carrier", "extra")},
    "stops": {"type": "bigint"},
    "share": {"type": "double"},
    "price": {"type": "decimal(38,2)"},
    "airline": {"type": "string", "aliases": ["carrier"]},
    "gate": {"type": "string"},
}
SHOWN = ("id", "day", "airline", "price", "ok", "stops", "share", "gate", "extra")
EXPECTED: list[tuple[Any, ...]] = [
    (2, date(2024, 1, 1), "a/b=c", Decimal("0.50"), None, 2, 0.25, None, '{"n": 2}'),
    (3, date(2024, 1, 2), "UA", Decimal("0.75"), True, 3, 0.375, None, '{"n": 3}'),
    (5, date(2024, 1, 1), "LH", Decimal(f"{10**20}.01"), None, 2**40, 1e300, "A7", None),
    (6, date(2024, 1, 1), None, None, None, None, 0.1, None, None),
]


def two_generations(connect: Connect, scratch: Path) -> World:
    """Files of the first, then the contract changes, files of the second; and a file of the first is corrected to nothing."""
    name = f"flights_{uuid.uuid4().hex[:12]}"
    first = World(connect, scratch, dataset(name, columns=FIRST))
    first.publish("b1", {source("a"): [row(1)], source("b"): [row(2), row(3, day=date(2024, 1, 2))]})
    second = World(connect, scratch, dataset(name, columns=SECOND), first.epochs)
    rows = [
        row(5, airline="LH", gate="A7", stops=2**40, share=1e300, price=Decimal(f"{10**20}.01")),
        row(6, airline=None, gate=None, stops=None, share=0.1, price=None, ok=None),
    ]
    second.publish("b2", {source("c"): rows})
    second.publish("b3", {}, removes=[source("a")])
    return second


@pytest.fixture
def world(tmp_path: Path) -> World:
    return two_generations(lambda: folder_tables(tmp_path / "lake"), tmp_path / "scratch")


def ordered(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted((tuple(one[name] for name in SHOWN) for one in rows), key=lambda one: one[0])


def test_pyiceberg(world: World) -> None:
    assert ordered(world.arrow().to_pylist()) == EXPECTED


def test_polars_with_its_own_parquet_reader(world: World) -> None:
    frame = pl.scan_iceberg(world.iceberg.load(world.of), reader_override="native").select(SHOWN).collect()
    assert ordered(frame.to_dicts()) == EXPECTED


def test_duckdb_by_field_ids(world: World) -> None:
    """DuckDB is told no more than the table's columns and which files there are; it finds columns in them by id."""
    tables = world.tables
    assert isinstance(tables, IcebergTables)
    columns = tables.columns(world.of)
    ids = field_ids(columns)
    fields = ", ".join(
        f"{ids[one.name]}: {{name: '{one.name}', type: '{SQL_TYPES.get(str(one.type)) or str(one.type).replace('decimal128', 'DECIMAL')}', default_value: NULL}}"
        for one in columns
    )
    query = f"SELECT {', '.join(SHOWN)} FROM read_parquet($1, schema=MAP {{{fields}}}) ORDER BY id"
    rows = duckdb.connect().execute(query, [data_files(world)]).fetchall()
    assert rows == EXPECTED


def data_files(world: World) -> list[str]:
    files = [task.file.file_path.removeprefix("file://") for task in world.iceberg.load(world.of).scan().plan_files()]
    assert len(files) == 3
    return files


def test_plain_parquet_readers_find_old_and_new_files_by_name(world: World) -> None:
    """Without the catalog a renamed column is two, by when its data file was written: what docs/schema-evolution.md says of `convert`'s folders."""
    query = "SELECT id, carrier, airline FROM read_parquet($1, union_by_name=true) ORDER BY id"
    assert duckdb.connect().execute(query, [data_files(world)]).fetchall() == [
        (2, None, "a/b=c"),
        (3, "UA", None),
        (5, None, "LH"),
        (6, None, None),
    ]


@pytest.mark.aws
def test_athena_and_glue(deployment: Any, tmp_path: Path) -> None:
    from resources.athena import AthenaQueryEngine
    from resources.environment import client
    from resources.iceberg import glue_tables
    from resources.s3 import S3ObjectStore

    world = two_generations(lambda: glue_tables(deployment, S3ObjectStore()), tmp_path / "scratch")
    engine = AthenaQueryEngine(deployment)
    found = engine.query(f"SELECT {', '.join(SHOWN)} FROM {world.of.table} ORDER BY id").table
    assert ordered(found.to_pylist()) == EXPECTED
    counted = engine.query(f"SELECT count(*) AS n FROM {world.of.table} WHERE stops > 100 AND gate = 'A7'")
    assert counted.table.to_pylist() == [{"n": 1}]
    told = client("glue").get_table(DatabaseName=deployment.glue_database, Name=world.of.table)["Table"]
    columns = told["StorageDescriptor"]["Columns"]
    now = {c["Name"]: c["Type"] for c in columns if c["Parameters"]["iceberg.field.current"] == "true"}
    assert (now["stops"], now["share"], now["price"], now["airline"], now["gate"]) == (
        "bigint",
        "double",
        "decimal(38,2)",
        "string",
        "string",
    )
    assert "carrier" not in now
    assert "extra" in now
