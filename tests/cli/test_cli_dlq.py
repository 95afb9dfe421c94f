"""`lakegate dlq` against the laptop's AWS: what an operator lists, shows and sends back."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from resources.environment import Deployment, client
from tests.cli.command import lakegate

pytestmark = pytest.mark.aws


@pytest.fixture
def queues(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """The deployment with two queues of this test's own: others use the stack's at the same time."""
    sqs, name = client("sqs"), f"dlq-{uuid.uuid4().hex[:10]}"
    urls = [sqs.create_queue(QueueName=f"{name}{suffix}")["QueueUrl"] for suffix in ("", "-dead")]
    monkeypatch.setenv("LAKEGATE_QUEUE_URL", urls[0])
    monkeypatch.setenv("LAKEGATE_DLQ_URL", urls[1])
    for key, value in deployment.to_environment().items():
        if key not in ("LAKEGATE_QUEUE_URL", "LAKEGATE_DLQ_URL"):
            monkeypatch.setenv(key, value)
    yield Deployment.from_environment()
    for url in urls:
        sqs.delete_queue(QueueUrl=url)


def put(url: str, *bodies: str) -> None:
    for body in bodies:
        client("sqs").send_message(QueueUrl=url, MessageBody=body)


def until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.1)


def taken(url: str) -> list[str]:
    answer: dict[str, Any] = client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
    return [message["Body"] for message in answer.get("Messages", [])]


def event(queues: Deployment, key: str) -> str:
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": "2026-02-01T10:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": {"name": queues.landing_bucket},
            "object": {"key": key, "size": 1, "eTag": "e", "versionId": "v1", "sequencer": "AA"},
        },
    }
    return json.dumps({"Records": [record]})


def test_letters_are_listed_with_reason_and_remedy_and_stay(queues: Deployment) -> None:
    assert lakegate("dlq", "list").out == "There are no dead letters.\n"
    put(queues.dlq_url, "not an event \u202e[red]", event(queues, f"landing/{uuid.uuid4().hex}%1B"))
    for _ in range(2):
        answer = lakegate("dlq", "list")
        assert (answer.code, answer.err) == (0, "")
        assert not {"\x1b", "\u202e"} & set(answer.out)
        assert "1 letter not_registered: " in answer.out
        assert "1 letter not_understood: Find out who sends it" in answer.out
    document = lakegate("dlq", "list", "--json").json
    assert (document["version"], document["total"]) == (1, 2)
    assert document["reasons"] == {"not_understood": 1, "not_registered": 1}
    assert {letter["reason"] for letter in document["letters"]} == {"not_understood", "not_registered"}
    assert all(letter["sent_at"] for letter in document["letters"])


def test_a_letter_is_shown_escaped_and_cut(queues: Deployment) -> None:
    put(queues.dlq_url, "[red]not an event\t" + "x" * 20_000)
    [letter] = lakegate("dlq", "list", "--json").json["letters"]
    shown = lakegate("dlq", "show", letter["id"][:8])
    assert shown.code == 0
    assert "not_understood: the body is not JSON" in shown.out
    assert "[red]not an event\\t" in shown.out
    assert "… and 10,018 characters more" in shown.out
    document = lakegate("dlq", "show", letter["id"], "--json").json
    assert (len(document["body"]), document["body_is_cut"], document["size_bytes"]) == (10_000, True, 20_018)


def test_letters_are_sent_back_by_reason_and_counted(queues: Deployment) -> None:
    told = event(queues, f"landing/{uuid.uuid4().hex}")
    put(queues.dlq_url, "not an event", told)
    answer = lakegate("dlq", "redrive", "--reason", "not_registered")
    assert answer.out == "1 dead letter sent back to the queue; 1 looked at and left where they are.\n"
    assert taken(queues.queue_url) == [told]
    assert lakegate("dlq", "redrive", "--all", "--json").json == {"version": 1, "sent": 1, "left": 0}
    assert taken(queues.queue_url) == ["not an event"]
    until(lambda: lakegate("dlq", "list", "--json").json["total"] == 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["redrive"],
        ["redrive", "--all", "--reason", "not_registered"],
        ["redrive", "--reason", "bad_luck"],
        ["show", "nobody"],
        ["list", "--most", "0"],
    ],
)
def test_misuse_is_told_and_moves_nothing(queues: Deployment, arguments: list[str]) -> None:
    put(queues.dlq_url, "not an event")
    answer = lakegate("dlq", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err
    assert taken(queues.queue_url) == []
