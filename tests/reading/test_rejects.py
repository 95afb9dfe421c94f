"""Rows rejected one by one: each bad row leaves beside the good ones, none is lost, none is told twice, up to the limit."""

from __future__ import annotations

import json
import random
from typing import Any

import pyarrow as pa
import pytest

from pipelines.contracts import rejected
from pipelines.reading import child, rejects
from pipelines.reading.child import ChildReader
from pipelines.reading.protocol import Frame, read_frame
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import Accepted, ReadRequest, Rejected, judge
from tests.reading.support import RowList, dataset, found

COLUMNS: dict[str, dict[str, Any]] = {"id": {"type": "int", "nullable": False}, "name": {"type": "string"}}


def read(
    content: bytes, max_bad: int | str | None, *, block_bytes: int = 4 << 20, reader: Any = None, **more: Any
) -> Any:
    """The verdict, what came out, and the summary."""
    rows = {"on_bad": "quarantine_rows", **({} if max_bad is None else {"max_bad": max_bad})}
    contract = dataset(more.pop("columns", COLUMNS), more.pop("form", "csv"), rows=rows, **more)
    sink = RowList()
    summary = (reader or InProcessReader(block_bytes)).read(ReadRequest(contract, None, {}), lambda: [content], sink)
    return judge(contract, summary), sink, summary


def csv(good: int, bad: int) -> bytes:
    """Good rows with bad ones strewn in."""
    lines = [f"{n},good" for n in range(good)] + [f"x{n},bad" for n in range(bad)]
    random.Random(good * 1_000 + bad).shuffle(lines)
    return ("id,name\n" + "\n".join(lines) + "\n").encode()


@pytest.mark.parametrize(
    ("good", "bad", "max_bad", "accepted"),
    [
        (10, 2, 3, True),
        (10, 3, 3, True),
        (10, 4, 3, False),
        (10, 1, 0, False),
        (10, 0, 0, True),
        (999, 1, "0.1%", True),
        (1000, 1, "0.1%", True),
        (998, 1, "0.1%", False),
        (1998, 2, "0.1%", True),
        (1997, 3, "0.1%", False),
        (9, 1, None, True),
        (8, 1, None, False),
        (89, 11, None, False),
        (1, 9, "90%", True),
        (0, 1, "100%", False),
        (0, 5, 5, False),
        (3, 5, 1_000_000_000_000 - 1, True),
    ],
)  # fmt: skip
def test_a_file_is_rejected_beyond_max_bad_and_not_at_it(
    good: int, bad: int, max_bad: int | str | None, accepted: bool
) -> None:
    verdict, sink, summary = read(csv(good, bad), max_bad, block_bytes=64)
    assert isinstance(verdict, Accepted) is accepted
    assert (summary.rows_read, summary.rows_bad) == (good + bad, bad)
    rules = [violation.rule for violation in summary.violations]
    assert ("bad_rows" in rules) is not accepted
    if accepted:
        assert verdict == Accepted(good, bad, summary.violations, summary.violations_total)
        assert (len(sink.rows), len(sink.rejected)) == (good, bad)


def test_the_violation_says_how_many_of_how_many_and_the_limit() -> None:
    for max_bad, expected in (("2.50%", "at most 2.5%, by rows.max_bad"), (1, "at most 1, by rows.max_bad")):
        verdict, _, _ = read(csv(30, 2), max_bad)
        assert isinstance(verdict, Rejected)
        told = next(v for v in verdict.violations if v.rule == "bad_rows")
        assert (told.found, told.expected) == ("2 bad rows of 32", expected)
        assert verdict.violations_total == 3, "the bad rows' own faults are told beside it"


def test_so_many_bad_rows_are_no_rows_whatever_the_contract_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejects, "MAX_REJECTED_ROWS", 5)
    assert isinstance(read(csv(100, 5), "50%")[0], Accepted)
    verdict, sink, _ = read(csv(100, 6), "50%")
    assert isinstance(verdict, Rejected)
    assert verdict.violations[0].expected == "at most 5, whatever rows.max_bad says"
    assert sink.rejected == []
    assert rejected.MAX_REJECTED_ROWS == 1_000_000


def test_nothing_more_is_sent_once_a_number_of_rows_is_exceeded() -> None:
    content = b"id,name\n" + b"x,bad\n" * 3 + b"1,good\n" * 1_000
    verdict, sink, summary = read(content, 2, block_bytes=64)
    assert isinstance(verdict, Rejected)
    assert sink.rejected == []
    assert sink.rows == []
    assert summary.rows_read == 1_003, "reading goes on: all faults are told"


def test_batches_of_bad_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Sizes(RowList):
        def reject(self, batch: Any) -> None:
            sizes.append(batch.num_rows)
            super().reject(batch)

    monkeypatch.setattr(rejects, "_BATCH_ROWS", 10)
    monkeypatch.setattr(f"{__name__}.RowList", Sizes)
    _, sink, _ = read(csv(30, 25), "50%")
    assert sizes == [10, 10, 5]
    assert len(sink.rejected) == 25
    sizes.clear()
    monkeypatch.setattr(rejects, "_BATCH_CHARACTERS", 4_000)
    read(b"id,name\n1,a\n2,a\n3,a\n" + (b"x," + b"n" * 3_900 + b"\n") * 3, "50%")
    assert sizes == [1, 1, 1]


def test_a_row_with_very_many_reasons_says_how_many_more_there_are() -> None:
    columns = {f"c{n}": {"type": "int"} for n in range(150)}
    names = ",".join(columns).encode()
    content = names + b"\n" + b",".join([b"x"] * 150) + b"\n" + b",".join([b"1"] * 150) + b"\n"
    _, sink, _ = read(content, 1, columns=columns)
    [row] = sink.rejected
    reasons = json.loads(row["reasons"])
    assert (len(reasons), reasons[-1], row["rules"]) == (101, {"message": "50 more"}, "type")


def test_reasons_say_what_was_found_and_expected_and_more_where_there_is_more() -> None:
    _, sink, _ = read(b"id,name\n1,a\n2,\xe9\n99999999999,b\n,c\n", "90%")
    reasons = [json.loads(row["reasons"]) for row in sorted(sink.rejected, key=lambda row: row["_source_line"])]
    assert reasons == [
        [
            {
                "rule": "encoding",
                "column": None,
                "found": "e9",
                "expected": "bytes in utf-8, as format.encoding declares",
                "message": "The bytes look like windows-1252, where e9 is 'é'.",
            }
        ],
        [{"rule": "number_range", "column": "id", "found": "99999999999", "expected": "a whole number of 32 bits, in digits only"}],
        [{"rule": "null", "column": "id", "found": "", "expected": "a value: the column is not nullable"}],
    ]  # fmt: skip


def test_what_is_said_of_bytes_is_said_of_the_rows_own() -> None:
    _, sink, _ = read(b"id,name\n1,\xe9\n2,\xff\xfe\n3,\x81\n4,b\n5,\xe2\x82", "90%")
    reasons = [json.loads(row["reasons"])[0] for row in sorted(sink.rejected, key=lambda row: row["_source_line"])]
    assert [reason.get("message") for reason in reasons] == [
        "The bytes look like windows-1252, where e9 is 'é'.",
        "The bytes look like windows-1252, where ff is 'ÿ'.",
        None,
        "The file ends in the middle of a character: it looks cut short.",
    ]


BLOCKS = pytest.mark.parametrize("block_bytes", [4 << 20, 7, 64, 1_000])


@BLOCKS
def test_no_row_is_lost_or_told_twice_whatever_the_blocks(block_bytes: int) -> None:
    kinds = [b"%d,good", b"x,type", b"%d", b"%d,a,b", b"", b"%d,\xff", b"%d,n\0l", b",null", b'%d,"two\nlines"']
    for seed in range(12):
        rng = random.Random(seed)
        lines = [
            rng.choices(kinds, weights=[9, 1, 1, 1, 1, 1, 1, 1, 2])[0].replace(b"%d", b"%d" % n) for n in range(60)
        ]
        while not lines[-1]:
            lines[-1] = b"7,good"  # blank lines at the end are none
        content = b"id,name\n" + b"\n".join(lines) + b"\n"
        verdict, sink, summary = read(content, "100%", block_bytes=block_bytes)
        assert isinstance(verdict, Accepted)
        assert (len(sink.rows), len(sink.rejected)) == (summary.rows_read - summary.rows_bad, summary.rows_bad)
        line, by_line = 2, {}
        for text in lines:
            by_line[line] = text
            line += 1 + text.count(b"\n")
        told = {row["_source_line"]: row["raw"] for row in sink.rejected}
        loaded = {row["_source_line"] for row in sink.rows}
        assert told.keys() | loaded == by_line.keys()
        assert not told.keys() & loaded
        assert told == {n: by_line[n].decode("utf-8", "backslashreplace") for n in told}
        good = {n for n, text in by_line.items() if text.endswith((b",good", b'lines"'))}
        assert loaded == good


@BLOCKS
@pytest.mark.parametrize("more", [{}, {"schema": {"new_columns": "rescue"}}], ids=["fast", "strict"])
def test_no_line_of_json_is_lost_or_told_twice_whatever_the_blocks(block_bytes: int, more: dict[str, Any]) -> None:
    kinds = [
        b'{"id": %d, "name": "good"}', b'{"id": "%d"}', b'{"id": %d', b"[%d]", b'{"id": %d, "id": 2}', b"\xff{%d}",
        b'{"id": %d, "name": "a", "NAME": "b"}', b'{"id": null, "name": "%d"}', b'{"id": %d, "name": ["deep", [[[[]]]]]}',
    ]  # fmt: skip
    for seed in range(12):
        rng = random.Random(seed)
        lines = [
            rng.choices(kinds, weights=[9, 1, 1, 1, 1, 1, 1, 1, 1])[0].replace(b"%d", b"%d" % n) for n in range(60)
        ]
        verdict, sink, summary = read(b"\n".join(lines), "100%", block_bytes=block_bytes, form="jsonl", **more)
        assert isinstance(verdict, Accepted)
        told = {row["_source_line"]: row["raw"] for row in sink.rejected}
        loaded = {row["_source_line"] for row in sink.rows}
        assert len(sink.rejected) == summary.rows_bad == len(told)
        assert loaded == {n for n, text in enumerate(lines, 1) if b"good" in text}
        assert told == {
            n: text.decode("utf-8", "backslashreplace") for n, text in enumerate(lines, 1) if b"good" not in text
        }


@BLOCKS
def test_blank_lines_between_rows_are_rejected_where_they_stand(block_bytes: int) -> None:
    _, sink, _ = read(b"id,name\n1,a\n\n\r\n\n2,b\n\n\n", "90%", block_bytes=block_bytes)
    assert [(row["_source_line"], row["raw"], row["rules"]) for row in sink.rejected] == [
        (n, "", "short_row") for n in (3, 4, 5)
    ]
    _, sink, _ = read(
        b"id\n1\n\n\n2\n\n", "90%", block_bytes=block_bytes, columns={"id": {"type": "int", "nullable": False}}
    )
    assert [(row["_source_line"], row["rules"]) for row in sink.rejected] == [(3, "null"), (4, "null")]


def test_records_and_cells_beyond_their_limits_are_rejected_alone() -> None:
    content = b"id,name\n1,a\n2," + b"b" * 50 + b"\n3," + b"c" * 150 + b"\n4,d\n"
    verdict, sink, summary = read(content, 2, limits={"cell_bytes": 20, "record_bytes": 100})
    assert isinstance(verdict, Accepted)
    assert [row["id"] for row in sink.rows] == [1, 4]
    assert found(summary) == [("cell_size", "name", 3), ("record_size", None, 4)]
    assert sorted(row["rules"] for row in sink.rejected) == ["cell_size", "record_size"]


def test_a_header_beyond_the_record_limit_is_no_row() -> None:
    columns = {"a" * 60: {"type": "int"}, "b" * 60: {"type": "int"}}
    content = (",".join(columns) + "\n1,2\n").encode()
    assert isinstance(read(content, 5, columns=columns, limits={"record_bytes": 100})[0], Rejected)


def test_more_nul_bytes_than_are_placed_are_rejected_row_by_row() -> None:
    content = b"id,name\n1,a\n" + b"2,\0\n" * 1_500 + b"3,c\n"
    verdict, sink, summary = read(content, 1_500)
    assert isinstance(verdict, Accepted)
    assert len(sink.rejected) == summary.rows_bad == 1_500


@pytest.mark.parametrize(
    "content",
    [
        b"id,name\n1,a\nx,b\n2,c",
        b'id,name\n1,a\nx,b\n2,"never closed\n3,c\n',
        b"id,name\n" + b"x,b\n" * 20_000 + b"1,a\n" * 20_000,
        b"id,name\nx,a\n",
    ],
    ids=["rows", "stopped", "many", "all"],
)
def test_the_child_says_what_reading_in_process_says(content: bytes) -> None:
    mine, rows, summary = read(content, "50%")
    with ChildReader() as reader:
        theirs, sent, told = read(content, "50%", reader=reader)
    assert theirs == mine
    assert (sent.rows, sent.rejected) == (rows.rows, rows.rejected)
    assert (told.rows_read, told.rows_bad, told.violations) == (summary.rows_read, summary.rows_bad, summary.violations)


def test_where_a_bad_row_rejects_its_file_no_row_is_sent_apart() -> None:
    contract = dataset(COLUMNS)
    sink = RowList()
    summary = InProcessReader().read(ReadRequest(contract, None, {}), lambda: [csv(5, 2)], sink)
    assert isinstance(judge(contract, summary), Rejected)
    assert sink.rejected == []
    assert found(summary)[0][0] == "type"


def test_what_was_rescued_of_a_rejected_row_is_not_counted_as_rescued() -> None:
    content = b"id,name,more\n1,a,x\nwrong,b,y\n3,c,z\n"
    _, sink, summary = read(content, 2, schema={"new_columns": "rescue"})
    assert summary.rescued == {"more": 2}
    assert [json.loads(row["_rescued"])[0]["value"] for row in sink.rows] == ["x", "z"]
    assert [row["raw"] for row in sink.rejected] == ["wrong,b,y"]


def test_a_row_that_breaks_a_rule_between_columns_is_rejected_alone() -> None:
    columns = {"low": {"type": "int"}, "high": {"type": "int"}}
    verdict, sink, _ = read(b"low,high\n1,2\n3,2\n4,5\n", 2, columns=columns, rules=["low <= high"])
    assert isinstance(verdict, Accepted)
    assert [(row["raw"], row["rules"]) for row in sink.rejected] == [("3,2", "row_rule")]
    assert [row["low"] for row in sink.rows] == [1, 4]


def test_warnings_are_about_the_rows_that_were_loaded() -> None:
    columns = {"id": {"type": "int"}, "low": {"type": "int"}}
    expectations = [
        {"expect_column_values_to_be_between": {"column": "low", "max_value": 5}, "severity": "block"},
        {"expect_column_values_to_be_between": {"column": "id", "max_value": 5}, "severity": "quarantine_rows"},
    ]
    _, _, summary = read(b"id,low\n1,9\nx,9\n6,9\n4,1\n", 3, columns=columns, expectations=expectations)
    assert [(w.line, w.count, w.severity) for w in summary.warnings] == [(2, 1, "block")]


@pytest.mark.parametrize("rows", [{}, {"on_bad": "quarantine_rows"}], ids=["unasked", "of another schema"])
def test_a_child_that_sends_wrong_rejected_rows_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, rows: dict[str, str]
) -> None:
    content = pa.RecordBatch.from_pylist(
        [{"raw": "x", "rules": "type", "reasons": "[]", "_source_line": 1}], schema=rejected.REJECTED_READING
    )
    wrong = content if not rows else pa.RecordBatch.from_pydict({"raw": [1]})

    def lie(pipe: Any) -> Any:
        frame = read_frame(pipe)
        if frame is not None and frame[0] is Frame.BATCH:
            return Frame.REJECTED, bytes(memoryview(wrong.serialize()))
        return frame

    monkeypatch.setattr(child, "read_frame", lie)
    sink = RowList()
    with ChildReader() as reader:
        summary = reader.read(ReadRequest(dataset(COLUMNS, rows=rows), None, {}), lambda: [csv(3, 0)], sink)
    assert found(summary) == [("reader_crash", None, None)]
    assert sink.rejected == []
