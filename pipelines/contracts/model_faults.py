"""From YAML data to the model, with every fault of shape: unknown keys, missing ones, values of the wrong kind.

pydantic stops at what it cannot read. So that all faults are listed at once, refused keys are set aside (or get a stand-in
where one is required) and the rest is read again; `unsound` says what was set aside, so that later checks are silent about it.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipelines.contracts.columns import Reference
from pipelines.contracts.compaction import Compaction
from pipelines.contracts.faults import KeyPath, Problem, closest, show
from pipelines.contracts.model import (
    Column,
    CsvFormat,
    Dataset,
    JsonFormat,
    Landing,
    LimitOverrides,
    RowCount,
    RowPolicy,
    RowRule,
    SchemaPolicy,
)
from pipelines.contracts.nested_types import NestedTypeError, parse_type
from pipelines.contracts.values import ColumnType
from pipelines.contracts.watching import Checks, Freshness, NullShareCheck, SchemaDriftCheck, VolumeCheck
from pipelines.contracts.work import Deferral, Work

__all__ = ["ModelReading", "keys_of", "read_model"]


@dataclass(frozen=True, slots=True)
class ModelReading:
    """The dataset as far as it could be read (None when it is no mapping), and what was wrong with the rest."""

    dataset: Dataset | None
    problems: tuple[Problem, ...]
    unsound: frozenset[KeyPath]


# Where each model stands in the document; `*` is any column, `0` any list item.
_MODELS: dict[tuple[str, ...], tuple[type[BaseModel], ...]] = {
    (): (Dataset,),
    ("landing",): (Landing,),
    ("format",): (CsvFormat, JsonFormat),
    ("columns", "*"): (Column,),
    ("columns", "*", "references"): (Reference,),
    ("schema",): (SchemaPolicy,),
    ("rows",): (RowPolicy,),
    ("rows", "count"): (RowCount,),
    ("rules", "0"): (RowRule,),
    ("freshness",): (Freshness,),
    ("work",): (Work,),
    ("work", "defer"): (Deferral,),
    ("checks",): (Checks,),
    ("checks", "volume"): (VolumeCheck,),
    ("checks", "null_share"): (NullShareCheck,),
    ("checks", "schema_drift"): (SchemaDriftCheck,),
    ("compaction",): (Compaction,),
    ("limits",): (LimitOverrides,),
}
# Their keys are words of their own: a key that stands elsewhere was hardly meant for them.
_INNER = frozenset(
    {
        ("columns", "*", "references"),
        ("rows", "count"),
        ("rules", "0"),
        *(("checks", name) for name in Checks.model_fields),
    }
)
_STAND_INS: dict[tuple[str, ...], Any] = {
    ("name",): "unnamed",
    ("description",): "-",
    ("landing",): {"key": "landing/unnamed/*", "start": "2000-01-01"},
    ("landing", "key"): "landing/unnamed/*",
    ("landing", "start"): "2000-01-01",
    ("format",): {"type": "csv"},
    ("format", "type"): "csv",
    ("columns",): {"unnamed": {"type": "string"}},
    ("columns", "*"): {"type": "string"},
    ("columns", "*", "type"): "string",
    ("columns", "*", "references", "dataset"): "unnamed",
    ("columns", "*", "references", "column"): "unnamed",
    ("rules", "0", "rule"): "unnamed is null",
}
_TYPES = "string, boolean, int, bigint, float, double, decimal(p,s), date, timestamp, json, struct<…>, array<…> or map<string, …>"
_TYPE_SYNONYMS = {
    "integer": "int", "smallint": "int", "int32": "int", "long": "bigint", "int64": "bigint", "real": "float",
    "float32": "float", "float64": "double", "number": "double, or decimal(18,2) for money", "numeric": "decimal(18,2)", "decimal": "decimal(18,2)",
    "money": "decimal(18,2)", "text": "string", "varchar": "string", "str": "string", "char": "string", "bool": "boolean",
    "datetime": "timestamp", "timestamptz": "timestamp", "time": "timestamp", "object": "json, or struct<name: type, …>",
    "struct": "struct<name: type, …>", "array": "array<type>", "list": "array<type>", "map": "map<string, type>", "dict": "map<string, type>",
}  # fmt: skip
# What a value should have been and what to do, where pydantic's words would not help: by place.
_WORDS: dict[tuple[str, ...], tuple[str, str]] = {
    ("name",): ("a name of a-z, 0-9 and _ that starts with a letter, at most 100 long", "correct the name, and the file's name with it"),
    ("group",): ("a name of a-z, 0-9 and _ that starts with a letter", "correct it"),
    ("description",): ("one sentence, as text", "write description: what a row is, for the people who read the catalogue"),
    ("landing", "start"): ("a date written YYYY-MM-DD", "write for example 2013-01-01"),
    ("landing",): ("a mapping with key and start", 'write landing: {key: "landing/orders/*.csv", start: 2024-01-01}'),
    ("format",): ("a mapping with type", "write format: {type: csv}"),
    ("format", "type"): ("csv, tsv, json or jsonl", "write the type of the files"),
    ("format", "delimiter"): ("one character, or auto", 'write ",", ";", "|" or "\\t"'),
    ("columns",): ("a mapping of columns", "list at least one: columns: {order_id: {type: bigint}}"),
    ("columns", "*"): ("a mapping with type", "write it as {type: string}"),
    ("columns", "*", "type"): (_TYPES, "write one of these types"),
    ("columns", "*", "format"): ("iso8601, epoch_s, epoch_ms, a strptime pattern, or a list of them", "put the pattern in quotes"),
    ("columns", "*", "references"): ("dataset.column, or a mapping with dataset and column", "write for example references: airlines.carrier"),
    ("columns", "*", "references", "dataset"): ("a dataset's name", "write for example dataset: airlines"),
    ("columns", "*", "references", "column"): ("a column's name", "write for example column: carrier"),
    ("columns", "*", "from"): ("key", "write from: key, or remove it: a column comes from the file by itself"),
    ("partition_by", "0"): ("col, day(col), month(col) or bucket(n, col)", "write for example day(time_hour)"),
    ("expectations", "0"): ("one `expect_…: {arguments}` and an optional severity", "write - {expect_column_values_to_not_be_null: {column: a}, severity: warn}"),
    ("rows", "count"): ("a number of rows, or a mapping with min and max", "write 24 or {min: 1, max: 100000}"),
    ("unique", "0"): ("a list of columns", "write unique: [[ticket], [store, receipt]]"),
    ("rules", "0"): ("a rule as text, or a mapping with rule", "write - total = net + tax"),
    ("rules", "0", "rule"): ("a condition, as text", "write rule: total = net + tax"),
    ("rows", "max_bad"): ("a number of rows or a share", 'write 10 or "0.1%"'),
    ("work", "priority"): ("a whole number from -4 to 4", "write for example 2"),
    ("work", "defer"): ("a mapping with hours, and larger_than_bytes or older_than", 'write defer: {older_than: P7D, hours: "20:00-06:00"}'),
    ("work", "defer", "hours"): ("two times of day, HH:MM-HH:MM, as text", 'write for example "20:00-06:00"'),
    ("work", "defer", "larger_than_bytes"): ("a number of bytes above zero", "write 1000000000, which is 1 GB"),
    ("freshness", "due_by"): ("a time of day, HH:MM, as text", 'write it in quotes: "08:00"'),
    ("freshness", "weekdays"): ("a list of mon, tue, wed, thu, fri, sat, sun", "write for example [mon, tue, wed, thu, fri]"),
    ("compaction",): ("a mapping with target_bytes, sort_by, min_files or settled_after", "write compaction: {sort_by: [customer]}"),
    ("compaction", "target_bytes"): ("a number of bytes from 1048576 to 4294967296", "write 268435456, which is 256 MiB"),
    ("compaction", "settled_after"): ("an ISO 8601 duration, as text", "write for example PT6H"),
    ("checks", "volume", "tolerance"): ("a share above zero, as text", "write for example 50%"),
    ("checks", "null_share", "tolerance"): ("a share above zero, as text", "write for example 10%"),
    ("checks", "volume"): ("a mapping with severity, tolerance or min_days", "write volume: {severity: off}"),
    ("checks", "null_share"): ("a mapping with severity, tolerance or min_days", "write null_share: {severity: off}"),
    ("checks", "schema_drift"): ("a mapping with severity", "write schema_drift: {severity: off}"),
}  # fmt: skip
# How to write a required key that is missing.
_EXAMPLES: dict[tuple[str, ...], str] = {
    ("name",): "name: orders, as the file is called",
    ("description",): "description: what a row is, for the people who read the catalogue",
    ("landing", "key"): 'key: "landing/orders/*.csv"',
    ("landing", "start"): "start: 2024-01-01",
}


def keys_of(place: tuple[str, ...]) -> tuple[str, ...]:
    """The keys allowed at a place of the document, as the YAML spells them."""
    names: dict[str, None] = {}
    for model in _MODELS.get(place, ()):
        names.update({(info.alias or name): None for name, info in model.model_fields.items()})
    return tuple(names)


def read_model(data: Any, unsound: frozenset[KeyPath] = frozenset()) -> ModelReading:
    """Read a dataset from YAML data. `unsound` are paths whose value was refused before."""
    if not isinstance(data, dict):
        return ModelReading(
            None,
            (Problem((), show(data), "a mapping of keys", "start with `name:`; see docs/adding-a-dataset.md"),),
            unsound,
        )
    reading = _Reading(_copy(data), set(unsound))
    dataset = reading.read()
    return ModelReading(dataset, tuple(reading.problems), frozenset(reading.unsound))


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copy(v) for k, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list) else value


class _Reading:
    def __init__(self, data: dict[str, Any], unsound: set[KeyPath]) -> None:
        self._data = data
        self.unsound = unsound
        self.problems: list[Problem] = []

    def read(self) -> Dataset | None:
        self._refuse_long_forms()
        # Each round sets at least one key aside; a stand-in never fails. The bound only guards against our own mistakes.
        for _ in range(50):
            try:
                return Dataset.model_validate(self._data)
            except ValidationError as error:
                before = self._data, len(self.unsound)
                removed: set[KeyPath] = set()
                # Unknown keys first: one that was a slip for a required key explains why that is missing.
                for details in sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden"):
                    self._judge(details)
                    removed.add(self._path(details))
                # From the back, so that the places of list items before them stay what they were.
                for path in sorted(removed, key=_order, reverse=True):
                    self._set_aside(path)
                if before == (self._data, len(self.unsound)) and not removed:
                    return None
        return None

    def _refuse_long_forms(self) -> None:
        """The model also reads its own dumped form; in a file there is one way to write a thing."""
        for key in ("partition_by", "expectations"):
            items: Any = self._data.get(key)
            for index, item in enumerate(items if isinstance(items, list) else []):
                if isinstance(item, dict) and (key == "partition_by" or "name" in item):
                    self._add((key, index), show(item), *_WORDS[(key, "0")])
                    items[index] = _stand_in_item(key, self._data)

    def _add(self, path: KeyPath, found: str, expected: str, remedy: str) -> None:
        if not any(path[: len(bad)] == bad for bad in self.unsound):
            self.problems.append(Problem(path, found, expected, remedy))
        self.unsound.add(path)

    # ---- from pydantic's errors to ours ----

    def _path(self, details: ErrorDetails) -> KeyPath:
        """The error's place in the document: pydantic's own segments (union branches, tags) are left out."""
        value: Any = self._data
        path: list[str | int] = []
        location = details["loc"]
        for index, part in enumerate(location):
            if _holds(value, part):
                path.append(part)
                value = _item(value, part)
            elif details["type"] == "missing" and index == len(location) - 1:
                path.append(part)
        if details["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path.append("type")
        return tuple(path)

    def _value(self, path: KeyPath) -> Any:
        value: Any = self._data
        for part in path:
            if (isinstance(value, dict) and part in value) or (
                isinstance(value, list) and isinstance(part, int) and part < len(value)
            ):
                value = _item(value, part)
            else:
                return None
        return value

    def _judge(self, details: ErrorDetails) -> None:
        path = self._path(details)
        place = _place(path)
        value = self._value(path)
        kind = details["type"]
        if kind == "extra_forbidden":
            self._unknown(path)
        elif kind in ("missing", "union_tag_not_found"):
            expected, remedy = _WORDS.get(place, (f"{path[-1]}: …", f"add {path[-1]}"))
            parent = _place(path[:-1])
            if parent in _MODELS and self._was_meant(path):
                self.unsound.add(path)
                return
            self._add(path, f"no {path[-1]}", expected, f"add it: {_EXAMPLES[place]}" if place in _EXAMPLES else remedy)
        elif place == ("columns", "*", "type") and isinstance(value, str):
            if (fault := _nested_fault(value)) is not None:
                self._add(path, fault.found, fault.expected, fault.remedy)
                return
            plain = value.split("(")[0].strip().lower()
            better = _TYPE_SYNONYMS.get(plain) or closest(value, [kind.value for kind in ColumnType])
            self._add(
                path,
                show(value),
                _TYPES,
                f"did you mean {better}?" if better and better != value else "write one of these types",
            )
        elif kind == "value_error" and place[:2] == ("columns", "*"):
            reason = details["msg"].removeprefix("Value error, ")
            at, bad = self._offender(path, value)
            column_type = self._value((*path[:2], "type"))
            self._add(at, show(bad), f"a value of type {column_type}", reason)
        else:
            found = show(value)
            expected, remedy = _WORDS.get(place) or _words(details)
            if place == ("partition_by", "0") and isinstance(value, str) and value.count("(") != value.count(")"):
                remedy = 'inside [ ] put it in quotes, because of its comma: "bucket(16, column)"'
            self._add(path, found, expected, self._quote(value, details) or remedy)

    def _quote(self, value: Any, details: ErrorDetails) -> str | None:
        if details["type"] == "string_type" and isinstance(value, int | float):
            return f'put it in quotes: "{str(value).lower() if isinstance(value, bool) else value}"'
        return None

    def _offender(self, path: KeyPath, value: Any) -> tuple[KeyPath, Any]:
        """For a list of allowed values: the first one that is not of the type."""
        if path[-1] != "allowed" or not isinstance(value, list):
            return path, value
        column = self._value(path[:2])
        for index, item in enumerate(value):
            try:
                Column.model_validate({"type": column.get("type"), "zone": column.get("zone"), "allowed": [item]})
            except ValidationError:
                return (*path, index), item
        return path, value

    def _unknown(self, path: KeyPath) -> None:
        key = str(path[-1])
        place = _place(path[:-1])
        known = keys_of(place)
        form = self._value(("format", "type"))
        if place == ("format",) and key in CsvFormat.model_fields and form in ("json", "jsonl"):
            self._add(path, f"{key} with type {form}", f"{key} only with csv and tsv", "remove it")
            return
        if place == ("format",) and key in JsonFormat.model_fields and form in ("csv", "tsv"):
            self._add(path, f"{key} with type {form}", f"{key} only with json and jsonl", "remove it")
            return
        elsewhere = [p for p in _MODELS if p not in _INNER and key in keys_of(p)]
        if key.startswith("expect_"):
            remedy = "move it into the list under expectations"
        elif elsewhere:
            remedy = "move it " + (
                f"under {'.'.join(elsewhere[0]).replace('*', '<name>')}" if elsewhere[0] else "to the top level"
            )
        elif near := closest(key, known):
            if near not in self._value(path[:-1]):
                # The user meant that key: don't say that it is missing, or that its default is wrong.
                self.unsound.add((*path[:-1], near))
            remedy = f"did you mean {near}?"
        else:
            remedy = "remove it"
        self._add(path, "an unknown key", "one of " + ", ".join(known), remedy)

    def _was_meant(self, path: KeyPath) -> bool:
        """Whether a key beside the missing one was taken for a slip of it."""
        return path in self.unsound

    # ---- setting aside ----

    def _set_aside(self, path: KeyPath) -> None:
        parent = self._value(path[:-1])
        key = path[-1] if path else None
        self.unsound.add(path)
        if isinstance(parent, list) and isinstance(key, int):
            # A list keeps its length: the places of the other items must not move.
            parent[key] = _stand_in_item(str(path[0]), self._data) if len(path) == 2 else parent[key]
            if len(path) > 2:
                self._set_aside(path[:-1])
        elif isinstance(parent, dict) and isinstance(key, str):
            if (stand_in := _STAND_INS.get(_place(path))) is not None:
                parent[key] = _copy(stand_in)
            else:
                parent.pop(key, None)


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(part, int):
        return isinstance(value, list) and part < len(value)
    return isinstance(value, dict) and part in value


def _item(value: Any, part: str | int) -> Any:
    return value[part]


def _stand_in_item(key: str, data: dict[str, Any]) -> Any:
    columns = data.get("columns")
    first = next(iter(columns), "unnamed") if isinstance(columns, dict) else "unnamed"
    if key == "expectations":
        return {"expect_column_to_exist": {"column": first}}
    return [first] if key == "unique" else "unnamed"


def _place(path: KeyPath) -> tuple[str, ...]:
    """The path with any column as `*` and any list item as `0`."""
    parts = ["0" if isinstance(part, int) else part for part in path]
    if len(parts) > 1 and parts[0] == "columns":
        parts[1] = "*"
    return tuple(parts)


def _nested_fault(text: str) -> NestedTypeError | None:
    """What is wrong with a type that begins as a nested one."""
    if not text.lower().startswith(("struct", "array", "map")) or "<" not in text:
        return None
    try:
        parse_type(text)
    except NestedTypeError as fault:
        return fault
    return None


def _order(path: KeyPath) -> tuple[str, ...]:
    return tuple(f"{part:09d}" if isinstance(part, int) else part for part in path)


def _words(details: ErrorDetails) -> tuple[str, str]:
    """Expected and remedy from the kind of pydantic's error."""
    context = details.get("ctx", {})
    match details["type"]:
        case "string_type":
            return "text", "write text, in quotes where YAML could take it for something else"
        case "bool_type":
            return "true or false", "write true or false, without quotes"
        case "int_type" | "int_parsing" | "int_from_float":
            return "a whole number", "write a whole number, without quotes"
        case "greater_than":
            return f"a number above {context.get('gt')}", "write a larger number"
        case "greater_than_equal":
            return f"a number of at least {context.get('ge')}", "write a larger number"
        case "literal_error" | "enum":
            choices = str(context.get("expected", "")).replace("'", "")
            value = details.get("input")
            near = closest(value, choices.replace(" or ", ", ").split(", ")) if isinstance(value, str) else None
            return choices, f"did you mean {near}?" if near else "write one of these"
        case "tuple_type" | "list_type":
            return "a list", "put it in brackets: [first, second]"
        case "too_short":
            return "at least one item", "add one, or remove the key"
        case "string_too_long" | "string_too_short":
            return f"{context.get('min_length') or context.get('max_length')} character", "correct it"
        case "dict_type" | "model_type" | "model_attributes_type":
            return "a mapping of keys", "write keys below it, or in braces: {key: value}"
        case _:
            return details["msg"].removeprefix("Value error, "), "correct it"
