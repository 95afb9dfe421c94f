"""The contract's rules and expectations on the rows that a table has now, day by day, the newest first.

What a run judges while it reads files can be judged again on the rows that are there: the same compiled rules, over the table's
data files, streamed. Only breaches that never reject a row (`warn`, `block`) can be found: the others kept the row out. Each file's
rows are judged by the moment the file landed, and `mostly` within its file, as when it was read.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa

from pipelines.accounting.day_counts import DayCounts
from pipelines.accounting.entries import LedgerEntry
from pipelines.asking import NotLooked
from pipelines.contracts.evolution import evolved, type_text
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import arrow_type
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.ports import SourceVersion, TableSnapshot
from pipelines.publication.publish import source_of
from pipelines.reading.collector import Collector
from pipelines.reading.expectations import FileExpectations, NativeExpectations
from pipelines.reading.row_rules import Landed, RowRules

__all__ = ["DayJudged", "rejudge"]

_AT_ONCE = 1000


@dataclass(slots=True)
class DayJudged:
    """The rows of one landing day. `broken` counts those that do not fit, by the identity of the rule or expectation.

    `kept` are the columns asked for of all its rows; None where they are more than the caller takes.
    """

    landing_day: date
    rows: int = 0
    broken: dict[str, int] = field(default_factory=dict[str, int])
    kept: pa.Table | None = None


def rejudge(
    gate: Gate,
    dataset: Dataset,
    days: Sequence[DayCounts],
    *,
    keep: Sequence[str] = (),
    keep_days: Collection[date] = (),
    keep_rows: int = 0,
) -> Iterator[DayJudged | NotLooked]:
    """Judge the rows that these days have in the table as it is now; `keep` columns of `keep_days` with up to `keep_rows` rows.

    Ends with NotLooked where the table cannot be read, or has other types than the contract. Memory holds one piece of rows, one day's
    ledger entries, and what is kept. Raises TransientError, PermanentError: the ledger cannot be read.
    """
    counted = [day for day in days if day.rows_in_table]
    if not counted:
        return
    try:
        base = gate.tables.current(dataset)
        table = _Table(gate, dataset, base, gate.tables.columns(dataset))
    except LakegateError as error:
        yield NotLooked(" ".join(str(error).split()))
        return
    if table.faults:
        yield NotLooked("; ".join(table.faults) + ": see the check schema_drift")
        return
    for day in sorted(counted, key=lambda day: day.landing_day, reverse=True):
        wanted = keep if day.landing_day in keep_days and day.rows_in_table <= keep_rows else ()
        try:
            yield table.judge(day.landing_day, wanted)
        except LakegateError as error:
            yield NotLooked(" ".join(str(error).split()))
            return


class _Table:
    """A dataset's rules, compiled for the types that its table has."""

    def __init__(self, gate: Gate, contract: Dataset, base: TableSnapshot, there: pa.Schema) -> None:
        self._gate = gate
        self._base = base
        self._dataset = evolved(contract, there)
        self._wanted = {name: arrow_type(column) for name, column in self._dataset.columns.items()}
        self.faults = [
            f"column {name} is {type_text(there.field(name).type)} in the table, the contract says {self._dataset.columns[name].type}"
            for name, kind in self._wanted.items()
            if name in there.names and there.field(name).type != kind and not _castable(there.field(name).type, kind)
        ]
        self._rules = RowRules(self._dataset)
        self._native = NativeExpectations(self._dataset)

    def judge(self, day: date, keep: Sequence[str]) -> DayJudged:
        judged = DayJudged(day)
        entries = {source_of(entry.version): entry for entry in self._serving(day)}
        files: dict[SourceVersion, FileExpectations] = {}
        pieces: list[pa.Table] = []
        for source, piece in self._gate.tables.read_rows(self._base, self._dataset, entries.keys()):
            values = self._values(piece)
            judged.rows += piece.num_rows
            landed = Landed.of(entries[source].version.landed_at)
            for breach, _ in self._rules.check(values, {}, landed):
                _count(judged.broken, breach.expectation, len(breach.rows))
            if self._native.compiled:
                file = files.setdefault(source, FileExpectations(self._native))
                for breach in file.check(values):
                    _count(judged.broken, breach.expectation, len(breach.rows))
            if keep:
                pieces.append(pa.table({name: values[name] for name in keep}))
        for file in files.values():
            collector = Collector()
            file.finish(collector)
            for violation in (*collector.violations(), *collector.warnings()):
                _count(judged.broken, violation.expectation, violation.count)
        if keep:
            empty = pa.schema([(name, self._wanted[name]) for name in keep]).empty_table()
            judged.kept = pa.concat_tables([empty, *pieces])
        return judged

    def _serving(self, day: date) -> Iterator[LedgerEntry]:
        refs = self._gate.ledger.versions_of_days(self._dataset.name, [day])
        for start in range(0, len(refs), _AT_ONCE):
            for entry in self._gate.ledger.entries_of(refs[start : start + _AT_ONCE]):
                if entry.serving and entry.facts is not None and entry.facts.rows_accepted:
                    yield entry

    def _values(self, piece: pa.Table) -> Mapping[str, pa.Array]:
        """The contract's columns of the rows, typed as it says; null where the table has no such column yet."""
        values: dict[str, pa.Array] = {}
        for name, kind in self._wanted.items():
            if name not in piece.column_names:
                values[name] = pa.nulls(piece.num_rows, kind)
                continue
            column = piece.column(name).combine_chunks()
            column = column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
            values[name] = column if column.type == kind else column.cast(kind)
        return values


def _castable(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether the types are the same but for how Arrow keeps them in memory (nested fields' names and flags)."""
    return type_text(found) == type_text(wanted)


def _count(broken: dict[str, int], identity: str | None, number: int) -> None:
    if identity is not None:
        broken[identity] = broken.get(identity, 0) + number
