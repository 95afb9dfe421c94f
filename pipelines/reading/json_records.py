"""Finds the array that holds a JSON file's records inside an object, and cuts it as `json_blocks.py` cuts an array at the root.

Memory does not grow with the file: of the objects on the way one member at a time is held. A member beside the way is
parsed as strictly as a record, and left out; therefore it may be as large as a record and no larger.
"""

import hashlib
import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.contracts.json_paths import path_text
from pipelines.reading.csv_blocks import line_ends
from pipelines.reading.encoding import is_utf8, utf8_faults
from pipelines.reading.json_blocks import ArrayFault, Buffer, JsonBlock, behind, elements, structure
from pipelines.reading.json_objects import JsonFault, ends_too_soon, parse_record
from pipelines.reading.limits import Limits
from pipelines.reading.violations import Rule

__all__ = ["split_records"]

_SPACE = re.compile(rb"[ \t\n\r]*")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_WINDOW_BYTES = 64 << 10
_FOUND_BYTES = 24
_KEYS_SHOWN = 20


class _FaultError(Exception):
    def __init__(self, fault: ArrayFault) -> None:
        self.fault = fault


def split_records(
    pieces: Iterable[bytes], path: tuple[str, ...], limits: Limits, block_bytes: int
) -> Iterator[JsonBlock | ArrayFault]:
    """Cut the array under a path of keys into blocks of elements. An ArrayFault is the last that comes.

    The array is found once, wherever its keys stand; each key of an object on the way may stand once.
    """
    walk = _Walk(pieces, path, limits, block_bytes)
    try:
        yield from walk.run()
    except _FaultError as error:
        yield error.fault


@dataclass(slots=True)
class _Seen:
    """The keys of one object on the way; by digest, because a key may be as long as a record."""

    digests: set[bytes]
    first: list[str]

    def add(self, key: str) -> bool:
        """Whether the key is new."""
        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        if digest in self.digests:
            return False
        self.digests.add(digest)
        if len(self.first) < _KEYS_SHOWN:
            self.first.append(key)
        return True


class _Walk:
    def __init__(self, pieces: Iterable[bytes], path: tuple[str, ...], limits: Limits, block_bytes: int) -> None:
        self._buffer = Buffer(pieces, block_bytes)
        self._path = path
        self._limits = limits
        self._block_bytes = block_bytes
        self._offset = 0
        self._line = 1

    def run(self) -> Generator[JsonBlock | ArrayFault]:
        mark = self._peek()
        if not mark:
            if self._offset:
                yield ArrayFault(0, 1, "nothing but white space", self._expected(0))
            return
        if mark != b"{":
            raise self._wrong(self._expected(0), Rule.JSON_SHAPE if mark in b'["-0123456789tfn' else Rule.JSON_SYNTAX)
        if (yield from self._object(0)):
            yield from behind(self._buffer, self._offset, self._line, "the end of the file after the object")

    def _object(self, level: int) -> Generator[JsonBlock | ArrayFault, None, bool]:
        """Walk through an object on the way; False when its array ended in a fault that has come."""
        self._advance(1)
        seen = _Seen(set(), [])
        is_found = False
        mark = self._peek()
        while mark != b"}":
            key = self._key(seen)
            if key != self._path[level]:
                self._skip_value(level)
            elif level + 1 < len(self._path):
                self._expect(b"{", level + 1)
                is_found = yield from self._object(level + 1)
                if not is_found:
                    return False
            else:
                self._expect(b"[", level + 1)
                self._advance(1)
                end = yield from elements(
                    self._buffer,
                    self._offset,
                    self._line,
                    self._limits.record_bytes,
                    self._limits.depth,
                    self._block_bytes,
                    around=level + 2,
                )
                if end is None:
                    return False
                (self._offset, self._line), is_found = end, True
            mark = self._peek()
            if mark == b",":
                self._advance(1)
                mark = self._peek()
                if mark == b"}":
                    raise self._wrong("a key in double quotes")
            elif mark != b"}":
                raise self._wrong("a comma or the object's closing brace")
        if not is_found:
            keys = ", ".join(seen.first) or "no key"
            expected = self._expected(len(self._path))
            raise _FaultError(ArrayFault(self._offset, self._line, keys, expected, Rule.JSON_SHAPE))
        self._advance(1)
        return True

    # ---- parts of an object ---------------------------------------------------------------------------------------

    def _key(self, seen: _Seen) -> str:
        """Read a key and the colon behind it."""
        if self._peek() != b'"':
            raise self._wrong("a key in double quotes")
        match = _STRING.match(self._buffer.content)
        while match is None and self._fill_on("a key", "the closing quote of a key"):
            match = _STRING.match(self._buffer.content)
        raw = b"" if match is None else match[0]
        key = self._parse(raw, 0)
        if not seen.add(str(key)):
            fault = ArrayFault(
                self._offset, self._line, str(key), "each key once in an object", Rule.JSON_DUPLICATE_KEY
            )
            raise _FaultError(fault)
        if len(seen.digests) > self._limits.keys:
            found, expected = (
                f"more than {self._limits.keys:,} keys",
                f"at most {self._limits.keys:,} keys in an object",
            )
            raise _FaultError(ArrayFault(self._offset, self._line, found, expected, Rule.KEY_COUNT))
        self._advance(len(raw))
        if self._peek() != b":":
            raise self._wrong("a colon behind the key")
        self._advance(1)
        return str(key)

    def _skip_value(self, level: int) -> None:
        """Check one value beside the way, and leave it out."""
        self._peek()
        size = _WINDOW_BYTES
        while True:
            window = self._buffer.content[:size]
            octets = np.frombuffer(window, np.uint8)
            places, depths = structure(octets, window)
            ends = places[(depths < 0) | ((depths == 0) & (octets[places] == 0x2C))]
            if len(ends):
                break
            if len(depths) and int(depths.max()) + level + 1 > self._limits.depth:
                self._parse(window, level + 1)
            if size < len(self._buffer.content):
                size *= 2
                continue
            if self._buffer.at_end:
                self._parse(window, level + 1, cut_short=True)
            self._fill_on("a member beside the records", "the end of the object; the file looks cut short")
        raw = self._buffer.content[: int(ends[0])]
        if not raw.strip():
            raise self._wrong("a value")
        self._parse(raw, level + 1)
        self._advance(len(raw))

    def _parse(self, raw: bytes, around: int, *, cut_short: bool = False) -> object:
        """One value, strictly, with so many levels around it. Raises for a fault in it, at its own place.

        Where the text is cut short that is no fault of the value: its last string, word or bracket is left open.
        """
        if not is_utf8(raw):
            [(position, octets), *_] = utf8_faults(raw, 1)
            raise self._inside(raw, position, octets.hex(" "), "bytes in utf-8", Rule.ENCODING)
        limit = self._limits.depth
        value = parse_record(raw, limit - around, self._limits.keys)
        if not isinstance(value, JsonFault):
            return value
        if value.rule is Rule.DEPTH:
            found, expected = f"nesting deeper than {limit}", f"at most {limit} levels"
            raise self._inside(raw, value.position, found, expected, Rule.DEPTH)
        if not cut_short or not ends_too_soon(value, raw):
            raise self._inside(raw, value.position, value.found, value.expected, value.rule)
        return None

    # ---- the buffer -----------------------------------------------------------------------------------------------

    def _peek(self) -> bytes:
        """The next byte that is no white space; empty at the end of the file."""
        while True:
            content = self._buffer.content
            match = _SPACE.match(content)
            space = 0 if match is None else match.end()
            if space < len(content):
                self._advance(space)
                return self._buffer.content[:1]
            # A line feed may follow what looks like a lone carriage return.
            held = 1 if content.endswith(b"\r") and not self._buffer.at_end else 0
            self._advance(space - held)
            if self._buffer.at_end:
                return b""
            self._buffer.stop()
            self._buffer.fill(len(self._buffer.content) + 1)

    def _advance(self, size: int) -> None:
        taken, self._buffer.content = self._buffer.content[:size], self._buffer.content[size:]
        self._offset += size
        self._line += len(line_ends(np.frombuffer(taken, np.uint8), taken, size))

    def _fill_on(self, what: str, expected: str) -> bool:
        """Get more of what does not end yet. Raises at the end of the file, and where it is larger than a record may be."""
        content, limit = self._buffer.content, self._limits.record_bytes
        if self._buffer.at_end:
            raise self._inside(content, len(content), "the end of the file", expected, Rule.JSON_SYNTAX)
        if len(content) > limit:
            found = f"{what} of more than {limit:,} bytes"
            raise self._inside(content, 0, found, f"at most {limit:,} bytes, as for a record", Rule.RECORD_SIZE)
        self._buffer.stop()
        self._buffer.fill(2 * len(content) + 1)
        return True

    # ---- faults ---------------------------------------------------------------------------------------------------

    def _expect(self, mark: bytes, level: int) -> None:
        if self._peek() != mark:
            raise self._wrong(self._expected(level), Rule.JSON_SHAPE)

    def _expected(self, level: int) -> str:
        """What the first keys of the path lead to."""
        word = "an array" if level == len(self._path) else "an object"
        return (
            f"{word} at {path_text(('$', *self._path[:level]))}"
            if level
            else f"an object with {self._expected(len(self._path))}"
        )

    def _wrong(self, expected: str, rule: Rule = Rule.JSON_SYNTAX) -> _FaultError:
        self._buffer.fill(_FOUND_BYTES)
        found = self._buffer.content[:_FOUND_BYTES].decode("utf-8", "replace") or "the end of the file"
        return _FaultError(ArrayFault(self._offset, self._line, found, expected, rule))

    def _inside(self, content: bytes, position: int, found: str, expected: str, rule: Rule) -> _FaultError:
        before = content[:position]
        line = self._line + len(line_ends(np.frombuffer(before, np.uint8), before, position))
        return _FaultError(ArrayFault(self._offset + position, line, found, expected, rule))
