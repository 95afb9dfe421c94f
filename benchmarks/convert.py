"""`lakegate convert` on a wide CSV with all checks, beside what a user would write without it. Ratios of one run.

    python -m benchmarks.convert [--gigabytes 1] [--runs 3] [--folder benchmarks/data]

Contenders take turns, so that drift of the machine hits all alike. The file is generated once and kept. The awswrangler
contender writes to the laptop's S3, started for this run: its server's work is not counted as its own.
"""

import argparse
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.measure import Run, measure, median_of, round_robin
from lakegate.local.laptop import Laptop


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data"))
    given = parser.parse_args()
    source, contract = given.folder / "wide.csv", given.folder / "wide.yaml"
    if not source.exists():
        generator = Path(__file__).parent / "generate.py"
        subprocess.run(
            [sys.executable, str(generator), str(given.folder), "--gigabytes", str(given.gigabytes)], check=True
        )
    laptop = Laptop(given.folder / "laptop", any_port=True)
    environment = laptop.start(tied=True)
    bucket = environment["LAKEGATE_PROCESSED_BUCKET"]
    lakegate = str(Path(sys.executable).parent / "lakegate")
    out = given.folder / "out"

    def contender(name: str, *arguments: str) -> Run:
        shutil.rmtree(out / name, ignore_errors=True)
        return measure([sys.executable, "-m", "benchmarks.contenders", name, *arguments], environment)

    def ours() -> Run:
        shutil.rmtree(out / "lakegate", ignore_errors=True)
        return measure([lakegate, "convert", str(source), "--dataset", str(contract), "--out", str(out / "lakegate")])

    try:
        results = round_robin(
            {
                "lakegate convert, all checks": ours,
                "pyarrow.csv -> dataset, no checks": partial(contender, "pyarrow", str(source), str(out / "pyarrow")),
                "pandas + awswrangler, no checks": partial(
                    contender, "awswrangler", str(source), f"s3://{bucket}/benchmark/"
                ),
            },
            given.runs,
        )
    finally:
        laptop.stop_started()
    medians = {name: median_of(runs) for name, runs in results.items()}
    base = medians["pyarrow.csv -> dataset, no checks"]
    print(f"{source.stat().st_size / 1e9:.2f} GB, {given.runs} rounds, medians (memory: the highest of all rounds)")
    print(f"{'':36}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}{'CPU ratio':>11}{'wall ratio':>12}")
    for name, run in medians.items():
        failed = "  FAILED" if run.exit_code else ""
        print(
            f"{name:36}{run.cpu_s:8.1f}{run.wall_s:8.1f}{run.peak_mb:9.0f}{run.cpu_s / base.cpu_s:11.2f}{run.wall_s / base.wall_s:12.2f}{failed}"
        )


if __name__ == "__main__":
    main()
