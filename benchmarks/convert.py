"""`lakegate convert` on a wide file with all checks, beside what a user would write without it. Ratios of one run.

    python -m benchmarks.convert [--format csv|jsonl] [--gigabytes 1] [--runs 3] [--folder benchmarks/data] [--only NAME…]

Contenders take turns, so that drift of the machine hits all alike. The file is generated once and kept. The awswrangler contender writes to the laptop's S3, started for this run: its server's work is not
counted as its own.
"""

import argparse
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.measure import Run, measure, median_of, round_robin
from lakegate.local.laptop import Laptop

BASE = "pyarrow, no checks"
CONTENDERS = {
    BASE: "pyarrow",
    "DuckDB, no checks": "duckdb",
    "Polars, no checks": "polars",
    "pandas + awswrangler, no checks": "awswrangler",
}


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--format", choices=["csv", "jsonl"], default="csv")
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data"))
    parser.add_argument("--only", nargs="*", choices=list(CONTENDERS.values()), default=list(CONTENDERS.values()))
    given = parser.parse_args()
    folder: Path = given.folder / f"{given.format}-{given.gigabytes:g}"
    source, contract = folder / f"wide.{given.format}", folder / "wide.yaml"
    if not source.exists():
        generator = Path(__file__).parent / "generate.py"
        size = ["--gigabytes", str(given.gigabytes), "--format", given.format]
        subprocess.run([sys.executable, str(generator), str(folder), *size], check=True)
    out = folder / "out"
    lakegate = str(Path(sys.executable).parent / "lakegate")

    def contender(name: str, target: str, environment: dict[str, str] | None = None) -> Run:
        shutil.rmtree(out / name, ignore_errors=True)
        return measure([sys.executable, "-m", "benchmarks.contenders", name, str(source), target], environment)

    def ours() -> Run:
        shutil.rmtree(out / "lakegate", ignore_errors=True)
        return measure([lakegate, "convert", str(source), "--dataset", str(contract), "--out", str(out / "lakegate")])

    commands = {"lakegate convert, all checks": ours}
    laptop = Laptop(folder / "laptop", any_port=True)
    try:
        for label, name in CONTENDERS.items():
            if name not in given.only:
                continue
            if name == "awswrangler":
                environment = laptop.start(tied=True)
                target = f"s3://{environment['LAKEGATE_PROCESSED_BUCKET']}/benchmark/"
                commands[label] = partial(contender, name, target, environment)
            else:
                commands[label] = partial(contender, name, str(out / name))
        results = round_robin(commands, given.runs)
    finally:
        laptop.stop_started()
    medians = {label: median_of(runs) for label, runs in results.items()}
    base = medians.get(BASE)
    print(f"{source.name}, {source.stat().st_size / 1e9:.2f} GB, {given.runs} rounds, medians (memory: the highest)")
    print(f"{'':34}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}{'CPU ratio':>11}{'files':>7}{'MB out':>8}")
    for label, run in medians.items():
        ratio = f"{run.cpu_s / base.cpu_s:11.2f}" if base else " " * 11
        files = list((out / CONTENDERS.get(label, "lakegate")).rglob("*.parquet"))
        wrote = f"{len(files):7}{sum(f.stat().st_size for f in files) / 1e6:8.0f}" if files else ""
        failed = "  FAILED" if run.exit_code else ""
        print(f"{label:34}{run.cpu_s:8.1f}{run.wall_s:8.1f}{run.peak_mb:9.0f}{ratio}{wrote}{failed}")


if __name__ == "__main__":
    main()
