"""Names what is wrong with the bytes and the structure of a CSV block: which rule, which column, which line, which byte.

Everything is found a block at a time: a hostile file may have a fault in every other byte. Which records a fault leaves to be
read is told by the `bad` mask; nothing here looks at values.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipelines.reading.collector import REJECT, Collector
from pipelines.reading.csv_blocks import CsvBlock, Positions
from pipelines.reading.csv_cells import CellParser
from pipelines.reading.encoding import CUT_OFF, Text, is_cut_off, is_utf8, likely_encoding, utf8_faults
from pipelines.reading.evidence import Evidence
from pipelines.reading.limits import Limits
from pipelines.reading.raw import raw_text
from pipelines.reading.rejects import RowFaults
from pipelines.reading.violations import Rule, Sample

__all__ = ["CsvFaults", "Mask"]

Mask = npt.NDArray[np.bool_]

_BACKSLASH = 0x5C
_MAX_UTF8_FAULTS = 10_000
_MAX_PLACED = 1_000
"""Records of one block with a NUL that are looked at one by one; of further ones only the number is kept."""
_QUOTE_EXPECTED = {
    Rule.BARE_QUOTE: "quotes only around the whole field",
    Rule.TEXT_AFTER_QUOTE: "a delimiter after the closing quote",
}


class CsvFaults:
    """The faults of one file's blocks, put into its collector. Blocks come in file order, each followed by `advance`."""

    def __init__(self, text: Text, collector: Collector, limits: Limits, delimiter: str, evidence: Evidence) -> None:
        """Find faults in `text`, which the blocks were cut from; what they have in common goes into `evidence`."""
        self._text = text
        self._collector = collector
        self._limits = limits
        self._delimiter = delimiter
        self._evidence = evidence
        self._start = 0
        self.rows = RowFaults()
        """What is wrong with single records of the block at hand, by their position in it."""

    # ---- places ---------------------------------------------------------------------------------------------------

    def begin(self, block: CsvBlock) -> None:
        """Take the next block, before anything is asked about it."""
        self.rows = RowFaults()
        if block.byte_offset == 0:
            self._start = self._text.bom_bytes

    def advance(self, block: CsvBlock) -> None:
        """Leave a block behind."""
        self._start += self._text.original_length(block.content)

    def offset(self, block: CsvBlock, position: int) -> int:
        """The byte offset in the file's content of a position in the block at hand."""
        if self._text.is_utf8:
            return self._start + position
        return self._start + self._text.original_length(block.content[:position])

    def offsets(self, starts: Positions) -> Positions | None:
        """The byte offsets of many positions of the block at hand, where they are cheap to tell."""
        return self._start + starts if self._text.is_utf8 else None

    def one(
        self,
        block: CsvBlock,
        place: int,
        rule: Rule,
        found: str,
        expected: str,
        detail: str | None = None,
        severity: str = REJECT,
    ) -> None:
        """Report one fault of the file or a record at a position of the block."""
        sample = self.sample(block, place, found)
        self._collector.add(rule, None, [sample], expected, detail=detail, severity=severity)

    def sample(self, block: CsvBlock, place: int, found: str) -> Sample:
        """A sample at a position of the block, with the record it stands in."""
        record = int(np.searchsorted(block.ends, place, side="right"))
        raw = raw_text(block.content, int(block.starts[record]), int(block.ends[record]))
        return Sample(block.line_of(place), self.offset(block, place), found, raw)

    # ---- bytes ----------------------------------------------------------------------------------------------------

    def in_bytes(self, block: CsvBlock, bad: Mask) -> bool:
        """Report NULs and what is not UTF-8; whether there is so much of it that reading on makes no sense."""
        content = block.content
        if b"\0" in content:
            # By record, not by byte: a block of nothing but NULs would be eight million places.
            hit = np.flatnonzero(np.logical_or.reduceat(np.frombuffer(content, np.uint8) == 0, block.starts))
            places = np.array([content.index(b"\0", int(block.starts[r])) for r in hit[:_MAX_PLACED]], np.int64)
            self._record_faults(block, bad, Rule.NUL_BYTE, places, lambda _: "NUL", "text without NUL bytes")
            if len(rest := hit[_MAX_PLACED:]):
                bad[rest] = True
                self.rows.note(Rule.NUL_BYTE, None, rest, "text without NUL bytes", lambda _: "NUL")
                severity = self._collector.row_severity
                self._collector.add(
                    Rule.NUL_BYTE, None, [], "text without NUL bytes", count=len(rest), severity=severity
                )
        if self._text.is_utf8 and not is_utf8(content):
            faults = utf8_faults(content, _MAX_UTF8_FAULTS)
            found = dict(faults)
            last, octets = faults[-1]
            ends = block.is_last and last + len(octets) == len(content) and is_cut_off(octets)
            self._evidence.bad_bytes.is_cut_off |= ends
            self._evidence.bad_bytes.add((self.offset(block, p), octets) for p, octets in faults[: len(faults) - ends])
            self._record_faults(
                block, bad, Rule.ENCODING, np.array(list(found), np.int64), lambda p: found[p].hex(" "),
                "bytes in utf-8, as format.encoding declares",
                detail=CUT_OFF if ends and len(faults) == 1 else likely_encoding(faults[0][1]),
                more=lambda p: CUT_OFF if ends and p == last else likely_encoding(found[p]),
            )  # fmt: skip
            if len(faults) >= _MAX_UTF8_FAULTS:
                return True
        return False

    def _record_faults(
        self, block: CsvBlock, bad: Mask, rule: Rule, places: Positions, found: Callable[[int], str], expected: str,
        detail: str | None = None, more: Callable[[int], str | None] | None = None,
    ) -> None:  # fmt: skip
        """Report faults at positions: one breach a record, at its first such place; `more` is what there is to say of each."""
        records = np.searchsorted(block.ends, places, side="right")
        records, firsts = np.unique(records, return_index=True)
        bad[records] = True
        severity = self._collector.row_severity
        room = self._collector.wanted(rule, None, severity)
        samples = [self.sample(block, p, found(p)) for p in (int(places[i]) for i in firsts[:room])]
        self._collector.add(rule, None, samples, expected, count=len(records), detail=detail, severity=severity)
        at = places[firsts]
        self.rows.note(
            rule, None, records, expected, lambda r: found(int(at[np.searchsorted(records, r)])),
            None if more is None else lambda r: more(int(at[np.searchsorted(records, r)])),
        )  # fmt: skip

    # ---- structure ------------------------------------------------------------------------------------------------

    def in_structure(self, block: CsvBlock, bad: Mask, parser: CellParser | None) -> int | None:
        """Report wrong quotes and records that are too large; the record behind which nothing can be aligned, if any.

        Without a parser the faults are the header's own, and belong to no column.
        """
        limits, lost = self._limits, None
        if block.oversized:
            where = (
                f"a quote opened on line {block.line_of(block.open_quote)} is still open" if block.unclosed else None
            )
            lost = len(block.starts) - 1
            self.one(block, int(block.starts[lost]), Rule.RECORD_SIZE, f"more than {limits.record_bytes:,} bytes",
                     f"at most {limits.record_bytes:,} bytes a record", where and f"In it, {where}.")  # fmt: skip
        sizes = block.ends - block.starts
        if not block.oversized and int(sizes.max()) > limits.record_bytes:
            for record in np.flatnonzero(sizes > limits.record_bytes):
                bad[record] = True
                said, expected = f"{int(sizes[record]):,} bytes", f"at most {limits.record_bytes:,} bytes a record"
                is_header = record == 0 and block.byte_offset == 0
                severity = REJECT if is_header else self._collector.row_severity
                self.one(block, int(block.starts[record]), Rule.RECORD_SIZE, said, expected, severity=severity)
                self.rows.note_one(Rule.RECORD_SIZE, None, int(record), expected, said)
        if len(block.structure.faults):
            self._quotes(block, bad, parser)
        if block.unclosed and block.is_last and not block.oversized:
            place = block.open_quote
            lost = int(np.searchsorted(block.ends, place, side="right"))
            self._evidence.is_cut = not block.content.endswith((b"\n", b"\r"))
            self.one(block, place, Rule.UNCLOSED_QUOTE, self._snippet(block, place),
                     "a closing quote before the end of the file",
                     f"Everything from line {block.line_of(place)} to the end is inside this quote.")  # fmt: skip
        return lost

    def _quotes(self, block: CsvBlock, bad: Mask, parser: CellParser | None) -> None:
        """Report the first wrong quote of each record, by rule and column; those behind it are its consequence."""
        faults = block.structure.faults
        records, firsts = np.unique(np.searchsorted(block.ends, faults.positions, side="right"), return_index=True)
        firsts = firsts[~bad[records]]
        bad[records] = True
        if not len(firsts):
            return
        places, is_bare = faults.positions[firsts], faults.is_bare[firsts]
        behind = np.frombuffer(block.content, np.uint8)[np.maximum(places - 1, 0)] == _BACKSLASH
        self._evidence.quotes += len(places)
        self._evidence.escaped_quotes += int(np.count_nonzero(behind))
        fields = np.full(len(places), -1) if parser is None else self._fields(block, places, parser.width)
        for kind in np.unique(2 * fields + is_bare).tolist():
            field, rule = kind >> 1, Rule.BARE_QUOTE if kind & 1 else Rule.TEXT_AFTER_QUOTE
            column = None if parser is None or field < 0 else parser.column_name(field)
            chosen = places[(fields == field) & (is_bare == bool(kind & 1))]
            room = self._collector.wanted(rule, column)
            samples = [self.sample(block, p, self._snippet(block, p)) for p in chosen[:room].tolist()]
            detail = self._spread(block, int(chosen[0]))
            self._collector.add(rule, column, samples, _QUOTE_EXPECTED[rule], count=len(chosen), detail=detail)

    def _fields(self, block: CsvBlock, places: Positions, width: int) -> Positions:
        """In which field of its record each place is, from 0; all behind the header's last are `width`."""
        starts = block.starts[np.searchsorted(block.ends, places, side="right")]
        marks = self.delimiters(block)
        return np.minimum(np.searchsorted(marks, places) - np.searchsorted(marks, starts), width)

    def delimiters(self, block: CsvBlock) -> Positions:
        """Where the block's delimiters are, outside quotes."""
        marks = np.flatnonzero(np.frombuffer(block.content, np.uint8) == ord(self._delimiter))
        return marks[~block.inside_quotes(marks)] if len(block.structure.opens) else marks

    def _spread(self, block: CsvBlock, place: int) -> str | None:
        """A sentence for a quote on another line than its record's first."""
        first = int(block.lines[np.searchsorted(block.ends, place, side="right")])
        if block.line_of(place) == first:
            return None
        return f"The record starts on line {first}: a quote opened there is closed here."

    def _snippet(self, block: CsvBlock, place: int) -> str:
        """The text around a place of a block, on its line."""
        start = max(place - 24, block.content.rfind(b"\n", 0, place) + 1)
        return block.content[start : place + 40].split(b"\n")[0].decode("utf-8", "replace").strip("\r\ufffd")
