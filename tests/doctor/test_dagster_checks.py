"""Dagster's own books, as a living daemon leaves them and as a dead one does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from lakegate.doctor.dagster import dagster_home, look_at_daemon, look_at_sensor, look_at_workers
from pipelines.wiring.diagnosis import Finding, Verdict

NOW = datetime.now(UTC)


def clock() -> datetime:
    return NOW


class Books:
    """An instance in a folder, written to as a daemon writes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        self.instance = dg.DagsterInstance.from_config(str(home))

    def beat(self, *, ago_s: float = 0, error: str | None = None) -> None:
        errors = [SerializableErrorInfo(error, [], None)] if error else []
        for name in self.instance.get_required_daemon_types():
            self.instance.add_daemon_heartbeat(DaemonHeartbeat(NOW.timestamp() - ago_s, name, "one", errors))

    def sensor(self, status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE) -> Any:
        code = InProcessCodeLocationOrigin(
            LoadableTargetOrigin(module_name="lakegate.definitions"), location_name="lakegate"
        )
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(code, "__repository__"), "landing_sensor")
        state = InstigatorState(origin, InstigatorType.SENSOR, status, SensorInstigatorData(min_interval=1))
        self.instance.add_instigator_state(state)
        return state

    def tick(
        self, state: Any, status: TickStatus = TickStatus.SKIPPED, *, ago_s: float = 5, error: str | None = None
    ) -> None:
        self.instance.create_tick(
            TickData(
                state.instigator_origin_id, "landing_sensor", InstigatorType.SENSOR, status, NOW.timestamp() - ago_s,
                run_ids=[], error=SerializableErrorInfo(error, [], None) if error else None, selector_id=state.selector_id,
            )
        )  # fmt: skip


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    yield made
    made.instance.dispose()


def sentence(finding: Finding, verdict: Verdict) -> str:
    assert finding.verdict is verdict, finding
    assert finding.todo or verdict in (Verdict.OK, Verdict.SKIPPED)
    return finding.found


def test_a_daemon_that_lives_is_well(books: Books) -> None:
    books.beat()
    assert sentence(look_at_daemon(books.home, clock), Verdict.OK) == "alive"


def test_a_daemon_that_died_is_named_with_its_last_sign_of_life(books: Books) -> None:
    books.beat(ago_s=7 * 3600)
    said = sentence(look_at_daemon(books.home, clock), Verdict.WRONG)
    assert "SENSOR is silent since" in said
    assert "7 hours ago" in said


def test_a_daemon_that_never_ran_is_named(books: Books) -> None:
    assert "SENSOR has never been heard of" in sentence(look_at_daemon(books.home, clock), Verdict.WRONG)


def test_a_daemon_that_reports_errors_is_a_warning(books: Books) -> None:
    books.beat(error="could not load the workspace")
    assert "could not load the workspace" in sentence(look_at_daemon(books.home, clock), Verdict.WARNING)


@pytest.mark.parametrize("status", [InstigatorStatus.DECLARED_IN_CODE, InstigatorStatus.RUNNING])
def test_a_sensor_that_ticks_is_well(books: Books, status: InstigatorStatus) -> None:
    books.tick(books.sensor(status))
    assert "switched on, last tick" in sentence(look_at_sensor(books.home, clock), Verdict.OK)


def test_a_sensor_that_is_switched_off_is_named(books: Books) -> None:
    books.tick(books.sensor(InstigatorStatus.STOPPED))
    assert "switched off" in sentence(look_at_sensor(books.home, clock), Verdict.WRONG)


def test_a_sensor_that_never_ran_or_ran_long_ago_is_named(books: Books) -> None:
    assert "never run" in sentence(look_at_sensor(books.home, clock), Verdict.WRONG)
    state = books.sensor()
    assert "not finished a tick" in sentence(look_at_sensor(books.home, clock), Verdict.WARNING)
    books.tick(state, ago_s=timedelta(minutes=20).total_seconds())
    assert "20 minutes ago" in sentence(look_at_sensor(books.home, clock), Verdict.WRONG)


def test_the_last_tick_counts(books: Books) -> None:
    state = books.sensor()
    books.tick(state, TickStatus.FAILURE, ago_s=60, error="AccessDenied: no")
    assert "the last tick failed: AccessDenied: no" in sentence(look_at_sensor(books.home, clock), Verdict.WRONG)
    books.tick(state, TickStatus.SUCCESS, ago_s=20)
    books.tick(state, TickStatus.STARTED, ago_s=1)
    assert sentence(look_at_sensor(books.home, clock), Verdict.OK)


def test_where_no_dagster_is_known_nothing_is_wrong(tmp_path: Path) -> None:
    assert dagster_home({}, tmp_path) is None
    assert dagster_home({"DAGSTER_HOME": "/x"}, tmp_path) == Path("/x")
    for finding in (look_at_daemon(None, clock), look_at_sensor(None, clock), look_at_workers(None, tmp_path)):
        sentence(finding, Verdict.SKIPPED)


def test_workers_that_take_no_runs_are_named(tmp_path: Path) -> None:
    from lakegate.local.instance import dagster_yaml

    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(dagster_yaml({}, warm_workers=True))
    assert "no worker takes runs" in sentence(look_at_workers(home, tmp_path), Verdict.WRONG)
    (home / "dagster.yaml").write_text(dagster_yaml({}))
    sentence(look_at_workers(home, tmp_path), Verdict.SKIPPED)
