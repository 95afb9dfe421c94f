"""The landing sensor, evaluated as the daemon does it: what it asks for, what it says, and what it never does."""

from datetime import date
from typing import Any

import dagster as dg
import pytest

from assets.keys import LAUNCH_TAG, TRIGGER_TAG
from pipelines.errors import TransientError
from pipelines.intake.backfill import take_days
from pipelines.intake.dispatching import Dispatch, Launch
from pipelines.intake.receiving import IntakeReport
from sensors import landing
from sensors.landing import sentence
from tests.assets.stage import BAD, DEPARTURES, Stage, departures, key
from tests.ingest.world import dataset

DAY = "2024-02-01"


def asked(tick: Any) -> list[tuple[str | None, str | None]]:
    """First and last day of each run asked for."""
    found: list[tuple[str | None, str | None]] = []
    for request in tick.run_requests:
        one = request.partition_key
        tags = request.tags
        found.append(
            (
                one or tags.get("dagster/asset_partition_range_start"),
                one or tags.get("dagster/asset_partition_range_end"),
            )
        )
    return found


def create_run(stage: Stage, request: Any, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """The run that the daemon would make of the request."""
    return stage.instance.create_run_for_job(
        stage.repository.get_job(request.job_name), tags=dict(request.tags), status=status
    )


def test_a_file_of_one_day_becomes_a_run_of_that_partition(stage: Stage) -> None:
    stage.world.put(key(DAY), departures(1))

    tick = stage.tick()

    [request] = tick.run_requests
    [batch] = stage.gate.ledger.live_batches("departures")
    assert (request.job_name, request.partition_key) == ("ingest_departures", DAY)
    assert request.run_key == batch.run_key
    assert {name: request.tags[name] for name in (LAUNCH_TAG, TRIGGER_TAG)} == {
        LAUNCH_TAG: batch.run_key,
        TRIGGER_TAG: "event",
    }
    assert len(stage.world.queue) == 0
    told = "received 1 message: 1 new; 1 run requested for 1 batch (departures 2024-02-01)"
    assert tick.cursor == told


def test_consecutive_days_share_a_run_and_a_gap_makes_two(stage: Stage) -> None:
    for day in ("2024-02-01", "2024-02-02", "2024-02-03", "2024-02-07"):
        stage.world.put(key(day), departures(int(day[-1])))
    tick = stage.tick()
    assert sorted(asked(tick)) == [("2024-02-01", "2024-02-03"), ("2024-02-07", "2024-02-07")]
    for request in tick.run_requests:
        assert stage.run_request(request).success
    assert [row["flight"] for row in stage.world.rows("departures")] == [1, 2, 3, 7]
    stage.world.assert_balanced()


def test_datasets_have_runs_of_their_own(stage: Stage) -> None:
    stage.world.put(key(DAY), departures(1))
    stage.world.put("landing/readings/r.csv", b"id\n1\n")
    assert {r.job_name: r.partition_key for r in stage.tick().run_requests} == {
        "ingest_departures": DAY,
        "ingest_readings": "2024-03-10",
    }


def test_a_tick_that_has_nothing_to_do_says_so_in_both_places(stage: Stage) -> None:
    idle = stage.tick("whatever stood there before")
    assert idle.skip_message == idle.cursor == "no messages in the queue, and no file is due"


def test_the_same_run_is_asked_for_until_there_is_one(stage: Stage) -> None:
    stage.world.put(key(DAY), departures(1))
    first, second = stage.tick(), stage.tick()
    assert first.run_requests == second.run_requests
    create_run(stage, first.run_requests[0], dg.DagsterRunStatus.STARTING)
    third = stage.tick()
    assert third.run_requests == []
    assert third.skip_message == "no messages; 1 batch under way"


def test_a_run_that_failed_gives_its_files_back_under_a_new_run_key(stage: Stage) -> None:
    stage.world.put(key(DAY), departures(1))
    [request] = stage.tick().run_requests
    create_run(stage, request, dg.DagsterRunStatus.FAILURE)

    told = stage.tick()
    assert told.run_requests == []
    assert told.skip_message == "no messages; 1 batch released, to be tried again: its run failed or was canceled"

    stage.world.clock.turn(60)
    [again] = stage.tick().run_requests
    assert again.partition_key == DAY
    assert again.run_key != request.run_key
    assert stage.run_request(again).success
    assert [row["flight"] for row in stage.world.rows("departures")] == [1]


def test_a_run_that_went_silent_is_marked_failed_and_its_files_come_back(stage: Stage) -> None:
    stage.world.put(key(DAY), departures(1))
    [request] = stage.tick().run_requests
    run = create_run(stage, request, dg.DagsterRunStatus.STARTED)
    [batch] = stage.gate.ledger.live_batches("departures")
    stage.gate.ledger.claim(batch.batch_id, run.run_id)

    stage.world.clock.turn(29)
    assert stage.tick().skip_message == "no messages; 1 batch under way"
    stage.world.clock.turn(62)
    told = stage.tick().skip_message
    assert told is not None
    assert "1 batch released, to be tried again: its run shows no sign of life" in told
    assert stage.instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE


def started(stage: Stage, request: Any) -> str:
    """A run that has begun, as Dagster's own records tell."""
    run = create_run(stage, request, dg.DagsterRunStatus.STARTING)
    stage.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, request.job_name), run.run_id
    )
    return run.run_id


def test_a_run_that_died_before_its_first_claim_is_given_up_when_it_has_had_time_to_begin(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.world.put(key(DAY), departures(1))
    run_id = started(stage, stage.tick().run_requests[0])
    assert stage.tick().skip_message == "no messages; 1 batch under way"
    monkeypatch.setattr(landing, "_BEGIN_S", -1)
    assert "its run started and never began to work" in (stage.tick().skip_message or "")
    assert stage.instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.FAILURE
    stage.world.clock.turn(60)
    assert asked(stage.tick()) == [(DAY, DAY)]


def test_a_long_run_that_has_claimed_some_of_its_days_keeps_those_it_has_not_come_to(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("2024-02-01", "2024-02-02", "2024-02-03"):
        stage.world.put(key(day), departures(int(day[-1])))
    run_id = started(stage, stage.tick().run_requests[0])
    monkeypatch.setattr(landing, "_BEGIN_S", -1)
    first, second, _ = sorted(stage.gate.ledger.live_batches("departures"), key=lambda b: b.landing_day)
    claim = stage.gate.ledger.claim(first.batch_id, run_id)
    assert stage.tick().skip_message == "no messages; 3 batches under way"
    stage.gate.ledger.finish(claim)
    assert "never began" not in (stage.tick().skip_message or "")
    stage.gate.ledger.claim(second.batch_id, run_id)
    stage.world.clock.turn(20)
    assert "never began" not in (stage.tick().skip_message or "")
    assert stage.instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.STARTED


def test_a_dead_backfill_is_found_by_its_run_id_and_its_files_come_back(stage: Stage) -> None:
    """A backfill plans batches under its own id: nobody asked for them, so no tag leads to its run."""
    stage.world.put(key(DAY), departures(1))
    stage.planned()
    run = stage.instance.create_run_for_job(
        stage.repository.get_job("ingest_departures"), status=dg.DagsterRunStatus.STARTED
    )
    [batch] = stage.gate.ledger.live_batches("departures")
    stage.gate.ledger.release(batch.batch_id, "made room", burn=False)
    of = next(d for d in stage.world.datasets if d.name == "departures")
    mine = next(take_days(stage.gate, of, [date.fromisoformat(DAY)], run.run_id).batches())
    stage.gate.ledger.claim(mine.batch_id, run.run_id)
    stage.world.clock.turn(95)

    assert "no sign of life" in (stage.tick().skip_message or "")
    assert stage.instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE
    stage.world.clock.turn(60)
    assert asked(stage.tick()) == [(DAY, DAY)]


@pytest.mark.parametrize("day", ["1999-01-01", "2999-01-01"])
def test_a_file_of_an_impossible_day_ends_in_quarantine_and_stops_nobody(stage: Stage, day: str) -> None:
    wrong = stage.world.put(key(day), departures(1))
    stage.world.put(key(DAY), departures(2))

    tick = stage.tick()

    assert sorted(asked(tick)) == [(DAY, DAY), ("2024-03-10", "2024-03-10")]
    for request in tick.run_requests:
        assert stage.run_request(request).success
    assert stage.world.outcome(wrong) == "quarantined"
    report = stage.world.report_of(wrong)
    assert [str(v.rule) for v in report.violations] == ["landing_day"]
    assert [row["flight"] for row in stage.world.rows("departures")] == [2]
    assert stage.tick().run_requests == []
    stage.world.assert_balanced()


def test_a_message_nobody_understands_is_left_for_the_dead_letter_queue(stage: Stage) -> None:
    stage.world.queue.send("not an event")
    stage.world.put(key(DAY), departures(1))
    stage.tick()
    assert (len(stage.world.queue), len(stage.world.dead_letters)) == (1, 0)
    for _ in range(6):
        stage.world.clock.turn(61)
        stage.tick()
    assert (len(stage.world.queue), len(stage.world.dead_letters)) == (0, 1)


def test_a_duplicate_event_is_counted_and_asks_for_nothing_more(stage: Stage) -> None:
    version = stage.world.put(key(DAY), departures(1), events=2)
    [request] = stage.tick().run_requests
    stage.run_request(request)
    stage.world.tell(version)
    tick = stage.tick()
    assert tick.run_requests == []
    assert tick.skip_message == "received 1 message: 1 duplicate"
    assert [entry.duplicates for entry in stage.world.entries()] == [2]


def test_a_tick_waits_for_messages_only_when_there_is_nothing_else_to_do(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    receive = stage.world.queue.receive

    def noted(wait_s: float, limit: int = 10) -> Any:
        waits.append(wait_s)
        return receive(wait_s, limit)

    monkeypatch.setattr(stage.world.queue, "receive", noted)
    stage.world.put(key(DAY), departures(1))
    stage.planned()
    waits.clear()
    [request] = stage.tick().run_requests
    assert waits == [0]
    create_run(stage, request, dg.DagsterRunStatus.STARTING)
    waits.clear()
    stage.tick()
    assert waits == [0, 3]
    stage.run_request(request)
    waits.clear()
    stage.tick()
    # It ends just before the daemon looks again, every five seconds.
    assert waits[0] == 0
    assert 15 <= waits[1] <= 19


def test_a_file_that_no_dataset_claims_is_in_the_books_and_asks_for_nothing(stage: Stage) -> None:
    version = stage.world.put("landing/unknown/a.csv", b"x")
    tick = stage.tick()
    assert tick.run_requests == []
    assert tick.skip_message == "received 1 message: 1 new, 1 no dataset claims"
    assert stage.world.outcome(version) == "unrouted"


def test_a_bad_file_is_work_like_any_other_and_is_not_asked_for_again(stage: Stage) -> None:
    stage.world.put(key(DAY), BAD)
    [request] = stage.tick().run_requests
    assert stage.run_request(request).success
    assert stage.tick().run_requests == []


def test_a_dataset_added_since_the_definitions_were_loaded_waits_and_stops_nobody(stage: Stage) -> None:
    newer = dataset(DEPARTURES.replace("departures", "arrivals"))
    stage.world.datasets = (*stage.world.datasets, newer)
    stage.gate = stage.world.gate()
    stage.world.put("landing/arrivals/2024-02-01/a.csv", departures(1))
    stage.world.put(key(DAY), departures(2))
    assert [r.job_name for r in stage.tick().run_requests] == ["ingest_departures"]
    assert [b.dataset for b in stage.gate.ledger.live_batches("arrivals")] == ["arrivals"]


def test_a_ledger_that_does_not_answer_fails_the_tick_and_loses_no_message(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.world.put(key(DAY), departures(1))

    def write(changes: Any) -> Any:
        raise TransientError("DynamoDB does not answer")

    with monkeypatch.context() as broken:
        broken.setattr(stage.world.items, "write", write)
        with pytest.raises(TransientError):
            stage.tick()
    assert len(stage.world.queue) == 1
    stage.world.clock.turn(61)
    assert asked(stage.tick()) == [(DAY, DAY)]


def test_a_second_sensor_process_asks_for_the_very_same_run(stage: Stage) -> None:
    """Two daemons, or one that was started again, offer the same run: Dagster makes one of a run key."""
    stage.world.put(key(DAY), departures(1))
    first = stage.tick()
    stage.gate = stage.world.gate()
    assert stage.tick().run_requests == first.run_requests


@pytest.mark.parametrize(
    ("heard", "outcome", "said"),
    [
        (IntakeReport(), Dispatch(), "no messages in the queue, and no file is due"),
        (IntakeReport(), Dispatch(adopted=2), "no messages; 2 files that no dataset claimed until now"),
        (
            IntakeReport(received=3, new=2, duplicates=1),
            Dispatch(launches=[Launch("k", "d", "event", ("b1", "b2"), (date(2024, 2, 1), date(2024, 2, 2)))]),
            "received 3 messages: 2 new, 1 duplicate; 1 run requested for 2 batches (d 2024-02-01..2024-02-02)",
        ),
        (
            IntakeReport(received=120, new=117, duplicates=2, test_events=1),
            Dispatch(launches=[Launch(f"k{n}", f"d{n}", "event", ("b",), (date(2024, 2, 1),)) for n in range(4)]),
            "received 120 messages: 117 new, 2 duplicates, 1 test event; 4 runs requested for 4 batches (d0 2024-02-01, d1 2024-02-01, d2 2024-02-01, …)",
        ),
        (
            IntakeReport(),
            Dispatch(waiting=2, released=["its run failed", "its run failed"]),
            "no messages; 2 batches under way; 2 batches released, to be tried again: its run failed",
        ),
    ],
)
def test_a_tick_says_in_one_sentence_what_it_saw_and_did(heard: IntakeReport, outcome: Dispatch, said: str) -> None:
    assert sentence(heard, outcome) == said
