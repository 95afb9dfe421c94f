"""`make bench`: all workloads, each verified, and one table of ratios.

    python -m benchmarks [--only csv csv-dirty …] [--size 1] [--runs 3] [--without spark dlt …] [--folder benchmarks/data] [--write]

Peers of other environments (dlt, Spark) need `.venv-bench`, which `make bench` makes. `--write` puts the table into benchmarks/README.md.
"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.memory import memory_lines
from benchmarks.stack import STACK, stack_lines
from benchmarks.suite import ROOT, Measured, Suite
from benchmarks.table import Line, lines_of, machine, rendered, written
from benchmarks.ten_rules import rules_lines
from benchmarks.workloads import WORKLOADS

_ALL = (*WORKLOADS, "memory", "rules", *STACK)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run, verify, print; 1 when a figure of ours does not count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=_ALL, default=_ALL, metavar="WORKLOAD", help=", ".join(_ALL))
    parser.add_argument("--size", type=float, default=1.0, help="gigabytes of each file")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--without", nargs="+", default=(), metavar="PEER", help="peers left out, by the beginning of their names"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "benchmarks" / "data")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    given = parser.parse_args()
    lines: list[Line] = []
    measured: list[Measured] = []
    with Suite(given.folder.resolve() / "suite", given.size, given.runs, given.without, _tell) as suite:
        for name in [name for name in _ALL if name in given.only]:
            _tell(name)
            if name in WORKLOADS:
                found = suite.convert(WORKLOADS[name])
                measured += [one for series in found.values() for one in series.rounds]
                lines += lines_of(WORKLOADS[name], found)
            elif name == "memory":
                lines += memory_lines(suite)
            elif name == "rules":
                lines += rules_lines(suite)
            else:
                lines += stack_lines(name, _tell)
    below = [
        f"{datetime.now(UTC):%Y-%m-%d}, files of {given.size:g} GB, {given.runs} rounds. {machine([m.load for m in measured])}"
    ]
    below += [f"Left out: {label}, because {why}." for label, why in suite.skipped.items()]
    if given.size < 1:
        below.append("The goals speak of 1 GB: at this size most of what is measured is starting.")
    table = rendered(lines, below)
    print(table)
    if given.write:
        page = ROOT / "benchmarks" / "README.md"
        page.write_text(written(page.read_text("utf-8"), table), "utf-8")
    return int(any(line.is_ours_and_wrong for line in lines))


if __name__ == "__main__":
    sys.exit(main())
