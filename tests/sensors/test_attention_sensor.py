"""The attention sensor, evaluated as the daemon does it: failed files and older contracts turn their checks, once."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from assets.freshness import freshness_policy
from assets.standing import build_standing_checks, failed_standing
from lakegate.definitions import build_defs
from pipelines.accounting.breaker import BreakerPolicy
from pipelines.accounting.entries import RetryPolicy
from pipelines.contracts.loading import DatasetCatalog
from pipelines.errors import TransientError
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.replay import Asked, retry_failed
from tests.assets.stage import BAD, DEPARTURES, OpenGate, Stage, departures, key
from tests.ingest.world import dataset

DAY = "2024-02-01"


@dataclass
class Unreadable:
    """An object store that does not answer for some keys."""

    inner: Any
    keys: set[str] = field(default_factory=set)

    def read(self, version: ObjectVersion) -> Any:
        if version.key in self.keys:
            raise TransientError(f"reading s3://bucket/{version.key}: AccessDenied: <b>no</b>\x1b[31m")
        return self.inner.read(version)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def tick(stage: Stage, cursor: str | None = None) -> Any:
    with dg.build_sensor_context(
        instance=stage.instance,
        repository_def=stage.repository,
        cursor=cursor,
        resources={"gate": OpenGate(stage.gate)},
    ) as context:
        return stage.repository.get_sensor_def("attention_sensor").evaluate_tick(context)


def told(found: Any) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    return {(e.asset_key.to_user_string(), e.check_name): e for e in found.asset_events}


def fail(stage: Stage, *names: str) -> Unreadable:
    """Files whose attempts are used up."""
    stage.world.policy, stage.world.breaker = RetryPolicy(passing_attempts=5), BreakerPolicy(faults=1000)
    store = Unreadable(stage.world.store, {key(DAY, name) for name in names})
    stage.world.store = store  # type: ignore[assignment]
    stage.gate = stage.world.gate()
    for number, name in enumerate(names, 1):
        stage.world.put(key(DAY, name), departures(number))
    stage.world.settle_down()
    return store


def under(stage: Stage, text: str) -> None:
    """The contract changes, and the code location is loaded again."""
    changed = dataset(text)
    stage.world.datasets = (changed, *stage.world.datasets[1:])
    stage.gate = stage.world.gate()
    stage.defs = build_defs(DatasetCatalog(stage.world.datasets), OpenGate(stage.gate))


def test_all_checks_are_answered_once_and_then_left_alone(stage: Stage) -> None:
    first = tick(stage)
    assert {name: e.passed for name, e in told(first).items()} == {
        ("departures", "no_failed_files"): True,
        ("departures", "contract_is_current"): True,
        ("readings", "no_failed_files"): True,
        ("readings", "contract_is_current"): True,
    }
    assert tick(stage, first.cursor).skip_message == "nothing has changed that waits for a person; looked at 2 datasets"


@pytest.mark.parametrize("cursor", ["", "not json", "[]", "{}"])
def test_a_cursor_that_says_nothing_begins_anew(stage: Stage, cursor: str) -> None:
    assert len(told(tick(stage, cursor))) == 4


def test_a_failed_file_turns_the_check_red_with_its_error_and_what_to_do(stage: Stage) -> None:
    cursor = tick(stage).cursor
    store = fail(stage, "a", "b")
    seen = tick(stage, cursor)
    [((asset, check), verdict)] = told(seen).items()
    assert (asset, check, verdict.passed) == ("departures", "no_failed_files", False)
    assert verdict.severity is dg.AssetCheckSeverity.ERROR
    assert (verdict.description or "").startswith("2 files failed: nothing of them is lost")
    assert "`lakegate failed retry --dataset departures`" in (verdict.description or "")
    [reason] = verdict.metadata["reasons"].records  # type: ignore[union-attr]
    assert dict(reason.data) == {"reason": "reading …: AccessDenied: <b>no</b>\\x1b[…m", "files": 2}
    files = [dict(r.data) for r in verdict.metadata["failed files"].records]  # type: ignore[union-attr]
    assert {f["file"] for f in files} == {key(DAY, "a"), key(DAY, "b")}
    assert "\x1b" not in files[0]["error"]
    assert tick(stage, seen.cursor).asset_events == []

    store.keys.clear()
    retry_failed(stage.gate.ledger, Asked("ann"))
    stage.world.settle_down()
    assert [e.passed for e in told(tick(stage, seen.cursor)).values()] == [True]


def test_a_file_that_fails_once_more_is_told_of_anew(stage: Stage) -> None:
    fail(stage, "a")
    before = tick(stage)
    retry_failed(stage.gate.ledger, Asked("ann"))
    stage.world.settle_down()
    assert [e.passed for e in told(tick(stage, before.cursor)).values()] == [False]


def test_of_many_failed_files_a_hundred_are_shown(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assets.standing._SHOWN", 3)
    fail(stage, *(f"f{n}" for n in range(5)))
    found = failed_standing(stage.gate.ledger, stage.world.datasets[0])
    assert found.description.startswith("3 files or more failed")
    assert len(found.metadata["failed files"].records) == 3  # type: ignore[attr-defined]


def test_an_older_contract_is_a_warning_until_all_was_processed_again(stage: Stage) -> None:
    stage.world.put(key(DAY), departures(1, 2))
    stage.world.put(key("2024-02-02"), BAD)
    stage.world.settle_down()
    cursor = tick(stage).cursor
    under(stage, DEPARTURES.replace("delay: {type: int}", "delay: {type: int, max: 9}"))
    changed = tick(stage, cursor)
    [((asset, check), verdict)] = told(changed).items()
    assert (asset, check, verdict.passed) == ("departures", "contract_is_current", False)
    assert verdict.severity is dg.AssetCheckSeverity.WARN
    assert verdict.description == (
        "1 file in the table was read under an older contract; 1 file was turned away under an older contract (of 2 days from "
        "2024-02-01 to 2024-02-02). To process again what an older contract judged: lakegate datasets impact departures --process "
        "(or the job `process_again`)"
    )
    assert verdict.metadata["files to process again"].value == 2
    assert tick(stage, changed.cursor).asset_events == []

    process(stage, {"dataset": "departures", "first_day": DAY, "last_day": DAY})
    stage.world.settle_down()
    some = tick(stage, changed.cursor)
    assert [e.metadata["files to process again"].value for e in told(some).values()] == [1]
    process(stage, {"dataset": "departures"})
    stage.world.settle_down()
    assert [e.passed for e in told(tick(stage, some.cursor)).values()] == [True]


def process(stage: Stage, config: dict[str, Any]) -> None:
    job = stage.repository.get_job("process_again")
    op = {"ops": {"make_files_of_an_older_contract_due": {"config": config}}}
    assert job.execute_in_process(run_config=op, instance=stage.instance).success


def test_what_was_current_is_not_counted_again_until_the_contract_changes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.world.put(key(DAY), departures(1))
    stage.world.settle_down()
    cursor = tick(stage).cursor
    asked: list[str] = []
    query = stage.world.items.query

    def noted(pk: str, **how: Any) -> Any:
        asked.append(pk)
        return query(pk, **how)

    monkeypatch.setattr(stage.world.items, "query", noted)
    tick(stage, cursor)
    assert asked == []


def test_the_checks_can_be_executed_by_hand_and_are_left_out_of_what_ingests(stage: Stage) -> None:
    fail(stage, "a")
    look = build_standing_checks(stage.world.datasets[0])
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([look], instance=instance, resources={"gate": OpenGate(stage.gate)}, selection=dg.AssetSelection.all_asset_checks())  # fmt: skip
    assert {e.check_name: e.passed for e in done.get_asset_check_evaluations()} == {
        "no_failed_files": False,
        "contract_is_current": True,
    }
    stage.world.put(key("2024-02-02"), departures(9))
    [request] = stage.tick().run_requests
    names = {e.check_name for e in stage.run_request(request).get_asset_check_evaluations()}
    assert "rows_reconciled" in names
    assert not names & {"no_failed_files", "contract_is_current"}


def test_one_dataset_says_nothing_of_another(stage: Stage) -> None:
    fail(stage, "a")
    passed = {name: e.passed for name, e in told(tick(stage)).items()}
    assert passed["departures", "no_failed_files"] is False
    assert passed["readings", "no_failed_files"] is True


WORKDAYS = 'freshness: {due_by: "08:00", weekdays: [mon, tue, wed, thu, fri], zone: Europe/Berlin}\n'


def at(stage: Stage, moment: str) -> None:
    stage.world.clock.now = datetime.fromisoformat(moment).replace(tzinfo=UTC)


def loaded(stage: Stage, name: str) -> None:
    """A file that came and that a run of the landing sensor loaded."""
    stage.world.put(name, departures(1))
    [request] = stage.tick().run_requests
    stage.run_request(request)


def test_a_late_file_is_told_with_its_landing_day_and_a_weekend_is_no_alarm(stage: Stage) -> None:
    under(stage, DEPARTURES + WORKDAYS)
    at(stage, "2024-03-08T06:00")  # a Friday
    first = tick(stage)
    assert str(told(first)["departures", "fresh"].description).startswith("No file has been loaded yet")
    loaded(stage, key("2024-03-08"))
    in_time = tick(stage, first.cursor)
    assert told(in_time)["departures", "fresh"].description == (
        "Files come when they are due: one by 08:00 on mon, tue, wed, thu, fri (Europe/Berlin)."
    )
    at(stage, "2024-03-11T06:59")
    assert ("departures", "fresh") not in told(tick(stage, in_time.cursor))
    at(stage, "2024-03-11T07:00")
    late = tick(stage, in_time.cursor)
    found = told(late)["departures", "fresh"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == (
        "No file has come since Friday 2024-03-08 06:00 UTC. One was due by Monday 2024-03-11 08:00 CET. The newest landing day with "
        "rows is 2024-03-08; of 2024-03-09 and later there is nothing. Look whether one waits in quarantine or failed; if none came, "
        "ask the producer."
    )
    assert ("departures", "fresh") not in told(tick(stage, late.cursor)), "told once"
    at(stage, "2024-03-12T09:00")
    later = tick(stage, late.cursor)
    assert told(later)["departures", "fresh"].severity is dg.AssetCheckSeverity.ERROR
    loaded(stage, key("2024-03-12"))
    assert told(tick(stage, later.cursor))["departures", "fresh"].passed


def test_a_day_processed_again_by_hand_is_no_file_that_came(stage: Stage) -> None:
    under(stage, DEPARTURES + "freshness: {expected_every: P1D}\n")
    loaded(stage, key("2024-03-10"))
    stage.world.clock.turn(30 * 3600)
    stage.run({"dagster/partition": "2024-03-10"})
    assert not told(tick(stage))["departures", "fresh"].passed
    assert stage.check("fresh")["fresh"].description == told(tick(stage))["departures", "fresh"].description


def test_where_the_contract_says_nothing_of_freshness_there_is_no_such_check(stage: Stage) -> None:
    assert not [name for _, name in told(tick(stage)) if name == "fresh"]
    policies = {
        "freshness: {expected_every: P1D}\n": dg.FreshnessPolicy.time_window(
            fail_window=timedelta(days=2), warn_window=timedelta(days=1)
        ),
        WORKDAYS: dg.FreshnessPolicy.cron(
            deadline_cron="0 8 * * mon,tue,wed,thu,fri", lower_bound_delta=timedelta(days=1), timezone="Europe/Berlin"
        ),
        "": None,
    }
    for text, policy in policies.items():
        assert freshness_policy(dataset(DEPARTURES + text)) == policy
