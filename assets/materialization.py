"""The body of a dataset's asset: takes the run's batches through the gate and tells Dagster what became of them.

Which batches those are is said in `taking.py`. The ledger decides what a run may touch: what another live run holds is left to it.
"""

from collections.abc import Collection, Sequence
from datetime import date
from typing import cast

import dagster as dg

from assets.checks import check_results
from assets.expectations import ExpectationResult, evaluate
from assets.failing import failure
from assets.file_log import log_files
from assets.keys import table_key
from assets.past import columns_of, note_profiles, past_of
from assets.rejected import tell_rejected
from assets.taking import batches_of_run
from assets.telling import first_told, tell
from assets.under_way import FilesUnderWay
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import tables_of
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.ingest import ingest_batch
from pipelines.intake.backfill import Choice
from pipelines.printable import printable
from pipelines.publication.staged import StagedFile
from pipelines.reports import BatchNotRun, BatchReport
from pipelines.telemetry.logs import logged
from pipelines.telemetry.tracing import trace_of

__all__ = ["materialize"]


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

    tell_far = FilesUnderWay(context)
    with gate.reader() as reader:
        for batch_id, day in batches_of_run(context, gate, dataset, days, choice):
            try:
                outcome = ingest_batch(
                    gate, reader, dataset, batch_id, owner=context.run.run_id, inspect=inspect, tell=tell_far
                )
            except LakegateError as error:
                with logged(dataset=dataset.name, batch=batch_id, trace_id=trace_of(batch_id)):
                    context.log.error(f"{dataset.name} {day}: {printable(str(error))}")
                faults[day] = f"{day}: {type(error).__name__}: {printable(str(error))}"
                continue
            if isinstance(outcome, BatchNotRun):
                context.log.info(f"{dataset.name} {day}: {outcome.reason}")
                continue
            with logged(dataset=dataset.name, batch=batch_id, trace_id=trace_of(batch_id)):
                log_files(context, gate.landing_bucket, outcome.files)
                context.log.info(outcome.sentence())
            expectations.setdefault(day, []).extend(outcome.expectations)
            reports.append(outcome)
    gate.tracer.flush()
    counts = gate.ledger.counts(dataset.name, since=first_told(days))
    for trouble in note_profiles(gate, dataset, reports, {count.landing_day: count.rows_in_table for count in counts}):
        context.log.warning(trouble)
    tell(context, gate, dataset, days, reports, faults.keys(), counts)
    tell_rejected(context, gate, dataset, reports)
    for trouble in gate.lineage.settle() if gate.lineage is not None else ():
        context.log.warning(trouble)
    if faults:
        breaker = gate.ledger.pauses.breakers([dataset.name])[dataset.name]
        raise failure(dataset, days, faults, breaker, gate.links)
    past = past_of(gate, dataset, days, columns if columns.schema is not None else columns_of(gate, dataset))
    answers = check_results(dataset, reports, expectations, gate.queries, past)
    return dg.MaterializeResult(
        asset_key=table_key(dataset), check_results=[answer for answer in answers if answer.check_name in checks]
    )
