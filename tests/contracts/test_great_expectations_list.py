"""The committed list of expectations is the installed package's own; what runs only in SQL databases is known."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.contracts.great_expectations_list import COMMON_ARGUMENTS, EXPECTATIONS, SQL_ONLY

# Machinery of GX, which a person does not write.
INTERNAL = {"library_metadata"}
VALUES: dict[str, Any] = {
    "column": "number", "column_A": "number", "column_B": "other", "column_list": ["number", "other"], "column_set": ["number"],
    "value_set": [1], "min_value": 0, "max_value": 9, "regex": "x", "regex_list": ["x"], "like_pattern": "x%",
    "like_pattern_list": ["x%"], "type_": "int64", "type_list": ["int64"], "json_schema": {}, "value": 3, "threshold": 1.0,
    "strftime_format": "%Y-%m-%d", "double_sided": True, "sum_total": 3, "value_pairs_set": [(1, 2)],
    "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 9]]}, "method": "iqr", "multiplier": 1.5,
    "partition_object": {"values": [1, 2, 3], "weights": [0.3, 0.3, 0.4]}, "unexpected_rows_query": "select 1 from {batch}",
    "other_table_name": "t", "base_query": "q", "comparison_data_source_name": "p", "comparison_query": "q",
}  # fmt: skip


@pytest.fixture(scope="module")
def registry() -> dict[str, Any]:
    """Every registered expectation of the installed Great Expectations, by its name."""
    import great_expectations.expectations  # noqa: F401 - fills the registry
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    names = list_registered_expectation_implementations()
    return {
        n: get_expectation_impl(n)
        for n in names
        if get_expectation_impl(n).__module__.startswith("great_expectations.expectations.core")
    }


def test_the_list_is_that_of_the_installed_package(registry: dict[str, Any]) -> None:
    from great_expectations.expectations.expectation import BatchExpectation

    base = set(BatchExpectation.__fields__) | set(COMMON_ARGUMENTS) | INTERNAL
    installed = {
        name: (
            tuple(k for k, f in implementation.__fields__.items() if k not in base and f.required),
            tuple(k for k, f in implementation.__fields__.items() if k not in base and not f.required),
        )
        for name, implementation in sorted(registry.items())
    }
    text = "".join(f"    {name!r}: {arguments!r},\n" for name, arguments in installed.items())
    assert installed == EXPECTATIONS, f"EXPECTATIONS must be (then run `make format`):\n{text}"


def test_expectations_refused_as_sql_only_are_those_that_cannot_run_on_rows(registry: dict[str, Any]) -> None:
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    frame = pd.DataFrame({"number": [1, 2], "other": [2, 3], "text": ["{}", "{}"], "day": ["2024-01-01"] * 2})
    definition = context.data_sources.add_pandas("p").add_dataframe_asset("d").add_batch_definition_whole_dataframe("b")
    batch = definition.get_batch({"dataframe": frame})
    failing: set[str] = set()
    for name, implementation in registry.items():
        required, optional = EXPECTATIONS[name]
        wanted = {*required, *({"min_value", "max_value", "column_list", "column_set", "type_list"} & {*optional})}
        if "regex" in optional:
            wanted.add("regex")
        if "partition_object" in optional:
            wanted |= {"partition_object", "threshold"}
        arguments = {key: VALUES[key] for key in wanted}
        if any(word in name for word in ("regex", "pattern", "lengths", "json")):
            arguments["column"] = "text"
        if "strftime" in name or "dateutil" in name:
            arguments["column"] = "day"
        result = batch.validate(implementation(**arguments))
        information = result.exception_info or {}
        entries = [information] if "raised_exception" in information else list(information.values())
        if any(entry.get("raised_exception") for entry in entries):
            failing.add(name)
    assert failing == SQL_ONLY
