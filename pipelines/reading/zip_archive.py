"""A zip archive with exactly one file to that file's content, strictly by PKWARE's APPNOTE.TXT.

The archive is kept in a temporary file without a name, because what it holds is said at its end. Everything is said twice in a zip
archive, and readers differ in what they believe: here both must agree, every byte must belong to something listed, and the
content must have the size and the checksum that are promised. Folders are no files, nor is what macOS writes beside each file
(`__MACOSX/…/._name`).
"""

import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from pipelines.reading.collector import shown
from pipelines.reading.decoders import PIECE_BYTES, Decode, bunzip2, inflate, unxz, unzstd
from pipelines.reading.stream_fault import StreamFault
from pipelines.reading.violations import Rule

__all__ = ["unzip"]

_LOCAL, _ENTRY, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR64, _DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
_LOCAL_FORM = struct.Struct("<4s2xHH4xLLLHH")
_ENTRY_FORM = struct.Struct("<4s4xHH4xLLLHHHHHLL")
_END_FORM = struct.Struct("<4sHHHHLLH")
_END64_FORM = struct.Struct("<4sQHHLLQQQQ")
_LOCATOR64_FORM = struct.Struct("<4sLQL")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_MAX_COMMENT = 0xFFFF
_MAX_ENTRIES = 10_000
_MAX_DIRECTORY_BYTES = 16 << 20
_NAMES_SHOWN = 5
_ENCRYPTED, _DESCRIBED, _PATCHED, _HIDDEN = 0x0001, 0x0008, 0x0020, 0x2000
_ONE_FILE = "an archive that holds exactly one file"
_METHODS = {
    1: "Shrink", 6: "Implode", 9: "Deflate64", 14: "LZMA", 97: "WavPack", 98: "PPMd", 99: "AES encryption",
}  # fmt: skip


def _stored(pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield from pieces


_DECODERS: dict[int, Decode] = {0: _stored, 8: inflate, 12: bunzip2, 93: unzstd, 95: unxz}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of the central directory; `offset` is where its local header starts."""

    name: bytes
    flags: int
    method: int
    checksum: int
    packed_bytes: int
    content_bytes: int
    offset: int

    @property
    def is_file(self) -> bool:
        folder, _, last = self.name.rpartition(b"/")
        is_shadow = last.startswith(b"._") and (folder + b"/").startswith(b"__MACOSX/")
        return not (self.name.endswith(b"/") and not self.content_bytes) and not is_shadow

    @property
    def shown_name(self) -> str:
        return shown(self.name.decode("utf-8" if self.flags & 0x0800 else "cp437", "backslashreplace"))


@dataclass(frozen=True, slots=True)
class _End:
    """What the end of the archive says: how many entries, and where the directory is."""

    entries: int
    directory_bytes: int
    directory: int
    behind: int


def unzip(pieces: Iterable[bytes], content_bytes: int) -> Iterator[bytes]:
    """The content of the one file; of an archive that needs more than `content_bytes` on disk nothing is read.

    Raises StreamFault, also while the content comes: its checksum stands behind it.
    """
    with tempfile.TemporaryFile(prefix="lakegate-zip-") as spooled:
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > content_bytes + _MAX_DIRECTORY_BYTES:
                bound = f"{content_bytes:,} bytes"
                raise StreamFault(Rule.DECOMPRESSED_SIZE, f"a zip archive of more than {bound}", f"at most {bound}")
            spooled.write(piece)
        yield from _Archive(spooled, size).content(content_bytes)


def _lie(found: str, expected: str = "a zip archive whose parts agree") -> StreamFault:
    return StreamFault(
        Rule.COMPRESSION, found, expected, detail="The archive is damaged, or made to be read in two ways."
    )


class _Archive:
    def __init__(self, spooled: IO[bytes], size: int) -> None:
        self._file = spooled
        self._size = size

    def content(self, content_bytes: int) -> Iterator[bytes]:
        end = self._end()
        entries = self._directory(end)
        entry = _only(entries)
        places = [self._place(e, later) for e, later in _followed(entries, end.directory)]
        if entry.content_bytes > content_bytes:
            raise StreamFault(
                Rule.DECOMPRESSED_SIZE, f"{entry.content_bytes:,} bytes of content, by the archive's own directory",
                f"at most {content_bytes:,} bytes",
            )  # fmt: skip
        start = dict(places)[entry.offset]
        size, checksum = 0, 0
        for piece in _DECODERS[entry.method](self._pieces(start, entry.packed_bytes)):
            size += len(piece)
            if size > entry.content_bytes:
                raise _lie(f"more than the {entry.content_bytes:,} bytes that the directory says")
            checksum = zlib.crc32(piece, checksum)
            yield piece
        if size != entry.content_bytes:
            raise _lie(f"{size:,} bytes of content where the directory says {entry.content_bytes:,}")
        if checksum != entry.checksum:
            raise _lie(f"the checksum {checksum:08x} where the directory says {entry.checksum:08x}")

    def _read(self, start: int, size: int) -> bytes:
        if start < 0 or start + size > self._size:
            raise self._cut_short()
        self._file.seek(start)
        return self._file.read(size)

    def _pieces(self, start: int, size: int) -> Iterator[bytes]:
        self._file.seek(start)
        while size:
            piece = self._file.read(min(size, PIECE_BYTES))
            size -= len(piece)
            yield piece

    def _cut_short(self) -> StreamFault:
        return StreamFault(
            Rule.COMPRESSION,
            f"no directory at the end of the zip archive of {self._size:,} bytes",
            "a whole zip archive",
            detail="The file looks cut short, as after an upload that broke off.",
        )

    # ---- the directory --------------------------------------------------------------------------------------------

    def _end(self) -> _End:
        """Find the end record: the last bytes of the file but for its own comment."""
        tail_bytes = min(self._size, _END_FORM.size + _MAX_COMMENT)
        tail = self._read(self._size - tail_bytes, tail_bytes)
        at = tail.rfind(_END)
        while at >= 0:
            if len(tail) - at >= _END_FORM.size:
                said = _END_FORM.unpack_from(tail, at)
                if at + _END_FORM.size + said[7] == len(tail):
                    return self._checked_end(self._size - tail_bytes + at, said)
            at = tail.rfind(_END, 0, at)
        raise self._cut_short()

    def _checked_end(self, place: int, said: tuple[int, ...]) -> _End:
        _, disk, first_disk, here, entries, directory_bytes, directory, _ = said
        if disk not in (0, _FULL16) or first_disk not in (0, _FULL16) or here != entries:
            raise StreamFault(Rule.ARCHIVE, "one volume of a split archive", _ONE_FILE)
        end = _End(entries, directory_bytes, directory, place)
        if _FULL16 in (entries, disk, first_disk) or _FULL32 in (directory_bytes, directory):
            end = self._end64(place)
        if end.directory + end.directory_bytes != end.behind:
            raise _lie(
                f"{end.behind - end.directory_bytes - end.directory:,} bytes between the parts of the zip archive that belong to none"
            )
        return end

    def _end64(self, place: int) -> _End:
        at = place - _LOCATOR64_FORM.size
        signature, disk, record, disks = _LOCATOR64_FORM.unpack(self._read(at, _LOCATOR64_FORM.size))
        if signature != _LOCATOR64 or disk or disks > 1 or record + _END64_FORM.size > at:
            raise _lie("an end of the zip archive that points nowhere")
        said = _END64_FORM.unpack(self._read(record, _END64_FORM.size))
        if said[0] != _END64 or record + 12 + said[1] != at or said[4] or said[5] or said[6] != said[7]:
            raise _lie("an end of the zip archive that points nowhere")
        return _End(said[7], said[8], said[9], record)

    def _directory(self, end: _End) -> list[_Entry]:
        if end.entries > _MAX_ENTRIES or end.directory_bytes > _MAX_DIRECTORY_BYTES:
            raise StreamFault(Rule.ARCHIVE, f"an archive of {end.entries:,} entries", _ONE_FILE)
        listed = self._read(end.directory, end.directory_bytes)
        entries: list[_Entry] = []
        at = 0
        while at < len(listed):
            if len(listed) - at < _ENTRY_FORM.size or listed[at : at + 4] != _ENTRY:
                raise _lie(f"something else than an entry in the archive's directory, at byte {end.directory + at:,}")
            (_, flags, method, checksum, packed, size, name_bytes, extra_bytes, comment_bytes, disk, _, _, offset) = (
                _ENTRY_FORM.unpack_from(listed, at)
            )
            at += _ENTRY_FORM.size
            name, extra = listed[at : at + name_bytes], listed[at + name_bytes : at + name_bytes + extra_bytes]
            at += name_bytes + extra_bytes + comment_bytes
            if at > len(listed):
                raise _lie("an entry that reaches beyond the archive's directory")
            size, packed, offset = _wide(extra, (size, packed, offset))
            if disk not in (0, _FULL16):
                raise StreamFault(Rule.ARCHIVE, "one volume of a split archive", _ONE_FILE)
            entries.append(_Entry(name, flags, method, checksum, packed, size, offset))
        if len(entries) != end.entries:
            raise _lie(f"{len(entries):,} entries where the archive says {end.entries:,}")
        return entries

    # ---- the local headers ----------------------------------------------------------------------------------------

    def _place(self, entry: _Entry, later: int) -> tuple[int, int]:
        """Where the local header is and where the packed bytes start; `later` is where the next part of the archive begins."""
        said = _LOCAL_FORM.unpack(self._read(entry.offset, _LOCAL_FORM.size))
        signature, flags, method, checksum, packed, size, name_bytes, extra_bytes = said
        behind = entry.offset + _LOCAL_FORM.size
        name = self._read(behind, name_bytes)
        extra = self._read(behind + name_bytes, extra_bytes)
        start = behind + name_bytes + extra_bytes
        if signature != _LOCAL:
            raise _lie(f"no header of {entry.shown_name} at byte {entry.offset:,}, where the directory says")
        size, packed = _wide(extra, (size, packed))
        described = bool(flags & _DESCRIBED)
        theirs = (name, flags & ~0x0800, method)
        if theirs != (entry.name, entry.flags & ~0x0800, entry.method) or not (
            (checksum, packed, size) == (entry.checksum, entry.packed_bytes, entry.content_bytes)
            or (described and not checksum and not packed and not size)
        ):
            raise _lie(f"a header of {entry.shown_name} that says something else than the directory")
        gap = later - start - entry.packed_bytes
        if gap and not (described and self._is_descriptor(entry, later - gap, gap)):
            raise _lie(f"{gap:,} bytes behind {entry.shown_name} that belong to nothing in the archive's directory")
        return entry.offset, start

    def _is_descriptor(self, entry: _Entry, start: int, size: int) -> bool:
        """Whether these bytes repeat the checksum and the sizes, in one of the four forms in use."""
        if size not in (12, 16, 20, 24):
            return False
        form = "<LLL" if size < 20 else "<LQQ"
        wanted = struct.pack(
            form,
            entry.checksum,
            *(n & (1 << (32 if size < 20 else 64)) - 1 for n in (entry.packed_bytes, entry.content_bytes)),
        )
        return self._read(start, size) == (_DESCRIPTOR if size in (16, 24) else b"") + wanted


def _wide(extra: bytes, values: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes and offsets, those that 32 bits do not hold taken from the zip64 extra field."""
    wide = b""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + size]
        at += 4 + size
    said: list[int] = []
    for value in values:
        if value == _FULL32 and len(wide) >= 8:
            said.append(int.from_bytes(wide[:8], "little"))
            wide = wide[8:]
        else:
            said.append(value)
    return tuple(said)


def _followed(entries: list[_Entry], end: int) -> Iterator[tuple[_Entry, int]]:
    """Each entry in the archive's order with the place where the next part begins. Raises when some bytes belong to none."""
    ordered = sorted(entries, key=lambda entry: entry.offset)
    if ordered and ordered[0].offset:
        raise _lie(
            f"{ordered[0].offset:,} bytes before the first entry that belong to nothing in the archive's directory"
        )
    yield from zip(ordered, [*(e.offset for e in ordered[1:]), end], strict=True)


def _only(entries: list[_Entry]) -> _Entry:
    """The one file among the entries, if it can be read."""
    files = [entry for entry in entries if entry.is_file]
    names = {entry.name for entry in entries}
    if b"[Content_Types].xml" in names:
        kind = "an Excel workbook" if any(n.startswith(b"xl/") for n in names) else "an Office document"
        raise StreamFault(Rule.ARCHIVE, kind, "a text file, alone or in an archive",
                          detail="Save the sheet as CSV and send that.")  # fmt: skip
    if len(files) != 1:
        listed = ", ".join(entry.shown_name for entry in files[:_NAMES_SHOWN])
        more = ", …" if len(files) > _NAMES_SHOWN else ""
        found = f"an archive of {len(files):,} files: {listed}{more}" if files else "an archive without a file"
        raise StreamFault(Rule.ARCHIVE, found, _ONE_FILE)
    (entry,) = files
    if entry.flags & (_ENCRYPTED | _HIDDEN) or entry.method == 99:
        raise StreamFault(Rule.ARCHIVE, f"{entry.shown_name}, encrypted", "a file without a password")
    if entry.method not in _DECODERS or entry.flags & _PATCHED:
        kind = _METHODS.get(entry.method, f"method {entry.method}")
        raise StreamFault(
            Rule.ARCHIVE, f"{entry.shown_name}, compressed with {kind}", "a file that is stored, or compressed with Deflate, bzip2, xz or zstd"
        )  # fmt: skip
    return entry
