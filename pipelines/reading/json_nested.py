"""From JSON values to the cells of a nested column: Arrow's structs, lists and maps, built a level at a time.

Each level takes all values of its place in a block at once and hands the values inside to the level below, so that leaves are
converted in bulk as other columns are (`json_cells.py`, `conversion.py`). A value of another kind than its place in the type is a breach
of that place; its row, and the path to it (`labels[3].color`), are worked out from the offsets of the levels above, when asked for.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
import pyarrow as pa

from pipelines.contracts.json_paths import Step, path_text
from pipelines.contracts.model import Column
from pipelines.contracts.nested_types import ArrayType, DataType, MapType, ScalarType, StructType
from pipelines.contracts.schema import arrow_type_of
from pipelines.reading.conversion import Converter
from pipelines.reading.csv_blocks import Positions
from pipelines.reading.headers import normalised
from pipelines.reading.json_cells import taker
from pipelines.reading.json_objects import JsonValue, written
from pipelines.reading.row_blocks import Cells, InnerBreach
from pipelines.reading.values import Misfit, describe
from pipelines.reading.violations import Rule

__all__ = ["nested_taker", "oversized"]

_MAX_SHAPES = 4_096
"""Sets of keys of one struct that are remembered; a hostile file has a new one in each object."""
_LEAVES_AT_ONCE = 32_768
"""Leaves that are converted at once; one record may hold millions."""
_MAX_UNKNOWN = 100
"""Unknown members of one struct that are told apart in one block."""


def nested_taker(name: str, column: Column) -> Callable[[list[JsonValue]], Cells]:
    """From the JSON values of a nested column to its cells; see `Cells.inside` for what is wrong inside them."""
    root = _level(column.data_type, column)

    def take(values: list[JsonValue]) -> Cells:
        found = {row: written(v) for row, v in enumerate(values) if v is not None and type(v) is not root.kind}
        if found:
            values = [None if row in found else value for row, value in enumerate(values)]
        inside: list[InnerBreach] = []
        cells = root.take(values, _Place(name, name), inside)
        return Cells(cells, cells, np.array(list(found), np.int64), found, written=found.__getitem__, inside=inside)

    return take


def oversized(kind: DataType, value: JsonValue, limit: int) -> int | None:
    """The size of a leaf (or of a map's key) of more than `limit` bytes, if there is one. Values of another kind have none."""
    match kind:
        case StructType(members):
            inner = {normalised(name): member for name, member in members}
            pairs = [(inner.get(normalised(k), kind), v) for k, v in value.items()] if isinstance(value, dict) else []
        case ArrayType(element):
            pairs = [(element, item) for item in value] if isinstance(value, list) else []
        case MapType(inside):
            if not isinstance(value, dict):
                return None
            longest = max((len(key.encode()) for key in value), default=0)
            if longest > limit:
                return longest
            pairs = [(inside, item) for item in value.values()]
        case ScalarType():
            size = len(value.encode() if isinstance(value, str) else written(value))
            return size if size > limit else None
    return next((size for k, v in pairs if k is not kind and (size := oversized(k, v, limit)) is not None), None)


class _Place:
    """Where the values of one level stand: each at a position, numbered through the block. This one: the rows' own cells."""

    def __init__(self, column: str, label: str, above: "_Place | None" = None) -> None:
        """`label` names the place without the positions in arrays: `labels.color`."""
        self.column = column
        self.label = label
        self.above = above

    def up(self, positions: Positions) -> Positions:
        """The positions in the level above in which these stand."""
        return positions

    def step(self, position: int) -> tuple[Step, ...]:
        """The step from the level above to a value."""
        del position
        return ()

    def rows(self, positions: Positions) -> Positions:
        """The rows of the block in which these stand."""
        place: _Place | None = self
        while place is not None:
            positions, place = place.up(positions), place.above
        return positions

    def path(self, position: int) -> tuple[Step, ...]:
        """The steps from the row's cell to a value."""
        steps: list[tuple[Step, ...]] = []
        place: _Place | None = self
        while place is not None:
            steps.append(place.step(position))
            position = int(place.up(np.array([position], np.int64))[0])
            place = place.above
        return tuple(chain.from_iterable(reversed(steps)))


class _Member(_Place):
    """The members of one name; `keys` tells the key that an object has for it."""

    def __init__(self, above: _Place, name: str, key: Callable[[int], str]) -> None:
        super().__init__(above.column, f"{above.label}.{name}", above)
        self._key = key

    def step(self, position: int) -> tuple[Step, ...]:
        return (self._key(position),)


class _Items(_Place):
    """The elements of arrays, or with `keys` the values of maps."""

    def __init__(self, above: _Place, offsets: Positions, keys: list[str] | None = None) -> None:
        super().__init__(above.column, above.label, above)
        self._offsets = offsets
        self._keys = keys

    def up(self, positions: Positions) -> Positions:
        return np.searchsorted(self._offsets, positions, side="right") - 1

    def step(self, position: int) -> tuple[Step, ...]:
        if self._keys is not None:
            return (self._keys[position],)
        return (position - int(self._offsets[self.up(np.array([position]))[0]]),)


class _Level(Protocol):
    """One level of a type: `kind` is the Python type of its values (`object` for a leaf, which looks for itself)."""

    kind: type
    wanted: DataType

    def take(self, values: list[JsonValue], place: _Place, inside: list[InnerBreach]) -> pa.Array:
        """All values of the level in a block, each of `kind` or None, as one array; breaches are added to `inside`."""
        ...


def _level(kind: DataType, column: Column) -> _Level:
    match kind:
        case StructType():
            return _Struct(kind, column)
        case ArrayType():
            return _Array(kind, column)
        case MapType():
            return _Map(kind, column)
        case ScalarType():
            return _Leaf(kind, column)


def _breach(
    rule: Rule,
    place: _Place,
    positions: Positions,
    found: Callable[[int], str],
    expected: str,
    *,
    wanted: DataType | None = None,
    as_json: Callable[[int], str] | None = None,
    detail: str | None = None,
    keys: Sequence[str] | None = None,
) -> InnerBreach:
    """A breach by values at these positions, in rising order.

    `found` takes an index of them, as does `as_json` where `found` is not JSON already. With `keys`, it is by those members.
    """
    every = place.rows(positions)
    firsts = np.flatnonzero(np.concatenate(([True], every[1:] != every[:-1])))
    rows = every[firsts]

    def path(index: int) -> tuple[Step, ...]:
        return (*place.path(int(positions[index])), *(() if keys is None else (keys[index],)))

    def index(row: int) -> int:
        return int(firsts[np.searchsorted(rows, row)])

    def each() -> Iterator[tuple[int, tuple[Step, ...], str]]:
        for number, row in enumerate(every.tolist()):
            yield row, path(number), (as_json or found)(number)

    here = path_text((place.column, *place.path(int(positions[firsts[0]]))))
    return InnerBreach(
        rule=rule,
        label=place.label if keys is None else f"{place.label}.{keys[0]}",
        rows=rows,
        wanted=None if wanted is None else str(wanted),
        expected=f"{expected} at {here}",
        detail=detail,
        found=lambda row: found(index(row)),
        path=lambda row: path(index(row)),
        each=each,
    )


def _only(level: _Level, values: list[JsonValue], place: _Place, inside: list[InnerBreach]) -> list[JsonValue]:
    """The values of the level's kind; others are breaches and become None."""
    if level.kind is object or {level.kind, type(None)}.issuperset(map(type, values)):
        return values
    kinds = (level.kind, type(None))
    wrong = np.flatnonzero(np.fromiter((kind not in kinds for kind in map(type, values)), np.bool_, len(values)))
    expected = "an array" if level.kind is list else "an object"
    inside.append(
        _breach(Rule.TYPE, place, wrong, lambda index: written(values[wrong[index]]), expected, wanted=level.wanted)
    )
    return [value if type(value) is level.kind else None for value in values]


class _Leaf:
    kind: type = object

    def __init__(self, kind: ScalarType, column: Column) -> None:
        self.wanted: DataType = kind
        leaf = Column.model_validate({"type": kind.text, "format": column.format, "zone": column.zone})
        self._take = taker(leaf)
        self._converter = Converter(leaf)
        self._expected = describe(leaf)

    def take(self, values: list[JsonValue], place: _Place, inside: list[InnerBreach]) -> pa.Array:
        # By what is wrong; a value of another JSON kind (no misfit) is told as JSON, one of the right kind as its text.
        wrong: dict[Misfit | None, list[Positions]] = {}
        arrays: list[pa.Array] = []
        for start in range(0, max(len(values), 1), _LEAVES_AT_ONCE):
            cells = self._take(values[start : start + _LEAVES_AT_ONCE])
            if len(cells.misfits):
                wrong.setdefault(None, []).append(start + cells.misfits)
            if cells.values is not None:
                arrays.append(cells.values)
                continue
            converted = self._converter.convert(cells.texts)
            arrays.append(converted.values)
            for misfit, positions in converted.misfits.by_kind.items():
                wrong.setdefault(misfit, []).append(start + np.array(positions, np.int64))
        inside += [self._breach(values, misfit, np.concatenate(parts), place) for misfit, parts in wrong.items()]
        return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)

    def _breach(self, values: list[JsonValue], misfit: Misfit | None, wrong: Positions, place: _Place) -> InnerBreach:
        def as_json(index: int) -> str:
            return written(values[wrong[index]])

        rule, found, detail = (
            (Rule.TYPE, as_json, None)
            if misfit is None
            else (misfit.rule, lambda index: str(values[wrong[index]]), misfit.reason)
        )
        return _breach(rule, place, wrong, found, self._expected, wanted=self.wanted, as_json=as_json, detail=detail)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a set of keys means: the key of each member that has one, keys that mean no member, keys that mean one twice."""

    keys: tuple[str | None, ...]
    unknown: tuple[str, ...]
    twice: tuple[tuple[str, str], ...]


class _Struct:
    kind: type = dict

    def __init__(self, kind: StructType, column: Column) -> None:
        self.wanted: DataType = kind
        self._names = [name for name, _ in kind.members]
        self._levels = [_level(member, column) for _, member in kind.members]
        self._numbers = {name: number for number, name in enumerate(self._names)}
        self._loose = {normalised(name): number for number, name in enumerate(self._names)}
        self._fields = [pa.field(name, arrow_type_of(member)) for name, member in kind.members]
        self._shapes: dict[tuple[str, ...], _Shape] = {}

    def _shape(self, keys: tuple[str, ...]) -> _Shape:
        shape = self._shapes.get(keys)
        if shape is None:
            numbers = {key: self._numbers[key] for key in keys if key in self._numbers}
            loose = {
                key: n for key in keys if key not in numbers and (n := self._loose.get(normalised(key))) is not None
            }
            found: list[str | None] = [None] * len(self._names)
            twice: list[tuple[str, str]] = []
            for key, number in (*numbers.items(), *loose.items()):
                if found[number] is None:
                    found[number] = key
                else:
                    twice.append((key, self._names[number]))
            unknown = tuple(key for key in keys if key not in numbers and key not in loose)
            shape = _Shape(tuple(found), unknown, tuple(twice))
            if len(self._shapes) < _MAX_SHAPES:
                self._shapes[keys] = shape
        return shape

    def take(self, values: list[JsonValue], place: _Place, inside: list[InnerBreach]) -> pa.Array:
        has_null = None in values
        objects = [value for value in values if value is not None] if has_null else values
        shapes = {keys: self._shape(keys) for keys in set(map(tuple, objects))}
        if any(shape.unknown or shape.twice for shape in shapes.values()):
            self._faults(values, shapes, place, inside)
        in_order = _columns_of(objects, shapes) if not has_null else {}
        arrays: list[pa.Array] = []
        for number, (name, level) in enumerate(zip(self._names, self._levels, strict=True)):
            spelled = {key for shape in shapes.values() if (key := shape.keys[number]) is not None}
            if len(spelled) <= 1:
                (key,) = spelled or {name}
                inner = in_order.get(key) or [None if v is None else v.get(key) for v in values]
                here = _Member(place, name, lambda _, key=key: key)
            else:
                keys = [None if v is None else shapes[tuple(v)].keys[number] for v in values]
                inner = [None if k is None else v[k] for v, k in zip(values, keys, strict=True)]
                here = _Member(place, name, lambda at, keys=keys, name=name: keys[at] or name)
            inner = _only(level, inner, here, inside)
            arrays.append(level.take(inner, here, inside))
        mask = pa.array([value is None for value in values], pa.bool_()) if has_null else None
        return pa.StructArray.from_arrays(arrays, fields=self._fields, mask=mask)

    def _faults(
        self,
        values: list[JsonValue],
        shapes: dict[tuple[str, ...], _Shape],
        place: _Place,
        inside: list[InnerBreach],
    ) -> None:
        unknown: dict[str | None, tuple[list[int], list[str]]] = {}
        twice: dict[str, tuple[list[int], list[str]]] = {}
        for at, value in enumerate(values):
            if value is None:
                continue
            shape = shapes[tuple(value)]
            for key in shape.unknown:
                ats, keys = unknown.setdefault(key if key in unknown or len(unknown) < _MAX_UNKNOWN else None, ([], []))
                ats.append(at)
                keys.append(key)
            for key, name in shape.twice:
                ats, keys = twice.setdefault(name, ([], []))
                ats.append(at)
                keys.append(key)
        for ats, keys in unknown.values():
            inside.append(
                _breach(
                    Rule.COLUMN_UNEXPECTED,
                    place,
                    np.array(ats, np.int64),
                    lambda index, ats=ats, keys=keys: written(values[ats[index]][keys[index]]),
                    "only members that the contract knows",
                    keys=keys,
                )
            )
        for name, (ats, keys) in twice.items():
            expected = f"one key only that means the member {name}"
            inside.append(
                _breach(Rule.JSON_DUPLICATE_KEY, place, np.array(ats, np.int64), keys.__getitem__, expected, keys=keys)
            )


def _columns_of(objects: list[JsonValue], shapes: Collection[tuple[str, ...]]) -> dict[str, list[JsonValue]]:
    """The members of objects by key, where all have the same keys in the same order: that is the quickest way to them."""
    if len(shapes) != 1:
        return {}
    (keys,) = shapes
    return dict(zip(keys, map(list, zip(*(one.values() for one in objects), strict=True)), strict=True))


class _Array:
    kind: type = list

    def __init__(self, kind: ArrayType, column: Column) -> None:
        self.wanted: DataType = kind
        self._element = _level(kind.element, column)
        self._arrow = arrow_type_of(kind)

    def take(self, values: list[JsonValue], place: _Place, inside: list[InnerBreach]) -> pa.Array:
        offsets, mask = _offsets(values)
        inner = list(chain.from_iterable(value for value in values if value))
        here = _Items(place, offsets)
        inner = _only(self._element, inner, here, inside)
        elements = self._element.take(inner, here, inside)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), elements, type=self._arrow, mask=mask)


class _Map:
    kind: type = dict

    def __init__(self, kind: MapType, column: Column) -> None:
        self.wanted: DataType = kind
        self._value = _level(kind.value, column)
        self._arrow = arrow_type_of(kind)

    def take(self, values: list[JsonValue], place: _Place, inside: list[InnerBreach]) -> pa.Array:
        offsets, mask = _offsets(values)
        keys: list[str] = list(chain.from_iterable(value for value in values if value))
        inner = list(chain.from_iterable(value.values() for value in values if value))
        here = _Items(place, offsets, keys)
        inner = _only(self._value, inner, here, inside)
        items = self._value.take(inner, here, inside)
        return pa.MapArray.from_arrays(
            pa.array(offsets, pa.int32()), pa.array(keys, pa.string()), items, type=self._arrow, mask=mask
        )


def _offsets(values: list[JsonValue]) -> tuple[Positions, pa.Array | None]:
    """Where each value's items begin, and behind the last the end; and which values are null."""
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum([len(value) if value else 0 for value in values], out=offsets[1:])
    mask = pa.array([value is None for value in values], pa.bool_()) if None in values else None
    return offsets, mask
