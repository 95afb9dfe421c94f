"""Cuts UTF-8 JSON into blocks of whole records: the lines of JSON Lines, the elements of one array.

Whether a record is valid JSON is not decided here. For an array only brackets, commas and string quotes are looked at; what
stands between two commas is an element, and if every element is valid then so is the array.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.reading.csv_blocks import Positions, line_ends, slices
from pipelines.reading.stream_fault import StreamFault
from pipelines.reading.violations import Rule

__all__ = [
    "WHITESPACE",
    "ArrayFault",
    "Buffer",
    "JsonBlock",
    "behind",
    "elements",
    "split_array",
    "split_lines",
    "structure",
]

WHITESPACE = b" \t\n\r"
_QUOTE, _BACKSLASH = 0x22, 0x5C
_DELTA = np.zeros(256, np.int8)
_DELTA[[0x7B, 0x5B]] = 1
_DELTA[[0x7D, 0x5D]] = -1
_STRUCTURAL = _DELTA != 0
_STRUCTURAL[0x2C] = True


@dataclass(frozen=True, slots=True)
class JsonBlock:
    """Records of one block: `starts` and `ends` delimit each; `line_ends` are the block's own.

    `byte_offset` and `first_line` say where the block starts in the text. `oversized` marks a single record that was cut off
    because it is larger than the limit, `cut_short` one that the text ends in.
    """

    content: bytes
    byte_offset: int
    first_line: int
    starts: Positions
    ends: Positions
    line_ends: Positions
    oversized: bool = False
    cut_short: bool = False

    def line_of(self, position: int) -> int:
        """The line a position of the block lies on, as an editor counts."""
        return self.first_line + int(np.searchsorted(self.line_ends, position))


@dataclass(frozen=True, slots=True)
class ArrayFault:
    """Why the text is not what it should be, and cannot be aligned any more: at `position` of the text, on `line`."""

    position: int
    line: int
    found: str
    expected: str
    rule: Rule = Rule.JSON_SYNTAX


class Buffer:
    """Collects pieces until there are enough. A StreamFault is kept until what came before it has been used."""

    def __init__(self, pieces: Iterable[bytes], block_bytes: int) -> None:
        self._source = slices(pieces, block_bytes)
        self.at_end = False
        self.fault: StreamFault | None = None
        self.content = b""

    def fill(self, wanted: int) -> None:
        held, size = [self.content], len(self.content)
        while size < wanted and not self.at_end and self.fault is None:
            try:
                piece = next(self._source, None)
            except StreamFault as stop:
                self.fault = stop
                break
            if piece is None:
                self.at_end = True
            else:
                held.append(piece)
                size += len(piece)
        self.content = b"".join(held)

    def stop(self) -> None:
        """Raise the fault that ended the pieces, if one did."""
        if self.fault is not None:
            raise self.fault


def split_lines(pieces: Iterable[bytes], record_bytes: int, block_bytes: int) -> Iterator[JsonBlock]:
    """Cut JSON Lines at line feeds. A line of more than `record_bytes` that fits no block comes alone, cut off, as the last."""
    buffer = Buffer(pieces, block_bytes)
    offset, line, wanted = 0, 1, block_bytes
    while True:
        buffer.fill(wanted)
        content = buffer.content
        if not content:
            buffer.stop()
            return
        cut = len(content) if buffer.at_end else content.rfind(b"\n") + 1
        if not cut:
            if len(content) > record_bytes:
                whole = np.array([len(content)])
                yield JsonBlock(
                    content, offset, line, np.zeros(1, np.int64), whole, np.empty(0, np.int64), oversized=True
                )
                return
            buffer.stop()
            wanted = 2 * len(content)
            continue
        block = content[:cut]
        octets = np.frombuffer(block, np.uint8)
        feeds = np.flatnonzero(octets == 0x0A)
        ends = feeds + 1
        if not len(ends) or ends[-1] < cut:
            ends = np.append(ends, cut)
        starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
        lines = line_ends(octets, block, len(block))
        yield JsonBlock(block, offset, line, starts, ends, lines)
        offset += cut
        line += len(lines)
        buffer.content, wanted = content[cut:], block_bytes


def split_array(
    pieces: Iterable[bytes], record_bytes: int, depth: int, block_bytes: int
) -> Iterator["JsonBlock | ArrayFault"]:
    """Cut one array into blocks of elements. An ArrayFault is the last that comes: behind it nothing can be aligned."""
    buffer = Buffer(pieces, block_bytes)
    buffer.fill(max(block_bytes, 64))
    content = buffer.content.lstrip(WHITESPACE)
    skipped = len(buffer.content) - len(content)
    while not content and not buffer.at_end and skipped <= record_bytes:
        buffer.stop()
        buffer.fill(len(buffer.content) + block_bytes)
        content = buffer.content.lstrip(WHITESPACE)
        skipped = len(buffer.content) - len(content)
    head = buffer.content[:skipped]
    line = 1 + len(line_ends(np.frombuffer(head, np.uint8), head, len(head)))
    if not content:
        if skipped:
            yield ArrayFault(0, 1, "nothing but white space", "an array of objects")
        return
    if content[:1] != b"[":
        yield _no_array(content, skipped, line)
        return
    buffer.content = content[1:]
    end = yield from elements(buffer, skipped + 1, line, record_bytes, depth, block_bytes)
    if end is not None:
        yield from behind(buffer, *end, "the end of the file after the array")


def elements(
    buffer: Buffer, offset: int, line: int, record_bytes: int, depth: int, block_bytes: int, *, around: int = 1
) -> Generator["JsonBlock | ArrayFault", None, tuple[int, int] | None]:
    """Cut what stands behind an array's opening bracket, up to its closing one.

    `offset` and `line` are where the buffer's content begins; returned are those behind the array, or None behind a fault. Of `depth`
    levels, `around` are around each element: the array, and what it lies in.
    """
    wanted, first = block_bytes, True
    while True:
        buffer.fill(wanted)
        content = buffer.content
        octets = np.frombuffer(content, np.uint8)
        places, depths = structure(octets, content)
        if len(depths) and int(depths.max()) + around > depth:
            place = int(places[int(np.argmax(depths + around > depth))])
            here = line + int(np.searchsorted(line_ends(octets, content, len(content)), place))
            yield ArrayFault(
                offset + place, here, f"nesting deeper than {depth}", f"at most {depth} levels", Rule.DEPTH
            )
            return None
        closing = np.flatnonzero(depths < 0)
        end = int(places[closing[0]]) if len(closing) else None
        commas = places[(depths == 0) & (octets[places] == 0x2C)]
        if end is not None:
            commas = commas[commas < end]
        elif not len(commas):
            if buffer.at_end:
                lines = line_ends(octets, content, len(content))
                if content.strip(WHITESPACE):
                    whole = np.array([len(content)])
                    yield JsonBlock(content, offset, line, np.zeros(1, np.int64), whole, lines, cut_short=True)
                yield ArrayFault(
                    offset + len(content),
                    line + len(lines),
                    "the end of the file",
                    "the array's closing bracket; the file looks cut short",
                )
                return None
            if len(content) > record_bytes:
                sizes = np.array([len(content)])
                yield JsonBlock(
                    content, offset, line, np.zeros(1, np.int64), sizes, np.empty(0, np.int64), oversized=True
                )
                return None
            buffer.stop()
            wanted = 2 * len(content) + 1
            continue
        stop = int(commas[-1]) if end is None else end
        ends = commas if end is None else np.append(commas, end)
        starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
        block = content[: stop + 1]
        lines = line_ends(octets[: stop + 1], block, len(block))
        is_empty = end is not None and first and len(ends) == 1 and not content[:end].strip(WHITESPACE)
        if not is_empty:
            yield JsonBlock(block, offset, line, starts, ends, lines)
        first = False
        offset += stop + 1
        line += len(lines)
        buffer.content, wanted = content[stop + 1 :], block_bytes
        if end is not None and content[end : end + 1] == b"}":
            yield ArrayFault(offset - 1, line, "}", "a comma or the array's closing bracket")
            return None
        if end is not None:
            return offset, line


def _no_array(content: bytes, position: int, line: int) -> ArrayFault:
    found = content[:24].decode("utf-8", "replace")
    if content[:1] == b"{":
        return ArrayFault(
            position,
            line,
            found,
            "an array of objects; for one object a line, declare type: jsonl",
            Rule.JSON_SHAPE,
        )
    is_shape = content[:1] in b'"-0123456789' or content.rstrip(WHITESPACE) in (b"null", b"true", b"false")
    rule = Rule.JSON_SHAPE if is_shape else Rule.JSON_SYNTAX
    return ArrayFault(position, line, found, "an array of objects", rule)


def behind(buffer: Buffer, offset: int, line: int, expected: str) -> Iterator[ArrayFault]:
    """Nothing but white space may follow."""
    while True:
        rest = buffer.content.lstrip(WHITESPACE)
        if rest:
            before = buffer.content[: len(buffer.content) - len(rest)]
            line += len(line_ends(np.frombuffer(before, np.uint8), before, len(before)))
            buffer.content = rest
            buffer.fill(24)
            found = buffer.content[:24].decode("utf-8", "replace")
            yield ArrayFault(offset + len(before), line, found, expected)
            return
        offset += len(buffer.content)
        line += len(line_ends(np.frombuffer(buffer.content, np.uint8), buffer.content, len(buffer.content)))
        buffer.content = b""
        if buffer.at_end:
            return
        buffer.stop()
        buffer.fill(1)


def structure(octets: npt.NDArray[np.uint8], content: bytes) -> tuple[Positions, npt.NDArray[np.int32]]:
    """Where brackets and commas stand outside strings, and the depth behind each (0: between the array's elements)."""
    places: Positions = np.flatnonzero(_STRUCTURAL[octets])
    quotes: Positions = np.flatnonzero(octets == _QUOTE)
    if b"\\" in content and len(quotes):
        quotes = quotes[~_escaped(octets, quotes)]
    if len(quotes):
        places = places[np.searchsorted(quotes, places) % 2 == 0]
    return places, np.cumsum(_DELTA[octets[places]], dtype=np.int32)


def _escaped(octets: npt.NDArray[np.uint8], quotes: Positions) -> npt.NDArray[np.bool_]:
    """Which quotes follow an odd number of backslashes."""
    slashes: Positions = np.flatnonzero(octets == _BACKSLASH)
    firsts = slashes[np.concatenate(([True], np.diff(slashes) != 1))]
    behind = (quotes > 0) & (octets[np.maximum(quotes - 1, 0)] == _BACKSLASH)
    run = firsts[np.maximum(np.searchsorted(firsts, quotes) - 1, 0)]
    return behind & ((quotes - run) % 2 == 1)
