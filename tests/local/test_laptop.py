"""The laptop as a whole: it starts, keeps its state through a kill, is found again, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lakegate.local.laptop import Laptop
from lakegate.local.ministack import ministack_interpreter
from lakegate.local.process_environment import child_environment
from pipelines.errors import ConfigurationError
from resources.athena import AthenaQueryEngine
from resources.environment import DEPLOYMENT_VARIABLES, Deployment, client

pytestmark = pytest.mark.aws


@pytest.fixture
def own_laptop(tmp_path: Path) -> Iterator[Laptop]:
    """A laptop of this test's own; the environment of the test process is put back afterwards."""
    before = dict(os.environ)
    laptop = Laptop(tmp_path / "home", any_port=True)
    yield laptop
    laptop.stop()
    os.environ.clear()
    os.environ.update(before)


def processes_below(home: Path) -> list[str]:
    found: list[str] = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        environ = process.info["environ"] or {}
        if str(home) in " ".join(process.info["cmdline"] or []) or environ.get("LAKEGATE_HOME") == str(home):
            found.append(" ".join(process.info["cmdline"] or []))
    return [line for line in found if "pytest" not in line]


def wait_for_snapshot(laptop: Laptop, text: str, service: str) -> None:
    path = laptop.home / "ministack" / "services" / f"{service}.json"
    deadline = time.monotonic() + 30
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f"{text} was not saved in {path}"
        time.sleep(0.05)


def test_everything_survives_a_kill_of_the_aws(own_laptop: Laptop) -> None:
    deployment = Deployment.from_environment(own_laptop.start())
    key = f"landing/{uuid.uuid4().hex}.csv"
    s3, dynamodb, sqs = client("s3"), client("dynamodb"), client("sqs")
    versions = [
        s3.put_object(Bucket=deployment.landing_bucket, Key=key, Body=body)["VersionId"] for body in (b"one", b"two")
    ]
    item = {"pk": {"S": "kept"}, "sk": {"S": "1"}, "due_pk": {"S": "due"}, "due_sk": {"S": "now"}}
    dynamodb.put_item(TableName=deployment.ledger_table, Item=item)
    wait_for_snapshot(own_laptop, '"kept"', "dynamodb")
    wait_for_snapshot(own_laptop, versions[1], "sqs")

    for status in own_laptop.status():
        if status.is_running and status.pid is not None:
            os.kill(status.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(status.is_running for status in own_laptop.status()):
        assert time.monotonic() < deadline
    assert Deployment.from_environment(own_laptop.start()) == deployment

    assert s3.get_object(Bucket=deployment.landing_bucket, Key=key, VersionId=versions[0])["Body"].read() == b"one"
    assert s3.get_bucket_versioning(Bucket=deployment.landing_bucket)["Status"] == "Enabled"
    kept = dynamodb.query(
        TableName=deployment.ledger_table,
        IndexName="due",
        KeyConditionExpression="due_pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "due"}},
    )
    assert kept["Count"] == 1
    s3.put_object(Bucket=deployment.landing_bucket, Key=key, Body=b"three")
    bodies: list[str] = []
    deadline = time.monotonic() + 20
    while sum(key in body for body in bodies) < 3 and time.monotonic() < deadline:
        answer = sqs.receive_message(QueueUrl=deployment.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        bodies += [message["Body"] for message in answer.get("Messages", [])]
    assert sum(key in body for body in bodies) == 3


def test_a_second_start_reuses_what_runs_and_a_stop_leaves_nothing(own_laptop: Laptop) -> None:
    first = own_laptop.start()
    pids = [status.pid for status in own_laptop.status()]
    again = Laptop(own_laptop.home, any_port=True)
    assert again.start() == first
    assert [status.pid for status in again.status()] == pids
    assert again.environment() == first
    assert again.stop_started() == []
    assert AthenaQueryEngine(Deployment.from_environment(first)).query("SELECT 1 AS one").table.to_pylist() == [
        {"one": 1}
    ]
    assert again.stop() == ["athena", "ministack"]
    assert processes_below(own_laptop.home) == []
    assert [status.is_running for status in own_laptop.status()] == [False] * 4


def test_another_port_is_taken_when_somebody_sits_on_the_known_one(own_laptop: Laptop) -> None:
    import socket
    from urllib.parse import urlsplit

    first = own_laptop.start()
    own_laptop.stop()
    taken = urlsplit(first["AWS_ENDPOINT_URL"]).port
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", taken or 0))
        squatter.listen()
        second = own_laptop.start()
    assert second["AWS_ENDPOINT_URL"] != first["AWS_ENDPOINT_URL"]
    client("sqs").send_message(QueueUrl=second["LAKEGATE_QUEUE_URL"], MessageBody="still the same queue")
    answer = client("sqs").receive_message(QueueUrl=second["LAKEGATE_QUEUE_URL"], MaxNumberOfMessages=10)
    assert any("still the same" in message["Body"] for message in answer["Messages"])


def test_a_reset_forgets_everything(own_laptop: Laptop) -> None:
    deployment = Deployment.from_environment(own_laptop.start())
    client("s3").put_object(Bucket=deployment.landing_bucket, Key="landing/x", Body=b"x")
    own_laptop.reset()
    assert processes_below(own_laptop.home) == []
    deployment = Deployment.from_environment(own_laptop.start())
    assert client("s3").list_objects_v2(Bucket=deployment.landing_bucket)["KeyCount"] == 0


def test_a_laptop_that_is_not_up_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lakegate up --detach"):
        Laptop(tmp_path).environment()


def test_a_missing_ministack_says_how_to_install_it() -> None:
    with pytest.raises(ConfigurationError, match="make install"):
        ministack_interpreter({"LAKEGATE_MINISTACK_PYTHON": "/nowhere/python"})


def test_a_childs_environment_holds_no_other_aws_and_lets_python_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://elsewhere")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("LAKEGATE_DATASETS", "/my/datasets")
    environment = child_environment({"AWS_REGION": "us-east-1"})
    assert {name for name in environment if name.startswith("AWS_")} == {"AWS_REGION"}
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert environment["LAKEGATE_DATASETS"] == "/my/datasets"


def test_the_servers_listen_on_loopback_only(laptop: Laptop, local_aws: object) -> None:
    for status in laptop.status():
        if status.is_running and status.pid is not None:
            listening = [
                connection.laddr.ip
                for connection in psutil.Process(status.pid).net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            ]
            assert listening == ["127.0.0.1"], status.name


def test_what_runs_on_a_laptop_has_every_setting_of_its_starter_and_nothing_of_another_deployment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAKEGATE_SWEEP_CRON", "0 5 * * *")
    monkeypatch.setenv("LAKEGATE_PAUSE_AFTER", "3")
    for name in (*DEPLOYMENT_VARIABLES, "LAKEGATE_HOME", "LAKEGATE_DAGSTER_URL"):
        monkeypatch.setenv(name, "another")
    environment = child_environment({"LAKEGATE_HOME": "/here"})
    assert environment["LAKEGATE_SWEEP_CRON"] == "0 5 * * *"
    assert environment["LAKEGATE_PAUSE_AFTER"] == "3"
    assert environment["LAKEGATE_HOME"] == "/here"
    assert "another" not in environment.values()
