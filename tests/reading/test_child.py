"""The child process: the same answers as in this process, no secrets, and a verdict whatever happens to it."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.contracts.model import Dataset
from pipelines.errors import DiskFullError, TransientError
from pipelines.reading.child import ChildReader, FileToRead
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest
from tests.reading.support import RowList, dataset, found

SIMPLE = dataset({"id": {"type": "int"}, "name": {"type": "string"}}, primary_key=["id"])
LIMIT_S = 30


@pytest.fixture(scope="module")
def reader() -> Iterator[ChildReader]:
    with ChildReader() as child:
        yield child


def request(contract: Dataset = SIMPLE) -> ReadRequest:
    return ReadRequest(contract, None, {})


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.01)


@pytest.mark.parametrize(
    "content",
    [b"", b"id,name\n", b"id,name\n1,a\n2,b\n", b'id,name\n1,a"b\nx,"y\n', b"id,name\n1,a\n1,b\n", b"\xff\xfe"],
)
def test_the_child_says_what_this_process_says(reader: ChildReader, content: bytes) -> None:
    there, here = RowList(), RowList()
    said = reader.read(request(), lambda: [content], there)
    expected = InProcessReader().read(request(), lambda: [content], here)
    assert there.rows == here.rows
    for name in (
        "rows_read",
        "rows_bad",
        "read_complete",
        "violations",
        "violations_total",
        "null_counts",
        "source_columns",
    ):
        assert getattr(said, name) == getattr(expected, name)


def test_values_from_the_key_keep_their_types(reader: ChildReader) -> None:
    contract = dataset(
        {"day": {"type": "date", "from": "key"}, "part": {"type": "string", "from": "key"}, "id": {"type": "int"}}
    )
    from datetime import date

    sink = RowList()
    reader.read(ReadRequest(contract, None, {"day": date(2024, 1, 5), "part": "007"}), lambda: [b"id\n1\n"], sink)
    assert sink.rows == [{"day": date(2024, 1, 5), "part": "007", "id": 1, "_source_line": 2}]


def test_one_child_reads_thousands_of_small_files_without_a_round_trip_each(reader: ChildReader) -> None:
    sinks = [RowList() for _ in range(2_000)]
    files = (FileToRead(request(), lambda n=n: [f"id,name\n{n},a\n".encode()], sink) for n, sink in enumerate(sinks))
    summaries = list(reader.read_many(files))
    assert [s.rows_read for s in summaries] == [1] * 2_000
    assert [sink.rows[0]["id"] for sink in sinks] == list(range(2_000))


def test_the_child_knows_no_secret_and_no_engine_it_does_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-children")
    monkeypatch.setenv("SOME_TOKEN", "not-for-children")
    with ChildReader() as reader:
        reader.read(request(), lambda: [b"id,name\n1,a\n"], RowList())
        child = psutil.Process(reader.pid or 0)
        assert not [name for name in child.environ() if name.startswith("AWS_") or "TOKEN" in name]
        assert "not-for-children" not in str(child.environ())
        limits = Path(f"/proc/{reader.pid}/limits").read_text() if Path("/proc").exists() else ""
        if limits:
            assert re.search(r"Max core file size +0 +0 ", limits)
            assert re.search(r"Max open files +64 +64 ", limits)
        maps = Path(f"/proc/{reader.pid}/maps").read_text() if Path("/proc").exists() else ""
        for engine in ("/pandas/", "dagster", "/_dataset."):
            assert engine not in maps


def test_the_child_ends_with_its_reader() -> None:
    with ChildReader() as reader:
        reader.read(request(), lambda: [b"id,name\n1,a\n"], RowList())
        pid = reader.pid
    assert pid is not None
    wait_for(lambda: not psutil.pid_exists(pid))


class Killing:
    """A source whose bytes come only after something was done to the child."""

    def __init__(
        self, reader: ChildReader, content: bytes, times: int, when: Callable[[], bool] = lambda: True
    ) -> None:
        self.reader = reader
        self.when = when
        self.content = content
        self.times = times
        self.opened = 0

    def open(self) -> Iterator[bytes]:
        self.opened += 1
        yield self.content
        wait_for(self.when)
        if self.opened <= self.times and self.reader.pid is not None:
            os.kill(self.reader.pid, signal.SIGKILL)
            yield b"2,b\n"
        yield b"3,c\n"


def test_a_child_killed_once_costs_nothing_but_time() -> None:
    with ChildReader() as reader:
        reader.read(request(), lambda: [b"id,name\n1,a\n"], RowList())
        sink = RowList()
        source = Killing(reader, b"id,name\n1,a\n", times=1)
        summary = reader.read(request(), source.open, sink)
        assert found(summary) == []
        assert [row["id"] for row in sink.rows] == [1, 3]
        assert (source.opened, sink.restarts) == (2, 1)


def test_a_file_that_kills_its_reader_twice_is_called_a_crash_and_its_neighbours_are_read() -> None:
    with ChildReader() as reader:
        reader.read(request(), lambda: [b"id,name\n1,a\n"], RowList())
        sinks = [RowList() for _ in range(5)]
        bad = Killing(reader, b"id,name\n1,a\n", times=2, when=lambda: bool(sinks[1].rows))
        sources = [lambda: [b"id,name\n7,g\n"]] * 5
        files = [FileToRead(request(), sources[n] if n != 2 else bad.open, sinks[n]) for n in range(5)]
        summaries = list(reader.read_many(files))
        assert [found(s) for s in summaries] == [[], [], [("reader_crash", None, None)], [], []]
        assert not summaries[2].read_complete
        assert "SIGKILL" in summaries[2].violations[0].found
        assert [len(sink.rows) for sink in sinks] == [1, 1, 0, 1, 1]


@pytest.mark.parametrize("code", ["raise SystemExit(1)", "print('not a frame', flush=True)"])
def test_a_child_that_cannot_start_is_our_fault_and_no_files(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen

    def broken(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return start([command[0], "-c", code], **options)

    with ChildReader() as reader:
        monkeypatch.setattr(subprocess, "Popen", broken)
        with pytest.raises(TransientError, match="before it could read"):
            reader.read(request(), lambda: [b"id,name\n1,a\n"], RowList())
        monkeypatch.undo()
        assert found(reader.read(request(), lambda: [b"id,name\n1,a\n"], RowList())) == []


def test_a_child_that_hangs_before_it_can_read_is_given_up_and_no_file_is_to_blame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = subprocess.Popen
    children: list[subprocess.Popen[bytes]] = []

    def hanging(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        children.append(start([command[0], "-c", "import time; time.sleep(60)"], **options))
        return children[-1]

    with ChildReader(start_s=1) as reader:
        monkeypatch.setattr(subprocess, "Popen", hanging)
        began = time.monotonic()
        with pytest.raises(TransientError, match="did not begin to read within 1 s"):
            reader.read(request(), lambda: [b"id,name\n1,a\n"], RowList())
        assert time.monotonic() - began < LIMIT_S
        monkeypatch.undo()
    assert children[0].returncode == -signal.SIGKILL


def test_a_full_temporary_disk_is_our_fault_and_no_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    start = subprocess.Popen

    def limited(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        limit = "import resource, signal, runpy, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        limit += "sys.argv = sys.argv[:]; runpy.run_module('pipelines.reading.worker', run_name='__main__')"
        return start([command[0], "-P", "-s", "-c", limit, command[-1]], **options)

    rows = b"id,name\n" + b"".join(b"%d,%s\n" % (n, b"x" * 20) for n in range(20_000))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("rows.csv", rows)
    monkeypatch.setattr(subprocess, "Popen", limited)
    with ChildReader() as reader:
        sinks = [RowList(), RowList()]
        files = [
            FileToRead(request(), lambda: [b"id,name\n1,a\n"], sinks[0]),
            FileToRead(request(), lambda: [packed.getvalue()], sinks[1]),
        ]
        answers = reader.read_many(files)
        assert found(next(answers)) == []
        with pytest.raises(DiskFullError, match=r"No room is left for temporary files in .*TMPDIR"):
            next(answers)


def test_memory_beyond_the_limit_is_a_verdict() -> None:
    contract = dataset({"id": {"type": "int"}}, limits={"reader_memory_bytes": 20 << 20})

    def slowly() -> Iterator[bytes]:
        yield b"id\n"
        end = time.monotonic() + 3
        while time.monotonic() < end:
            yield b"1\n" * 1000
            time.sleep(0.01)

    with ChildReader() as reader:
        summary = reader.read(request(contract), slowly, RowList())
        assert found(summary) == [("reader_memory", None, None)]
        assert "limits.reader_memory_bytes" in summary.violations[0].message


def test_time_beyond_the_limit_is_a_verdict_and_a_slow_source_is_not() -> None:
    contract = dataset({"id": {"type": "int"}}, limits={"reader_seconds": 1})

    def stuck() -> Iterator[bytes]:
        yield b"id\n1\n"
        if reader.pid is not None:
            os.kill(reader.pid, signal.SIGSTOP)

    def slow() -> Iterator[bytes]:
        yield b"id\n1\n"
        time.sleep(1.5)
        yield b"2\n"

    with ChildReader() as reader:
        reader.read(request(), lambda: [b"id,name\n1,a\n"], RowList())
        assert found(reader.read(request(contract), stuck, RowList())) == [("reader_time", None, None)]
        assert found(reader.read(request(contract), slow, RowList())) == []


def test_what_the_source_raises_reaches_the_caller_behind_the_files_before_it() -> None:
    def broken() -> Iterator[bytes]:
        yield b"id,name\n"
        raise ConnectionResetError("the connection was cut")

    with ChildReader() as reader:
        sources = [lambda: [b"id,name\n1,a\n"], lambda: [b"id,name\n1,a\n"], broken, lambda: [b"id,name\n1,a\n"]]
        answers = reader.read_many(FileToRead(request(), source, RowList()) for source in sources)
        assert [next(answers).rows_read, next(answers).rows_read] == [1, 1]
        with pytest.raises(ConnectionResetError):
            next(answers)
        assert reader.read(request(), lambda: [b"id,name\n1,a\n"], RowList()).rows_read == 1


def test_what_the_sink_raises_reaches_the_caller() -> None:
    class Full(RowList):
        def write(self, batch: object) -> None:
            raise OSError("no space left")

    with ChildReader() as reader:
        with pytest.raises(OSError, match="no space left"):
            reader.read(request(), lambda: [b"id,name\n1,a\n"], Full())
        assert reader.read(request(), lambda: [b"id,name\n1,a\n"], RowList()).rows_read == 1


def test_a_file_judged_early_is_not_read_to_its_end(reader: ChildReader) -> None:
    pulled = 0

    def endless() -> Iterator[bytes]:
        nonlocal pulled
        while pulled < 10_000:
            pulled += 1
            yield b"x" * (1 << 20)

    summary = reader.read(request(), endless, RowList())
    assert not summary.read_complete
    assert pulled < 200


def test_the_child_may_be_used_from_threads_that_end(reader: ChildReader) -> None:
    def use() -> None:
        reader.read(request(), lambda: [b"id,name\n1,a\n"], RowList())

    for _ in range(2):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    pid = reader.pid
    assert reader.read(request(), lambda: [b"id,name\n1,a\n"], RowList()).rows_read == 1
    assert reader.pid == pid
