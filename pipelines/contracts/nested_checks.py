"""What can be wrong with nested columns and paths, which are for JSON files alone. Part of `checks.py`."""

from collections.abc import Iterator

from pipelines.contracts.faults import KeyPath, Problem, Sound, show
from pipelines.contracts.json_paths import JsonPath, PathError, parse_path
from pipelines.contracts.model import Column, CsvFormat, Dataset, JsonFormat
from pipelines.contracts.nested_types import NESTED
from pipelines.contracts.values import ColumnType

__all__ = ["check_nested"]

_BY_NAME = ("source", "aliases")
_NUMBERS = frozenset({ColumnType.INT, ColumnType.BIGINT})


def check_nested(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    """The problems of nested types, of `format.records` and `format.explode`, and of columns' paths."""
    if isinstance(dataset.format, CsvFormat):
        if sound("format", "type"):
            yield from _in_csv(dataset, sound)
        return
    yield from _array(dataset.format.records, ("format", "records"), sound)
    yield from _array(dataset.format.explode, ("format", "explode"), sound)
    for name, column in dataset.columns.items():
        if column.path is not None and column.from_ is None and sound("columns", name, "path"):
            yield from _path(dataset.format, sound, ("columns", name), column, column.path)


def _in_csv(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    form = dataset.format.type
    for name, column in dataset.columns.items():
        here = ("columns", name)
        if column.from_ is not None:
            continue
        if column.kind in NESTED and sound(*here, "type"):
            yield Problem(
                (*here, "type"),
                f"{column.type} with format {form}",
                "a nested type only with json and jsonl",
                "make the column json, which keeps JSON text of a CSV cell as it is",
            )
        if column.path is not None and sound(*here, "path"):
            remedy = "name the file's column in source" if column.source is None else "remove it"
            yield Problem((*here, "path"), f"path with format {form}", "path only with json and jsonl", remedy)


def _array(text: str | None, here: KeyPath, sound: Sound) -> Iterator[Problem]:
    """A path to an array whose elements are taken one by one."""
    if text is None or not sound(*here):
        return
    key = here[-1]
    example = {"records": "$.Records[*]", "explode": "$.items[*]"}[str(key)]
    try:
        path = parse_path(text)
    except PathError as fault:
        yield Problem(here, fault.found, fault.expected, fault.remedy)
        return
    if not path.each or path.inner or path.number:
        yield Problem(here, show(text), "a path that ends in [*]", f'write "{_with_each(path)}"')
    elif not path.steps:
        remedy = "remove it: that is where records are" if key == "records" else f'write "{example}"'
        yield Problem(here, show(text), f"a path to an array inside, such as {example}", remedy)
    elif any(isinstance(step, int) for step in path.steps):
        yield Problem(
            here, show(text), f"a path of keys, such as {example}", "leave [0] out: it names a single element"
        )


def _with_each(path: JsonPath) -> str:
    return str(JsonPath(path.steps, each=True)) if path.steps else "$.items[*]"


def _path(form: JsonFormat, sound: Sound, here: KeyPath, column: Column, text: str) -> Iterator[Problem]:
    place = (*here, "path")
    try:
        path = parse_path(text)
    except PathError as fault:
        yield Problem(place, fault.found, fault.expected, fault.remedy)
        return
    if not path.steps or isinstance(path.steps[0], int):
        yield Problem(
            place, show(text), "a path that starts with a key: a record is an object", "write for example $.actor.login"
        )
        return
    for key in _BY_NAME:
        if key in column.model_fields_set and sound(*here, key):
            yield Problem((*here, key), f"{key} beside path", "path alone: it says where the value stands", "remove it")
    if path.each and sound("format", "explode"):
        yield from _through_explode(form, place, text, path)
    if path.number and column.kind not in _NUMBERS and sound(*here, "type"):
        yield Problem(
            (*here, "type"), f"{column.type} for the number of an element", "int or bigint", "write type: int"
        )


def _through_explode(form: JsonFormat, place: KeyPath, text: str, path: JsonPath) -> Iterator[Problem]:
    through = str(JsonPath(path.steps, each=True))
    if form.explode is None:
        yield Problem(
            place,
            show(text),
            "a path to one value of a record",
            f'add explode: "{through}" to format for a row for each element, write [0] for the first, or take the '
            "array as a column of type array<…>",
        )
        return
    try:
        exploded = form.explode_path
    except PathError:
        return
    if exploded is not None and exploded.steps != path.steps:
        yield Problem(
            place,
            show(text),
            f"a path through the exploded array {exploded}, or one without [*]",
            "correct it, or take the array as a column of type array<…>",
        )
