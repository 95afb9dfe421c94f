"""`lakegate simulate`: what it says of schedules that keep the promise, and of one that does not."""

from __future__ import annotations

import json

from tests.cli.command import lakegate


def test_schedules_that_keep_the_promise_are_counted() -> None:
    answer = lakegate("simulate", "--schedules", "4", "--seed", "5", "--jobs", "1")
    assert answer.code == 0
    assert "4 schedules of seed 5 in " in answer.out
    assert "violations: 0" in answer.out


def test_a_violation_is_shown_with_its_seed_its_number_and_its_shortest_history() -> None:
    answer = lakegate("simulate", "--schedules", "50", "--jobs", "1", "--without", "versioned-read")
    assert answer.code == 1
    assert "of seed 1 breaks the promise" in answer.out
    assert "   1. " in answer.out
    assert "VIOLATED (" in answer.out
    [again] = [line for line in answer.out.splitlines() if line.startswith("The whole of it: lakegate ")]
    whole = lakegate(*again.partition("lakegate ")[2].split())
    assert whole.code == 1
    assert "VIOLATED (" in whole.out
    answer = lakegate("simulate", "-n", "50", "-j", "1", "--without", "versioned-read", "--json")
    told = json.loads(answer.out)
    assert answer.code == 1
    assert told["broken"] == int(again.split("--schedule ")[1].split()[0])
    assert told["violation"]
    assert told["story"][-1].lstrip().startswith("VIOLATED")


def test_one_schedule_tells_its_whole_story() -> None:
    answer = lakegate("simulate", "--schedule", "3")
    assert answer.code == 0
    assert "producer: (1) puts " in answer.out
    assert answer.out.rstrip().endswith("At rest, and all is as it must be.")
