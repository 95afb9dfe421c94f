"""A release's state, put back into a local AWS: what `make_fixture.py` packed, opened by today's code.

Buckets, tables and ledger get the names they had: tables name their files by address. What S3 makes up by itself, the ids of
versions, cannot be put back; `AsItWas` translates between those that the state names and those that the objects have now.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.accounting.balance import BalanceSheet
from pipelines.accounting.ledger import Ledger
from pipelines.contracts.loading import load_datasets
from pipelines.contracts.rejected import tables_of
from pipelines.gate import Gate
from pipelines.ingest import ingest_batch
from pipelines.intake.dispatching import RunState, dispatch
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.receiving import receive
from pipelines.ports import ListedVersion, ObjectStore
from pipelines.reading.reader import InProcessReader
from pipelines.reports import BatchReport
from resources.assembly import open_gate
from resources.clock import utc_now
from resources.dynamodb import DynamoItemStore
from resources.environment import Deployment, client
from resources.s3 import S3ObjectStore
from tests.upgrade.make_fixture import DATASETS, csv

__all__ = ["DATASETS", "READER", "AsItWas", "Restored", "csv", "restore"]

READER = InProcessReader()


class AsItWas:
    """The object store, where restored versions have the ids they had."""

    def __init__(self, store: ObjectStore, now_by_then: Mapping[tuple[str, str], str]) -> None:
        self._store = store
        self._now = now_by_then
        self._then = {(key, now): then for (key, then), now in now_by_then.items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        return self._store.read(self._as_now(version))

    def copy(self, version: ObjectVersion, bucket: str, key: str) -> None:
        self._store.copy(self._as_now(version), bucket, key)

    def list_versions(self, bucket: str, prefix: str, start_after: str | None = None) -> Iterator[ListedVersion]:
        for one in self._store.list_versions(bucket, prefix, start_after):
            then = self._then.get((one.version.key, one.version.version_id), one.version.version_id)
            yield replace(one, version=replace(one.version, version_id=then))

    def _as_now(self, version: ObjectVersion) -> ObjectVersion:
        return replace(version, version_id=self._now.get((version.key, version.version_id), version.version_id))


@dataclass
class Restored:
    """A deployment as an older release left it. `said` is what that release said of it; the clock can be turned."""

    deployment: Deployment
    said: Mapping[str, Any]
    items: list[dict[str, Any]]
    versions: dict[tuple[str, str], str]
    datasets: Path
    runs: dict[str, RunState] = field(default_factory=dict)
    later: timedelta = timedelta(0)

    def clock(self) -> datetime:
        return utc_now() + self.later

    def gate(self) -> Gate:
        """Today's gate, as a new process would open it."""
        gate = open_gate(self.deployment, load_datasets(self.datasets))
        items = DynamoItemStore(client("dynamodb"), self.deployment.ledger_table)
        store = AsItWas(S3ObjectStore(), self.versions)
        return replace(gate, ledger=Ledger(items, self.clock), store=store, clock=self.clock)  # pyright: ignore[reportArgumentType]

    def put(self, key: str, content: bytes) -> str:
        return client("s3").put_object(Bucket=self.deployment.landing_bucket, Key=key, Body=content)["VersionId"]

    def settle_down(self) -> list[BatchReport]:
        """What sensor and runs do until nothing waits that could go on by itself."""
        reports: list[BatchReport] = []
        quiet = 0
        for _ in range(60):
            gate = self.gate()
            heard = receive(gate, wait_s=0.3, budget_s=10)
            looked = dispatch(gate, lambda keys: {k: self.runs[k] for k in keys if k in self.runs})
            for launch in looked.launches:
                of = next(d for d in gate.datasets.datasets if d.name == launch.dataset)
                for table in tables_of(of):
                    gate.tables.ensure(table)
                for batch_id in launch.batches:
                    report = ingest_batch(gate, READER, of, batch_id, f"run-{launch.run_key}")
                    reports += [report] if isinstance(report, BatchReport) else []
                self.runs[launch.run_key] = RunState.SUCCEEDED
            quiet = 0 if looked.launches or heard.received or looked.released else quiet + 1
            if quiet > 2:
                return reports
            self.later += timedelta(minutes=10)
        raise AssertionError("not at rest")

    def rows(self, table: str) -> list[dict[str, Any]]:
        """A table's rows, by source and line."""
        gate = self.gate()
        of = next(t for d in gate.datasets.datasets for t in tables_of(d) if t.table == table)
        found = gate.tables.load(of).scan().to_arrow().to_pylist()  # pyright: ignore[reportAttributeAccessIssue]
        return sorted(found, key=lambda r: (r["_source_file"], r["_source_line"]))

    def ids(self, table: str) -> list[int]:
        return sorted(row["id"] for row in self.rows(table))


def sheet_lines(sheet: BalanceSheet) -> list[dict[str, Any]]:
    """The balance sheet, in the words of `make_fixture.py`."""
    return [
        {
            "dataset": line.dataset,
            "landing_day": line.landing_day.isoformat(),
            "objects": line.counts.objects,
            "outcomes": {o.value: n for o, n in line.counts.outcomes.items() if n},
            "rows": [line.counts.rows_read, line.counts.rows_in_table, line.counts.rows_rejected],
        }
        for line in sheet.lines
    ]


def restore(archive: Path, deployment: Deployment, folder: Path) -> Restored:
    """Put the state into a deployment that nothing has used yet. It must have the names that the state has."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    said = json.loads((folder / "said.json").read_text())
    names = {k: v for k, v in said["deployment"].items() if k.endswith(("BUCKET", "TABLE", "DATABASE"))}
    assert names.items() <= deployment.to_environment().items(), "the state has other names than this deployment"
    versions = _put_objects(json.loads((folder / "objects.json").read_text()), deployment, folder)
    for table in json.loads((folder / "tables.json").read_text()):
        client("glue").create_table(DatabaseName=deployment.glue_database, TableInput=table)
    items = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    for item in items:
        client("dynamodb").put_item(TableName=deployment.ledger_table, Item=item)
    # What S3 said when its notifications were switched on.
    client("sqs").purge_queue(QueueUrl=deployment.queue_url)
    for url, bodies in ((deployment.queue_url, said["messages"]), (deployment.dlq_url, said["dead_letters"])):
        for body in bodies:
            client("sqs").send_message(QueueUrl=url, MessageBody=body)
    return Restored(deployment, said, items, versions, folder / "datasets")


def _put_objects(objects: list[dict[str, Any]], deployment: Deployment, folder: Path) -> dict[tuple[str, str], str]:
    """Put every version where it was; the id it has now, by key and the id it had. Nobody is told of it."""
    s3, landing = client("s3"), deployment.landing_bucket
    told = s3.get_bucket_notification_configuration(Bucket=landing)
    told.pop("ResponseMetadata", None)
    s3.put_bucket_notification_configuration(Bucket=landing, NotificationConfiguration={})
    versions: dict[tuple[str, str], str] = {}
    for one in objects:
        if one["marker"]:
            answer = s3.delete_object(Bucket=one["bucket"], Key=one["key"])
        else:
            answer = s3.put_object(Bucket=one["bucket"], Key=one["key"], Body=(folder / one["file"]).read_bytes())
        if one["bucket"] == landing:
            versions[one["key"], one["version_id"]] = answer["VersionId"]
    s3.put_bucket_notification_configuration(Bucket=landing, NotificationConfiguration=told)
    return versions
