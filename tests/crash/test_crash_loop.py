"""A small crash loop in every test run; `make proof` holds the long one."""

import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 900
"""A quiet machine needs half a minute."""
pytestmark = [pytest.mark.aws, pytest.mark.timeout(LIMIT_S + 60)]
SEED = 7


def test_a_handful_of_deaths_changes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.crash.crash_loop", "--few", "--kills", "4", "--seed", str(SEED)]
    ended = subprocess.run(
        [*command, "--home", str(tmp_path / "loop"), "--patience", str(LIMIT_S)], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "differences             0\n" in ended.stdout
