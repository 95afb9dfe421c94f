"""Great Expectations, for what the hot path does not implement itself: once a batch, on the rows just published.

GX is imported only when a batch has such an expectation (its import costs three seconds of CPU). It needs all rows in
memory, so a batch beyond MAX_ROWS is not evaluated, and its result says so: a check that saw half the rows is no check.
"""

import json
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assets.keys import counted
from pipelines.contracts.expectations import is_native
from pipelines.contracts.model import Dataset, Expectation, Severity
from pipelines.reports import ExpectationResult

__all__ = [
    "MAX_ROWS",
    "ExpectationResult",
    "column_of",
    "evaluate",
    "evaluate_table",
    "expected_of",
    "gx_columns",
    "gx_expectations",
    "shown_arguments",
]

MAX_ROWS = 2_000_000
"""Rows of one batch beyond which GX is not asked: 1 M rows of seven columns take about 575 MB."""
_TEXT_LIMIT = 200
_COLUMN_ARGUMENTS = ("column", "column_A", "column_B", "column_list", "column_set")
_QUOTED = re.compile("[\"'].*[\"']")


def gx_expectations(dataset: Dataset) -> tuple[Expectation, ...]:
    """The dataset's expectations that GX itself evaluates."""
    return tuple(e for e in dataset.expectations if not is_native(e))


def evaluate(dataset: Dataset, files: Sequence[Path]) -> tuple[ExpectationResult, ...]:
    """Evaluate the dataset's GX expectations on the rows of these Parquet files, as one batch.

    An expectation that GX cannot evaluate counts as failed, with GX's reason.
    """
    expectations = gx_expectations(dataset)
    if not expectations or not files:
        return ()
    rows = sum(pq.read_metadata(path).num_rows for path in files)
    if rows > MAX_ROWS:
        why = f"not evaluated: the batch has {rows:,} rows, more than the {MAX_ROWS:,} that fit in memory"
        return tuple(_result(e, success=False, observed=why) for e in expectations)
    table = pa.concat_tables(
        [pq.ParquetFile(path).read(columns=_wanted(dataset, expectations)) for path in files],
        promote_options="permissive",
    )
    return _validate(dataset.name, expectations, table)


def evaluate_table(dataset: Dataset, rows: pa.Table, severity: Severity) -> tuple[ExpectationResult, ...]:
    """Evaluate those of the dataset's GX expectations that have this severity on rows with `gx_columns`, as one batch."""
    asked = [expectation for expectation in gx_expectations(dataset) if expectation.severity is severity]
    return _validate(dataset.name, asked, rows) if asked else ()


def gx_columns(dataset: Dataset) -> list[str]:
    """The columns that `evaluate_table` needs."""
    return _wanted(dataset, gx_expectations(dataset))


def _validate(name: str, expectations: Sequence[Expectation], table: pa.Table) -> tuple[ExpectationResult, ...]:
    import pandas as pd

    # Arrow-backed extension types keep integers with nulls exact; pandas' own would turn them into doubles.
    frame = table.to_pandas(types_mapper=pd.ArrowDtype, integer_object_nulls=True)
    batch = _batch_definition(name).get_batch({"dataframe": frame})
    return tuple(_one(batch, expectation) for expectation in expectations)


def _one(batch: Any, expectation: Expectation) -> ExpectationResult:
    import great_expectations as gx
    from great_expectations.expectations.registry import get_expectation_impl

    try:
        suite = gx.ExpectationSuite(name=expectation.name)
        suite.add_expectation(get_expectation_impl(expectation.name)(**expectation.arguments))
        outcome = batch.validate(suite, result_format={"result_format": "SUMMARY"}).results[0]
    except Exception as error:  # noqa: BLE001 - GX is a door: whatever it raises, the rows are published and stay
        return _result(expectation, success=False, observed=_refused(str(error)))
    result: Mapping[str, Any] = outcome.result or {}
    counts = (result.get("unexpected_count"), result.get("element_count"))
    found = _result(expectation, success=bool(outcome.success), observed=_observed(outcome))
    if not all(isinstance(count, numbers.Integral) for count in counts):
        return found
    return replace(found, unexpected=int(counts[0] or 0), rows=int(counts[1] or 0))


@cache
def _batch_definition(name: str) -> Any:
    """One ephemeral GX context a process and one batch definition a dataset."""
    return _context().data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)


@cache
def _context() -> Any:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _wanted(dataset: Dataset, expectations: Sequence[Expectation]) -> list[str]:
    """The columns to read: those the expectations name; all of them where one speaks of the table's columns, or by itself."""
    wanted: set[str] = set()
    for expectation in expectations:
        if expectation.name.startswith("expect_table_column") or "row_condition" in expectation.arguments:
            return list(dataset.columns)
        for value in expectation.arguments.values():
            items: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
            wanted.update(item for item in items if isinstance(item, str) and item in dataset.columns)
    return [name for name in dataset.columns if name in wanted] or [next(iter(dataset.columns))]


def _result(expectation: Expectation, *, success: bool, observed: str) -> ExpectationResult:
    column, expected = column_of(expectation), expected_of(expectation)
    arguments = shown_arguments(expectation)
    return ExpectationResult(expectation.name, arguments, expectation.severity, success, observed, column, expected)


def column_of(expectation: Expectation) -> str:
    """The column, or columns, that an expectation is about; empty where it is about the table."""
    named = [value for name, value in expectation.arguments.items() if name in _COLUMN_ARGUMENTS]
    return ", ".join(str(name) for value in named for name in (value if isinstance(value, list | tuple) else [value]))


def expected_of(expectation: Expectation) -> str:
    """An expectation's arguments for people, without the column."""
    return _shown({n: v for n, v in expectation.arguments.items() if n not in _COLUMN_ARGUMENTS})


def shown_arguments(expectation: Expectation) -> str:
    """An expectation's arguments for people: as YAML would say them, without its notes, capped."""
    return _shown(expectation.arguments)


def _shown(arguments: Mapping[str, Any]) -> str:
    said = {name: value for name, value in arguments.items() if name not in ("notes", "meta", "description")}
    text = ", ".join(f"{name}: {json.dumps(value, default=str, ensure_ascii=False)}" for name, value in said.items())
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"


def _observed(outcome: Any) -> str:
    """GX's result in a few words: counts and aggregates, never the offending values themselves."""
    result: Mapping[str, Any] = outcome.result or {}
    observed = result.get("observed_value")
    if isinstance(observed, numbers.Real | Decimal):
        return f"observed {float(observed):,.6g}"
    if "element_count" in result and "unexpected_count" in result:
        return f"{result['unexpected_count']:,} of {result['element_count']:,} rows do not fit"
    if "unexpected_count" in result or "missing_count" in result:
        found = {"not in the set": result.get("unexpected_count"), "of the set missing": result.get("missing_count")}
        return ", ".join(f"{counted(n, 'distinct value')} {what}" for what, n in found.items() if n) or "holds"
    if isinstance(observed, list | tuple | set):
        return f"observed {counted(len(observed), 'value')}"
    if result:
        return "does not hold" if not outcome.success else "holds"
    return _refused(_message(outcome.exception_info or {}))


def _message(told: Mapping[str, Any]) -> str:
    """GX tells of an exception flat, or by the metric it came from."""
    for info in (told, *told.values()):
        if isinstance(info, Mapping) and info.get("exception_message"):
            return str(info["exception_message"])
    return ""


def _refused(message: str) -> str:
    """Why GX could not evaluate, on one line. What stands in quotes may be a value of a row: it is left out."""
    said = _QUOTED.sub("…", " ".join(message.split()))
    return f"could not be evaluated: {said}"[:_TEXT_LIMIT] if said else "could not be evaluated"
