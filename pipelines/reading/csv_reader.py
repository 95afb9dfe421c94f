"""Reads CSV: header, rows, cells. Every record is accounted for: read, or named with what is wrong with it.

pyarrow only cuts records into cells here, all of them as text; what a block's structure is has been settled before
(`csv_blocks.py`), and what a text means is settled after (`conversion.py`). Records with a fault of structure are left
out of what pyarrow sees, and the number of rows it returns must be the number of records it was given.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.contracts.model import CsvFormat
from pipelines.reading.collector import Collector, StopReading
from pipelines.reading.csv_blocks import BLOCK_BYTES, CsvBlock, Positions, split
from pipelines.reading.csv_cells import CellParser, RaggedError, split_record
from pipelines.reading.encoding import Text, is_utf8, likely_encoding, utf8_faults
from pipelines.reading.headers import Matching, likely_delimiter, likely_name, match_columns
from pipelines.reading.rows import Plan, RowBlock, RowJudge
from pipelines.reading.violations import Rule, Sample

__all__ = ["CsvReader"]

_MAX_UTF8_FAULTS = 10_000
_BLANK_SLICE = 65_536
_MAX_PLACED = 1_000
"""Quote faults of one block whose column is looked up; of further ones only the number is kept."""
_QUOTE_EXPECTED = {
    Rule.BARE_QUOTE: "quotes only around the whole field",
    Rule.TEXT_AFTER_QUOTE: "a delimiter after the closing quote",
}
_BOM = b"\xef\xbb\xbf"
_MAX_HEADERS = 1_000
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Header:
    """A header without a fault, matched before in another file of the dataset."""

    parser: CellParser


class CsvReader:
    """Reads one CSV file into a judge. Use once."""

    def __init__(self, plan: Plan, text: Text, collector: Collector, judge: RowJudge, block_bytes: int = BLOCK_BYTES):
        """Read `text` under the plan's contract."""
        form = plan.dataset.format
        assert isinstance(form, CsvFormat)  # noqa: S101 - the caller chose this reader by the format
        self._plan = plan
        self._text = text
        self._collector = collector
        self._judge = judge
        self._block_bytes = block_bytes
        self._delimiter = "\t" if form.type == "tsv" else form.delimiter
        self._names: tuple[str, ...] = ()
        self._parser: CellParser | None = None
        self._original_start = 0
        self._blank: tuple[int, int, int] | None = None  # first line, byte offset, count of blank lines held back
        self._whole: int | None = None  # in the block at hand: the record at which alignment is lost
        self.rows_broken = 0

    @property
    def source_columns(self) -> tuple[str, ...]:
        """The header's names."""
        return self._names

    def read(self) -> None:
        """Read everything. Raises StopReading behind a fault that ends the file, StreamFault from the text."""
        for block in split(self._text, self._delimiter, self._plan.limits.record_bytes, self._block_bytes):
            if block.byte_offset == 0:
                self._original_start = self._text.bom_bytes
            self._read_block(block)
            self._original_start += self._original_length(block.content)

    def _original_length(self, content: bytes) -> int:
        return len(content) if self._text.is_utf8 else self._text.original_length(content)

    def _offset(self, block: CsvBlock, position: int) -> int:
        """The byte offset in the file's content of a position in a block."""
        if self._text.is_utf8:
            return self._original_start + position
        return self._original_start + self._text.original_length(block.content[:position])

    # ---- a block --------------------------------------------------------------------------------------------------

    def _read_block(self, block: CsvBlock) -> None:
        bad: _Mask = np.zeros(len(block.starts), np.bool_)
        fatal = self._bytes_faults(block, bad)
        first = 0
        if self._parser is None:
            if self._header_is_broken(block):
                self._structure_faults(block, bad)
                raise StopReading
            first = self._header(block, bad)
            if self._parser is None:
                return
        self._structure_faults(block, bad)
        kept = self._without_blank(block, bad, first)
        self._rows(block, kept)
        if fatal is not None:
            raise StopReading

    def _bytes_faults(self, block: CsvBlock, bad: _Mask) -> bool | None:
        content = block.content
        if b"\0" in content:
            # By record, not by byte: a block of nothing but NULs would be eight million places.
            hit = np.flatnonzero(np.logical_or.reduceat(np.frombuffer(content, np.uint8) == 0, block.starts))
            places = np.array([content.index(b"\0", int(block.starts[r])) for r in hit[:_MAX_PLACED]], np.int64)
            self._record_faults(block, bad, Rule.NUL_BYTE, places, lambda _: "NUL", "text without NUL bytes")
            if len(hit) > _MAX_PLACED:
                bad[hit] = True
                self._collector.add(Rule.NUL_BYTE, None, [], "text without NUL bytes", count=len(hit) - _MAX_PLACED)
        if self._text.is_utf8 and not is_utf8(content):
            faults = utf8_faults(content, _MAX_UTF8_FAULTS)
            found = dict(faults)
            self._record_faults(
                block, bad, Rule.ENCODING, np.array(list(found), np.int64), lambda p: found[p].hex(" "),
                "bytes in utf-8, as format.encoding declares", detail=likely_encoding(faults[0][1]),
            )  # fmt: skip
            if len(faults) >= _MAX_UTF8_FAULTS:
                return True
        return None

    def _record_faults(
        self, block: CsvBlock, bad: _Mask, rule: Rule, places: Positions, found: Callable[[int], str], expected: str,
        detail: str | None = None,
    ) -> None:  # fmt: skip
        """Report faults at positions: one breach a record, at its first such place."""
        records = np.searchsorted(block.ends, places, side="right")
        records, firsts = np.unique(records, return_index=True)
        bad[records] = True
        room = self._collector.room(rule, None)
        samples = [
            Sample(block.line_of(p), self._offset(block, p), found(p)) for p in (int(places[i]) for i in firsts[:room])
        ]
        self._collector.add(rule, None, samples, expected, count=len(records), detail=detail)

    def _structure_faults(self, block: CsvBlock, bad: _Mask) -> None:
        limits = self._plan.limits
        last = len(block.starts) - 1
        if block.oversized:
            where = (
                f"a quote opened on line {block.line_of(block.open_quote)} is still open" if block.unclosed else None
            )
            self._fatal(block, last, Rule.RECORD_SIZE, f"more than {limits.record_bytes:,} bytes",
                        f"at most {limits.record_bytes:,} bytes a record", where and f"In it, {where}.")  # fmt: skip
        sizes = block.ends - block.starts
        if not block.oversized and int(sizes.max()) > limits.record_bytes:
            for record in np.flatnonzero(sizes > limits.record_bytes):
                bad[record] = True
                self._one(block, int(block.starts[record]), Rule.RECORD_SIZE, f"{int(sizes[record]):,} bytes",
                          f"at most {limits.record_bytes:,} bytes a record")  # fmt: skip
        if block.structure.faults:
            self._quote_faults(block, bad)
        if block.unclosed and block.is_last and not block.oversized:
            self._fatal(block, block.open_quote, Rule.UNCLOSED_QUOTE, self._snippet(block, block.open_quote),
                        "a closing quote before the end of the file",
                        f"Everything from line {block.line_of(block.open_quote)} to the end is inside this quote.")  # fmt: skip

    def _quote_faults(self, block: CsvBlock, bad: _Mask) -> None:
        """Report the first wrong quote of each record; those behind it are its consequence."""
        faults = block.structure.faults
        records = np.searchsorted(block.ends, np.array([f.position for f in faults], np.int64), side="right")
        records, firsts = np.unique(records, return_index=True)
        chosen = [(r, faults[i]) for r, i in zip(records.tolist(), firsts.tolist(), strict=True) if not bad[r]]
        bad[records] = True
        for rule, expected in _QUOTE_EXPECTED.items():
            further = [fault for _, fault in chosen[_MAX_PLACED:] if fault.rule is rule]
            if further:
                self._one(block, further[0].position, rule, self._snippet(block, further[0].position), expected,
                          count=len(further))  # fmt: skip
        for record, fault in chosen[:_MAX_PLACED]:
            column = self._column_at(block, record, fault.position)
            line, first_line = block.line_of(fault.position), int(block.lines[record])
            detail = (
                f"The record starts on line {first_line}: a quote opened there is closed here."
                if line > first_line
                else None
            )
            sample = Sample(line, self._offset(block, fault.position), self._snippet(block, fault.position))
            self._collector.add(fault.rule, column, [sample], _QUOTE_EXPECTED[fault.rule], detail=detail)

    def _column_at(self, block: CsvBlock, record: int, place: int) -> str | None:
        if self._parser is None:
            return None
        fields = split_record(block.content[int(block.starts[record]) : int(block.ends[record])], self._delimiter)
        within = place - int(block.starts[record])
        index = sum(1 for f in fields if f.start <= within) - 1
        return self._parser.column_name(index)

    def _snippet(self, block: CsvBlock, place: int) -> str:
        """The text around a place of a block, on its line."""
        start = max(place - 24, block.content.rfind(b"\n", 0, place) + 1)
        return block.content[start : place + 40].split(b"\n")[0].decode("utf-8", "replace").strip("\r\ufffd")

    def _one(
        self,
        block: CsvBlock,
        place: int,
        rule: Rule,
        found: str,
        expected: str,
        detail: str | None = None,
        count: int = 1,
    ) -> None:
        sample = Sample(block.line_of(place), self._offset(block, place), found)
        self._collector.add(rule, None, [sample], expected, detail=detail, count=count)

    def _fatal(
        self, block: CsvBlock, place: int, rule: Rule, found: str, expected: str, detail: str | None = None
    ) -> None:
        """Report a fault behind which nothing can be aligned; the whole records before it are still judged."""
        if rule is Rule.RECORD_SIZE:
            place = int(block.starts[place])
        self._one(block, place, rule, found, expected, detail)
        record = int(np.searchsorted(block.ends, place, side="right"))
        self._whole = record

    # ---- the header -----------------------------------------------------------------------------------------------

    def _header_is_broken(self, block: CsvBlock) -> bool:
        """Whether the first record is cut off, never ends, or has a wrong quote."""
        ends = block.is_last and (block.oversized or block.unclosed) and len(block.ends) == 1
        return ends or any(f.position < block.ends[0] for f in block.structure.faults)

    def _header(self, block: CsvBlock, bad: _Mask) -> int:
        """Match the header; returns the first record behind it. Leaves the parser unset when there is no content."""
        record = 0
        raw = block.content[: int(block.ends[0])]
        if bad[0]:
            raise StopReading
        if not raw.strip(b"\r\n"):
            if not block.content.strip(b"\r\n") and block.is_last:
                return 0
            self._one(block, 0, Rule.HEADER_MISSING, "a blank first line", "a first line that names the columns")
            raise StopReading
        limits = self._plan.limits
        if raw.count(self._delimiter.encode()) >= 2 * limits.columns + 2:
            self._too_many(block, f"more than {2 * limits.columns:,} columns")
        fields = split_record(raw, self._delimiter)
        if len(fields) > limits.columns:
            self._too_many(block, f"{len(fields):,} columns")
        self._names = tuple(f.text for f in fields)
        known = self._plan.headers.get(self._names)
        if isinstance(known, _Header):
            self._parser = known.parser
            return record + 1
        self._check_names(block, [f.start for f in fields], raw)
        matching = match_columns(self._plan.dataset, self._names)
        self._check_matching(block, [f.start for f in fields], matching, raw)
        if self._plan.dataset.file_columns and not matching.positions:
            raise StopReading  # not one column is known: whatever follows says nothing
        self._parser = CellParser(self._plan, self._names, matching, self._delimiter)
        if not self._collector.rejecting and len(self._plan.headers) < _MAX_HEADERS:
            self._plan.headers[self._names] = _Header(self._parser)
        return record + 1

    def _too_many(self, block: CsvBlock, found: str) -> None:
        self._one(block, 0, Rule.COLUMN_COUNT, found, f"at most {self._plan.limits.columns:,} columns")
        raise StopReading

    def _check_names(self, block: CsvBlock, starts: list[int], raw: bytes) -> None:
        seen: dict[str, int] = {}
        fatal = False
        for position, name in enumerate(self._names):
            sample = Sample(1, self._offset(block, min(starts[position], len(raw))), name)
            if not name.strip():
                fatal = True
                self._collector.add(
                    Rule.HEADER_BLANK, None, [sample], f"a name for column {position + 1} of {len(self._names)}"
                )
            elif name in seen:
                fatal = True
                expected = f"each name once; column {seen[name] + 1} has it already"
                self._collector.add(Rule.HEADER_DUPLICATE, name, [sample], expected)
            else:
                seen[name] = position
        if fatal:
            raise StopReading

    def _check_matching(self, block: CsvBlock, starts: list[int], matching: Matching, raw: bytes) -> None:
        dataset, text = self._plan.dataset, raw.decode("utf-8", "replace").rstrip("\r\n")
        extra = [self._names[p] for p in matching.extra]
        for fault in matching.collisions:
            place = self._offset(block, starts[fault.position or 0])
            self._collector.add(Rule.HEADER_DUPLICATE, fault.column, [Sample(1, place, fault.found)], fault.expected)
        delimiter = likely_delimiter(text, self._delimiter, dataset) if matching.missing else None
        for name in matching.missing:
            if not self._allowed_to_miss(name):
                detail = delimiter or likely_name(name, dataset, extra)
                self._collector.add(Rule.COLUMN_MISSING, name, [Sample(1, self._offset(block, 0), text)],
                                    f"a column {name} in the header", detail=detail)  # fmt: skip
        if dataset.schema_.new_columns == "reject":
            for position in matching.extra:
                sample = Sample(1, self._offset(block, starts[position]), self._names[position])
                self._collector.add(Rule.COLUMN_UNEXPECTED, self._names[position], [sample],
                                    "only columns that the contract knows", detail=delimiter)  # fmt: skip

    def _allowed_to_miss(self, name: str) -> bool:
        return (
            self._plan.dataset.schema_.missing_columns == "allow" and self._plan.rules[name].required_rule is None
        )  # fmt: skip

    # ---- the rows -------------------------------------------------------------------------------------------------

    def _without_blank(self, block: CsvBlock, bad: _Mask, first: int) -> Positions:
        """The records to parse: whole, not blank, behind the header. Blank lines at the very end do not count."""
        parser = self._parser
        assert parser is not None  # noqa: S101 - the header has been read
        end = len(block.starts) if self._whole is None else self._whole
        blank = _blank(block)
        good = ~bad
        good[:first] = False
        good[end:] = False
        last_text = end - 1
        if blank is not None and end == len(block.starts):
            texts = np.flatnonzero(~blank)
            last_text = int(texts[-1]) if len(texts) else -1
        if last_text >= first or self._whole is not None:
            self._flush_blank(parser)
        if blank is not None:
            inner = np.flatnonzero(blank[first : last_text + 1]) + first
            if len(inner) and parser.width > 1:
                good[inner] = False
                bad[inner] = True
                self._short_blank(block, inner)
            tail = max(last_text + 1, first)
            if tail < end:
                good[tail:end] = False
                self._hold_blank(int(block.lines[tail]), self._offset(block, int(block.starts[tail])), end - tail)
        self.rows_broken += int(bad[first:end].sum())
        return np.flatnonzero(good)

    def _short_blank(self, block: CsvBlock, records: Positions) -> None:
        room = self._collector.room(Rule.SHORT_ROW, None)
        samples = [
            Sample(int(block.lines[r]), self._offset(block, int(block.starts[r])), "") for r in records[:room]
        ]  # fmt: skip
        self._collector.add(
            Rule.SHORT_ROW, None, samples, f"{len(self._names)} fields; the line is blank", count=len(records)
        )

    def _hold_blank(self, line: int, offset: int, count: int) -> None:
        held = self._blank
        self._blank = (line, offset, count) if held is None else (held[0], held[1], held[2] + count)

    def _flush_blank(self, parser: CellParser) -> None:
        """Rows follow: the blank lines that were held back stand in the middle of the file."""
        if self._blank is None:
            return
        line, offset, count = self._blank
        self._blank = None
        if parser.width > 1:
            self.rows_broken += count
            expected = f"{len(self._names)} fields; the line is blank"
            self._collector.add(Rule.SHORT_ROW, None, [Sample(line, offset, "")], expected, count=count)
            return
        for start in range(0, count, _BLANK_SLICE):
            rows = min(_BLANK_SLICE, count - start)
            lines = np.arange(line + start, line + start + rows, dtype=np.int64)
            cells = parser.cells(pa.nulls(rows, pa.string()), has_quotes=False)
            self._judge.judge(RowBlock(rows, lines, cells, lambda _row, _column: None))

    def _rows(self, block: CsvBlock, records: Positions) -> None:
        parser = self._parser
        assert parser is not None  # noqa: S101 - the header has been read
        if len(records):
            try:
                columns = parser.parse(_chosen(block, records), len(records))
            except RaggedError:
                records = self._ragged(block, records)
                columns = self._parse_again(block, records) if len(records) else None
            if columns is not None:
                columns, records = self._oversized_cells(block, columns, records)
                self._judge.judge(self._row_block(block, columns, records))
        if block.oversized or (block.unclosed and block.is_last):
            raise StopReading

    def _parse_again(self, block: CsvBlock, records: Positions) -> list[pa.Array]:
        assert self._parser is not None  # noqa: S101 - the header has been read
        try:
            return self._parser.parse(_chosen(block, records), len(records))
        except RaggedError:
            return self._parser.parse_slowly([block.content[block.starts[r] : block.ends[r]] for r in records])

    def _row_block(self, block: CsvBlock, columns: list[pa.Array], records: Positions) -> RowBlock:
        parser = self._parser
        assert parser is not None  # noqa: S101 - the header has been read

        def locate(row: int, column: str | None) -> int:
            start, end = int(block.starts[records[row]]), int(block.ends[records[row]])
            index = parser.position(column)
            if index is None:
                return self._offset(block, start)
            return self._offset(block, start + split_record(block.content[start:end], self._delimiter)[index].start)

        has_quotes = len(block.structure.opens) > 0
        lines = block.lines[records] if len(records) != len(block.lines) else block.lines
        offsets = self._original_start + block.starts[records] if self._text.is_utf8 else None
        return RowBlock(
            len(records),
            lines,
            parser.matched(columns, has_quotes=has_quotes),
            locate,
            offsets,
            parser.rescued(columns),
        )

    def _ragged(self, block: CsvBlock, records: Positions) -> Positions:
        """Report rows with too few or too many fields; returns the records with the right number."""
        octets = np.frombuffer(block.content, np.uint8)
        marks = np.flatnonzero(octets == ord(self._delimiter))
        if len(block.structure.opens):
            marks = marks[~block.inside_quotes(marks)]
        fields = (
            np.searchsorted(marks, block.ends[records]) - np.searchsorted(marks, block.starts[records]) + 1
        )  # fmt: skip
        width = len(self._names)
        for rule, wrong in ((Rule.SHORT_ROW, fields < width), (Rule.LONG_ROW, fields > width)):
            rows = np.flatnonzero(wrong)
            if not len(rows):
                continue
            room = self._collector.room(rule, None)
            samples = [self._row_sample(block, int(records[r]), int(fields[r])) for r in rows[:room]]
            self._collector.add(rule, None, samples, f"{width} fields, as in the header", count=len(rows))
            self.rows_broken += len(rows)
        return records[fields == width]

    def _row_sample(self, block: CsvBlock, record: int, fields: int) -> Sample:
        start, end = int(block.starts[record]), int(block.ends[record])
        text = block.content[start : min(end, start + 1_000)].decode("utf-8", "replace").rstrip("\r\n")
        return Sample(
            int(block.lines[record]), self._offset(block, start), f"{fields} field{'' if fields == 1 else 's'}: {text}"
        )

    def _oversized_cells(
        self, block: CsvBlock, columns: list[pa.Array], records: Positions
    ) -> tuple[list[pa.Array], Positions]:
        """Report cells beyond the limit; returns the rows without them."""
        limit = self._plan.limits.cell_bytes
        if int((block.ends - block.starts).max()) <= limit:
            return columns, records
        parser = self._parser
        assert parser is not None  # noqa: S101 - the header has been read
        wrong: _Mask = np.zeros(len(records), np.bool_)
        for index, column in enumerate(columns):
            offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
            rows = np.flatnonzero(np.diff(offsets) > limit)
            if len(rows):
                wrong[rows] = True
                samples = [
                    Sample(int(block.lines[records[r]]), self._offset(block, int(block.starts[records[r]])),
                           f"{int(offsets[r + 1] - offsets[r]):,} bytes")
                    for r in rows[:10]
                ]  # fmt: skip
                self._collector.add(Rule.CELL_SIZE, parser.column_name(index), samples, f"at most {limit:,} bytes a cell",
                                    count=len(rows))  # fmt: skip
        if not wrong.any():
            return columns, records
        self.rows_broken += int(wrong.sum())
        keep = pa.array(~wrong)
        return [c.filter(keep) for c in columns], records[~wrong]


def _blank(block: CsvBlock) -> _Mask | None:
    """Which records are nothing but a line end; None when none is."""
    sizes = block.ends - block.starts
    if int(sizes.min()) > 2:
        return None
    octets = np.frombuffer(block.content, np.uint8)
    first = octets[block.starts]
    blank = ((first == 0x0A) & (sizes == 1)) | ((first == 0x0D) & (sizes <= 2))
    return blank if blank.any() else None


def _chosen(block: CsvBlock, records: Positions) -> bytes:
    """The bytes of some records, one after another."""
    content = block.content
    if len(records) == len(block.starts):
        chosen = content
    else:
        breaks = np.flatnonzero(np.diff(records) != 1) + 1
        firsts = records[np.concatenate((np.zeros(1, np.int64), breaks))]
        lasts = records[np.concatenate((breaks - 1, np.array([len(records) - 1])))]
        spans = zip(block.starts[firsts].tolist(), block.ends[lasts].tolist(), strict=True)
        chosen = b"".join(content[start:end] for start, end in spans)
    # pyarrow skips a byte order mark at the start of what it is given, where here it is text; and at the end of input it takes
    # an empty last field for a quoted one (`"",` without a line end gives '' and not null).
    if chosen.startswith(_BOM):
        chosen = _BOM + chosen
    return chosen if chosen[-1:] in (b"\n", b"\r") else chosen + b"\n"
