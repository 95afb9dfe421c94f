"""One behaviour suite for tables: in memory, in SQLite over a folder, and in Glue with S3 as the laptop's AWS serves them.

What opens data files and metadata is asked of Iceberg's tables alone (`iceberg`).
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from pipelines.errors import PermanentError, TableMismatchError
from pipelines.ports import Committed, Conflict, SourceInTable, TableSnapshot
from resources.folder import FolderObjectStore, folder_tables
from resources.memory_tables import MemoryTables
from tests.publication.samples import COLUMNS, dataset, row, source
from tests.resources.table_world import World

JAN_1, JAN_2 = date(2024, 1, 1), date(2024, 1, 2)


def test_rows_come_back_as_they_were_staged_with_their_provenance(world: World) -> None:
    rows = [row(n, day=date(2024, 1, 1 + n % 3)) for n in range(20)]
    committed = world.publish("b1", {source("landing/a.csv"): rows})
    assert (committed.rows_added, committed.rows_removed, committed.files_added, committed.files_rewritten) == (
        20,
        0,
        3,
        0,
    )
    table = world.arrow().sort_by("id")
    assert table.select(list(COLUMNS)).to_pylist() == [{name: r[name] for name in COLUMNS} for r in rows]
    assert table["_source_line"].to_pylist() == [r["_source_line"] for r in rows]
    assert set(table["_source_file"].to_pylist()) == {"landing/a.csv"}
    assert set(table["_batch_id"].to_pylist()) == {"b1"}
    assert str(table["_ingested_at"][0].as_py()) == "2026-11-01 12:30:00+00:00"


def test_a_second_reader_sees_the_same_rows(world: World, tmp_path: Path) -> None:
    """Polars over the bare data files: what Athena would read, without PyIceberg's help."""
    world.publish("b1", {source("a"): [row(n, day=date(2024, 1, 1 + n % 2)) for n in range(50)]})
    store = world.iceberg._store
    frames: list[pl.DataFrame] = []
    for task in world.iceberg.load(world.of).scan().plan_files():
        bucket, prefix = world.tables.data_location(world.of)
        below = task.file.file_path.removeprefix(store.uri(bucket, prefix))
        assert below.startswith("/day=2024-01-0")
        key = prefix + below
        frames.append(pl.read_parquet(store.get_bytes(bucket, key), hive_partitioning=False))
    theirs = pl.concat(frames).sort("id").to_arrow().cast(world.arrow().schema)
    assert theirs.to_pylist() == world.arrow().sort_by("id").to_pylist()


def test_scans_prune_by_partition_and_by_statistics(world: World) -> None:
    world.publish(
        "b1", {source("a"): [row(n, day=JAN_1) for n in range(10)] + [row(n, day=JAN_2) for n in range(90, 99)]}
    )
    table = world.iceberg.load(world.of)
    assert len(list(table.scan().plan_files())) == 2
    assert len(list(table.scan("day = '2024-01-02'").plan_files())) == 1
    assert len(list(table.scan("id > 50").plan_files())) == 1
    assert len(list(table.scan("price > 500").plan_files())) == 0


def test_a_corrected_file_replaces_its_rows_in_its_partition(world: World) -> None:
    world.publish("b1", {source("a"): [row(1), row(2)], source("b"): [row(3)]})
    committed = world.publish("b2", {source("a", "v2"): [row(1), row(4), row(5)]}, removes=[source("a")])
    assert (committed.rows_added, committed.rows_removed, committed.files_rewritten) == (3, 2, 1)
    assert world.ids() == {("a", "v2"): [1, 4, 5], ("b", "v1"): [3]}


def test_the_rows_of_a_replaced_version_can_still_be_read_from_the_state_before(world: World) -> None:
    world.publish("b1", {source("a"): [row(1, JAN_1), row(2, JAN_2)], source("b"): [row(3)]})
    base = world.tables.current(world.of)
    world.publish("b2", {source("a", "v2"): [row(9)]}, removes=[source("a")])
    found = list(world.tables.read_rows(base, world.of, [source("a"), source("c")]))
    assert {one for one, _ in found} == {source("a")}
    columns = world.tables.columns(world.of)
    assert all(rows.column_names == columns.names for _, rows in found)
    assert sorted(n for _, rows in found for n in rows["id"].to_pylist()) == [1, 2]
    assert list(world.tables.read_rows(world.tables.current(world.of), world.of, [source("a")])) == []


def test_a_corrected_file_replaces_its_rows_in_other_partitions(world: World) -> None:
    world.publish("b1", {source("a"): [row(1, JAN_1), row(2, JAN_2)]})
    committed = world.publish("b2", {source("a", "v2"): [row(1, date(2024, 3, 1))]}, removes=[source("a")])
    # Files that held nothing else are dropped, not rewritten.
    assert (committed.rows_removed, committed.files_rewritten) == (2, 0)
    assert world.ids() == {("a", "v2"): [1]}
    assert [t.file.partition[0] for t in world.iceberg.load(world.of).scan().plan_files()] == [
        (date(2024, 3, 1) - date(1970, 1, 1)).days
    ]


def test_replacing_one_of_a_hundred_files_leaves_the_others_as_they_were(world: World) -> None:
    files = {
        source(f"f{n:03}", f"x{n}"): [row(n * 10 + k, date(2024, 1, 1 + k % 3)) for k in range(5)] for n in range(100)
    }
    world.publish("b1", files)
    before = world.arrow()
    world.publish("b2", {source("f050", "new"): [row(7)]}, removes=[source("f050", "x50")])
    after = world.arrow()

    def others(table: pa.Table) -> list[dict[str, Any]]:
        kept = [r for r in table.to_pylist() if r["_source_file"] != "f050"]
        return sorted(kept, key=lambda r: r["id"])

    assert others(after) == others(before)
    assert after.num_rows == 99 * 5 + 1


def test_bytes_that_come_back_are_a_version_of_their_own(world: World) -> None:
    a, b = [row(1), row(2)], [row(3)]
    world.publish("b1", {source("k", "v1"): a})
    world.publish("b2", {source("k", "v2"): b}, removes=[source("k", "v1")])
    world.publish("b3", {source("k", "v3"): a}, removes=[source("k", "v2")])
    assert world.ids() == {("k", "v3"): [1, 2]}


def test_a_version_processed_again_replaces_itself(world: World) -> None:
    world.publish("b1", {source("k"): [row(1), row(2)], source("other"): [row(9)]})
    committed = world.publish("b2", {source("k"): [row(1), row(2), row(3)]}, removes=[source("k")])
    assert (committed.rows_added, committed.rows_removed) == (3, 2)
    assert world.ids() == {("k", "v1"): [1, 2, 3], ("other", "v1"): [9]}


def test_only_the_pair_of_key_and_version_is_removed(world: World) -> None:
    world.publish(
        "b1",
        {
            source("a", "v1"): [row(1)],
            source("b", "v1"): [row(2)],
            source("a", "v2"): [row(3)],
            source("b", "v2"): [row(4)],
        },
    )
    world.publish("b2", {}, removes=[source("a", "v1"), source("b", "v2")])
    assert world.ids() == {("b", "v1"): [2], ("a", "v2"): [3]}


def test_rows_can_leave_without_others_coming(world: World) -> None:
    world.publish("b1", {source("a"): [row(1)]})
    committed = world.publish("b2", {}, removes=[source("a")])
    assert (committed.rows_added, committed.rows_removed) == (0, 1)
    assert world.arrow().num_rows == 0


def test_a_commit_planned_on_an_older_state_changes_nothing(world: World) -> None:
    world.publish("b1", {source("a"): [row(1)]})
    late = world.change("late", {source("a", "v2"): [row(2)]}, removes=[source("a")])
    world.publish("b2", {source("b"): [row(3)]})
    assert world.tables.commit(world.of, late) == Conflict()
    assert world.ids() == {("a", "v1"): [1], ("b", "v1"): [3]}
    assert world.tables.find_batch(world.of, "late") is None
    again = replace(late, base=world.tables.current(world.of))
    assert isinstance(world.tables.commit(world.of, again), Committed)
    assert world.ids() == {("a", "v2"): [2], ("b", "v1"): [3]}


def test_a_commit_that_loses_the_race_inside_the_catalog_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other writer comes between our look at the table and the catalog's compare-and-set."""
    rival, catalog = world.connect(), world.iceberg.catalog
    change = world.change("b1", {source("a"): [row(1)]})
    theirs = world.change("rival", {source("r"): [row(2)]}, tables=rival)
    commit_table = catalog.commit_table

    def commit_after_the_rival(*arguments: Any) -> Any:
        assert isinstance(rival.commit(world.of, theirs), Committed)
        return commit_table(*arguments)

    monkeypatch.setattr(catalog, "commit_table", commit_after_the_rival)
    assert world.tables.commit(world.of, change) == Conflict()
    assert world.ids() == {("r", "v1"): [2]}


def test_a_conflict_that_is_the_echo_of_our_own_commit_is_a_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer was lost, the SDK sent the request again, and the catalog refused the second: the first counted."""
    from pyiceberg.exceptions import CommitFailedException

    commit_table = world.iceberg.catalog.commit_table

    def commit_and_deny(*arguments: Any) -> None:
        commit_table(*arguments)
        raise CommitFailedException("Glue detected concurrent update")

    monkeypatch.setattr(world.iceberg.catalog, "commit_table", commit_and_deny)
    assert isinstance(world.tables.commit(world.of, world.change("b1", {source("a"): [row(1)]})), Committed)
    monkeypatch.undo()
    assert world.ids() == {("a", "v1"): [1]}


def test_a_batch_is_recognised_with_its_numbers_by_another_worker(world: World) -> None:
    world.publish("b0", {source("a"): [row(1), row(2)]})
    committed = world.publish("b1", {source("a", "v2"): [row(3)]}, removes=[source("a")])
    world.publish("b2", {source("c"): [row(4)]})
    later = world.connect()
    assert later.find_batch(world.of, "b1") == committed
    assert later.find_batch(world.of, "b") is None


def test_three_writers_at_once_lose_nothing(world: World) -> None:
    commits = 4

    def work(writer: int) -> None:
        tables = world.connect()
        for number in range(commits):
            files = {source(f"w{writer}", f"v{number}"): [row(writer * 100 + number)]}
            change = world.change(f"w{writer}-{number}", files, tables=tables)
            while isinstance(tables.commit(world.of, change), Conflict):
                change = replace(change, base=tables.current(world.of))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(world.arrow()["id"].to_pylist()) == [w * 100 + n for w in range(3) for n in range(commits)]


def test_versions_are_found_with_their_rows_in_the_state_asked_for(world: World) -> None:
    world.publish("b1", {source("a"): [row(1, JAN_1), row(2, JAN_2)], source("b", "v9"): [row(3)]})
    before = world.tables.current(world.of)
    world.publish("b2", {source("a", "v2"): [row(4)]}, removes=[source("a")])
    asked = [source("a"), source("a", "v2"), source("b", "v9"), source("b"), source("zz")]
    assert list(world.tables.find_sources(before, world.of, asked)) == [
        SourceInTable(source("a"), 2),
        SourceInTable(source("b", "v9"), 1),
    ]
    assert list(world.tables.find_sources(world.tables.current(world.of), world.of, asked)) == [
        SourceInTable(source("a", "v2"), 1),
        SourceInTable(source("b", "v9"), 1),
    ]
    assert list(world.tables.find_sources(TableSnapshot("x", None), world.of, asked)) == []


def test_the_first_state_of_a_table_is_no_snapshot(world: World) -> None:
    assert world.tables.current(world.of).snapshot_id is None
    assert world.tables.find_batch(world.of, "b1") is None
    late = world.change("late", {source("a"): [row(1)]})
    world.publish("b1", {source("b"): [row(2)]})
    assert world.tables.commit(world.of, late) == Conflict()


def test_every_partition_transform_is_understood_by_the_reader(connect: Any, tmp_path: Path) -> None:
    of = dataset(
        f"flights_{uuid.uuid4().hex[:12]}",
        partition_by=["carrier", "day(at)", "month(day)", "bucket(8, id)", "ok"],
        columns={**COLUMNS, "ok": {"type": "boolean", "nullable": False}},
    )
    world = World(connect, tmp_path / "scratch", of)
    rows = [row(n, day=date(2024, 1 + n % 5, 3), ok=n % 2 == 0) for n in range(40)]
    world.publish("b1", {source("a"): rows, source("b"): [row(100, ok=True)]})
    world.publish("b2", {}, removes=[source("b")])
    assert sorted(world.arrow()["id"].to_pylist()) == list(range(40))
    table = world.iceberg.load(of)
    for condition, expected in {
        "carrier = 'größe'": [n for n in range(40) if n % 3 == 1],
        "carrier = 'a/b=c'": [n for n in range(40) if n % 3 == 2],
        "id = 17": [17],
        "ok = true": [n for n in range(40) if n % 2 == 0],
        "day >= '2024-04-01'": [n for n in range(40) if n % 5 >= 3],
        "at < '2024-01-01T00:00:05+00:00'": list(range(5)),
    }.items():
        assert sorted(table.scan(condition).to_arrow()["id"].to_pylist()) == expected, condition


def test_an_unpartitioned_table_has_its_files_right_below_its_location(connect: Any, tmp_path: Path) -> None:
    world = World(connect, tmp_path / "scratch", dataset(f"flights_{uuid.uuid4().hex[:12]}", partition_by=()))
    world.publish("b1", {source("a"): [row(1)], source("b"): [row(2)]})
    world.publish("b2", {}, removes=[source("a")])
    [task] = world.iceberg.load(world.of).scan().plan_files()
    bucket, prefix = world.tables.data_location(world.of)
    assert task.file.file_path.rpartition("/")[0] == world.iceberg._store.uri(bucket, prefix)
    assert world.ids() == {("b", "v1"): [2]}


def test_ensuring_twice_is_one_table(world: World) -> None:
    world.publish("b1", {source("a"): [row(1)]})
    other = world.connect()
    other.ensure(world.of)
    world.tables.ensure(world.of)
    assert world.ids() == {("a", "v1"): [1]}


@pytest.mark.aws
def test_a_table_of_another_kind_under_the_name_is_refused(deployment: Any) -> None:
    from resources.environment import client
    from resources.iceberg import glue_tables
    from resources.s3 import S3ObjectStore

    name = f"hive_{uuid.uuid4().hex[:12]}"
    columns = [{"Name": "id", "Type": "int"}]
    table = {"Name": name, "StorageDescriptor": {"Columns": columns}, "Parameters": {"table_type": "EXTERNAL_TABLE"}}
    client("glue").create_table(DatabaseName=deployment.glue_database, TableInput=table)
    with pytest.raises(TableMismatchError, match="no Iceberg table"):
        glue_tables(deployment, S3ObjectStore()).ensure(dataset(name))


def test_a_dataset_without_a_table_is_a_fault_with_a_way_out(world: World) -> None:
    with pytest.raises(PermanentError, match="dropped"):
        world.tables.current(dataset("never_made"))


def test_row_level_deletes_of_other_engines_stop_a_removal_not_an_append(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyiceberg.manifest import ManifestContent, ManifestFile

    assert world.iceberg
    world.publish("b1", {source("a"): [row(1)], source("b"): [row(2)]})
    monkeypatch.setattr(ManifestFile, "content", property(lambda _: ManifestContent.DELETES))
    with pytest.raises(PermanentError, match="row-level deletes"):
        world.publish("b2", {}, removes=[source("a")])


def test_the_summary_of_a_snapshot_says_what_it_published(world: World) -> None:
    world.publish("b1", {source("a"): [row(1)]})
    summary = world.summary()
    assert summary["lakegate.batch-id"] == "b1"
    assert summary["lakegate.sources"] == '[["a","v1"]]'
    many = {source(f"{'x' * 50}{n}"): [row(n)] for n in range(100)}
    world.publish("b2", many)
    summary = world.summary()
    assert summary["lakegate.sources"].startswith("100 sources, sha256:")


def test_a_version_superseded_by_an_empty_one_is_fenced_by_a_commit_without_files(world: World) -> None:
    before = world.tables.current(world.of)
    committed = world.publish("b1", {})
    assert committed.rows_added == 0
    assert world.tables.current(world.of) != before


def test_a_folder_keeps_its_tables_where_people_look(tmp_path: Path) -> None:
    tables = folder_tables(tmp_path)
    world = World(lambda: tables, tmp_path / "scratch", dataset())
    world.publish("b1", {source("a"): [row(1, carrier="a/b ü")]})
    [path] = (tmp_path / "processed/flights/data").rglob("*.parquet")
    assert path.relative_to(tmp_path).as_posix() == "processed/flights/data/day=2024-01-01/b1-1-0.parquet"
    assert list(FolderObjectStore(tmp_path).list_keys(".", "processed/flights/data/")) == [
        path.relative_to(tmp_path).as_posix()
    ]


def test_the_files_of_every_snapshot_are_listed_by_their_addresses(world: World) -> None:
    assert list(world.tables.data_files(world.of)) == []
    first, second = source("a", "1"), source("a", "2")
    names: set[str] = set()
    for batch, held, removes in (("b1", first, ()), ("b2", second, (first,))):
        change = world.change(batch, {held: [row(1)]}, removes)
        names |= {file.relative_key for file in change.adds}
        world.tables.commit(world.of, change)
    bucket, prefix = world.tables.data_location(world.of)
    listed = set(world.tables.data_files(world.of))
    assert {address.partition(f"{prefix}/")[2] for address in listed} == names
    if not isinstance(world.tables, MemoryTables):
        store = world.iceberg._store
        there = {store.uri(bucket, key) for key in store.list_keys(bucket, f"{prefix}/")}
        assert listed == there
