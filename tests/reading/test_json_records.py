"""Records under a path of a JSON file: found wherever they stand, read in bounded memory, and what is beside them checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.reading.child import ChildReader
from pipelines.reading.summary import ReadRequest
from tests.reading.support import RowList, dataset, found, read

COLUMNS = {"id": {"type": "int"}, "name": {"type": "string"}}
TRAIL = dataset(COLUMNS, {"type": "json", "records": "$.Records[*]"})
DEEP = dataset(COLUMNS, {"type": "json", "records": '$["my data"].page.rows[*]'})
BLOCKS = [1, 7, 64, 4 << 20]
RECORDS = '[{"id": 1, "name": "a]}"}, {"id": 2}]'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a"\\]},{[: é', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('rows]}"', max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(
    beside=st.lists(st.dictionaries(st.text("abcé \"", max_size=4), VALUES, max_size=3), min_size=3, max_size=3),
    records=st.lists(st.fixed_dictionaries({"id": st.integers(0, 9)}, optional={"name": st.text(max_size=3)}), max_size=4),
    place=st.integers(0, 3),
    indent=st.sampled_from([None, 2]),
    block_bytes=st.sampled_from(BLOCKS),
)  # fmt: skip
def test_records_are_found_wherever_they_stand(
    beside: list[dict[str, object]], records: list[dict[str, object]], place: int, indent: int | None, block_bytes: int
) -> None:
    value: object = records
    for key, others in zip(("rows", "page", "my data"), beside, strict=True):
        members = list(others.items())
        members.insert(place, (key, value))
        value = dict(members)
    rows, summary = read(DEEP, json.dumps(value, indent=indent).encode(), block_bytes=block_bytes)
    missing = {"column_missing"} if records and not any("name" in record for record in records) else set()
    assert {str(v.rule) for v in summary.violations} == missing
    assert summary.rows_read == len(records)
    if not missing:
        assert [(r["id"], r["name"]) for r in rows] == [(r["id"], r.get("name")) for r in records]


def test_each_record_has_its_line() -> None:
    content = b'\xef\xbb\xbf\r\n{"x": [1,\r\n2],\r"Records":\n[\n{"id": 1,\n"name": "a"}, {"id": 2}\r\n,{"id": 3}],\n"y": {}}\n'
    for block_bytes in BLOCKS:
        rows, summary = read(TRAIL, content, block_bytes=block_bytes)
        assert summary.violations == ()
        assert [row["_source_line"] for row in rows] == [6, 7, 8]


FAULTS = [
    ("{}", "json_shape", 1, "}", "no key", "an array at $.Records"),
    ('{"a": 1, "b": 2}', "json_shape", 1, "}", "a, b", "an array at $.Records"),
    (RECORDS, "json_shape", 1, "[", None, "an object with an array at $.Records"),
    ("5", "json_shape", 1, "5", "5", "an object with an array at $.Records"),
    ("x", "json_syntax", 1, "x", "x", "an object with an array at $.Records"),
    ('{"Records": {}}', "json_shape", 1, "{}}", None, "an array at $.Records"),
    ('{"Records": null}', "json_shape", 1, "null", None, "an array at $.Records"),
    (f'{{"Records": {RECORDS},\n "Records": []}}', "json_duplicate_key", 2, '"Records": []', "Records", "each key once"),
    (f'{{"a": 1, "Records": {RECORDS}, "a": 2}}', "json_duplicate_key", 1, '"a": 2', "a", "each key once"),
    (f'{{"a": {{"b": 1, "b": 2}}, "Records": {RECORDS}}}', "json_duplicate_key", 1, '"b": 2', "b", "each key once"),
    (f'{{"a":\n 01, "Records": {RECORDS}}}', "json_syntax", 2, "1, ", "01", "valid JSON"),
    (f'{{"a": [1, 2}}, "Records": {RECORDS}}}', "json_syntax", 1, "}, ", None, "valid JSON"),
    (f'{{"a": NaN, "Records": {RECORDS}}}', "json_syntax", 1, "NaN", None, "NaN is not JSON"),
    (f'{{"a": "\\ud800", "Records": {RECORDS}}}', "json_syntax", 1, "\\ud800", None, "half of a surrogate pair"),
    (f'{{"a": , "Records": {RECORDS}}}', "json_syntax", 1, ", ", None, "a value"),
    (f'{{"a" 1, "Records": {RECORDS}}}', "json_syntax", 1, "1, ", None, "a colon behind the key"),
    (f'{{a: 1, "Records": {RECORDS}}}', "json_syntax", 1, "a: ", None, "a key in double quotes"),
    (f'{{"Records": {RECORDS}, }}', "json_syntax", 1, "}", "}", "a key in double quotes"),
    (f'{{"Records": {RECORDS} "a": 1}}', "json_syntax", 1, '"a"', None, "a comma or the object's closing brace"),
    (f'{{"Records": {RECORDS}]', "json_syntax", 1, "]", "]", "a comma or the object's closing brace"),
    (f'{{"Records": {RECORDS}}}\n {{}}', "json_syntax", 2, "{}", "{}", "the end of the file after the object"),
    (f'{{"Records": {RECORDS}', "json_syntax", 1, "", "the end of the file", "a comma or the object's closing brace"),
    ('{"Records": [{"id": 1}', "json_syntax", 1, "", "the end of the file", "the array's closing bracket"),
    (f'{{"Records": {RECORDS}, "a": [1, "', "json_syntax", 1, "", "the end of the file", "the end of the object"),
    (f'{{"Records": {RECORDS}, "a', "json_syntax", 1, "", "the end of the file", "the closing quote of a key"),
    ('{"Records": [{"id": 1}}, "a": []}', "json_syntax", 1, '}, "a"', "}", "a comma or the array's closing bracket"),
    ('{"Records": [{"id": 1}, 5]}', "json_shape", 1, "5]", "5", "an object"),
    (" \n ", "json_syntax", 1, " \n ", "nothing but white space", "an object with an array at $.Records"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rule", "line", "place", "text_found", "expected"), FAULTS)
def test_what_is_wrong_around_the_records_is_told_at_its_place(
    text: str, rule: str, line: int, place: str, text_found: str | None, expected: str
) -> None:
    content = text.encode()
    seen = set()
    for block_bytes in BLOCKS:
        _, summary = read(TRAIL, content, block_bytes=block_bytes)
        assert found(summary) == [(rule, None, line)]
        (violation,) = summary.violations
        assert violation.byte_offset is not None
        assert content[violation.byte_offset :].startswith(place.encode())
        assert text_found is None or violation.found == text_found
        assert violation.expected.startswith(expected) or expected in violation.expected
        seen.add((violation.byte_offset, violation.found, violation.expected))
    assert len(seen) == 1, "what is said depends on the size of the blocks"


def test_bytes_beside_the_records_are_utf_8_too() -> None:
    content = b'{"a": "x\xe9", "Records": [{"id": 1, "name": "a"}]}'
    _, summary = read(TRAIL, content)
    assert [(str(v.rule), v.byte_offset, v.found) for v in summary.violations] == [("encoding", 8, "e9")]


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, 200), block_bytes=st.sampled_from(BLOCKS))
@example(cut=5, block_bytes=1)
def test_a_file_cut_anywhere_is_never_taken_for_whole(cut: int, block_bytes: int) -> None:
    whole = f'{{"a": {{"b": ["c", 1.5, true]}}, "Records": {RECORDS}, "tail": "x"}}'.encode()
    _, summary = read(TRAIL, whole[: cut % len(whole)], block_bytes=block_bytes)
    if cut % len(whole):
        assert summary.violations
    else:
        assert (summary.violations, summary.rows_read) == ((), 0)


def test_limits_hold_beside_the_records_just_above_and_not_just_below() -> None:
    of = dataset(COLUMNS, {"type": "json", "records": "$.Records[*]"},
                 limits={"record_bytes": 1_000, "depth": 5, "keys": 10})  # fmt: skip
    tail = f', "Records": {RECORDS}}}'
    for head, rule in (
        (f'{{"a": "{"x" * 900}"', None),
        (f'{{"a": "{"x" * 70_000}"', "record_size"),
        ('{"a": [[[[1]]]]', None),
        ('{"a": [[[[[1]]]]]', "depth"),
        ("{" + ", ".join(f'"k{n}": 1' for n in range(9)), None),
        ("{" + ", ".join(f'"k{n}": 1' for n in range(10)), "key_count"),
        ('{"a": {' + ", ".join(f'"k{n}": 1' for n in range(11)) + "}", "key_count"),
        (f'{{"{"k" * 70_000}": 1', "record_size"),
    ):
        _, summary = read(of, (head + tail).encode(), block_bytes=100)
        assert [str(v.rule) for v in summary.violations] == ([rule] if rule else [])


def test_the_depth_of_records_counts_what_they_lie_in() -> None:
    of = dataset({"v": {"type": "json"}}, {"type": "json", "records": "$.a.b[*]"}, limits={"depth": 5})
    assert read(of, b'{"a": {"b": [{"v": [1]}]}}')[1].violations == ()
    _, summary = read(of, b'{"a": {"b": [{"v": [[1]]}]}}')
    assert found(summary) == [("depth", None, 1)]


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_cloudtrail_file_is_read_by_its_records(form: str) -> None:
    """AWS's own shape: one object with all events of some minutes, or with `jsonl` one such object a line."""
    events = [
        {"eventVersion": "1.08", "userIdentity": {"type": "Root", "accountId": "1" * 12}, "eventTime": "2024-01-01T00:00:00Z"},
        {"eventVersion": "1.08", "userIdentity": None, "eventTime": "2024-01-01T00:00:01Z"},
    ]  # fmt: skip
    columns = {
        "event_version": {"type": "string", "source": "eventVersion"},
        "event_time": {"type": "timestamp", "path": "$.eventTime"},
        "account": {"type": "string", "path": "$.userIdentity.accountId"},
    }
    of = dataset(columns, {"type": form, "records": "$.Records[*]"})
    document = json.dumps({"Records": events})
    rows, summary = read(of, (f"{document}\n{document}\n" if form == "jsonl" else document).encode())
    assert summary.violations == ()
    assert [row["account"] for row in rows] == ["1" * 12, None] * (2 if form == "jsonl" else 1)
    assert rows[1]["event_time"].second == 1


def test_memory_does_not_grow_with_the_file() -> None:
    member = b'"%d": "' + b"x" * (1 << 20) + b'", '
    record = b", ".join(b'{"id": %d, "name": "a"}' % (n % 10) for n in range(40_000))

    def chunks() -> Iterator[bytes]:
        yield b"{"
        yield from (member.replace(b"%d", b"%d" % n) for n in range(64))
        yield b'"Records": ['
        yield from (record + b", " for _ in range(9))
        yield record + b"]"
        yield from (b", " + member.replace(b"%d", b"z%d" % n)[:-2] for n in range(64))
        yield b"}"

    with ChildReader() as child:
        counted = RowCount()
        summary = child.read(ReadRequest(TRAIL, None, {}), chunks, counted)
        assert (summary.violations, counted.count) == ((), 10 * 40_000)
        status = Path(f"/proc/{child.pid}/status")
        if status.exists():
            (peak,) = [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")]
            assert peak < 400 * 1024, f"{peak:,} kB at its peak"


class RowCount(RowList):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def write(self, batch) -> None:
        self.count += batch.num_rows
