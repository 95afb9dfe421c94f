"""Checks executed alone: each answers for the table as it is now, whatever run brought it about."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from assets import rechecks
from lakegate.definitions import build_defs
from pipelines.contracts.loading import DatasetCatalog
from pipelines.ports import TableCommit
from tests.assets.stage import BAD, DEPARTURES, OpenGate, Stage, days, departures, key, staged
from tests.ingest.world import dataset

RULES = """rules:
  - {rule: delay <= 600, severity: warn, name: no delay of ten hours}
  - {rule: delay < 6000, severity: block}
  - {rule: day + 37 <= landed_on(), severity: warn}
"""
GX = """  - {expect_column_mean_to_be_between: {column: delay, max_value: 100}, severity: block}
  - {expect_column_values_to_be_between: {column: delay, max_value: 100, mostly: 0.6}, severity: warn}
"""


def shown(answer: dg.AssetCheckEvaluation, name: str) -> list[dict[str, Any]]:
    table = answer.metadata[name]
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records]


def ingested(stage: Stage, files: Mapping[str, bytes]) -> None:
    """Put the files and take them through runs."""
    for name, body in files.items():
        stage.world.put(name, body)
    stage.world.settle_down()


@pytest.fixture
def stage_judging() -> Any:
    with dg.DagsterInstance.ephemeral() as instance, staged(instance, DEPARTURES + GX + RULES) as found:
        yield found


def test_every_check_of_the_table_can_be_executed_alone(stage_judging: Stage) -> None:
    node = stage_judging.repository.asset_graph.get(dg.AssetKey(["departures"]))
    for check in node.check_keys:
        assert stage_judging.repository.asset_graph.get_execution_set_asset_and_check_keys(check) == {check}


def test_all_checks_of_a_good_table_pass_and_nothing_is_materialized(stage_judging: Stage) -> None:
    ingested(stage_judging, {key("2024-02-01"): departures(1, 2), key("2024-02-02"): departures(3)})
    found = stage_judging.check()
    assert {name for name, answer in found.items() if not answer.passed} == set()
    assert found.keys() >= {"files_accepted", "rows_reconciled", "rules", "rules_block", "expectations_block"}
    assert found["rows_reconciled"].description == (
        "The table has 3 rows of 2 files, each as many as the ledger says, and no others."
    )
    assert not stage_judging.instance.fetch_materializations(dg.AssetKey(["departures"]), limit=1).records


def test_only_the_checks_selected_are_answered(stage_judging: Stage) -> None:
    ingested(stage_judging, {key("2024-02-01"): departures(1)})
    assert stage_judging.check("files_accepted").keys() == {"files_accepted"}
    assert stage_judging.check("rules", "primary_key_unique").keys() == {"rules", "primary_key_unique"}


def test_a_table_that_no_run_has_made_is_told_as_such(stage: Stage) -> None:
    found = stage.check()
    assert all(answer.passed for answer in found.values())
    assert found["rows_reconciled"].description == "There is nothing to compare: no run has made the table yet."
    assert found["expectations"].description == "The table has no rows: there is nothing to look at."


def test_a_file_waits_in_quarantine_until_it_is_corrected(stage: Stage) -> None:
    ingested(stage, {key("2024-02-01"): BAD})
    found = stage.check("files_accepted")["files_accepted"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "1 file waits in quarantine now; each report says what to repair."
    [waiting] = shown(found, "quarantined files")
    assert (waiting["file"], waiting["landing day"], waiting["faults"]) == (key("2024-02-01"), "2024-02-01", 2)
    ingested(stage, {key("2024-02-01"): departures(1)})
    assert stage.check("files_accepted")["files_accepted"].passed


def test_rejected_rows_count_until_the_file_is_corrected(stage_by_rows: Stage) -> None:
    ingested(stage_by_rows, {key("2024-02-01"): departures(1, 2) + b"x,EWR,1\n", key("2024-02-02"): departures(3)})
    found = stage_by_rows.check("rows_accepted", "rows_reconciled")
    assert not found["rows_accepted"].passed
    assert found["rows_accepted"].description == (
        "1 row of the files that serve now is in departures__rejected, not in the table."
    )
    assert shown(found["rows_accepted"], "days") == [
        {"landing day": "2024-02-01", "rows rejected": 1, "rows loaded": 2}
    ]
    assert "landing_day IN (DATE '2024-02-01')" in str(found["rows_accepted"].metadata["to see them"].value)
    assert found["rows_reconciled"].passed
    ingested(stage_by_rows, {key("2024-02-01"): departures(1, 2, 4)})
    assert stage_by_rows.check("rows_accepted")["rows_accepted"].passed


def test_rows_that_another_program_took_out_of_the_table_are_an_error(stage: Stage) -> None:
    ingested(stage, {key("2024-02-01"): departures(1, 2), key("2024-02-02"): departures(3)})
    tables, of = stage.world.tables, stage.world.datasets[0]
    [gone] = [source for source in tables.sources(of) if source.key == key("2024-02-01")]
    tables.commit(of, TableCommit("foreign", (), (), (gone,), tables.current(of)))
    found = stage.check("rows_reconciled")["rows_reconciled"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert str(found.description).startswith("Do not use the table before this is understood: departures: ")
    assert f"{key('2024-02-01')} (version" in str(found.description)
    assert [found.metadata[n].value for n in ("rows in the table", "rows in the ledger")] == [1, 3]


def test_rules_are_asked_of_every_row_of_the_table(stage_judging: Stage) -> None:
    ingested(
        stage_judging,
        {
            key("2024-02-01"): departures(1, 2),
            key("2024-02-02"): departures(3, delay=700) + b"4,EWR,5\n",
            key("2024-02-03"): departures(5, 6, delay=7000),
            key("2024-01-01"): departures(7),
        },
    )
    found = stage_judging.check("rules", "rules_block")
    assert found["rules"].description == "2 of 2 rules do not hold."
    lines = [
        (r["rule"], r["passed"], r["landing day"], r["rows that do not fit"], r["share"])
        for r in shown(found["rules"], "rules")
    ]
    assert lines == [
        ("delay <= 600", "NO", "2024-02-03", "2", "100.0 %"),
        ("day + 37 <= landed_on()", "NO", "2024-02-03", "2", "100.0 %"),
        ("delay <= 600", "NO", "2024-02-02", "1", "50.0 %"),
        ("delay <= 600", "yes", "2024-01-01 to 2024-02-01 (2 days)", "0", "0.0 %"),
        ("day + 37 <= landed_on()", "yes", "2024-01-01 to 2024-02-02 (3 days)", "0", "0.0 %"),
    ]
    assert (found["rules_block"].passed, found["rules_block"].severity) == (False, dg.AssetCheckSeverity.ERROR)
    ingested(stage_judging, {key("2024-02-03"): departures(5, 6)})
    assert stage_judging.check("rules_block")["rules_block"].passed


def test_mostly_is_judged_file_by_file_as_when_it_was_read(stage_judging: Stage) -> None:
    ingested(
        stage_judging,
        {key("2024-02-01"): departures(1, 2) + b"3,EWR,200\n", key("2024-02-02", "b"): departures(4, 5, delay=300)},
    )
    found = stage_judging.check("expectations")["expectations"]
    failed = [r for r in shown(found, "expectations") if r["passed"] == "NO"]
    assert [(r["column"], r["landing day"], r["rows that do not fit"]) for r in failed] == [
        ("delay", "2024-02-02", "2")
    ]


def test_great_expectations_looks_at_the_newest_days_one_by_one(
    stage_judging: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rechecks, "GX_DAYS", 2)
    good = {key(f"2024-02-0{n}"): departures(n) for n in (1, 2)}
    ingested(stage_judging, good | {key("2024-02-03"): departures(3, delay=500)})
    found = stage_judging.check("expectations_block")["expectations_block"]
    assert found.description == (
        "1 of 1 expectation does not hold. Great Expectations looked at the newest 2 landing days with rows, 2024-02-02 to 2024-02-03."
    )
    lines = [
        (r["expectation"], r["column"], r["expected"], r["landing day"], r["observed"], r["severity"])
        for r in shown(found, "expectations")
    ]
    name = "expect_column_mean_to_be_between"
    assert lines == [
        (name, "delay", "max_value: 100", "2024-02-03", "observed 500", "block"),
        (name, "delay", "max_value: 100", "2024-02-02", "observed 5", "block"),
    ]


def test_a_day_too_large_for_great_expectations_fails_and_says_so(
    stage_judging: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rechecks, "MAX_ROWS", 2)
    ingested(stage_judging, {key("2024-02-01"): departures(1, 2, 3), key("2024-02-02"): departures(4)})
    found = stage_judging.check("expectations_block")["expectations_block"]
    assert not found.passed
    assert [r["observed"] for r in shown(found, "expectations") if r["passed"] == "NO"] == [
        "not evaluated: the day has more rows than the 2 that fit in memory"
    ]


def test_a_table_with_a_type_of_another_contract_is_not_looked_at(stage: Stage) -> None:
    ingested(stage, {key("2024-02-01"): departures(1)})
    narrow = DEPARTURES.replace("delay: {type: int}", 'delay: {type: "decimal(9,2)"}')
    changed = dataset(narrow)
    gate = replace(stage.gate, datasets=DatasetCatalog((changed,)))
    defs = build_defs(gate.datasets, OpenGate(gate))
    found = replace(stage, gate=gate, defs=defs).check("expectations")["expectations"]
    assert not found.passed
    assert found.description == (
        "Not looked at, so nothing is known: column delay is int in the table, the contract says decimal(9,2): see the check schema_drift"
    )


def test_a_key_in_two_files_is_found_whenever_they_were_published(stage: Stage) -> None:
    ingested(stage, {key("2024-02-01"): departures(1, 2)})
    ingested(stage, {key("2024-02-02"): departures(2, 3)})
    ingested(stage, {key("2024-02-03"): departures(9)})
    found = stage.check("primary_key_unique")["primary_key_unique"]
    assert found.description == (
        "1 key of the table stands in another file too: send each row in one file, or correct primary_key."
    )
    [sample] = shown(found, "samples")
    assert {sample["published from"], sample["also from"]} == {key("2024-02-01"), key("2024-02-02")}


def test_a_run_over_days_answers_only_the_checks_it_was_asked_for(stage_judging: Stage) -> None:
    stage_judging.world.put(key("2024-02-01"), departures(1))
    result = stage_judging.run(days("2024-02-01", "2024-02-02"))
    answered = {answer.check_name for answer in result.get_asset_check_evaluations()}
    assert "files_accepted" in answered
    assert "no_failed_files" not in answered
