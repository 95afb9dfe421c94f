"""Changing the columns of an Iceberg table to what a dataset describes: one schema update, as a compare-and-set on the catalog."""

import random
import time
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from pipelines.contracts.evolution import TableChange, plan_change
from pipelines.contracts.model import Dataset
from pipelines.contracts.nested_evolution import AddMember
from pipelines.errors import CommitConflictError, TableMismatchError
from resources.iceberg_schema import (
    arrow_schema,
    comments,
    iceberg_type,
    partition_difference,
    schema,
    source_properties,
)

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table, Transaction

__all__ = ["change_columns", "open_transaction"]

_MAX_TRIES = 12
_LONGEST_PAUSE_S = 1.0


def change_columns(
    catalog: "Catalog", table: "Table", dataset: Dataset, *, pause: Callable[[float], None] = time.sleep
) -> None:
    """Change the table's columns, if they are not what the dataset describes. Rows are neither read nor written.

    What another worker changed meanwhile is looked at again. Raises TableMismatchError with every difference that Iceberg cannot
    make good, CommitConflictError when other writers kept coming first.
    """
    from pyiceberg.exceptions import CommitFailedException

    for tries in range(_MAX_TRIES):
        if tries:
            pause(random.uniform(0, min(0.05 * 2**tries, _LONGEST_PAUSE_S)))  # noqa: S311  # jitter, no secret
            table = catalog.load_table(table.name())
        change = plan_change(dataset, arrow_schema(table))
        _refuse(dataset, table, change)
        said = comments(dataset, table.schema(), {new: old for old, new in change.renames})
        if change.empty and not said.keys() - {field.name for field in change.adds}:
            return
        try:
            _commit(catalog, table, dataset, change, said)
        except CommitFailedException:
            continue
        return
    raise CommitConflictError(
        f"Other writers changed the table {dataset.table} {_MAX_TRIES} times before its columns could be changed; it is tried again later."
    )


def _refuse(dataset: Dataset, table: "Table", change: TableChange) -> None:
    renamed = dict(change.renames)
    partitions = partition_difference(dataset, table.schema(), table.spec(), renamed)
    taken = {field.name for field in table.spec().fields}
    faults = [*change.faults, *([partitions] if partitions else [])]
    faults += [f"column {f.name} cannot be added: a partition has that name" for f in change.adds if f.name in taken]
    if faults:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        raise TableMismatchError(
            f"The table {'.'.join(table.name())} is not what the dataset {dataset.name} describes, and cannot become it:{listed}\n"
            "Take the change of the contract back; or give a column of another type a new name, with the file's name as its `source`; "
            "or give the dataset a new name and process its files again, or drop the table and process them again."
        )


def _commit(catalog: "Catalog", table: "Table", dataset: Dataset, change: TableChange, said: dict[str, str]) -> None:
    from pyiceberg.table.update import AssertTableUUID

    wanted = schema(dataset)
    old_names = {new: old for old, new in change.renames}
    transaction = open_transaction(table)
    update = transaction.update_schema()
    for old, new in change.renames:
        update.rename_column(old, new)
    for name in change.widens:
        update.update_column(old_names.get(name, name), field_type=wanted.find_field(name).field_type)
    for name in change.relaxes:
        update.make_column_optional(old_names.get(name, name))
    added = {field.name for field in change.adds}
    for field in change.adds:
        update.add_column(field.name, iceberg_type(field.type, count(1)), doc=said.get(field.name))
    for step in change.inside:
        path = (old_names.get(step.path[0], step.path[0]), *step.path[1:])
        kind = iceberg_type(step.type, count(1))
        if isinstance(step, AddMember):
            update.add_column(path, kind)
        else:
            update.update_column(path, field_type=kind)
    for name in said.keys() - added:
        update.update_column(old_names.get(name, name), doc=said[name])
    update.commit()
    if properties := source_properties(dataset, added | old_names.keys()):
        transaction.set_properties(properties)
    staged: Any = transaction
    requirements = (*staged._requirements, AssertTableUUID(uuid=table.metadata.table_uuid))
    catalog.commit_table(table, requirements, staged._updates)


def open_transaction(table: "Table") -> "Transaction":
    """A transaction that does not copy the table's metadata each time it looks at it.

    PyIceberg's does, fourteen times a commit, and deeply: with a thousand snapshots that is most of the commit's time.
    """
    from pyiceberg.table import Transaction
    from pyiceberg.table.metadata import TableMetadata

    class LookingTransaction(Transaction):
        @property
        def table_metadata(self) -> TableMetadata:
            return super().table_metadata if self._updates else self._table.metadata

    return LookingTransaction(table)
