"""Orphans: what a dead attempt left is found and removed; what is referred to, owned, young or not ours never is."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.accounting.ids import IdFactory
from pipelines.accounting.states import State
from pipelines.errors import PermanentError
from pipelines.gate import Gate
from pipelines.intake.dispatching import dispatch
from pipelines.intake.receiving import receive
from pipelines.ports import Conflict, TableCommit
from pipelines.publication.orphans import OrphanReport, find_orphans
from resources.folder import FolderObjectStore, folder_tables
from resources.iceberg import IcebergTables
from resources.memory import MemoryObjectStore
from tests.accounting.books import HandClock
from tests.ingest.world import (
    BAD,
    BUCKET,
    ORDERS_BY_ROWS,
    QUARANTINE,
    Ports,
    World,
    dataset,
    mixed,
    orders,
    orders_key,
)

DAY_S = 86_400


class Router:
    """One object store over two: landing and quarantine in memory, the tables' files in a folder."""

    def __init__(self, memory: MemoryObjectStore, folder: FolderObjectStore) -> None:
        self._memory, self._folder = memory, folder

    def __getattr__(self, name: str) -> Any:
        def call(first: Any, *more: Any, **named: Any) -> Any:
            bucket = first if isinstance(first, str) else first.bucket
            store = self._memory if bucket in (BUCKET, QUARANTINE) else self._folder
            return getattr(store, name)(first, *more, **named)

        return call


@dataclass
class Site:
    """A deployment whose tables are Iceberg's, in a folder; every file is as old as it is said to be."""

    root: Path
    world: World = field(init=False)

    def __post_init__(self) -> None:
        self.folder = FolderObjectStore(self.root)
        self.world = World(tables=folder_tables(self.root), datasets=(dataset(ORDERS_BY_ROWS),), clock=HandClock())
        self.world.store = MemoryObjectStore(self.world.clock)

    @property
    def ports(self) -> Ports:
        return Ports(self.world.items, self.world.queue, Router(self.world.store, self.folder), self.world.tables)

    @property
    def gate(self) -> Gate:
        return self.world.gate(self.ports)

    @property
    def tables(self) -> IcebergTables:
        assert isinstance(self.world.tables, IcebergTables)
        return self.world.tables

    def settle_down(self) -> None:
        self.world.settle_down(self.ports)

    def files(self) -> set[str]:
        return {str(p.relative_to(self.root)) for p in self.root.rglob("*.parquet")}

    def age(self, days: float) -> None:
        """Every file of the tables was written so long ago."""
        moment = self.world.clock().timestamp() - days * DAY_S
        for path in self.root.rglob("*.parquet"):
            os.utime(path, (moment, moment))

    def leave(self, name: str, place: str = "processed/orders/data/day=2026-02-01") -> str:
        """A file that some attempt wrote."""
        path = self.root / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"PAR1")
        return str(path.relative_to(self.root))

    def find(self, **how: Any) -> OrphanReport:
        self.told: list[str] = []
        return find_orphans(self.gate, tell=self.told.append, **how)

    def rows(self) -> list[int]:
        return self.world.ids()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_a_crashed_attempt_left_is_found_and_removed_and_nothing_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.world.put(orders_key("before"), orders(1))
    site.settle_down()
    publish = site.tables._publish
    before = site.files()

    def crash(table: Any, *more: Any) -> Any:
        if table.name()[-1] == "orders":
            raise PermanentError("the worker died after the upload, before the commit")
        return publish(table, *more)

    site.world.put(orders_key("a"), mixed(2, 3, bad=1))
    with monkeypatch.context() as patched:
        patched.setattr(site.tables, "_publish", crash)
        receive(site.gate, wait_s=0, budget_s=60)
        for launch in dispatch(site.gate, lambda _: {}).launches:
            site.world.run(site.gate, launch)
    left = {key for key in site.files() - before if key.startswith("processed/")}
    assert left
    site.settle_down()
    assert site.rows() == [1, 2, 3]
    site.age(2)
    report = site.find()
    assert {orphan.key for orphan in report.named} == left
    assert (report.orphans, report.removed) == (len(left), 0)
    assert site.files() >= left
    again = site.find(remove=True)
    assert (again.removed, site.files() & left) == (len(left), set())
    assert sorted(line for line in site.told if line.startswith("removed: ")) == sorted(
        f"removed: {key}" for key in left
    )
    assert site.find().sentence().endswith("files: no orphan")
    assert site.rows() == [1, 2, 3]
    assert len(site.world.rejected()) == 1


def test_a_young_file_is_left(site: Site) -> None:
    site.world.put(orders_key("a"), orders(1))
    site.settle_down()
    key = site.leave(f"{site.gate.ledger.new_id()}-1-0.parquet")
    site.age(0.9)
    report = site.find(remove=True)
    assert (report.orphans, report.young) == (0, 2)
    assert key in site.files()
    site.age(1.1)
    assert site.find(remove=True).removed == 1


def test_a_file_of_a_live_batch_is_left_however_old(site: Site) -> None:
    site.world.put(orders_key("a"), orders(1))
    receive(site.gate, wait_s=0, budget_s=60)
    [launch] = dispatch(site.gate, lambda _: {}).launches
    site.tables.ensure(site.world.datasets[0])
    key = site.leave(f"{launch.batches[0]}-1-0.parquet")
    site.age(30)
    report = site.find(remove=True)
    assert (report.orphans, report.owned, report.removed) == (0, 1, 0)
    assert key in site.files()


def test_files_of_every_snapshot_that_is_kept_are_left(site: Site) -> None:
    for content in (orders(1), orders(2), orders(3)):
        site.world.put(orders_key("a"), content)
        site.settle_down()
    site.age(9)
    before = site.files()
    assert len(before) == 3
    assert site.find(remove=True).orphans == 0
    assert site.files() == before


def test_a_file_that_another_program_wrote_is_shown_and_never_removed(site: Site) -> None:
    site.world.put(orders_key("a"), orders(1))
    site.settle_down()
    key = site.leave("20260101_athena_optimize_0001.parquet")
    site.age(9)
    report = site.find(remove=True)
    assert (report.foreign, report.orphans) == (1, 0)
    assert [orphan.key for orphan in report.named_foreign] == [key]
    assert key in site.files()


def test_files_of_a_table_that_cannot_be_read_are_left_and_it_is_said(site: Site) -> None:
    key = site.leave(f"{site.gate.ledger.new_id()}-1-0.parquet")
    site.age(9)
    report = site.find(remove=True)
    assert report.orphans == 0
    assert report.notes[0].startswith("1 files of orders were left alone: ")
    assert key in site.files()


def test_a_batch_that_commits_between_the_looks_keeps_its_files(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst case: the batch is not live in the ledger, and its file is referred to only after the first look at the table."""
    site.world.put(orders_key("a"), orders(1))
    site.settle_down()
    [key] = site.files()
    site.age(9)
    listed = site.tables.data_files
    looks = iter(range(9))
    monkeypatch.setattr(site.tables, "data_files", lambda of: iter(()) if next(looks) == 0 else listed(of))
    assert site.find(remove=True).orphans == 0
    looks = iter(range(9))
    monkeypatch.setattr(site.tables, "data_files", lambda of: iter(()) if next(looks) <= 1 else listed(of))
    report = site.find(remove=True)
    assert (report.orphans, report.removed) == (1, 0)
    assert key in site.files()


def test_a_batch_that_comes_back_to_life_keeps_its_files(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.tables.ensure(site.world.datasets[0])
    site.world.put(orders_key("a"), orders(1))
    receive(site.gate, wait_s=0, budget_s=60)
    [launch] = dispatch(site.gate, lambda _: {}).launches
    key = site.leave(f"{launch.batches[0]}-1-0.parquet")
    site.age(9)
    gate = site.gate
    batch = gate.ledger.batch
    looks = iter(range(9))
    monkeypatch.setattr(gate.ledger, "batch", lambda of: None if next(looks) == 0 else batch(of))
    report = find_orphans(gate, remove=True)
    assert (report.orphans, report.removed) == (1, 0)
    assert key in site.files()


# ---- what compaction and commits leave ------------------------------------------------------------------------------


def snapshots(site: Site) -> int:
    return len(site.tables.load(site.world.datasets[0]).snapshots())


def test_before_what_a_compaction_left_is_removed_the_table_moves_on(site: Site) -> None:
    """Its worker may only be asleep, right before its commit: that commit must fail from then on."""
    site.world.put(orders_key("a"), orders(1))
    site.settle_down()
    of = site.world.datasets[0]
    planned_before = site.tables.current(of)
    key = site.leave(f"{site.gate.ledger.new_id()}-compacted-0.parquet")
    site.age(2)
    states = snapshots(site)
    assert site.find().orphans == 1
    assert snapshots(site) == states
    assert site.find(remove=True).removed == 1
    assert key not in site.files()
    assert snapshots(site) == states + 1
    late = TableCommit("late", (), (), (), planned_before)
    assert site.tables.commit(of, late) == Conflict()
    assert site.rows() == [1]


def metadata(site: Site) -> set[str]:
    return {p.name for p in (site.root / "processed/orders/metadata").iterdir() if not p.name.startswith(".")}


def age_metadata(site: Site, days: float) -> None:
    moment = site.world.clock().timestamp() - days * DAY_S
    for path in (site.root / "processed/orders/metadata").iterdir():
        os.utime(path, (moment, moment))


def test_metadata_that_no_kept_state_refers_to_is_removed_and_the_table_reads_as_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.publication.orphans._LEAST_METADATA", 10)
    for number in range(8):
        site.world.put(orders_key("a"), orders(number + 1))
        site.settle_down()
    of = site.world.datasets[0]
    table = site.tables.load(of)
    with table.transaction() as transaction:
        transaction.set_properties({"write.metadata.previous-versions-max": "1"})
    assert site.tables.expire(of, site.world.clock() + timedelta(days=9999), least=1) >= 7
    stranger = site.root / "processed/orders/metadata/version-hint.text"
    stranger.write_text("1")
    used = {Path(address).name for address in site.tables.metadata_files(of)}
    assert site.find(remove=True).orphans == 0  # too young
    age_metadata(site, 2)
    before = metadata(site)
    assert site.find().orphans == len(before) - len(used) - 1
    assert metadata(site) == before
    report = site.find(remove=True)
    assert report.removed == report.orphans >= 10
    assert metadata(site) >= used | {stranger.name}
    assert site.rows() == [8]
    site.world.put(orders_key("a"), orders(9))
    site.settle_down()
    assert site.rows() == [9]


def test_little_metadata_is_not_worth_a_commit(site: Site) -> None:
    site.world.put(orders_key("a"), orders(1))
    site.settle_down()
    states = snapshots(site)
    site.leave("00007-11111111-2222-3333-4444-555555555555.metadata.json", "processed/orders/metadata")
    age_metadata(site, 9)
    assert site.find(remove=True).orphans == 0
    assert snapshots(site) == states


def test_metadata_that_lies_elsewhere_is_left_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.publication.orphans._LEAST_METADATA", 1)
    site.world.put(orders_key("a"), orders(1))
    site.settle_down()
    key = site.leave("00007-11111111-2222-3333-4444-555555555555.metadata.json", "processed/orders/metadata")
    age_metadata(site, 9)
    monkeypatch.setattr(site.tables, "metadata_files", lambda _: iter(["s3://elsewhere/metadata/1.json"]))
    report = site.find(remove=True)
    assert report.orphans == 0
    assert any("lies elsewhere" in note for note in report.notes)
    assert (site.root / key).exists()


# ---- quarantine ---------------------------------------------------------------------------------------------------


def test_copies_that_verdicts_name_are_left_and_others_are_found(site: Site) -> None:
    world = site.world
    bad = world.put(orders_key("bad"), b"nonsense\n")
    good = world.put(orders_key("good"), orders(1))
    site.settle_down()
    assert world.outcome(bad) == "quarantined"
    folder = f"quarantine/orders/2026-02-01/{good.object_id}/{good.version_id}"
    for name in ("object", "report.json"):  # an attempt under another contract rejected it, and died
        world.store.put_bytes(QUARANTINE, f"{folder}/{name}", b"x", "text/plain")
    stranger = f"quarantine/orders/2026-02-01/{'0' * 40}/v9/object"
    world.store.put_bytes(QUARANTINE, stranger, b"x", "text/plain")
    world.clock.turn(2 * DAY_S)
    before = set(world.store.list_keys(QUARANTINE, ""))
    report = site.find()
    assert {orphan.key for orphan in report.named} == {f"{folder}/object", f"{folder}/report.json"}
    assert [orphan.key for orphan in report.named_foreign] == [stranger]
    assert site.find(remove=True).removed == 2
    assert set(world.store.list_keys(QUARANTINE, "")) == before - {f"{folder}/object", f"{folder}/report.json"}
    # A corrected file supersedes the bad one, and what was wrong with it stays to be read.
    world.put(orders_key("bad"), orders(2))
    site.settle_down()
    world.clock.turn(2 * DAY_S)
    assert site.find(remove=True).orphans == 0
    assert world.report_of(bad).key == bad.key


def test_a_copy_of_a_file_that_a_run_has_in_hand_is_left(site: Site) -> None:
    world = site.world
    version = world.put(orders_key("a"), BAD)
    receive(site.gate, wait_s=0, budget_s=60)
    folder = f"quarantine/orders/2026-02-01/{version.object_id}/{version.version_id}"
    world.store.put_bytes(QUARANTINE, f"{folder}/object", b"x", "text/plain")
    world.clock.turn(2 * DAY_S)
    assert [e.state for e in world.entries()] == [State.SEEN]
    report = site.find(remove=True)
    assert (report.orphans, report.owned) == (0, 1)


# ---- whatever is there --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, str]:
    """A file in the table, and a batch at work."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.world.put(orders_key("a"), orders(1))
    site.settle_down()
    site.age(9)
    site.world.put(orders_key("b"), orders(2))
    receive(site.gate, wait_s=0, budget_s=60)
    [launch] = dispatch(site.gate, lambda _: {}).launches
    return site, launch.batches[0]


LEFT = st.tuples(st.sampled_from(["dead", "live", "foreign"]), st.integers(0, 72))


@settings(max_examples=40)
@given(files=st.lists(LEFT, max_size=12), block=st.sampled_from([1, 2, 1000]))
def test_only_old_unreferenced_files_of_dead_batches_go(
    busy: tuple[Site, str], files: list[tuple[str, int]], block: int
) -> None:
    site, live = busy
    referenced = site.files()
    new_id = IdFactory(site.world.clock)
    left: set[str] = set()
    dead: set[str] = set()
    now = site.world.clock().timestamp()
    for n, (kind, hours) in enumerate(files):
        batch = {"live": live, "foreign": "file"}.get(kind) or new_id()
        key = site.leave(f"{batch}-{n}-0.parquet")
        left.add(key)
        os.utime(site.root / key, (now - hours * 3600, now - hours * 3600))
        if kind == "dead" and hours >= 24:
            dead.add(key)
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("pipelines.publication.orphans._A_BLOCK", block)
            report = site.find(remove=True)
        assert site.files() == referenced | left - dead
        assert report.removed == len(dead)
        assert site.rows() == [1]
    finally:
        for key in left:
            (site.root / key).unlink(missing_ok=True)
