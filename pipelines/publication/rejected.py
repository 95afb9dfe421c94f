"""Rejected rows on their way to the table beside the dataset's own: staged with their file, under its verdict."""

from datetime import date

import pyarrow as pa

from pipelines.contracts.rejected import LANDING_DAY
from pipelines.ports import SourceVersion
from pipelines.publication.staging import FileStage, Staging

__all__ = ["FileSink"]


class FileSink:
    """The reader's sink for one file: good rows to the table's stage, rejected ones to that of the table beside it.

    Both share the file's verdict. Ends with `accept` or `discard`; either may come only once.
    """

    def __init__(self, staging: Staging, beside: Staging | None, source: SourceVersion, landing_day: date) -> None:
        self._good: FileStage = staging.open_file(source)
        self._bad: FileStage | None = None if beside is None else beside.open_file(source)
        self._landing_day = pa.scalar(landing_day, pa.date32())
        self._schema = None if beside is None else beside.reading_schema

    @property
    def rows_rejected(self) -> int:
        """Rejected rows taken since the last restart."""
        return 0 if self._bad is None else self._bad.rows

    @property
    def partition_paths(self) -> tuple[str, ...]:
        """The partitions of the table that the good rows touch, as paths, sorted."""
        return self._good.partition_paths

    def write(self, batch: pa.RecordBatch) -> None:
        """Take good rows. Raises ValueError for another schema than the contract's."""
        self._good.write(batch)

    def reject(self, batch: pa.RecordBatch) -> None:
        """Take rejected rows. Raises ValueError where the dataset rejects none one by one."""
        if self._bad is None or self._schema is None:
            raise ValueError("rejected rows of a dataset in which a bad row rejects its file")
        days = pa.repeat(self._landing_day, batch.num_rows)
        columns = [days if name == LANDING_DAY else batch.column(name) for name in self._schema.names]
        self._bad.write(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def restart(self) -> None:
        """Forget everything: the reader died and begins again."""
        for stage in self._stages():
            stage.restart()

    def accept(self) -> None:
        """The verdict is good: the rows belong to the batch."""
        for stage in self._stages():
            stage.accept()

    def discard(self) -> None:
        """The verdict is bad: nothing of the file stays."""
        for stage in self._stages():
            stage.discard()

    def _stages(self) -> tuple[FileStage, ...]:
        return (self._good,) if self._bad is None else (self._good, self._bad)
