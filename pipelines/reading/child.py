"""Reads files in a child process that knows no secrets and may die: the `FileReader` for untrusted bytes.

One warm child serves a whole run. Files are fed to it by a thread of their own, ahead of its answers; how far ahead is bounded by
the pipe. A file that the pipe has room for needs no such thread. A watch looks at the child's resident memory and at the time it
takes; a child that breaks a limit, or dies, is replaced, its file is read once more alone, and then called what it is.
"""

import contextlib
import fcntl
import itertools
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pyarrow as pa

import pipelines
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import REJECTED_READING, bad_row_limit
from pipelines.contracts.schema import reading_schema
from pipelines.errors import ConfigurationError
from pipelines.reading.child_answers import Death, checked, failure, how
from pipelines.reading.keeper import START_S, Keeper
from pipelines.reading.limits import Limits, limits_of
from pipelines.reading.protocol import (
    Frame,
    decode_summary,
    encode_dataset,
    encode_keys,
    read_frame,
    send,
)
from pipelines.reading.summary import ChunkSource, ReadRequest, ReadSummary, RowSink
from pipelines.reading.violations import Rule

__all__ = ["ChildReader", "FileToRead"]

_PIPE_BYTES = 1 << 20
_AT_ONCE_BYTES = 256 << 10
"""What a file read alone may have to be written to the child before its answer is read, if the pipe takes twice as much: then neither
waits for the other, and no thread has to feed."""
_AHEAD = 64
"""Files fed before their answers are read, at most; the pipe's size is the tighter bound for all but the smallest."""
_KEPT = ("TMPDIR", "LD_LIBRARY_PATH", "TZDIR", "PYTHONTZPATH")


@dataclass(frozen=True, slots=True)
class FileToRead:
    """One file for `read_many`: what to read it as, its bytes, and where its rows go."""

    request: ReadRequest
    chunks: ChunkSource
    sink: RowSink


@dataclass(slots=True)
class _Contract:
    number: int
    dataset: Dataset
    schema: pa.Schema
    limits: Limits
    rejects_rows: bool


@dataclass(slots=True)
class _Feed:
    """What the feeding thread and the reading one share."""

    files: Iterator[FileToRead]
    pending: deque[FileToRead] = field(default_factory=deque[FileToRead])
    wake: threading.Condition = field(default_factory=threading.Condition)
    exhausted: bool = False  # there are no more files
    ended: bool = False  # the feeding thread is through
    stopped: bool = False  # the reading one wants no more
    answered: int = 0
    fetching: int = -1  # the number of the file whose source is being waited for
    error: BaseException | None = None
    error_at: int = -1
    at_once: bool = False  # the pipe has room for all of it

    def is_starved(self) -> bool:
        """Whether the file being read waits for its source."""
        return self.fetching == self.answered


class ChildReader:
    """Implements `FileReader` in a child process. One caller at a time; a context manager, which ends the child."""

    def __init__(self, start_s: float = START_S) -> None:
        """The child starts with the first file; one that cannot read within `start_s` seconds is given up."""
        self._keeper = Keeper(self._start, start_s)
        self._child: subprocess.Popen[bytes] | None = None
        self._contracts: dict[int, _Contract] = {}
        self._told: set[int] = set()
        self._death = Death(Rule.READER_CRASH, "nothing is known", "a reader that lives")

    def __enter__(self) -> "ChildReader":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the child ahead of the first file. Raises what starting raises; the first read would try again."""
        if self._child is None:
            self._spawn()

    def close(self) -> None:
        """End the child. Repeatable; a later read starts another."""
        child = self._child
        self._kill()
        if child is not None:
            _bury(child)
        self._keeper.close()

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return None if self._child is None else self._child.pid

    def read(self, request: ReadRequest, chunks: ChunkSource, sink: RowSink) -> ReadSummary:
        """Read all that `chunks()` yields; rows go to `sink`, faults into the summary. See `FileReader.read`.

        Raises whatever the chunks or the sink raise, ConfigurationError when the contract cannot be compiled, and DiskFullError
        when the child has no room for temporary files.
        """
        content = self._small(request, chunks)
        if content is None:
            (summary,) = list(self.read_many([FileToRead(request, chunks, sink)]))
            return summary
        file = FileToRead(request, lambda: content, sink)
        summaries = list(self._session(_Feed(iter((file,)), at_once=True)))
        return summaries[0] if summaries else self._alone(file)

    def _small(self, request: ReadRequest, chunks: ChunkSource) -> "list[bytes] | None":
        """The content of a file that the pipe takes at once; None where it is larger, or may not be opened."""
        size, limits = request.size_bytes, self._contract(request.dataset).limits
        if size is None or size > min(_AT_ONCE_BYTES, limits.object_bytes) or self._pipe_bytes() < 2 * _AT_ONCE_BYTES:
            return None
        content: list[bytes] = []
        length = 0
        for chunk in chunks():
            content.append(chunk)
            length += len(chunk)
            if length > _AT_ONCE_BYTES:
                return None  # more than was said of it
        return content

    def _pipe_bytes(self) -> int:
        """How much the pipe to the child holds."""
        self.start()
        assert self._child is not None  # noqa: S101 - it was started just now
        assert self._child.stdin is not None  # noqa: S101 - it was started with a pipe
        return fcntl.fcntl(self._child.stdin, fcntl.F_GETPIPE_SZ) if hasattr(fcntl, "F_GETPIPE_SZ") else 0

    def read_many(self, files: Iterable[FileToRead]) -> Iterator[ReadSummary]:
        """Read files one after another, feeding ahead; yields their summaries in order.

        The way to read many small files: `chunks()` of later files is opened, in another thread, while earlier ones
        are still being read. Raises as `read` does, at the file concerned.
        """
        source = iter(files)
        while True:
            feed = _Feed(source)
            yield from self._session(feed)
            if not feed.pending:
                return
            # The child died on the first of these; the others had not begun.
            first, *later = feed.pending
            yield self._alone(first)
            source = itertools.chain(later, () if feed.exhausted else source)

    def _alone(self, file: FileToRead) -> ReadSummary:
        """The second and last try, with a fresh child that reads nothing else."""
        file.sink.restart()
        feed = _Feed(iter((file,)))
        summaries = list(self._session(feed))
        if summaries:
            return summaries[0]
        death = self._death
        file.sink.restart()
        from pipelines.reading.reader import (
            summary_of_fault,
        )  # a file's second death is rare, and this loads every format

        return summary_of_fault(death.rule, death.found, death.expected, self._keeper.spent_s)

    # ---- one child's life -----------------------------------------------------------------------------------------

    def _session(self, feed: _Feed) -> Iterator[ReadSummary]:
        """Feed and read until the files end or the child dies; what is left in `feed.pending` was not read."""
        child = self._child if self._child is not None and self._child.poll() is None else self._spawn()
        feeder = threading.Thread(target=self._feed, args=(feed, child), name="reader-feed", daemon=True)
        if feed.at_once:
            self._feed(feed, child)
        else:
            feeder.start()
        finished = False
        try:
            while (file := self._next(feed)) is not None:
                summary = self._answer(file, feed, child)
                if summary is None:
                    break
                with feed.wake:
                    feed.pending.popleft()
                    feed.answered += 1
                    feed.wake.notify_all()
                yield summary
            finished = True
        finally:
            if not finished or feed.error is not None or self._child is not child:
                self._kill()
                child.kill()
            with feed.wake:
                feed.stopped = True
                feed.wake.notify_all()
            if not feed.at_once:
                feeder.join()
            if self._child is not child:
                _bury(child)
        if feed.error is not None:
            raise feed.error

    def _next(self, feed: _Feed) -> FileToRead | None:
        """The file whose answer comes next; None when there is none, or its source failed."""
        with feed.wake:
            while not feed.pending and not feed.ended:
                feed.wake.wait()
            if not feed.pending or (feed.error is not None and feed.error_at <= feed.answered):
                return None
            return feed.pending[0]

    def _answer(self, file: FileToRead, feed: _Feed, child: "subprocess.Popen[bytes]") -> ReadSummary | None:
        """Read one file's batches and summary; None when the child did not live to give it."""
        contract = self._contract(file.request.dataset)
        assert child.stdout is not None  # noqa: S101 - it was started with a pipe
        with self._keeper.watching(child.pid, contract.limits, feed.is_starved) as watch:
            while True:
                with watch.waiting():
                    frame = read_frame(child.stdout)
                if feed.error is not None and feed.error_at <= feed.answered:
                    return None
                if frame is None:
                    self._death = how(child, watch.broken, contract.limits)
                    self._kill()
                    return None
                kind, payload = frame
                if kind is Frame.BATCH or kind is Frame.REJECTED:
                    is_good = kind is Frame.BATCH
                    batch = checked(payload, contract.schema if is_good else REJECTED_READING)
                    if batch is None or (not is_good and not contract.rejects_rows):
                        self._death = Death(
                            Rule.READER_CRASH, "rows that are not of the contract's types", "valid rows"
                        )
                        self._kill()
                        return None
                    if is_good:
                        file.sink.write(batch)
                    else:
                        file.sink.reject(batch)
                elif kind is Frame.SUMMARY:
                    try:
                        return decode_summary(payload)
                    except (ValueError, KeyError, TypeError):
                        self._death = Death(Rule.READER_CRASH, "a summary that cannot be read", "a summary")
                        self._kill()
                        return None
                elif kind is Frame.MISCONFIGURED:
                    raise ConfigurationError(
                        f"dataset {file.request.dataset.name}: {payload.decode('utf-8', 'replace')}"
                    )
                else:
                    self._death = failure(payload, contract.limits)
                    self._kill()
                    return None

    def _feed(self, feed: _Feed, child: "subprocess.Popen[bytes]") -> None:
        """The feeding thread: writes files to the child until there are no more, or it is told to stop."""
        assert child.stdin is not None  # noqa: S101 - it was started with a pipe
        number = 0
        try:
            while True:
                with feed.wake:
                    while not feed.stopped and number - feed.answered >= _AHEAD:
                        feed.wake.wait()
                    if feed.stopped:
                        return
                file = next(feed.files, None)
                if file is None:
                    feed.exhausted = True
                    return
                with feed.wake:
                    feed.pending.append(file)
                    feed.wake.notify_all()
                self._feed_file(feed, number, file, child.stdin)
                number += 1
        except BrokenPipeError:
            return  # the reading thread sees the child's death as well, and knows what to do
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            with feed.wake:
                feed.error, feed.error_at = error, number
                if feed.answered == number:
                    child.kill()  # it waits for bytes that will not come, and the caller's thread for it
        finally:
            with feed.wake:
                feed.ended = True
                feed.wake.notify_all()

    def _feed_file(self, feed: _Feed, number: int, file: FileToRead, pipe: IO[bytes]) -> None:
        contract = self._contract(file.request.dataset)
        if contract.number not in self._told:
            send(pipe, Frame.DATASET, encode_dataset(contract.number, contract.dataset))
            self._told.add(contract.number)
        said = {
            "dataset": contract.number,
            "size_bytes": file.request.size_bytes,
            "delimiter": file.request.delimiter,
            "traceparent": file.request.traceparent,
            "key_values": encode_keys(file.request.key_values),
            "landed_at": None if file.request.landed_at is None else file.request.landed_at.isoformat(),
        }
        send(pipe, Frame.REQUEST, json.dumps(said).encode())
        size = file.request.size_bytes
        if size is None or size <= contract.limits.object_bytes:
            feed.fetching = number
            for chunk in file.chunks():
                feed.fetching = -1
                if feed.stopped or feed.answered > number:
                    break  # judged before its end
                for start in range(0, len(chunk), _PIPE_BYTES):
                    send(pipe, Frame.CHUNK, memoryview(chunk)[start : start + _PIPE_BYTES])
                feed.fetching = number
            feed.fetching = -1
        send(pipe, Frame.END)
        pipe.flush()

    # ---- the process ----------------------------------------------------------------------------------------------

    def _contract(self, dataset: Dataset) -> _Contract:
        contract = self._contracts.get(id(dataset))
        if contract is None:
            number = len(self._contracts)
            rejects_rows = bad_row_limit(dataset) is not None
            contract = _Contract(number, dataset, reading_schema(dataset), limits_of(dataset), rejects_rows)
            self._contracts[id(dataset)] = contract
        return contract

    def _spawn(self) -> "subprocess.Popen[bytes]":
        if self._child is not None:
            _bury(self._child)
        self._kill()
        self._told.clear()
        self._child = self._keeper.spawn()
        return self._child

    @staticmethod
    def _start() -> "subprocess.Popen[bytes]":
        """Start a child: no secrets in its environment, and nothing of ours but the code."""
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        root = str(Path(pipelines.__file__).resolve().parents[1])
        environment |= {"PYTHONPATH": root, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        child = subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", "pipelines.reading.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=_PIPE_BYTES,
            env=environment,
            cwd="/",
            close_fds=True,
        )
        for pipe in (child.stdin, child.stdout):
            if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
                with contextlib.suppress(OSError):  # beyond the system's bound for unprivileged users
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return child

    def _kill(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()


def _bury(child: "subprocess.Popen[bytes]") -> None:
    """Close a dead child's pipes; what was still to be written to it is lost with it."""
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
