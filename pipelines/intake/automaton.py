"""Whether two key patterns can match one key: the intersection of two small automata. Pure, exact.

A pattern's expression is a chain of characters and character classes, each once, optional or repeated (`key_pattern.py` writes no
other regular expression). Both chains are walked side by side; they meet at their ends if and only if some key fits both.
An expression this module does not know is taken to overlap with everything: the loader then refuses it, which is safe.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["can_match_the_same"]

_ATOM = re.compile(
    r"(?P<group>\(\?P<[a-z0-9_]+>|\))"
    r"|(?P<class>\[\^/\]|\[0-9\]|\[A-Za-z\])(?:\{(?P<least>\d+)(?:,(?P<most>\d+))?\}|(?P<many>[*+])\??)?"
    r"|\\(?P<escaped>.)|(?P<plain>[^\\\[\](){}*+?.|^$])",
    re.DOTALL,
)
_CLASSES: dict[str, Callable[[str], bool]] = {
    "[^/]": lambda c: c != "/",
    "[0-9]": lambda c: c in "0123456789",
    "[A-Za-z]": lambda c: c.isascii() and c.isalpha(),
}
# One of each class: with the literals of both patterns, they witness every intersection of classes that is not empty.
_WITNESSES = "0a"


@dataclass(frozen=True, slots=True)
class _Step:
    """One place in the chain: which characters it takes; whether it may be passed over; whether it takes more than one."""

    takes: Callable[[str], bool]
    optional: bool
    repeats: bool
    literal: str = ""


class _UnknownExpressionError(Exception):
    """The expression is not of the kind that key patterns write."""


def can_match_the_same(one: str, other: str) -> bool:
    """Whether some text fits both expressions (`KeyPattern.expression`); True also for an expression of another kind."""
    try:
        a, b = list(_steps(one)), list(_steps(other))
    except _UnknownExpressionError:
        return True
    alphabet = {step.literal for step in (*a, *b) if step.literal} | set(_WITNESSES)
    seen: set[tuple[int, int]] = set()
    waiting = [(0, 0)]
    while waiting:
        i, j = waiting.pop()
        if (i, j) in seen:
            continue
        seen.add((i, j))
        if i == len(a) and j == len(b):
            return True
        if i < len(a) and a[i].optional:
            waiting.append((i + 1, j))
        if j < len(b) and b[j].optional:
            waiting.append((i, j + 1))
        if i < len(a) and j < len(b) and any(a[i].takes(c) and b[j].takes(c) for c in alphabet):
            # A step that repeats may take this character and stay; leaving it is what `optional` allows.
            waiting.append((i if a[i].repeats else i + 1, j if b[j].repeats else j + 1))
    return False


def _steps(expression: str) -> Iterator[_Step]:
    position = 0
    while position < len(expression):
        found = _ATOM.match(expression, position)
        if found is None:
            raise _UnknownExpressionError(expression)
        position = found.end()
        if found["group"]:
            continue
        if found["class"]:
            takes = _CLASSES[found["class"]]
            if found["many"]:
                if found["many"] == "+":
                    yield _Step(takes, optional=False, repeats=False)
                yield _Step(takes, optional=True, repeats=True)
                continue
            least = int(found["least"] or 1)
            for number in range(int(found["most"] or least)):
                yield _Step(takes, optional=number >= least, repeats=False)
        else:
            literal = found["escaped"] or found["plain"]
            yield _Step(lambda c, literal=literal: c == literal, optional=False, repeats=False, literal=literal)
