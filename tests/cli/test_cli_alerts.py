"""`lakegate alerts` against the laptop's AWS and a webhook on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from resources.environment import Deployment
from tests.cli.command import lakegate
from tests.resources.webhook_server import Webhook, webhook

pytestmark = pytest.mark.aws
HOOK, TOPIC = "LAKEGATE_ALERT_WEBHOOK", "LAKEGATE_ALERT_TOPIC"


@pytest.fixture
def hook(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    for name, value in deployment.to_environment().items():
        monkeypatch.setenv(name, value)
    with webhook() as found:
        monkeypatch.setenv(HOOK, found.address)
        yield found


def test_a_test_alert_goes_over_each_channel_and_what_became_of_it_is_said(hook: Webhook) -> None:
    answer = lakegate("alerts", "test")
    assert answer.code == 0
    first, second = answer.out.splitlines()
    assert first in (
        "sns (topic lakegate-alerts): taken",
        "sns (topic lakegate-alerts): taken, but nobody has subscribed to the topic: nobody reads it",
    )
    assert second == f"webhook (127.0.0.1:{hook.port}): taken"
    [(_, _, body)] = hook.took
    [alert] = json.loads(body)["alerts"]
    assert (alert["kind"], alert["what"]) == ("test", "this is a test")


def test_a_channel_that_does_not_take_it_is_exit_code_3_and_the_others_are_tried(
    hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.status = 500
    monkeypatch.setenv(TOPIC, "arn:aws:sns:us-east-1:000000000000:nowhere")
    answer = lakegate("alerts", "test", "--json")
    assert answer.code == 3
    sns, posted = answer.json["channels"]
    assert (sns["channel"], sns["taken"]) == ("sns", False)
    assert "publishing to the topic nowhere: " in sns["said"]
    assert "000000000000" not in answer.out
    assert posted["said"] == "not taken: it answered 500: ok"


def test_without_a_channel_that_is_said(hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HOOK)
    monkeypatch.delenv(TOPIC)
    answer = lakegate("alerts", "test")
    assert answer.code == 2
    assert "No channel is configured: set LAKEGATE_ALERT_TOPIC or LAKEGATE_ALERT_WEBHOOK" in answer.err
    assert "No channel is configured" in lakegate("alerts").out


def test_what_is_wrong_is_shown_and_nothing_is_sent(hook: Webhook) -> None:
    from pipelines.accounting.pauses import Pauses
    from pipelines.contracts.loading import DatasetCatalog
    from resources.assembly import open_gate
    from resources.gate import deployment_here

    gate = open_gate(deployment_here(), DatasetCatalog(()))
    pauses: Pauses = gate.ledger.pauses
    from lakegate.cli.naming import load_catalog

    name = load_catalog().datasets[0].name
    pauses.pause(name, "ann", "a [red]test[/red]")
    try:
        shown = lakegate("alerts")
        alerts = lakegate("alerts", "--json").json["alerts"]
    finally:
        pauses.resume(name, "ann")
    assert f"{name}: paused by ann" in shown.out
    assert "ann paused it: a [red]test[/red]." in shown.out
    assert f"`lakegate resume {name}` lets it go on." in shown.out
    assert f"Alerts go to sns (topic lakegate-alerts), webhook (127.0.0.1:{hook.port})." in shown.out
    assert [alert["kind"] for alert in alerts if alert["dataset"] == name] == ["paused"]
    assert hook.took == []
