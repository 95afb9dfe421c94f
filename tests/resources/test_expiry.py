"""Old states of a table are forgotten and nothing else, on every kind of tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from resources.iceberg_expiry import expire_snapshots
from tests.publication.samples import row, source
from tests.resources.table_world import World


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


def five_states(world: World) -> World:
    for number in range(1, 6):
        world.publish(f"b{number}", {source("a", f"v{number}"): [row(number)]}, [source("a", f"v{number - 1}")])
    return world


def found(world: World) -> list[int]:
    return [n for n in range(1, 6) if world.tables.find_batch(world.of, f"b{n}") is not None]


def test_the_oldest_are_forgotten_and_the_table_goes_on_as_before(world: World) -> None:
    five_states(world)
    assert world.tables.expire(world.of, soon(), least=2, most=3) == 3
    assert found(world) == [4, 5]
    assert world.ids() == {("a", "v5"): [5]}
    late = World(world.connect, world.scratch, world.of, world.epochs)
    late.publish("b6", {source("b"): [row(6)]}, removes=[source("a", "v5")])
    assert late.ids() == {("b", "v1"): [6]}
    assert late.tables.expire(world.of, soon(), least=1, most=500) == 2
    assert found(late) == []
    assert late.tables.find_batch(world.of, "b6") is not None


def test_the_newest_state_is_never_forgotten_however_old(world: World) -> None:
    five_states(world)
    assert world.tables.expire(world.of, soon() + timedelta(days=1000), least=1, most=500) == 4
    assert world.tables.expire(world.of, soon(), least=0, most=500) == 0
    assert found(world) == [5]
    assert world.ids() == {("a", "v5"): [5]}


def test_what_is_younger_or_too_few_stays(world: World) -> None:
    five_states(world)
    assert world.tables.expire(world.of, datetime.now(UTC) - timedelta(minutes=10), least=1) == 0
    assert world.tables.expire(world.of, soon()) == 0  # four: it takes a hundred to be worth a commit
    assert found(world) == [1, 2, 3, 4, 5]


def test_an_empty_table_has_nothing_to_forget(world: World) -> None:
    assert world.tables.expire(world.of, soon(), least=0) == 0


def test_who_comes_second_forgets_nothing_and_breaks_nothing(world: World) -> None:
    five_states(world)
    tables = world.iceberg
    before = tables.load(world.of)
    assert tables.expire(world.of, soon(), least=1, most=2) == 2
    assert expire_snapshots(tables.catalog, before, soon(), 1, 2) == 0  # they are gone
    assert found(world) == [3, 4, 5]
    before = tables.load(world.of)
    world.publish("b6", {source("b"): [row(6)]})
    assert expire_snapshots(tables.catalog, before, soon(), 1, 500) == 0  # the table moved on
    assert found(world) == [3, 4, 5]
    assert world.ids() == {("a", "v5"): [5], ("b", "v1"): [6]}
