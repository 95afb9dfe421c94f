"""Dagster's books in a real Postgres server, by one setting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest

from lakegate.local.dagster_processes import prepare_dagster_home
from lakegate.local.instance import POSTGRES_VARIABLE, create_instance, dagster_yaml, postgres_of
from lakegate.local.laptop import CREDENTIALS, Laptop
from pipelines.errors import ConfigurationError, PermanentError
from tests.assets.stage import departures, key, staged
from tests.postgres import PASSWORD, execute, new_database, postgres_server

DEFINITIONS = """
import dagster as dg

@dg.asset
def flights() -> None: ...

@dg.sensor(target=flights, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def landing():
    return dg.RunRequest(run_key="once")

@dg.schedule(target=flights, cron_schedule="0 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def nightly():
    return dg.RunRequest()

defs = dg.Definitions(assets=[flights], sensors=[landing], schedules=[nightly], executor=dg.in_process_executor)
"""
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as address:
        yield address


@pytest.fixture
def database(server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database, named in the environment as a person names it."""
    address = new_database(server, request.node.name[:60])
    monkeypatch.setenv(POSTGRES_VARIABLE, address)
    return address


@pytest.mark.daemon
def test_daemon_pages_sensor_and_run_keep_their_books_in_postgres_and_the_password_to_themselves(
    database: str, tmp_path: Path
) -> None:
    (tmp_path / "small_definitions.py").write_text(DEFINITIONS)
    (tmp_path / "workspace.yaml").write_text("load_from: [{python_file: small_definitions.py}]\n")
    laptop = Laptop(tmp_path / "home", any_port=True)
    commands: set[str] = set()
    try:
        address = laptop.start_dagster(CREDENTIALS, workspace=tmp_path / "workspace.yaml")
        deadline = time.monotonic() + LIMIT_S
        while execute(database, "SELECT status FROM runs") != [("SUCCESS",)]:
            assert time.monotonic() < deadline, (laptop.home / "logs" / "dagster-daemon.log").read_text()[-4000:]
            commands |= {" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])}
            time.sleep(0.2)
        page = urllib.request.Request(
            f"{address}/graphql",
            data=json.dumps({"query": "{ instance { info } }"}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(page, timeout=30) as response:
            shown = response.read().decode()
    finally:
        laptop.stop()

    for table in ("event_logs", "job_ticks", "instigators", "asset_keys", "daemon_heartbeats", "run_tags"):
        assert execute(database, f"SELECT count(*) FROM {table}")[0][0], table
    files = [path for path in laptop.home.rglob("*") if path.is_file()]
    assert [path.name for path in files if path.suffix == ".db"] == []
    assert "QueuedRunCoordinator" in shown
    for secret in (PASSWORD, "s3cret"):
        assert secret not in shown
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
        assert [command for command in commands if secret in command] == []


def test_a_file_goes_through_the_sensor_and_a_run_over_postgres(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = prepare_dagster_home(tmp_path, os.environ)
    monkeypatch.setenv(POSTGRES_VARIABLE, own[POSTGRES_VARIABLE])
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance, staged(instance) as stage:
        stage.world.put(key("2024-03-05"), departures(1, 2, 3))
        [request] = stage.tick().run_requests
        assert stage.run_request(request).success
        assert stage.metadata(["departures"], "2024-03-05")["dagster/partition_row_count"] == 3
        assert stage.tick().run_requests == []
        assert instance.get_materialized_partitions(dg.AssetKey("departures")) == {"2024-03-05"}
    assert execute(database, "SELECT count(*) FROM runs WHERE status = 'SUCCESS'") == [(1,)]


def test_two_processes_that_make_the_instance_at_once_both_succeed(database: str, tmp_path: Path) -> None:
    own = {**os.environ, "DAGSTER_HOME": str(tmp_path), POSTGRES_VARIABLE: postgres_of(os.environ) or ""}
    (tmp_path / "dagster.yaml").write_text(dagster_yaml(own))
    code = "import sys; from pathlib import Path; from lakegate.local.instance import create_instance; import os\n"
    code += "sys.stdin.read(); create_instance(Path(os.environ['DAGSTER_HOME']), os.environ)"
    makers = [subprocess.Popen([sys.executable, "-c", code], env=own, stdin=subprocess.PIPE) for _ in range(2)]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.close()
    assert [maker.wait(LIMIT_S) for maker in makers] == [0, 0]
    assert execute(database, "SELECT count(*) FROM runs") == [(0,)]


def test_a_server_that_refuses_is_named_without_the_password(server: str, tmp_path: Path) -> None:
    wrong = server.replace("s3cret", "wr0ng")
    with pytest.raises(PermanentError) as caught:
        prepare_dagster_home(tmp_path, {**os.environ, POSTGRES_VARIABLE: wrong})
    message = str(caught.value)
    assert "password authentication failed" in message
    assert "lakegate:***@127.0.0.1" in message
    assert "wr0ng" not in message


@pytest.mark.parametrize(
    "said", ["nonsense", "mysql://root:s3cret@db/x", "postgresql+psycopg://u:s3cret@db/x", "//s3cret"]
)
def test_what_is_no_address_of_postgres_is_refused_and_not_repeated(said: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://USER:PASSWORD@HOST:5432/DATABASE") as caught:
        postgres_of({POSTGRES_VARIABLE: said})
    assert "s3cret" not in str(caught.value)


def test_without_the_setting_the_books_are_sqlite_files(tmp_path: Path) -> None:
    assert postgres_of({}) is None
    assert postgres_of({POSTGRES_VARIABLE: ""}) is None
    assert "storage" not in dagster_yaml({})
    create_instance(tmp_path, {**os.environ, "DAGSTER_HOME": str(tmp_path)})
    assert (tmp_path / "schedules" / "schedules.db").exists()


@pytest.mark.parametrize("said", ["postgres://u@h/d", "postgresql://u@h/d", "postgresql+psycopg2://u@h/d"])
def test_the_driver_is_the_one_that_is_installed(said: str) -> None:
    assert postgres_of({POSTGRES_VARIABLE: said}) == "postgresql+psycopg2://u@h/d"
