"""The books against the tables and the bucket: all is well after the road was walked, and every kind of tampering is found and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipelines.accounting import table_proof
from pipelines.accounting.entries import Claim, SettleReport
from pipelines.accounting.items import encode_entry
from pipelines.accounting.keys import entry_key
from pipelines.accounting.outcomes import FileOutcome
from pipelines.accounting.proof import Proof, prove
from pipelines.contracts.loading import DatasetCatalog
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import rejected_dataset
from pipelines.errors import QueryFailedError
from pipelines.intake.dispatching import dispatch
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.receiving import receive
from pipelines.intake.sweep import sweep
from pipelines.ports import Delete, QueryResult, SourceVersion, TableCommit, Update
from resources.memory_tables import MemoryTables
from tests.ingest.world import BAD, BUCKET, CLICKS, ORDERS_BY_ROWS, World, dataset, mixed, orders, orders_key

ORDERS_TOO = dataset(ORDERS_BY_ROWS)


@pytest.fixture
def world() -> World:
    """Good files, one with bad rows, one replaced, one in quarantine, one that nobody claims; all at rest."""
    world = World(datasets=(ORDERS_TOO, dataset(CLICKS)))
    world.put(orders_key("a"), orders(1, 2))
    world.put(orders_key("b"), mixed(3, 4, 5, bad=1))
    world.put(orders_key("c", "2026-02-02"), orders(6))
    world.put("landing/clicks/bad.csv", BAD)
    world.put("landing/nobody/x.csv", b"1")
    world.settle_down()
    world.put(orders_key("a"), orders(1, 2, 7))
    world.settle_down()
    world.clock.turn(3600)
    return world


def proved(world: World) -> Proof:
    gate = world.gate()
    return prove(gate, sweep(gate, correct=False, pause=lambda _: None))


def source(world: World, key: str) -> SourceVersion:
    found = [e for e in world.entries() if e.version.key == key and e.serving]
    return SourceVersion(key, found[0].version.version_id)


def take_out(world: World, table: Dataset, *sources: SourceVersion) -> None:
    """Rows go behind the ledger's back."""
    world.tables.commit(table, TableCommit("nobody", (), (), sources, world.tables.current(table)))


def test_books_that_add_up_say_so_in_numbers(world: World) -> None:
    proof = proved(world)
    assert proof.problems == ()
    assert proof.sentence() == (
        "the books add up: 6 objects, each in one outcome; 8 rows in 3 tables, each where it belongs"
    )
    assert proof.rows("orders") == 7
    assert proof.rows("orders", rejected=True) == 1
    assert proof.notes == ()


def test_a_file_whose_rows_are_gone_from_the_table_is_named(world: World) -> None:
    gone = source(world, orders_key("a"))
    take_out(world, ORDERS_TOO, gone)
    [problem] = proved(world).problems
    assert problem == (
        f"orders: {gone.key} (version {gone.version_id}) has 0 rows in it, but the ledger says 3. "
        "Process its day 2026-02-01 again: the rows replace themselves"
    )


def test_one_row_gone_from_the_table_is_named(world: World) -> None:
    assert isinstance(world.tables, MemoryTables)
    found = source(world, orders_key("a"))
    state = world.tables._tables["orders"].states[-1]
    files = tuple(
        replace(file, rows={s: rows.slice(1) if s == found else rows for s, rows in file.rows.items()})
        for file in state.files
    )
    world.tables._tables["orders"].states.append(replace(state, snapshot_id=999, files=files))
    [problem] = proved(world).problems
    assert "has 2 rows in it, but the ledger says 3" in problem


def test_a_rejected_row_gone_is_named(world: World) -> None:
    take_out(world, rejected_dataset(ORDERS_TOO), source(world, orders_key("b")))
    [problem] = proved(world).problems
    assert problem.startswith(
        f"orders__rejected: {orders_key('b')} (version v2) has 0 rows in it, but the ledger says 1"
    )


def test_rows_of_a_file_that_does_not_serve_are_named(world: World) -> None:
    entry = next(e for e in world.entries() if e.version.version_id == "v3")
    world.items.write([Update(entry_key(entry.ref), set_={"serving": False})])
    count(world, "2026-02-02", rows_in_table=-1, rows_read=-1, serving_files=-1, loaded=-1, superseded=1)
    [problem] = proved(world).problems
    assert problem.startswith(
        f"orders: {entry.version.key} (version v3) has 1 row in it, but the ledger says 0 (loaded). Process its day"
    )


def count(world: World, day: str, **add: int) -> None:
    """Change counters behind the ledger's back."""
    key = next(k for k in world.items.items() if k.pk == "counts#orders" and k.sk.startswith(day))
    world.items.write([Update(key, add=add)])


def test_rows_that_the_ledger_knows_nothing_of_are_named(world: World) -> None:
    entry = next(e for e in world.entries() if e.version.version_id == "v3")
    world.items.write([Delete(entry_key(entry.ref))])
    problems = proved(world).problems
    assert (
        f"orders: it has 1 row of {entry.version.key} (version v3), of which the ledger knows nothing. "
        "Did another program write into the table?"
    ) in problems
    assert any(f"{entry.version.key} (version v3) is in the bucket, but not in the ledger" in p for p in problems)


@pytest.mark.parametrize(
    ("add", "told"),
    [
        ({"loaded": 1}, "orders, 2026-02-02: 1 objects were seen, but 2 have an outcome"),
        ({"objects": 1}, "orders, 2026-02-02: 2 objects were seen, but 1 have an outcome"),
        (
            {"objects": 1, "loaded": 1, "serving_files": 1},
            "orders, 2026-02-02: the ledger counts 2 objects, but holds 1 entry",
        ),
        ({"rows_read": 1}, "orders, 2026-02-02: serving files hold 2 rows, but 1 are in the table and 0 rejected"),
        (
            {"rows_read": 1, "rows_in_table": 1},
            "orders: of 2026-02-02 the ledger counts 2 rows, but its files that serve have 1",
        ),
        (
            {"rows_read": 1, "rows_rejected": 1},
            "orders__rejected: of 2026-02-02 the ledger counts 1 rejected rows, but its files that serve have 0",
        ),
    ],
)
def test_a_counter_that_was_changed_is_named(world: World, add: dict[str, int], told: str) -> None:
    count(world, "2026-02-02", **add)
    assert told in proved(world).problems


def test_an_entry_whose_rows_were_changed_is_named(world: World) -> None:
    entry = next(e for e in world.entries() if e.version.version_id == "v3")
    assert entry.facts is not None
    changed = encode_entry(replace(entry, facts=replace(entry.facts, rows_accepted=9)))
    world.items.write([Update(entry_key(entry.ref), set_=changed)])
    problems = proved(world).problems
    assert any("(version v3) has 1 row in it, but the ledger says 9" in problem for problem in problems)


def test_a_file_in_the_bucket_without_entry_is_named(world: World) -> None:
    lost = ObjectVersion(BUCKET, orders_key("lost"), "v99", None, 1, "e", world.clock() - timedelta(hours=1))
    world.store.put_version(lost, b"x")
    [problem] = proved(world).problems
    assert problem == f"{lost.key} (version v99) is in the bucket, but not in the ledger: run `lakegate sweep`"


# ---- what cannot be said ------------------------------------------------------------------------------------------


def test_without_a_sweep_the_last_one_counts_and_none_is_a_problem(world: World) -> None:
    assert [p.split(":")[0] for p in prove(world.gate()).problems] == [
        "the files that no dataset claims were never compared with the bucket",
        "the files of clicks were never compared with the bucket",
        "the files of orders were never compared with the bucket",
    ]
    sweep(world.gate())
    proof = prove(world.gate())
    assert proof.problems == ()
    assert {bucket.at for bucket in proof.buckets} == {world.clock()}
    count(world, "2026-02-02", objects=1, loaded=1, serving_files=1)
    sweep(world.gate(), pause=lambda _: None)
    assert "orders, 2026-02-02: the ledger counts 2 objects, but holds 1 entry" in prove(world.gate()).problems


def test_a_table_nobody_can_look_into_is_a_problem_and_not_all_is_well(world: World) -> None:
    class Deaf:
        def query(self, sql: str) -> QueryResult:
            raise QueryFailedError("the engine is\nasleep")

    proof = prove(replace(world.gate(), queries=Deaf()), sweep(world.gate(), correct=False))
    assert proof.problems[0] == "orders: nobody could look into the table: the engine is asleep"
    assert "this deployment has no query engine" in prove(replace(world.gate(), queries=None)).problems[-1]


def test_a_dataset_without_a_table_yet_is_a_note(world: World) -> None:
    proof = prove(World(items=world.items).gate())
    assert any("the ledger says 7 rows, but the table cannot be read" in problem for problem in proof.problems)
    assert proof.notes == ("clicks: no run has made the table yet",)


def test_a_dataset_that_is_no_longer_described_is_a_note(world: World) -> None:
    gate = replace(world.gate(), datasets=DatasetCatalog(()))
    assert prove(gate).notes[0].startswith("clicks: its table was not looked into")


# ---- while work is under way --------------------------------------------------------------------------------------


def test_a_commit_that_the_ledger_does_not_know_yet_is_not_judged(world: World) -> None:
    gate = world.gate()
    settle = gate.ledger.settle
    seen: list[Proof] = []

    def prove_first(claim: Claim, outcomes: Sequence[FileOutcome], *more: Any) -> SettleReport:
        seen.append(proved(world))
        return settle(claim, outcomes, *more)

    world.put(orders_key("a"), orders(8))
    world.put(orders_key("c", "2026-02-02"), orders(6, 9))
    receive(gate, wait_s=0, budget_s=60)
    gate.ledger.settle = prove_first  # type: ignore[method-assign]
    for launch in dispatch(gate, lambda keys: {}).launches:
        world.run(gate, launch)
    assert len(seen) == 2
    assert [proof.problems for proof in seen] == [(), ()]
    assert all(proof.moving for proof in seen)
    assert proved(world).problems == ()
    assert proved(world).moving == 0


@pytest.mark.parametrize("page", [2, 3, 4, 100])
def test_pages_of_any_size_say_the_same(world: World, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_proof, "_FILES_A_PAGE", page)
    monkeypatch.setattr(table_proof, "_AT_ONCE", 1)
    world.put(orders_key("it's ö"), orders(70))
    world.settle_down()
    assert proved(world).problems == ()
    assert proved(world).rows("orders") == 8
    take_out(world, ORDERS_TOO, source(world, orders_key("it's ö")))
    assert len(proved(world).problems) == 1


def test_of_many_differences_the_first_are_listed(world: World) -> None:
    for n in range(25):
        world.put(orders_key(f"many{n}"), orders(n))
    world.settle_down()
    take_out(world, ORDERS_TOO, *(source(world, orders_key(f"many{n}")) for n in range(25)))
    problems = proved(world).problems
    assert len(problems) == 21
    assert problems[-1] == "orders: more differences like these are not listed"
