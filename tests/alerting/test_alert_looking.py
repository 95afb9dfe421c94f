"""What the ledger, the queue and the dataset files show, over a small deployment in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.accounting.breaker import BreakerPolicy
from pipelines.accounting.entries import RetryPolicy
from pipelines.accounting.outcomes import FileQuarantined
from pipelines.accounting.states import Trigger
from pipelines.alerting.conditions import Condition, Kind, Look, Severity
from pipelines.alerting.looking import blind, look_at_gate
from pipelines.alerting.memory import Memory
from pipelines.contracts.faults import Fault
from pipelines.contracts.loading import BrokenDataset
from pipelines.errors import PermanentError, TransientError
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.replay import Asked, retry_failed
from pipelines.links import Links
from pipelines.publication.quarantine import quarantine_id
from resources.memory import MemoryItemStore
from tests.accounting.books import bad, claim_due, ledger_on, sighting
from tests.ingest.world import BAD, World, orders, orders_key

LINKS = Links("https://dagster.example.org", "https://docs.example.org")


def look(world: World, memory: Memory | None = None) -> Look:
    gate = replace(world.gate(), links=LINKS)
    return look_at_gate(gate, memory or Memory(), world.clock())


def only(found: Look) -> Condition:
    [condition] = found.conditions
    return condition


def test_all_is_well_in_an_empty_deployment() -> None:
    assert look(World()) == Look(())


def test_quarantined_files_are_one_condition_a_rule_with_key_line_column_and_id() -> None:
    world = World()
    first = world.put(orders_key("a"), BAD)
    world.settle_down()
    world.clock.turn(60)
    second = world.put(orders_key("b\n\x1b[31m"), BAD)
    world.put(orders_key("c"), b"id,amount\n1,much\n")
    world.put(orders_key("good"), orders(7))
    world.put("landing/clicks/x.csv", b"id\n1,2\n")
    world.settle_down()
    found = {(c.dataset, c.reason): c for c in look(world).conditions}
    assert {place: c.count for place, c in found.items()} == {("orders", "type"): 3, ("clicks", "long_row"): 1}
    condition = found["orders", "type"]
    assert (condition.kind, condition.severity, condition.owner) == (Kind.QUARANTINE, Severity.WARNING, "team:sales")
    assert condition.headline == "3 files in quarantine: type"
    shown = {item.name: (item.line, item.column, item.id) for item in condition.items}
    assert shown[orders_key("a")] == (3, "id", quarantine_id(first))
    assert shown[orders_key("b").replace("b.csv", "b\\n\\x1b[31m.csv")] == (3, "id", quarantine_id(second))
    assert shown[orders_key("c")][:2] == (2, "amount")
    assert condition.items[-1].name == orders_key("a"), "the newest come first"
    assert condition.newest is not None
    assert condition.newest - condition.since >= timedelta(seconds=60)
    assert condition.links == {
        "quarantine": "https://dagster.example.org/assets/quarantine/orders_quarantine?view=events",
        "docs on what is quarantined": "https://docs.example.org/what-is-quarantined.md",
        "docs on replay": "https://docs.example.org/operating.md#replay",
    }
    assert "none" not in str(condition)
    assert "much" not in str(condition)


def test_a_corrected_file_leaves_the_condition_and_the_last_one_ends_it() -> None:
    world = World()
    for name in ("a", "b"):
        world.put(orders_key(name), BAD)
    world.settle_down()
    assert only(look(world)).count == 2
    world.put(orders_key("a"), orders(1))
    world.settle_down()
    assert only(look(world)).count == 1
    world.put(orders_key("b"), orders(2))
    world.settle_down()
    assert look(world) == Look(())


def test_the_first_look_goes_four_hours_back_and_later_ones_to_where_the_condition_began() -> None:
    world = World()
    world.put(orders_key("old"), BAD)
    world.settle_down()
    world.clock.turn(5 * 3600)
    assert look(world) == Look(())
    world.put(orders_key("new"), BAD)
    world.settle_down()
    known = Memory().after(look(world), world.clock(), ["sns"], timedelta(minutes=15))
    world.clock.turn(9 * 3600)
    later = replace(known, looked_at=world.clock())
    assert only(look(world, later)).count == 1
    assert look(world, Memory(looked_at=world.clock())) == Look(())
    assert only(look(world, Memory(looked_at=world.clock() - timedelta(hours=9)))).count == 1


def test_ten_thousand_files_are_not_read_and_the_newest_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.alerting.looking._MOST_LISTED", 10)
    store = MemoryItemStore()
    world = World(items=store)
    ledger = ledger_on(store, world.clock)
    sightings = [sighting(f"landing/orders/{n:02d}.csv", n + 1, dataset="orders") for n in range(25)]
    ledger.register(sightings)
    claim = claim_due(ledger, dataset="orders")
    for number, member in enumerate(claim.members):
        rule = "null" if number < 3 else "type"
        ledger.settle(claim, [FileQuarantined(member.ref, replace(bad(member.ref).facts, rules=(rule,)), 5)])
        world.clock.turn(1)
    found = look(world)
    condition = only(found)
    assert (condition.reason, condition.count, condition.is_capped) == ("type", 10, True)
    assert condition.headline == "10 files or more in quarantine: type"
    assert found.is_unsure(Kind.QUARANTINE, "orders")
    assert not found.is_unsure(Kind.QUARANTINE, "clicks")


def test_a_file_rejected_before_rules_were_kept_has_the_reason_unknown() -> None:
    world = World()
    ledger = ledger_on(world.items, world.clock)
    ledger.register([sighting(dataset="orders")])
    claim = claim_due(ledger, dataset="orders")
    ledger.settle(claim, [bad(m.ref) for m in claim.members])
    assert only(look(world)).reason == "unknown"


@dataclass
class Unreadable:
    """An object store that does not answer."""

    inner: Any
    closed: bool = True
    keys: set[str] = field(default_factory=set)

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        if self.closed:
            raise PermanentError(
                f"reading s3://lakegate-landing-123456789012-eu-west-1/{version.key}: AccessDenied: User: arn:aws:iam::123456789012:role/x",
                code="AccessDenied",
            )
        return self.inner.read(version)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_failed_files_are_one_condition_a_cause_also_those_of_long_ago_without_the_account() -> None:
    world = World(policy=RetryPolicy(max_attempts=1), breaker=BreakerPolicy(faults=1000))
    store = Unreadable(world.store)
    world.store = store  # type: ignore[assignment]
    for name in ("a", "b", "c"):
        world.put(orders_key(name), orders(1))
    world.settle_down()
    world.clock.turn(30 * 86400)
    condition = only(look(world))
    assert (condition.kind, condition.count, condition.severity) == (Kind.FAILED_FILES, 3, Severity.ERROR)
    assert condition.reason == "reading …: AccessDenied: User: arn:aws:iam::…:role/x"
    assert {item.name for item in condition.items} == {orders_key(name) for name in ("a", "b", "c")}
    assert "123456789012" not in str(condition)
    store.closed = False
    retry_failed(world.gate().ledger, Asked("ann"))
    world.settle_down()
    assert look(world) == Look(())


def test_a_paused_dataset_says_by_what_and_how_it_goes_on() -> None:
    world = World(breaker=BreakerPolicy(faults=2))
    pauses = world.gate().ledger.pauses
    for number in range(2):
        pauses.fault("orders", "AccessDenied", "reading s3://x-123456789012-y/k: AccessDenied", f"b{number}")
    condition = only(look(world))
    assert (condition.kind, condition.dataset, condition.severity) == (Kind.PAUSED, "orders", Severity.ERROR)
    assert condition.headline == "paused: AccessDenied"
    assert condition.happened.startswith(
        "2 batches in a row were stopped the same way, AccessDenied: reading s3://x-…-y/k"
    )
    assert "`lakegate resume orders`" in condition.todo
    pauses.pause("clicks", "ann", "the feed sends nonsense")
    by_hand = {c.dataset: c for c in look(world).conditions}["clicks"]
    assert (by_hand.reason, by_hand.severity, by_hand.headline) == ("by_hand", Severity.WARNING, "paused by ann")
    pauses.verdict("orders")
    pauses.resume("clicks", "ann")
    assert look(world) == Look(())


def test_dead_letters_are_counted() -> None:
    world = World()
    for _ in range(3):
        world.dead_letters.send("{}")
    condition = only(look(world))
    assert (condition.kind, condition.count) == (Kind.DEAD_LETTERS, 3)
    assert condition.headline == "about 3 dead letters"
    assert condition.links["dead letters"] == "https://dagster.example.org/assets/operations/dead_letters?view=overview"


def test_a_wrong_dataset_file_is_told_with_its_faults() -> None:
    world = World()
    gate = world.gate()
    fault = Fault("trips.yaml", 3, 1, "columns", "nothing", "at least one column", "say it")
    broken = BrokenDataset(Path("trips.yaml"), None, (fault,))
    gate = replace(gate, datasets=replace(gate.datasets, broken=(broken,)))
    condition = only(look_at_gate(gate, Memory(), world.clock()))
    assert (condition.kind, condition.dataset) == (Kind.BROKEN_DATASET, "trips")
    assert condition.headline == "its dataset file is wrong: 1 fault"
    assert condition.items[0].name.startswith("trips.yaml:3: columns: ")


def test_when_the_ledger_does_not_answer_that_is_what_is_told() -> None:
    world = World()
    error = TransientError("querying x for 123456789012: cut short")
    found = blind(world.gate(), error, world.clock())
    condition = only(found)
    assert (condition.kind, condition.severity, condition.reason) == (Kind.BLIND, Severity.CRITICAL, "Unavailable")
    assert "querying x for …: cut short" in condition.happened
    assert all(found.is_unsure(kind, "orders") for kind in Kind if kind is not Kind.BLIND)


def test_a_replayed_file_that_is_rejected_again_is_news() -> None:
    world = World()
    version = world.put(orders_key("a"), BAD)
    world.settle_down()
    before = only(look(world)).newest
    world.clock.turn(60)
    gate = world.gate()
    entry = next(e for e in gate.ledger.quarantined("orders") if e.version == version)
    gate.ledger.make_due([entry.ref], Trigger.REPLAY, "again")
    world.settle_down()
    after = only(look(world)).newest
    assert before is not None
    assert after is not None
    assert after > before


def test_dagsters_page_of_the_quarantine_is_the_assets_own() -> None:
    from assets.keys import quarantine_key

    world = World()
    world.put(orders_key("a"), BAD)
    world.settle_down()
    assert "/".join(quarantine_key(world.datasets[0]).path) in only(look(world)).links["quarantine"]
