"""The road where AWS checks every signature and permission, and each part has its own role of the template and no keys."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lakegate.local.laptop import WORKSPACE, Laptop
from lakegate.local.roles import KEY_VARIABLES, Role
from lakegate.status import look
from pipelines.contracts.loading import load_datasets
from pipelines.errors import ConfigurationError, LakegateError
from pipelines.gate import Gate
from resources.assembly import open_gate, query_engine
from resources.environment import Deployment, client
from tests.road.road import environment_kept

pytestmark = pytest.mark.daemon

CONTRACT = """\
name: visits
description: Visits, two of which do not keep to this.
landing: {key: "landing/visits/{day:%Y-%m-%d}.csv", day: day, start: 2024-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
primary_key: [id]
partition_by: [day]
rows: {on_bad: quarantine_rows, max_bad: 40%}
"""
FILES = {
    "landing/visits/2024-01-01.csv": b"id\n1\n2\nthree\n",
    "landing/visits/2024-01-02.csv": b"id\n4\n",
    "landing/visits/2024-01-03.csv": b"id\nfive\n",
}
LIMIT_S = 240.0
"""A quiet machine needs a quarter of it."""


class Enforced:
    """A laptop that enforces, on which the files have come to rest."""

    def __init__(self, laptop: Laptop, environment: dict[str, str], datasets: Path) -> None:
        self.laptop, self.environment = laptop, environment
        self.deployment = Deployment.from_environment(environment)
        with laptop.acting_as(environment, Role.OPERATOR):
            self.gate: Gate = open_gate(self.deployment, load_datasets(datasets))

    def rows(self, role: Role, sql: str) -> list[dict[str, Any]]:
        with self.laptop.acting_as(self.environment, role):
            return query_engine(Deployment.from_environment()).query(sql).table.to_pylist()

    def await_rest(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        with self.laptop.acting_as(self.environment, Role.OPERATOR):
            while not ((rest := look(self.gate)).at_rest and rest.sheet.objects == len(FILES)):
                assert time.monotonic() < deadline, f"{rest.sentence()}\n{self.refusals()}"
                time.sleep(0.2)

    def refusals(self) -> list[str]:
        """What AWS refused, by the logs of all processes."""
        logs = (self.laptop.home / "logs").glob("*.log")
        return sorted({line for log in logs for line in log.read_text().splitlines() if "not authorized to" in line})

    def environments(self, name: str) -> dict[str, dict[str, str]]:
        """The environment of each process of a child, by its command line."""
        [leader] = [each.pid for each in self.laptop.status() if each.name == name]
        family = [psutil.Process(leader), *psutil.Process(leader).children(recursive=True)]
        return {f"{p.pid} {' '.join(p.cmdline())}": p.environ() for p in family}


@pytest.fixture(scope="module")
def enforced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enforced]:
    home = tmp_path_factory.mktemp("enforced")
    datasets = home / "datasets"
    datasets.mkdir()
    (datasets / "visits.yaml").write_text(CONTRACT)
    laptop = Laptop(home / "laptop", any_port=True, enforce_iam=True)
    with environment_kept():
        os.environ["LAKEGATE_DATASETS"] = str(datasets)
        try:
            environment = laptop.start()
            road = Enforced(laptop, environment, datasets)
            with laptop.acting_as(environment, Role.PRODUCER):
                for key, content in FILES.items():
                    client("s3").put_object(Bucket=road.deployment.landing_bucket, Key=key, Body=content)
            laptop.start_dagster(environment, workspace=WORKSPACE, warm_workers=True)
            road.await_rest()
            yield road
        finally:
            laptop.stop()


def test_good_rows_are_in_the_table_for_the_analyst(enforced: Enforced) -> None:
    assert enforced.rows(Role.QUERY, "SELECT id FROM visits ORDER BY id") == [{"id": 1}, {"id": 2}, {"id": 4}]


def test_bad_ones_are_in_quarantine_and_for_the_operator_only(enforced: Enforced) -> None:
    sql = "SELECT count(*) AS rejected FROM visits__rejected"
    assert enforced.rows(Role.OPERATOR, sql) == [{"rejected": 1}]
    with pytest.raises(LakegateError, match="s3:GetObject on resource"):
        enforced.rows(Role.QUERY, sql)
    [entry] = enforced.gate.ledger.entries(enforced.deployment.landing_bucket, "landing/visits/2024-01-03.csv")
    assert entry.outcome.value == "quarantined"


def test_nothing_was_refused_to_those_who_did_the_work(enforced: Enforced) -> None:
    assert [line for line in enforced.refusals() if "-QueryRole-" not in line] == []


@pytest.mark.parametrize(
    ("child", "role"),
    [("dagster-daemon", Role.SENSOR), ("dagster-webserver", Role.SENSOR), ("workers", Role.RUN)],
)
def test_each_part_acts_under_its_own_role_and_has_no_keys(enforced: Enforced, child: str, role: Role) -> None:
    found = enforced.environments(child)
    assert found
    for process, environment in found.items():
        assert not set(KEY_VARIABLES) & set(environment), process
    with_aws = {
        each["AWS_CONTAINER_CREDENTIALS_FULL_URI"].rsplit("/", 1)[1]
        for each in found.values()
        if "AWS_CONTAINER_CREDENTIALS_FULL_URI" in each
    }
    assert with_aws == {role.value}


def test_the_folder_remembers_that_it_enforces(enforced: Enforced) -> None:
    again = Laptop(enforced.laptop.home)
    with environment_kept():
        assert "AWS_ACCESS_KEY_ID" not in again.environment()
        assert again.environment(Role.QUERY)["AWS_CONTAINER_CREDENTIALS_FULL_URI"].endswith("/role/query")
        assert "LAKEGATE_OPERATOR_WORKGROUP" not in os.environ
    assert {status.name for status in again.status()} >= {"roles", "workers"}
    with environment_kept(), pytest.raises(ConfigurationError, match="lakegate down"):
        Laptop(enforced.laptop.home, enforce_iam=False).start_aws()
