"""The world of `tests/ingest`, on the local AWS: the real adapters, buckets, a queue and a ledger of its own.

The clock is still turned by hand, so that back-off costs no time; what AWS itself waits for (a message's visibility) is short.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from pipelines.accounting.balance import balance
from pipelines.accounting.entries import LedgerEntry
from pipelines.accounting.ledger import Ledger
from pipelines.contracts.loading import DatasetCatalog
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import tables_of
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.ingest import ingest_batch
from pipelines.intake.dispatching import Launch, RunState, dispatch
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.intake.receiving import receive
from pipelines.reports import BatchReport
from resources.dynamodb import DynamoItemStore
from resources.environment import Deployment, client
from resources.iceberg import glue_tables
from resources.s3 import S3ObjectStore
from resources.sqs import SqsEventQueue
from tests.accounting.books import HandClock
from tests.ingest.world import READER, dataset, event_body

CONTRACT = """
name: {name}
description: Orders of a shop, some files a day.
owner: team:sales
landing: {{key: "landing/{name}/{{day:%Y-%m-%d}}/*.csv", day: day, start: 2026-01-01}}
format: {{type: csv}}
columns:
  day: {{type: date, from: key}}
  id: {{type: bigint, nullable: false}}
  amount: {{type: "decimal(10,2)"}}
partition_by: [day]
primary_key: [id]
"""


@dataclass
class Names:
    """What one world has made for itself in the local AWS."""

    landing: str
    quarantine: str
    queue_url: str
    ledger: str


@dataclass
class AwsWorld:
    """A deployment of its own in the local AWS. Made before the faults begin; looked at after they have ended."""

    deployment: Deployment
    names: Names
    of: Dataset
    clock: HandClock = field(default_factory=HandClock)
    runs: dict[str, RunState] = field(default_factory=dict)
    versions: list[ObjectVersion] = field(default_factory=list)
    faults: list[LakegateError] = field(default_factory=list)

    @classmethod
    def make(cls, deployment: Deployment, more: str = "") -> AwsWorld:
        """Make buckets, queue and ledger under new names."""
        mark = uuid.uuid4().hex[:10]
        s3 = client("s3")
        names = Names(f"landing-{mark}", f"quarantine-{mark}", "", f"ledger-{mark}")
        for bucket in (names.landing, names.quarantine):
            s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=names.landing, VersioningConfiguration={"Status": "Enabled"})
        names.queue_url = client("sqs").create_queue(QueueName=f"q-{mark}", Attributes={"VisibilityTimeout": "1"})[
            "QueueUrl"
        ]
        described = client("dynamodb").describe_table(TableName=deployment.ledger_table)["Table"]
        indexes = [
            {k: index[k] for k in ("IndexName", "KeySchema", "Projection")}
            for index in described["GlobalSecondaryIndexes"]
        ]
        client("dynamodb").create_table(
            TableName=names.ledger,
            AttributeDefinitions=described["AttributeDefinitions"],
            KeySchema=described["KeySchema"],
            GlobalSecondaryIndexes=indexes,
            BillingMode="PAY_PER_REQUEST",
        )
        return cls(deployment, names, dataset(CONTRACT.format(name=f"orders_{mark}") + more))

    def gate(self) -> Gate:
        """What one worker, or one tick, works with: made anew, as a new process would."""
        store = S3ObjectStore()
        items = DynamoItemStore(client("dynamodb"), self.names.ledger, pause=lambda _: None)
        return Gate(
            datasets=DatasetCatalog((self.of,)),
            store=store,
            ledger=Ledger(items, self.clock, pause=lambda _: None),
            tables=glue_tables(self.deployment, store),
            reader=lambda: nullcontext(READER),
            clock=self.clock,
            landing_bucket=self.names.landing,
            quarantine_bucket=self.names.quarantine,
            queue=SqsEventQueue(client("sqs"), self.names.queue_url),
            pause=lambda _: None,
        )

    # ---- the producer

    def put(self, name: str, content: bytes) -> ObjectVersion:
        """Land a version, and tell of it."""
        key = f"landing/{self.of.name}/2026-02-01/{name}.csv"
        answer = client("s3").put_object(Bucket=self.names.landing, Key=key, Body=content)
        sequencer = Sequencer((len(self.versions) + 1) << 64)
        version = ObjectVersion(
            self.names.landing, key, answer["VersionId"], sequencer, len(content), "e", self.clock()
        )
        self.versions.append(version)
        client("sqs").send_message(QueueUrl=self.names.queue_url, MessageBody=event_body(version, self.clock()))
        return version

    # ---- the sensor and Dagster

    def settle_down(self, *, rounds: int = 500) -> list[BatchReport]:
        """Tick and run until nothing waits, whatever fails on the way; `faults` collects it."""
        reports: list[BatchReport] = []
        for _ in range(rounds):
            moved = False
            try:
                gate = self.gate()
                heard = receive(gate, wait_s=0, budget_s=20)
                looked = dispatch(gate, lambda keys: {k: self.runs[k] for k in keys if k in self.runs})
                for run_key, _ in looked.abandoned:
                    self.runs[run_key] = RunState.FAILED
                moved = bool(looked.launches or heard.received or looked.released)
                for launch in looked.launches:
                    reports.extend(self._run(launch))
                if not moved and balance(gate.ledger.counts()).at_rest:
                    if self._messages() == 0:
                        return reports
                    time.sleep(0.3)  # a message that was received and not deleted is not to be seen for a second
            except LakegateError as error:  # a tick that failed: the next one does the rest
                self.faults.append(error)
            if not moved:
                self.clock.turn(300)
        raise AssertionError(
            f"not at rest after {rounds} rounds: {balance(self.gate().ledger.counts()).lines}, {self.faults}"
        )

    def _run(self, launch: Launch) -> list[BatchReport]:
        """A run in a process of its own: red when a batch could not be finished."""
        gate = self.gate()
        self.runs[launch.run_key] = RunState.STARTED
        reports: list[BatchReport] = []
        ended = RunState.SUCCEEDED
        for batch_id in launch.batches:
            try:
                for table in tables_of(self.of):
                    gate.tables.ensure(table)
                outcome = ingest_batch(gate, READER, self.of, batch_id, f"run-{launch.run_key}")
            except LakegateError as error:
                self.faults.append(error)
                ended = RunState.FAILED
                continue
            if isinstance(outcome, BatchReport):
                reports.append(outcome)
        self.runs[launch.run_key] = ended
        return reports

    def _messages(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = client("sqs").get_queue_attributes(QueueUrl=self.names.queue_url, AttributeNames=names)["Attributes"]
        return sum(int(told[name]) for name in names)

    # ---- what a user sees

    def rows(self) -> list[dict[str, Any]]:
        """The table's rows, in order of source and line."""
        rows = self.gate().tables.load(self.of).scan().to_arrow().to_pylist()  # pyright: ignore[reportAttributeAccessIssue]
        return sorted(rows, key=lambda r: (r["_source_file"], r["_source_version"], r["_source_line"]))

    def ids(self) -> list[int]:
        return sorted(row["id"] for row in self.rows())

    def entries(self) -> list[LedgerEntry]:
        """What the books say of every version that was put, highest last."""
        ledger = self.gate().ledger
        found = {e.version.version_id: e for v in self.versions for e in ledger.entries(v.bucket, v.key)}
        return [found[v.version_id] for v in self.versions if v.version_id in found]

    def outcomes(self) -> list[str]:
        """The outcome of each version, in the order they were put."""
        return [entry.outcome.value for entry in self.entries()]

    def assert_right(self, ids: Sequence[int], outcomes: Sequence[str]) -> None:
        """Each accepted row once, each version in its outcome, and books that agree with the table."""
        assert self.ids() == sorted(ids)
        assert self.outcomes() == list(outcomes)
        sheet = balance(self.gate().ledger.counts())
        assert sheet.problems == ()
        assert sheet.at_rest
        assert sum(line.counts.rows_in_table for line in sheet.lines) == len(ids)
        by_source: dict[str, int] = {}
        for row in self.rows():
            by_source[row["_source_version"]] = by_source.get(row["_source_version"], 0) + 1
        serving: Mapping[str, int] = {
            e.version.version_id: e.facts.rows_accepted for e in self.entries() if e.serving and e.facts
        }
        assert by_source == {version: rows for version, rows in serving.items() if rows}
