"""The audit log: every deed by hand is in it, before it is done and with what it came to; nothing of it is ever changed."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest

from pipelines.accounting.audit import AuditRecord, Deed
from pipelines.contracts.system_tables import audit_log
from pipelines.errors import PermanentError
from pipelines.gate import Gate
from pipelines.intake.backfill import take_days
from pipelines.intake.dead_letters import redrive
from pipelines.intake.impact import process_again
from pipelines.intake.replay import Asked, process_keys, replay_quarantined, retry_failed
from pipelines.publication.export import export_history
from resources.memory_tables import MemoryTables
from tests.ingest.world import BAD, DAY, World

GOOD = b"id,amount\n1,2.00\n"
ANN = Asked("ops/ann", "ticket 7\nsecond line", run="run-9")


def key(name: str) -> str:
    return f"landing/orders/2026-02-01/{name}.csv"


def records(gate: Gate) -> list[AuditRecord]:
    return list(gate.ledger.audit.since(gate.clock() - timedelta(days=1)))


def settled() -> World:
    world = World()
    world.put(key("good"), GOOD)
    world.put(key("bad"), BAD)
    world.settle_down()
    return world


def test_a_replay_is_written_down_with_who_why_which_and_what_it_came_to() -> None:
    world = settled()
    replay_quarantined(world.gate(), ANN, dataset="orders", rule="type")
    deed, outcome = records(world.gate())
    assert (deed.who, deed.what, deed.dataset, deed.why, deed.run, deed.of) == (
        "ops/ann", "replay quarantined files", "orders", "ticket 7\\nsecond line", "run-9", None,
    )  # fmt: skip
    assert deed.arguments == {"rule": "type"}
    assert (outcome.of, outcome.outcome) == (deed.record_id, {"due": "1", "held": "0", "left": "0"})


def test_whatever_is_done_by_hand_is_in_the_log() -> None:
    world = settled()
    gate = world.gate()
    [orders] = [d for d in gate.datasets.datasets if d.name == "orders"]
    retry_failed(gate.ledger, ANN, dataset="orders", text="no space")
    process_keys(gate, ANN, [key("good")])
    process_again(gate.ledger, orders, ANN)
    redrive(gate, ANN, most=10)
    take_days(gate, orders, [DAY], "run-7")
    gate.ledger.pauses.pause("orders", "ops/ann", "the producer is confused")
    gate.ledger.pauses.resume("orders", "ops/ann")
    done = [(r.who, r.what, r.why) for r in records(gate) if r.of is None]
    assert done == [
        ("ops/ann", "retry failed files", "ticket 7\\nsecond line"),
        ("ops/ann", "process files again", "ticket 7\\nsecond line"),
        ("ops/ann", "process days again", "ticket 7\\nsecond line"),
        ("ops/ann", "redrive dead letters", "ticket 7\\nsecond line"),
        ("Dagster run run-7", "process days again", ""),
        ("ops/ann", "pause", "the producer is confused"),
        ("ops/ann", "resume", "by hand"),
    ]


def test_what_lakegate_does_by_itself_is_not() -> None:
    world = settled()
    for _ in range(9):
        world.gate().ledger.pauses.fault("orders", "AccessDenied", "no", "b")
    assert world.gate().ledger.pauses.breakers(["orders"])["orders"].is_paused
    assert records(world.gate()) == []


def test_a_deed_that_stops_half_way_is_in_the_log_with_what_was_done_until_then() -> None:
    gate = World().gate()

    def migrate() -> None:
        with gate.ledger.audit.doing(Deed("ann", "migrate")) as outcome:
            outcome["items"] = 12
            raise PermanentError("what the error says is no part of a record: CANARY")

    with pytest.raises(PermanentError):
        migrate()
    _, stopped = records(gate)
    assert stopped.outcome == {"items": "12", "stopped by": "PermanentError"}


def test_nothing_ever_updates_deletes_or_writes_over_a_record() -> None:
    world = settled()
    gate = world.gate()
    replay_quarantined(gate, ANN, dataset="orders")
    before = {k: v for k, v in world.items.items().items() if k.pk.startswith("audit#")}
    assert len(before) == 2
    world.settle_down()
    gate.ledger.pauses.pause("orders", "ann", "x")
    export_history(gate)
    after = {k: v for k, v in world.items.items().items() if k.pk.startswith("audit#")}
    assert len(after) == 3
    assert {k: after[k] for k in before} == before


def test_records_are_exported_once_each_beside_the_history() -> None:
    world = settled()
    gate = world.gate()
    replay_quarantined(gate, ANN, dataset="orders", ids=())
    export_history(gate)
    gate.ledger.pauses.pause("orders", "ann", "lone \ud800 surrogate")
    export_history(gate)
    export_history(gate)
    tables = gate.tables
    assert isinstance(tables, MemoryTables)
    rows: list[dict[str, Any]] = tables.rows(audit_log()).to_pylist()
    assert [(r["who"], r["what"], r["of_record"] is None) for r in sorted(rows, key=lambda r: r["at"])] == [
        ("ops/ann", "replay quarantined files", True),
        ("ops/ann", "replay quarantined files", False),
        ("ann", "pause", True),
    ]
    assert {json.loads(r["outcome"]).get("due") for r in rows} == {None, "1"}


def test_each_record_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="lakegate.audit")
    gate = settled().gate()
    gate.ledger.pauses.pause("orders", "ann", "why not")
    [line] = [r for r in caplog.records if r.name == "lakegate.audit"]
    assert line.audit["who"] == "ann"  # type: ignore[attr-defined]
    assert line.audit["what"] == "pause"  # type: ignore[attr-defined]


def test_a_log_over_many_months_is_read_from_the_month_asked_for() -> None:
    world = World()
    gate = world.gate()
    for number in range(15):
        gate.ledger.audit.note(Deed("ann", f"deed {number}"))
        world.clock.turn(31 * 86_400)
    start = world.clock() - timedelta(days=31 * 3)
    assert [r.what for r in gate.ledger.audit.since(start)] == ["deed 12", "deed 13", "deed 14"]


def test_many_files_named_make_no_long_record() -> None:
    gate = World().gate()
    gate.ledger.audit.note(Deed("ann", "process", arguments={"keys": [f"k{n}" for n in range(1000)]}, why="y" * 9999))
    [record] = records(gate)
    assert record.arguments["keys"].endswith("k19 and 980 more")
    assert len(record.why) == 500
