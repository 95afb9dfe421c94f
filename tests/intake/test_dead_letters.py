"""Dead letters: why each is there, looking without taking, and sending back at least once."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from pipelines.accounting.entries import VersionRef
from pipelines.errors import ConfigurationError
from pipelines.gate import Gate
from pipelines.intake.dead_letters import (
    DeadLetterKind,
    dead_letter_reason,
    discard,
    find_dead_letter,
    look_at_dead_letters,
    redrive,
)
from pipelines.intake.objects import object_id
from pipelines.intake.receiving import receive
from pipelines.intake.replay import Asked
from pipelines.ports import QueueMessage
from tests.ingest.fragile import Died
from tests.ingest.world import BUCKET, World, event_body, orders, orders_key

ANN = Asked("ann", "the queue is mended")

TEST_EVENT = json.dumps({"Event": "s3:TestEvent", "Bucket": "elsewhere"})


def body(key: str = "landing/orders/2026-02-01/a.csv", *, bucket: str = BUCKET, name: str = "ObjectCreated:Put", **more: Any) -> str:  # fmt: skip
    thing = {"key": key, "size": 3, "eTag": "e", "versionId": "v1", "sequencer": "AA", **more}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": "2026-02-01T10:00:00.000Z",
        "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": {k: v for k, v in thing.items() if v is not None}},
    }
    return json.dumps({"Records": [record]})


KNOWN = VersionRef(object_id(BUCKET, "landing/orders/2026-02-01/a.csv"), "v1")


@pytest.mark.parametrize(
    ("told", "kind", "why"),
    [
        ("not an event", DeadLetterKind.NOT_UNDERSTOOD, "the body is not JSON"),
        ('{"Records": []}', DeadLetterKind.NOT_UNDERSTOOD, "at least one record"),
        (body(versionId=None), DeadLetterKind.NO_VERSION, "names no version"),
        (body(bucket="elsewhere"), DeadLetterKind.FOREIGN_BUCKET, "an event of 'elsewhere'"),
        (TEST_EVENT, DeadLetterKind.FOREIGN_TEST_EVENT, "a test event of 'elsewhere'"),
        (body(), DeadLetterKind.REGISTERED, "is in the ledger"),
        (body(versionId="v2"), DeadLetterKind.NOT_REGISTERED, "not in the ledger"),
        (body("elsewhere/a.csv", versionId="v2"), DeadLetterKind.OTHER_EVENT, "tells of no new object: ObjectCreated:Put"),
        (body(name="ObjectRemoved:Delete"), DeadLetterKind.OTHER_EVENT, "tells of no new object: ObjectRemoved:Delete"),
        (json.dumps({"Event": "s3:TestEvent", "Bucket": BUCKET}), DeadLetterKind.OTHER_EVENT, "a test event of the landing bucket"),
    ],
)  # fmt: skip
def test_each_letter_has_its_reason(told: str, kind: DeadLetterKind, why: str) -> None:
    reason = dead_letter_reason(told, BUCKET, {KNOWN})
    assert reason.kind is kind
    assert why in reason.why
    assert kind.remedy.endswith(".") or kind.remedy.endswith(").")


def test_of_several_objects_in_one_letter_those_are_counted_that_are_not_registered() -> None:
    two = json.loads(body())
    two["Records"] += json.loads(body("landing/orders/2026-02-01/b.csv", versionId="v9"))["Records"]
    reason = dead_letter_reason(json.dumps(two), BUCKET, {KNOWN})
    assert (reason.kind, reason.why) == (
        DeadLetterKind.NOT_REGISTERED, "1 of 2 objects it tells of: not in the ledger",
    )  # fmt: skip
    assert reason.key == "landing/orders/2026-02-01/b.csv"


def test_a_reason_holds_nothing_of_a_body_that_is_not_understood() -> None:
    assert "secret" not in dead_letter_reason('{"secret": "secret"', BUCKET).why


def test_looking_takes_nothing_and_hides_nothing() -> None:
    world = World()
    for number in range(25):
        world.dead_letters.send(f"not an event {number}")
    for _ in range(3):
        found = look_at_dead_letters(world.gate(), most=200)
        assert (len(found.letters), found.total, found.all_seen) == (25, 25, True)
    assert len(world.dead_letters.receive(0)) == 10
    assert all(letter.sent_at == world.clock() for letter in found.letters)


def test_a_look_ends_at_its_cap_and_says_how_many_there_are() -> None:
    world = World()
    for number in range(25):
        world.dead_letters.send(f"not an event {number}")
    found = look_at_dead_letters(world.gate(), most=12)
    assert (len(found.letters), found.total, found.is_capped, found.all_seen) == (12, 25, True, False)


def test_letters_in_other_hands_are_known_to_be_there() -> None:
    world = World()
    world.dead_letters.send("not an event")
    world.dead_letters.receive(0)
    found = look_at_dead_letters(world.gate(), most=10)
    assert (found.letters, found.total, found.all_seen) == ((), 1, False)


def test_the_fingerprint_changes_with_the_letters_and_their_reasons_alone() -> None:
    world = World()
    version = world.put(orders_key("a"), orders(1))
    world.dead_letters.send(event_body(version, world.clock()))
    one = look_at_dead_letters(world.gate(), most=10).fingerprint()
    assert look_at_dead_letters(world.gate(), most=10).fingerprint() == one
    receive(world.gate(), wait_s=0, budget_s=1)
    registered = look_at_dead_letters(world.gate(), most=10)
    assert registered.letters[0].reason.kind is DeadLetterKind.REGISTERED
    assert registered.fingerprint() != one
    world.dead_letters.send("another")
    assert look_at_dead_letters(world.gate(), most=10).fingerprint() not in (one, registered.fingerprint())


def test_a_capped_look_at_changing_samples_keeps_its_fingerprint() -> None:
    world = World()
    for number in range(25):
        world.dead_letters.send(f"not an event {number}")
    one = look_at_dead_letters(world.gate(), most=10)
    world.dead_letters.receive(0)
    other = look_at_dead_letters(world.gate(), most=10)
    assert {x.message_id for x in one.letters} != {x.message_id for x in other.letters}
    assert one.fingerprint() == other.fingerprint()


def lost_in_intake(world: World) -> None:
    """A file whose event ended among the dead letters, beside one of another bucket and one that nobody understands."""
    version = world.put(orders_key("a"), orders(1), events=0)
    for letter in (event_body(version, world.clock()), body(bucket="elsewhere"), "not an event"):
        world.dead_letters.send(letter)


def test_what_is_sent_back_by_reason_is_loaded_and_the_rest_stays() -> None:
    world = World()
    lost_in_intake(world)
    done = redrive(world.gate(), ANN, most=100, kind=DeadLetterKind.NOT_REGISTERED)
    assert (done.sent, done.left) == (1, 2)
    world.settle_down()
    assert world.ids() == [1]
    kinds = look_at_dead_letters(world.gate(), most=100).counts()
    assert kinds == {DeadLetterKind.FOREIGN_BUCKET: 1, DeadLetterKind.NOT_UNDERSTOOD: 1}


def test_letters_are_sent_back_by_the_beginning_of_their_ids_or_all() -> None:
    world = World()
    lost_in_intake(world)
    [letter] = [x for x in look_at_dead_letters(world.gate(), most=9).letters if x.reason.kind is DeadLetterKind.FOREIGN_BUCKET]  # fmt: skip
    assert redrive(world.gate(), ANN, most=100, message_ids=[letter.message_id]).sent == 1
    assert (len(world.queue), len(world.dead_letters)) == (1, 2)
    assert redrive(world.gate(), ANN, most=100).sent == 2
    assert (len(world.queue), len(world.dead_letters)) == (3, 0)


@pytest.mark.parametrize("by_id", [False, True])
def test_letters_of_strangers_are_deleted_and_what_may_be_ours_is_kept(by_id: bool) -> None:
    world = World()
    bodies = {"ours": body(versionId="v2"), "other": body(name="ObjectRemoved:Delete"), "stranger": body(bucket="elsewhere"), "noise": "x"}  # fmt: skip
    for told in bodies.values():
        world.dead_letters.send(told)
    letters = look_at_dead_letters(world.gate(), most=100).letters
    if by_id:
        done = discard(world.gate(), ANN, most=100, message_ids=[letter.message_id for letter in letters])
        assert (done.deleted, done.kept, done.left) == (2, 2, 0)
    else:
        each = [discard(world.gate(), ANN, most=100, kind=kind) for kind in DeadLetterKind]
        assert (sum(done.deleted for done in each), sum(done.kept for done in each)) == (2, 2)
    assert {letter.reason.kind for letter in look_at_dead_letters(world.gate(), most=100).letters} == {
        DeadLetterKind.NOT_REGISTERED, DeadLetterKind.OTHER_EVENT,
    }  # fmt: skip


def test_what_still_cannot_be_taken_comes_back_among_the_dead_letters() -> None:
    world = World()
    world.dead_letters.send("not an event")
    assert redrive(world.gate(), ANN, most=100).sent == 1
    for _ in range(6):
        receive(world.gate(), wait_s=0, budget_s=1)
        world.clock.turn(61)
    assert (len(world.queue), len(world.dead_letters)) == (0, 1)


@dataclass
class Dying:
    """A queue whose user dies at a call of this name, before it takes effect."""

    inner: Any
    at: str

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            if name == self.at:
                raise Died(name)
            return getattr(self.inner, name)(*arguments)

        return call


def test_who_dies_while_sending_back_leaves_a_letter_in_both_and_in_none_never() -> None:
    for at in ("send", "delete"):
        world = World()
        lost_in_intake(world)
        gate: Gate = replace(world.gate(), **{"queue" if at == "send" else "dead_letters": Dying(
            world.queue if at == "send" else world.dead_letters, at)})  # fmt: skip
        with pytest.raises(Died):
            redrive(gate, ANN, most=100)
        assert len(world.dead_letters) == 3
        world.clock.turn(61)
        redrive(world.gate(), ANN, most=100, kind=DeadLetterKind.NOT_REGISTERED)
        world.settle_down()
        assert world.ids() == [1]
        duplicates = 1 if at == "delete" else 0
        assert [entry.duplicates for entry in world.entries()] == [duplicates]


def test_one_letter_is_found_by_the_beginning_of_its_id_with_its_body() -> None:
    world = World()
    lost_in_intake(world)
    [first, *_] = look_at_dead_letters(world.gate(), most=9).letters
    [(letter, found)] = find_dead_letter(world.gate(), first.message_id, most=9)
    assert letter == first
    assert "landing/orders" in found
    assert find_dead_letter(world.gate(), "nobody", most=9) == []
    assert look_at_dead_letters(world.gate(), most=9).all_seen


class Forgetful:
    """A dead-letter queue in which what was received is visible again at once, as when a look takes longer than its time."""

    def __init__(self) -> None:
        self.received = 0

    def receive(self, wait_s: float, limit: int = 10) -> list[QueueMessage]:
        self.received += 1
        return [QueueMessage(f"m{n}", "not an event", f"r{self.received}", 1) for n in range(3)]

    def put_back(self, receipts: list[str]) -> None:
        self.last = receipts

    def depth(self) -> int:
        return 3


def test_a_look_that_meets_the_same_letters_again_comes_to_an_end_and_counts_each_once() -> None:
    queue: Any = Forgetful()
    found = look_at_dead_letters(replace(World().gate(), dead_letters=queue), most=100)
    assert (len(found.letters), queue.received, queue.last) == (3, 4, ["r4"] * 3)


def test_a_deployment_without_a_dead_letter_queue_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="LAKEGATE_DLQ_URL"):
        look_at_dead_letters(replace(World().gate(), dead_letters=None), most=1)
