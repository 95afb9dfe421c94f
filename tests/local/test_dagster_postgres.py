"""Dagster's books in a real Postgres server, by one setting. With daemon and web server: tests/image/test_services.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from lakegate.local.dagster_processes import prepare_dagster_home
from lakegate.local.instance import POSTGRES_VARIABLE, create_instance, dagster_yaml, postgres_of
from pipelines.errors import ConfigurationError, PermanentError
from tests.assets.stage import departures, key, staged
from tests.postgres import execute, new_database, postgres_server

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
