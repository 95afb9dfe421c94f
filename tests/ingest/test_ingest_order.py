"""What serves does not hang on the order of arrival: the same keys published again and again, told in any order, by any number of workers.

Day reports that were published again under their keys (`feeds/csse_republished`: one key with three versions, one with five,
the first of which has another header), and the same with wrong files among them. `make test` takes a seeded sample of the orders,
`make proof` every order of the key with three versions and a larger sample of all.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import pytest

from pipelines.contracts.model import Dataset
from pipelines.errors import LakegateError
from pipelines.ingest import ingest_batch
from pipelines.intake.dispatching import RunState, dispatch
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.receiving import receive
from tests.ingest.test_ingest_csse import REPORTS
from tests.ingest.world import BAD, READER, World, dataset, event_body, mixed, orders_key
from tests.proof import IN_PROOF
from tests.reading.support import shared

DATASET = dataset(REPORTS)
SAMPLES = 150 if IN_PROOF else 8
A_DAY_S = 86_400.0
spread = pytest.mark.parametrize("apart_s", [0.0, A_DAY_S], ids=["on one day", "a day apart"])
"""Versions of one day are worked off one batch after the other; those of different days by several workers at once."""


@cache
def published() -> tuple[tuple[str, bytes], ...]:
    """Key and bytes of every version, each key's in the order they were published."""
    feed = shared("feeds/csse_republished")
    return tuple(
        (f"landing/csse/world/{day.name}.csv", path.read_bytes())
        for day in sorted(feed.iterdir())
        if day.is_dir()
        for path in sorted(day.glob("v*.csv"))
    )


def shortened(content: bytes, lines: int = 60) -> bytes:
    """The first lines of a file: what serves is as clear with sixty rows as with three thousand."""
    return b"".join(content.splitlines(keepends=True)[:lines])


def end_of(world: World) -> dict[str, Any]:
    """What has to be the same: rows, outcomes, counters."""
    state = world.state()
    return {name: state[name] for name in ("rows", "rejected", "outcomes", "counters", "messages", "dead letters")}


def land(files: Sequence[tuple[str, bytes]], apart_s: float, of: Dataset) -> tuple[World, list[ObjectVersion]]:
    """A world in which everything has landed, so long after each other, and nothing was told."""
    world = World(datasets=(of,))
    versions: list[ObjectVersion] = []
    for key, content in files:
        world.clock.turn(apart_s)
        versions.append(world.put(key, content, events=0))
    return world, versions


def announce(world: World, version: ObjectVersion) -> None:
    """S3's notification: it tells when the version was put, whenever it comes."""
    world.queue.send(event_body(version, version.landed_at))


def tell(world: World, messages: Sequence[ObjectVersion], workers: int, some: random.Random) -> None:
    """Messages come a few at a time; between them the sensor ticks, and this many workers take what is planned, at once."""
    waiting = list(messages)
    while waiting:
        for _ in range(some.randint(1, 4)):
            if waiting:
                announce(world, waiting.pop(0))
        tick(world, workers)
    for _ in range(40):
        if not tick(world, workers):
            break
    world.settle_down()


def tick(world: World, workers: int) -> int:
    """One look of the sensor, and its runs; how many batches there were to do."""
    gate = world.gate()
    receive(gate, wait_s=0, budget_s=60)
    looked = dispatch(gate, lambda keys: {k: world.runs[k] for k in keys if k in world.runs})
    work = [(launch.run_key, batch) for launch in looked.launches for batch in launch.batches]
    of = world.datasets[0]
    gate.tables.ensure(of)

    def run(item: tuple[str, str]) -> bool:
        try:
            ingest_batch(world.gate(), READER, of, item[1], f"run-{item[0]}")
        except LakegateError:
            return False
        return True

    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(run, work))
    for launch in looked.launches:
        mine = [ok for (key, _), ok in zip(work, done, strict=True) if key == launch.run_key]
        world.runs[launch.run_key] = RunState.SUCCEEDED if all(mine) else RunState.FAILED
    return len(work)


def in_order(files: Sequence[tuple[str, bytes]], apart_s: float = 0, of: Dataset = DATASET) -> dict[str, Any]:
    """The end when each version is told once, in order, and worked off before the next."""
    world, versions = land(files, apart_s, of)
    for version in versions:
        announce(world, version)
        world.settle_down()
    world.assert_balanced()
    return end_of(world)


def replayed(
    files: Sequence[tuple[str, bytes]],
    order: Sequence[int],
    workers: int,
    seed: int,
    apart_s: float = 0,
    of: Dataset = DATASET,
) -> dict[str, Any]:
    """The end when they are told in this order, each one to three times, a few at a time."""
    some = random.Random(seed)
    world, versions = land(files, apart_s, of)
    messages = [versions[number] for number in order]
    for version in versions:
        for _ in range(some.randint(0, 2)):
            messages.insert(some.randrange(len(messages) + 1), version)
    tell(world, messages, workers, some)
    world.assert_balanced()
    return end_of(world)


@spread
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("seed", range(SAMPLES))
def test_days_published_again_end_the_same_in_any_order(seed: int, workers: int, apart_s: float) -> None:
    files = published() if seed == 0 else tuple((key, shortened(content)) for key, content in published())
    order = list(range(len(files)))
    random.Random(seed).shuffle(order)
    assert replayed(files, order, workers, seed, apart_s) == expected(seed == 0, apart_s)


@spread
@pytest.mark.parametrize("workers", [1, 4])
def test_the_day_with_three_versions_ends_the_same_in_each_of_its_six_orders(workers: int, apart_s: float) -> None:
    files = tuple((key, shortened(content)) for key, content in published())[:3]
    end = in_order(files, apart_s)
    assert [o for _, o in sorted(end["outcomes"].items())] == ["superseded", "superseded", "loaded"]
    for seed, order in enumerate(itertools.permutations(range(3))):
        assert replayed(files, order, workers, seed, apart_s) == end, f"order {order}"


@cache
def expected(whole: bool, apart_s: float) -> dict[str, Any]:
    files = published() if whole else tuple((key, shortened(content)) for key, content in published())
    end = in_order(files, apart_s)
    assert sorted(end["outcomes"].values()) == ["loaded"] * 2 + ["superseded"] * 6
    return end


def version(kind: str, number: int) -> bytes:
    return {"good": mixed(number, bad=0), "bad": BAD, "empty": b""}[kind]


KINDS = [
    kinds
    for length in (2, 3, 4)
    for kinds in itertools.product(("good", "bad", "empty"), repeat=length)
    if IN_PROOF or (length < 4 and "good" in kinds)
]


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_good_wrong_and_empty_versions_of_a_key_end_the_same_in_every_order(kinds: tuple[str, ...]) -> None:
    files = [(orders_key("a"), version(kind, number)) for number, kind in enumerate(kinds)]
    of = World().datasets[0]
    end = in_order(files, of=of)
    serving = max((n for n, kind in enumerate(kinds) if kind == "good"), default=None)
    assert [row["id"] for row in end["rows"]] == ([] if serving is None else [serving])
    for seed, order in enumerate(itertools.permutations(range(len(files)))):
        assert replayed(files, order, 1 + 3 * (seed % 2), seed, of=of) == end, f"order {order}"
