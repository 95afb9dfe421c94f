"""A table follows its contract, on every kind of tables: what changes, what stays, and what is refused."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.errors import LakegateError, TableMismatchError
from pipelines.ports import Committed, TableCommit
from pipelines.publication.parquet_writer import field_ids
from resources.iceberg import IcebergTables
from tests.publication.samples import COLUMNS, dataset, row, source, stage
from tests.resources.table_world import World, rows_after_a_late_commit

JAN_1, JAN_2 = date(2024, 1, 1), date(2024, 1, 2)


def test_what_iceberg_cannot_change_is_refused_with_every_difference_and_nothing_is_changed(world: World) -> None:
    before = world.tables.columns(world.of)
    changed = dataset(
        world.of.name,
        partition_by=["carrier"],
        columns={
            **COLUMNS,
            "id": {"type": "string"},
            "stops": {"type": "decimal(9,0)"},
            "score": {"type": "float"},
            "price": {"type": "decimal(18,3)"},
            "new": {"type": "int"},
        },
    )
    with pytest.raises(TableMismatchError) as caught:
        world.connect().ensure(changed)
    said = str(caught.value)
    for part in (
        "column id is string in the contract, bigint in the table",
        "column stops is decimal(9,0) in the contract, int in the table",
        "column score is float in the contract, double in the table; write type: double",
        "column price is decimal(18,3) in the contract, decimal(10,2) in the table",
    ):
        assert part in said
    assert "column new" not in said
    assert "partition" in said
    assert world.tables.columns(world.of).equals(before, check_metadata=True)


LATER = {
    **{name: column for name, column in COLUMNS.items() if name not in ("extra", "carrier")},
    "stops": {"type": "bigint"},
    "share": {"type": "double"},
    "price": {"type": "decimal(18,2)"},
    "airline": {"type": "string", "aliases": ["Carrier"], "description": "Two letters."},
    "gate": {"type": "int", "nullable": False, "description": "Where it left."},
}
"""The columns of a later contract: three wider, one renamed, one new, one dropped."""


def later(world: World) -> World:
    """The same tables under the later contract, ensured by another worker."""
    of = dataset(world.of.name, columns=LATER, schema={"type_changes": "rescue"})
    return World(world.connect, world.scratch, of, world.epochs)


def late_row(number: int, **values: Any) -> dict[str, Any]:
    return row(
        number, **{"airline": "LH", "gate": number, "_rescued": None, "stops": 2**40 + number, "share": 0.1, **values}
    )


def test_a_table_follows_its_contract(world: World) -> None:
    old = world.tables.columns(world.of)
    world.publish("b1", {source("a"): [row(1), row(2)]})
    after = later(world)
    now = after.tables.columns(after.of)
    assert now.names == [{"carrier": "airline"}.get(name, name) for name in old.names] + ["gate", "_rescued"]
    kept = {one.name: (field_ids(old)[one.name], one.type) for one in old}
    wider = {"stops": pa.int64(), "share": pa.float64(), "price": pa.decimal128(18, 2)}
    for one in now:
        if one.name in ("gate", "_rescued"):
            assert one.nullable
            continue
        ident, kind = kept[{"airline": "carrier"}.get(one.name, one.name)]
        assert (field_ids(now)[one.name], one.type) == (ident, wider.get(one.name, kind))
    after.publish("b2", {source("b"): [late_row(3)]})
    rows = {one["id"]: one for one in after.arrow().to_pylist()}
    assert [rows[n]["airline"] for n in (1, 2, 3)] == ["größe", "a/b=c", "LH"]
    assert [rows[n]["stops"] for n in (1, 2, 3)] == [1, 2, 2**40 + 3]
    assert [rows[n]["share"] for n in (1, 2, 3)] == [0.125, 0.25, 0.1]
    assert [rows[n]["price"] for n in (1, 2, 3)] == [Decimal("0.25"), Decimal("0.50"), Decimal("0.75")]
    assert [rows[n]["gate"] for n in (1, 2, 3)] == [None, None, 3]
    assert [rows[n]["extra"] for n in (1, 2, 3)] == ['{"n": 1}', '{"n": 2}', None]


def test_a_file_of_an_older_generation_is_replaced_without_loss_to_the_others(world: World) -> None:
    """Its rows lie in one data file with another version's: that file is rewritten under the later schema."""
    world.publish("b1", {source("a"): [row(1), row(2)], source("b"): [row(3)]})
    after = later(world)
    committed = after.publish("b2", {source("a", "v2"): [late_row(1)]}, removes=[source("a")])
    assert committed.files_rewritten == 1
    rows = {one["id"]: one for one in after.arrow().to_pylist()}
    assert sorted(rows) == [1, 3]
    assert (rows[3]["airline"], rows[3]["stops"], rows[3]["gate"], rows[3]["extra"]) == ("UA", 3, None, '{"n": 3}')
    committed = after.publish("b3", {source("c"): [late_row(9)]}, removes=[source("b")])
    assert committed.rows_removed == 1
    assert sorted(one["id"] for one in after.arrow().to_pylist()) == [1, 9]


def test_a_worker_that_staged_under_the_older_schema_can_still_commit(world: World) -> None:
    """Its files lack a column and hold narrower numbers: both are read as the table has them now."""
    rows = rows_after_a_late_commit(world, later, late_row(3))
    assert [(rows[n]["stops"], rows[n]["airline"], rows[n]["gate"]) for n in (1, 2)] == [
        (1, "größe", None),
        (2, "a/b=c", None),
    ]


def test_a_worker_of_the_older_contract_keeps_columns_it_does_not_know(world: World) -> None:
    """It rewrites a data file of the later generation: what the table has is kept, whatever its own contract says."""
    after = later(world)
    after.publish("b1", {source("a"): [late_row(1)], source("b"): [late_row(2)]})
    world.tables.commit(world.of, TableCommit("b2", (), (), (source("a"),), world.tables.current(world.of)))
    [kept] = after.arrow().to_pylist()
    assert (kept["id"], kept["gate"], kept["stops"]) == (2, 2, 2**40 + 2)


def test_two_workers_change_a_table_at_once(world: World) -> None:
    of = dataset(world.of.name, columns=LATER)
    faults: list[LakegateError] = []

    def work() -> None:
        try:
            world.connect().ensure(of)
        except LakegateError as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    names = world.tables.columns(of).names
    assert len(names) == len(set(names))
    assert {"airline", "gate"} <= set(names)


def test_a_change_of_columns_beside_a_commit_is_planned_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer commits rows between our look at the table and the catalog's compare-and-set."""
    rival, ours = world.connect(), world.connect()
    assert isinstance(ours, IcebergTables) or pytest.skip("asks what only Iceberg's tables have")
    theirs = world.change("rival", {source("r"): [row(2)]}, tables=rival)
    commit_table, came = ours.catalog.commit_table, []

    def commit_after_the_rival(*arguments: Any) -> Any:
        if not came:
            came.append(rival.commit(world.of, theirs))
        return commit_table(*arguments)

    monkeypatch.setattr(ours.catalog, "commit_table", commit_after_the_rival)
    ours.ensure(dataset(world.of.name, columns=LATER))
    assert isinstance(came[0], Committed)
    assert world.ids() == {("r", "v1"): [2]}
    assert "gate" in world.tables.columns(world.of).names


def test_a_column_that_was_never_null_may_be_once_the_contract_says_so_or_drops_it(
    connect: Any, tmp_path: Path
) -> None:
    strict = {**COLUMNS, "id": {"type": "bigint", "nullable": False}, "ok": {"type": "boolean", "nullable": False}}
    world = World(connect, tmp_path / "scratch", dataset(f"flights_{uuid.uuid4().hex[:12]}", columns=strict))
    world.publish("b1", {source("a"): [row(1, ok=True)]})
    loose = {name: column for name, column in COLUMNS.items() if name != "ok"}
    after = World(connect, tmp_path / "scratch", dataset(world.of.name, columns=loose), world.epochs)
    after.publish("b2", {source("b"): [row(2, id=None)]})
    assert sorted(((one["id"], one["ok"]) for one in after.arrow().to_pylist()), key=str) == [(1, True), (None, None)]
    # And back: Iceberg cannot forbid null again, so the table goes on allowing it.
    world.connect().ensure(world.of)
    assert world.tables.columns(world.of).field("id").nullable


def test_a_partition_keeps_its_name_when_its_column_is_renamed(world: World) -> None:
    world.publish("b1", {source("a"): [row(1, JAN_1)]})
    columns = {"flown": {"type": "date", "aliases": ["day"]}, **{n: c for n, c in COLUMNS.items() if n != "day"}}
    of = dataset(world.of.name, partition_by=["flown"], columns=columns)
    after = World(world.connect, world.scratch, of, world.epochs)
    after.publish("b2", {source("b"): [row(2, JAN_2, flown=JAN_2)]})
    after.publish("b3", {}, removes=[source("a")])
    [kept] = after.arrow().to_pylist()
    assert (kept["id"], kept["flown"]) == (2, JAN_2)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        # The alias names a column that the contract still has; one of another type; two columns at once.
        ({**COLUMNS, "n": {"type": "bigint", "aliases": ["id"]}}, ["id", "n"]),
        ({**{k: c for k, c in COLUMNS.items() if k != "id"}, "n": {"type": "string", "aliases": ["id"]}}, ["id", "n"]),
        (
            {
                **{k: c for k, c in COLUMNS.items() if k not in ("carrier", "extra")},
                "n": {"type": "string", "aliases": ["carrier", "extra"]},
            },
            ["carrier", "extra", "n"],
        ),
    ],
    ids=["still-there", "other-type", "two"],
)
def test_an_alias_that_is_no_clear_rename_is_a_new_column(
    world: World, columns: Mapping[str, Any], named: Sequence[str]
) -> None:
    other = world.connect()
    other.ensure(dataset(world.of.name, columns=columns))
    assert set(named) <= set(other.columns(world.of).names)


def test_statistics_of_both_generations_prune(world: World) -> None:
    """Bounds that were written as int, float and decimal(10,2) are compared as what the columns are now."""
    world.publish("b1", {source("a"): [row(n) for n in range(1, 5)]})
    change = world.change("b3", {source("c"): [row(n) for n in range(20, 24)]})
    after = later(world)
    after.publish("b2", {source("b"): [late_row(n) for n in range(10, 14)]})
    assert isinstance(world.tables.commit(world.of, replace(change, base=world.tables.current(world.of))), Committed)
    table = after.iceberg.load(after.of)
    for condition, expected in {
        "stops > 1000": [10, 11, 12, 13],
        "stops = 3": [3],
        "stops > 20 and stops < 100": [21, 22, 23],
        "price >= 5.00": [20, 21, 22, 23],
        "share = 0.375": [3],
        "gate is null": [1, 2, 3, 4, 20, 21, 22, 23],
        "airline = 'LH'": [10, 11, 12, 13],
    }.items():
        assert sorted(table.scan(condition).to_arrow()["id"].to_pylist()) == expected, condition


def test_descriptions_follow_the_contract_in_one_line_that_glue_takes(world: World) -> None:
    said = {"day": "When it\nflew.", "carrier": "é" * 200}
    columns = {name: {**column, "description": said.get(name)} for name, column in COLUMNS.items()}
    tables = world.iceberg
    other = world.connect()
    other.ensure(dataset(world.of.name, columns=columns))
    docs = {one.name: one.doc for one in tables.load(world.of).schema().fields}
    assert docs["day"] == "When it flew."
    assert docs["carrier"] is not None
    assert len(docs["carrier"].encode()) <= 255
    metadata = tables.load(world.of).metadata_location
    world.connect().ensure(dataset(world.of.name, columns=columns))
    assert tables.load(world.of).metadata_location == metadata


def test_files_of_a_schema_the_table_does_not_have_are_refused_before_anything_is_uploaded(world: World) -> None:
    for columns in (
        {**COLUMNS, "late": {"type": "int"}},
        {**COLUMNS, "stops": {"type": "bigint"}},
        {**COLUMNS, "id": {"type": "string"}},
    ):
        other = dataset(world.of.name, columns=columns)
        rows = [row(1, late=3, id="1" if columns["id"]["type"] == "string" else 1)]
        staged = stage(other, {source("a"): rows}, world.scratch, "b9")
        change = TableCommit("b9", staged, (source("a"),), (), world.tables.current(world.of))
        with pytest.raises(TableMismatchError, match="another schema"):
            world.tables.commit(world.of, change)


def test_a_partition_column_becomes_wider(connect: Any, tmp_path: Path) -> None:
    """Identity and bucket: a value lies in the same partition whatever the width of its type."""
    name = f"flights_{uuid.uuid4().hex[:12]}"
    narrow = {
        **COLUMNS,
        "stops": {"type": "int", "nullable": False},
        "price": {"type": "decimal(10,2)", "nullable": False},
    }
    wide = {
        **narrow,
        "stops": {"type": "bigint", "nullable": False},
        "price": {"type": "decimal(18,2)", "nullable": False},
    }
    by = ["stops", "bucket(4, price)"]
    world = World(connect, tmp_path / "scratch", dataset(name, partition_by=by, columns=narrow))
    world.publish("b1", {source("a"): [row(n, stops=n % 2) for n in range(8)], source("b"): [row(20, stops=1)]})
    staged = world.change("late", {source("late"): [row(30, stops=1)]})
    after = World(connect, tmp_path / "scratch", dataset(name, partition_by=by, columns=wide), world.epochs)
    after.publish("b2", {source("c"): [row(n, stops=2**40 + n % 2) for n in range(40, 44)]})
    late = replace(staged, base=world.tables.current(world.of))
    assert isinstance(world.tables.commit(world.of, late), Committed)
    after.publish("b3", {source("a", "v2"): [row(1, stops=1)]}, removes=[source("a")])
    assert world.ids() == {
        ("a", "v2"): [1],
        ("b", "v1"): [20],
        ("c", "v1"): [40, 41, 42, 43],
        ("late", "v1"): [30],
    }
    table = after.iceberg.load(after.of)
    for condition, expected in {
        "stops = 1": [1, 20, 30],
        f"stops = {2**40}": [40, 42],
        "stops < 100": [1, 20, 30],
        "price = 0.25": [1],
        "price = 5.00": [20],
        "price = 10.00": [40],
    }.items():
        assert sorted(table.scan(condition).to_arrow()["id"].to_pylist()) == expected, condition
