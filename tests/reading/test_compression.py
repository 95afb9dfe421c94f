"""Containers: what comes out is what went in, or nothing does: cut anywhere, damaged anywhere, in pieces of any size."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import random
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from pipelines.reading.decompression import Content
from pipelines.reading.limits import BOMB_FLOOR_BYTES, Limits
from pipelines.reading.stream_fault import StreamFault
from pipelines.reading.violations import Rule

TEXT = b"id,name\n" + b"".join(b"%d,%s\n" % (n, "né%d".encode() % (n * n)) for n in range(40))
ZSTD = zstandard.ZstdCompressor(write_checksum=True)


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, stream: bool = False) -> bytes:
    out = io.BytesIO()
    if stream:
        out.seekable = lambda: False  # type: ignore[method-assign]  # then sizes stand behind the content
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), content, method)
    return out.getvalue()


def zip64(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("a.csv", "w", force_zip64=True) as member:
        member.write(content)
    return out.getvalue()


PACKED = {
    "gzip": gzip.compress(TEXT[:99], mtime=0) + gzip.compress(TEXT[99:], mtime=0),
    "bzip2": bz2.compress(TEXT[:99]) + bz2.compress(TEXT[99:]),
    "xz": lzma.compress(TEXT[:99]) + lzma.compress(TEXT[99:], check=lzma.CHECK_SHA256),
    "zstd": ZSTD.compress(TEXT[:99]) + ZSTD.compress(TEXT[99:]),
    "zip deflated": zipped(("a.csv", TEXT)),
    "zip stored": zipped(("a.csv", TEXT), method=zipfile.ZIP_STORED),
    "zip bzip2": zipped(("a.csv", TEXT), method=zipfile.ZIP_BZIP2),
    "zip written as a stream": zipped(("folder/", b""), ("folder/a.csv", TEXT), stream=True),
    "zip64": zip64(TEXT),
}


def content_of(packed: bytes, size: int = 1 << 20, limits: Limits | None = None) -> tuple[bytes, Content]:
    chunks = (packed[start : start + size] for start in range(0, len(packed), size))
    content = Content(chunks, limits or Limits())
    return b"".join(content), content


def outcome(packed: bytes, size: int = 1 << 20) -> bytes | Rule:
    try:
        return content_of(packed, size)[0]
    except StreamFault as fault:
        return fault.rule


@pytest.mark.parametrize("size", [1, 3, 50, 1 << 20])
@pytest.mark.parametrize("name", PACKED)
def test_what_went_in_comes_out(name: str, size: int) -> None:
    out, content = content_of(PACKED[name], size)
    assert out == TEXT
    assert content.compression == name.partition(" ")[0].removesuffix("64")
    assert (content.compressed_bytes, content.content_bytes) == (len(PACKED[name]), len(TEXT))


@pytest.mark.parametrize("name", PACKED)
def test_cut_short_anywhere_it_is_not_taken_for_the_whole(name: str) -> None:
    packed = PACKED[name]
    ends = {len(gzip.compress(TEXT[:99], mtime=0)), len(bz2.compress(TEXT[:99])), len(lzma.compress(TEXT[:99])), len(ZSTD.compress(TEXT[:99]))}  # fmt: skip
    for length in range(len(packed)):
        out = outcome(packed[:length])
        is_whole_member = length in ends and not name.startswith("zip")
        assert isinstance(out, Rule) or out == packed[:length] or (is_whole_member and out == TEXT[:99]), length


@pytest.mark.parametrize("name", PACKED)
def test_damaged_anywhere_it_says_nothing_else(name: str) -> None:
    packed = PACKED[name]
    for position, bit in itertools.product(range(len(packed)), (0x01, 0x10, 0x80, 0xFF)):
        damaged = bytearray(packed)
        damaged[position] ^= bit
        out = outcome(bytes(damaged))
        # Without its magic it is no container any more, and judged as the text that it is not.
        assert isinstance(out, Rule) or out in (TEXT, bytes(damaged)), (position, bit)


@pytest.mark.parametrize("name", PACKED)
def test_bytes_put_in_or_left_out_are_noticed(name: str) -> None:
    packed, chance = PACKED[name], random.Random(name)
    for _ in range(400):
        start = chance.randrange(10, len(packed))
        changed = packed[:start] + chance.randbytes(chance.randrange(4)) + packed[start + chance.randrange(6) :]
        out = outcome(changed)
        assert isinstance(out, Rule) or out in (TEXT, TEXT[:99]), changed.hex()


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("tail", [b"x", b"\0", b"\0\0\0\0", b"id,name\n"])
def test_what_follows_is_padding_or_a_fault(name: str, tail: bytes) -> None:
    out = outcome(PACKED[name] + tail)
    is_padding = set(tail) == {0} and (name == "gzip" or (name == "xz" and len(tail) % 4 == 0))
    assert out == (TEXT if is_padding else Rule.COMPRESSION)


@pytest.mark.parametrize("outer", ["gzip", "zstd", "zip"])
@pytest.mark.parametrize("inner", PACKED)
def test_a_container_inside_a_container_is_called_that(outer: str, inner: str) -> None:
    packed = {"gzip": gzip.compress, "zstd": ZSTD.compress, "zip": lambda c: zipped(("a", c))}[outer](PACKED[inner])
    with pytest.raises(StreamFault) as caught:
        content_of(packed)
    assert caught.value.rule is Rule.ARCHIVE
    assert caught.value.found == f"{inner.partition(' ')[0].removesuffix('64')} inside {outer}"


@pytest.mark.parametrize(
    ("name", "empty"),
    [("gzip", gzip.compress(b"")), ("bzip2", bz2.compress(b"")), ("xz", lzma.compress(b"")), ("zstd", ZSTD.compress(b""))],
    ids=["gzip", "bzip2", "xz", "zstd"],
)  # fmt: skip
def test_members_without_content_cost_little_and_say_nothing(name: str, empty: bytes) -> None:
    out, content = content_of(
        empty * 10_000 + {"gzip": gzip, "bzip2": bz2, "xz": lzma, "zstd": ZSTD}[name].compress(TEXT)
    )  # type: ignore[attr-defined]
    assert (out, content.compression) == (TEXT, name)


@pytest.mark.parametrize(
    "text",
    [b"BZh91AY,x\n", b"BZh", b"PK,id\n", b"PK\x05", b"PAR1,x\n", b"ORC,id\n1,2\n", b"Obj,x\n", b"%PDF-1.7\n", b"Rar!,x\n", b"7z,x\n", b"P*M,x\n",
     b"\x1f,x\n", b"(,x\n", b"a" * 257 + b"ustar ,x\n", b"LZIP,x\n", b"ARROW1,x\n", b"SQLite format 3,x\n"],
)  # fmt: skip
def test_text_that_begins_like_a_magic_is_text(text: bytes) -> None:
    assert outcome(text) == text


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"ORC\x08\x03\x10\x1a", "an ORC file"),
        (b"Obj\x01\x04\x16avro", "an Avro file"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive"),
        (b"Rar!\x1a\x07\x01\x00", "a RAR archive"),
        (b"\x04\x22\x4d\x18\x64", "an LZ4 stream"),
        (b"\xff\x06\x00\x00sNaPpY", "a Snappy stream"),
        (b"a.csv".ljust(257, b"\0") + b"ustar\x0000", "a tar archive"),
        (b"a.csv".ljust(257, b"\0") + b"ustar  \0", "a tar archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "an old Excel workbook (or another Office document)"),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_what_is_no_text_is_called_what_it_is(head: bytes, kind: str, size: int) -> None:
    with pytest.raises(StreamFault) as caught:
        content_of(head + bytes(600), size)
    assert (caught.value.rule, caught.value.found) == (Rule.COMPRESSION, kind)


# ---- limits, just below and just above --------------------------------------------------------------------------------


def packed_as(kind: str, content: bytes) -> bytes:
    pack = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": ZSTD.compress}
    return zipped(("a.csv", content)) if kind == "zip" else pack[kind](content) if kind in pack else content


@pytest.mark.parametrize("kind", ["plain", "gzip", "bzip2", "xz", "zstd", "zip"])
def test_size_limits_hold_to_the_byte(kind: str) -> None:
    content = random.Random(0).randbytes(3_000).hex().encode()
    packed = packed_as(kind, content)
    fits = Limits(object_bytes=len(packed), decompressed_bytes=len(content))
    assert content_of(packed, 100, fits)[0] == content
    for limits, rule in (
        (Limits(object_bytes=len(packed) - 1), Rule.OBJECT_SIZE),
        (Limits(decompressed_bytes=len(content) - 1), Rule.DECOMPRESSED_SIZE),
    ):
        with pytest.raises(StreamFault) as caught:
            content_of(packed, 100, limits)
        assert caught.value.rule is rule


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd", "zip"])
def test_the_ratio_holds_beyond_what_harms_nobody(kind: str) -> None:
    content = bytes(BOMB_FLOOR_BYTES)
    packed = packed_as(kind, content)
    assert content_of(packed, 1 << 20)[0] == content  # many times the ratio, and too small to harm
    larger = packed_as(kind, content + b"x")
    fits = Limits(compression_ratio=-(-len(content + b"x") // len(larger)))
    assert len(content_of(larger, 1 << 20, fits)[0]) == BOMB_FLOOR_BYTES + 1
    with pytest.raises(StreamFault) as caught:
        content_of(larger, 1 << 20, Limits(compression_ratio=fits.compression_ratio - 1))
    assert caught.value.rule is Rule.COMPRESSION_RATIO


@pytest.mark.parametrize(("log", "is_read"), [(26, True), (27, True), (28, False)])
def test_a_window_beyond_the_limit_is_refused_before_it_is_made(log: int, is_read: bool) -> None:
    frame = b"\x28\xb5\x2f\xfd" + bytes([0x00, (log - 10) << 3]) + (len(TEXT) << 3 | 1).to_bytes(3, "little") + TEXT
    assert outcome(frame) == (TEXT if is_read else Rule.COMPRESSION)


# ---- zip: everything is said twice -------------------------------------------------------------------------------------


def patched(archive: bytes, signature: bytes, at: int, value: int, form: str = "<L") -> bytes:
    out = bytearray(archive)
    struct.pack_into(form, out, archive.rindex(signature) + at, value)
    return bytes(out)


ARCHIVE = zipped(("a.csv", TEXT))


@pytest.mark.parametrize(
    "lying",
    [
        patched(ARCHIVE, b"PK\x01\x02", 24, len(TEXT) - 1),  # content, by the directory alone
        patched(patched(ARCHIVE, b"PK\x01\x02", 24, len(TEXT) - 1), b"PK\x03\x04", 22, len(TEXT) - 1),  # by both
        patched(patched(ARCHIVE, b"PK\x01\x02", 24, len(TEXT) + 1), b"PK\x03\x04", 22, len(TEXT) + 1),
        patched(ARCHIVE, b"PK\x03\x04", 8, 0, "<H"),  # the method
        patched(ARCHIVE, b"PK\x01\x02", 42, 1),  # where the file is
        patched(ARCHIVE, b"PK\x05\x06", 10, 2, "<H"),  # how many there are
        b"PK\x03\x04junk" + ARCHIVE,  # bytes that belong to nothing
        ARCHIVE[: ARCHIVE.index(b"PK\x01\x02")] + b"junk" + ARCHIVE[ARCHIVE.index(b"PK\x01\x02") :],
    ],
)
def test_an_archive_whose_parts_disagree_is_refused(lying: bytes) -> None:
    assert isinstance(outcome(lying), Rule)


@pytest.mark.parametrize("files", [2, 3, 10_000, 10_001])
def test_an_archive_of_many_files_is_named_with_the_first(files: int) -> None:
    archive = zipped(*((f"{n}.csv", b"") for n in range(files)), method=zipfile.ZIP_STORED)
    with pytest.raises(StreamFault) as caught:
        content_of(archive)
    assert caught.value.rule is Rule.ARCHIVE
    assert f"{files:,}" in caught.value.found


def test_an_archive_that_says_it_holds_too_much_is_refused_unread() -> None:
    archive = zipped(("a.csv", bytes(1 << 20)))
    with pytest.raises(StreamFault) as caught:
        next(iter(Content([archive], Limits(decompressed_bytes=(1 << 20) - 1))))
    assert caught.value.rule is Rule.DECOMPRESSED_SIZE


def test_an_archive_larger_than_its_content_may_be_is_not_kept() -> None:
    endless: Iterator[bytes] = itertools.chain([b"PK\x03\x04"], itertools.repeat(bytes(1 << 20)))
    with pytest.raises(StreamFault) as caught:
        list(Content(endless, Limits(decompressed_bytes=1 << 20)))
    assert caught.value.rule is Rule.DECOMPRESSED_SIZE


@pytest.mark.parametrize(
    "name", ["../../outside.csv", "/outside.csv", "C:\\outside.csv", "a/../../outside.csv", "\x00", "…" * 200]
)
def test_the_name_of_a_file_in_an_archive_leads_nowhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "one" / "two"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    monkeypatch.setattr(tempfile, "tempdir", str(inner))
    assert outcome(zipped((name, TEXT))) == TEXT
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not Path("/outside.csv").exists()
