"""The contract's rules as vectorised masks over typed columns: required, pattern, range, allowed, length, expectations.

A rule looks at what is there: null breaks only `required`, as in SQL and in Great Expectations. Knows neither files nor
lines; what it finds are row positions in a block.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.model import Column, ColumnType, Dataset
from pipelines.contracts.schema import arrow_type
from pipelines.errors import ConfigurationError
from pipelines.reading.csv_blocks import Positions
from pipelines.reading.values import Misfit, value_reader
from pipelines.reading.violations import Rule

__all__ = ["Breach", "ColumnRules", "positions", "typed_value"]


@dataclass(frozen=True, slots=True)
class Breach:
    """Rows of a block that break one rule in one column; `rows` is in rising order and not empty."""

    rule: Rule
    column: str | None
    rows: Positions
    expected: str
    detail: str | None = None
    severity: str = "reject"
    expectation: str | None = None


_Check = Callable[[pa.Array, pa.Array], "tuple[Rule, pa.Array, str]"]
"""From texts and typed values: the rule, a mask that is true where it holds (null where there is no value), the words."""


class ColumnRules:
    """The rules of one column, prepared once a dataset."""

    def __init__(self, dataset: Dataset, name: str) -> None:
        """Prepare. Raises ConfigurationError when a rule's value does not have the column's type."""
        column = dataset.columns[name]
        self.name = name
        self._checks = list(_checks(name, column))
        self._required: tuple[Rule, str] | None = None
        if any(p.column == name for p in dataset.partition_by):
            self._required = (Rule.PARTITION_NULL, "a value: the table is partitioned by this column")
        elif name in dataset.primary_key:
            self._required = (Rule.NULL, "a value: the column is part of the primary key")
        elif not column.nullable:
            self._required = (Rule.NULL, "a value: the column is not nullable")

    @property
    def required_rule(self) -> Rule | None:
        """The rule that a null breaks, if nulls are not allowed."""
        return self._required[0] if self._required else None

    @property
    def why_required(self) -> str:
        """Why the column must not be missing although `missing_columns: allow` says that columns may; empty where it may."""
        return f" ({self._required[1].removeprefix('a value: ')})" if self._required else ""

    def check(self, texts: pa.Array, values: pa.Array) -> Iterator[Breach]:
        """The breaches in one block. `texts` are null where the file has null; `values` also where a text is a misfit."""
        if self._required and texts.null_count:
            rule, expected = self._required
            yield Breach(rule, self.name, positions(pc.is_null(texts)), expected)
        for check in self._checks:
            rule, holds, expected = check(texts, values)
            if pc.all(holds).as_py() is False:
                yield Breach(rule, self.name, positions(pc.invert(holds)), expected)


def positions(mask: pa.Array) -> Positions:
    """Where a mask is true (null counts as false)."""
    plain = pc.fill_null(mask, False) if mask.null_count else mask
    return np.flatnonzero(plain.to_numpy(zero_copy_only=False))


def _checks(name: str, column: Column) -> Iterator[_Check]:
    if column.pattern is not None:
        yield _pattern(name, column.pattern)
    if column.min is not None or column.max is not None:
        yield _range(name, column)
    if column.allowed is not None:
        yield _allowed(name, column, column.allowed)
    if column.min_length is not None or column.max_length is not None:
        yield _length(column.min_length, column.max_length)


def _pattern(name: str, pattern: str) -> _Check:
    whole = rf"\A(?:{pattern})\z"
    try:
        pc.match_substring_regex(pa.array([""], pa.string()), whole)
    except pa.ArrowInvalid as error:
        raise ConfigurationError(f"columns.{name}.pattern is no RE2 expression: {error}") from None
    expected = f"text that matches {pattern}"
    return lambda texts, values: (
        Rule.PATTERN,
        pc.match_substring_regex(texts if values is texts else _where(texts, values), whole),
        expected,
    )


def _where(texts: pa.Array, values: pa.Array) -> pa.Array:
    """The texts, null also where the value is: a cell that is no value breaks TYPE, not everything else as well."""
    if values.null_count == texts.null_count:
        return texts
    return pc.if_else(pc.is_valid(values), texts, pa.scalar(None, pa.string()))


def _range(name: str, column: Column) -> _Check:
    low = None if column.min is None else _bound(name, column, "min", column.min)
    high = None if column.max is None else _bound(name, column, "max", column.max)
    words = " and ".join(
        f"{word} {_written(bound)}" for word, bound in (("at least", low), ("at most", high)) if bound is not None
    )

    least, most = (None if bound is None else bound.as_py() for bound in (low, high))

    def check(texts: pa.Array, values: pa.Array) -> tuple[Rule, pa.Array, str]:
        del texts
        bounds = pc.min_max(values) if not pa.types.is_string(values.type) else None
        if bounds is not None and _inside(bounds, least, most):
            return Rule.RANGE, pa.array([], pa.bool_()), words
        holds = None if low is None else pc.greater_equal(values, low)
        below = None if high is None else pc.less_equal(values, high)
        both = below if holds is None else holds if below is None else pc.and_(holds, below)
        return Rule.RANGE, both, words

    return check


def _inside(bounds: pa.Scalar, low: Any, high: Any) -> bool:
    """Whether the smallest and the largest value lie inside: in Python, where two scalars are compared sooner than in Arrow."""
    least, most = bounds["min"].as_py(), bounds["max"].as_py()
    return least is None or ((low is None or least >= low) and (high is None or most <= high))


def _bound(name: str, column: Column, key: str, raw: Any) -> pa.Scalar:
    value = typed_value(column, raw)
    if isinstance(value, Misfit):
        raise ConfigurationError(f"columns.{name}.{key}: {raw!r} is not of type {column.type}")
    return value


def _allowed(name: str, column: Column, allowed: tuple[Any, ...]) -> _Check:
    if column.kind is ColumnType.STRING:
        allowed = tuple(str(a) for a in allowed)
    members = pa.array([_bound(name, column, "allowed", a).as_py() for a in allowed], arrow_type(column))
    words = "one of " + ", ".join(str(a) or '""' for a in allowed[:20]) + (", …" if len(allowed) > 20 else "")

    def check(texts: pa.Array, values: pa.Array) -> tuple[Rule, pa.Array, str]:
        del texts
        holds = pc.is_in(values, value_set=members)
        return Rule.ALLOWED, pc.or_(holds, pc.is_null(values)) if values.null_count else holds, words

    return check


def _length(low: int | None, high: int | None) -> _Check:
    least, most = low or 0, 2**31 - 1 if high is None else high
    words = f"{least} to {most} characters" if low and high is not None else f"at most {most} characters"
    if high is None:
        words = f"at least {least} characters"

    def check(texts: pa.Array, values: pa.Array) -> tuple[Rule, pa.Array, str]:
        length = pc.utf8_length(_where(texts, values))
        return Rule.LENGTH, pc.and_(pc.greater_equal(length, least), pc.less_equal(length, most)), words

    return check


def _written(scalar: pa.Scalar) -> str:
    if pa.types.is_float32(scalar.type):
        return str(scalar.cast(pa.string()).as_py())  # the shortest text that means it, not that of a double
    value = scalar.as_py()
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def typed_value(column: Column, raw: Any) -> pa.Scalar | Misfit:
    """A value of the contract or of the key as a scalar of the column's type; dates and times as ISO 8601 text are fine.

    Bounds of decimals keep the digits they are written with.
    """
    kind = column.kind
    if isinstance(raw, str):
        lenient = _iso_form(column)
        value = value_reader(lenient)(raw)
        if isinstance(value, Misfit) and lenient is not column:
            value = value_reader(column)(raw)
        if isinstance(value, Misfit):
            return value
        raw = value
    try:
        if kind is ColumnType.DECIMAL and not isinstance(raw, Decimal):
            raw = Decimal(str(raw))
        elif kind in (ColumnType.FLOAT, ColumnType.DOUBLE):
            raw = float(raw)
        elif kind in (ColumnType.INT, ColumnType.BIGINT) and (isinstance(raw, bool) or int(raw) != raw):
            return Misfit(Rule.TYPE)
        elif kind is ColumnType.TIMESTAMP and isinstance(raw, date) and not isinstance(raw, datetime):
            raw = datetime(raw.year, raw.month, raw.day, tzinfo=UTC)
        elif kind is ColumnType.TIMESTAMP and isinstance(raw, datetime) and raw.tzinfo is None:
            raw = raw.replace(tzinfo=UTC)
        elif kind is ColumnType.DATE and isinstance(raw, datetime):
            raw = raw.date()
        return pa.scalar(raw, arrow_type(column))
    except (pa.ArrowInvalid, pa.ArrowTypeError, ArithmeticError, ValueError, TypeError, OverflowError):
        return Misfit(Rule.TYPE)


def _iso_form(column: Column) -> Column:
    """The column as the contract and the key write its values: ISO 8601, a date alone is midnight UTC."""
    if column.kind is ColumnType.DATE:
        return column.model_copy(update={"format": "iso8601"})
    if column.kind is ColumnType.TIMESTAMP:
        return column.model_copy(update={"format": ("iso8601", "%Y-%m-%d"), "zone": column.zone or "UTC"})
    return column
