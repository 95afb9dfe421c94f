"""Days taken again: one after the other, only the files that were asked for, and nothing that is another run's."""

from datetime import date, timedelta

import pytest

from pipelines.errors import ConfigurationError
from pipelines.intake.backfill import Choice, Taken, take_days
from pipelines.intake.dispatching import dispatch
from pipelines.reports import BatchReport
from tests.ingest.world import BAD, DAY, ORDERS, World, dataset, orders, orders_key

NEXT = DAY + timedelta(days=1)
STRICTER = ORDERS.replace("id: {type: bigint, nullable: false}", "id: {type: bigint, nullable: false, max: 100}")


@pytest.fixture
def world() -> World:
    return World(datasets=(dataset(ORDERS),))


def landed(world: World) -> World:
    """A good file on each of three days, and a bad one on the first."""
    for number in range(3):
        day = DAY + timedelta(days=number)
        world.put(orders_key(f"f{number}", day), orders(10 + number))
    world.put(orders_key("bad"), BAD)
    world.settle_down()
    return world


def days() -> list[date]:
    return [DAY, NEXT, NEXT + timedelta(days=1)]


def run(world: World, taken: Taken) -> list[str]:
    """The keys that were read."""
    read: list[str] = []
    gate = world.gate()
    for batch in taken.batches():
        outcome = world.take(gate, taken.dataset, batch.batch_id, "backfill")
        assert isinstance(outcome, BatchReport)
        read += [file.key for file in outcome.files]
    world.assert_balanced()
    return sorted(read)


def test_a_day_becomes_due_only_when_its_turn_comes(world: World) -> None:
    """What was due earlier the landing sensor would plan for itself, as fresh files."""
    landed(world)
    gate = world.gate()
    batches = take_days(gate, world.datasets[0], days(), "backfill").batches()
    for day in days():
        batch = next(batches)
        assert batch.landing_day == day
        assert gate.ledger.due("orders") == []
        assert dispatch(gate, lambda keys: {}).launches == []
        world.take(gate, world.datasets[0], batch.batch_id, "backfill")
    assert list(batches) == []


def test_a_file_that_arrives_while_a_backfill_runs_is_left_to_the_sensor(world: World) -> None:
    landed(world)
    gate = world.gate()
    batches = take_days(gate, world.datasets[0], days(), "backfill").batches()
    first = next(batches)
    world.put(orders_key("late", NEXT), orders(50))
    world.take(gate, world.datasets[0], first.batch_id, "backfill")
    for batch in batches:
        world.take(gate, world.datasets[0], batch.batch_id, "backfill")
    world.settle_down()
    assert world.ids() == [10, 11, 12, 50]
    world.assert_balanced()


def test_a_run_that_dies_on_its_first_day_leaves_the_others_as_they_were(world: World) -> None:
    landed(world)
    next(take_days(world.gate(), world.datasets[0], days(), "backfill").batches())
    assert sorted(world.outcomes().values()) == ["loaded", "loaded", "pending", "pending"]


def test_only_the_keys_that_were_named(world: World) -> None:
    landed(world)
    key = orders_key("f0")
    assert run(world, take_days(world.gate(), world.datasets[0], days(), "r", Choice((key, key)))) == [key]


def test_a_key_of_another_day_or_dataset_is_left_and_named(world: World) -> None:
    landed(world)
    world.datasets = (*world.datasets, World().datasets[1])
    world.put("landing/clicks/c.csv", b"id\n1\n")
    world.settle_down()
    chosen = Choice((orders_key("f1", NEXT), "landing/clicks/c.csv"))
    taken = take_days(world.gate(), world.datasets[0], [DAY], "r", chosen)
    assert run(world, taken) == []
    assert taken.notes == [
        f"landing/orders/{NEXT}/f1.csv is of {NEXT}, not of a day that was asked for",
        "landing/clicks/c.csv belongs to another dataset (clicks)",
        "none of these days has a file to process",
    ]


def test_a_key_that_nobody_knows_stops_the_run_before_anything_is_due(world: World) -> None:
    landed(world)
    with pytest.raises(
        ConfigurationError, match=r"knows no object under landing/orders/typo\.csv\. Keys are written as"
    ):
        take_days(world.gate(), world.datasets[0], days(), "r", Choice((orders_key("f0"), "landing/orders/typo.csv")))
    assert "pending" not in world.outcomes().values()


def test_without_force_what_todays_contract_has_judged_stays_as_it_is(world: World) -> None:
    landed(world)
    taken = take_days(world.gate(), world.datasets[0], days(), "r", Choice(force=False))
    assert run(world, taken) == []
    assert taken.notes == ["4 of the files were judged by today's contract already and stay as they are"]


def test_without_force_an_older_contract_or_a_file_that_waits_is_work(world: World) -> None:
    landed(world)
    world.datasets = (dataset(STRICTER),)
    of = world.datasets[0]
    first = take_days(world.gate(), of, [DAY], "r", Choice(force=False))
    assert run(world, first) == [orders_key("bad"), orders_key("f0")]
    # Pressed again, over more days: only the rest. What the stricter contract refuses is judged, though its rows stay.
    rest = take_days(world.gate(), of, days(), "r", Choice(force=False))
    assert run(world, rest) == [orders_key("f1", NEXT), orders_key("f2", days()[2])]
    assert run(world, take_days(world.gate(), of, days(), "r", Choice(force=False))) == []
    assert len(run(world, take_days(world.gate(), of, days(), "r"))) == 4


def test_days_without_a_file_say_so(world: World) -> None:
    taken = take_days(world.gate(), world.datasets[0], days(), "r")
    assert run(world, taken) == []
    assert taken.notes == ["none of these days has a file to process"]
