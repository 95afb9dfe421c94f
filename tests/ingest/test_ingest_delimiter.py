"""A dataset whose contract leaves the delimiter to its files is read with that of the first one accepted, from then on."""

from __future__ import annotations

from typing import Any

from pipelines.accounting.ledger import Ledger
from tests.ingest.world import ORDERS, World, dataset, file_of, orders, orders_key

AUTO = dataset(ORDERS.replace("{type: csv}", "{type: csv, delimiter: auto}"))


def semicolons(*ids: int) -> bytes:
    return orders(*ids).replace(b",", b";")


def test_the_first_accepted_file_decides_and_a_rejected_one_does_not() -> None:
    world = World(datasets=(AUTO,))
    bad = world.put(orders_key("a"), b"id|amount\nx|1\n")
    world.settle_down()
    assert world.gate().ledger.pinned_delimiter("orders") is None
    first = world.put(orders_key("b"), semicolons(1, 2))
    [report] = world.settle_down()
    assert world.gate().ledger.pinned_delimiter("orders") == ";"
    assert (file_of([report], first).delimiter, file_of([report], first).delimiter_score) == (";", 1.0)
    other, same = world.put(orders_key("c"), orders(3)), world.put(orders_key("d"), semicolons(4))
    [report] = world.settle_down()
    assert world.ids() == [1, 2, 4]
    assert [world.outcome(v) for v in (bad, first, other, same)] == ["quarantined", "loaded", "quarantined", "loaded"]
    assert (file_of([report], same).delimiter, file_of([report], same).delimiter_score) == (";", None)
    (cause,) = world.report_of(other).likely_causes
    assert cause == (
        "The delimiter looks like ',': with it, the only row fits. "
        "With delimiter: auto, all files have the delimiter of the first accepted one."
    )
    world.assert_balanced()


def test_within_one_batch_the_first_accepted_file_decides_for_the_others() -> None:
    world = World(datasets=(AUTO,))
    for n, content in enumerate((orders(1), semicolons(2), orders(3))):
        world.put(orders_key(str(n)), content)
    world.settle_down()
    pinned = world.gate().ledger.pinned_delimiter("orders")
    assert world.ids() == ([1, 3] if pinned == "," else [2])
    world.assert_balanced()


def test_declaring_the_delimiter_unpins_it() -> None:
    world = World(datasets=(AUTO,))
    world.put(orders_key("a"), semicolons(1))
    world.settle_down()
    world.datasets = (dataset(ORDERS),)
    world.put(orders_key("b"), orders(2))
    world.settle_down()
    assert world.ids() == [1, 2]


def test_the_worker_that_pins_second_reads_its_file_again_with_the_others_delimiter(monkeypatch: Any) -> None:
    world = World(datasets=(AUTO,))
    version = world.put(orders_key("a"), semicolons(1))

    def late(ledger: Ledger, dataset: str) -> None:
        """Sees nothing yet; and behind its back another worker pins."""
        ledger.pin_delimiter(dataset, ",")

    monkeypatch.setattr(Ledger, "pinned_delimiter", late)
    world.settle_down()
    monkeypatch.undo()
    assert world.gate().ledger.pinned_delimiter("orders") == ","
    assert world.outcome(version) == "quarantined"
    assert world.ids() == []
    world.assert_balanced()


def test_pinning_is_repeatable_and_never_changes() -> None:
    ledger = World().gate().ledger
    assert ledger.pinned_delimiter("orders") is None
    assert ledger.pin_delimiter("orders", ";") == ";"
    assert ledger.pin_delimiter("orders", ";") == ";"
    assert ledger.pin_delimiter("orders", ",") == ";"
    assert ledger.pinned_delimiter("orders") == ";"
    assert ledger.pinned_delimiter("clicks") is None
