"""The JSON Schema of the dataset file, for editors: what the YAML itself may say, short forms and all.

It cannot know references between keys (a column that a partition names); `lakegate datasets check` does. Draft 2020-12.
"""

from typing import Any

from pipelines.contracts.great_expectations_list import COMMON_ARGUMENTS, EXPECTATIONS, SQL_ONLY
from pipelines.contracts.model import Dataset, Severity

__all__ = ["dataset_json_schema"]

_NAME = "[a-z][a-z0-9_]*"


def dataset_json_schema() -> dict[str, Any]:
    """The schema of a dataset file, generated from the model and the list of expectations."""
    schema = Dataset.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema["$defs"]
    definitions["PartitionField"] = {
        "type": "string",
        "description": "`col`, `day(col)`, `month(col)` or `bucket(n, col)`.",
        "pattern": rf"^({_NAME}|(day|month)\(\s*{_NAME}\s*\)|bucket\(\s*[0-9]+\s*,\s*{_NAME}\s*\))$",
    }
    definitions["Expectation"] = _expectation()
    name = {"type": "string", "pattern": rf"^{_NAME}\.{_NAME}$"}
    definitions["Reference"] = {"anyOf": [name, definitions["Reference"]]}
    definitions["RowCount"] = {"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, definitions["RowCount"]]}
    definitions["RowRule"] = {"anyOf": [{"type": "string"}, definitions["RowRule"]]}
    span = r"^P(?=.)([0-9]+W)?([0-9]+D)?(T(?=.)([0-9]+H)?([0-9]+M)?)?$"
    definitions["Freshness"]["properties"]["expected_every"]["pattern"] = span
    definitions["Compaction"]["properties"]["settled_after"]["pattern"] = span
    definitions["Work"]["properties"]["fresh_within"]["pattern"] = span
    clock = "([01][0-9]|2[0-3]):[0-5][0-9]"
    definitions["Deferral"]["properties"]["older_than"]["pattern"] = span
    definitions["Deferral"]["properties"]["hours"]["pattern"] = rf"^{clock}\s*-\s*{clock}$"
    definitions["Deferral"]["anyOf"] = [{"required": ["larger_than_bytes"]}, {"required": ["older_than"]}]
    definitions["Freshness"]["oneOf"] = [{"required": ["expected_every"]}, {"required": ["due_by"]}]
    definitions["Freshness"]["properties"]["due_by"]["pattern"] = f"^{clock}$"
    for name in ("VolumeCheck", "NullShareCheck"):
        definitions[name]["properties"]["tolerance"]["pattern"] = r"^[0-9]{1,4}(\.[0-9]{1,4})?\s*%$"
    column = definitions["Column"]["properties"]
    value = {"type": ["string", "number", "boolean"]}
    for key in ("min", "max"):
        column[key] = {"type": ["string", "number"], "description": column[key]["description"]}
    column["allowed"] = {
        "type": "array",
        "items": value,
        "minItems": 1,
        "description": column["allowed"]["description"],
    }
    properties = schema["properties"]
    properties["columns"]["propertyNames"] = {"pattern": f"^{_NAME}$", "maxLength": 128}
    # pydantic writes `const`-less discriminators in OpenAPI's way, which draft 2020-12 does not know.
    properties["format"].pop("discriminator", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Lakegate dataset",
        "description": "One dataset: its files, its columns, its table and its rules.",
        **{k: _tidy(v) for k, v in schema.items() if k not in ("title", "description")},
    }


def _expectation() -> dict[str, Any]:
    """One key that is an expectation's name, and a severity beside it."""
    common = dict.fromkeys(COMMON_ARGUMENTS, True)
    properties: dict[str, Any] = {
        "severity": {
            "enum": [severity.value for severity in Severity],
            "default": Severity.WARN.value,
            "description": "What a breach leads to.",
        }
    }
    names = [name for name in EXPECTATIONS if name not in SQL_ONLY]
    for name in names:
        required, optional = EXPECTATIONS[name]
        properties[name] = {
            "type": "object",
            "properties": {**dict.fromkeys((*required, *optional), True), **common},
            "required": list(required),
            "additionalProperties": False,
        }
    return {
        "type": "object",
        "description": "One `expect_…: {arguments}` of Great Expectations, and an optional `severity`.",
        "properties": properties,
        "additionalProperties": False,
        "oneOf": [{"required": [name]} for name in names],
    }


def _tidy(value: Any) -> Any:
    """Without pydantic's titles, which repeat the key, and its nulls, which a dataset file has no use for."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {k: _tidy(v) for k, v in value.items() if k != "title" or not isinstance(v, str)}
    branches = out.get("anyOf")
    if isinstance(branches, list) and {"type": "null"} in branches:
        rest = [branch for branch in branches if branch != {"type": "null"}]
        if out.get("default", ...) is None:
            del out["default"]
        if len(rest) == 1:
            del out["anyOf"]
            out = {**rest[0], **out}
        else:
            out["anyOf"] = rest
    return out
