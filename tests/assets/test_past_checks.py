"""A dataset beside its own past and its table beside the contract, as runs answer it and as a person asks."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from assets.past import Columns, Past, past_results, past_specs
from pipelines.accounting.day_counts import DayCounts
from pipelines.accounting.profiles import DayProfile
from pipelines.accounting.states import Outcome
from pipelines.contracts.schema import table_schema
from pipelines.intake.receiving import receive
from tests.assets.stage import DEPARTURES, HEADER, Stage, days, departures, key, staged
from tests.ingest.world import dataset

TODAY = date(2024, 3, 11)
OF = dataset(DEPARTURES)


def counted(day: date, rows: int, **more: Any) -> DayCounts:
    return DayCounts("departures", day, 1, {}, rows_in_table=rows, **more)


def earlier(rows: int, number: int = 10, nulls: int = 0) -> Past:
    """So many days before today with these rows and nulls in `delay`."""
    dates = [TODAY - timedelta(days=n) for n in range(number, 0, -1)]
    profiles = [DayProfile(day, rows, {"delay": nulls} if nulls else {}) for day in dates]
    return Past(TODAY + timedelta(days=1), [counted(day, rows) for day in dates], profiles, Columns(table_schema(OF)))


def answered(past: Past, *judged: date, of: str = DEPARTURES) -> dict[str, dg.AssetCheckResult]:
    return {str(r.check_name): r for r in past_results(dataset(of), past, judged or None)}


def shown(result: Any, name: str = "the most unusual first") -> list[dict[str, Any]]:
    return [dict(record.data) for record in result.metadata[name].records]


def today(past: Past, rows: int, nulls: int = 0) -> Past:
    profile = DayProfile(TODAY, rows, {"delay": nulls} if nulls else {})
    return replace(past, counts=[*past.counts, counted(TODAY, rows)], profiles=[*past.profiles, profile])


def test_a_day_with_unusually_few_rows_is_told_in_a_sentence() -> None:
    found = answered(today(earlier(1000), 120), TODAY)["volume"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == (
        "2024-03-11 has 120 rows; usual are 500 to 1,500, by the 10 days before it (median 1,000)."
    )
    assert shown(found) == [
        {
            "landing day": "2024-03-11",
            "usual": "NO",
            "found": "120",
            "usual from": "500",
            "to": "1,500",
            "median": "1,000",
            "compared with": "10 days",
        }
    ]


def test_a_day_with_unusually_many_rows_fails_and_a_usual_one_passes() -> None:
    assert not answered(today(earlier(1000), 2000), TODAY)["volume"].passed
    found = answered(today(earlier(1000), 1100), TODAY)["volume"]
    assert found.passed
    assert "As many rows as usual on 1 landing day, the newest 2024-03-11: 2024-03-11 has 1,100 rows" in str(
        found.description
    )


def test_a_day_that_still_grows_is_judged_upward_only() -> None:
    now = replace(today(earlier(1000), 120), today=TODAY)
    assert answered(now, TODAY)["volume"].passed
    assert not answered(replace(today(earlier(1000), 2000), today=TODAY), TODAY)["volume"].passed
    late = earlier(1000)
    waiting = DayCounts("departures", TODAY, 2, {Outcome.PENDING: 1}, rows_in_table=120)
    assert answered(replace(late, counts=[*late.counts, waiting]), TODAY)["volume"].passed


def test_a_day_all_of_whose_files_were_refused_has_unusually_few_rows() -> None:
    found = answered(today(earlier(1000), 0), TODAY)["volume"]
    assert not found.passed
    assert str(found.description).startswith("2024-03-11 has 0 rows; ")


def test_with_too_little_past_nothing_is_judged_and_that_is_said() -> None:
    found = answered(today(earlier(1000, number=3), 1, nulls=1), TODAY)
    for name in ("volume", "null_share"):
        assert found[name].passed
        assert (
            found[name].description == "Not judged yet: 3 earlier landing days of the last 56 have rows, 7 are needed."
        )


def test_of_many_days_the_worst_is_told_and_all_are_listed() -> None:
    past = earlier(1000, number=30)
    odd = {20: 3000, 24: 1600, 26: 10}
    past = replace(past, counts=[replace(c, rows_in_table=odd.get(n, 1000)) for n, c in enumerate(past.counts)])
    found = answered(past)["volume"]
    assert [r["found"] for r in shown(found) if r["usual"] == "NO"] == ["3,000", "10", "1,600"]
    assert "2 other numbers are unusual too" in str(found.description)
    assert found.metadata["landing days judged"].value == 23


def test_a_column_that_became_null_is_named() -> None:
    found = answered(today(earlier(1000, nulls=20), 1000, nulls=400), TODAY)["null_share"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == (
        "40.0 % of delay on 2024-03-11 is null; usual are 0.0 % to 12.0 %, by the 10 days before it (median 2.0 %)."
    )
    assert next((r["column"], r["found"], r["usual"]) for r in shown(found)) == ("delay", "40.0 %", "NO")


def test_a_column_that_has_no_nulls_any_more_is_named_too() -> None:
    assert not answered(today(earlier(1000, nulls=900), 1000), TODAY)["null_share"].passed


def test_a_few_nulls_in_a_small_day_are_no_alarm() -> None:
    assert answered(today(earlier(30), 30, nulls=19), TODAY)["null_share"].passed
    assert not answered(today(earlier(300), 300, nulls=100), TODAY)["null_share"].passed


CHECKS = "checks:\n  volume: {severity: block, tolerance: 5%}\n  null_share: {severity: off}\n  schema_drift: {severity: block}\n"


def test_severity_and_tolerance_are_the_contracts() -> None:
    found = answered(today(earlier(1000), 900, nulls=900), TODAY, of=DEPARTURES + CHECKS)
    assert found.keys() == {"volume", "schema_drift"}
    assert (found["volume"].passed, found["volume"].severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert {s.name: s.blocking for s in past_specs(dataset(DEPARTURES + CHECKS))} == {
        "volume": True,
        "schema_drift": True,
    }
    assert {s.name: s.blocking for s in past_specs(OF)} == {"volume": False, "null_share": False, "schema_drift": False}


def test_a_run_that_published_nothing_has_nothing_to_compare() -> None:
    found = {r.check_name: r for r in past_results(OF, earlier(1000), ())}
    assert found["volume"].passed
    assert found["volume"].description == "There is no landing day to judge: no rows were published."


def test_a_table_somebody_changed_is_told_with_what_to_do() -> None:
    there = table_schema(OF)
    changed = pa.schema([f for f in there if f.name != "delay"]).append(pa.field("free", pa.int64()))
    found = answered(replace(earlier(1000), columns=Columns(changed)))["schema_drift"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(found.description).startswith(
        "2 columns of the table are not as the contract says: delay (somebody dropped it"
    )
    assert [(r["column"], r["all right"]) for r in shown(found, "columns that differ")] == [
        ("delay", "NO"),
        ("free", "NO"),
    ]


def test_a_table_that_cannot_be_read_fails_only_where_there_are_rows() -> None:
    unread = Columns(None, "the catalog said no")
    assert not answered(replace(earlier(1000), columns=unread))["schema_drift"].passed
    nothing = answered(Past(TODAY, columns=unread))["schema_drift"]
    assert (nothing.passed, nothing.description) == (True, "No run has made the table yet.")


@pytest.fixture
def stage_growing() -> Iterator[Stage]:
    text = DEPARTURES + "schema: {new_columns: add, missing_columns: allow}\n"
    with dg.DagsterInstance.ephemeral() as instance, staged(instance, text) as found:
        yield found


def ran(stage: Stage, first: str, last: str) -> dict[str, dg.AssetCheckEvaluation]:
    receive(stage.gate, wait_s=0, budget_s=60)
    result = stage.run(days(first, last))
    return {answer.check_name: answer for answer in result.get_asset_check_evaluations()}


def many(number: int, *, missing: int = 0) -> bytes:
    lines = [f"{n + 1},EWR,{'' if n < missing else 5}\n" for n in range(number)]
    return HEADER + "".join(lines).encode()


def test_runs_keep_what_later_ones_compare_with(stage: Stage) -> None:
    for number in range(1, 9):
        stage.world.put(key(f"2024-02-0{number}"), many(60, missing=3))
    assert all(
        answer.passed for name, answer in ran(stage, "2024-02-01", "2024-02-08").items() if name != "primary_key_unique"
    )
    stage.world.put(key("2024-02-09"), many(200, missing=150))
    found = ran(stage, "2024-02-09", "2024-02-09")
    assert str(found["volume"].description).startswith("2024-02-09 has 200 rows; usual are 30 to 90, by the 8 days")
    assert str(found["null_share"].description).startswith(
        "75.0 % of delay on 2024-02-09 is null; usual are 0.0 % to 15.0 %"
    )
    alone = stage.check("volume", "null_share")
    assert [alone[name].description for name in ("volume", "null_share")] == [
        found[name].description for name in ("volume", "null_share")
    ]
    stage.world.put(key("2024-02-09"), many(60, missing=3))
    corrected = ran(stage, "2024-02-09", "2024-02-09")
    assert corrected["volume"].passed
    assert corrected["null_share"].passed


def test_columns_that_files_add_are_listed_and_no_failure(stage_growing: Stage) -> None:
    stage_growing.world.put(key("2024-02-01"), b"flight,origin,delay,Gate No.\n1,EWR,5,A7\n")
    assert ran(stage_growing, "2024-02-01", "2024-02-01")["schema_drift"].passed
    found = stage_growing.check("schema_drift")["schema_drift"]
    assert found.passed
    assert [(r["column"], r["what"]) for r in shown(found, "columns that differ")] == [
        ("gate_no", "added by files, which call it Gate No.")
    ]


def test_a_column_dropped_behind_our_back_is_told_by_the_run_that_puts_it_back(stage: Stage) -> None:
    stage.world.put(key("2024-02-01"), departures(1))
    assert ran(stage, "2024-02-01", "2024-02-01")["schema_drift"].passed
    tables = stage.world.tables
    table = tables._tables["departures"]  # type: ignore[union-attr]  # nothing of ours drops a column
    table.schema = pa.schema([field for field in table.schema if field.name != "delay"])
    stage.world.put(key("2024-02-02"), departures(2))
    found = ran(stage, "2024-02-02", "2024-02-02")["schema_drift"]
    assert not found.passed
    assert "delay (somebody dropped it" in str(found.description)
    assert ran(stage, "2024-02-02", "2024-02-02")["schema_drift"].passed
