"""One look at all work: what became of planned batches, and which runs to request. Level-triggered, without a cursor.

It may be stopped anywhere and begun again: what it decided is in the ledger before anybody acts on it, and a run that was
requested and never made is requested again under the same key.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import assert_never

from pipelines.accounting.breaker import Breaker, Flow
from pipelines.accounting.entries import Batch, BatchRecord, Planned
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.states import LIVE_BATCH_STATES, FaultKind
from pipelines.contracts.model import Dataset
from pipelines.gate import Gate
from pipelines.intake.planning import (
    BatchLimits,
    FailRun,
    Leave,
    Offer,
    Release,
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


@dataclass(slots=True)
class Dispatch:
    """What one look came to.

    `waiting` batches are under way; `released` holds why each released batch was, and `taken_back` those a worker had begun; `abandoned` are runs (by run key) to be
    marked failed, with the reason: their batches are released already. `paused` are the datasets that plan nothing but a probe.
    """

    launches: list[Launch] = field(default_factory=list[Launch])
    waiting: int = 0
    released: list[str] = field(default_factory=list[str])
    taken_back: list[tuple[BatchRecord, str]] = field(default_factory=list[tuple[BatchRecord, str]])
    abandoned: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    adopted: int = 0
    paused: list[Breaker] = field(default_factory=list[Breaker])


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
    """Look at every batch that holds a slot, then plan what is due on days that are free; the runs to request now."""
    outcome = Dispatch(adopted=adopt_unrouted(ledger, datasets, event_day(clock())))
    live = {dataset.name: ledger.live_batches(dataset.name) for dataset in datasets}
    known = states(sorted({record.run_key for records in live.values() for record in records}))
    breakers = ledger.pauses.breakers([dataset.name for dataset in datasets])
    for dataset in datasets:
        offered, kept = _look(ledger, live[dataset.name], known, clock(), outcome)
        outcome.launches.extend(_again(offered))
        breaker = breakers[dataset.name]
        flow = breaker.flow(clock())
        if breaker.is_paused:
            outcome.paused.append(breaker)
        if flow is Flow.ALL:
            outcome.launches.extend(_anew(ledger, dataset, kept, max_days_per_run, limits, clock, tracer))
        elif flow is Flow.PROBE:
            outcome.launches.extend(_probe(ledger, dataset, kept, clock, tracer))
    return outcome


def _look(
    ledger: Ledger,
    records: Sequence[BatchRecord],
    known: Mapping[str, RunState],
    now: datetime,
    outcome: Dispatch,
) -> tuple[list[BatchRecord], set[date]]:
    """Decide about each batch; those to offer again, and the days that stay busy."""
    offered: list[BatchRecord] = []
    busy: set[date] = set()
    for record in records:
        run = known.get(record.run_key)
        decision = decide(record, run, now, _alive_until(ledger, record, run, now), ledger.lease_s)
        match decision:
            case Offer():
                offered.append(record)
                busy.add(record.landing_day)
            case Leave():
                outcome.waiting += 1
                busy.add(record.landing_day)
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
    return offered, busy


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


def _again(offered: Iterable[BatchRecord]) -> list[Launch]:
    runs: dict[str, list[BatchRecord]] = {}
    for record in offered:
        runs.setdefault(record.run_key, []).append(record)
    return [_launch(key, batches) for key, batches in runs.items()]


def _anew(
    ledger: Ledger,
    dataset: Dataset,
    busy: Collection[date],
    max_days_per_run: int,
    limits: BatchLimits | None,
    clock: Clock,
    tracer: Tracer,
) -> list[Launch]:
    began = clock()
    due = ledger.due(dataset.name, busy=busy)
    launches: list[Launch] = []
    for group in group_into_runs(plan_batches(due, busy, ledger.new_id, limits), max_days_per_run):
        planned = [batch for batch in group if _is_planned(ledger, batch)]
        for batch in planned:
            tell_planned(tracer, clock, batch, due, began)
        if planned:
            launches.append(_launch(planned[0].run_key, planned))
    return launches


def _probe(ledger: Ledger, dataset: Dataset, busy: Collection[date], clock: Clock, tracer: Tracer) -> list[Launch]:
    """One file of a paused dataset, the least suspected: what becomes of it says whether the dataset can go on."""
    began = clock()
    due = ledger.due(dataset.name, busy=busy)
    batch = next(iter(plan_batches(due, busy, ledger.new_id, BatchLimits(max_files=1))), None)
    if batch is None or ledger.pauses.probe(dataset.name, batch.batch_id) is None:
        return []
    (group,) = group_into_runs([batch])
    if not _is_planned(ledger, group[0]):
        return []
    tell_planned(tracer, clock, group[0], due, began)
    return [_launch(group[0].run_key, group)]


def _is_planned(ledger: Ledger, batch: Batch) -> bool:
    """Plan a batch; whether there is anything in it to run for."""
    outcome = ledger.plan(batch)
    if isinstance(outcome, Planned) and outcome.members == 0:
        # The index of due versions may lag behind: all of them were taken meanwhile, and a run would cost seconds.
        ledger.release(batch.batch_id, "its files were taken meanwhile", burn=False)
        return False
    return isinstance(outcome, Planned)


def _launch(run_key: str, batches: Sequence[Batch] | Sequence[BatchRecord]) -> Launch:
    ordered = sorted(batches, key=lambda b: b.landing_day)
    return Launch(
        run_key,
        ordered[0].dataset,
        ordered[0].trigger.value,
        tuple(b.batch_id for b in ordered),
        tuple(b.landing_day for b in ordered),
    )
