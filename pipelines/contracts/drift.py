"""The table's columns beside the contract's: what differs, whether somebody else made it so, and what to do. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipelines.contracts.evolution import SOURCE_NAME, is_wider, plan_change, type_text
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import table_schema

__all__ = ["Difference", "differences"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One column that is not alike. `is_fault`: neither the contract's change nor a file's can have made it so."""

    column: str
    in_table: str
    in_contract: str
    what: str
    is_fault: bool


def differences(dataset: Dataset, there: pa.Schema, *, applied: bool) -> list[Difference]:
    """Every difference, faults first. `applied`: the table was brought to this contract before, so it lacks nothing by itself."""
    return sorted(_differences(dataset, there, applied=applied), key=lambda found: not found.is_fault)


def _differences(dataset: Dataset, there: pa.Schema, *, applied: bool) -> Iterator[Difference]:
    wanted = table_schema(dataset)
    renames = {new: old for old, new in plan_change(dataset, there).renames}
    for one in wanted:
        found = there.field(renames.get(one.name, one.name)) if renames.get(one.name, one.name) in there.names else None
        said = type_text(one.type)
        if found is None:
            lost = "somebody dropped it: the next run adds it again, with null in every row that is there"
            what = lost if applied else "not in the table yet: the next run adds it"
            yield Difference(one.name, "", said, what, applied)
        elif one.name in renames:
            yield Difference(
                one.name, renames[one.name], said, "has its older name: the next run renames it", is_fault=False
            )
        elif type_text(found.type) != said:
            yield _type(dataset, one, found, applied=applied)
    known = {*wanted.names, *renames.values()}
    for found in there:
        if found.name not in known:
            yield _further(dataset, found)


def _type(dataset: Dataset, one: pa.Field, found: pa.Field, *, applied: bool) -> Difference:
    in_table, in_contract = type_text(found.type), type_text(one.type)
    if dataset.schema_.widens and is_wider(found.type, one.type):
        return Difference(one.name, in_table, in_contract, "widened for a file", is_fault=False)
    if is_wider(one.type, found.type) and not applied:
        return Difference(one.name, in_table, in_contract, "narrower: the next run widens it", is_fault=False)
    what = "another type: change it back in the table, or correct the contract"
    return Difference(one.name, in_table, in_contract, what, is_fault=True)


def _further(dataset: Dataset, found: pa.Field) -> Difference:
    is_added = dataset.schema_.new_columns == "add" and found.type == pa.string() and not found.name.startswith("_")
    if is_added:
        source = (found.metadata or {}).get(SOURCE_NAME, found.name.encode()).decode()
        return Difference(found.name, "string", "", f"added by files, which call it {source}", is_fault=False)
    what = "not in the contract: somebody added it, or it was taken out of the contract; take it in, or drop it from the table"
    return Difference(found.name, type_text(found.type), "", what, is_fault=True)
