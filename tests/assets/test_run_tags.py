"""The tags of a run: there from the start where the sensor asked for it, and as soon as it knows where a person did."""

from datetime import date

import dagster as dg
import pytest

from assets.run_tags import PRIORITIES, days_tag, tags_of_launch
from pipelines.accounting.states import Lane
from pipelines.intake.dispatching import Launch
from pipelines.telemetry.tracing import trace_of
from tests.assets.stage import Stage, days, departures, key

DAY = "2024-02-01"


def tags(stage: Stage, run_id: str) -> dict[str, str]:
    run = stage.instance.get_run_by_id(run_id)
    assert run is not None
    return {name: value for name, value in run.tags.items() if name.startswith("lakegate/")}


def test_a_requested_run_says_what_it_is_for_and_where_it_stands_in_the_queue() -> None:
    launch = Launch("k", "flights", "event", ("b1", "b2"), (date(2024, 2, 1), date(2024, 2, 3)), Lane.FRESH)
    assert tags_of_launch(launch) == {
        "lakegate/launch": "k",
        "lakegate/trigger": "event",
        "lakegate/lane": "fresh",
        "lakegate/dataset": "flights",
        "lakegate/day": "2024-02-01..2024-02-03",
        "lakegate/batch": "b1",
        "lakegate/trace": trace_of("b1"),
        "dagster/priority": "30",
    }


def test_fresh_files_go_before_what_is_asked_for_before_the_backlog_and_a_backfill_comes_last() -> None:
    assert [PRIORITIES[lane] for lane in Lane] == sorted({PRIORITIES[lane] for lane in Lane}, reverse=True)
    # Dagster gives a backfill's runs none, which counts as 0.
    assert min(PRIORITIES.values()) > 0


def test_the_backlog_and_what_is_asked_for_share_the_places_of_old_files() -> None:
    lanes = [
        tags_of_launch(Launch("k", "f", "event", ("b",), (date(2024, 2, 1),), lane))["lakegate/lane"] for lane in Lane
    ]
    assert lanes == ["fresh", "backlog", "backlog"]


@pytest.mark.parametrize(
    ("some", "said"), [([date(2024, 2, 1)], DAY), ([date(2024, 2, 3), date(2024, 2, 1)], "2024-02-01..2024-02-03")]
)
def test_days_are_one_or_the_first_and_the_last(some: list[date], said: str) -> None:
    assert days_tag(some) == said


def test_a_run_from_the_ui_is_tagged_when_it_begins(stage: Stage) -> None:
    stage.world.put(key(DAY), departures(1))
    stage.world.put(key("2024-02-02"), departures(2))
    stage.world.settle_down()
    one = stage.run({"dagster/partition": DAY})
    [batch] = stage.gate.ledger.batches_of_run(one.run_id)
    assert tags(stage, one.run_id) == {
        "lakegate/dataset": "departures",
        "lakegate/day": DAY,
        "lakegate/trigger": "backfill",
        "lakegate/batch": batch.batch_id,
        "lakegate/trace": trace_of(batch.batch_id),
    }
    several = stage.run(days(DAY, "2024-02-03"))
    found = tags(stage, several.run_id)
    assert found["lakegate/day"] == "2024-02-01..2024-02-03"
    assert found["lakegate/batch"] == stage.gate.ledger.batches_of_run(several.run_id)[0].batch_id
    of_day = stage.instance.get_runs(dg.RunsFilter(tags={"lakegate/day": DAY, "lakegate/trigger": "backfill"}))
    assert [run.run_id for run in of_day] == [one.run_id]


def test_a_run_over_several_datasets_names_them_all(stage: Stage) -> None:
    """As a backfill of several tables makes them: one run, one step for each."""
    for at, content in ((key(DAY), departures(1)), ("landing/readings/r.csv", b"id\n1\n")):
        stage.world.put(at, content)
    stage.world.settle_down()
    tables = dg.AssetSelection.assets("departures", "readings")
    jobs = dg.Definitions.merge(stage.defs, dg.Definitions(jobs=[dg.define_asset_job("both", tables)]))
    job = jobs.get_repository_def().get_job("both")
    done = job.execute_in_process(instance=stage.instance, partition_key="2024-03-10", raise_on_error=False)
    assert done.success
    assert tags(stage, done.run_id)["lakegate/dataset"] == "departures,readings"


def test_a_run_without_a_file_to_process_has_no_batch_and_is_green(stage: Stage) -> None:
    done = stage.run({"dagster/partition": DAY})
    assert done.success
    assert tags(stage, done.run_id) == {
        "lakegate/dataset": "departures",
        "lakegate/day": DAY,
        "lakegate/trigger": "backfill",
    }


def test_the_runs_that_the_sensor_asks_for_carry_the_tags(stage: Stage) -> None:
    for number, day in enumerate((DAY, "2024-02-02"), 1):
        stage.world.put(key(day), departures(number))
    [request] = stage.tick().run_requests
    first, second = sorted(stage.gate.ledger.live_batches("departures"), key=lambda b: b.landing_day)
    assert {n: v for n, v in request.tags.items() if n.startswith(("lakegate/", "dagster/priority"))} == {
        "lakegate/launch": first.run_key,
        "lakegate/dataset": "departures",
        "lakegate/day": "2024-02-01..2024-02-02",
        "lakegate/batch": first.batch_id,
        "lakegate/trace": trace_of(first.batch_id),
        "lakegate/trigger": "event",
        "lakegate/lane": "fresh",
        "dagster/priority": "30",
    }
    assert second.run_key == first.run_key
