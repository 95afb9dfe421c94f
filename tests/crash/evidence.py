"""What was found after the crashes, held against what the producer knows: every difference in a sentence of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from lakegate.status import look
from pipelines.accounting.proof import prove
from pipelines.accounting.states import Outcome
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import rejected_dataset
from pipelines.gate import Gate
from pipelines.intake.sweep import sweep
from pipelines.publication.orphans import find_orphans
from pipelines.publication.quarantine import load_report
from resources.environment import Deployment, client
from resources.iceberg import glue_tables
from resources.s3 import S3ObjectStore
from tests.crash.producer import POISON, REJECTS_ROWS, Producer


@dataclass
class Evidence:
    """What a proof prints; it holds when there are no `differences`. Rows count those of both tables of a dataset."""

    files: int = 0
    versions: int = 0
    rows_expected: int = 0
    rows_found: int = 0
    dead_letters: int = 0
    orphans: int = 0
    """What the sweep found of dead attempts, and removed."""
    differences: list[str] = field(default_factory=list)


def gather(gate: Gate, deployment: Deployment, producer: Producer) -> Evidence:
    """Compare tables, ledger, queues and quarantine with what was dropped."""
    found = Evidence(len(producer.dropped), len(producer.versions()))
    tables = glue_tables(deployment, S3ObjectStore())
    _sweep(found, gate)
    for of in gate.datasets.datasets:
        _compare(found, of.name, producer.rows(of.name), _rows(tables, of, ("id", "amount")))
        if of.name in REJECTS_ROWS:
            _compare(found, f"{of.name}__rejected", producer.rejected(of.name), _rows(tables, rejected_dataset(of), ()))
        found.differences += [f"the sweep left {key}" for key in _unreferenced(deployment, tables, of)]
    _outcomes(found, gate, deployment, producer)
    _books(found, gate, deployment, producer)
    _dead_letters(found, deployment)
    return found


def _sweep(found: Evidence, gate: Gate) -> None:
    """Remove what the dead left, before anything is compared: what is alive must still be there then. And prove the books."""
    swept = find_orphans(gate, grace=timedelta(0), remove=True)
    found.orphans = swept.removed
    if swept.removed != swept.orphans or swept.foreign:
        found.differences.append(f"the sweep: {swept.sentence()}")
    listed = sweep(gate, grace=timedelta(0), correct=False)
    found.differences += [f"the proof of the books: {problem}" for problem in prove(gate, listed).problems]


def _unreferenced(deployment: Deployment, tables: Any, of: Dataset) -> list[str]:
    """Data files below the table that no snapshot of it names."""
    from pyiceberg.exceptions import NoSuchTableError

    store, bucket, prefix = S3ObjectStore(), *tables.data_location(of)
    try:
        table = tables.catalog.load_table((deployment.glue_database, of.table))
    except NoSuchTableError:
        return []
    named = {
        entry.data_file.file_path
        for snapshot in table.snapshots()
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False)
    }
    return [key for key in store.list_keys(bucket, f"{prefix}/") if store.uri(bucket, key) not in named]


def _rows(tables: Any, of: Dataset, columns: tuple[str, ...]) -> Counter[tuple[Any, ...]]:
    from pyiceberg.exceptions import NoSuchTableError

    try:
        table = tables.catalog.load_table((tables.database, of.table))
    except NoSuchTableError:
        return Counter()
    names = ("_source_file", "_source_version", "_source_line", *columns)
    rows = table.scan(selected_fields=names).to_arrow().select(list(names))
    return Counter(zip(*(rows.column(name).to_pylist() for name in names), strict=True))


def _compare(found: Evidence, where: str, expected: Counter[Any], rows: Counter[Any]) -> None:
    found.rows_expected += expected.total()
    found.rows_found += rows.total()
    for said, more in (("is missing", expected - rows), ("is there and should not be", rows - expected)):
        found.differences += [f"{where}: the row {row} {said} ({n} times)" for row, n in _some(more.items())]


def _some(differences: Iterable[Any]) -> list[Any]:
    return sorted(differences)[:10]


def _outcomes(found: Evidence, gate: Gate, deployment: Deployment, producer: Producer) -> None:
    expected = producer.outcomes()
    known: dict[tuple[str, str], str] = {}
    for key in producer.dropped:
        for entry in gate.ledger.entries(deployment.landing_bucket, key):
            known[key, entry.version.version_id] = entry.outcome.value
            if entry.outcome is Outcome.QUARANTINED:
                told = entry.facts.report_key if entry.facts else None
                content = next(v.content for v in producer.dropped[key] if v.version_id == entry.version.version_id)
                report = load_report(gate.store, deployment.quarantine_bucket, told or "")
                if gate.store.get_bytes(deployment.quarantine_bucket, report.object_key) != content:
                    found.differences.append(f"{key}: the copy in quarantine is not what was sent")
    for place in _some(p for p in expected.keys() | known.keys() if expected.get(p) != known.get(p)):
        found.differences.append(
            f"{place}: it is {known.get(place)} in the ledger, and should be {expected.get(place)}"
        )


def _books(found: Evidence, gate: Gate, deployment: Deployment, producer: Producer) -> None:
    rest = look(gate)
    sheet = rest.sheet
    found.differences += [f"the books: {problem}" for problem in sheet.problems]
    if not rest.at_rest:
        found.differences.append(f"not at rest: {rest.sentence()}")
    if sheet.objects != found.versions:
        found.differences.append(f"the books know {sheet.objects} objects, {found.versions} were dropped")
    in_tables = sum(line.counts.rows_in_table + line.counts.rows_rejected for line in sheet.lines)
    if in_tables != found.rows_expected:
        found.differences.append(f"the books say {in_tables} rows, {found.rows_expected} are expected")
    for of in gate.datasets.datasets:
        found.differences += [f"{b.batch_id} still holds {b.landing_day}" for b in gate.ledger.live_batches(of.name)]


def _dead_letters(found: Evidence, deployment: Deployment) -> None:
    answer = client("sqs").receive_message(QueueUrl=deployment.dlq_url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    for message in answer.get("Messages", ()):
        found.dead_letters += 1
        if message["Body"] != POISON:
            found.differences.append("a message that could be understood is among the dead letters")
