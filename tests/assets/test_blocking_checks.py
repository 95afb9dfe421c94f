"""What a failed check stops: with severity `block` everything downstream, with `warn` nothing; the rows stay either way."""

from collections.abc import Iterator

import dagster as dg
import pytest

from pipelines.intake.receiving import receive
from tests.assets.stage import DEPARTURES, Stage, departures, key, staged

RULE = "rules:\n  - {{rule: delay <= 600, severity: {severity}}}\n"


@pytest.fixture(params=["block", "warn"])
def severity(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def stage(severity: str) -> Iterator[Stage]:
    text = DEPARTURES.split("expectations:", maxsplit=1)[0] + RULE.format(severity=severity)
    with dg.DagsterInstance.ephemeral() as instance, staged(instance, text) as found:
        yield found


def built(stage: Stage) -> dg.ExecuteInProcessResult:
    """Materialize the table of a day and an asset that somebody built on it."""

    @dg.asset(
        deps=["departures"], partitions_def=stage.repository.asset_graph.get(dg.AssetKey(["departures"])).partitions_def
    )
    def delays(context: dg.AssetExecutionContext) -> None:
        context.log.info(f"built for {context.partition_key}")

    receive(stage.gate, wait_s=0, budget_s=60)
    job = dg.define_asset_job("both", selection=["departures", "delays"])
    defs = dg.Definitions.merge(stage.defs, dg.Definitions(assets=[delays], jobs=[job]))
    return defs.resolve_job_def("both").execute_in_process(
        instance=stage.instance, partition_key="2024-02-01", raise_on_error=False
    )


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    events = result.get_asset_materialization_events()
    return {e.asset_key.to_user_string() for e in events if e.asset_key is not None} - {"landing/departures_landing"}


def test_a_breach_stops_what_is_downstream_only_where_it_blocks(stage: Stage, severity: str) -> None:
    stage.world.put(key("2024-02-01"), departures(1, delay=700))
    result = built(stage)
    assert materialized(result) == ({"departures"} if severity == "block" else {"departures", "delays"})
    assert [row["flight"] for row in stage.world.rows("departures")] == [1], "the rows are published and stay"


def test_without_a_breach_nothing_is_stopped(stage: Stage) -> None:
    stage.world.put(key("2024-02-01"), departures(1))
    assert materialized(built(stage)) == {"departures", "delays"}
