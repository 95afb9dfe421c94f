"""Every change of state reaches `file_history` exactly once: whoever dies, however many export, whatever answer is lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from pipelines.accounting.balance import balance
from pipelines.accounting.outbox import Outbox, OutboxPage
from pipelines.accounting.states import Outcome, Trigger
from pipelines.contracts.system_tables import balance_sheet, file_history
from pipelines.errors import CommitConflictError, TransientError
from pipelines.ports import Committed, Conflict, TableCommit, TableSnapshot
from pipelines.publication.export import ExportReport, export_history
from resources.folder import folder_tables
from resources.memory_tables import MemoryTables
from tests.ingest.fragile import Died, Fuse, How, fragile
from tests.ingest.world import BAD, Ports, World, orders, orders_key

Rows = list[dict[str, Any]]


def busy_world(tables: Any = None) -> World:
    """Files loaded, quarantined, replaced, unclaimed and told of twice, over two months."""
    world = World() if tables is None else World(tables=tables)
    world.put(orders_key("a"), orders(1, 2), events=2)
    world.put(orders_key("b", "2026-01-31"), orders(3))
    world.put(orders_key("c"), BAD)
    world.put("landing/unknown/x.csv", b"x")
    world.settle_down()
    world.clock.turn(1)
    world.put(orders_key("a"), orders(4))
    world.settle_down()
    return world


def export(world: World, ports: Ports | None = None, budget_s: float = 240.0) -> ExportReport:
    return export_history(replace(world.gate(ports), pause=lambda _: None), budget_s)


def rows(world: World, of: Any) -> Rows:
    """A system table's rows, those of the history in order."""
    tables: Any = world.tables
    found = tables.rows(of) if hasattr(tables, "rows") else tables.load(of).scan().to_arrow()
    return sorted(found.to_pylist(), key=lambda r: (str(r.get("at")), str(r.get("change_id")), str(r["landing_day"])))


def history(world: World) -> Rows:
    return rows(world, file_history())


def told(found: Rows) -> list[tuple[Any, ...]]:
    """What must be the same whoever exported it; ids differ from world to world."""
    return sorted((r["key"], r["version"], str(r["at"]), r["to_state"], r["outcome"], r["reason"]) for r in found)


def assert_sheet_is_the_ledgers(world: World) -> None:
    wanted = {(line.dataset, line.landing_day): line for line in balance(world.gate().ledger.counts()).lines}
    found = {(row["dataset"], row["landing_day"]): row for row in rows(world, balance_sheet())}
    assert found.keys() == wanted.keys()
    for place, row in found.items():
        counts = wanted[place].counts
        assert [row[outcome.value] for outcome in Outcome] == [counts.outcomes[outcome] for outcome in Outcome]
        assert (row["objects"], row["rows_in_table"], row["rows_read"], row["duplicates"]) == (
            counts.objects,
            counts.rows_in_table,
            counts.rows_read,
            counts.duplicates,
        )
        assert row["problems"] is None
    assert len(rows(world, balance_sheet())) == len(wanted)


def expected() -> list[tuple[Any, ...]]:
    world = busy_world()
    export(world)
    return told(history(world))


WANTED = expected()


def calls_of_an_export() -> list[str]:
    world, fuse = busy_world(), Fuse()
    export(world, fragile(world.ports, fuse))
    return fuse.calls


CALLS = calls_of_an_export()


@pytest.mark.parametrize("kind", ["memory", "iceberg"])
def test_the_history_of_a_replaced_file_is_a_chain_without_a_gap(kind: str, tmp_path: Any) -> None:
    world = busy_world(folder_tables(tmp_path) if kind == "iceberg" else None)
    report = export(world)
    assert report.pages == 1
    assert report.changes == len(history(world))
    assert report.is_complete
    of_first = [r for r in history(world) if r["version"] == "v1"]
    assert [(r["from_state"], r["to_state"], r["outcome"]) for r in of_first] == [
        (None, "seen", "pending"),
        ("seen", "planned", "pending"),
        ("planned", "claimed", "pending"),
        ("claimed", "committing", "pending"),
        ("committing", "committed", "loaded"),
        ("committed", "committed", "superseded"),
    ]
    loaded = of_first[4]
    assert (loaded["rows_read"], loaded["rows_accepted"], loaded["rows_rejected"]) == (2, 2, 0)
    assert (loaded["_source_file"], loaded["_source_version"], loaded["_batch_id"]) == (
        loaded["key"],
        loaded["version"],
        loaded["batch"],
    )
    assert loaded["size_bytes"] == len(orders(1, 2))
    assert loaded["snapshot_id"] is not None
    assert {
        loaded[name] is not None for name in ("read_ms", "batch_stage_ms", "batch_commit_ms", "batch_books_ms")
    } == {True}
    bad = next(r for r in history(world) if r["outcome"] == "quarantined")
    assert (bad["version"], bad["violations_total"], bad["rules"], bad["rows_accepted"]) == ("v3", 1, "type", 0)
    assert bad["report_key"].endswith("report.json")
    assert told(history(world)) == WANTED
    assert_sheet_is_the_ledgers(world)
    assert export(world) == ExportReport()


def test_rows_of_a_table_join_the_change_that_published_them() -> None:
    world = busy_world()
    export(world)
    published = {
        (r["_source_file"], r["_source_version"], r["_batch_id"])
        for r in history(world)
        if r["to_state"] == "committed"
    }
    for row in world.rows():
        assert (row["_source_file"], row["_source_version"], row["_batch_id"]) in published


@pytest.mark.parametrize("how", ["before", "after"])
def test_an_export_that_dies_at_any_call_is_finished_by_the_next(how: How) -> None:
    for at in range(len(CALLS)):
        world = busy_world()
        with pytest.raises(Died):
            export(world, fragile(world.ports, Fuse(at=at, how=how)))
        export(world)
        assert told(history(world)) == WANTED, (CALLS[at], at)
        assert_sheet_is_the_ledgers(world)
        assert world.gate().ledger.outbox.is_empty()


def test_two_deaths_and_work_in_between_lose_nothing_and_tell_nothing_twice() -> None:
    for at in range(0, len(CALLS), 2):
        world = busy_world()
        for burn, key in ((at, "x"), (len(CALLS) - at, "y")):
            try:
                export(world, fragile(world.ports, Fuse(at=burn, how="after")))
            except Died:
                world.put(orders_key(key), orders(at + 100 if key == "x" else at + 200))
                world.settle_down()
        export(world)
        found = history(world)
        assert len({r["change_id"] for r in found}) == len(found)
        assert {r["version"] for r in found} == {v.version_id for v in world.versions}
        assert_sheet_is_the_ledgers(world)


class Elsewhere:
    """A table port, in front of which something else happens at one of its calls."""

    def __init__(self, inner: Any, number: int, do: Callable[[], Any]) -> None:
        self._inner, self._left, self._do = inner, number, do

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self._do()
            return found(*arguments, **named)

        return call


@pytest.mark.parametrize("port", ["tables", "items"])
def test_an_export_from_end_to_end_between_any_two_calls_of_another_changes_nothing(port: str) -> None:
    calls = sum(name.startswith(port) for name in CALLS)
    assert calls > 5
    for number in range(1, calls + 1):
        world = busy_world()

        def other(world: World = world) -> None:
            export(world)
            world.put(orders_key("late"), orders(77))
            world.settle_down()
            export(world)

        ports = world.ports
        setattr(ports, port, Elsewhere(getattr(ports, port), number, other))
        export(world, ports)
        export(world)
        found = history(world)
        assert len({r["change_id"] for r in found}) == len(found), number
        assert told([r for r in found if "late" not in r["key"]]) == WANTED, number
        assert any("late" in r["key"] for r in found)
        assert_sheet_is_the_ledgers(world)


def test_who_wakes_up_after_the_snapshot_expired_finds_the_page_gone_and_commits_nothing() -> None:
    world = busy_world()

    def other() -> None:
        export(world)
        tables: Any = world.tables
        tables._tables["file_history"].batches.clear()

    ports = world.ports
    ports.tables = Elsewhere(
        world.tables, 1 + [c for c in CALLS if c.startswith("tables")].index("tables.current"), other
    )
    export(world, ports)
    assert told(history(world)) == WANTED


class Eager:
    """Tables that forget even a single old state."""

    def __init__(self, inner: MemoryTables) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def expire(self, dataset: Any, before: datetime) -> int:
        return self.inner.expire(dataset, before, least=1)


def states(world: World, of: Any) -> int:
    tables: Any = world.tables
    return len(tables._tables[of.table].states) - 1  # the first is the empty table


def test_states_older_than_a_week_are_forgotten_and_every_row_stays() -> None:
    tables = MemoryTables()
    world = busy_world(tables)
    tables._clock = world.clock
    for day in range(1, 11):
        ports = world.ports
        ports.tables = Eager(world.tables)
        export(world, ports)
        world.clock.turn(86_400)
        world.put(orders_key(f"late-{day}"), orders(100 + day))
        world.settle_down()
    # Those of seven days, the newest, and the one before them, which was replaced only within the week.
    assert states(world, file_history()) == states(world, balance_sheet()) == 9
    found = history(world)
    assert len({r["change_id"] for r in found}) == len(found)
    assert told([r for r in found if "late" not in r["key"]]) == WANTED


@pytest.mark.parametrize("died_at", ["items.write", "tables.commit"])
def test_a_page_whose_exporter_died_weeks_ago_is_looked_up_before_its_state_is_forgotten(died_at: str) -> None:
    world = busy_world()
    fuse = Fuse(name=died_at, nth=2 if died_at == "items.write" else 1, how="after")
    with pytest.raises(Died):
        export(world, fragile(world.ports, fuse))
    tables: Any = world.tables
    tables._clock = world.clock
    for table in tables._tables.values():
        table.states = [replace(state, at=world.clock()) for state in table.states]
        table.states.append(
            replace(table.states[-1], snapshot_id=10**6)
        )  # compacted, by Athena say: no longer the newest
    world.clock.turn(30 * 86_400)
    ports = world.ports
    ports.tables = Eager(world.tables)
    export(world, ports)
    assert told(history(world)) == WANTED
    assert export(world, ports).pages == 0


class Forgetful:
    """Tables whose commits lose their answer, applied or not, with a seeded coin."""

    def __init__(self, inner: Any, seed: int) -> None:
        self._inner, self._coin = inner, random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def commit(self, dataset: Any, change: TableCommit) -> Committed | Conflict:
        toss = self._coin.randrange(3)
        if toss == 0:
            raise TransientError("no answer, and nothing was committed")
        outcome = self._inner.commit(dataset, change)
        if toss == 1:
            raise TransientError("no answer, but it was committed")
        return outcome


def test_commits_whose_answer_is_lost_are_looked_up() -> None:
    for seed in range(30):
        world = busy_world()
        ports = world.ports
        ports.tables = Forgetful(world.tables, seed)
        export(world, ports)
        assert told(history(world)) == WANTED, seed
        assert_sheet_is_the_ledgers(world)


class Contested:
    """Tables that somebody else always commits to first."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def current(self, dataset: Any) -> TableSnapshot:
        return TableSnapshot(self._inner.current(dataset).table, -1)


def test_an_export_that_never_gets_its_turn_says_so_and_loses_nothing() -> None:
    world = busy_world()
    ports = world.ports
    ports.tables = Contested(world.tables)
    with pytest.raises(CommitConflictError, match="the next one tries again"):
        export(world, ports)
    export(world)
    assert told(history(world)) == WANTED


def test_only_the_months_that_were_touched_are_written_again() -> None:
    world = busy_world()
    export(world)
    before = {row["landing_day"]: row["taken_at"] for row in rows(world, balance_sheet())}
    world.clock.turn(3600)
    world.put(orders_key("e"), orders(50))
    world.settle_down()
    export(world)
    after = {row["landing_day"]: row["taken_at"] for row in rows(world, balance_sheet())}
    assert {day: after[day] == before[day] for day in before} == {day: day.month != 2 for day in before}
    assert_sheet_is_the_ledgers(world)


def test_an_export_stops_when_its_time_is_up_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.accounting.outbox._PAGE_ITEMS", 4)
    world = busy_world()
    reports: Sequence[ExportReport] = [export(world, budget_s=-1.0)]
    while not reports[-1].is_complete:
        reports = [*reports, export(world, budget_s=-1.0)]
        assert len(reports) < 50
    assert len(reports) > 2
    assert reports[0].pages == 1
    assert told(history(world)) == WANTED


def test_an_export_ends_though_files_keep_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while it works is the next one's: an hour of steady files once kept a place busy for four minutes of five."""
    world = busy_world()
    clear, came = Outbox.clear, 0

    def more(self: Outbox, page: OutboxPage) -> None:
        nonlocal came
        clear(self, page)
        came += 1
        assert came < 5, "it goes after each file that comes"
        world.clock.turn(1)
        world.put(orders_key(f"n{came}"), orders(100 + came))
        world.settle_down()

    monkeypatch.setattr(Outbox, "clear", more)
    report = export(world)
    assert (report.pages, report.is_complete) == (1, True)
    monkeypatch.undo()
    assert export(world).pages == 1
    assert_sheet_is_the_ledgers(world)
    assert world.gate().ledger.outbox.is_empty()


def test_a_reason_that_is_no_text_stops_no_export() -> None:
    world = busy_world()
    ledger = world.gate().ledger
    [entry] = [e for e in world.entries() if e.version.version_id == "v2"]
    ledger.make_due([entry.ref], Trigger.REPLAY, "asked by \ud800 \x00 \x1b[31m")
    export(world)
    assert [r["reason"] for r in history(world) if r["trigger"] == "replay"] == ["asked by \\ud800 \x00 \x1b[31m"]
