"""The bytes of simulated files (`good 3 0 #7`: kind, good rows, bad rows, number), and a reader whose verdict is a function of them."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from pipelines.contracts.model import Dataset, OnEmpty
from pipelines.contracts.rejected import REJECTED_READING, bad_row_limit
from pipelines.contracts.schema import reading_schema
from pipelines.reading.summary import ChunkSource, ReadRequest, ReadSummary, RowSink
from pipelines.reading.violations import Rule, Violation

__all__ = ["Judged", "WordReader", "judged"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a file is worth: whether it is accepted, and its good and bad rows. `empty`: it is neither accepted nor wrong."""

    accepted: bool
    empty: bool
    rows: int
    bad: int


def judged(content: str, dataset: Dataset) -> Judged:
    """What these bytes are worth to this dataset."""
    if not content:
        accepted = dataset.on_empty is OnEmpty.ACCEPT
        return Judged(accepted, not accepted, 0, 0)
    kind, rows, bad, _ = content.split()
    accepted = kind == "good" or (kind == "mixed" and bad_row_limit(dataset) is not None)
    return Judged(accepted, False, int(rows) if accepted else 0, int(bad) if accepted else 0)


class WordReader:
    """Reads such files in no time."""

    def read(self, request: ReadRequest, chunks: ChunkSource, sink: RowSink) -> ReadSummary:
        """Read one file."""
        content = b"".join(chunks()).decode()
        worth = judged(content, request.dataset)
        if worth.rows:
            sink.write(_rows(content, range(1, worth.rows + 1), reading_schema(request.dataset)))
        if worth.bad:
            sink.reject(_rejects(content, range(worth.rows + 1, worth.rows + worth.bad + 1)))
        wrong = bool(content) and not worth.accepted
        faults = 1 if wrong else worth.bad
        return ReadSummary(
            rows_read=worth.rows + worth.bad,
            rows_bad=worth.bad,
            read_complete=not wrong,
            violations=(_VIOLATION,) if faults else (),
            violations_total=faults,
            warnings=(),
            compressed_bytes=len(content),
            content_bytes=len(content),
            compression=None,
            source_columns=("content",),
            null_counts={},
            seconds=0.0,
            violations_of_rows=worth.bad,
        )


_VIOLATION = Violation(
    next(iter(Rule)), None, 1, 0, "simulated", "something else", 1, "simulated: found something else than expected"
)


def _rows(content: str, lines: Iterable[int], schema: pa.Schema) -> pa.RecordBatch:
    numbers = list(lines)
    return pa.RecordBatch.from_arrays(
        [pa.array([content] * len(numbers)), pa.array(numbers, pa.int64())], schema=schema
    )


def _rejects(content: str, lines: Iterable[int]) -> pa.RecordBatch:
    numbers = list(lines)
    texts = pa.array([content] * len(numbers), pa.string())
    return pa.RecordBatch.from_arrays([texts, texts, texts, pa.array(numbers, pa.int64())], schema=REJECTED_READING)
