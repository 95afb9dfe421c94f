"""A backlog delays no fresh file by more than a tick or two, and datasets do not starve each other: the benchmark, small."""

from __future__ import annotations

from datetime import timedelta

import pytest

from benchmarks.books import datasets
from benchmarks.fairness import LAYOUTS, NOW, TODAY, Factory, fill_waiting, fresh_beside, progress
from pipelines.accounting.states import State
from resources.memory import MemoryItemStore

BACKLOG = 1_500


def factory(layout: str, entries: int = BACKLOG, number: int = 2) -> Factory:
    store, among = MemoryItemStore(), datasets(number)
    fill_waiting(store, among[0].name, LAYOUTS[layout], entries)
    return Factory(store, among)


@pytest.mark.parametrize(
    ("whose", "layout"), [("d00", "1,000 days"), ("d00", "one old day"), ("d00", "today"), ("d01", "today")]
)
def test_a_fresh_file_is_planned_by_the_next_tick_and_loaded_by_the_one_after(whose: str, layout: str) -> None:
    busy = factory(layout)
    told = fresh_beside(busy, whose, 4, LAYOUTS[layout][len(LAYOUTS[layout]) // 2])
    assert (told.planned, told.loaded) <= (2, 2)
    assert busy.waiting_runs <= 8, "what waits in the queue does not grow with the backlog"


def test_what_a_look_reads_does_not_grow_with_the_backlog() -> None:
    small, large = (fresh_beside(factory("one old day", entries), "d00", 2) for entries in (BACKLOG, 3 * BACKLOG))
    assert large.calls <= small.calls * 1.1
    assert large.items <= small.items * 1.1


def test_a_fresh_file_is_seen_among_more_fresh_files_than_a_look_reads() -> None:
    """A million objects copied into the bucket at once are fresh, all of them: the newest goes first all the same."""
    crowd = factory("today", 1)
    for _ in range(1_600):
        crowd.now += timedelta(milliseconds=10)
        crowd.land("d00")
    crowd.tick()
    last = crowd.land("d00")
    crowd.tick()
    crowd.tick()
    assert crowd.state(last) is not State.SEEN
    assert crowd.loaded["d00"] > 500, "the oldest of them are loaded beside the newest"


def test_datasets_with_backlogs_of_every_size_progress_together() -> None:
    among, store = datasets(3), MemoryItemStore()
    sizes = {"d00": 1, "d01": 100, "d02": BACKLOG}
    for name, size in sizes.items():
        fill_waiting(store, name, LAYOUTS["1,000 days"][:40], size)
    *_, loaded = progress(Factory(store, among), 14)
    assert loaded["d00"] == sizes["d00"]
    assert loaded["d01"] > 0
    assert loaded["d02"] > 0


def test_a_backlog_ends() -> None:
    """Whatever is skipped in one look is found in another: nothing is forgotten."""
    store, among = MemoryItemStore(), datasets(1)
    days = [TODAY - timedelta(days=n) for n in (0, 1, 2, 3, 40, 41, 90)]
    fill_waiting(store, "d00", days, 1_200)
    whole = Factory(store, among)
    for _ in range(40):
        whole.tick()
        if whole.loaded.get("d00") == 1_200:
            return
    pytest.fail(f"{whole.loaded} of 1,200 files of {NOW:%Y} loaded after 40 ticks")
