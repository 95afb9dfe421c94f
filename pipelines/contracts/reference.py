"""The reference pages, generated from the code they describe: pure functions from the model to text.

`python -m pipelines.contracts.reference` writes them to `docs/`; a test holds the committed pages to the code.
"""

import json
import re
import sys
import types
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipelines.contracts.columns import Reference
from pipelines.contracts.compaction import Compaction
from pipelines.contracts.expectations import NATIVE
from pipelines.contracts.great_expectations_list import EXPECTATIONS, SQL_ONLY
from pipelines.contracts.json_schema import dataset_json_schema
from pipelines.contracts.model import (
    Column,
    ColumnType,
    CsvFormat,
    Dataset,
    JsonFormat,
    Landing,
    LimitOverrides,
    RowPolicy,
    RowRule,
    SchemaPolicy,
)
from pipelines.contracts.rule_pages import GENERATED, markdown_table, quarantine_page, rules_page
from pipelines.contracts.system_pages import system_tables_page
from pipelines.contracts.watching import Freshness, NullShareCheck, SchemaDriftCheck, VolumeCheck
from pipelines.contracts.work import Deferral, Work

__all__ = ["SAMPLE", "dataset_page", "pages"]

SAMPLE = """\
# yaml-language-server: $schema=../../docs/reference/dataset.schema.json
name: orders
description: Orders of the web shop, one file a day for each store.
owner: team:sales
landing:
  key: "landing/orders/{order_date:%Y-%m-%d}/store-{store}.csv*"
  day: order_date
  start: 2024-01-01
format: {type: csv, delimiter: ";", encoding: cp1252, null_values: ["", "n/a"]}
columns:
  order_date: {type: date, from: key}
  store:      {type: int, from: key}
  order_id:   {type: bigint, nullable: false, min: 1}
  customer:   {type: string, source: Customer No., pattern: "C[0-9]{6}"}
  status:     {type: string, nullable: false, allowed: [open, paid, cancelled]}
  amount:     {type: "decimal(12,2)", nullable: false, min: 0}
  ordered_at: {type: timestamp, format: ["%d.%m.%Y %H:%M", iso8601], zone: Europe/Berlin}
  gift:       {type: boolean, true_values: ["J"], false_values: ["N"]}
  extra:      {type: json}
partition_by: [order_date, "bucket(8, store)"]
primary_key: [store, order_id]
unique: [[customer, ordered_at]]
schema: {missing_columns: allow}
rows: {count: {min: 1, max: 1000000}}
rules:
  - ordered_at <= landed_at()
  - {rule: status != 'paid' or amount > 0, severity: warn, name: what is paid costs something}
expectations:
  - expect_column_value_lengths_to_be_between: {column: customer, max_value: 7}
    severity: quarantine_file
  - expect_column_mean_to_be_between: {column: amount, min_value: 5, max_value: 500}
    severity: warn
freshness: {expected_every: P1D}
compaction: {sort_by: [customer, order_id]}
limits: {partitions: 400}
"""
"""The page's worked example; a test loads it."""

_CONTAINERS = (
    "Files may be compressed with gzip, bzip2, xz or zstd, or be the only file of a zip archive: told by their first bytes, "
    "never by their name. What no file may exceed: [limits](../limits.md)."
)
_SECTIONS: tuple[tuple[str, str, type[BaseModel], str], ...] = (
    ("landing", "landing", Landing, "Where files land and what their keys say."),
    ("format (csv, tsv)", "format", CsvFormat, f"Delimited text. {_CONTAINERS}"),
    ("format (json, jsonl)", "format", JsonFormat, f"JSON. {_CONTAINERS}"),
    (
        "columns",
        "columns.<name>",
        Column,
        (
            "The table's columns, in table order. A name has letters `a-z`, digits and `_`, starts with a letter and is at most 128 "
            "long; a leading `_` is kept for Lakegate's own columns. A column of the file belongs to the column whose name, "
            "`source` or `aliases` it equals once both are lower-case with `_` for everything else."
        ),
    ),
    (
        "schema",
        "schema",
        SchemaPolicy,
        "What happens when a file's columns differ from these: [when files change](../schema-evolution.md).",
    ),
    ("rows", "rows", RowPolicy, "What bad rows do to their file."),
    (
        "freshness",
        "freshness",
        Freshness,
        "When files are expected: `expected_every`, or `due_by`. [The check `fresh`](../checks.md) tells what is late.",
    ),
    ("work", "work", Work, "Which files go first: [who goes first](../working-in-dagster.md#who-goes-first)."),
    (
        "work.defer",
        "defer",
        Deferral,
        "Which files wait for other hours: [who goes first](../working-in-dagster.md#who-goes-first).",
    ),
    (
        "checks.volume",
        "volume",
        VolumeCheck,
        "The rows of a landing day, beside those of earlier days: [checks](../checks.md).",
    ),
    (
        "checks.null_share",
        "null_share",
        NullShareCheck,
        "The share of nulls in each column, beside that of earlier days: [checks](../checks.md).",
    ),
    (
        "checks.schema_drift",
        "schema_drift",
        SchemaDriftCheck,
        "The columns of the table, beside the contract's: [checks](../checks.md).",
    ),
    (
        "compaction",
        "compaction",
        Compaction,
        "When the table's small files are put together, and how they are sorted: [compaction](../compaction.md).",
    ),
    ("limits", "limits", LimitOverrides, "This dataset's own limits on untrusted input."),
)


def pages() -> Mapping[str, str]:
    """Every generated page, by its path below `docs/`."""
    return {
        "reference/dataset.md": dataset_page(),
        "reference/dataset.schema.json": json.dumps(dataset_json_schema(), indent=2, ensure_ascii=False) + "\n",
        "reference/rules.md": rules_page(),
        "reference/system-tables.md": system_tables_page(),
        "what-is-quarantined.md": quarantine_page(),
    }


def dataset_page() -> str:
    """The reference of the dataset file: every key with its type, default and meaning, and a worked example."""
    out = [
        "# The dataset file",
        GENERATED,
        (
            "One YAML file under `assets/datasets/` is one dataset and one table; the file is called as the dataset is. "
            "`lakegate datasets check` lists everything that is wrong with a file, line by line. "
            "How to add one: [adding a dataset](../adding-a-dataset.md). For editors: [dataset.schema.json](dataset.schema.json). "
            "Why a file was rejected: [rules](rules.md)."
        ),
        (
            "YAML 1.2: `NO`, `on` and `2013-01-01` are text, only `true` and `false` are booleans. Anchors, aliases, merge keys "
            "and tags are refused, as is a key that stands twice."
        ),
        "## An example",
        "`assets/datasets/orders.yaml`:",
        f"```yaml\n{SAMPLE}```",
        "## Top level",
        _table(Dataset, ""),
    ]
    for title, path, model, intro in _SECTIONS:
        out += [f"## {title}", intro, _table(model, path)]
        if model is Column:
            out += _types()
    out += [*_partitions(), *_rules(), *_lookups(), *_expectations()]
    return "\n\n".join(out) + "\n"


# What each type holds, and how it is written in JSON; in CSV all but the nested ones are text. Every type is here, or the page is not made.
_TYPES: dict[ColumnType, tuple[str, str, str]] = {
    ColumnType.STRING: ("`string`", "text", "a string"),
    ColumnType.BOOLEAN: ("`boolean`", "true or false; in CSV as `true_values` and `false_values` say", "`true`, `false`"),
    ColumnType.INT: ("`int`", "a whole number of 32 bits", "a number in digits only"),
    ColumnType.BIGINT: ("`bigint`", "a whole number of 64 bits", "a number in digits only"),
    ColumnType.FLOAT: ("`float`", "a number of 32 bits (IEEE 754)", "a number"),
    ColumnType.DOUBLE: ("`double`", "a number of 64 bits (IEEE 754)", "a number"),
    ColumnType.DECIMAL: ("`decimal(p,s)`", "an exact number of `p` digits, `s` of them behind the point; never rounded", "a number, or a string"),
    ColumnType.DATE: ("`date`", "a day, written as `format` says", "a string"),
    ColumnType.TIMESTAMP: ("`timestamp`", "a moment, kept in UTC to the microsecond, written as `format` and `zone` say", "a string; for an epoch a number"),
    ColumnType.JSON: ("`json`", "any JSON value, kept as text", "any value"),
    ColumnType.STRUCT: ("`struct<name: type, …>`", "members by name, each of its type", "an object"),
    ColumnType.ARRAY: ("`array<type>`", "any number of values of a type", "an array"),
    ColumnType.MAP: ("`map<string, type>`", "values of a type under any keys", "an object"),
}  # fmt: skip


def _types() -> Iterable[str]:
    yield "### Types"
    yield markdown_table(("type", "holds", "in JSON"), (_TYPES[kind] for kind in ColumnType))
    yield (
        "The last three are for JSON files alone; the types inside them may be any of these: [nested JSON](../nested-json.md). "
        "By Athena's names; in the table they are Iceberg's types."
    )


def _partitions() -> Iterable[str]:
    yield "## partition_by"
    yield markdown_table(
        ("form", "partition", "types"),
        (
            ("`col`", "each value", "all but float, double, json and nested"),
            ("`day(col)`", "each day, in UTC", "date, timestamp"),
            ("`month(col)`", "each month, in UTC", "date, timestamp"),
            (
                '`"bucket(n, col)"`',
                "n buckets (1 to 10,000) by hash",
                "all but boolean, float, double, json and nested",
            ),
        ),
    )
    yield "In a list in brackets, `bucket` needs quotes because of its comma. A null in a partition column rejects the file."


def _rules() -> Iterable[str]:
    yield "## rules"
    yield (
        "Conditions on the columns of each row, carried out on every row while the file is read. A rule is its text alone, or a mapping:\n\n"
        "```yaml\nrules:\n"
        "  - total = net + tax\n"
        "  - abs(total - net - tax) <= 0.01\n"
        "  - order_date <= landed_on() + 1\n"
        "  - status != 'closed' or closed_at is not null\n"
        "  - {rule: \"day(time_hour, 'America/New_York') = flight_date\"}   # flight_date comes from the key\n"
        "  - {rule: dep_time <= arr_time, severity: warn, name: departs before it arrives}\n```"
    )
    yield _table(RowRule, "rules[]")
    yield (
        "The severities are those of [expectations](#expectations). What null takes part in is unknown, and unknown breaks no rule: with "
        "`total = net + tax` a row without `tax` is good. A cell that is no value of its type is told once (or rescued); no rule judges its row by it. "
        "A violation is of the rule [`row_rule`](rules.md#row_rule), stands at the row (at the cell when the rule names one column only) and "
        "shows the values of all columns of the rule."
    )
    yield markdown_table(
        ("in a rule", "is", "goes with"),
        (
            (
                "`column`",
                "the row's value, whether it comes from the file or from the key",
                "all types with one value: not json, struct, array, map",
            ),
            ("`12`, `-0.5`", "a number", "numbers"),
            ("`'text'`", "text; a quote in it is written twice", "string"),
            ("`true`, `false`", "a boolean", "boolean"),
            ("`date '2013-01-01'`", "a day", "date"),
            ("`timestamp '2013-01-01T10:00:00Z'`", "a moment, with its offset", "timestamp"),
            ("`a + b`, `a - b`, `-a`", "a sum", "numbers; a date and whole days: `due = sent + 30`"),
            ("`abs(a)`", "without its sign", "numbers"),
            ("`day(t)`", "the UTC day of a timestamp", "date"),
            ("`day(t, 'Europe/Berlin')`", "its day in a time zone", "date"),
            ("`landed_at()`", "the moment the file landed (the time of its event)", "timestamp"),
            ("`landed_on()`", "the UTC day of that moment", "date"),
            (
                "`=` `!=` `<` `<=` `>` `>=`",
                "comparisons; text by its code points, booleans only `=` and `!=`",
                "two of one type",
            ),
            ("`a is null`, `a is not null`", "whether a column has a value", "all types"),
            ("`not c`, `c and d`, `c or d`, `(…)`", "conditions joined, in this order of precedence", "conditions"),
        ),
    )
    yield (
        "Numbers are exact: whole numbers and decimals keep every digit, however large a sum grows (up to 76 digits). X with numbers written in the rule and with `int` columns: what a double cannot hold exactly is refused at load. "
        "Rules about the future measure by when the file landed, never by the clock of the day it is read: a verdict is the same whenever it is reached. "
        "`landed_at()` of a local file (`lakegate validate`, `convert`) is now. A rule has at most 1,000 characters."
    )


def _lookups() -> Iterable[str]:
    yield "## After the commit"
    yield (
        "A verdict is reached within one file: it must not depend on what arrived before. What only the tables can tell is looked up once a run, "
        "for the rows it published, by one query each, and shown as asset checks:"
    )
    yield markdown_table(
        ("check", "asks", "key of the dataset file"),
        (
            (
                "`primary_key_unique`",
                "is a key just published in another file, or another version of a file, too? Up to 20 keys are shown, each with both files and lines",
                "`primary_key_across_files`: `warn` (default), `block`, `off`",
            ),
            (
                "`references`, `references_block`",
                "is a value just published missing from another dataset's column? Up to 20 values of each column are shown, each with a file and line; null refers to nothing",
                "`columns.<name>.references`, with severity `warn` (default) or `block`",
            ),
        ),
    )
    yield _table(Reference, "columns.<name>.references")
    yield (
        "A failed check leaves the rows in the table; `block` stops what is downstream. A query that fails (a table that is not there, missing rights) "
        "is a failed check with the reason. The query reads the run's partitions of its own table, and the columns of the key in the rest of it: only the "
        "run's partitions too, where the partition column is part of the primary key."
    )


def _expectations() -> Iterable[str]:
    yield "## expectations"
    yield (
        "Each is one expectation of Great Expectations with its arguments, and a `severity` beside it:\n\n"
        "```yaml\n- expect_column_values_to_be_between: {column: distance, min_value: 0}\n  severity: quarantine_file\n```"
    )
    yield markdown_table(
        ("severity", "when it fails"),
        (
            ("`warn` (default)", "the check shows a warning; data is published"),
            ("`block`", "the check fails and assets downstream stop; the data stays"),
            ("`quarantine_file`", "the file is quarantined before anything of it is published"),
            ("`quarantine_rows`", "its rows are bad rows: `rows.on_bad` says what they do"),
        ),
    )
    yield (
        "The two `quarantine_…` severities are for expectations that are carried out while the file is read. They are, without "
        "`row_condition`: " + ", ".join(f"`{name}`" for name in NATIVE) + ". A regular expression "
        "must be of RE2's syntax for that. All others run in Great Expectations, once a batch, after the commit. "
        "`description`, `notes` and `meta` may stand among the arguments of each."
    )
    yield markdown_table(
        ("expectation", "required", "optional"),
        (
            (f"`{name}`", ", ".join(f"`{a}`" for a in required) or "–", ", ".join(f"`{a}`" for a in optional) or "–")
            for name, (required, optional) in EXPECTATIONS.items()
            if name not in SQL_ONLY
        ),
    )


def _table(model: type[BaseModel], path: str) -> str:
    rows: list[tuple[str, str, str, str]] = []
    for name, info in model.model_fields.items():
        key = info.alias or name
        rows.append((f"`{key}`", _type_text(info.annotation, key), _default(info), info.description or ""))
    head = f"`{path}`" if path else "key"
    return markdown_table((head, "type", "default", "meaning"), rows)


_SHORT_FORMS = {
    "partition_by": "list of partitions",
    "expectations": "list of expectations",
    "rules": "list of rules",
    "references": "`dataset.column` or mapping",
    "count": "whole number or mapping with `min` and `max`",
    "columns": "mapping of columns",
    "format": "mapping",
    "allowed": "list of the column's type",
    "min": "of the column's type",
    "max": "of the column's type",
}


def _type_text(annotation: Any, key: str) -> str:
    """How a person calls the type of a key."""
    if key in _SHORT_FORMS and key != "format":
        return _SHORT_FORMS[key]
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type_text(get_args(annotation)[0], key)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin in (Union, types.UnionType):
        said = [_type_text(part, key) for part in get_args(annotation) if part is not type(None)]
        return " or ".join(dict.fromkeys(said))
    if origin is tuple:
        return f"list of {_type_text(get_args(annotation)[0], key)}"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    names: dict[Any, str] = {str: "text", bool: "boolean", int: "whole number"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value: Any = info.default
    if value is PydanticUndefined or value is None or value == () or isinstance(value, BaseModel):
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, StrEnum):
        return f"`{value.value}`"
    if isinstance(value, tuple):
        return f"`{json.dumps(value)}`"
    return f"`{json.dumps(value) if not re.fullmatch(r'[a-z0-9-]+', str(value)) else value}`"


def main(folder: Path) -> None:
    """Write all pages below the folder."""
    for name, text in pages().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs"))
