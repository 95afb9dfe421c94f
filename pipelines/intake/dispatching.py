"""One look at all work: what became of planned batches, and which runs to request. Level-triggered, without a cursor.

It may be stopped anywhere and begun again: what it decided is in the ledger before anybody acts on it, and a run that was
requested and never made is requested again under the same key.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import assert_never

from pipelines.accounting.breaker import Breaker, Flow
from pipelines.accounting.entries import Batch, BatchRecord, LedgerEntry, Planned
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.states import LIVE_BATCH_STATES, FaultKind, Lane
from pipelines.accounting.waiting import Look, Waiting
from pipelines.contracts.model import Dataset
from pipelines.gate import Gate
from pipelines.intake.lanes import (
    LaneLimits,
    by_turn,
    may_go_now,
    newest_first,
    reasons_to_wait,
    shared_out,
    underway,
)
from pipelines.intake.planning import (
    BatchLimits,
    FailRun,
    Leave,
    Offer,
    Release,
    RunLimits,
    RunState,
    decide,
    group_into_runs,
    plan_batches,
)
from pipelines.intake.receiving import adopt_unrouted
from pipelines.intake.routing import event_day
from pipelines.lineage.news import tell_abandoned
from pipelines.ports import Clock
from pipelines.telemetry.planned import tell_planned, tell_taken_back
from pipelines.telemetry.tracing import NO_TRACER, Tracer

__all__ = ["Dispatch", "Launch", "RunState", "RunStates", "dispatch", "dispatch_from"]

_PLANNING = timedelta(seconds=15)
"""How long a look goes on planning: Dagster gives an evaluation 60 seconds, and what is planned waits for its end."""
_LANE = LaneLimits()

RunStates = Callable[[Sequence[str]], Mapping[str, RunState]]
"""The state of the run of each run key; keys without a run are left out."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A run to request: the same `run_key` as before when it was requested before. Days are in order."""

    run_key: str
    dataset: str
    trigger: str
    batches: tuple[str, ...]
    days: tuple[date, ...]
    lane: Lane = Lane.BACKLOG
    priority: int = 0


@dataclass(slots=True)
class Dispatch:
    """What one look came to.

    `waiting` batches are under way; `released` holds why each released batch was, and `taken_back` those a worker had begun; `abandoned` are runs (by run key) to be
    marked failed, with the reason: their batches are released already. `paused` are the datasets that plan nothing but a probe;
    `deferred` holds, by dataset, how many files were found that have to wait for other hours from now on.
    """

    launches: list[Launch] = field(default_factory=list[Launch])
    waiting: int = 0
    released: list[str] = field(default_factory=list[str])
    taken_back: list[tuple[BatchRecord, str]] = field(default_factory=list[tuple[BatchRecord, str]])
    abandoned: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    adopted: int = 0
    paused: list[Breaker] = field(default_factory=list[Breaker])
    deferred: dict[str, int] = field(default_factory=dict[str, int])


def dispatch(
    gate: Gate, states: RunStates, *, max_days_per_run: int = 31, limits: BatchLimits | None = None
) -> Dispatch:
    """`dispatch_from` the gate's own ledger and datasets."""
    datasets = gate.datasets.datasets
    outcome = dispatch_from(
        gate.ledger,
        datasets,
        gate.clock,
        states,
        max_days_per_run=max_days_per_run,
        limits=limits,
        tracer=gate.tracer,
    )
    tell_taken_back(gate.tracer, gate.clock, outcome.taken_back)
    if gate.lineage is not None:
        tell_abandoned(gate.lineage, gate.clock, datasets, outcome.taken_back)
    return outcome


def dispatch_from(
    ledger: Ledger,
    datasets: Sequence[Dataset],
    clock: Clock,
    states: RunStates,
    *,
    max_days_per_run: int = 31,
    limits: BatchLimits | None = None,
    tracer: Tracer = NO_TRACER,
) -> Dispatch:
    """Look at every batch that holds a slot, then plan what is due: fresh files of every dataset first; the runs to request now."""
    outcome = Dispatch(adopted=adopt_unrouted(ledger, datasets, event_day(clock())))
    live = {dataset.name: ledger.live_batches(dataset.name) for dataset in datasets}
    known = states(sorted({record.run_key for records in live.values() for record in records}))
    breakers = ledger.pauses.breakers([dataset.name for dataset in datasets])
    planners: dict[str, _Planner] = {}
    for dataset in datasets:
        offered, kept = _look(ledger, live[dataset.name], known, clock(), outcome)
        outcome.launches.extend(_again(offered, dataset))
        breaker = breakers[dataset.name]
        flow = breaker.flow(clock())
        if breaker.is_paused:
            outcome.paused.append(breaker)
        if flow is Flow.ALL:
            run_limits = RunLimits(max_days=max_days_per_run)
            planners[dataset.name] = _Planner(ledger, dataset, kept, limits or BatchLimits(), run_limits, clock, tracer)
        elif flow is Flow.PROBE:
            outcome.launches.extend(_probe(ledger, dataset, kept, clock, tracer))
    ends = clock() + _PLANNING
    priorities = {dataset.name: dataset.work.priority for dataset in datasets}
    for lanes in ((Lane.FRESH,), (Lane.ASKED, Lane.BACKLOG)):
        busy = [name for name, planner in planners.items() if any(planner.underway[lane].runs for lane in lanes)]
        for name in by_turn(list(planners), busy, priorities, clock()):
            # What there is no time for goes first in the next look, which is seconds away.
            if clock() < ends:
                outcome.launches.extend(planners[name].launches(lanes))
    outcome.deferred = {name: planner.deferred for name, planner in planners.items() if planner.deferred}
    return outcome


def _look(
    ledger: Ledger,
    records: Sequence[BatchRecord],
    known: Mapping[str, RunState],
    now: datetime,
    outcome: Dispatch,
) -> tuple[list[BatchRecord], list[BatchRecord]]:
    """Decide about each batch; those to offer again, and all that stay."""
    offered: list[BatchRecord] = []
    kept: list[BatchRecord] = []
    for record in records:
        run = known.get(record.run_key)
        decision = decide(record, run, now, _alive_until(ledger, record, run, now), ledger.lease_s)
        match decision:
            case Offer():
                offered.append(record)
                kept.append(record)
            case Leave():
                outcome.waiting += 1
                kept.append(record)
            case Release():
                if _release(ledger, record, decision.reason, burn=decision.burn):
                    _note(outcome, record, decision.reason)
            case FailRun():
                # Released first: should the caller die before it fails the run, the run stays what it is, dead and fenced off.
                _release(ledger, record, decision.reason, burn=True)
                _note(outcome, record, decision.reason)
                if (record.run_key, decision.reason) not in outcome.abandoned:
                    outcome.abandoned.append((record.run_key, decision.reason))
            case _ as never:
                assert_never(never)
    return offered, kept


def _note(outcome: Dispatch, record: BatchRecord, reason: str) -> None:
    outcome.released.append(reason)
    if record.owner is not None and record.state in LIVE_BATCH_STATES:
        outcome.taken_back.append((record, reason))


def _release(ledger: Ledger, record: BatchRecord, reason: str, *, burn: bool) -> bool:
    """Give a batch back that its run left; what nobody ever claimed did not do its run any harm."""
    fault = FaultKind.DEATH if record.owner else FaultKind.PASSING
    released = ledger.release(record.batch_id, reason, burn=burn, fault=fault)
    if released and burn:
        ledger.pauses.fault(record.dataset, "RunFailed", reason, record.batch_id)
    return released


def _alive_until(ledger: Ledger, record: BatchRecord, run: RunState | None, now: datetime) -> datetime | None:
    """The last sign of life of the batch's run, on any of its batches; looked up only where it decides something."""
    lapsed = record.lease_until is not None and record.lease_until <= now
    unclaimed = record.lease_until is None and run is RunState.LINGERING
    if run not in (RunState.STARTED, RunState.LINGERING) or not (lapsed or unclaimed):
        return None
    claimed = [batch for batch in ledger.batches_of_run(record.run_key) if batch.epoch]
    leases = [batch.lease_until for batch in claimed if batch.lease_until is not None]
    return max(leases, default=now if claimed else None)


def _again(offered: Iterable[BatchRecord], dataset: Dataset) -> list[Launch]:
    runs: dict[str, list[BatchRecord]] = {}
    for record in offered:
        runs.setdefault(record.run_key, []).append(record)
    return [_launch(key, batches, dataset) for key, batches in runs.items()]


class _Planner:
    """Plans what is due of one dataset, a lane at a time, as far as the lane has room."""

    def __init__(
        self,
        ledger: Ledger,
        dataset: Dataset,
        kept: Sequence[BatchRecord],
        limits: BatchLimits,
        run_limits: RunLimits,
        clock: Clock,
        tracer: Tracer,
    ) -> None:
        self.underway, self._busy = underway(kept)
        self.deferred = 0
        self._ledger = ledger
        self._dataset = dataset
        self._limits = limits
        self._run_limits = run_limits
        self._clock = clock
        self._tracer = tracer
        self._seen: Waiting | None = None

    def launches(self, lanes: Sequence[Lane]) -> list[Launch]:
        """Plan what waits in these lanes; the runs to request."""
        open_ = [lane for lane in lanes if self.underway[lane].leaves_room(_LANE)]
        if not open_:
            return []
        began = self._clock()
        found = self._look(frozenset(open_), began)
        launches: list[Launch] = []
        for lane in open_:
            entries = found.lanes[lane]
            if lane is Lane.FRESH:
                entries, left = shared_out(entries, self._limits.max_files)
                found.lanes[Lane.BACKLOG] += left
            launches += self._plan(lane, entries, began)
        return launches

    def _look(self, lanes: frozenset[Lane], now: datetime) -> Waiting:
        if self._seen is None or not self._seen.is_all:
            work = self._dataset.work
            open_now = may_go_now(work.defer, now)
            look = Look(now - work.fresh, self._busy, lanes, _LANE.files, self._limits.max_files, deferred=open_now)
            left = self._seen.lanes[Lane.BACKLOG] if self._seen is not None else []
            self._seen = self._ledger.waiting(self._dataset.name, look)
            for lane, entries in self._seen.lanes.items():
                self._seen.lanes[lane] = self._without_deferred(entries, now)
            known = {entry.ref for entry in self._seen.lanes[Lane.BACKLOG]}
            self._seen.lanes[Lane.BACKLOG] += [entry for entry in left if entry.ref not in known]
        return self._seen

    def _without_deferred(self, entries: Sequence[LedgerEntry], now: datetime) -> list[LedgerEntry]:
        reasons = reasons_to_wait(self._dataset.work.defer, entries, now)
        if reasons:
            self.deferred += self._ledger.defer(reasons)
        return [entry for entry in entries if entry.ref not in reasons]

    def _plan(self, lane: Lane, entries: list[LedgerEntry], began: datetime) -> list[Launch]:
        ledger, busy = self._ledger, self._busy
        batches = plan_batches(entries, busy[lane], ledger.new_id, self._limits, lane=lane)
        groups: Sequence[Sequence[Batch]] = group_into_runs(batches, self._run_limits)
        if lane is Lane.FRESH:
            groups = newest_first(groups, entries)
        launches: list[Launch] = []
        for group in groups:
            if not self.underway[lane].leaves_room(_LANE):
                break
            planned = [batch for batch in group if _is_planned(ledger, batch)]
            for batch in planned:
                tell_planned(self._tracer, self._clock, batch, entries, began)
            if planned:
                self.underway[lane].add(planned)
                for other in (lane,) if lane is Lane.FRESH else (Lane.ASKED, Lane.BACKLOG):
                    busy[other].update(batch.landing_day for batch in planned)
                launches.append(_launch(planned[0].run_key, planned, self._dataset))
        return launches


def _probe(ledger: Ledger, dataset: Dataset, kept: Sequence[BatchRecord], clock: Clock, tracer: Tracer) -> list[Launch]:
    """One file of a paused dataset, the least suspected: what becomes of it says whether the dataset can go on."""
    began = clock()
    _, busy = underway(kept)
    defer = dataset.work.defer
    look = Look(began - dataset.work.fresh, busy, most=_LANE.files, deferred=may_go_now(defer, began))
    due = [entry for entries in ledger.waiting(dataset.name, look).lanes.values() for entry in entries]
    waits = reasons_to_wait(defer, due, began)
    due = [entry for entry in due if entry.ref not in waits]
    batch = next(iter(plan_batches(due, busy[Lane.BACKLOG], ledger.new_id, BatchLimits(max_files=1))), None)
    if batch is None or ledger.pauses.probe(dataset.name, batch.batch_id) is None:
        return []
    (group,) = group_into_runs([batch])
    if not _is_planned(ledger, group[0]):
        return []
    tell_planned(tracer, clock, group[0], due, began)
    return [_launch(group[0].run_key, group, dataset)]


def _is_planned(ledger: Ledger, batch: Batch) -> bool:
    """Plan a batch; whether there is anything in it to run for."""
    outcome = ledger.plan(batch)
    if isinstance(outcome, Planned) and outcome.members == 0:
        # The index of due versions may lag behind: all of them were taken meanwhile, and a run would cost seconds.
        ledger.release(batch.batch_id, "its files were taken meanwhile", burn=False)
        return False
    return isinstance(outcome, Planned)


def _launch(run_key: str, batches: Sequence[Batch] | Sequence[BatchRecord], dataset: Dataset) -> Launch:
    ordered = sorted(batches, key=lambda b: b.landing_day)
    return Launch(
        run_key,
        ordered[0].dataset,
        ordered[0].trigger.value,
        tuple(b.batch_id for b in ordered),
        tuple(b.landing_day for b in ordered),
        ordered[0].lane or Lane.BACKLOG,
        dataset.work.priority,
    )
