"""How every command answers: rich text for people, one JSON document with `--json`, and an exit code.

0  good
1  bad data: a file was rejected, a check failed, not everything came to rest as it should
2  misuse: an option, an argument or a dataset file is wrong
3  AWS or the system failed
"""

import json
import math
import sys
from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.printable import printable

__all__ = ["Exit", "JsonOption", "console", "counted", "errors", "print_json", "safe", "table"]


class _Output(Console):
    """A console that never breaks a line of text, and no table either where nobody looks at its width.

    What goes into a file or a pipe is read by `grep` and by programs: a path cut in two is none.
    """

    def print(self, *objects: Any, **how: Any) -> None:
        """Print as rich does, without wrapping text."""
        wrapping: dict[str, Any] = {"soft_wrap": not self.is_terminal or all(isinstance(o, str) for o in objects)}
        before = self.width
        if not self.is_terminal:
            self.width = _UNBOUND
        try:
            super().print(*objects, **(wrapping | how))
        finally:
            if not self.is_terminal:
                self.width = before


_UNBOUND = 100_000
console = _Output(highlight=False)
errors = _Output(stderr=True, highlight=False)

JsonOption = Annotated[bool, typer.Option("--json", help="Answer with one JSON document instead of text.")]


class Exit(IntEnum):
    """The exit codes, for scripts."""

    GOOD = 0
    BAD_DATA = 1
    MISUSE = 2
    SYSTEM = 3


def print_json(document: Any) -> None:
    """Write one JSON document to standard output, ending in a newline.

    Readable where the output can carry it, escaped where it cannot be printed; a lone surrogate (a byte of a file's name that is
    no UTF-8) is always escaped. NaN and the infinities, which JSON does not have, become strings.
    """
    document = _plain(document)
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str, allow_nan=False)
    # JSON lets some controls, what turns the direction of text and what has no width stand as they are: a terminal obeys them.
    text = "\n".join(map(_visible, text.split("\n")))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2, default=str, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _visible(line: str) -> str:
    return line if line.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def safe(text: object) -> str:
    """Text from a key or a file, fit for a terminal: control characters made visible, markup defused."""
    return escape(printable(str(text)))


def table(*columns: str, title: str | None = None) -> Table:
    """A plain table; columns whose name starts with `#` hold numbers and are aligned right."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        number = column.startswith("#")
        made.add_column(
            column.removeprefix("#"), justify="right" if number else "left", overflow="fold", no_wrap=number
        )
    return made
