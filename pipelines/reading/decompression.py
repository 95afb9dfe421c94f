"""From the object's bytes to its content: what compression it has is told by its first bytes, never by its name.

A decoder is added by writing one class and one line in `_DECODERS`. Sizes and ratio are checked while streaming, so a
bomb is refused after a few mebibytes. Knows nothing of text.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from pipelines.reading.limits import BOMB_FLOOR_BYTES, Limits
from pipelines.reading.violations import Rule

__all__ = ["Content", "StreamFault"]

_PIECE_BYTES = 1 << 20


class StreamFault(Exception):  # noqa: N818 - bad data is an outcome; this carries it to the reader's door
    """The stream cannot be read beyond this point. `byte_offset` and `line` are in the content, where known."""

    def __init__(
        self,
        rule: Rule,
        found: str,
        expected: str,
        *,
        byte_offset: int | None = None,
        line: int | None = None,
        detail: str | None = None,
    ) -> None:
        """Say which rule is broken, by what, and where."""
        super().__init__(f"{rule}: {found}")
        self.rule = rule
        self.found = found
        self.expected = expected
        self.byte_offset = byte_offset
        self.line = line
        self.detail = detail


class _Decoder(Protocol):
    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Decompress one piece into pieces of bounded size. Raises StreamFault."""
        ...

    def finish(self) -> None:
        """Raises StreamFault when the stream is cut short."""
        ...


class _Gzip:
    """RFC 1952, members one after another; whatever follows the last member is a fault."""

    def __init__(self) -> None:
        self._member: zlib._Decompress | None = zlib.decompressobj(wbits=31)  # pyright: ignore[reportPrivateUsage]
        self._fed_bytes = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        position = self._fed_bytes
        self._fed_bytes += len(piece)
        while piece:
            if self._member is None:
                if piece[:1] != b"\x1f":
                    at = position
                    raise StreamFault(
                        Rule.COMPRESSION,
                        f"{piece[:16].hex(' ')} after the end of the gzip stream, at compressed byte {at:,}",
                        "the end of the file, or another gzip member",
                    )
                self._member = zlib.decompressobj(wbits=31)
            try:
                out = self._member.decompress(piece, _PIECE_BYTES)
            except zlib.error as error:
                raise StreamFault(
                    Rule.COMPRESSION, f"{error} (near compressed byte {position:,})", "an undamaged gzip stream"
                ) from None
            if out:
                yield out
            if self._member.eof:
                rest = self._member.unused_data
                self._member = None
            else:
                rest = self._member.unconsumed_tail
                if not rest and len(out) == _PIECE_BYTES:
                    yield from self._drain()
            position += len(piece) - len(rest)
            piece = rest

    def _drain(self) -> Iterator[bytes]:
        # All input is consumed, but zlib may hold more output than one piece.
        while self._member is not None and not self._member.eof:
            out = self._member.decompress(b"", _PIECE_BYTES)
            if not out:
                return
            yield out

    def finish(self) -> None:
        if self._member is not None:
            raise StreamFault(
                Rule.COMPRESSION,
                f"the end of the file after {self._fed_bytes:,} compressed bytes, in the middle of the gzip stream",
                "a whole gzip stream",
                detail="The file looks cut short, as after an upload that broke off.",
            )


_DECODERS: tuple[tuple[bytes, str, Callable[[], _Decoder]], ...] = ((b"\x1f\x8b", "gzip", _Gzip),)
_UNSUPPORTED = (
    (b"PK\x03\x04", "a zip archive (or an Excel file)"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PAR1\x15", "Parquet"),  # the magic and the first page's header: PAR1 alone may be a column's name
)
_MAGIC_BYTES = 10


class Content:
    """The decompressed content of one object: iterate once; the counts are right at any time while iterating."""

    def __init__(self, chunks: Iterable[bytes], limits: Limits) -> None:
        """Read from `chunks`, within `limits`."""
        self._chunks = iter(chunks)
        self._limits = limits
        self.compressed_bytes = 0
        self.content_bytes = 0
        self.compression: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content in pieces. Raises StreamFault at a fault, and whatever the chunks raise."""
        head = b""
        for chunk in self._chunks:
            head += self._count(chunk)
            if len(head) >= _MAGIC_BYTES:
                break
        decoder = self._decoder(head)
        if decoder is None:
            if head:
                yield self._emit(head)
            for chunk in self._chunks:
                if chunk:
                    yield self._emit(self._count(chunk))
            return
        for piece in decoder.feed(head):
            yield self._emit(piece)
        for chunk in self._chunks:
            for piece in decoder.feed(self._count(chunk)):
                yield self._emit(piece)
        decoder.finish()

    def _decoder(self, head: bytes) -> _Decoder | None:
        for magic, name, build in _DECODERS:
            if head.startswith(magic):
                self.compression = name
                return build()
        for magic, name in _UNSUPPORTED:
            if head.startswith(magic) and (magic != b"BZh" or head[4:10] == b"1AY&SY"):
                raise StreamFault(
                    Rule.COMPRESSION, f"the first bytes of {name}", "plain text or gzip", byte_offset=0, line=1
                )
        return None

    def _count(self, chunk: bytes) -> bytes:
        self.compressed_bytes += len(chunk)
        if self.compressed_bytes > self._limits.object_bytes:
            raise StreamFault(
                Rule.OBJECT_SIZE, f"more than {self._limits.object_bytes:,} bytes", f"at most {self._limits.object_bytes:,} bytes"
            )  # fmt: skip
        return chunk

    def _emit(self, piece: bytes) -> bytes:
        self.content_bytes += len(piece)
        size, limits = self.content_bytes, self._limits
        if size > limits.decompressed_bytes:
            raise StreamFault(
                Rule.DECOMPRESSED_SIZE,
                f"more than {limits.decompressed_bytes:,} bytes of content",
                f"at most {limits.decompressed_bytes:,} bytes",
            )
        if self.compression and size > BOMB_FLOOR_BYTES and size > limits.compression_ratio * self.compressed_bytes:
            raise StreamFault(
                Rule.COMPRESSION_RATIO,
                f"{size:,} bytes of content from {self.compressed_bytes:,} compressed bytes",
                f"at most {limits.compression_ratio} bytes of content for a compressed byte",
            )
        return piece
