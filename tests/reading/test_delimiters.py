"""`delimiter: auto`: told with the contract at hand, with a score; never guessed, and never told anew where one is pinned."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.reading.delimiters import CANDIDATES, SNIFFED_BYTES, score
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest
from tests.reading.support import RowList, dataset, found, read

COLUMNS: dict[str, dict[str, Any]] = {"id": {"type": "int"}, "name": {"type": "string"}, "amount": {"type": "double"}}
AUTO = {"type": "csv", "delimiter": "auto"}
CONTRACT = dataset(COLUMNS, AUTO)
TEXT = 'id,name,amount\n1,"a, ; | b",1.5\n2,"c\nd",2.5\n'


def with_delimiter(delimiter: str) -> bytes:
    return TEXT.replace("a, ; |", "a").replace(",", delimiter).encode()


@pytest.mark.parametrize("block_bytes", [4 << 20, 7])
@pytest.mark.parametrize("delimiter", CANDIDATES)
def test_each_candidate_is_told(delimiter: str, block_bytes: int) -> None:
    rows, summary = read(CONTRACT, with_delimiter(delimiter), block_bytes=block_bytes)
    assert (summary.delimiter, summary.delimiter_score) == (delimiter, 1.0)
    assert [row["name"] for row in rows] == ["a b", "c\nd"]


def test_quotes_protect_and_a_mark_and_crlf_change_nothing() -> None:
    rows, summary = read(CONTRACT, b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert (summary.delimiter, rows[0]["name"], rows[0]["_source_line"]) == (",", "a, ; | b", 2)


def test_rows_that_do_not_fit_lower_the_score_and_are_faults() -> None:
    _, summary = read(CONTRACT, b"id;name;amount\n1;a;1\n2;b\n3;c;3\n4;d;4;5\n")
    assert (summary.delimiter, summary.delimiter_score) == (";", 0.5)
    assert {rule for rule, _, _ in found(summary)} == {"short_row", "long_row"}


def test_decimal_commas_do_not_outvote_the_header() -> None:
    contract = dataset(COLUMNS | {"amount": {"type": "string"}}, AUTO)
    rows, summary = read(contract, b"id;name;amount\n" + b"1;a;1,5\n" * 500)
    assert (summary.delimiter, rows[0]["amount"]) == (";", "1,5")


def test_a_missing_column_is_named_and_the_delimiter_still_told() -> None:
    _, summary = read(CONTRACT, b"id|name\n1|a\n")
    assert (summary.delimiter, summary.delimiter_score) == ("|", 0.667)
    assert found(summary) == [("column_missing", "amount", 1)]


@pytest.mark.parametrize("content", [b"a b c\n1 2 3\n", b"x;y;z\n1;2;3\n", b"1,2,3\n"])
def test_where_nothing_speaks_for_one_the_file_is_refused(content: bytes) -> None:
    rows, summary = read(CONTRACT, content)
    assert rows == []
    assert [(str(v.rule), v.line, v.samples[0].raw) for v in summary.violations] == [
        ("delimiter", 1, content.split(b"\n")[0].decode())
    ]
    assert summary.violations[0].found == "',' 0.00, ';' 0.00, a tab 0.00, '|' 0.00"
    assert (summary.read_complete, summary.delimiter) == (False, None)


def test_two_that_fit_alike_are_not_chosen_from() -> None:
    contract = dataset({"a": {"type": "string"}, "b": {"type": "string"}}, AUTO)
    assert found(read(contract, b"a;x,b\n")[1]) == [("delimiter", None, 1)]


def test_a_file_of_one_column_tells_none() -> None:
    contract = dataset({"name": {"type": "string"}}, AUTO)
    rows, summary = read(contract, b"name\nsmith; john\nmiller; ann\n")
    assert [row["name"] for row in rows] == ["smith; john", "miller; ann"]
    assert (summary.delimiter, summary.delimiter_score) == (None, None)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_stays_empty(content: bytes) -> None:
    _, summary = read(CONTRACT, content)
    assert (summary.violations, summary.rows_read, summary.delimiter) == ((), 0, None)


def test_a_header_alone_is_told_from() -> None:
    assert read(CONTRACT, b"id\tname\tamount")[1].delimiter == "\t"


def test_the_pinned_delimiter_holds_and_says_what_would_fit() -> None:
    request = ReadRequest(CONTRACT, None, {}, delimiter=",")
    summary = InProcessReader().read(request, lambda: [with_delimiter(";")], RowList())
    assert (summary.delimiter, summary.delimiter_score) == (",", None)
    assert summary.likely_causes == (
        (
            "The delimiter looks like ';': with it, all 2 rows fit. With delimiter: auto, all files have the delimiter of the first "
            "accepted one."
        ),
    )


def test_a_declared_delimiter_is_not_told_about() -> None:
    summary = read(dataset(COLUMNS, {"type": "csv", "delimiter": ";"}), with_delimiter(";"))[1]
    assert (summary.delimiter, summary.delimiter_score, summary.violations) == (None, None, ())


def test_what_is_looked_at_is_bounded_and_a_record_cut_off_counts_for_nothing() -> None:
    header = b"id;name;amount\n"
    rows = b"1;abcdefgh;1\n" * (2 * SNIFFED_BYTES // 13)
    assert score(CONTRACT, header + rows, ";", is_whole=False).value == 1.0
    assert read(CONTRACT, header + rows)[1].rows_read == len(rows) // 13


def test_a_fault_in_the_first_bytes_is_told_as_it_is() -> None:
    _, summary = read(dataset(COLUMNS, AUTO | {"encoding": "utf-16"}), b"\xef\xbb\xbfid;name\n")
    assert [rule for rule, _, _ in found(summary)] == ["encoding"]
    _, summary = read(CONTRACT, b"id;name;amount\n1;\xff;1\n")
    assert (summary.delimiter, [rule for rule, _, _ in found(summary)]) == (";", ["encoding"])
