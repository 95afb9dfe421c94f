"""A contender is measured with all its descendants, even one that outlives its parent, and stopped at the limit."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.measure import measure
from benchmarks.stack import read_latency, read_small_files

_BURN = "import time\nwhile time.process_time() < 0.5: pass"


def test_the_cpu_of_a_grandchild_that_outlives_its_parent_counts() -> None:
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {_BURN!r}])"
    run = measure([sys.executable, "-c", orphan])
    assert run.exit_code == 0
    assert run.cpu_s > 0.5


def test_a_command_beyond_the_limit_is_killed_and_says_so() -> None:
    run = measure([sys.executable, "-c", "print('begun', flush=True); import time; time.sleep(60)"], limit_s=1)
    assert (run.exit_code, run.last_line) == (124, "begun")


def test_what_is_measured_ends_with_whoever_measures(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    sleeper = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(60)"
    measuring = f"import sys; from benchmarks.measure import measure; measure([sys.executable, '-c', {sleeper!r}])"
    process = subprocess.Popen([sys.executable, "-c", measuring])
    _wait_for(lambda: pid.exists() and pid.read_text() != "")
    process.kill()
    process.wait()
    _wait_for(lambda: not psutil.pid_exists(int(pid.read_text())))


def _wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_a_command_says_and_how_it_ends_is_kept() -> None:
    run = measure([sys.executable, "-c", "import sys; sys.exit('no such file')"])
    assert (run.exit_code, run.last_line) == (1, "no such file")


def test_the_figures_of_the_whole_stack_are_read_from_what_its_scripts_say() -> None:
    small = """\
first PUT to all at rest      24.5 s     40.8 files/s   (the PUTs alone 3.1 s)
CPU of the machine            34.0 s     34.0 ms a file
CPU of everything else        18.0 s     18.0 ms a file
"""
    assert read_small_files(small) == {"files/s": 40.8, "CPU a file": 18.0}
    assert read_latency("x\nPUT to queryable             2.20s   5.00s   6.10s   the mean is 2.5 s\n") == {
        "p50": 2.2,
        "p95": 5.0,
    }
    with pytest.raises(ValueError, match="did not say"):
        read_small_files("nothing")
