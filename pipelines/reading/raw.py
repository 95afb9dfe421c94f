"""The text of a record as it stands in the file: what a person needs to see, and to send again."""

from pipelines.reading.csv_blocks import Positions

__all__ = ["RAW_CHARACTERS", "RawRecords", "raw_text"]

RAW_CHARACTERS = 65_536
"""Characters of a record's raw text that are kept; a longer one ends in an ellipsis."""
_LONGEST_CHARACTER = 4


def raw_text(content: bytes, start: int, end: int) -> str:
    """One record of a block of UTF-8, without its line end; bytes that are not UTF-8 as backslash escapes, capped."""
    record = content[start : min(end, start + _LONGEST_CHARACTER * (RAW_CHARACTERS + 1))]
    if start + len(record) == end:
        record = record.removesuffix(b"\n").removesuffix(b"\r")
    text = record.decode("utf-8", "backslashreplace")
    return text if len(text) <= RAW_CHARACTERS else text[: RAW_CHARACTERS - 1] + "…"


class RawRecords:
    """The raw texts of a block's rows, by row: row `i` is the record from `starts[i]` to `ends[i]`."""

    def __init__(self, content: bytes, starts: Positions, ends: Positions) -> None:
        """Look into `content`, which is kept alive."""
        self._content = content
        self._starts = starts
        self._ends = ends

    def __call__(self, row: int) -> str:
        return raw_text(self._content, int(self._starts[row]), int(self._ends[row]))
