"""Rejected rows on their way to the table beside the dataset's own: staged with their file, under its verdict, then published.

Two tables cannot be committed to at once (`docs/adr/0009`). Rejected rows come first, then the good rows, then the
rejected rows of what was superseded go: whoever dies in between leaves rejected rows too many, never too few, and the next attempt at
the batch puts it right, because what serves is always asked of the dataset's own table.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from pipelines.accounting.entries import Claim, VersionRef
from pipelines.accounting.states import Trigger
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import LANDING_DAY, rejected_dataset
from pipelines.gate import Gate
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import SourceVersion
from pipelines.publication.known import known_versions
from pipelines.publication.publish import AcceptedFile, Published, publish
from pipelines.publication.staged import StagedFile
from pipelines.publication.staging import FileStage, Staging

__all__ = ["FileSink", "RejectedRows"]

_BUDGET_BYTES = 16 << 20


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


class RejectedRows:
    """The table beside a dataset's own, in one attempt at one batch. A context manager that cleans up what was staged."""

    def __init__(
        self, gate: Gate, dataset: Dataset, claim: Claim, scratch_dir: Path, before_commit: Callable[[], None]
    ) -> None:
        """Stage below `scratch_dir`. The table exists: `tables.ensure` has been called for it."""
        self._tables = gate.tables
        self._ledger = gate.ledger
        self._pause = gate.pause
        self._meter = gate.meter
        self._dataset = dataset
        self._claim = claim
        self._before_commit = before_commit
        self.beside = rejected_dataset(dataset)
        folder = scratch_dir / "rejected"
        folder.mkdir()
        self.staging = Staging(
            self.beside,
            claim.batch_id,
            claim.epoch,
            folder,
            gate.clock(),
            _BUDGET_BYTES,
            schema=gate.tables.file_schema(self.beside),
            encoders=1,
        )

    def __enter__(self) -> Self:
        """Enter; what was staged is deleted on leaving."""
        self.staging.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete what was staged."""
        self.staging.__exit__(kind, error, trace)

    def publish(self, accepted: Sequence[AcceptedFile], removed: Collection[VersionRef] = ()) -> Published:
        """Publish the rejected rows of the accepted files, before their good ones; rows of an earlier attempt go.

        `removed` are the members whose rows are to leave the table: they do not count for what serves.
        """
        # An earlier attempt may still be on its way to this table: its commit must not come after ours.
        interrupted = self._claim.epoch > 1 or any(
            entry.attempts > 0 or (entry.facts is None and entry.trigger is not Trigger.EVENT)
            for entry in self._claim.members
        )
        return self._publish("", accepted, self.staging.finish(), None, removed, fence=interrupted)

    def rows(self, sources: Sequence[SourceVersion]) -> dict[SourceVersion, int]:
        """How many rejected rows these versions have in the table now."""
        base = self._tables.current(self.beside)
        return {found.source: found.rows for found in self._tables.find_sources(base, self.beside, sources)}

    def tidy(self, published: Sequence[ObjectVersion], removed: Collection[VersionRef] = ()) -> Published:
        """Take the rejected rows of every version away that does not serve, now that these are in the dataset's own table.

        `removed` are the members whose rows left it.
        """
        return self._publish("-tidy", (), (), published, removed)

    def _publish(
        self,
        suffix: str,
        accepted: Sequence[AcceptedFile],
        staged: Sequence[StagedFile],
        published: Sequence[ObjectVersion] | None,
        removed: Collection[VersionRef],
        *,
        fence: bool = False,
    ) -> Published:
        return publish(
            self._tables,
            self.beside,
            f"{self._claim.batch_id}-{self._claim.epoch}{suffix}",
            accepted,
            staged,
            lambda: known_versions(
                self._ledger,
                self._claim,
                self._claim.members,
                published,
                removed=removed,
                retracts=self._dataset.retracts,
            ),
            properties={"lakegate.run-id": self._claim.owner},
            before_commit=self._before_commit,
            authority=self._dataset,
            fence=fence,
            pause=self._pause,
            meter=self._meter,
        )
