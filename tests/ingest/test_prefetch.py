"""Reading ahead: in order, bounded, and without a fault before the object concerned is opened."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ObjectGoneError, TransientError
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.prefetch import fetch_ahead
from resources.memory import MemoryObjectStore
from tests.accounting.books import HandClock

MIB = 1 << 20


def land(store: MemoryObjectStore, number: int, content: bytes, announced: int | None = None) -> ObjectVersion:
    size = len(content) if announced is None else announced
    version = ObjectVersion("b", f"landing/x/{number}", f"v{number}", Sequencer(number), size, "", HandClock()())
    store.put_version(version, content)
    return version


class Watching:
    """A store that remembers which versions were read, and how often."""

    def __init__(self, inner: MemoryObjectStore) -> None:
        self.inner, self.reads, self._lock = inner, list[str](), threading.Lock()

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        with self._lock:
            self.reads.append(version.version_id)
        return self.inner.read(version)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


@given(st.lists(st.sampled_from([0, 1, 100, MIB, MIB + 1]), max_size=40))
def test_every_version_comes_in_order_with_its_own_bytes(sizes: list[int]) -> None:
    store = MemoryObjectStore()
    contents = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    versions = [land(store, number, content) for number, content in enumerate(contents)]
    got = [(f.version, b"".join(f.open())) for f in fetch_ahead(store, versions)]
    assert got == list(zip(versions, contents, strict=True))


def test_small_objects_are_read_once_and_ahead_large_ones_when_they_are_opened() -> None:
    store = Watching(MemoryObjectStore())
    versions = [land(store.inner, 0, b"a" * (MIB + 1)), *(land(store.inner, n, b"b") for n in range(1, 40))]
    fetched = fetch_ahead(store, versions)  # pyright: ignore[reportArgumentType]
    large = next(fetched)
    assert "v0" not in store.reads
    assert len(store.reads) <= 16, "a window of files is in memory, not the batch"
    assert len(b"".join(large.open())) == MIB + 1
    assert [b"".join(f.open()) for f in fetched] == [b"b"] * 39
    assert sorted(store.reads) == sorted(f"v{n}" for n in range(40))


def test_an_object_can_be_opened_again() -> None:
    store = MemoryObjectStore()
    [small, large] = fetch_ahead(store, [land(store, 1, b"abc"), land(store, 2, b"x" * 2 * MIB)])
    for _ in range(2):
        assert b"".join(small.open()) == b"abc"
        assert len(b"".join(large.open())) == 2 * MIB


def test_an_object_larger_than_announced_is_streamed_and_not_kept() -> None:
    store = Watching(MemoryObjectStore())
    content = b"x" * (6 * MIB)
    [fetched] = fetch_ahead(store, [land(store.inner, 1, content, announced=10)])  # pyright: ignore[reportArgumentType]
    chunks = list(fetched.open())
    assert b"".join(chunks) == content
    assert max(map(len, chunks)) <= 4 * MIB
    assert len(store.reads) == 2


def test_a_fault_while_reading_ahead_surfaces_when_that_object_is_opened() -> None:
    store = MemoryObjectStore()
    versions = [land(store, n, b"a") for n in range(3)]
    store.remove_version(versions[1])
    first, gone, last = fetch_ahead(store, versions)
    assert b"".join(first.open()) == b"a"
    with pytest.raises(ObjectGoneError):
        gone.open()
    assert b"".join(last.open()) == b"a"


def test_leaving_early_leaves_no_thread_and_begins_nothing_more() -> None:
    hold, begun = threading.Event(), list[str]()

    class Slow(MemoryObjectStore):
        def read(self, version: ObjectVersion) -> Iterator[bytes]:
            begun.append(version.version_id)
            hold.wait(10)
            raise TransientError("cut")

    store = Slow()
    fetched = fetch_ahead(store, [land(store, n, b"a") for n in range(40)])
    next(fetched)
    threading.Timer(0.05, hold.set).start()
    fetched.close()
    assert len(begun) <= 16, "what had not begun was dropped"
    assert not any(thread.name.startswith("fetch") for thread in threading.enumerate())


def test_no_version_is_nothing_to_fetch() -> None:
    assert list(fetch_ahead(MemoryObjectStore(), [])) == []
