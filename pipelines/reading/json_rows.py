"""From the objects of JSON records to rows for the judge: where each stands, what it has beside the contract, what breaks it.

Which value is of which column is decided by `json_columns.py`; how records are found and parsed by `json_reader.py`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pipelines.contracts.json_paths import Step
from pipelines.contracts.model import JsonFormat
from pipelines.reading.collector import REJECT, Collector, StopReading, shown
from pipelines.reading.csv_blocks import BLOCK_BYTES, Positions
from pipelines.reading.encoding import Text
from pipelines.reading.json_blocks import JsonBlock
from pipelines.reading.json_columns import JsonColumns, Members, Rows
from pipelines.reading.json_objects import JsonValue, element_positions, value_position, value_positions, written
from pipelines.reading.new_columns import NameFault, NewColumns
from pipelines.reading.raw import RawRecords, raw_text
from pipelines.reading.rejects import RowFaults, RowRejects
from pipelines.reading.row_blocks import RowBlock
from pipelines.reading.rows import Plan, RowJudge
from pipelines.reading.violations import Rule, Sample

__all__ = ["MAX_BROKEN", "JsonRows", "Objects", "Span"]

MAX_BROKEN = 100_000
"""Records that are no rows, behind which a file that is rejected for the first of them is not read on."""

_ARRAYS_REMEMBERED = 4
_NOWHERE: Positions = np.empty(0, np.int64)
_UNKNOWN = NameFault(Rule.COLUMN_UNEXPECTED, "only keys that the contract knows")


class Span(NamedTuple):
    """Which record of its block an object is or lies in, where that begins and ends, and the way to the object inside it."""

    record: int
    start: int
    end: int
    path: tuple[Step, ...] = ()


class Objects:
    """Objects of one block that wait to become rows: each with its place, its span, and the elements of its exploded array, if any."""

    def __init__(self) -> None:
        self.members: list[dict[str, JsonValue]] = []
        self.places: list[int] = []
        self.spans: list[Span] = []
        self.elements: list[list[JsonValue]] = []
        self.rows = 0

    def add(self, members: dict[str, JsonValue], place: int, span: Span, elements: list[JsonValue]) -> None:
        self.members.append(members)
        self.places.append(place)
        self.spans.append(span)
        self.elements.append(elements)
        self.rows += max(len(elements), 1)


class JsonRows:
    """What becomes of a file's records. Use once."""

    def __init__(
        self,
        plan: Plan,
        text: Text,
        collector: Collector,
        judge: RowJudge,
        rejects: RowRejects,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        """Read `text` under the plan's contract. Whole rows go to the judge, broken ones to `rejects`."""
        self._plan = plan
        self._text = text
        self._collector = collector
        self._judge = judge
        self._rejects = rejects
        self._broken_rows = RowFaults()
        self._block_bytes = block_bytes
        self._columns = JsonColumns(plan)
        form = plan.dataset.format
        self._records = form.records_path if isinstance(form, JsonFormat) else None
        self._is_flat = self._records is None and self._columns.explode is None
        self._rescues = plan.dataset.schema_.new_columns == "rescue"
        self._new: NewColumns | None = None
        if plan.dataset.schema_.new_columns == "add":
            self._new = NewColumns(plan.dataset, plan.limits.columns, Rule.JSON_DUPLICATE_KEY, spellings=True)
        self._rows = 0
        self._repeated_bytes = 0
        self._elements_found: dict[tuple[int, int, tuple[Step, ...]], Positions] = {}
        self.rows_broken = 0

    @property
    def new_columns(self) -> Mapping[str, str]:
        """Columns to add to the table: the file's name to the table's."""
        return {} if self._new is None else self._new.names

    @property
    def source_columns(self) -> tuple[str, ...]:
        """The keys seen, sorted; a second spelling of a column that only ever holds null may be missing."""
        return tuple(sorted(self._columns.seen))

    # ---- places ---------------------------------------------------------------------------------------------------

    def _offset(self, block: JsonBlock, position: int) -> int:
        return self._text.bom_bytes + block.byte_offset + position

    def _sample(self, block: JsonBlock, position: int, found: str) -> Sample:
        record = min(int(np.searchsorted(block.ends, position, side="right")), len(block.ends) - 1)
        raw = raw_text(block.content, int(block.starts[record]), int(block.ends[record])).strip()
        return Sample(block.line_of(position), self._offset(block, position), found, raw)

    def _broken(
        self, block: JsonBlock, position: int, rule: Rule, found: str, expected: str, severity: str = REJECT
    ) -> None:
        # Records come in file order, but the blank lines of a block before them: later ones are only counted.
        is_kept = self._collector.keeps(rule, None, self._offset(block, position), severity)
        samples = [self._sample(block, position, found)] if is_kept else []
        self._collector.add(rule, None, samples, expected, count=1, severity=severity)

    @property
    def is_hopeless(self) -> bool:
        """Whether so many records are no rows, in a file that is rejected for one, that reading on says nothing new."""
        return self.rows_broken >= MAX_BROKEN and bool(self._collector.rejecting)

    def _break(self, record: int, rule: Rule, column: str | None, found: str, expected: str) -> None:
        """A record of the block at hand is no row."""
        self.rows_broken += 1
        if self._rejects.active:
            self._broken_rows.note_one(rule, column, record, expected, found)

    # ---- objects to rows ------------------------------------------------------------------------------------------

    def _judge_objects(self, block: JsonBlock, objects: Objects) -> None:
        members = self._columns.pick(objects.members)
        for number, key, name in members.collisions:
            self._collision(block, objects.spans[number], key, name)
        refused = {number for number, _, _ in members.collisions}
        unexpected: dict[int, dict[str, NameFault]] = {}
        for number, extra in () if self._rescues else members.unknown.items():
            unexpected[number] = self._add(extra)
            self._unexpected(block, objects.spans[number], extra, unexpected[number])
        kept = [number for number in range(len(objects.members)) if number not in refused]
        self.rows_broken += len(refused)
        limit = self._plan.limits.decompressed_bytes
        for rows in self._columns.rows(members, objects.elements, kept):
            self._repeated_bytes += rows.repeated_bytes
            if self._repeated_bytes > limit:
                found = Sample(None, None, f"more than {limit:,} bytes, with what exploded rows repeat")
                self._collector.add(Rule.DECOMPRESSED_SIZE, None, [found], f"at most {limit:,} bytes")
                raise StopReading
            self._judge_rows(block, objects, members, rows, unexpected)

    def _judge_rows(
        self,
        block: JsonBlock,
        objects: Objects,
        members: Members,
        rows: Rows,
        unexpected: dict[int, dict[str, NameFault]],
    ) -> None:
        columns, of, explode = self._columns, rows.of, self._columns.explode

        def locate(row: int, column: str | None, inside: tuple[Step, ...] = ()) -> tuple[int, int]:
            span = objects.spans[of[row]]
            steps: tuple[Step, ...] = inside
            if column is not None:
                steps = (*columns.steps(members, rows, row, column), *inside)
            elif not inside and explode is not None and (number := rows.number(row)) is not None:
                steps = (*explode.steps, number)
            position = self._position(block, span, steps) if span.path or steps else None
            place = objects.places[of[row]] if position is None else span.start + position
            return block.line_of(place), self._offset(block, place)

        rescued = columns.rescued(members, rows)
        faults = RowFaults()
        if self._rejects.active and unexpected:
            for row, number in enumerate(of):
                for key, fault in unexpected.get(number, {}).items():
                    found = written(members.unknown[number][key])[:300]
                    faults.note_one(fault.rule, key, row, fault.expected, found)
        starts = np.array([objects.places[number] for number in of], np.int64)
        ends = np.array([objects.spans[number].end for number in of], np.int64)
        places, is_exact = self._places(block, objects, rows, starts)
        lines = block.first_line + np.searchsorted(block.line_ends, places)
        self._rows += len(of)
        self._hand_over(
            RowBlock(
                rows=len(of),
                lines=lines,
                cells=columns.cells(members, rows),
                locate=locate,
                raw=RawRecords(block.content, starts, ends),
                offsets=places + self._offset(block, 0) if is_exact else None,
                rescued=rescued,
                name_of=lambda row, column: columns.name(members, rows, row, column),
                faults=faults,
                locate_inside=locate,
            )
        )

    def _hand_over(self, rows: RowBlock) -> None:
        """Rows are ready to be judged."""
        self._judge.judge(rows)

    def _places(self, block: JsonBlock, objects: Objects, rows: Rows, starts: Positions) -> tuple[Positions, bool]:
        """Where each row starts: its object, or its element where that lies on another line; and whether they are exact."""
        if self._is_flat:
            return starts, True
        explode = self._columns.explode
        places = starts.copy()
        spread: dict[int, tuple[int, Positions]] = {}
        for number in dict.fromkeys(rows.of):
            span = objects.spans[number]
            if np.searchsorted(block.line_ends, span.start) < np.searchsorted(block.line_ends, span.end):
                elements = _NOWHERE if explode is None else self._elements(block, span, (*span.path, *explode.steps))
                spread[number] = self._position(block, span, ()) or 0, elements
        for row, number in enumerate(rows.of) if spread else ():
            if number in spread:
                own, elements = spread[number]
                element = rows.number(row)
                places[row] = objects.spans[number].start + (own if element is None else int(elements[element]))
        return places, False

    def _position(self, block: JsonBlock, span: Span, steps: tuple[Step, ...]) -> int | None:
        """Where in its span a value of an object stands, by the way to it. Arrays taken apart are looked through once, not for each value."""
        raw, path, explode = block.content[span.start : span.end], span.path, self._columns.explode
        if explode is not None and len(steps) > len(explode.steps) and steps[: len(explode.steps)] == explode.steps:
            path, steps = (*path, *steps[: len(explode.steps) + 1]), steps[len(explode.steps) + 1 :]
        if not path:
            return value_position(raw, steps)
        *array, number = path
        elements = self._elements(block, span, tuple(array))
        return value_position(raw, steps, int(elements[number])) if isinstance(number, int) else None

    def _elements(self, block: JsonBlock, span: Span, array: tuple[Step, ...]) -> Positions:
        """Where in its span each element of an array starts; the last answers are remembered."""
        key = (block.byte_offset, span.start, array)
        found = self._elements_found.get(key)
        if found is None:
            if len(self._elements_found) >= _ARRAYS_REMEMBERED:
                self._elements_found.clear()
            found = self._elements_found[key] = element_positions(block.content[span.start : span.end], array)
        return found

    def _collision(self, block: JsonBlock, span: Span, key: str, name: str) -> None:
        place = span.start + value_positions(block.content[span.start : span.end], span.path).get(key, 0)
        expected = f"one key only that means the column {name}"
        self._collector.add(
            Rule.JSON_DUPLICATE_KEY,
            name,
            [self._sample(block, place, key)],
            expected,
            severity=self._collector.row_severity,
        )
        if self._rejects.active:
            self._broken_rows.note_one(Rule.JSON_DUPLICATE_KEY, name, span.record, expected, key)

    def _add(self, extra: Mapping[str, JsonValue]) -> dict[str, NameFault]:
        """Take the keys of a record as columns to add; returns those that cannot be, and why."""
        if self._new is None:
            return dict.fromkeys(extra, _UNKNOWN)
        faults: dict[str, NameFault] = {}
        taken: dict[str, str] = {}
        for key in extra:
            name = self._new.take(key)
            if isinstance(name, NameFault):
                faults[key] = name
            elif taken.setdefault(name, key) != key:
                expected = f"one key only that means the new column {name}; {shown(taken[name])} does already"
                faults[key] = NameFault(Rule.JSON_DUPLICATE_KEY, expected)
        self._judge.held = self._judge.held or bool(self._new.names)
        return faults

    def _unexpected(
        self, block: JsonBlock, span: Span, extra: Mapping[str, JsonValue], faults: Mapping[str, NameFault]
    ) -> None:
        severity = self._collector.row_severity
        positions: dict[str | int, int] | None = None
        for key, fault in faults.items():
            samples: list[Sample] = []
            if self._collector.room(fault.rule, key, severity) > 0:
                if positions is None:
                    positions = value_positions(block.content[span.start : span.end], span.path)
                samples = [self._sample(block, span.start + positions.get(key, 0), written(extra[key])[:300])]
            self._collector.add(fault.rule, key, samples, fault.expected, count=1, severity=severity)

    # ---- the end --------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Keys that no record has: one fault of the file, instead of a null in each row."""
        # The key may stand in a record that could not be read; but if such records are left out, no row has it.
        if not self._rows or (self.rows_broken and not self._rejects.active):
            return
        seen = self._columns.found
        schema = self._plan.dataset.schema_
        for name in self._plan.dataset.file_columns:
            rule = self._plan.rules[name].required_rule
            if name in seen or (schema.missing_columns == "allow" and rule is None):
                continue
            if rule is not None:
                self._collector.withdraw(rule, name)
            sample = Sample(None, None, ", ".join(sorted(self._columns.seen)[:20]))
            why = self._plan.rules[name].why_required if schema.missing_columns == "allow" else ""
            self._collector.add(
                Rule.COLUMN_MISSING, name, [sample], f"a key {self._columns.key_of(name)} in some record{why}"
            )
