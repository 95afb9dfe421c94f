"""The processes that the crash loop kills: what the sensor's tick and a run do, with the real adapters and without Dagster.

Dagster is played by a folder: a run that was requested is a file named by its run key, once and never again; its state is in a
file beside it. The supervisor starts what was requested, as Dagster's launcher does.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipelines.accounting.entries import RetryPolicy
from pipelines.contracts.loading import DatasetCatalog, load_datasets
from pipelines.contracts.rejected import tables_of
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.ingest import ingest_batch
from pipelines.intake.dispatching import Launch, RunState, dispatch
from pipelines.intake.receiving import receive
from pipelines.reading.reader import InProcessReader
from resources.assembly import open_gate
from resources.environment import Deployment

POLICY = RetryPolicy(
    max_attempts=10_000, first_delay_s=1, longest_delay_s=1, passing_attempts=10_000, throttled_delay_s=1
)
"""Workers die far more often than any file is tried: no file may be given up for that."""
_TICKS = 4
FAULT, BROKEN = 1, 3
"""How a process ends that met a fault of AWS or lost its claim, and one that met what nobody expected."""


@dataclass(frozen=True)
class Runs:
    """The runs that were ever requested, in a folder."""

    folder: Path

    def request(self, launch: Launch) -> None:
        """Remember a run to be started, unless its key was requested before."""
        file = self.folder / f"{launch.run_key}.json"
        if file.exists():
            return
        draft = file.with_suffix(f".draft-{os.getpid()}")
        draft.write_text(json.dumps({"run_key": launch.run_key, "dataset": launch.dataset}))
        draft.rename(file)

    def requested(self) -> list[dict[str, str]]:
        """Every run, oldest first, as far as nobody has started it."""
        files = sorted(self.folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        return [json.loads(file.read_text()) for file in files if not file.with_suffix(".state").exists()]

    def set(self, run_key: str, state: RunState) -> None:
        """Say what became of a run."""
        draft = self.folder / f"{run_key}.state-{os.getpid()}"
        draft.write_text(state.value)
        draft.rename(self.folder / f"{run_key}.state")

    def get(self, run_key: str) -> RunState | None:
        """What became of a run; None when nobody requested it."""
        state = self.folder / f"{run_key}.state"
        if state.exists():
            return RunState(state.read_text())
        return RunState.WAITING if (self.folder / f"{run_key}.json").exists() else None

    def states(self, run_keys: Sequence[str]) -> Mapping[str, RunState]:
        """What `dispatch` asks Dagster."""
        found = {key: self.get(key) for key in run_keys}
        return {key: state for key, state in found.items() if state is not None}


@cache
def catalog(datasets: Path) -> DatasetCatalog:
    """The datasets of a folder, read once."""
    return load_datasets(datasets)


def open_here(datasets: Path) -> Gate:
    """The gate that this process' environment names."""
    return open_gate(Deployment.from_environment(), catalog(datasets), POLICY)


def intake(environment: Mapping[str, str], datasets: Path, log: Path, runs: Runs, _: str) -> None:
    """Some ticks of the sensor."""
    with _Life(environment, log):
        gate = open_here(datasets)
        for _ in range(_TICKS):
            receive(gate, wait_s=0.5, budget_s=10)
            looked = dispatch(gate, runs.states)
            for abandoned, _ in looked.abandoned:
                runs.set(abandoned, RunState.FAILED)
            for launch in looked.launches:
                runs.request(launch)


def worker(
    environment: Mapping[str, str], datasets: Path, log: Path, _: Runs, run_key: str, dataset: str, in_process: bool
) -> None:
    """One run: every batch that was planned for it. With `in_process` it reads by itself, which costs half as much."""
    with _Life(environment, log) as life:
        gate = open_here(datasets)
        of = next(d for d in gate.datasets.datasets if d.name == dataset)
        for table in tables_of(of):
            gate.tables.ensure(table)
        with nullcontext(InProcessReader()) if in_process else gate.reader() as reader:
            for batch in [b for b in gate.ledger.live_batches(dataset) if b.run_key == run_key]:
                try:
                    ingest_batch(gate, reader, of, batch.batch_id, owner=f"{run_key}/{os.getpid()}")
                except LakegateError as error:
                    life.fault(error)


class _Life:
    """What a process begins and ends with; how it ended is its exit code, and why is in its log."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._environment, self._log, self._code = environment, log, 0

    def fault(self, error: LakegateError) -> None:
        """A fault that fails the run, and not the process."""
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        self._code = FAULT

    def __enter__(self) -> _Life:
        os.environ.update(self._environment)
        out = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None:
            traceback.print_exception(error)
            self._code = FAULT if isinstance(error, LakegateError) else BROKEN
        sys.stderr.flush()
        sys.exit(self._code)
