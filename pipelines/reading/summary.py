"""What reading one file came to: the request that goes to the reader, the summary that comes back, and the verdict."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, assert_never

import pyarrow as pa

from pipelines.contracts.model import Dataset, KeyValue, OnEmpty
from pipelines.reading.violations import Violation

__all__ = [
    "Accepted",
    "ChunkSource",
    "Empty",
    "FileReader",
    "ReadRequest",
    "ReadSummary",
    "Rejected",
    "RowSink",
    "Verdict",
    "judge",
]

ChunkSource = Callable[[], Iterable[bytes]]
"""Opens the file's bytes anew each time it is called: a reader that died is given the file once more, from the start."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One file to read: under which contract, and what its key already said.

    `key_values` holds the typed values of columns with `from: key`. `size_bytes` is what the event said, if it did: an object over the limit is then refused without reading it.
    `delimiter` is the one pinned for a dataset whose contract leaves it to the files; None tells it from this one.
    `traceparent` (W3C Trace Context) is the place in a trace that the reading is below; without one, it does not say when it did what.
    `landed_at` (aware, UTC) is the moment that rules about the future measure by: a verdict is the same whenever it is reached.
    """

    dataset: Dataset
    size_bytes: int | None
    key_values: Mapping[str, KeyValue]
    landed_at: datetime | None = None
    delimiter: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class ReadSummary:
    """What the reader saw in one file.

    `rows_read` counts the records read, until the fault when `read_complete` is False. `rows_bad` counts distinct rows
    with at least one violation. `violations` is sorted by first line, at most MAX_VIOLATIONS; `violations_total`
    counts all breaches, and `violations_of_rows` those among them that reject their row and not the file. `warnings` are breaches of expectations with severity `warn`: they never reject.
    `null_counts` is per table column, over all rows read. `likely_causes` are sentences about what lies behind the violations,
    each with its evidence, the likeliest first. `delimiter` is what was read with where the contract
    leaves it to the files: told from this file with a score (`delimiters.py`), or pinned, without one; None where none is told. `rescued` counts the values that went to `_rescued`, by the column's name in the file.
    `new_columns` (the file's name to the table's) and `wider_types` (by column) are what the table lacks to hold the file, where the contract lets it
    grow: the file was judged, but not all of its rows were given to the sink.
    """

    rows_read: int
    rows_bad: int
    read_complete: bool
    violations: tuple[Violation, ...]
    violations_total: int
    warnings: tuple[Violation, ...]
    compressed_bytes: int
    content_bytes: int
    compression: str | None
    source_columns: tuple[str, ...]
    null_counts: Mapping[str, int]
    seconds: float
    likely_causes: tuple[str, ...] = field(default=())
    delimiter: str | None = None
    delimiter_score: float | None = None
    rescued: Mapping[str, int] = field(default_factory=dict[str, int])
    violations_of_rows: int = 0
    new_columns: Mapping[str, str] = field(default_factory=dict[str, str])
    wider_types: Mapping[str, str] = field(default_factory=dict[str, str])
    moments: tuple[float, ...] = ()
    """Where a trace asks: when a reading process began, had the first bytes, had all of them, and was done; seconds since 1970."""

    @property
    def changes_table(self) -> bool:
        """Whether the table has to change before the file can be loaded: it is read again then."""
        return bool(self.new_columns or self.wider_types)


class RowSink(Protocol):
    """Where the reader puts rows of the table's schema, in file order, before the verdict is known."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Take one record batch; its columns are `reading_schema(dataset)`."""
        ...

    def reject(self, batch: pa.RecordBatch) -> None:
        """Take rows that are rejected one by one (`REJECTED_READING`); only from files of a dataset that quarantines rows."""
        ...

    def restart(self) -> None:
        """Forget every batch of this file: the attempt that sent them died, and the file is read again from its start."""
        ...


class FileReader(Protocol):
    """Reads one file of untrusted bytes: in this process for tests, in a limited child process for work."""

    def read(self, request: ReadRequest, chunks: ChunkSource, sink: RowSink) -> ReadSummary:
        """Read all that `chunks()` yields; rows go to `sink`, faults into the summary.

        Bad input never raises. Rows given to the sink count only if the verdict on the summary accepts the file.
        After the first violation that rejects the file nothing more is written to the sink.
        Raises whatever opening or iterating the chunks, or the sink, raises.
        """
        ...


@dataclass(frozen=True, slots=True)
class Accepted:
    """The file's good rows, all but the `rejected` ones, may be published; `violations` are what is wrong with those."""

    rows: int
    rejected: int = 0
    violations: tuple[Violation, ...] = ()
    violations_total: int = 0


@dataclass(frozen=True, slots=True)
class Rejected:
    """No row of the file may be published."""

    violations: tuple[Violation, ...]
    violations_total: int


@dataclass(frozen=True, slots=True)
class Empty:
    """The file holds no row: zero bytes, a header only, `[]`."""


Verdict = Accepted | Rejected | Empty


def judge(dataset: Dataset, summary: ReadSummary) -> Verdict:
    """Decide what a file is worth, from its summary alone: never from what arrived before or after it."""
    if summary.violations_total > summary.violations_of_rows or not summary.read_complete:
        return Rejected(summary.violations, summary.violations_total)
    if summary.rows_read == 0:
        match dataset.on_empty:
            case OnEmpty.KEEP:
                return Empty()
            case OnEmpty.ACCEPT:
                return Accepted(0)
            case _ as never:
                assert_never(never)
    return Accepted(
        summary.rows_read - summary.rows_bad, summary.rows_bad, summary.violations, summary.violations_total
    )
