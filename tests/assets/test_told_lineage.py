"""Lineage of Dagster's runs: told by the run that did the work; what could not be told is a warning in its log."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import dagster as dg

from assets.keys import LAUNCH_TAG
from lakegate.definitions import build_defs
from tests.assets.stage import DEPARTURES, OpenGate, Stage, departures, key, staged
from tests.lineage.told import Told, as_json, dataset_of

DAY = "2024-02-01"


@dataclass
class Deaf(Told):
    """A sink that delivers nothing."""

    asked: list[str] = field(default_factory=list)

    def settle(self) -> Sequence[str]:
        self.asked.append("settle")
        return ("2 OpenLineage events were not delivered: ConnectionError: refused.",)


def _listening(stage: Stage, told: Told) -> Stage:
    gate = replace(stage.gate, lineage=told)
    return replace(stage, gate=gate, defs=build_defs(gate.datasets, OpenGate(gate)))


def _run(stage: Stage, *, raises: bool = True) -> dg.ExecuteInProcessResult:
    stage.world.put(key(DAY), departures(1, 2))
    (launch,) = stage.planned()
    return stage.run({LAUNCH_TAG: launch.run_key, "dagster/partition": DAY}, raises=raises)


def test_a_run_tells_of_its_batch_as_its_child(stage: Stage) -> None:
    told = Told()
    result = _run(_listening(stage, told))
    start, end = (as_json(news) for news in told.news)
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert end["run"]["facets"]["parent"]["run"]["runId"] == result.run_id
    table = dataset_of(end, "outputs", "AwsDataCatalog.lake.departures")
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 2


def test_what_great_expectations_says_is_told_too() -> None:
    text = DEPARTURES + "  - {expect_column_mean_to_be_between: {column: delay, max_value: 4}, severity: block}\n"
    told = Told()
    with dg.DagsterInstance.ephemeral() as instance, staged(instance, text) as stage:
        _run(_listening(stage, told), raises=False)  # it blocks what is downstream
    landing = dataset_of(as_json(told.news[-1]), "inputs", "landing/departures")
    *_, last = landing["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (last["name"], last["success"], last["column"], last["actual"], last["severity"]) == (
        "expectations[2].expect_column_mean_to_be_between",
        False,
        "delay",
        "observed 5",
        "error",
    )


def test_a_server_that_does_not_hear_leaves_the_run_green_with_a_warning(stage: Stage) -> None:
    deaf = Deaf()
    listening = _listening(stage, deaf)
    result = _run(listening)
    assert result.success
    assert deaf.asked == ["settle"]
    logs = listening.instance.all_logs(result.run_id)
    warnings = [one.user_message for one in logs if one.level == 30]
    assert warnings == ["2 OpenLineage events were not delivered: ConnectionError: refused."]
