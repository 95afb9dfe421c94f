"""Types of nested columns, as Athena writes them: `struct<name: type, …>`, `array<type>`, `map<string, type>`.

Their leaves are the scalar types of `values.py`. Pure; what such a type is in Arrow and in Iceberg is said elsewhere.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.contracts.values import ColumnType, column_kind, decimal_digits

__all__ = [
    "MAX_TYPE_DEPTH",
    "MEMBER_NAME",
    "NESTED",
    "ArrayType",
    "DataType",
    "MapType",
    "NestedTypeError",
    "ScalarType",
    "StructType",
    "parse_type",
    "scalars",
]

MAX_TYPE_DEPTH = 16
"""How deep a type may be nested; `array<int>` has the depth 2."""
MEMBER_NAME = r"[a-z_][a-z0-9_]*"
NESTED = frozenset({ColumnType.STRUCT, ColumnType.ARRAY, ColumnType.MAP})
"""The types that have types inside."""
_KEYWORDS = tuple(kind.value for kind in ColumnType if kind in NESTED)
_SCALARS = ", ".join(
    "decimal(p,s)" if kind is ColumnType.DECIMAL else kind.value for kind in ColumnType if kind not in NESTED
)
_TOKEN = re.compile(r"\s*(?:(\w+)|(\S))")


@dataclass(frozen=True, slots=True)
class ScalarType:
    """A leaf: one of the scalar types, with a decimal's digits."""

    text: str

    @property
    def kind(self) -> ColumnType:
        """The type without its parameters."""
        return column_kind(self.text)

    def __str__(self) -> str:
        """The type as it is written."""
        return self.text


@dataclass(frozen=True, slots=True)
class ArrayType:
    """A list of values of one type."""

    element: "DataType"

    def __str__(self) -> str:
        """The type as it is written."""
        return f"array<{self.element}>"


@dataclass(frozen=True, slots=True)
class MapType:
    """Values of one type under any keys, which are text."""

    value: "DataType"

    def __str__(self) -> str:
        """The type as it is written."""
        return f"map<string, {self.value}>"


@dataclass(frozen=True, slots=True)
class StructType:
    """Named members, each of its own type."""

    members: "tuple[tuple[str, DataType], ...]"

    def __str__(self) -> str:
        """The type as it is written."""
        return f"struct<{', '.join(f'{name}: {kind}' for name, kind in self.members)}>"


DataType = ScalarType | ArrayType | MapType | StructType


class NestedTypeError(ValueError):
    """The text is no type: what was `found` (and at which character, from 1), what was `expected`, and what to do."""

    def __init__(self, found: str, expected: str, remedy: str) -> None:
        super().__init__(f"found {found}; expected {expected}; {remedy}")
        self.found = found
        self.expected = expected
        self.remedy = remedy


def parse_type(text: str) -> DataType:
    """Read a type; spaces between its parts do not matter. Raises NestedTypeError."""
    parser = _Parser(text)
    found = parser.read(1)
    if parser.word:
        raise parser.fault("the end of the type", "remove what follows, or correct the brackets")
    return found


def scalars(kind: DataType) -> Iterator[ScalarType]:
    """Every leaf of a type, in the order they are written."""
    match kind:
        case ScalarType():
            yield kind
        case ArrayType(element):
            yield from scalars(element)
        case MapType(value):
            yield from scalars(value)
        case StructType(members):
            for _, member in members:
                yield from scalars(member)


class _Parser:
    """One word or mark ahead: `word` is the next one, empty at the end, and `start` where it stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = 0
        self.word, self.start = "", 0
        self._next()

    def _next(self) -> str:
        """Take what is ahead and look at what follows it."""
        taken = self.word
        match = _TOKEN.match(self._text, self._end)
        if match:
            self.word, self._end = match[1] or match[2], match.end()
            self.start = self._end - len(self.word)
        else:
            self.word, self.start = "", len(self._text.rstrip())
        return taken

    def fault(self, expected: str, remedy: str) -> NestedTypeError:
        found = f'"{self.word}"' if self.word else "the end"
        return NestedTypeError(f"{found} at character {self.start + 1} of {_shown(self._text)}", expected, remedy)

    def _take(self, mark: str, expected: str, remedy: str) -> None:
        if self.word != mark:
            raise self.fault(expected, remedy)
        self._next()

    def read(self, depth: int) -> DataType:
        if depth > MAX_TYPE_DEPTH:
            raise self.fault(f"at most {MAX_TYPE_DEPTH} levels", "use json for what is deeper")
        name = self.word
        if name == "decimal":
            return self._decimal()
        if name in _KEYWORDS:
            self._next()
            self._take("<", f'"<" after {name}', f"write {_example(name)}")
            match name:
                case ColumnType.STRUCT:
                    found: DataType = StructType(self._members(depth))
                case ColumnType.ARRAY:
                    found = ArrayType(self.read(depth + 1))
                case _:
                    found = self._map(depth)
            self._take(">", '">"' if name != "struct" else '"," or ">"', f"write {_example(name)}")
            return found
        try:
            kind = column_kind(name)
        except ValueError:
            remedy = f"write {name.lower()}" if name.lower() in set(ColumnType) else "write one of them"
            raise self.fault(f"a type: {_SCALARS}, struct<…>, array<…> or map<string, …>", remedy) from None
        self._next()
        return ScalarType(kind.value)

    def _decimal(self) -> ScalarType:
        remedy = "write decimal(18,2), for example"
        self._next()
        self._take("(", '"(" after decimal', remedy)
        precision = self._next()
        self._take(",", '"," between precision and scale', remedy)
        scale = self._next()
        text = f"decimal({precision},{scale})"
        self._take(")", '")"', remedy)
        try:
            digits, behind = decimal_digits(text)
        except ValueError:
            raise NestedTypeError(f"{text} in {_shown(self._text)}", "decimal(p,s) with two numbers", remedy) from None
        if not 1 <= digits <= 38 or behind > digits:
            raise NestedTypeError(
                f"{text} in {_shown(self._text)}", "1 to 38 digits, of which at most all stand behind the point", remedy
            )
        return ScalarType(text)

    def _members(self, depth: int) -> tuple[tuple[str, DataType], ...]:
        members: dict[str, DataType] = {}
        plain: set[str] = set()
        while True:
            name = self.word
            if not re.fullmatch(MEMBER_NAME, name):
                raise self.fault(
                    "a member's name of a-z, 0-9 and _",
                    "write it in lower case: keys are compared as columns' names are",
                )
            if re.sub("_+", "_", name) in plain:
                raise self.fault(f"a name other than {name}, which stands before it", "name each member once")
            plain.add(re.sub("_+", "_", name))
            self._next()
            self._take(":", f'":" and the type of {name}', "write struct<name: type, …>")
            members[name] = self.read(depth + 1)
            if self.word != ",":
                return tuple(members.items())
            self._next()

    def _map(self, depth: int) -> MapType:
        if self.word != "string":
            raise self.fault("string, the type of the keys", "write map<string, type>: the keys of JSON are text")
        self._next()
        self._take(",", '"," and the type of the values', "write map<string, type>")
        return MapType(self.read(depth + 1))


def _example(name: str) -> str:
    return {"struct": "struct<name: type, …>", "array": "array<type>"}.get(name, "map<string, type>")


def _shown(text: str) -> str:
    return f'"{text}"' if len(text) <= 60 else f'"{text[:59]}…"'
