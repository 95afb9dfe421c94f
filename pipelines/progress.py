"""How far the file is that is being read: a value, told now and then while it lasts. Small files are never told of.

Bytes are counted as they are handed to the reader, which is never more than a few mebibytes behind; rows as they come back.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from dataclasses import dataclass

import pyarrow as pa

from pipelines.amounts import amount, lasting
from pipelines.intake.objects import ObjectVersion
from pipelines.printable import printable
from pipelines.reading.summary import ChunkSource, RowSink

__all__ = ["EVERY_S", "FileUnderWay", "Progress", "TellProgress"]

EVERY_S = 10.0
"""How long a file is read before it is told of, and between two tellings: a file that takes less is never told of."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A file under way: `bytes_read` of its object's `size_bytes`, as they lie in S3; `rows` came so far, `rows_rejected` among them."""

    version: ObjectVersion
    bytes_read: int
    rows: int
    rows_rejected: int
    seconds: float

    @property
    def size_bytes(self) -> int:
        """The size of the object: what the event said, unless more has come."""
        return max(self.version.size_bytes, self.bytes_read)

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.bytes_read / self.size_bytes if self.size_bytes else 0.0

    @property
    def bytes_a_second(self) -> float:
        """On average since the file was begun."""
        return self.bytes_read / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """If it goes on like that; None before the first byte."""
        speed = self.bytes_a_second
        return (self.size_bytes - self.bytes_read) / speed if speed else None

    def numbers(self) -> dict[str, int | float | None]:
        """The same for programs."""
        left = self.seconds_left
        return {
            "bytes_read": self.bytes_read,
            "size_bytes": self.size_bytes,
            "rows": self.rows,
            "rows_rejected": self.rows_rejected,
            "seconds": round(self.seconds, 1),
            "seconds_left": None if left is None else round(left),
        }

    def sentence(self) -> str:
        """One printable line for people."""
        rejected = f", {self.rows_rejected:,} of them rejected" if self.rows_rejected else ""
        left = self.seconds_left
        return (
            f"{printable(self.version.key)}: {self.share:.0%} read, {amount(self.bytes_read)} of {amount(self.size_bytes)}; "
            f"{self.rows:,} rows{rejected}; {self.bytes_a_second / 1e6:.1f} MB/s"
            f"{'' if left is None else f', about {lasting(left)} still to read'}"
        )


TellProgress = Callable[[Progress], None]
"""Whom progress is told to, by the thread that feeds the reader: it should not take long, and what it raises stops the reading."""


class FileUnderWay:
    """Stands between a file's bytes, its reader and its sink, and counts. A `RowSink`; `chunks` is the `ChunkSource`."""

    def __init__(
        self,
        version: ObjectVersion,
        chunks: ChunkSource,
        sink: RowSink,
        tell: TellProgress,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tell` is called as by whoever makes this, whatever thread asks for the bytes: its log lines name the same file."""
        self._version = version
        self._chunks = chunks
        self._sink = sink
        self._tell = tell
        self._seconds = seconds
        self._context = copy_context()
        self._began = seconds()
        self._told = self._began
        self._rows = 0
        self._rejected = 0

    def chunks(self) -> Iterable[bytes]:
        """The bytes from the start, again each time."""
        read = 0

        def counted(chunks: Iterable[bytes]) -> Iterator[bytes]:
            nonlocal read
            for chunk in chunks:
                yield chunk
                read += len(chunk)
                self._look(read)

        content = self._chunks()
        # What lies in memory already is one chunk of a small file.
        return content if isinstance(content, tuple) else counted(content)

    def _look(self, read: int) -> None:
        now = self._seconds()
        if now - self._told < EVERY_S:
            return
        self._told = now
        progress = Progress(self._version, read, self._rows + self._rejected, self._rejected, now - self._began)
        self._context.run(self._tell, progress)

    def write(self, batch: pa.RecordBatch) -> None:
        """Pass good rows on."""
        self._rows += batch.num_rows
        self._sink.write(batch)

    def reject(self, batch: pa.RecordBatch) -> None:
        """Pass rejected rows on."""
        self._rejected += batch.num_rows
        self._sink.reject(batch)

    def restart(self) -> None:
        """The reader died and begins again."""
        self._rows = self._rejected = 0
        self._sink.restart()
