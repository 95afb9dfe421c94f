"""The pattern of a dataset's object keys: matches exactly, and takes values from the key. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

__all__ = ["KeyPattern", "KeyPatternError"]


class KeyPatternError(ValueError):
    """The pattern of `landing.key` is not well formed; the message says where."""


# ASCII digits: `\d` would also take the digits of every other script.
_STRPTIME = {
    "%Y": "[0-9]{4}", "%m": "[0-9]{2}", "%d": "[0-9]{2}", "%H": "[0-9]{2}", "%M": "[0-9]{2}", "%S": "[0-9]{2}",
    "%y": "[0-9]{2}", "%j": "[0-9]{3}", "%b": "[A-Za-z]{3}", "%f": "[0-9]{1,6}",
}  # fmt: skip
_FIELD = re.compile(r"\{([a-z][a-z0-9_]*)(?::([^{}]*))?\}")
# An open field (no format) beside another open field or a wildcard: where one ends and the next begins is anyone's guess.
_TOUCHING = re.compile(r"(?:\{[a-z][a-z0-9_]*\}|\*)(?:\{[a-z][a-z0-9_]*\}|\*)")


@dataclass(frozen=True)  # no slots: the compiled expression is cached on the value
class KeyPattern:
    """`landing/flights/{flight_date:%Y-%m-%d}.csv*`, parsed.

    `prefix` is the literal text up to and including the last slash before the first field or wildcard; routing tests it
    first. `fields` maps each column named in the pattern to its strptime format, or None.
    """

    text: str
    prefix: str
    fields: dict[str, str | None]
    expression: str

    @classmethod
    def parse(cls, text: str) -> "KeyPattern":
        """Parse a pattern.

        Raises KeyPatternError when it has no literal prefix, an unknown directive, a field twice, or fields and
        wildcards that touch, so that nobody could tell where one ends.
        """
        expression: list[str] = []
        fields: dict[str, str | None] = {}
        position = 0
        for match in _FIELD.finditer(text):
            expression.append(_literal(text[position : match.start()]))
            name, form = match[1], match[2]
            if name in fields:
                raise KeyPatternError(f"{{{name}}} stands twice")
            if form is not None and not form:
                raise KeyPatternError(f"{{{name}:}} has no format after the colon")
            fields[name] = form
            expression.append(f"(?P<{name}>{_strptime_expression(form) if form else '[^/]+?'})")
            position = match.end()
        expression.append(_literal(text[position:]))
        if touching := _TOUCHING.search(text):
            raise KeyPatternError(f"{touching[0]!r}: put literal text between the two")
        head = re.split(r"[{*]", text, maxsplit=1)[0]
        if "/" not in head:
            raise KeyPatternError("it must start with a literal prefix that ends in a slash, such as landing/orders/")
        return cls(text=text, prefix=head[: head.rindex("/") + 1], fields=fields, expression="".join(expression))

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.expression, re.DOTALL)

    def match(self, key: str) -> dict[str, str] | None:
        """The raw texts of the fields when the whole key matches, else None.

        Text that fits the shape but is no date (`2013-02-30`) still matches: it is this dataset's file, and its key is
        wrong. `parse_date` tells.
        """
        found = self._compiled.fullmatch(key)
        return found.groupdict() if found else None

    def match_last_segment(self, file_name: str) -> dict[str, str] | None:
        """Match a local file's name against the last segment of the pattern; None when it does not fit."""
        found = self._compiled_last_segment.fullmatch(file_name)
        return found.groupdict() if found else None

    @cached_property
    def _compiled_last_segment(self) -> re.Pattern[str]:
        # A slash inside a field's format is part of the field, so the last segment then starts with that field.
        outside = _FIELD.sub(lambda field: field[0].replace("/", "\0"), self.text)
        segment = outside.rsplit("/", 1)[1].replace("\0", "/")
        return re.compile(KeyPattern.parse("x/" + segment).expression[len("x/") :], re.DOTALL)

    def parse_time(self, name: str, text: str) -> datetime:
        """Read a field's text by its strptime format (ISO 8601 without one). Raises ValueError when it is no time."""
        form = self.fields[name]
        return datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - a key has no zone


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise KeyPatternError(f"a brace without its partner, or a field that is no column name, near {text!r}")
    if "\0" in text:
        raise KeyPatternError("a NUL character")
    return "[^/]*".join(re.escape(part) for part in text.split("*"))


def _strptime_expression(form: str) -> str:
    out: list[str] = []
    seen: set[str] = set()
    position = 0
    while position < len(form):
        directive = form[position : position + 2]
        if form[position] != "%":
            out.append(re.escape(form[position]))
            position += 1
        elif directive in _STRPTIME:
            if directive in seen:
                raise KeyPatternError(f"{directive!r} stands twice in one field")
            seen.add(directive)
            out.append(_STRPTIME[directive])
            position += 2
        else:
            raise KeyPatternError(f"{directive!r} is not supported; use {', '.join(_STRPTIME)}")
    return "".join(out)
