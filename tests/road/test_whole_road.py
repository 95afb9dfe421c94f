"""A file dropped into the bucket becomes rows that Athena answers with, or a report that a person can act on."""

from datetime import date

import pytest

from pipelines.accounting.states import Outcome
from pipelines.publication.quarantine import load_report
from tests.road.files import BAD_KEY, CORRECTED, CUT_KEY, FIRST, OLD_KEY, POISON, UNROUTED_KEY, VISITS
from tests.road.road import Road

wr = pytest.importorskip("awswrangler")
pytestmark = pytest.mark.daemon


def test_good_files_of_each_format_are_rows_that_athena_answers_with(road: Road) -> None:
    assert road.rows("SELECT flight_date, count(*) AS n, sum(flight) AS s FROM flights GROUP BY 1 ORDER BY 1") == [
        {"flight_date": _day("2013-01-01"), "n": 3, "s": 6},
        {"flight_date": _day("2013-01-02"), "n": 2, "s": 9},
        {"flight_date": _day("2013-01-04"), "n": 2, "s": 19},
    ]
    assert road.rows("SELECT count(*) AS n, count(dep_delay) AS known FROM flights WHERE flight > 8") == [
        {"n": 2, "known": 0}
    ]
    assert road.rows("SELECT origin, temp FROM weather ORDER BY temp") == [
        {"origin": "EWR", "temp": 28.1},
        {"origin": "JFK", "temp": 38.5},
        {"origin": "EWR", "temp": 39.02},
    ]
    assert [row["faa"] for row in road.rows("SELECT faa FROM airports ORDER BY faa")] == ["EWR", "JFK", "LGA"]


def test_awswrangler_reads_the_same_rows_as_a_user_would(road: Road) -> None:
    frame = wr.athena.read_sql_query(
        "SELECT f.carrier, f.flight, f.time_hour, f._source_file, f._source_line, a.name "
        "FROM flights f JOIN airports a ON a.faa = f.origin WHERE f.flight_date = DATE '2013-01-02' ORDER BY f.flight",
        database=road.deployment.glue_database,
        workgroup=road.deployment.athena_workgroup,
        ctas_approach=False,
    )
    assert frame["flight"].tolist() == [4, 5]
    assert frame["_source_file"].unique().tolist() == ["landing/flights/2013-01-02.csv"]
    assert frame["_source_line"].tolist() == [2, 3]
    assert frame["name"].unique().tolist() == ["Newark"]
    assert [str(moment)[:19] for moment in frame["time_hour"]] == ["2013-01-01 10:00:00"] * 2


def test_a_bad_file_is_a_report_with_line_and_column_and_its_bytes_unchanged(road: Road) -> None:
    entry = road.gate.ledger.entries(road.deployment.landing_bucket, BAD_KEY)[0]
    assert entry.facts is not None
    assert entry.facts.report_key is not None
    report = load_report(road.gate.store, road.deployment.quarantine_bucket, entry.facts.report_key)
    assert [(str(v.rule), v.line, v.column, v.found) for v in report.violations] == [
        ("type", 3, "flight", "seven"),
        ("allowed", 4, "origin", "ORD"),
    ]
    assert road.gate.store.get_bytes(road.deployment.quarantine_bucket, report.object_key) == FIRST[BAD_KEY]


def test_each_object_has_the_outcome_it_deserves_and_the_books_balance(road: Road) -> None:
    loaded = {key for key in FIRST if road.outcomes(key)[0] in ("loaded", "superseded")}
    assert FIRST.keys() - loaded == {BAD_KEY, OLD_KEY, UNROUTED_KEY, CUT_KEY}
    assert road.outcomes(OLD_KEY) == ["quarantined"]
    assert road.outcomes(UNROUTED_KEY) == ["unrouted"]
    sheet = road.look().sheet
    assert sheet.problems == ()
    assert sheet.outcome(Outcome.UNROUTED) == 1
    assert sum(line.counts.duplicates for line in sheet.lines) >= road.duplicates > 0


def test_a_poison_message_ends_among_the_dead_letters_and_nothing_else_does(road: Road) -> None:
    assert road.wait(road.dead_letters) == [POISON]


def test_every_run_is_green_and_tells_of_its_days(road: Road) -> None:
    runs = [r for r in road.runs() if r.job_name.startswith("ingest_") and r.job_name != "ingest_visits"]
    assert {run.status.value for run in runs} == {"SUCCESS"}
    assert {run.job_name for run in runs} == {"ingest_flights", "ingest_weather", "ingest_airports"}
    told = road.metadata(["flights"], "2013-01-02")
    assert (told["dagster/partition_row_count"], told["rows loaded"], told["partitions"]) == (
        2,
        2,
        "flight_date=2013-01-02",
    )
    assert road.metadata(["quarantine", "flights_quarantine"], "2013-01-03")["faults"] == 2
    assert road.metadata(["landing", "weather_landing"], "2013-01-02")["files"] == 1


def test_killed_in_the_middle_of_work_it_comes_to_the_same_end(road: Road) -> None:
    """kill -9 for daemon, runs and readers while a batch is claimed; a new daemon finishes, and nothing is there twice."""
    before = road.look().sheet.objects
    for key, content in VISITS.items():
        road.put(key, content)
    road.wait(lambda: [b for b in road.gate.ledger.live_batches("visits") if b.lease_until is not None])
    assert road.kill_the_daemon() >= 3
    for key, content in CORRECTED.items():  # what lands while nobody is there waits in the queue
        road.put(key, content)
    assert road.look().sheet.outcome(Outcome.PENDING) > 0

    road.start_dagster()
    rest = road.await_rest(before + len(VISITS) + len(CORRECTED))

    assert rest.sheet.problems == ()
    assert {tuple(road.outcomes(key)) for key in VISITS} == {("loaded",)}
    assert road.rows(
        "SELECT count(*) AS n, count(DISTINCT id) AS ids, count(DISTINCT _source_file) AS files FROM visits"
    ) == [{"n": len(VISITS), "ids": len(VISITS), "files": len(VISITS)}]
    assert road.outcomes(CUT_KEY) == ["superseded", "loaded"]
    assert road.rows("SELECT faa FROM airports WHERE name LIKE 'T%'") == [{"faa": "TEB"}]
    ends = [run.status.value for run in road.runs() if run.job_name == "ingest_visits"]
    assert "SUCCESS" in ends
    assert "FAILURE" in ends


def _day(text: str) -> date:
    return date.fromisoformat(text)
