"""Column lineage as Dagster keeps it: what lands with the files, and which of it each column of the table has its values from.

The UI of open-source Dagster draws no columns' lineage (Dagster+ does, and GraphQL gives it to any program), so it is also said
in words in the descriptions of the columns (`columns.py`).
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from assets.keys import landing_key
from pipelines.contracts.column_sources import SourceKind, column_sources, landing_columns
from pipelines.contracts.model import Dataset, JsonFormat
from pipelines.printable import markdown, printable

__all__ = ["column_lineage", "landing_schema"]


def landing_schema(dataset: Dataset) -> dg.TableSchema:
    """What lands with each file, as columns: those of the file under each of their names, values of the key, places in records."""
    of_file = "json" if isinstance(dataset.format, JsonFormat) else "text"
    apart = {SourceKind.KEY_VALUE: "text", SourceKind.OBJECT: "text"}
    return dg.TableSchema(
        [
            dg.TableColumn(
                printable(source.name), type=apart.get(source.kind, of_file), description=markdown(source.words)
            )
            for source in landing_columns(dataset)
        ]
    )


def column_lineage(
    dataset: Dataset, names_in_files: Mapping[str, Sequence[str]] | None = None
) -> dg.TableColumnLineage:
    """The landing columns that each column of the table may have its values from, by the contract.

    With `names_in_files`, those under which the files of a run really had a column, for each column that they had.
    """
    found = names_in_files or {}
    key = landing_key(dataset)
    deps: dict[str, list[dg.TableColumnDep]] = {}
    for column, sources in column_sources(dataset).items():
        names = found.get(column) or [source.name for source in sources]
        if names:
            deps[column] = [dg.TableColumnDep(key, name) for name in dict.fromkeys(map(printable, names))]
    return dg.TableColumnLineage(deps)
