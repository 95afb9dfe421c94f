"""The pattern of a dataset's object keys: matches exactly, and takes values from the key. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

__all__ = ["KeyPattern", "KeyPatternError"]


class KeyPatternError(ValueError):
    """The pattern of `landing.key` is not well formed; the message says where."""


_STRPTIME = {
    "%Y": r"\d{4}", "%m": r"\d{2}", "%d": r"\d{2}", "%H": r"\d{2}", "%M": r"\d{2}", "%S": r"\d{2}", "%y": r"\d{2}",
    "%j": r"\d{3}", "%b": r"[A-Za-z]{3}", "%f": r"\d{1,6}",
}  # fmt: skip
_FIELD = re.compile(r"\{([a-z][a-z0-9_]*)(?::([^{}]*))?\}")


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
        """Parse a pattern. Raises KeyPatternError when it has no literal prefix, an unknown directive or a field twice."""
        expression: list[str] = []
        fields: dict[str, str | None] = {}
        position = 0
        for match in _FIELD.finditer(text):
            expression.append(_literal(text[position : match.start()]))
            name, form = match[1], match[2]
            if name in fields:
                raise KeyPatternError(f"{{{name}}} stands twice")
            fields[name] = form or None
            expression.append(f"(?P<{name}>{_strptime_expression(form) if form else '[^/]+?'})")
            position = match.end()
        rest = text[position:]
        expression.append(_literal(rest))
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
        segment = self.text.rsplit("/", 1)[1]
        found = re.fullmatch(KeyPattern.parse("x/" + segment).expression[len("x/") :], file_name, re.DOTALL)
        return found.groupdict() if found else None

    def parse_time(self, name: str, text: str) -> datetime:
        """Read a field's text by its strptime format (ISO 8601 without one). Raises ValueError when it is no time."""
        form = self.fields[name]
        return datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - a key has no zone


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise KeyPatternError(f"a brace without its partner, or a field that is no column name, near {text!r}")
    return "[^/]*".join(re.escape(part) for part in text.split("*"))


def _strptime_expression(form: str) -> str:
    out: list[str] = []
    position = 0
    while position < len(form):
        directive = form[position : position + 2]
        if form[position] != "%":
            out.append(re.escape(form[position]))
            position += 1
        elif directive in _STRPTIME:
            out.append(_STRPTIME[directive])
            position += 2
        else:
            raise KeyPatternError(f"{directive!r} is not supported; use {', '.join(_STRPTIME)}")
    return "".join(out)
