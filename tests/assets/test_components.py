"""The component of the folder of datasets, and the first dataset file it scaffolds, without `dg` around them."""

from pathlib import Path

import click
import dagster as dg
import pytest
from pydantic import ValidationError

from assets.components import DatasetFolder
from assets.scaffolding import scaffold_dataset
from lakegate.definitions import defs
from lakegate.settings import datasets_folder
from pipelines.contracts.loading import load_dataset
from pipelines.contracts.model import Dataset
from pipelines.errors import ConfigurationError
from resources.gate import GateResource
from tests.assets.stage import DEPARTURES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "my-datasets"
    found.mkdir()
    (found / "departures.yaml").write_text(DEPARTURES)
    monkeypatch.delenv("DAGSTER_IS_DEFS_VALIDATION_CLI", raising=False)
    return found


def keys_of(defs: dg.Definitions) -> set[str]:
    whole = dg.Definitions.merge(defs, dg.Definitions(resources={"gate": GateResource(datasets_folder="unused")}))
    return {key.to_user_string() for key in whole.resolve_asset_graph().get_all_asset_keys()}


def test_the_component_makes_the_assets_of_every_dataset_and_a_node_for_a_broken_one(folder: Path) -> None:
    (folder / "arrivals.yaml").write_text("name: [\n")
    found = dg.build_defs_for_component(DatasetFolder(path=str(folder)))
    assert keys_of(found) == {
        "departures",
        "landing/departures_landing",
        "quarantine/departures_quarantine",
        "broken/arrivals.yaml",
    }
    assert [job.name for job in found.jobs or ()] == ["ingest_departures"]


def test_where_definitions_are_only_validated_a_broken_dataset_is_an_error_with_all_faults(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_IS_DEFS_VALIDATION_CLI", "1")
    assert "departures" in keys_of(dg.build_defs_for_component(DatasetFolder(path=str(folder))))
    (folder / "arrivals.yaml").write_text(DEPARTURES.replace("departures", "arrivals").replace("type: int", "type: in"))
    (folder / "later.yaml").write_text("name: [\n")
    with pytest.raises(ConfigurationError) as refused:
        dg.build_defs_for_component(DatasetFolder(path=str(folder)))
    assert "arrivals.yaml:" in str(refused.value)
    assert "later.yaml:" in str(refused.value)


def test_a_folder_that_is_not_there_is_said_and_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no folder: set LAKEGATE_DATASETS"):
        dg.build_defs_for_component(DatasetFolder(path=str(tmp_path / "nowhere")))


def test_its_attributes_are_checked() -> None:
    with pytest.raises(ValidationError, match="folder"):
        DatasetFolder.from_attributes_dict(attributes={"folder": "x"})


def test_the_component_and_the_command_line_read_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "assets" / "datasets"
    for here, named in ((tmp_path, None), (tmp_path, ""), (tmp_path, str(tmp_path)), (tmp_path, "assets/datasets")):
        monkeypatch.chdir(here)
        path = named or "assets/datasets"  # as assets/defs/datasets/defs.yaml has it
        for _ in range(2):
            told = {} if named is None else {"LAKEGATE_DATASETS": named}
            if named != "assets/datasets" or own.is_dir():
                assert DatasetFolder(path=path).folder == (here / datasets_folder(told, here))
            own.mkdir(parents=True, exist_ok=True)


def test_a_scaffolded_dataset_loads_without_a_fault(tmp_path: Path) -> None:
    said = scaffold_dataset(tmp_path, "orders")
    made = load_dataset(tmp_path / "orders.yaml")
    assert isinstance(made, Dataset)
    assert (made.name, made.landing.key) == ("orders", "landing/orders/{file_date:%Y-%m-%d}.csv*")
    assert said.startswith(f"Wrote {tmp_path / 'orders.yaml'}.")
    assert "$schema" not in (tmp_path / "orders.yaml").read_text()


def test_a_scaffold_never_writes_over_a_file_and_takes_no_name_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text("mine\n")
    with pytest.raises(click.ClickException, match="is there already"):
        scaffold_dataset(tmp_path, "orders")
    assert (tmp_path / "orders.yaml").read_text() == "mine\n"
    with pytest.raises(click.ClickException, match="cannot be a dataset's name"):
        scaffold_dataset(tmp_path, "Or-ders")
    assert [path.name for path in tmp_path.iterdir()] == ["orders.yaml"]


def test_what_the_workspace_loads_leads_to_the_dataset_file_alone_and_not_to_defs_yaml(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEGATE_DATASETS", str(folder))
    for asset in (["departures"], ["quarantine", "departures_quarantine"]):
        node = defs().resolve_asset_graph().get(dg.AssetKey(asset))
        assert [r.file_path for r in node.metadata["dagster/code_references"].code_references] == [
            str(folder / "departures.yaml")
        ]
