"""The language of row rules: what may stand in a dataset's `rules`, read into a small tree. Pure; evaluates nothing.

    condition   = comparison | condition and condition | condition or condition | not condition | column is [not] null
    comparison  = sum (= | != | < | <= | > | >=) sum
    sum         = term, + term, - term …
    term        = column | number | 'text' | true | false | date '2013-01-01' | timestamp '2013-01-01T10:00:00Z'
                  | function | -term | (…)
    function    = abs(number) | day(timestamp) | day(timestamp, 'Zone') | landed_at() | landed_on()

A condition is true, false or unknown, as in SQL: what null takes part in is unknown, and only a false rule is broken. Which types
go together is `rule_types.py`; how a rule is carried out on columns is `pipelines/reading/row_rules.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from pipelines.contracts.faults import closest, show
from pipelines.contracts.values import typed_value

__all__ = [
    "COMPARISONS", "FUNCTIONS", "Call", "ColumnName", "Comparison", "Constant", "IsNull", "Logic", "Negative", "Node", "Not",
    "RuleFault", "Sum", "column_names", "parse_rule", "walk", "written",
]  # fmt: skip

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
FUNCTIONS: dict[str, tuple[int, int]] = {"abs": (1, 1), "day": (1, 2), "landed_at": (0, 0), "landed_on": (0, 0)}
"""The functions, with the least and the greatest number of arguments."""

MAX_CHARACTERS, _MAX_TOKENS, _MAX_DEPTH = 1_000, 200, 20
_WORDS = frozenset({"and", "or", "not", "is", "null", "true", "false"})
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<text>'(?:[^']|'')*')"
    r"|(?P<sign><=|>=|!=|<>|==|[-=<>+(),])|(?P<end>\Z)|(?P<other>.))",
    re.DOTALL,
)
_SLIPS = {
    "==": "write = for equal",
    "<>": "write != for not equal",
    '"': "put text in single quotes; a column's name has none",
    "'": "close the text with a single quote; write '' for a quote inside it",
    "`": "a column's name has no quotes",
    "*": "a rule knows + and - only: keep the product in a column, or use an expectation",
    "/": "a rule knows + and - only: keep the ratio in a column, or use an expectation",
}


@dataclass(frozen=True, slots=True)
class ColumnName:
    """A column of the dataset."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A value written in the rule; a timestamp is aware and in UTC."""

    value: Decimal | str | bool | date | datetime


@dataclass(frozen=True, slots=True)
class Call:
    """A function of FUNCTIONS with its arguments."""

    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Negative:
    """`-operand`."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Sum:
    """`left + right` or `left - right`."""

    left: "Node"
    operator: str
    right: "Node"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right`, one of COMPARISONS."""

    left: "Node"
    operator: str
    right: "Node"


@dataclass(frozen=True, slots=True)
class IsNull:
    """`operand is null`, or `is not null` where null is not wanted."""

    operand: "Node"
    wanted: bool


@dataclass(frozen=True, slots=True)
class Not:
    """`not operand`."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Logic:
    """`left and right` or `left or right`."""

    left: "Node"
    operator: str
    right: "Node"


Node = ColumnName | Constant | Call | Negative | Sum | Comparison | IsNull | Not | Logic


@dataclass(frozen=True, slots=True)
class RuleFault:
    """What is wrong with a rule's text, in the words of `faults.Problem`."""

    found: str
    expected: str
    remedy: str


def parse_rule(text: str) -> Node | RuleFault:
    """Read a rule's text, or tell the first thing in it that the grammar does not allow."""
    if len(text) > MAX_CHARACTERS:
        return RuleFault(f"a rule of {len(text):,} characters", f"at most {MAX_CHARACTERS:,}", "make two rules of it")
    try:
        return _Parser(text).rule()
    except _WrongError as wrong:
        return wrong.fault


def column_names(node: Node) -> tuple[str, ...]:
    """The columns a rule speaks of, each once, in the order they stand in."""
    return tuple(dict.fromkeys(n.name for n in walk(node) if isinstance(n, ColumnName)))


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, from left to right."""
    yield node
    match node:
        case ColumnName() | Constant():
            return
        case Call():
            for argument in node.arguments:
                yield from walk(argument)
        case Negative() | IsNull() | Not():
            yield from walk(node.operand)
        case Sum() | Comparison() | Logic():
            yield from walk(node.left)
            yield from walk(node.right)


def written(node: Node) -> str:
    """A term or sum as the rule writes it."""
    match node:
        case ColumnName():
            return node.name
        case Constant():
            return _literal(node.value)
        case Call():
            return f"{node.function}({', '.join(written(a) for a in node.arguments)})"
        case Negative():
            return f"-{_bracketed(node.operand)}"
        case IsNull():
            return f"{written(node.operand)} is {'' if node.wanted else 'not '}null"
        case Not():
            return f"not {written(node.operand)}"
        case Sum():
            return f"{written(node.left)} {node.operator} {_bracketed(node.right)}"
        case Comparison() | Logic():
            return f"{written(node.left)} {node.operator} {written(node.right)}"


def _bracketed(node: Node) -> str:
    return f"({written(node)})" if isinstance(node, Sum) else written(node)


def _literal(value: Decimal | str | bool | date | datetime) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case datetime():
            return f"timestamp '{value.isoformat().replace('+00:00', 'Z')}'"
        case date():
            return f"date '{value.isoformat()}'"
        case Decimal():
            return f"{value:f}"


class _WrongError(Exception):
    def __init__(self, found: str, expected: str, remedy: str) -> None:
        super().__init__(found)
        self.fault = RuleFault(found, expected, remedy)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def word(self) -> str:
        """A word in small letters (keywords may be written in capitals); empty for anything else."""
        return self.text.lower() if self.kind == "word" else ""


class _Parser:
    """Recursive descent; `or` binds weakest, then `and`, `not`, comparisons, sums."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    def rule(self) -> Node:
        node = self._or()
        if self._token.kind != "end":
            self._fail("an operator (=, !=, <, <=, >, >=, +, -, and, or) or the end of the rule")
        if not isinstance(node, Comparison | IsNull | Not | Logic):
            found = f"{show(self._text)}, which compares nothing"
            raise _WrongError(found, "a comparison", "write for example total = net + tax")
        return node

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *texts: str) -> str | None:
        """Go past the next token if it is one of these signs or words."""
        token = self._token
        said = token.word if token.kind == "word" else token.text
        if token.kind in ("sign", "word") and said in texts:
            self._next += 1
            return said
        return None

    def _need(self, text: str, expected: str) -> None:
        if self._take(text) is None:
            self._fail(expected)

    def _fail(self, expected: str, remedy: str | None = None) -> None:
        token = self._token
        if token.kind == "end":
            raise _WrongError(f"{show(self._text)}, which ends too soon", expected, remedy or "complete it")
        before = self._text[: token.start].strip()
        where = f" after {show(before[-40:])}" if before else " at the start"
        raise _WrongError(f"{show(token.text)}{where}", expected, _SLIPS.get(token.text, remedy or "correct it"))

    def _or(self) -> Node:
        node = self._and()
        while self._take("or"):
            node = Logic(node, "or", self._and())
        return node

    def _and(self) -> Node:
        node = self._not()
        while self._take("and"):
            node = Logic(node, "and", self._not())
        return node

    def _not(self) -> Node:
        return Not(self._not()) if self._take("not") else self._comparison()

    def _comparison(self) -> Node:
        node = self._sum()
        if self._take("is"):
            wanted = self._take("not") is None
            self._need("null", "null, or not null")
            return IsNull(node, wanted)
        if self._token.text not in COMPARISONS or self._token.kind != "sign":
            return node
        operator = self._token.text
        self._next += 1
        node = Comparison(node, operator, self._sum())
        if self._token.text in COMPARISONS and self._token.kind == "sign":
            self._fail("one comparison", "join two with and: a <= b and b <= c")
        return node

    def _sum(self) -> Node:
        node = self._term()
        while operator := self._take("+", "-"):
            node = Sum(node, operator, self._term())
        return node

    def _term(self) -> Node:
        if self._take("-"):
            operand = self._term()
            if isinstance(operand, Constant) and isinstance(operand.value, Decimal):
                return Constant(operand.value.copy_negate())  # `-` would round to 28 digits
            return Negative(operand)
        token = self._token
        if self._take("("):
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise _WrongError(f"more than {_MAX_DEPTH} brackets in one another", "fewer", "make two rules of it")
            node = self._or()
            self._need(")", "a closing bracket")
            self._depth -= 1
            return node
        if token.kind == "number":
            self._next += 1
            return Constant(Decimal(token.text))
        if token.kind == "text":
            self._next += 1
            return Constant(_unquoted(token.text))
        if word := self._take("true", "false"):
            return Constant(word == "true")
        if token.kind == "word" and token.word not in _WORDS:
            return self._word(token)
        self._fail("a column, a value or a function")
        raise AssertionError

    def _word(self, token: _Token) -> Node:
        self._next += 1
        after = self._token
        if token.word in ("date", "timestamp") and after.kind == "text":
            self._next += 1
            return Constant(_moment(token.word, _unquoted(after.text)))
        if self._take("("):
            return self._call(token)
        return ColumnName(token.text)

    def _call(self, token: _Token) -> Node:
        name = token.word
        if name not in FUNCTIONS:
            near = closest(name, FUNCTIONS)
            listed = ", ".join(FUNCTIONS)
            found = f"{show(token.text)}, which is no function"
            raise _WrongError(found, f"one of {listed}", f"did you mean {near}?" if near else "use one of these")
        arguments: list[Node] = []
        if not self._take(")"):
            arguments.append(self._sum())
            while self._take(","):
                arguments.append(self._sum())
            self._need(")", "a closing bracket")
        least, most = FUNCTIONS[name]
        if not least <= len(arguments) <= most:
            count = f"{least} to {most}" if least != most else str(most) if most else "no"
            found = f"{name} with {len(arguments)} argument{'' if len(arguments) == 1 else 's'}"
            raise _WrongError(found, f"{count} argument{'' if most == 1 else 's'}", f"write {_FORMS[name]}")
        return Call(name, tuple(arguments))


_FORMS = {
    "abs": "abs(total - net)",
    "day": "day(column) or day(column, 'Europe/Berlin')",
    "landed_at": "landed_at()",
    "landed_on": "landed_on()",
}


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, position)
        assert match is not None  # noqa: S101 - `other` takes whatever the rest does not
        kind = match.lastgroup or "end"
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        position = match.end()
        if len(tokens) > _MAX_TOKENS:
            raise _WrongError(f"a rule of more than {_MAX_TOKENS} words", "a shorter one", "make two rules of it")
    return tokens


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'")


def _moment(kind: str, text: str) -> date | datetime:
    try:
        value = typed_value(kind, text)
    except ValueError as reason:
        example = "date '2013-01-01'" if kind == "date" else "timestamp '2013-01-01T10:00:00Z'"
        raise _WrongError(f"{kind} {show(text)}", f"a {kind}: {reason}", f"write for example {example}") from None
    assert isinstance(value, date)  # noqa: S101 - a datetime is one too
    return value
