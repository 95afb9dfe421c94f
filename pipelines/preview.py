"""What would happen to a file: read and judged as the pipeline does, with nothing staged, published or written down."""

from dataclasses import dataclass, field, replace
from datetime import date
from typing import assert_never

import pyarrow as pa

from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import reading_schema
from pipelines.intake.routing import BadKey, Outside, Routed, Unrouted, bad_key_violation, route
from pipelines.publication.partitioning import Partitioner, PartitionKey, partition_path
from pipelines.reading.summary import Accepted, ChunkSource, Empty, FileReader, ReadRequest, Rejected, judge
from pipelines.reports import FileEnding, FileReport

__all__ = ["preview"]


@dataclass(slots=True)
class _Tally:
    """A sink that counts the partitions rows would go to, and keeps none of them."""

    partitioner: Partitioner
    keys: set[PartitionKey] = field(default_factory=set[PartitionKey])

    def write(self, batch: pa.RecordBatch) -> None:
        if self.partitioner.fields:
            self.keys.update(self.partitioner.keys(batch))

    def restart(self) -> None:
        self.keys.clear()

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(sorted(partition_path(self.partitioner.fields, key) for key in self.keys))


def preview(
    reader: FileReader, dataset: Dataset, key: str, size_bytes: int, chunks: ChunkSource, today: date
) -> FileReport:
    """Read and judge one file as if it landed today under `key`; the report says what the pipeline would do."""
    report = FileReport(key, "", size_bytes, FileEnding.LOADED)
    match route(key, (dataset,), today, today):
        case BadKey() as bad:
            return _rejected(
                replace(report, read_complete=False),
                Rejected((bad_key_violation(bad, key),), 1),
            )
        case Unrouted() | Outside():
            raise ValueError(f"{key!r} is not a key of {dataset.name} ({dataset.landing.key})")
        case Routed() as routed:
            request = ReadRequest(dataset, key, size_bytes, routed.key_values)
        case _ as never:
            assert_never(never)
    tally = _Tally(Partitioner(dataset.partition_by, reading_schema(dataset)))
    summary = reader.read(request, chunks, tally)
    report = replace(
        report,
        rows_read=summary.rows_read,
        read_complete=summary.read_complete,
        warnings=summary.warnings,
        partitions=tally.paths,
        seconds=summary.seconds,
    )
    verdict = judge(dataset, summary)
    match verdict:
        case Accepted():
            return replace(report, rows_loaded=verdict.rows)
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
