"""Files that bring columns and wider numbers: the table grows once, for accepted files alone, and every row is read back as sent."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.accounting.states import BatchState
from pipelines.errors import TableMismatchError
from pipelines.intake.dispatching import RunState
from pipelines.publication.growing import GrowingTable
from pipelines.reports import BatchReport
from resources.folder import folder_tables
from resources.memory_tables import MemoryTables
from tests.ingest.fragile import Died, Fuse, How, fragile
from tests.ingest.world import BUCKET, World, dataset, file_of, orders_key, planned

GROWING = """
name: orders
description: Orders of a shop whose system changes often.
landing: {key: "landing/orders/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: int, nullable: false}
  amount: {type: "decimal(5,2)"}
  weight: {type: float}
partition_by: [day]
primary_key: [id]
schema: {new_columns: add, missing_columns: allow, type_changes: widen}
"""
JSON = GROWING.replace(".csv", ".jsonl").replace("{type: csv}", "{type: jsonl}")
BIG = 5_000_000_000
LONGER_THAN_A_LEASE_S = 61


@pytest.fixture(params=["memory", "folder"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return growing() if request.param == "memory" else growing(folder_tables(tmp_path / "lake"))


def growing(tables: Any = None, text: str = GROWING) -> World:
    of = (dataset(text),)
    return World(datasets=of) if tables is None else World(tables=tables, datasets=of)


def ensured(of: Any) -> MemoryTables:
    tables = MemoryTables()
    tables.ensure(of)
    return tables


def types(world: World) -> dict[str, str]:
    return {field.name: str(field.type) for field in world.tables.columns(world.datasets[0])}


def picked(world: World, *names: str) -> list[tuple[Any, ...]]:
    """These columns of every row, in order of id."""
    return [tuple(row[name] for name in names) for row in sorted(world.rows(), key=lambda row: row["id"])]


def test_a_batch_of_every_generation_loads_into_one_table(world: World) -> None:
    world.put(orders_key("a"), b"id,amount\n1,1.50\n")
    world.settle_down()
    files = [
        world.put(orders_key("b"), b"id,amount,weight\n2,2.50,0.5\n"),
        world.put(orders_key("c"), b"Gate No.,id,amount\nA7,3,3.50\n"),
        world.put(orders_key("d"), f"id,amount,gate no.,Ort\n{BIG},12345678.90,B8,K\u00f6ln\n".encode()),
        world.put(orders_key("e"), b"weight,id\n1e39,4\n"),
    ]
    [report] = world.settle_down()
    assert [file_of([report], file).rows_loaded for file in files] == [1, 1, 1, 1]
    assert report.columns_added == {"gate_no": "Gate No.", "ort": "Ort"}
    assert report.types_widened == {
        "id": ("int", "bigint"),
        "amount": ("decimal(5,2)", "decimal(18,2)"),
        "weight": ("float", "double"),
    }
    assert report.reconciled
    assert picked(world, "id", "amount", "weight", "gate_no", "ort") == [
        (1, Decimal("1.50"), None, None, None),
        (2, Decimal("2.50"), 0.5, None, None),
        (3, Decimal("3.50"), None, "A7", None),
        (4, None, 1e39, None, None),
        (BIG, Decimal("12345678.90"), None, "B8", "K\u00f6ln"),
    ]
    world.assert_balanced()


def test_a_later_batch_fills_what_was_added_and_the_table_grows_no_more(world: World) -> None:
    world.put(orders_key("a"), f"id,\u00d6rtchen\n{BIG},x\n".encode())
    world.settle_down()
    before = types(world)
    world.put(orders_key("b"), f"\u00d6rtchen,id\ny,{BIG + 1}\n".encode())
    [report] = world.settle_down()
    assert (report.columns_added, report.types_widened) == ({}, {})
    assert types(world) == before
    assert picked(world, "id", "ortchen") == [(BIG, "x"), (BIG + 1, "y")]


def test_batches_after_the_growth_share_one_dataset_and_its_plan(world: World, tmp_path: Path) -> None:
    world.put(orders_key("a"), f"id,gate\n{BIG},x\n".encode())
    world.settle_down()
    of, at = world.datasets[0], world.clock()
    grown: list[Any] = []
    for number in range(2):
        with GrowingTable(world.tables, of, f"b{number}", 1, tmp_path / "scratch", at) as table:
            grown.append(table.dataset)
    assert grown[0] is grown[1]
    assert "gate" in grown[0].columns
    plain = dataset(
        GROWING.replace("new_columns: add", "new_columns: reject").replace(
            "type_changes: widen", "type_changes: rescue"
        )
    )
    with GrowingTable(ensured(plain), plain, "b", 1, tmp_path / "scratch", at) as table:
        assert table.dataset is plain, "nothing may grow: the table is not even looked at"


def test_correcting_a_file_of_the_first_generation_leaves_its_neighbours_as_they_were(world: World) -> None:
    world.put(orders_key("a"), b"id,amount\n1,1.50\n")
    world.put(orders_key("b"), b"id,amount\n2,2.50\n")
    world.settle_down()
    world.put(orders_key("c"), f"id,amount,gate\n{BIG},3.50,A7\n".encode())
    world.settle_down()
    world.put(orders_key("a"), f"id,amount,gate\n{BIG + 1},4.50,B8\n".encode())
    world.settle_down()
    assert picked(world, "id", "amount", "gate") == [
        (2, Decimal("2.50"), None),
        (BIG, Decimal("3.50"), "A7"),
        (BIG + 1, Decimal("4.50"), "B8"),
    ]
    world.put(orders_key("b"), b"id\n7\n")
    world.settle_down()
    assert picked(world, "id", "gate") == [(7, None), (BIG, "A7"), (BIG + 1, "B8")]
    world.assert_balanced()


def test_a_rejected_file_changes_no_table(world: World) -> None:
    world.put(orders_key("a"), b"id,amount\n1,1.50\n")
    world.settle_down()
    before = types(world)
    bad = world.put(orders_key("b"), f"id,amount,gate\n{BIG},1.50,x\nnone,1.50,y\n".encode())
    empty = world.put(orders_key("c"), b"id,amount,gate\n")
    world.settle_down()
    assert world.outcome(bad) == "quarantined"
    assert [v.rule for v in world.report_of(bad).violations] == ["type"]
    assert world.outcome(empty) == "empty"
    assert types(world) == before


def test_what_iceberg_cannot_widen_is_refused(world: World) -> None:
    wrong = world.put(orders_key("a"), f"id,amount\n{BIG},1.505\n".encode())
    world.settle_down()
    assert world.outcome(wrong) == "quarantined"
    assert [v.rule for v in world.report_of(wrong).violations] == ["number_range"]


def test_a_name_that_another_column_of_the_table_has_is_refused_with_both(world: World) -> None:
    """The contract had it once, as a number: the table has it still."""
    of = dataset(GROWING.replace("  weight:", "  gate_no: {type: int}\n  weight_in: {type: date}\n  weight:"))
    world.tables.ensure(of)
    wrong = world.put(orders_key("a"), b"id,Gate No.,Weight In\n1,A7,5\n")
    good = world.put(orders_key("b"), b"id,gate\n2,A7\n")
    world.settle_down()
    assert world.outcome(good) == "loaded"
    assert world.outcome(wrong) == "quarantined"
    violation, other = world.report_of(wrong).violations
    assert other.column == "Weight In"
    assert (violation.rule, violation.column, violation.line) == ("header_duplicate", "Gate No.", 1)
    assert "gate_no" in violation.expected
    assert "int" in violation.expected


def test_two_files_of_a_batch_whose_names_become_one_are_not_mixed(world: World) -> None:
    first = world.put(orders_key("a"), "id,\u00d6rtchen\n1,x\n".encode())
    second = world.put(orders_key("b"), "id,\u00d3rtchen\n2,y\n".encode())
    world.settle_down()
    assert (world.outcome(first), world.outcome(second)) == ("loaded", "quarantined")
    assert picked(world, "id", "ortchen") == [(1, "x")]


def test_the_limit_of_columns_holds_for_all_files_together() -> None:
    world = growing(text=GROWING + "limits: {columns: 6}\n")
    files = [world.put(orders_key(f"f{n}"), f"id,amount,x{n}\n{n},1,v\n".encode()) for n in range(4)]
    world.settle_down()
    assert [world.outcome(file) for file in files] == ["loaded", "loaded", "quarantined", "quarantined"]
    assert [v.rule for v in world.report_of(files[2]).violations] == ["column_count"]


def test_json_brings_columns_as_text(tmp_path: Path) -> None:
    world = growing(folder_tables(tmp_path / "lake"), JSON)
    key = orders_key("a").replace(".csv", ".jsonl")
    world.put(
        key,
        b'{"id": 1}\n{"id": 5000000000, "Tags": ["a", 1.10], "note": "x", "amount": 1e5}\n{"id": 2, "note": true}\n',
    )
    [report] = world.settle_down()
    assert report.columns_added == {"tags": "Tags", "note": "note"}
    assert picked(world, "id", "tags", "note", "amount") == [
        (1, None, None, None),
        (2, None, "true", None),
        (BIG, '["a",1.10]', "x", Decimal("100000.00")),
    ]


def test_without_the_modes_a_wider_table_is_refused_until_the_contract_follows(world: World) -> None:
    world.put(orders_key("a"), f"id,amount\n{BIG},1\n".encode())
    world.settle_down()
    tables = world.tables
    with pytest.raises(TableMismatchError, match="write type: bigint"):
        tables.ensure(dataset(GROWING.replace("widen", "reject")))
    tables.ensure(dataset(GROWING.replace("widen", "reject").replace("type: int", "type: bigint")))


def test_rescuing_and_widening_together(world: World) -> None:
    world.datasets = (dataset(GROWING.replace("type_changes: widen", "type_changes: widen_or_rescue")),)
    world.put(orders_key("a"), f"id,amount,weight\n1,1.505,heavy\n{BIG},1234567.5,1\n".encode())
    [report] = world.settle_down()
    assert dict(report.rescued) == {"amount": 1, "weight": 1}
    assert set(report.types_widened) == {"id", "amount"}
    assert [row["_rescued"] is None for row in sorted(world.rows(), key=lambda row: row["id"])] == [False, True]
    wrong = world.put(orders_key("b"), b"id,amount\nx,1\n")
    world.settle_down()
    assert world.outcome(wrong) == "quarantined", "the primary key is never null: nothing can be rescued from it"


def test_bad_rows_stand_beside_a_table_that_grows_and_are_counted_once(world: World) -> None:
    by_rows = (
        GROWING.replace("type_changes: widen", "type_changes: widen_or_rescue")
        + "rows: {on_bad: quarantine_rows, max_bad: 50%}\n"
    )
    world.datasets = (dataset(by_rows),)
    file = world.put(orders_key("a"), f"id,amount,gate\n1,1.50,x\n{BIG},heavy,y\nnone,1.00,z\n".encode())
    [report] = world.settle_down()
    told = file_of([report], file)
    assert (told.rows_read, told.rows_loaded, told.rows_rejected) == (3, 2, 1)
    assert dict(report.rescued) == {"amount": 1}
    assert picked(world, "id", "amount", "gate") == [(1, Decimal("1.50"), "x"), (BIG, None, "y")]
    assert [row["raw"] for row in world.rejected()] == ["none,1.00,z"]
    world.assert_balanced()


# ---- other workers, and death


def test_a_worker_that_staged_before_the_table_grew_commits_all_the_same(world: World) -> None:
    """The other's batch grows the table between this one's reading and its commit."""
    world.put(orders_key("a", date(2026, 2, 1)), b"id,amount,weight\n1,1.50,0.5\n")
    [late] = planned(world)
    world.put(orders_key("b", date(2026, 2, 2)), f"id,amount,weight,gate\n{BIG},12345678.90,1e39,A7\n".encode())
    early = next(launch for launch in planned(world) if launch.run_key != late.run_key)
    grown: list[BatchReport] = []

    class Between:
        """The tables, with another worker's whole run before the first commit."""

        def __getattr__(self, name: str) -> Any:
            if name == "commit" and not grown:
                grown.extend(world.run(world.gate(), early, "other"))
            return getattr(world.tables, name)

    ports = world.ports
    ports.tables = Between()
    [report] = world.run(world.gate(ports), late, "late")
    assert [r.rows_loaded for r in grown] == [1]
    assert report.rows_loaded == 1
    assert picked(world, "id", "amount", "weight", "gate") == [
        (1, Decimal("1.50"), 0.5, None),
        (BIG, Decimal("12345678.90"), 1e39, "A7"),
    ]
    world.assert_balanced()


def test_two_workers_grow_a_table_at_once(world: World) -> None:
    """Both saw the narrow table; the second finds done what it was about to do, and adds the rest."""
    world.put(orders_key("a", date(2026, 2, 1)), f"id,gate,mine\n{BIG},A7,1\n".encode())
    [late] = planned(world)
    world.put(orders_key("b", date(2026, 2, 2)), f"id,gate,theirs\n{BIG + 1},B8,2\n".encode())
    early = next(launch for launch in planned(world) if launch.run_key != late.run_key)
    ran: list[BatchReport] = []
    ensured: list[str] = []

    class Between:
        """The tables, with another worker's whole run before this one's second look: that to let the table grow."""

        def __getattr__(self, name: str) -> Any:
            if name == "ensure":
                ensured.append(name)
                if len(ensured) == 2 and not ran:
                    ran.extend(world.run(world.gate(), early, "other"))
            return getattr(world.tables, name)

    ports = world.ports
    ports.tables = Between()
    [report] = world.run(world.gate(ports), late, "late")
    assert ran
    assert report.rows_loaded == 1
    assert picked(world, "id", "gate", "mine", "theirs") == [(BIG, "A7", "1", None), (BIG + 1, "B8", None, "2")]


def test_a_worker_that_lost_its_batch_while_reading_changes_no_table(world: World) -> None:
    world.put(orders_key("a"), f"id,gate\n{BIG},A7\n".encode())
    [launch] = planned(world)
    asked: list[str] = []
    store, tables = world.store, world.tables

    class SlowStore:
        """The store, in whose first reading the lease runs out and another worker does the batch."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def read(self, version: Any) -> Any:
            if "read" not in asked:
                asked.append("read")
                world.clock.turn(LONGER_THAN_A_LEASE_S)
                gate = world.gate()
                [batch] = gate.ledger.live_batches("orders")
                assert isinstance(world.take(gate, world.datasets[0], batch.batch_id, "other"), BatchReport)
            return store.read(version)

    class Watched:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return getattr(tables, name)

    ports = world.ports
    ports.store, ports.tables = SlowStore(), Watched()
    assert world.run(world.gate(ports), launch, "late") == []
    assert asked.index("read") > asked.index("ensure")
    assert not {"ensure", "commit"} & set(asked[asked.index("read") :])
    assert picked(world, "id", "gate") == [(BIG, "A7")]
    world.assert_balanced()


def scenario(world: World) -> World:
    """One file is loaded; then files land that let the table grow, a bad one, and a correction of the first."""
    world.put(orders_key("a"), b"id,amount\n1,1.50\n")
    world.settle_down()
    world.put(orders_key("b"), b"id,amount\n2,2.50\n")
    world.put(orders_key("c"), f"id,amount,gate\n{BIG},12345678.90,A7\n".encode())
    world.put(orders_key("d"), b"id,amount,never\nnone,1,x\n")
    world.put(orders_key("a"), b"id,amount,gate\n6,6.50,B8\n")
    return world


def undisturbed() -> tuple[dict[str, Any], dict[str, str], list[str]]:
    world, fuse = scenario(growing()), Fuse()
    world.settle_down(fragile(world.ports, fuse))
    world.assert_balanced()
    return world.state(), types(world), fuse.calls


EXPECTED, EXPECTED_TYPES, CALLS = undisturbed()


def assert_same_end(world: World) -> None:
    world.settle_down(owner="second")
    assert world.state() == EXPECTED
    assert types(world) == EXPECTED_TYPES
    world.assert_balanced()


def die(world: World, fuse: Fuse) -> bool:
    try:
        world.settle_down(fragile(world.ports, fuse), owner="first")
    except Died:
        return True
    return fuse.dead


def test_the_scenario_lets_the_table_grow() -> None:
    assert [row["id"] for row in EXPECTED["rows"]] == [6, 2, BIG]
    assert EXPECTED_TYPES["id"] == "int64"
    assert "gate" in EXPECTED_TYPES
    assert "never" not in EXPECTED_TYPES
    # The run makes sure of its table, and the batch lets it grow.
    assert CALLS.count("tables.ensure") == 2
    assert "tables.columns" in CALLS


@pytest.mark.parametrize("how", ["before", "after"])
def test_dying_at_any_call_of_a_batch_that_lets_its_table_grow(how: How) -> None:
    for at in range(len(CALLS)):
        world = scenario(growing())
        assert die(world, Fuse(at, how=how)), f"call {at} of {CALLS[at]} was not made"
        world.runs = {key: RunState.FAILED if s is RunState.STARTED else s for key, s in world.runs.items()}
        world.clock.turn(LONGER_THAN_A_LEASE_S)
        assert_same_end(world)


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize(("call", "nth"), [("tables.ensure", 2), ("tables.file_schema", 2), ("tables.commit", 1)])
def test_dying_around_the_growth_on_iceberg(tmp_path: Path, call: str, nth: int, how: How) -> None:
    world = scenario(growing(folder_tables(tmp_path / "lake")))
    assert die(world, Fuse(name=call, nth=nth, how=how))
    world.clock.turn(LONGER_THAN_A_LEASE_S)
    gate = world.gate()
    for batch in gate.ledger.live_batches("orders"):
        assert batch.state is not BatchState.DONE
        assert isinstance(world.take(gate, world.datasets[0], batch.batch_id, "second"), BatchReport)
        world.runs[batch.run_key] = RunState.SUCCEEDED
    assert_same_end(world)


def test_bytes_are_read_by_version_each_time(world: World) -> None:
    """The second reading is of the same version: a newer one that lands in between is another file."""
    file = world.put(orders_key("a"), f"id,gate\n{BIG},A7\n".encode())
    read: list[str] = []
    inner = world.store

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def read(self, version: Any) -> Any:
            assert version.bucket == BUCKET
            read.append(version.version_id)
            return inner.read(version)

    ports = world.ports
    ports.store = Watched()
    world.settle_down(ports)
    assert read == [file.version_id, file.version_id]
