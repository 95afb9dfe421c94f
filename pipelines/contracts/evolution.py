"""How a table follows its contract and its files: what changes, what stays, and what Iceberg cannot do. Pure.

Schemas are Arrow's here: the contract's by `table_schema`, the table's as the catalog has it. A column is never taken out of a
table, its type only ever becomes wider, and null is allowed once it was: rows written before stay what they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import BaseModel

from pipelines.contracts.columns import ANY_JSON, Column
from pipelines.contracts.model import Dataset
from pipelines.contracts.names import plain_name
from pipelines.contracts.nested_evolution import AddMember, CannotGrow, WidenInside, growth
from pipelines.contracts.schema import arrow_type, provenance_fields, table_schema
from pipelines.reading.headers import normalised

_Model = TypeVar("_Model", bound=BaseModel)

__all__ = [
    "SOURCE_NAME",
    "WIDER_PRECISIONS",
    "TableChange",
    "evolved",
    "extended",
    "is_wider",
    "plan_change",
    "type_text",
    "widened",
]

SOURCE_NAME = b"lakegate.source"
"""The metadata of a table's field under which the name of its column in files is kept, where it differs."""
WIDER_PRECISIONS = (18, 38)
"""The digits a decimal is widened to: those that a Parquet file keeps in 64 bits, and all there are."""
_NAMES: dict[pa.DataType, str] = {
    pa.string(): "string",
    pa.bool_(): "boolean",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamp",
}


@dataclass(frozen=True, slots=True)
class TableChange:
    """What makes a table hold what a contract describes: the steps, and in `faults` what cannot be done, in words.

    `renames` are (old, new); `adds` are nullable fields for the table's end; `widens` new types by name (after renaming);
    `relaxes` names of columns that must hold null from now on; `inside` what changes inside nested columns, by paths of new names.
    """

    renames: tuple[tuple[str, str], ...] = ()
    adds: tuple[pa.Field, ...] = ()
    widens: Mapping[str, pa.DataType] = field(default_factory=dict[str, pa.DataType])
    relaxes: tuple[str, ...] = ()
    inside: tuple[AddMember | WidenInside, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """The table is as it should be."""
        return not (self.renames or self.adds or self.widens or self.relaxes or self.inside or self.faults)


def is_wider(new: pa.DataType, old: pa.DataType) -> bool:
    """Whether Iceberg can make a column of type `old` one of type `new` (Iceberg spec, "Schema Evolution")."""
    if pa.types.is_decimal128(old) and pa.types.is_decimal128(new):
        return new.scale == old.scale and new.precision > old.precision
    return (old, new) in ((pa.int32(), pa.int64()), (pa.float32(), pa.float64()))


def type_text(arrow: pa.DataType) -> str:
    """A type as the contract writes it."""
    if pa.types.is_decimal128(arrow):
        return f"decimal({arrow.precision},{arrow.scale})"
    if pa.types.is_struct(arrow):
        return f"struct<{', '.join(f'{f.name}: {type_text(f.type)}' for f in arrow.fields)}>"
    if pa.types.is_map(arrow):
        return f"map<string, {type_text(arrow.item_type)}>"
    if pa.types.is_list(arrow):
        return f"array<{type_text(arrow.value_type)}>"
    return _NAMES.get(arrow) or str(arrow)


def plan_change(dataset: Dataset, there: pa.Schema) -> TableChange:
    """What has to be done to a table with the columns `there` so that it holds what the dataset describes."""
    wanted = table_schema(dataset)
    renames = _renames(dataset, wanted, there)
    old_names = {new: old for old, new in renames}
    ours = {f.name for f in provenance_fields()}
    widens: dict[str, pa.DataType] = {}
    adds: list[pa.Field] = []
    relaxes: list[str] = []
    inside: list[AddMember | WidenInside] = []
    faults: list[str] = []
    for column in wanted:
        name = old_names.get(column.name, column.name)
        if name not in there.names:
            if column.name in ours:
                faults.append(f"column {column.name} is missing: no table of Lakegate is without it")
            adds.append(column.with_nullable(True))
            continue
        found = there.field(name)
        if is_wider(column.type, found.type):
            widens[column.name] = column.type
        elif pa.types.is_nested(column.type) and pa.types.is_nested(found.type):
            for step in growth(column.type, found.type, (column.name,), is_wider):
                if isinstance(step, CannotGrow):
                    faults.append(_difference(".".join(step.path), step.wanted, step.found))
                else:
                    inside.append(step)
        elif found.type != column.type and not (dataset.schema_.widens and is_wider(found.type, column.type)):
            faults.append(_difference(column.name, column.type, found.type))
        if column.nullable and not found.nullable:
            relaxes.append(column.name)
    gone = set(there.names) - {old_names.get(n, n) for n in wanted.names}
    relaxes += [f.name for f in there if f.name in gone and not f.nullable]
    return TableChange(renames, tuple(adds), widens, tuple(relaxes), tuple(inside), tuple(faults))


def _difference(name: str, wanted: pa.DataType, found: pa.DataType) -> str:
    remedy = f"; write type: {type_text(found)}" if is_wider(found, wanted) else ""
    return f"column {name} is {type_text(wanted)} in the contract, {type_text(found)} in the table{remedy}"


def _renames(dataset: Dataset, wanted: pa.Schema, there: pa.Schema) -> tuple[tuple[str, str], ...]:
    """Columns of the table that the contract knows by `source` or `aliases` alone: (old, new)."""
    left = [f for f in there if f.name not in wanted.names and not f.name.startswith("_")]
    claims: dict[str, list[str]] = {}
    for name, column in dataset.columns.items():
        if name in there.names or not left or column.format == ANY_JSON:
            continue
        said = [s for s in (column.source, *column.aliases) if s is not None]
        spellings = {*map(normalised, said), *map(plain_name, said)}
        fitting = [f for f in left if normalised(f.name) in spellings]
        if len(fitting) == 1 and _holds(arrow_type(column), fitting[0].type):
            claims.setdefault(fitting[0].name, []).append(name)
    return tuple((old, news[0]) for old, news in claims.items() if len(news) == 1)


def _holds(wanted: pa.DataType, found: pa.DataType) -> bool:
    return wanted == found or is_wider(wanted, found) or is_wider(found, wanted)


def evolved(dataset: Dataset, there: pa.Schema) -> Dataset:
    """The dataset as its table has it by now: with columns that were added, and types that were widened, for files.

    The same object when there are none, or when the contract's `schema` allows neither.
    """
    policy = dataset.schema_
    wider: dict[str, str] = {}
    if policy.widens:
        for name, column in dataset.columns.items():
            if name in there.names and is_wider(there.field(name).type, arrow_type(column)):
                wider[name] = type_text(there.field(name).type)
    added: dict[str, str] = {}
    if policy.new_columns == "add":
        known = set(table_schema(dataset).names)
        for one in there:
            if one.name not in known and one.type == pa.string() and not one.name.startswith("_"):
                added[(one.metadata or {}).get(SOURCE_NAME, one.name.encode()).decode()] = one.name
    return extended(dataset, added, wider)


def extended(dataset: Dataset, new_columns: Mapping[str, str], wider_types: Mapping[str, str]) -> Dataset:
    """The dataset with further columns (file's name -> table's name, as text) and with wider types; as it is without any."""
    if not new_columns and not wider_types:
        return dataset
    columns = {
        name: widened(column, wider_types[name]) if name in wider_types else column
        for name, column in dataset.columns.items()
    }
    for source, name in new_columns.items():
        columns[name] = Column(type="string", source=None if source == name else source, format=ANY_JSON)
    return _made_again(dataset, columns=columns)


def widened(column: Column, kind: str) -> Column:
    """The column with another, wider type."""
    return _made_again(column, type=kind)


def _made_again(model: _Model, **changes: Any) -> _Model:
    """The model with some fields changed, validated; not `model_copy`, which keeps what was worked out from the old ones."""
    aliases = {name: info.alias or name for name, info in type(model).model_fields.items()}
    said = {aliases[name]: getattr(model, name) for name in model.model_fields_set}
    return type(model).model_validate({**said, **changes})
