"""The records of a file that stand at given lines, as they stand there: for one who follows a row back to its file.

Lines are counted as the reader counts them, by the same cutting of the same text; reading ends behind the last line asked for.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.contracts.model import CsvFormat, Dataset
from pipelines.errors import PermanentError
from pipelines.reading.csv_blocks import BLOCK_BYTES, CsvBlock, split
from pipelines.reading.decompression import Content
from pipelines.reading.encoding import Text
from pipelines.reading.json_blocks import WHITESPACE, ArrayFault, JsonBlock, split_array, split_lines
from pipelines.reading.json_records import split_records
from pipelines.reading.limits import limits_of
from pipelines.reading.raw import raw_text
from pipelines.reading.stream_fault import StreamFault

__all__ = ["RawRecord", "raw_records"]


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record's text, without its line end, at most 65,536 characters; `line` is the one it begins at."""

    line: int
    raw: str


def raw_records(
    dataset: Dataset, chunks: Iterable[bytes], lines: Collection[int], delimiter: str | None = None
) -> Iterator[RawRecord]:
    """Every record that begins at one of these lines, in their order; for a line inside a record, that record.

    `chunks` are the object's bytes, `delimiter` what `delimiter: auto` told. A file of JSON may hold many records in one line: all
    of them come. Raises PermanentError when the file cannot be read to those lines under the contract as it is now.
    """
    form, limits = dataset.format, limits_of(dataset)
    text = Text(Content(chunks, limits), form.encoding)
    if isinstance(form, CsvFormat):
        mark = delimiter or form.delimiter
        blocks: Iterable[CsvBlock | JsonBlock | ArrayFault] = split(text, mark, limits.record_bytes)
    elif form.type == "jsonl":
        blocks = split_lines(text, limits.record_bytes, BLOCK_BYTES)
    elif (path := form.records_path) is None:
        blocks = split_array(text, limits.record_bytes, limits.depth, BLOCK_BYTES)
    else:
        blocks = split_records(text, tuple(map(str, path.steps)), limits, BLOCK_BYTES)
    wanted = np.array(sorted(lines), np.int64)
    try:
        for block in blocks:
            if isinstance(block, ArrayFault):
                raise _unreadable(block.found, block.expected)
            yield from _of_block(block, wanted)
            if len(block.starts) and block.line_of(int(block.ends[-1]) - 1) > wanted[-1]:
                return
    except StreamFault as fault:
        raise _unreadable(fault.found, fault.expected) from None


def _of_block(block: CsvBlock | JsonBlock, wanted: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Iterator[RawRecord]:
    if not len(block.starts):
        return
    starts, ends = _bounds(block)
    line_ends = block.structure.line_ends if isinstance(block, CsvBlock) else block.line_ends
    base = int(block.lines[0]) if isinstance(block, CsvBlock) else block.first_line
    first = base + np.searchsorted(line_ends, starts)
    last = base + np.searchsorted(line_ends, np.maximum(ends - 1, starts))
    begins = np.isin(first, wanted)
    # A line that no record begins at is looked for inside one: rows taken out of a record are counted there.
    inside = np.searchsorted(wanted, last, side="right") > np.searchsorted(wanted, first, side="right")
    for record in np.flatnonzero(begins | inside).tolist():
        if not begins[record]:
            within = wanted[(wanted > first[record]) & (wanted <= last[record])]
            if np.isin(within, first).all():
                continue
        yield RawRecord(int(first[record]), raw_text(block.content, int(starts[record]), int(ends[record])))


def _bounds(block: CsvBlock | JsonBlock) -> "tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]":
    """Where each record's own text begins and ends: what is blank around an element of JSON is not the record's."""
    if isinstance(block, CsvBlock):
        return block.starts.astype(np.int64), block.ends.astype(np.int64)
    starts: list[int] = []
    ends: list[int] = []
    for start, end in zip(block.starts.tolist(), block.ends.tolist(), strict=True):
        whole = block.content[start:end]
        starts.append(end - len(whole.lstrip(WHITESPACE)))
        ends.append(start + len(whole.rstrip(WHITESPACE)))
    return np.array(starts, np.int64), np.array(ends, np.int64)


def _unreadable(found: str, expected: str) -> PermanentError:
    return PermanentError(f"the file cannot be read to that line: found {found}, expected {expected}")
