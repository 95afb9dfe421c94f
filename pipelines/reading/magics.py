"""What a file is by its first bytes: compressed, an archive, a format of its own, or plain text. Names and suffixes say nothing.

A text that merely begins like a magic is text: where a magic could be typed, more than the magic is looked at.
"""

import re
from enum import StrEnum

__all__ = ["HEAD_BYTES", "Container", "container_of", "foreign_kind"]

HEAD_BYTES = 4096
"""How many of the first bytes are looked at; a magic needs 263."""


class Container(StrEnum):
    """What holds the content, and is taken off before it is read; the value is what reports call it."""

    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"
    ZIP = "zip"


_CONTAINERS: tuple[tuple[re.Pattern[bytes], Container], ...] = (
    (re.compile(rb"\x1f\x8b"), Container.GZIP),
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), Container.BZIP2),
    (re.compile(rb"\xfd7zXZ\x00"), Container.XZ),
    (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), Container.ZSTD),  # a frame, or one to be skipped
    (re.compile(rb"PK(\x03\x04|\x05\x06|\x07\x08)"), Container.ZIP),
)
_FOREIGN: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"PAR1\x15"), "a Parquet file"),  # with the first page's header: PAR1 alone may be a column's name
    (re.compile(rb"ORC.{0,16}[\x00-\x08\x0e-\x1f]", re.DOTALL), "an ORC file"),
    (re.compile(rb"Obj\x01"), "an Avro file"),
    (re.compile(rb"ARROW1\x00\x00"), "an Arrow (Feather) file"),
    (re.compile(rb"SQLite format 3\x00"), "an SQLite database"),
    (re.compile(rb"%PDF-\d\.\d[\r\n].{0,64}[\x80-\xff]", re.DOTALL), "a PDF document"),
    (re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "an old Excel workbook (or another Office document)"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7z archive"),
    (re.compile(rb"Rar!\x1a\x07"), "a RAR archive"),
    (re.compile(rb"\x04\x22\x4d\x18"), "an LZ4 stream"),
    (re.compile(rb"LZIP\x01"), "an lzip stream"),
    (re.compile(rb"\x1f[\x9d\xa0]"), "a stream of compress (.Z)"),
    (re.compile(rb"\xff\x06\x00\x00sNaPpY"), "a Snappy stream"),
    (re.compile(rb"(?=.{0,256}\x00).{257}ustar[\x00 ]", re.DOTALL), "a tar archive"),
)


def container_of(head: bytes) -> Container | None:
    """Which container these first bytes begin; None for content as it is."""
    return next((container for pattern, container in _CONTAINERS if pattern.match(head)), None)


def foreign_kind(head: bytes) -> str | None:
    """What else these first bytes begin that is neither text nor a container we open: with its article, for a sentence."""
    return next((kind for pattern, kind in _FOREIGN if pattern.match(head)), None)
