"""Putting small files of a table together: each partition's in one transaction, or not at all.

    plan        from the table's own list of files, anew each time: whatever a run before did or left undone is seen there
    rewrite     the files' rows are read, sorted, and written to local disk; nothing is visible
    verify      what was written is read again: as many rows, and the same ones, or nothing is committed
    commit      the files take the place of the small ones, in one snapshot, if every one of those is still there

Ingestion comes first. Where it commits meanwhile, the same files are offered to the table's new state; where it took rows out of a file that
was read, what was written from it is thrown away, and the next run starts from what is there then. A reader keeps the state it began with.
What a run that died had uploaded nobody refers to: the search for orphans finds it.
"""

import random
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.contracts.model import Dataset
from pipelines.errors import PermanentError, TransientError
from pipelines.gate import Gate
from pipelines.ports import Committed, Conflict, FilesGone, Rewrite, RewrittenFile, TableFile
from pipelines.publication.compaction import (
    GROUP_BYTES,
    RUN_BYTES,
    CompactionPlan,
    files_after,
    group_files,
    plan_compaction,
)
from pipelines.publication.parquet_writer import ROW_GROUP_ROWS, DataFileWriter, choose_encodings
from pipelines.publication.rewriting import all_rows, open_parquet
from pipelines.publication.sorting import SortedRows
from pipelines.row_hashes import hash_rows

__all__ = ["UPLOAD_TO_COMMIT", "CompactionReport", "compact_table", "look_at_table"]

UPLOAD_TO_COMMIT = timedelta(minutes=30)
"""Files that were uploaded longer ago are not committed any more: it must be less than any grace of the search for orphans."""
_MAX_TRIES = 12
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_GROUP_BYTES = 96 << 20
"""Arrow data of a row group, at most, where a million rows are more than that."""


@dataclass(slots=True)
class CompactionReport:
    """What became of a plan. Partitions that `gave_way` had files that ingestion changed meanwhile: they are as ingestion left them."""

    plan: CompactionPlan
    partitions: int = 0
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    rows: int = 0
    gave_way: list[str] = field(default_factory=list[str])

    def sentence(self) -> str:
        """What became of it, in one sentence."""
        gave = f"; {len(self.gave_way):,} gave way to ingestion" if self.gave_way else ""
        if not self.partitions:
            return f"nothing was put together{gave}"
        partitions = "1 partition" if self.partitions == 1 else f"{self.partitions:,} partitions"
        return (
            f"{self.files_before:,} files of {partitions} are {self.files_after:,} now ({self.rows:,} rows, {self.bytes_before:,} bytes before, "
            f"{self.bytes_after:,} now){gave}"
        )


def look_at_table(
    gate: Gate, table: Dataset, *, only: str | None = None, max_bytes: int = RUN_BYTES, group_bytes: int = GROUP_BYTES
) -> CompactionPlan:
    """What compaction would do now. Reads the table's list of files. Raises TransientError, PermanentError: it cannot be read."""
    base = gate.tables.current(table)
    files = gate.tables.table_files(base, table)
    return plan_compaction(
        files, table.compaction, gate.clock(), only=only, max_bytes=max_bytes, group_bytes=group_bytes
    )


def compact_table(
    gate: Gate,
    table: Dataset,
    *,
    only: str | None = None,
    max_bytes: int = RUN_BYTES,
    group_bytes: int = GROUP_BYTES,
    scratch: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> CompactionReport:
    """Put the table's small files together, partition by partition; `tell` is given a line for each.

    Local disk in `scratch` holds one partition's rows at a time, twice. Raises PermanentError when what was written is not what was read
    (nothing of that partition was changed then), TransientError when the table or its files cannot be reached: doing it again does the rest.
    """
    base, now = gate.tables.current(table), gate.clock()
    plan = plan_compaction(
        gate.tables.table_files(base, table),
        table.compaction,
        now,
        only=only,
        max_bytes=max_bytes,
        group_bytes=group_bytes,
    )
    report = CompactionReport(plan)
    if not plan.chosen:
        return report
    groups = group_files(gate.tables.table_files(base, table), plan, table.compaction, now, group_bytes)
    for partition, files in groups.items():
        with tempfile.TemporaryDirectory(prefix="lakegate-compaction-", dir=scratch) as folder:
            _compact(gate, table, partition, files, Path(folder), report, tell)
    return report


def _compact(
    gate: Gate,
    table: Dataset,
    partition: str,
    files: Sequence[TableFile],
    folder: Path,
    report: CompactionReport,
    tell: Callable[[str], None],
) -> None:
    rewrite_id = gate.ledger.new_id()
    columns = gate.tables.columns(table)
    keys = [name for name in table.sorted_by if name in columns.names]
    where = partition or "the table"
    try:
        written = _Rewriting(gate, table, files, columns, keys, folder, rewrite_id).run()
    except TransientError:
        # A file that ingestion replaced may have been removed since: then it gave way. Else it is a fault, and stops the run.
        there = {file.address for file in gate.tables.table_files(gate.tables.current(table), table)}
        if all(file.address in there for file in files):
            raise
        report.gave_way.append(partition)
        tell(f"{table.table}: {where} gave way to ingestion")
        return
    outcome = _commit(gate, table, rewrite_id, files, written)
    if not isinstance(outcome, Committed):
        report.gave_way.append(partition)
        tell(f"{table.table}: {where} gave way to ingestion")
        return
    before, after = sum(file.size_bytes for file in files), sum(file.path.stat().st_size for file in written)
    report.partitions += 1
    report.files_before += len(files)
    report.files_after += len(written)
    report.bytes_before += before
    report.bytes_after += after
    report.rows += sum(file.rows for file in written)
    tell(f"{table.table}: {where}: {len(files):,} files are {len(written):,} now, {before:,} bytes were, {after:,} are")


def _commit(
    gate: Gate, table: Dataset, rewrite_id: str, files: Sequence[TableFile], written: Sequence[RewrittenFile]
) -> Committed | FilesGone | None:
    """Commit on whatever state the table has, as long as the files are in it; None when others kept coming first for too long."""
    replaces = tuple(file.address for file in files)
    began = gate.clock()
    unknown: TransientError | None = None
    for tries in range(_MAX_TRIES):
        if tries:
            gate.pause(random.uniform(0, min(_FIRST_PAUSE_S * 2**tries, _LONGEST_PAUSE_S)))  # noqa: S311  # jitter, no secret
        # The state first, then the clock: what the search for orphans may remove meanwhile was fenced off before (orphans.py).
        base = gate.tables.current(table)
        if gate.clock() - began > UPLOAD_TO_COMMIT:
            return None
        try:
            outcome = gate.tables.rewrite(table, Rewrite(rewrite_id, replaces, tuple(written), base))
        except TransientError as error:
            unknown = error
            continue
        if not isinstance(outcome, Conflict):
            return outcome
        unknown = None
    if unknown is not None:
        raise unknown
    return None


class _Rewriting:
    """One partition's files, from the table to verified files on local disk."""

    def __init__(
        self,
        gate: Gate,
        table: Dataset,
        files: Sequence[TableFile],
        columns: pa.Schema,
        keys: Sequence[str],
        folder: Path,
        rewrite_id: str,
    ) -> None:
        self._gate, self._table, self._files = gate, table, files
        self._columns, self._keys = columns, keys
        self._folder, self._rewrite_id = folder, rewrite_id
        self._read = _Sum()

    def run(self) -> list[RewrittenFile]:
        """Raises PermanentError when what was written is not what was read."""
        rows = sum(file.rows for file in self._files)
        number = files_after(sum(file.size_bytes for file in self._files), self._table.compaction)
        output = _Output(self._folder, self._rewrite_id, self._columns, self._keys, -(-rows // number))
        for piece in self._sorted():
            output.add(piece)
        written = output.close()
        self._verify(rows, written)
        return written

    def _sorted(self) -> Iterable[pa.Table]:
        if not self._keys:
            yield from self._rows()
            return
        sorter = SortedRows(self._keys, self._folder)
        for piece in self._rows():
            sorter.add(piece)
        yield from sorter.rows()

    def _rows(self) -> Iterable[pa.Table]:
        for file in self._files:
            for piece in self._gate.tables.read_file(self._table, file.address, self._columns):
                self._read.add(piece)
                yield piece

    def _verify(self, rows: int, written: Sequence[RewrittenFile]) -> None:
        """Read what was written, and compare."""
        found = _Sum()
        for file in written:
            with open_parquet(file.path) as parquet:
                for piece in all_rows(parquet, self._columns):
                    found.add(piece)
        if (self._read.rows, self._read.hashes) != (rows, found.hashes) or found.rows != rows:
            raise PermanentError(
                f"{self._table.table}: {len(self._files)} files hold {rows:,} rows by the table's books; {self._read.rows:,} were read, and "
                f"{found.rows:,} written ({'the same' if self._read.hashes == found.hashes else 'others'}). Nothing was changed. "
                "A file of the table may be damaged: prove the balance sheet, and keep what is there."
            )


class _Sum:
    """How many rows, and a sum of their hashes that does not depend on their order: one row lost, doubled or changed changes it."""

    def __init__(self) -> None:
        self.rows = 0
        self.hashes = 0

    def add(self, piece: pa.Table) -> None:
        arrays = [column.unify_dictionaries().combine_chunks() for column in piece.columns]
        plain = [a.combine_chunks() if isinstance(a, pa.ChunkedArray) else a for a in arrays]
        total = int(np.add.reduce(hash_rows(plain, piece.num_rows), dtype=np.uint64)) if piece.num_rows else 0
        self.rows += piece.num_rows
        self.hashes = (self.hashes + total) % 2**64


class _Output:
    """Files of so many rows each, in row groups of about a million."""

    def __init__(self, folder: Path, rewrite_id: str, columns: pa.Schema, keys: Sequence[str], file_rows: int) -> None:
        self._folder, self._rewrite_id = folder, rewrite_id
        self._columns, self._keys, self._file_rows = columns, keys, max(file_rows, 1)
        self._writer: DataFileWriter | None = None
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0
        self._written: list[RewrittenFile] = []

    def add(self, piece: pa.Table) -> None:
        """Take rows, in order."""
        while piece.num_rows:
            inside = self._writer.rows if self._writer else 0
            room = min(self._file_rows - inside, ROW_GROUP_ROWS) - self._held_rows
            part, piece = piece.slice(0, room), piece.slice(room)
            self._held.append(part)
            self._held_rows += part.num_rows
            self._held_bytes += part.nbytes
            is_full = inside + self._held_rows >= self._file_rows
            if is_full or self._held_rows >= ROW_GROUP_ROWS or self._held_bytes >= _GROUP_BYTES:
                self._write_group()
            if is_full:
                self._close_file()

    def close(self) -> list[RewrittenFile]:
        """Write what is left; all files."""
        self._write_group()
        self._close_file()
        return self._written

    def _write_group(self) -> None:
        if not self._held:
            return
        rows = pa.concat_tables(self._held).unify_dictionaries().combine_chunks()
        self._held, self._held_rows, self._held_bytes = [], 0, 0
        if self._writer is None:
            path = self._folder / f"{self._rewrite_id}-compacted-{len(self._written)}.parquet"
            self._writer = DataFileWriter(path, self._columns, choose_encodings(rows), self._keys)
        self._writer.write(rows)

    def _close_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._written.append(RewrittenFile(self._writer.path, self._writer.path.name, self._writer.rows))
            self._writer = None
