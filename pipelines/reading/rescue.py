"""What rows say that their columns cannot hold: the `_rescued` column, value by value.

A cell of it is JSON text: a list of `{"column", "value", "wanted", "reason"}`. `column` is the name as the file has it, `value`
the text of a CSV cell or the JSON value as it is written, `wanted` the column's type (null for a column that the contract
does not know), `reason` the code of the rule that the value breaks, or `new_column`. A row of which nothing was rescued has null. A null
in an unknown column of a CSV file says nothing and is not kept; one that a JSON object writes is.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.reading.csv_blocks import Positions

__all__ = ["NEW_COLUMN", "Rescued", "RescuedCounts", "json_text"]

NEW_COLUMN = "new_column"
"""The reason of values in a column that the contract does not know."""
_ESCAPED = r'["\\\x00-\x1f]'
"""What JSON text writes otherwise (RFC 8259, section 7)."""
_OTHERS = "(others)"
_MAX_NAMES = 2_000


class RescuedCounts:
    """How many values of a file were rescued, by the column's name in the file; names beyond 2,000 are counted as one."""

    def __init__(self) -> None:
        """Begin with none."""
        self.by_column: dict[str, int] = {}

    def add(self, counts: Mapping[str, int]) -> None:
        """Count the values of a block."""
        for name, count in counts.items():
            known = name in self.by_column or len(self.by_column) < _MAX_NAMES
            kept = name if known else _OTHERS
            self.by_column[kept] = self.by_column.get(kept, 0) + count


class Rescued:
    """The rescued values of one block of rows: whole columns as arrays, single values row by row."""

    def __init__(self, rows: int) -> None:
        """Begin with none of `rows` rows."""
        self._rows = rows
        self._columns: list[tuple[str, pa.Array]] = []
        self._entries: dict[int, list[tuple[str, str]]] = {}

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of values by column."""
        counts = Counter({column: len(entries) - entries.null_count for column, entries in self._columns})
        counts.update(column for entries in self._entries.values() for column, _ in entries)
        return counts

    def add(self, column: str, wanted: str | None, reason: str, values: Iterable[tuple[int, str]]) -> None:
        """Keep values of one column: row and the value as JSON text."""
        head, tail = _around(column, wanted, reason)
        for row, value in values:
            self._entries.setdefault(row, []).append((column, f"{head}{value}{tail}"))

    def add_texts(self, column: str, texts: pa.Array) -> None:
        """Keep the texts of a column that the contract does not know; nulls are nothing."""
        if texts.null_count == len(texts):
            return
        head, tail = _around(column, None, NEW_COLUMN)
        if pc.any(pc.match_substring_regex(texts, _ESCAPED)).as_py():
            entries = [None if text is None else f"{head}{json_text(text)}{tail}" for text in texts.to_pylist()]
            self._columns.append((column, pa.array(entries, pa.string())))
        else:
            self._columns.append((column, pc.binary_join_element_wise(f'{head}"', texts, f'"{tail}', "")))

    def only(self, rows: Positions) -> "Rescued":
        """The values of these rows, which become the rows 0, 1, …"""
        kept = Rescued(len(rows))
        chosen = pa.array(rows)
        kept._columns = [(column, entries.take(chosen)) for column, entries in self._columns]
        kept._entries = {n: self._entries[row] for n, row in enumerate(rows.tolist()) if row in self._entries}
        return kept

    @staticmethod
    def joined(parts: Iterable[tuple["Rescued | None", Positions]], rows: int) -> "Rescued | None":
        """The values of several, of which row `i` becomes the row `places[i]` of so many; None where there are none."""
        whole = Rescued(rows)
        for part, places in parts:
            if part is None:
                continue
            for column, entries in part._columns:
                origins = np.full(rows, -1)
                origins[places] = np.arange(len(places))
                whole._columns.append((column, entries.take(pa.array(origins, mask=origins < 0))))
            whole._entries.update((int(places[row]), entries) for row, entries in part._entries.items())
        return whole if whole._columns or whole._entries else None

    def column(self) -> pa.Array:
        """The `_rescued` column of the block."""
        parts = [entries for _, entries in self._columns]
        if self._entries:
            texts: list[str | None] = [None] * self._rows
            for row, entries in self._entries.items():
                texts[row] = "".join(text for _, text in entries)
            parts.append(pa.array(texts, pa.string()))
        if not parts:
            return pa.nulls(self._rows, pa.string())
        # Not `null_handling="skip"`, which leaves out the rows of nulls alone: a comma stands before each entry instead.
        joined = pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement="")
        lists = pc.binary_join_element_wise("[", pc.utf8_slice_codeunits(joined, 1), "]", "")
        return pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), lists)


def _around(column: str, wanted: str | None, reason: str) -> tuple[str, str]:
    """What stands before and behind the values of a column in a list that begins with a comma."""
    said = "null" if wanted is None else json_text(wanted)
    return f',{{"column":{json_text(column)},"value":', f',"wanted":{said},"reason":"{reason}"}}'


def json_text(text: str) -> str:
    """A text as JSON has it."""
    return orjson.dumps(text).decode()
