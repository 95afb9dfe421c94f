"""A dataset's row rules on blocks of typed columns: vectorised, exact, unknown where a value is missing.

Whole numbers are added in 64 bits with every overflow noticed; where one happens the block is done again in decimals, which
are as wide as the rule can need (up to 76 digits) and so never overflow. Doubles are compared as doubles. A moment of landing
that nobody knows is null, and null breaks no rule.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.columns import Column
from pipelines.contracts.model import Dataset, RowRule
from pipelines.contracts.rule_language import (
    Call,
    ColumnName,
    Comparison,
    Constant,
    IsNull,
    Logic,
    Negative,
    Node,
    Not,
    RuleFault,
    Sum,
    column_names,
    parse_rule,
    walk,
    written,
)
from pipelines.contracts.rule_types import Kind, Type, comparison_type, rule_fault, type_of
from pipelines.errors import ConfigurationError
from pipelines.reading.days import days_of
from pipelines.reading.rules import Breach, positions
from pipelines.reading.violations import Rule

__all__ = ["Landed", "RowRules", "identified_rules"]

_Columns = Mapping[str, Column]
_UTC = pa.timestamp("us", tz="UTC")
_COMPARE = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


@dataclass(frozen=True, slots=True)
class Landed:
    """The moment a file landed and its UTC day, as scalars; null where nobody knows."""

    at: pa.Scalar
    on: pa.Scalar

    @classmethod
    def of(cls, moment: datetime | None) -> "Landed":
        """From an aware moment, or None."""
        utc = None if moment is None else moment.astimezone(UTC)
        return cls(pa.scalar(utc, _UTC), pa.scalar(None if utc is None else utc.date(), pa.date32()))


@dataclass(frozen=True, slots=True)
class _Block:
    values: Mapping[str, pa.Array]
    landed: Landed


_Term = Callable[[_Block], Any]
"""An array of a block, or a scalar that stands for all its rows."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    identity: str
    severity: str
    expected: str
    columns: tuple[str, ...]
    shown: tuple[tuple[str, _Term], ...]
    holds: _Term


def identified_rules(dataset: Dataset) -> Iterator[tuple[str, RowRule]]:
    """Each rule with its identity, `rules[2]`: what a breach of it is named by."""
    for index, rule in enumerate(dataset.rules):
        yield f"rules[{index}]", rule


class RowRules:
    """The row rules of a dataset, compiled. Build once a dataset; holds no state of a file."""

    def __init__(self, dataset: Dataset) -> None:
        """Compile. Raises ConfigurationError for a rule with a fault, which loading would have told with its line."""
        self._rules = [_compile(dataset, identity, rule) for identity, rule in identified_rules(dataset)]

    def check(
        self, values: Mapping[str, pa.Array], misfits: Mapping[str, Sequence[int]], landed: Landed
    ) -> Iterator[tuple[Breach, Callable[[int], str]]]:
        """The breaches in one block, and the text of what stood in a row.

        `misfits` are the rows of each column whose cell was no value: these are told already, and no rule judges them.
        """
        block = _Block(values, landed)
        for rule in self._rules:
            holds = rule.holds(block)
            if pc.all(holds).as_py() is not False:
                continue
            rows = positions(pc.invert(holds))
            for name in rule.columns:
                if wrong := misfits.get(name):
                    rows = np.setdiff1d(rows, np.array(wrong), assume_unique=True)
            if not len(rows):
                continue
            column = rule.columns[0] if len(rule.columns) == 1 else None
            breach = Breach(
                Rule.ROW_RULE, column, rows, rule.expected, severity=rule.severity, expectation=rule.identity
            )
            yield breach, _shower(rule, block)


def _shower(rule: _Compiled, block: _Block) -> Callable[[int], str]:
    @functools.cache
    def operands() -> list[tuple[str, Any]]:
        return [(name, term(block)) for name, term in rule.shown]

    def text(row: int) -> str:
        values = ((name, found if isinstance(found, pa.Scalar) else found[row]) for name, found in operands())
        return ", ".join(f"{name} {_shown(value.as_py())}" for name, value in values)

    return text


def _shown(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)


def _compile(dataset: Dataset, identity: str, rule: RowRule) -> _Compiled:
    node = parse_rule(rule.rule)
    if isinstance(node, RuleFault):
        raise ConfigurationError(f"{identity}: found {node.found}, expected {node.expected}")
    names = column_names(node)
    if unknown := [name for name in names if name not in dataset.columns]:
        raise ConfigurationError(f"{identity}: {unknown[0]!r} is not among the columns")
    if fault := rule_fault(node, dataset.columns):
        raise ConfigurationError(f"{identity}: found {fault.found}, expected {fault.expected}")
    operands = dict.fromkeys(n for n in walk(node) if isinstance(n, ColumnName) or _is_moment(n))
    shown = tuple((written(n), _value(n)) for n in operands)
    return _Compiled(identity, str(rule.severity), rule.words, names, shown, _condition(node, dataset.columns))


def _is_moment(node: Node) -> bool:
    """What a person would have to work out, and is shown beside the columns: the day of a timestamp, the landing."""
    return isinstance(node, Call) and node.function != "abs"


def _condition(node: Node, columns: _Columns) -> _Term:
    match node:
        case Comparison():
            return _comparison(node, columns)
        case IsNull():
            operand, look = _value(node.operand), pc.is_null if node.wanted else pc.is_valid
            return lambda block: look(operand(block))
        case Not():
            inner = _condition(node.operand, columns)
            return lambda block: pc.invert(inner(block))
        case Logic():
            left, right = _condition(node.left, columns), _condition(node.right, columns)
            join = pc.and_kleene if node.operator == "and" else pc.or_kleene
            return lambda block: join(left(block), right(block))
        case _:
            raise ConfigurationError(f"{written(node)} is no condition")


def _comparison(node: Comparison, columns: _Columns) -> _Term:
    compare, both = _COMPARE[node.operator], comparison_type(node, columns)

    def compared(kind: pa.DataType | None) -> _Term:
        left, right = (_term(side, kind, both.scale, columns) for side in (node.left, node.right))
        return lambda block: compare(left(block), right(block))

    match both.kind:
        case Kind.DOUBLE:
            return compared(pa.float64())
        case Kind.NUMBER | Kind.DATE:
            wide = compared(pa.decimal128(38) if both.whole + both.scale <= 38 else pa.decimal256(76))
            return wide if both.scale or _has_wide_constant(node) else _checked(compared(pa.int64()), wide)
        case _:
            return compared(None)


def _has_wide_constant(node: Node) -> bool:
    return any(isinstance(n, Constant) and isinstance(n.value, Decimal) and abs(n.value) >= 2**63 for n in walk(node))


def _checked(narrow: _Term, wide: _Term) -> _Term:
    def compared(block: _Block) -> Any:
        try:
            return narrow(block)
        except pa.ArrowInvalid:  # beyond 64 bits
            return wide(block)

    return compared


def _term(node: Node, kind: pa.DataType | None, scale: int, columns: _Columns) -> _Term:
    """A side of a comparison as arrays of `kind`: int64, float64, or decimals of its width with `scale` digits behind the point."""
    if kind is None:
        return _value(node)
    match node:
        case Sum():
            left, right = _term(node.left, kind, scale, columns), _term(node.right, kind, scale, columns)
            add = pc.add_checked if node.operator == "+" else pc.subtract_checked
            return lambda block: add(left(block), right(block))
        case Negative():
            operand = _term(node.operand, kind, scale, columns)
            return lambda block: pc.negate_checked(operand(block))
        case Call() if node.function == "abs":
            operand = _term(node.arguments[0], kind, scale, columns)
            return lambda block: pc.abs_checked(operand(block))
        case Constant():
            constant = _number(node.value, kind, scale)
            return lambda _: constant
        case _:
            value, wanted = _value(node), _leaf_type(type_of(node, columns), kind, scale)
            return lambda block: _cast(value(block), wanted)


def _leaf_type(found: Type, kind: pa.DataType, scale: int) -> pa.DataType:
    """Decimals are as narrow as may be: each sum of two is one digit wider, which Arrow does by itself."""
    if not pa.types.is_decimal(kind):
        return kind
    make = pa.decimal128 if kind.bit_width == 128 else pa.decimal256
    return make(found.whole + scale, scale)


def _cast(values: Any, kind: pa.DataType) -> Any:
    if values.type == kind:
        return values
    if pa.types.is_date(values.type):
        values = values.cast(pa.int32())
    return values.cast(kind)


def _number(value: Any, kind: pa.DataType, scale: int) -> pa.Scalar:
    """A number or day written in the rule. Raises nothing: `Type` has counted its digits."""
    if isinstance(value, date):
        value = Decimal(value.toordinal() - date(1970, 1, 1).toordinal())
    if pa.types.is_floating(kind):
        return pa.scalar(float(value), kind)
    if pa.types.is_decimal(kind):
        make = pa.decimal128 if kind.bit_width == 128 else pa.decimal256
        _, digits, exponent = value.as_tuple()
        return pa.scalar(value, make(max(len(digits) + exponent, 1) + scale, scale))
    return pa.scalar(int(value), kind)


def _value(node: Node) -> _Term:
    """A column, a constant or a function as it is."""
    match node:
        case ColumnName():
            return lambda block: block.values[node.name]
        case Call(function="landed_at"):
            return lambda block: block.landed.at
        case Call(function="landed_on"):
            return lambda block: block.landed.on
        case Call(function="day"):
            moment = _value(node.arguments[0])
            zone = (
                node.arguments[1].value
                if len(node.arguments) == 2 and isinstance(node.arguments[1], Constant)
                else "UTC"
            )
            return lambda block: days_of(moment(block), str(zone))
        case Constant():
            constant = pa.scalar(node.value, _UTC if isinstance(node.value, datetime) else None)
            return lambda _: constant
        case _:
            raise ConfigurationError(f"{written(node)} is neither a column nor a value")
