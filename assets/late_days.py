"""Days that Dagster calls failed although their files were loaded: found here, and told of after all.

A run tells of its days when it ends. One that was killed tells of none, though the ledger may have settled some of them, and
though later batches may have settled the others in runs that were not asked for these days. Which run was to tell of a day last,
Dagster's public interface does not say: `get_latest_planned_materialization_info` is the call its own pages make.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from assets.keys import LAUNCH_TAG, counted, table_key
from assets.neighbours import landing_partitions
from pipelines.accounting.day_counts import DayCounts
from pipelines.accounting.entries import BatchRecord
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.states import BatchState, Outcome
from pipelines.contracts.model import Dataset

__all__ = ["late_materializations", "runs_failed_lately"]

_LATELY = timedelta(days=7)
_DAYS_AT_ONCE = 50


def runs_failed_lately(instance: dg.DagsterInstance, now: datetime) -> bool:
    """Whether any run failed or was canceled in the last seven days: else there is no day to look for."""
    statuses = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    return bool(instance.get_run_records(dg.RunsFilter(statuses=statuses, updated_after=now - _LATELY), limit=1))


def late_materializations(
    instance: dg.DagsterInstance, ledger: Ledger, dataset: Dataset, now: datetime
) -> list[dg.AssetMaterialization]:
    """What to tell of failed days all of whose files are settled since: at most fifty days are looked at, others the next time."""
    days = _some(_failed_days(instance, dataset, now), now)
    if not days:
        return []
    counts = {day.landing_day: day for day in ledger.counts(dataset.name, since=days[0])}
    told: list[dg.AssetMaterialization] = []
    for day in days:
        counted_day = counts.get(day)
        if counted_day is None or _waits(counted_day):
            continue
        settled = _settled_since(instance, ledger, dataset, day)
        if settled is not None:
            told.append(_materialization(dataset, counted_day, *settled))
    return told


def _failed_days(instance: dg.DagsterInstance, dataset: Dataset, now: datetime) -> list[date]:
    partitions = landing_partitions(dataset)
    keys = partitions.get_partition_keys(current_time=now.astimezone(UTC))
    found = instance.get_status_by_partition(table_key(dataset), keys, partitions) or {}
    return [date.fromisoformat(key) for key, status in found.items() if status is not None and status.value == "FAILED"]


def _some(days: Sequence[date], now: datetime) -> list[date]:
    """Fifty of the days, others each minute: those that rightly stay failed must not hide the rest."""
    if len(days) <= _DAYS_AT_ONCE:
        return sorted(days)
    start = int(now.timestamp() // 60) * _DAYS_AT_ONCE % len(days)
    turned = [*days[start:], *days[:start]]
    return sorted(turned[:_DAYS_AT_ONCE])


def _waits(counts: DayCounts) -> bool:
    return bool(counts.outcomes.get(Outcome.PENDING, 0) or counts.outcomes.get(Outcome.FAILED, 0))


def _settled_since(
    instance: dg.DagsterInstance, ledger: Ledger, dataset: Dataset, day: date
) -> tuple[str, BatchRecord] | None:
    """The run that owes the news of a day, and the last batch that was done in it or since; None where there is none."""
    planned = instance.get_latest_planned_materialization_info(table_key(dataset), partition=day.isoformat())
    record = instance.get_run_record_by_id(planned.run_id) if planned is not None else None
    if record is None:
        return None
    run = record.dagster_run
    done = [
        batch
        for batch in ledger.batches_of_day(dataset.name, day)
        if batch.state is BatchState.DONE
        and (
            batch.owner == run.run_id
            or batch.run_key in (run.run_id, run.tags.get(LAUNCH_TAG))
            or batch.created_at >= record.create_timestamp
        )
    ]
    return (run.run_id, done[-1]) if done else None


def _materialization(dataset: Dataset, counts: DayCounts, run_id: str, batch: BatchRecord) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        table_key(dataset),
        partition=counts.landing_day.isoformat(),
        description=f"The run {run_id[:8]} ended before it could tell of this day. Its {counted(counts.objects, 'file')} are settled: told from the ledger.",
        metadata=dict(_metadata(counts, batch)),
    )


def _metadata(counts: DayCounts, batch: BatchRecord) -> Iterator[tuple[str, dg.MetadataValue]]:
    yield "dagster/partition_row_count", dg.MetadataValue.int(counts.rows_in_table)
    yield "files", dg.MetadataValue.int(counts.objects)
    yield "files loaded", dg.MetadataValue.int(counts.outcomes.get(Outcome.LOADED, 0))
    yield "files quarantined", dg.MetadataValue.int(counts.outcomes.get(Outcome.QUARANTINED, 0))
    yield "batches", dg.MetadataValue.text(batch.batch_id)
