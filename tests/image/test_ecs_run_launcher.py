"""The page's settings of `EcsRunLauncher` are accepted by Dagster, and bring up a launcher that has asked nobody."""

from __future__ import annotations

import re

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.launcher import RunLauncher
from dagster._serdes import ConfigurableClassData
from dagster_aws.ecs import EcsRunLauncher

from resources.environment import DEPLOYMENT_VARIABLES
from tests.image.dockerfile import ROOT

PAGE = ROOT / "docs" / "deploying-dagster.md"


def settings() -> str:
    [block] = re.findall(r"```yaml\n(run_launcher:.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return block


def launcher(text: str) -> RunLauncher:
    said = yaml.safe_load(text)["run_launcher"]
    made = ConfigurableClassData(said["module"], said["class"], yaml.safe_dump(said["config"])).rehydrate(
        as_type=RunLauncher
    )
    assert made is not None
    return made


def test_dagster_takes_them_in_place_of_the_warm_workers(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in re.findall(r"env: (\w+)", settings()):
        monkeypatch.setenv(name, f"value-of-{name.lower()}")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    folder = tmp_path_factory.mktemp("home")
    whole = yaml.safe_load((ROOT / "infra" / "dagster.yaml").read_text()) | yaml.safe_load(settings())
    (folder / "dagster.yaml").write_text(yaml.safe_dump(whole))
    assert dagster_instance_config(str(folder))[0]["run_launcher"]["class"] == "EcsRunLauncher"
    made = launcher(settings())
    assert isinstance(made, EcsRunLauncher)
    assert made.task_role_arn == "value-of-lakegate_run_role"
    assert made.secrets_tags == []
    assert {name for name in DEPLOYMENT_VARIABLES if name != "LAKEGATE_STACK"} <= set(made.env_vars)


def test_a_setting_that_dagster_does_not_know_is_refused() -> None:
    with pytest.raises(Exception, match="run_resource"):
        launcher(settings().replace("run_resources", "run_resource"))
