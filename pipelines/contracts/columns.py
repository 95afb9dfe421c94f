"""One column of a dataset, as its YAML says it. Part of the grammar in `model.py`, which is read first."""

import re
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from pipelines.contracts.json_paths import JsonPath, parse_path
from pipelines.contracts.nested_types import NESTED, DataType, ScalarType, parse_type
from pipelines.contracts.values import ColumnType, TypedValue, column_kind, decimal_digits, typed_value

__all__ = ["ANY_JSON", "Column", "ContractModel", "Count", "Flag", "Reference"]

# Not lax: `nullable: "no"` must be a fault, not a guess.
Flag = Annotated[bool, Field(strict=True)]
"""True or false, and nothing that looks like it."""
Count = Annotated[int, Field(strict=True, ge=0)]
"""A whole number from 0."""


ANY_JSON = "any_json"
"""The `format` of columns that were added from files, which no contract can say: JSON strings as their text, all other JSON
values as JSON text."""


class ContractModel(BaseModel):
    """What every part of a dataset's file is: frozen, and without a key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reference(ContractModel):
    """The column of a dataset in which each value of another column is looked up after the commit."""

    dataset: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="The dataset looked into.")
    column: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Its column.")
    severity: Literal["warn", "block"] = Field(
        default="warn",
        description="What a value that is not there leads to: a warning, or a stop of what is downstream.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, raw: Any) -> Any:
        """Turn the YAML's short form, `dataset.column`, into the model's own."""
        if isinstance(raw, str) and re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", raw):
            dataset, column = raw.split(".")
            return {"dataset": dataset, "column": column}
        return raw


class Column(ContractModel):
    """One column of the table."""

    type: str = Field(
        description="`string`, `boolean`, `int` (32 bit), `bigint` (64 bit), `float` (32 bit), `double` (64 bit), `decimal(p,s)`, `date`, "
        "`timestamp` (microseconds, UTC) or `json` (any JSON value, kept as text). In JSON files also `struct<name: type, …>`, "
        "`array<type>` and `map<string, type>`, of any of these types.",
        pattern=r"^(string|boolean|int|bigint|float|double|date|timestamp|json|decimal\(\d+\s*,\s*\d+\)"
        r"|(struct|array|map)\s*<[\s\S]*)$",
    )
    description: str | None = Field(default=None, description="What the column means.")
    from_: Literal["key"] | None = Field(
        default=None, alias="from", description="`key`: the value comes from the object's key."
    )
    source: str | None = Field(default=None, description="The column's name in the file, where it differs.")
    path: str | None = Field(
        default=None,
        description='Where in a JSON record the value stands, such as `"$.actor.login"`: `.name` and `["any key"]` are members, `[0]` an '
        "element. Through `format.explode` it is of the element (`$.items[*].sku`; `$.items[*]` is the element itself, "
        "`$.items[*]#` its number from 0). Of an object on the way only what a path names is taken; take a whole object or array as "
        "a column to have what is new in it judged.",
    )
    aliases: tuple[str, ...] = Field(default=(), description="Further names the column may have in the file.")
    nullable: Flag = Field(default=True, description="Whether null is allowed.")
    null_values: tuple[str, ...] | None = Field(
        default=None, description="Replaces format.null_values for this column."
    )
    format: str | tuple[str, ...] | None = Field(
        default=None,
        description="How dates and timestamps are written: `iso8601` (the default), `epoch_s`, `epoch_ms`, a strptime "
        "pattern, or a list of which the first that fits is taken.",
    )
    zone: str | None = Field(
        default=None,
        description="The IANA time zone of timestamps written without an offset. Without it every timestamp must carry one.",
    )
    pattern: str | None = Field(default=None, description="A regular expression (RE2) the whole text must match.")
    allowed: tuple[Any, ...] | None = Field(
        default=None, description="The only values allowed, of the column's type.", min_length=1
    )
    min: Any = Field(default=None, description="The smallest value allowed, of the column's type.")
    max: Any = Field(default=None, description="The largest value allowed, of the column's type.")
    min_length: Count | None = Field(default=None, description="The smallest number of characters (code points).")
    max_length: Count | None = Field(default=None, description="The largest number of characters (code points).")
    references: Reference | None = Field(
        default=None,
        description="Where each value must stand too: `dataset.column`, or a mapping with `dataset`, `column` and `severity`. "
        "Looked up in the tables after the commit.",
    )
    true_values: tuple[str, ...] = Field(default=("true", "True", "TRUE"), description="Text that means true.")
    false_values: tuple[str, ...] = Field(default=("false", "False", "FALSE"), description="Text that means false.")

    @field_validator("type")
    @classmethod
    def _one_spelling(cls, raw: str) -> str:
        """A nested type is written in one way from here on. Raises NestedTypeError when it is none."""
        return str(parse_type(raw)) if column_kind(raw) in NESTED else raw

    @field_validator("min", "max")
    @classmethod
    def _typed_bound(cls, raw: Any, info: ValidationInfo) -> TypedValue | None:
        """Bounds have the column's own type from here on: `date` for a date, `Decimal` for a decimal, and so on."""
        return raw if raw is None else _typed(raw, info)

    @field_validator("allowed")
    @classmethod
    def _typed_allowed(cls, raw: tuple[Any, ...] | None, info: ValidationInfo) -> tuple[Any, ...] | None:
        return None if raw is None else tuple(_typed(value, info) for value in raw)

    @cached_property
    def kind(self) -> ColumnType:
        """The type without its parameters."""
        return column_kind(self.type)

    @cached_property
    def json_path(self) -> JsonPath | None:
        """`path`, read. Raises PathError."""
        return None if self.path is None else parse_path(self.path)

    @cached_property
    def data_type(self) -> DataType:
        """The type with the types inside it."""
        return parse_type(self.type) if self.kind in NESTED else ScalarType(self.type)

    @cached_property
    def decimal_digits(self) -> tuple[int, int]:
        """Precision and scale of a decimal. Raises ValueError for any other type."""
        return decimal_digits(self.type)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats to try, in order; `("iso8601",)` by default."""
        if self.format is None:
            return ("iso8601",)
        return (self.format,) if isinstance(self.format, str) else self.format


# What has no order has no bounds: left as it is, and refused by the loader in words that help.
_UNBOUNDED = frozenset({ColumnType.STRING, ColumnType.BOOLEAN})
_INCOMPARABLE = NESTED | {ColumnType.JSON}


def _typed(raw: Any, info: ValidationInfo) -> Any:
    """Read a value by the column's type; as it is when the type itself is wrong (that fault is enough)."""
    column_type = info.data.get("type")
    if not column_type:
        return raw
    kind = column_kind(column_type)
    if kind in _INCOMPARABLE or (kind in _UNBOUNDED and info.field_name != "allowed"):
        return raw
    if kind is ColumnType.DECIMAL and not _has_digits(column_type):
        return raw
    return typed_value(column_type, raw, zone=info.data.get("zone"))


def _has_digits(column_type: str) -> bool:
    precision, scale = decimal_digits(column_type)
    return 1 <= precision <= 38 and scale <= precision
