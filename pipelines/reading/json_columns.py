"""From JSON objects to the columns of the contract: by key or by path, and an array inside exploded into rows.

A block's objects are taken at once, so that each column is one list of values; what the values mean is decided by the takers
(`json_cells.py`, `json_nested.py`). Knows nothing of bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.contracts.column_sources import spellings
from pipelines.contracts.json_paths import JsonPath, Step, path_text
from pipelines.contracts.model import JsonFormat
from pipelines.contracts.nested_types import NESTED
from pipelines.reading.headers import normalised
from pipelines.reading.json_cells import Taker, taker
from pipelines.reading.json_nested import nested_taker, oversized
from pipelines.reading.json_objects import JsonValue, Number, written
from pipelines.reading.json_unpicked import Unpicked
from pipelines.reading.rescue import NEW_COLUMN, Rescued
from pipelines.reading.row_blocks import Cells, InnerBreach
from pipelines.reading.rows import Plan
from pipelines.reading.violations import Rule

__all__ = ["JsonColumns", "Members", "Misplaced", "Rows", "follow"]

_KEYS_REMEMBERED = 100_000
_ROWS_AT_ONCE = 32_768
_REPEATED_BYTES_AT_ONCE = 16 << 20
"""Of exploded objects: rows that are made at once, and bytes of the values repeated in each of them."""


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A value on a path that the path cannot go through: the steps to it, the value, and what it should be (`an object`)."""

    steps: tuple[Step, ...]
    value: JsonValue
    wanted: str

    @property
    def expected(self) -> str:
        """What is expected, and where, in words."""
        return f"{self.wanted} at {path_text(('$', *self.steps))}"


@dataclass(slots=True)
class Members:
    """The members of some objects by column: `values` and, where an object spells it otherwise, `keys`, each by object.

    `unknown` are the members under keys that the contract does not know, by object; `collisions` the objects in which
    two keys mean one column: object, the second key, column. `misplaced` are values on the path to a column, by object.
    `unpicked` are members that paths leave, with their own path, by object.
    """

    values: dict[str, list[JsonValue]]
    keys: dict[str, list[str | None]] = field(default_factory=dict[str, list[str | None]])
    unknown: dict[int, dict[str, JsonValue]] = field(default_factory=dict[int, dict[str, JsonValue]])
    collisions: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])
    misplaced: dict[str, dict[int, Misplaced]] = field(default_factory=dict[str, dict[int, Misplaced]])
    unpicked: dict[int, list[tuple[str, JsonValue]]] = field(default_factory=dict[int, list[tuple[str, JsonValue]]])

    def key(self, column: str, number: int) -> str:
        """The key under which an object has a column."""
        return (self.keys[column][number] if column in self.keys else None) or column

    def beside(self, number: int) -> Iterator[tuple[str, JsonValue]]:
        """What an object has beside the columns: the key or path of each value."""
        yield from self.unknown.get(number, {}).items()
        yield from self.unpicked.get(number, ())


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows: the object each is of, by number; and where an array is exploded, its element and that element's number.

    `repeated_bytes` is about how much these rows hold of values that rows of the same object hold as well.
    """

    of: Sequence[int]
    elements: Sequence[JsonValue] | None = None
    numbers: Sequence[int | None] | None = None
    repeated_bytes: int = 0

    def number(self, row: int) -> int | None:
        """The number of a row's element, if it has one."""
        return None if self.numbers is None else self.numbers[row]


class JsonColumns:
    """The columns of one file. Remembers the keys it has seen."""

    def __init__(self, plan: Plan) -> None:
        form = plan.dataset.format
        columns = {name: plan.dataset.columns[name] for name in plan.dataset.file_columns}
        paths = {name: path for name, column in columns.items() if (path := column.json_path) is not None}
        said = {name: spellings(name, column) for name, column in columns.items() if name not in paths}
        self._limits = plan.limits
        self._by_name = tuple(said)
        self._paths = paths
        self.explode: JsonPath | None = form.explode_path if isinstance(form, JsonFormat) else None
        ways = (*paths.values(), *((self.explode,) if self.explode else ()))
        self._roots = frozenset(path.steps[0] for path in ways if path.steps)
        self._rescues = plan.dataset.schema_.new_columns == "rescue"
        self._left = Unpicked(path.steps for path in ways)
        self._left_in_elements = Unpicked(path.inner for path in paths.values() if path.each and not path.number)
        self._exact = {s: name for name, spelt in reversed(said.items()) for s in reversed(spelt)}
        self._exact.update({spelt[0]: name for name, spelt in said.items()})
        self._loose = {normalised(s): name for name, spelt in said.items() for s in spelt}
        self._by_key: dict[str, str | None] = {}
        self._types = {name: column.data_type for name, column in columns.items()}
        self._takers: Mapping[str, Taker] = {
            name: nested_taker(name, column) if column.kind in NESTED else taker(column)
            for name, column in columns.items()
        }
        self.seen: dict[str, None] = {}
        """The keys seen; of those that the contract does not know, as many as a file may have columns."""

    # ---- keys -----------------------------------------------------------------------------------------------------

    @property
    def found(self) -> set[str]:
        """The columns that a key seen means, or leads to."""
        by_name = {name for name in map(self._by_key.get, self.seen) if name is not None}
        return by_name | {name for name, path in self._paths.items() if path.steps[0] in self.seen}

    def key_of(self, column: str) -> str:
        """The key of a record that a column needs."""
        return str(self._paths[column].steps[0]) if column in self._paths else column

    def column_of(self, key: str) -> str | None:
        """The contract's column for a key, remembered; None for a key that means none by itself."""
        try:
            return self._by_key[key]
        except KeyError:
            column = self.meant_by(key)
            if len(self._by_key) < _KEYS_REMEMBERED:
                self._by_key[key] = column
                if column is not None or key in self._roots or len(self.seen) <= self._limits.columns:
                    self.seen[key] = None
            return column

    def meant_by(self, key: str) -> str | None:
        """The contract's column for a key, whether or not the file has it."""
        return self._exact.get(key) or self._loose.get(normalised(key))

    def steps(self, members: Members, rows: Rows, row: int, column: str) -> tuple[Step, ...]:
        """The way from the record to a row's value of a column."""
        path = self._paths.get(column)
        if path is None:
            return (members.key(column, rows.of[row]),)
        number = rows.number(row)
        return path.steps if not path.each or number is None else (*path.steps, number, *path.inner)

    def name(self, members: Members, rows: Rows, row: int, column: str) -> str:
        """What the file calls a row's value of a column: its key, or its path."""
        if column in self._paths:
            return path_text(("$", *self.steps(members, rows, row, column)))
        return members.key(column, rows.of[row])

    # ---- values ---------------------------------------------------------------------------------------------------

    def elements(self, one: Mapping[str, JsonValue]) -> list[JsonValue] | Misplaced:
        """The elements of the exploded array of a record; none where it is null or absent."""
        if self.explode is None:
            return []
        steps = self.explode.steps
        (found,), misplaced = follow([one], steps)
        if misplaced:
            return misplaced[0]
        if found is None or type(found) is list:
            return found or []
        return Misplaced(steps, found, "an array")

    def pick(self, objects: Sequence[Mapping[str, JsonValue]]) -> Members:
        """The members of objects by column, but for those of elements; null where an object has none."""
        count = len(objects)
        members = Members({name: [None] * count for name in self._by_name})
        values, keys, by_key, roots = members.values, members.keys, self._by_key, self._roots
        for number, one in enumerate(objects):
            filled: set[str] = set()
            for key, value in one.items():
                name = by_key[key] if key in by_key else self.column_of(key)
                if name is None:
                    if key not in roots:
                        members.unknown.setdefault(number, {})[key] = value
                    elif self._rescues:
                        left = [(path_text(("$", *way)), one) for way, one in self._left.of_member(key, value)]
                        members.unpicked.setdefault(number, []).extend(left)
                elif name in filled:
                    members.collisions.append((number, key, name))
                else:
                    filled.add(name)
                    values[name][number] = value
                    if key != name:
                        keys.setdefault(name, [None] * count)[number] = key
        for name, path in self._paths.items():
            if not path.each:
                values[name], members.misplaced[name] = follow(objects, path.steps)
        return members

    def rows(self, members: Members, elements: Sequence[list[JsonValue]], kept: Sequence[int]) -> Iterator[Rows]:
        """The rows of the objects that are kept, in slices of bounded size."""
        if self.explode is None:
            yield Rows(kept)
            return
        of: list[int] = []
        items: list[JsonValue] = []
        numbers: list[int | None] = []
        repeated_bytes = 0
        for one in kept:
            found = elements[one]
            weight = self.weight(members, one) if len(found) > 1 else 0
            for number, item in enumerate(found) if found else ((None, None),):
                of.append(one)
                items.append(item)
                numbers.append(number)
                repeated_bytes += weight
                if len(of) >= _ROWS_AT_ONCE or repeated_bytes >= _REPEATED_BYTES_AT_ONCE:
                    yield Rows(of, items, numbers, repeated_bytes)
                    of, items, numbers, repeated_bytes = [], [], [], 0
        if of:
            yield Rows(of, items, numbers, repeated_bytes)

    def weight(self, members: Members, number: int) -> int:
        """About how many bytes of an object every row made of it repeats."""
        values = (*(column[number] for column in members.values.values()), *(v for _, v in members.beside(number)))
        return sum(len(v) if isinstance(v, str) else len(written(v)) for v in values if v is not None)

    def cells(self, members: Members, rows: Rows) -> dict[str, Cells]:
        """The cells of every column in some rows."""
        cells: dict[str, Cells] = {}
        for name, taker_of_column in self._takers.items():
            path = self._paths.get(name)
            misplaced: Mapping[int, Misplaced]
            if path is not None and path.each:
                values, misplaced = self._of_elements(path, rows)
            else:
                every = members.values[name]
                values = every if len(rows.of) == len(every) and rows.elements is None else [every[i] for i in rows.of]
                wrong = members.misplaced.get(name)
                misplaced = {row: wrong[i] for row, i in enumerate(rows.of) if i in wrong} if wrong else {}
            cells[name] = taker_of_column(values)
            if misplaced:
                cells[name].inside = [*cells[name].inside, *_breaches(name, str(self._types[name]), misplaced)]
        return cells

    def rescued(self, members: Members, rows: Rows) -> Rescued | None:
        """What some rows have beside the columns, where the contract keeps it; None where that is nothing."""
        by_name: dict[str, list[tuple[int, JsonValue]]] = {}
        if self._rescues:
            for row, number in enumerate(rows.of):
                for name, value in members.beside(number):
                    by_name.setdefault(name, []).append((row, value))
            if self.explode is not None and rows.elements is not None:
                for row, element in enumerate(rows.elements):
                    for way, value in self._left_in_elements.of_root(element):
                        name = str(JsonPath(self.explode.steps, each=True, inner=way))
                        by_name.setdefault(name, []).append((row, value))
        if not by_name:
            return None
        rescued = Rescued(len(rows.of))
        for name, values in by_name.items():
            rescued.add(name, None, NEW_COLUMN, ((row, written(value)) for row, value in values))
        return rescued

    def _of_elements(self, path: JsonPath, rows: Rows) -> tuple[list[JsonValue], dict[int, Misplaced]]:
        if rows.elements is None or rows.numbers is None:
            return [None] * len(rows.of), {}
        if path.number:
            return [None if number is None else Number(str(number)) for number in rows.numbers], {}
        values, misplaced = follow(rows.elements, path.inner)
        return values, {
            row: Misplaced((*path.steps, rows.numbers[row] or 0, *wrong.steps), wrong.value, wrong.wanted)
            for row, wrong in misplaced.items()
        }

    # ---- limits ---------------------------------------------------------------------------------------------------

    def large_cell(
        self, one: Mapping[str, JsonValue], elements: Sequence[JsonValue]
    ) -> tuple[tuple[Step, ...], str, int] | None:
        """The way to a cell of more than `limits.cell_bytes`, its column (or key) and size; in a nested column every leaf is a cell."""
        limit = self._limits.cell_bytes
        for key, value in one.items():
            name = self.column_of(key)
            if name is None and key in self._roots:
                for way, left in self._left.of_member(key, value) if self._rescues else ():
                    if (size := _size(left)) > limit:
                        return way, path_text(("$", *way)), size
                continue
            size = _size(value) if name is None else oversized(self._types[name], value, limit) or 0
            if size > limit:
                return (key,), name or key, size
        for name, path in self._paths.items():
            steps = path.inner if path.each else path.steps
            for number, whole in enumerate(elements if path.each else (one,)):
                value = _value_at(whole, steps)
                if value is not None and (size := oversized(self._types[name], value, limit)) is not None:
                    return (*path.steps, number, *path.inner) if path.each else path.steps, name, size
        if self._rescues and self.explode is not None:
            for number, element in enumerate(elements):
                for way, left in self._left_in_elements.of_root(element):
                    if (size := _size(left)) > limit:
                        whole = (*self.explode.steps, number, *way)
                        return whole, path_text(("$", *whole)), size
        return None


def _size(value: JsonValue) -> int:
    return len(value.encode() if isinstance(value, str) else written(value))


def _value_at(value: JsonValue, steps: Sequence[Step]) -> JsonValue:
    """What lies behind some steps; null where there is nothing."""
    for step in steps:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and step < len(value) else None
    return value


def follow(values: Sequence[JsonValue], steps: Sequence[Step]) -> tuple[list[JsonValue], dict[int, Misplaced]]:
    """What lies behind some steps of each value; null where a step finds nothing. Values that a step cannot go through are misplaced."""
    found = list(values)
    misplaced: dict[int, Misplaced] = {}
    for depth, step in enumerate(steps):
        kind = dict if isinstance(step, str) else list
        if not set(map(type, found)) <= {kind, type(None)}:
            here = tuple(steps[:depth])
            word = "an object" if kind is dict else "an array"
            for number, value in enumerate(found):
                if value is not None and type(value) is not kind:
                    misplaced[number] = Misplaced(here, value, word)
                    found[number] = None
        if isinstance(step, str):
            found = [None if value is None else value.get(step) for value in found]
        else:
            found = [value[step] if value is not None and step < len(value) else None for value in found]
    return found, misplaced


def _breaches(column: str, wanted: str, misplaced: Mapping[int, Misplaced]) -> Iterator[InnerBreach]:
    """Values on the way to a column, by the step that they stop."""
    by_depth: dict[int, list[int]] = {}
    for row, wrong in misplaced.items():
        by_depth.setdefault(len(wrong.steps), []).append(row)
    for rows in by_depth.values():
        yield InnerBreach(
            rule=Rule.TYPE,
            label=column,
            rows=np.array(sorted(rows), np.int64),
            wanted=wanted,
            expected=misplaced[min(rows)].expected,
            detail=None,
            found=lambda row: written(misplaced[row].value),
            path=lambda row: misplaced[row].steps,
            each=lambda rows=rows: ((row, misplaced[row].steps, written(misplaced[row].value)) for row in rows),
            on_the_way=True,
        )
