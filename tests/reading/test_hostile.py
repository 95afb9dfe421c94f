"""Input made to hurt: refused quickly, by a reason of its own, in bounded memory, and the next file is read."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.reading.child import ChildReader
from pipelines.reading.summary import ReadRequest
from tests.reading.support import RowList, dataset, found

CSV = dataset({"id": {"type": "int"}, "name": {"type": "string"}})
LINES = dataset({"id": {"type": "int"}}, "jsonl")
ARRAY = dataset({"id": {"type": "int"}}, "json")
SPARSE = dataset({"id": {"type": "int"}}, "json", schema={"missing_columns": "allow"})
MIB = 1 << 20
PEAK_LIMIT_KB = 400 * 1024


def repeated(head: bytes, piece: bytes, times: int) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        yield head
        for _ in range(times):
            yield piece

    return chunks


BOMB = gzip.compress(b"id,name\n1," + b"a" * (64 * MIB))
CASES = {
    "a bomb": (CSV, lambda: [BOMB], {"compression_ratio", "record_size"}),
    "one cell of a gigabyte": (CSV, repeated(b"id,name\n1,", b"a" * MIB, 1024), {"record_size"}),
    "one quoted cell of a gigabyte": (CSV, repeated(b'id,name\n1,"', b"a\n" * (MIB // 2), 1024), {"record_size"}),
    "a header of a gigabyte": (CSV, repeated(b"", b"a" * MIB, 1024), {"header_size"}),
    "a million columns": (CSV, lambda: [b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n"], {"column_count"}),
    "a million fields in a row": (CSV, lambda: [b"id,name\n" + b"," * 1_000_000 + b"\n"], {"long_row"}),
    "nothing but quotes": (CSV, repeated(b"id,name\n1,", b'"' * MIB, 64), {"record_size"}),
    "a quote in every field": (CSV, repeated(b"id,name\n", b'1,a"b\n' * (MIB // 6), 16), {"bare_quote"}),
    "a wrong quote in every line": (CSV, repeated(b"id,name\n", b'a"b\n' * (MIB // 4), 16), {"bare_quote"}),
    "wrong quotes on one line": (CSV, repeated(b"id,name\n", b'a"b,' * (MIB // 4), 16), {"record_size"}),
    "text behind quotes on one line": (CSV, repeated(b"id,name\n", b'"x"y,' * (MIB // 5), 16), {"record_size"}),
    "both wrong quotes": (CSV, repeated(b"id,name\n", b'1,"a"b\nx"y,2\n' * (MIB // 13), 16), {"text_after_quote"}),
    "nothing but blank lines": (CSV, repeated(b"id,name\n1,a\n", b"\n" * MIB, 64), set()),
    "nothing but NUL": (CSV, repeated(b"id,name\n", b"\0" * MIB, 16), {"nul_byte", "record_size"}),
    "no byte of UTF-8": (CSV, repeated(b"id,name\n", b"\xff" * MIB, 16), {"encoding", "record_size"}),
    "an integer of a million digits": (CSV, lambda: [b"id,name\n" + b"1" * 1_000_000 + b",a\n"], {"number_range"}),
    "a JSON integer of a million digits": (LINES, lambda: [b'{"id": ' + b"1" * 1_000_000 + b"}\n"], {"number_range"}),
    "opening brackets, a line": (LINES, lambda: [b"[" * 100_000], {"depth"}),
    "opening brackets, an array": (ARRAY, lambda: [b"[" * 100_000], {"depth"}),
    "opening braces inside an array": (ARRAY, lambda: [b'[{"a":' + b'{"a":' * 100_000], {"depth"}),
    "one JSON string of a gigabyte": (ARRAY, repeated(b'[{"id": "', b"a" * MIB, 1024), {"record_size"}),
    "one line of a gigabyte": (LINES, repeated(b'{"id": "', b"a" * MIB, 1024), {"record_size"}),
    "a million keys": (
        LINES,
        lambda: [b"{" + b",".join(b'"k%d":1' % n for n in range(500_000)) + b"}\n"],
        {"key_count"},
    ),
    "millions of the smallest objects": (SPARSE, repeated(b"[{}", b",{}" * (MIB // 3), 8), {"json_syntax"}),
    "only null": (LINES, lambda: [b"null"], {"json_shape"}),
}


@pytest.fixture(scope="module")
def reader() -> Iterator[ChildReader]:
    with ChildReader() as child:
        yield child


@pytest.mark.parametrize("name", CASES)
def test_hostile_input_is_refused_for_its_own_reason(reader: ChildReader, name: str) -> None:
    contract, chunks, rules = CASES[name]
    started = time.monotonic()
    summary = reader.read(ReadRequest(contract, None, {}), chunks, RowList())
    took_s = time.monotonic() - started
    said = {rule for rule, _, _ in found(summary)}
    assert (said & rules) or (not rules and not said), said
    assert not said & {"reader_crash", "reader_memory", "reader_time"}
    assert took_s < 30
    after = reader.read(ReadRequest(CSV, None, {}), lambda: [b"id,name\n1,a\n"], RowList())
    assert after.rows_read == 1
    status = Path(f"/proc/{reader.pid}/status")
    if status.exists():
        (peak,) = [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        assert peak < PEAK_LIMIT_KB, f"{peak:,} kB at its peak"
