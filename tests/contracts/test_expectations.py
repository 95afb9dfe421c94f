"""Which expectations the reader carries out; the rest is left to Great Expectations, and none to nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.contracts.expectations import NATIVE, is_native
from pipelines.contracts.great_expectations_list import EXPECTATIONS, SQL_ONLY
from pipelines.contracts.loading import parse_dataset
from pipelines.contracts.model import Dataset
from pipelines.reading.expectations import runs_natively

ORDERS = """\
name: orders
description: Orders of the shop.
landing: {key: "landing/orders/*.csv", start: 2024-01-01}
format: {type: csv}
columns:
  id: {type: bigint}
  parent: {type: int}
  name: {type: string}
  price: {type: "decimal(9,2)"}
  day: {type: date}
  at: {type: timestamp, zone: Europe/Berlin}
expectations:
"""
READ = [
    "expect_column_values_to_not_be_null: {column: id}",
    "expect_column_values_to_not_be_null: {column: id, mostly: 0.9, notes: why, meta: {a: 1}}",
    "expect_column_values_to_be_null: {column: id}",
    "expect_column_values_to_be_between: {column: id, min_value: 1, max_value: 9, strict_min: true, strict_max: true}",
    "expect_column_values_to_be_between: {column: price, max_value: 9.99}",
    "expect_column_values_to_be_between: {column: day, min_value: 2024-01-01}",
    "expect_column_values_to_be_between: {column: at, min_value: '2024-07-01T12:00'}",
    "expect_column_values_to_be_in_set: {column: name, value_set: [a, NO]}",
    "expect_column_values_to_not_be_in_set: {column: id, value_set: [1]}",
    "expect_column_values_to_match_regex: {column: name, regex: '^a'}",
    "expect_column_values_to_not_match_regex: {column: name, regex: '^a'}",
    "expect_column_value_lengths_to_equal: {column: name, value: 3}",
    "expect_column_value_lengths_to_be_between: {column: name, max_value: 3}",
    "expect_column_pair_values_a_to_be_greater_than_b: {column_A: id, column_B: parent, or_equal: true}",
    "expect_column_pair_values_to_be_equal: {column_A: id, column_B: parent}",
]
LEFT = [
    "expect_column_mean_to_be_between: {column: id, min_value: 1}",
    "expect_column_values_to_not_be_null: {column: id, row_condition: 'id > 5', condition_parser: pandas}",
    "expect_column_value_lengths_to_be_between: {column: name, max_value: 3, strict_max: true}",
    "expect_column_pair_values_to_be_equal: {column_A: id, column_B: parent, ignore_row_if: neither}",
]


def orders(*expectations: str) -> Dataset:
    outcome = parse_dataset((ORDERS + "".join(f"  - {e}\n" for e in expectations)).encode(), Path("orders.yaml"))
    assert isinstance(outcome, Dataset), str(outcome)
    return outcome


@pytest.mark.parametrize("text", READ)
def test_the_reader_carries_out_what_may_quarantine(text: str) -> None:
    dataset = orders(f"{{{text}, severity: quarantine_file}}")
    assert is_native(dataset.expectations[0])
    assert runs_natively(dataset, dataset.expectations[0])


@pytest.mark.parametrize("text", LEFT)
def test_what_the_reader_cannot_answer_is_left_to_great_expectations(text: str) -> None:
    dataset = orders(text)
    assert not is_native(dataset.expectations[0])
    assert not runs_natively(dataset, dataset.expectations[0])


def test_every_native_expectation_is_among_those_shown() -> None:
    assert {text.split(":")[0] for text in READ} == NATIVE.keys()
    assert NATIVE.keys() <= EXPECTATIONS.keys() - SQL_ONLY


def test_what_blocks_is_evaluated_on_the_published_rows() -> None:
    (expectation,) = orders("{expect_column_values_to_not_be_null: {column: id}, severity: block}").expectations
    assert not is_native(expectation)
