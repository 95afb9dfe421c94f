"""What a worker tells of a batch, for lineage, and the port it tells it to. With no port nothing is told, and nothing costs.

Telling never waits and never fails: the books are the ledger's, lineage is an account of them for others. It is given what
happened as it is; making an event of it is the adapter's, away from the worker.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pipelines.accounting.entries import BatchRecord, Claim
from pipelines.contracts.evolution import evolved, extended
from pipelines.contracts.model import Dataset
from pipelines.errors import ClaimLostError, LakegateError
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import Clock, Tables
from pipelines.printable import printable
from pipelines.reports import BatchReport

__all__ = ["BatchNews", "Begun", "LineageSink", "Stopped", "tell_abandoned", "telling"]


@dataclass(frozen=True, slots=True)
class Begun:
    """A worker has claimed the batch."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The batch ended without a report: by a fault of ours, or (`abandoned`) because its worker was heard of no more.

    `versions` are the files it had in hand, where that is known. `reason` is one printable line.
    """

    reason: str
    versions: tuple[ObjectVersion, ...] = ()
    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class BatchNews:
    """One thing that happened to a batch. `owner` is the run that works on it, if any.

    `table` is the dataset as its table has it by now: with columns and types that files brought.
    """

    dataset: Dataset
    table: Dataset
    batch: BatchRecord
    owner: str | None
    at: datetime
    what: Begun | BatchReport | Stopped


class LineageSink(Protocol):
    """Where lineage is told."""

    def tell(self, news: BatchNews) -> None:
        """Take the news, to pass it on later. Neither waits nor raises."""
        ...

    def settle(self) -> Sequence[str]:
        """Wait a few seconds for what was told to be passed on; say what was not since the last time, and why."""
        ...


def telling(
    sink: LineageSink | None,
    clock: Clock,
    tables: Tables,
    dataset: Dataset,
    claim: Claim,
    attempt: Callable[[], BatchReport],
) -> BatchReport:
    """Make the attempt at a claimed batch, and tell of its beginning and its end.

    A worker that lost its claim tells of no end: whoever has the batch now does. Raises what the attempt raises.
    """
    if sink is None:
        return attempt()

    def tell(what: Begun | BatchReport | Stopped, table: Dataset = dataset) -> None:
        sink.tell(BatchNews(dataset, table, claim.batch, claim.owner, clock(), what))

    tell(Begun())
    try:
        report = attempt()
    except ClaimLostError:
        raise
    except LakegateError as error:
        versions = tuple(entry.version for entry in claim.members)
        tell(Stopped(f"{type(error).__name__}: {printable(str(error))}", versions))
        raise
    tell(report, _as_in_table(tables, dataset, report))
    return report


def tell_abandoned(
    sink: LineageSink, clock: Clock, datasets: Sequence[Dataset], released: Sequence[tuple[BatchRecord, str]]
) -> None:
    """Tell of batches that were taken from workers nobody hears of any more, each with the reason."""
    by_name = {dataset.name: dataset for dataset in datasets}
    for batch, reason in released:
        if batch.dataset in by_name:
            dataset, stopped = by_name[batch.dataset], Stopped(printable(reason), abandoned=True)
            sink.tell(BatchNews(dataset, dataset, batch, batch.owner, clock(), stopped))


def _as_in_table(tables: Tables, dataset: Dataset, report: BatchReport) -> Dataset:
    if dataset.schema_.new_columns != "add" and not dataset.schema_.widens:
        return dataset
    try:
        return evolved(dataset, tables.columns(dataset))
    except LakegateError:
        # The batch is done: for want of the catalog its lineage shows what this batch itself added.
        return extended(dataset, {source: name for name, source in report.columns_added.items()}, {})
