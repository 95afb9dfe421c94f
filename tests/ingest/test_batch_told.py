"""What a batch's report tells beside its outcomes: how long files waited, and under which names they had their columns."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipelines.accounting.states import Trigger
from pipelines.members import NamesInFiles
from pipelines.reading.headers import names_meant
from pipelines.reports import BatchReport
from tests.ingest.fragile import Died, Fuse, fragile
from tests.ingest.world import BAD, DAY, World, dataset, orders, orders_key

TRIPS = """
name: trips
description: Trips, whose files name a column in several ways.
landing: {key: "landing/trips/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  distance: {type: int, source: distance_mi, aliases: [dist]}
schema: {new_columns: add}
"""
CLICKS = """
name: clicks
description: Clicks.
landing: {key: "landing/clicks/*.jsonl", start: 2026-01-01}
format: {type: jsonl}
columns:
  id: {type: bigint, aliases: [identifier]}
  user: {type: string, path: "$.actor.login"}
"""


def test_a_file_is_queryable_when_the_commit_is_made_and_the_rejected_never() -> None:
    world = World()
    world.put(orders_key("a"), orders(1))
    world.clock.turn(5)
    world.put(orders_key("b"), orders(2))
    world.put(orders_key("bad"), BAD)
    world.clock.turn(2.5)
    [report] = world.settle_down()
    assert report.queryable_at == world.clock()
    assert report.latencies == (2.5, 7.5)


def test_a_clock_that_is_behind_that_of_s3_makes_no_negative_wait() -> None:
    world = World()
    world.put(orders_key("a"), orders(1))
    world.clock.now -= timedelta(seconds=3)
    [report] = world.settle_down()
    assert report.latencies == (0.0,)


def test_files_processed_again_on_purpose_have_no_time_of_landing() -> None:
    world = World()
    version = world.put(orders_key("a"), orders(1))
    world.settle_down()
    world.clock.turn(86_400)
    ledger = world.gate().ledger
    [entry] = ledger.entries(version.bucket, version.key)
    ledger.make_due([entry.ref], Trigger.REPLAY)
    [report] = world.settle_down()
    assert [file.rows_loaded for file in report.files] == [1]
    assert report.latencies == ()


def test_a_batch_that_publishes_nothing_and_one_that_is_only_recognised_tell_no_wait() -> None:
    world = World()
    world.put(orders_key("a"), BAD)
    [report] = world.settle_down()
    assert (report.queryable_at, report.latencies) == (None, ())

    world = World()
    world.put(orders_key("a"), orders(1))
    with pytest.raises(Died):
        world.settle_down(fragile(world.ports, Fuse(name="tables.commit", how="after")), owner="first")
    world.clock.turn(61)
    gate = world.gate()
    [batch] = gate.ledger.live_batches("orders")
    report = world.take(gate, world.datasets[0], batch.batch_id, "second")
    assert isinstance(report, BatchReport)
    assert (report.queryable_at, report.latencies) == (None, ())


def test_the_names_that_loaded_files_had_are_told_by_column() -> None:
    world = World(datasets=(dataset(TRIPS),))
    world.put(f"landing/trips/{DAY}/a.csv", b"id,dist\n1,5\n")
    world.put(f"landing/trips/{DAY}/b.csv", b"ID,Distance MI,Gate No.\n2,6,A7\n")
    world.put(f"landing/trips/{DAY}/bad.csv", b"id,distance\nnone,5\n")
    [report] = world.settle_down()
    assert report.names_in_files == {
        "id": ("id", "ID"),
        "distance": ("dist", "Distance MI"),
        "gate_no": ("Gate No.",),
    }


def test_keys_of_json_records_mean_the_columns_without_a_path() -> None:
    meant = names_meant(dataset(CLICKS), ("identifier", "actor", "user", "other"))
    assert meant == {"id": ["identifier"]}


def test_names_of_a_column_are_kept_up_to_twenty() -> None:
    trips = dataset(TRIPS)
    names = NamesInFiles()
    for number in range(100):
        names.add(trips, ("id", "D" + "-" * (number + 1) + "ist", f"distance{'_' * number}mi" if number else "dist"))
    assert len(names.by_column["distance"]) == 20
    assert names.by_column["id"] == ("id",)
