"""The jobs by which a person has files processed again: what their forms take, what they refuse, what they leave behind."""

from typing import Any

import dagster as dg
import pytest

from pipelines.accounting.entries import LedgerEntry
from tests.assets.stage import BAD, Stage, departures, key

DAY = "2024-02-01"
OPS = {
    "replay_quarantine": "make_quarantined_files_due",
    "retry_failed_files": "make_failed_files_due",
    "process_again": "make_files_of_an_older_contract_due",
    "process_files": "make_files_due",
}


def run(stage: Stage, job: str, **config: Any) -> dg.ExecuteInProcessResult:
    return stage.repository.get_job(job).execute_in_process(
        run_config={"ops": {OPS[job]: {"config": config}}}, instance=stage.instance, raise_on_error=False
    )


def due_again(done: dg.ExecuteInProcessResult) -> int:
    assert done.success
    [output] = [e for e in done.all_events if e.is_successful_output]
    return output.event_specific_data.metadata["due again"].value  # type: ignore[union-attr,return-value]


def why_failed(done: dg.ExecuteInProcessResult) -> str:
    [event] = done.get_step_failure_events()
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data.description or ""


def entry(stage: Stage) -> LedgerEntry:
    return next(e for e in stage.world.entries() if e.version.key == key(DAY))


@pytest.fixture
def rejected(stage: Stage) -> Stage:
    stage.world.put(key(DAY), BAD)
    stage.world.put(key("2024-02-02"), departures(5))
    stage.world.settle_down()
    return stage


def test_a_replay_makes_files_due_and_the_landing_sensor_runs_them_as_a_replay(rejected: Stage) -> None:
    done = run(rejected, "replay_quarantine", dataset="departures", rule="type", asked_by="ann", why="a mended reader")
    assert due_again(done) == 1
    [request] = rejected.tick().run_requests
    assert (request.partition_key, request.tags["lakegate/trigger"]) == (DAY, "replay")
    assert rejected.run_request(request).success
    found = entry(rejected)
    assert (found.outcome, found.verdicts) == ("quarantined", 2)
    history = rejected.gate.ledger.history(found.version.bucket, found.version.key)
    words = f"replayed by ann with the Dagster run {done.run_id[:8]}: a mended reader"
    assert words in [h.reason for h in history]


def test_a_replay_of_another_rule_or_dataset_finds_nothing(rejected: Stage) -> None:
    assert due_again(run(rejected, "replay_quarantine", dataset="departures", rule="encoding")) == 0
    assert due_again(run(rejected, "replay_quarantine", dataset="readings")) == 0
    assert entry(rejected).outcome == "quarantined"


def test_a_replay_by_id(rejected: Stage) -> None:
    id_ = rejected.world.report_of(entry(rejected).version).id
    assert due_again(run(rejected, "replay_quarantine", ids=[id_])) == 1


@pytest.mark.parametrize(
    ("job", "config", "said"),
    [
        ("replay_quarantine", {}, "say which files"),
        ("replay_quarantine", {"ids": ["ffffffff"]}, "no file in quarantine has the id"),
        ("replay_quarantine", {"dataset": "nobody"}, "There is no dataset 'nobody'; known are: departures, readings."),
        ("replay_quarantine", {"dataset": "departures", "rule": "bad_luck"}, "'bad_luck' is no rule"),
        ("retry_failed_files", {"dataset": "nobody"}, "There is no dataset 'nobody'"),
        ("process_again", {"dataset": "nobody"}, "There is no dataset 'nobody'"),
        ("process_again", {"dataset": "departures", "first_day": "yesterday"}, "'yesterday' is not a day"),
        ("process_files", {"keys": []}, "say which files: their keys"),
        ("process_files", {"keys": [key(DAY), "landing/typo.csv"]}, "knows no object under landing/typo.csv"),
        (
            "process_files",
            {"keys": [key(DAY)], "dataset": "readings"},
            "belongs to the dataset departures, not to readings",
        ),
    ],
)
def test_a_form_filled_in_wrongly_fails_with_what_is_wrong_and_changes_nothing(
    rejected: Stage, job: str, config: dict[str, Any], said: str
) -> None:
    done = run(rejected, job, **config)
    assert not done.success
    assert said in why_failed(done)
    assert entry(rejected).outcome == "quarantined"


def test_files_by_their_keys_are_run_by_the_landing_sensor(rejected: Stage) -> None:
    good = key("2024-02-02")
    assert due_again(run(rejected, "process_files", keys=[good], force=False)) == 0
    assert due_again(run(rejected, "process_files", keys=[good, good], dataset="departures")) == 1
    [request] = rejected.tick().run_requests
    assert (request.partition_key, request.tags["lakegate/trigger"]) == ("2024-02-02", "replay")
    assert rejected.run_request(request).success
    assert entry(rejected).verdicts == 1


def test_a_file_that_no_dataset_claims_is_not_made_due(rejected: Stage) -> None:
    rejected.world.put("landing/elsewhere/a.csv", b"x")
    rejected.world.settle_down()
    done = run(rejected, "process_files", keys=["landing/elsewhere/a.csv"])
    assert "is claimed by no dataset" in why_failed(done)


def test_nothing_failed_is_nothing_to_retry(rejected: Stage) -> None:
    assert due_again(run(rejected, "retry_failed_files", reason="AccessDenied")) == 0


def test_each_job_says_that_the_landing_sensor_does_the_work_and_each_field_is_explained(stage: Stage) -> None:
    for name, op in OPS.items():
        job = stage.repository.get_job(name)
        assert "landing sensor" in (job.description or "")
        fields = job.get_node_named(op).definition.config_schema.config_type.fields  # type: ignore[attr-defined]
        assert all(one.description for one in fields.values())
        assert "why" in fields
