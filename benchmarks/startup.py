"""What starting costs: CPU and wall seconds of whole processes, and of the bare imports below them. Medians of some rounds in turns.

python -m benchmarks.startup [--rounds 5]
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.measure import Run, measure, median_of, round_robin

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = """\
name: orders
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
        starts = {
            name: partial(measure, command, {"PYTHONPATH": str(ROOT)})
            for name, command in commands(Path(folder)).items()
        }
        runs: dict[str, list[Run]] = round_robin(starts, given.rounds)
    print(f"{'':34}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}")
    for name, each in runs.items():
        median = median_of(each)
        print(f"{name:34}{median.cpu_s:8.2f}{median.wall_s:8.2f}{median.peak_mb:9.0f}")
        if median.exit_code:
            raise SystemExit(f"{name} ended with exit code {median.exit_code}")


if __name__ == "__main__":
    main()
