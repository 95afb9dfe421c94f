"""Two stretches of judged rows that lie among each other in the file become one, in the file's order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.reading.rejects import RowFaults
from pipelines.reading.rescue import Rescued
from pipelines.reading.row_blocks import RowBlock

__all__ = ["JudgedRows", "woven"]

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """Rows with their typed values by column, which of them are bad, and what is wrong with those, where rows are rejected one by one."""

    block: RowBlock
    values: dict[str, pa.Array]
    bad: npt.NDArray[np.bool_]
    faults: RowFaults


def woven(first: JudgedRows, second: JudgedRows) -> JudgedRows:
    """The rows of both by their lines, of which none is in both. The block has no cells any more: they have been judged."""
    parts = (first, second)
    order = np.argsort(np.concatenate([part.block.lines for part in parts]), kind="stable")
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    at = (places[: first.block.rows], places[first.block.rows :])
    of_second = order >= first.block.rows
    local = np.where(of_second, order - first.block.rows, order)

    def ask(row: int, of: Callable[[RowBlock], Callable[[int], _Answer]]) -> _Answer:
        return of(parts[int(of_second[row])].block)(int(local[row]))

    faults = RowFaults()
    for part, rows in zip(parts, at, strict=True):
        for note in part.faults.notes:
            faults.notes.append(note.moved(rows, local))
    offsets = [part.block.offsets for part in parts if part.block.offsets is not None]
    block = RowBlock(
        rows=len(order),
        lines=np.concatenate([part.block.lines for part in parts])[order],
        cells={},
        locate=lambda row, column: ask(row, lambda b: lambda r: b.locate(r, column)),
        raw=lambda row: ask(row, lambda b: b.raw),
        offsets=np.concatenate(offsets)[order] if len(offsets) == len(parts) else None,
        rescued=Rescued.joined([(p.block.rescued, rows) for p, rows in zip(parts, at, strict=True)], len(order)),
    )
    taken = pa.array(order)
    values = {name: pa.concat_arrays([first.values[name], second.values[name]]).take(taken) for name in first.values}
    return JudgedRows(block, values, np.concatenate([part.bad for part in parts])[order], faults)
