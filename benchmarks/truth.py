"""What is in a table, in figures that do not depend on who wrote it: rows, and of each column nulls, sum, smallest, greatest and a fingerprint.

The generator takes them of the values it writes, before they become text; the verification takes them of what a contender wrote. Every
value becomes a number: whole numbers, days and microseconds as they are, decimals as units of their last digit, text as its bytes,
each weighed by its place. The sum of a column is of these numbers (of a text: its length); in the fingerprint each is weighed by the
row's id, so a value that is changed, lost, doubled or in a wrong row changes it. All of them are exact but the sums of doubles.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Figures", "Truth", "differences", "take"]

_WORD = 1 << 64
_LONGEST_TEXT = 1 << 16
_PLACES = np.random.default_rng(20240101).integers(0, 1 << 63, _LONGEST_TEXT, np.uint64) * np.uint64(2) + np.uint64(1)
_CLOSE = 1e-12
"""How far sums of doubles may lie apart, beside the sum of their sizes: the order of adding, or readers that are off in the last digit."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One column. `smallest` and `greatest` are numbers or text; `size` is the sum of a double column's sizes."""

    nulls: int
    total: int | float
    smallest: int | float | str | None
    greatest: int | float | str | None
    fingerprint: int
    size: float = 0.0

    def __add__(self, other: "Figures") -> "Figures":
        """Both together."""
        lows = [v for v in (self.smallest, other.smallest) if v is not None]
        highs = [v for v in (self.greatest, other.greatest) if v is not None]
        return Figures(
            self.nulls + other.nulls,
            self.total + other.total,
            min(lows, default=None),  # type: ignore[type-var]
            max(highs, default=None),  # type: ignore[type-var]
            (self.fingerprint + other.fingerprint) % _WORD,
            self.size + other.size,
        )


@dataclass(frozen=True, slots=True)
class Truth:
    """A table: its rows, and the figures of each column."""

    rows: int = 0
    columns: Mapping[str, Figures] = field(default_factory=dict[str, Figures])

    def __add__(self, other: "Truth") -> "Truth":
        """Both together: the same columns, or none in one of them."""
        if not self.columns or not other.columns:
            return other if other.columns else self
        return Truth(self.rows + other.rows, {name: mine + other.columns[name] for name, mine in self.columns.items()})

    def write(self, path: Path) -> None:
        """Keep as JSON."""
        path.write_text(json.dumps({"rows": self.rows, "columns": {n: asdict(f) for n, f in self.columns.items()}}))

    @classmethod
    def read(cls, path: Path) -> "Truth":
        """What `write` kept."""
        kept: dict[str, Any] = json.loads(path.read_text())
        return cls(kept["rows"], {name: Figures(**figures) for name, figures in kept["columns"].items()})


def take(rows: pa.Table | pa.RecordBatch) -> Truth:
    """The truth of rows that have the feed's own types, `id` among them and nowhere null."""
    weights = _words(_whole(rows.column("id"))) * np.uint64(2) + np.uint64(1)
    return Truth(rows.num_rows, {n: _figures(_whole(rows.column(n)), weights) for n in rows.schema.names})


def differences(truth: Truth, found: Truth, *, exact: bool) -> list[str]:
    """What of the figures disagrees, in words; nothing when the tables agree. Without `exact` doubles may be off in the last digit."""
    if truth.rows != found.rows:
        return [f"{found.rows:,} rows instead of {truth.rows:,}"]
    told: list[str] = []
    for name, right in truth.columns.items():
        if (seen := found.columns.get(name)) is None:
            told.append(f"{name}: no such column")
            continue
        is_double = isinstance(right.total, float)
        if seen.nulls != right.nulls:
            told.append(f"{name}: {seen.nulls:,} nulls instead of {right.nulls:,}")
        elif is_double and abs(seen.total - right.total) > _CLOSE * right.size:
            told.append(f"{name}: the sum is {seen.total!r} instead of {right.total!r}")
        elif not is_double and seen.total != right.total:
            told.append(f"{name}: the sum is {seen.total} instead of {right.total}")
        elif is_double and not exact:
            continue
        elif (seen.smallest, seen.greatest) != (right.smallest, right.greatest):
            told.append(
                f"{name}: {seen.smallest!r} to {seen.greatest!r} instead of {right.smallest!r} to {right.greatest!r}"
            )
        elif seen.fingerprint != right.fingerprint:
            told.append(f"{name}: another value, or a value in another row")
    return told


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _figures(values: pa.Array, weights: np.ndarray) -> Figures:
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    words = _words(values)
    fingerprint = int(np.sum((words * weights)[valid], dtype=np.uint64))
    if pa.types.is_string(values.type):
        ends = pc.min_max(values).as_py()
        length = pc.sum(pc.binary_length(values)).as_py() or 0
        return Figures(values.null_count, length, ends["min"], ends["max"], fingerprint)
    if pa.types.is_floating(values.type):
        there = values.drop_null().to_numpy()
        low, high = (float(there.min()), float(there.max())) if len(there) else (None, None)
        return Figures(values.null_count, float(there.sum()), low, high, fingerprint, float(np.abs(there).sum()))
    numbers = words.view(np.int64)[valid]
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (None, None)
    return Figures(values.null_count, _sum(numbers), low, high, fingerprint)


def _sum(numbers: np.ndarray) -> int:
    """Exact: microseconds of a few ten thousand rows would not fit into 64 bits."""
    halves = np.sum(numbers >> 32, dtype=np.int64), np.sum(numbers & 0xFFFFFFFF, dtype=np.int64)
    return (int(halves[0]) << 32) + int(halves[1])


def _words(values: pa.Array) -> np.ndarray:
    """A number of 64 bits for each value; of a null, any."""
    kind = values.type
    if pa.types.is_string(kind):
        return _text_words(values)
    if pa.types.is_decimal(kind):
        units = np.frombuffer(values.buffers()[1], np.uint64)[::2]
        return units[values.offset : values.offset + len(values)]
    if pa.types.is_boolean(kind):
        return pc.fill_null(values, False).cast(pa.uint8()).to_numpy().astype(np.uint64)
    if pa.types.is_date32(kind):
        values = values.view(pa.int32())
    elif pa.types.is_timestamp(kind) or pa.types.is_floating(kind):
        values = values.view(pa.int64())
    return pc.fill_null(values, 0).to_numpy().astype(np.int64, copy=False).view(np.uint64)


def _text_words(values: pa.Array) -> np.ndarray:
    offsets = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1]
    octets = np.frombuffer(values.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    bounds = (offsets - offsets[0]).astype(np.int64)
    places = np.arange(len(octets)) - np.repeat(bounds[:-1], np.diff(bounds))
    weighed = (octets.astype(np.uint64) + np.uint64(1)) * _PLACES[places % _LONGEST_TEXT]
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(weighed, dtype=np.uint64)))
    return sums[bounds[1:]] - sums[bounds[:-1]]
