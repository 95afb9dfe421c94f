"""The books cost the same whatever is in them: a tick, a status and a file make as many calls at 20,000 entries as at 1,000."""

from __future__ import annotations

import pytest

from benchmarks.books import Cost, CountingStore, datasets, fill, measure, tick
from pipelines.accounting.ledger import Ledger
from resources.memory import MemoryItemStore
from tests.accounting.books import HandClock

DATASETS, DAYS = 3, 4


def costs(entries: int) -> dict[str, Cost]:
    store = MemoryItemStore()
    fill(store, entries, datasets(DATASETS), DAYS)
    return measure(store, datasets(DATASETS))


@pytest.fixture(scope="module")
def small() -> dict[str, Cost]:
    return costs(1_000)


@pytest.fixture(scope="module")
def large() -> dict[str, Cost]:
    return costs(20_000)


@pytest.mark.parametrize("step", ["a tick with nothing to do", "status", "one file, all its books"])
def test_the_number_of_calls_does_not_grow_with_the_entries(
    small: dict[str, Cost], large: dict[str, Cost], step: str
) -> None:
    assert large[step].calls == small[step].calls


@pytest.mark.parametrize("step", ["a tick with nothing to do", "one file, all its books"])
def test_the_items_read_do_not_grow_with_the_entries(small: dict[str, Cost], large: dict[str, Cost], step: str) -> None:
    assert large[step].items == small[step].items


def test_a_status_reads_the_counters_of_the_days_and_nothing_else(large: dict[str, Cost]) -> None:
    shards = 4
    assert large["status"].items <= DATASETS * DAYS * shards + DATASETS + shards


def test_a_tick_with_nothing_to_do_reads_next_to_nothing() -> None:
    store = MemoryItemStore()
    fill(store, 1_000, datasets(DATASETS), DAYS)
    counting = CountingStore(store)
    ledger = Ledger(counting, HandClock())
    tick(ledger, datasets(DATASETS))
    counting.calls = counting.items = 0
    tick(ledger, datasets(DATASETS))
    assert counting.items == 1, "the mark of the routing, and nothing of the 1,000 files"
