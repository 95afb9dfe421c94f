"""What nested JSON values have in common, as a type that could hold them: `struct<…>`, `array<…>`. For a suggestion, not for a proof.

Values of several kinds in one place make that place `json`; a place with nothing but null is `json` too.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from pipelines.contracts.nested_types import MAX_TYPE_DEPTH, MEMBER_NAME

__all__ = ["NestedFacts"]

_MAX_DOCUMENTS, _MAX_BYTES = 10_000, 64 << 20
_MAX_MEMBERS, _MAX_TEXT = 60, 1_500
_INT64 = 1 << 63
_EXACT_IN_DOUBLE = 1 << 53


@dataclass(slots=True)
class _Place:
    """All values seen in one place of the documents."""

    scalars: set[str] = field(default_factory=set[str])
    members: dict[str, "_Place"] | None = None
    elements: "_Place | None" = None
    fits_double: bool = True

    def add(self, value: Any) -> None:
        match value:
            case None:
                return
            case dict():
                self.members = {} if self.members is None else self.members
                for name, member in value.items():
                    self.members.setdefault(name, _Place()).add(member)
            case list():
                self.elements = self.elements or _Place()
                for element in value:
                    self.elements.add(element)
            case bool():
                self.scalars.add("boolean")
            case int():
                self.scalars.add("bigint" if -_INT64 <= value < _INT64 else "json")
                self.fits_double = self.fits_double and abs(value) <= _EXACT_IN_DOUBLE
            case float():
                self.scalars.add("double")
            case _:
                self.scalars.add("string")

    def type(self, depth: int = 1) -> str:
        kinds = len(self.scalars) + (self.members is not None) + (self.elements is not None)
        if self.scalars == {"bigint", "double"} and kinds == 2 and self.fits_double:
            return "double"
        if kinds != 1 or depth >= MAX_TYPE_DEPTH:
            return "json"
        if self.members is not None:
            if not self._is_struct(self.members):
                return "json"
            inside = ", ".join(f"{name}: {place.type(depth + 1)}" for name, place in self.members.items())
            return f"struct<{inside}>"
        if self.elements is not None:
            return f"array<{self.elements.type(depth + 1)}>"
        return next(iter(self.scalars))

    @staticmethod
    def _is_struct(members: dict[str, "_Place"]) -> bool:
        """Whether the keys can be names: many, or odd ones, are values used as keys."""
        return 0 < len(members) <= _MAX_MEMBERS and all(re.fullmatch(MEMBER_NAME, name) for name in members)


@dataclass(slots=True)
class NestedFacts:
    """The first documents of a column, merged."""

    documents: int = 0
    is_all: bool = True
    _bytes: int = 0
    _root: _Place = field(default_factory=_Place)

    def add(self, documents: list[str | None]) -> None:
        """Take the JSON texts of objects and arrays of a block; other values and nulls are left out."""
        for document in documents:
            if document is None or document[:1] not in "{[":
                continue
            if self.documents >= _MAX_DOCUMENTS or self._bytes >= _MAX_BYTES:
                self.is_all = False
                return
            self.documents += 1
            self._bytes += len(document)
            self._root.add(json.loads(document, parse_int=_whole))

    def suggestion(self) -> str | None:
        """The type that could hold all of them; None where none says more than json."""
        if not self.documents:
            return None
        said = self._root.type()
        return said if said != "json" and len(said) <= _MAX_TEXT else None


def _whole(digits: str) -> int:
    return int(digits) if len(digits) <= 20 else _INT64  # beyond 64 bits it does not matter by how much
