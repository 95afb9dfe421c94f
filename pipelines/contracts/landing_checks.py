"""What can be wrong with a dataset's name, its keys and its format. Part of `checks.py`."""

import codecs
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from pipelines.contracts.faults import KeyPath, Problem, Sound, did_you_mean, show
from pipelines.contracts.key_pattern import KeyPattern, KeyPatternError
from pipelines.contracts.model import CsvFormat, Dataset
from pipelines.contracts.names import plain_name
from pipelines.contracts.system_tables import SYSTEM_TABLES
from pipelines.contracts.values import ColumnType, strptime_directives
from pipelines.intake.routing import LANDING_PREFIX

__all__ = ["RESERVED_NAMES", "check_landing"]

RESERVED_NAMES = frozenset(
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
"""Names Dagster refuses for assets (`DISALLOWED_NAMES`): one of them would keep every dataset from loading."""
_TIMES = frozenset({ColumnType.DATE, ColumnType.TIMESTAMP})
_FROM_KEY = frozenset(
    {ColumnType.STRING, ColumnType.INT, ColumnType.BIGINT, ColumnType.DECIMAL, ColumnType.DATE, ColumnType.TIMESTAMP}
)
# Text encodings by name, but not of files: they decode escapes or host names, or depend on the machine.
_NO_FILE_ENCODING = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})


def check_landing(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    """The problems of name, owner, `landing` and `format`."""
    yield from _identity(dataset, sound)
    yield from _landing(dataset, sound)
    yield from _format(dataset, sound)


def _identity(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    name, owner = dataset.name, dataset.owner
    if sound("name"):
        if name in RESERVED_NAMES:
            yield Problem(
                ("name",), f"{show(name)}, a reserved word", "another name", f"call it {name}_files, for example"
            )
        if name in SYSTEM_TABLES:
            yield Problem(
                ("name",),
                f"{show(name)}, a table of Lakegate itself",
                "another name",
                f"call it {name}_files, for example",
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
            ("owner",), show(owner), "team:name or an e-mail address", f"write team:{plain_name(owner) or 'name'}"
        )


def _landing(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    yield from _landing_day(dataset, sound)
    if not sound("landing", "key"):
        return
    path = ("landing", "key")
    text = dataset.landing.key
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
        yield from _field(dataset, sound, path, name, form)
    for name, column in dataset.columns.items():
        if column.from_ == "key" and name not in pattern.fields and sound("columns", name, "from"):
            yield Problem(
                ("columns", name, "from"), "`key`, but landing.key does not name the column", f"{{{name}}} in landing.key",
                "add the field to landing.key, or remove `from: key`",
            )  # fmt: skip


def _field(dataset: Dataset, sound: Sound, path: KeyPath, name: str, form: str | None) -> Iterator[Problem]:
    shown = f"{{{name}}}" if form is None else f"{{{name}:{form}}}"
    column = dataset.columns.get(name)
    if column is None:
        if sound("columns"):
            yield Problem(
                path,
                f"{shown}, which is no column",
                "a column with `from: key`",
                did_you_mean(name, dataset.columns, f"columns.{name}: {{type: date, from: key}}"),
            )
        return
    if column.from_ != "key" and sound("columns", name, "from"):
        yield Problem(
            path,
            f"{shown}, a column read from the file",
            "a column with `from: key`",
            f"add `from: key` to columns.{name}, or rename the field",
        )
        return
    if not sound("columns", name, "type"):
        return
    if column.kind not in _FROM_KEY:
        yield Problem(
            ("columns", name, "type"),
            f"{column.type} for a column taken from the key",
            "string, int, bigint, decimal, date or timestamp",
            "choose one of these types",
        )
    elif form is not None:
        yield from _field_format(path, shown, form, column.kind)


def _field_format(path: KeyPath, shown: str, form: str, kind: ColumnType) -> Iterator[Problem]:
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
        yield Problem(path, f"{shown}, which has no year", "a format with %Y", "add %Y to the format and to the keys")
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


def _landing_day(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    day = dataset.landing.day
    path = ("landing", "day")
    if day is None or not sound(*path):
        return
    column = dataset.columns.get(day)
    if column is None:
        if sound("columns"):
            yield Problem(
                path,
                f"{show(day)}, which is no column",
                "a date column with `from: key`",
                did_you_mean(day, dataset.columns, f"columns.{day}: {{type: date, from: key}}"),
            )
        return
    if column.from_ != "key" and sound("columns", day, "from"):
        yield Problem(
            path,
            f"{day}, a column read from the file",
            "a date column with `from: key`",
            "take the day from the key, or remove landing.day: then it is the day of the event",
        )
    elif column.kind is not ColumnType.DATE and sound("columns", day, "type"):
        yield Problem(
            path, f"{day}, a column of type {column.type}", "a column of type date", f"make columns.{day} a date"
        )


def _format(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    form = dataset.format
    if not isinstance(form, CsvFormat) or not sound("format", "type"):
        return
    if sound("format", "delimiter"):
        path = ("format", "delimiter")
        if form.type == "csv" and form.sniffs_delimiter:
            pass
        elif not form.delimiter.isascii() or form.delimiter in '"\r\n\0' or form.delimiter.isalnum():
            yield Problem(
                path,
                show(form.delimiter),
                "one ASCII character other than a quote, a line end, a letter or a digit",
                'write ",", ";", "|" or "\\t"',
            )
        elif form.type == "tsv" and form.delimiter != "\t":
            yield Problem(
                path, f"{show(form.delimiter)} with type tsv", "a tab", "remove the delimiter, or write type: csv"
            )
    if sound("format", "encoding"):
        yield from _encoding(form.encoding)


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
