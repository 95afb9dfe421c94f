"""Makes the state that a release leaves behind: a small deployment with an item of every kind, as the release itself writes it.

Run by hand, once a release, from a checkout of that release (docs/upgrading.md says how), with that checkout first on the path:

    cd ../lakegate-0.1.0 && PYTHONPATH=. .venv/bin/python <this file> <this folder>/0.1.0.tar.gz

It starts a local AWS of its own, plays producer, sensor and runs, lets some of them die, and packs the ledger's items, the
objects of all buckets, the tables in the catalog, the messages in the queues, and what the release itself says of all that. It
uses nothing but what that release has. All rows are made up.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lakegate.local.laptop import Laptop
from pipelines.accounting.balance import balance
from pipelines.accounting.entries import Claim, RetryPolicy
from pipelines.accounting.outcomes import FileCommitted
from pipelines.accounting.states import FaultKind
from pipelines.contracts.loading import load_datasets
from pipelines.contracts.rejected import tables_of
from pipelines.contracts.system_tables import balance_sheet, file_history
from pipelines.errors import ObjectArchivedError, TransientError
from pipelines.gate import Gate
from pipelines.ingest import ingest_batch
from pipelines.intake.dispatching import Launch, RunState, dispatch
from pipelines.intake.receiving import receive
from pipelines.intake.sweep import sweep
from pipelines.publication.export import export_history
from pipelines.reading.reader import InProcessReader
from resources.assembly import open_gate
from resources.environment import Deployment, client

COLUMNS = """
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  amount: {type: "decimal(10,2)"}
"""
DATASETS = {
    "orders": """
name: orders
description: Orders of a shop, some files a day; a removed object takes its rows with it.
owner: team:sales
landing: {key: "landing/orders/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
on_delete: retract
partition_by: [day]
primary_key: [id]
"""
    + COLUMNS,
    "payments": """
name: payments
description: Payments; bad rows are rejected one by one.
owner: team:sales
landing: {key: "landing/payments/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
partition_by: [day]
rows: {on_bad: quarantine_rows, max_bad: 60%}
"""
    + COLUMNS,
    "visits": """
name: visits
description: Visits; the delimiter is told from the first file.
owner: team:web
landing: {key: "landing/visits/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv, delimiter: auto}
"""
    + COLUMNS,
    "clicks": """
name: clicks
description: Clicks; paused by hand.
owner: team:web
landing: {key: "landing/clicks/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
"""
    + COLUMNS,
}
READER = InProcessReader()
POISON = "a message that is no event"


class WorkerDied(BaseException):
    """Nothing of Lakegate catches it, as nothing catches SIGKILL."""


def csv(*ids: int, amount: str = "1.50", bad: int = 0, delimiter: str = ",") -> bytes:
    """Rows of made-up numbers; bad ones have no number for an id."""
    rows = [("id", "amount"), *((str(i), amount) for i in ids), *((f"none{n}", "9") for n in range(bad))]
    return "".join(f"{delimiter.join(row)}\n" for row in rows).encode()


class Story:
    """The deployment, and what happens to it."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment = deployment
        self.datasets = folder
        self.runs: dict[str, RunState] = {}

    def gate(self, policy: RetryPolicy | None = None) -> Gate:
        return open_gate(self.deployment, load_datasets(self.datasets), policy)

    def put(self, key: str, content: bytes) -> str:
        answer = client("s3").put_object(Bucket=self.deployment.landing_bucket, Key=key, Body=content)
        return answer["VersionId"]

    def delete(self, key: str) -> None:
        client("s3").delete_object(Bucket=self.deployment.landing_bucket, Key=key)

    def hear(self, messages: int) -> None:
        """Receive until so many events of objects were registered and their messages deleted."""
        gate, deadline = self.gate(), time.monotonic() + 60
        heard = 0
        while heard < messages:
            assert time.monotonic() < deadline, f"{heard} of {messages} messages came"
            report = receive(gate, wait_s=1, budget_s=5)
            heard += report.received - report.test_events

    def plan(self, gate: Gate | None = None) -> list[Launch]:
        return dispatch(gate or self.gate(), lambda keys: {k: self.runs[k] for k in keys if k in self.runs}).launches

    def run(self, launches: Sequence[Launch], gate: Gate | None = None) -> None:
        gate = gate or self.gate()
        for launch in launches:
            of = next(d for d in gate.datasets.datasets if d.name == launch.dataset)
            for table in tables_of(of):
                gate.tables.ensure(table)
            for batch_id in launch.batches:
                ingest_batch(gate, READER, of, batch_id, f"run-{launch.run_key}")
            self.runs[launch.run_key] = RunState.SUCCEEDED

    def all(self) -> None:
        """Run what is due until nothing is."""
        while launches := self.plan():
            self.run(launches)

    # ---- what happens

    def at_rest(self) -> None:
        """Every outcome that files come to."""
        self.put("landing/orders/2026-02-01/a.csv", csv(1, 2, 3))
        self.put("landing/orders/2026-02-01/bad.csv", csv(4, bad=1))
        self.put("landing/orders/2026-02-01/empty.csv", b"")
        self.put("landing/orders/2026-02-02/b.csv", csv(10, 11, 12, 13))
        self.put("landing/orders/2026-02-02/c.csv", csv(14, 15))
        self.put("landing/orders/2026-02-02/gone.csv", csv(16, 17))
        first = self.put("landing/payments/2026-02-01/p.csv", csv(20, 21, 22, bad=2))
        self.put("landing/payments/2026-02-01/q.csv", csv(23))
        self.put("landing/visits/2026-02-01/v.csv", csv(30, 31, delimiter=";"))
        self.put("landing/nobody/x.csv", csv(1))
        self.put("landing/orders/2026-02-03/never.csv", csv(18))
        self.delete("landing/orders/2026-02-03/never.csv")
        self.hear(12)
        self.all()
        self.put("landing/orders/2026-02-01/a.csv", csv(1, 2, 5, amount="2.50"))
        self.put("landing/payments/2026-02-01/p.csv", csv(20, 24, bad=1))
        self.delete("landing/orders/2026-02-02/gone.csv")
        self.hear(3)
        self.all()
        client("s3").delete_object(
            Bucket=self.deployment.landing_bucket, Key="landing/payments/2026-02-01/p.csv", VersionId=first
        )
        self.hear(1)
        gate = self.gate()
        gate.ledger.profiles.published("orders", date(2026, 2, 1), 3, {"amount": 1}, 3, arrived=True)
        export_history(gate)
        sweep(gate)

    def in_trouble(self) -> None:
        """Files that faults of ours stopped, and one that lies in an archive."""
        for name in ("dead", "later", "frozen"):
            self.put(f"landing/orders/2026-02-0{4 + len(name) % 4}/{name}.csv", csv(*range(40, 40 + len(name))))
        self.hear(3)
        gate = self.gate(RetryPolicy(max_attempts=1))
        for launch in self.plan(gate):
            of = next(d for d in gate.datasets.datasets if d.name == launch.dataset)
            for batch_id in launch.batches:
                (entry,) = gate.ledger.batch_entries(batch_id)
                if "/dead" in entry.version.key:
                    assert isinstance(gate.ledger.claim(batch_id, "run-killed"), Claim)
                    gate.ledger.release(batch_id, "its worker died", fault=FaultKind.DEATH)
                else:
                    ingest_batch(replace(gate, store=Refusing(gate.store)), READER, of, batch_id, "run-refused")
            self.runs[launch.run_key] = RunState.FAILED

    def under_way(self) -> None:
        """Batches at every step, a paused dataset, a sealed page of the outbox, messages nobody heard yet."""
        gate = self.gate()
        gate.ledger.outbox.seal()
        gate.ledger.pauses.pause("clicks", "operator", "the producer repairs its files")
        gate.ledger.pauses.fault("visits", "AccessDenied", "Key is disabled", "batch-0")
        self.put("landing/clicks/2026-02-01/k.csv", csv(50))
        self.put("landing/orders/2026-02-10/planned.csv", csv(60, 61))
        self.put("landing/payments/2026-02-11/claimed.csv", csv(62, 63, bad=1))
        self.put("landing/orders/2026-02-12/committed.csv", csv(64, 65, 66))
        self.put("landing/payments/2026-02-13/committed.csv", csv(67, 68, bad=2))
        self.hear(5)
        for launch in self.plan():
            self.runs[launch.run_key] = RunState.STARTED
            of = next(d for d in gate.datasets.datasets if d.name == launch.dataset)
            for batch_id in launch.batches:
                (entry,) = gate.ledger.batch_entries(batch_id)
                if "/claimed" in entry.version.key:
                    assert isinstance(gate.ledger.claim(batch_id, f"run-{launch.run_key}"), Claim)
                elif "/committed" in entry.version.key:
                    self._die_before_settling(of, batch_id, launch.run_key)
        self.put("landing/visits/2026-02-02/due.csv", csv(32, delimiter=";"))
        self.hear(1)
        client("sqs").send_message(QueueUrl=self.deployment.dlq_url, MessageBody=POISON)
        self.put("landing/visits/2026-02-03/unheard.csv", csv(33, 34, delimiter=";"))
        time.sleep(1)

    def _die_before_settling(self, of: Any, batch_id: str, run_key: str) -> None:
        gate = self.gate()
        settle = gate.ledger.settle

        def dying(claim: Claim, outcomes: Sequence[Any], *more: Any) -> Any:
            if any(isinstance(outcome, FileCommitted) for outcome in outcomes):
                raise WorkerDied
            return settle(claim, outcomes, *more)

        gate.ledger.settle = dying  # pyright: ignore[reportAttributeAccessIssue]
        try:
            ingest_batch(gate, READER, of, batch_id, f"run-{run_key}")
        except WorkerDied:
            return
        raise AssertionError(f"{batch_id} was settled")


class Refusing:
    """A store that cannot read some files now."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read(self, version: Any) -> Iterator[bytes]:
        if "/later" in version.key:
            raise TransientError(f"{version.key}: the connection was cut", code="ConnectionClosed")
        if "/frozen" in version.key:
            raise ObjectArchivedError(f"{version.key} lies in an archive")
        return self._store.read(version)


# ---- packing --------------------------------------------------------------------------------------------------------


def pages(call: Callable[..., Any], key: str, token: str, after: str, **given: Any) -> Iterator[Any]:
    """The entries of every page of an answer."""
    more: dict[str, Any] = {}
    while True:
        answer = call(**given, **more)
        yield from answer.get(key, [])
        if not answer.get(token):
            return
        more = {after: answer[token]}


def objects_of(bucket: str) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Every version of a bucket, oldest first within a key, with its bytes."""
    s3 = client("s3")
    found: list[dict[str, Any]] = []
    listed = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
    for page in listed:
        # A page lists versions and markers apart, each newest first.
        found += [{**v, "marker": False} for v in page.get("Versions", [])]
        found += [{**v, "marker": True} for v in page.get("DeleteMarkers", [])]
    order = sorted(
        range(len(found)), key=lambda i: (found[i]["Key"], found[i]["IsLatest"], found[i]["LastModified"], -i)
    )
    for one in (found[i] for i in order):
        what = {"bucket": bucket, "key": one["Key"], "version_id": one["VersionId"], "marker": one["marker"]}
        if one["marker"]:
            yield what, b""
        else:
            named = {} if one["VersionId"] == "null" else {"VersionId": one["VersionId"]}
            yield what, s3.get_object(Bucket=bucket, Key=one["Key"], **named)["Body"].read()


def messages_of(url: str) -> list[str]:
    """The messages of a queue; they stay in it."""
    bodies: list[str] = []
    while answer := client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        bodies += [message["Body"] for message in answer]
    return bodies


def kind(pk: str, sk: str) -> str:
    """Which kind of item lies there: `object/version`, `slots`, …; the second part where a partition holds several."""
    name = pk.split("#")[0]
    return f"{name}/{sk.split('#')[0]}" if name in ("object", "batch", "breaker") or pk == "outbox" else name


def pack(story: Story, target: Path, commit: str) -> None:
    """Everything, in one archive."""
    where, gate = story.deployment, story.gate()
    glue = client("glue")
    database = where.glue_database
    tables = [
        {k: v for k, v in table.items() if k in ("Name", "Description", "TableType", "Parameters", "StorageDescriptor")}
        for table in pages(glue.get_tables, "TableList", "NextToken", "NextToken", DatabaseName=database)
    ]
    scan = client("dynamodb").scan
    items = list(
        pages(scan, "Items", "LastEvaluatedKey", "ExclusiveStartKey", TableName=where.ledger_table, ConsistentRead=True)
    )
    items.sort(key=lambda item: (item["pk"]["S"], item["sk"]["S"]))
    files: dict[str, bytes] = {}
    listed: list[dict[str, Any]] = []
    for bucket in (where.landing_bucket, where.processed_bucket, where.quarantine_bucket):
        for what, content in objects_of(bucket):
            if not what["marker"]:
                what["file"] = f"objects/{len(listed):03d}"
                files[what["file"]] = content
            listed.append(what)
    sheet = balance(gate.ledger.counts())
    described = [t for d in gate.datasets.datasets for t in tables_of(d)] + [file_history(), balance_sheet()]
    there = {table["Name"] for table in tables}
    said = {
        "release": version("lakegate"),
        "commit": commit,
        "deployment": where.to_environment(),
        "messages": messages_of(where.queue_url),
        "dead_letters": messages_of(where.dlq_url),
        "sheet": [
            {
                "dataset": line.dataset,
                "landing_day": line.landing_day.isoformat(),
                "objects": line.counts.objects,
                "outcomes": {o.value: n for o, n in line.counts.outcomes.items() if n},
                "rows": [line.counts.rows_read, line.counts.rows_in_table, line.counts.rows_rejected],
            }
            for line in sheet.lines
        ],
        "rows": {t.table: gate.tables.load(t).scan().to_arrow().num_rows for t in described if t.table in there},
        "kinds": sorted({kind(item["pk"]["S"], item["sk"]["S"]) for item in items}),
    }
    files["said.json"] = json.dumps(said, indent=1).encode()
    files["objects.json"] = json.dumps(listed, indent=1).encode()
    files["tables.json"] = json.dumps(tables, indent=1, default=str).encode()
    files["ledger.jsonl"] = "".join(json.dumps(item, sort_keys=True) + "\n" for item in items).encode()
    for name, text in DATASETS.items():
        files[f"datasets/{name}.yaml"] = text.lstrip().encode()
    with tarfile.open(target, "w:gz", compresslevel=9) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    print(json.dumps({k: v for k, v in said.items() if k not in ("messages", "deployment")}, indent=1))  # noqa: T201
    print(f"{target}: {target.stat().st_size:,} bytes, {len(items)} items, {len(listed)} objects")  # noqa: T201


def main() -> None:
    """From an empty AWS to the archive."""
    target = Path(sys.argv[1])
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="lakegate-fixture-") as home:
        folder = Path(home) / "datasets"
        folder.mkdir()
        for name, text in DATASETS.items():
            (folder / f"{name}.yaml").write_text(text.lstrip())
        os.environ["LAKEGATE_DATASETS"] = str(folder)
        laptop = Laptop(Path(home) / "laptop", any_port=True)
        try:
            story = Story(Deployment.from_environment(laptop.start()), folder)
            story.at_rest()
            story.in_trouble()
            story.under_way()
            pack(story, target, commit)
        finally:
            laptop.stop()


if __name__ == "__main__":
    main()
