"""The real `dg`, Dagster's project tool, on this checkout: it finds what the workspace loads, and the faults of dataset files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lakegate.settings import repository_root
from tests.assets.stage import DEPARTURES

ROOT = repository_root()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "my-datasets"
    found.mkdir()
    (found / "departures.yaml").write_text(DEPARTURES)
    return found


def dg(*arguments: str, datasets: Path | None = None, at: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKEGATE_"))}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "DG_CLI_CONFIG": str(ROOT / "lakegate" / "local" / "dg.toml"),
        "VIRTUAL_ENV": sys.prefix,
        "COLUMNS": "200",
        **({"LAKEGATE_DATASETS": str(datasets)} if datasets else {}),
    }
    return subprocess.run(
        [Path(sys.executable).with_name("dg"), *arguments],
        cwd=at,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_dg_check_defs_finds_the_committed_datasets_good() -> None:
    done = dg("check", "defs")
    assert (done.returncode, "All definitions loaded successfully." in done.stdout) == (0, True), done.stderr
    assert "All component YAML validated successfully." in done.stdout


def test_dg_check_defs_names_every_fault_of_a_wrong_dataset_file(folder: Path) -> None:
    (folder / "arrivals.yaml").write_text(DEPARTURES.replace("departures", "arrivals").replace("type: int", "type: in"))
    done = dg("check", "defs", datasets=folder)
    assert done.returncode == 1
    assert f"{folder}/arrivals.yaml:" in done.stdout + done.stderr
    assert "did you mean int?" in done.stdout + done.stderr


def test_dg_check_yaml_names_file_and_line_of_a_fault_in_defs_yaml(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    defs = tmp_path / "assets" / "defs" / "datasets" / "defs.yaml"
    defs.parent.mkdir(parents=True)
    defs.write_text((ROOT / "assets" / "defs" / "datasets" / "defs.yaml").read_text().replace("path:", "folder:"))
    done = dg("check", "yaml", at=tmp_path)
    assert done.returncode == 1
    assert "defs.yaml:" in done.stdout
    assert "'folder' was unexpected" in done.stdout


def test_dg_lists_the_component_and_the_assets_of_a_folder_outside_the_checkout(folder: Path) -> None:
    done = dg("list", "defs", "--json", datasets=folder)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    keys = {asset["asset_key"] for asset in listed["assets"]}
    assert {"departures", "landing/departures_landing", "operations/balance_sheet"} <= keys
    assert not {"flights", "weather"} & keys
    assert "landing_sensor" in {sensor["name"] for sensor in listed["sensors"]}
    components = dg("list", "components", "--json")
    assert "assets.components.DatasetFolder" in components.stdout


def test_dg_scaffolds_a_dataset_file_into_the_folder(folder: Path) -> None:
    done = dg("scaffold", "defs", "assets.components.dataset", "orders", datasets=folder)
    assert done.returncode == 0, done.stderr
    assert f"Wrote {folder}/orders.yaml." in done.stdout
    assert (folder / "orders.yaml").read_text().startswith("# Every key is in docs/reference/dataset.md.")
    assert not (ROOT / "assets" / "defs" / "orders").exists()
