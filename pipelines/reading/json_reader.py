"""Reads JSON: records to text columns, every record accounted for; and one array of objects. Lines are `json_lines.py`.

A JSON value's own kind counts: text is a string, a number is a number, and nothing is turned into the other. What
a text then means, and which rules it breaks, is decided as for CSV (`rows.py`).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from pipelines.contracts.json_paths import Step
from pipelines.reading.collector import REJECT, Collector, StopReading, shown
from pipelines.reading.csv_blocks import BLOCK_BYTES
from pipelines.reading.encoding import Text, is_utf8, likely_encoding, utf8_faults
from pipelines.reading.evidence import FAULTS_LOOKED_AT
from pipelines.reading.json_blocks import WHITESPACE, ArrayFault, JsonBlock, split_array
from pipelines.reading.json_causes import Remembered, fault_form, lines_of_objects
from pipelines.reading.json_columns import JsonColumns
from pipelines.reading.json_objects import JsonFault, JsonValue, parse_record, value_position, value_positions, written
from pipelines.reading.new_columns import NameFault, NewColumns
from pipelines.reading.raw import RawRecords, raw_text
from pipelines.reading.rejects import RowFaults, RowRejects
from pipelines.reading.row_blocks import RowBlock
from pipelines.reading.rows import Plan, RowJudge
from pipelines.reading.violations import Rule, Sample

__all__ = ["MAX_BROKEN", "JsonArrayReader", "JsonReader"]

_MAX_UTF8_FAULTS = 10_000
MAX_BROKEN = 100_000
"""Records that are no rows, behind which a file that is rejected for the first of them is not read on."""
_OBJECTS_AT_ONCE = 32_768
"""Objects of a block held as Python's at once: a block may hold a million of the smallest."""
_UNKNOWN = NameFault(Rule.COLUMN_UNEXPECTED, "only keys that the contract knows")


class Span(NamedTuple):
    """Which record of its block an object is, and where it lies there."""

    record: int
    start: int
    end: int


class JsonReader:
    """What JSON Lines and arrays share. Use once."""

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
        self._new: NewColumns | None = None
        if plan.dataset.schema_.new_columns == "add":
            self._new = NewColumns(plan.dataset, plan.limits.columns, Rule.JSON_DUPLICATE_KEY, spellings=True)
        self._rows = 0
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
        # Records come in file order: once the samples are there, the number is all that is left to know.
        samples = [self._sample(block, position, found)] if self._collector.room(rule, None, severity) > 0 else []
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

    # ---- a block --------------------------------------------------------------------------------------------------

    def _read_block(self, block: JsonBlock, records: Iterable[int]) -> None:
        """Read the records of a block, all of which are to hold something."""
        limits = self._plan.limits
        self._broken_rows = RowFaults()
        not_utf8 = self._encoding_faults(block)
        objects: list[dict[str, JsonValue]] = []
        places: list[int] = []
        spans: list[Span] = []
        is_over = False
        starts, ends = block.starts.tolist(), block.ends.tolist()
        for record in records:
            if self.is_hopeless:
                is_over = True
                break
            start, end = starts[record], ends[record]
            raw = block.content[start:end]
            place = start if raw[:1] == b"{" else end - len(raw.lstrip(WHITESPACE))
            if end - place > limits.record_bytes:
                self._refuse(block, record, place, Rule.RECORD_SIZE, f"{end - place:,} bytes", f"at most {limits.record_bytes:,} bytes a record")  # fmt: skip
                continue
            if record in not_utf8:
                self.rows_broken += 1
                continue
            value = parse_record(raw, limits.depth, limits.keys)
            if isinstance(value, JsonFault):
                if self._syntax_fault(block, record, value):
                    is_over = True
                    break
            elif not isinstance(value, dict):
                self._refuse(block, record, place, Rule.JSON_SHAPE, written(value)[:300], "an object")
            elif len(value) > limits.columns:
                self._refuse(
                    block,
                    record,
                    place,
                    Rule.COLUMN_COUNT,
                    f"{len(value):,} keys",
                    f"at most {limits.columns:,} columns",
                )
            elif len(raw) <= limits.cell_bytes or not self._has_large_cell(block, record, raw, value):
                objects.append(value)
                places.append(place)
                spans.append(Span(record, start, end if raw[-1:] == b"}" else start + len(raw.rstrip(WHITESPACE))))
                if len(objects) >= _OBJECTS_AT_ONCE:
                    self._judge_objects(block, objects, places, spans)
                    objects, places, spans = [], [], []
        if objects:
            self._judge_objects(block, objects, places, spans)
        if is_over:
            raise StopReading
        if self._rejects.active:
            self._reject(block)

    def _reject(self, block: JsonBlock) -> None:
        """Hand over the broken records of the block."""

        def span(record: int) -> tuple[int, int]:
            start, end = int(block.starts[record]), int(block.ends[record])
            whole = block.content[start:end]
            return end - len(whole.lstrip(WHITESPACE)), start + len(whole.rstrip(WHITESPACE))

        self._rejects.take(
            self._broken_rows,
            lambda record: block.line_of(span(record)[0]),
            lambda record: raw_text(block.content, *span(record)),
        )

    def _refuse(self, block: JsonBlock, record: int, place: int, rule: Rule, found: str, expected: str) -> None:
        self._broken(block, place, rule, found, expected, self._collector.row_severity)
        self._break(record, rule, None, found, expected)

    def _syntax_fault(self, block: JsonBlock, record: int, fault: JsonFault) -> bool:
        """Report it; whether nothing behind it can be aligned."""
        evidence = self._judge.evidence
        if evidence.json_looked < FAULTS_LOOKED_AT:
            evidence.json_looked += 1
            if form := fault_form(block.content[block.starts[record] : block.ends[record]], fault):
                evidence.json_forms[form] += 1
        self._refuse(block, record, int(block.starts[record]) + fault.position, fault.rule, fault.found, fault.expected)
        return False

    def _encoding_faults(self, block: JsonBlock) -> frozenset[int]:
        if is_utf8(block.content):
            return frozenset()
        faults = utf8_faults(block.content, _MAX_UTF8_FAULTS)
        places = np.array([position for position, _ in faults], np.int64)
        records, firsts = np.unique(np.searchsorted(block.ends, places, side="right"), return_index=True)
        samples = [self._sample(block, faults[i][0], faults[i][1].hex(" ")) for i in firsts.tolist()[:10]]
        detail = likely_encoding(faults[0][1])
        self._collector.add(Rule.ENCODING, None, samples, "bytes in utf-8", count=len(records), detail=detail,
                            severity=self._collector.row_severity)  # fmt: skip
        self._broken_rows.note(
            Rule.ENCODING,
            None,
            records,
            "bytes in utf-8",
            lambda r: faults[int(firsts[np.searchsorted(records, r)])][1].hex(" "),
            detail,
        )
        if len(faults) >= _MAX_UTF8_FAULTS:
            raise StopReading
        return frozenset(records.tolist())

    def _has_large_cell(self, block: JsonBlock, record: int, raw: bytes, members: dict[str, JsonValue]) -> bool:
        found = self._columns.large_cell(members)
        if found is None:
            return False
        key, size = found
        place = int(block.starts[record]) + value_positions(raw).get(key, 0)
        said, expected = f"{size:,} bytes", f"at most {self._plan.limits.cell_bytes:,} bytes a cell"
        name = self._columns.column_of(key) or key
        sample = self._sample(block, place, said)
        self._collector.add(Rule.CELL_SIZE, name, [sample], expected, severity=self._collector.row_severity)
        self._break(record, Rule.CELL_SIZE, name, said, expected)
        return True

    # ---- objects to rows ------------------------------------------------------------------------------------------

    def _judge_objects(
        self, block: JsonBlock, objects: list[dict[str, JsonValue]], places: list[int], spans: list[Span]
    ) -> None:
        members = self._columns.pick(objects)
        for row, key, name in members.collisions:
            self._collision(block, spans[row], key, name)
        refused = {row for row, _, _ in members.collisions}
        unexpected: dict[int, dict[str, NameFault]] = {}
        rescue = self._plan.dataset.schema_.new_columns == "rescue"
        for row, extra in () if rescue else members.unknown.items():
            unexpected[row] = self._add(extra)
            self._unexpected(block, spans[row], extra, unexpected[row])
        kept = [row for row in range(len(objects)) if row not in refused]
        self.rows_broken += len(refused)
        if not kept:
            return
        starts = np.array([places[row] for row in kept], np.int64)
        cells = {
            name: self._columns.takers[name]([values[row] for row in kept] if refused else values)
            for name, values in members.values.items()
        }

        def locate(row: int, column: str | None, inside: tuple[Step, ...] = ()) -> tuple[int, int]:
            _, start, end = spans[kept[row]]
            place = places[kept[row]]
            if column is not None:
                key = members.key(column, kept[row])
                position = value_position(block.content[start:end], (key, *inside))
                place = place if position is None else start + position
            return block.line_of(place), self._offset(block, place)

        lines = block.first_line + np.searchsorted(block.line_ends, starts)

        def name_of(row: int, column: str) -> str:
            return members.key(column, kept[row])

        rescued = members.rescued(kept) if rescue and members.unknown else None
        self._rows += len(kept)
        ends = np.array([spans[row].end for row in kept], np.int64)
        raw = RawRecords(block.content, starts, ends)
        faults = RowFaults()
        if self._rejects.active and unexpected:
            for position, row in enumerate(kept):
                for key, fault in unexpected.get(row, {}).items():
                    found = written(members.unknown[row][key])[:300]
                    faults.note_one(fault.rule, key, position, fault.expected, found)
        offsets = starts + self._offset(block, 0)
        self._judge.judge(RowBlock(len(kept), lines, cells, locate, raw, offsets, rescued, name_of, faults, locate))

    def _collision(self, block: JsonBlock, span: Span, key: str, name: str) -> None:
        place = span.start + value_positions(block.content[span.start : span.end]).get(key, 0)
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
                    positions = value_positions(block.content[span.start : span.end])
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
            self._collector.add(Rule.COLUMN_MISSING, name, [sample], f"a key {name} in some record")


class JsonArrayReader(JsonReader):
    """One array of objects. Its first fault of syntax ends it: behind that nothing can be aligned."""

    def read(self) -> None:
        """Read everything. Raises StopReading behind a fault that ends the file, StreamFault from the text."""
        limits = self._plan.limits
        is_empty = True
        remembered = Remembered(self._text)
        for block in split_array(remembered, limits.record_bytes, limits.depth, self._block_bytes):
            is_empty = False
            if isinstance(block, ArrayFault):
                self._look_on(block, remembered)
                rule = Rule.DEPTH if block.deep else Rule.JSON_SHAPE if block.is_shape else Rule.JSON_SYNTAX
                place = Sample(block.line, self._text.bom_bytes + block.position, block.found)
                self._collector.add(rule, None, [place], block.expected)
                raise StopReading
            if block.oversized:
                self._broken(block, 0, Rule.RECORD_SIZE, f"more than {limits.record_bytes:,} bytes",
                             f"at most {limits.record_bytes:,} bytes an element")  # fmt: skip
                raise StopReading
            remembered.forget()
            self._read_block(block, range(len(block.starts)))
        if is_empty and self._text.bom_bytes and not self._text.has_content:
            found = Sample(1, self._text.bom_bytes, "a byte order mark and nothing else")
            self._collector.add(Rule.JSON_SYNTAX, None, [found], "an array of objects")
            raise StopReading
        self._finish()

    def _look_on(self, fault: ArrayFault, remembered: Remembered) -> None:
        """Behind a fault that ends the array: whether the file is no array at all, or cut short."""
        evidence = self._judge.evidence
        if fault.is_shape and fault.found[:1] == "{":
            evidence.lines_of_objects = lines_of_objects(remembered.again(), self._plan.limits.record_bytes)
        evidence.is_cut = fault.found == "the end of the file"

    def _syntax_fault(self, block: JsonBlock, record: int, fault: JsonFault) -> bool:
        if block.cut_short and fault.rule is Rule.JSON_SYNTAX and _is_behind(fault, block.content):
            return False  # as far as it goes the record is right: the fault is that the text ends
        super()._syntax_fault(block, record, fault)
        return fault.rule is Rule.JSON_SYNTAX


def _is_behind(fault: JsonFault, record: bytes) -> bool:
    """Whether a fault of syntax says no more than that the record's text ends too soon: in a string, a word or between them."""
    rest = record[fault.position :].strip(WHITESPACE)
    if rest.startswith(b'"'):
        return b"\n" not in rest and b"\r" not in rest
    return any(word.startswith(rest) for word in (b"true", b"false", b"null", b"-"))
