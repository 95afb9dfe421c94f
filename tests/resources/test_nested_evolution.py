"""What is inside nested columns grows with the contract, on every kind of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from pipelines.errors import TableMismatchError
from pipelines.publication.parquet_writer import field_ids
from tests.publication.samples import COLUMNS, dataset, row, source
from tests.resources.table_world import World, rows_after_a_late_commit

LATER = {
    **COLUMNS,
    "actor": {"type": "struct<since: date, address: struct<city: string, zips: array<string>>, login: string>"},
    "labels": {"type": "array<struct<tags: array<bigint>, color: string>>"},
    "counts": {"type": "map<string, decimal(9,2)>"},
}
"""Members come, one goes, two types inside become wider; and the order is another."""


def later(world: World) -> World:
    """The same tables under the later contract, ensured by another worker."""
    return World(world.connect, world.scratch, dataset(world.of.name, columns=LATER), world.epochs)


def late_row(number: int, **values: Any) -> dict[str, Any]:
    inside: Mapping[str, Any] = {
        "actor": {"since": None, "address": {"city": "Köln", "zips": ["50667", None]}, "login": "x"},
        "labels": [{"tags": [2**40], "color": "red"}, None],
        "counts": [("k", 1_234_567)],
    }
    return row(number, **{**inside, **values})


def test_members_come_and_types_inside_become_wider(world: World) -> None:
    ids = field_ids(world.tables.columns(world.of))
    world.publish("b1", {source("a"): [row(1), row(2)]})
    after = later(world)
    now = after.tables.columns(after.of)
    assert {path: number for path, number in field_ids(now).items() if path in ids} == ids
    actor, labels = now.field("actor").type, now.field("labels").type.value_type
    assert [field.name for field in actor.fields] == ["login", "since", "address"]
    assert [field.name for field in labels.fields] == ["name", "tags", "color"]
    assert labels.field("tags").type.value_type == pa.int64()
    assert now.field("counts").type.item_type == pa.decimal128(9, 2)
    after.publish("b2", {source("b"): [late_row(3)]})
    rows = {one["id"]: one for one in after.arrow().to_pylist()}
    assert rows[1]["actor"] == {**row(1)["actor"], "address": None}
    assert rows[2]["labels"] == [None if label is None else {**label, "color": None} for label in row(2)["labels"]]
    assert rows[2]["counts"] == row(2)["counts"]
    assert rows[3]["actor"] == late_row(3)["actor"]
    assert rows[3]["labels"] == [{"name": None, "tags": [2**40], "color": "red"}, None]


def test_a_file_of_an_older_generation_is_replaced_without_loss_to_the_others(world: World) -> None:
    world.publish("b1", {source("a"): [row(1)], source("b"): [row(5)]})
    after = later(world)
    committed = after.publish("b2", {source("a", "v2"): [late_row(1)]}, removes=[source("a")])
    assert committed.files_rewritten == 1
    rows = {one["id"]: one for one in after.arrow().to_pylist()}
    assert rows[5]["actor"] == {**row(5)["actor"], "address": None}
    assert rows[5]["labels"] == [None if label is None else {**label, "color": None} for label in row(5)["labels"]]
    assert rows[1]["actor"] == late_row(1)["actor"]
    kept = after.publish("b3", {source("c"): [late_row(9)]}, removes=[source("b")])
    assert kept.rows_removed == 1
    assert sorted(one["id"] for one in after.arrow().to_pylist()) == [1, 9]


def test_a_worker_that_staged_under_the_older_schema_can_still_commit(world: World) -> None:
    rows = rows_after_a_late_commit(world, later, late_row(3))
    assert rows[1]["actor"] == {**row(1)["actor"], "address": None}


def test_what_cannot_grow_is_refused_by_its_path_and_nothing_is_changed(world: World) -> None:
    before = world.tables.columns(world.of)
    changed = dataset(
        world.of.name,
        columns={
            **COLUMNS,
            "actor": {"type": "struct<login: int, new: string>"},
            "labels": {"type": "array<struct<tags: map<string, int>>>"},
            "counts": {"type": "map<string, decimal(4,2)>"},
            "extra": {"type": "struct<a: int>"},
        },
    )
    with pytest.raises(TableMismatchError) as caught:
        world.connect().ensure(changed)
    for part in (
        "column actor.login is int in the contract, string in the table",
        "column labels.element.tags is map<string, int> in the contract, array<int> in the table",
        "column counts.value is decimal(4,2) in the contract, decimal(5,2) in the table; write type: decimal(5,2)",
        "column extra is struct<a: int> in the contract, string in the table",
    ):
        assert part in str(caught.value)
    assert world.tables.columns(world.of).equals(before, check_metadata=True)
