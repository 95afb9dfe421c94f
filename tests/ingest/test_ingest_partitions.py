"""One commit touches so many partitions and no more: what does not fit waits for the next, and nobody failed."""

from __future__ import annotations

import pytest

from pipelines.intake.backfill import take_days
from pipelines.reports import BatchReport, FileEnding
from tests.ingest.world import BAD, DAY, ORDERS, World, dataset, orders, orders_key


def world_of(batch_partitions: int) -> World:
    text = ORDERS.replace("partition_by: [day]", "partition_by: [id]")
    return World(datasets=(dataset(text + f"limits: {{batch_partitions: {batch_partitions}}}\n"),))


def endings(report: BatchReport) -> list[str]:
    return [file.outcome.value for file in report.files]


@pytest.mark.parametrize(
    ("limit", "batches"), [(6, [["loaded"] * 3]), (5, [["loaded", "loaded", "deferred"], ["loaded"]])]
)
def test_files_up_to_the_limit_share_a_commit_and_the_others_the_next(limit: int, batches: list[list[str]]) -> None:
    world = world_of(limit)
    versions = [world.put(orders_key(str(n)), orders(2 * n, 2 * n + 1)) for n in range(3)]
    reports = world.settle_down()
    assert sorted(map(endings, reports), key=len, reverse=True) == batches
    assert world.ids() == list(range(6))
    assert {world.outcome(v) for v in versions} == {"loaded"}
    assert {entry.attempts for entry in world.entries()} == {0}
    world.assert_balanced()


def test_everything_behind_a_file_that_waits_waits_with_it_in_its_order() -> None:
    world = world_of(2)
    first = world.put(orders_key("a"), orders(1))
    wide = world.put(orders_key("b"), orders(2, 3))
    corrected = world.put(orders_key("b"), orders(2))
    bad = world.put(orders_key("c"), BAD)
    reports = world.settle_down()
    assert {world.outcome(v) for v in (first, corrected)} == {"loaded"}
    assert (world.outcome(wide), world.outcome(bad)) == ("superseded", "quarantined")
    assert world.ids() == [1, 2]
    assert any("deferred" in endings(report) for report in reports)
    world.assert_balanced()


def test_partitions_that_files_share_count_once() -> None:
    world = world_of(2)
    for name in "abc":
        world.put(orders_key(name), orders(1, 2))
    [report] = world.settle_down()
    assert endings(report) == ["loaded"] * 3


def test_a_file_alone_goes_whatever_it_touches() -> None:
    world = world_of(2)
    world.put(orders_key("a"), orders(*range(9)))
    world.put(orders_key("b"), orders(*range(20, 25)))
    reports = world.settle_down()
    assert sorted(map(endings, reports)) == [["loaded"], ["loaded", "deferred"]]
    assert world.ids() == [*range(9), *range(20, 25)]
    deferred = next(f for r in reports for f in r.files if f.outcome is FileEnding.DEFERRED)
    assert "more than 2 partitions (limits.batch_partitions)" in deferred.sentence()


def test_a_backfill_takes_them_up_itself() -> None:
    world = world_of(2)
    for n in range(3):
        world.put(orders_key(str(n)), orders(2 * n, 2 * n + 1))
    world.settle_down()
    gate = world.gate()
    [of] = world.datasets
    taken = take_days(gate, of, [DAY], "again")
    outcomes = [world.take(gate, of, batch.batch_id, "again") for batch in taken.batches()]
    done = [endings(o) for o in outcomes if isinstance(o, BatchReport)]
    assert done == [["loaded", "deferred", "deferred"], ["loaded", "deferred"], ["loaded"]]
    assert world.ids() == list(range(6))
    world.assert_balanced()
