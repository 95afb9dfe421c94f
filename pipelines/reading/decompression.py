"""From the object's bytes to its content: what holds it is told by its first bytes (`magics.py`), never by its name.

Exactly one container is taken off; what then is no text either is refused by what it is. Sizes and ratio are checked while
streaming, so a bomb is refused after a few mebibytes. Knows nothing of text.
"""

from collections.abc import Iterable, Iterator
from typing import assert_never

from pipelines.reading.decoders import bunzip2, gunzip, unxz, unzstd
from pipelines.reading.limits import BOMB_FLOOR_BYTES, Limits
from pipelines.reading.magics import HEAD_BYTES, Container, container_of, foreign_kind
from pipelines.reading.pieces import with_head
from pipelines.reading.stream_fault import StreamFault
from pipelines.reading.violations import Rule
from pipelines.reading.zip_archive import unzip

__all__ = ["Content"]

_READABLE = "plain text, alone or compressed with gzip, bzip2, xz, zstd or zip"


class Content:
    """The decompressed content of one object: iterate once; the counts are right at any time while iterating."""

    def __init__(self, chunks: Iterable[bytes], limits: Limits) -> None:
        """Read from `chunks`, within `limits`."""
        self._chunks = iter(chunks)
        self._limits = limits
        self.compressed_bytes = 0
        self.content_bytes = 0
        self.compression: str | None = None
        self.head = b""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content in pieces. Raises StreamFault at a fault, and whatever the chunks raise."""
        head, pieces = with_head((self._count(chunk) for chunk in self._chunks), HEAD_BYTES)
        container = container_of(head)
        if container is not None:
            self.compression = container.value
            head, pieces = with_head(self._opened(container, pieces), HEAD_BYTES)
            inner = container_of(head)
            if inner is not None:
                raise StreamFault(
                    Rule.ARCHIVE, f"{inner} inside {container}", "a text file, compressed once", byte_offset=0, line=1
                )
        self.head = head
        foreign = foreign_kind(head)
        if foreign is not None:
            inside = f" inside {container}" if container else ""
            raise StreamFault(Rule.COMPRESSION, f"{foreign}{inside}", _READABLE, byte_offset=0, line=1)
        for piece in pieces:
            if piece:
                yield self._emit(piece)

    def _opened(self, container: Container, pieces: Iterable[bytes]) -> Iterator[bytes]:
        match container:
            case Container.GZIP:
                return gunzip(pieces)
            case Container.BZIP2:
                return bunzip2(pieces)
            case Container.XZ:
                return unxz(pieces)
            case Container.ZSTD:
                return unzstd(pieces)
            case Container.ZIP:
                return unzip(pieces, self._limits.decompressed_bytes)
            case _ as never:
                assert_never(never)

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
