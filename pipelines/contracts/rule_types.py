"""Which types go together in a row rule, and how many digits its numbers need. Pure.

Numbers are compared exactly or not at all: whole numbers and decimals keep every digit, so a `double` goes with doubles,
with numbers written in the rule, and with whole numbers that a double holds exactly. A day is the number of days since 1970.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pipelines.contracts.columns import Column
from pipelines.contracts.faults import show
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
    written,
)
from pipelines.contracts.values import find_zone

__all__ = ["MAX_DIGITS", "Kind", "Type", "comparison_type", "rule_fault", "type_of"]

MAX_DIGITS = 76
"""Digits that a comparison may need: what a 256-bit decimal holds."""
_DOUBLE_DIGITS = 15
_WHOLE = {"int": 10, "bigint": 19}
_DAY_DIGITS = 19


class Kind(StrEnum):
    """What a term is; the values are words for messages."""

    NUMBER = "a whole number"
    DOUBLE = "a double"
    TEXT = "text"
    DATE = "a date"
    TIMESTAMP = "a timestamp"
    BOOLEAN = "true or false"
    CONDITION = "a condition"


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a term. `whole` and `scale` are the digits before and behind the point of a number (or a day)."""

    kind: Kind
    whole: int = 0
    scale: int = 0
    is_constant: bool = False

    @property
    def fits_double(self) -> bool:
        """Whether a double takes part without losing a digit, or by the will of whoever wrote the number."""
        return self.is_constant or (self.scale == 0 and self.whole <= _DOUBLE_DIGITS)


class _WrongError(Exception):
    def __init__(self, found: str, expected: str, remedy: str) -> None:
        super().__init__(found)
        self.fault = RuleFault(found, expected, remedy)


_KINDS = {
    "double": Kind.DOUBLE, "float": Kind.DOUBLE, "string": Kind.TEXT, "date": Kind.DATE, "timestamp": Kind.TIMESTAMP,
    "boolean": Kind.BOOLEAN,
}  # fmt: skip


def rule_fault(node: Node, columns: Mapping[str, Column]) -> RuleFault | None:
    """The first pair of types in a rule that do not go together. All its columns must be among `columns`."""
    try:
        type_of(node, columns)
    except _WrongError as wrong:
        return wrong.fault
    return None


def type_of(node: Node, columns: Mapping[str, Column]) -> Type:
    """The type of a node of a rule without fault; of any other this raises an error of this module's own."""
    match node:
        case ColumnName():
            return _column(node.name, columns[node.name])
        case Constant():
            return _constant(node.value)
        case Call():
            return _call(node, columns)
        case Negative():
            return _number(node.operand, columns, "a number behind -")
        case Sum():
            return _sum(node, columns)
        case Comparison():
            comparison_type(node, columns)
        case IsNull():
            if not isinstance(node.operand, ColumnName):
                raise _WrongError(written(node), "a column before is null", "ask each column by itself")
        case Not():
            _condition(node.operand, columns)
        case Logic():
            _condition(node.left, columns)
            _condition(node.right, columns)
    return Type(Kind.CONDITION)


def comparison_type(node: Comparison, columns: Mapping[str, Column]) -> Type:
    """The type in which both sides of a comparison are compared; for exact numbers, with the digits that both need."""
    left, right = type_of(node.left, columns), type_of(node.right, columns)
    both = _together(node, left, right)
    if both is None:
        raise _WrongError(_beside(node, left, right), "two values of one type", _remedy(left, right))
    if both.kind is Kind.CONDITION:
        raise _WrongError(written(node), "values on both sides", "join conditions with and, or, not")
    if both.kind is Kind.BOOLEAN and node.operator not in ("=", "!="):
        raise _WrongError(f"{node.operator} between true and false", "= or !=", "use one of these")
    if both.whole + both.scale > MAX_DIGITS:
        raise _WrongError(
            f"numbers of {both.whole + both.scale} digits in all",
            f"at most {MAX_DIGITS}",
            "use columns of fewer digits",
        )
    return both


def _column(name: str, column: Column) -> Type:
    kind = column.type.partition("(")[0]
    if kind in _WHOLE:
        return Type(Kind.NUMBER, _WHOLE[kind])
    if kind == "decimal":
        precision, scale = column.decimal_digits
        return Type(Kind.NUMBER, precision - scale, scale)
    if kind == "date":
        return Type(Kind.DATE, _DAY_DIGITS)
    if kind in _KINDS:
        return Type(_KINDS[kind])
    raise _WrongError(f"{name}, a column of type {column.type}", "a column with one value", "choose another column")


def _constant(value: object) -> Type:
    match value:
        case bool():
            return Type(Kind.BOOLEAN, is_constant=True)
        case str():
            return Type(Kind.TEXT, is_constant=True)
        case Decimal():
            _, digits, exponent = value.as_tuple()
            scale = -int(exponent)
            return Type(Kind.NUMBER, max(len(digits) - scale, 1), scale, is_constant=True)
        case datetime():
            return Type(Kind.TIMESTAMP, is_constant=True)
        case _:
            return Type(Kind.DATE, _DAY_DIGITS, is_constant=True)


def _call(node: Call, columns: Mapping[str, Column]) -> Type:
    match node.function:
        case "landed_at":
            return Type(Kind.TIMESTAMP)
        case "landed_on":
            return Type(Kind.DATE, _DAY_DIGITS)
        case "abs":
            return _number(node.arguments[0], columns, "a number in abs")
        case _:
            moment = type_of(node.arguments[0], columns)
            if moment.kind is not Kind.TIMESTAMP:
                found = f"day of {written(node.arguments[0])} ({_said(moment)})"
                remedy = "compare it as it is" if moment.kind is Kind.DATE else "choose a column of type timestamp"
                raise _WrongError(found, "day of a timestamp", remedy)
            if len(node.arguments) == 2:
                _zone(node.arguments[1])
            return Type(Kind.DATE, _DAY_DIGITS)


def _zone(node: Node) -> None:
    name = node.value if isinstance(node, Constant) else None
    if not isinstance(name, str):
        raise _WrongError(f"the zone {written(node)}", "a zone's name", "write it in quotes: 'Europe/Berlin'")
    if find_zone(name) is None:
        raise _WrongError(f"the zone {show(name)}", "an IANA time zone", "write for example 'America/New_York'")


def _number(node: Node, columns: Mapping[str, Column], expected: str) -> Type:
    found = type_of(node, columns)
    if found.kind not in (Kind.NUMBER, Kind.DOUBLE):
        raise _WrongError(f"{written(node)} ({_said(found)})", expected, "choose a number")
    return found


def _condition(node: Node, columns: Mapping[str, Column]) -> None:
    found = type_of(node, columns)
    if found.kind is not Kind.CONDITION:
        remedy = f"write {written(node)} = true" if found.kind is Kind.BOOLEAN else "compare it with something"
        raise _WrongError(f"{written(node)} ({_said(found)})", "a condition", remedy)


def _sum(node: Sum, columns: Mapping[str, Column]) -> Type:
    left, right = type_of(node.left, columns), type_of(node.right, columns)
    if left.kind is Kind.DATE and right.kind is Kind.NUMBER:
        if right.scale:
            raise _WrongError(_beside(node, left, right), "whole days", "add a whole number")
        return Type(Kind.DATE, max(left.whole, right.whole) + 1)
    both = _together(node, left, right)
    if both is None or both.kind not in (Kind.NUMBER, Kind.DOUBLE):
        raise _WrongError(
            _beside(node, left, right), "two numbers, or a date and whole days", _remedy(left, right, node)
        )
    return both if both.kind is Kind.DOUBLE else Type(Kind.NUMBER, both.whole + 1, both.scale)


def _together(node: Sum | Comparison, left: Type, right: Type) -> Type | None:
    """The type that holds both, or None."""
    kinds = {left.kind, right.kind}
    if kinds == {Kind.NUMBER, Kind.DOUBLE}:
        exact = left if left.kind is Kind.NUMBER else right
        if not exact.fits_double:
            expected = "numbers that compare exactly"
            remedy = "make the double a decimal(p,s)"
            raise _WrongError(_beside(node, left, right), expected, remedy)
        return Type(Kind.DOUBLE)
    if len(kinds) == 2:
        return None
    return Type(left.kind, max(left.whole, right.whole), max(left.scale, right.scale))


def _beside(node: Sum | Comparison, left: Type, right: Type) -> str:
    return f"{written(node.left)} ({_said(left)}) {node.operator} {written(node.right)} ({_said(right)})"


def _said(found: Type) -> str:
    return "a decimal number" if found.scale else str(found.kind)


def _remedy(left: Type, right: Type, total: Sum | None = None) -> str:
    kinds = {left.kind, right.kind}
    if total is not None and kinds == {Kind.DATE}:
        return "write the days on the other side: a <= b + 30"
    if kinds == {Kind.DATE, Kind.TIMESTAMP}:
        return "write day(…) of the timestamp"
    if total is not None and Kind.TIMESTAMP in kinds:
        return "write day(…) of the timestamp, plus or minus days"
    for constant, other in ((left, right), (right, left)):
        if constant.is_constant and constant.kind is Kind.TEXT and other.kind in (Kind.DATE, Kind.TIMESTAMP):
            word = "date" if other.kind is Kind.DATE else "timestamp"
            return f"write {word} before the quotes"
        if constant.is_constant and constant.kind is Kind.TEXT and other.kind in (Kind.NUMBER, Kind.DOUBLE):
            return "write the number without quotes"
        if constant.is_constant and constant.kind is Kind.NUMBER and other.kind is Kind.TEXT:
            return "put the value in quotes"
    return "choose columns of one type"
