"""A run that is killed with half of its file read: the next one loads the file once, and nothing of the first is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from pipelines.accounting.balance import balance
from pipelines.intake.dispatching import RunState, dispatch
from pipelines.intake.receiving import receive
from resources.environment import Deployment
from tests.faults.aws_world import AwsWorld

pytestmark = pytest.mark.aws

ROWS = 200_000


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    tempfile.tempdir = None


def until_gone(pid: int) -> None:
    ends = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ends, "the reader outlives the run that started it"
        time.sleep(0.02)


def test_the_next_run_loads_the_file_once_and_nothing_of_the_killed_one_is_left(
    deployment: Deployment, local_aws: dict[str, str], scratch: Path
) -> None:
    world = AwsWorld.make(deployment)
    world.put("big", b"id,amount\n" + b"".join(b"%d,%d.25\n" % (number, number) for number in range(ROWS)))
    gate = world.gate()
    receive(gate, wait_s=1, budget_s=20)
    [launch] = dispatch(gate, lambda _: {}).launches
    world.runs[launch.run_key] = RunState.STARTED
    said = {"names": asdict(world.names), "dataset": world.of.name, "batch": launch.batches[0]}
    command = [sys.executable, "-m", "tests.faults.slow_run", json.dumps(said)]
    environment = {**os.environ, **deployment.to_environment()}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout is not None
            what, reader = run.stdout.readline().split()
            assert what == "half"
            [left] = scratch.glob("lakegate-attempt-*")
        finally:
            run.kill()
    until_gone(int(reader))
    assert left.is_dir()

    world.runs[launch.run_key] = RunState.FAILED
    world.settle_down()
    ids = world.gate().tables.load(world.of).scan(selected_fields=("id",)).to_arrow()["id"]  # pyright: ignore[reportAttributeAccessIssue]
    assert sorted(ids.to_pylist()) == list(range(ROWS))
    assert world.outcomes() == ["loaded"]
    sheet = balance(world.gate().ledger.counts())
    assert (sheet.problems, sheet.at_rest) == ((), True)
    assert sum(line.counts.rows_in_table for line in sheet.lines) == ROWS
    assert list(scratch.glob("lakegate-attempt-*")) == []
