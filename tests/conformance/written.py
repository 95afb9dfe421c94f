"""A JSON value that a cell must hold as text: equal when the text, read again by the tests' own parser, is the same value."""

from __future__ import annotations

from typing import Any

from tests.reading.reference_json import Number, parse


class Written(str):
    """Compares by value, numbers as they are written, members in their order."""

    value: Any

    def __new__(cls, value: Any) -> Written:
        made = super().__new__(cls, repr(value))
        made.value = value
        return made

    def is_said_by(self, text: Any) -> bool:
        """Whether the text is this value."""
        return isinstance(text, str) and same(parse(text), self.value)


class Rescued(Written):
    """What `_rescued` holds for members that the contract does not know, in whatever order."""

    def is_said_by(self, text: Any) -> bool:
        """Whether the text is these members."""
        kept = {entry["column"]: entry["value"] for entry in parse(text)} if isinstance(text, str) else {}
        return set(kept) == set(self.value) and all(same(kept[key], self.value[key]) for key in kept)


def same(one: Any, other: Any) -> bool:
    """Whether two values read by the tests' own parser are the same, numbers as they are written."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Number) != isinstance(other, Number):
        return False
    return type(one) is type(other) and one == other
