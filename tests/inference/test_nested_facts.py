"""The type suggested for nested values: what all of them have in common, and json where they have nothing."""

from __future__ import annotations

import json

import pytest

from pipelines.inference.nested import NestedFacts


def suggested(*values: object) -> str | None:
    facts = NestedFacts()
    facts.add([None, *map(json.dumps, values)])
    return facts.suggestion()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (({"a": 1}, {"b": "x", "a": None}), "struct<a: bigint, b: string>"),
        (({"a": {"b": [1, 2.5]}},), "struct<a: struct<b: array<double>>>"),
        (({"a": {"b": [2**53 + 1, 2.5]}},), "struct<a: struct<b: array<json>>>"),
        (([1], [2]), "array<bigint>"),
        (([], []), "array<json>"),
        (({"a": 1}, {"a": "x"}), "struct<a: json>"),
        (({"a": True}, {"a": False}), "struct<a: boolean>"),
        (({"a": 10**30},), "struct<a: json>"),
        (({"a": [[1]]},), "struct<a: array<array<bigint>>>"),
        (({"a": 1}, [1]), None),
        (({"2024-01": 1},), None),
        (({"A": 1},), None),
        (({f"k{n}": n for n in range(61)},), None),
        (({},), None),
        ((), None),
    ],
)
def test_values_share_a_type_or_stay_json(values: tuple[object, ...], expected: str | None) -> None:
    assert suggested(*values) == expected


def test_only_the_first_ten_thousand_are_looked_at_and_that_is_said() -> None:
    facts = NestedFacts()
    facts.add(["[1]"] * 10_001)
    assert (facts.documents, facts.is_all) == (10_000, False)
