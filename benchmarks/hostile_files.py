"""Files made to hurt: what each is, under which contract it is read, and the rules of which one must refuse it.

Bytes are made while they are read: no file is ever whole in memory or on disk. `is_quick` cases are tests as well.
"""

import bz2
import gzip
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import zstandard

from pipelines.contracts.model import Dataset

__all__ = ["FILES", "GOOD", "Hostile", "contract"]

MIB, GIB = 1 << 20, 1 << 30
_HEAD = b"id,name\n1,"


@dataclass(frozen=True, slots=True)
class Hostile:
    """One file. `rules` holds the codes of which one at least must be said; empty where the file is good all the same."""

    contract: Dataset
    chunks: Callable[[], Iterator[bytes]]
    rules: frozenset[str]
    is_quick: bool = True


def contract(columns: dict[str, Any], form: str | dict[str, str] = "csv", **more: Any) -> Dataset:
    """A contract with these columns."""
    return Dataset.model_validate(
        {
            "name": "hostile",
            "description": "Files made to hurt.",
            "landing": {"key": "landing/hostile/*", "start": "2024-01-01"},
            "format": {"type": form} if isinstance(form, str) else form,
            "columns": columns,
            **more,
        }
    )


CSV = contract({"id": {"type": "int"}, "name": {"type": "string"}})
LINES = contract({"id": {"type": "int"}}, "jsonl")
ARRAY = contract({"id": {"type": "int"}}, "json")
SPARSE = contract({"id": {"type": "int"}}, "json", schema={"missing_columns": "allow"})
RESCUING = contract({"id": {"type": "int"}}, "jsonl", schema={"missing_columns": "allow", "new_columns": "rescue"})
DOCUMENTS = contract({"id": {"type": "int"}, "more": {"type": "json"}}, "jsonl")
ARRAYS = contract({"v": {"type": "array<struct<a: int, b: array<int>>>"}}, "jsonl", limits={"keys": 10**7})
MAPS = contract({"v": {"type": "map<string, map<string, string>>"}}, "jsonl")
EXPLODED = contract(
    {"text": {"type": "string"}, "b": {"type": "int", "path": "$.v[*].b"}}, {"type": "jsonl", "explode": "$.v[*]"}, limits={"keys": 10**7}
)  # fmt: skip
TRAIL = contract({"id": {"type": "int"}}, {"type": "json", "records": "$.Records[*]"})
TRAIL_LINES = contract({"id": {"type": "int"}}, {"type": "jsonl", "records": "$.Records[*]"})
BY_NAME = contract({"id": {"type": "int"}, "name": {"type": "string"}}, partition_by=["name"])
NUMBERS = contract({"i": {"type": "bigint"}, "f": {"type": "double"}, "d": {"type": "decimal(38,9)"}})
JSON_NUMBERS = contract({"i": {"type": "bigint"}, "f": {"type": "double"}, "d": {"type": "decimal(38,9)"}}, "jsonl")
DATES = contract({"id": {"type": "int"}, "at": {"type": "timestamp", "zone": "Europe/Berlin"}})
GOOD = CSV, b"id,name\n1,a\n"
"""A file that must be read as ever behind each of the others."""


def _repeated(head: bytes, piece: bytes, times: int) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        yield head
        for _ in range(times):
            yield piece

    return chunks


def _made(make: Callable[[], bytes]) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        content = make()
        for start in range(0, len(content), MIB):
            yield content[start : start + MIB]

    return chunks


def _numbered(line: bytes, times: int, head: bytes = b"") -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        yield head
        for start in range(0, times, 20_000):
            yield b"".join(line.replace(b"%d", b"%d" % n) for n in range(start, min(start + 20_000, times)))

    return chunks


def _gzip_bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(_HEAD), *(packer.compress(bytes(MIB)) for _ in range(GIB // MIB)), packer.flush()]
    return b"".join(parts)


def _in_streams(compress: Callable[[bytes], bytes]) -> bytes:
    """A gigabyte in many streams one behind the other: made once, told sixteen times."""
    return compress(_HEAD) + compress(bytes(64 * MIB)) * 16


def _zstd_of_blocks() -> bytes:
    """A gigabyte in 32 kB: every block says one byte and how often."""
    block = (128 * 1024 << 3 | 1 << 1).to_bytes(3, "little") + b"a"
    last = (1 << 3 | 1).to_bytes(3, "little") + b"\n"
    return b"\x28\xb5\x2f\xfd" + bytes([0x00, (17 - 10) << 3]) + block * 8192 + last


def _zip(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def _zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.csv", "w") as member:
        member.write(_HEAD)
        for _ in range(GIB // MIB):
            member.write(bytes(MIB))
    return out.getvalue()


def _zip_that_lies() -> bytes:
    """A gigabyte in an archive that says, twice, that it holds a hundred bytes."""
    archive = bytearray(_zip_bomb())
    for place in (archive.index(b"PK\x03\x04") + 22, archive.rindex(b"PK\x01\x02") + 24):
        archive[place : place + 4] = (100).to_bytes(4, "little")
    return bytes(archive)


def _zips_in_zips(depth: int) -> bytes:
    content = b"id,name\n1,a\n"
    for _ in range(depth):
        content = _zip(("r/r.zip", content))
    return content


def _listing_bomb() -> bytes:
    """An archive whose directory lists a million files."""
    entry = b"PK\x01\x02" + bytes(24) + (1).to_bytes(2, "little") + bytes(16) + b"a"
    end = b"PK\x06\x06" + (44).to_bytes(8, "little") + bytes(12)
    end += (10**6).to_bytes(8, "little") * 2 + (10**6 * len(entry)).to_bytes(8, "little") + (4).to_bytes(8, "little")
    locator = b"PK\x06\x07" + bytes(4) + (4 + 10**6 * len(entry)).to_bytes(8, "little") + (1).to_bytes(4, "little")
    return b"PK\x03\x04" + entry * 10**6 + end + locator + b"PK\x05\x06" + bytes(4) + b"\xff" * 12 + bytes(2)


def _rules(*codes: str) -> frozenset[str]:
    return frozenset(codes)


_BOMB = _rules("compression_ratio", "record_size", "nul_byte")
FILES: dict[str, Hostile] = {
    # Compression
    "gzip, 1 GB": Hostile(CSV, _made(_gzip_bomb), _BOMB, is_quick=False),
    "gzip in gzip, 1 GB in some kB": Hostile(CSV, _made(lambda: gzip.compress(_gzip_bomb())), _rules("archive"), is_quick=False),
    "gzip, 64 MB": Hostile(CSV, _made(lambda: gzip.compress(_HEAD + b"a" * (64 * MIB))), _BOMB),
    "bzip2, 1 GB": Hostile(CSV, _made(lambda: _in_streams(bz2.compress)), _BOMB, is_quick=False),
    "xz, 1 GB": Hostile(CSV, _made(lambda: _in_streams(lzma.compress)), _BOMB, is_quick=False),
    "zstd, 1 GB": Hostile(CSV, _made(lambda: _in_streams(zstandard.ZstdCompressor().compress)), _BOMB),
    "zstd, 1 GB in 32 kB": Hostile(CSV, _made(_zstd_of_blocks), _BOMB),
    "zip, 1 GB": Hostile(CSV, _made(_zip_bomb), _BOMB, is_quick=False),
    "zip with a lying size": Hostile(CSV, _made(_zip_that_lies), _rules("compression"), is_quick=False),
    "zip in zip in zip …": Hostile(CSV, _made(lambda: _zips_in_zips(50)), _rules("archive")),
    "zip of a million files": Hostile(CSV, _made(_listing_bomb), _rules("archive")),
    "ten thousand gzip members, all empty": Hostile(CSV, _made(lambda: gzip.compress(b"") * 10_000), _rules()),
    "a million gzip members, all empty": Hostile(CSV, _made(lambda: gzip.compress(b"") * 1_000_000), _rules(), is_quick=False),
    "xz with a dictionary of 1.5 GB": Hostile(
        CSV, _made(lambda: b"\xfd7zXZ\x00\x00\x00\xff\x12\xd9\x41" + bytes.fromhex("020021012600000027") + bytes(64)), _rules("compression")),
    # CSV
    "one cell of a gigabyte": Hostile(CSV, _repeated(_HEAD, b"a" * MIB, 1024), _rules("record_size")),
    "one quote, then a gigabyte": Hostile(CSV, _repeated(_HEAD + b'"', b"a\n" * (MIB // 2), 1024), _rules("record_size")),
    "a header of a gigabyte": Hostile(CSV, _repeated(b"", b"a" * MIB, 1024), _rules("header_size")),
    "a header of a million columns": Hostile(CSV, _made(lambda: b",".join(b"c%d" % n for n in range(10**6)) + b"\n1\n"), _rules("column_count")),
    "a row of a million fields": Hostile(CSV, _made(lambda: b"id,name\n" + b"," * 10**6 + b"\n"), _rules("long_row")),
    "nothing but quotes": Hostile(CSV, _repeated(_HEAD, b'"' * MIB, 64), _rules("record_size")),
    "a quote in every field": Hostile(CSV, _repeated(b"id,name\n", b'1,a"b\n' * (MIB // 6), 16), _rules("bare_quote")),
    "a wrong quote in every line": Hostile(CSV, _repeated(b"id,name\n", b'a"b\n' * (MIB // 4), 16), _rules("bare_quote")),
    "wrong quotes on one line": Hostile(CSV, _repeated(b"id,name\n", b'a"b,' * (MIB // 4), 16), _rules("record_size")),
    "text behind quotes on one line": Hostile(CSV, _repeated(b"id,name\n", b'"x"y,' * (MIB // 5), 16), _rules("record_size")),
    "both wrong quotes": Hostile(CSV, _repeated(b"id,name\n", b'1,"a"b\nx"y,2\n' * (MIB // 13), 16), _rules("text_after_quote")),
    "nothing but blank lines": Hostile(CSV, _repeated(b"id,name\n1,a\n", b"\n" * MIB, 64), _rules()),
    "nothing but NUL": Hostile(CSV, _repeated(b"id,name\n", b"\0" * MIB, 16), _rules("nul_byte", "record_size")),
    "no byte of UTF-8": Hostile(CSV, _repeated(b"id,name\n", b"\xff" * MIB, 16), _rules("encoding", "record_size")),
    "no value of its type": Hostile(DATES, _numbered(b"x%d,%d/1/2024 9:00\n", 600_000, b"id,at\n"), _rules("type")),
    "every row too short": Hostile(CSV, _repeated(b"id,name\n", b"1\n" * (MIB // 2), 16), _rules("short_row")),
    "another delimiter, a gigabyte": Hostile(CSV, _repeated(b"id;name\n", b"1;a\n" * (MIB // 4), 1024), _rules("column_missing"), is_quick=False),
    "an integer of a million digits": Hostile(NUMBERS, _made(lambda: b"i,f,d\n" + b",".join([b"1" * 10**6] * 3) + b"\n"), _rules("number_range")),
    "1e999999999": Hostile(NUMBERS, _made(lambda: b"i,f,d\n1,1e999999999,1e999999999\n1,1e-999999999,1e-999999999\n" * 1), _rules("number_range", "type")),
    "a million partitions": Hostile(BY_NAME, _numbered(b"1,p%d\n", 10**6, b"id,name\n"), _rules("partition_count")),
    # JSON
    "opening brackets, a line": Hostile(LINES, _made(lambda: b"[" * 100_000), _rules("depth")),
    "opening brackets, an array": Hostile(ARRAY, _made(lambda: b"[" * 100_000), _rules("depth")),
    "{\"a\": a hundred thousand times": Hostile(LINES, _made(lambda: b'{"a":' * 100_000), _rules("depth")),
    "the same inside an array": Hostile(ARRAY, _made(lambda: b'[{"a":' + b'{"a":' * 100_000), _rules("depth")),
    "a JSON string of a gigabyte": Hostile(ARRAY, _repeated(b'[{"id": "', b"a" * MIB, 1024), _rules("record_size")),
    "a JSON line of a gigabyte": Hostile(LINES, _repeated(b'{"id": "', b"a" * MIB, 1024), _rules("record_size")),
    "an object of a million keys": Hostile(DOCUMENTS, _made(lambda: json.dumps({"id": 1, "more": dict.fromkeys(map(str, range(500_000)), 0)}).encode()), _rules("key_count")),
    "a JSON integer of a million digits": Hostile(JSON_NUMBERS, _made(lambda: b'{"i":%b,"f":%b,"d":%b}\n' % ((b"1" * 10**6,) * 3)), _rules("number_range")),
    "JSON 1e999999999": Hostile(JSON_NUMBERS, _made(lambda: b'{"i":1e999999999,"f":1e999999999,"d":1e-999999999}\n'), _rules("number_range", "type")),
    "a new member in each of many structs": Hostile(ARRAYS, _made(lambda: b'{"v":[' + b",".join(b'{"k%d":1}' % n for n in range(250_000)) + b"]}"), _rules("column_unexpected")),
    "an array of millions of another kind": Hostile(ARRAYS, _made(lambda: b'{"v":[' + b"0," * (2 * MIB) + b"0]}"), _rules("type")),
    "an array of millions of empty arrays": Hostile(ARRAYS, _made(lambda: b'{"v":[{"b":[' + b"[]," * MIB + b"1]}]}"), _rules("type")),
    "a map of a million keys": Hostile(MAPS, _made(lambda: json.dumps({"v": dict.fromkeys(map(str, range(500_000)))}).encode()), _rules("key_count")),
    "maps in maps in maps": Hostile(MAPS, _made(lambda: b'{"v":' + b'{"a":' * 100_000), _rules("depth")),
    "a text repeated by millions of elements": Hostile(EXPLODED, _made(lambda: b'{"text":"' + b"x" * (900 << 10) + b'","v":[' + b"{}," * (2 * MIB) + b"{}]}"), _rules("decompressed_size"), is_quick=False),
    "millions of elements in the way": Hostile(EXPLODED, _made(lambda: b'{"text":"","v":[' + b"0," * (4 * MIB - 16) + b"0]}"), _rules("type")),
    "a member of a gigabyte beside the records": Hostile(TRAIL, _repeated(b'{"a":["', b"a" * MIB, 1024), _rules("record_size")),
    "a key of a gigabyte beside the records": Hostile(TRAIL, _repeated(b'{"', b"a" * MIB, 1024), _rules("record_size")),
    "a gigabyte of white space beside the records": Hostile(TRAIL, _repeated(b'{"a":1,', b" \n" * (MIB // 2), 1024), _rules("json_syntax")),
    "millions of members beside the records": Hostile(TRAIL, _numbered(b'"k%d":0,', 10**7, b"{"), _rules("key_count")),
    "deep members beside the records": Hostile(TRAIL, _made(lambda: b'{"a":' + b"[" * 100_000), _rules("depth")),
    "millions of records on one line": Hostile(TRAIL_LINES, _made(lambda: b'{"Records":[' + b"0," * (4 * MIB - 16) + b"0]}"), _rules("json_shape")),
    "millions of broken lines": Hostile(LINES, _repeated(b"", b"{x}\n" * (MIB // 4), 16), _rules("json_syntax")),
    "millions of numbers": Hostile(LINES, _repeated(b"", b"1\n" * (MIB // 2), 16), _rules("json_shape")),
    "millions of the smallest objects": Hostile(SPARSE, _repeated(b"[{}", b",{}" * (MIB // 3), 8), _rules("json_syntax"), is_quick=False),
    "a key of its own in each record": Hostile(LINES, _numbered(b'{"k%d":1}\n', 500_000), _rules("column_unexpected", "column_missing"), is_quick=False),
    "a key of its own to be rescued": Hostile(RESCUING, _numbered(b'{"k%d":1}\n', 500_000), _rules(), is_quick=False),
    "lines sent as an array, 256 MB": Hostile(ARRAY, _repeated(b"", b'{"id":1}\n' * (MIB // 9), 280), _rules("json_shape"), is_quick=False),
    "only null": Hostile(LINES, _made(lambda: b"null"), _rules("json_shape")),
}  # fmt: skip
