"""The child's side: reads untrusted files for its parent, with few rights and under limits, until its input ends.

Started as `python -m pipelines.reading.worker PARENT_PID`. Imports only the standard library before its limits are set, and
never pandas, Dagster or an AWS client. What it is told comes in on its standard input, what it finds goes out on its standard
output; anything else that prints goes nowhere.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from pipelines.reading.without_pandas import without_pandas

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.reading.reader import InProcessReader
    from pipelines.reading.summary import ReadRequest

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_OPEN_FILES = 64
_BUFFER_BYTES = 1 << 20


def main() -> None:
    """Serve files until standard input ends."""
    _confine(int(sys.argv[1]))
    incoming = os.fdopen(os.dup(0), "rb", _BUFFER_BYTES)
    outgoing = os.fdopen(os.dup(1), "wb", _BUFFER_BYTES)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    with without_pandas(), contextlib.suppress(BrokenPipeError):
        import pyarrow as pa

        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        session = _Session(incoming, outgoing)
        session.say_ready()
        session.serve()


def _confine(parent: int) -> None:
    """Die with the parent, leave no core, open few files. Memory and time are watched from outside."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))


class _Session:
    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        from pipelines.contracts.model import Dataset
        from pipelines.reading.reader import InProcessReader

        self._incoming = incoming
        self._outgoing = outgoing
        self._datasets: dict[int, Dataset] = {}
        self._reader: InProcessReader = InProcessReader()

    def say_ready(self) -> None:
        """All that reading needs is imported: what ends this process from now on may be a file's doing."""
        from pipelines.reading.protocol import Frame, send

        send(self._outgoing, Frame.READY)
        self._outgoing.flush()

    def serve(self) -> None:
        from pipelines.contracts.model import Dataset
        from pipelines.reading.protocol import Frame, read_frame

        while (frame := read_frame(self._incoming)) is not None:
            kind, payload = frame
            if kind is Frame.DATASET:
                said = json.loads(payload)
                self._datasets[said["number"]] = Dataset.model_validate(said["dataset"])
            elif kind is Frame.REQUEST:
                if not self._file(json.loads(payload)):
                    return
            else:
                return

    def _file(self, said: "dict[str, object]") -> bool:
        """Read one file; False when this process should not read another."""
        from dataclasses import replace
        from datetime import datetime

        from pipelines.errors import ConfigurationError
        from pipelines.reading.protocol import Frame, encode_summary, send
        from pipelines.reading.summary import ReadRequest

        request = ReadRequest(
            dataset=self._datasets[said["dataset"]],  # type: ignore[index]  # pyright: ignore[reportArgumentType]
            size_bytes=said["size_bytes"],  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            delimiter=said["delimiter"],  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            key_values=said["key_values"],  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            landed_at=datetime.fromisoformat(landed) if isinstance(landed := said["landed_at"], str) else None,
            traceparent=said["traceparent"],  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        )
        began = time.time()
        chunks = _Chunks(self._incoming)
        try:
            _limit_cpu(self._reader, request)
            summary = self._reader.read(request, chunks.open, _Sink(self._outgoing))
        except ConfigurationError as error:
            send(self._outgoing, Frame.MISCONFIGURED, str(error).encode())
        except (MemoryError, Exception) as error:  # noqa: BLE001 - a fault of ours must not look like a good file
            _fail(self._outgoing, error)
            return False
        else:
            if request.traceparent is not None:
                done = time.time()
                moments = (began, chunks.first_at or done, chunks.all_at or done, done)
                summary = replace(summary, moments=moments)
            send(self._outgoing, Frame.SUMMARY, encode_summary(summary))
        self._outgoing.flush()
        chunks.drain()
        return True


def _limit_cpu(reader: "InProcessReader", request: "ReadRequest") -> None:
    """A generous bound on CPU time for this file, should the watch from outside fail."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 2 * reader.plan(request.dataset).limits.reader_seconds + 60
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds if hard == resource.RLIM_INFINITY else min(seconds, hard), hard))


def _fail(outgoing: IO[bytes], error: BaseException) -> None:
    from pipelines.disk import is_disk_full
    from pipelines.reading.protocol import Frame, send

    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"
    said = {
        "memory": isinstance(error, MemoryError),
        "disk": os.strerror(error.errno or 0) if isinstance(error, OSError) and is_disk_full(error) else None,
        "text": f"{type(error).__name__} at {where}",
    }
    send(outgoing, Frame.FAILED, json.dumps(said).encode())
    outgoing.flush()


class _Chunks:
    """The chunks of one file as they come in."""

    def __init__(self, incoming: IO[bytes]) -> None:
        self._incoming = incoming
        self._ended = False
        self.first_at: float | None = None
        self.all_at: float | None = None

    def open(self) -> Iterator[bytes]:
        from pipelines.reading.protocol import Frame, read_frame

        while not self._ended:
            frame = read_frame(self._incoming)
            if frame is None:
                os._exit(1)  # the parent is gone
            kind, payload = frame
            self.first_at = self.first_at or time.time()
            if kind is Frame.END:
                self._ended = True
                self.all_at = time.time()
            else:
                yield payload

    def drain(self) -> None:
        """Skip what was sent of a file that was judged before its end."""
        for _ in self.open():
            pass


class _Sink:
    def __init__(self, outgoing: IO[bytes]) -> None:
        self._outgoing = outgoing

    def write(self, batch: "pa.RecordBatch") -> None:
        from pipelines.reading.protocol import Frame, send

        send(self._outgoing, Frame.BATCH, memoryview(batch.serialize()))

    def reject(self, batch: "pa.RecordBatch") -> None:
        from pipelines.reading.protocol import Frame, send

        send(self._outgoing, Frame.REJECTED, memoryview(batch.serialize()))

    def restart(self) -> None:
        """Never called here: a file is read once in one process."""


if __name__ == "__main__":
    main()
