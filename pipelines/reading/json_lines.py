"""Reads JSON Lines: one object a line, by blocks the fast way where it is proven, line by line where not."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipelines.reading.collector import StopReading
from pipelines.reading.csv_blocks import Positions
from pipelines.reading.encoding import is_utf8
from pipelines.reading.json_blocks import WHITESPACE, JsonBlock, split_lines
from pipelines.reading.json_columns import Misplaced, follow
from pipelines.reading.json_fast import FastCells, FastLines
from pipelines.reading.json_objects import JsonFault, JsonValue, key_count, parse_record, value_positions, written
from pipelines.reading.json_reader import JsonReader
from pipelines.reading.json_rows import Span
from pipelines.reading.raw import RawRecords
from pipelines.reading.rejects import RowFaults
from pipelines.reading.row_blocks import RowBlock
from pipelines.reading.violations import Rule, Sample

__all__ = ["JsonLinesReader"]

_SPACE, _BLANKS_AT_ONCE = 0x20, 65_536
_PATIENCE = 3
"""Blocks in a row that the fast way could not decide before it is not tried any more."""


def _blank(block: JsonBlock) -> frozenset[int]:
    """Which lines hold nothing but white space."""
    firsts = np.frombuffer(block.content, np.uint8)[block.starts]
    candidates = np.flatnonzero(firsts <= _SPACE)
    lines = ((record, block.content[block.starts[record] : block.ends[record]]) for record in candidates.tolist())
    return frozenset(record for record, line in lines if not line.strip(WHITESPACE))


class JsonLinesReader(JsonReader):
    """One object a line; blank lines only at the end."""

    _fast: FastLines | None = None
    _fast_is_built = False
    _slow_blocks = 0
    _aside: list[RowBlock] | None = None
    """Rows of the block at hand that were read the strict way, where others of it are read the fast way."""

    def read(self) -> None:
        """Read everything. Raises StopReading behind a fault that ends the file, StreamFault from the text."""
        blank: tuple[int, int, int] | None = (
            None  # line and byte offset of the first blank line held back, and how many
        )
        limits = self._plan.limits
        for block in split_lines(self._text, limits.record_bytes, self._block_bytes):
            if block.oversized:
                self._broken(block, 0, Rule.RECORD_SIZE, f"more than {limits.record_bytes:,} bytes",
                             f"at most {limits.record_bytes:,} bytes a line")  # fmt: skip
                raise StopReading
            records: Sequence[int] = range(len(block.starts))
            is_blank = _blank(block)
            if is_blank or blank is not None:
                whole: list[int] = []
                for record in records:
                    if record in is_blank:
                        start = int(block.starts[record])
                        line, offset, count = blank or (block.line_of(start), self._offset(block, start), 0)
                        blank = line, offset, count + 1
                        continue
                    if blank is not None:
                        self._refuse_blank(*blank)
                        blank = None
                        if self.is_hopeless:
                            break
                    whole.append(record)
                records = whole
            if len(records) < len(block.starts) or not self._read_fast(block):
                self._read_block(block, records)
        self._finish()

    def _read_fast(self, block: JsonBlock) -> bool:
        """Read a block of lines the fast way; False when the strict way has to."""
        if self._judge.held:  # typed by the contract, where a wider type counts from here on
            return False
        if (self._fast is None and self._fast_is_built) or self._slow_blocks > _PATIENCE or not is_utf8(block.content):
            return False
        if not self._fast_is_built:
            self._fast_is_built = True
            self._fast = FastLines.build(self._plan, self._first_keys(block))
        if self._fast is None:
            return False
        fast = self._fast.parse(block, self._columns.found)
        if fast is None or (len(fast.left) and self._plan.wider):  # a wider type counts from the block's first row on
            self._slow_blocks += 1
            return False
        self._slow_blocks = 0
        if len(fast.left):
            self._aside = []
            self._read_block(block, fast.left.tolist())
        aside, self._aside = self._aside, None
        self._judge.judge(self._fast_rows(block, fast, self._fast.keys), *(aside or ()))
        return True

    def _hand_over(self, rows: RowBlock) -> None:
        if self._aside is None:
            super()._hand_over(rows)
        else:
            self._aside.append(rows)

    def _fast_rows(self, block: JsonBlock, fast: FastCells, keys: Mapping[str, str]) -> RowBlock:
        rows = len(fast.read)
        for name, column in fast.cells.items():
            if column.texts.null_count < rows:
                self._columns.column_of(keys[name])
        self._rows += rows
        starts, ends = block.starts[fast.read], block.ends[fast.read]
        raw = _RawCells(block.content, starts, ends, keys)
        for name, column in fast.cells.items():
            if column.values is not None:
                column.found_text = raw.text_of(name)

        def locate(row: int, column: str | None) -> tuple[int, int]:
            place = raw.position(row, column)
            return block.line_of(place), self._offset(block, place)

        lines = block.first_line + np.searchsorted(block.line_ends, starts)
        records = RawRecords(block.content, starts, ends)
        offsets = starts + self._offset(block, 0)
        return RowBlock(rows, lines, fast.cells, locate, records, offsets, name_of=lambda _row, column: keys[column])

    def _refuse_blank(self, line: int, offset: int, count: int) -> None:
        self.rows_broken += count
        found, expected = "a blank line", "an object on each line"
        severity = self._collector.row_severity
        sample = Sample(line, offset, found)
        self._collector.add(Rule.JSON_SHAPE, None, [sample], expected, count=count, severity=severity)
        if self._rejects.active:
            for start in range(0, count, _BLANKS_AT_ONCE):
                faults = RowFaults()
                rows = np.arange(min(_BLANKS_AT_ONCE, count - start), dtype=np.int64)
                faults.note(Rule.JSON_SHAPE, None, rows, expected, lambda _: found)
                self._rejects.take(faults, lambda row, first=line + start: first + row, lambda _: "")

    @property
    def _keys_at_once(self) -> int | None:
        # A line that holds several records is none: its keys are counted by record.
        return None if self._records is not None else self._plan.limits.keys

    def _records_in(self, block: JsonBlock, value: JsonValue, span: Span) -> Iterable[tuple[JsonValue, Span]]:
        """The line itself, or the elements of the array under `format.records`."""
        path = self._records
        if path is None:
            return super()._records_in(block, value, span)
        (found,), misplaced = follow([value], path.steps)
        if not misplaced and type(found) is not list:
            misplaced = {0: Misplaced(path.steps, found, "an array")}
        if misplaced:
            wrong = misplaced[0]
            self._refuse_value(block, span, wrong.steps, Rule.JSON_SHAPE, written(wrong.value)[:300], wrong.expected)
            return ()
        return self._elements_of(block, found, span._replace(path=path.steps))

    def _elements_of(self, block: JsonBlock, found: list[JsonValue], span: Span) -> Iterator[tuple[JsonValue, Span]]:
        limit = self._plan.limits.keys
        has_many = block.content.count(b":", span.start, span.end) > limit
        for number, one in enumerate(found):
            at = span._replace(path=(*span.path, number))
            if has_many and (keys := key_count(one)) > limit:
                expected = f"at most {limit:,} keys in a record"
                self._refuse_value(block, at, at.path, Rule.KEY_COUNT, f"{keys:,} keys", expected)
            else:
                yield one, at

    def _syntax_fault(self, block: JsonBlock, record: int, fault: JsonFault) -> bool:
        start = int(block.starts[record])
        line_end = block.content.find(b"\n", start)
        if 0 <= line_end < start + fault.position:  # what is missing is missing on this line, not on the next
            fault = replace(fault, position=line_end - start)
        if line_end < 0:  # only the file's last line has no line end
            last = block.content[start:].strip(WHITESPACE)
            self._judge.evidence.is_cut = last.startswith(b"{") and not last.endswith(b"}")
        return super()._syntax_fault(block, record, fault)

    def _first_keys(self, block: JsonBlock) -> dict[str, str]:
        """By which key the file's first record names each column."""
        first = parse_record(block.content[block.starts[0] : block.ends[0]], self._plan.limits.depth)
        if not isinstance(first, dict):
            return {}
        return {name: key for key in first if (name := self._columns.meant_by(key))}


class _RawCells:
    """The text of single cells of a block that was read the fast way, for messages."""

    def __init__(self, content: bytes, starts: Positions, ends: Positions, keys: Mapping[str, str]) -> None:
        self._content = content
        self._starts = starts
        self._ends = ends
        self._keys = keys

    def _raw(self, row: int) -> bytes:
        return self._content[self._starts[row] : self._ends[row]]

    def position(self, row: int, column: str | None) -> int:
        start = int(self._starts[row])
        if column is None or column not in self._keys:
            return start
        return start + value_positions(self._raw(row)).get(self._keys[column], 0)

    def text_of(self, column: str) -> Callable[[int], str]:
        def text(row: int) -> str:
            members = parse_record(self._raw(row), 1_000)
            value = members.get(self._keys[column]) if isinstance(members, dict) else None
            return "" if value is None else value if isinstance(value, str) else written(value)

        return text
