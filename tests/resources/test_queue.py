"""What every event queue does: in memory and on SQS alike."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from pipelines.ports import EventQueue, QueueMessage
from resources.memory import MemoryEventQueue

VISIBILITY_S = 1


@dataclass
class Rig:
    """A queue, the producer's side of it, and how time passes."""

    queue: EventQueue
    send: Callable[[str], object]
    dead: EventQueue
    until: Callable[[Callable[[], bool]], None]


@pytest.fixture(params=["memory", pytest.param("sqs", marks=pytest.mark.aws)])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "memory":
        now = [0.0]
        dead = MemoryEventQueue(lambda: now[0], VISIBILITY_S)
        queue = MemoryEventQueue(lambda: now[0], VISIBILITY_S, dead, max_receives=2)

        def turn(holds: Callable[[], bool]) -> None:
            for _ in range(50):
                if holds():
                    return
                now[0] += VISIBILITY_S / 2
            raise AssertionError("it never came true")

        yield Rig(queue, queue.send, dead, turn)
        return
    request.getfixturevalue("local_aws")
    import json

    from resources.environment import client
    from resources.sqs import SqsEventQueue

    sqs = client("sqs")
    name = f"test-{uuid.uuid4().hex[:12]}"
    dead_url = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    dead_arn = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    url = sqs.create_queue(
        QueueName=name, Attributes={"VisibilityTimeout": str(VISIBILITY_S), "RedrivePolicy": redrive}
    )["QueueUrl"]

    def wait(holds: Callable[[], bool]) -> None:
        limit = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < limit, "it never came true"
            time.sleep(0.1)

    yield Rig(
        SqsEventQueue(sqs, url),
        lambda body: sqs.send_message(QueueUrl=url, MessageBody=body),
        SqsEventQueue(sqs, dead_url),
        wait,
    )
    sqs.delete_queue(QueueUrl=url)
    sqs.delete_queue(QueueUrl=dead_url)


def drain(queue: EventQueue, count: int) -> list[QueueMessage]:
    found: list[QueueMessage] = []
    for _ in range(count * 3):
        found.extend(queue.receive(0))
        if len(found) >= count:
            break
    return found


def test_an_empty_queue_gives_nothing(rig: Rig) -> None:
    assert list(rig.queue.receive(0)) == []


def test_a_message_is_received_with_its_body_and_count(rig: Rig) -> None:
    rig.send('{"a": "ä"}')
    (message,) = drain(rig.queue, 1)
    assert message.body == '{"a": "ä"}'
    assert message.receive_count == 1


def test_at_most_ten_come_at_once(rig: Rig) -> None:
    for number in range(12):
        rig.send(str(number))
    assert len(rig.queue.receive(0, limit=50)) <= 10
    assert len(rig.queue.receive(0, limit=1)) <= 1


def test_a_received_message_is_hidden_and_comes_again_unless_deleted(rig: Rig) -> None:
    rig.send("kept")
    (first,) = drain(rig.queue, 1)
    assert list(rig.queue.receive(0)) == []
    again: list[QueueMessage] = []
    rig.until(lambda: bool(again.extend(rig.queue.receive(0)) or again))
    assert again[0].body == "kept"
    assert again[0].receive_count == 2
    assert again[0].message_id == first.message_id


def test_deleted_messages_never_come_again(rig: Rig) -> None:
    for number in range(12):
        rig.send(str(number))
    rig.queue.delete([message.receipt for message in drain(rig.queue, 12)])
    rig.send("next")
    seen: list[str] = []

    def next_came() -> bool:
        seen.extend(m.body for m in rig.queue.receive(0))
        return "next" in seen

    rig.until(next_came)
    assert seen == ["next"]


def test_deleting_with_an_old_or_unknown_receipt_is_no_error(rig: Rig) -> None:
    rig.send("x")
    (message,) = drain(rig.queue, 1)
    rig.queue.delete([message.receipt])
    rig.queue.delete([message.receipt])
    rig.queue.delete([])


def test_a_message_received_too_often_ends_in_the_dead_letter_queue(rig: Rig) -> None:
    rig.send("poison")
    dead: list[str] = []

    def arrived() -> bool:
        rig.queue.receive(0)
        dead.extend(m.body for m in rig.dead.receive(0))
        return bool(dead)

    rig.until(arrived)
    assert dead == ["poison"]


def test_what_was_put_back_can_be_received_at_once_and_keeps_its_age(rig: Rig) -> None:
    for number in range(12):
        rig.send(str(number))
    first = drain(rig.queue, 12)
    assert list(rig.queue.receive(0)) == []
    rig.queue.put_back([message.receipt for message in first])
    again = drain(rig.queue, 12)
    assert sorted(m.message_id for m in again) == sorted(m.message_id for m in first)
    assert {m.receive_count for m in again} == {2}
    assert {m.message_id: m.sent_at for m in again} == {m.message_id: m.sent_at for m in first}
    assert None not in {m.sent_at for m in again}


def test_putting_back_what_is_gone_or_with_an_old_receipt_is_no_error(rig: Rig) -> None:
    rig.send("x")
    (message,) = drain(rig.queue, 1)
    rig.queue.put_back([message.receipt])
    (again,) = drain(rig.queue, 1)
    rig.queue.delete([again.receipt])
    rig.queue.put_back([again.receipt])
    rig.queue.put_back([])
    assert list(rig.queue.receive(0)) == []


def test_what_a_queue_is_sent_is_received_from_it(rig: Rig) -> None:
    rig.queue.send('{"again": "ä"}')
    (message,) = drain(rig.queue, 1)
    assert message.body == '{"again": "ä"}'


def test_the_depth_counts_what_is_there_received_or_not(rig: Rig) -> None:
    assert rig.queue.depth() == 0
    for number in range(3):
        rig.send(str(number))
    rig.until(lambda: rig.queue.depth() == 3)
    received = drain(rig.queue, 1)
    assert rig.queue.depth() == 3
    rig.queue.delete([received[0].receipt])
    rig.until(lambda: rig.queue.depth() == 2)
