"""Reads JSON: records to text columns, every record accounted for; and one array of objects. Lines are `json_lines.py`.

A JSON value's own kind counts: text is a string, a number is a number, and nothing is turned into the other. What
a text then means, and which rules it breaks, is decided as for CSV (`rows.py`).
"""

from collections.abc import Iterable

import numpy as np

from pipelines.contracts.json_paths import Step
from pipelines.reading.collector import StopReading
from pipelines.reading.encoding import is_utf8, likely_encoding, utf8_faults
from pipelines.reading.evidence import FAULTS_LOOKED_AT
from pipelines.reading.json_blocks import WHITESPACE, ArrayFault, JsonBlock, split_array
from pipelines.reading.json_causes import Remembered, fault_form, lines_of_objects
from pipelines.reading.json_columns import Misplaced
from pipelines.reading.json_objects import JsonFault, JsonValue, ends_too_soon, parse_record, value_position, written
from pipelines.reading.json_records import split_records
from pipelines.reading.json_rows import MAX_BROKEN, JsonRows, Objects, Span
from pipelines.reading.raw import raw_text
from pipelines.reading.rejects import RowFaults
from pipelines.reading.violations import Rule, Sample

__all__ = ["JsonArrayReader", "JsonReader"]

_MAX_UTF8_FAULTS = 10_000
_ROWS_AT_ONCE = 32_768
"""Rows of a block made of Python's objects at once: a block may hold a million of the smallest."""


class JsonReader(JsonRows):
    """What JSON Lines and arrays share. Use once."""

    @property
    def _keys_at_once(self) -> int | None:
        """How many keys may be parsed at once."""
        return self._plan.limits.keys

    # ---- a block --------------------------------------------------------------------------------------------------

    def _read_block(self, block: JsonBlock, records: Iterable[int]) -> None:
        """Read the records of a block, all of which are to hold something."""
        limits, keys = self._plan.limits, self._keys_at_once
        self._broken_rows = RowFaults()
        not_utf8 = self._encoding_faults(block)
        starts, ends = block.starts.data, block.ends.data  # lists of millions of numbers would be large
        objects = Objects()
        is_flat = self._is_flat
        is_over = False
        for record in records:
            if self.rows_broken >= MAX_BROKEN and self.is_hopeless:
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
            value = parse_record(raw, limits.depth, keys)
            if isinstance(value, JsonFault):
                if self._syntax_fault(block, record, value):
                    is_over = True
                    break
                continue
            span = Span(record, start, end if raw[-1:] == b"}" else start + len(raw.rstrip(WHITESPACE)))
            if is_flat and type(value) is dict and len(value) <= limits.columns and len(raw) <= limits.cell_bytes:
                objects.members.append(value)
                objects.places.append(place)
                objects.spans.append(span)
                objects.rows += 1
                if objects.rows >= _ROWS_AT_ONCE:
                    self._judge_objects(block, objects)
                    objects = Objects()
            else:
                for one, at in self._records_in(block, value, span):
                    if self.rows_broken >= MAX_BROKEN and self.is_hopeless:
                        is_over = True
                        break
                    self._take(block, objects, one, place, at)
                    if objects.rows >= _ROWS_AT_ONCE:
                        self._judge_objects(block, objects)
                        objects = Objects()
        if objects.members:
            self._judge_objects(block, objects)
        if is_over:
            raise StopReading
        if self._rejects.active:
            self._reject(block)

    def _records_in(self, block: JsonBlock, value: JsonValue, span: Span) -> Iterable[tuple[JsonValue, Span]]:
        """The records that are in a record of the block, and where each is: itself."""
        del block
        return ((value, span),)

    def _take(self, block: JsonBlock, objects: Objects, value: JsonValue, place: int, span: Span) -> None:
        """Take one value as an object that becomes rows, if it is one that may."""
        limits = self._plan.limits
        if not isinstance(value, dict):
            self._refuse_value(block, span, span.path, Rule.JSON_SHAPE, written(value)[:300], "an object")
            return
        if len(value) > limits.columns:
            expected = f"at most {limits.columns:,} columns"
            self._refuse_value(block, span, span.path, Rule.COLUMN_COUNT, f"{len(value):,} keys", expected)
            return
        elements = self._columns.elements(value)
        if isinstance(elements, Misplaced):
            path, found = (*span.path, *elements.steps), written(elements.value)[:300]
            self._refuse_value(block, span, path, Rule.JSON_SHAPE, found, elements.expected)
        elif span.end - span.start <= limits.cell_bytes or not self._has_large_cell(block, span, value, elements):
            objects.add(value, place, span, elements)

    def _refuse_value(
        self, block: JsonBlock, span: Span, path: tuple[Step, ...], rule: Rule, found: str, expected: str
    ) -> None:
        position = 0
        # Looked for only where it is shown: that takes as long as the record is.
        if self._collector.room(rule, None, self._collector.row_severity) > 0:
            position = value_position(block.content[span.start : span.end], path) or 0
        self._refuse(block, span.record, span.start + position, rule, found, expected)

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
            lambda r: likely_encoding(faults[int(firsts[np.searchsorted(records, r)])][1]),
        )
        if len(faults) >= _MAX_UTF8_FAULTS:
            raise StopReading
        return frozenset(records.tolist())

    def _has_large_cell(
        self, block: JsonBlock, span: Span, members: dict[str, JsonValue], elements: list[JsonValue]
    ) -> bool:
        found = self._columns.large_cell(members, elements)
        if found is None:
            return False
        path, name, size = found
        place = span.start + (value_position(block.content[span.start : span.end], (*span.path, *path)) or 0)
        said, expected = f"{size:,} bytes", f"at most {self._plan.limits.cell_bytes:,} bytes a cell"
        sample = self._sample(block, place, said)
        self._collector.add(Rule.CELL_SIZE, name, [sample], expected, severity=self._collector.row_severity)
        self._break(span.record, Rule.CELL_SIZE, name, said, expected)
        return True


class JsonArrayReader(JsonReader):
    """One array of objects. Its first fault of syntax ends it: behind that nothing can be aligned."""

    def read(self) -> None:
        """Read everything. Raises StopReading behind a fault that ends the file, StreamFault from the text."""
        limits = self._plan.limits
        is_empty = True
        remembered = Remembered(self._text)
        path = self._records
        if path is None:
            blocks = split_array(remembered, limits.record_bytes, limits.depth, self._block_bytes)
        else:
            blocks = split_records(self._text, tuple(map(str, path.steps)), limits, self._block_bytes)
        for block in blocks:
            is_empty = False
            if isinstance(block, ArrayFault):
                self._look_on(block, remembered if path is None else None)
                place = Sample(block.line, self._text.bom_bytes + block.position, block.found)
                self._collector.add(block.rule, None, [place], block.expected)
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

    def _look_on(self, fault: ArrayFault, remembered: Remembered | None) -> None:
        """Behind a fault that ends the array: whether the file is no array at all, or cut short."""
        evidence = self._judge.evidence
        if remembered is not None and fault.rule is Rule.JSON_SHAPE and fault.found[:1] == "{":
            evidence.lines_of_objects = lines_of_objects(remembered.again(), self._plan.limits.record_bytes)
        evidence.is_cut = fault.found == "the end of the file"

    def _syntax_fault(self, block: JsonBlock, record: int, fault: JsonFault) -> bool:
        if block.cut_short and fault.rule is Rule.JSON_SYNTAX and ends_too_soon(fault, block.content):
            return False  # as far as it goes the record is right: the fault is that the text ends
        super()._syntax_fault(block, record, fault)
        return fault.rule is Rule.JSON_SYNTAX
