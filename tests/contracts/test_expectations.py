"""Which expectations the reader carries out, and as what test; the rest is left to Great Expectations."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.contracts.expectations import (
    NATIVE,
    Between,
    InSet,
    IsNull,
    Length,
    Matches,
    NativeTest,
    NotNull,
    is_native,
    native_rules,
)
from pipelines.contracts.great_expectations_list import EXPECTATIONS
from pipelines.contracts.loading import parse_dataset
from pipelines.contracts.model import Dataset

ORDERS = """\
name: orders
description: Orders of the shop.
landing: {key: "landing/orders/*.csv", start: 2024-01-01}
format: {type: csv}
columns:
  id: {type: bigint}
  name: {type: string}
  price: {type: "decimal(9,2)"}
  day: {type: date}
  at: {type: timestamp, zone: Europe/Berlin}
expectations:
"""


def orders(*expectations: str) -> Dataset:
    outcome = parse_dataset((ORDERS + "".join(f"  - {e}\n" for e in expectations)).encode(), Path("orders.yaml"))
    assert isinstance(outcome, Dataset), str(outcome)
    return outcome


@pytest.mark.parametrize(
    ("expectation", "test"),
    [
        ("expect_column_values_to_not_be_null: {column: id}", NotNull()),
        ("expect_column_values_to_be_null: {column: id}", IsNull()),
        ("expect_column_values_to_be_between: {column: id, min_value: 1}", Between(1, None)),
        (
            "expect_column_values_to_be_between: {column: id, min_value: 1, max_value: 9, strict_min: true, strict_max: true}",
            Between(1, 9, strict_minimum=True, strict_maximum=True),
        ),
        (
            "expect_column_values_to_be_between: {column: price, max_value: 9.99}",
            Between(None, Decimal("9.99")),
        ),
        (
            "expect_column_values_to_be_between: {column: day, min_value: 2024-01-01}",
            Between(date(2024, 1, 1), None),
        ),
        (
            "expect_column_values_to_be_between: {column: at, min_value: '2024-07-01T12:00'}",
            Between(datetime(2024, 7, 1, 10, tzinfo=UTC), None),
        ),
        ("expect_column_values_to_be_in_set: {column: name, value_set: [a, NO]}", InSet(("a", "NO"))),
        ("expect_column_values_to_not_be_in_set: {column: id, value_set: [1]}", InSet((1,), negated=True)),
        ("expect_column_values_to_match_regex: {column: name, regex: '^a'}", Matches("^a")),
        ("expect_column_values_to_not_match_regex: {column: name, regex: '^a'}", Matches("^a", negated=True)),
        ("expect_column_value_lengths_to_equal: {column: name, value: 3}", Length(3, 3)),
        ("expect_column_value_lengths_to_be_between: {column: name, max_value: 3}", Length(None, 3)),
        (
            "expect_column_value_lengths_to_be_between: {column: name, min_value: 1, max_value: 3, strict_min: true, strict_max: true}",
            Length(2, 2),
        ),
    ],
)
def test_a_native_expectation_becomes_a_test_with_values_of_the_columns_type(
    expectation: str, test: NativeTest
) -> None:
    (rule,) = native_rules(orders(expectation))
    assert rule.test == test
    assert rule.column == rule.expectation.arguments["column"]


def test_each_native_expectation_is_shown_above() -> None:
    shown = test_a_native_expectation_becomes_a_test_with_values_of_the_columns_type.pytestmark[0].args[1]
    assert {expectation.split(":")[0] for expectation, _ in shown} == NATIVE.keys()


@pytest.mark.parametrize(
    "expectation",
    [
        "expect_column_mean_to_be_between: {column: id, min_value: 1}",
        "expect_column_values_to_not_be_null: {column: id, mostly: 0.9}",
        "expect_column_values_to_not_be_null: {column: id, row_condition: 'id > 5', condition_parser: pandas}",
        "expect_column_values_to_match_regex: {column: name, regex: 'a(?=b)'}",
        "{expect_column_values_to_not_be_null: {column: id}, severity: block}",
    ],
)
def test_what_no_single_row_decides_is_left_to_great_expectations(expectation: str) -> None:
    dataset = orders(expectation)
    assert not is_native(dataset.expectations[0])
    assert native_rules(dataset) == ()


def test_words_for_people_do_not_change_who_carries_it_out() -> None:
    (expectation,) = orders(
        "expect_column_values_to_not_be_null: {column: id, notes: why, meta: {a: 1}, mostly: 1}"
    ).expectations
    assert is_native(expectation)


def test_arguments_of_native_expectations_are_great_expectations_own() -> None:
    for name, arguments in NATIVE.items():
        required, optional = EXPECTATIONS[name]
        assert arguments <= {*required, *optional}
        assert {*required} <= {*arguments, "column"}
