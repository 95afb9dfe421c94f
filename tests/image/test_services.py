"""Dagster as it runs on ECS, on this machine: four services, a real Postgres, an AWS that checks every right of every role."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator

import pytest

from lakegate.local.laptop import Laptop
from pipelines.contracts.loading import load_datasets
from resources.assembly import open_gate
from resources.environment import Deployment
from tests.image.ecs import SERVICES
from tests.image.services import LIMIT_S, Services
from tests.postgres import PASSWORD, execute, postgres_server
from tests.road.road import Road, environment_kept

pytestmark = pytest.mark.daemon

CONTRACT = """\
name: visits
description: Who came, by day.
landing: {key: "landing/visits/{day:%Y-%m-%d}.csv", day: day, start: 2024-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
partition_by: [day]
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Road, Services]]:
    folder = tmp_path_factory.mktemp("ecs")
    datasets = folder / "datasets"
    datasets.mkdir()
    (datasets / "visits.yaml").write_text(CONTRACT)
    laptop = Laptop(folder / "laptop", any_port=True, enforce_iam=True)
    with environment_kept(), postgres_server() as postgres:
        try:
            environment = laptop.start()
            deployment, catalog = Deployment.from_environment(environment), load_datasets(datasets)
            assert not catalog.broken, catalog.broken
            road = Road(laptop, environment, deployment, open_gate(deployment, catalog))
            services = Services(folder / "tasks", environment, postgres, datasets)
            try:
                for service in SERVICES:
                    services.start(service)
                services.await_health("Code", "Web", "Workers", "Daemon")
                yield road, services
            finally:
                services.stop()
        finally:
            laptop.stop()


def loaded(road: Road, services: Services, day: int) -> None:
    """A file is dropped, and its row is in the table."""
    key = f"landing/visits/2024-01-{day:02d}.csv"
    road.put(key, b"id\n%d\n" % day)
    told = lambda: "\n".join(services.log(service) for service in SERVICES)  # noqa: E731
    road.laptop.home.joinpath("logs", "dagster-daemon.log").touch()
    road.wait(lambda: road.outcomes(key) == ["loaded"], told, within_s=LIMIT_S)
    assert road.rows(f"SELECT id FROM visits WHERE _source_file = '{key}'") == [{"id": day}]


def pages(services: Services, query: str) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{services.ports['3000']}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read().decode()


def test_a_file_is_loaded_by_four_services_each_with_its_own_rights_and_the_password_stays_where_it_is(
    whole: tuple[Road, Services],
) -> None:
    road, services = whole
    loaded(road, services, 1)
    succeeded = "SELECT count(*) FROM runs WHERE status = 'SUCCESS' AND pipeline_name = 'ingest_visits'"
    road.wait(lambda: execute(services.postgres, succeeded) == [(1,)], lambda: services.log("Workers"))
    for table in ("event_logs", "job_ticks", "instigators", "asset_keys", "daemon_heartbeats", "run_tags"):
        assert execute(services.postgres, f"SELECT count(*) > 0 FROM {table}") == [(True,)], table
    shown = pages(services, "{ instance { info runLauncher { name } } }")
    assert "WarmRunLauncher" in shown
    files = [path for path in services.folder.rglob("*") if path.is_file()]
    for secret in (PASSWORD, "s3cret"):
        assert secret not in shown
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
        assert [command for command in services.commands() if secret in command] == []


def test_nothing_is_written_but_below_tmp(whole: tuple[Road, Services]) -> None:
    _, services = whole
    written = {str(path.relative_to(services.folder / "app")) for path in (services.folder / "app").rglob("*")}
    assert written == {"dagster", "dagster/dagster.yaml", "workspace.yaml"}


def test_a_code_server_that_was_killed_is_missed_and_another_one_goes_on(whole: tuple[Road, Services]) -> None:
    road, services = whole
    services.kill("Code")
    assert services.health("Code").returncode == 1
    road.put("landing/visits/2024-01-02.csv", b"id\n2\n")
    services.start("Code")
    services.await_health("Code")
    key = "landing/visits/2024-01-02.csv"
    road.wait(lambda: road.outcomes(key) == ["loaded"], lambda: services.log("Daemon"), within_s=LIMIT_S)
    shown = pages(services, "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }")
    assert '"loadStatus":"LOADED"' in shown.replace(" ", "")


def test_a_rotated_password_has_every_container_replaced(whole: tuple[Road, Services]) -> None:
    _, services = whole
    execute(services.postgres, "ALTER USER lakegate PASSWORD 'rotated'")
    told = services.postgres.replace("s3cret%2Fpass%20word", "rotated")
    try:
        for service in SERVICES:
            assert services.health(service).returncode != 0, service
    finally:
        execute(told, f"ALTER USER lakegate PASSWORD '{PASSWORD}'")
    assert services.health("Web").returncode == 0


def test_on_sigterm_all_end_and_leave_nothing(whole: tuple[Road, Services]) -> None:
    _, services = whole
    codes = services.stop()
    assert codes["Workers"] == 0, services.log("Workers")
    assert all(code > -9 for code in codes.values()), codes
    assert services.commands() == []
    assert os.path.exists(services.home)
