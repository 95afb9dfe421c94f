"""What can be wrong with an expectation: its name, its arguments, and a severity it cannot have.

Checked against a committed list of GX's expectations, because importing GX costs seconds of CPU; what GX itself may still
refuse (a threshold that makes no sense) shows as a failed check with GX's own words.
"""

from collections.abc import Iterator
from typing import Any

from pipelines.contracts.expectations import NATIVE, is_native, re2_fault
from pipelines.contracts.faults import KeyPath, Problem, Sound, closest, show
from pipelines.contracts.great_expectations_list import COMMON_ARGUMENTS, EXPECTATIONS, SQL_ONLY
from pipelines.contracts.model import Dataset, Expectation, Severity
from pipelines.contracts.nested_types import NESTED
from pipelines.contracts.values import ColumnType, typed_value

__all__ = ["check_expectations"]

_OF_ANY = frozenset(
    {
        "expect_column_to_exist",
        "expect_column_values_to_be_null",
        "expect_column_values_to_not_be_null",
        "expect_column_proportion_of_non_null_values_to_be_between",
        "expect_table_columns_to_match_ordered_list",
        "expect_table_columns_to_match_set",
    }
)
_NUMBERS = frozenset({ColumnType.INT, ColumnType.BIGINT, ColumnType.FLOAT, ColumnType.DOUBLE, ColumnType.DECIMAL})
_TEXTS = frozenset({ColumnType.STRING, ColumnType.JSON})
_OF_NUMBERS = frozenset(
    {
        "expect_column_mean_to_be_between",
        "expect_column_median_to_be_between",
        "expect_column_quantile_values_to_be_between",
        "expect_column_stdev_to_be_between",
        "expect_column_sum_to_be_between",
        "expect_column_value_z_scores_to_be_less_than",
        "expect_column_values_to_not_be_outliers",
    }
)
_OF_TEXT = frozenset(
    {
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_values_to_be_json_parseable",
        "expect_column_values_to_match_json_schema",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_match_regex_list",
        "expect_column_values_to_not_match_regex",
        "expect_column_values_to_not_match_regex_list",
    }
)
_OF_VALUES = frozenset(
    {
        "expect_column_distinct_values_to_be_in_set",
        "expect_column_distinct_values_to_contain_set",
        "expect_column_distinct_values_to_equal_set",
        "expect_column_max_to_be_between",
        "expect_column_min_to_be_between",
        "expect_column_most_common_value_to_be_in_set",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_not_be_in_set",
    }
)
"""Those whose bounds and sets are values of the column's own type."""


def check_expectations(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    """All problems of the dataset's expectations; `sound` says whether a path was not complained of before."""
    for index, expectation in enumerate(dataset.expectations):
        path: KeyPath = ("expectations", index)
        if sound(*path):
            yield from _check(dataset, expectation, path, sound)


def _check(dataset: Dataset, expectation: Expectation, path: KeyPath, sound: Sound) -> Iterator[Problem]:
    name = expectation.name
    here = (*path, name)
    if name in SQL_ONLY:
        yield Problem(
            here,
            f"{name}, which needs an SQL database",
            "an expectation on the rows of a batch",
            "use expect_column_values_to_match_regex, or remove it",
        )
        return
    if name not in EXPECTATIONS:
        near = closest(name, EXPECTATIONS.keys() - SQL_ONLY)
        yield Problem(
            here,
            show(name),
            "the name of a Great Expectations expectation",
            f"did you mean {near}?" if near else "look it up in docs/reference/dataset.md",
        )
        return
    yield from _severity(expectation, path)
    required, optional = EXPECTATIONS[name]
    said = expectation.arguments
    for key in said:
        if key not in (*required, *optional, *COMMON_ARGUMENTS):
            yield _unknown(key, here, (*required, *optional, *COMMON_ARGUMENTS))
    for key in required:
        if key not in said:
            yield Problem(here, f"no {key}", f"the argument {key}", f"add {key}")
    bounds = ("min_value", "max_value")
    unbound = bounds[0] in optional and all(said.get(b) is None for b in bounds)
    if unbound and not any(closest(key, optional) in bounds for key in said.keys() - {*required, *optional}):
        yield Problem(here, "neither min_value nor max_value", "at least one of them", "add min_value or max_value")
    for key, value in said.items():
        yield from _argument(dataset, (*here, key), key, value, sound)
    low, high = said.get("min_value"), said.get("max_value")
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        yield Problem(
            (*here, "min_value"),
            f"{low}, above max_value {high}",
            "min_value at most max_value",
            "swap the two, or correct one",
        )
    yield from _types(dataset, expectation, here, sound)


def _severity(expectation: Expectation, path: KeyPath) -> Iterator[Problem]:
    if expectation.severity in (Severity.WARN, Severity.BLOCK):
        return
    here, said = (*path, "severity"), expectation.severity.value
    if is_native(expectation):
        if expectation.severity is Severity.QUARANTINE_ROWS and expectation.arguments.get("mostly", 1) != 1:
            found = f"{said} on an expectation with mostly, which no single row breaks"
            yield Problem(here, found, "quarantine_file, warn or block", "write severity: quarantine_file")
        return
    beyond = expectation.arguments.keys() - NATIVE.get(expectation.name, frozenset()) - {"mostly", "notes", "meta"}
    with_ = f" with {min(beyond)}" if expectation.name in NATIVE and beyond else ""
    found = f"{said} on an expectation{with_} that is evaluated after the commit"
    yield Problem(here, found, "warn or block", "write severity: warn or severity: block")


def _unknown(key: str, here: KeyPath, known: tuple[str, ...]) -> Problem:
    if key == "severity":
        return Problem(
            (*here, key),
            "severity among the arguments",
            "severity beside the expectation",
            "move it out: - {expect_…: {…}, severity: warn}",
        )
    near = closest(key, known)
    own = ", ".join(k for k in known if k not in COMMON_ARGUMENTS)
    return Problem(
        (*here, key),
        "an argument this expectation does not have",
        f"one of {own}" if own else "no argument",
        f"did you mean {near}?" if near else "remove it",
    )


def _argument(dataset: Dataset, path: KeyPath, key: str, value: Any, sound: Sound) -> Iterator[Problem]:
    match key:
        case "column" | "column_A" | "column_B":
            yield from _column(dataset, path, value, sound)
        case "column_list" | "column_set":
            if not isinstance(value, list | tuple) or not value:
                yield Problem(path, show(value), "a list of columns", "write [first, second]")
                return
            for index, name in enumerate(value):
                yield from _column(dataset, (*path, index), name, sound)
        case "mostly":
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                yield Problem(path, show(value), "a share between 0 and 1", "write 0.99 for 99 %")
        case "value_set" | "regex_list" | "type_list":
            if not isinstance(value, list | tuple) or not value:
                yield Problem(path, show(value), "a list with at least one value", "write [first, second]")
        case "regex":
            if fault := re2_fault(value):
                remedy = "correct it; RE2 has no look-around and no back references"
                yield Problem(path, f"{show(value)}: {fault}", "a regular expression of RE2's syntax", remedy)
        case "strftime_format" | "type_":
            if not isinstance(value, str):
                yield Problem(path, show(value), "text", "put it in quotes")
        case "strict_min" | "strict_max" | "strictly" | "or_equal" | "ties_okay" | "exact_match":
            if not isinstance(value, bool):
                yield Problem(path, show(value), "true or false", "write true or false")
        case _:
            return


def _column(dataset: Dataset, path: KeyPath, name: Any, sound: Sound) -> Iterator[Problem]:
    if not isinstance(name, str):
        yield Problem(path, show(name), "the name of a column", "write the column's name")
    elif name not in dataset.columns and sound("columns"):
        near = closest(name, dataset.columns)
        yield Problem(
            path,
            f"{show(name)}, which is no column",
            "a column of this dataset",
            f"did you mean {near}?" if near else "add the column, or correct the name",
        )


def _types(dataset: Dataset, expectation: Expectation, here: KeyPath, sound: Sound) -> Iterator[Problem]:
    """The column's type is one the expectation can work on, and bounds and sets are values of it."""
    nested = list(_nested(dataset, expectation, here, sound))
    if nested:
        yield from nested
        return
    yield from _pair(dataset, expectation, here, sound)
    name = expectation.arguments.get("column")
    column = dataset.columns.get(name) if isinstance(name, str) else None
    if column is None or not sound("columns", name, "type"):
        return
    for needed, kinds, what in ((_OF_NUMBERS, _NUMBERS, "a column of numbers"), (_OF_TEXT, _TEXTS, "a column of text")):
        if expectation.name in needed and column.kind not in kinds:
            yield Problem(
                (*here, "column"),
                f"{name}, a column of type {column.type}",
                what,
                "choose another column or expectation",
            )
            return
    if expectation.name not in _OF_VALUES:
        yield from _plain_bounds(expectation, here)
        return
    said = expectation.arguments
    places: list[tuple[KeyPath, Any]] = [
        ((*here, k), said[k]) for k in ("min_value", "max_value") if said.get(k) is not None
    ]
    if isinstance(said.get("value_set"), list | tuple):
        places.extend(((*here, "value_set", i), v) for i, v in enumerate(said["value_set"]))
    for path, value in places:
        try:
            typed_value(column.type, value, zone=column.zone)
        except ValueError as reason:
            yield Problem(path, show(value), f"a value of {name}, {column.type}", str(reason))


def _nested(dataset: Dataset, expectation: Expectation, here: KeyPath, sound: Sound) -> Iterator[Problem]:
    """A nested column can be there or be null; nothing else is asked of it."""
    if expectation.name in _OF_ANY:
        return
    said = expectation.arguments
    named: list[tuple[KeyPath, Any]] = [((*here, key), said.get(key)) for key in ("column", "column_A", "column_B")]
    if isinstance(said.get("column_list"), list | tuple):
        named += [((*here, "column_list", index), name) for index, name in enumerate(said["column_list"])]
    for path, name in named:
        column = dataset.columns.get(name) if isinstance(name, str) else None
        if column is not None and column.kind in NESTED and sound("columns", name, "type"):
            yield Problem(
                path,
                f"{name}, a column of type {column.kind}",
                "a column of a scalar type",
                "take the member out with `path`, as a column of its own, and name that column here",
            )


def _pair(dataset: Dataset, expectation: Expectation, here: KeyPath, sound: Sound) -> Iterator[Problem]:
    """Two columns can be compared when both are numbers, or of one type."""
    names = [expectation.arguments.get(key) for key in ("column_A", "column_B")]
    columns = [
        dataset.columns[n] for n in names if isinstance(n, str) and n in dataset.columns and sound("columns", n, "type")
    ]
    if len(columns) == 2 and columns[0].kind is not columns[1].kind and not {c.kind for c in columns} <= _NUMBERS:
        found = f"{names[1]}, a column of type {columns[1].type}"
        yield Problem(
            (*here, "column_B"),
            found,
            f"a type that compares with {columns[0].type}",
            "choose another column or expectation",
        )


def _plain_bounds(expectation: Expectation, here: KeyPath) -> Iterator[Problem]:
    lengths = "lengths" in expectation.name
    for key in ("min_value", "max_value", "value"):
        value = expectation.arguments.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or (lengths and not isinstance(value, int)):
            yield Problem(
                (*here, key), show(value), "a whole number" if lengths else "a number", "write a number without quotes"
            )
