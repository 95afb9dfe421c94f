"""What rows say that their columns cannot hold: the `_rescued` column, value by value.

A cell of it is JSON text: a list of `{"column", "value", "wanted", "reason"}`. `column` is the name as the file has it, `value`
the text of a CSV cell or the JSON value as it is written, `wanted` the column's type (null for a column that the contract
does not know), `reason` the code of the rule that the value breaks, or `new_column`. A row of which nothing was rescued has null. A null
in an unknown column of a CSV file says nothing and is not kept; one that a JSON object writes is.
"""

from collections.abc import Iterable, Mapping

import orjson
import pyarrow as pa

from pipelines.reading.csv_blocks import Positions

__all__ = ["NEW_COLUMN", "Rescued", "RescuedCounts", "json_text"]

NEW_COLUMN = "new_column"
"""The reason of values in a column that the contract does not know."""
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
    """The rescued values of one block of rows."""

    def __init__(self, rows: int) -> None:
        """Begin with none of `rows` rows."""
        self._rows = rows
        self._entries: dict[int, list[tuple[str, str]]] = {}
        self.counts: dict[str, int] = {}

    def add(self, column: str, wanted: str | None, reason: str, values: Iterable[tuple[int, str]]) -> None:
        """Keep values of one column: row and the value as JSON text."""
        head = f'{{"column":{orjson.dumps(column).decode()},"value":'
        tail = f',"wanted":{"null" if wanted is None else orjson.dumps(wanted).decode()},"reason":"{reason}"}}'
        count = 0
        for row, value in values:
            self._entries.setdefault(row, []).append((column, f"{head}{value}{tail}"))
            count += 1
        if count:
            self.counts[column] = self.counts.get(column, 0) + count

    def add_texts(self, column: str, texts: pa.Array) -> None:
        """Keep the texts of a column that the contract does not know; nulls are nothing."""
        if texts.null_count < len(texts):
            values = ((row, json_text(text)) for row, text in enumerate(texts.to_pylist()) if text is not None)
            self.add(column, None, NEW_COLUMN, values)

    def only(self, rows: Positions) -> "Rescued":
        """The values of these rows, which become the rows 0, 1, …"""
        kept = Rescued(len(rows))
        for place, row in enumerate(rows.tolist()):
            if row in self._entries:
                kept._entries[place] = entries = self._entries[row]
                for column, _ in entries:
                    kept.counts[column] = kept.counts.get(column, 0) + 1
        return kept

    def column(self) -> pa.Array:
        """The `_rescued` column of the block."""
        if not self._entries:
            return pa.nulls(self._rows, pa.string())
        texts: list[str | None] = [None] * self._rows
        for row, entries in self._entries.items():
            texts[row] = f"[{','.join(text for _, text in entries)}]"
        return pa.array(texts, pa.string())


def json_text(text: str) -> str:
    """A text as JSON has it."""
    return orjson.dumps(text).decode()
