"""What the ledger promises, one behaviour a test: in memory, and the same on DynamoDB."""

import uuid
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from pipelines.accounting.balance import balance
from pipelines.accounting.entries import AlreadyDone, Claim, Facts, HeldByOther, Planned, SlotTaken, UnknownBatch
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.outcomes import FileArchived, FileDeferred, FileEmpty, FileFailed, FileGone
from pipelines.accounting.states import BatchState, Outcome, State, Trigger
from pipelines.errors import ClaimLostError
from pipelines.ports import ItemStore
from resources.memory import MemoryItemStore
from tests.accounting.books import (
    BUCKET,
    DAY,
    HandClock,
    bad,
    batch_of,
    claim_due,
    do_bad,
    do_good,
    good,
    ledger_on,
    plan_due,
    sighting,
)

KEY = "landing/flights/a.csv"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["memory", pytest.param("dynamodb", marks=pytest.mark.aws)])
def ledger(request: pytest.FixtureRequest, clock: HandClock) -> Iterator[Ledger]:
    if request.param == "memory":
        yield ledger_on(MemoryItemStore(), clock)
        return
    request.getfixturevalue("local_aws")
    from resources.dynamodb import DynamoItemStore
    from resources.environment import client

    dynamodb = client("dynamodb")
    table = f"ledger-{uuid.uuid4().hex[:12]}"
    keys = [("pk", "HASH"), ("sk", "RANGE")]
    due = [("due_pk", "HASH"), ("due_sk", "RANGE")]
    dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in (*keys, *due)],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "due",
                "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in due],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    store: ItemStore = DynamoItemStore(dynamodb, table)
    yield ledger_on(store, clock)
    dynamodb.delete_table(TableName=table)


def outcomes(ledger: Ledger, key: str = KEY) -> dict[str, str]:
    return {e.version.version_id: e.outcome.value for e in ledger.entries(BUCKET, key)}


def assert_balanced(ledger: Ledger) -> None:
    assert balance(ledger.counts()).problems == ()


# ---- registering --------------------------------------------------------------------------------------------------


def test_a_new_version_is_seen_due_and_counted(ledger: Ledger) -> None:
    told = ledger.register([sighting()])
    assert told.new == (sighting().ref,)
    (entry,) = ledger.due("flights")
    assert (entry.state, entry.outcome, entry.landing_day) == (State.SEEN, Outcome.PENDING, DAY)
    assert entry.version == sighting().version
    (counts,) = ledger.counts("flights")
    assert (counts.objects, counts.outcomes[Outcome.PENDING], counts.bytes) == (1, 1, 100)
    assert ledger.datasets() == ["flights"]


def test_a_version_told_of_again_is_counted_as_a_duplicate_and_nothing_else_changes(ledger: Ledger) -> None:
    ledger.register([sighting(), sighting()])
    told = ledger.register([sighting(sequence=1), sighting(sequence=2)])
    assert told.new == (sighting(sequence=2).ref,)
    assert told.duplicates == (sighting(sequence=1).ref,)
    assert [e.duplicates for e in ledger.entries(BUCKET, KEY)] == [2, 0]
    (counts,) = ledger.counts("flights")
    assert (counts.objects, counts.duplicates) == (2, 2)


def test_a_thousand_versions_of_many_days_are_registered_at_once(ledger: Ledger) -> None:
    many = [sighting(f"landing/flights/{i}.csv", day=DAY + timedelta(days=i % 40)) for i in range(300)]
    assert len(ledger.register(many).new) == 300
    assert len(ledger.due("flights")) == 300
    assert sum(c.objects for c in ledger.counts("flights")) == 300
    assert ledger.register(many[:150]).new == ()


def test_a_version_found_by_listing_learns_its_sequencer_from_the_event(ledger: Ledger) -> None:
    ledger.register([sighting(sequence=None, version_id="v9")])
    ledger.register([sighting(sequence=9, version_id="v9")])
    (entry,) = ledger.entries(BUCKET, KEY)
    assert entry.version.sequencer is not None
    assert entry.version.sequencer.number == 9
    assert entry.duplicates == 1


def test_a_file_that_no_dataset_claims_waits_for_one_that_does(ledger: Ledger) -> None:
    ledger.register([sighting(dataset=None)])
    (entry,) = ledger.unrouted()
    assert entry.outcome is Outcome.UNROUTED
    assert ledger.adopt(sighting(dataset="flights"))
    assert not ledger.adopt(sighting(dataset="flights"))
    assert list(ledger.unrouted()) == []
    assert [e.dataset for e in ledger.due("flights")] == ["flights"]
    assert {c.dataset: c.objects for c in ledger.counts()} == {"flights": 1, None: 0}
    assert_balanced(ledger)


# ---- planning and claiming ----------------------------------------------------------------------------------------


def test_planned_versions_are_no_longer_due(ledger: Ledger) -> None:
    ledger.register([sighting()])
    batch = plan_due(ledger)
    assert ledger.due("flights") == []
    assert [b.batch_id for b in ledger.live_batches("flights")] == [batch.batch_id]
    assert ledger.entry(sighting().ref).state is State.PLANNED  # pyright: ignore[reportOptionalMemberAccess]
    assert [b.batch_id for b in ledger.batches_of_run(batch.run_key)] == [batch.batch_id]


def test_only_one_batch_of_a_dataset_and_day_lives(ledger: Ledger) -> None:
    ledger.register([sighting()])
    first = plan_due(ledger)
    ledger.register([sighting(sequence=2)])
    assert ledger.plan(batch_of(ledger, ledger.due("flights"))) == SlotTaken(first.batch_id)
    other_day = sighting("landing/flights/b.csv", day=DAY + timedelta(days=1))
    ledger.register([other_day])
    plan_due(ledger, day=DAY + timedelta(days=1))
    assert [e.ref for e in ledger.due("flights")] == [sighting(sequence=2).ref]


def test_planning_the_same_batch_twice_is_one_batch(ledger: Ledger) -> None:
    ledger.register([sighting()])
    batch = plan_due(ledger)
    assert ledger.plan(batch) == Planned(batch.batch_id, 1)
    assert len(ledger.live_batches("flights")) == 1


def test_a_version_that_changed_since_planning_began_is_left_out(ledger: Ledger) -> None:
    ledger.register([sighting(), sighting("landing/flights/b.csv")])
    due = ledger.due("flights")
    first = batch_of(ledger, due[:1])
    ledger.plan(first)
    ledger.release(first.batch_id, "test", burn=False)
    stale = batch_of(ledger, due)
    assert ledger.plan(stale) == Planned(stale.batch_id, 1)


def test_a_claim_holds_its_members_until_its_lease_runs_out(ledger: Ledger, clock: HandClock) -> None:
    ledger.register([sighting()])
    batch = plan_due(ledger)
    claim = ledger.claim(batch.batch_id, "run-1", 30)
    assert isinstance(claim, Claim)
    assert (claim.epoch, [m.state for m in claim.members]) == (1, [State.CLAIMED])
    assert ledger.entry(sighting().ref).state is State.CLAIMED  # pyright: ignore[reportOptionalMemberAccess]
    held = ledger.claim(batch.batch_id, "run-2", 30)
    assert held == HeldByOther("run-1", claim.lease_until)
    clock.turn(31)
    taken = ledger.claim(batch.batch_id, "run-2", 30)
    assert isinstance(taken, Claim)
    assert taken.epoch == 2
    for step in (ledger.renew, ledger.mark_committing, ledger.finish):
        with pytest.raises(ClaimLostError, match="run-2"):
            step(claim)
    with pytest.raises(ClaimLostError):
        ledger.settle(claim, [good(sighting().ref)])
    assert outcomes(ledger) == {"v1": "pending"}


def test_a_renewed_lease_is_not_taken_over(ledger: Ledger, clock: HandClock) -> None:
    ledger.register([sighting()])
    claim = claim_due(ledger)
    clock.turn(25)
    claim = ledger.renew(claim, 30)
    clock.turn(25)
    assert ledger.claim(claim.batch_id, "run-2") == HeldByOther("run-1", claim.lease_until)


def test_a_claim_names_what_became_of_the_batch(ledger: Ledger) -> None:
    assert ledger.claim("nothing", "run-1") == UnknownBatch("nothing")
    ledger.register([sighting()])
    claim = claim_due(ledger)
    ledger.settle(claim, [good(sighting().ref)])
    ledger.finish(claim, 7)
    again = ledger.claim(claim.batch_id, "run-2")
    assert isinstance(again, AlreadyDone)
    assert (again.batch.state, again.batch.snapshot_id) == (BatchState.DONE, 7)


def test_a_claim_after_a_partial_settlement_brings_only_the_rest(ledger: Ledger, clock: HandClock) -> None:
    ledger.register([sighting(), sighting("landing/flights/b.csv")])
    claim = claim_due(ledger)
    ledger.mark_committing(claim)
    ledger.settle(claim, [bad(sighting().ref)])
    clock.turn(31)
    again = ledger.claim(claim.batch_id, "run-2")
    assert isinstance(again, Claim)
    assert [m.version.key for m in again.members] == ["landing/flights/b.csv"]


# ---- settling -----------------------------------------------------------------------------------------------------


def test_committed_files_are_loaded_and_serve(ledger: Ledger) -> None:
    do_good(ledger, sighting(), sighting("landing/flights/b.csv"))
    assert outcomes(ledger) == {"v1": "loaded"}
    assert ledger.head(BUCKET, KEY).serving_version == "v1"
    assert ledger.live_batches("flights") == []
    (counts,) = ledger.counts("flights")
    assert (counts.serving_files, counts.rows_read, counts.rows_in_table) == (2, 20, 20)
    assert_balanced(ledger)


def test_settling_twice_is_settling_once(ledger: Ledger) -> None:
    ledger.register([sighting()])
    claim = claim_due(ledger)
    ref = sighting().ref
    assert ledger.settle(claim, [good(ref)]).settled == (ref,)
    assert ledger.settle(claim, [good(ref)]).skipped == (ref,)
    ledger.finish(claim)
    ledger.finish(claim)
    (counts,) = ledger.counts("flights")
    assert counts.rows_in_table == 10


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (1, 3, 2)])
def test_the_highest_accepted_version_serves_in_whatever_order_they_come(
    ledger: Ledger, order: tuple[int, ...]
) -> None:
    for sequence in order:
        do_good(ledger, sighting(sequence=sequence))
    assert outcomes(ledger) == {"v1": "superseded", "v2": "superseded", "v3": "loaded"}
    assert ledger.head(BUCKET, KEY).serving_version == "v3"
    assert_balanced(ledger)


@pytest.mark.parametrize("good_first", [True, False])
def test_a_bad_higher_version_takes_nothing_away(ledger: Ledger, good_first: bool) -> None:
    steps = [lambda: do_good(ledger, sighting(sequence=1)), lambda: do_bad(ledger, sighting(sequence=2))]
    for step in steps if good_first else reversed(steps):
        step()
    assert outcomes(ledger) == {"v1": "loaded", "v2": "quarantined"}
    assert [e.version.version_id for e in ledger.quarantined()] == ["v2"]
    assert_balanced(ledger)


@pytest.mark.parametrize("good_first", [True, False])
def test_a_bad_version_below_a_good_one_is_superseded(ledger: Ledger, good_first: bool) -> None:
    steps = [lambda: do_good(ledger, sighting(sequence=2)), lambda: do_bad(ledger, sighting(sequence=1))]
    for step in steps if good_first else reversed(steps):
        step()
    assert outcomes(ledger) == {"v1": "superseded", "v2": "loaded"}
    assert list(ledger.quarantined()) == []
    assert_balanced(ledger)


def test_versions_of_one_key_in_one_batch_end_as_if_they_came_apart(ledger: Ledger) -> None:
    ledger.register([sighting(sequence=n) for n in (1, 2, 3, 4)])
    claim = claim_due(ledger)
    ledger.settle(claim, [good(sighting(sequence=1).ref), bad(sighting(sequence=2).ref)])
    ledger.settle(claim, [bad(sighting(sequence=4).ref), good(sighting(sequence=3).ref)])
    ledger.finish(claim)
    assert outcomes(ledger) == {"v1": "superseded", "v2": "superseded", "v3": "loaded", "v4": "quarantined"}
    assert_balanced(ledger)


def test_a_key_overwritten_many_times_is_settled_in_one_batch(ledger: Ledger) -> None:
    versions = [sighting(sequence=n, day=DAY) for n in range(1, 61)]
    ledger.register(versions)
    claim = claim_due(ledger)
    ledger.settle(claim, [bad(s.ref) for s in versions[:40]])
    ledger.settle(claim, [good(s.ref) for s in versions[40:]])
    ledger.finish(claim)
    told = outcomes(ledger)
    assert told.pop("v60") == "loaded"
    assert set(told.values()) == {"superseded"}
    assert_balanced(ledger)


def test_an_empty_file_supersedes_nothing_and_stays_empty(ledger: Ledger) -> None:
    do_good(ledger, sighting(sequence=1))
    ledger.register([sighting(sequence=2)])
    claim = claim_due(ledger)
    ledger.settle(claim, [FileEmpty(sighting(sequence=2).ref, Facts())])
    ledger.finish(claim)
    assert outcomes(ledger) == {"v1": "loaded", "v2": "empty"}
    do_good(ledger, sighting(sequence=3))
    assert outcomes(ledger) == {"v1": "superseded", "v2": "empty", "v3": "loaded"}
    assert_balanced(ledger)


def test_a_fault_of_ours_is_tried_again_later_and_is_dead_in_the_end(ledger: Ledger, clock: HandClock) -> None:
    ledger.register([sighting()])
    for attempt in range(1, 6):
        claim = claim_due(ledger, f"run-{attempt}")
        ledger.settle(claim, [FileFailed(sighting().ref, "the disk is full")])
        ledger.finish(claim)
        assert ledger.due("flights") == []
        clock.turn(3600)
    assert ledger.due("flights") == []
    (dead,) = ledger.dead("flights")
    assert (dead.outcome, dead.error, dead.attempts) == (Outcome.FAILED, "the disk is full", 5)
    assert_balanced(ledger)
    ledger.make_due([dead.ref], Trigger.REPLAY, "the disk has room again")
    claim = claim_due(ledger)
    ledger.settle(claim, [good(dead.ref)])
    ledger.finish(claim)
    assert outcomes(ledger) == {"v1": "loaded"}


def test_what_is_left_for_the_next_batch_is_due_at_once_with_all_its_attempts(ledger: Ledger) -> None:
    ledger.register([sighting()])
    for attempt in range(1, 9):
        claim = claim_due(ledger, f"run-{attempt}")
        ledger.settle(claim, [FileDeferred(sighting().ref, "no room")])
        ledger.finish(claim)
    (due,) = ledger.due("flights")
    assert (due.attempts, due.error, due.outcome) == (0, None, Outcome.PENDING)
    assert_balanced(ledger)


def test_a_version_deleted_before_it_was_read_is_accounted_for(ledger: Ledger) -> None:
    ledger.register([sighting()])
    claim = claim_due(ledger)
    ledger.settle(claim, [FileGone(sighting().ref)])
    ledger.finish(claim)
    assert outcomes(ledger) == {"v1": "removed"}
    assert_balanced(ledger)


def test_an_archived_version_is_due_when_it_is_restored(ledger: Ledger) -> None:
    ledger.register([sighting()])
    claim = claim_due(ledger)
    ledger.settle(claim, [FileArchived(sighting().ref)])
    ledger.finish(claim)
    assert ledger.due("flights") == []
    assert [e.ref for e in ledger.archived()] == [sighting().ref]
    assert ledger.restored(sighting().ref)
    assert not ledger.restored(sighting().ref)
    assert [e.ref for e in ledger.due("flights")] == [sighting().ref]


def test_members_that_a_worker_did_not_settle_are_due_again(ledger: Ledger) -> None:
    ledger.register([sighting(), sighting("landing/flights/b.csv")])
    claim = claim_due(ledger)
    ledger.settle(claim, [good(sighting().ref)])
    ledger.finish(claim)
    (left,) = ledger.due("flights")
    assert (left.version.key, left.attempts) == ("landing/flights/b.csv", 0)


# ---- releasing ----------------------------------------------------------------------------------------------------


def test_a_released_batch_gives_its_files_back_and_fences_its_worker_off(ledger: Ledger, clock: HandClock) -> None:
    ledger.register([sighting(), sighting("landing/flights/b.csv")])
    claim = claim_due(ledger)
    ledger.settle(claim, [good(sighting().ref)])
    assert ledger.release(claim.batch_id, "its run failed")
    assert ledger.release(claim.batch_id, "its run failed")
    with pytest.raises(ClaimLostError, match="released"):
        ledger.settle(claim, [good(sighting("landing/flights/b.csv").ref)])
    assert isinstance(ledger.claim(claim.batch_id, "run-2"), AlreadyDone)
    assert ledger.live_batches("flights") == []
    clock.turn(60)
    (entry,) = ledger.due("flights")
    assert (entry.version.key, entry.attempts, entry.error) == ("landing/flights/b.csv", 1, "its run failed")
    do_good(ledger)
    assert_balanced(ledger)
    assert balance(ledger.counts()).outcome(Outcome.LOADED) == 2


def test_a_canceled_run_uses_up_no_attempt(ledger: Ledger) -> None:
    ledger.register([sighting()])
    for _ in range(8):
        assert ledger.release(plan_due(ledger).batch_id, "canceled", burn=False)
    (entry,) = ledger.due("flights")
    assert entry.attempts == 0


def test_releasing_what_is_done_changes_nothing(ledger: Ledger) -> None:
    do_good(ledger, sighting())
    (batch,) = ledger.batches_of_day("flights", DAY)
    assert not ledger.release(batch.batch_id, "too late")
    assert outcomes(ledger) == {"v1": "loaded"}


# ---- again, on purpose --------------------------------------------------------------------------------------------


def test_a_backfill_makes_serving_and_never_accepted_versions_due_and_nothing_else(ledger: Ledger) -> None:
    do_good(ledger, sighting(sequence=1))
    do_good(ledger, sighting(sequence=2))
    do_bad(ledger, sighting(sequence=3))
    do_bad(ledger, sighting("landing/flights/old.csv", 1))
    do_good(ledger, sighting("landing/flights/old.csv", 2))
    ledger.register([sighting("landing/flights/new.csv")])
    made = ledger.make_due(ledger.versions_of_days("flights", [DAY]), Trigger.BACKFILL)
    names = {(e.version.key.rsplit("/")[-1], e.version.version_id) for e in ledger.due("flights")}
    assert names == {("a.csv", "v2"), ("a.csv", "v3"), ("old.csv", "v2"), ("new.csv", "v1")}
    assert len(made.due) == 4
    assert set(ledger.make_due(ledger.versions_of_days("flights", [DAY]), Trigger.BACKFILL).due) == set(made.due)
    assert ledger.make_due(ledger.versions_of_days("flights", [DAY + timedelta(days=1)]), Trigger.BACKFILL).due == ()
    do_good(ledger)
    assert outcomes(ledger) == {"v1": "superseded", "v2": "superseded", "v3": "loaded"}
    assert_balanced(ledger)


def test_a_backfill_leaves_alone_what_a_live_batch_holds(ledger: Ledger) -> None:
    ledger.register([sighting()])
    claim = claim_due(ledger)
    made = ledger.make_due(ledger.versions_of_days("flights", [DAY]), Trigger.BACKFILL)
    assert (made.due, made.held) == ((), (sighting().ref,))
    ledger.settle(claim, [good(sighting().ref)])


def test_rows_of_a_serving_version_stay_counted_while_it_is_processed_again(ledger: Ledger) -> None:
    do_good(ledger, sighting())
    ledger.make_due([sighting().ref], Trigger.BACKFILL)
    (counts,) = ledger.counts("flights")
    assert (counts.outcomes[Outcome.PENDING], counts.rows_in_table) == (1, 10)
    claim = claim_due(ledger)
    ledger.settle(claim, [good(sighting().ref, rows=12)])
    ledger.finish(claim)
    (counts,) = ledger.counts("flights")
    assert (counts.outcomes[Outcome.LOADED], counts.rows_in_table) == (1, 12)
    assert_balanced(ledger)


def test_a_serving_version_that_is_rejected_when_processed_again_keeps_its_rows_and_says_so(ledger: Ledger) -> None:
    do_good(ledger, sighting())
    ledger.make_due([sighting().ref], Trigger.REPLAY, "new contract")
    do_bad(ledger)
    (entry,) = ledger.entries(BUCKET, KEY)
    assert (entry.outcome, entry.serving) == (Outcome.LOADED, True)
    assert entry.rejudged is not None
    assert entry.rejudged.violations_total == 1
    (counts,) = ledger.counts("flights")
    assert counts.rows_in_table == 10
    assert_balanced(ledger)


def test_a_serving_version_made_due_is_superseded_by_a_higher_one_that_comes_first(ledger: Ledger) -> None:
    do_good(ledger, sighting(sequence=1))
    ledger.make_due([sighting(sequence=1).ref], Trigger.BACKFILL)
    ledger.register([sighting(sequence=2)])
    higher = [e for e in ledger.due("flights") if e.version.version_id == "v2"]
    batch = batch_of(ledger, higher)
    ledger.plan(batch)
    claim = ledger.claim(batch.batch_id, "run")
    assert isinstance(claim, Claim)
    ledger.settle(claim, [good(sighting(sequence=2).ref)])
    ledger.finish(claim)
    assert ledger.due("flights") == []
    assert outcomes(ledger) == {"v1": "superseded", "v2": "loaded"}
    assert_balanced(ledger)


# ---- removals -----------------------------------------------------------------------------------------------------


def removal(order: int, version_id: str | None, *, marker: bool):
    from pipelines.accounting.entries import Removal

    at = sighting().version.landed_at
    return Removal(BUCKET, KEY, version_id, f"{order:032x}#{version_id or ''}", at, marker, "ObjectRemoved")


def test_a_delete_marker_hides_what_lies_below_it_until_it_is_deleted_itself(ledger: Ledger) -> None:
    do_good(ledger, sighting(sequence=1), sighting(sequence=2))
    ledger.removed(removal(5, "m1", marker=True))
    ledger.removed(removal(5, "m1", marker=True))
    assert [e.object_removed for e in ledger.entries(BUCKET, KEY)] == [True, True]
    assert ledger.head(BUCKET, KEY).removed
    ledger.register([sighting(sequence=9)])
    assert not ledger.head(BUCKET, KEY).removed
    assert [e.object_removed for e in ledger.entries(BUCKET, KEY)] == [True, True, False]
    ledger.removed(removal(12, "m1", marker=False))
    assert [e.object_removed for e in ledger.entries(BUCKET, KEY)] == [False, False, False]
    assert outcomes(ledger)["v2"] == "loaded"
    assert_balanced(ledger)


def test_a_version_deleted_for_good_is_recorded(ledger: Ledger) -> None:
    do_good(ledger, sighting(sequence=1), sighting(sequence=2))
    ledger.removed(removal(5, "v1", marker=False))
    assert [e.object_removed for e in ledger.entries(BUCKET, KEY)] == [True, False]


# ---- looking ------------------------------------------------------------------------------------------------------


def test_the_history_of_a_key_tells_every_step_in_order(ledger: Ledger, clock: HandClock) -> None:
    ledger.register([sighting()])
    clock.turn(1)
    batch = plan_due(ledger)
    clock.turn(1)
    claim = ledger.claim(batch.batch_id, "run-1")
    assert isinstance(claim, Claim)
    clock.turn(1)
    ledger.release(batch.batch_id, "its run failed")
    clock.turn(100)
    claim = claim_due(ledger, "run-2")
    clock.turn(1)
    claim = ledger.mark_committing(claim)
    clock.turn(1)
    ledger.settle(claim, [good(sighting().ref)])
    ledger.finish(claim)
    told = [(h.to_state.value, h.run, h.reason) for h in ledger.history(BUCKET, KEY)]
    assert told == [
        ("seen", None, "registered"),
        ("planned", None, ""),
        ("claimed", "run-1", "epoch 1"),
        ("retry_wait", "run-1", "its run failed"),
        ("planned", None, ""),
        ("claimed", "run-2", "epoch 1"),
        ("committing", "run-2", ""),
        ("committed", "run-2", ""),
    ]
    assert ledger.history(BUCKET, KEY)[-1].rows == 10


def test_due_versions_of_busy_days_and_of_later_times_are_left_out(ledger: Ledger, clock: HandClock) -> None:
    days = [date(2026, 3, day) for day in range(1, 11)]
    ledger.register([sighting(f"landing/flights/{d}.csv", day=d) for d in days])
    assert [e.landing_day for e in ledger.due("flights")] == days
    assert len(ledger.due("flights", limit=3)) == 3
    assert {e.landing_day for e in ledger.due("flights", busy=days[2:])} == set(days[:2])
    ledger.release(plan_due(ledger, day=days[0]).batch_id, "failed")
    assert len(ledger.due("flights")) == 9
    clock.turn(60)
    assert len(ledger.due("flights")) == 10


def test_counters_can_be_asked_for_from_a_day_on(ledger: Ledger) -> None:
    ledger.register([sighting(f"landing/flights/{d}.csv", day=date(2026, 3, d)) for d in range(1, 6)])
    assert [c.landing_day.day for c in ledger.counts("flights", since=date(2026, 3, 4))] == [4, 5]


def test_version_ids_and_keys_of_the_longest_kind_fit(ledger: Ledger) -> None:
    long = sighting("landing/flights/" + "ä" * 500, version_id="x" * 1024)
    do_good(ledger, long)
    (entry,) = ledger.entries(BUCKET, long.version.key)
    assert (entry.version, entry.outcome) == (long.version, Outcome.LOADED)
