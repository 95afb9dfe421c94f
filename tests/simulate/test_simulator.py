"""The promise under simulated schedules; and that the simulator bites: without any one of the guards it finds a violation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lakegate.simulate.guards import Guard
from lakegate.simulate.running import Ended, run_again, run_number
from lakegate.simulate.schedule import (
    Action,
    Compact,
    Crash,
    Disturbance,
    Fail,
    Put,
    Rates,
    Remove,
    Schedule,
    Setting,
    Sleep,
)
from lakegate.simulate.shrinking import shortest

SEED = 20260301
SCHEDULES = 200
ROUGH: dict[Guard, Rates] = {
    Guard.REGISTRATION: Rates(switch=0.1, crash=0.01, fail=0.01, sleep=0.0, launching=0.0),
    Guard.VERSIONED_READ: Rates(switch=0.1, crash=0.01, fail=0.0, sleep=0.01, launching=0.0),
    Guard.COMPARE_AND_SET: Rates(switch=0.3, crash=0.0, fail=0.0, sleep=0.02, launching=0.2),
    Guard.LOOKUP: Rates(switch=0.0, crash=0.0, fail=0.03, sleep=0.0, launching=0.0),
    Guard.SAME_FILES: Rates(switch=0.1, crash=0.0, fail=0.0, sleep=0.01, launching=0.0),
}
"""The faults that each guard is there for, made frequent."""
MOST = 500
CALM = Rates(switch=0.0, crash=0.0, fail=0.0, sleep=0.0, launching=0.0)
BY_ROWS = Setting(by_rows=True, accept_empty=False, retract=True, max_attempts=2, days_per_run=1, tick_s=60.0)
MIXED = Put(1, 67.0, "b", "mixed 4 2 #2", (1.0,))


def test_every_row_is_there_once_whatever_goes_wrong() -> None:
    for number in range(SCHEDULES):
        ended = run_number(SEED, number)
        assert ended.violated is None, "\n".join(shortest(ended).story)


def without(guard: Guard) -> Ended:
    """The first schedule that breaks without this guard."""
    for number in range(MOST):
        ended = run_number(SEED, number, [guard], rough=ROUGH[guard])
        if ended.violated is not None:
            return ended
    raise AssertionError(f"{MOST} schedules, and nobody missed the guard {guard}")


def two_sleepers() -> Iterator[Schedule]:
    """One file; a worker that sleeps past its lease, and the one in its place that sleeps until the first is done: each at several calls."""
    for first in range(3, 12, 2):
        for second in range(12, 33, 3):
            asleep = {
                ("run 1, worker 1", first): Sleep(150.0, stopped=True, retried=True),
                ("run 1, worker 2", second): Sleep(530.0, stopped=True, retried=False),
            }
            yield Schedule(SEED, 0, BY_ROWS, CALM, (MIXED,), asleep)


def test_the_epoch_is_what_keeps_two_sleepers_from_loading_a_file_twice() -> None:
    schedules = list(two_sleepers())
    assert [ended.violated for ended in map(run_again, schedules) if ended.violated is not None] == []
    broken = [run_again(schedule, [Guard.EPOCH]).violated for schedule in schedules]
    assert {found.kind for found in broken if found is not None} == {"wrong rows"}


BY_FILES = replace(BY_ROWS, by_rows=False)
FILES = (
    Put(1, 10.0, "a", "good 3 0 #1", (1.0,)),
    Put(2, 70.0, "b", "good 2 0 #2", (1.0,)),
    Put(3, 130.0, "c", "good 1 0 #3", (1.0,)),
)
COMPACTION = Compact(4, 260.0, 40.0)
CORRECTION = Put(5, 241.0, "a", "good 2 0 #5", (1.0,))
REMOVAL = Remove(5, 241.0, "a", marker=True, deliveries=(1.0,))
NEW_FILE = Put(5, 241.0, "d", "good 2 0 #5", (1.0,))
HARMS = (
    Crash(after=False, noticed_after_s=None, retried=False),
    Crash(after=True, noticed_after_s=None, retried=False),
    Fail(applied=False),
    Fail(applied=True),
    Fail(applied=False, late_s=20.0),
)


def compacted(*actions: Action, disturbed: dict[tuple[str, int], Disturbance] | None = None) -> Ended:
    return run_again(Schedule(SEED, 0, BY_FILES, CALM, (*FILES, *actions), disturbed or {}))


def test_compaction_keeps_what_a_run_adds_and_gives_way_to_what_it_replaces_or_takes_away() -> None:
    """The run commits while the compaction still reads; what it left is put together in the end."""
    assert compacted(COMPACTION).compactions == {"done": 1, "gave way": 0}
    assert compacted(COMPACTION, NEW_FILE).compactions == {"done": 2, "gave way": 0}
    for action in (CORRECTION, REMOVAL):
        ended = compacted(COMPACTION, action)
        assert ended.violated is None
        assert ended.compactions == {"done": 1, "gave way": 1}


@pytest.mark.parametrize("action", [CORRECTION, REMOVAL, NEW_FILE])
def test_a_compaction_may_die_or_get_no_answer_at_each_of_its_calls(action: Action) -> None:
    calls = 0
    while True:
        ended = [compacted(COMPACTION, action, disturbed={("compaction 1", calls): harm}) for harm in HARMS]
        assert [(calls, one.violated) for one in ended if one.violated is not None] == []
        if not ended[0].compactions.get("died"):
            break
        calls += 1
    assert calls > len(FILES)


@pytest.mark.parametrize("guard", ROUGH)
def test_without_one_guard_the_promise_breaks(guard: Guard) -> None:
    ended = without(guard)
    assert ended.violated is not None
    assert ended.violated.kind != "unexpected error", ended.violated


def test_a_violation_is_told_as_its_shortest_history() -> None:
    ended = without(Guard.COMPARE_AND_SET)
    found = shortest(ended, [Guard.COMPARE_AND_SET])
    assert found.violated is not None
    assert ended.violated is not None
    assert found.violated.kind == ended.violated.kind
    assert len(found.schedule.disturbances) <= 6
    assert len(found.schedule.actions) <= len(ended.schedule.actions)
    assert found.story[-1].lstrip().startswith("VIOLATED")
    assert run_again(found.schedule, [Guard.COMPARE_AND_SET], telling=True).story == found.story


def test_a_schedule_run_again_with_what_was_drawn_is_the_same() -> None:
    for number in range(10):
        drawn = run_number(SEED, number, telling=True)
        assert run_again(drawn.schedule, telling=True).story == drawn.story


PRINT_STORIES = """
from lakegate.simulate.running import run_number
for number in range(12):
    print("\\n".join(run_number({seed}, number, telling=True).story))
"""


def test_a_seed_gives_the_same_history_in_every_process_byte_for_byte() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", PRINT_STORIES.format(seed=SEED)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0].count(b"At rest") == 12
