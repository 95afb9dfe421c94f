"""The node of rejected rows: what runs tell of it, and what they never tell."""

import dagster as dg

from tests.assets.stage import Stage, departures, key

DAY = "2024-02-01"
NODE = ["rejected", "departures__rejected"]


def landed(stage: Stage, content: bytes) -> None:
    stage.world.put(key(DAY), content)
    [launch] = stage.planned()
    assert stage.run({"dagster/partition": DAY, "lakegate/launch": launch.run_key}).success


def test_a_run_tells_how_many_rows_are_rejected_and_why_and_nothing_of_their_contents(stage_by_rows: Stage) -> None:
    landed(stage_by_rows, departures(1, 2) + b"secret,EWR,5\nhush,EWR,5\n")
    told = stage_by_rows.metadata(NODE, DAY)
    assert told["dagster/partition_row_count"] == 2
    assert (told["rows rejected by this run"], told["files with rejected rows"]) == (2, 1)
    [reason] = told["reasons"]
    assert (reason["file"], reason["rule"], reason["column"], reason["rows"]) == (key(DAY), "type", "flight", 2)
    assert reason["what to do"]
    assert f"FROM departures__rejected WHERE landing_day IN (DATE '{DAY}')" in told["to see them"]
    assert "secret" not in str(told)
    assert "hush" not in str(told)


def test_a_corrected_file_takes_the_number_back_to_zero(stage_by_rows: Stage) -> None:
    landed(stage_by_rows, departures(1, 2) + b"two,EWR,5\n")
    assert stage_by_rows.metadata(NODE, DAY)["dagster/partition_row_count"] == 1
    landed(stage_by_rows, departures(1, 2, 3))
    told = stage_by_rows.metadata(NODE, DAY)
    assert (told["dagster/partition_row_count"], told["rows rejected by this run"]) == (0, 0)
    assert "reasons" not in told
    assert "to see them" not in told


def test_a_dataset_that_rejects_files_only_has_no_such_node(stage: Stage, stage_by_rows: Stage) -> None:
    def nodes(of: Stage) -> list[str]:
        return [k.to_user_string() for k in of.defs.resolve_asset_graph().get_all_asset_keys() if "rejected" in k.path]

    assert nodes(stage) == []
    assert nodes(stage_by_rows) == ["rejected/departures__rejected"]
    landed(stage, departures(1))
    assert stage.instance.get_latest_materialization_event(dg.AssetKey(NODE)) is None
