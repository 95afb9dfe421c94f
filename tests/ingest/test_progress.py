"""A file that takes long tells how far it is; one that does not tells nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from lakegate.status import files_read
from lakegate.story import story_of
from pipelines import progress
from pipelines.accounting.entries import Claim
from pipelines.ingest import ingest_batch
from pipelines.intake.objects import ObjectVersion
from pipelines.progress import FileUnderWay, Progress
from pipelines.reading.child import ChildReader
from pipelines.telemetry.logs import file_fields
from tests.ingest.world import World, orders, orders_key, planned

VERSION = ObjectVersion("landing", "landing/a.csv", "v1", None, 1000, "", datetime(2024, 1, 1, tzinfo=UTC))


class Sink:
    def __init__(self) -> None:
        self.rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows

    def reject(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows

    def restart(self) -> None:
        self.rows = 0


def rows(number: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"x": list(range(number))})


def test_it_is_told_each_ten_seconds_and_not_before() -> None:
    told: list[Progress] = []
    now = 0.0

    def chunks() -> Iterator[bytes]:
        nonlocal now
        for _ in range(10):
            yield b"x" * 100
            now += 4

    file = FileUnderWay(VERSION, chunks, Sink(), told.append, lambda: now)
    for _ in file.chunks():
        file.write(rows(3))
        file.reject(rows(1))
    assert [(one.seconds, one.bytes_read, one.rows, one.rows_rejected) for one in told] == [
        (12, 400, 16, 4),
        (24, 700, 28, 7),
        (36, 1000, 40, 10),
    ]
    assert [one.share for one in told] == [0.4, 0.7, 1.0]
    assert told[0].seconds_left == pytest.approx(18)
    assert told[0].sentence() == (
        "landing/a.csv: 40% read, 0.0 MB of 0.0 MB; 16 rows, 4 of them rejected; 0.0 MB/s, about 18 s still to read"
    )


def test_a_reader_that_begins_anew_is_counted_anew() -> None:
    told: list[Progress] = []
    seconds = iter(range(0, 1000, 11))
    file = FileUnderWay(VERSION, lambda: iter([b"x" * 400, b"x" * 600]), Sink(), told.append, lambda: next(seconds))
    for _ in range(2):
        for number, _ in enumerate(file.chunks()):
            file.write(rows(5))
            if number == 0 and len(told) == 0:
                continue
        file.restart()
    assert [(one.bytes_read, one.rows) for one in told] == [(400, 5), (1000, 10), (400, 5), (1000, 10)]


def test_an_object_that_is_larger_than_its_event_said_is_never_more_than_whole() -> None:
    assert Progress(VERSION, 5000, 1, 0, 10).share == 1
    assert Progress(replace(VERSION, size_bytes=0), 0, 0, 0, 10).share == 0
    assert Progress(VERSION, 0, 0, 0, 0).seconds_left is None


def test_it_is_told_with_the_log_fields_of_whoever_reads_whatever_thread_asks_for_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0)
    world = World()
    world.put(orders_key("a"), orders(1))
    gate = world.gate()
    [launch] = planned(world, gate)
    lines: list[str] = []
    from pipelines.telemetry.logs import JsonFormatter

    def tell(one: Progress) -> None:
        record = logging.LogRecord("lakegate.progress", logging.INFO, "", 1, one.sentence(), (), None)
        record.progress = one.numbers()
        lines.append(JsonFormatter().format(record))

    monkeypatch.setattr("pipelines.prefetch._SMALL_BYTES", -1)
    gate.tables.ensure(gate.datasets.datasets[0])
    with ChildReader() as reader:
        ingest_batch(gate, reader, gate.datasets.datasets[0], launch.batches[0], "run-1", tell=tell)
    fields = file_fields(gate.landing_bucket, orders_key("a"), "")
    assert lines
    assert all(f'"file": "{fields["file"]}"' in line and '"run_id": "run-1"' in line for line in lines)
    assert '"progress": {"bytes_read":' in lines[-1]


def test_the_lease_that_is_renewed_carries_it_and_status_and_trace_show_it() -> None:
    world = World()
    world.put(orders_key("a"), orders(1))
    gate = world.gate()
    [launch] = planned(world, gate)
    claim = gate.ledger.claim(launch.batches[0], "run-1")
    assert isinstance(claim, Claim)
    assert files_read(gate) == []
    [member] = claim.members
    from pipelines.accounting.entries import Reading

    reading = Reading(member.ref, 2_100_000_000, 5_000_000_000, 11_000_000, world.clock())
    gate.ledger.renew(claim, reading=reading)
    [found] = files_read(gate)
    assert found.reading == reading
    assert "42% read" in found.sentence()
    assert "2.1 GB of 5.0 GB, 11,000,000 rows" in found.sentence()
    assert found.sentence().endswith("by run run-1")
    story = story_of(gate, orders_key("a"))
    assert story is not None
    assert "what is now: 42% read" in "\n".join(story.lines())
    gate.ledger.renew(claim)
    assert files_read(gate) == []


def test_what_a_dead_worker_told_last_is_not_shown_as_what_is_now() -> None:
    world = World()
    world.put(orders_key("a"), orders(1))
    gate = world.gate()
    [launch] = planned(world, gate)
    claim = gate.ledger.claim(launch.batches[0], "run-1")
    assert isinstance(claim, Claim)
    from pipelines.accounting.entries import Reading

    gate.ledger.renew(claim, reading=Reading(claim.members[0].ref, 1, 2, 3, world.clock()))
    world.clock.turn(gate.ledger.lease_s + 1)
    assert files_read(gate) == []
    assert isinstance(gate.ledger.claim(launch.batches[0], "run-2"), Claim)
    assert files_read(gate) == []
