"""Files small enough to be written to the child at once, before its answer is read: the same answers, whatever is wrong."""

import os
import signal
from collections.abc import Iterator

import pytest

from pipelines.reading.child import ChildReader
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest
from tests.reading.support import RowList, dataset

SIMPLE = dataset({"id": {"type": "int"}, "name": {"type": "string"}}, primary_key=["id"])


@pytest.fixture(scope="module")
def reader() -> Iterator[ChildReader]:
    with ChildReader() as child:
        yield child


def _lines(count: int) -> bytes:
    return b"id,name\n" + b"".join(b"%d,n\n" % number for number in range(count))


@pytest.mark.parametrize(
    "content", [b"", b"id,name\n", _lines(3), b'id,name\n1,a"b\nx,"y\n', _lines(20_000), b"nothing\n" * 20_000]
)
def test_what_this_process_says(reader: ChildReader, content: bytes) -> None:
    there, here = RowList(), RowList()
    asked = ReadRequest(SIMPLE, len(content), {})
    reader.read(asked, lambda: [content], RowList())
    said = reader.read(asked, lambda: [content], there)  # finds what the first left in the pipe
    expected = InProcessReader().read(asked, lambda: [content], here)
    assert there.rows == here.rows
    assert (said.rows_read, said.rows_bad, said.violations) == (
        expected.rows_read,
        expected.rows_bad,
        expected.violations,
    )


def test_a_file_larger_than_was_said_is_read_whole(reader: ChildReader) -> None:
    content, sink = _lines(300_000), RowList()
    pieces = [content[at : at + 100_000] for at in range(0, len(content), 100_000)]
    said = reader.read(ReadRequest(SIMPLE, 100, {}), lambda: pieces, sink)
    assert said.rows_read == len(sink.rows) == 300_000


def test_a_source_that_fails_costs_no_child(reader: ChildReader) -> None:
    reader.start()
    before = reader.pid

    def broken() -> Iterator[bytes]:
        yield b"id,na"
        raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        reader.read(ReadRequest(SIMPLE, 30, {}), broken, RowList())
    sink = RowList()
    assert reader.read(ReadRequest(SIMPLE, 30, {}), lambda: [_lines(2)], sink).rows_read == 2
    assert reader.pid == before


def test_a_child_that_died_before_is_replaced(reader: ChildReader) -> None:
    reader.start()
    assert reader.pid is not None
    os.kill(reader.pid, signal.SIGKILL)
    sink = RowList()
    assert reader.read(ReadRequest(SIMPLE, 30, {}), lambda: [_lines(5)], sink).rows_read == 5
    assert len(sink.rows) == 5


def test_a_file_beyond_the_contracts_limit_is_not_opened(reader: ChildReader) -> None:
    contract = dataset({"id": {"type": "int"}}, limits={"object_bytes": 10})

    def opened() -> list[bytes]:
        raise AssertionError

    said = reader.read(ReadRequest(contract, 100, {}), opened, RowList())
    assert [violation.rule.value for violation in said.violations] == ["object_size"]
