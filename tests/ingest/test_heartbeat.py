"""The heartbeat keeps a claim while its worker lives, survives faults of the moment, and tells when the claim is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.accounting.entries import Claim, Reading
from pipelines.accounting.heartbeat import Heartbeat
from pipelines.accounting.ledger import Ledger
from pipelines.errors import ClaimLostError, PermanentError, TransientError
from tests.ingest.world import World, orders, orders_key, planned

LEASE_S = 0.06
LIMIT_S = 10.0


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.005)


class Counting:
    """A ledger that counts renewals, and fails those it is told to."""

    def __init__(self, inner: Ledger, faults: list[Exception | None]) -> None:
        self.inner, self.faults, self.renewals = inner, faults, 0

    def renew(self, claim: Claim, lease_s: float, reading: Reading | None = None) -> Claim:
        self.renewals += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        return self.inner.renew(claim, lease_s, reading)


def claimed(world: World) -> tuple[Ledger, Claim]:
    world.put(orders_key("a"), orders(1))
    gate = world.gate()
    [launch] = planned(world, gate)
    claim = gate.ledger.claim(launch.batches[0], "first", LEASE_S)
    assert isinstance(claim, Claim)
    return gate.ledger, claim


def beating(ledger: Any, claim: Claim) -> Heartbeat:
    return Heartbeat(ledger, claim, LEASE_S)


def test_it_renews_the_lease_while_it_is_entered_and_no_longer() -> None:
    world = World()
    ledger, claim = claimed(world)
    counting = Counting(ledger, [])
    world.clock.turn(5)
    with beating(counting, claim) as heartbeat:
        until(lambda: counting.renewals >= 3)
        heartbeat.check()
        record = ledger.batch(claim.batch_id)
        assert record is not None
        assert record.lease_until is not None
        assert record.lease_until > world.clock()
    ended = counting.renewals
    assert not any(thread.name == f"heartbeat-{claim.batch_id}" for thread in threading.enumerate())
    assert counting.renewals == ended


def test_a_fault_of_the_moment_is_tried_again_at_the_next_beat() -> None:
    ledger, claim = claimed(World())
    counting = Counting(ledger, [TransientError("throttled"), TransientError("throttled")])
    with beating(counting, claim) as heartbeat:
        until(lambda: counting.renewals >= 4)
        heartbeat.check()


def test_a_lost_claim_is_told_at_the_next_check_and_the_beating_ends() -> None:
    world = World()
    ledger, claim = claimed(world)
    world.clock.turn(1)
    other = ledger.claim(claim.batch_id, "second")
    assert isinstance(other, Claim)
    counting = Counting(ledger, [])

    with beating(counting, claim) as heartbeat:
        with pytest.raises(ClaimLostError, match="by second"):
            until(lambda: bool(heartbeat.check()))
        with pytest.raises(ClaimLostError):
            heartbeat.renew()
    assert counting.renewals == 1


def test_renewing_by_hand_is_the_last_look_before_something_becomes_visible() -> None:
    world = World()
    ledger, claim = claimed(world)
    heartbeat = Heartbeat(ledger, claim)
    heartbeat.renew()
    ledger.release(claim.batch_id, "its run failed")
    with pytest.raises(ClaimLostError, match="released"):
        heartbeat.renew()


def test_a_fault_that_stays_stops_the_worker_as_well() -> None:
    ledger, claim = claimed(World())
    counting = Counting(ledger, [PermanentError("the ledger is not there")])
    with beating(counting, claim) as heartbeat:
        until(lambda: counting.renewals == 1)
        with pytest.raises(ClaimLostError, match="the ledger is not there"):
            until(lambda: bool(heartbeat.check()))


def test_an_error_in_the_work_ends_the_beating_and_goes_on() -> None:
    ledger, claim = claimed(World())
    with pytest.raises(ZeroDivisionError), beating(ledger, claim):
        raise ZeroDivisionError
    assert not any(thread.name == f"heartbeat-{claim.batch_id}" for thread in threading.enumerate())
