"""A small deployment in memory: everything between the producer's PUT and the rows, without Dagster and without AWS.

`World.put` plays the producer and S3's notification, `World.settle_down` the sensor and Dagster's runs, and
`World.state` is all that a user could see afterwards.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa

from pipelines.accounting.balance import balance
from pipelines.accounting.breaker import BreakerPolicy
from pipelines.accounting.entries import LedgerEntry, RetryPolicy
from pipelines.accounting.items import decode_entry
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.states import Outcome
from pipelines.contracts.loading import DatasetCatalog, parse_dataset
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import rejected_dataset, tables_of
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.ingest import ingest_batch
from pipelines.intake.dispatching import Launch, RunState, dispatch
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.intake.receiving import receive
from pipelines.lineage.news import LineageSink
from pipelines.publication.quarantine import QuarantineReport, load_report
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import FileReader
from pipelines.reports import BatchNotRun, BatchReport, FileReport
from pipelines.telemetry.metrics import NO_METER, Meter
from pipelines.telemetry.tracing import NO_TRACER, Tracer
from resources.iceberg import IcebergTables
from resources.memory import MemoryEventQueue, MemoryItemStore, MemoryObjectStore
from resources.memory_tables import MemoryTables
from tests.accounting.books import HandClock
from tests.ingest.queries import MemoryQueries

BUCKET = "landing-bucket"
QUARANTINE = "quarantine-bucket"
DAY = date(2026, 2, 1)
READER = InProcessReader()

ORDERS = """
name: orders
description: Orders of a shop, some files a day.
owner: team:sales
landing: {key: "landing/orders/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  amount: {type: "decimal(10,2)"}
partition_by: [day]
primary_key: [id]
"""
CLICKS = """
name: clicks
description: Clicks; what arrives on a day is of that day.
owner: team:web
landing: {key: "landing/clicks/*.csv", start: 2026-01-01}
format: {type: csv}
columns:
  id: {type: bigint, nullable: false}
"""


def dataset(text: str) -> Dataset:
    """A dataset from its YAML."""
    name = text.split("name: ", 1)[1].split("\n", 1)[0]
    found = parse_dataset(text.encode(), Path(f"{name}.yaml"))
    assert isinstance(found, Dataset), str(found)
    return found


def orders_key(name: str, day: date | str = DAY) -> str:
    return f"landing/orders/{day}/{name}.csv"


def orders(*ids: int, amount: str = "1.50") -> bytes:
    return ("id,amount\n" + "".join(f"{i},{amount}\n" for i in ids)).encode()


ORDERS_BY_ROWS = ORDERS + "rows: {on_bad: quarantine_rows, max_bad: 60%}\n"
"""The same dataset, where a bad row is rejected by itself."""


def mixed(*ids: int, bad: int, amount: str = "1.50") -> bytes:
    """Good orders, and bad ones behind them: `none0`, `none1`, …"""
    return orders(*ids, amount=amount) + b"".join(b"none%d,9\n" % n for n in range(bad))


BAD = b"id,amount\n1,2.00\nnone,3.00\n"


@dataclass
class Ports:
    """The four ports a worker reaches the world through; crash tests put others in their place."""

    items: Any
    queue: Any
    store: Any
    tables: Any


@dataclass
class World:
    """The deployment, and everything that outlives a worker."""

    tables: MemoryTables | IcebergTables = field(default_factory=MemoryTables)
    datasets: tuple[Dataset, ...] = (dataset(ORDERS), dataset(CLICKS))
    clock: HandClock = field(default_factory=HandClock)
    items: MemoryItemStore = field(default_factory=MemoryItemStore)
    store: MemoryObjectStore = field(default_factory=MemoryObjectStore)
    runs: dict[str, RunState] = field(default_factory=dict)
    versions: list[ObjectVersion] = field(default_factory=list)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    lineage: LineageSink | None = None
    tracer: Tracer = NO_TRACER
    reader: FileReader = READER
    meter: Meter = NO_METER

    def __post_init__(self) -> None:
        def seconds() -> float:
            return self.clock().timestamp()

        self.dead_letters = MemoryEventQueue(seconds)
        self.queue = MemoryEventQueue(seconds, dead_letters=self.dead_letters)

    @property
    def ports(self) -> Ports:
        return Ports(self.items, self.queue, self.store, self.tables)

    def gate(self, ports: Ports | None = None) -> Gate:
        """What one worker, or one tick, works with: made anew, as a new process would."""
        ports = ports or self.ports
        return Gate(
            datasets=DatasetCatalog(self.datasets),
            store=ports.store,
            ledger=Ledger(ports.items, self.clock, policy=self.policy, pause=lambda _: None, breaker=self.breaker),
            tables=ports.tables,
            reader=lambda: nullcontext(READER),
            clock=self.clock,
            landing_bucket=BUCKET,
            quarantine_bucket=QUARANTINE,
            queue=ports.queue,
            dead_letters=self.dead_letters,
            queries=MemoryQueries(self.tables, [t for d in self.datasets for t in tables_of(d)])
            if isinstance(self.tables, MemoryTables)
            else None,
            lineage=self.lineage,
            tracer=self.tracer,
            meter=self.meter,
        )

    # ---- the producer

    def put(self, key: str, content: bytes, *, announced_bytes: int | None = None, events: int = 1) -> ObjectVersion:
        """Land a version, and tell of it `events` times."""
        number = len(self.versions) + 1
        size = len(content) if announced_bytes is None else announced_bytes
        version = ObjectVersion(BUCKET, key, f"v{number}", Sequencer(number << 64), size, "e", self.clock())
        self.versions.append(version)
        self.store.put_version(version, content)
        for _ in range(events):
            self.tell(version)
        return version

    def tell(self, version: ObjectVersion) -> None:
        """Send S3's notification of a version."""
        self.queue.send(event_body(version, self.clock()))

    # ---- the sensor and Dagster

    def settle_down(self, ports: Ports | None = None, *, owner: str = "run") -> list[BatchReport]:
        """Receive, dispatch and run until nothing waits; every report on the way."""
        gate = self.gate(ports)
        reports: list[BatchReport] = []
        for _ in range(60):
            heard = receive(gate, wait_s=0, budget_s=60)
            looked = dispatch(gate, lambda keys: {k: self.runs[k] for k in keys if k in self.runs})
            for run_key, _ in looked.abandoned:
                self.runs[run_key] = RunState.FAILED
            for launch in looked.launches:
                reports.extend(self.run(gate, launch, owner))
            if looked.launches or heard.received or looked.released:
                continue
            if balance(gate.ledger.counts()).at_rest and len(self.queue) == 0:
                return reports
            self.clock.turn(30)
        raise AssertionError(f"not at rest after 60 rounds: {balance(gate.ledger.counts()).lines}, {self.runs}")

    def run(self, gate: Gate, launch: Launch, owner: str = "run") -> list[BatchReport]:
        """A Dagster run: red when a batch could not be finished."""
        self.runs[launch.run_key] = RunState.STARTED
        reports: list[BatchReport] = []
        of = next(d for d in self.datasets if d.name == launch.dataset)
        ended = RunState.SUCCEEDED
        for batch_id in launch.batches:
            try:
                for table in tables_of(of):
                    gate.tables.ensure(table)
                outcome = ingest_batch(gate, self.reader, of, batch_id, f"{owner}-{launch.run_key}")
            except LakegateError:
                ended = RunState.FAILED
                continue
            if isinstance(outcome, BatchReport):
                reports.append(outcome)
        self.runs[launch.run_key] = ended
        return reports

    def take(self, gate: Gate, of: Dataset, batch_id: str, owner: str) -> BatchReport | BatchNotRun:
        """One batch by one worker."""
        for table in tables_of(of):
            gate.tables.ensure(table)
        return ingest_batch(gate, self.reader, of, batch_id, owner)

    # ---- what a user sees

    def rows(self, of: str = "orders") -> list[dict[str, Any]]:
        """The table's rows, in order of source and line."""
        return self._rows_of(next(d for d in self.datasets if d.name == of))

    def rejected(self, of: str = "orders") -> list[dict[str, Any]]:
        """The rows of the table beside it, in order of source and line; none where it has no such table."""
        beside = rejected_dataset(next(d for d in self.datasets if d.name == of))
        return self._rows_of(beside) if self._has_table(beside) else []

    def _rows_of(self, found: Dataset) -> list[dict[str, Any]]:
        if isinstance(self.tables, MemoryTables):
            table: pa.Table = self.tables.rows(found)
        else:
            table = self.tables.load(found).scan().to_arrow()
        rows = table.to_pylist()
        return sorted(rows, key=lambda r: (r["_source_file"], r["_source_version"], r["_source_line"]))

    def ids(self, of: str = "orders") -> list[int]:
        return sorted(row["id"] for row in self.rows(of))

    def entries(self) -> list[LedgerEntry]:
        """Every version in the books."""
        return [decode_entry(item) for key, item in self.items.items().items() if key.sk.startswith("version#")]

    def outcomes(self) -> dict[str, str]:
        """Version id to outcome."""
        return {entry.version.version_id: entry.outcome.value for entry in self.entries()}

    def outcome(self, version: ObjectVersion) -> str:
        return self.outcomes()[version.version_id]

    def report_of(self, version: ObjectVersion) -> QuarantineReport:
        """The report in quarantine; its copy must be the object, unchanged."""
        entry = next(e for e in self.entries() if e.version.version_id == version.version_id)
        assert entry.facts is not None
        assert entry.facts.report_key is not None
        report = load_report(self.store, QUARANTINE, entry.facts.report_key)
        assert self.store.get_bytes(QUARANTINE, report.object_key) == b"".join(self.store.read(version))
        return report

    def state(self) -> dict[str, Any]:
        """All that must be the same, whatever happened on the way."""
        counts = self.gate().ledger.counts()
        return {
            "rows": [
                {k: v for k, v in row.items() if k not in ("_batch_id", "_ingested_at")}
                for d in self.datasets
                if self._has_table(d)
                for row in self.rows(d.name)
            ],
            "rejected": [
                {k: v for k, v in row.items() if k not in ("_batch_id", "_ingested_at")}
                for d in self.datasets
                for row in self.rejected(d.name)
            ],
            "outcomes": self.outcomes(),
            "counters": [replace(line, duplicates=0) for line in counts],
            "quarantine": {key: self._quarantined(key) for key in self.store.list_keys(QUARANTINE, "")},
            "messages": len(self.queue),
            "dead letters": len(self.dead_letters),
        }

    def _has_table(self, of: Dataset) -> bool:
        try:
            self.tables.current(of)
        except LakegateError:
            return False
        return True

    def _quarantined(self, key: str) -> Any:
        content = self.store.get_bytes(QUARANTINE, key)
        if not key.endswith("report.json"):
            return content
        told = json.loads(content)
        return {k: v for k, v in told.items() if k not in ("batch_id", "run_id", "quarantined_at", "tried")}

    def assert_balanced(self) -> None:
        """Each object in one outcome, each row in one place: the counters against entries and the tables themselves."""
        counts = self.gate().ledger.counts()
        sheet = balance(counts)
        assert sheet.problems == ()
        assert sheet.at_rest
        assert sheet.objects == len(self.entries()) == sum(sheet.outcome(o) for o in Outcome)
        assert {v.version_id for v in self.versions} >= set(self.outcomes())
        for of in self.datasets:
            if not self._has_table(of):
                continue
            rows, rejected = self.rows(of.name), self.rejected(of.name)
            told = sum(line.rows_in_table for line in counts if line.dataset == of.name)
            assert len(rows) == told, f"{of.name}: the table has {len(rows)} rows, the counters say {told}"
            told = sum(line.rows_rejected for line in counts if line.dataset == of.name)
            assert len(rejected) == told, f"{of.name}: {len(rejected)} rows are rejected, the counters say {told}"
            serving = [(e.version.version_id, e.facts) for e in self.entries() if e.dataset == of.name and e.serving]
            loaded = {version: facts.rows_accepted for version, facts in serving if facts and facts.rows_accepted}
            left_out = {version: facts.rows_rejected for version, facts in serving if facts and facts.rows_rejected}
            assert Counter(row["_source_version"] for row in rows) == loaded
            assert Counter(row["_source_version"] for row in rejected) == left_out


def event_body(version: ObjectVersion, at: datetime) -> str:
    """S3's own notification of a created version."""
    assert version.sequencer is not None
    thing = {
        "key": quote_plus(version.key, safe="/"),
        "size": version.size_bytes,
        "eTag": version.etag,
        "versionId": version.version_id,
        "sequencer": f"{version.sequencer.number:X}",
    }
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": version.bucket}, "object": thing},
    }
    return json.dumps({"Records": [record]})


def file_of(reports: Sequence[BatchReport], version: ObjectVersion) -> FileReport:
    """What the reports say of a version, last."""
    found = [f for r in reports for f in r.files if f.version_id == version.version_id]
    return found[-1]


def planned(world: World, gate: Gate | None = None) -> list[Launch]:
    """Receive what was told, and plan it; nothing runs."""
    gate = gate or world.gate()
    receive(gate, wait_s=0, budget_s=60)
    return dispatch(gate, lambda keys: {k: world.runs[k] for k in keys if k in world.runs}).launches


def batches_by_day(launches: Sequence[Launch]) -> list[str]:
    """The batches of these launches, by landing day: what is fresh and what is not go into runs of their own."""
    days = [(day, batch) for launch in launches for day, batch in zip(launch.days, launch.batches, strict=True)]
    return [batch for _, batch in sorted(days)]
