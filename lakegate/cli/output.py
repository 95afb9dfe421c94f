"""How every command answers: rich text for people, one JSON document with `--json`, and an exit code.

0  good
1  bad data: a file was rejected, a check failed, not everything came to rest as it should
2  misuse: an option, an argument or a dataset file is wrong
3  AWS or the system failed
"""

import json
import sys
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["Exit", "JsonOption", "console", "errors", "print_json", "safe", "table"]

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

JsonOption = Annotated[bool, typer.Option("--json", help="Answer with one JSON document instead of text.")]


class Exit(IntEnum):
    """The exit codes, for scripts."""

    GOOD = 0
    BAD_DATA = 1
    MISUSE = 2
    SYSTEM = 3


def print_json(document: Any) -> None:
    """Write one JSON document to standard output, ending in a newline."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def safe(text: object) -> str:
    """Text from a key or a file, fit for a terminal: control characters made visible, markup defused."""
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in str(text)
    )
    return escape(shown)


def table(*columns: str, title: str | None = None) -> Table:
    """A plain table; columns whose name starts with `#` hold numbers and are aligned right."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        number = column.startswith("#")
        made.add_column(
            column.removeprefix("#"), justify="right" if number else "left", overflow="fold", no_wrap=number
        )
    return made
