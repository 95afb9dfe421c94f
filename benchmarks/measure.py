"""Runs commands as whole processes and measures each with all its descendants: CPU seconds, wall seconds, peak memory.

CPU is the operating system's own account of the finished process and the children it waited for. Memory is the sum of
proportional set sizes (PSS, shared pages counted once) over the process tree, sampled every 50 ms; the highest sum counts.
"""

import os
import resource
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil

__all__ = ["Run", "measure", "median_of", "round_robin"]


@dataclass(frozen=True, slots=True)
class Run:
    """One finished process."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    exit_code: int


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run one command to its end. Its output goes to the null device."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = 0.0
    ended = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not ended.wait(0.05):
            peak = max(peak, _tree_mb(process.pid))

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    code = process.wait()
    wall = time.perf_counter() - started
    ended.set()
    sampler.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
    return Run(cpu, wall, peak, code)


def _tree_mb(pid: int) -> float:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
    except psutil.Error:
        return 0.0
    return total / 1e6


def round_robin(commands: Mapping[str, Callable[[], Run]], runs: int) -> dict[str, list[Run]]:
    """Run every contender in turn, `runs` rounds: drift of the machine hits all alike."""
    results: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, start in commands.items():
            results[name].append(start())
    return results


def median_of(runs: Sequence[Run]) -> Run:
    """The medians of each figure; the exit code is the worst."""
    return Run(
        statistics.median(r.cpu_s for r in runs),
        statistics.median(r.wall_s for r in runs),
        max(r.peak_mb for r in runs),
        max(abs(r.exit_code) for r in runs),
    )
