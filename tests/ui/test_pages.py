"""What a data engineer sees in Dagster after the first files: the asset, its checks, and why a file is in quarantine."""

import pytest

from tests.ui import conftest
from tests.ui.pages import Pages

pytestmark = [pytest.mark.browser, pytest.mark.daemon]


def test_the_page_of_a_table_says_what_it_is_and_what_came_last(pages: Pages) -> None:
    pages.open("/assets/flights")
    pages.shows(
        "Departures from the three New York airports, one file for each day of departure.",
        "Owners aviation",
        "Storage flights",
        "Kinds Iceberg Parquet",
        "Group nyc",
        "Sensors landing_sensor",
    )
    pages.shows(
        "carrier string non-nullable matches [A-Z0-9]{2} IATA code, such as 9E or UA.",
        "origin string non-nullable one of EWR, JFK, LGA",
        "_source_file string The key of the object the row came from.",
    )
    pages.shows("Latest materialization", "rows loaded", "snapshot id", "files of this day")


def test_the_page_of_a_day_shows_its_rows_and_its_files(pages: Pages) -> None:
    pages.open("/assets/flights?view=partitions&partition=2013-01-02")
    pages.shows(
        "dagster/partition_row_count 2",
        "rows read 2 rows loaded 2",
        "partitions flight_date=2013-01-02",
        "files of this day file outcome rows loaded bytes landing/flights/2013-01-02.csv loaded 2 of 2 110",
    )


def test_the_tab_of_checks_shows_the_one_that_failed_and_on_how_many_rows(pages: Pages) -> None:
    pages.open("/assets/flights?view=checks&checkDetail=expectations")
    pages.shows(
        "Checks (9)",
        "contract_is_current",
        "expectations Failed",
        "files_accepted Failed",
        "no_failed_files",
        "null_share Succeeded",
        "primary_key_unique Succeeded",
        "rows_reconciled Succeeded",
        "schema_drift Succeeded",
        "volume Succeeded",
    )
    pages.shows(
        "1 of 1 expectation does not hold.",
        "dep_delay max_value: 600 NO 2 of 2 rows do not fit 2013-01-02 2 100.0 % warn",
    )
    pages.open("/assets/flights?view=checks&checkDetail=files_accepted")
    pages.shows("1 file went to quarantine", "landing/flights/2013-01-03.csv type 3 flight 2")


def test_the_page_of_the_quarantine_says_where_the_fault_is_and_what_to_do(pages: Pages) -> None:
    pages.open("/assets/quarantine/flights_quarantine?view=partitions&partition=2013-01-03")
    pages.shows(
        "2013-01-03 Materialized",
        "landing/flights/2013-01-03.csv",
        "type 3 flight 1 send a value of the type, or correct the contract",
        "allowed 4 origin 1 send an allowed value, or extend `allowed`",
    )
    assert pages.page.locator('a[href*="report.json"]').count() == 1


def test_the_graph_shows_every_dataset_and_no_broken_one(pages: Pages) -> None:
    pages.open("/asset-groups")
    pages.shows("Global asset lineage", "airports", "visits", "weather", "nyc")
    assert "broken" not in pages.page.inner_text("body")


def test_a_run_of_the_sensor_can_be_found_with_its_launch(pages: Pages) -> None:
    pages.open("/runs")
    pages.shows("ingest_flights", "ingest_weather", "Success", "landing_sensor")


def test_without_a_browser_the_tests_are_skipped_unless_one_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(conftest.REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium on this machine"):
        conftest.chromium_path()
    monkeypatch.setenv(conftest.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="there must be one"):
        conftest.chromium_path()
