"""Where the values of each table column come from: column lineage, from the contract alone. Pure.

Dagster's column lineage and OpenLineage's are both drawn from here. What the table has beside the contract (columns that files
brought) is in the dataset that `evolution.evolved` makes of the contract and the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pipelines.contracts.model import Column, Dataset, JsonFormat
from pipelines.contracts.schema import (
    BATCH_ID,
    INGESTED_AT,
    RESCUED,
    SOURCE_FILE,
    SOURCE_LINE,
    SOURCE_VERSION,
    table_schema,
)

__all__ = ["ColumnSource", "SourceKind", "column_sources", "landing_columns", "spellings"]


class SourceKind(StrEnum):
    """What kind of thing a value is taken from; the values are words for people."""

    COLUMN = "a column of the file"
    MEMBER = "a member of each JSON record"
    PATH = "a place in each JSON record"
    KEY_VALUE = "taken from the object's key"
    OTHER = "any column of the file that the contract does not know"
    OBJECT = "told of the object, not by the file"


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """One thing that lands with a file and that values are taken from.

    `name` is unique among a dataset's sources: a column or member as the file writes it, a path as the contract does, `{name}` for
    a value of the key, and words in parentheses for what is told of an object. `preferred` is the spelling looked for first,
    where this is another name of the same column.
    """

    name: str
    kind: SourceKind
    preferred: str | None = None

    @property
    def words(self) -> str:
        """What it is, for people."""
        said = f"{self.kind.value[0].upper()}{self.kind.value[1:]}"
        return f"{said}; another name of {self.preferred}." if self.preferred else f"{said}."


OBJECT_KEY = ColumnSource("(object key)", SourceKind.OBJECT)
OBJECT_VERSION = ColumnSource("(object version)", SourceKind.OBJECT)
LINE_NUMBER = ColumnSource("(line number)", SourceKind.OBJECT)
OTHER_COLUMNS = ColumnSource("(any other column)", SourceKind.OTHER)

_PROVENANCE: Mapping[str, tuple[ColumnSource, ...]] = {
    SOURCE_FILE: (OBJECT_KEY,),
    SOURCE_VERSION: (OBJECT_VERSION,),
    SOURCE_LINE: (LINE_NUMBER,),
    BATCH_ID: (),
    INGESTED_AT: (),
}


def spellings(name: str, column: Column) -> tuple[str, ...]:
    """The names under which a file may have a column, in the order they are looked for: `source`, its own, `aliases`."""
    said = (column.source, name, *column.aliases)
    return tuple(dict.fromkeys(spelling for spelling in said if spelling is not None))


def column_sources(dataset: Dataset) -> dict[str, tuple[ColumnSource, ...]]:
    """The sources of each column of the table, in table order; none for what Lakegate makes itself.

    Of several sources of a column, a file has one: they are other names of the same. Only `_rescued` may have values of all of its.
    """
    of_contract = {name: _sources(dataset, name, column) for name, column in dataset.columns.items()}
    found = {**of_contract, **_PROVENANCE, RESCUED: _rescued(dataset, of_contract)}
    return {name: found[name] for name in table_schema(dataset).names}


def landing_columns(dataset: Dataset) -> tuple[ColumnSource, ...]:
    """Everything that values of the table are taken from, each once: what the landing files show as their columns."""
    sources = (source for of in column_sources(dataset).values() for source in of)
    return tuple({source.name: source for source in sources}.values())


def _sources(dataset: Dataset, name: str, column: Column) -> tuple[ColumnSource, ...]:
    if column.from_ == "key":
        return (ColumnSource(f"{{{name}}}", SourceKind.KEY_VALUE),)
    if column.path is not None:
        return (ColumnSource(column.path, SourceKind.PATH),)
    kind = SourceKind.MEMBER if isinstance(dataset.format, JsonFormat) else SourceKind.COLUMN
    first, *others = spellings(name, column)
    return (ColumnSource(first, kind), *(ColumnSource(other, kind, preferred=first) for other in others))


def _rescued(dataset: Dataset, of_contract: Mapping[str, tuple[ColumnSource, ...]]) -> tuple[ColumnSource, ...]:
    of_file = (source for name in dataset.file_columns for source in of_contract[name])
    values = tuple(of_file) if dataset.schema_.rescues_values else ()
    return (*values, OTHER_COLUMNS) if dataset.schema_.new_columns == "rescue" else values
