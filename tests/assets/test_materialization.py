"""The run of a dataset's asset, in process: what it takes, what it tells Dagster, and when it is red."""

import re
from typing import Any

import dagster as dg
import pytest

from assets.columns import column_schema
from assets.keys import LAUNCH_TAG
from pipelines.contracts.model import Column
from pipelines.errors import PermanentError
from pipelines.intake.planning import BatchLimits
from pipelines.intake.receiving import receive
from tests.assets.stage import BAD, Stage, days, departures, key

DAY = "2024-02-01"


def rows(stage: Stage) -> list[int]:
    return sorted(row["flight"] for row in stage.world.rows("departures"))


def rows_of(table: str) -> list[dict[str, str]]:
    """The rows of a Markdown table, as they read."""
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    names, *records = [[re.sub(r"\\(.)", r"\1", cell) for cell in line] for line in lines]
    return [dict(zip(names, record, strict=False)) for record in records]


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def test_a_launched_run_takes_the_batches_of_its_launch_and_no_others(stage: Stage) -> None:
    stage.world.put(key(DAY), departures(1, 2))
    [launch] = stage.planned()
    stage.world.put(key(DAY, "later"), departures(3))
    stage.world.put(key("2024-02-05"), departures(4))
    stage.planned()

    result = stage.run({LAUNCH_TAG: launch.run_key, "dagster/partition": DAY})

    assert result.success
    assert rows(stage) == [1, 2]
    assert checks(result) == {
        "files_accepted": True,
        "rows_reconciled": True,
        "expectations": True,
        "primary_key_unique": True,
        "volume": True,
        "null_share": True,
        "schema_drift": True,
    }


def test_each_day_of_a_run_is_told_of_with_its_own_numbers(stage: Stage) -> None:
    stage.world.put(key("2024-02-01"), departures(1, 2))
    stage.world.put(key("2024-02-02"), departures(3))
    stage.world.put(key("2024-02-02", "b"), departures(4, 5))
    [launch] = stage.planned()
    assert stage.run_request(as_request(launch)).success

    first, second = (stage.metadata(["departures"], day) for day in ("2024-02-01", "2024-02-02"))
    assert (first["dagster/partition_row_count"], first["rows read"], first["rows loaded"], first["files"]) == (
        2,
        2,
        2,
        1,
    )
    assert (second["dagster/partition_row_count"], second["rows loaded"], second["files loaded"]) == (3, 3, 2)
    assert first["partitions"] == "day=2024-02-01"
    assert first["bytes in"] == len(departures(1, 2))
    assert first["bytes out"] > 0
    snapshots = {str(state.snapshot_id) for state in stage.world.tables._tables["departures"].states}
    assert {first["snapshot id"], second["snapshot id"]} <= snapshots
    assert first["snapshot id"] != second["snapshot id"]
    assert {"seconds read", "seconds stage", "seconds commit", "seconds books"} <= first.keys()
    assert [(r["file"], r["outcome"], r["rows loaded"]) for r in rows_of(second["files of this day"])] == [
        (key("2024-02-02"), "loaded", "1 of 1"),
        (key("2024-02-02", "b"), "loaded", "2 of 2"),
    ]
    assert [stage.metadata(["landing", "departures_landing"], d)["files"] for d in launch_days(launch)] == [1, 2]


def test_a_bad_file_leaves_the_run_green_and_shows_in_the_check_and_the_quarantine(stage: Stage) -> None:
    stage.world.put(key(DAY, "good"), departures(7))
    bad = stage.world.put(key(DAY, "bad"), BAD)
    [launch] = stage.planned()
    result = stage.run_request(as_request(launch))

    assert result.success
    assert rows(stage) == [7]
    assert checks(result) == {
        "files_accepted": False,
        "rows_reconciled": True,
        "expectations": True,
        "primary_key_unique": True,
        "volume": True,
        "null_share": True,
        "schema_drift": True,
    }
    told = stage.metadata(["quarantine", "departures_quarantine"], DAY)
    assert (told["files"], told["faults"]) == (1, 2)
    assert [(r["rule"], r["line"], r["column"]) for r in told["reasons"]] == [
        ("type", "3", "flight"),
        ("allowed", "4", "origin"),
    ]
    assert told["reports"].startswith(f"- [{told['reasons'][0]['id']}](https://console.aws.amazon.com/s3/object/")
    assert told["reports"].endswith(r") landing/departures/2024\-02\-01/bad\.csv")
    assert "two" not in str(told)
    assert stage.world.report_of(bad).violations_total == 2


def test_a_day_with_good_files_only_is_no_materialization_of_the_quarantine(stage: Stage) -> None:
    stage.world.put(key(DAY), departures(1))
    [launch] = stage.planned()
    stage.run_request(as_request(launch))
    assert stage.instance.get_latest_materialization_event(dg.AssetKey(["quarantine", "departures_quarantine"])) is None


def test_a_run_nobody_planned_takes_its_days_again_and_says_which_had_no_file(stage: Stage) -> None:
    stage.world.put(key("2024-02-01"), departures(1, 2))
    stage.world.put(key("2024-02-03"), departures(3))
    for launch in stage.planned():
        stage.run_request(as_request(launch))

    assert stage.run(days("2024-02-01", "2024-02-03")).success

    assert rows(stage) == [1, 2, 3]
    first = stage.metadata(["departures"], "2024-02-01")
    assert (first["rows loaded"], first["rows replaced"], first["dagster/partition_row_count"]) == (2, 2, 2)
    nothing = stage.metadata(["departures"], "2024-02-02")
    assert nothing["note"] == "No file of this day was due: nothing was read and nothing was changed."
    assert (nothing["files"], nothing["dagster/partition_row_count"]) == (0, 0)


def test_a_backfill_pressed_twice_ends_as_pressed_once(stage: Stage) -> None:
    stage.world.put(key("2024-02-01"), departures(1, 2))
    stage.world.put(key("2024-02-02", "bad"), BAD)
    receive(stage.gate, wait_s=0, budget_s=60)
    ends: list[Any] = []
    for _ in range(3):
        assert stage.run(days("2024-02-01", "2024-02-02")).success
        ends.append((rows(stage), sorted(stage.world.outcomes().values())))
        stage.world.assert_balanced()
    assert ends == [([1, 2], ["loaded", "quarantined"])] * 3


def test_a_backfill_leaves_to_another_run_what_that_run_holds(stage: Stage) -> None:
    stage.world.put(key(DAY), departures(1))
    [launch] = stage.planned()
    stage.gate.ledger.claim(launch.batches[0], "another run")

    result = stage.run({"dagster/partition": DAY})

    assert result.success
    assert rows(stage) == []
    assert "1 file is with another run now, left to it" in _log(stage, result.run_id)
    assert stage.gate.ledger.batch(launch.batches[0]).owner == "another run"


def test_a_run_whose_launch_is_done_already_does_nothing_and_is_green(stage: Stage) -> None:
    stage.world.put(key(DAY), departures(1))
    [launch] = stage.planned()
    stage.run_request(as_request(launch))
    again = stage.run_request(as_request(launch))
    assert again.success
    assert "has no open batch: another run has done its work already" in _log(stage, again.run_id)
    assert rows(stage) == [1]


def test_a_fault_of_ours_fails_the_run_after_the_other_days_were_done(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("2024-02-01", "2024-02-02", "2024-02-03"):
        stage.world.put(key(day), departures(int(day[-1])))
    [launch] = stage.planned()
    commit = stage.world.tables.commit

    def refused(of: Any, change: Any) -> Any:
        if change.batch_id == launch.batches[1]:
            raise PermanentError("Glue does not answer")
        return commit(of, change)

    monkeypatch.setattr(stage.world.tables, "commit", refused)
    result = stage.run_request(as_request(launch), raises=False)

    assert not result.success
    assert rows(stage) == [1, 3]
    [failure] = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    said = failure.step_failure_data.error.message + str(failure.step_failure_data.user_failure_data)
    assert (
        "departures: 1 of the run's 3 days could not be finished, for a fault of ours or of AWS, not of a file. Nothing is lost."
        in said
    )
    assert "2024-02-02: PermanentError: Glue does not answer" in said
    # What was done shows as done; the day that failed shows as such.
    assert stage.metadata(["departures"], "2024-02-03")["rows loaded"] == 1
    done = stage.instance.get_materialized_partitions(dg.AssetKey(["departures"]))
    assert done == {"2024-02-01", "2024-02-03"}


def test_a_day_done_in_several_batches_shows_the_expectations_of_each(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.intake.planning.BatchLimits", lambda: BatchLimits(max_files=1))
    stage.world.put(key(DAY, "a"), departures(1, delay=700))
    stage.world.put(key(DAY, "b"), departures(2))
    receive(stage.gate, wait_s=0, budget_s=60)

    result = stage.run({"dagster/partition": DAY})

    assert rows(stage) == [1, 2]
    [found] = [c for c in result.get_asset_check_evaluations() if c.check_name == "expectations"]
    assert (found.passed, found.metadata["evaluated"].value, found.metadata["failed"].value) == (False, 4, 1)
    assert len(stage.metadata(["departures"], DAY)["batches"].split(", ")) == 2


def test_a_table_that_is_another_stops_the_run_with_its_name(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def ensure(of: Any) -> None:
        raise PermanentError(f"{of.table}: no answer")

    monkeypatch.setattr(stage.world.tables, "ensure", ensure)
    stage.world.put(key(DAY), departures(1))
    [launch] = stage.planned()
    assert not stage.run_request(as_request(launch), raises=False).success
    assert stage.world.outcomes() == {"v1": "pending"}


def launch_days(launch: Any) -> list[str]:
    return [day.isoformat() for day in launch.days]


def as_request(launch: Any) -> Any:
    """The run request that the sensor makes of a launch."""
    keys = launch_days(launch)
    tags = {LAUNCH_TAG: launch.run_key}
    tags |= {"dagster/partition": keys[0]} if len(keys) == 1 else days(keys[0], keys[-1])
    return dg.RunRequest(run_key=launch.run_key, job_name=f"ingest_{launch.dataset}", tags=tags)


def _log(stage: Stage, run_id: str) -> str:
    return "\n".join(entry.user_message for entry in stage.instance.all_logs(run_id))


def test_a_file_with_some_bad_rows_is_loaded_and_its_bad_rows_are_shown(stage_by_rows: Stage) -> None:
    stage = stage_by_rows
    stage.world.put(key("2024-02-01"), departures(1, 2) + b"two,EWR,5\n")
    [launch] = stage.planned()
    result = stage.run({"dagster/partition": "2024-02-01", "lakegate/launch": launch.run_key})
    assert result.success
    checks = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert (checks["rows_accepted"].passed, checks["files_accepted"].passed, checks["rows_reconciled"].passed) == (
        False,
        True,
        True,
    )
    told = stage.metadata(["departures"], "2024-02-01")
    assert (told["rows read"], told["rows loaded"], told["rows rejected"]) == (3, 2, 1)
    assert [(r["outcome"], r["remarks"]) for r in rows_of(told["files of this day"])] == [
        ("loaded", "1 fault, first `type` of flight, line 4; 1 row rejected")
    ]
    assert [row["raw"] for row in stage.world.rejected("departures")] == ["two,EWR,5"]
    stage.world.assert_balanced()


def test_a_run_tells_how_its_table_grew_and_what_was_rescued(stage_growing: Stage) -> None:
    stage = stage_growing
    stage.world.put(key("2024-02-01"), b"flight,origin,Gate No.\n1,EWR,A7\n")
    stage.world.put(key("2024-02-02"), b"flight,delay,origin\n5000000000,soon,EWR\n2,5,EWR\n")
    [launch] = stage.planned()
    result = stage.run_request(as_request(launch))
    assert result.success
    first, second = (stage.metadata(["departures"], day) for day in ("2024-02-01", "2024-02-02"))
    assert first["schema changes"] == r"- column gate\_no added, text, which files call Gate No\."
    assert second["schema changes"] == "- column flight widened from int to bigint"
    assert second["values rescued"] == 1
    assert second["values rescued by column"] == "- delay: 1"
    deps = first["dagster/column_lineage"].deps_by_column
    assert [dep.column_name for dep in deps["gate_no"]] == ["Gate No."]
    landing = stage.metadata(["landing", "departures_landing"], "2024-02-01")["dagster/column_schema"]
    assert "Gate No." in [column.name for column in landing.columns]
    shown = {column.name: column for column in second["dagster/column_schema"].columns}
    assert (shown["flight"].type, shown["gate_no"].type) == ("bigint", "string")
    assert shown["gate_no"].description == r"Added from files, where it is called Gate No\.."
    assert list(shown)[-6:] == [
        "_rescued",
        "_source_file",
        "_source_version",
        "_source_line",
        "_batch_id",
        "_ingested_at",
    ]
    said = _log(stage, result.run_id)
    assert "column gate_no added" in said
    assert "column flight widened from int to bigint" in said
    assert "1 value rescued" in said
    assert "soon" not in said


def test_a_column_that_left_the_contract_is_shown_as_the_tables_own(stage_growing: Stage) -> None:
    stage = stage_growing
    [of] = stage.world.datasets
    wide = of.model_copy(update={"columns": {**of.columns, "gate": Column(type="int")}})
    stage.world.tables.ensure(wide)
    schema = column_schema(of, stage.world.tables.columns(of))
    [gate] = [column for column in schema.columns if column.name == "gate"]
    assert (gate.type, gate.description) == ("int", "Not in the contract any more: null in new rows.")
