"""What is installed is pinned by hash, wherever it comes from; the release has one number."""

import re
import tomllib
from pathlib import Path

import pytest

from pipelines.formats import RELEASE

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))


def test_there_are_lock_files() -> None:
    assert {"runtime.lock", "dev.lock", "ministack.lock"} <= {lock.name for lock in LOCKS}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_is_one_version_with_hashes_and_no_host_is_named(lock: Path) -> None:
    text = lock.read_text()
    entries = [entry for entry in re.split(r"\n(?=[A-Za-z0-9])", text) if "==" in entry]
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+(\[[^]]+\])?==\S+", entry), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE), "an option of pip stands in the lock"


def test_the_release_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == RELEASE
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[(Unreleased\] )?{re.escape(RELEASE)}\b", changelog, re.MULTILINE)
