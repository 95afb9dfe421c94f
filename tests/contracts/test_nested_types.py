"""Nested types: what is one, in one spelling; and what is said about a text that is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contracts.nested_types import (
    MAX_TYPE_DEPTH,
    ArrayType,
    DataType,
    MapType,
    NestedTypeError,
    ScalarType,
    StructType,
    parse_type,
    scalars,
)
from tests.reading.nested_values import types


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("struct<id: bigint, login: string>", "struct<id: bigint, login: string>"),
        ("struct<id:bigint,login:string>", "struct<id: bigint, login: string>"),
        (" array < array<decimal( 10 ,2 )> >", "array<array<decimal(10,2)>>"),
        ("map<string,struct<_links:json>>", "map<string, struct<_links: json>>"),
        ("struct<\n  a: int,\n  b: map<string, float>\n>", "struct<a: int, b: map<string, float>>"),
    ],
)
def test_a_type_is_read_whatever_its_spaces(text: str, said: str) -> None:
    assert str(parse_type(text)) == said


@given(types())
def test_what_is_written_is_read_back(kind: DataType) -> None:
    assert parse_type(str(kind)) == kind


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("struct<id bigint>", '"bigint" at character 11', '":" and the type of id'),
        ("struct<>", '">" at character 8', "a member's name"),
        ("struct<a: int", 'the end at character 14', '"," or ">"'),
        ("struct<a: int>>", '">" at character 15', "the end of the type"),
        ("struct<a: int, a: string>", '"a" at character 16', "a name other than a"),
        ("struct<a_b: int, a__b: int>", '"a__b" at character 18', "a name other than a__b"),
        ("struct<userId: int>", '"userId" at character 8', "a-z, 0-9 and _"),
        ("struct<a.b: int>", '"." at character 9', '":" and the type of a'),
        ("array<>", '">" at character 7', "a type: string"),
        ("array<int, int>", '"," at character 10', '">"'),
        ("array<integer>", '"integer" at character 7', "a type: string"),
        ("ARRAY<int>", '"ARRAY" at character 1', "a type: string"),
        ("array[int]", '"[" at character 6', '"<" after array'),
        ("map<int, string>", '"int" at character 5', "string, the type of the keys"),
        ("map<string>", '">" at character 11', '"," and the type of the values'),
        ("array<decimal>", '">" at character 14', '"(" after decimal'),
        ("array<decimal(39,2)>", "decimal(39,2) in", "1 to 38 digits"),
        ("array<decimal(5,6)>", "decimal(5,6) in", "1 to 38 digits"),
        ("array<decimal(a,2)>", "decimal(a,2) in", "two numbers"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_type_is_refused_where_it_goes_wrong(text: str, found: str, expected: str) -> None:
    with pytest.raises(NestedTypeError) as fault:
        parse_type(text)
    assert found in fault.value.found
    assert expected in fault.value.expected
    assert fault.value.remedy


@pytest.mark.parametrize("opening", ["array<", "map<string, ", "struct<a: "])
def test_depth_has_a_limit(opening: str) -> None:
    depth = MAX_TYPE_DEPTH - 1
    parse_type(opening * depth + "int" + ">" * depth)
    with pytest.raises(NestedTypeError, match=f"at most {MAX_TYPE_DEPTH} levels"):
        parse_type(opening * (depth + 1) + "int" + ">" * (depth + 1))
    with pytest.raises(NestedTypeError, match="at most"):
        parse_type(opening * 100_000)


@given(st.text("structaymp<>,: inglde()0123_", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        kind = parse_type(text)
    except NestedTypeError:
        return
    assert parse_type(str(kind)) == kind


def test_the_leaves_come_in_order() -> None:
    kind = StructType((("a", ScalarType("int")), ("b", ArrayType(MapType(ScalarType("date"))))))
    assert [leaf.text for leaf in scalars(kind)] == ["int", "date"]
