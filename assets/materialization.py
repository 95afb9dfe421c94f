"""The body of a dataset's asset: takes the run's batches through the gate and tells Dagster what became of them.

Which batches those are is said in `taking.py`. The ledger decides what a run may touch: what another live run holds is left to it.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import cast

import dagster as dg

from assets.checks import check_results
from assets.columns import column_schema
from assets.expectations import ExpectationResult, evaluate
from assets.failing import failure
from assets.keys import counted, landing_key, quarantine_key, table_key
from assets.past import columns_of, note_profiles, past_of
from assets.rejected import tell_rejected
from assets.taking import batches_of_run
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import tables_of
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.ingest import ingest_batch
from pipelines.intake.backfill import Choice
from pipelines.printable import printable, spoken
from pipelines.publication.staged import StagedFile
from pipelines.reports import BatchNotRun, BatchReport, FileEnding, FileReport

__all__ = ["materialize"]

_FILES_SHOWN = 200


def materialize(
    context: dg.AssetExecutionContext, dataset: Dataset, choice: Choice, checks: Collection[str]
) -> dg.MaterializeResult:
    """Run every batch of this run, then report: metadata for each landing day, and the answers of the `checks` selected.

    Bad files are an outcome and leave the run green. A fault of ours fails the run, after the batches that could be
    done were done; the ledger makes the rest due again.
    """
    gate = cast(Gate, context.resources.gate.open())
    days = [date.fromisoformat(key) for key in context.partition_keys]
    expectations: dict[date, list[ExpectationResult]] = {}
    reports: list[BatchReport] = []
    faults: dict[date, str] = {}
    columns = columns_of(gate, dataset)
    for table in tables_of(dataset):
        gate.tables.ensure(table)

    def inspect(files: Sequence[StagedFile]) -> Sequence[ExpectationResult]:
        return evaluate(dataset, [file.path for file in files])

    with gate.reader() as reader:
        for batch_id, day in batches_of_run(context, gate, dataset, days, choice):
            try:
                outcome = ingest_batch(gate, reader, dataset, batch_id, owner=context.run.run_id, inspect=inspect)
            except LakegateError as error:
                context.log.error(f"{dataset.name} {day}: {printable(str(error))}")
                faults[day] = f"{day}: {type(error).__name__}: {printable(str(error))}"
                continue
            if isinstance(outcome, BatchNotRun):
                context.log.info(f"{dataset.name} {day}: {outcome.reason}")
                continue
            for file in outcome.files:
                context.log.info(file.sentence())
            context.log.info(outcome.sentence())
            expectations.setdefault(day, []).extend(outcome.expectations)
            reports.append(outcome)
    rows_in_table = {c.landing_day: c.rows_in_table for c in gate.ledger.counts(dataset.name, since=min(days))}
    for trouble in note_profiles(gate, dataset, reports, rows_in_table):
        context.log.warning(trouble)
    schema = _table_schema(gate, dataset)
    _tell(context, gate, dataset, days, reports, rows_in_table, schema)
    tell_rejected(context, gate, dataset, reports)
    for trouble in gate.lineage.settle() if gate.lineage is not None else ():
        context.log.warning(trouble)
    if faults:
        # A failed step yields no materialization: the days that are done are told of here, or they would look failed too.
        for day in sorted({r.landing_day for r in reports} - faults.keys()):
            context.log_event(
                dg.AssetMaterialization(
                    table_key(dataset),
                    partition=day.isoformat(),
                    metadata=schema
                    | _day_metadata([r for r in reports if r.landing_day == day], rows_in_table.get(day, 0)),
                )
            )
        breaker = gate.ledger.pauses.breakers([dataset.name])[dataset.name]
        raise failure(dataset, days, faults, breaker, gate.links)
    past = past_of(gate, dataset, days, columns if columns.schema is not None else columns_of(gate, dataset))
    answers = check_results(dataset, reports, expectations, gate.queries, past)
    return dg.MaterializeResult(
        asset_key=table_key(dataset), check_results=[answer for answer in answers if answer.check_name in checks]
    )


def _table_schema(gate: Gate, dataset: Dataset) -> dict[str, dg.MetadataValue]:
    """The table's columns, where files may have made them others than the contract's, which the asset itself shows."""
    if dataset.schema_.new_columns != "add" and not dataset.schema_.widens:
        return {}
    schema = column_schema(dataset, gate.tables.columns(dataset))
    return {"dagster/column_schema": dg.MetadataValue.table_schema(schema)}


def _tell(
    context: dg.AssetExecutionContext,
    gate: Gate,
    dataset: Dataset,
    days: Sequence[date],
    reports: Sequence[BatchReport],
    rows_in_table: Mapping[date, int],
    schema: Mapping[str, dg.MetadataValue],
) -> None:
    for day in days:
        mine = [r for r in reports if r.landing_day == day]
        told = {**schema, **_day_metadata(mine, rows_in_table.get(day, 0))}
        context.add_asset_metadata(told, partition_key=day.isoformat())
        files = [f for r in mine for f in r.files]
        if files:
            context.log_event(
                dg.AssetMaterialization(
                    landing_key(dataset),
                    partition=day.isoformat(),
                    description=f"{counted(len(files), 'file')} landed and {'was' if len(files) == 1 else 'were'} read",
                    metadata={
                        "files": dg.MetadataValue.int(len(files)),
                        "bytes": dg.MetadataValue.int(sum(f.size_bytes for f in files)),
                    },
                )
            )
        quarantined = [f for r in mine for f in r.files if f.outcome is FileEnding.QUARANTINED]
        if quarantined:
            context.log_event(
                dg.AssetMaterialization(
                    quarantine_key(dataset),
                    partition=day.isoformat(),
                    description=f"{counted(len(quarantined), 'file')} went to quarantine",
                    metadata=_quarantine_metadata(gate, quarantined),
                )
            )


def _delimiters(files: Sequence[FileReport]) -> str:
    """What files were read with whose contract leaves it to them: `';' (score 1.00)`, or `';' (pinned)`; "" for others."""
    said = {
        f"{spoken(f.delimiter)} ({'pinned' if f.delimiter_score is None else f'score {f.delimiter_score:.2f}'})": None
        for f in files
        if f.delimiter is not None
    }
    return ", ".join(said)


def _day_metadata(reports: Sequence[BatchReport], rows_in_table: int) -> dict[str, dg.MetadataValue]:
    files = [f for r in reports for f in r.files]
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/partition_row_count": dg.MetadataValue.int(rows_in_table),
        "files": dg.MetadataValue.int(len(files)),
        "files loaded": dg.MetadataValue.int(sum(f.outcome is FileEnding.LOADED for f in files)),
        "files quarantined": dg.MetadataValue.int(sum(f.outcome is FileEnding.QUARANTINED for f in files)),
        "rows read": dg.MetadataValue.int(sum(f.rows_read for f in files)),
        "rows loaded": dg.MetadataValue.int(sum(r.rows_loaded for r in reports)),
        "rows rejected": dg.MetadataValue.int(sum(r.rows_rejected for r in reports)),
        "rows replaced": dg.MetadataValue.int(sum(r.committed.rows_removed for r in reports if r.committed)),
        "bytes in": dg.MetadataValue.int(sum(r.bytes_in for r in reports)),
        "bytes out": dg.MetadataValue.int(sum(r.bytes_out for r in reports)),
    }
    if not files:
        metadata["note"] = dg.MetadataValue.text(
            "No file of this day was due: nothing was read and nothing was changed."
        )
        return metadata
    for stage, seconds in ((s, t) for r in reports for s, t in r.seconds.items()):
        name = f"seconds {stage.value}"
        before = metadata.get(name)
        metadata[name] = dg.MetadataValue.float(round(seconds + (cast(float, before.value) if before else 0.0), 3))
    if told := _delimiters(files):
        metadata["delimiter"] = dg.MetadataValue.text(told)
    partitions = sorted({p for r in reports for p in r.partitions})
    if partitions:
        shown = ", ".join(partitions[:20]) + (" …" if len(partitions) > 20 else "")
        metadata["partitions"] = dg.MetadataValue.text(shown)
    added = {name: source for r in reports for name, source in r.columns_added.items()}
    if added:
        records = [
            dg.TableRecord({"column": n, "column in the file": printable(source), "type": "string"})
            for n, source in added.items()
        ]
        metadata["columns added"] = dg.MetadataValue.table(records)
    widened = {name: types for r in reports for name, types in r.types_widened.items()}
    if widened:
        records = [dg.TableRecord({"column": n, "from": old, "to": new}) for n, (old, new) in widened.items()]
        metadata["types widened"] = dg.MetadataValue.table(records)
    rescued: Counter[str] = Counter()
    for report in reports:
        rescued.update(report.rescued)
    if rescued:
        metadata["values rescued"] = dg.MetadataValue.int(rescued.total())
        columns = [
            dg.TableRecord({"column in the file": printable(n), "values": c})
            for n, c in rescued.most_common(_FILES_SHOWN)
        ]
        metadata["values rescued by column"] = dg.MetadataValue.table(columns)
    changes: Counter[str] = Counter()
    for report in reports:
        changes.update(report.changes)
    for what, number in changes.items():
        name = "replaced files not compared" if what == "not compared" else f"rows of replaced files {what}"
        metadata[name] = dg.MetadataValue.int(number)
    snapshots = [str(r.committed.snapshot_id) for r in reports if r.committed]
    if snapshots:
        metadata["snapshot id"] = dg.MetadataValue.text(snapshots[-1])
    metadata["batches"] = dg.MetadataValue.text(", ".join(r.batch_id for r in reports))
    metadata["files of this day"] = dg.MetadataValue.table([_file_record(f) for f in files[:_FILES_SHOWN]])
    return metadata


def _file_record(file: FileReport) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "file": printable(file.key),
            "outcome": file.outcome.value,
            "rows read": file.rows_read,
            "rows loaded": file.rows_loaded,
            "rows rejected": file.rows_rejected,
            "rows removed": file.rows_removed,
            "changes": printable(file.changes.sentence()) if file.changes else "",
            "faults": file.violations_total,
            "bytes": file.size_bytes,
            "milliseconds": round(file.seconds * 1000),
        }
    )


def _quarantine_metadata(gate: Gate, files: Sequence[FileReport]) -> dict[str, dg.MetadataValue]:
    records = [
        dg.TableRecord(
            {
                "file": printable(file.key),
                "id": file.quarantine_id or "",
                "rule": violation.rule.value,
                "line": str(violation.line or ""),
                "column": printable(violation.column or ""),
                "count": violation.count,
                "what to do": violation.rule.remedy,
            }
        )
        for file in files
        for violation in file.violations[:5]
    ]
    metadata: dict[str, dg.MetadataValue] = {
        "files": dg.MetadataValue.int(len(files)),
        "faults": dg.MetadataValue.int(sum(f.violations_total for f in files)),
        "reasons": dg.MetadataValue.table(records[:_FILES_SHOWN]),
    }
    for number, file in enumerate(files[:10], start=1):
        if file.report_key:
            metadata[f"report {number}"] = dg.MetadataValue.url(gate.store.uri(gate.quarantine_bucket, file.report_key))
    return metadata
