"""Strategies for files that are nearly right: good ones, and the damage that is done to files on their way."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import strategies as st

from pipelines.contracts.model import Dataset
from tests.reading.support import dataset

CONTRACTS: tuple[dict[str, dict[str, object]], ...] = (
    {"a": {"type": "string"}, "b": {"type": "string"}},
    {"a": {"type": "string"}},
    {"a": {"type": "int"}, "b": {"type": "string", "nullable": False, "pattern": "[a-z0-9é]+"}},
    {"a": {"type": "bigint", "min": -5, "max": 2000}, "b": {"type": "double"}, "c": {"type": "boolean"}},
    {"a": {"type": "decimal(6,2)", "min": 0}, "b": {"type": "date"}, "c": {"type": "string", "max_length": 3}},
    {"a": {"type": "timestamp"}, "b": {"type": "int", "nullable": False}},
    {"a": {"type": "timestamp", "zone": "Europe/Berlin"}, "b": {"type": "string", "allowed": ["x", "é", "a,b"]}},
)
FORMATS = ("csv", "jsonl", "json")
CELLS = (
    *("", "0", "1", "-1", "+7", "007", "12", "2147483648", "9223372036854775808", "1.5", "-0.0", "1e3", "1E400", "1e-400"),
    *(".5", "5.", "0x1F", "1_000", "1,5", "inf", "NaN", "NA", "null", " 5", "5 ", "٣", "１２", "−1", "12345.67", "1234.567"),
    *("true", "false", "True", "yes", "2020-02-29", "2019-02-29", "2020-2-9", "0000-01-01", "9999-12-31", "2020-01-01T24:00"),
    *("2020-01-01T00:00:00Z", "2020-01-01 00:00", "2020-01-01T00:00:60Z", "2020-03-29T02:30:00", "2020-10-25T02:30:00"),
    *("2020-01-01T00:00:00.1234567", "2020-01-01T00:00:00+14:30", "2020-01-01", "0001-01-01T00:00:00+02:00"),
    *("x", "é", "日本", "a,b", 'say "hi"', "two\nlines", "two\r\nlines", "\ufeff", "\u00a0", "a", "b", "c", "\\"),
)  # fmt: skip
DAMAGE = (
    *(b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xed\xa0\x80"),
    *(b" ", b"{", b"}", b"[", b"]", b":", b"\\", b"\\u", b"\\ud800", b"null", b"NaN", b"1", b"-", b"//", b"a,b\n", b"e"),
)  # fmt: skip


def contract(number: int, form: str) -> Dataset:
    """One of the contracts, for a format."""
    columns = CONTRACTS[number]
    more = {"primary_key": ["b"]} if number == 2 else {}
    nulls = {"type": "csv", "null_values": ["", "NA"]} if form == "csv" and number % 2 else form
    return dataset(columns, nulls, **more)


@st.composite
def good_csv(draw: st.DrawFn, names: list[str]) -> bytes:
    """A file whose structure is right; its cells are what they are."""
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    rows = draw(st.lists(st.lists(st.sampled_from(CELLS), min_size=len(names), max_size=len(names)), max_size=6))
    quote = draw(st.booleans())

    def cell(text: str) -> str:
        escaped = text.replace('"', '""')
        return f'"{escaped}"' if quote or any(c in text for c in ',"\r\n') else text

    lines = [",".join(names), *(",".join(map(cell, row)) for row in rows)]
    mark = draw(st.sampled_from(["", "", "\ufeff"]))
    return (mark + end.join(lines) + draw(st.sampled_from(["", end]))).encode("utf-8")


@st.composite
def good_json(draw: st.DrawFn, names: list[str], form: str) -> bytes:
    """A file of objects whose values are texts, or what they look like."""
    rows = draw(st.lists(st.lists(st.sampled_from(CELLS), min_size=len(names), max_size=len(names)), max_size=5))
    is_ascii, is_spread = draw(st.booleans()), draw(st.booleans())

    def value(text: str) -> str:
        try:
            json.loads(text)
        except ValueError:
            return json.dumps(text, ensure_ascii=is_ascii)
        return text if draw(st.booleans()) else json.dumps(text, ensure_ascii=is_ascii)

    gap = "\n  " if is_spread and form == "json" else " "
    objects = [
        "{" + f",{gap}".join(f"{json.dumps(n)}:{gap}{value(text)}" for n, text in zip(names, row, strict=True)) + "}"
        for row in rows
    ]
    if form == "json":
        return ("[" + draw(st.sampled_from([",", ",\n", " , "])).join(objects) + "]").encode("utf-8")
    return draw(st.sampled_from(["\n", "\r\n"])).join(objects).encode("utf-8") + draw(st.sampled_from([b"", b"\n"]))


Damage = Callable[[bytes], bytes]


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content after up to three small accidents."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        to = draw(st.integers(at, min(len(content), at + 12)))
        kind = draw(st.integers(0, 5))
        piece = content[at:to]
        if kind <= 1:
            content = content[:at] + draw(st.sampled_from(DAMAGE)) + content[at:]
        elif kind == 2:
            content = content[:at] + content[to:]
        elif kind == 3:
            content = content[:to] + piece + content[to:]
        elif kind == 4:
            content = content[:at] + draw(st.sampled_from(DAMAGE)) + content[at + 1 :]
        else:
            content = content[:at] if draw(st.booleans()) else content[:at] + piece[::-1] + content[to:]
    return content


@st.composite
def files(draw: st.DrawFn) -> tuple[Dataset, str, bytes]:
    """A contract, its format, and a file that is nearly right under it."""
    number = draw(st.integers(0, len(CONTRACTS) - 1))
    form = draw(st.sampled_from(FORMATS))
    names = list(CONTRACTS[number])
    kept = names if draw(st.integers(0, 9)) else draw(st.permutations([*names, "more"]))[: draw(st.integers(1, 4))]
    content = draw(good_csv(kept) if form == "csv" else good_json(kept, form))
    return contract(number, form), form, draw(damaged(content))
