"""Tables whose every new state is held against the truth before anybody sees it."""

from collections import Counter
from collections.abc import Callable, Collection

from lakegate.simulate.engine import Engine
from lakegate.simulate.guards import Guard, GuardedTables
from lakegate.simulate.truth import Truth, Violated
from pipelines.contracts.model import Dataset
from pipelines.ports import Committed, Conflict, FilesGone, Rewrite, TableCommit

__all__ = ["CheckedTables"]


class CheckedTables(GuardedTables):
    """What is found wrong ends the schedule. `dataset` is the one whose files are known to `truth`."""

    def __init__(self, engine: Engine, dataset: Dataset, truth: Truth, without: Collection[Guard]) -> None:
        """Begins empty."""
        super().__init__(engine.clock, without)
        self._engine, self._dataset, self._truth = engine, dataset, truth

    def has(self, dataset: Dataset) -> bool:
        """Whether a run has made the table."""
        return dataset.table in self._tables

    def uploaded(self, dataset: Dataset, change: TableCommit) -> Callable[[], Committed | Conflict]:
        """Take the staged files in."""
        publish = super().uploaded(dataset, change)

        def checked() -> Committed | Conflict:
            outcome = publish()
            if isinstance(outcome, Committed):
                self._check(dataset, None)
            return outcome

        return checked

    def rewriting(self, dataset: Dataset, change: Rewrite) -> Callable[[], Committed | Conflict | FilesGone]:
        """Take files in that are to replace others: not a row may change."""
        replace = super().rewriting(dataset, change)

        def checked() -> Committed | Conflict | FilesGone:
            before = self._counted(dataset)
            outcome = replace()
            if isinstance(outcome, Committed):
                self._check(dataset, before)
            return outcome

        return checked

    def _check(self, dataset: Dataset, before: "Counter[str] | None") -> None:
        try:
            if dataset.name == self._dataset.name:
                self._truth.check_commit(self.sources(dataset))
            if before is not None and before != self._counted(dataset):
                raise Violated("changed rows", f"files of {dataset.table} were put together, and it has other rows now")
        except Violated as violated:
            self._engine.stop(violated)

    def _counted(self, dataset: Dataset) -> "Counter[str]":
        """Every row with all its columns, as text, and how often it is there."""
        return Counter(map(str, self.rows(dataset).to_pylist()))
