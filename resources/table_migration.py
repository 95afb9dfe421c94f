"""Bringing the tables of a deployment to this release's format: which lack it, and giving it to them.

Tables that 0.1.0 made are of format 1 and do not say so. The step to this release says it, as a property: one change of the
table's metadata, a compare-and-set on the catalog like every commit. No row and no file is touched.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.errors import CommitConflictError
from pipelines.formats import TABLE_FORMAT, TABLE_FORMAT_PROPERTY, table_format

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

__all__ = ["TableStanding", "look_at_tables", "stamp_table"]

_OURS = "lakegate.dataset"
_MAX_TRIES = 12


@dataclass(frozen=True, slots=True)
class TableStanding:
    """A table of ours and its format; None where it does not say."""

    name: str
    format: int | None


def look_at_tables(catalog: "Catalog", database: str) -> Iterator[TableStanding]:
    """Every table that Lakegate made in the database, by name. Raises NewerFormatError when a newer release wrote one."""
    from pyiceberg.exceptions import NoSuchIcebergTableError, NoSuchTableError

    for _, name in sorted(catalog.list_tables(database)):
        # Others may keep tables in the same database, or drop one meanwhile.
        with suppress(NoSuchIcebergTableError, NoSuchTableError):
            table = catalog.load_table((database, name))
            if _OURS in table.properties:
                yield TableStanding(name, table_format(f"{database}.{name}", table.properties))


def stamp_table(catalog: "Catalog", database: str, name: str) -> bool:
    """Give a table its format; False when it has one. Repeatable, and safe beside whoever commits to the table.

    Raises CommitConflictError when other writers kept coming first.
    """
    from pyiceberg.exceptions import CommitFailedException

    for _ in range(_MAX_TRIES):
        table = catalog.load_table((database, name))
        if table_format(f"{database}.{name}", table.properties) is not None:
            return False
        with suppress(CommitFailedException):
            _stamp(catalog, table)
            return True
    raise CommitConflictError(
        f"Other writers changed the table {name} {_MAX_TRIES} times before it could be given its format; run the migration again."
    )


def _stamp(catalog: "Catalog", table: "Table") -> None:
    from pyiceberg.table.update import AssertTableUUID, SetPropertiesUpdate

    update = SetPropertiesUpdate(updates={TABLE_FORMAT_PROPERTY: str(TABLE_FORMAT)})
    catalog.commit_table(table, (AssertTableUUID(uuid=table.metadata.table_uuid),), (update,))
