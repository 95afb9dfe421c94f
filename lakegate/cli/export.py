"""Rows as CSV for people's programs: what a spreadsheet would run as a formula is defused, in the export only.

RFC 4180: lines end in CRLF; text is in quotes, null is an empty cell without them, so that the two never look alike.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["csv_lines", "defused"]

# OWASP, "CSV Injection": these begin a formula in Excel, LibreOffice or Google Sheets; the last four are their full-width forms.
_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*(?:[eE][+-]?[0-9]+)?")


def defused(text: str) -> str:
    """The text with an apostrophe before it if a spreadsheet would take it for a formula. A number stays as it is."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_lines(rows: "pa.Table", *, keep_formulas: bool = False) -> Iterator[str]:
    """The table as lines of CSV, the header first; with `keep_formulas` every text stands as it is."""
    shown = (lambda text: text) if keep_formulas else defused
    yield ",".join(_quoted(shown(name)) for name in rows.column_names) + "\r\n"
    for batch in rows.to_batches():
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield (",".join(_cell(value, shown) for value in row) or '""') + "\r\n"  # a blank line would be no row


def _cell(value: Any, shown: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case Decimal():
            return f"{value:f}"
        case date() | datetime() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case _:
            return _quoted(shown(str(value)))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
