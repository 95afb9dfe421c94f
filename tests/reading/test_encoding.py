"""Where a fault of encoding is said to be, however the bytes were cut on their way here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.reading.encoding import Text
from pipelines.reading.stream_fault import StreamFault


def cut(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize(
    ("encoding", "content", "line", "byte_offset"),
    [
        ("cp1252", b"a\r\nb\rc\n\r\n\x81", 5, 9),
        ("utf-16-le", "a\r\n\rb\n".encode("utf-16-le") + b"\x00\xd8a\x00", 4, 12),
        ("utf-16", "\ufeffé\r\n".encode("utf-16-be") + b"\xdc\x00", 2, 8),
        ("shift_jis", "日\r\n本".encode("shift_jis") + b"\xff", 2, 6),
    ],
)
def test_the_place_of_a_byte_does_not_depend_on_the_pieces(
    encoding: str, content: bytes, line: int, byte_offset: int, size: int
) -> None:
    before = b""
    with pytest.raises(StreamFault) as caught:  # noqa: PT012 - what comes before the fault is part of the outcome
        for piece in Text(cut(content, size), encoding):
            before += piece
    assert (caught.value.line, caught.value.byte_offset) == (line, byte_offset)
    assert before.decode("utf-8") == content[:byte_offset].decode(encoding)
