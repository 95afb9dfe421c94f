"""Ledger and publication together, against a dictionary: puts, deletions, ticks, workers that stop anywhere, die or wake up late.

The simulator draws schedules from a seed; here hypothesis looks for the sequence that breaks something, and shortens it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lakegate.simulate.engine import InLine
from pipelines.accounting.heartbeat import Heartbeat
from pipelines.accounting.states import Outcome, Trigger
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.intake.backfill import take_days
from pipelines.intake.dispatching import Launch, RunState, dispatch
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.receiving import receive
from pipelines.intake.routing import event_day
from pipelines.intake.sweep import sweep
from tests.accounting.fragile import assert_counters_are_sums
from tests.ingest.fragile import PORTS, Died
from tests.ingest.world import CLICKS, Ports, World, dataset
from tests.intake.landing_bucket import LandingBucket

LIMIT_S = 30
OF = dataset(CLICKS)
KEYS = ["landing/clicks/a.csv", "landing/clicks/b.csv"]
CONTENTS = {"good": b"id\n1\n2\n", "longer": b"id\n1\n2\n3\n", "bad": b"id\nnone\n", "empty": b"id\n"}
ROWS = {"good": 2, "longer": 3, "bad": 0, "empty": 0}


class Still(Heartbeat):
    """A process that stands still renews nothing, and one that works is never slow here."""

    def __enter__(self) -> Still:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Worker:
    """A run of one launch in a thread of its own, which stops before one of its calls until it may go on, or dies there."""

    def __init__(self, world: World, launch: Launch, stops_at: int | str) -> None:
        self.launch = launch
        self._stops_at = stops_at
        self._calls = 0
        self._dead = False
        self._stopped, self._go_on = threading.Event(), threading.Event()
        inner = world.ports
        ports = Ports(*(_Stopping(getattr(inner, name), name, self) for name in ("items", "queue", "store", "tables")))
        gate = replace(world.gate(ports), pools=InLine, heartbeat=Still, pause=lambda _: None)
        self._thread = threading.Thread(target=self._run, args=(world, gate), daemon=True)
        self._thread.start()
        self._wait()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def wake(self, *, dead: bool) -> None:
        """Let it go on to its end, or find itself dead."""
        self._dead = dead
        self._go_on.set()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    def _wait(self) -> None:
        while self._thread.is_alive() and not self._stopped.wait(0.002):
            pass

    def step(self, name: str) -> None:
        if self._dead:
            raise Died
        self._calls += 1
        if self._stops_at in (self._calls, name) and not self._stopped.is_set():
            self._stopped.set()
            assert self._go_on.wait(LIMIT_S)
            if self._dead:
                raise Died

    def _run(self, world: World, gate: Gate) -> None:
        try:
            for batch_id in self.launch.batches:
                world.take(gate, OF, batch_id, f"worker-{id(self)}")
        except LakegateError:
            world.runs[self.launch.run_key] = RunState.FAILED
        except Died:
            pass
        else:
            world.runs[self.launch.run_key] = RunState.SUCCEEDED


class _Stopping:
    def __init__(self, inner: Any, port: str, worker: Worker) -> None:
        self._inner, self._port, self._worker = inner, port, worker

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in PORTS[self._port]:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self._worker.step(f"{self._port}.{name}")
            result = found(*arguments, **named)
            if name == "commit":
                self._worker.step("after the commit")
            return result

        return call


@dataclass
class Put:
    """The truth of one version; versions of a key are put in order."""

    version: ObjectVersion
    kind: str
    gone: bool = False


@dataclass
class Truth:
    puts: list[Put] = field(default_factory=list)
    shown: dict[str, ObjectVersion] = field(default_factory=dict)

    def of(self, version_id: str) -> Put:
        return next(put for put in self.puts if put.version.version_id == version_id)

    def place(self, version: ObjectVersion) -> int:
        return next(n for n, put in enumerate(self.puts) if put.version == version)


class PromiseMachine(RuleBasedStateMachine):
    """One dataset, two keys, days that pass, up to three workers at once."""

    @initialize()
    def begin(self) -> None:
        self.world = World(datasets=(OF,))
        self.bucket = LandingBucket(self.world)
        self.truth = Truth()
        self.launches: list[Launch] = []
        self.workers: list[Worker] = []
        self.world.tables.ensure(OF)

    # ---- the bucket

    @rule(
        key=st.sampled_from(KEYS),
        kind=st.sampled_from(sorted(CONTENTS)),
        told=st.sampled_from([1, 2, 0]),
        heard=st.booleans(),
    )
    def put(self, key: str, kind: str, told: int, heard: bool) -> None:
        version = self.bucket.put(key, CONTENTS[kind], told=told > 0)
        if told > 1:
            self.world.tell(version)
        self.truth.puts.append(Put(version, kind))
        if heard:
            self.tick()

    @precondition(lambda self: self.truth.puts)
    @rule(data=st.data(), told=st.booleans())
    def delete_for_good(self, data: st.DataObject, told: bool) -> None:
        put = data.draw(st.sampled_from(self.truth.puts))
        if not put.gone:
            put.gone = True
            self.bucket.remove(put.version, told=told)

    @precondition(lambda self: self.truth.puts)
    @rule(data=st.data())
    def an_old_event_comes_again(self, data: st.DataObject) -> None:
        self.world.tell(data.draw(st.sampled_from(self.truth.puts)).version)

    # ---- what Lakegate does

    @rule()
    def tick(self) -> None:
        gate = self.world.gate()
        receive(gate, wait_s=0, budget_s=60)
        looked = dispatch(gate, lambda keys: {k: self.world.runs[k] for k in keys if k in self.world.runs})
        for run_key, _ in looked.abandoned:
            self.world.runs[run_key] = RunState.FAILED
        for launch in looked.launches:
            self.world.runs[launch.run_key] = RunState.STARTED
            self.launches.append(launch)

    @precondition(lambda self: self.launches and len(self.workers) < 3)
    @rule(data=st.data(), stops_at=st.sampled_from(["tables.commit", "after the commit"]) | st.integers(1, 40))
    def a_worker_starts_and_stops_somewhere(self, data: st.DataObject, stops_at: int | str) -> None:
        launch = data.draw(st.sampled_from(self.launches[-3:]))
        self.world.runs[launch.run_key] = RunState.STARTED
        worker = Worker(self.world, launch, stops_at)
        if worker.alive:
            self.workers.append(worker)

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), dead=st.booleans(), noticed=st.booleans())
    def a_stopped_worker_goes_on_or_dies(self, data: st.DataObject, dead: bool, noticed: bool) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        self.workers.remove(worker)
        worker.wake(dead=dead)
        if dead and noticed:
            self.world.runs[worker.launch.run_key] = RunState.FAILED

    @rule()
    def backfill(self) -> None:
        gate = self.world.gate()
        days = sorted({event_day(put.version.landed_at) for put in self.truth.puts})
        for batch in take_days(gate, OF, days, f"backfill-{gate.ledger.new_id()}").batches():
            self.world.take(gate, OF, batch.batch_id, batch.run_key)

    @rule()
    def sweep_the_bucket(self) -> None:
        sweep(self.world.gate(), pause=lambda _: None)

    @rule(seconds=st.sampled_from([50_000, 400, 31]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.turn(seconds)

    # ---- what must hold at any moment

    @invariant()
    def the_table_holds_whole_good_files_and_one_version_of_a_key(self) -> None:
        shown: dict[str, ObjectVersion] = {}
        for source, rows in self.world.tables.sources(OF).items():  # pyright: ignore[reportAttributeAccessIssue]
            put = self.truth.of(source.version_id)
            assert rows == ROWS[put.kind], (source, rows)
            assert source.key not in shown, (source, shown)
            shown[source.key] = put.version
        for key, before in self.truth.shown.items():
            assert key in shown, f"the rows of {before.version_id} are gone"
            assert self.truth.place(shown[key]) >= self.truth.place(before), "back to an older version"
        self.truth.shown = shown

    @invariant()
    def counters_are_sums_over_entries(self) -> None:
        assert_counters_are_sums(self.world.items)

    def teardown(self) -> None:
        """Once nothing happens any more, the highest good version serves, and the books say what the table shows."""
        if not hasattr(self, "world"):
            return
        for worker in self.workers:
            worker.wake(dead=False)
        self._rest()
        self.world.clock.turn(3600)
        sweep(self.world.gate(), pause=lambda _: None)
        self._rest()
        self.the_table_holds_whole_good_files_and_one_version_of_a_key()
        self.world.versions = [put.version for put in self.truth.puts]
        self.world.assert_balanced()
        outcomes = self.world.outcomes()
        for key in KEYS:
            good = [put for put in self.truth.puts if put.version.key == key and ROWS[put.kind]]
            sure = [put for put in good if not put.gone or outcomes.get(put.version.version_id) == Outcome.LOADED]
            shown = self.truth.shown.get(key)
            assert shown == (sure[-1].version if sure else None)
            if shown is not None:
                assert outcomes[shown.version_id] == Outcome.LOADED
        for put in self.truth.puts:
            assert put.gone or put.version.version_id in outcomes, f"{put.version.version_id} is forgotten"

    def _rest(self) -> None:
        self.world.runs = {k: RunState.FAILED if s is RunState.STARTED else s for k, s in self.world.runs.items()}
        for _ in range(3):
            self.world.settle_down()
            dead = [entry.ref for entry in self.world.gate().ledger.dead(OF.name)]
            if not dead:
                return
            self.world.gate().ledger.make_due(dead, Trigger.REPLAY)


PromiseMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPromiseModel = PromiseMachine.TestCase
