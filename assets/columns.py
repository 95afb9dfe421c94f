"""A table's columns as Dagster shows them: what the contract says, and what the table has become."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa

from pipelines.contracts.column_sources import ColumnSource, SourceKind, column_sources
from pipelines.contracts.evolution import SOURCE_NAME, is_wider, type_text
from pipelines.contracts.model import Column, ColumnType, Dataset
from pipelines.contracts.schema import arrow_type, table_schema
from pipelines.printable import markdown

__all__ = ["column_schema"]

_PROVENANCE = {
    "_rescued": "What the file said that the contract has no place for, as JSON.",
    "_source_file": "The key of the object the row came from.",
    "_source_version": "The version of that object.",
    "_source_line": "The line the record starts at, as an editor counts.",
    "_batch_id": "The batch that published the row.",
    "_ingested_at": "When the batch was read.",
}


def column_schema(dataset: Dataset, there: pa.Schema | None = None) -> dg.TableSchema:
    """The table's columns as Dagster shows them: types by Athena's names, constraints, descriptions, provenance.

    With `there`, what the table has by now: types that were widened, and columns that the contract does not have.
    """
    sources = column_sources(dataset)
    columns = [
        dg.TableColumn(
            name,
            type=type_text(there.field(name).type)
            if there is not None and _is_wider(there, name, column)
            else column.type,
            description=_column_description(column, sources[name]),
            constraints=dg.TableColumnConstraints(
                nullable=column.nullable and name not in dataset.primary_key, other=_constraints(column)
            ),
        )
        for name, column in dataset.columns.items()
    ]
    columns += [_beside(dataset, one) for one in there or () if one.name not in table_schema(dataset).names]
    for name in table_schema(dataset).names:
        if name in _PROVENANCE:
            kind = {"_source_line": "bigint", "_ingested_at": "timestamp"}.get(name, "string")
            columns.append(dg.TableColumn(name, type=kind, description=_PROVENANCE[name]))
    return dg.TableSchema(columns=columns)


def _is_wider(there: pa.Schema, name: str, column: Column) -> bool:
    return name in there.names and is_wider(there.field(name).type, arrow_type(column))


def _beside(dataset: Dataset, found: pa.Field) -> dg.TableColumn:
    """A column that the table has and the contract does not."""
    source = (found.metadata or {}).get(SOURCE_NAME, found.name.encode()).decode()
    is_filled = dataset.schema_.new_columns == "add" and found.type == pa.string() and not found.name.startswith("_")
    said = (
        f"Added from files, where it is called {markdown(source)}."
        if is_filled
        else "Not in the contract any more: null in new rows."
    )
    return dg.TableColumn(found.name, type=type_text(found.type), description=said)


def _column_description(column: Column, sources: Sequence[ColumnSource]) -> str | None:
    """What the contract says of it, and where its values come from, unless that is a column of the same name."""
    first, *others = sources
    origin = ""
    if first.kind is SourceKind.KEY_VALUE:
        origin = "From the object's key."
    elif first.kind is SourceKind.PATH or column.source is not None or others:
        or_else = f", or else {', '.join(f'`{other.name}`' for other in others)}" if others else ""
        origin = f"From `{first.name}`{or_else}."
    return " ".join(said for said in (column.description, origin) if said) or None


def _constraints(column: Column) -> list[str]:
    said: list[str] = []
    if column.pattern is not None:
        said.append(f"matches {column.pattern}")
    if column.allowed is not None:
        said.append("one of " + ", ".join(map(str, column.allowed)))
    if column.min is not None:
        said.append(f"at least {column.min}")
    if column.max is not None:
        said.append(f"at most {column.max}")
    if column.kind is ColumnType.TIMESTAMP and column.zone:
        said.append(f"read in {column.zone}, kept in UTC")
    return said
