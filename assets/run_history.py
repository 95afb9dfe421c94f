"""Which runs Dagster's books may forget: old ones that nothing on its pages stands on any more.

Removing a run removes what it says of assets. So a run stays, however old, while it is the newest word on anything: the newest
materialization or observation of a partition, the last attempt at one (which is what “failed” on a page means), the newest answer of a
check. It also stays while a backfill at work counts its runs, and while a run that was started from it is there, whose page leads to it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.keys import counted
from assets.run_books import answered_by, attempted_last, backfill_is_over, remove_runs, touched_by

__all__ = ["BUDGET_S", "Pruned", "RunRetention", "prune_runs"]

BUDGET_S = 600.0
"""How long one look takes at most; what it does not come to is the next one's."""
_PAGE = 200
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_WORDS = (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_OBSERVATION)


@dataclass(frozen=True, slots=True)
class RunRetention:
    """How long after its end a run is kept at least; `failed` is for those that failed, `others` for succeeded and cancelled ones."""

    others: timedelta = timedelta(days=30)
    failed: timedelta = timedelta(days=90)

    def of(self, status: dg.DagsterRunStatus) -> timedelta:
        """For a run that ended so."""
        return self.failed if status is dg.DagsterRunStatus.FAILURE else self.others


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one look came to. `kept`: old enough, but the newest word on something. `resume_after`: where the next look goes on; None: from
    the oldest run, because this one came to the end."""

    removed: int = 0
    removed_failed: int = 0
    kept: int = 0
    resume_after: datetime | None = None

    def sentence(self) -> str:
        """What a person reads."""
        failed = f", {self.removed_failed:,} of them failed" if self.removed_failed else ""
        kept = f"; {counted(self.kept, 'old run')} kept as the newest of a partition or check" if self.kept else ""
        more = "" if self.resume_after is None else "; time was up, the next look goes on from here"
        return f"removed {counted(self.removed, 'run')}{failed}{kept}{more}"


def prune_runs(
    instance: dg.DagsterInstance,
    retention: RunRetention,
    now: datetime,
    resume_after: datetime | None = None,
    budget_s: float = BUDGET_S,
    monotonic: Callable[[], float] = time.monotonic,
) -> Pruned:
    """Remove runs that ended longer ago than `retention` and that nothing stands on; oldest first, in pages, for `budget_s` at most.

    Safe at any time, twice at once, and killed at any point: what makes a run superfluous never becomes undone.
    """
    until = monotonic() + budget_s
    before = now - min(retention.others, retention.failed)
    found, cursor = Pruned(), None
    while True:
        records = instance.get_run_records(
            dg.RunsFilter(statuses=_FINISHED, updated_before=before, created_after=resume_after),
            limit=_PAGE,
            ascending=True,
            cursor=cursor,
        )
        if not records:
            return found
        old = [r for r in records if _ended(r) < now - retention.of(r.dagster_run.status)]
        superfluous = _superfluous(instance, old)
        remove_runs(instance, [record.dagster_run.run_id for record in superfluous])
        found = replace(
            found,
            removed=found.removed + len(superfluous),
            removed_failed=found.removed_failed
            + sum(r.dagster_run.status is dg.DagsterRunStatus.FAILURE for r in superfluous),
            kept=found.kept + len(old) - len(superfluous),
        )
        if len(records) < _PAGE:
            return found
        if monotonic() > until:
            return replace(found, resume_after=records[-1].create_timestamp.replace(tzinfo=UTC))
        # A cursor is a run that is still there: what was removed is on no page any more.
        gone = {record.dagster_run.run_id for record in superfluous}
        left = [record.dagster_run.run_id for record in records if record.dagster_run.run_id not in gone]
        cursor = left[-1] if left else cursor


def _ended(record: dg.RunRecord) -> datetime:
    if record.end_time is not None:
        return datetime.fromtimestamp(record.end_time, UTC)
    return record.update_timestamp.replace(tzinfo=UTC)


def _superfluous(instance: dg.DagsterInstance, records: Sequence[dg.RunRecord]) -> list[dg.RunRecord]:
    newest: dict[tuple[dg.DagsterEventType, dg.AssetKey, str | None], str | None] = {}

    def is_newest(run_id: str, event: dg.DagsterEventType) -> bool:
        for asset, partition in touched_by(instance, run_id, event):
            word = (event, asset, partition)
            if word not in newest:
                newest[word] = _newest(instance, *word)
            if newest[word] == run_id:
                return True
        return False

    def is_needed(run: dg.DagsterRun) -> bool:
        run_id = run.run_id
        if any(is_newest(run_id, event) for event in _WORDS) or any(answered_by(instance, run_id)):
            return True
        if run.status is dg.DagsterRunStatus.FAILURE and any(
            attempted_last(instance, asset, partition) == run_id
            for asset, partition in touched_by(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
        ):
            return True
        backfill = run.tags.get("dagster/backfill")
        if backfill is not None and not backfill_is_over(instance, backfill):
            return True
        return instance.get_runs_count(dg.RunsFilter(tags={"dagster/root_run_id": run_id})) > 0

    return [record for record in records if not is_needed(record.dagster_run)]


def _newest(
    instance: dg.DagsterInstance, event: dg.DagsterEventType, asset: dg.AssetKey, partition: str | None
) -> str | None:
    """The run of the newest event of this kind about the asset's partition; without a partition, about the asset."""
    which = asset if partition is None else dg.AssetRecordsFilter(asset, asset_partitions=[partition])
    fetch = (
        instance.fetch_materializations
        if event is dg.DagsterEventType.ASSET_MATERIALIZATION
        else instance.fetch_observations
    )
    records = fetch(which, limit=1).records
    return records[0].run_id if records else None
