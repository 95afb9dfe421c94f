"""What Dagster shows of the tables' files, before and after they were put together."""

from __future__ import annotations

from typing import Any

import dagster as dg

from assets.table_files import TABLE_FILES, TABLE_STATES
from tests.assets.stage import Stage, departures, key


def told(stage: Stage, asset: dg.AssetKey) -> dict[str, Any]:
    event = stage.instance.get_latest_materialization_event(asset)
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def run(stage: Stage, job: str, **config: Any) -> None:
    ops = {"ops": {"operations__table_files": {"config": config}}} if config else None
    assert stage.repository.get_job(job).execute_in_process(instance=stage.instance, run_config=ops).success


def test_the_job_puts_small_files_together_and_says_what_was_gained(stage: Stage) -> None:
    for number in range(9):
        stage.world.put(key("2024-03-01", f"f{number}"), departures(number + 1))
        stage.world.settle_down()
    stage.world.clock.turn(1_000 * 86_400)  # files of tables in memory carry the computer's time
    run(stage, "compact_tables", plan_only=True)
    looked = told(stage, TABLE_FILES)
    assert (looked["files"], looked["small files it could put together now"], looked["files put together"]) == (9, 9, 0)
    run(stage, "compact_tables")
    done = told(stage, TABLE_FILES)
    assert (done["files"], done["files put together"], done["files that came of them"]) == (1, 9, 1)
    assert (done["rows rewritten"], done["partitions that gave way"]) == (9, 0)
    assert "| departures | 9 | 1 | 1 |" in done["by table"]
    run(stage, "expire_states")
    assert told(stage, TABLE_STATES)["states let go of"] == 0
