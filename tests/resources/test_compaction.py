"""Putting small files together changes no row, on every kind of tables, whoever else writes meanwhile and wherever it stops."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.accounting.ids import IdFactory
from pipelines.contracts.model import Dataset
from pipelines.errors import PermanentError, TransientError
from pipelines.ports import Committed, SourceInTable
from pipelines.publication import compacting
from pipelines.publication.compacting import CompactionReport, compact_table, look_at_table
from pipelines.publication.parquet_writer import DataFileWriter
from tests.publication.samples import COLUMNS, dataset, row, source
from tests.resources.table_world import AnyTables, Connect, World

JAN_1, JAN_2 = date(2024, 1, 1), date(2024, 1, 2)
POLICY = {"min_files": 2, "settled_after": "PT1H", "target_bytes": 1 << 20}


@dataclass
class Worker:
    """As much of a gate as compaction has to do with."""

    tables: Any
    late: timedelta = timedelta(hours=2)
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC) + self.late
        self.ledger = self
        self.new_id = IdFactory(self.clock)
        self.pause = self.pauses.append


def compact(world: World, tables: Any = None, **more: Any) -> CompactionReport:
    gate: Any = Worker(tables or world.tables)
    return compact_table(gate, world.of, scratch=world.scratch, **more)


@pytest.fixture
def small(connect: Connect, tmp_path: Path) -> World:
    """Four batches of a source each, over two days, in no order of the key."""
    of = dataset(f"flights_{uuid.uuid4().hex[:12]}", primary_key=["id"], compaction=POLICY)
    world = World(connect, tmp_path / "scratch", of)
    for batch in range(4):
        rows = [row((n * 7919 + batch * 13) % 1000 + batch * 1000, JAN_1 if n % 3 else JAN_2) for n in range(20)]
        world.publish(f"b{batch}", {source(f"landing/{batch}.json"): rows})
    return world


def contents(world: World) -> list[Any]:
    return sorted(world.arrow().to_pylist(), key=lambda one: (one["_source_file"], one["_source_version"], one["id"]))


def files(world: World) -> list[Any]:
    return list(world.tables.table_files(world.tables.current(world.of), world.of))


def test_not_a_row_changes_and_few_files_are_left(small: World) -> None:
    before, held = contents(small), files(small)
    assert len(held) == 8
    report = compact(small)
    assert (report.partitions, report.files_before, report.files_after, report.rows) == (2, 8, 2, 80)
    assert contents(small) == before
    assert contents(replace(small)) == before
    assert sorted((f.partition, f.rows) for f in files(small)) == [("day=2024-01-01", 52), ("day=2024-01-02", 28)]
    assert "8 files of 2 partitions are 2 now (80 rows" in report.sentence()
    assert compact(small).sentence() == "nothing was put together"


def test_what_the_books_ask_of_the_table_has_the_same_answers(small: World) -> None:
    asked = [source(f"landing/{n}.json") for n in range(5)]
    committed = [small.tables.find_batch(small.of, f"b{n}") for n in range(4)]
    compact(small)
    base = small.tables.current(small.of)
    assert list(small.tables.find_sources(base, small.of, asked)) == [SourceInTable(one, 20) for one in asked[:4]]
    assert [small.tables.find_batch(small.of, f"b{n}") for n in range(4)] == committed
    rows = list(small.tables.read_rows(base, small.of, [asked[3], asked[2]]))
    assert {one for one, _ in rows} == {asked[3], asked[2]}
    assert sum(piece.num_rows for _, piece in rows) == 40
    assert all(set(piece["_source_file"].to_pylist()) == {one.key} for one, piece in rows)


def test_a_file_is_replaced_in_a_compacted_table_as_in_any_other(small: World) -> None:
    compact(small)
    others = [one for one in contents(small) if one["_source_file"] != "landing/3.json"]
    committed = small.publish("fix", {source("landing/3.json", "v2"): [row(5)]}, removes=[source("landing/3.json")])
    assert (committed.rows_added, committed.rows_removed, committed.files_rewritten) == (1, 20, 2)
    assert [one for one in contents(small) if one["_source_file"] != "landing/3.json"] == others
    assert small.ids()["landing/3.json", "v2"] == [5]


def test_rows_stand_sorted_and_the_file_says_so(small: World) -> None:
    import pyarrow.parquet as pq

    compact(small)
    table = small.iceberg.load(small.of)
    for task in table.scan().plan_files():
        with table.io.new_input(task.file.file_path).open() as opened:
            parquet = pq.ParquetFile(opened)  # pyright: ignore[reportArgumentType]
            ids = parquet.read(columns=["id"])["id"].to_pylist()
            assert ids == sorted(ids)
            group = parquet.metadata.row_group(0)
            [by] = group.sorting_columns
            assert group.column(by.column_index).path_in_schema == "id"
            assert group.column(by.column_index).statistics.max == ids[-1]
        assert "-compacted-" in task.file.file_path
    assert "lakegate.compaction-id" in small.summary()
    assert "lakegate.batch-id" not in small.summary()


def test_only_one_partition_or_only_a_look(small: World) -> None:
    before = files(small)
    gate: Any = Worker(small.tables)
    assert look_at_table(gate, small.of).files_before == 8
    assert files(small) == before
    assert compact(small, only="day=2024-01-02").files_before == 4
    assert len(files(small)) == 5


def test_what_came_just_now_is_left(small: World) -> None:
    gate: Any = Worker(small.tables, late=timedelta(minutes=30))
    report = compact_table(gate, small.of, scratch=small.scratch)
    assert (report.partitions, report.plan.young_files) == (0, 8)


# ---- others write meanwhile -----------------------------------------------------------------------------------------


class Meanwhile:
    """Tables in which something happens once, right after a call came to its end or right before it begins."""

    def __init__(self, inner: AnyTables, call: str, happens: Callable[[], object], *, before: bool = False) -> None:
        self._inner, self._call, self._happens, self._before = inner, call, happens, before

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._call:
            return found

        def called(*arguments: Any, **named: Any) -> Any:
            if self._before:
                self._once()
            answer = found(*arguments, **named)
            if isinstance(answer, Iterator):
                answer = iter(list(answer))
            self._once()
            return answer

        return called

    def _once(self) -> None:
        happens, self._happens = self._happens, lambda: None
        happens()


@pytest.mark.parametrize(("call", "before"), [("table_files", False), ("read_file", False), ("rewrite", True)])
def test_ingestion_that_adds_meanwhile_keeps_its_rows_and_nothing_gives_way(
    small: World, call: str, before: bool
) -> None:
    other = small.connect()
    old = contents(small)

    def publish(tables: AnyTables) -> None:
        change = small.change("new", {source("landing/new.json"): [row(9_999)]}, tables=tables)
        assert isinstance(tables.commit(small.of, change), Committed)

    report = compact(small, Meanwhile(small.tables, call, lambda: publish(other), before=before))
    assert (report.partitions, report.gave_way) == (2, [])
    found = contents(small)
    assert [one for one in found if one["_source_file"] != "landing/new.json"] == old
    assert len(found) == len(old) + 1


@pytest.mark.parametrize(("call", "before"), [("table_files", False), ("read_file", False), ("rewrite", True)])
def test_ingestion_that_replaces_rows_meanwhile_has_the_last_word(small: World, call: str, before: bool) -> None:
    other = small.connect()
    old = [one for one in contents(small) if one["_source_file"] != "landing/2.json"]

    def publish() -> None:
        change = small.change(
            "fix", {source("landing/2.json", "v2"): [row(1), row(2)]}, [source("landing/2.json")], tables=other
        )
        assert isinstance(other.commit(small.of, change), Committed)

    report = compact(small, Meanwhile(small.tables, call, publish, before=before))
    assert report.gave_way == ["day=2024-01-01", "day=2024-01-02"]
    assert report.partitions == 0
    found = contents(small)
    assert [one for one in found if one["_source_file"] != "landing/2.json"] == old
    assert small.ids()["landing/2.json", "v2"] == [1, 2]
    again = compact(small)
    assert again.partitions == 2
    assert contents(small) == found


def test_a_file_rewritten_by_a_second_attempt_has_an_address_of_its_own(world: World) -> None:
    """Compaction reads files by their address; number of the attempt and of the state may be the same."""
    a, b = source("a"), source("b")
    world.publish("b1", {a: [row(1)], b: [row(2)]})
    world.change("b2", {source("a", "v2"): [row(3)]})
    world.publish("b2", {source("a", "v2"): [row(3)]}, removes=[a])
    addresses = [file.address for file in files(world)]
    assert len(set(addresses)) == len(addresses) == 2
    assert world.ids() == {("a", "v2"): [3], ("b", "v1"): [2]}


def test_two_at_once_put_each_file_together_once(small: World) -> None:
    before = contents(small)
    other = small.connect()
    first = compact(small, Meanwhile(small.tables, "read_file", lambda: compact(small, other)))
    assert first.gave_way == ["day=2024-01-01", "day=2024-01-02"]
    assert contents(small) == before
    assert len(files(small)) == 2


# ---- wherever it stops ----------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


def dies(*_arguments: Any, **_named: Any) -> Any:
    raise Killed


@pytest.mark.parametrize(
    ("call", "before", "left"),
    [("table_files", False, 8), ("read_file", False, 8), ("rewrite", True, 8), ("rewrite", False, 5)],
)
def test_a_run_that_dies_leaves_the_rows_as_they_were_and_the_next_does_the_rest(
    small: World, call: str, before: bool, left: int
) -> None:
    rows = contents(small)
    with pytest.raises(Killed):
        compact(small, Meanwhile(small.tables, call, dies, before=before))
    assert contents(small) == rows
    assert len(files(small)) == left
    compact(small, small.connect())
    assert contents(small) == rows
    assert len(files(small)) == 2


def test_a_run_that_dies_between_upload_and_commit_leaves_files_nobody_refers_to(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = contents(small)
    monkeypatch.setattr(small.iceberg.catalog, "commit_table", dies)
    with pytest.raises(Killed):
        compact(small)
    monkeypatch.undo()
    bucket, prefix = small.tables.data_location(small.of)
    store = small.iceberg._store
    there = {store.uri(bucket, key) for key in store.list_keys(bucket, f"{prefix}/")}
    unreferenced = there - set(small.tables.data_files(small.of))
    assert len([one for one in unreferenced if "-compacted-" in one]) == 1
    assert contents(small) == rows
    assert compact(small).partitions == 2
    assert contents(small) == rows


def test_a_lost_answer_is_looked_up(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = contents(small)
    rewrite = small.tables.rewrite
    lost: list[int] = []

    def rewrite_and_lose_the_answer(*arguments: Any) -> Any:
        outcome = rewrite(*arguments)
        if len(lost) < 2:
            lost.append(1)
            raise TransientError("the answer was lost")
        return outcome

    monkeypatch.setattr(small.tables, "rewrite", rewrite_and_lose_the_answer)
    report = compact(small)
    assert (report.partitions, report.gave_way) == (2, [])
    assert contents(small) == rows
    assert len(files(small)) == 2


def test_files_uploaded_too_long_ago_are_not_committed(small: World) -> None:
    """The search for orphans may have removed them by then."""
    gate: Any = Worker(small.tables)
    tables = Meanwhile(small.tables, "read_file", lambda: None)
    moments = iter([gate.clock(), gate.clock(), *(gate.clock() + timedelta(minutes=31) for _ in range(9))])
    gate.tables, gate.clock = tables, lambda: next(moments)
    report = compact_table(gate, small.of, scratch=small.scratch, only="day=2024-01-01")
    assert report.gave_way == ["day=2024-01-01"]
    assert len(files(small)) == 8


def test_a_stranger_that_always_comes_first_is_given_way_to(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.ports import Conflict

    monkeypatch.setattr(small.tables, "rewrite", lambda *_: Conflict())
    rows = contents(small)
    assert len(compact(small).gave_way) == 2
    assert contents(small) == rows


# ---- what was written is what was read ------------------------------------------------------------------------------


def _lose(rows: pa.Table) -> pa.Table:
    return rows.slice(1)


def _double(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows.slice(0, rows.num_rows - 1), rows.slice(0, 1)])


def _change(rows: pa.Table) -> pa.Table:
    position = rows.schema.get_field_index("stops")
    values = rows["stops"].to_pylist()
    found = next(n for n, value in enumerate(values) if value is not None)
    values[found] += 1
    return rows.set_column(position, rows.schema.field(position), pa.array(values, rows.schema.field(position).type))


def _swap(rows: pa.Table) -> pa.Table:
    """Every value of one column is still there, but under other rows."""
    position = rows.schema.get_field_index("score")
    values = rows["score"].to_pylist()
    return rows.set_column(position, rows.schema.field(position), pa.array(values[1:] + values[:1], pa.float64()))


@pytest.mark.parametrize("harm", [_lose, _double, _change, _swap])
def test_a_row_lost_doubled_or_changed_stops_it_before_the_commit(
    small: World, monkeypatch: pytest.MonkeyPatch, harm: Callable[[pa.Table], pa.Table]
) -> None:
    rows = contents(small)
    write = DataFileWriter.write
    monkeypatch.setattr(DataFileWriter, "write", lambda self, table: write(self, harm(table)))
    with pytest.raises(PermanentError, match="Nothing was changed"):
        compact(small)
    monkeypatch.undo()
    assert contents(small) == rows
    assert len(files(small)) == 8


def test_a_file_that_holds_other_rows_than_the_books_say_stops_it(small: World) -> None:
    class Short:
        def __getattr__(self, name: str) -> Any:
            return getattr(small.tables, name)

        def read_file(self, of: Dataset, address: str, columns: pa.Schema) -> Iterator[pa.Table]:
            for piece in small.tables.read_file(of, address, columns):
                yield piece.slice(1)

    with pytest.raises(PermanentError, match="by the table's books"):
        compact(small, Short())
    assert len(files(small)) == 8


def test_the_tables_themselves_refuse_files_with_fewer_rows(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compacting._Rewriting, "_verify", lambda *_: None)
    monkeypatch.setattr(DataFileWriter, "write", lambda self, table, of=DataFileWriter.write: of(self, table.slice(1)))
    with pytest.raises(PermanentError, match="Nothing was changed"):
        compact(small)
    assert len(files(small)) == 8


# ---- tables that changed --------------------------------------------------------------------------------------------


def test_files_of_earlier_schemas_are_put_together_under_the_present_one(connect: Connect, tmp_path: Path) -> None:
    name = f"flights_{uuid.uuid4().hex[:12]}"
    first = World(connect, tmp_path / "scratch", dataset(name, compaction=POLICY))
    first.publish("b1", {source("a"): [row(1), row(2)]})
    first.publish("b2", {source("b"): [row(3)]})
    columns = {key: value for key, value in COLUMNS.items() if key != "carrier"} | {
        "stops": {"type": "bigint"},
        "price": {"type": "decimal(18,2)"},
        "airline": {"type": "string", "aliases": ["Carrier"]},
        "gate": {"type": "int"},
        "actor": {"type": "struct<login: string, since: date, team: string>"},
    }
    of = dataset(name, columns=columns, schema={"type_changes": "rescue"}, compaction={**POLICY, "sort_by": ["gate"]})
    world = World(connect, tmp_path / "scratch", of)
    actor = {"login": "x", "since": None, "team": "red"}
    late = [row(n, airline="LH", gate=9 - n, _rescued=None, stops=2**40, actor=actor) for n in (4, 5)]
    world.publish("b3", {source("c"): late})
    before = contents(world)
    compact(world)
    assert contents(world) == before
    assert len(files(world)) == 1
    assert {one["id"]: one["gate"] for one in contents(world)} == {1: None, 2: None, 3: None, 4: 5, 5: 4}
    world.publish("b4", {}, removes=[source("a")])
    assert sorted(one["id"] for one in contents(world)) == [3, 4, 5]


def test_a_column_that_comes_between_reading_and_commit_is_null_in_what_was_written(
    connect: Connect, tmp_path: Path
) -> None:
    name = f"flights_{uuid.uuid4().hex[:12]}"
    world = World(connect, tmp_path / "scratch", dataset(name, compaction=POLICY))
    for n in range(3):
        world.publish(f"b{n}", {source(f"s{n}"): [row(n)]})
    wider = dataset(name, columns={**COLUMNS, "gate": {"type": "int"}, "stops": {"type": "bigint"}}, compaction=POLICY)
    report = compact(world, Meanwhile(world.tables, "read_file", lambda: connect().ensure(wider)))
    assert report.partitions == 1
    found = World(connect, tmp_path / "scratch", wider).arrow()
    assert found["gate"].null_count == 3
    assert sorted(found["id"].to_pylist()) == [0, 1, 2]


def test_an_unpartitioned_table_without_a_key_keeps_the_order_of_its_files(connect: Connect, tmp_path: Path) -> None:
    of = dataset(f"flights_{uuid.uuid4().hex[:12]}", partition_by=(), compaction=POLICY)
    world = World(connect, tmp_path / "scratch", of)
    for n in range(4):
        world.publish(f"b{n}", {source(f"s{n}"): [row(10 - n), row(n)]})
    before = contents(world)
    compact(world)
    assert contents(world) == before
    [file] = files(world)
    assert (file.partition, file.rows) == ("", 8)


def test_row_level_deletes_of_other_engines_stop_it(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyiceberg.manifest import ManifestContent, ManifestFile

    assert small.iceberg
    monkeypatch.setattr(ManifestFile, "content", property(lambda _: ManifestContent.DELETES))
    with pytest.raises(PermanentError, match="row-level deletes"):
        compact(small)
