"""The whole stack's figures in the table: the scripts that measure it run as they are, and their closing lines are read.

What takes long has a command of its own, which the table names.
"""

import re
import subprocess
import sys
from collections.abc import Callable

from benchmarks.suite import ROOT
from benchmarks.table import GOALS, Line

__all__ = ["STACK", "read_latency", "read_small_files", "stack_lines"]

_FILES, _DROPS = 2_000, 8
_LIMIT_S = 1_800
_TITLES = {
    "small-files": f"{_FILES:,} files of 20 KB, whole stack",
    "latency": "one small file, PUT to queryable, whole stack",
}


def read_small_files(said: str) -> dict[str, float]:
    """Files a second, and milliseconds of CPU a file: all but the emulator's. Raises ValueError for other words than the script's."""
    speed = re.search(r"at rest\s+[\d.]+ s\s+([\d.]+) files/s", said)
    ours = re.search(r"CPU of everything else\s+[\d.]+ s\s+([\d.]+) ms a file", said)
    if speed is None or ours is None:
        raise ValueError("benchmarks.small_files did not say its figures")
    return {"files/s": float(speed[1]), "CPU a file": float(ours[1])}


def read_latency(said: str) -> dict[str, float]:
    """Seconds from PUT to queryable: the median and the 95th percentile. Raises ValueError for other words than the script's."""
    row = re.search(r"^PUT to queryable\s+([\d.]+)s\s+([\d.]+)s", said, re.MULTILINE)
    if row is None:
        raise ValueError("benchmarks.latency did not say its figures")
    return {"p50": float(row[1]), "p95": float(row[2])}


STACK: dict[str, tuple[list[str], Callable[[str], dict[str, float]]]] = {
    "small-files": (["benchmarks.small_files", "--files", str(_FILES)], read_small_files),
    "latency": (["benchmarks.latency", "--drops", str(_DROPS)], read_latency),
}
"""By name: the module with its arguments, and who reads what it says."""


def stack_lines(name: str, tell: Callable[[str], None]) -> list[Line]:
    """Run one of them; its lines, or one that says what went wrong."""
    command, read = STACK[name]
    told = f"`python -m {' '.join(command)}`"
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=True
        )
        tell(done.stdout)
        figures = read(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        return [Line.wrong(_TITLES[name], f"{told}: {str(error).splitlines()[0][:200]}")]
    return [
        Line(
            _TITLES[name],
            "—",
            figure,
            str(_FILES if name == "small-files" else _DROPS),
            f"**{value:g}{GOALS[name, '', figure].unit}**",
            GOALS[name, "", figure].words(value),
            note=told,
        )
        for figure, value in figures.items()
    ]
