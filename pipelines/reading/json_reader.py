"""Reads JSON Lines and JSON arrays: records to text columns, every record accounted for.

A JSON value's own kind counts: text is a string, a number is a number, and nothing is turned into the other. What
a text then means, and which rules it breaks, is decided as for CSV (`rows.py`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipelines.reading.collector import Collector, StopReading
from pipelines.reading.csv_blocks import BLOCK_BYTES
from pipelines.reading.encoding import Text, is_utf8, likely_encoding, utf8_faults
from pipelines.reading.headers import normalised
from pipelines.reading.json_blocks import ArrayFault, JsonBlock, split_array, split_lines
from pipelines.reading.json_cells import taker
from pipelines.reading.json_fast import FastLines
from pipelines.reading.json_objects import JsonFault, JsonValue, parse_record, value_positions, written
from pipelines.reading.raw import RawRecords, raw_text
from pipelines.reading.rescue import NEW_COLUMN, Rescued
from pipelines.reading.rows import Plan, RowBlock, RowJudge
from pipelines.reading.violations import Rule, Sample

__all__ = ["JsonArrayReader", "JsonLinesReader"]

_MAX_UTF8_FAULTS = 10_000
_WHITESPACE = b" \t\n\r"
_OBJECTS_AT_ONCE = 32_768
"""Objects of a block held as Python's at once: a block may hold a million of the smallest."""
_PATIENCE = 3
"""Blocks in a row that the fast way could not decide before it is not tried any more."""


class _JsonReader:
    """What JSON Lines and arrays share. Use once."""

    def __init__(self, plan: Plan, text: Text, collector: Collector, judge: RowJudge, block_bytes: int = BLOCK_BYTES):
        """Read `text` under the plan's contract."""
        self._plan = plan
        self._text = text
        self._collector = collector
        self._judge = judge
        self._block_bytes = block_bytes
        self._by_key: dict[str, str | None] = {}
        self._seen: dict[str, None] = {}
        self._spellings = {
            name: [s for s in (column.source, name, *column.aliases) if s is not None]
            for name, column in ((n, plan.dataset.columns[n]) for n in plan.dataset.file_columns)
        }
        self._exact = {s: name for name, spellings in reversed(self._spellings.items()) for s in reversed(spellings)}
        self._exact.update({s[0]: name for name, s in self._spellings.items()})
        self._loose = {normalised(s): n for n, spellings in self._spellings.items() for s in spellings}
        self._takers = {n: taker(plan.dataset.columns[n]) for n in plan.dataset.file_columns}
        self._rows = 0
        self.rows_broken = 0

    @property
    def source_columns(self) -> tuple[str, ...]:
        """The keys seen, sorted; a second spelling of a column that only ever holds null may be missing."""
        return tuple(sorted(self._seen))

    # ---- places ---------------------------------------------------------------------------------------------------

    def _offset(self, block: JsonBlock, position: int) -> int:
        return self._text.bom_bytes + block.byte_offset + position

    def _sample(self, block: JsonBlock, position: int, found: str) -> Sample:
        record = min(int(np.searchsorted(block.ends, position, side="right")), len(block.ends) - 1)
        raw = raw_text(block.content, int(block.starts[record]), int(block.ends[record])).strip()
        return Sample(block.line_of(position), self._offset(block, position), found, raw)

    def _broken(self, block: JsonBlock, position: int, rule: Rule, found: str, expected: str) -> None:
        # Records come in file order: once the samples are there, the number is all that is left to know.
        samples = [self._sample(block, position, found)] if self._collector.room(rule, None) > 0 else []
        self._collector.add(rule, None, samples, expected, count=1)

    # ---- a block --------------------------------------------------------------------------------------------------

    def _read_block(self, block: JsonBlock, records: Iterable[int]) -> None:
        """Read the records of a block, all of which are to hold something."""
        limits = self._plan.limits
        not_utf8 = self._encoding_faults(block)
        objects: list[dict[str, JsonValue]] = []
        places: list[int] = []
        spans: list[tuple[int, int]] = []
        is_over = False
        for record in records:
            start, end = int(block.starts[record]), int(block.ends[record])
            raw = block.content[start:end]
            place = start + len(raw) - len(raw.lstrip(_WHITESPACE))
            if end - place > limits.record_bytes:
                self._refuse(block, place, Rule.RECORD_SIZE, f"{end - place:,} bytes", f"at most {limits.record_bytes:,} bytes a record")  # fmt: skip
                continue
            if record in not_utf8:
                self.rows_broken += 1
                continue
            value = parse_record(raw, limits.depth)
            if isinstance(value, JsonFault):
                if self._syntax_fault(block, start, value):
                    is_over = True
                    break
            elif not isinstance(value, dict):
                self._refuse(block, place, Rule.JSON_SHAPE, written(value)[:300], "an object")
            elif len(value) > limits.columns:
                self._refuse(
                    block, place, Rule.COLUMN_COUNT, f"{len(value):,} keys", f"at most {limits.columns:,} columns"
                )
            elif len(raw) <= limits.cell_bytes or not self._has_large_cell(block, start, raw, value):
                objects.append(value)
                places.append(place)
                spans.append((start, start + len(raw.rstrip(_WHITESPACE))))
                if len(objects) >= _OBJECTS_AT_ONCE:
                    self._judge_objects(block, objects, places, spans)
                    objects, places, spans = [], [], []
        if objects:
            self._judge_objects(block, objects, places, spans)
        if is_over:
            raise StopReading

    def _refuse(self, block: JsonBlock, place: int, rule: Rule, found: str, expected: str) -> None:
        self.rows_broken += 1
        self._broken(block, place, rule, found, expected)

    def _syntax_fault(self, block: JsonBlock, start: int, fault: JsonFault) -> bool:
        """Report it; whether nothing behind it can be aligned."""
        self._refuse(block, start + fault.position, fault.rule, fault.found, fault.expected)
        return False

    def _encoding_faults(self, block: JsonBlock) -> frozenset[int]:
        if is_utf8(block.content):
            return frozenset()
        faults = utf8_faults(block.content, _MAX_UTF8_FAULTS)
        places = np.array([position for position, _ in faults], np.int64)
        records, firsts = np.unique(np.searchsorted(block.ends, places, side="right"), return_index=True)
        samples = [self._sample(block, faults[i][0], faults[i][1].hex(" ")) for i in firsts.tolist()[:10]]
        self._collector.add(Rule.ENCODING, None, samples, "bytes in utf-8", count=len(records),
                            detail=likely_encoding(faults[0][1]))  # fmt: skip
        if len(faults) >= _MAX_UTF8_FAULTS:
            raise StopReading
        return frozenset(records.tolist())

    def _has_large_cell(self, block: JsonBlock, start: int, raw: bytes, members: dict[str, JsonValue]) -> bool:
        limit = self._plan.limits.cell_bytes
        for key, value in members.items():
            size = len(value.encode("utf-8")) if isinstance(value, str) else len(written(value))
            if size > limit:
                place = start + value_positions(raw).get(key, 0)
                sample = self._sample(block, place, f"{size:,} bytes")
                name = self._column_of(key) or key
                self._collector.add(Rule.CELL_SIZE, name, [sample], f"at most {limit:,} bytes a cell")
                self.rows_broken += 1
                return True
        return False

    # ---- objects to columns ---------------------------------------------------------------------------------------

    def _column_of(self, key: str) -> str | None:
        """The contract's column for a key, remembered; None for a key it does not know."""
        try:
            return self._by_key[key]
        except KeyError:
            column = self._exact.get(key) or self._loose.get(normalised(key))
            if len(self._by_key) < 100_000:
                self._by_key[key] = column
                if column is not None or len(self._seen) <= self._plan.limits.columns:
                    self._seen[key] = None
            return column

    def _judge_objects(
        self, block: JsonBlock, objects: list[dict[str, JsonValue]], places: list[int], spans: list[tuple[int, int]]
    ) -> None:
        count = len(objects)
        columns: dict[str, list[JsonValue]] = {name: [None] * count for name in self._plan.dataset.file_columns}
        keys: dict[str, list[str | None]] = {}
        rescue = self._plan.dataset.schema_.new_columns == "rescue"
        unknown: dict[str, list[tuple[int, JsonValue]]] = {}
        refused: set[int] = set()
        for row, members in enumerate(objects):
            extra: dict[str, JsonValue] = {}
            filled: set[str] = set()
            for key, value in members.items():
                name = self._by_key[key] if key in self._by_key else self._column_of(key)
                if name is None:
                    extra[key] = value
                elif name in filled:
                    refused.add(row)
                    self._collision(block, spans[row], key, name)
                else:
                    filled.add(name)
                    columns[name][row] = value
                    if key != name:
                        keys.setdefault(name, [None] * count)[row] = key
            if extra:
                if rescue:
                    for key, value in extra.items():
                        unknown.setdefault(key, []).append((row, value))
                else:
                    self._unexpected(block, spans[row], extra)
        kept = [row for row in range(count) if row not in refused]
        self.rows_broken += len(refused)
        if not kept:
            return
        starts = np.array([places[row] for row in kept], np.int64)
        cells = {
            name: self._takers[name]([values[row] for row in kept] if refused else values)
            for name, values in columns.items()
        }

        def locate(row: int, column: str | None) -> int:
            start, end = spans[kept[row]]
            if column is not None:
                key = keys[column][kept[row]] if column in keys else None
                position = value_positions(block.content[start:end]).get(key or column)
                if position is not None:
                    return self._offset(block, start + position)
            return self._offset(block, places[kept[row]])

        lines = block.first_line + np.searchsorted(block.line_ends, starts)

        def name_of(row: int, column: str) -> str:
            return (keys[column][kept[row]] if column in keys else None) or column

        rescued = _rescued(unknown, kept) if unknown else None
        self._rows += len(kept)
        ends = np.array([spans[row][1] for row in kept], np.int64)
        raw = RawRecords(block.content, starts, ends)
        offsets = starts + self._offset(block, 0)
        self._judge.judge(RowBlock(len(kept), lines, cells, locate, raw, offsets, rescued, name_of))

    def _collision(self, block: JsonBlock, span: tuple[int, int], key: str, name: str) -> None:
        place = span[0] + value_positions(block.content[span[0] : span[1]]).get(key, 0)
        sample = self._sample(block, place, key)
        self._collector.add(Rule.JSON_DUPLICATE_KEY, name, [sample], f"one key only that means the column {name}")

    def _unexpected(self, block: JsonBlock, span: tuple[int, int], extra: dict[str, JsonValue]) -> None:
        for key, value in extra.items():
            samples: list[Sample] = []
            if self._collector.room(Rule.COLUMN_UNEXPECTED, key) > 0:
                place = span[0] + value_positions(block.content[span[0] : span[1]]).get(key, 0)
                samples = [self._sample(block, place, written(value)[:300])]
            self._collector.add(Rule.COLUMN_UNEXPECTED, key, samples, "only keys that the contract knows", count=1)

    # ---- the end --------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Keys that no record has: one fault of the file, instead of a null in each row."""
        if not self._rows or self.rows_broken:  # the key may stand in a record that could not be read
            return
        seen = {self._by_key[key] for key in self._seen}
        schema = self._plan.dataset.schema_
        for name in self._plan.dataset.file_columns:
            rule = self._plan.rules[name].required_rule
            if name in seen or (schema.missing_columns == "allow" and rule is None):
                continue
            if rule is not None:
                self._collector.withdraw(rule, name)
            sample = Sample(None, None, ", ".join(sorted(self._seen)[:20]))
            self._collector.add(Rule.COLUMN_MISSING, name, [sample], f"a key {name} in some record")


def _rescued(unknown: Mapping[str, Sequence[tuple[int, JsonValue]]], kept: Sequence[int]) -> Rescued:
    """The members under keys that the contract does not know, of the rows kept."""
    rescued = Rescued(len(kept))
    places = {row: place for place, row in enumerate(kept)}
    for key, members in unknown.items():
        values = ((places[row], written(v)) for row, v in members if row in places)
        rescued.add(key, None, NEW_COLUMN, values)
    return rescued


class JsonLinesReader(_JsonReader):
    """One object a line; blank lines only at the end."""

    _fast: FastLines | None = None
    _fast_is_built = False
    _slow_blocks = 0

    def read(self) -> None:
        """Read everything. Raises StopReading behind a fault that ends the file, StreamFault from the text."""
        blank: tuple[int, int] | None = None
        limits = self._plan.limits
        for block in split_lines(self._text, limits.record_bytes, self._block_bytes):
            if block.oversized:
                self._broken(block, 0, Rule.RECORD_SIZE, f"more than {limits.record_bytes:,} bytes",
                             f"at most {limits.record_bytes:,} bytes a line")  # fmt: skip
                raise StopReading
            records: list[int] = []
            for record, (start, end) in enumerate(zip(block.starts.tolist(), block.ends.tolist(), strict=True)):
                if end - start <= 64 and not block.content[start:end].strip(_WHITESPACE):
                    blank = blank or (block.line_of(start), self._offset(block, start))
                    continue
                if blank is not None:
                    self.rows_broken += 1
                    self._collector.add(
                        Rule.JSON_SHAPE, None, [Sample(*blank, "a blank line")], "an object on each line"
                    )
                    blank = None
                records.append(record)
            if len(records) < len(block.starts) or not self._read_fast(block):
                self._read_block(block, records)
        self._finish()

    def _read_fast(self, block: JsonBlock) -> bool:
        """Read a block of lines the fast way; False when the strict way has to."""
        if (self._fast is None and self._fast_is_built) or self._slow_blocks > _PATIENCE or not is_utf8(block.content):
            return False
        if not self._fast_is_built:
            self._fast_is_built = True
            self._fast = FastLines.build(self._plan, self._first_keys(block))
        if self._fast is None:
            return False
        found: set[str] = {name for name in map(self._by_key.get, self._seen) if name is not None}
        cells = self._fast.parse(block, found)
        if cells is None:
            self._slow_blocks += 1
            return False
        self._slow_blocks = 0
        keys = self._fast.keys
        for name, column in cells.items():
            if column.texts.null_count < len(block.starts):
                self._column_of(keys[name])
        rows = len(block.starts)
        self._rows += rows
        raw = _RawCells(block, keys)
        for name, column in cells.items():
            if column.values is not None:
                column.found_text = raw.text_of(name)

        def locate(row: int, column: str | None) -> int:
            return self._offset(block, raw.position(row, column))

        lines = block.first_line + np.searchsorted(block.line_ends, block.starts)
        records = RawRecords(block.content, block.starts, block.ends)
        offsets = block.starts + self._offset(block, 0)
        judged = RowBlock(rows, lines, cells, locate, records, offsets, name_of=lambda _row, column: keys[column])
        self._judge.judge(judged)
        return True

    def _syntax_fault(self, block: JsonBlock, start: int, fault: JsonFault) -> bool:
        line_end = block.content.find(b"\n", start)
        if 0 <= line_end < start + fault.position:  # what is missing is missing on this line, not on the next
            fault = replace(fault, position=line_end - start)
        return super()._syntax_fault(block, start, fault)

    def _first_keys(self, block: JsonBlock) -> dict[str, str]:
        """By which key the file's first record names each column."""
        first = parse_record(block.content[block.starts[0] : block.ends[0]], self._plan.limits.depth)
        if not isinstance(first, dict):
            return {}
        return {name: key for key in first if (name := self._exact.get(key) or self._loose.get(normalised(key)))}


class _RawCells:
    """The text of single cells of a block that was read the fast way, for messages."""

    def __init__(self, block: JsonBlock, keys: Mapping[str, str]) -> None:
        self._block = block
        self._keys = keys

    def _raw(self, row: int) -> bytes:
        return self._block.content[self._block.starts[row] : self._block.ends[row]]

    def position(self, row: int, column: str | None) -> int:
        start = int(self._block.starts[row])
        if column is None or column not in self._keys:
            return start
        return start + value_positions(self._raw(row)).get(self._keys[column], 0)

    def text_of(self, column: str) -> Callable[[int], str]:
        def text(row: int) -> str:
            members = parse_record(self._raw(row), 1_000)
            value = members.get(self._keys[column]) if isinstance(members, dict) else None
            return "" if value is None else value if isinstance(value, str) else written(value)

        return text


class JsonArrayReader(_JsonReader):
    """One array of objects. Its first fault of syntax ends it: behind that nothing can be aligned."""

    def read(self) -> None:
        """Read everything. Raises StopReading behind a fault that ends the file, StreamFault from the text."""
        limits = self._plan.limits
        is_empty = True
        for block in split_array(self._text, limits.record_bytes, limits.depth, self._block_bytes):
            is_empty = False
            if isinstance(block, ArrayFault):
                rule = Rule.DEPTH if block.deep else Rule.JSON_SHAPE if block.is_shape else Rule.JSON_SYNTAX
                place = Sample(block.line, self._text.bom_bytes + block.position, block.found)
                self._collector.add(rule, None, [place], block.expected)
                raise StopReading
            if block.oversized:
                self._broken(block, 0, Rule.RECORD_SIZE, f"more than {limits.record_bytes:,} bytes",
                             f"at most {limits.record_bytes:,} bytes an element")  # fmt: skip
                raise StopReading
            self._read_block(block, range(len(block.starts)))
        if is_empty and self._text.bom_bytes and not self._text.has_content:
            found = Sample(1, self._text.bom_bytes, "a byte order mark and nothing else")
            self._collector.add(Rule.JSON_SYNTAX, None, [found], "an array of objects")
            raise StopReading
        self._finish()

    def _syntax_fault(self, block: JsonBlock, start: int, fault: JsonFault) -> bool:
        if block.cut_short and fault.rule is Rule.JSON_SYNTAX and _is_behind(fault, block.content):
            return False  # as far as it goes the record is right: the fault is that the text ends
        super()._syntax_fault(block, start, fault)
        return fault.rule is Rule.JSON_SYNTAX


def _is_behind(fault: JsonFault, record: bytes) -> bool:
    """Whether a fault of syntax says no more than that the record's text ends too soon: in a string, a word or between them."""
    rest = record[fault.position :].strip(_WHITESPACE)
    if rest.startswith(b'"'):
        return b"\n" not in rest and b"\r" not in rest
    return any(word.startswith(rest) for word in (b"true", b"false", b"null", b"-"))
