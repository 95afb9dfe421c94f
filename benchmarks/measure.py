"""Runs a command as a whole process and measures it with all its descendants: CPU seconds, wall seconds, peak memory.

CPU is the operating system's own account (`reaper.py`). Memory is the sum of proportional set sizes (PSS, shared pages counted once)
over the process tree, sampled every 50 ms; the highest sum counts.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Run", "measure"]

_REAPER = Path(__file__).with_name("reaper.py")


@dataclass(frozen=True, slots=True)
class Run:
    """One finished process; `said` is what it printed, errors after the rest."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    exit_code: int
    said: str = ""

    @property
    def last_line(self) -> str:
        """The last thing it said."""
        lines = self.said.strip().splitlines()
        return lines[-1][:200] if lines else "without a word"


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None, limit_s: float = 3600) -> Run:
    """Run one command to its end, or until the limit of wall time kills it (exit code 124)."""
    with tempfile.TemporaryDirectory() as scratch:
        report, output = Path(scratch) / "report", Path(scratch) / "output"
        wrapped = [sys.executable, "-S", str(_REAPER), str(report), str(limit_s), *command]
        with output.open("wb") as out:
            reaper = subprocess.Popen(
                wrapped, env={**os.environ, **(environment or {})}, stdout=out, stderr=subprocess.STDOUT
            )
        peak = 0.0
        ended = threading.Event()

        def sample() -> None:
            nonlocal peak
            while not ended.wait(0.05):
                peak = max(peak, _descendants_mb(reaper.pid))

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        reaper.wait()
        ended.set()
        sampler.join()
        said = output.read_text("utf-8", "replace")
        if not report.exists():
            raise RuntimeError(f"the measuring process died: {said[-500:]}")
        return Run(**json.loads(report.read_text()), peak_mb=peak, said=said)


def _descendants_mb(pid: int) -> float:
    total = 0
    try:
        for process in psutil.Process(pid).children(recursive=True):
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
    except psutil.Error:
        return 0.0
    return total / 1e6
