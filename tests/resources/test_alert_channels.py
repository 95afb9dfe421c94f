"""The channels against real endpoints on loopback: an HTTP server, and the laptop's SNS with a queue that subscribes."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipelines.errors import ConfigurationError, PermanentError, ThrottledError, TransientError
from pipelines.ports import AlertMessage
from resources.alerts import AlertsResource, SnsChannel, WebhookChannel, channels_of
from resources.environment import Deployment, client
from tests.resources.webhook_server import Webhook, webhook

MESSAGE = AlertMessage(
    id="m1",
    subject="Lakegate: orders: 1 file in quarantine: type",
    text="orders: 1 file in quarantine\n- landing/ö.csv",
    chat="orders: 1 file in quarantine\n- `landing/ö.csv`",
    document={"version": 1, "id": "m1", "alerts": [{"dataset": "orders", "what": "ö 漢"}]},
    attributes={"dataset": ("orders", "clicks"), "severity": ("warning",), "reason": ('a "quoted" ö',)},
)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as found:
        yield found


# ---- the webhook


def test_the_document_is_posted_with_the_text_that_chat_programs_show(hook: Webhook) -> None:
    WebhookChannel(hook.address).send(MESSAGE)
    [(path, headers, body)] = hook.took
    assert path == "/hooks/secret-token"
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Lakegate-Id"] == "m1"
    assert json.loads(body) == {"text": MESSAGE.chat, **MESSAGE.document}
    assert "X-Lakegate-Signature" not in headers


def test_with_a_secret_the_post_is_signed_with_its_time(hook: Webhook) -> None:
    WebhookChannel(hook.address, "key").send(MESSAGE)
    [(_, headers, body)] = hook.took
    moment, signed = (part.split("=")[1] for part in headers["X-Lakegate-Signature"].split(","))
    assert abs(time.time() - int(moment)) < 60
    assert signed == hmac.new(b"key", moment.encode() + b"." + body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("status", "expected", "says"),
    [
        (500, TransientError, "it answered 500: out of order"),
        (503, TransientError, "it answered 503"),
        (429, ThrottledError, "it answered 429"),
        (404, PermanentError, "it answered 404: out of order: check LAKEGATE_ALERT_WEBHOOK"),
        (100 + 1, PermanentError, "it answered 101"),
    ],
)
def test_an_answer_that_is_not_good_is_an_error_that_says_so(
    hook: Webhook, status: int, expected: type[Exception], says: str
) -> None:
    hook.status, hook.answer = status, b"out of\n\x1b order"[:6] + b" order"
    with pytest.raises(expected) as caught:
        WebhookChannel(hook.address).send(MESSAGE)
    assert type(caught.value) is expected
    assert says in str(caught.value)
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(hook: Webhook, status: int) -> None:
    with webhook() as other:
        hook.status, hook.headers = status, {"Location": other.address}
        with pytest.raises(PermanentError, match="a redirect, which is not followed"):
            WebhookChannel(hook.address).send(MESSAGE)
        assert other.took == []
        assert len(hook.took) == 1


@pytest.mark.parametrize("how", ["silent", "dripping"])
def test_an_endpoint_that_does_not_answer_in_time_is_left(hook: Webhook, how: str) -> None:
    hook.wait_s, hook.drip = (60.0, False) if how == "silent" else (0.0, True)
    begun = time.monotonic()
    with pytest.raises(TransientError, match=r"no answer within 0\.5 seconds"):
        WebhookChannel(hook.address, timeout_s=0.5).send(MESSAGE)
    assert time.monotonic() - begun < 10


def test_a_slow_answer_within_the_time_is_good(hook: Webhook) -> None:
    hook.wait_s, hook.status = 0.3, 202
    WebhookChannel(hook.address, timeout_s=20).send(MESSAGE)
    assert len(hook.took) == 1


def test_nobody_there_is_said() -> None:
    with webhook() as gone:
        address = gone.address
    with pytest.raises(TransientError, match=r"no connection: .*refused"):
        WebhookChannel(address).send(MESSAGE)


def test_an_answer_that_is_no_http_is_said() -> None:
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            there, _ = server.accept()
            with there:
                there.recv(100)
                there.sendall(b"SSH-2.0-x\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(TransientError, match="no connection"):
            WebhookChannel(f"http://127.0.0.1:{server.getsockname()[1]}/").send(MESSAGE)
        thread.join()


@pytest.mark.parametrize(
    "address",
    [
        "http://hooks.example.org/x",
        "http://10.0.0.1/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "hooks.example.org/x",
        "https://user:password@hooks.example.org/x",
        "https:///x",
        "https://hooks.example.org:port/x",
        "https://hooks.example.org/x\ny",
        "https://..",
        "https://[::1",
    ],
)
def test_an_address_that_may_not_be_used_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ConfigurationError, match="LAKEGATE_ALERT_WEBHOOK must") as caught:
        WebhookChannel(address)
    assert "password" not in str(caught.value)
    assert "example.org" not in str(caught.value)


@pytest.mark.parametrize("address", ["https://hooks.example.org/x", "http://localhost:1/x", "http://[::1]:1/", "http://127.9.9.9/"])  # fmt: skip
def test_tls_is_asked_for_except_on_this_machine(address: str) -> None:
    assert "/x" not in WebhookChannel(address).place


def test_a_server_without_a_certificate_that_holds_is_not_spoken_to(hook: Webhook) -> None:
    with pytest.raises(TransientError, match="no connection"):
        WebhookChannel(hook.address.replace("http:", "https:")).send(MESSAGE)
    assert hook.took == []


# ---- which channels there are


def test_the_environment_names_the_channels_and_none_without() -> None:
    assert channels_of({}) == []
    assert channels_of({"LAKEGATE_ALERT_TOPIC": "", "LAKEGATE_ALERT_WEBHOOK": ""}) == []
    named = {
        "LAKEGATE_ALERT_TOPIC": "arn:aws:sns:eu-west-1:123456789012:lakegate-alerts",
        "LAKEGATE_ALERT_WEBHOOK": "https://hooks.example.org/services/secret",
    }
    assert [(c.name, c.place) for c in channels_of(named)] == [
        ("sns", "topic lakegate-alerts"),
        ("webhook", "hooks.example.org"),
    ]
    with pytest.raises(ConfigurationError, match="not the ARN of an SNS topic"):
        channels_of({"LAKEGATE_ALERT_TOPIC": "lakegate-alerts"})


def test_the_resource_reads_the_environment_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKEGATE_ALERT_TOPIC", raising=False)
    monkeypatch.delenv("LAKEGATE_ALERT_WEBHOOK", raising=False)
    resource = AlertsResource()
    assert resource.channels() == []
    monkeypatch.setenv("LAKEGATE_ALERT_WEBHOOK", "http://127.0.0.1:1/")
    assert [channel.name for channel in resource.channels()] == ["webhook"]


# ---- SNS

Subscribe = Callable[[dict[str, Any] | None], Callable[[], list[dict[str, Any]]]]


@pytest.fixture
def subscribe(deployment: Deployment) -> Subscribe:
    """Subscribe a queue of its own to the stack's topic, with a filter policy; returns what receives from it."""

    def subscribed(policy: dict[str, Any] | None) -> Callable[[], list[dict[str, Any]]]:
        sqs = client("sqs")
        url = sqs.create_queue(QueueName=f"alerts-{uuid.uuid4().hex[:8]}")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        attributes = {"FilterPolicy": json.dumps(policy)} if policy else {}
        client("sns").subscribe(TopicArn=deployment.alert_topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)

        def received() -> list[dict[str, Any]]:
            answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2)
            return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

        return received

    return subscribed


@pytest.mark.aws
def test_a_queue_that_subscribes_gets_the_document_the_subject_and_the_attributes(
    deployment: Deployment, subscribe: Subscribe
) -> None:
    received = subscribe(None)
    assert deployment.alert_topic is not None
    SnsChannel(deployment.alert_topic).send(MESSAGE)
    [envelope] = received()
    assert envelope["Subject"] == MESSAGE.subject
    assert json.loads(envelope["Message"]) == MESSAGE.document
    told = {name: json.loads(found["Value"]) for name, found in envelope["MessageAttributes"].items()}
    assert told == {name: list(values) for name, values in MESSAGE.attributes.items()}


@pytest.mark.aws
def test_a_filter_policy_lets_through_what_names_the_dataset_also_of_a_digest(
    deployment: Deployment, subscribe: Subscribe
) -> None:
    clicks, flights = subscribe({"dataset": ["clicks"]}), subscribe({"dataset": ["flights"]})
    assert deployment.alert_topic is not None
    SnsChannel(deployment.alert_topic).send(MESSAGE)
    assert len(clicks()) == 1
    assert flights() == []


@pytest.mark.aws
def test_a_topic_that_is_not_there_is_said_without_the_account(deployment: Deployment) -> None:
    assert deployment.alert_topic is not None
    account = deployment.alert_topic.split(":")[4]
    with pytest.raises(PermanentError, match="publishing to the topic lakegate-alertsx: ") as caught:
        SnsChannel(f"{deployment.alert_topic}x").send(MESSAGE)
    assert account not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.aws
def test_the_stacks_topic_is_in_the_environment(deployment: Deployment) -> None:
    assert deployment.to_environment()["LAKEGATE_ALERT_TOPIC"] == deployment.alert_topic


def test_an_sns_that_does_not_answer_ends_within_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "t", "AWS_SECRET_ACCESS_KEY": "t"}.items():
        monkeypatch.setenv(name, value)
    with webhook() as silent:
        silent.wait_s = 60
        monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", f"http://127.0.0.1:{silent.port}")
        begun = time.monotonic()
        with pytest.raises(TransientError):
            SnsChannel("arn:aws:sns:us-east-1:123456789012:t").send(MESSAGE)
        assert time.monotonic() - begun < 25
