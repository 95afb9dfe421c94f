"""The alert sensor, evaluated as the daemon does it: who is told what, over a real HTTP endpoint where it matters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from lakegate.definitions import build_defs
from pipelines.contracts.loading import DatasetCatalog
from pipelines.errors import ConfigurationError, PermanentError
from pipelines.ports import AlertChannel
from resources.alerts import AlertsResource, WebhookChannel
from sensors.alerts import NO_CHANNEL
from tests.alerting.rounds import Kept
from tests.assets.stage import BAD, OpenGate, Stage, departures, key
from tests.resources.webhook_server import Webhook, webhook

DAY = "2024-03-09"


@dataclass(frozen=True)
class Channels:
    """What stands for the resource."""

    made: Sequence[AlertChannel]

    def channels(self) -> Sequence[AlertChannel]:
        return self.made


@dataclass
class Watch:
    """The sensor with the cursor it was left with."""

    stage: Stage
    channels: Sequence[AlertChannel]
    cursor: str | None = None

    def tick(self, minutes: float = 1) -> str:
        """What the tick says."""
        self.stage.world.clock.turn(minutes * 60)
        found = self.evaluate()
        self.cursor = found.cursor
        return found.skip_message

    def evaluate(self) -> Any:
        resources = {"gate": OpenGate(self.stage.gate), "alerts": Channels(self.channels)}
        with dg.build_sensor_context(
            instance=self.stage.instance,
            repository_def=self.stage.repository,
            cursor=self.cursor,
            resources=resources,
        ) as context:
            return self.stage.repository.get_sensor_def("alert_sensor").evaluate_tick(context)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as found:
        yield found


def documents(hook: Webhook) -> list[dict[str, Any]]:
    return [json.loads(body) for _, _, body in hook.took]


def test_a_quarantined_file_is_told_once_over_http_and_when_it_was_corrected(stage: Stage, hook: Webhook) -> None:
    watch = Watch(stage, [WebhookChannel(hook.address)])
    assert watch.tick() == "nothing is wrong, nothing new to tell"
    stage.world.put(key(DAY), BAD)
    stage.world.settle_down()
    assert watch.tick() == f"1 thing wrong, told; webhook (127.0.0.1:{hook.port}): 1 alert in 1 message"
    assert watch.tick() == "1 thing wrong, nothing new to tell"
    [told] = documents(hook)
    [alert] = told["alerts"]
    assert (alert["dataset"], alert["owner"], alert["reason"], alert["event"]) == (
        "departures",
        "team:aviation",
        "type",
        "new",
    )
    assert [(i["name"], i["line"], i["column"]) for i in alert["items"]] == [(key(DAY), 3, "flight")]
    assert f"`{key(DAY)}`, line 3, column `flight`" in told["text"]
    stage.world.put(key(DAY), departures(1))
    stage.world.settle_down()
    watch.tick()
    assert "told" in watch.tick(15)
    assert documents(hook)[1]["alerts"][0]["event"] == "over"


def test_a_thousand_bad_files_of_three_reasons_in_two_datasets_are_a_few_messages(stage: Stage) -> None:
    kept = Kept()
    watch = Watch(stage, [kept])
    reasons = [b"flight,origin,delay\nx,EWR,5\n", b"flight,origin,delay\n1,EWR\n", b"flight,origin,delay\n1,ORD,5\n"]
    for part in range(4):
        for number in range(part * 250, part * 250 + 250):
            if number % 2:
                stage.world.put(key(DAY, f"{number}"), reasons[number % 3])
            else:
                stage.world.put(f"landing/readings/{number}.csv", (b"id\nx\n", b"id\n1,2\n", b'id\n"1\n')[number % 3])
        stage.world.settle_down()
        watch.tick()
    assert len(kept.took) <= 3
    last = watch.tick(300)
    assert "told; kept (here): 6 alerts in 1 message" in last
    alerts: Any = kept.took[-1].document["alerts"]
    assert sum(alert["count"] for alert in alerts) == 1000
    assert sorted({alert["dataset"] for alert in alerts}) == ["departures", "readings"]
    assert len(watch.cursor or "") < 5_000


def test_a_restart_of_the_daemon_repeats_nothing(stage: Stage) -> None:
    kept = Kept()
    watch = Watch(stage, [kept])
    stage.world.put(key(DAY), BAD)
    stage.world.settle_down()
    watch.tick()
    stage.defs = build_defs(DatasetCatalog(stage.world.datasets), OpenGate(stage.gate))
    stage.gate = stage.world.gate()
    Watch(stage, [kept], watch.cursor).tick()
    assert len(kept.took) == 1


def test_a_tick_that_dies_after_the_message_is_repeated_once_under_the_same_id(stage: Stage) -> None:
    class Dying(Kept):
        def send(self, message: Any) -> None:
            super().send(message)
            if len(self.took) == 1:
                raise KeyboardInterrupt

    kept = Dying()
    watch = Watch(stage, [kept])
    stage.world.put(key(DAY), BAD)
    stage.world.settle_down()
    with pytest.raises(KeyboardInterrupt):
        watch.evaluate()
    for _ in range(5):
        watch.tick()
    assert [m.id for m in kept.took] == [kept.took[0].id] * 2


def test_an_endpoint_that_is_down_gets_all_later_and_holds_no_other_channel(stage: Stage, hook: Webhook) -> None:
    kept = Kept()
    hook.status = 500
    watch = Watch(stage, [WebhookChannel(hook.address), kept])
    stage.world.put(key(DAY), BAD)
    stage.world.settle_down()
    said = watch.tick()
    assert "1 alert not taken and sent again in a minute: it answered 500" in said
    assert "kept (here): 1 alert in 1 message" in said
    stage.world.put(key(DAY, "b"), BAD)
    stage.world.settle_down()
    hook.status = 200
    assert "webhook" in watch.tick()
    assert [alert["count"] for alert in documents(hook)[-1]["alerts"]] == [2]
    assert len(kept.took) == 1


def test_without_a_channel_the_tick_and_the_description_say_that_nobody_is_told(stage: Stage) -> None:
    assert Watch(stage, []).tick() == NO_CHANNEL
    assert NO_CHANNEL in (stage.repository.get_sensor_def("alert_sensor").description or "")
    told = build_defs(
        DatasetCatalog(stage.world.datasets), OpenGate(stage.gate), channels=["sns (topic x)", "webhook (y)"]
    )
    description = told.get_repository_def().get_sensor_def("alert_sensor").description or ""
    assert description.endswith("It tells sns (topic x) and webhook (y).")


def test_a_wrong_setting_is_said_by_the_tick_and_takes_nothing_else_down(stage: Stage) -> None:
    class Wrong:
        def channels(self) -> Sequence[AlertChannel]:
            raise ConfigurationError("LAKEGATE_ALERT_WEBHOOK must begin with https://")

    with dg.build_sensor_context(
        instance=stage.instance,
        repository_def=stage.repository,
        resources={"gate": OpenGate(stage.gate), "alerts": Wrong()},
    ) as context:
        found = stage.repository.get_sensor_def("alert_sensor").evaluate_tick(context)
    assert found.skip_message == "Nobody is told: LAKEGATE_ALERT_WEBHOOK must begin with https://"


def test_the_committed_definitions_bring_the_resource(stage: Stage) -> None:
    assert isinstance((stage.defs.resources or {})["alerts"], AlertsResource)


@dataclass
class Refusing:
    """Glue, while it refuses every commit."""

    commit_anyhow: Any
    refuses: bool = True

    def commit(self, of: Any, change: Any) -> Any:
        if self.refuses:
            raise PermanentError("committing s3://lakegate-123456789012-x: AccessDenied", code="AccessDenied")
        return self.commit_anyhow(of, change)


def refusing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Refusing:
    glue = Refusing(stage.world.tables.commit)
    monkeypatch.setattr(stage.world.tables, "commit", glue.commit)
    return glue


def run_next(stage: Stage) -> bool:
    """Whether the run that the landing sensor asks for an hour later succeeds."""
    stage.world.clock.turn(3600)
    [request] = stage.tick().run_requests
    return stage.run_request(request, raises=False).success


def test_failed_runs_are_one_alert_a_dataset_and_reason_with_their_pages(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(stage, monkeypatch)
    kept = Kept()
    watch = Watch(stage, [kept])
    stage.world.put(key(DAY), departures(1))
    assert not any(run_next(stage) for _ in range(3))
    watch.tick()
    [alert] = kept.took[0].document["alerts"]  # type: ignore[misc]
    assert (alert["kind"], alert["dataset"], alert["count"], alert["severity"]) == (
        "run_failure",
        "departures",
        3,
        "warning",
    )
    assert alert["reason"] == "PermanentError"
    runs = [r.run_id for r in stage.instance.get_runs()]
    assert {item["name"] for item in alert["items"]} == {f"run {run_id}" for run_id in runs}
    assert "123456789012" not in json.dumps(kept.took[0].document)
    watch.tick()
    assert len(kept.took) == 1


def test_a_job_that_runs_again_ends_the_alert_only_after_an_hour_without_a_failure(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    glue = refusing(stage, monkeypatch)
    kept = Kept()
    watch = Watch(stage, [kept])
    stage.world.put(key(DAY), departures(1))
    assert not run_next(stage)
    watch.tick()
    glue.refuses = False
    assert run_next(stage)
    assert "1 thing wrong" in watch.tick(), "the failure is of just now: files fail and succeed in turns"
    monkeypatch.setattr("sensors.alert_records._QUIET", timedelta(days=-10_000))
    assert "nothing is wrong" in watch.tick()
    assert "told" in watch.tick(15)
    assert [alert["event"] for alert in kept.took[-1].document["alerts"]] == ["over"]  # type: ignore[attr-defined]


def test_runs_from_the_ui_are_told_with_those_of_the_sensor_and_each_dataset_by_itself(stage: Stage) -> None:
    @dg.job
    def nightly() -> None:
        return None

    for dataset in ("departures", "departures", "readings", None):
        run = stage.instance.create_run_for_job(nightly, tags={"lakegate/dataset": dataset} if dataset else {})
        stage.instance.report_run_failed(run, message="the worker died")
    kept = Kept()
    Watch(stage, [kept]).tick()
    told = {alert["dataset"]: alert["what"] for message in kept.took for alert in message.document["alerts"]}  # type: ignore[attr-defined]
    assert told == {
        "departures": "departures: 2 runs failed: the worker died",
        "readings": "readings: 1 run failed: the worker died",
        None: "1 run of nightly failed: the worker died",
    }


def test_a_job_that_is_no_ingestion_is_told_by_its_name(stage: Stage) -> None:
    class Silent:
        def __getattr__(self, name: str) -> Any:
            raise PermanentError("listing: AccessDenied", code="AccessDenied")

    stage.world.store = Silent()  # type: ignore[assignment]
    gate = stage.world.gate()
    repository = build_defs(DatasetCatalog(stage.world.datasets), OpenGate(gate)).get_repository_def()
    repository.get_job("sweep").execute_in_process(instance=stage.instance, raise_on_error=False)
    kept = Kept()
    Watch(stage, [kept]).tick()
    [alert] = kept.took[0].document["alerts"]  # type: ignore[misc]
    assert (alert["dataset"], alert["reason"], alert["severity"]) == (None, "sweep: PermanentError", "error")
    assert alert["what"] == "1 run of sweep failed: PermanentError"


def test_what_the_sweep_found_and_books_that_do_not_add_up_are_told(stage: Stage) -> None:
    kept = Kept()
    watch = Watch(stage, [kept])
    stage.world.put(key(DAY), departures(1, 2), events=0)
    stage.world.clock.turn(3600)
    operations = stage.repository.get_job("sweep")
    operations.execute_in_process(instance=stage.instance, raise_on_error=False)
    watch.tick()
    told = {alert["kind"]: alert for message in kept.took for alert in message.document["alerts"]}  # type: ignore[attr-defined]
    assert "the sweep found 1 file and 0 deletions that no event had told of" in told["missing_events"]["what"]
    assert "books" not in told
    stage.world.settle_down()
    stage.world.tables = type(stage.world.tables)()
    broken = build_defs(DatasetCatalog(stage.world.datasets), OpenGate(stage.world.gate())).get_repository_def()
    broken.get_job("sweep").execute_in_process(instance=stage.instance, raise_on_error=False)
    watch.tick()
    [alert] = kept.took[-1].document["alerts"]  # type: ignore[misc]
    assert (alert["kind"], alert["severity"], alert["reason"]) == ("books", "critical", "balance_sheet_adds_up")
    assert "do not add up" in alert["happened"]


def test_a_blocking_check_that_fails_is_told_by_name(stage: Stage) -> None:
    kept = Kept()
    watch = Watch(stage, [kept])

    def evaluated(passed: bool) -> None:
        stage.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey("departures"),
                check_name="rows_reconciled",
                passed=passed,
                description="secret cell",
            )
        )

    evaluated(passed=True)
    assert watch.tick() == "nothing is wrong, nothing new to tell"
    evaluated(passed=False)
    watch.tick()
    [alert] = kept.took[0].document["alerts"]  # type: ignore[misc]
    assert (alert["kind"], alert["dataset"], alert["reason"]) == ("check_failed", "departures", "rows_reconciled")
    assert "secret" not in json.dumps(kept.took[0].document)
    evaluated(passed=True)
    watch.tick()
    assert "told" in watch.tick(15)


def test_when_the_ledger_does_not_answer_that_is_told_after_five_minutes(stage: Stage) -> None:
    kept = Kept()
    watch = Watch(stage, [kept])
    stage.world.put(key(DAY), BAD)
    stage.world.settle_down()
    watch.tick()
    items = stage.world.items

    class Dead:
        def __getattr__(self, name: str) -> Any:
            raise PermanentError("querying the ledger: AccessDenied", code="AccessDenied")

    stage.world.items = Dead()  # type: ignore[assignment]
    stage.gate = stage.world.gate()
    assert watch.tick() == "1 thing wrong, nothing new to tell"
    watch.tick(30)
    assert kept.subjects[1:] == ["cannot see what is wrong: AccessDenied"]
    stage.world.items = items
    stage.gate = stage.world.gate()
    watch.tick()
    watch.tick(20)
    assert kept.subjects[2:] == ["over: the sensor sees again what is wrong (AccessDenied)"]
