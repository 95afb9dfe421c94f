"""Faults of a dataset file: what a person reads when their YAML is wrong. Values and wording only; who finds them is elsewhere.

A `Problem` knows the key path; a `Fault` also knows file, line and column.
"""

import difflib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

__all__ = ["Fault", "KeyPath", "Problem", "Sound", "closest", "did_you_mean", "format_path", "show"]

KeyPath = tuple[str | int, ...]
"""Where in the document: `("columns", "carrier", "pattern")`, `("expectations", 0)`; empty for the whole file."""

Sound = Callable[..., bool]
"""Whether the key path given as arguments was not complained of before: what rests on a refused value is not judged again."""

_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a dataset, before anyone looked up its line."""

    path: KeyPath
    found: str
    expected: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a dataset file. `line` and `column` count from 1 and point at the key.

    `str(fault)` is one line that terminals and editors turn into a link:
    `assets/datasets/flights.yaml:12: columns.carrier.pattern: found …; expected …; <what to do>`.
    """

    file: str
    line: int
    column: int
    key: str
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        """The fault as one line."""
        where = f"{self.file}:{self.line}: " + (f"{self.key}: " if self.key else "")
        return f"{where}found {self.found}; expected {self.expected}; {self.remedy}"


def format_path(path: KeyPath) -> str:
    """The path as people write it: `columns.carrier.pattern`, `expectations[0].severity`."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += ("." if out else "") + (part if part.isprintable() and len(part) <= _SHOWN else show(part))
    return out


def show(value: Any) -> str:
    """A value as a message names it: text in double quotes, shortened; nothing multi-line."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return "true" if value else "false"
        case str():
            text = json.dumps(value, ensure_ascii=False)
            return text if len(text) <= _SHOWN else text[: _SHOWN - 2] + '…"'
        case int() | float() | Decimal():
            text = str(value)
            return f"the number {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}"
        case date():
            return value.isoformat()
        case dict():
            return f"a mapping of {len(value)} keys" if len(value) != 1 else "a mapping of 1 key"
        case list() | tuple():
            return "an empty list" if not value else f"a list of {len(value)}"
        case _:
            return type(value).__name__


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word the user most likely meant, or None when nothing is near."""
    choices = list(known)
    plain = word.lower().replace("-", "_").replace(" ", "_")
    by_plain = {k.lower().replace("-", "_"): k for k in choices}
    for candidate, word_meant in by_plain.items():
        if sorted(candidate) == sorted(plain):
            return word_meant  # letters in another order: `form` is `from`, though `format` looks nearer
    near = difflib.get_close_matches(plain, by_plain, n=1, cutoff=0.6)
    return by_plain[near[0]] if near else None


def did_you_mean(name: str, known: Iterable[str], example: str | None = None) -> str:
    """The remedy for a column that is none: the nearest one, or how to add it."""
    if near := closest(name, known):
        return f"did you mean {near}?"
    return f"add it: {example}" if example else "add the column, or correct the name"
