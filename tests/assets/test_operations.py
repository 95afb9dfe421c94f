"""The assets of operations as people see them: what a sweep found, the sheet, and the check that is red when it does not add up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from assets.operations import BALANCE_SHEET, LANDING_SWEEP, ORPHANS
from lakegate.settings import sweep_settings
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import SourceVersion, TableCommit, Update
from tests.assets.stage import BAD, Stage, departures, key
from tests.ingest.world import BUCKET, QUARANTINE


def run(stage: Stage, *, raises: bool = True) -> dg.ExecuteInProcessResult:
    job = stage.repository.get_job("sweep")
    return job.execute_in_process(instance=stage.instance, raise_on_error=raises)


def told(stage: Stage, asset: dg.AssetKey) -> dict[str, Any]:
    event = stage.instance.get_latest_materialization_event(asset)
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    [found] = result.get_asset_check_evaluations()
    return found


@pytest.fixture
def at_rest(stage: Stage) -> Stage:
    """Two good files and one in quarantine."""
    stage.world.put(key("2024-03-01"), departures(1, 2))
    stage.world.put(key("2024-03-01", "bad"), BAD)
    stage.world.put(key("2024-03-02"), departures(3))
    stage.world.settle_down()
    stage.world.clock.turn(3600)
    return stage


def test_books_at_rest_add_up_and_say_so(at_rest: Stage) -> None:
    result = run(at_rest)
    assert result.success
    found = check(result)
    assert found.passed
    assert found.description == (
        "The books add up: 3 objects, each in one outcome; 3 rows in 2 tables, each where it belongs."
    )
    sheet = told(at_rest, BALANCE_SHEET)
    assert (sheet["objects"], sheet["objects loaded"], sheet["objects quarantined"]) == (3, 2, 1)
    assert (sheet["rows in tables"], sheet["rows rejected"], sheet["problems"]) == (3, 0, 0)
    assert "| `departures` | 3 | 2 | 1 | 3 | 3 | 3 | 0 |  |" in sheet["sheet"]
    swept = told(at_rest, LANDING_SWEEP)
    assert (swept["versions listed"], swept["known"], swept["registered without an event"]) == (3, 3, 0)
    assert swept["sentence"] == "listed 3 versions: 3 known; bucket and ledger agree on 2 days"


def test_what_no_event_told_of_is_shown_and_on_its_way(at_rest: Stage) -> None:
    world = at_rest.world
    lost = ObjectVersion(BUCKET, key("2024-03-03", "[x](y)"), "v99", None, 9, "e", world.clock() - timedelta(hours=1))
    world.store.put_version(lost, departures(9))
    assert run(at_rest).success
    swept = told(at_rest, LANDING_SWEEP)
    assert swept["registered without an event"] == 1
    assert "\\[x\\]\\(y\\)" in swept["found"]
    assert told(at_rest, BALANCE_SHEET)["objects pending"] == 1
    world.settle_down()
    assert len(world.rows("departures")) == 4


def test_rows_taken_out_behind_the_ledgers_back_turn_the_check_red(at_rest: Stage) -> None:
    world, of = at_rest.world, at_rest.world.datasets[0]
    source = SourceVersion(key("2024-03-02"), "v3")
    world.tables.commit(of, TableCommit("nobody", (), (), (source,), world.tables.current(of)))
    result = run(at_rest, raises=False)
    assert not result.success
    found = check(result)
    assert (found.passed, found.severity, found.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    assert "(version v3) has 0 rows in it, but the ledger says 1. Process its day 2024-03-02 again" in (
        found.description or ""
    )
    assert "does not add up" in str(found.metadata.keys())
    # What it says to do, helps.
    at_rest.run({"dagster/partition": "2024-03-02"})
    assert check(run(at_rest)).passed


def test_a_counter_that_was_changed_turns_the_check_red(at_rest: Stage) -> None:
    items = at_rest.world.items
    shard = next(k for k in items.items() if k.pk == "counts#departures" and k.sk.startswith("2024-03-02"))
    items.write([Update(shard, add={"objects": 1, "loaded": 1, "serving_files": 1})])
    found = check(run(at_rest, raises=False))
    assert not found.passed
    assert "departures, 2024-03-02: the ledger counts 2 objects, but holds 1 entry" in (found.description or "")


def test_a_sheet_without_any_sweep_does_not_claim_to_be_proved(at_rest: Stage) -> None:
    job = at_rest.defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=at_rest.instance, asset_selection=[BALANCE_SHEET], raise_on_error=False)
    assert not result.success
    assert "never compared with the bucket: run `lakegate sweep`" in (check(result).description or "")


def test_what_a_dead_attempt_left_in_quarantine_is_reported_and_removed_when_asked(at_rest: Stage) -> None:
    world = at_rest.world
    good = next(v for v in world.versions if v.version_id == "v1")
    left = f"quarantine/departures/2024-03-01/{good.object_id}/v1/object"
    world.store._clock = world.clock
    world.store.put_bytes(QUARANTINE, left, b"1234", "text/csv")
    world.clock.turn(2 * 86_400)
    assert run(at_rest).success
    found = told(at_rest, ORPHANS)
    assert (found["orphans"], found["orphan bytes"], found["removed"]) == (1, 4, 0)
    assert "the ledger has no verdict on its file that names it" in found["found"]
    job = at_rest.repository.get_job("sweep")
    config = {"ops": {"operations__orphans": {"config": {"remove": True}}}}
    job.execute_in_process(instance=at_rest.instance, run_config=config)
    assert told(at_rest, ORPHANS)["removed"] == 1
    assert left not in set(world.store.list_keys(QUARANTINE, ""))


def test_the_schedule_is_on_daily_and_its_cron_is_a_setting(stage: Stage) -> None:
    schedule = stage.repository.get_schedule_def("sweep_schedule")
    assert (schedule.cron_schedule, schedule.job_name) == ("30 3 * * *", "sweep")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert sweep_settings({"LAKEGATE_SWEEP_CRON": "0 * * * *"}).cron == "0 * * * *"
