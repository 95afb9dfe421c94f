"""Ten rules on the same rows: the reader's own expectations, and Great Expectations. Each a process of its own that reads one Parquet file.

    python -m benchmarks.ten_rules ours|gx FILE       prints how many rows break each rule, in order, as JSON

The rows are those of the wide feed; what breaks each rule is counted by numpy as they are made, and both must find the same.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.blocks import rows_of
from benchmarks.feeds import WIDE
from benchmarks.measure import measure
from benchmarks.suite import Measured, Series, Suite, rounds
from benchmarks.table import GOALS, Line, spread

__all__ = ["RULES", "rules_lines"]

_ROWS_A_GB = 1_000_000
_BLOCK_ROWS = 50_000
RULES: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_values_to_not_be_null", {"column": "id"}),
    ("expect_column_values_to_not_be_null", {"column": "store_id"}),
    ("expect_column_values_to_be_between", {"column": "quantity", "min_value": 0, "max_value": 989}),
    ("expect_column_values_to_be_between", {"column": "score", "min_value": -3500, "max_value": 3500}),
    ("expect_column_values_to_be_between", {"column": "ratio", "min_value": -1, "max_value": 0.999}),
    (
        "expect_column_values_to_be_in_set",
        {"column": "country", "value_set": ["DE", "FR", "PL", "ES", "US", "JP", "SE"]},
    ),
    ("expect_column_values_to_match_regex", {"column": "code", "regex": "^[A-Z]{2}[0-9]{4}$"}),
    ("expect_column_values_to_not_match_regex", {"column": "code", "regex": "^ZZ"}),
    ("expect_column_value_lengths_to_be_between", {"column": "name", "min_value": 1, "max_value": 19}),
    ("expect_column_values_to_not_be_in_set", {"column": "customer_id", "value_set": [1, 2, 3]}),
]
"""Rows break some of them: a rule that nothing breaks shows nothing."""


def rules_lines(suite: Suite) -> list[Line]:
    """Ours beside Great Expectations, CPU of whole processes, imports included."""
    rows = max(10_000, int(_ROWS_A_GB * suite.size_gb))
    title = f"ten rules on {rows:,} rows"
    path = suite.folder / f"rules-{rows}.parquet"
    expected = _write(path, rows)
    found = rounds(
        suite.runs, {name: lambda name=name: _once(name, path, expected) for name in ("ours", "gx")}, suite.tell
    )
    ours, peer = Series("ours", rounds=found["ours"]), Series("Great Expectations, pandas", rounds=found["gx"])
    if ours.wrong:
        return [Line.wrong(title, ours.wrong)]
    if peer.wrong:
        return [Line(title, peer.label, "CPU", str(suite.runs), note=f"wrong: {peer.wrong}")]
    pairs = list(zip(ours.rounds, peer.rounds, strict=True))
    ratios = [mine.run.cpu_s / theirs.run.cpu_s for mine, theirs in pairs]
    mine, theirs = pairs[0]
    return [
        Line(
            title,
            peer.label,
            "CPU",
            str(len(ratios)),
            spread(ratios),
            GOALS["rules", "gx", "CPU"].words(sorted(ratios)[len(ratios) // 2]),
            f"{mine.run.cpu_s:.1f} : {theirs.run.cpu_s:.1f} s",
            f"{mine.run.peak_mb:,.0f} : {theirs.run.peak_mb:,.0f} MB",
            "imports included; no line numbers",
        )
    ]


def _once(name: str, path: Path, expected: list[int]) -> Measured:
    load = os.getloadavg()[0]
    run = measure([sys.executable, "-m", "benchmarks.ten_rules", name, str(path)])
    if run.exit_code:
        return Measured(run, None, f"it failed with {run.exit_code}: {run.last_line}", load)
    found = json.loads(run.last_line)
    return Measured(run, None, "" if found == expected else f"{found} rows break the rules instead of {expected}", load)


def _write(path: Path, rows: int) -> list[int]:
    """Write the rows; how many break each rule."""
    broken = np.zeros(len(RULES), np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, WIDE.schema) as writer:
        for first in range(0, rows, _BLOCK_ROWS):
            block = rows_of(WIDE, 42, first, min(_BLOCK_ROWS, rows - first), 0.0)
            writer.write_batch(block)
            broken += _broken(block)
    return broken.tolist()


def _broken(block: pa.RecordBatch) -> list[int]:
    """Counted with numpy and Python, for each rule."""

    def numbers(name: str) -> np.ndarray:
        return block.column(name).drop_null().to_numpy()

    codes = block.column("code").to_pylist()
    return [
        block.column("id").null_count,
        block.column("store_id").null_count,
        int(np.sum((numbers("quantity") < 0) | (numbers("quantity") > 989))),
        int(np.sum(np.abs(numbers("score")) > 3500)),
        int(np.sum(numbers("ratio") > 0.999)),
        block.column("country").to_pylist().count("IE"),
        sum(not (len(c) == 6 and c[:2].isalpha() and c[2:].isdecimal()) for c in codes),
        sum(c.startswith("ZZ") for c in codes),
        sum(len(name) > 19 for name in block.column("name").to_pylist()),
        int(np.sum(np.isin(numbers("customer_id"), [1, 2, 3]))),
    ]


def _ours(path: Path) -> list[int]:
    import yaml

    from pipelines.contracts.model import Dataset
    from pipelines.reading.expectations import FileExpectations, NativeExpectations

    contract = yaml.safe_load(WIDE.contract_for("csv", dirty=False))
    contract["expectations"] = [{name: arguments} for name, arguments in RULES]
    file = FileExpectations(NativeExpectations(Dataset.model_validate(contract)))
    identities = [one.identity for one in file._compiled]
    broken = dict.fromkeys(identities, 0)
    columns = sorted({arguments["column"] for _, arguments in RULES})
    for batch in pq.ParquetFile(path).iter_batches(_BLOCK_ROWS, columns=columns):
        for breach in file.check({name: batch.column(name) for name in columns}):
            broken[breach.expectation] += len(breach.rows)
    return list(broken.values())


def _gx(path: Path) -> list[int]:
    import great_expectations as gx
    import pandas as pd

    columns = sorted({arguments["column"] for _, arguments in RULES})
    rows = pd.read_parquet(path, columns=columns)
    context = gx.get_context(mode="ephemeral")
    batch = (
        context.data_sources.add_pandas("rows").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("rows")
    )
    suite = gx.ExpectationSuite("ten")
    for name, arguments in RULES:
        kind = "".join(part.capitalize() for part in name.split("_"))
        suite.add_expectation(getattr(gx.expectations, kind)(**arguments))
    found = batch.get_batch({"dataframe": rows}).validate(context.suites.add(suite), result_format="BASIC")
    counts = {_told(r.expectation_config): r.result["unexpected_count"] for r in found.results}
    return [int(counts[name, arguments["column"]]) for name, arguments in RULES]


def _told(configuration: Any) -> tuple[str, str]:
    return configuration.type, configuration.kwargs["column"]


if __name__ == "__main__":
    print(json.dumps({"ours": _ours, "gx": _gx}[sys.argv[1]](Path(sys.argv[2]))))
