"""A slow, obviously right reader of JSON (RFC 8259), character by character: what the fast one is compared with.

Numbers are kept as they are written. A key twice in an object and half a surrogate pair are refused, as the product does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

BLANK = " \t\n\r"
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Number(str):
    """A number, as it is written."""


@dataclass
class NotJson(Exception):  # noqa: N818 - it is an answer
    """What is wrong, and at which character; `is_certain` is False where a reader may name another fault as well."""

    rule: str
    position: int
    is_certain: bool = True


class Document:
    """One text with one value in it, of at most `depth` levels."""

    def __init__(self, text: str, depth: int = 32) -> None:
        self.text = text
        self.depth = depth
        self.position = 0
        self.repeated: list[int] = []  # where a key stands that its object has already
        self.halves: list[int] = []  # where a string stands with half a surrogate pair in it
        self.places: dict[tuple[Any, ...], int] = {}  # where each member's value starts, by its path

    def read(self) -> Any:
        """The value; raises NotJson."""
        try:
            self.skip()
            value = self.value(())
            self.skip()
            if self.position < len(self.text):
                self.wrong()
        except NotJson as fault:
            fault.is_certain = not self.repeated
            raise
        if self.repeated:
            raise NotJson("json_duplicate_key", min(self.repeated))
        if self.halves:
            raise NotJson("json_syntax", min(self.halves))
        return value

    def wrong(self, position: int | None = None) -> None:
        raise NotJson("json_syntax", self.position if position is None else position)

    def here(self) -> str:
        return self.text[self.position : self.position + 1]

    def skip(self) -> None:
        while self.here() and self.here() in BLANK:
            self.position += 1

    def expect(self, mark: str) -> None:
        if self.here() != mark:
            self.wrong()
        self.position += 1

    def open(self, mark: str, path: tuple[Any, ...]) -> None:
        if len(path) >= self.depth:
            raise NotJson("depth", self.position)
        self.expect(mark)

    def value(self, path: tuple[Any, ...]) -> Any:
        self.places[path] = self.position
        for word, value in (("null", None), ("true", True), ("false", False)):
            if self.text.startswith(word, self.position):
                self.position += len(word)
                return value
        if self.here() == '"':
            return self.string()
        if self.here() == "[":
            return self.array(path)
        if self.here() == "{":
            return self.object(path)
        number = NUMBER.match(self.text, self.position)
        if number is None:
            self.wrong()
            raise AssertionError
        self.position = number.end()
        return Number(number.group())

    def array(self, path: tuple[Any, ...]) -> list[Any]:
        self.open("[", path)
        self.skip()
        values: list[Any] = []
        if self.here() == "]":
            self.position += 1
            return values
        while True:
            self.skip()
            values.append(self.value((*path, len(values))))
            self.skip()
            if self.here() == "]":
                self.position += 1
                return values
            self.expect(",")

    def object(self, path: tuple[Any, ...]) -> dict[str, Any]:
        self.open("{", path)
        self.skip()
        members: dict[str, Any] = {}
        if self.here() == "}":
            self.position += 1
            return members
        while True:
            self.skip()
            if self.here() != '"':
                self.wrong()
            at = self.position
            key = self.string()
            if key in members:
                self.repeated.append(at)
            self.skip()
            self.expect(":")
            self.skip()
            members[key] = self.value((*path, key))
            self.skip()
            if self.here() == "}":
                self.position += 1
                return members
            self.expect(",")

    def string(self) -> str:
        opened = self.position
        self.position += 1
        units: list[int] = []  # UTF-16 code units: a pair of escapes is one character
        while True:
            mark = self.here()
            if not mark or ord(mark) < 0x20:
                self.wrong()
            self.position += 1
            if mark == '"':
                break
            if mark != "\\":
                units += [int.from_bytes(pair, "big") for pair in _pairs(mark.encode("utf-16-be"))]
                continue
            escape = self.here()
            self.position += 1
            if escape == "u":
                digits = self.text[self.position : self.position + 4]
                if not re.fullmatch("[0-9a-fA-F]{4}", digits):
                    self.wrong()
                units.append(int(digits, 16))
                self.position += 4
            elif escape in ESCAPES:
                units.append(ord(ESCAPES[escape]))
            else:
                self.wrong(self.position - 1)
        content = b"".join(unit.to_bytes(2, "big") for unit in units)
        try:
            return content.decode("utf-16-be")
        except UnicodeDecodeError:
            self.halves.append(opened)
            return content.decode("utf-16-be", "surrogatepass")


def _pairs(content: bytes) -> list[bytes]:
    return [content[i : i + 2] for i in range(0, len(content), 2)]


def parse(text: str) -> Any:
    """The value of a document; raises NotJson."""
    return Document(text).read()
