"""The story of a file in each state it can be in: what is so, what happened, what is next. Without AWS."""

from __future__ import annotations

from datetime import UTC, datetime

from lakegate.story import sentence, story_of
from pipelines.accounting.entries import Claim, HistoryRecord
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.outcomes import FileArchived, FileFailed
from pipelines.accounting.states import Outcome, State, Trigger
from tests.ingest.world import BAD, BUCKET, World, orders, orders_key

KEY = orders_key("a")


def told(world: World, key: str = KEY) -> str:
    story = story_of(world.gate(), key)
    assert story is not None
    return "\n".join(story.lines())


def claimed(world: World) -> tuple[Ledger, Claim]:
    """A file in the hands of a run, by the ledger alone."""
    from pipelines.intake.receiving import receive
    from tests.accounting.books import batch_of

    gate = world.gate()
    receive(gate, wait_s=0, budget_s=60)
    ledger = gate.ledger
    [entry] = ledger.due("orders")
    batch = batch_of(ledger, [entry], dataset="orders", day=entry.landing_day)
    ledger.plan(batch)
    claim = ledger.claim(batch.batch_id, "run-9")
    assert isinstance(claim, Claim)
    return ledger, claim


def test_a_file_that_is_being_read_names_its_run_and_batch() -> None:
    world = World()
    world.put(KEY, orders(1))
    _, claim = claimed(world)
    assert "claimed by run run-9 (epoch 1)" in told(world)
    assert f"what is next: its batch {claim.batch_id} finishes it" in told(world)


def test_a_failed_attempt_says_the_error_and_when_it_is_tried_again() -> None:
    world = World()
    world.put(KEY, orders(1))
    ledger, claim = claimed(world)
    ledger.settle(claim, [FileFailed(m.ref, "S3 was \x1b[31mslow") for m in claim.members])
    text = told(world)
    assert "failed, and waits to be tried again: S3 was \\x1b[31mslow; 0 ms reading it; run run-9" in text
    assert "what is next: tried again at 12:00:" in text
    assert "after 1 attempts" not in text
    assert "after 1 attempt; the last error: S3 was \\x1b[31mslow" in text
    assert "\x1b" not in text


def test_an_archived_file_says_what_to_do() -> None:
    world = World()
    world.put(KEY, orders(1))
    ledger, claim = claimed(world)
    ledger.settle(claim, [FileArchived(m.ref) for m in claim.members])
    assert "what is next: restore the object in S3; its event makes it due" in told(world)


def test_a_file_that_no_dataset_claims_says_that_nothing_is_lost() -> None:
    world = World()
    world.put("landing/nobody/x.csv", b"x")
    world.settle_down()
    text = told(world, "landing/nobody/x.csv")
    assert "no dataset claims it, landing day" in text
    assert "a dataset whose landing.key fits takes it; nothing is lost meanwhile" in text


def test_a_serving_file_that_is_wrong_under_todays_contract_keeps_its_rows_and_says_both() -> None:
    world = World()
    version = world.put(KEY, orders(1))
    world.settle_down()
    world.store.put_version(version, BAD)
    gate = world.gate()
    gate.ledger.make_due([e.ref for e in gate.ledger.entries(BUCKET, KEY)], Trigger.BACKFILL, "look again")
    world.settle_down()
    text = told(world)
    assert "due again: look again" in text
    assert "committed, loaded: rejected when processed again; the rows it has stay" in text
    assert "serves with 1 row." in text
    assert ":3:id: " in text, "the faults of the later verdict"


def test_further_events_are_told() -> None:
    world = World()
    world.put(KEY, orders(1), events=3)
    world.settle_down()
    assert "; told of 2 more times" in told(world)


def test_an_unknown_key_has_no_story() -> None:
    assert story_of(World().gate(), "landing/nobody") is None


def test_every_state_and_every_outcome_has_words() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    for state in State:
        for outcome in Outcome:
            assert sentence(HistoryRecord(at, "v1", None, state, outcome, reason="why"))
