"""Rows on their way to being judged: a block of whole records as columns of cells, and where each stands in the file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipelines.contracts.json_paths import Step
from pipelines.reading.csv_blocks import Positions
from pipelines.reading.rejects import RowFaults
from pipelines.reading.rescue import Rescued
from pipelines.reading.violations import Rule

__all__ = ["Cells", "InnerBreach", "RowBlock"]


@dataclass(slots=True)
class Cells:
    """One column of a block as texts; null where the file has null.

    `values` is set when the texts are typed already. `misfits` are cells whose form alone rules the type out (a JSON
    string for a number): their text is null, `found` says what stood there. `late_nulls` makes texts null that are no value of
    the type, such as a quoted empty cell in a column of numbers; where all texts convert there is none. With `found_text`, `texts` are the
    values themselves and a cell's own text is asked for. `written` gives a cell as JSON; without it, it is the text.
    `inside` is what is wrong inside the cells of a nested column.
    """

    texts: pa.Array
    values: pa.Array | None = None
    misfits: Positions = field(default_factory=lambda: np.empty(0, np.int64))
    found: Mapping[int, str] = field(default_factory=dict[int, str])
    late_nulls: Callable[[pa.Array], pa.Array] | None = None
    found_text: Callable[[int], str] | None = None
    written: Callable[[int], str] | None = None
    inside: Sequence["InnerBreach"] = ()


@dataclass(frozen=True, slots=True)
class InnerBreach:
    """Values inside the cells of a nested column that break one rule, in `rows`, which are distinct and in rising order.

    `label` is the place by its names (`labels.color`), `wanted` the type there. `found` and `path` tell, for a row, the first such
    value and the steps to it from the cell; `each` yields row, steps and JSON text of every one. With `on_the_way` the values stand
    on the way from the record to the cells, which are null for it, and steps count from the record.
    """

    rule: Rule
    label: str
    rows: Positions
    wanted: str | None
    expected: str
    detail: str | None
    found: Callable[[int], str]
    path: Callable[[int], tuple[Step, ...]]
    each: Callable[[], Iterator[tuple[int, tuple[Step, ...], str]]]
    on_the_way: bool = False


@dataclass(slots=True)
class RowBlock:
    """Rows that are whole: the cells of each column found in the file, and where each row starts.

    `locate` gives line and byte offset of a row's cell (of the row when the column is None) in the content; `raw` a row's record
    as it stands in the file, capped (`raw.py`). `offsets` are the byte offsets of all rows, where they are cheap to tell.
    `rescued` holds what goes to `_rescued`, if there is anything yet; `name_of` is what the file calls a column in a row.
    `faults` are what was found wrong with rows before their values were looked at. `locate_inside` is `locate` for a value inside a
    nested cell, by the steps to it (from the record when the column is None).
    """

    rows: int
    lines: Positions
    cells: Mapping[str, Cells]
    locate: Callable[[int, str | None], tuple[int, int | None]]
    raw: Callable[[int], str]
    offsets: Positions | None = None
    rescued: Rescued | None = None
    name_of: Callable[[int, str], str] = lambda _row, column: column
    faults: RowFaults | None = None
    locate_inside: Callable[[int, str | None, tuple[Step, ...]], tuple[int, int | None]] | None = None
