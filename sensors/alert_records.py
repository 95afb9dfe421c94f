"""What Dagster's own records show to be wrong: runs that failed, blocking checks, what the last sweep found.

The latest evaluation of a check and the log of a run have no public call on the instance (`@public` in Dagster 1.13): the two
lines that ask for them are here and nowhere else. Everything is bounded: runs by number and time, checks by their number.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.operations import BALANCE_SHEET, LANDING_SWEEP
from assets.run_tags import DATASET_TAG
from pipelines.alerting.conditions import (
    MOST_ITEMS,
    Condition,
    Item,
    Kind,
    Look,
    Severity,
    counted,
    short,
    without_account,
)
from pipelines.alerting.looking import FIRST_LOOK_BACK, LAG
from pipelines.alerting.memory import Memory
from pipelines.contracts.model import Dataset
from pipelines.links import Links

__all__ = ["RunReasons", "look_at_records"]

_MOST_RUNS = 50
_KEPT_REASONS = 500
_QUIET = timedelta(hours=1)
"""A job whose last failure is older, and of which a run succeeded since, is well again: files fail and succeed in turns."""
_INGEST = "ingest_"
_ERROR_CLASS = re.compile(r"\b([A-Z][A-Za-z]+(?:Error|Exception|Failure|Interrupt))\b")
_FAILED = (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE)
_BY_A_CHECK = "DagsterAssetCheckFailedError"
"""A run that a blocking check has ended: the check itself is told of."""
_REGISTERED, _REMOVED = "registered without an event", "deletions recorded without an event"


class RunReasons:
    """Why runs failed, remembered for as long as the process lives: a finished run does not change."""

    def __init__(self) -> None:
        """Knows of none yet."""
        self._known: dict[str, str] = {}

    def of(self, instance: dg.DagsterInstance, run_id: str) -> str:
        """The class of the error that ended a run."""
        if run_id not in self._known:
            if len(self._known) >= _KEPT_REASONS:
                self._known.clear()
            self._known[run_id] = _reason(instance, run_id)
        return self._known[run_id]


def look_at_records(
    instance: dg.DagsterInstance,
    datasets: Sequence[Dataset],
    blocking: Sequence[dg.AssetCheckKey],
    reasons: RunReasons,
    memory: Memory,
    links: Links,
    now: datetime,
) -> Look:
    """Everything that only Dagster knows. `blocking` are the checks that stop what is downstream."""
    owners = {dataset.name: dataset.owner for dataset in datasets}
    return (
        _failed_runs(instance, owners, reasons, memory, links, now)
        | _failed_checks(instance, owners, blocking, links)
        | _missing_events(instance, links)
    )


# ---- runs


def _failed_runs(
    instance: dg.DagsterInstance,
    owners: Mapping[str, str | None],
    reasons: RunReasons,
    memory: Memory,
    links: Links,
    now: datetime,
) -> Look:
    last = memory.looked_at - LAG if memory.looked_at else now - FIRST_LOOK_BACK
    since = min((k.since for k in memory.known.values() if k.kind is Kind.RUN_FAILURE), default=last)
    failed = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=min(since, last)),
        limit=_MOST_RUNS + 1,
        order_by="update_timestamp",
    )
    groups: dict[tuple[str | None, str, str], list[dg.RunRecord]] = {}
    for record in failed[:_MOST_RUNS]:
        run = record.dagster_run
        if (why := reasons.of(instance, run.run_id)) != _BY_A_CHECK:
            dataset = _dataset_of(run)
            groups.setdefault((dataset, "" if dataset else run.job_name, why), []).append(record)
    is_capped = len(failed) > _MOST_RUNS
    conditions: list[Condition] = []
    for (dataset, job, why), records in groups.items():
        newest = _ended(records[0])
        if newest < now - _QUIET and _succeeded_since(instance, dataset, job, newest):
            continue
        owner = owners.get(dataset or "")
        conditions.append(_run_failure(dataset, job, why, records, owner, links, is_capped=is_capped))
    return Look(tuple(conditions), frozenset({(Kind.RUN_FAILURE, None)}) if is_capped else frozenset())


def _dataset_of(run: dg.DagsterRun) -> str | None:
    """Whose files the run was to process; one from the UI that died before it began does not say."""
    said = run.tags.get(DATASET_TAG)
    return said or (run.job_name.removeprefix(_INGEST) if run.job_name.startswith(_INGEST) else None)


def _succeeded_since(instance: dg.DagsterInstance, dataset: str | None, job: str, moment: datetime) -> bool:
    succeeded = dg.RunsFilter(
        job_name=None if dataset else job,
        tags={DATASET_TAG: dataset} if dataset else {},
        statuses=[dg.DagsterRunStatus.SUCCESS],
        updated_after=moment,
    )
    return bool(instance.get_run_records(succeeded, limit=1))


def _run_failure(
    dataset: str | None,
    job: str,
    why: str,
    records: Sequence[dg.RunRecord],
    owner: str | None,
    links: Links,
    *,
    is_capped: bool,
) -> Condition:
    ingests = dataset is not None
    runs = counted(len(records), "run", is_capped=is_capped)
    return Condition(
        kind=Kind.RUN_FAILURE,
        dataset=dataset,
        reason=why if ingests else f"{job}: {why}",
        severity=Severity.WARNING if ingests else Severity.ERROR,
        headline=f"{runs} {'' if ingests else f'of {job} '}failed: {why}",
        happened="A fault of ours or of AWS, never of a file."
        + (" Nothing is lost: their files are due again by themselves, with back-off." if ingests else ""),
        todo="The run's page says what happened and what to do. "
        + (
            "If it goes on, the dataset is paused, or files are failed: both are told of as such."
            if ingests
            else f"Mend the cause, then start the job `{job}` again; its schedule does so too."
        ),
        since=_ended(records[-1]),
        count=len(records),
        is_capped=is_capped,
        newest=_ended(records[0]),
        owner=owner,
        items=tuple(
            Item(f"run {r.dagster_run.run_id}", url=links.run(r.dagster_run.run_id)) for r in records[:MOST_ITEMS]
        ),
        links={"docs on when aws misbehaves": links.page("operating.md", "when-aws-misbehaves")},
    )


def _ended(record: dg.RunRecord) -> datetime:
    at = record.end_time or record.update_timestamp.replace(tzinfo=UTC).timestamp()
    return datetime.fromtimestamp(at, UTC)


def _reason(instance: dg.DagsterInstance, run_id: str) -> str:
    """The error's class; of a failure that we raised ourselves, that of the fault it tells of."""
    for entry in instance.all_logs(run_id, of_type=set(_FAILED)):
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type is dg.DagsterEventType.STEP_FAILURE and (error := event.step_failure_data.error):
            while error.cause is not None:
                error = error.cause
            name = error.cls_name or "Error"
            told = _ERROR_CLASS.findall(error.message) if name == "Failure" else []
            return next((n for n in told if n != "Failure"), name)
        if event.event_type is dg.DagsterEventType.RUN_FAILURE:
            return short(without_account(event.message or "no reason given"), 80)
    return "no reason given"


# ---- checks and the sweep


def _failed_checks(
    instance: dg.DagsterInstance,
    owners: Mapping[str, str | None],
    blocking: Sequence[dg.AssetCheckKey],
    links: Links,
) -> Look:
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(blocking))
    conditions: list[Condition] = []
    unsure: set[tuple[Kind, str | None]] = set()
    for key in blocking:
        record = latest.get(key)
        event = record.event.dagster_event if record and record.event else None
        if record is None or event is None:
            continue
        is_sheet = key.asset_key == BALANCE_SHEET
        name = None if is_sheet else key.asset_key.path[-1]
        if event.event_type is not dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            unsure.add((Kind.BOOKS if is_sheet else Kind.CHECK_FAILED, name))  # it is being evaluated just now
            continue
        if event.asset_check_evaluation_data.passed:
            continue
        at = datetime.fromtimestamp(record.create_timestamp, UTC)
        pages = {"check": links.asset(key.asset_key.path, view="checks"), "run": links.run(record.run_id)}
        known = {label: address for label, address in pages.items() if address}
        told = event.asset_check_evaluation_data.description or ""
        conditions.append(_books(told, at, known, links) if is_sheet else _check(key, name, owners, at, known, links))
    return Look(tuple(conditions), frozenset(unsure))


def _books(told: str, at: datetime, known: Mapping[str, str], links: Links) -> Condition:
    return Condition(
        kind=Kind.BOOKS,
        dataset=None,
        reason="balance_sheet_adds_up",
        severity=Severity.CRITICAL,
        headline="the books do not add up",
        happened=short(without_account(told), 500) or "Ledger, bucket and tables do not agree.",
        todo="`lakegate status --prove` names every difference; the page says what each means and what to do.",
        since=at,
        newest=at,
        links={
            **known,
            "docs on the sweep and the balance sheet": links.page("operating.md", "the-sweep-and-the-balance-sheet"),
        },
    )


def _check(
    key: dg.AssetCheckKey,
    name: str | None,
    owners: Mapping[str, str | None],
    at: datetime,
    known: Mapping[str, str],
    links: Links,
) -> Condition:
    return Condition(
        kind=Kind.CHECK_FAILED,
        dataset=name,
        reason=key.name,
        severity=Severity.ERROR,
        headline=f"the blocking check {key.name} failed",
        happened="What is published stays as it is; assets downstream are not materialized by runs in which it fails.",
        todo="The check's page says what it found. Once that is mended, materialize again, or execute the check.",
        since=at,
        newest=at,
        owner=owners.get(name or ""),
        links={**known, "docs on Dagster": links.page("operating.md", "in-dagster")},
    )


def _missing_events(instance: dg.DagsterInstance, links: Links) -> Look:
    event = instance.get_latest_materialization_event(LANDING_SWEEP)
    swept = event.asset_materialization if event is not None else None
    if event is None or swept is None:
        return Look(())
    registered, removed = (_number(swept, name) for name in (_REGISTERED, _REMOVED))
    if not registered + removed:
        return Look(())
    at = datetime.fromtimestamp(event.timestamp, UTC)
    pages = {"sweep": links.asset(LANDING_SWEEP.path), "run": links.run(event.run_id) if event.run_id else None}
    return Look(
        (
            Condition(
                kind=Kind.MISSING_EVENTS,
                dataset=None,
                reason="sweep",
                severity=Severity.WARNING,
                headline=f"the sweep found {counted(registered, 'file')} and {counted(removed, 'deletion')} that no event had told of",
                happened="S3's notifications did not arrive: switched off, filtered, or the queue was purged. The sweep has registered what it "
                "found, and it is processed like any other file; what lands from now on may wait for the next sweep too.",
                todo="`lakegate doctor` follows the way from the landing bucket to the queue. Look at the dead letters, too; then "
                "`lakegate sweep`.",
                since=at,
                count=registered + removed,
                newest=at,
                links={label: address for label, address in pages.items() if address}
                | {"docs on the sweep": links.page("operating.md", "the-sweep-and-the-balance-sheet")},
            ),
        )
    )


def _number(swept: dg.AssetMaterialization, name: str) -> int:
    found = swept.metadata.get(name)
    return found.value if isinstance(found, dg.IntMetadataValue) and found.value else 0
