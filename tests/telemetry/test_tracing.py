"""One trace a batch, from its files' events to its end: which spans there are, under which, and that there are never many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.accounting.states import Trigger
from pipelines.errors import PermanentError, TransientError
from pipelines.intake.dispatching import RunState, dispatch
from pipelines.intake.receiving import receive
from pipelines.reading.child import ChildReader
from pipelines.telemetry.tracing import Span, root_of, trace_of, traceparent_of
from tests.accounting.books import HandClock
from tests.ingest.world import BAD, World

GOOD = b"id,amount\n1,2.00\n2,3.00\n"


@dataclass
class Collected:
    """A tracer that keeps what it is given."""

    spans: list[Span] = field(default_factory=list)
    sampled: bool = True

    def wants(self, trace_id: str) -> bool:
        return self.sampled

    def record(self, spans: Sequence[Span]) -> None:
        self.spans.extend(spans)

    def flush(self) -> None:
        pass

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def of(self, batch_id: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id == trace_of(batch_id)]


class _Real(HandClock):
    """The clock that the reading process has too."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


def world() -> tuple[World, Collected]:
    told = Collected()
    return World(tracer=told), told


def key(name: str) -> str:
    return f"landing/orders/2026-02-01/{name}.csv"


def test_a_batch_is_one_trace_from_the_event_to_the_end_and_every_span_has_its_parent_in_it() -> None:
    here, told = world()
    here.put(key("good"), GOOD)
    here.put(key("bad"), BAD)
    [report] = here.settle_down()
    spans = told.of(report.batch_id)
    assert len(spans) == len(told.spans)
    assert Counter(s.name for s in spans) == Counter(
        {"event": 2, "wait": 2, "plan": 1, "queue": 1, "attempt": 1, "claim": 1, "read": 2, "quarantine": 1, "stage": 2,
         "commit": 1, "compare": 1, "books": 3, "lakegate.batch": 1}
    )  # fmt: skip
    assert len({s.span_id for s in spans}) == len(spans)
    [root] = [s for s in spans if s.parent_id is None]
    assert root.name == "lakegate.batch"
    ids = {s.span_id for s in spans}
    assert all(s.parent_id in ids for s in spans if s is not root)
    [attempt] = told.named("attempt")
    assert {s.parent_id for s in told.named("read")} == {attempt.span_id}
    assert all(s.start <= s.end for s in spans)
    assert root.attributes["lakegate.rows_loaded"] == 2
    assert root.attributes["lakegate.files.quarantined"] == 1


def test_the_trace_begins_when_the_first_file_landed_and_says_how_long_its_event_took() -> None:
    here, told = world()
    version = here.put(key("a"), GOOD)
    here.clock.turn(7)
    here.settle_down()
    [event] = told.named("event")
    assert (event.start, event.end - event.start) == (version.landed_at, timedelta(seconds=7))
    assert event.attributes["lakegate.queue_delay_s"] == 7.0
    assert event.attributes["lakegate.key"] == key("a")
    [root] = told.named("lakegate.batch")
    assert root.start == version.landed_at


def test_an_event_from_a_clock_that_is_ahead_does_not_end_before_it_begins() -> None:
    here, told = world()
    body = here.put(key("a"), GOOD, events=0)
    here.versions[-1] = ahead = replace(body, landed_at=here.clock() + timedelta(seconds=30))
    here.tell(ahead)
    receive(here.gate(), wait_s=0, budget_s=60)
    dispatch(here.gate(), lambda keys: {})
    assert all(s.start <= s.end for s in told.spans)
    assert [s.attributes["lakegate.queue_delay_s"] for s in told.named("event")] == [0.0]


def test_where_nobody_collects_a_trace_nothing_is_told_and_the_ledger_has_its_id_all_the_same() -> None:
    here, told = world()
    told.sampled = False
    version = here.put(key("a"), GOOD)
    [report] = here.settle_down()
    assert told.spans == []
    [settled] = [r for r in here.gate().ledger.history(version.bucket, version.key) if r.rows is not None]
    assert settled.trace_id == trace_of(report.batch_id)
    batch = here.gate().ledger.batch(report.batch_id)
    assert batch is not None
    assert batch.trace_id == trace_of(report.batch_id)


def test_a_thousand_files_make_no_thousands_of_spans_and_those_in_trouble_are_kept() -> None:
    here, told = world()
    for number in range(400):
        here.put(key(f"{number:04d}"), BAD if number == 333 else GOOD)
    [report] = here.settle_down()
    assert len(report.files) == 400
    assert len(told.of(report.batch_id)) <= 200
    [failed] = [s for s in told.named("read") if s.error]
    assert failed.attributes["lakegate.key"] == key("0333")
    [attempt] = told.named("attempt")
    left_out = attempt.attributes["lakegate.spans_left_out"]
    assert isinstance(left_out, int)
    assert left_out >= 370


def test_a_span_says_nothing_of_what_stands_in_a_file() -> None:
    here, told = world()
    here.put(key("bad"), b"id,amount\n1,CANARY-VALUE\nCANARY-ID,2\n")
    here.settle_down()
    assert "CANARY" not in repr(told.spans)


def test_files_that_are_processed_again_have_a_new_trace_that_goes_on_from_the_old_one() -> None:
    here, told = world()
    version = here.put(key("a"), GOOD)
    [first] = here.settle_down()
    here.clock.turn(3600)
    here.gate().ledger.make_due([e.ref for e in here.entries()], Trigger.REPLAY, "asked")
    [second] = here.settle_down()
    [root] = [s for s in told.of(second.batch_id) if s.name == "lakegate.batch"]
    assert root.links == (trace_of(first.batch_id),)
    # The hour in between was nobody's work.
    assert root.start > version.landed_at + timedelta(hours=1) - timedelta(seconds=1)
    assert [s.name for s in told.of(second.batch_id) if s.name in ("event", "wait")] == []


def test_a_fault_of_ours_ends_the_trace_with_the_error_and_the_next_attempt_is_linked_to_it(monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    here, told = world()
    here.put(key("a"), GOOD)
    commit, faults = here.tables.commit, iter([PermanentError("no \x1b[31mpermission")])

    def failing(*given: object) -> object:
        for fault in faults:
            raise fault
        return commit(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(here.tables, "commit", failing)
    [report] = here.settle_down()
    failed, done = told.named("lakegate.batch")
    assert failed.error == "PermanentError: no \\x1b[31mpermission"
    assert [s.error for s in told.named("commit")] == [failed.error, None]
    assert done.error is None
    assert done.links == (failed.trace_id,)
    assert done.trace_id == trace_of(report.batch_id)


def test_a_commit_that_had_to_be_tried_again_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    here, told = world()
    here.put(key("a"), GOOD)
    commit, faults = here.tables.commit, iter([TransientError("slow down")])

    def failing(*given: object) -> object:
        for fault in faults:
            raise fault
        return commit(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(here.tables, "commit", failing)
    monkeypatch.setattr("pipelines.gate.time.sleep", lambda _: None)
    here.settle_down()
    [span] = told.named("commit")
    assert [m.name for m in span.moments] == ["tried again"]
    assert span.attributes["lakegate.tries"] == 2


def test_a_batch_whose_run_died_ends_its_trace_when_it_is_taken_back() -> None:
    here, told = world()
    here.put(key("a"), GOOD)
    gate = here.gate()
    receive(gate, wait_s=0, budget_s=60)
    [launch] = dispatch(gate, lambda keys: {}).launches
    gate.ledger.claim(launch.batches[0], "run-1")
    here.clock.turn(3600)
    dispatch(gate, lambda keys: dict.fromkeys(keys, RunState.FAILED))
    [root] = [s for s in told.named("lakegate.batch") if s.error]
    assert (root.error, root.trace_id) == ("its run failed or was canceled", trace_of(launch.batches[0]))
    assert root.attributes["lakegate.run_id"] == "run-1"


def test_the_reading_process_says_when_it_did_what_and_only_within_the_time_it_was_listened_to() -> None:
    here, told = world()
    here.clock = _Real()
    here.put(key("a"), GOOD)
    with ChildReader() as here.reader:
        here.settle_down()
    [read], [reader] = told.named("read"), told.named("reader")
    assert reader.parent_id == read.span_id
    assert read.start <= reader.start <= reader.end <= read.end
    assert [m.name for m in reader.moments] == ["first bytes", "all bytes"]


def test_ids_are_as_w3c_trace_context_wants_them() -> None:
    trace_id = trace_of("01m84f6dmk")
    assert traceparent_of(trace_id) == f"00-{trace_id}-{root_of(trace_id)}-01"
    assert (len(trace_id), len(root_of(trace_id))) == (32, 16)
    assert trace_of("01m84f6dmk") == trace_id != trace_of("01m84f6dml")
