"""Tells delimiters from a file's first records, with the contract at hand; quotes and encodings are never guessed.

A candidate's score is the product of two shares: of the contract's columns that its header names, and of the first thousand
records that have as many fields as its header. 1.0 says that every column is found and every record fits.
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.contracts.model import Dataset
from pipelines.reading.csv_blocks import CsvBlock, Positions, split
from pipelines.reading.csv_cells import split_record
from pipelines.reading.evidence import RowFit
from pipelines.reading.headers import match_columns
from pipelines.reading.stream_fault import StreamFault

__all__ = [
    "CANDIDATES",
    "SNIFFED_BYTES",
    "Looked",
    "Score",
    "better",
    "field_counts",
    "rows_that_fit",
    "score",
    "sniff",
]

CANDIDATES = (",", ";", "\t", "|", ":", "^", "~")
"""Tried in this order; of two with the same score the first is taken."""
SNIFFED_BYTES = 256 << 10
"""How many of a file's first bytes tell its delimiter."""
_FIRST_RECORDS = 1_000
_LOOKED_BYTES = 256 << 20
_CLEARLY = 0.2


@dataclass(frozen=True, slots=True)
class Score:
    """How well a delimiter fits: columns of the contract found in the header, and the first records of its width."""

    delimiter: str
    columns: int
    wanted: int
    width: int
    rows: int
    fitting: int
    missing: tuple[str, ...]

    @property
    def value(self) -> float:
        """From 0 to 1, as the module says; without records the header alone decides."""
        named = self.columns / self.wanted if self.wanted else float(self.width == 1)
        return round(named * self.fitting / self.rows if self.rows else named, 3)


def field_counts(block: CsvBlock, delimiter: str) -> Positions:
    """How many fields each record of the block has."""
    marks = np.flatnonzero(np.frombuffer(block.content, np.uint8) == ord(delimiter))
    if len(block.structure.opens):
        marks = marks[~block.inside_quotes(marks)]
    return np.searchsorted(marks, block.ends) - np.searchsorted(marks, block.starts) + 1


def score(dataset: Dataset, head: bytes, delimiter: str, *, is_whole: bool) -> Score:
    """Score one delimiter by a file's first bytes; a last record that may go on counts only when `is_whole`."""
    head = head[:SNIFFED_BYTES]
    wanted = len(dataset.file_columns)
    first = next(split([head], delimiter, SNIFFED_BYTES, SNIFFED_BYTES), None)
    if first is None:
        return Score(delimiter, 0, wanted, 0, 0, 0, dataset.file_columns)
    names = [f.text for f in split_record(first.content[: int(first.ends[0])], delimiter)]
    matching = match_columns(dataset, names)
    counts = field_counts(first, delimiter)[1:]
    if not is_whole:
        counts = counts[:-1]
    counts = counts[:_FIRST_RECORDS]
    lengths = (first.ends - first.starts)[1 : 1 + len(counts)]
    counts = counts[lengths > 2]  # blank lines have no width
    fitting = int(np.count_nonzero(counts == len(names)))
    return Score(delimiter, len(matching.positions), wanted, len(names), len(counts), fitting, matching.missing)


def sniff(
    dataset: Dataset, required: Container[str], head: bytes, *, is_whole: bool
) -> tuple[list[Score], Score | None]:
    """Every candidate with its score, the best first, and the one that can be told.

    That is the best one when its header names every column of `required`, or when it clearly beats the second.
    """
    scores = [score(dataset, head, candidate, is_whole=is_whole) for candidate in CANDIDATES]
    scores.sort(key=lambda found: -found.value)
    best, second = scores[:2]
    names_all = not any(name in required for name in best.missing)
    told = best.columns > 0 and (names_all or best.value >= second.value + _CLEARLY)
    return scores, best if told else None


def rows_that_fit(contents: Iterable[bytes], delimiter: str, record_bytes: int) -> RowFit:
    """Count, over a whole file of UTF-8 (or its first 256 MiB), the rows that have the header's width with a delimiter."""
    width = rows = fitting = 0
    looked = Looked(contents, _LOOKED_BYTES)
    try:
        for block in split(looked, delimiter, record_bytes):
            counts = field_counts(block, delimiter)
            if not width:
                width, counts = int(counts[0]), counts[1:]
            sizes = (block.ends - block.starts)[len(block.starts) - len(counts) :]
            counts = counts[sizes > 2]
            rows += len(counts)
            fitting += int(np.count_nonzero(counts == width))
    except StreamFault:
        looked.is_all = False
    return RowFit(delimiter, rows, fitting, looked.is_all)


class Looked:
    """Contents up to `most` bytes; `is_all` when that is all there is, known at the end."""

    def __init__(self, contents: Iterable[bytes], most: int) -> None:
        """Look at `contents`."""
        self._contents = contents
        self._most = most
        self.is_all = True

    def __iter__(self) -> Iterator[bytes]:
        """The contents."""
        looked = 0
        for content in self._contents:
            if looked >= self._most:
                self.is_all = False
                return
            looked += len(content)
            yield content


def better(dataset: Dataset, head: bytes, delimiter: str, *, is_whole: bool) -> Score | None:
    """Another delimiter that clearly fits better than the declared one, if there is one."""
    scores = [score(dataset, head, candidate, is_whole=is_whole) for candidate in CANDIDATES if candidate != delimiter]
    best = max(scores, key=lambda found: found.value)
    own = score(dataset, head, delimiter, is_whole=is_whole)
    if best.columns <= own.columns or best.value < own.value + _CLEARLY or (best.columns < 2 and best.wanted > 1):
        return None
    return best
