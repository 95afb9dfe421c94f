"""The formats of what outlives a process, the release that writes them, and what happens when another release wrote it.

What was written by an older release is read as it is. What was written in a newer format is never guessed at: the process
stops before it reads or changes anything of it. Which document carries which number is in docs/upgrading.md.
"""

from collections.abc import Mapping

from pipelines.errors import NewerFormatError

__all__ = ["LEDGER_FORMAT", "RELEASE", "TABLE_FORMAT", "TABLE_FORMAT_PROPERTY", "require_readable", "table_format"]

RELEASE = "0.2.0"
"""This release; `pyproject.toml` says the same."""
LEDGER_FORMAT = 1
"""Every item of the ledger carries it as `format`."""
TABLE_FORMAT = 1
"""Every table carries it as a property; one that carries none was made by 0.1.0, whose tables are of format 1."""
TABLE_FORMAT_PROPERTY = "lakegate.format"


def require_readable(what: str, found: object, reads: int, release: object = None) -> int:
    """The format `found` on `what`, if this release reads it: 1 to `reads`.

    `release` is who wrote it, where that is known. Raises NewerFormatError when it is newer, or no format at all.
    """
    if isinstance(found, int) and 1 <= found <= reads:
        return found
    by = f"Lakegate {release}" if release else "another release of Lakegate"
    raise NewerFormatError(
        f"{what} is of format {found!r}, written by {by}; this is {RELEASE}, which reads up to format {reads}. Nothing was "
        "changed. Upgrade this process; do not go back to an older release (docs/upgrading.md)."
    )


def table_format(table: str, properties: Mapping[str, str]) -> int | None:
    """The format of a table by its properties; None where it carries none. Raises NewerFormatError when it is newer."""
    said = properties.get(TABLE_FORMAT_PROPERTY)
    if said is None:
        return None
    return require_readable(f"the table {table}", int(said) if said.isdecimal() else said, TABLE_FORMAT)
