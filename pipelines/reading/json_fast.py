"""The fast way for JSON Lines: the lines of a block through pyarrow.json, where it is proven to say what the strict way says.

It is taken only for flat contracts, and for lines that a regular expression proves to be one object of known keys, each value
written as its column wants it (`json_line_forms.py`). pyarrow then refuses repeated keys; what it does not refuse (numbers that
become infinite or zero, decimals of too many digits) is looked for here. Lines of which nothing is proven are left to the
strict way, and so is the block where they are many. Findings in pyarrow 25 behind each guard are told in
`tests/reading/test_json_fast.py`.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from pipelines.contracts.model import Column, ColumnType, Dataset, JsonFormat
from pipelines.contracts.schema import arrow_type
from pipelines.reading.csv_blocks import Positions
from pipelines.reading.json_blocks import JsonBlock
from pipelines.reading.json_line_forms import LineForm
from pipelines.reading.row_blocks import Cells
from pipelines.reading.rows import Plan

__all__ = ["FastCells", "FastLines"]

_PARSE_BYTES = 16 << 20
_MOST_LEFT = 0.5
"""The share of a block's lines that may be left to the strict way; where it is more, all of them are."""
_MOST_LINES_LEFT = 16_384
_LEAF = 64
"""Lines among which it is not searched for the one that pyarrow does not take."""
_AS_TEXT = (ColumnType.STRING, ColumnType.DATE, ColumnType.TIMESTAMP)
_TYPED = (
    ColumnType.BOOLEAN,
    ColumnType.INT,
    ColumnType.BIGINT,
    ColumnType.FLOAT,
    ColumnType.DOUBLE,
    ColumnType.DECIMAL,
)
_ZEROS = {ColumnType.FLOAT: b"0" * 40, ColumnType.DOUBLE: b"0" * 300}
"""Fewer zeros behind the point make no number 0 in these types (without an exponent)."""


@dataclass(frozen=True, slots=True)
class FastCells:
    """What was read of a block: the cells of the lines `read`, by their numbers in the block; the others are `left` to the strict way."""

    cells: dict[str, Cells]
    read: Positions
    left: Positions


class FastLines:
    """Parses blocks of one file whose keys are known. Use `build`."""

    def __init__(self, plan: Plan, keys: Mapping[str, str]) -> None:
        """Expect each column under the key given for it."""
        columns = plan.dataset.columns
        self.keys = dict(keys)
        self._typed = [n for n in keys if columns[n].kind in _TYPED]
        self._decimals = [n for n in keys if columns[n].kind is ColumnType.DECIMAL]
        self._form = LineForm({key: columns[name] for name, key in keys.items()})
        floats = {n: zeros for n in keys if (zeros := _ZEROS.get(columns[n].kind))}
        self._floats = {} if self._form.tells_values else floats
        # The shortest member of an object has four bytes: `"":0`.
        self._largest = min(plan.limits.record_bytes, plan.limits.cell_bytes, 4 * plan.limits.keys)
        self._schema = pa.schema(
            [
                pa.field(key, pa.string() if columns[n].kind in _AS_TEXT else arrow_type(columns[n]))
                for n, key in keys.items()
            ]
        )

    @staticmethod
    def build(plan: Plan, keys: Mapping[str, str]) -> "FastLines | None":
        """The fast way for a dataset, if there is one. `keys` are the keys by which the file names columns, where known."""
        dataset = plan.dataset
        if plan.limits.columns < len(dataset.file_columns) or _is_deep(dataset):
            return None
        wanted: dict[str, str] = {}
        for name in dataset.file_columns:
            column = dataset.columns[name]
            if not _is_eligible(column):
                return None
            wanted[name] = keys.get(name, column.source or name)
        return FastLines(plan, wanted) if len(set(wanted.values())) == len(wanted) else None

    def parse(self, block: JsonBlock, seen: "set[str]") -> FastCells | None:
        """The cells of all lines of the block that are proven; None when the strict way has to read the block.

        Columns found are added to `seen`. The content is UTF-8.
        """
        is_read = self._form.has(block) & (block.ends - block.starts <= self._largest)
        lines = len(is_read)
        least = max((1 - _MOST_LEFT) * lines, lines - _MOST_LINES_LEFT)
        if is_read.sum() < least:
            return None
        content, ends = _without(block, is_read)
        table = self._table(content, len(ends))
        if table is None:
            read = np.flatnonzero(is_read)
            is_read[read[self._refused(content, ends, 0, len(ends))]] = False
            if is_read.sum() < least:
                return None
            content, ends = _without(block, is_read)
            table = self._table(content, len(ends))
        if table is None:
            return None
        cells = self._cells(table, content, seen)
        return None if cells is None else FastCells(cells, np.flatnonzero(is_read), np.flatnonzero(~is_read))

    def _table(self, content: bytes, lines: int) -> pa.Table | None:
        """Whole lines as pyarrow reads them; None when it refuses one, or is not to be believed."""
        try:
            table = pj.read_json(
                pa.BufferReader(content),
                pj.ReadOptions(use_threads=False, block_size=max(len(content) + 1, _PARSE_BYTES)),
                pj.ParseOptions(explicit_schema=self._schema, unexpected_field_behavior="error"),
            )
        except pa.ArrowInvalid:
            return None
        is_proven = table.num_rows == lines and self._floats_are_exact(table, content) and self._decimals_fit(table)
        return table if is_proven else None

    def _refused(self, content: bytes, ends: Positions, first: int, behind: int) -> list[int]:
        """Which of the lines from `first` to `behind` are not to be read so: those that share a few with one that is refused."""
        if behind - first <= _LEAF:
            return list(range(first, behind))
        half = (first + behind) // 2
        refused: list[int] = []
        for low, high in ((first, half), (half, behind)):
            piece = content[ends[low - 1] if low else 0 : ends[high - 1]]
            if self._table(piece, high - low) is None:
                refused += self._refused(content, ends, low, high)
        return refused

    def _floats_are_exact(self, table: pa.Table, content: bytes) -> bool:
        for name, zeros in self._floats.items():
            values = table[self.keys[name]]
            if pc.all(pc.is_finite(values)).as_py() is False:
                return False
            if pc.any(pc.equal(values, 0.0)).as_py() and (b"e-" in content or b"E-" in content or zeros in content):
                return False
        return True

    def _decimals_fit(self, table: pa.Table) -> bool:
        """Whether every decimal has the digits its type has: pyarrow reads 541 as a decimal(5,5) and says nothing."""
        try:
            for name in self._decimals:
                table[self.keys[name]].validate(full=True)
        except pa.ArrowInvalid:
            return False
        return True

    def _cells(self, table: pa.Table, content: bytes, seen: "set[str]") -> dict[str, Cells] | None:
        cells: dict[str, Cells] = {}
        for name, key in self.keys.items():
            column = table[key].combine_chunks()
            values = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
            if values.null_count < len(values):
                seen.add(name)
            elif name not in seen and f'"{key}"'.encode() in content:
                return None  # present, and null: or not present at all
            cells[name] = Cells(values, values if name in self._typed else None)
        return cells


def _is_deep(dataset: Dataset) -> bool:
    """Whether some column does not stand right in the object of a line."""
    form = dataset.format
    in_arrays = isinstance(form, JsonFormat) and (form.records is not None or form.explode is not None)
    return in_arrays or any(column.path is not None for column in dataset.columns.values())


def _is_eligible(column: Column) -> bool:
    if column.kind in _AS_TEXT:
        return not any(form.startswith("epoch_") for form in column.formats)
    speaks_of_text = column.pattern is not None or column.min_length is not None or column.max_length is not None
    return column.kind in _TYPED and not speaks_of_text


def _without(block: JsonBlock, is_kept: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> tuple[bytes, Positions]:
    """The lines that are kept, one behind another, and the end of each."""
    if is_kept.all():
        return block.content, block.ends
    edges = np.flatnonzero(np.diff(np.concatenate(([False], is_kept, [False]))))
    runs = zip(block.starts[edges[0::2]].tolist(), block.ends[edges[1::2] - 1].tolist(), strict=True)
    return b"".join([block.content[start:end] for start, end in runs]), np.cumsum((block.ends - block.starts)[is_kept])
