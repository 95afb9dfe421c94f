"""One JSON record, strictly: RFC 8259 and nothing beside it, with every number as it is written.

The standard library's decoder is used with hooks: numbers are kept as their literals (faster ones turn large integers into
doubles and refuse 1e400), duplicate keys are seen, NaN and Infinity are refused, and so is half a surrogate pair.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from pipelines.reading.csv_blocks import Positions
from pipelines.reading.json_blocks import structure
from pipelines.reading.violations import Rule

__all__ = [
    "JsonFault",
    "JsonValue",
    "Number",
    "element_positions",
    "ends_too_soon",
    "key_count",
    "parse_record",
    "value_position",
    "value_positions",
    "written",
]


class Number(str):
    """A number of the document, as its literal."""

    __slots__ = ()


JsonValue = Any
"""None, bool, str, Number, list or dict of these."""


@dataclass(frozen=True, slots=True)
class JsonFault:
    """What is wrong with a record, at `position` of its bytes."""

    rule: Rule
    position: int
    found: str
    expected: str


class _DuplicateError(Exception):
    pass


def _pairs(pairs: Sequence[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateError
    return members


_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}:,]', re.DOTALL)
_OPENING = frozenset("{[")
_SHORT, _NUMBERS_HELD = 4, 20_000
_KEY_BYTES = 4  # `"":0`, the shortest member of an object
_SPACE = re.compile(rb"[ \t\n\r]*")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def parse_record(raw: bytes, depth: int, keys: int | None = None) -> "JsonValue | JsonFault":
    """Read one record of valid UTF-8, of at most `keys` keys at all depths. Never raises for what it holds."""
    if len(raw) > depth and raw.count(b"{") + raw.count(b"[") > depth and _may_be_deep(raw, depth):
        deep = _too_deep(raw, depth)
        if deep is not None:
            return JsonFault(Rule.DEPTH, deep, f"nesting deeper than {depth}", f"at most {depth} levels")
    if keys is not None and len(raw) > _KEY_BYTES * keys and raw.count(b":") > keys:
        found = _STRING.sub(b"", raw).count(b":")
        if found > keys:
            return JsonFault(Rule.KEY_COUNT, 0, f"{found:,} keys", f"at most {keys:,} keys in a record")
    try:
        value = _decode(raw.decode("utf-8"))
    except _DuplicateError:
        position, key = _duplicate(raw)
        return JsonFault(Rule.JSON_DUPLICATE_KEY, position, key, "each key once in an object")
    except json.JSONDecodeError as error:
        return _syntax(raw, error)
    except RecursionError:
        return JsonFault(Rule.DEPTH, 0, "nesting deeper than can be read", "a flatter document")
    if b"\\u" in raw and _LONE_SURROGATE.search(raw):
        return _surrogate(raw, value)
    return value


def _decode(text: str) -> JsonValue:
    """What the standard library's `decode` does, without its looks at white space where there is none."""
    if text[:1] in _OPENING:
        try:
            value, end = _DECODER.scan_once(text, 0)  # pyright: ignore[reportAttributeAccessIssue]
        except StopIteration:
            return _DECODER.decode(text)  # says where
        if end == len(text) or text[end:] == "\n":
            return value
    return _DECODER.decode(text)


class _Numbers(dict[str, Number]):
    """Numbers by their literals: the short ones are held once, however often a file has them."""

    def __missing__(self, literal: str) -> Number:
        number = Number(literal)
        if len(literal) <= _SHORT and len(self) < _NUMBERS_HELD:
            self[literal] = number
        return number


def _constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)


_number = _Numbers().__getitem__
_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_number, parse_float=_number, parse_constant=_constant)


def _surrogate(raw: bytes, value: JsonValue) -> "JsonValue | JsonFault":
    """Refuse half a surrogate pair, which is no character (RFC 8259, section 8.2)."""
    try:
        written(value)
    except orjson.JSONEncodeError:
        match = _LONE_SURROGATE.search(raw)
        position = 0 if match is None else match.start()
        found = raw[position : position + 12].decode("utf-8", "replace")
        return JsonFault(Rule.JSON_SYNTAX, position, found, "valid JSON (half of a surrogate pair is no character)")
    return value


def _syntax(raw: bytes, error: json.JSONDecodeError) -> JsonFault:
    text = raw.decode("utf-8", "replace")
    at = error.pos
    if "is not JSON" in error.msg:
        constant = re.search(error.doc, text)
        at = constant.start() if constant else 0
    position = len(text[:at].encode("utf-8"))
    found = text[max(at - 16, 0) : at + 24].strip() or "nothing"
    return JsonFault(Rule.JSON_SYNTAX, min(position, len(raw)), found, f"valid JSON ({error.msg})")


def _may_be_deep(raw: bytes, limit: int) -> bool:
    """Whether the record may be nested deeper; no for none that is valid and is. Much faster than to look where."""
    _, depths = structure(np.frombuffer(raw, np.uint8), raw)
    return not len(depths) or int(depths.max()) > limit


def _too_deep(raw: bytes, limit: int) -> int | None:
    depth = 0
    for token in _TOKEN.finditer(raw):
        mark = raw[token.start()]
        if mark in b"[{":
            depth += 1
            if depth > limit:
                return token.start()
        elif mark in b"]}":
            depth -= 1
    return None


def _duplicate(raw: bytes) -> tuple[int, str]:
    """Position and text of the first key that its object has already; the record is valid JSON."""
    stack: list[set[str] | None] = []
    last: tuple[int, bytes] | None = None
    for token in _TOKEN.finditer(raw):
        text = token.group()
        if text == b"{":
            stack.append(set())
        elif text == b"[":
            stack.append(None)
        elif text in (b"]", b"}"):
            stack.pop()
        elif text == b":" and last is not None:
            seen, key = stack[-1], json.loads(last[1])
            if seen is not None:
                if key in seen:
                    return last[0], key
                seen.add(key)
        last = (token.start(), text) if text.startswith(b'"') else None
    return 0, ""


def ends_too_soon(fault: JsonFault, record: bytes) -> bool:
    """Whether a fault of syntax says no more than that the record's text ends too soon: in a string, a word or between them."""
    rest = record[fault.position :].strip(b" \t\n\r")
    if rest.startswith(b'"'):
        return b"\n" not in rest and b"\r" not in rest
    return any(word.startswith(rest) for word in (b"true", b"false", b"null", b"-"))


def key_count(value: JsonValue) -> int:
    """How many keys a value has, at all depths."""
    count, left = 0, [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            count += len(item)
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)
    return count


def value_position(raw: bytes, path: Sequence[str | int], start: int = 0) -> int | None:
    """Where the value at a path starts in the bytes of a record, which is valid JSON; None when there is none.

    The path begins at the value that stands at `start`.
    """
    position = _behind_space(raw, start)
    for step in path:
        found = next((at for name, at in _inner_values(raw, position) if name == step), None)
        if found is None:
            return None
        position = found
    return position


def element_positions(raw: bytes, path: Sequence[str | int]) -> Positions:
    """Where each element of the array at a path of a record starts; empty when there is no array."""
    position = value_position(raw, path)
    found = () if position is None else (at for _, at in _inner_values(raw, position))
    return np.fromiter(found, np.int64)


def value_positions(raw: bytes, path: Sequence[str | int] = ()) -> dict[str | int, int]:
    """Where each value inside the one at a path starts, by its key or number; the record is valid JSON."""
    position = value_position(raw, path)
    return {} if position is None else dict(_inner_values(raw, position))


def _inner_values(raw: bytes, position: int) -> Iterator[tuple[str | int, int]]:
    """Each value of the object or array at a position: its key or number, and where it starts."""
    is_object = raw[position : position + 1] == b"{"
    if not is_object and raw[position : position + 1] != b"[":
        return
    depth, number = 0, 0
    key: bytes | None = None
    for token in _TOKEN.finditer(raw, position):
        text = token.group()
        if text in (b"{", b"["):
            depth += 1
            if depth == 1 and not is_object:
                first = _behind_space(raw, token.end())
                if raw[first : first + 1] != b"]":
                    yield 0, first
        elif text in (b"]", b"}"):
            depth -= 1
            if depth == 0:
                return
        elif depth == 1 and is_object and text == b":" and key is not None:
            yield json.loads(key), _behind_space(raw, token.end())
        elif depth == 1 and not is_object and text == b",":
            number += 1
            yield number, _behind_space(raw, token.end())
        key = text if text.startswith(b'"') else None


def _behind_space(raw: bytes, position: int) -> int:
    match = _SPACE.match(raw, position)
    return position if match is None else match.end()


def _raw_number(value: object) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(str(value))
    raise TypeError


def written(value: JsonValue) -> str:
    """A value as compact JSON text, every number as it was written. Raises orjson.JSONEncodeError for half a surrogate pair."""
    if isinstance(value, Number):
        return str(value)
    try:
        return orjson.dumps(value, default=_raw_number, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode("utf-8")
    except orjson.JSONEncodeError:
        return _written_deep(value)


def _written_deep(value: JsonValue) -> str:
    """The same without recursion: orjson goes 254 levels deep, and `limits.depth` may allow more."""
    parts: list[str] = []
    left: list[tuple[bool, JsonValue]] = [(False, value)]
    while left:
        is_text, item = left.pop()
        if is_text or isinstance(item, Number):
            parts.append(item)
        elif isinstance(item, dict):
            left.append((True, "}"))
            for number, (key, member) in reversed(list(enumerate(item.items()))):
                left += [(False, member), (True, f"{',' if number else ''}{orjson.dumps(key).decode()}:")]
            left.append((True, "{"))
        elif isinstance(item, list):
            left.append((True, "]"))
            for number, member in reversed(list(enumerate(item))):
                left += [(False, member), (True, "," if number else "")]
            left.append((True, "["))
        else:
            parts.append(orjson.dumps(item).decode("utf-8"))
    return "".join(parts)
