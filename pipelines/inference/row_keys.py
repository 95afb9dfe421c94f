"""Which columns, alone or in pairs, tell all rows apart: candidates for the primary key, proven over every row.

Most are ruled out by the first batch; the few that are left are indexed on disk, so memory does not grow with the rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa

from pipelines.reading.unique import KeyIndex

__all__ = ["KeyProbe", "RowKey"]

_MAX_SINGLE, _MAX_PAIRED = 3, 4
_TELLING_ROWS = 1_000
"""A column that tells this many rows apart makes pairs not worth looking at."""


@dataclass(frozen=True, slots=True)
class RowKey:
    """Columns whose values are unique within each file; `over_all` when over all files together too."""

    columns: tuple[str, ...]
    over_all: bool


class KeyProbe:
    """A sink for the rows of all files, one file after another. `end_file` after each; a context manager."""

    def __init__(self, different: Mapping[str, int | None], *, largest_file: int, many_files: bool) -> None:
        """`different` are columns that could be part of a key, with how many different values each has; None is very many.

        `largest_file` is in rows: a column with fewer values than that repeats one.
        """
        ordered = sorted(different, key=lambda name: -_many(different[name]))
        single = [(name,) for name in ordered if _many(different[name]) >= largest_file][:_MAX_SINGLE]
        pairs = [p for p in combinations(ordered[:_MAX_PAIRED], 2)
                 if _many(different[p[0]]) * _many(different[p[1]]) >= largest_file]  # fmt: skip
        place = list(different).index
        self._candidates: list[tuple[str, ...]] = [*single] + [
            (a, b) if place(a) < place(b) else (b, a) for a, b in pairs
        ]
        self._many_files = many_files
        self._in_file: dict[tuple[str, ...], KeyIndex] = {}
        self._over_all: dict[tuple[str, ...], KeyIndex] = {}
        self._rows = 0

    def __enter__(self) -> "KeyProbe":
        return self

    def __exit__(self, *exc: object) -> None:
        for index in (*self._in_file.values(), *self._over_all.values()):
            index.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Take rows of the file at hand."""
        lines = np.arange(self._rows, self._rows + batch.num_rows, dtype=np.int64)
        self._rows += batch.num_rows
        for names in list(self._candidates):
            columns = [batch.column(name) for name in names]
            if _repeats(columns):
                self._drop(names)
                continue
            for indexes in (self._in_file, self._over_all) if self._many_files else (self._in_file,):
                if names not in indexes:
                    indexes[names] = KeyIndex(names)
                indexes[names].add(columns, lines)
        if batch.num_rows >= _TELLING_ROWS and any(len(names) == 1 for names in self._candidates):
            for names in [n for n in self._candidates if len(n) > 1]:
                self._drop(names)

    def reject(self, batch: pa.RecordBatch) -> None:
        """Nothing is rejected row by row: the contract does not say so."""

    def restart(self) -> None:
        """The file at hand is read again: nothing more can be said about keys."""
        for names in list(self._candidates):
            self._drop(names)

    def end_file(self) -> None:
        """The file at hand is through."""
        for names, index in list(self._in_file.items()):
            with index:
                if index.repeats().count:
                    self._drop(names)
            self._in_file.pop(names, None)

    def found(self) -> tuple[RowKey, ...]:
        """What is unique over all rows seen; pairs only where no single column is."""
        shortest = min(map(len, self._candidates), default=0)
        return tuple(
            RowKey(names, not self._many_files or self._over_all[names].repeats().count == 0)
            for names in self._candidates
            if len(names) == shortest and self._rows
        )

    def _drop(self, names: tuple[str, ...]) -> None:
        self._candidates.remove(names)
        for indexes in (self._in_file, self._over_all):
            if (index := indexes.pop(names, None)) is not None:
                index.close()


def _many(different: int | None) -> int:
    return 1 << 40 if different is None else different


def _repeats(columns: Sequence[pa.Array]) -> bool:
    names = [str(i) for i in range(len(columns))]
    table = pa.Table.from_arrays(list(columns), names=names)
    return table.group_by(names).aggregate([]).num_rows < table.num_rows
