"""What a dataset says of the order of its work, and what comes of it: `work` in the dataset file."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from assets.run_tags import tags_of_launch
from benchmarks.books import CONTRACT, datasets
from benchmarks.fairness import Factory
from pipelines.accounting.states import Lane
from pipelines.contracts.loading import parse_dataset
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import fingerprint
from pipelines.intake.dispatching import Launch, dispatch_from
from resources.memory import MemoryItemStore


def dataset(more: str = "", name: str = "d00") -> Dataset:
    found = parse_dataset((CONTRACT.format(name=name) + more).encode(), Path(f"{name}.yaml"))
    assert isinstance(found, Dataset), found
    return found


def test_without_a_word_a_file_is_fresh_for_an_hour_and_no_dataset_goes_first() -> None:
    assert (dataset().work.priority, dataset().work.fresh) == (0, timedelta(hours=1))


def test_the_order_of_work_says_nothing_about_what_is_in_a_file() -> None:
    assert fingerprint(dataset("work: {priority: 4, fresh_within: PT5M}\n")) == fingerprint(dataset())


@pytest.mark.parametrize("said", ["", "work: {fresh_within: PT1M}\n"])
def test_what_landed_just_now_is_fresh(said: str) -> None:
    of = dataset(said)
    factory = Factory(MemoryItemStore(), [of])
    factory.land(of.name)
    [launch] = dispatch_from(factory.ledger, [of], lambda: factory.now, lambda _: {}).launches
    assert launch.lane is Lane.FRESH


def test_what_landed_before_is_fresh_no_more() -> None:
    of = dataset("work: {fresh_within: PT1M}\n")
    factory = Factory(MemoryItemStore(), [of])
    factory.land(of.name)
    factory.now += timedelta(minutes=2)
    [launch] = dispatch_from(factory.ledger, [of], lambda: factory.now, lambda _: {}).launches
    assert launch.lane is Lane.BACKLOG


def test_the_dataset_of_higher_priority_goes_first_within_its_lane_and_never_before_fresh_files() -> None:
    low, high = dataset("work: {priority: -4}\n"), dataset("work: {priority: 4}\n", "d01")
    factory = Factory(MemoryItemStore(), [low, high])
    for of in (low, high):
        factory.land(of.name)
    launches = dispatch_from(factory.ledger, [low, high], lambda: factory.now, lambda _: {}).launches
    assert [launch.dataset for launch in launches] == ["d01", "d00"]
    assert [tags_of_launch(launch)["dagster/priority"] for launch in launches] == ["34", "26"]
    old = Launch("k", "d01", "event", ("b",), (date(2026, 3, 1),), Lane.BACKLOG, high.work.priority)
    assert int(tags_of_launch(old)["dagster/priority"]) < 26


def test_datasets_of_one_priority_take_turns() -> None:
    among = datasets(3)
    first: set[str] = set()
    for _ in range(3):
        factory = Factory(MemoryItemStore(), among)
        factory.now += timedelta(minutes=len(first))
        for of in among:
            factory.land(of.name)
        first.add(dispatch_from(factory.ledger, among, lambda now=factory.now: now, lambda _: {}).launches[0].dataset)
    assert first == {"d00", "d01", "d02"}
