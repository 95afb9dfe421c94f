"""YAML text, as data with the line of every key. Knows nothing of datasets.

Written over ruamel.yaml's *events*, not its constructors: no tag ever builds an object, nothing is expanded, and every fault
of the text is listed, not only the first. Plain scalars are read by the core schema of YAML 1.2.2 (section 10.3): `NO`, `on`
and `2013-01-01` are text, `true` is not. Keys are always text. Anchors, aliases, merge keys and tags are refused: a contract
is read by people, line by line, and an alias is how fifty bytes become fifty gigabytes.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pipelines.contracts.faults import KeyPath, Problem, show

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "Position", "SourceFault", "YamlDocument", "read_yaml"]

MAX_BYTES = 512 * 1024
"""A contract with 2,000 columns takes about 200 KB."""
MAX_DEPTH = 12
MAX_NODES = 100_000
MAX_FAULTS = 100


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the text; both count from 1, `column` in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class SourceFault:
    """A problem that is already placed."""

    position: Position
    problem: Problem


@dataclass(slots=True)
class YamlDocument:
    """What a text holds. `data` is None when there is nothing to go on with.

    `positions` gives for each key (and list item) where it stands; `unsound` are paths whose value was refused already,
    so that nobody complains of them twice.
    """

    data: Any = None
    positions: dict[KeyPath, Position] = field(default_factory=dict[KeyPath, Position])
    unsound: set[KeyPath] = field(default_factory=set[KeyPath])
    faults: list[SourceFault] = field(default_factory=list[SourceFault])

    def position(self, path: KeyPath) -> Position:
        """Where the key stands; for a key that is not there, where the nearest mapping or list around it does."""
        for length in range(len(path), 0, -1):
            if (found := self.positions.get(path[:length])) is not None:
                return found
        return Position(1, 1)


def read_yaml(raw: bytes) -> YamlDocument:
    """Read one YAML document. Never raises: what is wrong with the text is in `faults`."""
    document = YamlDocument()
    text = _decode(raw, document)
    if text is None:
        return document
    walk = _Walk(document, YAML(typ="safe", pure=True).parse(text))
    try:
        document.data = walk.document()
    except _StopError:
        document.data = None
    except MarkedYAMLError as error:
        document.data = None
        document.faults.append(_syntax_fault(error))
    except (YAMLError, ValueError) as error:
        # ruamel raises a bare ValueError or YAMLError for some malformed directives and escapes.
        document.data = None
        _fault(document, Position(1, 1), (), show(str(error)), "valid YAML 1.2", "correct the syntax")
    return document


class _StopError(Exception):
    """The text is of a kind that is not worth reading further; the fault is on record."""


# Control characters that YAML does not allow (YAML 1.2.2, section 5.1).
_NOT_PRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")


def _decode(raw: bytes, document: YamlDocument) -> str | None:
    if len(raw) > MAX_BYTES:
        found = f"{len(raw):,} bytes"
        _fault(
            document,
            Position(1, 1),
            (),
            found,
            f"at most {MAX_BYTES:,}",
            "this is no dataset file; remove it from the folder",
        )
        return None
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        _fault(document, Position(1, 1), (), "UTF-16 text", "UTF-8", "save the file as UTF-8")
        return None
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        position = Position(before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1)
        _fault(document, position, (), f"the byte 0x{raw[error.start]:02x}", "UTF-8 text", "save the file as UTF-8")
        return None
    if bad := _NOT_PRINTABLE.search(text):
        before = text[: bad.start()]
        position = Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        found = f"the control character U+{ord(bad[0]):04X}"
        _fault(
            document, position, (), found, "text", 'remove it, or write it as an escape inside double quotes ("\\x01")'
        )
        return None
    return text


def _fault(document: YamlDocument, at: Position, path: KeyPath, found: str, expected: str, remedy: str) -> None:
    document.faults.append(SourceFault(at, Problem(path, found, expected, remedy)))
    if len(document.faults) >= MAX_FAULTS:
        raise _StopError


_INT = re.compile(r"[-+]?[0-9]{1,100}")
_OCTAL = re.compile(r"0o[0-7]{1,100}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,100}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def _plain(text: str) -> Any:
    """The value of a plain scalar by the core schema; a number that a double cannot hold exactly stays a Decimal."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text[2:], 16)
    if len(text) <= 100 and _FLOAT.fullmatch(text):
        number = float(text)
        exact = Decimal(text)
        return number if Decimal(repr(number)) == exact else exact
    return text


class _Walk:
    """From events to data; records positions and faults on the way."""

    def __init__(self, document: YamlDocument, events: Iterator[Any]) -> None:
        self._document = document
        self._events = events
        self._nodes = 0

    def document(self) -> Any:
        self._next()  # the stream's start
        event = self._next()
        if type(event).__name__ == "StreamEndEvent":
            _fault(
                self._document,
                Position(1, 1),
                (),
                "an empty file",
                "a dataset",
                "start with `name:`; see docs/adding-a-dataset.md",
            )
            return None
        data = self._node(self._next(), ())
        self._next()  # the document's end
        event = self._next()
        if type(event).__name__ != "StreamEndEvent":
            _fault(
                self._document,
                _at(event),
                (),
                "a second document",
                "one dataset a file",
                "move it to a file of its own",
            )
        return data

    def _next(self) -> Any:
        self._nodes += 1
        event = next(self._events)
        if self._nodes > MAX_NODES:
            _fault(
                self._document,
                _at(event),
                (),
                f"more than {MAX_NODES:,} values",
                "a dataset",
                "this is no dataset file",
            )
            raise _StopError
        return event

    def _node(self, event: Any, path: KeyPath) -> Any:
        kind = type(event).__name__
        if kind == "AliasEvent":
            self._refuse(
                event,
                path,
                f"the alias *{event.anchor}",
                "the value itself",
                "write the value out: aliases are not read",
            )
            return None
        if event.anchor is not None:
            self._fault(
                event,
                path,
                f"the anchor &{event.anchor}",
                "a plain value",
                "remove it: anchors and aliases are not read",
            )
        if event.tag is not None:
            self._refuse(
                event,
                path,
                f"the tag {str(event.tag).replace('tag:yaml.org,2002:', '!!')}",
                "a plain value",
                "remove the tag; put text in quotes",
            )
        if len(path) >= MAX_DEPTH and kind != "ScalarEvent":
            self._fault(
                event, path, f"values nested more than {MAX_DEPTH} deep", "a dataset", "this is no dataset file"
            )
            raise _StopError
        match kind:
            case "ScalarEvent":
                return event.value if event.style else _plain(event.value)
            case "SequenceStartEvent":
                return self._sequence(path)
            case _:
                return self._mapping(path)

    def _sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while type(event := self._next()).__name__ != "SequenceEndEvent":
            here = (*path, len(items))
            self._document.positions[here] = _at(event)
            items.append(self._node(event, here))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        out: dict[str, Any] = {}
        while type(event := self._next()).__name__ != "MappingEndEvent":
            if type(event).__name__ != "ScalarEvent":
                self._fault(event, path, "a key that is not text", "a name", "write a plain name before the colon")
                self._skip(event, path)
                self._skip(self._next(), path)
                continue
            name = event.value
            here = (*path, name)
            if event.anchor is not None or event.tag is not None:
                self._fault(event, here, "an anchor or a tag on a key", "a plain name", "remove it")
            if name == "<<" and not event.style:
                self._fault(
                    event, path, "a merge key (<<)", "the keys themselves", "write them out: merging is not read"
                )
                self._skip(self._next(), path)
            elif name in out:
                first = self._document.positions[here].line
                self._fault(
                    event,
                    here,
                    f"the key a second time (first on line {first})",
                    "each key once",
                    "remove one of the two",
                )
                self._skip(self._next(), path)
            else:
                self._document.positions[here] = _at(event)
                out[name] = None
                out[name] = self._node(self._next(), here)
        return out

    def _skip(self, event: Any, path: KeyPath) -> None:
        """Go past a value that is not wanted, without keeping anything of it."""
        depth = 0
        while True:
            kind = type(event).__name__
            depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
            if depth == 0:
                return
            if len(path) + depth > MAX_DEPTH:
                self._fault(
                    event, path, f"values nested more than {MAX_DEPTH} deep", "a dataset", "this is no dataset file"
                )
                raise _StopError
            event = self._next()

    def _refuse(self, event: Any, path: KeyPath, found: str, expected: str, remedy: str) -> None:
        self._document.unsound.add(path)
        self._fault(event, path, found, expected, remedy)

    def _fault(self, event: Any, path: KeyPath, found: str, expected: str, remedy: str) -> None:
        _fault(self._document, _at(event), path, found, expected, remedy)


def _at(event: Any) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def _syntax_fault(error: MarkedYAMLError) -> SourceFault:
    problem = str(error.problem or error).removeprefix("found ")
    mark: Any = error.problem_mark or error.context_mark
    context = str(error.context or "")
    expected, remedy = "valid YAML 1.2", "correct the syntax here or on the line above"
    if "'\\t'" in problem:
        problem, expected, remedy = "a tab", "spaces", "indent with spaces: YAML does not take tabs"
    elif "mapping values are not allowed" in problem:
        remedy = "put text that holds a colon in quotes, and check the indentation"
    elif "cannot start any token" in problem:
        remedy = "put the text in quotes"
    elif "end of stream" in problem and "quoted scalar" in context:
        mark = error.context_mark or mark
        problem, remedy = "a quote that is never closed", "close the quote"
    elif "<stream end>" in problem or "flow" in context:
        problem, remedy = f"{problem} ({context})", "close every [ and { with ] and }, and put a comma between items"
    elif "escape" in problem:
        remedy = "inside double quotes write each backslash twice, or use single quotes"
    elif "<block end>" in problem:
        remedy = "give all keys of one level the same indentation, and don't mix list items with keys"
    if match := re.fullmatch(r"expected (.+), but (?:got|found) (.+)", problem.split(" (")[0]):
        expected, problem = match[1], match[2]
    position = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
    return SourceFault(position, Problem((), problem, expected, remedy))
