"""Old runs go, and nothing that a page stands on goes with them; on SQLite files and in a Postgres server.

Dagster resolves annotations at decoration: none from the future.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from assets import run_history
from assets.run_history import Pruned, RunRetention, prune_runs
from assets.upkeep import RUN_HISTORY
from lakegate.local.instance import POSTGRES_VARIABLE, dagster_yaml, postgres_of
from lakegate.settings import upkeep_settings
from pipelines.errors import ConfigurationError
from tests.assets.stage import Stage
from tests.postgres import execute, new_database, postgres_server

DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-02-01")
KEEP = RunRetention(timedelta(days=30), timedelta(days=90))
FLIGHTS, BROKEN = dg.AssetKey("flights"), dg.AssetKey("broken")


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("sound", asset="flights")],
)
def flights(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    print("printed by the run")  # noqa: T201
    for day in context.partition_keys:
        context.log_event(dg.AssetMaterialization("landing", partition=day))
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True, check_name="sound")])


@dg.asset(partitions_def=DAYS)
def broken(context: dg.AssetExecutionContext) -> None:
    if "mended" not in context.run.tags:
        raise dg.Failure("no luck", allow_retries=False)


@dg.asset_check(asset="flights", name="again")
def again() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.op
def idle() -> None: ...


@dg.job
def chores() -> None:
    idle()


JUST_FLIGHTS = dg.AssetSelection.assets("flights").without_checks() | dg.AssetSelection.checks(
    dg.AssetCheckKey(FLIGHTS, "sound")
)
DEFS = dg.Definitions(
    assets=[flights, broken],
    asset_checks=[again],
    jobs=[
        chores,
        dg.define_asset_job("of_flights", selection=JUST_FLIGHTS),
        dg.define_asset_job("of_broken", selection="broken"),
        dg.define_asset_job("checks", selection=dg.AssetSelection.checks(dg.AssetCheckKey(FLIGHTS, "again"))),
    ],
    executor=dg.in_process_executor,
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as address:
        yield address


in_both = pytest.mark.parametrize("instance", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def instance(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance as `lakegate up` sets it up."""
    if getattr(request, "param", "sqlite") == "postgres":
        address = new_database(request.getfixturevalue("server"), request.node.name[:60])
        monkeypatch.setenv(POSTGRES_VARIABLE, postgres_of({POSTGRES_VARIABLE: address}) or "")
    (tmp_path / "dagster.yaml").write_text(dagster_yaml(os.environ))
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def run(instance: dg.DagsterInstance, job: str, day: str | None = None, tags: Mapping[str, str] | None = None) -> str:
    result = DEFS.resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=day, tags=dict(tags or {}), raise_on_error=False
    )
    return result.run_id


def left(instance: dg.DagsterInstance) -> set[str]:
    return {found.run_id for found in instance.get_runs()}


def in_days(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


@in_both
def test_the_newest_word_on_every_partition_stays_and_all_else_goes(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    first, second = run(instance, "of_flights", "2024-01-01"), run(instance, "of_flights", "2024-01-02")
    range_of_days = {
        "dagster/asset_partition_range_start": "2024-01-02",
        "dagster/asset_partition_range_end": "2024-01-03",
    }
    both, chore = run(instance, "of_flights", tags=range_of_days), run(instance, "chores")
    last = run(instance, "of_flights", "2024-01-03")
    assert prune_runs(instance, KEEP, in_days(29)) == Pruned()

    found = prune_runs(instance, KEEP, in_days(31))
    # Of the two days of `both` one is newer elsewhere, the other is not.
    assert left(instance) == {first, both, last}
    assert found == Pruned(removed=2, kept=3)
    assert found.sentence() == "removed 2 runs; 3 old runs kept as the newest of a partition or check"
    for asset in ("flights", "landing"):
        assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {"2024-01-01", "2024-01-02", "2024-01-03"}
    for gone in (second, chore):
        assert instance.get_run_by_id(gone) is None
        assert [path for path in tmp_path.rglob("*") if gone in str(path)] == []
    assert instance.all_logs(last)
    assert prune_runs(instance, KEEP, in_days(31)) == Pruned(kept=3)


@in_both
def test_a_failed_run_is_kept_longer_and_while_it_is_what_a_partition_ended_in(instance: dg.DagsterInstance) -> None:
    mended, waits = run(instance, "of_broken", "2024-01-01"), run(instance, "of_broken", "2024-01-02")
    good = run(instance, "of_broken", "2024-01-01", {"mended": "yes"})
    assert prune_runs(instance, KEEP, in_days(89)) == Pruned(kept=1)
    found = prune_runs(instance, KEEP, in_days(91))
    assert (found.removed, found.removed_failed) == (1, 1)
    assert "removed 1 run, 1 of them failed" in found.sentence()
    assert left(instance) == {waits, good}
    assert mended not in left(instance)


def test_the_newest_answer_of_a_check_stays(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run(instance, "of_flights", "2024-01-01")
    older, newer = run(instance, "checks"), run(instance, "checks")
    prune_runs(instance, KEEP, in_days(31))
    assert older not in left(instance)
    assert newer in left(instance)
    latest = instance.get_latest_asset_check_evaluation_record(dg.AssetCheckKey(FLIGHTS, "again"))
    assert latest is not None
    assert latest.run_id == newer


@in_both
def test_nothing_of_a_removed_run_is_left_in_the_tables(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    gone, stays = run(instance, "of_flights", "2024-01-01", {"mark": "1"}), run(instance, "of_flights", "2024-01-01")
    prune_runs(instance, KEEP, in_days(31))
    assert left(instance) == {stays}
    if POSTGRES_VARIABLE in os.environ:
        addresses = [os.environ[POSTGRES_VARIABLE]]
    else:
        addresses = [f"sqlite:///{path}" for path in tmp_path.rglob("*.db")]
    for address in addresses:
        for table in tables_with_runs(address):
            [(count,)] = execute(address, f"SELECT count(*) FROM {table} WHERE run_id = '{gone}'")
            assert count == 0, (address, table)


def tables_with_runs(address: str) -> list[str]:
    if address.startswith("sqlite"):
        listed = execute(
            address,
            "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'run_id'",
        )
    else:
        listed = execute(
            address,
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'run_id' AND table_schema = 'public'",
        )
    return [str(name) for (name,) in listed]


def test_a_run_at_work_stays_and_one_that_others_were_started_from(instance: dg.DagsterInstance) -> None:
    started = instance.create_run_for_job(chores, status=dg.DagsterRunStatus.STARTED).run_id
    root = run(instance, "chores")
    child = run(instance, "chores", tags={"dagster/root_run_id": root, "dagster/parent_run_id": root})
    prune_runs(instance, KEEP, in_days(31))
    assert left(instance) == {started, root}
    assert child not in left(instance)
    prune_runs(instance, KEEP, in_days(31))
    assert left(instance) == {started}


def test_a_run_of_a_backfill_at_work_stays(instance: dg.DagsterInstance) -> None:
    backfill = PartitionBackfill(
        "b", BulkActionStatus.REQUESTED, from_failure=False, tags={}, backfill_timestamp=1_700_000_000.0
    )
    instance.add_backfill(backfill)
    counted, unknown = (run(instance, "chores", tags={"dagster/backfill": name}) for name in ("b", "forgotten"))
    prune_runs(instance, KEEP, in_days(31))
    assert left(instance) == {counted}
    assert unknown not in left(instance)
    instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    prune_runs(instance, KEEP, in_days(31))
    assert left(instance) == set()


def test_a_long_history_is_done_in_pieces_and_the_next_look_goes_on(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_history, "_PAGE", 2)
    kept = {run(instance, "of_flights", f"2024-01-0{day}") for day in (1, 2, 3)}
    for _ in range(2):
        run(instance, "chores")
    hurried = prune_runs(instance, KEEP, in_days(31), budget_s=-1)
    assert (hurried.removed, hurried.kept) == (0, 2)
    assert hurried.resume_after is not None
    assert hurried.sentence().endswith("time was up, the next look goes on from here")
    rest = prune_runs(instance, KEEP, in_days(31), resume_after=hurried.resume_after)
    assert (rest.removed, rest.kept, rest.resume_after) == (2, 1, None)
    assert left(instance) == kept


def test_many_pages_are_gone_through_in_one_look(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_history, "_PAGE", 2)
    for _ in range(3):
        run(instance, "chores")
    kept = run(instance, "of_flights", "2024-01-01")
    for _ in range(3):
        run(instance, "chores")
    assert prune_runs(instance, KEEP, in_days(31)) == Pruned(removed=6, kept=1)
    assert left(instance) == {kept}


def test_a_removal_that_is_killed_half_way_is_finished_by_the_next(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone, stays = run(instance, "of_flights", "2024-01-01"), run(instance, "of_flights", "2024-01-01")

    def killed(run_id: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(instance.run_storage, "delete_run", killed)
        with pytest.raises(KeyboardInterrupt):
            prune_runs(instance, KEEP, in_days(31))
    assert left(instance) == {gone, stays}
    assert prune_runs(instance, KEEP, in_days(31)) == Pruned(removed=1, kept=1)
    assert left(instance) == {stays}
    assert [path for path in tmp_path.rglob("*") if gone in str(path)] == []


def test_the_job_tells_what_it_did_and_the_schedule_is_on(stage: Stage) -> None:
    job = stage.repository.get_job("upkeep")
    assert job.execute_in_process(instance=stage.instance).success
    event = stage.instance.get_latest_materialization_event(RUN_HISTORY)
    assert event is not None
    assert event.asset_materialization is not None
    told = event.asset_materialization.metadata
    assert told["sentence"].value == "removed 0 runs"
    assert told["runs in the books"].value == 1
    schedule = stage.repository.get_schedule_def("upkeep_schedule")
    assert (schedule.cron_schedule, schedule.job_name) == ("45 4 * * *", "upkeep")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_how_long_runs_are_kept_is_a_setting() -> None:
    assert upkeep_settings({}).keep_runs == timedelta(days=30)
    said = upkeep_settings({"LAKEGATE_KEEP_RUNS_DAYS": "7", "LAKEGATE_KEEP_FAILED_RUNS_DAYS": "14.5"})
    assert (said.keep_runs, said.keep_failed_runs) == (timedelta(days=7), timedelta(days=14.5))
    for wrong in ("0", "-1", "soon"):
        with pytest.raises(ConfigurationError, match="LAKEGATE_KEEP_RUNS_DAYS"):
            upkeep_settings({"LAKEGATE_KEEP_RUNS_DAYS": wrong})
