"""Staging: the rows of one batch's accepted files become Parquet files on local disk, in bounded memory.

The rule this module exists for: rows of a file whose verdict is not known never reach a Parquet file that another
file's rows are in. A small file waits in memory and joins the partitions' shared files once it is accepted (so that a
thousand small files make one Parquet file a partition, not a thousand); a large one gets Parquet files of its own, kept
or deleted with its verdict.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import reading_schema
from pipelines.ports import SourceVersion
from pipelines.publication.buffers import EncoderPool, PartitionBuffers, Piece, StagedLayout
from pipelines.publication.parquet_writer import file_schema
from pipelines.publication.partitioning import Partitioner, PartitionKey, partition_path
from pipelines.publication.staged import StagedFile

__all__ = [
    "DEFAULT_BUDGET_BYTES",
    "DEFAULT_FILE_BYTES",
    "FileStage",
    "Staging",
]

DEFAULT_BUDGET_BYTES = 64 << 20
DEFAULT_FILE_BYTES = 256 << 20
_SPILL_BYTES = 32 << 20
_GATHER_BYTES = 8 << 20


class Staging:
    """The staged files of one batch in one attempt (`epoch`). Used by one thread; a context manager that cleans up.

    `ingested_at` is aware UTC. `schema` is the table's data file schema with the catalog's field ids
    (`Tables.file_schema`); by default that of a new table. `budget_bytes` bounds the Arrow memory of all rows on their
    way, whatever the size of the files and the number of partitions. `numbers` number the data files, where stagings of one
    batch and epoch share them. Files stay on disk until `close`.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_id: str,
        epoch: int,
        scratch_dir: Path,
        ingested_at: datetime,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        *,
        schema: pa.Schema | None = None,
        file_bytes: int = DEFAULT_FILE_BYTES,
        encoders: int = 2,
        numbers: "Iterator[int] | None" = None,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,120}", batch_id):
            raise ValueError(f"{batch_id!r} cannot be a batch id: it becomes part of file names")
        self.batch_id = batch_id
        self.reading_schema = reading_schema(dataset)
        self.partitioner = Partitioner(dataset.partition_by, self.reading_schema)
        self.layout = StagedLayout(
            schema=schema or file_schema(dataset),
            fields=dataset.partition_by,
            batch_id=batch_id,
            epoch=epoch,
            ingested_at=ingested_at,
            scratch_dir=scratch_dir,
            file_bytes=file_bytes,
            numbers=numbers or itertools.count(),
        )
        self.pool = EncoderPool(self.layout, budget_bytes, encoders)
        self.spill_bytes = min(_SPILL_BYTES, budget_bytes // 2)
        self.gather_bytes = min(_GATHER_BYTES, budget_bytes // 8)
        self.shared = PartitionBuffers(self.pool)
        self.pending: set[FileStage] = set()
        """Stages whose verdict has not come."""
        self._waiting: list[tuple[pa.RecordBatch, int]] = []
        self._waiting_bytes = 0
        self._own_files: list[StagedFile] = []
        self._finished: tuple[StagedFile, ...] | None = None

    def open_file(self, source: SourceVersion) -> "FileStage":
        """The stage of one file of the batch: the reader's sink until its verdict is known."""
        stage = FileStage(self, source)
        self.pending.add(stage)
        return stage

    def share(self, batches: list[pa.RecordBatch], source: int, size: int) -> None:
        """Put an accepted file's rows, `size` bytes that are held already, into the files that all share; empties the list.

        Small files are gathered first and split into partitions together: splitting each would cost more than reading it.
        """
        if size >= self.gather_bytes:
            batches.reverse()
            while batches:
                batch = batches.pop()
                self.pool.held_bytes -= batch.nbytes
                for key, rows in self.partitioner.split(batch):
                    self.shared.add(key, Piece(rows, source))
            return
        self._waiting += [(batch, source) for batch in batches if batch.num_rows]
        self._waiting_bytes += size
        if self._waiting_bytes >= self.gather_bytes:
            self._share_waiting()

    def _share_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        self.pool.held_bytes -= self._waiting_bytes
        self._waiting_bytes = 0
        if not waiting:
            return
        lengths = [batch.num_rows for batch, _ in waiting]
        codes = np.repeat(np.array([source for _, source in waiting], dtype=np.int32), lengths)
        gathered = pa.concat_batches([batch for batch, _ in waiting])
        for key, rows in self.partitioner.split(gathered.append_column("source", pa.array(codes))):
            self.shared.add(key, Piece(rows, None))

    def keep(self, files: Sequence[StagedFile]) -> None:
        """Take over the files a large file wrote for itself."""
        self._own_files += files

    def finish(self) -> tuple[StagedFile, ...]:
        """Write out all accepted rows and return the batch's data files; repeatable.

        Raises ValueError while a file waits for its verdict.
        """
        if self.pending:
            raise ValueError(f"{len(self.pending)} files of the batch {self.batch_id} have no verdict yet")
        if self._finished is None:
            self._share_waiting()
            self._finished = (*self._own_files, *self.shared.finish())
        return self._finished

    def close(self) -> None:
        """Stop the encoders and delete what is on disk. The caller has uploaded what it needs."""
        try:
            for stage in tuple(self.pending):
                stage.discard()
            self.shared.abandon()
        finally:
            self._waiting = []
            self.pool.close()
            for staged in self._finished or self._own_files:
                staged.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Enter; `close` on leaving."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


class FileStage:
    """Rows of one file, verdict pending. Ends with `accept` or `discard`; either may come only once."""

    def __init__(self, staging: Staging, source: SourceVersion) -> None:
        self._staging = staging
        self._source = len(staging.layout.sources)
        staging.layout.sources.append(source)
        self._reset()

    def _reset(self) -> None:
        self.rows = 0
        """Rows written since the last restart."""
        self._batches: list[pa.RecordBatch] = []
        self._held = 0
        self._own: PartitionBuffers | None = None
        self._partitions: set[PartitionKey] = set()

    @property
    def partitions(self) -> int:
        """How many table partitions the file touches."""
        return len(self._partitions)

    @property
    def partition_paths(self) -> tuple[str, ...]:
        """The partitions the file touches, as paths (`flight_date=2013-01-01`), sorted; empty for an unpartitioned table."""
        fields = self._staging.partitioner.fields
        return tuple(sorted(partition_path(fields, key) for key in self._partitions)) if fields else ()

    def write(self, batch: pa.RecordBatch) -> None:
        """Take rows in `reading_schema(dataset)`; they are copied where they share memory with others.

        Raises ValueError for another schema, and for a null in a partition column.
        """
        staging = self._staging
        if self not in staging.pending:
            raise ValueError("this file's verdict was given: no more rows")
        if not batch.schema.equals(staging.reading_schema):
            raise ValueError(f"rows with another schema than the contract's:\n{batch.schema}")
        self.rows += batch.num_rows
        self._partitions.update(staging.partitioner.keys(batch))
        if self._own is None:
            self._hold(batch)
        else:
            self._split(batch, self._own)

    __call__ = write

    def restart(self) -> None:
        """Forget everything written so far: the reader died and begins again."""
        self._drop_rows()
        self._reset()

    def accept(self) -> None:
        """The verdict is good: the rows belong to the batch."""
        self._end()
        if self._own is not None:
            self._staging.keep(self._own.finish())
            return
        batches, self._batches = self._batches, []
        size, self._held = self._held, 0
        self._staging.share(batches, self._source, size)

    def discard(self) -> None:
        """The verdict is bad: nothing of the file stays."""
        self._end()
        self._drop_rows()

    def _end(self) -> None:
        if self not in self._staging.pending:
            raise ValueError("this file's verdict was given already")
        self._staging.pending.remove(self)

    def _hold(self, batch: pa.RecordBatch) -> None:
        alone = _alone(batch)
        self._batches.append(alone)
        self._held += alone.nbytes
        self._staging.pool.held_bytes += alone.nbytes
        if self._held > self._staging.spill_bytes:
            self._spill()
        else:
            self._staging.pool.make_room()

    def _spill(self) -> None:
        """The file is too large to wait in memory: from here on it has Parquet files of its own."""
        self._own = PartitionBuffers(self._staging.pool)
        self._batches.reverse()
        while self._batches:
            # One at a time, each let go before the next: the copies must not come on top of all the originals.
            batch = self._batches.pop()
            self._held -= batch.nbytes
            self._staging.pool.held_bytes -= batch.nbytes
            self._split(batch, self._own)

    def _split(self, batch: pa.RecordBatch, buffers: PartitionBuffers) -> None:
        for key, rows in self._staging.partitioner.split(batch):
            buffers.add(key, Piece(_alone(rows), self._source))

    def _drop_rows(self) -> None:
        self._staging.pool.held_bytes -= self._held
        self._held = 0
        self._batches = []
        if self._own is not None:
            self._own.abandon()
            self._own = None


def _alone(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows in memory of their own: a slice would keep all of its parent alive."""
    if rows.get_total_buffer_size() <= 2 * rows.nbytes + 4096:
        return rows
    return rows.take(pa.array(np.arange(rows.num_rows)))
