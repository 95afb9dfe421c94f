"""What can be wrong with columns: names, rules that do not fit the type, ways to write a time. Part of `checks.py`."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

from pipelines.contracts.expectations import re2_fault
from pipelines.contracts.faults import KeyPath, Problem, Sound, closest, show
from pipelines.contracts.model import NAME_PATTERN, Column, Dataset
from pipelines.contracts.names import MAX_COLUMN_NAME, plain_name
from pipelines.contracts.nested_types import NESTED, scalars
from pipelines.contracts.values import STRPTIME_DIRECTIVES, ColumnType, decimal_digits, find_zone, strptime_directives
from pipelines.reading.headers import normalised

__all__ = ["MAX_COLUMN_NAME", "check_columns"]

_TIMES = frozenset({ColumnType.DATE, ColumnType.TIMESTAMP})
_ORDERED = frozenset(
    {
        ColumnType.INT,
        ColumnType.BIGINT,
        ColumnType.FLOAT,
        ColumnType.DOUBLE,
        ColumnType.DECIMAL,
        ColumnType.DATE,
        ColumnType.TIMESTAMP,
    }
)
_OF_THE_FILE = ("source", "path", "aliases", "null_values", "format", "true_values", "false_values")


def check_columns(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    """The problems of each column, and of the names that columns have in files."""
    for name, column in dataset.columns.items():
        yield from _column_name(name)
        yield from _column(dataset, sound, name, column)
    yield from _source_names(dataset, sound)


def _column_name(name: str) -> Iterator[Problem]:
    path = ("columns", name)
    if name.startswith("_"):
        yield Problem(
            path,
            f"{show(name)}, which starts with _",
            "a name without a leading _",
            f"rename it to {plain_name(name) or 'a name'}: a leading _ is kept for Lakegate's own columns",
        )
    elif not re.fullmatch(NAME_PATTERN, name):
        better = plain_name(name) or "a_name"
        yield Problem(
            path,
            show(name),
            "a name of a-z, 0-9 and _ that starts with a letter",
            f"call the column {better} and add `source: {show(name)}`",
        )
    elif len(name) > MAX_COLUMN_NAME:
        yield Problem(
            path,
            f"a name of {len(name)} characters",
            f"at most {MAX_COLUMN_NAME}",
            "shorten it and name the file's column in `source`",
        )


def _column(dataset: Dataset, sound: Sound, name: str, column: Column) -> Iterator[Problem]:
    here = ("columns", name)
    if column.from_ == "key" and sound(*here, "from"):
        for key in _OF_THE_FILE:
            if key in column.model_fields_set and sound(*here, key):
                remedy = "write the format in landing.key" if key == "format" else "remove it"
                yield Problem(
                    (*here, key),
                    f"{key} on a column taken from the key",
                    f"no {key}: the value never stands in the file",
                    remedy,
                )
    if column.nullable and "nullable" in column.model_fields_set:
        for role, columns in (
            ("primary key", dataset.primary_key),
            ("partition", {p.column for p in dataset.partition_by}),
        ):
            if name in columns:
                yield Problem(
                    (*here, "nullable"),
                    f"true for a {role} column",
                    "false",
                    f"remove it: a {role} column is never null",
                )
    if sound(*here, "type"):
        yield from _rules(sound, here, column)
        yield from _times(sound, here, column)


def _rules(sound: Sound, here: KeyPath, column: Column) -> Iterator[Problem]:
    kind = column.kind
    said = {k for k in column.model_fields_set if getattr(column, k) is not None and sound(*here, k)}
    if kind is ColumnType.DECIMAL:
        yield from _digits(here, column)
    for key in ("pattern", "min_length", "max_length"):
        if key in said and kind is not ColumnType.STRING:
            remedy = "use min and max" if kind in _ORDERED else "remove it"
            yield Problem((*here, key), f"{key} on a column of type {column.type}", f"{key} only on string", remedy)
    if (
        "pattern" in said
        and kind is ColumnType.STRING
        and (fault := re2_fault(column.pattern) or re2_fault(rf"\A(?:{column.pattern})\z"))
    ):
        yield Problem(
            (*here, "pattern"),
            f"{show(column.pattern)}: {fault}",
            "a regular expression of RE2's syntax",
            "correct it; RE2 has no look-around and no back references",
        )
    for key in ("min", "max"):
        if key in said and kind not in _ORDERED:
            remedy = "use min_length and max_length, pattern or allowed" if kind is ColumnType.STRING else "remove it"
            yield Problem(
                (*here, key),
                f"{key} on a column of type {column.type}",
                f"{key} only on numbers, date and timestamp",
                remedy,
            )
    if "allowed" in said and (kind is ColumnType.JSON or kind in NESTED):
        yield Problem(
            (*here, "allowed"),
            f"allowed on a column of type {column.type}",
            "allowed on types that compare",
            "remove it, or make the column a string",
        )
    for low, high in (("min", "max"), ("min_length", "max_length")):
        smallest: Any = getattr(column, low)
        largest: Any = getattr(column, high)
        if {low, high} <= said and type(smallest) is type(largest) and smallest > largest:
            yield Problem(
                (*here, low),
                f"{smallest}, above {high} {largest}",
                f"{low} at most {high}",
                "swap the two, or correct one",
            )
    for key in ("true_values", "false_values"):
        if key in said and kind is not ColumnType.BOOLEAN:
            yield Problem(
                (*here, key), f"{key} on a column of type {column.type}", f"{key} only on boolean", "remove it"
            )
    if kind is ColumnType.BOOLEAN and (both := set(column.true_values) & set(column.false_values)):
        yield Problem(
            (*here, "true_values"),
            f"{show(min(both))} in true_values and in false_values",
            "each text in one of them",
            "remove it from one",
        )


def _times(sound: Sound, here: KeyPath, column: Column) -> Iterator[Problem]:
    kinds = {leaf.kind for leaf in scalars(column.data_type)}
    if column.zone is not None and sound(*here, "zone"):
        if ColumnType.TIMESTAMP not in kinds:
            yield Problem(
                (*here, "zone"), f"zone on a column of type {column.type}", "zone only on timestamp", "remove it"
            )
        elif find_zone(column.zone) is None:
            near = closest(column.zone, available_timezones())
            yield Problem(
                (*here, "zone"),
                show(column.zone),
                "a time zone of the IANA database",
                f"did you mean {near}?" if near else "write a name such as UTC or Europe/Berlin",
            )
    if column.format is None or column.from_ == "key" or not sound(*here, "format"):
        return
    if not kinds & _TIMES:
        yield Problem(
            (*here, "format"),
            f"format on a column of type {column.type}",
            "format only on date and timestamp",
            "remove it",
        )
        return
    if not column.formats:
        yield Problem((*here, "format"), "an empty list", "at least one format", "remove it: the default is iso8601")
    for index, form in enumerate(column.formats):
        path = (*here, "format") if isinstance(column.format, str) else (*here, "format", index)
        problems = (_time_format(path, form, kind, column.zone) for kind in sorted(kinds & _TIMES))
        if problem := next(filter(None, problems), None):
            yield problem


def _source_names(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    """Each name a file may use means one column, compared as the reader compares names."""
    owner: dict[str, str] = {}
    named: list[tuple[str, KeyPath, str]] = []
    for name, column in dataset.columns.items():
        if column.from_ == "key" or column.path is not None:
            continue
        named.append((name, ("columns", name), name))
        if column.source is not None and sound("columns", name, "source"):
            named.append((name, ("columns", name, "source"), column.source))
        if sound("columns", name, "aliases"):
            named.extend((name, ("columns", name, "aliases", i), alias) for i, alias in enumerate(column.aliases))
    # Columns' own names first: a source or alias that takes one is the fault, wherever it stands.
    for name, path, text in sorted(named, key=lambda entry: len(entry[1])):
        plain = normalised(text)
        if not plain.strip("_"):
            if len(path) > 2:
                yield Problem(path, show(text), "a name with at least one letter or digit", "correct it")
        elif owner.setdefault(plain, name) != name:
            other = owner[plain]
            what = show(text) if plain == text else f"{show(text)}, which is read as {plain}"
            yield Problem(
                path,
                f"{what} and already means columns.{other}",
                "a name that means one column",
                f"rename it, or remove it from columns.{other}",
            )


def _digits(here: KeyPath, column: Column) -> Iterator[Problem]:
    precision, scale = decimal_digits(column.type)
    if not 1 <= precision <= 38:
        yield Problem(
            (*here, "type"), f"a precision of {precision}", "1 to 38 digits", "write decimal(18,2), for example"
        )
    elif scale > precision:
        yield Problem(
            (*here, "type"),
            f"a scale of {scale} with a precision of {precision}",
            "a scale of at most the precision",
            f"write decimal({min(38, precision + scale)},{scale}) or a smaller scale",
        )


def _time_format(path: KeyPath, form: str, kind: ColumnType, zone: str | None) -> Problem | None:
    """What is wrong with one way of writing a date or timestamp, if anything."""
    if form == "iso8601":
        return None
    if form in ("epoch_s", "epoch_ms"):
        if kind is ColumnType.TIMESTAMP:
            return None
        return Problem(path, f"{form} on a date", "a date format", "make the column a timestamp")
    letters = strptime_directives(form)
    if not letters:
        near = closest(form, ("iso8601", "epoch_s", "epoch_ms"))
        remedy = f"did you mean {near}?" if near else "write it with strptime's directives, such as %d/%m/%Y"
        return Problem(path, show(form), "iso8601, epoch_s, epoch_ms or a strptime pattern", remedy)
    if unknown := [letter for letter in letters if letter not in STRPTIME_DIRECTIVES]:
        known = " ".join(f"%{letter}" for letter in sorted(STRPTIME_DIRECTIVES))
        return Problem(path, f"the directive %{unknown[0]}", f"one of {known}", "write the format with these")
    has = set(letters)
    if ("j" not in has and not (has & {"m", "b", "B"} and "d" in has)) or not has & {"Y", "y"}:
        return Problem(
            path,
            f"{show(form)}, which is no whole date",
            "a format with year, month and day",
            "add what is missing: %Y, %m, %d",
        )
    if kind is ColumnType.DATE and has & set("HIMSfpz"):
        return Problem(
            path,
            f"{show(form)}, which has a time of day",
            "a date format",
            "remove the time, or make the column a timestamp",
        )
    if kind is ColumnType.TIMESTAMP and "z" not in has and zone is None:
        return Problem(
            path,
            f"{show(form)}, which has no offset, and no zone",
            "a zone for timestamps without an offset",
            "add `zone: UTC`, or the zone the file's clock shows",
        )
    try:
        datetime.strptime(datetime(2013, 12, 31, 23, 59, 58, tzinfo=UTC).strftime(form), form)  # noqa: DTZ007 - only the format is of interest
    except ValueError as fault:
        return Problem(path, f"{show(form)}: {fault}", "a strptime pattern", "name each directive once")
    return None
