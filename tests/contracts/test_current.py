"""Datasets held between two looks: read again exactly when a file has changed."""

from pathlib import Path

import pytest

from pipelines.contracts.current import current_datasets, folder_digest
from pipelines.errors import ConfigurationError
from tests.assets.stage import DEPARTURES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "departures.yaml").write_text(DEPARTURES)
    return tmp_path


def test_nothing_is_read_again_while_no_file_changes(folder: Path) -> None:
    first = current_datasets(folder)
    (folder / "departures.yaml").write_text(DEPARTURES)
    (folder / "notes.txt").write_text("no dataset")
    assert current_datasets(folder) is first


@pytest.mark.parametrize("change", ["edited", "added", "removed", "broken"])
def test_any_change_of_a_file_is_seen(folder: Path, change: str) -> None:
    first, path = current_datasets(folder), folder / "departures.yaml"
    if change == "edited":
        path.write_text(DEPARTURES.replace("description:", "description: New.", 1))
    elif change == "added":
        (folder / "arrivals.yaml").write_text("name: arrivals\n")
    elif change == "removed":
        path.unlink()
    else:
        path.write_text("name: [")
    now = current_datasets(folder)
    assert now is not first
    assert [d.name for d in now.datasets] == ([] if change in ("removed", "broken") else ["departures"])
    assert len(now.broken) == (1 if change in ("added", "broken") else 0)


def test_an_edit_that_leaves_size_and_time_as_they_were_is_seen(folder: Path) -> None:
    path = folder / "departures.yaml"
    before, digest = path.stat(), folder_digest(folder)
    path.write_text(DEPARTURES.replace("a", "b", 1))
    import os

    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert folder_digest(folder) != digest


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="LAKEGATE_DATASETS"):
        current_datasets(tmp_path / "nowhere")
