"""The landing sensor: hears of files, plans batches, requests runs. A thin shell; every decision is made in the core.

A tick is level-triggered and reads no cursor: receive -> register in the ledger -> delete the messages -> look at every
open batch and its run -> plan new batches -> request one run for each group of them. Whatever step a crash hits, the
next tick does the rest (DAGSTER.md, "How a tick works"). Dagster resolves annotations here: none from the future.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from assets.keys import LAUNCH_TAG, counted, pool_of
from assets.neighbours import landing_partitions
from assets.run_tags import days_tag, tags_of_launch
from assets.tables import MAX_DAYS_PER_RUN
from pipelines.contracts.model import Dataset
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.intake.dispatching import Dispatch, Launch, RunState, dispatch
from pipelines.intake.receiving import IntakeReport, receive
from pipelines.telemetry.standing import standing
from sensors.pools import set_pool_limits
from sensors.ticking import ticking

__all__ = ["build_landing_sensor", "run_states", "sentence"]

_IDLE_TICK_S = 19.3
"""How long a tick with nothing to do takes, waiting for the first message: it ends with it, so an idle queue costs two calls a tick. The
daemon looks every five seconds whether a tick is over: one that ends a little before is followed at once, one that ends
after leaves nobody listening for nearly five seconds."""
_SHORT_POLL_S = 3.0
"""The same while runs are under way: what they leave to do is to be seen soon after they end."""
_RECEIVE_BUDGET_S = 10.0
"""How long a tick goes on receiving: what it registered first waits so long to be planned."""
_BEGIN_S = 180.0
"""How long a run may take from its start to its first claim: it imports for seconds, on a busy machine for tens of them."""

_STANDING_EVERY_S = 60.0
"""How often it is measured how every dataset stands: a few short queries a dataset."""
_LAUNCHES_NAMED = 3

_STATES = {
    dg.DagsterRunStatus.NOT_STARTED: RunState.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED: RunState.WAITING,
    dg.DagsterRunStatus.STARTING: RunState.WAITING,
    dg.DagsterRunStatus.MANAGED: RunState.WAITING,
    dg.DagsterRunStatus.STARTED: RunState.STARTED,
    dg.DagsterRunStatus.CANCELING: RunState.STARTED,
    dg.DagsterRunStatus.SUSPENDED: RunState.WAITING,
    dg.DagsterRunStatus.SUCCESS: RunState.SUCCEEDED,
    dg.DagsterRunStatus.FAILURE: RunState.FAILED,
    dg.DagsterRunStatus.CANCELED: RunState.FAILED,
}


def build_landing_sensor(datasets: Sequence[Dataset], jobs: Sequence[Any]) -> dg.SensorDefinition:
    """Make the one sensor of the queue: run keys count per sensor name, so there is one sensor a queue."""
    by_name = {dataset.name: dataset for dataset in datasets}
    standing_told_at = -math.inf

    @dg.sensor(
        name="landing_sensor",
        jobs=list(jobs),
        # The daemon looks every five seconds; with five here, a tick that was a hair too early waits for the one after.
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys={"gate"},
        description="Hears of files. Receives S3's notifications from the queue, registers every object version in the ledger, plans "
        "what is due into batches, and requests a run for each dataset and stretch of days; runs that died are found here, and their files "
        "planned again. Each tick says what it saw in the column Cursor, and in its log. Stopping it loses nothing: messages "
        "and the ledger wait.",
    )
    @ticking("landing_sensor")
    def landing_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        began = time.monotonic()
        gate: Gate = context.resources.gate.open()

        def look() -> Dispatch:
            return dispatch(gate, lambda keys: run_states(context.instance, keys), max_days_per_run=MAX_DAYS_PER_RUN)

        heard = receive(gate, wait_s=0, budget_s=_RECEIVE_BUDGET_S)
        outcome = look()
        if not (heard.received or outcome.launches or outcome.released):
            # SQS counts whole seconds.
            wait_s = _SHORT_POLL_S if outcome.waiting else math.floor(_IDLE_TICK_S - (time.monotonic() - began))
            heard = receive(gate, wait_s=wait_s, budget_s=_RECEIVE_BUDGET_S)
            if heard.received:
                outcome = look()
        for launch, reason in outcome.abandoned:
            _fail_runs(context.instance, launch, reason)
        requests = list(_requests(outcome.launches, by_name))
        if requests:
            set_pool_limits(context.instance, map(pool_of, datasets))
        told = sentence(heard, outcome)
        context.log.info(told)
        nonlocal standing_told_at
        if began - standing_told_at >= _STANDING_EVERY_S:
            standing_told_at = began
            _tell_standing(context, gate)
        # Beside run requests a tick has no place for words but its cursor, which the list of ticks and the head of the sensor's page
        # show. Nothing reads it back.
        if not requests:
            return dg.SensorResult(skip_reason=told, cursor=told)
        return dg.SensorResult(run_requests=requests, cursor=told)

    return landing_sensor


def _tell_standing(context: dg.SensorEvaluationContext, gate: Gate) -> None:
    """Measure how datasets stand. Where the ledger cannot be asked, that is said: what the tick has done, it has done."""
    try:
        gate.meter.tell(standing(gate))
    except LakegateError as error:
        context.log.warning(f"How datasets stand was not measured: {error}")


def sentence(heard: IntakeReport, outcome: Dispatch) -> str:
    """What the tick saw and did, in one sentence."""
    parts = [heard.sentence()]
    if outcome.adopted:
        parts.append(f"{counted(outcome.adopted, 'file')} that no dataset claimed until now")
    if outcome.launches:
        batches = sum(len(launch.batches) for launch in outcome.launches)
        named = [f"{launch.dataset} {days_tag(launch.days)}" for launch in outcome.launches[:_LAUNCHES_NAMED]]
        more = ", …" if len(outcome.launches) > _LAUNCHES_NAMED else ""
        parts.append(
            f"{counted(len(outcome.launches), 'run')} requested for {counted(batches, 'batch')} ({', '.join(named)}{more})"
        )
    if outcome.waiting:
        parts.append(f"{counted(outcome.waiting, 'batch')} under way")
    if outcome.released:
        reasons = ", ".join(sorted(set(outcome.released)))
        parts.append(f"{counted(len(outcome.released), 'batch')} released, to be tried again: {reasons}")
    for dataset, number in outcome.deferred.items():
        parts.append(f"{counted(number, 'file')} of {dataset} deferred (work.defer)")
    parts.extend(breaker.sentence() for breaker in outcome.paused)
    if len(parts) == 1 and not heard.received:
        return "no messages in the queue, and no file is due"
    return "; ".join(parts)


def run_states(instance: dg.DagsterInstance, launches: Iterable[str]) -> Mapping[str, RunState]:
    """The state of each launch's run. A launch re-executed by hand has several runs: the liveliest one counts.

    A run that nobody requested (a backfill, a click) plans its batches under its own id: it is found by that.
    """
    states: dict[str, RunState] = {}
    for launch, record in _runs(instance, launches):
        state = _STATES[record.dagster_run.status]
        if state is RunState.STARTED and record.start_time and time.time() - record.start_time > _BEGIN_S:
            state = RunState.LINGERING
        if launch not in states or state.liveliness > states[launch].liveliness:
            states[launch] = state
    return states


def _runs(instance: dg.DagsterInstance, launches: Iterable[str]) -> Iterator[tuple[str, dg.RunRecord]]:
    wanted = sorted(set(launches))
    for start in range(0, len(wanted), 200):
        some = wanted[start : start + 200]
        for record in instance.get_run_records(dg.RunsFilter(tags={LAUNCH_TAG: some})):
            yield record.dagster_run.tags[LAUNCH_TAG], record
        for record in instance.get_run_records(dg.RunsFilter(run_ids=some)):
            yield record.dagster_run.run_id, record


def _requests(launches: Sequence[Launch], datasets: Mapping[str, Dataset]) -> Iterable[dg.RunRequest]:
    for launch in launches:
        dataset = datasets.get(launch.dataset)
        if dataset is None:
            continue  # its file is newer than the loaded definitions: it is offered again when they are reloaded
        partitions = landing_partitions(dataset)
        keys = [day.isoformat() for day in launch.days]
        # One run request with an unknown partition key would fail the whole tick, for every dataset, every time.
        # Routing has quarantined such files already; this is the last look.
        if not all(partitions.has_partition_key(key) for key in (keys[0], keys[-1])):
            continue
        tags = tags_of_launch(launch)
        if len(keys) == 1:
            yield dg.RunRequest(
                run_key=launch.run_key, job_name=f"ingest_{dataset.name}", partition_key=keys[0], tags=tags
            )
        else:
            tags |= {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
            yield dg.RunRequest(run_key=launch.run_key, job_name=f"ingest_{dataset.name}", tags=tags)


def _fail_runs(instance: dg.DagsterInstance, launch: str, reason: str) -> None:
    for _, record in _runs(instance, [launch]):
        if not record.dagster_run.is_finished:
            instance.report_run_failed(record.dagster_run, message=reason)
