"""Reads JSON: a line or an element at a time. Follows in the next commit; until then JSON files are refused."""

from pipelines.reading.collector import Collector
from pipelines.reading.encoding import Text
from pipelines.reading.rows import Plan, RowJudge


class JsonLinesReader:
    """One object a line."""

    def __init__(self, plan: Plan, text: Text, collector: Collector, judge: RowJudge, block_bytes: int) -> None:
        """Take what the reader gives."""
        del plan, text, collector, judge, block_bytes
        self.rows_broken = 0
        self.source_columns: tuple[str, ...] = ()

    def read(self) -> None:
        """Refuse."""
        raise NotImplementedError("JSON is not read yet")


class JsonArrayReader(JsonLinesReader):
    """One array of objects."""
