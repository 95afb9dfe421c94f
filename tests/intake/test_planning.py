"""From due versions to batches, and what is done about batches that were planned."""

from datetime import UTC, date, datetime, timedelta
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.accounting.entries import BatchRecord, LedgerEntry, order_of
from pipelines.accounting.states import BatchState, FaultKind, Outcome, State, Trigger
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.intake.planning import (
    BatchLimits,
    FailRun,
    Leave,
    Offer,
    Release,
    RunLimits,
    RunState,
    decide,
    group_into_runs,
    plan_batches,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = date(2026, 3, 1)


def due(
    name: str,
    day: date = DAY,
    *,
    dataset: str = "flights",
    size: int = 10,
    attempts: int = 0,
    age_s: int = 0,
    fault: FaultKind | None = None,
):
    version = ObjectVersion("b", f"landing/{name}", "v1", Sequencer(1), size, "", NOW)
    return LedgerEntry(
        version, order_of(version), dataset, day, State.SEEN, Outcome.PENDING, NOW, NOW,
        attempts=attempts, fault=fault, fault_times=attempts if fault else 0, next_at=NOW - timedelta(seconds=age_s),
    )  # fmt: skip


def ids():
    numbers = count()
    return lambda: f"id{next(numbers):04d}"


def planned(entries: list[LedgerEntry], **how) -> list[tuple[str, date, int]]:  # pyright: ignore[reportMissingParameterType]
    return [
        (b.dataset, b.landing_day, len(b.members)) for b in plan_batches(entries, how.pop("busy", ()), ids(), **how)
    ]


def test_each_dataset_and_day_has_one_batch() -> None:
    entries = [due("a"), due("b"), due("c", DAY + timedelta(days=1)), due("d", dataset="weather")]
    assert planned(entries) == [("flights", DAY, 2), ("flights", DAY + timedelta(days=1), 1), ("weather", DAY, 1)]


def test_busy_days_are_left_for_later() -> None:
    assert planned([due("a"), due("b", DAY + timedelta(days=1))], busy={DAY}) == [
        ("flights", DAY + timedelta(days=1), 1)
    ]


def test_a_batch_is_capped_in_files_and_in_bytes() -> None:
    assert planned([due(str(i)) for i in range(600)]) == [("flights", DAY, 500)]
    assert planned([due(str(i), size=300) for i in range(9)], limits=BatchLimits(max_bytes=1000)) == [
        ("flights", DAY, 3)
    ]


def test_a_file_larger_than_a_batch_has_one_of_its_own() -> None:
    assert planned([due("a", size=5000, age_s=1), due("b")], limits=BatchLimits(max_bytes=1000)) == [
        ("flights", DAY, 1)
    ]


@pytest.mark.parametrize("fault", [FaultKind.DEATH, FaultKind.LASTING])
def test_suspects_come_in_smaller_batches_and_from_the_second_time_on_alone(fault: FaultKind) -> None:
    for times, files in ((0, 500), (1, 25), (2, 1), (3, 1)):
        assert planned([due(str(i), attempts=times, fault=fault) for i in range(600)]) == [("flights", DAY, files)]
    assert planned([due(str(i), attempts=i, fault=fault) for i in range(4)]) == [("flights", DAY, 1)]


@pytest.mark.parametrize("fault", [FaultKind.PASSING, FaultKind.THROTTLED])
def test_an_outage_puts_no_file_under_suspicion(fault: FaultKind) -> None:
    assert planned([due(str(i), attempts=7, fault=fault) for i in range(600)]) == [("flights", DAY, 500)]


def test_those_that_wait_longest_go_first() -> None:
    (batch,) = plan_batches([due("young"), due("old", age_s=9)], (), ids(), BatchLimits(max_files=1))
    assert batch.members[0].ref == due("old").ref


def test_a_thousand_files_are_planned_in_no_time() -> None:
    import time

    entries = [due(str(i), DAY + timedelta(days=i % 60)) for i in range(1000)]
    began = time.perf_counter()
    group_into_runs(plan_batches(entries, (), ids()))
    assert time.perf_counter() - began < 1


def test_consecutive_days_of_a_dataset_share_a_run() -> None:
    days = [DAY + timedelta(days=n) for n in (0, 1, 2, 4, 5)]
    entries = [due(str(d), d) for d in days] + [due("w", DAY + timedelta(days=3), dataset="weather")]
    runs = group_into_runs(plan_batches(entries, (), ids()))
    assert [[b.landing_day for b in run] for run in runs] == [days[:3], days[3:], [DAY + timedelta(days=3)]]
    assert [len({b.run_key for b in run}) for run in runs] == [1, 1, 1]
    assert len({run[0].run_key for run in runs}) == 3


@given(st.sets(st.integers(0, 100), max_size=60), st.integers(1, 40))
def test_every_batch_is_in_exactly_one_run_and_no_run_is_too_long_or_has_a_gap(offsets: set[int], most: int) -> None:
    batches = plan_batches([due(str(n), DAY + timedelta(days=n)) for n in offsets], (), ids())
    runs = group_into_runs(batches, RunLimits(max_days=most))
    assert sorted(b.batch_id for run in runs for b in run) == sorted(b.batch_id for b in batches)
    for run in runs:
        days = [b.landing_day for b in run]
        assert len(days) <= most
        assert [(b - a).days for a, b in pairwise(days)] == [1] * (len(days) - 1)


# ---- decide -------------------------------------------------------------------------------------------------------


def record(
    state: BatchState = BatchState.PLANNED,
    lease_s: float | None = None,
    trigger: Trigger = Trigger.EVENT,
    age_s: float = 0,
    reason: str | None = None,
) -> BatchRecord:
    return BatchRecord(
        "b1", "flights", DAY, "key", trigger, 3, state, NOW - timedelta(seconds=age_s),
        lease_until=None if lease_s is None else NOW + timedelta(seconds=lease_s), reason=reason,
    )  # fmt: skip


CLAIMED = BatchState.CLAIMED


@pytest.mark.parametrize(
    ("batch", "run", "alive_s", "decision"),
    [
        (record(BatchState.DONE), RunState.FAILED, None, Leave),
        (record(BatchState.RELEASED, reason="x"), None, None, Release),
        (record(), None, None, Offer),
        (record(), RunState.NOT_STARTED, None, Offer),
        (record(), RunState.WAITING, None, Leave),
        (record(), RunState.STARTED, None, Leave),
        (record(CLAIMED, 10), RunState.STARTED, None, Leave),
        (record(CLAIMED, -10), RunState.STARTED, None, Leave),
        (record(CLAIMED, -61), RunState.STARTED, None, FailRun),
        (record(CLAIMED, -61), RunState.STARTED, -61, FailRun),
        (record(CLAIMED, -61), RunState.STARTED, 5, Release),
        (record(CLAIMED, -61), RunState.STARTED, -5, Release),
        (record(age_s=2000), RunState.LINGERING, None, FailRun),
        (record(age_s=2000), RunState.LINGERING, -899, Leave),
        (record(age_s=899), RunState.LINGERING, -1900, Leave),
        (record(age_s=2000), RunState.LINGERING, -901, FailRun),
        (record(), RunState.SUCCEEDED, None, Release),
        (record(CLAIMED, -1), RunState.SUCCEEDED, None, Release),
        (record(CLAIMED, 10), RunState.SUCCEEDED, None, Leave),
        (record(), RunState.FAILED, None, Release),
        (record(CLAIMED, 10), RunState.FAILED, None, Release),
        (record(CLAIMED, 10), None, None, Leave),
        (record(CLAIMED, -10), None, None, Offer),
        (record(trigger=Trigger.REPLAY, age_s=901), None, None, Offer),
        (record(trigger=Trigger.SWEEP, age_s=901), None, None, Offer),
        (record(trigger=Trigger.BACKFILL), None, None, Leave),
        (record(trigger=Trigger.BACKFILL, age_s=901), None, None, Release),
        (record(CLAIMED, 10, Trigger.BACKFILL, 901), None, None, Leave),
        (record(CLAIMED, -10, Trigger.BACKFILL, 901), None, None, Leave),
        (record(CLAIMED, -61, Trigger.BACKFILL, 901), None, None, Release),
    ],
)
def test_a_batch_is_dealt_with_by_what_its_run_and_its_lease_say(
    batch: BatchRecord, run: RunState | None, alive_s: float | None, decision: type
) -> None:
    alive = None if alive_s is None else NOW + timedelta(seconds=alive_s)
    assert type(decide(batch, run, NOW, alive)) is decision


def test_of_several_runs_the_liveliest_counts() -> None:
    order = sorted(RunState, key=lambda state: state.liveliness, reverse=True)
    assert order[0] is RunState.STARTED
    assert order[-1] is RunState.FAILED
