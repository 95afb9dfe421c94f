"""What a file is before anything is known of it: CSV or JSON, its delimiter, its columns. Reads heads and keys, judges nothing.

All that is read here goes through the reader's own decompression, encoding and tokenisers. What is broken is left to the
reader to name: a file whose header cannot be told has none here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.reading.csv_blocks import BLOCK_BYTES, split
from pipelines.reading.csv_cells import split_record
from pipelines.reading.decompression import Content
from pipelines.reading.delimiters import CANDIDATES, field_counts
from pipelines.reading.encoding import Text, is_utf8
from pipelines.reading.json_blocks import ArrayFault, split_array, split_lines
from pipelines.reading.json_objects import parse_record
from pipelines.reading.limits import Limits
from pipelines.reading.stream_fault import StreamFault
from pipelines.reading.summary import ChunkSource

__all__ = ["Delimiter", "FormatType", "Head", "SourceFile", "choose_delimiter", "keys_of", "look_at"]

FormatType = Literal["csv", "json", "jsonl"]
_HEAD_BYTES = 1 << 20
_SNIFFED_RECORDS = 1_000


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One local file: `name` as messages call it, `parts` its path for the key, `size_bytes` as it lies there."""

    name: str
    parts: tuple[str, ...]
    size_bytes: int
    chunks: ChunkSource


@dataclass(frozen=True, slots=True)
class Delimiter:
    """A delimiter, and how many of the first `records` records have as many fields as the header (`fields`) with it."""

    mark: str
    fields: int
    fitting: int
    records: int


@dataclass(frozen=True, slots=True)
class Head:
    """What the start of a file says. `text` is UTF-8, at most a mebibyte; `form` is None where there is no content."""

    form: FormatType | None
    text: bytes
    is_whole: bool
    has_bom: bool
    compression: str | None

    def header(self, delimiter: str) -> tuple[str, ...] | None:
        """The names in the first record, or None where it cannot be read as names."""
        block = next(split([self.text], delimiter, Limits().record_bytes, len(self.text) + 1), None)
        if block is None or not len(block.ends):
            return None
        end = int(block.ends[0])
        faults = block.structure.faults.positions
        is_cut_off = len(block.ends) == 1 and (block.unclosed or block.oversized)
        if is_cut_off or (len(faults) and faults[0] < end) or not is_utf8(block.content[:end]):
            return None
        names = tuple(field.text for field in split_record(block.content[:end], delimiter))
        is_named = all(name.strip() for name in names) and len(set(names)) == len(names)
        return names if is_named and len(names) <= Limits().columns else None


def look_at(file: SourceFile, encoding: str) -> Head:
    """Read a file's head. What cannot be decompressed or decoded ends it early: the reader will say why."""
    content = Content(file.chunks(), Limits())
    text = Text(content, encoding)
    held, is_whole = b"", True
    try:
        for piece in text:
            held += piece
            if len(held) > _HEAD_BYTES:
                is_whole = False
                break
    except StreamFault:
        is_whole = False
    first = held.lstrip(b" \t\r\n")[:1]
    form: FormatType | None = None
    if held.strip(b"\r\n"):
        form = "json" if first == b"[" else "jsonl" if first == b"{" else "csv"
    return Head(form, held, is_whole, text.bom_bytes > 0, content.compression)


def choose_delimiter(heads: Sequence[Head]) -> Delimiter:
    """The delimiter with which the most records have as many fields as their header; a comma where none has two."""
    scores = [_score(heads, mark) for mark in CANDIDATES]
    # More than one field first; then the share of records that fit; then the number of fields.
    return max(scores, key=lambda s: (s.fields > 1, s.fitting / max(s.records, 1), s.fields))


def _score(heads: Sequence[Head], mark: str) -> Delimiter:
    fields = fitting = records = 0
    for head in heads:
        block = next(split([head.text], mark, len(head.text) + 1, len(head.text) + 1), None)
        if block is None:
            continue
        counts = field_counts(block, mark)
        width = int(counts[0])
        counts = counts[block.ends - block.starts > 2]  # blank lines have no width
        counts = (counts if head.is_whole else counts[:-1])[:_SNIFFED_RECORDS]  # the last record of a head is cut off
        fields = max(fields, width)
        fitting += int(np.count_nonzero(counts == width)) if width > 1 else 0
        records += len(counts)
    return Delimiter(mark, fields, fitting, records)


def keys_of(file: SourceFile, form: FormatType) -> dict[str, None] | None:
    """Every key of a JSON file's records, in the order first seen; None where a record cannot be read.

    At most one key more than a file may have columns.
    """
    limits = Limits()
    keys: dict[str, None] = {}
    try:
        for record in _records(file, form, limits):
            members = parse_record(record, limits.depth) if record is not None and is_utf8(record) else None
            if not isinstance(members, dict):
                return None
            keys.update(dict.fromkeys(members))
            if len(keys) > limits.columns:
                return keys
    except StreamFault:
        return None
    return keys


def _records(file: SourceFile, form: FormatType, limits: Limits) -> Iterator[bytes | None]:
    text = Text(Content(file.chunks(), limits), "utf-8")
    if form == "jsonl":
        for block in split_lines(text, limits.record_bytes, BLOCK_BYTES):
            for start, end in zip(block.starts.tolist(), block.ends.tolist(), strict=True):
                record = block.content[start:end]
                if record.strip():
                    yield None if block.oversized else record
        return
    for block in split_array(text, limits.record_bytes, limits.depth, BLOCK_BYTES):
        if isinstance(block, ArrayFault) or block.oversized:
            yield None
            return
        for start, end in zip(block.starts.tolist(), block.ends.tolist(), strict=True):
            yield block.content[start:end]
