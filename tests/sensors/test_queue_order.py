"""The order in which Dagster's own queue lets runs go, with the laptop's own settings: fresh files never wait behind a backfill."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.dagster_run import RunOpConcurrency
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from assets.run_tags import SHORT_RUN, tags_of_launch
from lakegate.local import laptop
from pipelines.accounting.states import Lane
from pipelines.intake.dispatching import Launch
from sensors.pools import set_pool_limits

Status = dg.DagsterRunStatus
SETTINGS = yaml.safe_load((Path(laptop.__file__).parent / "dagster.yaml").read_text())
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("lakegate"), "__repository__"), "job")


@dg.op
def nothing() -> None: ...


@dg.job
def job() -> None:
    nothing()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    settings = {name: SETTINGS[name] for name in ("run_coordinator", "concurrency")}
    with dg.instance_for_test(overrides=settings) as found:
        yield found


def run(
    instance: dg.DagsterInstance, tags: Mapping[str, str], of: str = "flights", status: Status = Status.QUEUED
) -> str:
    made = instance.create_run_for_job(job, status=status, tags=dict(tags), remote_job_origin=ORIGIN)
    pool = RunOpConcurrency(
        root_key_counts={f"write_{of}": 1}, has_unconstrained_root_nodes=False, all_pools={f"write_{of}"}
    )
    body = made._replace(run_op_concurrency=pool)  # pyright: ignore[reportPrivateUsage]
    instance.delete_run(made.run_id)
    instance.add_run(body)
    return body.run_id


def launch(lane: Lane, of: str = "flights") -> dict[str, str]:
    return tags_of_launch(Launch(f"{of}-{lane}", of, "event", ("b",), (date(2024, 2, 1),), lane))


def goes(instance: dg.DagsterInstance) -> list[str]:
    """The runs that the daemon would start now."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    return [r.run_id for r in daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)]  # pyright: ignore[reportPrivateUsage]


def test_a_fresh_file_overtakes_a_queued_backfill(instance: dg.DagsterInstance) -> None:
    set_pool_limits(instance, ["write_flights"])
    backfill = [run(instance, {"dagster/backfill": "x"}) for _ in range(3)]
    fresh = run(instance, launch(Lane.FRESH))
    assert goes(instance) == [fresh, backfill[0]]


def test_a_fresh_file_finds_a_place_beside_a_backfill_of_its_own_dataset(instance: dg.DagsterInstance) -> None:
    """However long the backfill's run takes: one run of all backfills works at a time, and the pool has room for two."""
    set_pool_limits(instance, ["write_flights"])
    run(instance, {"dagster/backfill": "x"}, status=Status.STARTED)
    for _ in range(3):
        run(instance, {"dagster/backfill": "x"})
        run(instance, {"dagster/backfill": "y"}, "weather")
    assert goes(instance) == []
    fresh = run(instance, launch(Lane.FRESH))
    assert goes(instance) == [fresh]


def test_the_order_is_short_jobs_then_fresh_files_then_what_is_asked_for_then_the_backlog_then_backfills(
    instance: dg.DagsterInstance,
) -> None:
    waiting = [
        run(instance, {"dagster/backfill": "x"}, "a"),
        run(instance, launch(Lane.BACKLOG, "b"), "b"),
        run(instance, launch(Lane.ASKED, "c"), "c"),
        run(instance, launch(Lane.FRESH, "d"), "d"),
        run(instance, SHORT_RUN, "e"),
    ]
    order: list[str] = []
    while gone := goes(instance):
        order.append(gone[0])
        instance.delete_run(gone[0])
    assert order == waiting[::-1]


def test_old_files_of_all_datasets_leave_a_place_to_fresh_ones(instance: dg.DagsterInstance) -> None:
    run(instance, launch(Lane.BACKLOG), status=Status.STARTED)
    for n in range(5):
        run(instance, launch(Lane.ASKED, f"d{n}"), f"d{n}")
        run(instance, launch(Lane.BACKLOG, f"d{n}"), f"d{n}")
    assert goes(instance) == []
    fresh = run(instance, launch(Lane.FRESH, "weather"), "weather")
    assert goes(instance) == [fresh]


def test_a_fresh_file_finds_a_place_in_its_pool_beside_a_backlog_and_a_backfill(instance: dg.DagsterInstance) -> None:
    set_pool_limits(instance, ["write_flights"])
    run(instance, launch(Lane.BACKLOG), status=Status.STARTED)
    fresh = run(instance, launch(Lane.FRESH))
    backfill = run(instance, {"dagster/backfill": "x"})
    assert goes(instance) == [fresh]
    instance.delete_run(fresh)
    assert goes(instance) == [backfill]


def test_two_runs_of_a_dataset_are_the_most_from_the_first_on(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("write_flights", 1)
    assert set_pool_limits(instance, ["write_flights"]) == []
    first = run(instance, launch(Lane.FRESH))
    run(instance, launch(Lane.FRESH))
    assert goes(instance) == [first]
