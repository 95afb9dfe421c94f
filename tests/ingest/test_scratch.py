"""An attempt's folder on disk goes with it; that of a process which was killed goes with the next attempt."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipelines.scratch import scratch_folder

HELD = """
import sys, time
from pipelines.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "staged.parquet").write_bytes(b"rows")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_folder_is_there_until_it_is_left(here: Path) -> None:
    with scratch_folder() as folder:
        (folder / "a").mkdir()
        with scratch_folder() as other:
            assert other != folder
            assert {folder, other} == set(here.iterdir())
        assert (folder / "a").is_dir()
    assert list(here.iterdir()) == []


def test_a_folder_is_gone_after_a_fault(here: Path) -> None:
    with pytest.raises(KeyError), scratch_folder():
        raise KeyError
    assert list(here.iterdir()) == []


def test_the_next_attempt_removes_what_a_killed_process_left_and_nothing_of_a_living_one(here: Path) -> None:
    (here / "lakegate-other").mkdir()
    held = [subprocess.Popen([sys.executable, "-c", HELD], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        folders = [Path(one.stdout.readline().strip()) for one in held if one.stdout is not None]
        held[0].kill()
        held[0].wait()
        assert (folders[0] / "staged.parquet").exists()
        with scratch_folder() as mine:
            assert {path.name for path in here.iterdir()} == {"lakegate-other", folders[1].name, mine.name}
            assert (folders[1] / "staged.parquet").read_bytes() == b"rows"
    finally:
        for one in held:
            one.kill()
            one.communicate()
