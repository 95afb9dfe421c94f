"""Reads back what a contender wrote and holds it to the truth. A time counts only when nothing disagrees.

Good rows must be there exactly once, each value in its row. Of bad rows (a dirty file) it is counted how many stand in the
table; ours must have none there, and each in the table beside it with its line, column, rule and text.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.feeds import Feed
from benchmarks.truth import Truth, differences, take

__all__ = ["Verdict", "rejected_rows", "verify"]

_ROWS_AT_ONCE = 131_072
_TELLS = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. `wrong` says in words what disagrees (empty: nothing); `bad_rows` the known bad ones, `missed` those that were loaded.

    `rounded`: doubles agree but for their last digit. `files` and `bytes` are those of the table.
    """

    wrong: str
    rows: int
    bad_rows: int
    missed: int
    rounded: bool
    files: int
    bytes: int


def verify(feed: Feed, folder: Path, out: Path) -> Verdict:
    """Hold the Parquet files below `out` to the truth that stands in `folder` beside the file."""
    truth = Truth.read(folder / f"{feed.name}.truth.json")
    bad = _bad_ids(folder / f"{feed.name}.truth.jsonl")
    files = [path for path in sorted(out.rglob("*.parquet")) if not _is_beside(path)]
    found, missed = Truth(), 0
    told: list[str] = []
    try:
        for rows in _tables(feed, files):
            good = rows.filter(pc.invert(pc.is_in(rows.column("id"), bad))) if len(bad) else rows
            missed += rows.num_rows - good.num_rows
            if good.num_rows:
                found += take(good)
        told = differences(truth, found, exact=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError, ValueError) as error:
        told = [f"cannot be read as the feed's columns: {str(error).splitlines()[0]}"]
    rounded = not told and bool(differences(truth, found, exact=True))
    wrong = "; ".join(told[:_TELLS]) + (f" and {len(told) - _TELLS} more" if len(told) > _TELLS else "")
    return Verdict(wrong, found.rows, len(bad), missed, rounded, len(files), sum(p.stat().st_size for p in files))


def rejected_rows(feed: Feed, folder: Path, beside: Path) -> str:
    """What disagrees between the truth about bad rows and the table of rejected rows below `beside`, in words; empty: nothing."""
    expected = {row["line"]: row for row in _lines(folder / f"{feed.name}.truth.jsonl")}
    seen: dict[int, dict[str, Any]] = {}
    for path in sorted(beside.rglob("*.parquet")):
        for row in pq.ParquetFile(path).read(columns=["_source_line", "raw", "reasons"]).to_pylist():
            if row["_source_line"] in seen:
                return f"line {row['_source_line']} is rejected twice"
            seen[row["_source_line"]] = row
    if lost := sorted(expected.keys() - seen.keys()):
        return f"{len(lost):,} of {len(expected):,} bad rows were not rejected, the first on line {lost[0]}"
    if more := sorted(seen.keys() - expected.keys()):
        return f"{len(more):,} good rows were rejected, the first on line {more[0]}"
    for line, row in expected.items():
        reasons = [(r.get("column"), r.get("rule")) for r in json.loads(seen[line]["reasons"])]
        if reasons != [(row["column"], row["rule"])]:
            return f"line {line} was rejected for {reasons} instead of {row['column']}, {row['rule']}"
        if seen[line]["raw"] != row["raw"]:
            return f"the text kept of line {line} is not the file's"
    return ""


def _tables(feed: Feed, files: list[Path]) -> Iterator[pa.Table]:
    """The rows of each file in the feed's own types, some at a time; a column that stands in the path only is taken from there."""
    for path in files:
        opened = pq.ParquetFile(path)
        there = [name for name in feed.columns if name in opened.schema_arrow.names]
        for batch in opened.iter_batches(_ROWS_AT_ONCE, columns=there):
            columns = [
                _typed(batch.column(name), kind) if name in there else _of_path(path, name, kind, batch.num_rows)
                for name, kind in feed.columns.items()
            ]
            yield pa.Table.from_arrays(columns, schema=feed.schema)


def _is_beside(path: Path) -> bool:
    """Whether a file holds no rows of the table: rejected ones, or dlt's own books."""
    return any(part == "bad=true" or part.startswith("_dlt") for part in path.parts)


def _of_path(path: Path, name: str, kind: pa.DataType, rows: int) -> pa.Array:
    [text] = [part.partition("=")[2] for part in path.parts if part.startswith(f"{name}=")] or [""]
    if not text:
        raise KeyError(f"no column {name}, in {path.name} or its path")
    return pa.repeat(pa.scalar(unquote(text)[:10], pa.string()).cast(kind), rows)


def _typed(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """The same values in the feed's type. Raises ArrowInvalid where one does not fit."""
    if values.type == kind:
        return values
    if pa.types.is_decimal(kind) and pa.types.is_floating(values.type):
        return pc.round(values, kind.scale).cast(pa.decimal128(18, kind.scale), safe=False).cast(kind)
    if pa.types.is_timestamp(values.type) and pa.types.is_timestamp(kind):
        moments = values.cast(pa.timestamp("us", tz=values.type.tz))
        return moments.view(pa.int64()).cast(pa.timestamp("us")).cast(kind)
    return values.cast(kind)


def _bad_ids(path: Path) -> pa.Array:
    return pa.array([row["id"] for row in _lines(path)], pa.int64())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)
