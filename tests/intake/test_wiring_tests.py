"""A test object of `lakegate setup` is noticed and belongs to no account; everything else under landing/ is somebody's file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.intake.wiring_tests import is_wiring_test, wiring_test_id, wiring_test_key
from tests.intake.landing_bucket import LandingBucket
from tests.intake.test_receiving import Intake
from tests.intake.test_sweep import HOUR, swept

TEST_ID = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "event", ["ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "ObjectRestore:Completed"]
)
def test_a_test_object_leaves_a_mark_and_nothing_else_in_the_books(event: str) -> None:
    intake = Intake()
    assert intake.ledger.wiring.arrival(TEST_ID) is None
    intake.send(wiring_test_key(TEST_ID))
    intake.send(wiring_test_key(TEST_ID), 1, event=event)
    assert intake.receive().sentence() == "received 2 messages: 2 of wiring tests"
    assert intake.ledger.wiring.arrival(TEST_ID) == intake.clock()
    assert intake.ledger.counts() == []
    assert list(intake.ledger.unrouted()) == []
    assert (len(intake.queue), len(intake.dead)) == (0, 0)


def test_the_first_arrival_counts_and_a_test_that_is_over_is_forgotten() -> None:
    intake = Intake()
    first = intake.clock()
    intake.send(wiring_test_key(TEST_ID))
    intake.receive()
    intake.clock.turn(60)
    intake.send(wiring_test_key(TEST_ID))
    intake.receive()
    assert intake.ledger.wiring.arrival(TEST_ID) == first
    for _ in range(2):
        intake.ledger.wiring.forget(TEST_ID)
        assert intake.ledger.wiring.arrival(TEST_ID) is None


@pytest.mark.parametrize(
    "key",
    [
        "landing/.lakegate/orders.csv",
        f"landing/.lakegate/wiring-{TEST_ID}.csv",
        f"landing/.lakegate/wiring-{TEST_ID[:-1]}",
        f"landing/.lakegate/wiring-{TEST_ID.upper()}",
        f"landing/.lakegate/wiring-{TEST_ID}\n",
        f"landing/x/.lakegate/wiring-{TEST_ID}",
    ],
)
def test_what_only_looks_like_a_test_object_is_a_file_and_accounted_for(key: str) -> None:
    intake = Intake()
    intake.send(key.replace("\n", "%0A"))
    report = intake.receive()
    assert (report.new, report.unrouted, report.wiring_tests) == (1, 1, 0)


@given(st.text(max_size=40))
def test_only_the_exact_form_is_a_test(rest: str) -> None:
    key = f"landing/.lakegate/wiring-{rest}"
    assert is_wiring_test(key) == (len(rest) == 32 and all(c in "0123456789abcdef" for c in rest))


def test_a_key_and_its_id_belong_together_and_nothing_else_is_an_id() -> None:
    assert wiring_test_id(wiring_test_key(TEST_ID)) == TEST_ID
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        wiring_test_key("../x")


def test_a_sweep_takes_no_test_object_for_a_file_that_no_event_told_of() -> None:
    bucket = LandingBucket()
    bucket.put(wiring_test_key(TEST_ID), told=False)
    bucket.put("landing/nobody/x.csv", told=False)
    report = swept(bucket, after_s=HOUR)
    assert len(report.findings["registered"]) == 1
    assert "nobody" in report.findings["registered"][0]
