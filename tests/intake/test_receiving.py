"""From queue to ledger to runs: nothing is deleted before it is registered, and what is not ours is left alone."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pipelines.accounting.entries import Claim, LedgerEntry
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.states import Outcome, Trigger
from pipelines.errors import TransientError
from pipelines.intake.dispatching import Dispatch, RunState, dispatch_from
from pipelines.intake.receiving import IntakeReport, adopt_unrouted, receive_from
from pipelines.ports import Change, Refused, Written
from resources.memory import MemoryEventQueue, MemoryItemStore
from tests.accounting.books import HandClock, good, ledger_on
from tests.accounting.fragile import Died, FragileStore
from tests.intake.test_routing import FLIGHTS, ORDERS, dataset

BUCKET = "our-landing"
TEMPLATE = json.loads((Path(__file__).parent / "events" / "s3_created.json").read_text())


class Intake:
    """A queue, a ledger, and time in one's own hand."""

    def __init__(self, store: MemoryItemStore | FragileStore | None = None) -> None:
        self.clock = HandClock(datetime(2026, 3, 10, 12, tzinfo=UTC))
        self.seconds = 0.0
        self.dead = MemoryEventQueue(lambda: self.seconds)
        self.queue = MemoryEventQueue(lambda: self.seconds, dead_letters=self.dead)
        self.store = store or MemoryItemStore()
        self.runs: dict[str, RunState] = {}

    @property
    def ledger(self) -> Ledger:
        return ledger_on(self.store, self.clock)

    def send(
        self, key: str, sequence: int = 1, *, event: str = "ObjectCreated:Put", bucket: str = BUCKET, **obj: object
    ):
        body = json.loads(json.dumps(TEMPLATE))
        record = body["Records"][0]
        record["eventName"] = event
        record["s3"]["bucket"]["name"] = bucket
        record["s3"]["object"] |= {"key": key, "sequencer": f"{sequence:X}", "versionId": f"v{sequence}", **obj}
        self.queue.send(json.dumps(body))

    def receive(self, **how: int) -> IntakeReport:
        return receive_from(
            self.queue, self.ledger, (FLIGHTS, ORDERS), BUCKET, self.clock, wait_s=0, budget_s=60, **how
        )

    def dispatch(self) -> Dispatch:
        return dispatch_from(
            self.ledger, (FLIGHTS, ORDERS), self.clock, lambda keys: {k: self.runs[k] for k in keys if k in self.runs}
        )


@pytest.fixture
def intake() -> Intake:
    return Intake()


def test_a_message_becomes_a_due_version_and_is_deleted(intake: Intake) -> None:
    intake.send("landing/flights/2026-03-01.csv")
    assert intake.receive().sentence() == "received 1 message: 1 new"
    assert len(intake.queue) == 0
    (entry,) = intake.ledger.due("flights")
    assert (entry.version.key, entry.landing_day.isoformat()) == ("landing/flights/2026-03-01.csv", "2026-03-01")


def test_the_report_tells_what_came_in_one_sentence(intake: Intake) -> None:
    for number in range(117):
        intake.send("landing/flights/2026-03-01.csv", number + 1)
    intake.send("landing/flights/2026-03-01.csv", 1)
    intake.send("landing/flights/2026-03-01.csv", 1)
    intake.queue.send(json.dumps({"Event": "s3:TestEvent", "Bucket": BUCKET}))
    assert intake.receive().sentence() == "received 120 messages: 117 new, 2 duplicates, 1 test event"
    assert intake.receive().sentence() == "no messages"
    assert sum(c.duplicates for c in intake.ledger.counts()) == 2


def test_what_is_not_understood_or_foreign_is_left_for_the_dead_letter_queue(intake: Intake) -> None:
    intake.queue.send("garbage")
    intake.send("landing/flights/2026-03-01.csv", bucket="somebody-elses")
    intake.queue.send(json.dumps({"Event": "s3:TestEvent", "Bucket": "somebody-elses"}))
    for _ in range(6):
        report = intake.receive()
        intake.seconds += 61
    assert report.received == 0
    assert len(intake.dead) == 3
    assert intake.ledger.datasets() == []


@pytest.mark.parametrize(
    "bucket", [f"{BUCKET}-2", BUCKET.upper(), f"arn:aws:s3:::{BUCKET}", f"{BUCKET}/landing", f"../{BUCKET}", f"{BUCKET} ", "", 7, None]
)  # fmt: skip
def test_a_bucket_that_only_resembles_ours_is_not_ours(intake: Intake, bucket: str) -> None:
    """Receiving has no object store to ask: whatever a message names, no call is made to it."""
    intake.send("landing/flights/2026-03-01.csv", bucket=bucket)
    assert intake.receive().new == 0
    assert intake.ledger.datasets() == []
    assert len(intake.queue) == 1


def test_what_is_outside_landing_is_counted_and_deleted(intake: Intake) -> None:
    intake.send("processed/flights/data/x.parquet")
    intake.send("processed/old.csv", event="ObjectRemoved:Delete")
    report = intake.receive()
    assert (report.outside, report.new) == (2, 0)
    assert len(intake.queue) == 0
    assert intake.ledger.counts() == []


def test_a_file_that_no_dataset_claims_is_accounted_for_and_adopted_when_one_does(intake: Intake) -> None:
    intake.send("landing/planes/1.csv")
    report = intake.receive()
    assert (report.new, report.unrouted) == (1, 1)
    ledger = intake.ledger
    today = intake.clock().date()
    assert adopt_unrouted(ledger, (FLIGHTS,), today) == 0
    planes = dataset("planes", "landing/planes/*.csv")
    assert adopt_unrouted(ledger, (FLIGHTS, planes), today) == 1
    assert adopt_unrouted(ledger, (FLIGHTS, planes), today) == 0
    assert [e.dataset for e in ledger.due("planes")] == ["planes"]


def test_files_with_a_wrong_key_are_work_of_a_day_that_exists(intake: Intake) -> None:
    intake.send("landing/flights/1999-01-01.csv")
    intake.send("landing/flights/2026-02-30.csv")
    intake.send("landing/flights/2026-03-02.csv")
    report = intake.receive()
    assert report.sentence() == "received 3 messages: 3 new, 2 with wrong keys"
    # The body's event is of 1 March.
    assert [e.landing_day.isoformat() for e in intake.ledger.due("flights")] == [
        "2026-03-01",
        "2026-03-01",
        "2026-03-02",
    ]


def test_removals_restores_and_other_events_are_counted(intake: Intake) -> None:
    intake.send("landing/flights/2026-03-01.csv", 1)
    intake.send("landing/flights/2026-03-01.csv", 2, event="ObjectRemoved:DeleteMarkerCreated")
    intake.send("landing/flights/2026-03-01.csv", 1, event="ObjectRestore:Completed")
    intake.send("landing/flights/2026-03-01.csv", 1, event="ObjectTagging:Put")
    report = intake.receive()
    assert report.sentence() == "received 4 messages: 1 new, 1 removal, 1 restored, 1 other event"
    (entry,) = intake.ledger.entries(BUCKET, "landing/flights/2026-03-01.csv")
    assert entry.object_removed


def test_receiving_stops_at_its_limits(intake: Intake) -> None:
    for number in range(300):
        intake.send("landing/flights/2026-03-01.csv", number + 1)
    assert intake.receive(most=100).received < 300
    assert intake.receive().received > 0


def test_a_ledger_that_cannot_be_written_keeps_every_message() -> None:
    class Broken(MemoryItemStore):
        def write(self, changes: Sequence[Change]) -> Written | Refused:
            raise TransientError("throttled")

    intake = Intake(Broken())
    intake.send("landing/flights/2026-03-01.csv")
    with pytest.raises(TransientError):
        intake.receive()
    assert len(intake.queue) == 1


@pytest.mark.parametrize("how", ["before", "after"])
def test_dying_while_receiving_loses_and_doubles_nothing(how: str) -> None:
    for at in range(40):
        inner = MemoryItemStore()
        intake = Intake(FragileStore(inner, at, how))
        for number in range(25):
            intake.send("landing/flights/2026-03-01.csv", number + 1)
        try:
            intake.receive()
        except Died:
            intake.seconds += 61
            intake.receive()
        assert len(intake.queue) == 0
        assert sum(c.objects for c in ledger_on(inner).counts("flights")) == 25


# ---- dispatching --------------------------------------------------------------------------------------------------


def land(intake: Intake, days: range) -> None:
    for day in days:
        intake.send(f"landing/flights/2026-03-{day:02d}.csv", day)
    intake.receive()


def test_due_files_of_consecutive_days_become_one_launch(intake: Intake) -> None:
    land(intake, range(1, 6))
    (launch,) = intake.dispatch().launches
    assert launch.dataset == "flights"
    assert launch.trigger == Trigger.EVENT.value
    assert [d.day for d in launch.days] == [1, 2, 3, 4, 5]
    assert [b.run_key for b in intake.ledger.batches_of_run(launch.run_key)] == [launch.run_key] * 5


def test_a_launch_that_never_became_a_run_is_offered_again_under_the_same_key(intake: Intake) -> None:
    land(intake, range(1, 3))
    (first,) = intake.dispatch().launches
    assert intake.dispatch().launches == [first]
    intake.runs[first.run_key] = RunState.WAITING
    again = intake.dispatch()
    assert (again.launches, again.waiting) == ([], 2)


def test_a_failed_run_gives_its_files_to_a_launch_of_another_key(intake: Intake) -> None:
    land(intake, range(1, 3))
    (first,) = intake.dispatch().launches
    intake.runs[first.run_key] = RunState.FAILED
    outcome = intake.dispatch()
    assert len(outcome.released) == 2
    assert outcome.launches == []
    intake.clock.turn(60)
    (second,) = intake.dispatch().launches
    assert second.run_key != first.run_key
    assert second.days == first.days


def test_a_started_run_without_a_sign_of_life_is_abandoned(intake: Intake) -> None:
    land(intake, range(1, 3))
    (launch,) = intake.dispatch().launches
    intake.runs[launch.run_key] = RunState.STARTED
    assert isinstance(intake.ledger.claim(launch.batches[0], "run-1", 30), Claim)
    intake.clock.turn(60)
    assert intake.dispatch().waiting == 2
    intake.clock.turn(60)
    outcome = intake.dispatch()
    assert [key for key, _ in outcome.abandoned] == [launch.run_key]
    assert len(outcome.released) == 1
    intake.runs[launch.run_key] = RunState.FAILED
    assert len(intake.dispatch().released) == 1


def test_a_run_that_went_on_with_another_day_keeps_that_and_loses_only_the_first(intake: Intake) -> None:
    land(intake, range(1, 3))
    (launch,) = intake.dispatch().launches
    intake.runs[launch.run_key] = RunState.STARTED
    intake.ledger.claim(launch.batches[0], "run-1", 30)
    intake.clock.turn(100)
    intake.ledger.claim(launch.batches[1], "run-1", 30)
    outcome = intake.dispatch()
    assert (outcome.abandoned, len(outcome.released), outcome.waiting) == ([], 1, 1)


def test_files_that_come_while_their_day_is_under_way_wait_for_it(intake: Intake) -> None:
    land(intake, range(1, 2))
    (launch,) = intake.dispatch().launches
    intake.runs[launch.run_key] = RunState.STARTED
    intake.send("landing/flights/2026-03-01.csv", 9)
    intake.receive()
    assert intake.dispatch().launches == []
    claim = intake.ledger.claim(launch.batches[0], "run-1")
    assert isinstance(claim, Claim)
    intake.ledger.finish(claim)
    (later,) = intake.dispatch().launches
    assert later.days == launch.days


def test_an_index_that_lags_behind_launches_no_empty_run(intake: Intake) -> None:
    land(intake, range(1, 2))
    stale = intake.ledger.due("flights")
    (launch,) = intake.dispatch().launches
    claim = intake.ledger.claim(launch.batches[0], "run-1")
    assert isinstance(claim, Claim)
    intake.ledger.settle(claim, [good(m.ref) for m in claim.members])
    intake.ledger.finish(claim)

    class Lagging(Ledger):
        def due(self, dataset: str, limit: int = 5000, busy: Collection[date] = ()) -> list[LedgerEntry]:
            return stale if dataset == "flights" else []

    lagging = Lagging(intake.store, intake.clock)
    assert dispatch_from(lagging, (FLIGHTS,), intake.clock, lambda _: {}).launches == []
    assert intake.ledger.live_batches("flights") == []


def test_a_poisonous_file_dies_alone(intake: Intake) -> None:
    for number in range(120):
        intake.send(
            "landing/flights/2026-03-01.csv" if number == 60 else f"landing/orders/berlin/{number}.jsonl", number + 1
        )
    for number in range(60):
        intake.send(
            f"landing/orders/berlin/poison-{number}.jsonl" if number == 30 else f"landing/orders/paris/{number}.jsonl",
            500 + number,
        )
    intake.receive()
    for _ in range(200):
        intake.clock.turn(4000)
        for launch in intake.dispatch().launches:
            for batch_id in launch.batches:
                claim = intake.ledger.claim(batch_id, launch.run_key)
                assert isinstance(claim, Claim)
                if any("poison" in m.version.key for m in claim.members):
                    intake.runs[launch.run_key] = RunState.FAILED
                    continue
                intake.ledger.settle(claim, [good(m.ref) for m in claim.members])
                intake.ledger.finish(claim)
        if sum(c.outcomes[Outcome.PENDING] for c in intake.ledger.counts("orders")) == 0:
            break
    (dead,) = intake.ledger.dead()
    assert "poison" in dead.version.key
    told = {c.dataset: c.outcomes for c in intake.ledger.counts()}
    assert told["orders"][Outcome.LOADED] == 178
    assert told["orders"][Outcome.PENDING] == 0
