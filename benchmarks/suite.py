"""Runs the contenders in rounds and verifies what each wrote. The order is rotated from round to round, so that drift hits all alike."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.feeds import FEEDS
from benchmarks.generate import Plan, generate
from benchmarks.measure import Run, measure
from benchmarks.verify import Verdict, rejected_rows, verify
from benchmarks.workloads import OURS, Contender, Workload
from lakegate.local.laptop import Laptop

__all__ = ["Measured", "Series", "Suite", "rounds"]

ROOT = Path(__file__).resolve().parents[1]
BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one contender; `wrong` says why it does not count (empty: it counts). `load` is the machine's load average before it."""

    run: Run
    verdict: Verdict | None
    wrong: str
    load: float


@dataclass(slots=True)
class Series:
    """The rounds of one contender."""

    label: str
    lacks: str = ""
    rounds: list[Measured] = field(default_factory=list[Measured])

    @property
    def wrong(self) -> str:
        """Why none of its figures count: the first thing that went wrong in any round."""
        return next((m.wrong for m in self.rounds if m.wrong), "")


def rounds(
    runs: int, contenders: dict[str, Callable[[], Measured]], tell: Callable[[str], None]
) -> dict[str, list[Measured]]:
    """Each contender once a round, beginning with another one in each. Returns the rounds of each, in order."""
    names = list(contenders)
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for turn in range(runs):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            measured = contenders[name]()
            found[name].append(measured)
            state = (
                f"wrong: {measured.wrong}"
                if measured.wrong
                else f"{measured.run.cpu_s:.1f} CPU s, {measured.run.peak_mb:.0f} MB"
            )
            tell(f"  round {turn + 1}, {name}: {state}")
    return found


class Suite:
    """What all workloads share: the folder, the sizes, the laptop's S3 once somebody needs it. A context manager."""

    def __init__(
        self, folder: Path, size_gb: float, runs: int, without: Sequence[str], tell: Callable[[str], None]
    ) -> None:
        """`without`: names, or their beginnings, of contenders that are left out."""
        self.folder, self.size_gb, self.runs, self.tell = folder, size_gb, runs, tell
        self._without = tuple(without)
        self._laptop = Laptop(folder / "laptop", any_port=True)
        self._s3: dict[str, str] | None = None
        self.skipped: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Enter; on leaving what was started is stopped."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the laptop's S3 if it was needed."""
        if self._s3 is not None:
            self._laptop.stop_started()

    def file(self, plan: Plan) -> Path:
        """The file of a plan, generated once and kept; its truth lies beside it."""
        dirty = "-dirty" if plan.dirty else ""
        folder = self.folder / f"{plan.feed}-{plan.form}-{plan.size_bytes / 1e9:g}{dirty}"
        path, done = folder / f"{plan.feed}.{plan.form}", folder / "generated"
        if not done.exists() or done.read_text() != repr(plan):
            self.tell(f"  generating {path}")
            generate(plan, folder)
            done.write_text(repr(plan))
        return path

    def convert(self, workload: Workload) -> dict[str, Series]:
        """All rounds of a workload, by contender's name."""
        taking = [c for c in workload.contenders if self._takes_part(c)]
        size = int(self.size_gb * 1e9)
        files = {c.name: self.file(workload.plan(size, clean=c.on_clean)) for c in taking}
        starts = {c.name: lambda c=c: self.once(c, files[c.name]) for c in taking}
        found = rounds(self.runs, starts, self.tell)
        return {c.name: Series(c.label, c.lacks, found[c.name]) for c in taking}

    def once(self, contender: Contender, source: Path) -> Measured:
        """One run, verified; what it wrote is deleted."""
        out = self.folder / "out" / contender.name
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        load = os.getloadavg()[0]
        try:
            run = self._run(contender, source, out)
            if run.exit_code and contender.name != OURS:
                # Some peers die at their exit now and then; of ours it would be a fault.
                shutil.rmtree(out, ignore_errors=True)
                run = self._run(contender, source, out)
            if run.exit_code:
                return Measured(run, None, f"it failed with {run.exit_code}: {run.last_line}", load)
            feed = FEEDS[source.stem]
            ours = contender.name == OURS
            verdict = verify(feed, source.parent, out / "processed" if ours else out)
            wrong = verdict.wrong
            if ours and not wrong:
                wrong = _ours_is_stricter(verdict) or rejected_rows(feed, source.parent, out / "rejected")
            return Measured(run, verdict, wrong, load)
        finally:
            shutil.rmtree(out.parent, ignore_errors=True)

    def _run(self, contender: Contender, source: Path, out: Path) -> Run:
        if contender.name == OURS:
            lakegate = [str(Path(sys.executable).parent / "lakegate"), "convert", str(source)]
            here = {"PYTHONPATH": str(ROOT)}
            return measure([*lakegate, "--dataset", str(source.with_suffix(".yaml")), "--out", str(out)], here)
        if contender.environment == "bench":
            return measure([str(BENCH_PYTHON), "-m", "benchmarks.peers", contender.name, str(source), str(out)])
        command = [sys.executable, "-m", "benchmarks.contenders", contender.name, str(source)]
        if contender.environment != "s3":
            return measure([*command, str(out)])
        if self._s3 is None:
            self._s3 = self._start_s3()
        target = f"s3://{self._s3['LAKEGATE_PROCESSED_BUCKET']}/benchmark/"
        _empty(target, self._s3)
        run = measure([*command, target], self._s3)
        _copy(target, out, self._s3)
        return run

    def _start_s3(self) -> dict[str, str]:
        """Start the laptop's AWS; the environment that leads there, which this process itself keeps free of."""
        before = dict(os.environ)
        environment = {**self._laptop.start(tied=True)}
        environment |= {name: value for name, value in os.environ.items() if before.get(name) != value}
        os.environ.clear()
        os.environ.update(before)
        return environment

    def _takes_part(self, contender: Contender) -> bool:
        if any(contender.name.startswith(name) for name in self._without):
            return False
        if contender.environment != "bench":
            return True
        if not BENCH_PYTHON.exists():
            self.skipped[contender.label] = "there is no .venv-bench: `make bench` makes it"
        elif contender.name.startswith("spark") and not _has_java():
            self.skipped[contender.label] = "there is no Java on this machine"
        else:
            return True
        return False


def _ours_is_stricter(verdict: Verdict) -> str:
    """Of ours more is asked than of a peer: no bad row in the table, doubles to their last bit."""
    if verdict.missed:
        return f"{verdict.missed:,} of {verdict.bad_rows:,} bad rows were loaded"
    return "doubles are off in their last digit" if verdict.rounded else ""


def _has_java() -> bool:
    java = shutil.which("java")
    return java is not None and subprocess.run([java, "-version"], capture_output=True, check=False).returncode == 0


def _client(environment: dict[str, str]) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


def _keys(target: str, environment: dict[str, str]) -> tuple[Any, str, list[str]]:
    s3 = _client(environment)
    bucket, _, prefix = target.removeprefix("s3://").partition("/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return s3, bucket, [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def _empty(target: str, environment: dict[str, str]) -> None:
    s3, bucket, keys = _keys(target, environment)
    for key in keys:
        s3.delete_object(Bucket=bucket, Key=key)


def _copy(target: str, out: Path, environment: dict[str, str]) -> None:
    s3, bucket, keys = _keys(target, environment)
    for key in keys:
        path = out / key
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, key, str(path))
