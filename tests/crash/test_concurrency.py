"""Two daemons, a backfill and a replay of the same days at the same time, while the producer goes on and readers look.

They end in the one state that the producer knows, and no reader ever sees anything between two commits: for each key the rows
of one version, all of them, and never none where there were some.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from lakegate.local.laptop import Laptop
from lakegate.status import look
from pipelines.accounting.states import Trigger
from pipelines.contracts.loading import load_datasets
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import tables_of
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.ingest import ingest_batch
from pipelines.intake.backfill import take_days
from pipelines.intake.dispatching import RunState, dispatch
from pipelines.intake.receiving import receive
from pipelines.intake.routing import event_day
from pipelines.reading.reader import InProcessReader
from resources.assembly import open_gate, query_engine
from resources.environment import Deployment
from resources.iceberg import glue_tables
from resources.s3 import S3ObjectStore
from tests.crash.evidence import gather
from tests.crash.processes import POLICY
from tests.crash.producer import DATASETS, DAYS, Producer, write_datasets
from tests.proof import IN_PROOF
from tests.road.road import environment_kept, hasten_the_queue

pytestmark = pytest.mark.aws
DROPS = 120 if IN_PROOF else 12
LIMIT_S = 270 + 6 * DROPS
Generations = Counter[tuple[str, str]]
"""How many rows of which version (key, version id) a reader saw at once."""


@dataclass
class Scene:
    """One deployment, and the threads at work on it. `errors` are those that nobody expected."""

    deployment: Deployment
    datasets: Path
    producer: Producer
    runs: dict[str, RunState] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    dropped: threading.Event = field(default_factory=threading.Event)
    rest: threading.Event = field(default_factory=threading.Event)
    seen: list[tuple[str, Generations]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def gate(self) -> Gate:
        """A gate of its own for each thread, as each process has one."""
        return open_gate(self.deployment, load_datasets(self.datasets), POLICY)

    # ---- who works

    def daemon(self) -> None:
        """Tick, and do what the tick requests."""
        gate = self.gate()
        while not self.rest.is_set():
            receive(gate, wait_s=0, budget_s=10)
            looked = dispatch(gate, lambda keys: {k: self.runs[k] for k in keys if k in self.runs})
            for run_key, _ in looked.abandoned:
                self.runs[run_key] = RunState.FAILED
            for launch in looked.launches:
                with self.lock:  # as Dagster does: a run key is launched once
                    if launch.run_key in self.runs:
                        continue
                    self.runs[launch.run_key] = RunState.STARTED
                self.runs[launch.run_key] = self._run(gate, launch.dataset, launch.batches, launch.run_key)
            time.sleep(0.05)

    def backfill(self) -> None:
        """Process all days of all datasets again, as often as there is time."""
        gate, number = self.gate(), 0
        while not self.dropped.is_set() or number < 2:
            for of in gate.datasets.datasets:
                number += 1
                key = f"backfill-{number}-{of.name}"
                days = [event_day(gate.clock())] if of.name == "clicks" else [date.fromisoformat(day) for day in DAYS]
                self.runs[key] = RunState.STARTED
                taken = take_days(gate, of, days, key)
                ended = [self._run(gate, of.name, (batch.batch_id,), key) for batch in taken.batches()]
                self.runs[key] = RunState.FAILED if RunState.FAILED in ended else RunState.SUCCEEDED

    def replay(self) -> None:
        """Make what lies in quarantine due again, as often as there is time."""
        gate = self.gate()
        while not self.dropped.is_set():
            refs = [entry.ref for of in gate.datasets.datasets for entry in gate.ledger.quarantined(of.name)]
            gate.ledger.make_due(refs, Trigger.REPLAY, "the quarantine is replayed")
            time.sleep(0.5)

    def produce(self) -> None:
        """Drop files while everybody is at work."""
        try:
            for _ in range(DROPS):
                self.producer.drop()
                time.sleep(0.2)
        finally:
            self.dropped.set()

    def _run(self, gate: Gate, dataset: str, batches: tuple[str, ...], run_key: str) -> RunState:
        of = next(d for d in gate.datasets.datasets if d.name == dataset)
        try:
            for table in tables_of(of):
                gate.tables.ensure(table)
            for batch_id in batches:
                ingest_batch(gate, InProcessReader(), of, batch_id, f"{run_key}-{threading.get_ident()}")
        except LakegateError as error:
            self.kept.append(f"{type(error).__name__}: {error}")
            return RunState.FAILED
        return RunState.SUCCEEDED

    # ---- who looks

    def scan(self) -> None:
        """PyIceberg, at whatever is current."""
        tables = glue_tables(self.deployment, S3ObjectStore())

        def rows(of: Dataset) -> Generations:
            columns = ("_source_file", "_source_version")
            found = tables.catalog.load_table((tables.database, of.table)).scan(selected_fields=columns).to_arrow()
            return Counter(zip(*(found.column(name).to_pylist() for name in columns), strict=True))

        self._watch("PyIceberg", rows)

    def ask(self) -> None:
        """Athena."""
        engine = query_engine(self.deployment)

        def rows(of: Dataset) -> Generations:
            sql = f"SELECT _source_file AS f, _source_version AS v, count(*) AS n FROM {of.table} GROUP BY 1, 2"
            return Counter({(r["f"], r["v"]): r["n"] for r in engine.query(sql).table.to_pylist()})

        self._watch("Athena", rows)

    def _watch(self, who: str, rows: Callable[[Dataset], Generations]) -> None:
        gate = self.gate()
        there: set[str] = set()
        while not self.rest.is_set():
            for of in gate.datasets.datasets:
                if of.name not in there:
                    try:
                        gate.tables.current(of)
                    except LakegateError:
                        continue  # its table is not made yet
                    there.add(of.name)
                self.seen.append((f"{who}, {of.name}", rows(of)))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    laptop = Laptop(tmp_path / "laptop", any_port=True)
    with environment_kept():
        os.environ["LAKEGATE_LEASE_S"] = "5"
        os.environ["LAKEGATE_PAUSE_AFTER"] = "10000"
        try:
            deployment = Deployment.from_environment(laptop.start())
            hasten_the_queue(deployment, receives=10)
            yield Scene(deployment, write_datasets(tmp_path / "datasets"), Producer(deployment, random.Random(11), 2))
        finally:
            laptop.stop()


@pytest.mark.timeout(LIMIT_S + 120)
def test_all_at_once_ends_in_the_one_state_and_no_reader_sees_anything_between(scene: Scene) -> None:
    gate = scene.gate()
    work = (scene.daemon, scene.daemon, scene.backfill, scene.replay, scene.produce, scene.scan, scene.ask)
    with ThreadPoolExecutor(len(work)) as pool:
        threads = [pool.submit(one) for one in work]
        try:
            ends = time.monotonic() + LIMIT_S
            while not _at_rest(scene, gate, threads[2:5]):
                broken = [t for t in threads if t.done() and t.exception()]
                assert not broken, broken[0].exception()
                assert time.monotonic() < ends, f"not at rest: {look(gate).sentence()}; {scene.kept}"
                time.sleep(0.2)
        finally:
            scene.dropped.set()
            scene.rest.set()
        for thread in threads:
            thread.result()
    found = gather(gate, scene.deployment, scene.producer)
    assert found.differences == []
    assert found.rows_found == found.rows_expected > 0
    _assert_whole_generations(scene)


def _at_rest(scene: Scene, gate: Gate, makers: list) -> bool:
    """Nobody makes work any more, and all that was made is done."""
    if not all(maker.done() for maker in makers) or RunState.STARTED in scene.runs.values():
        return False
    rest = look(gate)
    return rest.at_rest and rest.sheet.objects >= len(scene.producer.versions())


def _assert_whole_generations(scene: Scene) -> None:
    """Each look of each reader: one version of a key, whole, never an older one than before, and never none again."""
    order = {
        (v.key, v.version_id): (n, len(v.good)) for vs in scene.producer.dropped.values() for n, v in enumerate(vs)
    }
    last: dict[tuple[str, str], int] = {}
    assert {who.partition(",")[0] for who, _ in scene.seen} == {"PyIceberg", "Athena"}
    assert {who.partition(", ")[2] for who, _ in scene.seen} == set(DATASETS)
    for who, generations in scene.seen:
        keys = [key for key, _ in generations]
        assert len(keys) == len(set(keys)), f"{who} saw two generations of a file: {generations}"
        for (key, version), rows in generations.items():
            number, whole = order[key, version]
            assert rows == whole, f"{who} saw {rows} of {whole} rows of {key}"
            assert number >= last.get((who, key), 0), f"{who} saw an older version of {key} than before"
            last[who, key] = number
        gone = {key for seen_by, key in last if seen_by == who} - set(keys)
        assert not gone, f"{who} saw {gone} before, and then no row of it"
