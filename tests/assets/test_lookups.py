"""The checks that ask the tables after the commit, as a run in Dagster answers them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import dagster as dg
import pytest

from assets.checks import check_results
from assets.lookups import lookup_specs
from assets.past import Past
from pipelines.errors import QueryFailedError
from pipelines.gate import Gate
from pipelines.ports import QueryResult
from pipelines.reports import BatchReport
from tests.assets.stage import DEPARTURES, OpenGate, Stage, departures, key, staged
from tests.ingest.world import World, dataset

AIRPORTS = """
name: airports
description: Airports; each file is the whole list.
landing: {key: "landing/airports/*.csv", start: 2024-01-01}
format: {type: csv}
columns:
  faa: {type: string, nullable: false}
primary_key: [faa]
primary_key_across_files: off
"""
REFERRING = DEPARTURES.replace("allowed: [EWR, JFK, LGA]", "references: airports.faa")
BLOCKING = (
    DEPARTURES.replace("allowed: [EWR, JFK, LGA]", "references: {dataset: airports, column: faa, severity: block}")
    + "primary_key_across_files: block\n"
)
NAMES = ("primary_key_unique", "references", "references_block")


def declared(text: str) -> dict[str, bool]:
    return {spec.name: bool(spec.blocking) for spec in lookup_specs(dataset(text))}


def answers(world: World, *reports: BatchReport, gate: Gate | None = None) -> dict[str, dg.AssetCheckResult]:
    of = world.datasets[0]
    found = check_results(of, reports, {}, (gate or world.gate()).queries, Past(date(2024, 3, 10)))
    return {result.check_name: result for result in found if result.check_name in NAMES}


def samples(result: dg.AssetCheckResult) -> list[dict[str, Any]]:
    table = result.metadata["samples"]
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records]


def world_of(*texts: str) -> World:
    return World(datasets=tuple(dataset(text) for text in texts))


def test_checks_are_declared_as_the_contract_asks() -> None:
    assert declared(AIRPORTS) == {}
    assert declared(DEPARTURES) == {"primary_key_unique": False}
    assert declared(REFERRING) == {"primary_key_unique": False, "references": False}
    assert declared(BLOCKING) == {"primary_key_unique": True, "references_block": True}
    descriptions = [spec.description or "" for spec in lookup_specs(dataset(REFERRING))]
    assert "(flight)" in descriptions[0]
    assert "`origin` in `airports.faa`" in descriptions[1]


def test_a_key_of_another_file_is_shown_with_both_sources() -> None:
    world = world_of(DEPARTURES)
    world.put(key("2024-02-01"), departures(1, 2))
    world.settle_down()
    world.put(key("2024-02-02", "b"), departures(2, 3))
    [report] = world.settle_down()
    found = answers(world, report)["primary_key_unique"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == (
        "1 key just published stands in another file too: send each row in one file, or correct primary_key."
    )
    assert samples(found) == [
        {
            "key": "flight=2",
            "published from": "landing/departures/2024-02-02/b.csv",
            "line": 2,
            "version": "v2",
            "also from": "landing/departures/2024-02-01/a.csv",
            "its line": 3,
            "its version": "v1",
            "rows": 2,
        }
    ]


def test_values_that_another_table_lacks_are_shown_with_a_place() -> None:
    world = world_of(REFERRING, AIRPORTS)
    world.put("landing/airports/a.csv", b"faa\nJFK\nLGA\n")
    world.put(key("2024-02-01"), b"flight,origin,delay\n1,EWR,5\n2,JFK,5\n3,EWR,5\n4,,5\n")
    reports = [r for r in world.settle_down() if r.dataset == "departures"]
    found = answers(world, *reports)["references"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "1 value of origin (2 rows) is not in airports.faa."
    assert samples(found) == [
        {
            "column": "origin",
            "value": "EWR",
            "not in": "airports.faa",
            "rows": 2,
            "first in": "landing/departures/2024-02-01/a.csv",
            "line": 2,
        }
    ]
    assert "EWR" not in (found.description or "")


def test_with_severity_block_a_failure_is_an_error() -> None:
    world = world_of(BLOCKING, AIRPORTS)
    world.put("landing/airports/a.csv", b"faa\nJFK\n")
    world.put(key("2024-02-01"), departures(1))
    world.put(key("2024-02-01", "b"), departures(1))
    reports = [r for r in world.settle_down() if r.dataset == "departures"]
    found = answers(world, *reports)
    assert {name: (r.passed, r.severity.value) for name, r in found.items()} == {
        "primary_key_unique": (False, "ERROR"),
        "references_block": (False, "ERROR"),
    }


def test_a_table_that_is_not_there_fails_the_check_with_the_reason() -> None:
    world = world_of(REFERRING, AIRPORTS)
    world.put(key("2024-02-01"), departures(1))
    found = answers(world, *world.settle_down())
    assert found["primary_key_unique"].passed
    assert not found["references"].passed
    assert (found["references"].description or "").startswith("Not looked up, so nothing is known: ")
    assert "airports" in (found["references"].description or "")


class NoAnswer:
    def query(self, sql: str) -> QueryResult:
        raise QueryFailedError(f"Insufficient permissions to execute a query of {min(len(sql), 1)}")


@pytest.mark.parametrize(("queries", "reason"), [(NoAnswer(), "Insufficient permissions"), (None, "no query engine")])
def test_without_an_answer_no_check_is_green(queries: Any, reason: str) -> None:
    world = world_of(REFERRING, AIRPORTS)
    world.put(key("2024-02-01"), departures(1))
    reports = world.settle_down()
    for result in answers(world, *reports, gate=replace(world.gate(), queries=queries)).values():
        assert not result.passed
        assert reason in (result.description or "")


def test_a_run_that_published_nothing_passes_and_says_so() -> None:
    world = world_of(REFERRING, AIRPORTS)
    world.put(key("2024-02-01"), b"flight,origin,delay\nx,EWR,5\n")
    for reports in ((), world.settle_down()):
        for result in answers(world, *reports, gate=replace(world.gate(), queries=NoAnswer())).values():
            assert result.passed
            assert result.description == "No rows were published: there was nothing to look up."


def test_rows_that_a_dead_attempt_published_are_looked_up_in_the_whole_table() -> None:
    world = world_of(DEPARTURES)
    world.put(key("2024-02-01"), departures(1))
    world.put(key("2024-02-02", "b"), departures(1))
    reports = world.settle_down()
    recognised = [replace(r, recognised=True, partitions=()) for r in reports]
    assert not answers(world, recognised[-1])["primary_key_unique"].passed


@pytest.fixture
def referring() -> Iterator[Stage]:
    with dg.DagsterInstance.ephemeral() as instance, staged(instance, REFERRING, AIRPORTS) as found:
        yield found


def test_a_run_in_dagster_answers_them_all(referring: Stage) -> None:
    world = referring.world
    world.put("landing/airports/a.csv", b"faa\nJFK\n")
    world.put(key("2024-02-01"), departures(1))
    world.put(key("2024-02-02", "b"), departures(1))
    for request in referring.tick().run_requests or ():
        result = referring.run_request(request)
        assert result.success
        if request.job_name == "ingest_departures":
            told = {e.check_name: e for e in result.get_asset_check_evaluations()}
            assert not told["primary_key_unique"].passed
            assert told["primary_key_unique"].severity is dg.AssetCheckSeverity.WARN
            assert "references" in told


def test_the_gate_that_runs_use_can_ask(referring: Stage) -> None:
    assert OpenGate(referring.gate).open().queries is not None
