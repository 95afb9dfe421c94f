"""One JSON record, strictly: RFC 8259 and nothing beside it, with every number as it is written.

orjson decides the syntax (it was right on every y_ and n_ of JSONTestSuite); it sees neither duplicate keys nor the digits of
large numbers. So the standard library reads the accepted text once more, with hooks that keep both.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipelines.reading.violations import Rule

__all__ = ["JsonFault", "JsonValue", "Number", "parse_record", "value_positions", "written"]


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


_DECODE = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=Number, parse_float=Number).decode
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}:,]', re.DOTALL)
_WHITESPACE = b" \t\n\r"


def parse_record(raw: bytes, depth: int) -> "JsonValue | JsonFault":
    """Read one record of valid UTF-8. Never raises for what it holds."""
    if raw.count(b"{") + raw.count(b"[") > depth:
        deep = _too_deep(raw, depth)
        if deep is not None:
            return JsonFault(Rule.DEPTH, deep, f"nesting deeper than {depth}", f"at most {depth} levels")
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return _syntax(raw, error)
    try:
        return _DECODE(raw.decode("utf-8"))
    except _DuplicateError:
        position, key = _duplicate(raw)
        return JsonFault(Rule.JSON_DUPLICATE_KEY, position, key, "each key once in an object")
    except (ValueError, RecursionError):
        return JsonFault(Rule.JSON_SYNTAX, 0, raw[:40].decode("utf-8", "replace"), "valid JSON")


def _syntax(raw: bytes, error: orjson.JSONDecodeError) -> JsonFault:
    text = raw.decode("utf-8", "replace")
    position = len(text[: error.pos].encode("utf-8"))
    found = text[max(error.pos - 16, 0) : error.pos + 24].strip() or "the end of the record"
    return JsonFault(Rule.JSON_SYNTAX, min(position, len(raw)), found, f"valid JSON ({error.msg})")


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


def value_positions(raw: bytes) -> dict[str, int]:
    """Where each value of an object starts in its bytes; the record is valid JSON."""
    positions: dict[str, int] = {}
    depth = 0
    last: bytes | None = None
    for token in _TOKEN.finditer(raw):
        text = token.group()
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"]", b"}"):
            depth -= 1
        elif text == b":" and depth == 1 and last is not None:
            rest = raw[token.end() :]
            positions[json.loads(last)] = token.end() + len(rest) - len(rest.lstrip(_WHITESPACE))
        last = text if text.startswith(b'"') else None
    return positions


def _raw_number(value: object) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(str(value))
    raise TypeError


def written(value: JsonValue) -> str:
    """A value as compact JSON text, every number as it was written."""
    if isinstance(value, Number):
        return str(value)
    return orjson.dumps(value, default=_raw_number, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode("utf-8")
