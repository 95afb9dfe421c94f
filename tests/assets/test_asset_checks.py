"""What each check says, from the numbers of a run."""

from dataclasses import replace
from datetime import date
from typing import Any

import dagster as dg
import pytest

from assets.checks import check_results, check_specs
from assets.expectations import ExpectationResult
from assets.past import Past
from pipelines.contracts.model import Dataset, Severity
from pipelines.ports import Committed
from pipelines.reading.violations import Rule, Violation
from pipelines.reports import BatchReport, FileEnding, FileReport
from tests.assets.stage import DEPARTURES
from tests.ingest.world import World, dataset

DAY = date(2024, 2, 1)
WITH_BLOCK = DEPARTURES + "  - {expect_column_mean_to_be_between: {column: delay, max_value: 60}, severity: block}\n"
FAULT = Violation(Rule.TYPE, "flight", 3, 24, "two", "a whole number", 1, "a.csv:3:flight: …")
LATE, EARLY = (f"expectations[{n}].expect_column_values_to_be_between" for n in (0, 1))


def warning(identity: str, count: int) -> Violation:
    return Violation(Rule.EXPECTATION, "delay", 2, 9, "700", "at most 600", count, "…", (), "warn", identity)


def file(outcome: FileEnding = FileEnding.LOADED, rows: int = 10, **more: Any) -> FileReport:
    loaded = rows if outcome is FileEnding.LOADED else 0
    return FileReport("landing/departures/a.csv", "v1", 100, outcome, rows, loaded, **more)


def report(*files: FileReport, added: int | None = None, recognised: bool = False) -> BatchReport:
    loaded = sum(f.rows_loaded for f in files)
    committed = Committed(1, loaded if added is None else added, 0, 1, 0) if loaded else None
    return BatchReport("departures", DAY, "b1", "event", files, committed, recognised=recognised)


def answers(
    *reports: BatchReport, of: str = DEPARTURES, gx: tuple[ExpectationResult, ...] = ()
) -> dict[str, dg.AssetCheckResult]:
    results = check_results(dataset(of), reports, {DAY: gx} if gx else {}, None, Past(DAY))
    return {result.check_name: result for result in results}


def shown(result: dg.AssetCheckResult, name: str) -> list[dict[str, Any]]:
    table = result.metadata[name]
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records]


def test_a_quarantined_file_fails_files_accepted_as_a_warning_and_is_named() -> None:
    bad = file(FileEnding.QUARANTINED, violations=(FAULT,), violations_total=4, quarantine_id="abc")
    found = answers(report(file(), bad))["files_accepted"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "1 file went to quarantine; each report says what to repair."
    assert shown(found, "quarantined files") == [
        {
            "file": "landing/departures/a.csv",
            "rule": "type",
            "line": "3",
            "column": "flight",
            "faults": 4,
            "quarantine id": "abc",
        }
    ]
    assert "two" not in str(found)


BY_ROWS = DEPARTURES + "rows: {on_bad: quarantine_rows}\n"


def test_rejected_rows_fail_rows_accepted_as_a_warning_that_says_where_they_are() -> None:
    mixed = replace(file(violations=(FAULT,), violations_total=1), rows_loaded=9, rows_rejected=1)
    found = answers(report(file(), mixed), of=BY_ROWS)
    accepted = found["rows_accepted"]
    assert (accepted.passed, accepted.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert accepted.description == "1 row of 1 file went to departures__rejected; the rest of it was loaded."
    assert shown(accepted, "rejected rows") == [
        {
            "file": "landing/departures/a.csv",
            "rule": "type",
            "column": "flight",
            "line": "3",
            "count": 1,
            "what to do": Rule.TYPE.remedy,
        }
    ]
    query = accepted.metadata["to see them"].value
    assert "FROM departures__rejected WHERE landing_day IN (DATE '2024-02-01')" in str(query)
    assert "two" not in str(accepted)
    assert found["files_accepted"].passed
    assert found["rows_reconciled"].passed, "a rejected row is accounted for"
    assert not answers(report(replace(mixed, rows_rejected=2)), of=BY_ROWS)["rows_reconciled"].passed


def test_rows_accepted_is_asked_only_where_rows_are_rejected_one_by_one() -> None:
    assert answers(report(file()), of=BY_ROWS)["rows_accepted"].passed
    assert "rows_accepted" not in answers(report(file()))
    assert {spec.name for spec in check_specs(dataset(BY_ROWS))} == set(answers(of=BY_ROWS))


@pytest.mark.parametrize("ending", [FileEnding.LOADED, FileEnding.EMPTY, FileEnding.SUPERSEDED, FileEnding.GONE])
def test_a_file_that_did_not_break_the_contract_passes_files_accepted(ending: FileEnding) -> None:
    assert answers(report(file(ending)))["files_accepted"].passed


def test_rows_that_do_not_add_up_are_an_error_that_says_where() -> None:
    found = answers(report(file(rows=10), added=9), report(file(rows=5)))["rows_reconciled"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found.description == (
        "Do not use the table before this is understood: departures 2024-02-01: 1 file (1 loaded), 10 rows in"
    )


def test_rows_of_files_not_loaded_are_counted_beside() -> None:
    found = answers(report(file(rows=10), file(FileEnding.QUARANTINED, rows=7, violations=(FAULT,))))["rows_reconciled"]
    assert found.passed
    told = {name: found.metadata[name].value for name in ("rows read", "rows loaded", "rows in files not loaded")}
    assert told == {"rows read": 17, "rows loaded": 10, "rows in files not loaded": 7}


def test_a_run_without_files_passes_every_check() -> None:
    found = answers()
    assert all(result.passed for result in found.values())
    assert found["expectations"].description == "The run published no rows: there was nothing to evaluate."


def test_a_native_expectation_that_warned_shows_as_failed_and_its_twin_as_held() -> None:
    found = answers(report(file(rows=10, warnings=(warning(LATE, 3),)), file(rows=5)))["expectations"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "1 of 2 expectations does not hold."
    between = "expect_column_values_to_be_between"
    assert [tuple(r.values()) for r in shown(found, "expectations")] == [
        (between, "delay", "max_value: 600", "NO", "3 of 15 rows do not fit", "2024-02-01", "3", "20.0 %", "warn"),
        (between, "delay", "min_value: -60", "yes", "0 of 15 rows do not fit", "2024-02-01", "0", "0.0 %", "warn"),
    ]


def test_what_a_rejected_file_would_have_warned_of_is_not_counted() -> None:
    bad = file(FileEnding.QUARANTINED, violations=(FAULT,), warnings=(warning(LATE, 3),))
    assert answers(report(file(), bad))["expectations"].passed


def test_the_reader_itself_names_its_warnings_so_that_the_check_finds_them() -> None:

    world = World(datasets=(dataset(DEPARTURES),))
    world.put("landing/departures/2024-02-01/a.csv", b"flight,origin,delay\n1,EWR,700\n2,EWR,-70\n3,EWR,\n4,EWR,-80\n")
    [told] = world.settle_down()
    found = {r["expected"]: r["observed"] for r in shown(answers(told)["expectations"], "expectations")}
    assert found == {"max_value: 600": "1 of 4 rows do not fit", "min_value: -60": "2 of 4 rows do not fit"}


def test_rows_that_a_dead_attempt_published_count_as_not_evaluated() -> None:
    gx = WITH_BLOCK
    found = answers(report(file(), recognised=True), of=gx)
    for name, severity in (("expectations", "WARN"), ("expectations_block", "ERROR")):
        assert not found[name].passed
        assert found[name].severity.value == severity
        assert all(r["observed"].startswith("not evaluated: an attempt") for r in shown(found[name], "expectations"))
    assert found["rows_reconciled"].passed


def test_an_expectation_with_severity_block_is_an_error_of_a_check_of_its_own() -> None:
    mean = ExpectationResult("expect_column_mean_to_be_between", "column: delay", Severity.BLOCK, False, "observed 99")
    found = answers(report(file()), of=WITH_BLOCK, gx=(mean,))
    assert found["expectations"].passed
    assert (found["expectations_block"].passed, found["expectations_block"].severity) == (
        False,
        dg.AssetCheckSeverity.ERROR,
    )


def test_what_fails_is_listed_before_what_holds() -> None:
    results = tuple(
        ExpectationResult(f"expect_{n}", "", Severity.WARN, success=n != 299, observed="") for n in range(300)
    )
    found = answers(report(), gx=results)["expectations"]
    listed = shown(found, "expectations")
    assert (listed[0]["expectation"], len(listed)) == ("expect_299", 200)
    assert found.metadata["evaluated"].value == 300


def declared(of: Dataset) -> dict[str, bool]:
    return {spec.name: bool(spec.blocking) for spec in check_specs(of)}


def test_checks_are_declared_for_what_the_contract_has() -> None:
    plain = DEPARTURES.split("expectations:", maxsplit=1)[0]
    past = dict.fromkeys(("volume", "null_share", "schema_drift"), False)
    always = {"files_accepted": False, "rows_reconciled": True, "primary_key_unique": False, **past}
    assert declared(dataset(plain)) == always
    assert declared(dataset(DEPARTURES)) == always | {"expectations": False}
    assert declared(dataset(WITH_BLOCK)) == always | {"expectations": False, "expectations_block": True}


def test_every_declared_check_gets_a_result_and_no_other() -> None:
    for text in (DEPARTURES, WITH_BLOCK, DEPARTURES.split("expectations:", maxsplit=1)[0]):
        of = dataset(text)
        assert {r.check_name for r in check_results(of, [report(file())], {}, None, Past(DAY))} == declared(of).keys()


WITH_RULES = (
    DEPARTURES
    + """rules:
  - flight > 0
  - {rule: delay <= 600, severity: warn, name: no delay of ten hours}
  - {rule: delay > -60, severity: warn}
  - {rule: delay < 6000, severity: block}
"""
)


def test_a_rule_that_warned_shows_as_failed_and_its_twin_as_held() -> None:
    world = World(datasets=(dataset(WITH_RULES),))
    world.put("landing/departures/2024-02-01/a.csv", b"flight,origin,delay\n1,EWR,700\n2,EWR,7000\n3,EWR,\n")
    [told] = world.settle_down()
    found = answers(told, of=WITH_RULES)
    assert [tuple(r.values()) for r in shown(found["rules"], "rules")] == [
        ("delay <= 600", "no delay of ten hours", "NO", "2024-02-01", "2 of 3 rows do not fit", "2", "66.7 %", "warn"),
        ("delay > -60", "", "yes", "2024-02-01", "0 of 3 rows do not fit", "0", "0.0 %", "warn"),
    ]
    assert found["rules"].description == "1 of 2 rules does not hold."
    assert (found["rules"].passed, found["rules"].severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (found["rules_block"].passed, found["rules_block"].severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "7000" not in str(found["rules_block"])


def test_rules_have_checks_by_their_severity() -> None:
    named = declared(dataset(WITH_RULES))
    assert {name: blocks for name, blocks in named.items() if name.startswith("rules")} == {
        "rules": False,
        "rules_block": True,
    }
    only_quarantine = declared(dataset(DEPARTURES + "rules: [flight > 0]\n"))
    assert not [name for name in only_quarantine if name.startswith("rules")]
    assert {
        r.check_name for r in check_results(dataset(WITH_RULES), [report(file())], {}, None, Past(DAY))
    } == named.keys()
