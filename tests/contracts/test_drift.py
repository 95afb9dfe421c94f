"""The table's columns beside the contract's: what the product did itself is listed, what somebody else did is a fault."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.contracts.drift import Difference, differences
from pipelines.contracts.evolution import SOURCE_NAME
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import table_schema
from tests.ingest.world import ORDERS, dataset

OF = dataset(ORDERS)
THERE = table_schema(OF)


def found(there: pa.Schema, of: Dataset = OF, *, applied: bool = True) -> list[tuple[str, bool]]:
    return [(one.column, one.is_fault) for one in differences(of, there, applied=applied)]


def changed(name: str, kind: pa.DataType) -> pa.Schema:
    return pa.schema([f.with_type(kind) if f.name == name else f for f in THERE])


def without(*names: str) -> pa.Schema:
    return pa.schema([field for field in THERE if field.name not in names])


def test_a_table_as_the_contract_says_has_no_difference() -> None:
    assert differences(OF, THERE, applied=True) == []


@pytest.mark.parametrize("name", ["amount", "_source_file"])
def test_a_column_that_somebody_dropped_is_a_fault(name: str) -> None:
    assert found(without(name)) == [(name, True)]


def test_a_column_that_is_new_in_the_contract_is_none() -> None:
    assert differences(OF, without("amount"), applied=False) == [
        Difference("amount", "", "decimal(10,2)", "not in the table yet: the next run adds it", is_fault=False)
    ]


@pytest.mark.parametrize("kind", [pa.string(), pa.decimal128(12, 2), pa.decimal128(8, 2)])
def test_another_type_is_a_fault(kind: pa.DataType) -> None:
    assert found(changed("amount", kind)) == [("amount", True)]


def test_a_type_that_the_next_run_widens_is_none() -> None:
    assert found(changed("amount", pa.decimal128(8, 2)), applied=False) == [("amount", False)]
    assert found(changed("amount", pa.decimal128(12, 2)), applied=False) == [("amount", True)]


def test_a_type_that_was_widened_for_a_file_is_none_where_the_contract_allows_it() -> None:
    widening = dataset(ORDERS + "schema: {type_changes: widen}\n")
    assert found(changed("amount", pa.decimal128(18, 2)), widening) == [("amount", False)]


def test_a_further_column_is_a_fault_unless_files_may_add_it() -> None:
    further = THERE.append(pa.field("gate_no", pa.string(), metadata={SOURCE_NAME: b"Gate No."}))
    assert found(further) == [("gate_no", True)]
    adding = dataset(ORDERS + "schema: {new_columns: add}\n")
    [one] = differences(adding, further, applied=True)
    assert (one.what, one.is_fault) == ("added by files, which call it Gate No.", False)
    assert found(THERE.append(pa.field("gate_no", pa.int64())), adding) == [("gate_no", True)], "files add text alone"


def test_a_column_with_its_older_name_is_renamed_by_the_next_run() -> None:
    renamed = dataset(
        ORDERS.replace('amount: {type: "decimal(10,2)"}', 'total: {type: "decimal(10,2)", aliases: [amount]}')
    )
    assert found(THERE, renamed, applied=False) == [("total", False)]


def test_faults_come_first() -> None:
    there = changed("amount", pa.string()).append(pa.field("free", pa.string()))
    adding = dataset(ORDERS + "schema: {new_columns: add}\n")
    assert found(pa.schema([there.field("free"), *[f for f in there if f.name != "free"]]), adding) == [
        ("amount", True),
        ("free", False),
    ]
