"""Peak memory of all our processes over one file, and over one five times as large. Both outputs are verified."""

import statistics
from functools import partial

from benchmarks.suite import Measured, Suite, rounds
from benchmarks.table import GOALS, Line, spread
from benchmarks.workloads import OURS, WORKLOADS

__all__ = ["memory_lines"]

_TIMES = 5


def memory_lines(suite: Suite) -> list[Line]:
    """Two lines for each format: the peak over the larger file, and the ratio of both."""
    lines: list[Line] = []
    for form in ("csv", "jsonl"):
        workload = WORKLOADS[form]
        ours = next(c for c in workload.contenders if c.name == OURS)
        size = int(suite.size_gb * 1e9)
        small, large = suite.file(workload.plan(size)), suite.file(workload.plan(size * _TIMES))
        both = {f"memory, {path.parent.name}": partial(suite.once, ours, path) for path in (small, large)}
        once, five_times = rounds(suite.runs, both, suite.tell).values()
        lines += _lines(f"memory, {workload.title}", suite.size_gb, once, five_times)
    return lines


def _lines(title: str, size_gb: float, small: list[Measured], large: list[Measured]) -> list[Line]:
    if wrong := next((m.wrong for m in [*small, *large] if m.wrong), ""):
        return [Line.wrong(title, wrong)]
    peaks = [m.run.peak_mb for m in large]
    growth = [after.run.peak_mb / before.run.peak_mb for before, after in zip(small, large, strict=True)]
    both = f"{statistics.median(peaks):,.0f} : {statistics.median(m.run.peak_mb for m in small):,.0f} MB"
    bound, ratio = GOALS["memory", "", "peak"], GOALS["memory", "", "growth"]
    figure, n = f"peak at {size_gb * _TIMES:g} GB", str(len(peaks))
    return [
        Line(title, "—", figure, n, spread(peaks, " MB"), bound.words(max(peaks))),
        Line(title, f"ours at {size_gb:g} GB", figure, n, spread(growth), ratio.words(statistics.median(growth)), both),
    ]
