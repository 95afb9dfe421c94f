"""What the daemon does between two commands, done here: the sensor's ticks and their runs, until files have come to rest."""

from __future__ import annotations

import time

from pipelines.accounting.ledger import Ledger
from pipelines.contracts.rejected import tables_of
from pipelines.gate import Gate
from pipelines.ingest import ingest_batch
from pipelines.intake.dispatching import RunState, dispatch
from pipelines.intake.receiving import receive
from pipelines.reading.reader import InProcessReader

LIMIT_S = 60


def settle(gate: Gate, keys: list[str], versions: int = 1) -> None:
    """The sensor and its runs, until every version of these keys has an outcome."""
    runs: dict[str, RunState] = {}
    reader = InProcessReader()
    deadline = time.monotonic() + LIMIT_S
    while not _settled(gate.ledger, gate.landing_bucket, keys, versions):
        assert time.monotonic() < deadline, "the files never came to rest"
        receive(gate, wait_s=1, budget_s=10)
        for launch in dispatch(gate, lambda asked: {k: runs[k] for k in asked if k in runs}).launches:
            of = next(d for d in gate.datasets.datasets if d.name == launch.dataset)
            for table in tables_of(of):
                gate.tables.ensure(table)
            for batch_id in launch.batches:
                ingest_batch(gate, reader, of, batch_id, f"run-{launch.run_key}")
            runs[launch.run_key] = RunState.SUCCEEDED


def _settled(ledger: Ledger, bucket: str, keys: list[str], versions: int) -> bool:
    found = [ledger.entries(bucket, key) for key in keys]
    return all(len(entries) >= versions and all(e.outcome != "pending" for e in entries) for entries in found)
