"""When a dataset is paused, for how long, and what ends it: from values alone, and in the books."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipelines.accounting.breaker import (
    Breaker,
    BreakerPolicy,
    Flow,
    after_fault,
    after_verdict,
    paused_by,
    probing,
    resumed_by,
)
from resources.memory import MemoryItemStore
from tests.accounting.books import HandClock, ledger_on

POLICY = BreakerPolicy(faults=3, first_wait_s=300, longest_wait_s=1000)
NOW = HandClock().now


def after(*codes: str, breaker: Breaker | None = None) -> Breaker:
    breaker = breaker or Breaker("flights")
    for code in codes:
        breaker = after_fault(breaker, code, f"{code}: no", "b1", NOW, POLICY)
    return breaker


def test_the_same_fault_so_often_in_a_row_pauses_and_less_does_not() -> None:
    assert after("AccessDenied", "AccessDenied").flow(NOW) is Flow.ALL
    paused = after("AccessDenied", "AccessDenied", "AccessDenied")
    assert paused.flow(NOW) is Flow.NOTHING
    assert (paused.until, paused.paused_at, paused.by) == (NOW + timedelta(seconds=300), NOW, "lakegate")
    assert (
        paused.sentence() == "flights paused until 2026-03-01 12:05 UTC: 3 times AccessDenied, last: AccessDenied: no"
    )


def test_another_fault_begins_the_count_anew() -> None:
    assert not after("AccessDenied", "AccessDenied", "Unavailable", "AccessDenied", "AccessDenied").is_paused


def test_a_verdict_forgets_the_count() -> None:
    assert not after("Unavailable", "Unavailable", breaker=after_verdict(after("Unavailable", "Unavailable"))).is_paused


def test_after_the_wait_one_probe_goes_and_no_second_one_while_it_may_be_under_way() -> None:
    paused = after(*["Unavailable"] * 3)
    later = NOW + timedelta(seconds=300)
    assert paused.flow(later) is Flow.PROBE
    probed = probing(paused, "probe", later, POLICY)
    assert probed.flow(later) is Flow.NOTHING
    assert probed.flow(later + timedelta(seconds=300)) is Flow.PROBE


@pytest.mark.parametrize(("pauses", "wait_s"), [(2, 600), (3, 1000), (4, 1000), (50, 1000)])
def test_each_probe_that_is_stopped_pauses_twice_as_long_up_to_the_longest(pauses: int, wait_s: int) -> None:
    breaker, now = after(*["Unavailable"] * 3), NOW
    for _ in range(pauses - 1):
        now = breaker.until or now
        breaker = after_fault(probing(breaker, "probe", now, POLICY), "Unavailable", "no", "probe", now, POLICY)
    assert (breaker.until or now) - now == timedelta(seconds=wait_s)
    assert breaker.paused_at == NOW


def test_batches_that_were_under_way_when_it_was_paused_do_not_pause_it_longer() -> None:
    paused = after(*["Unavailable"] * 3)
    assert after("Unavailable", breaker=paused).until == paused.until


def test_the_probes_verdict_ends_it() -> None:
    assert after_verdict(probing(after(*["Unavailable"] * 3), "probe", NOW, POLICY)) == Breaker("flights")


def test_what_a_person_paused_only_a_person_resumes() -> None:
    paused = paused_by(Breaker("flights"), "ann", "the feed is wrong", NOW)
    assert paused.flow(NOW + timedelta(days=365)) is Flow.NOTHING
    assert after_verdict(paused) == paused
    assert after("Unavailable", "Unavailable", "Unavailable", breaker=paused) == paused
    assert "paused by ann: the feed is wrong" in paused.sentence()
    assert resumed_by(paused) == Breaker("flights")


# ---- in the books


def test_a_breaker_is_kept_one_item_a_dataset_with_its_history() -> None:
    clock, store = HandClock(), MemoryItemStore()
    ledger = ledger_on(store, clock)
    for _ in range(5):
        ledger.pauses.fault("flights", "AccessDenied", "no", "b1")
    paused = ledger_on(store, clock).pauses.breakers(["flights", "weather"])
    assert (paused["flights"].is_paused, paused["weather"]) == (True, Breaker("weather"))
    clock.turn(300)
    assert ledger.pauses.probe("flights", "p1") is not None
    clock.turn(1)
    ledger.pauses.verdict("flights")
    ledger.pauses.pause("flights", "ann", "a holiday")
    assert ledger.pauses.resume("flights", "ann").is_paused
    assert [(r.what, r.by) for r in ledger.pauses.history("flights")] == [
        ("paused", "lakegate"),
        ("probed", "lakegate"),
        ("resumed", "lakegate"),
        ("paused", "ann"),
        ("resumed", "ann"),
    ]
    assert next(ledger.pauses.history("flights")).reason == "5 times AccessDenied: no"
    assert sum(key.pk == "breakers" for key in store.items()) == 1


def test_a_verdict_on_a_healthy_dataset_writes_nothing() -> None:
    store = MemoryItemStore()
    ledger_on(store).pauses.verdict("flights")
    assert not store.items()


def test_two_planners_that_looked_at_once_send_one_probe() -> None:
    clock, store = HandClock(), MemoryItemStore()
    first, second = ledger_on(store, clock), ledger_on(store, clock)
    for _ in range(5):
        first.pauses.fault("flights", "AccessDenied", "no", "b1")
    clock.turn(300)
    assert {p.pauses.breakers(["flights"])["flights"].flow(clock()) for p in (first, second)} == {Flow.PROBE}
    assert first.pauses.probe("flights", "p1") is not None
    assert second.pauses.probe("flights", "p2") is None
