"""What Dagster's books hold of a run, and how all of it is taken away.

The one module that knows more of them than Dagster's public API says. `DagsterInstance.delete_run` is not enough: it leaves what the run
printed, its check results, with SQLite its tags and a file of its own, empty but 170 kB large; and killed half-way it leaves events
that no run leads to any more.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import dagster as dg
import sqlalchemy
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunTagsTable

__all__ = ["Touched", "answered_by", "attempted_last", "backfill_is_over", "remove_runs", "touched_by"]

Touched = tuple[dg.AssetKey, str | None]
"""An asset and the partition of it; None where it has none."""


def touched_by(instance: dg.DagsterInstance, run_id: str, event: dg.DagsterEventType) -> Iterator[Touched]:
    """What the run has events of this kind about; told from columns, no event is read."""
    for asset, partitions in instance.get_asset_partitions_for_run(run_id, event).items():
        yield from ((asset, partition) for partition in partitions)


def attempted_last(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str | None) -> str | None:
    """The run that was the last to set out to materialize this; None when there is none."""
    info = instance.get_latest_planned_materialization_info(asset, partition)
    return None if info is None else info.run_id


def answered_by(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.AssetCheckKey]:
    """The checks that the run answered and nobody has answered since."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    for key in {
        record.event_log_entry.get_dagster_event().asset_check_evaluation_data.asset_check_key for record in records
    }:
        latest = instance.get_latest_asset_check_evaluation_record(key)
        if latest is not None and latest.run_id == run_id:
            yield key


def backfill_is_over(instance: dg.DagsterInstance, backfill_id: str) -> bool:
    """Whether no daemon looks at the backfill's runs any more."""
    backfill = instance.get_backfill(backfill_id)
    return backfill is None or backfill.status.value not in _BACKFILLS_AT_WORK


_BACKFILLS_AT_WORK = {"REQUESTED", "CANCELING", "FAILING"}


def remove_runs(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    """Remove these runs with all that is known of them. Killed half-way, it is finished by the next removal, because each run's own row goes last."""
    if not run_ids:
        return
    events, runs = instance.event_log_storage, instance.run_storage
    if isinstance(events, SqlEventLogStorage):
        with events.index_connection() as connection:
            connection.execute(_of(AssetCheckExecutionsTable, run_ids))
    for run_id in run_ids:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        events.delete_events(run_id)
    if isinstance(runs, SqlRunStorage):
        with runs.connect() as connection:  # SQLite does not follow the foreign key
            connection.execute(_of(RunTagsTable, run_ids))
    for run_id in run_ids:
        runs.delete_run(run_id)
        if isinstance(events, SqliteEventLogStorage):
            # Not before: a page that shows the run would find a file without tables.
            _unlink(events.path_for_shard(run_id))


def _of(table: sqlalchemy.Table, run_ids: Iterable[str]) -> sqlalchemy.Delete:
    return table.delete().where(table.c.run_id.in_(list(run_ids)))


def _unlink(database: str) -> None:
    for path in (database, f"{database}-wal", f"{database}-shm"):
        Path(path).unlink(missing_ok=True)
