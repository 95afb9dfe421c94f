"""Judges blocks of rows: converts them, applies every rule, collects breaches with their places, emits what is clean.

Both formats end here: what a cell means and which rules it breaks is decided once, for CSV and JSON alike. The plan of a
dataset (converters, compiled rules, schema) is built once and used for every file.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.contracts.evolution import extended
from pipelines.contracts.json_paths import path_text
from pipelines.contracts.model import Dataset, KeyValue
from pipelines.contracts.nested_types import NESTED
from pipelines.contracts.schema import RESCUED, SOURCE_LINE, reading_schema
from pipelines.reading.collector import REJECT, REJECT_ROW, Collector
from pipelines.reading.conversion import Converter, Misfits
from pipelines.reading.evidence import Evidence
from pipelines.reading.expectations import FileExpectations, NativeExpectations
from pipelines.reading.file_keys import FileKeys
from pipelines.reading.limits import Limits, limits_of
from pipelines.reading.partitions import PartitionCount
from pipelines.reading.rejects import RowFaults, RowRejects
from pipelines.reading.rescue import NEW_COLUMN, Rescued, RescuedCounts, json_text
from pipelines.reading.row_blocks import Cells, InnerBreach, RowBlock
from pipelines.reading.row_rules import Landed, RowRules
from pipelines.reading.rules import Breach, ColumnRules, typed_value
from pipelines.reading.values import Misfit, describe
from pipelines.reading.violations import Rule, Sample
from pipelines.reading.weaving import JudgedRows, woven
from pipelines.reading.widening import widenings, widest_columns

__all__ = ["Plan", "RowJudge", "RowOut"]

_MAX_BAD_LINES = 1_000_000


class Plan:
    """All that a dataset's contract says about reading, compiled. Build once a dataset."""

    def __init__(self, dataset: Dataset) -> None:
        """Compile. Raises ConfigurationError when the contract cannot be compiled."""
        self.dataset = dataset
        self.limits: Limits = limits_of(dataset)
        self.schema: pa.Schema = reading_schema(dataset)
        self.nullable_schema: pa.Schema = pa.schema([f.with_nullable(True) for f in self.schema])
        flat = {n: column for n, column in dataset.columns.items() if column.kind not in NESTED}
        self.converters = {name: Converter(column, self.limits) for name, column in flat.items()}
        widest = {**dataset.columns, **widest_columns(dataset)}
        self.expected = {name: describe(column) for name, column in widest.items()}
        self.rules = {name: ColumnRules(dataset, name) for name in dataset.columns}
        self.expectations = NativeExpectations(dataset)
        self.row_rules = RowRules(dataset)
        rescue = dataset.schema_.rescues_values
        # A value that is no value of its column goes to `_rescued`, where the column may hold null instead.
        self.rescuable = frozenset(n for n, rules in self.rules.items() if rescue and rules.required_rule is None)
        self.wider = widenings(dataset)
        self._widened: dict[tuple[tuple[str, str], ...], Plan] = {}
        # What the CSV reader has worked out about a header without a fault, for the next file that begins with the same bytes.
        self.headers: dict[bytes, tuple[tuple[str, ...], Any]] = {}

    def widened(self, types: Mapping[str, str]) -> "Plan":
        """The plan of the same dataset with some columns of wider types."""
        key = tuple(sorted(types.items()))
        plan = self._widened.get(key)
        if plan is None:
            plan = self._widened[key] = Plan(extended(self.dataset, {}, types))
        return plan


class RowOut(Protocol):
    """Takes the batches of clean rows."""

    def __call__(self, batch: pa.RecordBatch) -> None:
        """Take one batch of the reading schema."""
        ...


class RowJudge:
    """The rows of one file, block by block, in file order."""

    def __init__(
        self,
        plan: Plan,
        key_values: Mapping[str, KeyValue],
        collector: Collector,
        out: RowOut,
        landed_at: datetime | None = None,
        rejects: RowRejects | None = None,
    ) -> None:
        """Judge for one file whose key gave `key_values` and which landed at `landed_at`.

        A value of the key that does not fit its column is a KEY_VALUE breach. Bad rows go to `rejects` where it is active.
        """
        self._plan = self._contract = plan
        self.wider_types: dict[str, str] = {}
        self.held = False
        """Whether the table has to change before rows of this file can go out: the rest of it is only judged."""
        self._collector = collector
        self._out = out
        self._rejects = rejects if rejects is not None and rejects.active else None
        self._faults = RowFaults()
        self._noticed: list[tuple[Breach, Callable[[int], str], Callable[[int], tuple[int, int | None]] | None]] = []
        self.rows_read = 0
        self.rows_bad = 0
        self.null_counts: dict[str, int] = dict.fromkeys(plan.dataset.columns, 0)
        self.bad_lines: set[int] = set()
        self.rescued = RescuedCounts()
        self.evidence = Evidence()
        self._key_scalars = self._key(key_values)
        self._keys = FileKeys(plan.dataset)
        self._partitions = (
            PartitionCount(plan.dataset, plan.schema, plan.limits.partitions) if plan.dataset.partition_by else None
        )
        self._expectations = FileExpectations(plan.expectations)
        self._landed = Landed.of(landed_at)
        self._misfits = defaultdict[str, list[int]](list)  # the rows of the block at hand whose cell is no value

    def _key(self, key_values: Mapping[str, KeyValue]) -> dict[str, pa.Scalar]:
        scalars: dict[str, pa.Scalar] = {}
        for name in self._plan.dataset.key_columns:
            column = self._plan.dataset.columns[name]
            null = pa.scalar(None, self._plan.schema.field(name).type)
            raw = key_values.get(name)
            value = null if raw is None else typed_value(column, raw)
            if isinstance(value, Misfit):
                self._key_breach(name, str(raw), self._plan.expected[name])
                value = null
            texts = pa.array([None if raw is None else str(raw)], pa.string())
            for breach in self._plan.rules[name].check(texts, pa.array([value.as_py()], value.type)):
                if breach.rule not in (Rule.NULL, Rule.PARTITION_NULL) or raw is None:
                    self._key_breach(name, "" if raw is None else str(raw), breach.expected)
            scalars[name] = value
        return scalars

    def _key_breach(self, name: str, found: str, expected: str) -> None:
        self._collector.add(Rule.KEY_VALUE, name, [Sample(None, None, found)], expected)

    def judge(self, block: RowBlock, among: RowBlock | None = None) -> npt.NDArray[np.bool_]:
        """Judge one block; returns which of its rows are bad. Clean rows go out unless the file is rejected already, or held.

        `among` are rows that lie among them in the file, and go on in its order.
        """
        judged = self._look_at(block)
        return self._settle(judged if among is None else woven(judged, self._look_at(among)))

    def _look_at(self, block: RowBlock) -> JudgedRows:
        """Type and check a block's values; what is wrong is reported, and noted by row."""
        names = self._plan.dataset.columns
        self._faults = block.faults or RowFaults()
        bad = self._faults.mask(block.rows)
        self.rows_read += block.rows
        values: dict[str, pa.Array] = {}
        self._misfits.clear()
        self._noticed = []
        for name in names:
            scalar = self._key_scalars.get(name)
            if scalar is not None:
                values[name] = pa.repeat(scalar, block.rows)
            else:
                values[name] = self._column(name, block, bad)
        for breach in self._expectations.check(values):
            self._report(breach, block, _text_of(values[str(breach.column)]), bad)
        for breach, text_of in self._plan.row_rules.check(values, self._misfits, self._landed):
            self._report(breach, block, text_of, bad)
        for breach, text_of, locate in self._noticed:
            if len(rows := breach.rows[~bad[breach.rows]]):
                self._tell(replace(breach, rows=rows), breach.severity, block, text_of, locate)
        return JudgedRows(block, values, bad, self._faults)

    def _settle(self, judged: JudgedRows) -> npt.NDArray[np.bool_]:
        """Let good rows go on, and bad ones aside."""
        block, values, bad = judged.block, judged.values, judged.bad
        newly_bad = int(bad.sum())
        self.rows_bad += newly_bad
        lines, offsets = block.lines, block.offsets
        if newly_bad and self._rejects is not None:
            self._rejects.take(judged.faults, lambda row: int(block.lines[row]), block.raw)
            # What is not loaded repeats no key and touches no partition.
            good = pa.array(~bad)
            values = {name: column.filter(good) for name, column in values.items()}
            lines, offsets = lines[~bad], None if offsets is None else offsets[~bad]
            rescued = None if block.rescued is None else block.rescued.only(np.flatnonzero(~bad))
            block = replace(block, rows=len(lines), lines=lines, rescued=rescued)
        elif newly_bad and self._keys and len(self.bad_lines) < _MAX_BAD_LINES:
            self.bad_lines.update(block.lines[np.flatnonzero(bad)].tolist())
        self._keys.add(values, lines, offsets)
        if self._partitions is not None and (excess := self._partitions.add(values)):
            row = excess.row if len(lines) == len(bad) else int(np.flatnonzero(~bad)[excess.row])
            sample = Sample(*block.locate(row, None), excess.path, block.raw(row))
            self._collector.add(Rule.PARTITION_COUNT, None, [sample], self._partitions.expected, count=excess.count)
        if block.rescued is not None:
            self.rescued.add(block.rescued.counts)
        if (
            block.rows
            and not self.held
            and not self._collector.rejecting
            and not (self._rejects and self._rejects.hopeless)
        ):
            self._emit(block, values)
        return bad

    def _column(self, name: str, block: RowBlock, bad: npt.NDArray[np.bool_]) -> pa.Array:
        cells = block.cells.get(name)
        if cells is None:  # the file lacks the column, which has been judged already
            self.null_counts[name] += block.rows
            return pa.nulls(block.rows, self._plan.schema.field(name).type)
        values = cells.values
        is_refuted = False
        if values is None and cells.late_nulls is not None:
            values = self._plan.converters[name].prove(cells.texts)
            if values is None:
                cells, before = Cells(cells.late_nulls(cells.texts)), cells.texts.null_count
                is_refuted = cells.texts.null_count == before
        text_of = cells.found_text or _text_of(cells.texts)
        expected = self._plan.expected[name]
        if values is None:
            converted = self._plan.converters[name].convert(cells.texts, is_refuted=is_refuted)
            if name in self._plan.wider and self._widen(name, cells.texts, converted.misfits):
                return self._column(name, block, bad)
            values = converted.values
            self._misfits[name].extend(row for rows in converted.misfits.by_kind.values() for row in rows)
            for misfit, rows in converted.misfits.by_kind.items():
                if name in self._plan.rescuable:
                    self._rescue(name, misfit.rule, rows, cells, block)
                    continue
                breach = Breach(misfit.rule, name, np.array(rows, np.int64), expected, misfit.reason)
                self._report(breach, block, text_of, bad)
                self.evidence.misfits(name, self._plan.dataset.columns[name], cells.texts.take(pa.array(breach.rows)))
        on_the_way = [inner.rows for inner in cells.inside if inner.on_the_way]
        misfits = np.sort(np.concatenate([cells.misfits, *on_the_way])) if on_the_way else cells.misfits
        self._misfits[name].extend(misfits.tolist())
        if len(cells.misfits) and name in self._plan.rescuable:
            self._rescue(name, Rule.TYPE, cells.misfits.tolist(), cells, block)
        elif len(cells.misfits):
            self._report(Breach(Rule.TYPE, name, cells.misfits, expected), block, lambda row: cells.found[row], bad)
            self.evidence.column(name, self._plan.dataset.columns[name]).add_json(cells.found.values())
        for inner in cells.inside:
            self._inside(name, inner, block, bad)
        self.null_counts[name] += cells.texts.null_count - len(misfits)
        for breach in self._plan.rules[name].check(cells.texts, values):
            if len(misfits) and breach.rule is self._plan.rules[name].required_rule:
                rows = np.setdiff1d(breach.rows, misfits, assume_unique=True)
                if not len(rows):
                    continue
                breach = Breach(breach.rule, breach.column, rows, breach.expected)
            self._report(breach, block, text_of, bad)
        return values

    def _widen(self, name: str, texts: pa.Array, misfits: Misfits) -> bool:
        """Whether a wider type holds some of a column's misfits: from here on it is judged as one of that type."""
        rows = sorted(r for misfit, rows in misfits.by_kind.items() if misfit.rule is Rule.NUMBER_RANGE for r in rows)
        wider = self._plan.wider[name].needed(texts.take(pa.array(rows, pa.int64()))) if rows else None
        if wider is None:
            return False
        self.wider_types[name] = wider
        self.held = True
        self._plan = self._contract.widened(self.wider_types)
        self._expectations.compile_again(self._plan.expectations)
        return True

    def _rescue(self, name: str, rule: Rule, rows: Sequence[int], cells: Cells, block: RowBlock) -> None:
        """Keep cells in `_rescued` that are no value of their column, which holds null in their place."""
        if block.rescued is None:
            block.rescued = Rescued(block.rows)
        written = cells.written or (lambda row: json_text(cells.texts[row].as_py()))
        by_name: dict[str, list[int]] = {}
        for row in rows:
            by_name.setdefault(block.name_of(row, name), []).append(row)
        for spelling, chosen in by_name.items():
            values = ((row, written(row)) for row in chosen)
            block.rescued.add(spelling, self._plan.dataset.columns[name].type, rule, values)

    def _inside(self, name: str, inner: InnerBreach, block: RowBlock, bad: npt.NDArray[np.bool_]) -> None:
        """Report what is wrong inside cells of a nested column, each at its own place in the file; or rescue it."""
        schema = self._plan.dataset.schema_
        is_new = inner.rule is Rule.COLUMN_UNEXPECTED
        is_kept = schema.rescues_values and inner.wanted is not None
        if inner.on_the_way:
            is_kept = name in self._plan.rescuable
        if is_kept or (is_new and schema.new_columns == "rescue"):
            if block.rescued is None:
                block.rescued = Rescued(block.rows)
            reason = NEW_COLUMN if is_new else inner.rule
            for row, path, value in inner.each():
                root = "$" if inner.on_the_way else block.name_of(row, name)
                block.rescued.add(path_text((root, *path)), inner.wanted, reason, [(row, value)])
            return
        breach = Breach(inner.rule, inner.label, inner.rows, inner.expected, inner.detail)
        place = block.locate_inside
        column = None if inner.on_the_way else name
        locate = None if place is None else lambda row: place(row, column, inner.path(row))
        self._report(breach, block, inner.found, bad, locate)

    def _report(
        self,
        breach: Breach,
        block: RowBlock,
        text_of: Callable[[int], str],
        bad: npt.NDArray[np.bool_],
        locate: Callable[[int], tuple[int, int | None]] | None = None,
    ) -> None:
        severity = self._severity(breach)
        if severity not in ("warn", "block"):
            bad[breach.rows] = True
        elif self._rejects is not None:  # a warning is about rows in the table: which these are is known at the end
            self._noticed.append((breach, text_of, locate))
            return
        if severity == REJECT_ROW:
            self._faults.note(breach.rule, breach.column, breach.rows, breach.expected, text_of, breach.detail)
        self._tell(breach, severity, block, text_of, locate)

    def _tell(
        self,
        breach: Breach,
        severity: str,
        block: RowBlock,
        text_of: Callable[[int], str],
        locate: Callable[[int], tuple[int, int | None]] | None,
    ) -> None:
        room = self._collector.wanted(breach.rule, breach.column, severity, breach.expectation)
        samples = [
            Sample(*(locate(row) if locate else block.locate(row, breach.column)), text_of(row), block.raw(row))
            for row in breach.rows[:room].tolist()
        ]
        self._collector.add(
            breach.rule,
            breach.column,
            samples,
            breach.expected,
            count=len(breach.rows),
            detail=breach.detail,
            severity=severity,
            expectation=breach.expectation,
        )

    def _severity(self, breach: Breach) -> str:
        match breach.severity:
            case "warn" | "block":
                return breach.severity
            case "quarantine_file":
                return REJECT
            case _:
                return self._collector.row_severity

    def _emit(self, block: RowBlock, values: Mapping[str, pa.Array]) -> None:
        columns: list[pa.Array] = []
        for schema_field in self._plan.schema:
            if schema_field.name == SOURCE_LINE:
                columns.append(pa.array(block.lines))
            elif schema_field.name == RESCUED:
                columns.append(pa.nulls(block.rows, pa.string()) if block.rescued is None else block.rescued.column())
            else:
                columns.append(values[schema_field.name])
        self._out(pa.RecordBatch.from_arrays(columns, schema=self._plan.schema))

    def finish(self, rows: int | None) -> None:
        """After the last block: what only the whole file can tell. `rows` are all it has; None when it was not read to its end."""
        count = self._plan.dataset.rows.count
        if count is not None and rows and not count.allows(rows):
            found = f"{rows:,} row{'' if rows == 1 else 's'}"
            self._collector.add(Rule.ROW_COUNT, None, [Sample(None, None, found)], count.words)
        self._expectations.finish(self._collector)
        self.rows_bad += self._keys.finish(self._collector, self.bad_lines)

    def close(self) -> None:
        """Give back what is held on disk."""
        self._keys.close()


def _text_of(values: pa.Array) -> Callable[[int], str]:
    def text(row: int) -> str:
        value = values[row].as_py()
        return "" if value is None else str(value)

    return text
