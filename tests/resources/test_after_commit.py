"""What is looked up after a commit, asked of tables in memory and of Athena over Glue: the same statements, the same answers."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.contracts.model import Dataset
from pipelines.ports import QueryEngine, SourceVersion
from pipelines.publication.after_commit import (
    MAX_SAMPLES,
    MissingValue,
    MissingValues,
    NotLooked,
    Place,
    Published,
    RepeatedKey,
    RepeatedKeys,
    find_missing_values,
    find_repeated_keys,
)
from resources.iceberg import IcebergTables
from resources.memory_tables import MemoryTables
from tests.ingest.queries import MemoryQueries
from tests.publication.samples import COLUMNS, dataset, row, source
from tests.resources.table_world import World

JAN_1, JAN_2 = date(2024, 1, 1), date(2024, 1, 2)
Files = Mapping[SourceVersion, Sequence[Mapping[str, Any]]]


@dataclass
class Asked:
    """Tables with rows, and the engine that answers about them."""

    tables: MemoryTables | IcebergTables
    queries: QueryEngine
    scratch: Path

    def table(self, *, columns: Mapping[str, Any] | None = None, **more: Any) -> World:
        of = dataset(f"t_{uuid.uuid4().hex[:12]}", columns={**COLUMNS, **(columns or {})}, **more)
        if isinstance(self.queries, MemoryQueries):
            self.queries.datasets.append(of)
        return World(lambda: self.tables, self.scratch, of)


@pytest.fixture(params=["memory", pytest.param("glue", marks=pytest.mark.aws)])
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> Asked:
    if request.param == "memory":
        tables = MemoryTables()
        return Asked(tables, MemoryQueries(tables, []), tmp_path)
    from resources.athena import AthenaQueryEngine
    from resources.iceberg import glue_tables
    from resources.s3 import S3ObjectStore

    deployment = request.getfixturevalue("deployment")
    return Asked(glue_tables(deployment, S3ObjectStore()), AthenaQueryEngine(deployment), tmp_path)


def published(world: World, batch: str, files: Files, **more: Any) -> Published:
    """Publish one batch; what the run then knows of it."""
    change = world.change(batch, files, **more)
    world.tables.commit(world.of, change)
    paths = sorted({file.relative_key.rpartition("/")[0] for file in change.adds})
    return Published((batch,), tuple(paths))


def keys_of(found: RepeatedKeys | NotLooked) -> list[tuple[Any, ...]]:
    assert isinstance(found, RepeatedKeys), found
    assert found.total == len(found.samples)
    return [(*s.key.values(), s.rows, s.published.key, s.other.key) for s in found.samples]


def test_a_key_in_another_file_is_told_with_both_sources(asked: Asked) -> None:
    world = asked.table(primary_key=["id"])
    first = published(world, "b1", {source("landing/a b.csv"): [row(1), row(2), row(3)]})
    assert keys_of(find_repeated_keys(asked.queries, world.of, first)) == []
    second = published(world, "b2", {source("landing/c.csv", "v9"): [row(3, JAN_2), row(4)]})
    assert find_repeated_keys(asked.queries, world.of, second) == RepeatedKeys(
        1, (RepeatedKey({"id": 3}, 2, Place("landing/c.csv", "v9", 5), Place("landing/a b.csv", "v1", 5)),)
    )
    # What the first run published repeats a key by now; a run that published neither says nothing of it.
    assert len(keys_of(find_repeated_keys(asked.queries, world.of, first))) == 1
    third = published(world, "b3", {source("landing/d.csv"): [row(5)]})
    assert keys_of(find_repeated_keys(asked.queries, world.of, third)) == []
    assert len(keys_of(find_repeated_keys(asked.queries, world.of, Published(("b3", "b2"), None)))) == 1


def test_two_files_of_one_batch_and_three_of_many(asked: Asked) -> None:
    world = asked.table(primary_key=["id"])
    published(world, "b1", {source("a"): [row(1)], source("b"): [row(2)]})
    both = published(world, "b2", {source("c"): [row(1), row(7)], source("d"): [row(7), row(2)]})
    found = keys_of(find_repeated_keys(asked.queries, world.of, both))
    assert found == [(1, 2, "c", "a"), (2, 2, "d", "b"), (7, 2, "d", "c")] or found == [
        (1, 2, "c", "a"),
        (2, 2, "d", "b"),
        (7, 2, "c", "d"),
    ]
    third = published(world, "b3", {source("e"): [row(1)]})
    assert [(k, rows, new) for k, rows, new, _ in keys_of(find_repeated_keys(asked.queries, world.of, third))] == [
        (1, 3, "e")
    ]


def test_a_version_that_replaces_another_repeats_nothing(asked: Asked) -> None:
    world = asked.table(primary_key=["id"])
    published(world, "b1", {source("a", "v1"): [row(1), row(2)]})
    again = published(world, "b2", {source("a", "v2"): [row(1), row(2)]}, removes=[source("a", "v1")])
    assert keys_of(find_repeated_keys(asked.queries, world.of, again)) == []
    # Two versions of one file in the table are a fault of ours that this finds.
    third = published(world, "b3", {source("a", "v3"): [row(2)]})
    assert [k[0] for k in keys_of(find_repeated_keys(asked.queries, world.of, third))] == [2]


def test_keys_of_several_columns_and_of_every_type(asked: Asked) -> None:
    key = ["carrier", "price", "at", "day", "stops", "ok"]
    world = asked.table(primary_key=key)
    published(world, "b1", {source("it's one.csv"): [row(1), row(7)]})
    found = find_repeated_keys(asked.queries, world.of, published(world, "b2", {source("two"): [row(1), row(10)]}))
    assert isinstance(found, RepeatedKeys)
    assert [dict(s.key) for s in found.samples] == [
        {
            "carrier": "größe",
            "price": Decimal("0.25"),
            "at": datetime(2024, 1, 1, 0, 0, 1, 1, tzinfo=UTC),
            "day": JAN_1,
            "stops": 1,
            "ok": False,
        }
    ]
    assert found.samples[0].other.key == "it's one.csv"


def test_the_same_key_in_another_partition_counts_unless_the_partition_is_part_of_the_key(asked: Asked) -> None:
    for key, repeats in ((["id"], 1), (["id", "day"], 0)):
        world = asked.table(primary_key=key)
        published(world, "b1", {source("a"): [row(1, JAN_1)]})
        run = published(world, "b2", {source("b"): [row(1, JAN_2)]})
        assert len(keys_of(find_repeated_keys(asked.queries, world.of, run))) == repeats


def test_partitions_by_text_with_every_evil_character(asked: Asked) -> None:
    world = asked.table(primary_key=["carrier", "id"], partition_by=["carrier", "bucket(4, id)"])
    evil = ["it's", "a/b=c", "..", "x' OR '1'='1", "größe %2F+", "a b", '"', "\\"]
    rows = [row(n, carrier=text) for n, text in enumerate(evil)]
    published(world, "b1", {source("a"): rows})
    run = published(world, "b2", {source("b"): rows})
    assert sorted(k[0] for k in keys_of(find_repeated_keys(asked.queries, world.of, run))) == sorted(evil)


def test_more_keys_than_are_listed_are_counted(asked: Asked) -> None:
    world = asked.table(primary_key=["id"])
    published(world, "b1", {source("a"): [row(n) for n in range(100)]})
    run = published(world, "b2", {source("b"): [row(n) for n in range(50, 150)]})
    found = find_repeated_keys(asked.queries, world.of, run)
    assert isinstance(found, RepeatedKeys)
    assert (found.total, [s.key["id"] for s in found.samples]) == (50, list(range(50, 50 + MAX_SAMPLES)))


def referring(asked: Asked, **more: Any) -> tuple[World, World]:
    there = asked.table(partition_by=[])
    columns = {
        "carrier": {"type": "string", "references": f"{there.of.name}.carrier"},
        "stops": {"type": "int", "references": {"dataset": there.of.name, "column": "id"}},
    }
    return asked.table(columns=columns, **more), there


def references(of: Dataset) -> dict[str, Any]:
    return {name: column.references for name, column in of.columns.items() if column.references}


def test_values_that_another_table_lacks_are_told_with_a_place(asked: Asked) -> None:
    here, there = referring(asked)
    published(there, "b0", {source("list"): [row(1, carrier="UA"), row(2, carrier=None)]})
    published(here, "b1", {source("old"): [row(9, carrier="ZZ", stops=99)]})
    run = published(
        here,
        "b2",
        {
            source("x"): [row(1, carrier="UA", stops=1), row(2, carrier="it's", stops=3)],
            source("y"): [row(3, JAN_2, carrier="it's", stops=None), row(4, JAN_2, carrier=None, stops=2)],
        },
    )
    found = find_missing_values(asked.queries, here.of, references(here.of), run)
    assert found == MissingValues(
        {"carrier": 1, "stops": 1},
        {"carrier": 2, "stops": 1},
        (
            MissingValue("carrier", "it's", 2, Place("x", "v1", 4)),
            MissingValue("stops", "3", 1, Place("x", "v1", 4)),
        ),
    )


def test_where_every_value_is_found_nothing_is_missing(asked: Asked) -> None:
    here, there = referring(asked)
    published(there, "b0", {source("list"): [row(n) for n in range(12)]})
    run = published(here, "b1", {source("a"): [row(n, stops=n) for n in range(9)]})
    assert find_missing_values(asked.queries, here.of, references(here.of), run) == MissingValues({}, {}, ())


def test_more_values_than_are_listed_are_counted(asked: Asked) -> None:
    here, there = referring(asked)
    published(there, "b0", {source("list"): [row(1, carrier="UA")]})
    run = published(here, "b1", {source("a"): [row(n, carrier=f"C{n // 2:03}", stops=1) for n in range(60)]})
    found = find_missing_values(asked.queries, here.of, references(here.of), run)
    assert isinstance(found, MissingValues)
    assert (dict(found.values), dict(found.rows), len(found.samples)) == ({"carrier": 30}, {"carrier": 60}, MAX_SAMPLES)


def test_a_table_that_is_not_there_is_no_answer(asked: Asked) -> None:
    here = asked.table(columns={"carrier": {"type": "string", "references": "nowhere.carrier"}})
    run = published(here, "b1", {source("a"): [row(1)]})
    found = find_missing_values(asked.queries, here.of, references(here.of), run)
    assert isinstance(found, NotLooked)
    assert "nowhere" in found.reason
    assert "\n" not in found.reason
