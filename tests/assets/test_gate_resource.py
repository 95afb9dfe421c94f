"""The gate's resource: which deployment it opens, and how often."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.gate import Gate
from resources import gate as gates
from resources.environment import Deployment
from resources.gate import GateResource
from tests.assets.stage import DEPARTURES

NAMES = {
    f"LAKEGATE_{name}": name.lower()
    for name in (
        "LANDING_BUCKET",
        "PROCESSED_BUCKET",
        "QUARANTINE_BUCKET",
        "QUEUE_URL",
        "DLQ_URL",
        "RUN_QUEUE_URL",
        "LEDGER_TABLE",
        "GLUE_DATABASE",
        "ATHENA_WORKGROUP",
    )
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "departures.yaml").write_text(DEPARTURES)
    for name, value in {
        **NAMES,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_the_gate_is_opened_once_a_process_whatever_dagster_does_with_the_resource(folder: Path) -> None:
    opened: list[Gate] = []

    @dg.sensor(name="looks", job_name="j", required_resource_keys={"gate"})
    def looks(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        opened.append(context.resources.gate.open())
        return dg.SkipReason("seen")

    @dg.op(required_resource_keys={"gate"})
    def works(context: dg.OpExecutionContext) -> None:
        opened.append(context.resources.gate.open())

    @dg.job
    def j() -> None:
        works()

    defs = dg.Definitions(jobs=[j], sensors=[looks], resources={"gate": GateResource(datasets_folder=str(folder))})
    repository = defs.get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            with dg.build_sensor_context(
                instance=instance, repository_def=repository, resources=repository.get_top_level_resources()
            ) as context:
                repository.get_sensor_def("looks").evaluate_tick(context)
        repository.get_job("j").execute_in_process(instance=instance)
    assert len(opened) == 3
    assert all(gate is opened[0] for gate in opened)
    assert [d.name for d in opened[0].datasets.datasets] == ["departures"]


def test_another_environment_opens_another_gate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = GateResource(datasets_folder=str(folder))
    first = resource.open()
    monkeypatch.setenv("LAKEGATE_LANDING_BUCKET", "elsewhere")
    assert resource.open().landing_bucket == "elsewhere"
    assert first.landing_bucket == "landing_bucket"


def test_a_changed_dataset_file_opens_another_gate_and_a_touched_one_does_not(folder: Path) -> None:
    resource = GateResource(datasets_folder=str(folder))
    first = resource.open()
    path = folder / "departures.yaml"
    path.write_text(DEPARTURES)
    assert resource.open() is first
    path.write_text(DEPARTURES.replace("name: departures", "name: departing"))
    path.rename(folder / "departing.yaml")
    assert [d.name for d in resource.open().datasets.datasets] == ["departing"]


def test_without_its_variables_the_stack_is_asked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKEGATE_LANDING_BUCKET", raising=False)
    asked: list[Any] = []
    monkeypatch.setattr(Deployment, "from_stack", classmethod(lambda cls, name: asked.append(name)))
    monkeypatch.delenv("LAKEGATE_STACK", raising=False)
    gates.deployment_here()
    monkeypatch.setenv("LAKEGATE_STACK", "mine")
    gates.deployment_here()
    assert asked == ["lakegate", "mine"]
