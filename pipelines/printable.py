"""Text from strangers as it may stand in a log line, on a page, in a comment: one line, with nothing a terminal would obey."""

import re

__all__ = ["markdown", "printable", "spoken"]


def printable(text: str) -> str:
    """The text with everything that cannot be printed as a backslash escape.

    That is control characters (line ends and terminal escapes among them), what turns the direction of text, what has no width, and
    lone surrogates (bytes that are no UTF-8). What can be printed stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def spoken(delimiter: str) -> str:
    """A delimiter as a sentence calls it."""
    return "a tab" if delimiter == "\t" else f"'{delimiter}'"


def markdown(text: str, most: int = 600) -> str:
    """Printable text of at most `most` characters, with what Markdown and HTML give a meaning to escaped."""
    shown = printable(text)
    if len(shown) > most:
        shown = f"{shown[: most - 1]}…"
    escaped = re.sub(r"([\\`*_{}\[\]()#+\-.!|~$>:@])", r"\\\1", shown)
    return escaped.replace("&", "&amp;").replace("<", "&lt;")
