"""Reads CSV: header, rows, cells. Every record is accounted for: read, or named with what is wrong with it.

pyarrow only cuts records into cells here, all of them as text; what a block's structure is has been settled before
(`csv_blocks.py`), and what a text means is settled after (`conversion.py`). Records with a fault of structure
(`csv_faults.py`) are left out of what pyarrow sees, and the number of rows it returns must be the number of records it was given.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.contracts.model import CsvFormat
from pipelines.printable import spoken
from pipelines.reading.collector import Collector, StopReading
from pipelines.reading.csv_blocks import BLOCK_BYTES, CsvBlock, Positions, split
from pipelines.reading.csv_cells import CellParser, RaggedError, split_record
from pipelines.reading.csv_faults import CsvFaults, Mask
from pipelines.reading.csv_header import CsvHeader, is_broken
from pipelines.reading.csv_widths import RowWidths
from pipelines.reading.delimiters import CANDIDATES, SNIFFED_BYTES, sniff
from pipelines.reading.encoding import Text
from pipelines.reading.pieces import with_head
from pipelines.reading.raw import RawRecords, raw_text
from pipelines.reading.rejects import RowFaults, RowRejects
from pipelines.reading.row_blocks import RowBlock
from pipelines.reading.rows import Plan, RowJudge
from pipelines.reading.violations import Rule, Sample

__all__ = ["CsvReader"]

_SCORES_SHOWN = 4
_BLANK_SLICE = 65_536
_BOM = b"\xef\xbb\xbf"


class CsvReader:
    """Reads one CSV file into a judge. Use once."""

    def __init__(
        self,
        plan: Plan,
        text: Text,
        collector: Collector,
        judge: RowJudge,
        rejects: RowRejects,
        block_bytes: int = BLOCK_BYTES,
        pinned: str | None = None,
    ) -> None:
        """Read `text` under the plan's contract. Whole rows go to the judge, broken ones to `rejects`.

        `pinned` is the delimiter where the contract leaves it to the files and an earlier one has told it.
        """
        form = plan.dataset.format
        assert isinstance(form, CsvFormat)  # noqa: S101 - the caller chose this reader by the format
        self._plan = plan
        self._text = text
        self._collector = collector
        self._judge = judge
        self._rejects = rejects
        self._block_bytes = block_bytes
        self._sniffs = form.sniffs_delimiter and pinned is None
        self.delimiter = pinned if form.sniffs_delimiter else None
        self.delimiter_score: float | None = None
        self._use(
            (pinned or CANDIDATES[0]) if form.sniffs_delimiter else "\t" if form.type == "tsv" else form.delimiter
        )
        self._parser: CellParser | None = None
        self._blank: tuple[int, int, int] | None = None  # first line, byte offset, count of blank lines held back
        self.rows_broken = 0

    def _use(self, delimiter: str) -> None:
        """Read with a delimiter; only before anything is read."""
        evidence = self._judge.evidence
        self._delimiter = delimiter
        self._faults = CsvFaults(self._text, self._collector, self._plan.limits, delimiter, evidence)
        self._header = CsvHeader(self._plan, self._collector, self._faults, delimiter, evidence)
        self._widths = RowWidths(self._faults, self._collector, evidence, delimiter)

    def _sniff(self) -> Iterator[bytes]:
        """Tell the delimiter from the first bytes, and hand on all of them. Raises StopReading where it cannot be told.

        A header of one name, without any rows that speak for a delimiter, tells none: `delimiter` stays None.
        """
        head, pieces = with_head(self._text, SNIFFED_BYTES)
        if not head.strip(b"\r\n"):
            return pieces
        plan = self._plan
        required = [n for n in plan.dataset.file_columns if not self._header.allowed_to_miss(n)]
        scores, told = sniff(plan.dataset, required, head, is_whole=len(head) < SNIFFED_BYTES)
        if told is None:
            found = ", ".join(f"{spoken(score.delimiter)} {score.value:.2f}" for score in scores[:_SCORES_SHOWN])
            sample = Sample(1, self._text.bom_bytes, found, raw_text(head, 0, len(head.splitlines(keepends=True)[0])))
            expected = "a delimiter with which the header names the contract's columns (score 1.00)"
            self._collector.add(Rule.DELIMITER, None, [sample], expected)
            raise StopReading
        self._use(told.delimiter)
        if told.width > 1:
            self.delimiter, self.delimiter_score = told.delimiter, told.value
        return pieces

    @property
    def source_columns(self) -> tuple[str, ...]:
        """The header's names."""
        return self._header.names

    @property
    def new_columns(self) -> Mapping[str, str]:
        """Columns to add to the table: the file's name to the table's."""
        return {} if self._parser is None else self._parser.new_columns

    def read(self) -> None:
        """Read everything. Raises StopReading behind a fault that ends the file, StreamFault from the text."""
        pieces = self._sniff() if self._sniffs else self._text
        blocks = split(pieces, self._delimiter, self._plan.limits.record_bytes, self._block_bytes)
        for block in blocks:
            self._faults.begin(block)
            try:
                self._read_block(block)
            except StopReading:
                if self._parser is None:
                    self._header.look_on(block, blocks)
                raise
            if self._rejects.active:
                self._reject(block)
            self._faults.advance(block)

    def _reject(self, block: CsvBlock) -> None:
        """Hand over the broken records of the block."""
        raw = RawRecords(block.content, block.starts, block.ends)
        self._rejects.take(self._faults.rows, lambda record: int(block.lines[record]), raw)

    def _read_block(self, block: CsvBlock) -> None:
        bad: Mask = np.zeros(len(block.starts), np.bool_)
        is_hopeless = self._faults.in_bytes(block, bad)
        first = 0
        if self._parser is None:
            if not self._header.is_in(block):
                return
            self._header.check_size(block)
            if is_broken(block):
                self._faults.in_structure(block, bad, None)
                raise StopReading
            if bad[0]:
                raise StopReading
            self._parser, first = self._header.read(block), 1
            self._judge.held = bool(self._parser.new_columns)
        lost = self._faults.in_structure(block, bad, self._parser)
        kept = self._without_blank(block, bad, first, lost)
        self._rows(block, kept, is_text=not is_hopeless)
        if is_hopeless:
            raise StopReading

    # ---- the rows -------------------------------------------------------------------------------------------------

    def _without_blank(self, block: CsvBlock, bad: Mask, first: int, lost: int | None) -> Positions:
        """The records to parse: whole, not blank, behind the header. Blank lines at the very end do not count."""
        parser = self._parser
        assert parser is not None  # noqa: S101 - the header has been read
        end = len(block.starts) if lost is None else lost
        blank = _blank(block)
        good = ~bad
        good[:first] = False
        good[end:] = False
        last_text = end - 1
        if blank is not None and end == len(block.starts):
            texts = np.flatnonzero(~blank)
            last_text = int(texts[-1]) if len(texts) else -1
        if last_text >= first or lost is not None:
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
                self._hold_blank(
                    int(block.lines[tail]), self._faults.offset(block, int(block.starts[tail])), end - tail
                )
        self.rows_broken += int(bad[first:end].sum())
        return np.flatnonzero(good)

    def _short_blank(self, block: CsvBlock, records: Positions) -> None:
        severity = self._collector.row_severity
        room = self._collector.wanted(Rule.SHORT_ROW, None, severity)
        samples = [self._faults.sample(block, int(block.starts[r]), "") for r in records[:room]]
        expected = f"{len(self._header.names)} fields; the line is blank"
        self._collector.add(Rule.SHORT_ROW, None, samples, expected, count=len(records), severity=severity)
        self._faults.rows.note(Rule.SHORT_ROW, None, records, expected, lambda _: "")

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
            expected = f"{len(self._header.names)} fields; the line is blank"
            severity = self._collector.row_severity
            self._collector.add(
                Rule.SHORT_ROW, None, [Sample(line, offset, "")], expected, count=count, severity=severity
            )
            if self._rejects.active:
                self._reject_blank(line, count, expected)
            return
        for start in range(0, count, _BLANK_SLICE):
            rows = min(_BLANK_SLICE, count - start)
            lines = np.arange(line + start, line + start + rows, dtype=np.int64)
            cells = parser.cells(pa.nulls(rows, pa.string()), has_quotes=False)

            def locate(row: int, _column: str | None, start: int = start) -> tuple[int, int | None]:
                return (
                    line + start + row,
                    offset if start + row == 0 else None,
                )  # how each line ends is not known any more

            self._judge.judge(RowBlock(rows, lines, cells, locate, lambda _row: ""))

    def _reject_blank(self, line: int, count: int, expected: str) -> None:
        for start in range(0, count, _BLANK_SLICE):
            faults = RowFaults()
            rows = np.arange(min(_BLANK_SLICE, count - start), dtype=np.int64)
            faults.note(Rule.SHORT_ROW, None, rows, expected, lambda _: "")
            self._rejects.take(faults, lambda row, first=line + start: first + row, lambda _: "")

    def _rows(self, block: CsvBlock, records: Positions, *, is_text: bool) -> None:
        parser = self._parser
        assert parser is not None  # noqa: S101 - the header has been read
        if len(records):
            columns, records = self._cut(parser, block, records, is_text=is_text)
            if len(records):
                columns, records = self._repeated_headers(block, columns, records)
                columns, records = self._oversized_cells(block, columns, records)
                self._judge.judge(self._row_block(block, columns, records))
        if block.oversized or (block.unclosed and block.is_last):
            raise StopReading

    def _cut(
        self, parser: CellParser, block: CsvBlock, records: Positions, *, is_text: bool
    ) -> tuple[Sequence[pa.Array], Positions]:
        """The cells of the records that have the header's number of fields, and these records; the others are reported."""
        width = parser.width
        try:
            columns, skipped = parser.parse(_chosen(block, records), len(records), skips=is_text)
            fields = self._widths.of_skipped(block, records, skipped, width) if skipped else None
            if skipped and fields is None:
                raise RaggedError
        except RaggedError:
            columns, fields = None, self._widths.of_all(block, records)
        if fields is not None:
            self.rows_broken += self._widths.report(block, records, fields, width)
            records = records[fields == width]
        if columns is None and len(records):
            try:
                columns, _ = parser.parse(_chosen(block, records), len(records))
            except RaggedError:
                columns = parser.parse_slowly([block.content[block.starts[r] : block.ends[r]] for r in records])
        return columns or [], records

    def _row_block(self, block: CsvBlock, columns: Sequence[pa.Array], records: Positions) -> RowBlock:
        parser = self._parser
        assert parser is not None  # noqa: S101 - the header has been read

        def locate(row: int, column: str | None) -> tuple[int, int]:
            start, end = int(block.starts[records[row]]), int(block.ends[records[row]])
            index, place = parser.position(column), start
            if index is not None:
                place += split_record(block.content[start:end], self._delimiter)[index].start
            return int(block.lines[records[row]]), self._faults.offset(block, place)

        has_quotes = len(block.structure.opens) > 0
        lines = block.lines[records] if len(records) != len(block.lines) else block.lines
        offsets = self._faults.offsets(block.starts[records])
        return RowBlock(
            len(records),
            lines,
            parser.matched(columns, has_quotes=has_quotes),
            locate,
            RawRecords(block.content, block.starts[records], block.ends[records]),
            offsets,
            parser.rescued(columns),
            parser.name_of,
        )

    def _repeated_headers(
        self, block: CsvBlock, columns: Sequence[pa.Array], records: Positions
    ) -> tuple[Sequence[pa.Array], Positions]:
        """Report rows that are the header once more, as in files joined into one; returns the rows without them."""
        parser = self._parser
        assert parser is not None  # noqa: S101 - the header has been read
        repeated = parser.repeats_header(columns)
        if repeated is None:
            return columns, records
        rows = np.flatnonzero(repeated)
        severity, expected = self._collector.row_severity, "the header in line 1 only"
        room = self._collector.wanted(Rule.HEADER_REPEATED, None, severity)
        samples = [self._widths.sample(block, int(records[r]), parser.width) for r in rows[:room]]
        self._collector.add(Rule.HEADER_REPEATED, None, samples, expected, count=len(rows), severity=severity)
        self._faults.rows.note(Rule.HEADER_REPEATED, None, records[rows], expected, lambda _: "the header")
        self.rows_broken += len(rows)
        keep = pa.array(~repeated)
        return [c.filter(keep) if len(c) else c for c in columns], records[~repeated]

    def _oversized_cells(
        self, block: CsvBlock, columns: Sequence[pa.Array], records: Positions
    ) -> tuple[Sequence[pa.Array], Positions]:
        """Report cells beyond the limit; returns the rows without them."""
        limit = self._plan.limits.cell_bytes
        if int((block.ends - block.starts).max()) <= limit:
            return columns, records
        parser = self._parser
        assert parser is not None  # noqa: S101 - the header has been read
        wrong: Mask = np.zeros(len(records), np.bool_)
        for index, column in enumerate(columns):
            offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
            rows = np.flatnonzero(np.diff(offsets) > limit)
            if len(rows):
                wrong[rows] = True
                severity, expected = self._collector.row_severity, f"at most {limit:,} bytes a cell"
                samples = [
                    self._faults.sample(block, int(block.starts[records[r]]), f"{int(offsets[r + 1] - offsets[r]):,} bytes")
                    for r in rows[:10]
                ]  # fmt: skip
                name = parser.column_name(index)
                self._collector.add(Rule.CELL_SIZE, name, samples, expected, count=len(rows), severity=severity)
                self._faults.rows.note(
                    Rule.CELL_SIZE,
                    name,
                    records[rows],
                    expected,
                    _sizes(records, np.diff(offsets)),
                )
        if not wrong.any():
            return columns, records
        self.rows_broken += int(wrong.sum())
        keep = pa.array(~wrong)
        return [c.filter(keep) if len(c) else c for c in columns], records[~wrong]


def _sizes(records: Positions, sizes: npt.NDArray[np.int32]) -> Callable[[int], str]:
    return lambda record: f"{int(sizes[np.searchsorted(records, record)]):,} bytes"


def _blank(block: CsvBlock) -> Mask | None:
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
