"""Streams of bytes that are looked at before they are read."""

from collections.abc import Iterable, Iterator

from pipelines.reading.stream_fault import StreamFault

__all__ = ["with_head"]


def with_head(pieces: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first `size` bytes, fewer where there are no more, and all pieces from the start; a fault is raised where it stood."""
    source = iter(pieces)
    held: list[bytes] = []
    held_bytes = 0
    fault: StreamFault | None = None
    try:
        for piece in source:
            held.append(piece)
            held_bytes += len(piece)
            if held_bytes >= size:
                break
    except StreamFault as stop:
        fault = stop

    def again() -> Iterator[bytes]:
        yield from held
        if fault is not None:
            raise fault
        yield from source

    return b"".join(held)[:size], again()
