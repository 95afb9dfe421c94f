"""From JSON objects to the columns of the contract: which key means which column, and what the contract does not know.

A block's objects are taken at once, so that each column is one list of values; what the values mean is decided by the takers
(`json_cells.py`, `json_nested.py`). Knows nothing of bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.contracts.nested_types import NESTED
from pipelines.reading.headers import normalised
from pipelines.reading.json_cells import Taker, taker
from pipelines.reading.json_nested import nested_taker, oversized
from pipelines.reading.json_objects import JsonValue, written
from pipelines.reading.rescue import NEW_COLUMN, Rescued
from pipelines.reading.rows import Plan

__all__ = ["JsonColumns", "Members"]

_KEYS_REMEMBERED = 100_000


@dataclass(slots=True)
class Members:
    """The members of some objects by column: `values` and, where an object spells it otherwise, `keys`, each by object.

    `unknown` are the members under keys that the contract does not know, by object; `collisions` the objects in which
    two keys mean one column: object, the second key, column.
    """

    values: dict[str, list[JsonValue]]
    keys: dict[str, list[str | None]] = field(default_factory=dict[str, list[str | None]])
    unknown: dict[int, dict[str, JsonValue]] = field(default_factory=dict[int, dict[str, JsonValue]])
    collisions: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])

    def key(self, column: str, number: int) -> str:
        """The key under which an object has a column."""
        return (self.keys[column][number] if column in self.keys else None) or column

    def rescued(self, kept: Sequence[int]) -> Rescued:
        """The members under unknown keys of the objects that are kept, numbered as these are."""
        by_key: dict[str, list[tuple[int, JsonValue]]] = {}
        for position, number in enumerate(kept):
            for key, value in self.unknown.get(number, {}).items():
                by_key.setdefault(key, []).append((position, value))
        rescued = Rescued(len(kept))
        for key, values in by_key.items():
            rescued.add(key, None, NEW_COLUMN, ((row, written(value)) for row, value in values))
        return rescued


class JsonColumns:
    """The columns of one file. Remembers the keys it has seen."""

    def __init__(self, plan: Plan) -> None:
        columns = {name: plan.dataset.columns[name] for name in plan.dataset.file_columns}
        spellings = {
            name: [s for s in (column.source, name, *column.aliases) if s is not None]
            for name, column in columns.items()
        }
        self._limits = plan.limits
        self._names = plan.dataset.file_columns
        self._exact = {s: name for name, said in reversed(spellings.items()) for s in reversed(said)}
        self._exact.update({said[0]: name for name, said in spellings.items()})
        self._loose = {normalised(s): name for name, said in spellings.items() for s in said}
        self._by_key: dict[str, str | None] = {}
        self._nested = {name: column.data_type for name, column in columns.items() if column.kind in NESTED}
        self.takers: Mapping[str, Taker] = {
            name: nested_taker(name, column) if column.kind in NESTED else taker(column)
            for name, column in columns.items()
        }
        self.seen: dict[str, None] = {}
        """The keys seen; of those that the contract does not know, as many as a file may have columns."""

    @property
    def found(self) -> set[str]:
        """The columns that a key seen means."""
        return {name for name in map(self._by_key.get, self.seen) if name is not None}

    def column_of(self, key: str) -> str | None:
        """The contract's column for a key, remembered; None for a key it does not know."""
        try:
            return self._by_key[key]
        except KeyError:
            column = self.meant_by(key)
            if len(self._by_key) < _KEYS_REMEMBERED:
                self._by_key[key] = column
                if column is not None or len(self.seen) <= self._limits.columns:
                    self.seen[key] = None
            return column

    def meant_by(self, key: str) -> str | None:
        """The contract's column for a key, whether or not the file has it."""
        return self._exact.get(key) or self._loose.get(normalised(key))

    def pick(self, objects: Sequence[Mapping[str, JsonValue]]) -> Members:
        """The members of objects by column; null where an object has none."""
        count = len(objects)
        members = Members({name: [None] * count for name in self._names})
        values, keys, by_key = members.values, members.keys, self._by_key
        for number, one in enumerate(objects):
            filled: set[str] = set()
            for key, value in one.items():
                name = by_key[key] if key in by_key else self.column_of(key)
                if name is None:
                    members.unknown.setdefault(number, {})[key] = value
                elif name in filled:
                    members.collisions.append((number, key, name))
                else:
                    filled.add(name)
                    values[name][number] = value
                    if key != name:
                        keys.setdefault(name, [None] * count)[number] = key
        return members

    def large_cell(self, one: Mapping[str, JsonValue]) -> tuple[str, int] | None:
        """The key and the size of a member of more than `limits.cell_bytes`; in a nested column every leaf is a cell."""
        limit = self._limits.cell_bytes
        for key, value in one.items():
            kind = self._nested.get(self.column_of(key) or "")
            if kind is not None:
                size = oversized(kind, value, limit) or 0
            else:
                size = len(value.encode("utf-8")) if isinstance(value, str) else len(written(value))
            if size > limit:
                return key, size
        return None
