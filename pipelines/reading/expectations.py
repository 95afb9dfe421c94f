"""The expectations that the hot path answers itself, vectorised, with Great Expectations' own meaning.

Null is left out, as in Great Expectations; `mostly` is decided at the end of the file. What is not among
NATIVE_EXPECTATIONS, or uses an argument that is not understood here (`row_condition`), is left to Great Expectations.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.expectations import identified
from pipelines.contracts.model import Column, ColumnType, Dataset, Expectation, Severity
from pipelines.contracts.schema import arrow_type
from pipelines.errors import ConfigurationError
from pipelines.reading.collector import Collector
from pipelines.reading.rules import Breach, positions, typed_value
from pipelines.reading.values import Misfit
from pipelines.reading.violations import MAX_SAMPLES, Rule, Sample

__all__ = ["NATIVE_EXPECTATIONS", "FileExpectations", "NativeExpectations", "runs_natively"]

_Values = Mapping[str, pa.Array]
_Mask = Callable[[_Values], pa.Array]
"""True where the row meets the expectation, false where it does not, null where it does not speak of the row."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    identity: str
    column: str
    severity: Severity
    mostly: float
    expected: str
    holds: _Mask


def runs_natively(dataset: Dataset, expectation: Expectation) -> bool:
    """Whether the hot path evaluates this expectation. Raises ConfigurationError when its arguments are wrong."""
    return _compile(dataset, "", expectation) is not None


class NativeExpectations:
    """A dataset's expectations that the hot path evaluates, compiled."""

    def __init__(self, dataset: Dataset) -> None:
        """Compile; expectations that are not native are left out. Raises ConfigurationError for wrong arguments."""
        self.compiled = [
            compiled
            for identity, expectation in identified(dataset)
            if (compiled := _compile(dataset, identity, expectation)) is not None
        ]


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    failed: int = 0
    samples: list[Sample] = field(default_factory=list[Sample])


class FileExpectations:
    """The native expectations over one file."""

    def __init__(self, native: NativeExpectations) -> None:
        """Start a file."""
        self._compiled = native.compiled
        self._tallies = [_Tally() for _ in native.compiled]

    def compile_again(self, native: NativeExpectations) -> None:
        """Go on with the same expectations, compiled for wider types of columns."""
        self._compiled = native.compiled

    def check(self, values: _Values) -> Iterator[Breach]:
        """The rows of one block that break an expectation which every row has to meet; others are counted for the end."""
        for compiled, tally in zip(self._compiled, self._tallies, strict=True):
            holds = compiled.holds(values)
            tally.rows += len(holds) - holds.null_count
            if pc.all(holds).as_py() is not False:
                continue
            rows = positions(pc.invert(holds))
            tally.failed += len(rows)
            if compiled.mostly >= 1:
                yield Breach(
                    Rule.EXPECTATION,
                    compiled.column,
                    rows,
                    compiled.expected,
                    severity=str(compiled.severity),
                    expectation=compiled.identity,
                )
            elif len(tally.samples) < MAX_SAMPLES:
                column = values[compiled.column]
                tally.samples += [Sample(None, None, str(column[int(r)].as_py())) for r in rows[:MAX_SAMPLES]]

    def finish(self, collector: Collector) -> None:
        """At the end of the file: the expectations that most rows have to meet."""
        for compiled, tally in zip(self._compiled, self._tallies, strict=True):
            if compiled.mostly < 1 and tally.rows and (tally.rows - tally.failed) / tally.rows < compiled.mostly:
                severity = str(compiled.severity)
                collector.add(
                    Rule.EXPECTATION,
                    compiled.column,
                    tally.samples[:MAX_SAMPLES],
                    f"{compiled.expected} in at least {compiled.mostly:.6g} of the rows",
                    count=tally.failed,
                    severity=severity if severity in ("warn", "block") else "reject",
                    expectation=compiled.identity,
                )


def _compile(dataset: Dataset, identity: str, expectation: Expectation) -> _Compiled | None:
    builder = _BUILDERS.get(expectation.name)
    if builder is None:
        return None
    arguments = dict(expectation.arguments)
    mostly = float(arguments.pop("mostly", 1))
    for ignored in ("meta", "notes", "result_format"):
        arguments.pop(ignored, None)
    build, understood = builder
    if not set(arguments) <= understood:
        return None
    name = arguments.get("column", arguments.get("column_A"))
    for argument in ("column", "column_A", "column_B"):
        if argument in arguments and arguments[argument] not in dataset.columns:
            raise ConfigurationError(f"{expectation.name}: {argument} {arguments[argument]!r} is not among the columns")
    if name is None:
        raise ConfigurationError(f"{expectation.name} needs the argument `column`")
    try:
        holds, expected = build(dataset, arguments)
    except (pa.ArrowInvalid, KeyError, TypeError) as error:
        raise ConfigurationError(f"{expectation.name}: wrong arguments: {error}") from None
    return _Compiled(identity, name, expectation.severity, mostly, expected, holds)


def _scalar(column: Column, name: str, raw: Any) -> pa.Scalar:
    value = typed_value(column, raw)
    if isinstance(value, Misfit):
        raise ConfigurationError(f"an expectation on {name}: {raw!r} is not of type {column.type}")
    return value


def _not_null(dataset: Dataset, a: dict[str, Any]) -> tuple[_Mask, str]:
    del dataset
    return lambda values: pc.is_valid(values[a["column"]]), "a value"


def _null(dataset: Dataset, a: dict[str, Any]) -> tuple[_Mask, str]:
    del dataset
    return lambda values: pc.is_null(values[a["column"]]), "null"


def _between(dataset: Dataset, a: dict[str, Any]) -> tuple[_Mask, str]:
    name = a["column"]
    column = dataset.columns[name]
    tests: list[tuple[Callable[[Any, Any], pa.Array], pa.Scalar]] = []
    words: list[str] = []
    for key, strict, loose, tight in (
        ("min_value", "strict_min", pc.greater_equal, pc.greater),
        ("max_value", "strict_max", pc.less_equal, pc.less),
    ):
        if a.get(key) is not None:
            tests.append((tight if a.get(strict) else loose, _scalar(column, name, a[key])))
            word = {"min_value": ("at least", "more than"), "max_value": ("at most", "less than")}[key]
            words.append(f"{word[bool(a.get(strict))]} {a[key]}")
    if not tests:
        raise KeyError("min_value or max_value")

    def holds(values: _Values) -> pa.Array:
        mask = tests[0][0](values[name], tests[0][1])
        return mask if len(tests) == 1 else pc.and_(mask, tests[1][0](values[name], tests[1][1]))

    return holds, " and ".join(words)


def _membership(*, wanted: bool) -> "Callable[[Dataset, dict[str, Any]], tuple[_Mask, str]]":
    def build(dataset: Dataset, a: dict[str, Any]) -> tuple[_Mask, str]:
        name = a["column"]
        column = dataset.columns[name]
        members = pa.array([_scalar(column, name, m).as_py() for m in a["value_set"]], arrow_type(column))

        def holds(values: _Values) -> pa.Array:
            found = pc.is_in(values[name], value_set=members)
            return _where_valid(found if wanted else pc.invert(found), values[name])

        listed = ", ".join(str(m) for m in list(a["value_set"])[:20])
        return holds, f"{'one' if wanted else 'none'} of {listed}"

    return build


def _where_valid(mask: pa.Array, column: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_valid(column), mask, pa.scalar(None, pa.bool_())) if column.null_count else mask


def _regex(*, wanted: bool) -> "Callable[[Dataset, dict[str, Any]], tuple[_Mask, str]]":
    def build(dataset: Dataset, a: dict[str, Any]) -> tuple[_Mask, str]:
        name, regex = a["column"], a["regex"]
        if dataset.columns[name].kind not in (ColumnType.STRING, ColumnType.JSON):
            raise ConfigurationError(f"an expectation on {name}: a regular expression needs a string column")
        pc.match_substring_regex(pa.array([""], pa.string()), regex)

        def holds(values: _Values) -> pa.Array:
            found = pc.match_substring_regex(values[name], regex)
            return found if wanted else pc.invert(found)

        return holds, f"text in which {regex} {'is' if wanted else 'is not'} found"

    return build


def _lengths(dataset: Dataset, a: dict[str, Any]) -> tuple[_Mask, str]:
    del dataset
    low, high = a.get("min_value", a.get("value")), a.get("max_value", a.get("value"))

    def holds(values: _Values) -> pa.Array:
        length = pc.utf8_length(values[a["column"]])
        above = pc.greater_equal(length, 0 if low is None else low)
        return above if high is None else pc.and_(above, pc.less_equal(length, high))

    return holds, f"{low or 0} to {'any number of' if high is None else high} characters"


def _pair_greater(dataset: Dataset, a: dict[str, Any]) -> tuple[_Mask, str]:
    del dataset
    compare = pc.greater_equal if a.get("or_equal") else pc.greater
    return lambda values: compare(values[a["column_A"]], values[a["column_B"]]), f"more than {a['column_B']}"


def _pair_equal(dataset: Dataset, a: dict[str, Any]) -> tuple[_Mask, str]:
    del dataset
    return lambda values: pc.equal(values[a["column_A"]], values[a["column_B"]]), f"the same as {a['column_B']}"


_Builder = Callable[[Dataset, dict[str, Any]], "tuple[_Mask, str]"]
_BUILDERS: dict[str, tuple[_Builder, set[str]]] = {
    "expect_column_values_to_not_be_null": (_not_null, {"column"}),
    "expect_column_values_to_be_null": (_null, {"column"}),
    "expect_column_values_to_be_between": (
        _between,
        {"column", "min_value", "max_value", "strict_min", "strict_max"},
    ),
    "expect_column_values_to_be_in_set": (_membership(wanted=True), {"column", "value_set"}),
    "expect_column_values_to_not_be_in_set": (_membership(wanted=False), {"column", "value_set"}),
    "expect_column_values_to_match_regex": (_regex(wanted=True), {"column", "regex"}),
    "expect_column_values_to_not_match_regex": (_regex(wanted=False), {"column", "regex"}),
    "expect_column_value_lengths_to_be_between": (_lengths, {"column", "min_value", "max_value"}),
    "expect_column_value_lengths_to_equal": (_lengths, {"column", "value"}),
    "expect_column_pair_values_a_to_be_greater_than_b": (_pair_greater, {"column_A", "column_B", "or_equal"}),
    "expect_column_pair_values_to_be_equal": (_pair_equal, {"column_A", "column_B"}),
}
NATIVE_EXPECTATIONS: frozenset[str] = frozenset(_BUILDERS)
"""The names of the expectations that may quarantine, because the hot path answers them before anything is written."""
