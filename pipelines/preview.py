"""What would happen to a file: read and judged as the pipeline does, with nothing staged, published or written down."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

import pyarrow as pa

from pipelines.contracts.evolution import extended
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import reading_schema
from pipelines.intake.routing import BadKey, Outside, Routed, Unrouted, bad_key_violation, event_day, route
from pipelines.publication.partitioning import Partitioner, PartitionKey, partition_path
from pipelines.reading.summary import Accepted, ChunkSource, Empty, FileReader, ReadRequest, Rejected, judge
from pipelines.reports import FileEnding, FileReport

__all__ = ["preview"]


class _Tally:
    """A sink that counts the partitions rows would go to, and keeps none of them."""

    def __init__(self, dataset: Dataset) -> None:
        self._partitioner = Partitioner(dataset.partition_by, reading_schema(dataset))
        self.restart()

    def write(self, batch: pa.RecordBatch) -> None:
        if self._partitioner.fields:
            self._keys.update(self._partitioner.keys(batch))

    def reject(self, batch: pa.RecordBatch) -> None:
        """Rejected rows go to one partition, that of the landing day."""

    def restart(self) -> None:
        self._keys: set[PartitionKey] = set()

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(sorted(partition_path(self._partitioner.fields, key) for key in self._keys))


def preview(
    reader: FileReader, dataset: Dataset, key: str, size_bytes: int, chunks: ChunkSource, landed_at: datetime
) -> FileReport:
    """Read and judge one file as if it landed now, at `landed_at`, under `key`; the report says what the pipeline would do."""
    report = FileReport(key, "", size_bytes, FileEnding.LOADED)
    today = event_day(landed_at)
    match route(key, (dataset,), today, today):
        case BadKey() as bad:
            return _rejected(
                replace(report, read_complete=False),
                Rejected((bad_key_violation(bad, key),), 1),
            )
        case Unrouted() | Outside():
            raise ValueError(f"{key!r} is not a key of {dataset.name} ({dataset.landing.key})")
        case Routed() as routed:
            request = ReadRequest(dataset, size_bytes, routed.key_values, landed_at)
        case _ as never:
            assert_never(never)
    tally = _Tally(dataset)
    summary = reader.read(request, chunks, tally)
    new_columns, wider_types = summary.new_columns, summary.wider_types
    if summary.changes_table and isinstance(judge(dataset, summary), Accepted):
        dataset = extended(dataset, new_columns, wider_types)
        tally = _Tally(dataset)
        summary = reader.read(replace(request, dataset=dataset), chunks, tally)
    report = replace(report.read_as(summary, tally.paths), new_columns=new_columns, wider_types=wider_types)
    verdict = judge(dataset, summary)
    match verdict:
        case Accepted():
            return replace(
                report,
                rows_loaded=verdict.rows,
                rows_rejected=verdict.rejected,
                violations=verdict.violations,
                violations_total=verdict.violations_total,
            )
        case Rejected():
            return _rejected(report, verdict)
        case Empty():
            return replace(report, outcome=FileEnding.EMPTY)
        case _ as never:
            assert_never(never)


def _rejected(report: FileReport, verdict: Rejected) -> FileReport:
    return replace(
        report,
        outcome=FileEnding.QUARANTINED,
        violations=verdict.violations,
        violations_total=verdict.violations_total,
    )
