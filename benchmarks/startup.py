"""What starting costs: CPU and wall seconds of whole processes, and of the bare imports below them. Medians of some rounds in turns.

python -m benchmarks.startup [--rounds 5]
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import measure

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = """\
name: orders
description: A small file, for the benchmark.
landing: {key: "landing/orders/{day:%Y-%m-%d}.csv", day: day, start: 2026-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  amount: {type: "decimal(10,2)"}
partition_by: [day]
primary_key: [id]
"""
_ROWS = 200


def commands(folder: Path) -> dict[str, Sequence[str]]:
    """Every start that is measured, by its name."""
    contract, file = folder / "orders.yaml", folder / "2026-01-02.csv"
    contract.write_text(CONTRACT)
    file.write_text("id,amount\n" + "".join(f"{row},{row}.50\n" for row in range(_ROWS)))
    lakegate = (sys.executable, "-m", "lakegate.cli.main")
    told = (str(file), "--dataset", str(contract))
    return {
        "python -c 'import pyarrow'": (sys.executable, "-c", "import pyarrow"),
        "python -c 'import dagster'": (sys.executable, "-c", "import dagster"),
        "lakegate --help": (*lakegate, "--help"),
        f"lakegate validate, {_ROWS} rows": (*lakegate, "validate", *told),
        f"lakegate convert, {_ROWS} rows": (*lakegate, "convert", *told, "--out", str(folder / "out")),
        "Dagster's definitions": (sys.executable, "-c", "import lakegate.definitions; lakegate.definitions.defs"),
    }


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        starts = commands(Path(folder))
        rounds = [
            {name: measure(command, {"PYTHONPATH": str(ROOT)}) for name, command in starts.items()}
            for _ in range(given.rounds)
        ]
    print(f"{'':34}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}")
    for name in starts:
        runs = [each[name] for each in rounds]
        if any(run.exit_code for run in runs):
            raise SystemExit(f"{name} failed: {[run.said for run in runs]}")
        cpu_s, wall_s = (statistics.median(values) for values in zip(*((r.cpu_s, r.wall_s) for r in runs), strict=True))
        print(f"{name:34}{cpu_s:8.2f}{wall_s:8.2f}{max(r.peak_mb for r in runs):9.0f}")


if __name__ == "__main__":
    main()
