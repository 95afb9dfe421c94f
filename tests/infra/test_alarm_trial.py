"""Each alarm tried for real: its cause on the local AWS, its message with a link that leads somewhere, its end; and a day without any.

The template is the one of production, with shorter objectives; a period of a minute passes in two seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from lakegate.local.laptop import Laptop
from pipelines.intake.replay import Asked, retry_failed
from pipelines.intake.sweep import sweep
from resources import telemetry_metrics
from resources.environment import Deployment, client
from tests.docs.anchors import anchors
from tests.infra.alarm_trial import Trial
from tests.road.road import environment_kept, hasten_the_queue

pytestmark = [pytest.mark.aws, pytest.mark.timeout(600)]

SPEED = 30
SHORTER = {"OldestFileSeconds": "10", "OverdueSeconds": "0"}
ROOT = Path(__file__).resolve().parents[2]
BAD = b"id\nnone\n"


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    laptop = Laptop(tmp_path_factory.mktemp("alarms"), any_port=True, alarm_speed=SPEED, parameters=SHORTER)
    with environment_kept(), pytest.MonkeyPatch.context() as patch:
        # Told each second instead of each five: a period is two.
        patch.setitem(telemetry_metrics._LEAST_S, "emf", 1.0)  # pyright: ignore[reportPrivateUsage]
        try:
            environment = laptop.start()
            os.environ["LAKEGATE_METRICS"] = "emf"
            deployment = Deployment.from_environment(environment)
            hasten_the_queue(deployment, receives=5)
            yield Trial.start(deployment, tmp_path_factory.mktemp("datasets"))
        finally:
            laptop.stop()


def assert_told(trial: Trial, name: str) -> None:
    """Raised and over were told, with a link to a section that is there."""
    mine = [(state, text) for of, state, text in trial.told if of == name]
    assert [state for state, _ in mine][-2:] == ["ALARM", "OK"], trial.told
    for _, text in mine:
        page, _, anchor = text.split()[-1].partition("#")
        assert anchor in anchors(ROOT / page)


def test_a_normal_day_raises_none_and_each_alarm_comes_and_goes_with_its_cause(trial: Trial) -> None:
    # ---- a normal day: good files, one bad one among them, a sweep that finds nothing
    trial.until(lambda: "daemon-silent" not in trial.raised(), "the first ticks")
    for _ in range(4):
        trial.land("orders")
    trial.land("orders", BAD)
    trial.land("prices")
    trial.tick()
    assert sweep(trial.gate, grace=timedelta(0), pause=time.sleep).total("registered") == 0
    trial.until(lambda: trial.states()["no-file"] == trial.states()["missing-events"] == "OK", "all alarms judge")
    trial.land("prices")
    calm = time.monotonic() + 8
    trial.until(lambda: bool(trial.raised()) or time.monotonic() > calm, "a calm while")
    assert trial.raised() == set()
    trial.listen()
    trial.told.clear()

    # ---- dead letters: something else than S3 writes to the queue; five receipts, a second apart
    client("sqs").send_message(QueueUrl=trial.deployment.queue_url, MessageBody="not a notification")
    # ---- quarantine rate: a producer has changed its format
    for _ in range(6):
        trial.land("orders", BAD)
    # ---- missing events: the notifications are gone, and a file comes
    with trial.no_notifications():
        trial.land("orders")
    trial.tick()  # takes what events told of
    assert sweep(trial.gate, grace=timedelta(0)).total("registered") == 1
    broken = {"dead-letters", "quarantine-rate", "missing-events"}
    trial.until(lambda: broken <= trial.raised(), "three alarms at once")
    assert trial.raised() - {"no-file"} == broken  # prices come every minute, and this may have taken one

    # ---- and their ends
    letters = client("sqs").receive_message(QueueUrl=trial.deployment.dlq_url)["Messages"]
    client("sqs").delete_message(QueueUrl=trial.deployment.dlq_url, ReceiptHandle=letters[0]["ReceiptHandle"])
    assert sweep(trial.gate, grace=timedelta(0)).total("registered") == 0

    # ---- a file waits: the right to commit is lost; then its attempts are used up
    with trial.no_right_to_commit():
        trial.land("orders")
        trial.until(lambda: "file-waits" in trial.raised(), "a file waits")
        trial.until(lambda: "failed-files" in trial.raised(), "a file has failed")
    assert retry_failed(trial.gate.ledger, Asked("a person", "the right is back")).due == 1

    # ---- no file: the last price came more than a minute ago
    trial.until(lambda: "no-file" in trial.raised(), "a file is overdue")
    trial.land("prices")
    trial.until(lambda: not trial.raised(), "all is well again")

    # ---- the daemon is silent: nobody ticks
    trial.until(lambda: "daemon-silent" in trial.raised(), "silence", ticking=False)
    assert trial.raised() == {"daemon-silent"}
    trial.until(lambda: not trial.raised(), "ticks again")

    for name in (*broken, "file-waits", "failed-files", "no-file", "daemon-silent"):
        assert_told(trial, name)
