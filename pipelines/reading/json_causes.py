"""What a JSON file is instead, or what its faults have in common: looked for only where there is a fault."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

import orjson

from pipelines.reading.delimiters import Looked
from pipelines.reading.json_blocks import split_lines
from pipelines.reading.json_objects import JsonFault
from pipelines.reading.stream_fault import StreamFault

__all__ = ["Remembered", "fault_form", "lines_of_objects"]

_PYTHON = re.compile(rb"(None|True|False)\b|'")
_BARE_KEY = re.compile(rb"[A-Za-z_]\w*\s*:")
_LOOKED_BYTES = 16 << 20


def fault_form(record: bytes, fault: JsonFault) -> str | None:
    """What a record that is not JSON looks like at its fault: one of the forms that `diagnosis.py` has words for."""
    if "is not JSON" in fault.expected:
        return "nan"
    before, found = record[: fault.position].rstrip(), record[fault.position :].strip()
    if found.startswith((b"//", b"/*", b"#")):
        return "comment"
    if _PYTHON.match(found):
        return "python"
    if before.endswith((b"{", b",")) and _BARE_KEY.match(found):
        return "bare_key"
    if before.endswith(b"}") and found.startswith(b"{"):
        return "joined"
    if found == b"," or (before.endswith(b",") and found[:1] in (b"", b"}", b"]")):
        return "trailing_comma"
    return None


class Remembered:
    """Pieces that are kept while they are handed on, until `forget`: to be looked at once more."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Hand on `pieces`."""
        self._pieces = iter(pieces)
        self._kept: list[bytes] | None = []

    def __iter__(self) -> Iterator[bytes]:
        """The pieces."""
        for piece in self._pieces:
            if self._kept is not None:
                self._kept.append(piece)
            yield piece

    def forget(self) -> None:
        """Keep no further piece, and none of the ones before."""
        self._kept = None

    def again(self) -> Iterator[bytes]:
        """The pieces kept, and those that have not come yet."""
        return chain(self._kept or (), self._pieces)


def lines_of_objects(contents: Iterable[bytes], record_bytes: int) -> tuple[int, int, bool]:
    """How many lines hold something, how many of them one JSON object, and whether that was the whole file; of its first 16 MiB."""
    looked = Looked(contents, _LOOKED_BYTES)
    lines = objects = 0
    try:
        for block in split_lines(looked, record_bytes, 1 << 20):
            for start, end in zip(block.starts.tolist(), block.ends.tolist(), strict=True):
                line = block.content[start:end].strip()
                lines += bool(line)
                objects += line[:1] == b"{" and _is_object(line)
    except StreamFault:
        looked.is_all = False
    return lines, objects, looked.is_all


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False
