"""Every table looked after: states go when they are old and done with, and what stops one table stops no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.accounting.states import BatchState
from pipelines.intake.dispatching import dispatch
from pipelines.intake.receiving import receive
from pipelines.publication.table_upkeep import compact_tables, every_table, expire_states, look_at_tables
from tests.ingest.world import orders, orders_key
from tests.publication.test_orphans import DAY_S, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def load(site: Site, batches: int) -> list[str]:
    names: list[str] = []
    for number in range(batches):
        site.world.put(orders_key(f"k{number}"), orders(number + 1))
        receive(site.gate, wait_s=0, budget_s=60)
        for launch in dispatch(site.gate, lambda _: {}).launches:
            names += launch.batches
            site.world.run(site.gate, launch)
    return names


def found(site: Site, names: list[str]) -> list[bool]:
    return [site.tables.find_batch(site.world.datasets[0], name) is not None for name in names]


def _in_state(batch: Any, state: BatchState) -> Any:
    return replace(batch, state=state)


def test_old_states_go_and_those_of_batches_at_work_stay_with_all_after_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = load(site, 24)
    gate = site.gate
    tables = every_table(gate.datasets)
    assert expire_states(gate, tables).total == 0  # a minute old
    site.world.clock.turn(30 * DAY_S + 10**9)  # the states carry the computer's time
    asked = gate.ledger.batch(names[3])
    assert asked is not None
    assert asked.state is BatchState.DONE
    lookup = gate.ledger.batch
    changed = {names[21]: BatchState.COMMITTING}
    monkeypatch.setattr(
        type(gate.ledger),
        "batch",
        lambda _, name: _in_state(lookup(name), changed[name]) if name in changed else lookup(name),
    )
    report = expire_states(gate, tables)
    assert report.total == 21
    assert expire_states(gate, tables).total == 0
    assert "21 of orders" in report.sentence()
    there = found(site, names)
    assert [n for n, is_there in enumerate(there) if is_there] == [21, 22, 23]
    assert sorted(site.rows()) == list(range(1, 25))


def test_a_table_that_was_never_made_stops_no_other(site: Site) -> None:
    load(site, 3)
    site.world.clock.turn(10**9)
    gate = site.gate
    looks = look_at_tables(gate, every_table(gate.datasets))
    assert {look.table: bool(look.note) for look in looks} == {
        "orders": False,
        "orders__rejected": False,
        "file_history": True,
        "balance_sheet": True,
        "audit_log": True,
    }
    done = compact_tables(gate, every_table(gate.datasets))
    assert [one.report.partitions for one in done if one.table == "orders"] == [0]  # three are no eight
    assert all(one.note for one in done if one.table == "audit_log")


def test_small_files_are_put_together_through_the_whole_gate(site: Site) -> None:
    load(site, 9)
    rows = site.rows()
    site.world.clock.turn(10**9)
    told: list[str] = []
    done = compact_tables(site.gate, every_table(site.gate.datasets), tell=told.append)
    [report] = [one.report for one in done if one.table == "orders"]
    assert (report.files_before, report.files_after, report.rows) == (9, 1, 9)
    assert site.rows() == rows
    assert told[0].startswith("orders: day=2026-02-01: 9 files are 1 now")
    site.world.put(orders_key("k4"), orders(77))
    site.settle_down()
    assert sorted(site.rows()) == [1, 2, 3, 4, 6, 7, 8, 9, 77]


def test_a_run_rewrites_no_more_than_it_may(site: Site) -> None:
    load(site, 9)
    site.world.clock.turn(10**9)
    assert compact_tables(site.gate, every_table(site.gate.datasets), max_bytes=0) == []
