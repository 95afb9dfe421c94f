"""What a well-formed dataset can still get wrong: references, types, patterns, and what this version does not carry out yet.

`check` lists every problem of one dataset; it reads no file and knows no line. The model (`model.py`) has checked shapes
and types of the keys before; expectations have a page of their own, `expectation_checks.py`.
"""

import codecs
import re
from collections.abc import Iterator, Set
from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

from pipelines.contracts.expectation_checks import check_expectations
from pipelines.contracts.expectations import re2_fault
from pipelines.contracts.faults import KeyPath, Problem, closest, show
from pipelines.contracts.key_pattern import KeyPattern, KeyPatternError
from pipelines.contracts.model import NAME_PATTERN, Column, CsvFormat, Dataset, OnBad, OnDelete
from pipelines.contracts.names import normalise
from pipelines.contracts.values import (
    STRPTIME_DIRECTIVES,
    ColumnType,
    decimal_digits,
    find_zone,
    strptime_directives,
)

__all__ = ["LANDING_PREFIX", "MAX_COLUMN_NAME", "check"]

LANDING_PREFIX = "landing/"
"""Notifications are set up for this prefix only: under any other nothing would ever arrive."""
MAX_COLUMN_NAME = 128
MAX_BUCKETS = 10_000

# Names Dagster refuses for assets (`DISALLOWED_NAMES`): one of them would keep every dataset from loading.
_RESERVED_NAMES = frozenset(
    [
        "and",
        "arg_dict",
        "as",
        "assert",
        "async",
        "await",
        "bool",
        "break",
        "class",
        "conf",
        "config",
        "context",
        "continue",
        "def",
        "del",
        "dict",
        "elif",
        "else",
        "except",
        "finally",
        "float",
        "for",
        "from",
        "global",
        "if",
        "import",
        "in",
        "input",
        "input_arg_dict",
        "int",
        "is",
        "lambda",
        "meta",
        "nonlocal",
        "not",
        "or",
        "output",
        "output_arg_dict",
        "pass",
        "raise",
        "return",
        "str",
        "try",
        "type",
        "while",
        "with",
        "yield",
    ]
)
# What has no total order, no equality to rely on, or no place in a path.
_NO_KEY = frozenset({ColumnType.DOUBLE, ColumnType.JSON})
_NO_BUCKET = _NO_KEY | {ColumnType.BOOLEAN}
_TIMES = frozenset({ColumnType.DATE, ColumnType.TIMESTAMP})
_ORDERED = frozenset(
    {ColumnType.INT, ColumnType.BIGINT, ColumnType.DOUBLE, ColumnType.DECIMAL, ColumnType.DATE, ColumnType.TIMESTAMP}
)
_FROM_KEY = frozenset(
    {ColumnType.STRING, ColumnType.INT, ColumnType.BIGINT, ColumnType.DECIMAL, ColumnType.DATE, ColumnType.TIMESTAMP}
)
# Text encodings by name, but not of files: they decode escapes or host names, or depend on the machine.
_NO_FILE_ENCODING = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
_OF_THE_FILE = ("source", "aliases", "null_values", "format", "true_values", "false_values")


def check(dataset: Dataset, unsound: Set[KeyPath] = frozenset()) -> list[Problem]:
    """All problems of a dataset. `unsound` are paths already complained of: what rests on them is not judged again."""
    return list(_Check(dataset, unsound).problems())


class _Check:
    def __init__(self, dataset: Dataset, unsound: Set[KeyPath]) -> None:
        self._dataset = dataset
        self._unsound = unsound

    def _sound(self, *path: str | int) -> bool:
        return not any(path[: len(bad)] == bad for bad in self._unsound if bad)

    def problems(self) -> Iterator[Problem]:
        yield from self._identity()
        yield from self._landing()
        yield from self._format()
        for name, column in self._dataset.columns.items():
            yield from self._column_name(name)
            yield from self._column(name, column)
        yield from self._source_names()
        yield from self._primary_key()
        yield from self._partitions()
        yield from self._policies()
        yield from check_expectations(self._dataset, self._sound)

    # ---- the dataset itself ----

    def _identity(self) -> Iterator[Problem]:
        name, owner = self._dataset.name, self._dataset.owner
        if self._sound("name"):
            if name in _RESERVED_NAMES:
                yield Problem(
                    ("name",), f"{show(name)}, a reserved word", "another name", f"call it {name}_files, for example"
                )
            if name.endswith("__rejected"):
                yield Problem(
                    ("name",),
                    show(name),
                    "a name without __rejected",
                    "that ending is kept for tables of rejected rows",
                )
        if owner is not None and not re.fullmatch(r"team:\S.*|[^@\s]+@[^@\s]+\.[^@\s.]+", owner):
            yield Problem(
                ("owner",), show(owner), "team:name or an e-mail address", f"write team:{normalise(owner) or 'name'}"
            )

    # ---- landing ----

    def _landing(self) -> Iterator[Problem]:
        yield from self._landing_day()
        if not self._sound("landing", "key"):
            return
        path = ("landing", "key")
        text = self._dataset.landing.key
        if not text.startswith(LANDING_PREFIX):
            yield Problem(
                path,
                show(text),
                f"a pattern under {LANDING_PREFIX}",
                f"start it with {LANDING_PREFIX}: nothing else is listened to",
            )
        try:
            pattern = KeyPattern.parse(text)
        except KeyPatternError as fault:
            yield Problem(
                path,
                f"{show(text)}: {fault}",
                "a key pattern",
                'write it like "landing/orders/{order_date:%Y-%m-%d}.csv*"',
            )
            return
        for name, form in pattern.fields.items():
            yield from self._field(path, name, form)
        for name, column in self._dataset.columns.items():
            if column.from_ == "key" and name not in pattern.fields and self._sound("columns", name, "from"):
                yield Problem(
                    ("columns", name, "from"), "`key`, but landing.key does not name the column", f"{{{name}}} in landing.key",
                    "add the field to landing.key, or remove `from: key`",
                )  # fmt: skip

    def _field(self, path: KeyPath, name: str, form: str | None) -> Iterator[Problem]:
        shown = f"{{{name}}}" if form is None else f"{{{name}:{form}}}"
        column = self._dataset.columns.get(name)
        if column is None:
            if self._sound("columns"):
                yield Problem(
                    path,
                    f"{shown}, which is no column",
                    "a column with `from: key`",
                    self._add_or_mean(name, f"columns.{name}: {{type: date, from: key}}"),
                )
            return
        if column.from_ != "key" and self._sound("columns", name, "from"):
            yield Problem(
                path,
                f"{shown}, a column read from the file",
                "a column with `from: key`",
                f"add `from: key` to columns.{name}, or rename the field",
            )
            return
        if not self._sound("columns", name, "type"):
            return
        if column.kind not in _FROM_KEY:
            yield Problem(
                ("columns", name, "type"),
                f"{column.type} for a column taken from the key",
                "string, int, bigint, decimal, date or timestamp",
                "choose one of these types",
            )
        elif form is not None:
            yield from self._field_format(path, shown, form, column.kind)

    def _field_format(self, path: KeyPath, shown: str, form: str, kind: ColumnType) -> Iterator[Problem]:
        if kind not in _TIMES:
            yield Problem(
                path,
                f"{shown} on a column of type {kind}",
                "a date format only on date and timestamp",
                "remove the format after the colon, or change the column's type",
            )
            return
        letters = set(strptime_directives(form))
        if not letters & {"Y", "y"}:
            yield Problem(
                path, f"{shown}, which has no year", "a format with %Y", "add %Y to the format and to the keys"
            )
        elif letters & {"d"} and not letters & {"m", "b"}:
            yield Problem(
                path,
                f"{shown}, a day without a month",
                "a format such as %Y-%m-%d",
                "add %m, or use %j for the day of the year",
            )
        elif kind is ColumnType.DATE and letters & {"H", "M", "S", "f"}:
            yield Problem(
                path,
                f"{shown}, a time of day on a date",
                "a date format such as %Y-%m-%d",
                f"remove the time, or make columns.{shown[1:].split(':')[0]} a timestamp",
            )
        else:
            try:
                datetime.strptime(datetime(2013, 12, 31, 23, 59, 58, tzinfo=UTC).strftime(form), form)  # noqa: DTZ007 - only the format is of interest
            except ValueError as fault:
                yield Problem(path, f"{shown}: {fault}", "a format that reads back what it writes", "use %Y-%m-%d")

    def _landing_day(self) -> Iterator[Problem]:
        day = self._dataset.landing.day
        path = ("landing", "day")
        if day is None or not self._sound(*path):
            return
        column = self._dataset.columns.get(day)
        if column is None:
            if self._sound("columns"):
                yield Problem(
                    path,
                    f"{show(day)}, which is no column",
                    "a date column with `from: key`",
                    self._add_or_mean(day, f"columns.{day}: {{type: date, from: key}}"),
                )
            return
        if column.from_ != "key" and self._sound("columns", day, "from"):
            yield Problem(
                path,
                f"{day}, a column read from the file",
                "a date column with `from: key`",
                "take the day from the key, or remove landing.day: then it is the day of the event",
            )
        elif column.kind is not ColumnType.DATE and self._sound("columns", day, "type"):
            yield Problem(
                path, f"{day}, a column of type {column.type}", "a column of type date", f"make columns.{day} a date"
            )

    # ---- format ----

    def _format(self) -> Iterator[Problem]:
        form = self._dataset.format
        if not isinstance(form, CsvFormat) or not self._sound("format", "type"):
            return
        if self._sound("format", "delimiter"):
            path = ("format", "delimiter")
            if not form.delimiter.isascii() or form.delimiter in '"\r\n\0':
                yield Problem(
                    path,
                    show(form.delimiter),
                    "one ASCII character other than a quote or a line end",
                    'write ",", ";", "|" or "\\t"',
                )
            elif form.type == "tsv" and form.delimiter != "\t":
                yield Problem(
                    path, f"{show(form.delimiter)} with type tsv", "a tab", "remove the delimiter, or write type: csv"
                )
        if self._sound("format", "encoding"):
            yield from _encoding(form.encoding)

    # ---- columns ----

    def _column_name(self, name: str) -> Iterator[Problem]:
        path = ("columns", name)
        if name.startswith("_"):
            yield Problem(
                path,
                f"{show(name)}, which starts with _",
                "a name without a leading _",
                f"rename it to {normalise(name) or 'a name'}: a leading _ is kept for Lakegate's own columns",
            )
        elif not re.fullmatch(NAME_PATTERN, name):
            better = normalise(name) or "a_name"
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

    def _column(self, name: str, column: Column) -> Iterator[Problem]:
        here = ("columns", name)
        if column.from_ == "key" and self._sound(*here, "from"):
            for key in _OF_THE_FILE:
                if key in column.model_fields_set and self._sound(*here, key):
                    remedy = "write the format in landing.key" if key == "format" else "remove it"
                    yield Problem(
                        (*here, key),
                        f"{key} on a column taken from the key",
                        f"no {key}: the value never stands in the file",
                        remedy,
                    )
        if column.nullable and "nullable" in column.model_fields_set:
            for role, columns in (("primary key", self._dataset.primary_key), ("partition", self._partition_columns())):
                if name in columns:
                    yield Problem(
                        (*here, "nullable"),
                        f"true for a {role} column",
                        "false",
                        f"remove it: a {role} column is never null",
                    )
        if self._sound(*here, "type"):
            yield from self._rules(here, column)
            yield from self._times(here, column)

    def _rules(self, here: KeyPath, column: Column) -> Iterator[Problem]:
        kind = column.kind
        said = {k for k in column.model_fields_set if getattr(column, k) is not None and self._sound(*here, k)}
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
                remedy = (
                    "use min_length and max_length, pattern or allowed" if kind is ColumnType.STRING else "remove it"
                )
                yield Problem(
                    (*here, key),
                    f"{key} on a column of type {column.type}",
                    f"{key} only on numbers, date and timestamp",
                    remedy,
                )
        if "allowed" in said and kind is ColumnType.JSON:
            yield Problem(
                (*here, "allowed"),
                "allowed on a column of type json",
                "allowed on types that compare",
                "remove it, or make the column a string",
            )
        for low, high in (("min", "max"), ("min_length", "max_length")):
            smallest: Any = getattr(column, low)
            largest: Any = getattr(column, high)
            if {low, high} <= said and type(smallest) is type(largest) and smallest > largest:
                yield Problem(
                    (*here, low),
                    f"{_plain(smallest)}, above {high} {_plain(largest)}",
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

    def _times(self, here: KeyPath, column: Column) -> Iterator[Problem]:
        kind = column.kind
        if column.zone is not None and self._sound(*here, "zone"):
            if kind is not ColumnType.TIMESTAMP:
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
        if column.format is None or column.from_ == "key" or not self._sound(*here, "format"):
            return
        if kind not in _TIMES:
            yield Problem(
                (*here, "format"),
                f"format on a column of type {column.type}",
                "format only on date and timestamp",
                "remove it",
            )
            return
        if not column.formats:
            yield Problem(
                (*here, "format"), "an empty list", "at least one format", "remove it: the default is iso8601"
            )
        for index, form in enumerate(column.formats):
            path = (*here, "format") if isinstance(column.format, str) else (*here, "format", index)
            if problem := _time_format(path, form, column):
                yield problem

    def _source_names(self) -> Iterator[Problem]:
        """Each name a file may use means one column, after normalisation."""
        owner: dict[str, str] = {}
        named: list[tuple[str, KeyPath, str]] = []
        for name, column in self._dataset.columns.items():
            if column.from_ == "key":
                continue
            named.append((name, ("columns", name), name))
            if column.source is not None and self._sound("columns", name, "source"):
                named.append((name, ("columns", name, "source"), column.source))
            if self._sound("columns", name, "aliases"):
                named.extend((name, ("columns", name, "aliases", i), alias) for i, alias in enumerate(column.aliases))
        # Columns' own names first: a source or alias that takes one is the fault, wherever it stands.
        for name, path, text in sorted(named, key=lambda entry: len(entry[1])):
            plain = normalise(text)
            if not plain:
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

    # ---- table ----

    def _partition_columns(self) -> set[str]:
        return {p.column for p in self._dataset.partition_by}

    def _primary_key(self) -> Iterator[Problem]:
        seen: set[str] = set()
        for index, name in enumerate(self._dataset.primary_key):
            path = ("primary_key", index)
            column = self._dataset.columns.get(name)
            if not self._sound(*path):
                continue
            if name in seen:
                yield Problem(path, f"{name} a second time", "each column once", "remove it")
            elif column is None:
                if self._sound("columns"):
                    yield Problem(
                        path, f"{show(name)}, which is no column", "a column of this dataset", self._add_or_mean(name)
                    )
            elif column.kind in _NO_KEY and self._sound("columns", name, "type"):
                yield Problem(
                    path,
                    f"{name}, a column of type {column.type}",
                    "a type that compares exactly (not double or json)",
                    "use decimal(p,s) or string, or choose another column",
                )
            seen.add(name)

    def _partitions(self) -> Iterator[Problem]:
        seen: dict[tuple[str, bool], str] = {}
        for index, field in enumerate(self._dataset.partition_by):
            path = ("partition_by", index)
            if not self._sound(*path):
                continue
            column = self._dataset.columns.get(field.column)
            same = (field.column, field.transform == "bucket")
            if same in seen:
                yield Problem(
                    path,
                    f"{field.column} a second time",
                    "each column once",
                    f"remove one: {seen[same]} stands before it",
                )
            seen[same] = field.name
            if field.transform == "bucket" and not 1 <= (field.buckets or 0) <= MAX_BUCKETS:
                yield Problem(
                    path, f"{field.buckets} buckets", f"1 to {MAX_BUCKETS}", "write for example bucket(16, column)"
                )
            if column is None:
                if self._sound("columns"):
                    yield Problem(
                        path,
                        f"{show(field.column)}, which is no column",
                        "a column of this dataset",
                        self._add_or_mean(field.column),
                    )
                continue
            if field.transform != "identity" and field.name in self._dataset.columns:
                yield Problem(
                    path,
                    f"the partition {field.name}, which is also a column",
                    "a partition name of its own",
                    f"rename columns.{field.name}, or partition by it",
                )
            if self._sound("columns", field.column, "type"):
                yield from _partition_type(path, field.transform, field.column, column)

    def _policies(self) -> Iterator[Problem]:
        dataset = self._dataset
        rows = dataset.rows
        if rows.max_bad is not None and self._sound("rows", "max_bad"):
            path = ("rows", "max_bad")
            if rows.on_bad is not OnBad.QUARANTINE_ROWS and self._sound("rows", "on_bad"):
                yield Problem(
                    path,
                    "max_bad with on_bad: quarantine_file",
                    "max_bad only with on_bad: quarantine_rows",
                    "remove it: one bad row is enough",
                )
            try:
                _ = rows.bad_row_limit
            except ValueError:
                yield Problem(path, show(rows.max_bad), "a number of rows or a share up to 100%", 'write 10 or "0.1%"')
        if dataset.freshness is not None and self._sound("freshness", "expected_every"):
            try:
                _ = dataset.freshness.every
            except ValueError:
                yield Problem(
                    ("freshness", "expected_every"),
                    show(dataset.freshness.expected_every),
                    "an ISO 8601 duration",
                    "write P1D (a day), P1W (a week) or PT6H (six hours)",
                )
        # What is in the grammar and not carried out yet is refused: a promise that nobody keeps is worse than none.
        for path, value, later, instead in (
            (("schema", "new_columns"), dataset.schema_.new_columns, ("add",), "reject"),
            (("schema", "type_changes"), dataset.schema_.type_changes, ("widen", "rescue"), "reject"),
            (
                ("rows", "on_bad"),
                dataset.rows.on_bad.value,
                (OnBad.QUARANTINE_ROWS.value,),
                OnBad.QUARANTINE_FILE.value,
            ),
            (("on_delete",), dataset.on_delete.value, (OnDelete.RETRACT.value,), OnDelete.KEEP.value),
        ):
            if value in later and self._sound(*path):
                yield Problem(
                    path,
                    f"{value}, which is not available in this version",
                    instead,
                    f"write {path[-1]}: {instead}, or leave it out",
                )

    def _add_or_mean(self, name: str, example: str | None = None) -> str:
        near = closest(name, self._dataset.columns)
        return (
            f"did you mean {near}?"
            if near
            else f"add it: {example}"
            if example
            else "add the column, or correct the name"
        )


def _plain(value: Any) -> str:
    return str(value)


def _encoding(name: str) -> Iterator[Problem]:
    path = ("format", "encoding")
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        yield Problem(
            path, show(name), "an encoding Python knows", "write utf-8, latin-1, cp1252 or utf-16, for example"
        )
        return
    if not codec._is_text_encoding or codec.name.replace("-", "_") in _NO_FILE_ENCODING:  # pyright: ignore[reportPrivateUsage] - the codecs module has no public name for it
        yield Problem(
            path,
            f"{show(name)}, which is no encoding of text files",
            "an encoding of text",
            "write utf-8, latin-1, cp1252 or utf-16, for example",
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


def _partition_type(path: KeyPath, transform: str, name: str, column: Column) -> Iterator[Problem]:
    kind = column.kind
    if transform in ("day", "month"):
        if kind not in _TIMES:
            yield Problem(
                path,
                f"{transform}({name}) on a column of type {column.type}",
                f"{transform} of a date or timestamp",
                f"write {name} for its values, or bucket(16, {name})",
            )
    elif transform == "bucket":
        if kind in _NO_BUCKET:
            yield Problem(
                path,
                f"a bucket of a column of type {column.type}",
                "a type that hashes exactly (not double, boolean or json)",
                "choose another column",
            )
    elif kind in _NO_KEY:
        yield Problem(
            path,
            f"{name}, a column of type {column.type}",
            "a type that compares exactly (not double or json)",
            "choose another column",
        )


def _time_format(path: KeyPath, form: str, column: Column) -> Problem | None:
    """What is wrong with one way of writing a date or timestamp, if anything."""
    kind = column.kind
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
    if kind is ColumnType.TIMESTAMP and "z" not in has and column.zone is None:
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
