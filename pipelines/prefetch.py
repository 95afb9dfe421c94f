"""Fetches small objects ahead of the reader, so that a batch of many files waits for S3 once and not once a file."""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from pipelines.intake.objects import ObjectVersion
from pipelines.ports import ObjectStore, ThreadPools

__all__ = ["Fetched", "fetch_ahead"]

_SMALL_BYTES = 1024 * 1024
_AHEAD = 16
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object on its way. `open` streams its bytes: from memory if they were read ahead, else from the store."""

    version: ObjectVersion
    store: ObjectStore
    ahead: "Future[bytes | None] | None"

    def open(self) -> Iterable[bytes]:
        """Stream the object's bytes from the start. Raises what the store raises."""
        if self.ahead is None:
            return self.store.read(self.version)
        content = self.ahead.result()
        if content is None:
            return self.store.read(self.version)
        return (content,) if content else ()


def fetch_ahead(
    store: ObjectStore, versions: Sequence[ObjectVersion], pools: ThreadPools = ThreadPoolExecutor
) -> Generator[Fetched]:
    """Yield every version in order; objects up to 1 MiB are read ahead, at most 16 at once, by eight threads.

    A fault while reading ahead surfaces when that object is opened, not before. Close the generator when it is left
    early: what its threads have not begun is dropped then. Left to the garbage collector, their end would be waited for in
    whatever thread and under whatever lock the collector happens to run, which can be for ever.
    """
    with pools(_THREADS) as pool:
        window: deque[Fetched] = deque()
        try:
            for version in versions:
                small = version.size_bytes <= _SMALL_BYTES
                window.append(Fetched(version, store, pool.submit(_read_all, store, version) if small else None))
                if len(window) >= _AHEAD:
                    yield window.popleft()
            while window:
                yield window.popleft()
        except GeneratorExit:
            pool.shutdown(cancel_futures=True)
            raise


def _read_all(store: ObjectStore, version: ObjectVersion) -> bytes | None:
    """The whole content, or None when there is more of it than the event said: such an object is streamed."""
    content = bytearray()
    for chunk in store.read(version):
        content += chunk
        if len(content) > 4 * _SMALL_BYTES:
            return None
    return bytes(content)
