"""The fast way for JSON Lines: a whole block through pyarrow.json, where it is proven to say what the strict way says.

It is taken only for flat contracts and blocks in which every line is one object by its first and last byte. pyarrow then refuses
unknown and repeated keys, nesting and values of another kind; what it does not refuse (NaN, numbers that become
infinite or zero, decimals that wrap around) is looked for here. None means: not proven, go the strict way. Findings in
pyarrow 25 behind each guard are told in `tests/reading/test_json_fast.py`.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from pipelines.contracts.model import Column, ColumnType, Dataset, JsonFormat
from pipelines.contracts.schema import arrow_type
from pipelines.reading.json_blocks import JsonBlock
from pipelines.reading.row_blocks import Cells
from pipelines.reading.rows import Plan

__all__ = ["FastLines"]

_PARSE_BYTES = 16 << 20
_OPEN, _CLOSE, _LF = 0x7B, 0x7D, 0x0A
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
_SHORTEST_BOUND = 15
_STRIDE = 8


class FastLines:
    """Parses blocks of one file whose keys are known. Use `build`."""

    def __init__(self, plan: Plan, keys: Mapping[str, str], decimal_bound: int | None) -> None:
        """Expect each column under the key given for it."""
        columns = plan.dataset.columns
        self.keys = dict(keys)
        self._typed = [n for n in keys if columns[n].kind in _TYPED]
        self._floats = {n: zeros for n in keys if (zeros := _ZEROS.get(columns[n].kind))}
        self._decimals = [n for n in keys if columns[n].kind is ColumnType.DECIMAL]
        self._decimal_bound = decimal_bound
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
        scales: list[int] = []
        wanted: dict[str, str] = {}
        for name in dataset.file_columns:
            column = dataset.columns[name]
            if not _is_eligible(column):
                return None
            if column.kind is ColumnType.DECIMAL:
                scales.append(column.decimal_digits[1])
            wanted[name] = keys.get(name, column.source or name)
        bound = 38 - max(scales) if scales else None
        if (bound is not None and bound < _SHORTEST_BOUND) or len(set(wanted.values())) < len(wanted):
            return None
        return FastLines(plan, wanted, bound)

    def parse(self, block: JsonBlock, seen: "set[str]") -> dict[str, Cells] | None:
        """The block's cells, one row a line; None when the strict way has to decide. Columns found are added to `seen`."""
        content = block.content
        octets = np.frombuffer(content, np.uint8)
        if octets[-1] != _LF or b"\r" in content or int((block.ends - block.starts).max()) > self._largest:
            return None
        # Lines that start with { and end with } cannot share an object; as many objects as lines is then one each.
        if not (np.all(octets[block.starts] == _OPEN) and np.all(octets[np.maximum(block.ends - 2, 0)] == _CLOSE)):
            return None
        if self._decimal_bound is not None and not _decimals_are_safe(octets, content, self._decimal_bound):
            return None
        try:
            table = pj.read_json(
                pa.BufferReader(content),
                pj.ReadOptions(use_threads=False, block_size=max(len(content) + 1, _PARSE_BYTES)),
                pj.ParseOptions(explicit_schema=self._schema, unexpected_field_behavior="error"),
            )
        except pa.ArrowInvalid:
            return None
        if table.num_rows != len(block.starts) or not self._floats_are_exact(table, content):
            return None
        if not self._decimals_fit(table):
            return None
        return self._cells(table, content, seen)

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
            elif name not in seen and (f'"{key}"'.encode() in content or b"\\u" in content):
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


def _decimals_are_safe(octets: "np.ndarray[tuple[int], np.dtype[np.uint8]]", content: bytes, bound: int) -> bool:
    """Whether no number of the block is longer than `bound` digits or has an exponent of two digits below zero."""
    if (b"e-" in content or b"E-" in content) and _found(content, "[0-9.][eE]-[0-9]{2}"):
        return False
    # A run of more than `bound` digits holds that many eighth bytes in a row; only where all of these are digits is looked closer.
    sampled = (octets[::_STRIDE] - np.uint8(0x2E)) < 12
    wanted = (bound + 1) // _STRIDE
    reach = len(sampled) - wanted + 1
    if reach <= 0:
        return not _found(content, f"[0-9.]{{{bound + 1}}}")
    hits = sampled[:reach].copy()
    for step in range(1, wanted):
        hits &= sampled[step : reach + step]
    starts = np.flatnonzero(hits) * _STRIDE
    for step in range(1, _STRIDE * (wanted - 1)):
        if not len(starts):
            return True
        starts = starts[(octets[starts + step] - np.uint8(0x2E)) < 12]
    return not len(starts) or not _found(content, f"[0-9.]{{{bound + 1}}}")


def _found(content: bytes, pattern: str) -> bool:
    offsets = np.array([0, len(content)], np.int32)
    whole = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(content)])
    return bool(pc.match_substring_regex(whole, pattern)[0].as_py())
