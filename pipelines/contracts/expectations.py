"""Expectations: which ones the reader carries out itself, and as what rule. GX is never imported here.

An expectation is *native* when the reader can decide it row by row while it reads: then it may quarantine. All others are
given to Great Expectations once a batch, after the commit, and may only warn or block. Native is a matter of the
expectation as written: with `mostly` below 1, with a `row_condition`, or with a regular expression that RE2 does not know,
the same name is left to GX. `block` speaks of the table after the commit, so a blocking expectation is GX's as well.

| expectation                                    | test                                        |
|------------------------------------------------|---------------------------------------------|
| expect_column_values_to_not_be_null            | NotNull                                     |
| expect_column_values_to_be_null                | IsNull                                      |
| expect_column_values_to_be_between             | Between, nulls pass                         |
| expect_column_values_to_be_in_set              | InSet, nulls pass                           |
| expect_column_values_to_not_be_in_set          | InSet(negated=True), nulls pass             |
| expect_column_values_to_match_regex            | Matches (anywhere in the text), nulls pass  |
| expect_column_values_to_not_match_regex        | Matches(negated=True), nulls pass           |
| expect_column_value_lengths_to_be_between      | Length in code points, nulls pass           |
| expect_column_value_lengths_to_equal           | Length, nulls pass                          |
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.model import Column, Dataset, Expectation, Severity
from pipelines.contracts.values import TypedValue, typed_value

__all__ = [
    "NATIVE",
    "Between",
    "InSet",
    "IsNull",
    "Length",
    "Matches",
    "NativeRule",
    "NativeTest",
    "NotNull",
    "compiles_as_re2",
    "is_native",
    "native_rules",
    "re2_fault",
]


@dataclass(frozen=True, slots=True)
class NotNull:
    """The value is not null."""


@dataclass(frozen=True, slots=True)
class IsNull:
    """The value is null."""


@dataclass(frozen=True, slots=True)
class Between:
    """The value lies between the bounds (None: open), which count as inside unless strict. Of the column's type."""

    minimum: TypedValue | None
    maximum: TypedValue | None
    strict_minimum: bool = False
    strict_maximum: bool = False


@dataclass(frozen=True, slots=True)
class InSet:
    """The value is one of these (none of these, when negated). Of the column's type."""

    values: tuple[TypedValue, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Matches:
    """The RE2 expression is found anywhere in the text (nowhere, when negated), as GX does; a column's `pattern` is whole."""

    regex: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Length:
    """The number of code points lies between the bounds (None: open), which count as inside."""

    minimum: int | None
    maximum: int | None


NativeTest = NotNull | IsNull | Between | InSet | Matches | Length


@dataclass(frozen=True, slots=True)
class NativeRule:
    """One native expectation, ready for the reader: the test holds for every row's value in `column`, or it is broken."""

    expectation: Expectation
    column: str
    test: NativeTest


NATIVE: dict[str, frozenset[str]] = {
    "expect_column_values_to_not_be_null": frozenset(),
    "expect_column_values_to_be_null": frozenset(),
    "expect_column_values_to_be_between": frozenset({"min_value", "max_value", "strict_min", "strict_max"}),
    "expect_column_values_to_be_in_set": frozenset({"value_set"}),
    "expect_column_values_to_not_be_in_set": frozenset({"value_set"}),
    "expect_column_values_to_match_regex": frozenset({"regex"}),
    "expect_column_values_to_not_match_regex": frozenset({"regex"}),
    "expect_column_value_lengths_to_be_between": frozenset({"min_value", "max_value", "strict_min", "strict_max"}),
    "expect_column_value_lengths_to_equal": frozenset({"value"}),
}
"""Expectations the reader implements, and the arguments it understands beside `column`."""

_SAID_TO_PEOPLE = frozenset({"column", "description", "notes", "meta"})


def is_native(expectation: Expectation) -> bool:
    """Whether the reader carries the expectation out itself; if not, Great Expectations does, once a batch."""
    known = NATIVE.get(expectation.name)
    if known is None or expectation.severity is Severity.BLOCK:
        return False
    said = {k: v for k, v in expectation.arguments.items() if k not in _SAID_TO_PEOPLE}
    if said.pop("mostly", 1) != 1 or not said.keys() <= known:
        return False
    return "regex" not in said or compiles_as_re2(said["regex"])


def native_rules(dataset: Dataset) -> tuple[NativeRule, ...]:
    """The dataset's native expectations, in the order of its file.

    Raises ValueError when a value is not of its column's type, and KeyError when there is no such column; a dataset that
    came through `load_dataset` raises neither.
    """
    return tuple(_rule(dataset, e) for e in dataset.expectations if is_native(e))


def compiles_as_re2(regex: Any) -> bool:
    """Whether the text is a regular expression of RE2's syntax."""
    return re2_fault(regex) is None


@lru_cache(maxsize=4096)
def re2_fault(regex: Any) -> str | None:
    """Why RE2 refuses a regular expression (it knows no look-around and no back reference), or None."""
    if not isinstance(regex, str):
        return "not text"
    try:
        pc.call_function("match_substring_regex", [pa.array([""])], pc.MatchSubstringOptions(regex))
    except (pa.ArrowInvalid, UnicodeEncodeError) as fault:
        return str(fault).removeprefix("Invalid regular expression: ")
    return None


def _rule(dataset: Dataset, expectation: Expectation) -> NativeRule:
    said = expectation.arguments
    name = said["column"]
    column = dataset.columns[name]
    return NativeRule(expectation, name, _test(expectation.name, said, column))


def _test(name: str, said: dict[str, Any], column: Column) -> NativeTest:
    match name.removeprefix("expect_column_"):
        case "values_to_not_be_null":
            return NotNull()
        case "values_to_be_null":
            return IsNull()
        case "values_to_be_between":
            return Between(
                _bound(column, said.get("min_value")),
                _bound(column, said.get("max_value")),
                bool(said.get("strict_min")),
                bool(said.get("strict_max")),
            )
        case "values_to_be_in_set" | "values_to_not_be_in_set" as which:
            values = tuple(typed_value(column.type, v, zone=column.zone) for v in said["value_set"])
            return InSet(values, negated="not" in which)
        case "values_to_match_regex" | "values_to_not_match_regex" as which:
            return Matches(said["regex"], negated="not" in which)
        case "value_lengths_to_equal":
            return Length(int(said["value"]), int(said["value"]))
        case "value_lengths_to_be_between":
            low, high = said.get("min_value"), said.get("max_value")
            return Length(
                None if low is None else int(low) + bool(said.get("strict_min")),
                None if high is None else int(high) - bool(said.get("strict_max")),
            )
        case _:
            raise ValueError(f"{name} is not native")


def _bound(column: Column, raw: Any) -> TypedValue | None:
    return None if raw is None else typed_value(column.type, raw, zone=column.zone)
