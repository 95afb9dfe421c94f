"""Each dataset's pool has its limit before its first run is asked for; what a person has set stays."""

import dagster as dg

from sensors.pools import set_pool_limits
from tests.assets.stage import Stage, departures, key


def limits(instance: dg.DagsterInstance) -> dict[str, int]:
    return {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits() if not pool.from_default}


def test_a_pool_gets_its_limit_once_and_a_persons_own_stays() -> None:
    with dg.instance_for_test() as instance:
        instance.event_log_storage.set_concurrency_slots("write_a", 5)
        assert set_pool_limits(instance, ["write_a", "write_b"]) == ["write_b"]
        assert limits(instance) == {"write_a": 5, "write_b": 3}
        assert set_pool_limits(instance, ["write_a", "write_b"]) == []


def test_a_limit_that_dagster_took_from_the_default_becomes_our_own() -> None:
    """Else the first runs of the pool would not be held by it."""
    overrides = {"concurrency": {"pools": {"default_limit": 1}}}
    with dg.instance_for_test(overrides=overrides) as instance:
        instance.event_log_storage.initialize_concurrency_limit_to_default("write_a")
        assert limits(instance) == {}
        assert set_pool_limits(instance, ["write_a"]) == ["write_a"]
        assert limits(instance) == {"write_a": 3}


def test_the_first_tick_that_asks_for_a_run_has_set_every_pool(stage: Stage) -> None:
    with dg.instance_for_test() as instance:
        stage.instance = instance
        stage.tick()
        assert limits(instance) == {}
        stage.world.put(key("2024-02-01"), departures(1))
        assert stage.tick().run_requests
        assert limits(instance) == {"write_departures": 3, "write_readings": 3}
