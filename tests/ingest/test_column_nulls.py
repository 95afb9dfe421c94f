"""How many of a batch's rows are null in each column: counted while they are written, told in its report."""

from __future__ import annotations

import pytest

from pipelines.reports import BatchReport
from tests.ingest.fragile import Died, Fuse, fragile
from tests.ingest.world import BAD, DAY, World, dataset, orders, orders_key

NULLABLE = """
name: orders
description: Orders of a shop, whose files may lack columns and bring new ones.
landing: {key: "landing/orders/{day:%Y-%m-%d}/*.jsonl", day: day, start: 2026-01-01}
format: {type: jsonl}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  amount: {type: "decimal(10,2)"}
  tags: {type: "array<int>"}
partition_by: [day]
schema: {new_columns: add, missing_columns: allow}
"""


def test_nulls_are_counted_over_all_loaded_files_and_no_other() -> None:
    world = World()
    world.put(orders_key("a"), b"id,amount\n1,1.5\n2,\n")
    world.put(orders_key("b"), b"id,amount\n3,\n")
    world.put(orders_key("bad"), b"id,amount\n1,\nnone,\n")
    [report] = world.settle_down()
    assert report.rows_published == 3
    assert report.column_nulls == {"day": 0, "id": 0, "amount": 2}


def test_a_nested_value_is_null_as_a_whole_or_not_at_all() -> None:
    world = World(datasets=(dataset(NULLABLE),))
    lines = [b'{"id":1,"tags":[1,null]}', b'{"id":2,"tags":[]}', b'{"id":3,"tags":null}', b'{"id":4,"amount":1}']
    world.put(f"landing/orders/{DAY}/a.jsonl", b"\n".join(lines) + b"\n")
    [report] = world.settle_down()
    assert report.column_nulls == {"day": 0, "id": 0, "amount": 3, "tags": 2}


def test_rows_staged_before_a_column_was_added_hold_null_in_it() -> None:
    world = World(datasets=(dataset(NULLABLE),))
    world.put(f"landing/orders/{DAY}/a.jsonl", b'{"id":1}\n{"id":2}\n')
    world.put(f"landing/orders/{DAY}/b.jsonl", b'{"id":3,"gate":"A7"}\n{"id":4,"gate":null}\n')
    [report] = world.settle_down()
    assert report.rows_published == 4
    assert report.column_nulls == {"day": 0, "id": 0, "amount": 4, "tags": 4, "gate": 3}


def test_rows_of_a_version_that_is_superseded_in_its_own_batch_do_not_count() -> None:
    world = World()
    world.put(orders_key("a"), b"id,amount\n1,\n2,\n")
    world.put(orders_key("b"), b"id,amount\n5,\n6,1\n")
    world.put(orders_key("a"), orders(3))
    [report] = world.settle_down()
    assert (report.rows_published, report.column_nulls) == (3, {"day": 0, "id": 0, "amount": 1})


def test_a_batch_that_publishes_nothing_has_no_nulls() -> None:
    world = World()
    world.put(orders_key("a"), BAD)
    [report] = world.settle_down()
    assert (report.rows_published, report.column_nulls) == (0, {})


def test_what_an_attempt_published_that_died_is_not_known() -> None:
    world = World()
    world.put(orders_key("a"), orders(1, 2))
    with pytest.raises(Died):
        world.settle_down(fragile(world.ports, Fuse(name="tables.commit", how="after")), owner="first")
    world.clock.turn(61)
    gate = world.gate()
    [batch] = gate.ledger.live_batches("orders")
    report = world.take(gate, world.datasets[0], batch.batch_id, "second")
    assert isinstance(report, BatchReport)
    assert report.recognised
    assert (report.rows_published, report.column_nulls) == (None, None)
