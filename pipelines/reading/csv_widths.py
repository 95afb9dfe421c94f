"""Rows that do not have as many fields as the header: how many each has, and what is reported of them."""

import numpy as np

from pipelines.reading.collector import Collector
from pipelines.reading.csv_blocks import CsvBlock, Positions
from pipelines.reading.csv_cells import Skipped
from pipelines.reading.csv_faults import CsvFaults
from pipelines.reading.evidence import Evidence
from pipelines.reading.violations import Rule, Sample

__all__ = ["RowWidths"]


class RowWidths:
    """The rows of one file with too few or too many fields."""

    def __init__(self, faults: CsvFaults, collector: Collector, evidence: Evidence, delimiter: str) -> None:
        """Report into the collector, and note each row among the faults of its block."""
        self._faults = faults
        self._collector = collector
        self._evidence = evidence
        self._delimiter = delimiter

    def of_all(self, block: CsvBlock, records: Positions) -> Positions:
        """How many fields each of some records has."""
        marks = self._faults.delimiters(block)
        return np.searchsorted(marks, block.ends[records]) - np.searchsorted(marks, block.starts[records]) + 1

    def of_skipped(self, block: CsvBlock, records: Positions, skipped: Skipped, width: int) -> Positions | None:
        """The same where the parser has said which records it left out for their width; None where it did not take them as they stand."""
        fields = np.full(len(records), width)
        for row, text in skipped.items():
            start, end = int(block.starts[records[row]]), int(block.ends[records[row]])
            if _without_end(block.content[start:end]) != text:
                return None
            marks = np.flatnonzero(np.frombuffer(block.content[start:end], np.uint8) == ord(self._delimiter))
            fields[row] = 1 + np.count_nonzero(~block.inside_quotes(marks + start))
        return fields if int(np.count_nonzero(fields != width)) == len(skipped) else None

    def report(self, block: CsvBlock, records: Positions, fields: Positions, width: int) -> int:
        """Report the records with another number of fields than `width`; returns how many they are."""
        count = 0
        for rule, wrong in ((Rule.SHORT_ROW, fields < width), (Rule.LONG_ROW, fields > width)):
            rows = np.flatnonzero(wrong)
            if not len(rows):
                continue
            severity = self._collector.row_severity
            room = self._collector.wanted(rule, None, severity)
            samples = [self.sample(block, int(records[r]), int(fields[r])) for r in rows[:room]]
            expected = f"{_words(width)}, as in the header"
            self._collector.add(rule, None, samples, expected, count=len(rows), severity=severity)
            self._faults.rows.note(
                rule, None, records[rows], expected, lambda r: _words(int(fields[np.searchsorted(records, r)]))
            )
            count += len(rows)
        self._evidence.ragged(block, records, fields, width, self._delimiter)
        return count

    def sample(self, block: CsvBlock, record: int, fields: int) -> Sample:
        """A record with its number of fields."""
        start, end = int(block.starts[record]), int(block.ends[record])
        text = block.content[start : min(end, start + 1_000)].decode("utf-8", "replace").rstrip("\r\n")
        return self._faults.sample(block, start, f"{_words(fields)}: {text}")


def _without_end(record: bytes) -> bytes:
    return record[:-2] if record.endswith(b"\r\n") else record[:-1] if record.endswith((b"\n", b"\r")) else record


def _words(count: int) -> str:
    return f"{count} field{'' if count == 1 else 's'}"
