"""Rows on their way into Parquet: a buffer for each partition, one budget for all, encoders in the background.

When the buffers together come near the budget, the largest is encoded first: that keeps row groups as large as the
memory allows. Parsing (the caller's thread) and encoding (Arrow releases the interpreter lock) overlap.
"""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.contracts.model import PartitionField
from pipelines.contracts.schema import BATCH_ID, INGESTED_AT, SOURCE_FILE, SOURCE_VERSION, provenance_fields
from pipelines.ports import SourceVersion
from pipelines.publication.parquet_writer import DataFileWriter, choose_encodings, dictionary_array, with_dictionaries
from pipelines.publication.partitioning import PartitionKey, partition_mapping, partition_path
from pipelines.publication.staged import StagedFile

__all__ = ["EncoderPool", "PartitionBuffers", "Piece", "StagedLayout"]

MAX_OPEN_FILES = 256
"""Parquet files open at once in one staging; the next partition closes the one that waited longest."""
# The share of the budget at which buffers start to be encoded; the rest is what the encoders hold meanwhile.
_SOFT_SHARE = 0.7


class Piece(NamedTuple):
    """Rows of one partition, in `reading_schema`; with many sources a last column of int32 says whose each row is.

    `source` is the number of the only source, None where there are many; numbers are positions in the layout's `sources`.
    """

    rows: pa.RecordBatch
    source: int | None


@dataclass(frozen=True, slots=True)
class StagedLayout:
    """What all files of one staging have in common. `schema` carries field ids; names begin with `<batch>-<epoch>`."""

    schema: pa.Schema
    fields: tuple[PartitionField, ...]
    batch_id: str
    epoch: int
    ingested_at: datetime
    scratch_dir: Path
    file_bytes: int
    sources: list[SourceVersion] = field(default_factory=list[SourceVersion])
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def next_name(self) -> str:
        """A file name that this batch and epoch have not used."""
        return f"{self.batch_id}-{self.epoch}-{next(self.numbers)}.parquet"

    def to_table(self, pieces: list[Piece]) -> tuple[pa.Table, Mapping[str, int]]:
        """The pieces as rows of the table, provenance added, and the number of rows of each version."""
        width = len(self.schema.names) - len(provenance_fields()) + 1
        rows = pa.Table.from_batches([_without_codes(p.rows, width) for p in pieces])
        codes = np.concatenate([_codes(p, width) for p in pieces])
        numbers, indices = np.unique(codes, return_inverse=True)
        sources = [self.sources[number] for number in numbers.tolist()]
        same = np.zeros(rows.num_rows, dtype=np.int32)
        stamped = pa.scalar(self.ingested_at, pa.timestamp("us", "UTC"))
        added: dict[str, pa.Array] = {
            SOURCE_FILE: dictionary_array(indices, [s.key for s in sources]),
            SOURCE_VERSION: dictionary_array(indices, [s.version_id for s in sources]),
            BATCH_ID: dictionary_array(same, [self.batch_id]),
            INGESTED_AT: pa.repeat(stamped, rows.num_rows),
        }
        schema = with_dictionaries(self.schema)
        table = pa.Table.from_arrays([added[n] if n in added else rows.column(n) for n in schema.names], schema=schema)
        counts: Counter[str] = Counter()
        for source, count in zip(sources, np.bincount(indices).tolist(), strict=True):
            counts[source.version_id] += count
        return table, counts


def _without_codes(rows: pa.RecordBatch, width: int) -> pa.RecordBatch:
    return rows if rows.num_columns == width else rows.remove_column(width)


def _codes(piece: Piece, width: int) -> np.ndarray[Any, Any]:
    if piece.source is not None:
        return np.full(piece.rows.num_rows, piece.source, dtype=np.int32)
    return piece.rows.column(width).to_numpy()


class _Partition:
    """The buffer of one partition, the file open for it, and the files done. An encoder works under `lock`."""

    __slots__ = ("abandoned", "bytes", "counts", "done", "key", "lock", "name", "pieces", "queued", "writer")

    def __init__(self, key: PartitionKey) -> None:
        self.key = key
        self.pieces: list[Piece] = []
        self.bytes = 0
        self.queued: list[list[Piece]] = []
        self.lock = threading.Lock()
        self.writer: DataFileWriter | None = None
        self.name = ""
        self.counts: Counter[str] = Counter()
        self.done: list[StagedFile] = []
        self.abandoned = False


class EncoderPool:
    """The budget and the encoder threads that every buffer of one staging shares. Used by one thread."""

    def __init__(self, layout: StagedLayout, budget_bytes: int, encoders: int = 2) -> None:
        self.layout = layout
        self.budget_bytes = budget_bytes
        self.held_bytes = 0
        """Bytes that callers hold outside the buffers; they count, but only the caller can free them."""
        self._encoders = encoders
        self._executor: ThreadPoolExecutor | None = None
        self._futures: list[Future[None]] = []
        self._filled: set[_Partition] = set()
        self._buffered = 0
        self._changed = threading.Condition()
        self._in_flight = 0
        self._encodings: Mapping[str, str] | None = None
        self._open: dict[_Partition, None] = {}

    @property
    def total_bytes(self) -> int:
        """Arrow bytes in memory now: held, buffered and being encoded."""
        return self.held_bytes + self._buffered + self._in_flight

    def add(self, partition: "_Partition", piece: Piece) -> None:
        """Put rows into a partition's buffer; encodes the largest buffers, and waits, to stay within the budget."""
        size = piece.rows.nbytes
        partition.pieces.append(piece)
        partition.bytes += size
        self._buffered += size
        self._filled.add(partition)
        self.make_room()

    def make_room(self) -> None:
        """Encode the largest buffers until what is in memory fits the budget, or nothing is left to encode."""
        while self._filled and self.held_bytes + self._buffered > self.budget_bytes * _SOFT_SHARE:
            self._submit(max(self._filled, key=lambda p: p.bytes))
        with self._changed:
            while self._in_flight and self.total_bytes > self.budget_bytes:
                self._changed.wait()
        self._raise_failures()

    def flush(self, partitions: list["_Partition"]) -> None:
        """Encode all that is buffered for these partitions, close their files and wait for it."""
        remaining = sum(p.bytes for p in partitions)
        if self._executor is None and remaining < 4 << 20:
            # A few kilobytes: a thread would cost more than the work.
            for partition in partitions:
                self._drop_from_buffered(partition)
                self._encode(partition, [partition.pieces])
                partition.pieces = []
        else:
            for partition in sorted(partitions, key=lambda p: -p.bytes):
                if partition.pieces:
                    self._submit(partition)
            self.wait()
            self._raise_failures()
        for partition in partitions:
            self._close_file(partition)

    def abandon(self, partitions: list["_Partition"]) -> None:
        """Forget these partitions and delete their files."""
        for partition in partitions:
            partition.abandoned = True
            self._drop_from_buffered(partition)
            partition.pieces = []
        self.wait()
        for partition in partitions:
            if partition.writer is not None:
                partition.writer.abandon()
                partition.writer = None
                self._open.pop(partition, None)
            for staged in partition.done:
                staged.path.unlink(missing_ok=True)
            partition.done = []

    def wait(self) -> None:
        """Wait until the encoders are idle."""
        for future in self._futures:
            future.exception()

    def close(self) -> None:
        """Stop the encoder threads."""
        if self._executor is not None:
            self._executor.shutdown(wait=True)
            self._executor = None

    def _drop_from_buffered(self, partition: "_Partition") -> None:
        self._buffered -= partition.bytes
        partition.bytes = 0
        self._filled.discard(partition)

    def _submit(self, partition: "_Partition") -> None:
        size = partition.bytes
        with self._changed:
            self._in_flight += size
        self._drop_from_buffered(partition)
        with self._changed:
            partition.queued.append(partition.pieces)
        partition.pieces = []
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._encoders, thread_name_prefix="encode")
        self._futures = [f for f in self._futures if not f.done() or f.exception()]
        self._futures.append(self._executor.submit(self._encode_queued, partition, size))

    def _encode_queued(self, partition: "_Partition", size: int) -> None:
        try:
            # One encoder at a time for a file; the first to come takes all that waits, in order.
            with partition.lock:
                with self._changed:
                    groups, partition.queued = partition.queued, []
                if not partition.abandoned:
                    self._encode(partition, groups)
        finally:
            with self._changed:
                self._in_flight -= size
                self._changed.notify()

    def _encode(self, partition: "_Partition", groups: list[list[Piece]]) -> None:
        pieces = list(itertools.chain.from_iterable(groups))
        if not pieces:
            return
        table, counts = self.layout.to_table(pieces)
        if self._encodings is None:
            self._encodings = choose_encodings(table)
        if partition.writer is None:
            partition.name = self.layout.next_name()
            path = self.layout.scratch_dir / partition.name
            partition.writer = DataFileWriter(path, self.layout.schema, self._encodings)
            with self._changed:
                self._open[partition] = None
        partition.writer.write(table)
        partition.counts.update(counts)
        if partition.writer.bytes_written >= self.layout.file_bytes:
            self._close_file(partition)
        self._close_idle_files()

    def _close_idle_files(self) -> None:
        with self._changed:
            idle = list(itertools.islice(self._open, max(0, len(self._open) - MAX_OPEN_FILES)))
        for partition in idle:
            if partition.lock.acquire(blocking=False):
                try:
                    self._close_file(partition)
                finally:
                    partition.lock.release()

    def _close_file(self, partition: "_Partition") -> None:
        writer = partition.writer
        if writer is None:
            return
        size = writer.close()
        path = partition_path(self.layout.fields, partition.key)
        partition.done.append(
            StagedFile(
                path=writer.path,
                name=partition.name,
                relative_key=f"{path}/{partition.name}" if path else partition.name,
                partition=partition_mapping(self.layout.fields, partition.key),
                rows=writer.rows,
                size_bytes=size,
                rows_by_source=dict(partition.counts),
                nulls=writer.nulls,
            )
        )
        partition.writer = None
        partition.counts = Counter()
        with self._changed:
            self._open.pop(partition, None)

    def _raise_failures(self) -> None:
        for future in self._futures:
            if future.done() and (error := future.exception()) is not None:
                raise error


class PartitionBuffers:
    """The partitions of one set of files: those all small files share, or those of one large file."""

    def __init__(self, pool: EncoderPool) -> None:
        self._pool = pool
        self._partitions: dict[PartitionKey, _Partition] = {}

    def add(self, key: PartitionKey, piece: Piece) -> None:
        """Put rows into the partition's buffer."""
        partition = self._partitions.get(key)
        if partition is None:
            partition = self._partitions[key] = _Partition(key)
        self._pool.add(partition, piece)

    def finish(self) -> tuple[StagedFile, ...]:
        """Encode what is left and return every file."""
        partitions = list(self._partitions.values())
        self._pool.flush(partitions)
        self._partitions = {}
        return tuple(staged for partition in partitions for staged in partition.done)

    def abandon(self) -> None:
        """Forget all rows and delete all files."""
        self._pool.abandon(list(self._partitions.values()))
        self._partitions = {}
