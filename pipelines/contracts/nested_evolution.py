"""How a nested column of a table grows with its contract: members come, and what is inside becomes wider. Pure.

As for columns (`evolution.py`) nothing is ever taken out: a member that the contract does not name any more stays, and is null in
new rows. Types are Arrow's; fields of the table's types may carry field ids, which are kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

__all__ = ["AddMember", "CannotGrow", "InnerPath", "WidenInside", "grown", "growth", "holds"]

InnerPath = tuple[str, ...]
"""The way to a field inside a column, as Iceberg names it: `("labels", "element", "color")`."""
Wider = Callable[[pa.DataType, pa.DataType], bool]
"""Whether the first type is a wider form of the second, both of them leaves."""


@dataclass(frozen=True, slots=True)
class AddMember:
    """A member that the contract has and the table does not."""

    path: InnerPath
    type: pa.DataType


@dataclass(frozen=True, slots=True)
class WidenInside:
    """A type inside that has to become wider."""

    path: InnerPath
    type: pa.DataType


@dataclass(frozen=True, slots=True)
class CannotGrow:
    """A type inside that cannot become what the contract says."""

    path: InnerPath
    wanted: pa.DataType
    found: pa.DataType


def growth(
    wanted: pa.DataType, found: pa.DataType, path: InnerPath, is_wider: Wider
) -> Iterator[AddMember | WidenInside | CannotGrow]:
    """What makes the table's type at a path hold the contract's, step by step."""
    if pa.types.is_struct(wanted) and pa.types.is_struct(found):
        there = {field.name: field for field in found.fields}
        for field in wanted.fields:
            if field.name in there:
                yield from growth(field.type, there[field.name].type, (*path, field.name), is_wider)
            else:
                yield AddMember((*path, field.name), field.type)
    elif pa.types.is_list(wanted) and pa.types.is_list(found):
        yield from growth(wanted.value_type, found.value_type, (*path, "element"), is_wider)
    elif pa.types.is_map(wanted) and pa.types.is_map(found):
        yield from growth(wanted.item_type, found.item_type, (*path, "value"), is_wider)
    elif is_wider(wanted, found):
        yield WidenInside(path, wanted)
    elif wanted != found:
        yield CannotGrow(path, wanted, found)


def holds(table: pa.DataType, file: pa.DataType, is_wider: Wider) -> bool:
    """Whether a column of the table holds what a file of an earlier form of its type has."""
    steps = growth(file, table, (), lambda new, old: is_wider(old, new))
    return all(isinstance(step, WidenInside) for step in steps)


def grown(wanted: pa.DataType, found: pa.DataType) -> pa.DataType:
    """The table's type once it has grown: its own fields first, with their ids, then the members that came."""
    if pa.types.is_struct(wanted) and pa.types.is_struct(found):
        new = {field.name: field for field in wanted.fields}
        kept = [f.with_type(grown(new[f.name].type, f.type)) if f.name in new else f for f in found.fields]
        names = {field.name for field in found.fields}
        return pa.struct([*kept, *(field for field in wanted.fields if field.name not in names)])
    if pa.types.is_list(wanted) and pa.types.is_list(found):
        return pa.list_(found.value_field.with_type(grown(wanted.value_type, found.value_type)))
    if pa.types.is_map(wanted) and pa.types.is_map(found):
        return pa.map_(found.key_field, found.item_field.with_type(grown(wanted.item_type, found.item_type)))
    return wanted
