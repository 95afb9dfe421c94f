"""Dagster's daemon and web server as children of the laptop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lakegate.local.laptop import CREDENTIALS, Laptop
from lakegate.local.processes import answers, free_port

DEFINITIONS = """
import dagster as dg

@dg.asset
def flights() -> None: ...

defs = dg.Definitions(assets=[flights])
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "small_definitions.py").write_text(DEFINITIONS)
    path = tmp_path / "workspace.yaml"
    path.write_text("load_from: [{python_file: small_definitions.py}]\n")
    return path


@pytest.fixture
def own_laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path / "home", any_port=True)
    yield laptop
    laptop.stop()


def dagster_processes_of(home: Path) -> list[psutil.Process]:
    """Every living process whose DAGSTER_HOME is below `home`: servers, their code servers, runs."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["environ", "status"]):
        dagster_home = (process.info["environ"] or {}).get("DAGSTER_HOME", "")
        if dagster_home.startswith(str(home)) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.mark.daemon
def test_dagster_starts_is_healthy_is_found_again_and_leaves_nothing(own_laptop: Laptop, workspace: Path) -> None:
    address = own_laptop.start_dagster(CREDENTIALS, free_port(), workspace=workspace)
    assert answers(f"{address}/server_info")
    health = {status.name: (status.is_running, status.is_healthy) for status in own_laptop.status()}
    assert health["dagster-webserver"] == health["dagster-daemon"] == (True, True)
    before = {process.pid for process in dagster_processes_of(own_laptop.home)}
    assert len(before) >= 4  # two servers, and a code server for each

    again = Laptop(own_laptop.home)
    assert again.start_dagster(CREDENTIALS, workspace=workspace) == address
    assert {process.pid for process in dagster_processes_of(own_laptop.home)} >= before
    assert again.stop() == ["dagster-daemon", "dagster-webserver"]
    assert dagster_processes_of(own_laptop.home) == []


@pytest.mark.daemon
@pytest.mark.skipif(sys.platform != "linux", reason="a child is tied to its parent by Linux's prctl")
def test_a_killed_foreground_takes_dagster_with_it(own_laptop: Laptop, workspace: Path) -> None:
    code = f"""
        import time
        from pathlib import Path
        from lakegate.local.laptop import CREDENTIALS, Laptop
        laptop = Laptop(Path({str(own_laptop.home)!r}), any_port=True)
        print(laptop.start_dagster(CREDENTIALS, {free_port()}, tied=True, workspace=Path({str(workspace)!r})), flush=True)
        time.sleep(600)
    """
    starter = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    assert starter.stdout.readline().startswith("http://127.0.0.1:")
    assert dagster_processes_of(own_laptop.home)
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    deadline = time.monotonic() + 60
    while left := dagster_processes_of(own_laptop.home):
        assert time.monotonic() < deadline, [process.cmdline() for process in left]
        time.sleep(0.1)
