"""Bad rows on their way beside the good ones: each with its line, its raw text, and every reason there is.

Only where the contract says `on_bad: quarantine_rows`; elsewhere a bad row rejects its file and nothing is kept of it here.
Breaches are noted by block as arrays of rows; rows are made of them one by one when the block is done, and leave in batches of
bounded size.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from pipelines.contracts.model import BadRowLimit, Dataset
from pipelines.contracts.rejected import MAX_REJECTED_ROWS, REJECTED_READING, bad_row_limit
from pipelines.reading.collector import Collector, capped
from pipelines.reading.csv_blocks import Positions
from pipelines.reading.violations import Rule, Sample

__all__ = ["RowFaults", "RowRejects"]

_MAX_REASONS = 100
"""Reasons kept of one row; a row of two thousand bad cells would otherwise be a megabyte."""
_BATCH_ROWS = 8_192
_BATCH_CHARACTERS = 4 << 20


@dataclass(frozen=True, slots=True)
class _Note:
    rule: Rule
    column: str | None
    rows: Positions
    expected: str
    found: Callable[[int], str]
    message: str | Callable[[int], str | None] | None

    def moved(self, places: Positions, origins: Positions) -> "_Note":
        """The same of rows that stand elsewhere now: row `i` at `places[i]`, and at `k` row `origins[k]`."""
        message = self.message
        return _Note(
            self.rule,
            self.column,
            places[self.rows],
            self.expected,
            lambda row: self.found(int(origins[row])),
            (lambda row: message(int(origins[row]))) if callable(message) else message,
        )


@dataclass(slots=True)
class RowFaults:
    """What is wrong with single rows of one block, by the block's own numbering of its rows."""

    notes: list[_Note] = field(default_factory=list[_Note])

    def note(
        self,
        rule: Rule,
        column: str | None,
        rows: Positions,
        expected: str,
        found: Callable[[int], str],
        message: str | Callable[[int], str | None] | None = None,
    ) -> None:
        """Note one breach in each of these rows; `found` tells what stood there, `message` what more there is to say, of each or of all."""
        self.notes.append(_Note(rule, column, rows, expected, found, message))

    def note_one(
        self, rule: Rule, column: str | None, row: int, expected: str, found: str, message: str | None = None
    ) -> None:
        """Note one breach in one row."""
        self.note(rule, column, np.array([row], np.int64), expected, lambda _: found, message)

    def rows(self) -> Positions:
        """The rows with a fault, rising, each once."""
        if not self.notes:
            return np.empty(0, np.int64)
        # Not np.unique: its hash table takes 30 times as long for numbers that lie close together.
        rows = np.sort(np.concatenate([note.rows for note in self.notes]))
        return rows[np.concatenate(([True], np.diff(rows) != 0))] if len(rows) else rows

    def by_row(self) -> list[npt.NDArray[np.int64]]:
        """For each of `rows`, the positions of its notes, in the order they came."""
        rows = np.concatenate([note.rows for note in self.notes])
        which = np.repeat(np.arange(len(self.notes)), [len(note.rows) for note in self.notes])
        order = np.argsort(rows, kind="stable")
        return np.split(which[order], np.flatnonzero(np.diff(rows[order])) + 1)

    def mask(self, rows: int) -> npt.NDArray[np.bool_]:
        """Which of so many rows have a fault."""
        bad = np.zeros(rows, np.bool_)
        for note in self.notes:
            bad[note.rows] = True
        return bad


class RowRejects:
    """The bad rows of one file. `active` tells whether rows are rejected one by one; if not, nothing here is to be used."""

    def __init__(self, dataset: Dataset, out: Callable[[pa.RecordBatch], None]) -> None:
        """Send batches of `REJECTED_READING` to `out`."""
        limit = bad_row_limit(dataset)
        self.active = limit is not None
        self._limit = limit or BadRowLimit(rows=0)
        self._out = out
        self._most = MAX_REJECTED_ROWS if self._limit.rows is None else min(self._limit.rows, MAX_REJECTED_ROWS)
        self.rows = 0
        """Rows rejected so far, sent or not."""
        self._pending: list[tuple[int, str, str, str]] = []
        self._characters = 0

    @property
    def hopeless(self) -> bool:
        """Whether there are so many bad rows already that the file is rejected whatever follows."""
        return self.rows > self._most

    def take(self, faults: RowFaults, lines: Callable[[int], int], raw: Callable[[int], str]) -> None:
        """Take the bad rows of a block: all that `faults` names, each once."""
        rows = faults.rows()
        self.rows += len(rows)
        if self.hopeless:
            self._pending.clear()
        if self.hopeless or not len(rows):
            return
        for row, which in zip(rows.tolist(), faults.by_row(), strict=True):
            told = [faults.notes[number] for number in which.tolist()]
            rules = ",".join(dict.fromkeys(note.rule.value for note in told))
            reasons = [_reason(note, row) for note in told[:_MAX_REASONS]]
            if len(told) > _MAX_REASONS:
                reasons.append({"message": f"{len(told) - _MAX_REASONS:,} more"})
            self._add(lines(row), raw(row), rules, orjson.dumps(reasons).decode())

    def _add(self, line: int, raw: str, rules: str, reasons: str) -> None:
        self._pending.append((line, raw, rules, reasons))
        self._characters += len(raw) + len(reasons)
        if len(self._pending) >= _BATCH_ROWS or self._characters >= _BATCH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Send what is pending."""
        pending, self._pending, self._characters = self._pending, [], 0
        if not pending:
            return
        lines, raws, rules, reasons = zip(*pending, strict=True)
        columns: dict[str, Any] = {"raw": raws, "rules": rules, "reasons": reasons, "_source_line": lines}
        self._out(
            pa.RecordBatch.from_arrays(
                [pa.array(columns[f.name], f.type) for f in REJECTED_READING], schema=REJECTED_READING
            )
        )

    def finish(self, collector: Collector, rows_read: int) -> None:
        """At the end of a file that was read whole: send the rest, and say so when too many of its rows are bad."""
        if not self.rows:
            return
        said = f"{self.rows:,} bad {'row' if self.rows == 1 else 'rows'} of {rows_read:,}"
        if self.rows > self._allowed(rows_read):
            collector.add(Rule.BAD_ROWS, None, [Sample(None, None, said)], self._limit_in_words())
        elif self.rows >= rows_read:
            collector.add(Rule.BAD_ROWS, None, [Sample(None, None, said)], "at least one row that can be loaded")
        else:
            self.flush()

    def _allowed(self, rows_read: int) -> int:
        share = self._limit.share
        return self._most if share is None else min(int(share * rows_read), self._most)

    def _limit_in_words(self) -> str:
        if self._limit.rows is not None and self._limit.rows <= MAX_REJECTED_ROWS:
            return f"at most {self._limit.rows:,}, by rows.max_bad"
        if self._limit.share is not None and self.rows <= MAX_REJECTED_ROWS:
            return f"at most {(self._limit.share * 100).normalize():f}%, by rows.max_bad"
        return f"at most {MAX_REJECTED_ROWS:,}, whatever rows.max_bad says"


def _reason(note: _Note, row: int) -> dict[str, Any]:
    said = {"rule": note.rule.value, "column": note.column, "found": _plain(note.found(row)), "expected": note.expected}
    message = note.message(row) if callable(note.message) else note.message
    return said if message is None else {**said, "message": message}


def _plain(found: str) -> str:
    """Text that UTF-8 can carry."""
    return capped(found).encode("utf-8", "backslashreplace").decode()
