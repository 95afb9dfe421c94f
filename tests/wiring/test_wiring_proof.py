"""The proof by a test object: with and without a sensor beside it, with messages of others in the queue, and when nothing comes."""

from __future__ import annotations

import json

import pytest

from pipelines.errors import PermanentError
from pipelines.intake.wiring_tests import wiring_test_key
from pipelines.wiring.proof import Arrived, NotArrived, prove_wiring
from tests.intake.test_receiving import BUCKET, Intake

TEST_ID = "ab" * 16


class Bench:
    """A queue and a ledger in memory, with a clock that turns while somebody waits."""

    def __init__(self) -> None:
        self.intake = Intake()
        self.landed = 0

    def land(self) -> None:
        self.landed += 1
        self.intake.send(wiring_test_key(TEST_ID))

    def prove(self, land: object = None, limit_s: float = 30) -> Arrived | NotArrived:
        intake = self.intake
        queue = intake.queue
        receive = queue.receive

        def waiting(wait_s: float, limit: int = 10):
            found = receive(0, limit)
            intake.seconds += 0 if found else wait_s
            return found

        queue.receive = waiting  # type: ignore[method-assign]
        try:
            return prove_wiring(
                queue, intake.ledger, BUCKET, TEST_ID, land or self.land, limit_s=limit_s,  # type: ignore[arg-type]
                monotonic=lambda: intake.seconds, pause=self._pause,
            )  # fmt: skip
        finally:
            queue.receive = receive  # type: ignore[method-assign]

    def _pause(self, seconds: float) -> None:
        self.intake.seconds += seconds


def test_an_event_that_comes_is_taken_and_nothing_is_left() -> None:
    bench = Bench()
    assert bench.prove() == Arrived(0.0, by_sensor=False)
    assert len(bench.intake.queue) == 0
    assert bench.intake.ledger.wiring.arrival(TEST_ID) is None


def test_an_event_that_the_sensor_took_is_told_by_its_mark() -> None:
    bench = Bench()

    def land_and_receive() -> None:
        bench.land()
        bench.intake.receive()

    assert bench.prove(land_and_receive) == Arrived(0.0, by_sensor=True)
    assert bench.intake.ledger.wiring.arrival(TEST_ID) is None


def test_nothing_that_comes_is_told_after_the_limit() -> None:
    assert Bench().prove(lambda: None, limit_s=12) == NotArrived(12.0, 0)


def test_messages_of_others_are_received_once_and_are_there_for_the_sensor_afterwards() -> None:
    bench = Bench()
    for day in range(1, 10):
        bench.intake.send(f"landing/flights/2026-03-0{day}.csv", day)
    bench.intake.queue.send("garbage")
    assert bench.prove(lambda: None, limit_s=20) == NotArrived(20.0, 10)
    heard = bench.intake.receive()
    assert (heard.new, heard.unintelligible) == (9, 1)
    assert len(bench.intake.dead) == 0


def test_many_messages_of_others_do_not_stand_in_the_way_and_are_not_all_held() -> None:
    bench = Bench()
    for number in range(500):
        bench.intake.send("landing/flights/2026-03-01.csv", number + 1)
    found = bench.prove(lambda: None, limit_s=15)
    assert isinstance(found, NotArrived)
    assert found.others == 200
    assert bench.intake.receive().new == 500


def test_a_message_that_tells_of_a_file_too_is_left_to_the_sensor() -> None:
    bench = Bench()

    def land_both() -> None:
        bench.intake.send(wiring_test_key(TEST_ID))
        [message] = bench.intake.queue.receive(0)
        body = json.loads(message.body)
        file = json.loads(message.body)["Records"][0]
        file["s3"]["object"]["key"] = "landing/flights/2026-03-01.csv"
        body["Records"].append(file)
        bench.intake.queue.delete([message.receipt])
        bench.intake.queue.send(json.dumps(body))

    assert isinstance(bench.prove(land_both, limit_s=5), NotArrived)
    assert bench.intake.receive().new == 1


def test_what_is_held_goes_back_when_the_test_object_cannot_be_put() -> None:
    bench = Bench()

    def fail() -> None:
        raise PermanentError("no")

    with pytest.raises(PermanentError, match="no"):
        bench.prove(fail)
