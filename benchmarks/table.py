"""From rounds to the one table: ratios, each the median of the rounds' own ratios, beside the goals; and what machine it was."""

import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from benchmarks.suite import Measured, Series
from benchmarks.workloads import OURS, Workload

__all__ = ["GOALS", "Goal", "Line", "lines_of", "machine", "rendered", "spread", "written"]

_PACKAGES = ("pyarrow", "duckdb", "polars", "pandas", "awswrangler", "great-expectations", "numpy")
_OURS_WRONG = "wrong: ours, "
_BEGIN, _END = "<!-- table: begin -->", "<!-- table: end -->"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure has to be `at_most`, and what is aimed at; `at_least` turns both around."""

    bound: float
    aim: float
    at_least: bool = False
    unit: str = ""

    def words(self, value: float) -> str:
        """The bound, the aim, and whether the value keeps to them."""
        keeps = (lambda limit: value >= limit) if self.at_least else (lambda limit: value <= limit)
        state = "met, aim too" if keeps(self.aim) else "met" if keeps(self.bound) else "**not met**"
        sign = "≥ " if self.at_least else ""
        return f"{sign}{self.bound:g}{self.unit} | {sign}{self.aim:g}{self.unit} | {state}"


GOALS: Mapping[tuple[str, str, str], Goal] = {
    ("csv", "pyarrow", "CPU"): Goal(1.25, 1.0),
    ("csv", "pandas", "CPU"): Goal(0.9, 0.7),
    ("csv", "duckdb", "bytes"): Goal(1.2, 1.05),
    ("csv-dirty", "pyarrow", "CPU"): Goal(1.5, 1.1),
    ("csv-dirty", "spark_checked", "CPU"): Goal(0.25, 0.15),
    ("jsonl", "duckdb", "bytes"): Goal(1.2, 1.05),
    ("jsonl", "duckdb_checked", "CPU"): Goal(1.5, 1.0),
    ("jsonl-dirty", "duckdb_checked", "CPU"): Goal(1.5, 1.0),
    ("memory", "", "peak"): Goal(1000, 500, unit=" MB"),
    ("memory", "", "growth"): Goal(1.2, 1.05),
    ("rules", "gx", "CPU"): Goal(0.1, 0.1),
    ("small-files", "", "files/s"): Goal(100, 200, at_least=True),
    ("small-files", "", "CPU a file"): Goal(5, 2, unit=" ms"),
    ("latency", "", "p50"): Goal(3, 1, unit=" s"),
    ("latency", "", "p95"): Goal(6, 3, unit=" s"),
}
"""The goals, by workload, peer and figure. All are ratios but where a unit is named."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table, its columns in order. `goal` has three of them: at most, aim, and whether it is met."""

    workload: str
    beside: str
    figure: str = ""
    n: str = ""
    value: str = ""
    goal: str = " | | "
    pair: str = ""
    besides: str = ""
    note: str = ""

    @property
    def is_ours_and_wrong(self) -> bool:
        """Whether it says that an output of ours does not count."""
        return self.note.startswith(_OURS_WRONG)

    @classmethod
    def wrong(cls, workload: str, why: str) -> "Line":
        """A line for an output of ours that does not count."""
        return cls(workload, "all", note=f"{_OURS_WRONG}{why}")


def spread(ratios: Sequence[float], unit: str = "") -> str:
    """Median, and smallest to greatest, where there is more than one."""
    median = statistics.median(ratios)
    around = f" ({_short(min(ratios))}–{_short(max(ratios))})" if len(ratios) > 1 else ""
    return f"**{_short(median)}{unit}**{around}"


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def lines_of(workload: Workload, found: Mapping[str, Series]) -> list[Line]:
    """The lines of one workload: ours beside each peer."""
    ours = found[OURS]
    if ours.wrong:
        return [Line.wrong(workload.title, ours.wrong)]
    lines: list[Line] = []
    first = ours.rounds[0].verdict
    if workload.dirty and first is not None:
        told = f"{first.bad_rows:,} bad rows rejected, each with its line, column, rule and text; no good one"
        rounds = str(len(ours.rounds))
        lines.append(
            Line(
                workload.title,
                "the truth",
                "recall, line, column",
                rounds,
                "**100 %**",
                "100 % | 100 % | met, aim too",
                note=told,
            )
        )
    for name, peer in found.items():
        if name != OURS:
            lines.append(_cpu_line(workload, name, ours, peer))
            if (goal := GOALS.get((workload.name, name, "bytes"))) is not None and not peer.wrong:
                lines.append(_bytes_line(workload, goal, ours, peer))
    return lines


def _cpu_line(workload: Workload, name: str, ours: Series, peer: Series) -> Line:
    if peer.wrong:
        return Line(workload.title, peer.label, "CPU", str(len(peer.rounds)), note=f"wrong: {peer.wrong}; {peer.lacks}")
    ratios = _ratios(ours, peer, lambda m: m.run.cpu_s)
    goal = GOALS.get((workload.name, name, "CPU"))
    wall = statistics.median(_ratios(ours, peer, lambda m: m.run.wall_s))
    return Line(
        workload.title,
        peer.label,
        "CPU",
        str(len(ratios)),
        spread(ratios),
        goal.words(statistics.median(ratios)) if goal else " | | ",
        f"{_median(ours, lambda m: m.run.cpu_s):.1f} : {_median(peer, lambda m: m.run.cpu_s):.1f} s",
        f"wall {wall:.2f}; {_peak(ours):,.0f} : {_peak(peer):,.0f} MB",
        _lacks(peer),
    )


def _bytes_line(workload: Workload, goal: Goal, ours: Series, peer: Series) -> Line:
    def size(measured: Measured) -> float:
        return measured.verdict.bytes / 1e6 if measured.verdict else 0.0

    sizes = _ratios(ours, peer, size)
    return Line(
        workload.title,
        peer.label,
        "bytes written",
        str(len(sizes)),
        spread(sizes),
        goal.words(statistics.median(sizes)),
        f"{_median(ours, size):,.0f} : {_median(peer, size):,.0f} MB",
        note="ours with five columns of provenance",
    )


def _lacks(peer: Series) -> str:
    last = peer.rounds[-1].verdict
    told = [peer.lacks]
    if last is not None and last.missed:
        told.insert(0, f"**missed {last.missed:,} of {last.bad_rows:,}**")
    elif last is not None and last.bad_rows:
        told.insert(0, "missed none")
    if last is not None and last.rounded:
        told.append("doubles off in the last digit")
    return "; ".join(filter(None, told))


def _ratios(ours: Series, peer: Series, figure: Callable[[Measured], float]) -> list[float]:
    return [figure(mine) / figure(theirs) for mine, theirs in zip(ours.rounds, peer.rounds, strict=True)]


def _median(series: Series, figure: Callable[[Measured], float]) -> float:
    return statistics.median(figure(m) for m in series.rounds)


def _peak(series: Series) -> float:
    return max(m.run.peak_mb for m in series.rounds)


def rendered(lines: Sequence[Line], below: Sequence[str]) -> str:
    """The table and the sentences below it, as Markdown."""
    head = "| workload | beside | figure | n | ours : peer (min–max) | at most | aim | | ours : peer | besides | what the peer lacks |"
    rule = "|" + "---|" * 11
    rows = [
        "| " + " | ".join((*map(_cell, astuple(line)[:5]), line.goal, *map(_cell, astuple(line)[6:]))) + " |"
        for line in lines
    ]
    return "\n".join([head, rule, *rows, "", *below])


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")


def machine(loads: Sequence[float]) -> str:
    """Cores, memory, processor, kernel, versions and load averages; no name of the machine."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpus if line.startswith("model name")), platform.machine())
    load = f"{min(loads):.1f} to {max(loads):.1f}" if loads else "not taken"
    packages = ", ".join(f"{name} {number}" for name in _PACKAGES if (number := _version(name)))
    return (
        f"{os.cpu_count()} cores of {model}, {psutil.virtual_memory().total / 2**30:.0f} GiB, Linux {platform.release()}; load average before the"
        f" runs {load}. Python {sys.version.split()[0]}, {packages}."
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def written(page: str, table: str) -> str:
    """The page with the table between its markers. Raises ValueError where they are not."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no {_BEGIN} … {_END}")
    return f"{before}{_BEGIN}\n\n{table}\n\n{_END}{after}"
