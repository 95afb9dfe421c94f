"""Paths into JSON, the small part of JSONPath (RFC 9535) that the grammar knows: `$.a["b c"][0]`, and `[*]` for each element.

`$` is the record (of `format.records`: the file). `.name` and `["any key"]` are members, `[0]` an element counted from 0, `[*]` each
element, and `#` behind that the element's own number. Pure; what a path finds is the reader's (`pipelines/reading/`).
"""

import json
import re
from dataclasses import dataclass

__all__ = ["JsonPath", "PathError", "Step", "parse_path", "path_text"]

Step = str | int
"""A member by its key, or an element by its number."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MEMBER = re.compile(r"\.([^\W\d][\w-]*)")
_QUOTED = re.compile(r'\[("(?:[^"\\]|\\.)*")\]')
_ELEMENT = re.compile(r"\[(0|[1-9][0-9]{0,8})\]")
_MAX_STEPS = 32
_SHOWN = 80


class PathError(ValueError):
    """The text is no path: what was `found` (and at which character, from 1), what was `expected`, and what to do."""

    def __init__(self, found: str, expected: str, remedy: str) -> None:
        super().__init__(f"found {found}; expected {expected}; {remedy}")
        self.found = found
        self.expected = expected
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A path: `steps` before its `[*]`, if it has one (`each`), and `inner` behind; `number` where it ends in `#`."""

    steps: tuple[Step, ...]
    each: bool = False
    inner: tuple[Step, ...] = ()
    number: bool = False

    def __str__(self) -> str:
        """The path as it is written."""
        return path_text(("$", *self.steps)) + ("[*]" if self.each else "") + _steps(self.inner) + "#" * self.number


def parse_path(text: str) -> JsonPath:
    """Read a path. Raises PathError."""
    if not text.startswith("$"):
        raise PathError(_shown(text), "a path that starts with $", f"write {_shown('$.' + text.lstrip('.'))}")
    before: list[Step] = []
    behind: list[Step] = []
    each = False
    at = 1
    while at < len(text):
        steps = behind if each else before
        if match := _MEMBER.match(text, at):
            steps.append(match[1])
        elif match := _QUOTED.match(text, at):
            steps.append(_key(text, at, match[1]))
        elif match := _ELEMENT.match(text, at):
            steps.append(int(match[1]))
        elif text.startswith("[*]", at):
            if each:
                raise _error(text, at, "[*] once", "keep the inner array as a column of type array<…>")
            each, at = True, at + 3
            continue
        elif text[at:] == "#" and each and not behind:
            return JsonPath(tuple(before), each, (), number=True)
        else:
            raise _error(text, at, '.name, ["any key"], [0] or [*]', 'write a path such as $.actor["first name"]')
        at = match.end()
        if len(before) + len(behind) > _MAX_STEPS:
            raise _error(text, at, f"at most {_MAX_STEPS} steps", "take a nearer value")
    return JsonPath(tuple(before), each, tuple(behind))


def path_text(steps: tuple[Step, ...]) -> str:
    """Steps as a path: `labels[3].color`, `extra["any key"]`. The first is a name and stands as it is."""
    first, *rest = steps
    return f"{first}{_steps(tuple(rest))}"


def _steps(steps: tuple[Step, ...]) -> str:
    return "".join(
        f"[{s}]" if isinstance(s, int) else f".{s}" if _PLAIN.fullmatch(s) else f"[{json.dumps(s, ensure_ascii=False)}]"
        for s in steps
    )


def _key(text: str, at: int, quoted: str) -> str:
    try:
        return json.loads(quoted)
    except ValueError:
        raise _error(
            text, at, "a key in double quotes, as JSON writes it", 'write for example ["first name"]'
        ) from None


def _error(text: str, at: int, expected: str, remedy: str) -> PathError:
    rest = text[at:]
    found = f"{_shown(rest)} at character {at + 1} of {_shown(text)}"
    return PathError(found, expected, remedy)


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
