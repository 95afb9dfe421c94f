"""Reads a CSV file's header: which columns the file has, and whether they are the contract's."""

from collections.abc import Iterator
from itertools import chain

from pipelines.reading.collector import Collector, StopReading
from pipelines.reading.csv_blocks import CsvBlock
from pipelines.reading.csv_cells import CellParser, split_record
from pipelines.reading.csv_faults import CsvFaults
from pipelines.reading.delimiters import better, field_counts, rows_that_fit
from pipelines.reading.evidence import Evidence
from pipelines.reading.header_causes import line_of_names, renames, values_in_order
from pipelines.reading.headers import Matching, likely_delimiter, likely_name, match_columns
from pipelines.reading.new_columns import NameFault, NewColumns
from pipelines.reading.rows import Plan
from pipelines.reading.violations import Rule, Sample

__all__ = ["CsvHeader", "is_broken"]

_LINE_ENDS = b"\r\n"
_MAX_HEADERS, _MAX_HEADER_BYTES = 256, 64 << 10


def is_broken(block: CsvBlock) -> bool:
    """Whether a file's first record is cut off, never ends, or has a wrong quote."""
    ends = block.is_last and (block.oversized or block.unclosed) and len(block.ends) == 1
    faults = block.structure.faults.positions
    return ends or bool(len(faults) and faults[0] < block.ends[0])


class CsvHeader:
    """The header of one file. Use once."""

    def __init__(self, plan: Plan, collector: Collector, faults: CsvFaults, delimiter: str, evidence: Evidence) -> None:
        """Match a header to the plan's contract; what a fault has behind it goes into `evidence`."""
        self._plan = plan
        self._collector = collector
        self._faults = faults
        self._delimiter = delimiter
        self._evidence = evidence
        self._blank: int | None = None  # where the file begins, if it does so with a blank line
        self.names: tuple[str, ...] = ()

    def check_size(self, block: CsvBlock) -> None:
        """Refuse a header that is too long to be one, by what makes it so. Raises StopReading behind that."""
        limits, size = self._plan.limits, int(block.ends[0])
        if size <= limits.header_bytes:
            return
        columns = int(field_counts(block, self._delimiter)[0])
        if columns > limits.columns:
            self._too_many(block, f"{columns:,} columns")
        where = (
            f"In it, a quote opened on line {block.line_of(block.open_quote)} is still open."
            if block.unclosed
            else None
        )
        found = f"{'more than ' if block.oversized else ''}{size:,} bytes"
        self._faults.one(block, 0, Rule.HEADER_SIZE, found, f"at most {limits.header_bytes:,} bytes", where)
        raise StopReading

    def is_in(self, block: CsvBlock) -> bool:
        """Whether the file's next block begins with the header; not while there have only been line ends.

        Raises StopReading where content follows a blank first line.
        """
        if self._blank is None and not block.content[: int(block.ends[0])].strip(_LINE_ENDS):
            self._blank = self._faults.offset(block, 0)
        if self._blank is None:
            return True
        if not block.content.strip(_LINE_ENDS):
            return False
        sample = Sample(1, self._blank, "a blank first line", "")
        self._collector.add(Rule.HEADER_MISSING, None, [sample], "a first line that names the columns")
        raise StopReading

    def read(self, block: CsvBlock) -> CellParser:
        """Match the first record of the block that it is in.

        Raises StopReading behind a fault that leaves the rows without meaning.
        """
        raw = block.content[: int(block.ends[0])]
        known = self._plan.headers.get(self._delimiter.encode() + raw)
        if known is not None:
            self.names, parser = known
            self._evidence.names = self.names
            return parser
        limits = self._plan.limits
        if raw.count(self._delimiter.encode()) >= 2 * limits.columns + 2:
            self._too_many(block, f"more than {2 * limits.columns:,} columns")
        fields = split_record(raw, self._delimiter)
        if len(fields) > limits.columns:
            self._too_many(block, f"{len(fields):,} columns")
        self.names = self._evidence.names = tuple(f.text for f in fields)
        self._check_names(block, [f.start for f in fields], raw)
        matching = match_columns(self._plan.dataset, self.names)
        starts = [f.start for f in fields]
        self._check_matching(block, starts, matching, raw)
        new_columns = self._add(block, starts, matching, raw)
        if self._plan.dataset.file_columns and not matching.positions:
            if all(map(self.allowed_to_miss, matching.missing)):
                found = raw.decode("utf-8", "replace").rstrip("\r\n")
                self._faults.one(
                    block, 0, Rule.COLUMN_MISSING, found, "at least one column of the contract in the header"
                )
            raise StopReading  # not one column is known: whatever follows says nothing
        parser = CellParser(self._plan, self.names, matching, self._delimiter)
        parser.new_columns = new_columns
        if not self._collector.rejecting and len(raw) < _MAX_HEADER_BYTES and len(self._plan.headers) < _MAX_HEADERS:
            self._plan.headers[self._delimiter.encode() + raw] = (
                self.names,
                parser,
            )  # the next file with this header needs no look
        return parser

    def look_on(self, block: CsvBlock, rest: Iterator[CsvBlock]) -> None:
        """Behind a header that leaves the rows without meaning: what would have made it one, over the rest of the file."""
        dataset = self._plan.dataset
        candidate = better(dataset, block.content, self._delimiter, is_whole=block.is_last)
        if candidate is not None:
            contents = chain((block.content,), (later.content for later in rest))
            limit = self._plan.limits.record_bytes
            self._evidence.fit = rows_that_fit(contents, candidate.delimiter, limit)
        elif line := line_of_names(self._plan, chain((block,), rest), self._delimiter):
            self._evidence.header_line = line
        elif self.names:
            self._evidence.header_values = values_in_order(self._plan, self.names)

    def _too_many(self, block: CsvBlock, found: str) -> None:
        self._faults.one(block, 0, Rule.COLUMN_COUNT, found, f"at most {self._plan.limits.columns:,} columns")
        raise StopReading

    def _check_names(self, block: CsvBlock, starts: list[int], raw: bytes) -> None:
        seen: dict[str, int] = {}
        fatal = False
        for position, name in enumerate(self.names):
            sample = self._faults.sample(block, min(starts[position], len(raw) - 1), name)
            if not name.strip():
                fatal = True
                self._collector.add(
                    Rule.HEADER_BLANK, None, [sample], f"a name for column {position + 1} of {len(self.names)}"
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
        extra = [self.names[p] for p in matching.extra]
        for fault in matching.collisions:
            sample = self._faults.sample(block, min(starts[fault.position or 0], len(raw) - 1), fault.found)
            self._collector.add(Rule.HEADER_DUPLICATE, fault.column, [sample], fault.expected)
        delimiter = likely_delimiter(text, self._delimiter, dataset) if matching.missing else None
        for name in matching.missing:
            if not self.allowed_to_miss(name):
                detail = delimiter or likely_name(name, dataset, extra)
                why = self._plan.rules[name].why_required if dataset.schema_.missing_columns == "allow" else ""
                self._collector.add(Rule.COLUMN_MISSING, name, [self._faults.sample(block, 0, text)],
                                    f"a column {name} in the header{why}", detail=detail)  # fmt: skip
        if self._collector.rejecting and matching.missing and matching.extra:
            self._evidence.renames = renames(self._plan, block, self.names, matching, self._delimiter)
        if dataset.schema_.new_columns == "reject":
            for position in matching.extra:
                sample = self._faults.sample(block, min(starts[position], len(raw) - 1), self.names[position])
                self._collector.add(Rule.COLUMN_UNEXPECTED, self.names[position], [sample],
                                    "only columns that the contract knows", detail=delimiter)  # fmt: skip

    def _add(self, block: CsvBlock, starts: list[int], matching: Matching, raw: bytes) -> dict[str, str]:
        """The columns that the contract does not know, with the names they would have in the table, where they are to be added."""
        dataset = self._plan.dataset
        if dataset.schema_.new_columns != "add":
            return {}
        new = NewColumns(dataset, self._plan.limits.columns, Rule.HEADER_DUPLICATE)
        for position in matching.extra:
            source = self.names[position]
            if isinstance(fault := new.take(source), NameFault):
                sample = self._faults.sample(block, min(starts[position], len(raw) - 1), source)
                self._collector.add(fault.rule, source, [sample], fault.expected)
        return new.names

    def allowed_to_miss(self, name: str) -> bool:
        """Whether the contract lets a file lack a column."""
        policy = self._plan.dataset.schema_.missing_columns
        return policy == "allow" and self._plan.rules[name].required_rule is None
