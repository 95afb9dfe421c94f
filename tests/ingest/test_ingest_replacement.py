"""The same key with other bytes: exactly the rows of its older version leave, in one commit, and the run says what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.accounting.states import Outcome
from pipelines.publication.row_changes import RowChanges
from pipelines.reports import BatchReport
from resources.folder import folder_tables
from tests.ingest.world import BAD, ORDERS, World, dataset, file_of, orders, orders_key

A = orders_key("a")
BY_AMOUNT = dataset(ORDERS.replace("partition_by: [day]", "partition_by: [day, amount]"))
"""Rows move to another partition when their amount does."""


@pytest.fixture(params=["memory", "folder"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    tables: dict[str, Any] = {} if request.param == "memory" else {"tables": folder_tables(tmp_path / "lake")}
    return World(datasets=(BY_AMOUNT,), **tables)


def replace_with(world: World, content: bytes) -> BatchReport:
    """Land other bytes under the same key, and the report of the one batch that follows."""
    world.put(A, content)
    [report] = world.settle_down()
    world.assert_balanced()
    return report


def only(rows: list[dict[str, Any]]) -> set[tuple[int, str, str]]:
    return {(row["id"], str(row["amount"]), row["_source_version"]) for row in rows if row["_source_file"] == A}


def test_one_of_a_hundred_files_of_a_batch_is_replaced_across_partitions_and_no_other_row_moves(world: World) -> None:
    world.put(A, orders(1, 2, 3))
    for number in range(100):
        world.put(orders_key(f"n{number}"), orders(1000 + number))
    world.settle_down()
    others = [row for row in world.rows() if row["_source_file"] != A]
    report = replace_with(world, orders(2, 3, amount="9.00") + b"4,1.50\n")
    assert only(world.rows()) == {(2, "9.00", "v102"), (3, "9.00", "v102"), (4, "1.50", "v102")}
    assert [row for row in world.rows() if row["_source_file"] != A] == others
    assert report.committed is not None
    assert (report.committed.rows_added, report.committed.rows_removed) == (3, 3)
    [file] = report.files
    assert file.changes == RowChanges(("v1",), 3, 3, added=1, removed=1, changed=2, unchanged=0)
    assert "; replaces version v1: 1 rows added, 1 removed, 2 changed, 0 as before" in file.sentence()
    assert "3 older rows out (1 added, 1 removed, 2 changed, 0 as before)" in report.sentence()
    told = [record.reason for record in world.gate().ledger.history("landing-bucket", A)]
    assert "replaces version v1: 1 rows added, 1 removed, 2 changed, 0 as before" in told


def test_bytes_that_come_back_replace_what_came_between(world: World) -> None:
    first, second = orders(1, 2, 3), orders(1, 2, amount="7.00") + b"3,1.50\n"
    replace_with(world, first)
    forth, back, again = (replace_with(world, content) for content in (second, first, first))
    assert only(world.rows()) == {(n, "1.50", "v4") for n in (1, 2, 3)}
    changes = [report.files[0].changes for report in (forth, back, again)]
    assert [(c.added, c.removed, c.changed, c.unchanged) for c in changes if c] == [
        (0, 0, 2, 1),
        (0, 0, 2, 1),
        (0, 0, 0, 3),
    ]


def test_a_wrong_new_version_leaves_the_good_one_serving_and_both_facts_show(world: World) -> None:
    replace_with(world, orders(1, 2))
    report = replace_with(world, BAD)
    assert report.files[0].changes is None
    assert only(world.rows()) == {(1, "1.50", "v1"), (2, "1.50", "v1")}
    ledger = world.gate().ledger
    assert ledger.head("landing-bucket", A).serving_version == "v1"
    entries = {e.version.version_id: e.outcome for e in ledger.entries("landing-bucket", A)}
    assert entries == {"v1": Outcome.LOADED, "v2": Outcome.QUARANTINED}
    assert [e.version.version_id for e in ledger.quarantined()] == ["v2"]
    [line] = ledger.counts()
    assert (line.serving_files, line.outcomes[Outcome.QUARANTINED]) == (1, 1)


def test_of_two_files_that_replace_and_one_that_does_not_each_says_its_own(world: World) -> None:
    b = orders_key("b")
    world.put(A, orders(1))
    world.put(b, orders(5, 6))
    world.settle_down()
    fresh = world.put(orders_key("c"), orders(9))
    versions = [world.put(A, orders(1, 2)), world.put(b, orders(6))]
    [report] = world.settle_down()
    told = [file_of([report], version).changes for version in (*versions, fresh)]
    assert told == [
        RowChanges(("v1",), 1, 2, added=1, removed=0, changed=0, unchanged=1),
        RowChanges(("v2",), 2, 1, added=0, removed=1, changed=0, unchanged=1),
        None,
    ]
    assert report.changes == {"added": 1, "removed": 1, "changed": 0, "as before": 2}
