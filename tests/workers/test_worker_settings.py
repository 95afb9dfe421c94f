"""Celery's settings for the laptop's SQS and for AWS's own, and the dagster.yaml that chooses warm workers."""

import os
import pickle
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster_celery.make_app import make_app
from kombu import serialization
from kombu.exceptions import ContentDisallowed
from kombu.serialization import prepare_accept_content

from lakegate.local.instance import dagster_yaml, has_warm_workers
from lakegate.local.laptop import TEMPLATE
from lakegate.workers.settings import QUEUE, celery_settings
from pipelines.errors import ConfigurationError

QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/lakegate-runs"


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")


def test_on_aws_the_stacks_queue_is_named_and_no_credential_is() -> None:
    settings = celery_settings({"LAKEGATE_RUN_QUEUE_URL": QUEUE_URL})
    options = settings["broker_transport_options"]
    assert settings["broker_url"] == "sqs://"
    assert options["predefined_queues"] == {QUEUE: {"url": QUEUE_URL}}
    assert (options["region"], options["is_secure"]) == ("eu-west-1", True)


def test_an_endpoint_of_its_own_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    settings = celery_settings({"LAKEGATE_RUN_QUEUE_URL": "http://127.0.0.1:4566/000000000000/lakegate-runs"})
    assert settings["broker_url"] == "sqs://127.0.0.1:4566/"
    assert settings["broker_transport_options"]["is_secure"] is False


def test_without_a_queue_it_is_said_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="LAKEGATE_RUN_QUEUE_URL is not set"):
        celery_settings({})


def test_a_worker_holds_no_run_that_it_does_not_work_on() -> None:
    settings = celery_settings({"LAKEGATE_RUN_QUEUE_URL": QUEUE_URL})
    assert (settings["worker_prefetch_multiplier"], settings["task_acks_late"]) == (1, True)


@pytest.mark.parametrize("warm", [True, False])
def test_dagster_yaml_alone_says_who_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, warm: bool) -> None:
    monkeypatch.setenv("LAKEGATE_RUN_QUEUE_URL", QUEUE_URL)
    (tmp_path / "dagster.yaml").write_text(dagster_yaml({}, warm_workers=warm))
    assert has_warm_workers(tmp_path) is warm
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.run_launcher).__name__ == ("WarmRunLauncher" if warm else "DefaultRunLauncher")
        # The ledger owns retries: no run is resumed by anybody else.
        assert instance.run_monitoring_max_resume_run_attempts == 0


def test_the_queue_hides_a_message_longer_than_any_run_takes() -> None:
    configuration = yaml.safe_load(dagster_yaml({}))
    queue = TEMPLATE.read_text().split("RunQueue:\n", 1)[1].split("SqsManagedSseEnabled", 1)[0]
    hidden_s = int(queue.split("VisibilityTimeout: ")[1].split()[0])
    assert hidden_s > configuration["run_monitoring"]["max_runtime_seconds"] + 600
    assert configuration["run_monitoring"]["enabled"] is True  # else a message that comes again would fail its run


class Evil:
    """What a message would run in whoever unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("__import__('os').environ.update(LAKEGATE_PWNED='yes')",)


def test_a_message_is_json_and_nothing_in_it_is_ever_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKEGATE_PWNED", raising=False)
    app = make_app({"config_source": celery_settings({"LAKEGATE_RUN_QUEUE_URL": QUEUE_URL})})
    assert (app.conf.task_serializer, app.conf.event_serializer) == ("json", "json")
    accept = prepare_accept_content(app.conf.accept_content)
    assert accept == {"application/json"}
    sent = pickle.dumps(Evil())
    with pytest.raises(ContentDisallowed):
        serialization.loads(sent, "application/x-python-serialize", "binary", accept=accept)
    assert "LAKEGATE_PWNED" not in os.environ
