"""The simulated deployment: a bucket and its messages, sensor ticks, runs, sweeps and operators, until all is at rest.

Every process is an actor with a gate of its own, as if it had just started; what outlives processes (bucket, queue, ledger, tables,
what Dagster knows of its runs) is the world's.
"""

import random
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import assert_never

from lakegate.simulate.checked_tables import CheckedTables
from lakegate.simulate.engine import Actor, Engine, InLine, Stopped
from lakegate.simulate.guards import Guard, GuardedItems, GuardedObjects
from lakegate.simulate.ports import SteppedItems, SteppedObjects, SteppedQueue, SteppedTables
from lakegate.simulate.producer import BUCKET, Producer
from lakegate.simulate.reading import WordReader
from lakegate.simulate.schedule import (
    CALM_AT_S,
    LAST_COMPACTION_S,
    LAST_SWEEP_S,
    Action,
    Backfill,
    Compact,
    Launching,
    Noise,
    Put,
    Remove,
    Restore,
    Schedule,
    Setting,
    Sleep,
    Sweep,
)
from lakegate.simulate.story import Names
from lakegate.simulate.truth import QUARANTINE, Truth, Violated
from pipelines.accounting.balance import balance
from pipelines.accounting.entries import Claim, RetryPolicy
from pipelines.accounting.heartbeat import Heartbeat
from pipelines.accounting.ids import IdFactory
from pipelines.accounting.ledger import LEASE_S, Ledger
from pipelines.accounting.states import Trigger
from pipelines.contracts.loading import DatasetCatalog, parse_dataset
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import tables_of
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.ingest import ingest_batch
from pipelines.intake.backfill import take_days
from pipelines.intake.dispatching import Launch, RunState, dispatch
from pipelines.intake.receiving import receive_from
from pipelines.intake.routing import event_day
from pipelines.intake.sweep import sweep
from pipelines.publication.table_upkeep import compact_tables
from pipelines.reports import BatchReport
from resources.memory import MemoryEventQueue

__all__ = ["START", "World"]

START = datetime(2026, 3, 1, 23, 57, tzinfo=UTC)
"""Three minutes before midnight: files of two landing days, each with a batch of its own, write to one table."""
_BEAT_S = LEASE_S / 3
_PAUSE_S = 0.5
_STARTING_S = 3.0
_BEGIN_S = 180.0
"""A run that has not claimed anything by then lingers, as the landing sensor sees it."""
_MOST_S = 40_000.0
"""Whoever is not at rest by then never will be."""
_READER = WordReader()


@lru_cache(maxsize=16)
def _dataset(by_rows: bool, accept_empty: bool, retract: bool) -> Dataset:
    text = f"""
name: files
description: Simulated files.
owner: team:simulator
landing: {{key: "landing/files/*.csv", start: 2026-01-01}}
format: {{type: csv}}
columns:
  content: {{type: string, nullable: false}}
on_empty: {"accept" if accept_empty else "keep"}
on_delete: {"retract" if retract else "keep"}
compaction: {{min_files: 2, settled_after: PT1M, sort_by: [content]}}
work: {{fresh_within: PT1M}}
"""
    if by_rows:
        text += "rows: {on_bad: quarantine_rows, max_bad: 100%}\n"
    found = parse_dataset(text.encode(), Path("files.yaml"))
    if not isinstance(found, Dataset):
        raise TypeError(str(found))
    return found


class World:
    """One schedule's deployment."""

    def __init__(
        self,
        schedule: Schedule,
        engine: Engine,
        launching: Callable[[str], Launching | None],
        without: Collection[Guard] = (),
    ) -> None:
        """Puts everything in place; `launching` says what becomes of a requested run."""
        self.engine = engine
        self.setting: Setting = schedule.setting
        self.dataset = _dataset(self.setting.by_rows, self.setting.accept_empty, self.setting.retract)
        self.truth = Truth(self)
        self.items = GuardedItems(without)
        self.objects = GuardedObjects(engine.clock, without)
        self.tables = CheckedTables(engine, self.dataset, self.truth, without)
        self.dead_letters = MemoryEventQueue(self._seconds)
        self.queue = MemoryEventQueue(self._seconds, dead_letters=self.dead_letters)
        self.runs: dict[str, RunState] = {}
        self._started_s: dict[str, float] = {}
        self.names = Names()
        self.producer = Producer(engine, self.objects, self.queue, self.truth)
        self.ledger = self._ledger_of(Actor("the simulator"), self.items)
        self._ids = random.Random(f"{schedule.seed}/{schedule.number}/ids")  # noqa: S311 - a simulation, no secret
        self.compactions: Counter[str] = Counter()
        """What became of compactions: partitions `done` and those that `gave way`, runs that `died` or `stopped` at a fault."""
        self._launching = launching
        self._count: dict[str, int] = {}
        self._requests = 0
        for action in schedule.actions:
            engine.at(action.at, partial(self._act, action))
        engine.at(0.0, self._tick, idle=True)
        engine.at(LAST_SWEEP_S, partial(self._act, Sweep(0, LAST_SWEEP_S)))
        engine.at(LAST_COMPACTION_S, partial(self._act, Compact(0, LAST_COMPACTION_S, 0.0)))

    def _seconds(self) -> float:
        return self.engine.now_s

    # ---- processes

    def _spawn(self, kind: str, body: Callable[[Actor], None]) -> Actor:
        self._count[kind] = self._count.get(kind, 0) + 1
        return self.engine.spawn(f"{kind} {self._count[kind]}", body)

    def _ledger_of(self, actor: Actor, items: "GuardedItems | SteppedItems") -> Ledger:
        def pause(_: float) -> None:
            self.engine.pause(actor, _PAUSE_S)

        ids = IdFactory(self.engine.clock, lambda bits: self._ids.getrandbits(bits))
        policy = RetryPolicy(max_attempts=self.setting.max_attempts)
        return Ledger(items, self.engine.clock, ids, policy, pause, InLine)

    def _gate(self, actor: Actor) -> Gate:
        """What a process that has just started works with."""
        engine = self.engine
        return Gate(
            datasets=DatasetCatalog((self.dataset,)),
            store=SteppedObjects(engine, actor, self.objects),
            ledger=self._ledger_of(actor, SteppedItems(engine, actor, self.items, self.names)),
            tables=SteppedTables(engine, actor, self.tables, self.names),
            reader=lambda: nullcontext(_READER),
            clock=engine.clock,
            landing_bucket=BUCKET,
            quarantine_bucket=QUARANTINE,
            queue=SteppedQueue(engine, actor, self.queue),
            pools=InLine,
            pause=lambda _: engine.pause(actor, _PAUSE_S),
            heartbeat=lambda ledger, claim: _Heartbeat(engine, actor, ledger, claim),
        )

    # ---- the producer, and what else happens by itself

    def _act(self, action: Action) -> None:
        match action:
            case Put():
                self.producer.put(action)
            case Remove():
                self.producer.remove(action)
            case Restore():
                self.producer.restore(action)
            case Noise():
                self.engine.tell("queue", f"({action.number}) a message that is none of ours")
                self.queue.send(action.body)
            case Sweep():
                self._spawn("sweep", self._sweep)
            case Backfill():
                self._spawn("backfill", self._backfill)
            case Compact():
                self._spawn("compaction", lambda actor: self._compact(actor, action.reading_s))
            case _ as never:
                assert_never(never)

    # ---- sensor and runs

    def _tick(self) -> None:
        """A look of the sensor every few seconds; a tick that still runs is another daemon's by then."""
        if self.engine.calm and not self.engine.busy and self._is_at_rest():
            return
        if self.engine.now_s > _MOST_S:
            raise Violated("no rest", f"nothing is at rest after {_MOST_S:g} s: {self._why_not()}")
        self._spawn("sensor", self._look)
        self.engine.at(self.engine.now_s + self._until_next_tick(), self._tick, idle=True)

    def _until_next_tick(self) -> float:
        # Once all is calm only retries are waited for: nothing is lost by looking seldom.
        return self.setting.tick_s if self.engine.now_s < 2 * CALM_AT_S else 10 * self.setting.tick_s

    def _is_at_rest(self) -> bool:
        dead = list(self.ledger.dead(self.dataset.name))
        if dead:
            self.engine.tell("operator", f"tries again what failed: {' '.join(e.version.version_id for e in dead)}")
            self.ledger.make_due([entry.ref for entry in dead], Trigger.REPLAY, "tried again by hand")
            return False
        return self._why_not() == ""

    def _why_not(self) -> str:
        if len(self.queue):
            return f"{len(self.queue)} messages in the queue"
        if live := self.ledger.live_batches(self.dataset.name):
            return f"{self.names.batch(live[0].batch_id)} is {live[0].state}"
        sheet = balance(self.ledger.counts())
        return "" if sheet.at_rest else "files are pending"

    def _look(self, actor: Actor) -> None:
        gate = self._gate(actor)
        try:
            receive_from(
                SteppedQueue(self.engine, actor, self.queue),
                gate.ledger,
                (self.dataset,),
                BUCKET,
                gate.clock,
                wait_s=0,
                budget_s=20,
                monotonic=self._seconds,
            )
            looked = dispatch(
                gate,
                lambda keys: {key: self._state(key) for key in keys if key in self.runs},
                max_days_per_run=self.setting.days_per_run,
            )
        except LakegateError as error:
            self.engine.tell(actor.name, f"gives up this look: {error}")
            return
        for reason in looked.released:
            self.engine.tell(actor.name, f"releases a batch: {reason}")
        for run_key, _ in looked.abandoned:
            self.runs[run_key] = RunState.FAILED
        for launch in looked.launches:
            self._request(launch)

    def _state(self, run_key: str) -> RunState:
        state = self.runs[run_key]
        lingers = self.engine.now_s - self._started_s.get(run_key, self.engine.now_s) > _BEGIN_S
        return RunState.LINGERING if state is RunState.STARTED and lingers else state

    def _request(self, launch: Launch) -> None:
        if self.runs.get(launch.run_key) not in (None, RunState.NOT_STARTED):
            return  # Dagster makes one run of a run key
        self._requests += 1
        fate = self._launching(f"launch {self._requests}")
        batches = ", ".join(self.names.batch(b) for b in launch.batches)
        if fate is not None and fate.lost:
            self.engine.tell("Dagster", f"loses the request of a run for {batches}")
            return
        self.engine.tell("Dagster", f"starts a run for {batches}")
        self.runs[launch.run_key] = RunState.WAITING
        start = partial(self._start, launch, f"run {self._requests}, worker")
        self.engine.at(self.engine.now_s + _STARTING_S, start)
        if fate is not None and fate.again_after_s is not None:
            self.engine.at(self.engine.now_s + _STARTING_S + fate.again_after_s, start)

    def _start(self, launch: Launch, name: str) -> None:
        self._begin(launch.run_key)
        actor = self._spawn(name, lambda actor: self._work(actor, launch, name))
        actor.on_sleep = lambda sleep: self._retry_beside(sleep, launch, name)

    def _begin(self, run_key: str) -> None:
        self.runs[run_key] = RunState.STARTED
        self._started_s[run_key] = self.engine.now_s

    def _retry_beside(self, sleep: Sleep, launch: Launch, name: str) -> None:
        if sleep.retried:
            self.engine.at(self.engine.now_s + sleep.seconds / 2, partial(self._start, launch, name))

    def _work(self, actor: Actor, launch: Launch, name: str) -> None:
        """A Dagster run: red when a batch could not be finished."""
        gate, ended = self._gate(actor), RunState.SUCCEEDED
        try:
            for batch_id in launch.batches:
                try:
                    for table in tables_of(self.dataset):
                        gate.tables.ensure(table)
                    told = ingest_batch(gate, _READER, self.dataset, batch_id, actor.name)
                except LakegateError as error:
                    self.engine.tell(actor.name, f"stops at {self.names.batch(batch_id)}: {type(error).__name__}")
                    ended = RunState.FAILED
                else:
                    said = "done" if isinstance(told, BatchReport) else told.reason.split("Z")[0]
                    self.engine.tell(actor.name, f"{self.names.batch(batch_id)}: {said}")
        except Stopped:
            crash = actor.death
            if crash is not None and crash.noticed_after_s is not None:
                notice = partial(self._notice, launch, name, crash.retried)
                self.engine.at(self.engine.now_s + crash.noticed_after_s, notice)
            raise
        self.runs[launch.run_key] = ended

    def _notice(self, launch: Launch, name: str, retried: bool) -> None:
        if self.runs[launch.run_key] is not RunState.STARTED:
            return
        if retried:
            self.engine.tell("Dagster", "notices the death of a run and starts it again")
            self._start(launch, name)
        else:
            self.engine.tell("Dagster", "notices the death of a run")
            self.runs[launch.run_key] = RunState.FAILED

    # ---- operators

    def _backfill(self, actor: Actor) -> None:
        gate, run_key = self._gate(actor), actor.name
        self.engine.tell(actor.name, "asks for both days again")
        self._begin(run_key)
        try:
            days = sorted({event_day(version.landed_at) for version in self.producer.versions})
            for table in tables_of(self.dataset):
                gate.tables.ensure(table)
            for batch in take_days(gate, self.dataset, days, run_key).batches():
                ingest_batch(gate, _READER, self.dataset, batch.batch_id, run_key)
        except LakegateError as error:
            self.engine.tell(actor.name, f"stops: {type(error).__name__}")
            self.runs[run_key] = RunState.FAILED
        else:
            self.runs[run_key] = RunState.SUCCEEDED

    def _sweep(self, actor: Actor) -> None:
        try:
            sweep(self._gate(actor), pause=lambda _: self.engine.pause(actor, _PAUSE_S))
        except LakegateError as error:
            self.engine.tell(actor.name, f"stops: {type(error).__name__}")

    def _compact(self, actor: Actor, reading_s: float) -> None:
        """A Dagster run of upkeep: what it did and left undone is seen in the tables, and nobody starts it again."""
        tables = [table for table in tables_of(self.dataset) if self.tables.has(table)]
        gate = self._gate(actor)
        slow = SteppedTables(self.engine, actor, self.tables, self.names, reading_s)
        try:
            done = compact_tables(replace(gate, tables=slow), tables)
        except LakegateError as error:
            self.compactions["stopped"] += 1
            self.engine.tell(actor.name, f"stops: {type(error).__name__}")
            return
        except Stopped:
            self.compactions["died"] += actor.death is not None
            raise
        for one in done:
            if one.note:
                raise Violated("compaction", one.note)
            self.compactions["done"] += one.report.partitions
            self.compactions["gave way"] += len(one.report.gave_way)
            self.engine.tell(actor.name, f"{one.table}: {one.report.sentence()}")


class _Heartbeat(Heartbeat):
    """Renews by the simulated clock; stands still with its process, and beats a moment after that wakes up."""

    def __init__(self, engine: Engine, actor: Actor, ledger: Ledger, claim: Claim) -> None:
        super().__init__(ledger, claim)
        self._engine, self._actor = engine, actor
        self._entered = False

    def _later(self, seconds: float) -> None:
        self._engine.at(self._engine.now_s + seconds, self._due, idle=True)

    def _due(self) -> None:
        if not self._entered or self._actor.dead or self._actor.ended:
            return
        if self._actor.stopped:
            self._actor.on_waking.append(lambda: self._later(0.3))
        elif self.beat():
            self._later(_BEAT_S)

    def __enter__(self) -> "_Heartbeat":
        self._entered = True
        self._later(_BEAT_S)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._entered = False
