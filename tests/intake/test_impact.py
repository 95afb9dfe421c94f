"""After a contract changed: what of which day was judged by an older one, and what processing again makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from pipelines.accounting.entries import LedgerEntry
from pipelines.accounting.states import Outcome, Trigger
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import fingerprint
from pipelines.intake.impact import ContractImpact, DayImpact, contract_impact, impact_of, process_again
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.replay import Asked, Replayed
from tests.accounting.fragile import assert_counters_are_sums
from tests.ingest.world import BAD, DAY, ORDERS, ORDERS_BY_ROWS, World, dataset, orders, orders_key

ANN = Asked("ann", "the contract changed")
NEXT = DAY + timedelta(days=1)
CAPPED = ORDERS.replace('amount: {type: "decimal(10,2)"}', 'amount: {type: "decimal(10,2)", max: 5}')


def change(world: World, text: str) -> Dataset:
    """The contract changes."""
    changed = dataset(text)
    world.datasets = (changed, *world.datasets[1:])
    return changed


def impact(world: World) -> ContractImpact:
    return contract_impact(world.gate().ledger, world.datasets[0])


def entry_of(world: World, version: ObjectVersion) -> LedgerEntry:
    return next(e for e in world.entries() if e.version == version)


def two_days() -> World:
    world = World()
    world.put(orders_key("a"), orders(1, 2))
    world.put(orders_key("b"), orders(3, amount="9.00"))
    world.put(orders_key("bad"), BAD)
    world.put(orders_key("empty"), b"")
    world.put(orders_key("c", NEXT), orders(4))
    world.settle_down()
    return world


def test_under_one_contract_there_is_nothing_to_process_again() -> None:
    world = two_days()
    assert impact(world).days == ()
    assert impact(world).sentence() == f"Every file was read under today's contract ({fingerprint(world.datasets[0])})."


def test_each_day_tells_what_was_judged_by_the_older_contract() -> None:
    world = two_days()
    before = fingerprint(world.datasets[0])
    after = change(world, CAPPED)
    assert impact(world) == ContractImpact("orders", fingerprint(after), (
        DayImpact(DAY, files=2, rows=3, quarantined=1, empty=1, by_contract=((before, 2),)),
        DayImpact(NEXT, files=1, rows=1, by_contract=((before, 1),)),
    ))  # fmt: skip
    assert impact(world).sentence() == (
        "3 files in the table were read under an older contract; 2 files were turned away under an older contract "
        "(of 2 days from 2026-02-01 to 2026-02-02). To process again what an older contract judged: "
        "lakegate datasets impact orders --process"
    )


def test_no_entry_is_looked_at_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    world = two_days()
    change(world, CAPPED)
    asked: list[str] = []
    query = world.items.query

    def noted(pk: str, **how: Any) -> Any:
        asked.append(pk)
        return query(pk, **how)

    monkeypatch.setattr(world.items, "query", noted)
    assert impact(world).total("files") == 3
    assert set(asked) == {"counts#orders"}


def test_processing_again_judges_by_the_new_contract_and_keeps_who_asked() -> None:
    world = two_days()
    gate = world.gate()
    change(world, ORDERS_BY_ROWS)
    done = process_again(gate.ledger, world.datasets[0], ANN)
    assert done == Replayed(due=5)
    assert {e.trigger for e in world.entries()} == {Trigger.REPLAY}
    world.settle_down()
    assert impact(world).is_current
    assert world.ids() == [1, 1, 2, 3, 4]
    assert len(world.rejected()) == 1
    contract = fingerprint(world.datasets[0])
    [a, *_] = world.entries()
    history = gate.ledger.history(a.version.bucket, a.version.key)
    assert f"processed again under the contract {contract} by ann: the contract changed" in [h.reason for h in history]
    world.assert_balanced()
    assert_counters_are_sums(world.items)
    assert process_again(gate.ledger, world.datasets[0], ANN) == Replayed()


def test_only_the_days_asked_for_and_only_what_is_older_becomes_due() -> None:
    world = two_days()
    after = change(world, CAPPED)
    world.put(orders_key("new", NEXT), orders(5))
    world.settle_down()
    assert process_again(world.gate().ledger, after, ANN, first=NEXT, last=NEXT) == Replayed(due=1)
    world.settle_down()
    assert [day.landing_day for day in impact(world).days] == [DAY]
    assert world.ids() == [1, 2, 3, 4, 5]
    assert process_again(world.gate().ledger, after, ANN, last=DAY - timedelta(days=1)) == Replayed()


def test_a_file_that_the_new_contract_rejects_keeps_its_rows_and_is_told_of_apart() -> None:
    world = two_days()
    change(world, CAPPED)
    process_again(world.gate().ledger, world.datasets[0], ANN)
    world.settle_down()
    found = impact(world)
    [day] = found.days
    assert (day.landing_day, day.files, day.rows, day.refused, day.to_process) == (DAY, 1, 1, 1, 0)
    assert found.sentence() == (
        "1 file would be turned away by today's contract; the rows they had stay (of 2026-02-01). "
        "Have them sent again, corrected, or set the contract back."
    )
    assert process_again(world.gate().ledger, world.datasets[0], ANN) == Replayed()
    assert world.ids() == [1, 2, 3, 4]
    assert_counters_are_sums(world.items)
    change(world, ORDERS)
    assert process_again(world.gate().ledger, world.datasets[0], ANN).due == 4
    world.settle_down()
    assert impact(world).is_current
    assert_counters_are_sums(world.items)


def test_beside_a_file_that_was_turned_away_only_the_others_of_its_day_become_due() -> None:
    world = two_days()
    change(world, CAPPED)
    dear = next(e for e in world.entries() if e.version.key == orders_key("b"))
    world.gate().ledger.make_due([dear.ref], Trigger.REPLAY, "this one first")
    world.settle_down()
    [first, _] = impact(world).days
    assert (first.files, first.refused, first.to_process) == (2, 1, 3)
    assert process_again(world.gate().ledger, world.datasets[0], ANN, last=DAY) == Replayed(due=3)


def test_a_file_that_replaces_an_older_one_is_of_todays_contract() -> None:
    world = two_days()
    change(world, CAPPED)
    for name, day in (("a", DAY), ("b", DAY), ("bad", DAY), ("c", NEXT)):
        world.put(orders_key(name, day), orders(7))
    world.put(orders_key("empty"), orders(8))
    world.settle_down()
    found = impact(world)
    assert [(d.files, d.quarantined, d.empty) for d in found.days] == [(0, 0, 1)]
    assert_counters_are_sums(world.items)


def test_words_and_defaults_written_out_ask_for_nothing() -> None:
    world = two_days()
    change(world, ORDERS.replace("Orders of a shop", "All orders") + "on_empty: keep\non_delete: retract\n")
    assert impact(world).is_current


def test_what_a_release_before_counted_nowhere_is_older_until_it_is_processed_again() -> None:
    world = two_days()
    counts = world.gate().ledger.counts("orders")
    found = impact_of(world.datasets[0], [replace(day, contracts={}) for day in counts])
    assert [(d.files, d.rows, d.quarantined, d.empty, d.by_contract) for d in found.days] == [
        (2, 3, 1, 1, (("", 2),)),
        (1, 1, 0, 0, (("", 1),)),
    ]


def test_a_day_that_a_release_before_began_never_counts_below_nothing() -> None:
    world = two_days()
    [day, _] = world.gate().ledger.counts("orders")
    today = fingerprint(world.datasets[0])
    odd = replace(day, outcomes={Outcome.QUARANTINED: 0}, contracts={today: replace(day.contracts[today], serving_files=9, rows=9)})  # fmt: skip
    assert impact_of(world.datasets[0], [odd]).is_current


def test_a_dataset_without_a_file_is_current() -> None:
    world = World()
    assert impact(world).is_current
    assert process_again(world.gate().ledger, world.datasets[0], ANN, first=date(2020, 1, 1)) == Replayed()


def test_entries_are_read_in_parts_and_days_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.intake.impact._DAYS_AT_ONCE", 2)
    monkeypatch.setattr("pipelines.intake.impact._ENTRIES_AT_ONCE", 3)
    world = World()
    for number in range(20):
        world.put(orders_key(f"f{number}", DAY + timedelta(days=number % 5)), orders(number))
    world.settle_down()
    change(world, CAPPED)
    assert process_again(world.gate().ledger, world.datasets[0], ANN) == Replayed(due=20)
    world.settle_down()
    assert impact(world).is_current
