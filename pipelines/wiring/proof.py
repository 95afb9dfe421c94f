"""The proof that files are heard of: a test object is put, and its event must come out of the queue.

It works beside the landing sensor, whoever of the two receives the event: the sensor leaves a mark in the ledger. Messages of
others that are received here are held, so that none is received over and over, and put back at the end.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.accounting.ledger import Ledger
from pipelines.intake.events import Notification, parse_message
from pipelines.intake.wiring_tests import wiring_test_id
from pipelines.ports import EventQueue

__all__ = ["Arrived", "NotArrived", "prove_wiring"]

_MOST_HELD = 200
_POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """The event came after so many seconds; `by_sensor`: the landing sensor took it, and did not leave it to us."""

    after_s: float
    by_sensor: bool


@dataclass(frozen=True, slots=True)
class NotArrived:
    """Nothing came in so many seconds; `others` counts messages of others that were looked at, meanwhile."""

    after_s: float
    others: int


def prove_wiring(
    queue: EventQueue,
    ledger: Ledger,
    bucket: str,
    test_id: str,
    land: Callable[[], None],
    *,
    limit_s: float,
    monotonic: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Arrived | NotArrived:
    """Have `land` put the test object, and wait until its event is heard of.

    `limit_s` should be shorter than the queue hides a message from others. Raises TransientError, PermanentError: queue or ledger
    do not answer, or `land` failed.
    """
    began = monotonic()
    held: list[str] = []
    land()
    try:
        while True:
            if ledger.wiring.arrival(test_id) is not None:
                return Arrived(monotonic() - began, by_sensor=True)
            left_s = limit_s - (monotonic() - began)
            if left_s <= 0:
                return NotArrived(monotonic() - began, len(held))
            if len(held) >= _MOST_HELD:
                pause(min(_POLL_S, left_s))
                continue
            for message in queue.receive(min(_POLL_S, left_s)):
                if _tells_of(message.body, bucket, test_id):
                    queue.delete([message.receipt])
                    return Arrived(monotonic() - began, by_sensor=False)
                held.append(message.receipt)
    finally:
        queue.put_back(held)
        ledger.wiring.forget(test_id)


def _tells_of(body: str, bucket: str, test_id: str) -> bool:
    """Whether a message tells of this test, and of nothing else."""
    found = parse_message(body, bucket)
    return isinstance(found, Notification) and {wiring_test_id(event.key) for event in found.events} == {test_id}
