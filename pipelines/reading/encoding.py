"""From content bytes to UTF-8 bytes: byte order marks, and declared encodings transcoded strictly and incrementally.

UTF-8 itself is passed on as it is; its validity is checked block by block by `utf8_faults`, which names every bad
byte, so that the rest of the file can still be judged. An encoding is never guessed.
"""

import codecs
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from pipelines.errors import ConfigurationError
from pipelines.reading.stream_fault import StreamFault
from pipelines.reading.violations import Rule

__all__ = ["CUT_OFF", "Text", "is_cut_off", "is_utf8", "likely_encoding", "utf8_faults"]

CUT_OFF = "The file ends in the middle of a character: it looks cut short."

_LE16, _BE16 = (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")
_LE32, _BE32 = (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")
_UTF8 = (codecs.BOM_UTF8, "utf-8")
_MARKS = {
    "utf-8": (_UTF8,),
    "utf-8-sig": (_UTF8,),
    "utf-16": (_LE16, _BE16),
    "utf-16-le": (_LE16,),
    "utf-16-be": (_BE16,),
    "utf-32": (_LE32, _BE32),
    "utf-32-le": (_LE32,),
    "utf-32-be": (_BE32,),
}
_LONGEST_MARK = 4
_WINDOW_BYTES = 65_536


class Text:
    """The content as UTF-8: iterate once, from the start.

    `encoding` is Python's name of what the bytes are in, `bom_bytes` the length of the mark skipped; both are known
    once the first piece is there.
    """

    def __init__(self, content: Iterable[bytes], declared: str) -> None:
        """Read `content` as `declared`. Raises ConfigurationError for an encoding Python does not know."""
        try:
            self.encoding = codecs.lookup(declared).name
        except LookupError:
            raise ConfigurationError(f"format.encoding {declared!r} is not an encoding Python knows") from None
        self._content = iter(content)
        self.bom_bytes = 0
        self.has_content = False

    @property
    def is_utf8(self) -> bool:
        """Whether the bytes are handed on unchanged."""
        return self.encoding in ("utf-8", "utf-8-sig")

    def original_length(self, utf8: bytes) -> int:
        """How many bytes of the content this (valid) UTF-8 came from."""
        return len(utf8) if self.is_utf8 else len(utf8.decode("utf-8").encode(self.encoding))

    def __iter__(self) -> Iterator[bytes]:
        """Yield UTF-8. Raises StreamFault(ENCODING) at the first byte that the declared encoding does not have."""
        head = b""
        for piece in self._content:
            head += piece
            if len(head) >= _LONGEST_MARK:
                break
        head = self._without_mark(head)
        self.has_content = bool(head)
        if self.is_utf8:
            if head:
                yield head
            yield from self._content
        else:
            yield from self._transcode(head)

    def _without_mark(self, head: bytes) -> bytes:
        """Skip the byte order mark that fits the declaration; refuse one that contradicts it."""
        for mark, name in _MARKS.get(self.encoding, ()):
            if head.startswith(mark):
                self.encoding = name
                self.bom_bytes = len(mark)
                return head[len(mark) :]
        if self.encoding not in _MARKS or not head:
            return head
        declared, found, detail = self.encoding, head[:2].hex(" "), None
        contradicting = next((name for mark, name in (_UTF8, _LE16, _BE16) if head.startswith(mark)), None)
        if contradicting:
            found, detail = f"the byte order mark of {contradicting}", f"The file itself says it is {contradicting}."
        elif declared in ("utf-16", "utf-32"):
            detail = f"Without a byte order mark, declare {declared}-le or {declared}-be."
        else:
            return head
        raise StreamFault(
            Rule.ENCODING,
            found,
            f"bytes in {declared}, as format.encoding declares",
            byte_offset=0,
            line=1,
            detail=detail,
        )

    def _transcode(self, head: bytes) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(self.encoding)(errors="strict")
        offset, line, ended_with_cr = self.bom_bytes, 1, False
        pieces: Iterator[bytes | None] = iter([head])
        for source in (pieces, self._content, iter([None])):
            for piece in source:
                pending = decoder.getstate()[0]
                try:
                    text = decoder.decode(piece or b"", final=piece is None)
                except UnicodeDecodeError as error:
                    before = error.object[: error.start].decode(self.encoding, "ignore")
                    if before:
                        yield before.encode("utf-8")
                    bad = error.object[error.start : error.end]
                    raise StreamFault(
                        Rule.ENCODING,
                        bad.hex(" "),
                        f"bytes in {self.encoding}, as format.encoding declares",
                        byte_offset=offset - len(pending) + error.start,
                        line=line + _lines(before) - (ended_with_cr and before.startswith("\n")),
                    ) from None
                offset += len(piece or b"")
                if text:
                    line += _lines(text) - (ended_with_cr and text.startswith("\n"))
                    ended_with_cr = text.endswith("\r")
                    yield text.encode("utf-8")


def _lines(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def is_utf8(block: bytes) -> bool:
    """Whether a block is valid UTF-8 throughout (RFC 3629: no surrogates, no overlong forms). Copies nothing."""
    offsets = np.array([0, len(block)], np.int32)
    whole = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(block)])
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def utf8_faults(block: bytes, limit: int) -> list[tuple[int, bytes]]:
    """Position and bytes of each sequence that is not UTF-8, at most `limit` of them."""
    faults: list[tuple[int, bytes]] = []
    position = 0
    view = memoryview(block)
    while position < len(block) and len(faults) < limit:
        end = min(position + _WINDOW_BYTES, len(block))
        try:
            position += codecs.utf_8_decode(view[position:end], "strict", end == len(block))[1]
        except UnicodeDecodeError as error:
            start, position = position + error.start, position + error.end
            faults.append((start, block[start:position]))
    return faults


def is_cut_off(octets: bytes) -> bool:
    """Whether these are the first bytes of a character of UTF-8 that has more."""
    try:
        return codecs.utf_8_decode(octets, "strict", False)[1] == 0
    except UnicodeDecodeError:
        return False


def likely_encoding(bad: bytes) -> str | None:
    """A sentence about what the bytes may be instead of UTF-8, when they could be windows-1252."""
    try:
        text = bad.decode("cp1252")
    except UnicodeDecodeError:
        return None
    return f"The bytes look like windows-1252, where {bad.hex(' ')} is {text!r}." if text.isprintable() else None
