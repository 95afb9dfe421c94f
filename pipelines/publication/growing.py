"""The table of a batch whose files may ask for more than it has: columns to add, types to widen.

A file that does is judged whole, and nothing of it is kept. When every file of the batch was judged, the table changes to what the
accepted ones ask for, and these are read again into a staging of their own; what the others staged before stays as it is,
because Iceberg reads data files of every earlier schema. A crash in between leaves a table with columns that hold null,
or with a wider type: the next attempt finds nothing left to ask for.
"""

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from pipelines.contracts.evolution import evolved, extended, is_wider, type_text
from pipelines.contracts.model import CsvFormat, Dataset
from pipelines.contracts.schema import arrow_type, table_schema
from pipelines.ports import Tables
from pipelines.publication.staged import StagedFile
from pipelines.publication.staging import Staging
from pipelines.reading.collector import Collector
from pipelines.reading.limits import limits_of
from pipelines.reading.summary import ReadSummary
from pipelines.reading.violations import Rule, Sample, Violation

__all__ = ["MAX_GROWTHS", "GrowingTable"]

MAX_GROWTHS = 3
"""How often a table may grow for one batch. Once is enough, unless other workers let it grow at the same time."""


@lru_cache(maxsize=64)
def _one_for_all(content: str) -> Dataset:
    """The same object for the same content: readers compile a dataset once, and a table that has grown stays as it is for long."""
    return Dataset.model_validate_json(content)


class GrowingTable:
    """What one attempt at a batch stages for its table, and the dataset as the table has it. A context manager that cleans up.

    `dataset` and `staging` are what to read the next file with. `columns_added` (the table's name: the file's) and `types_widened`
    (column: the type before and after) are what this attempt asked of the table.
    """

    def __init__(
        self, tables: Tables, contract: Dataset, batch_id: str, epoch: int, scratch_dir: Path, ingested_at: datetime
    ) -> None:
        self.dataset = contract
        self.columns_added: dict[str, str] = {}
        self.types_widened: dict[str, tuple[str, str]] = {}
        self._tables = tables
        self._contract = contract
        self._batch = (batch_id, epoch, scratch_dir, ingested_at)
        self._numbers = itertools.count()
        self._there: pa.Schema | None = None
        self._stagings: list[Staging] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Look at the table and open the first staging."""
        with ExitStack() as closing:
            closing.push(self._open)
            self._look()
            self._stage()
            closing.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every staging."""
        self._open.close()

    @property
    def staging(self) -> Staging:
        """The staging for the next file."""
        return self._stagings[-1]

    def finish(self) -> tuple[StagedFile, ...]:
        """Write out all accepted rows and return the batch's data files; repeatable."""
        return tuple(file for staging in self._stagings for file in staging.finish())

    def refusals(self, summary: ReadSummary) -> tuple[Violation, ...]:
        """What is wrong with a file that would add columns under names which the table has given to others."""
        if self._there is None or not summary.new_columns:
            return ()
        known = table_schema(self.dataset).names
        taken = {one.name: one for one in self._there if one.name not in known}
        is_csv = isinstance(self.dataset.format, CsvFormat)
        collector = Collector()
        for source, name in summary.new_columns.items():
            if name in taken:
                rule = Rule.HEADER_DUPLICATE if is_csv else Rule.JSON_DUPLICATE_KEY
                expected = (
                    f"a name of its own: it would become {name}, and so is a column of the table ({type_text(taken[name].type)}) "
                    "that is not in the contract; take that back into the contract, or rename this one there with `source`"
                )
                collector.add(rule, source, [Sample(1 if is_csv else None, None, source)], expected)
        return collector.violations()

    def grow(self, asked: Sequence[ReadSummary]) -> None:
        """Change the table to hold what these files ask for, and go on with a new staging.

        Columns beyond `limits.columns` are left out: the files that ask for them are refused when they are read again.
        Raises TableMismatchError when another worker made the table another one, CommitConflictError when it kept changing.
        """
        self._stagings[-1].finish()
        before = self.dataset
        self._look()
        limit = limits_of(self.dataset).columns
        new: dict[str, str] = {}
        wider: dict[str, str] = {}
        for summary in asked:
            for source, name in summary.new_columns.items():
                taken = name in self.dataset.columns or name in new.values()
                if not taken and len(self.dataset.columns) + len(new) < limit:
                    new[source] = name
            for name, kind in summary.wider_types.items():
                if self._is_wider(name, kind, wider):
                    wider[name] = kind
        self._tables.ensure(extended(self.dataset, new, wider))
        self._look()
        self._note(before)
        self._stage()

    def _is_wider(self, name: str, kind: str, wider: dict[str, str]) -> bool:
        present = extended(self.dataset, {}, {name: wider[name]} if name in wider else {}).columns[name]
        asked = extended(self.dataset, {}, {name: kind}).columns[name]
        return is_wider(arrow_type(asked), arrow_type(present))

    def _look(self) -> None:
        policy = self._contract.schema_
        if policy.new_columns == "add" or policy.widens:
            self._there = self._tables.columns(self._contract)
            grown = evolved(self._contract, self._there)
            self.dataset = grown if grown is self._contract else _one_for_all(grown.model_dump_json(by_alias=True))

    def _note(self, before: Dataset) -> None:
        for name, column in self.dataset.columns.items():
            old = before.columns.get(name)
            if old is None:
                self.columns_added[name] = column.source or name
            elif old.type != column.type:
                first = self.types_widened.get(name, (old.type, ""))[0]
                self.types_widened[name] = (first, column.type)

    def _stage(self) -> None:
        batch_id, epoch, scratch_dir, ingested_at = self._batch
        schema = self._tables.file_schema(self.dataset)
        staging = Staging(self.dataset, batch_id, epoch, scratch_dir, ingested_at, schema=schema, numbers=self._numbers)
        self._stagings.append(self._open.enter_context(staging))
