"""What is counted while a file with faults is read, so that its report can say what lies behind them. Says nothing itself."""

import functools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipelines.contracts.model import Column
from pipelines.reading.csv_blocks import CsvBlock, Positions
from pipelines.reading.value_causes import BadValues

__all__ = ["FAULTS_LOOKED_AT", "BadBytes", "Evidence", "Rename", "RowFit"]

FAULTS_LOOKED_AT = 1_000
"""Faults of JSON syntax whose form is looked at; the others are counted only."""
_LF, _CR = 0x0A, 0x0D
_QUOTED_ROWS = 1_000
"""Rows with too many fields that are looked at for single quotes."""


@dataclass(frozen=True, slots=True)
class RowFit:
    """Rows that have the header's width with a delimiter, of those looked at; `is_all` when that is the whole file."""

    delimiter: str
    rows: int
    fitting: int
    is_all: bool


@dataclass(frozen=True, slots=True)
class Rename:
    """A column of the file that looks like a missing one; of `rows` values looked at, `fitting` have its type."""

    source: str
    column: str
    rows: int
    fitting: int


@dataclass(slots=True)
class BadBytes:
    """Sequences that are not UTF-8: how many, how many of them are letters in windows-1252, and the first of those.

    A character that the end of the file cuts off is none of them: `is_cut_off` says that there is one.
    """

    count: int = 0
    letters: int = 0
    first: tuple[str, int] | None = None
    is_cut_off: bool = False

    def add(self, faults: Iterable[tuple[int, bytes]]) -> None:
        """Count faults, each the byte offset in the content and the bytes."""
        for offset, octets in faults:
            self.count += 1
            try:
                text = octets.decode("cp1252")
            except UnicodeDecodeError:
                continue
            if text.isprintable():
                self.letters += 1
                self.first = self.first or (text, offset)


@dataclass(slots=True)
class Evidence:
    """Of one file. Everything is counted exactly unless it says otherwise; `head` is the content's first bytes.

    `widths` counts the rows with a wrong number of fields by that number, `blank_extra` those with one field more that is
    empty. `is_cut` says that the last record is broken and has no line end, `last_fields` how many fields it has.
    `header_line` is the line below the first that names every column of the contract; 0 when there is none near.
    """

    head: bytes = b""
    names: tuple[str, ...] = ()
    widths: Counter[int] = field(default_factory=Counter[int])
    blank_extra: int = 0
    is_cut: bool = False
    last_fields: int = 0
    fit: RowFit | None = None
    header_values: int = 0
    header_line: int = 0
    renames: tuple[Rename, ...] = ()
    quotes: int = 0
    escaped_quotes: int = 0
    single_quoted: int = 0
    bad_bytes: BadBytes = field(default_factory=BadBytes)
    values: dict[str, BadValues] = field(default_factory=dict[str, BadValues])
    lines_of_objects: tuple[int, int, bool] | None = None
    json_forms: Counter[str] = field(default_factory=Counter[str])
    json_looked: int = 0
    _quoted_looked: int = 0

    def ragged(self, block: CsvBlock, records: Positions, fields: Positions, width: int, delimiter: str) -> None:
        """Count records of a block by their number of fields, where it is not the header's."""
        wrong = fields != width
        numbers, counts = np.unique(fields[wrong], return_counts=True)
        self.widths.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
        longer = records[fields == width + 1]
        if len(longer):
            octets = np.frombuffer(block.content, np.uint8)
            lasts = block.ends[longer] - 1
            for end in (_LF, _CR):
                lasts = lasts - (octets[np.maximum(lasts, 0)] == end)
            self.blank_extra += int(np.count_nonzero(octets[np.maximum(lasts, 0)] == ord(delimiter)))
        for record in records[fields > width].tolist()[: max(0, _QUOTED_ROWS - self._quoted_looked)]:
            self._quoted_looked += 1
            text = block.content[int(block.starts[record]) : int(block.ends[record])]
            self.single_quoted += _single_quoted(delimiter).search(text) is not None
        if block.is_last and wrong[-1] and records[-1] == len(block.starts) - 1:
            self.is_cut = bool(fields[-1] < width) and not block.content.endswith((b"\n", b"\r"))
            self.last_fields = int(fields[-1])

    def column(self, name: str, column: Column) -> BadValues:
        """The bad values of a column."""
        found = self.values.get(name)
        if found is None:
            found = self.values[name] = BadValues(name, column)
        return found

    def misfits(self, name: str, column: Column, texts: pa.Array) -> None:
        """Count texts that are no value of their column's type."""
        self.column(name, column).add(texts)


@functools.cache
def _single_quoted(delimiter: str) -> re.Pattern[bytes]:
    mark = re.escape(delimiter.encode())
    return re.compile(rb"(?:^|" + mark + rb")'[^'\n]*" + mark + rb"[^'\n]*'(?:" + mark + rb"|\r?\n?$)")
