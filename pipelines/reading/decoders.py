"""Streams of gzip, bzip2, xz and zstd to their content: whole members one after another, and nothing behind them.

A decoder is a function from compressed pieces to content pieces of bounded size. What is damaged, cut short or followed by
something else is a fault; zero bytes behind a gzip or xz stream are padding, as gzip(1) and xz(1) have it.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import zstandard

from pipelines.reading.stream_fault import StreamFault
from pipelines.reading.violations import Rule

__all__ = ["PIECE_BYTES", "WINDOW_BYTES", "Decode", "bunzip2", "gunzip", "inflate", "unxz", "unzstd"]

PIECE_BYTES = 1 << 20
WINDOW_BYTES = 128 << 20
"""What a stream may ask its decoder to remember: twice what `xz -9` needs, and as much as `zstd --long` asks for."""
_FIRST_BYTES = 4 << 10
_ZSTD_BYTES = (
    1 << 10
)  # its four smallest bytes hold 128 KiB, and it cannot be told to stop: at most 32 MiB come out at once
_FAULTS = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError)

Decode = Callable[[Iterable[bytes]], Iterator[bytes]]
"""From compressed pieces to content pieces. Raises StreamFault."""


class _Codec(Protocol):
    """One member of a stream, as `bz2.BZ2Decompressor` has it."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Inflate:
    """zlib's decompressor with the interface of the others."""

    def __init__(self, wbits: int) -> None:
        self._zlib = zlib.decompressobj(wbits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        # All input may be consumed while zlib holds more output than one piece.
        self.needs_input = not self._zlib.unconsumed_tail and len(out) < max_length
        return out


class _Zstd:
    """zstd's decompressor with the interface of the others; gives all that its input holds."""

    needs_input = True

    def __init__(self, decompressor: zstandard.ZstdDecompressor) -> None:
        self._zstd = decompressor.decompressobj()

    @property
    def eof(self) -> bool:
        return self._zstd.eof

    @property
    def unused_data(self) -> bytes:
        return self._zstd.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:  # noqa: ARG002 - the protocol's
        return self._zstd.decompress(data)


class _Members:
    """Decodes members of one kind. `starts` is the first byte of each; `padding` the unit of zero bytes allowed behind one, 0 for none."""

    def __init__(
        self, name: str, open_member: Callable[[], _Codec], starts: bytes, padding: int = 0, most: int = PIECE_BYTES
    ) -> None:
        self._name = name
        self._open = open_member
        self._starts = starts
        self._padding = padding
        self._most = most

    def __call__(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        member: _Codec | None = None
        began, fed, zeros, feed = 0, 0, 0, 0
        for piece in pieces:
            at = 0
            while at < len(piece):
                if member is None:
                    if self._padding and fed + at and piece[at] == 0:
                        rest = piece[at:].lstrip(b"\0")
                        zeros += len(piece) - at - len(rest)
                        at = len(piece) - len(rest)
                        continue
                    self._check_next(piece[at : at + 16], fed + at, zeros)
                    # Little at first: what lies behind the end of a member is handed back, and members may be tiny.
                    member, began, zeros, feed = self._open(), fed + at, 0, min(_FIRST_BYTES, self._most)
                data = piece[at : at + feed]
                at += len(data)
                while True:
                    out = self._decompress(member, data, fed + at - len(data))
                    if out:
                        yield out
                    if member.eof or member.needs_input:
                        break
                    data = b""
                feed = min(2 * feed, self._most)
                if member.eof:
                    at -= len(member.unused_data)
                    member = None
            fed += len(piece)
        if member is not None:
            raise self._cut_short(fed, began)
        if self._padding and zeros % self._padding:
            raise self._padded(zeros, fed)

    def _decompress(self, member: _Codec, data: bytes, position: int) -> bytes:
        try:
            return member.decompress(data, PIECE_BYTES)
        except _FAULTS as error:
            said = str(error)
            if "emory" in said:  # liblzma's "Memory usage limit exceeded", zstd's "Frame requires too much memory"
                raise StreamFault(
                    Rule.COMPRESSION,
                    f"{self._name} that needs more than {WINDOW_BYTES >> 20} MiB of memory to be read",
                    f"a stream that needs at most {WINDOW_BYTES >> 20} MiB",
                    detail="Compress it with a smaller window or dictionary.",
                ) from None
            raise StreamFault(
                Rule.COMPRESSION, f"{said} (near compressed byte {position:,})", f"an undamaged {self._name} stream"
            ) from None

    def _check_next(self, ahead: bytes, position: int, zeros: int) -> None:
        """What follows a member must be another one; behind gzip's padding nothing may."""
        if not position:
            return
        if zeros and (self._padding == 1 or zeros % self._padding):
            raise self._padded(zeros, position)
        if ahead[0] not in self._starts:
            raise StreamFault(
                Rule.COMPRESSION,
                f"{ahead.hex(' ')} after the end of the {self._name} stream, at compressed byte {position:,}",
                f"the end of the file, or another {self._name} member",
            )

    def _padded(self, zeros: int, position: int) -> StreamFault:
        wanted = "nothing behind them" if self._padding == 1 else f"a multiple of {self._padding} of them"
        return StreamFault(
            Rule.COMPRESSION,
            f"{zeros:,} zero bytes after the end of the {self._name} stream, up to compressed byte {position:,}",
            wanted,
        )

    def _cut_short(self, fed: int, began: int) -> StreamFault:
        where = f" that begins at compressed byte {began:,}" if began else ""
        return StreamFault(
            Rule.COMPRESSION,
            f"the end of the file after {fed:,} compressed bytes, in the middle of the {self._name} stream{where}",
            f"a whole {self._name} stream",
            detail="The file looks cut short, as after an upload that broke off.",
        )


gunzip: Decode = _Members("gzip", lambda: _Inflate(31), b"\x1f", padding=1)
"""RFC 1952."""
bunzip2: Decode = _Members("bzip2", bz2.BZ2Decompressor, b"B")
unxz: Decode = _Members("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=WINDOW_BYTES), b"\xfd", padding=4)
"""The .xz file format, version 1.2."""


def unzstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """RFC 8878; frames to be skipped hold nothing."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    starts = b"\x28" + bytes(range(0x50, 0x60))
    return _Members("zstd", lambda: _Zstd(decompressor), starts, most=_ZSTD_BYTES)(pieces)


def inflate(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Raw deflate (RFC 1951), as in a zip archive: exactly one stream."""
    return _Members("deflate", lambda: _Inflate(-15), b"")(pieces)
