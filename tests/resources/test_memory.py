"""The object store in memory, where it differs from the shared suite: it plays the producer as well."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.errors import ObjectGoneError
from pipelines.intake.objects import ObjectVersion, Sequencer
from resources.memory import MemoryObjectStore

FIRST = ObjectVersion("b", "landing/a.csv", "v1", Sequencer(1), 3, "", datetime(2026, 3, 1, tzinfo=UTC))
SECOND = replace(FIRST, version_id="v2", sequencer=Sequencer(2))


@pytest.fixture
def store() -> MemoryObjectStore:
    made = MemoryObjectStore()
    made.put_version(FIRST, b"one")
    made.put_version(SECOND, b"two")
    return made


def test_each_version_is_read_as_it_was_landed(store: MemoryObjectStore) -> None:
    assert b"".join(store.read(FIRST)) == b"one"
    assert store.get_bytes("b", "landing/a.csv") == b"two"


def test_large_objects_come_in_chunks(store: MemoryObjectStore) -> None:
    store.put_version(FIRST, b"x" * (9 * 1024 * 1024))
    assert [len(chunk) for chunk in store.read(FIRST)] == [4 * 1024 * 1024, 4 * 1024 * 1024, 1024 * 1024]


def test_a_version_that_was_deleted_is_gone(store: MemoryObjectStore) -> None:
    store.remove_version(FIRST)
    with pytest.raises(ObjectGoneError):
        list(store.read(FIRST))
    assert b"".join(store.read(SECOND)) == b"two"


def test_a_copy_is_of_exactly_that_version(store: MemoryObjectStore) -> None:
    store.copy(FIRST, "q", "x/a.csv")
    assert store.get_bytes("q", "x/a.csv") == b"one"
    assert list(store.list_keys("q", "x/")) == ["x/a.csv"]
    store.delete("q", ["x/a.csv", "x/never"])
    with pytest.raises(ObjectGoneError):
        store.get_bytes("q", "x/a.csv")


def test_files_are_uploaded_and_listed_in_order(store: MemoryObjectStore, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"file")
    for key in ("p/b", "p/a", "o/c"):
        store.put_file("q", key, tmp_path / "f")
    assert list(store.list_keys("q", "p/")) == ["p/a", "p/b"]
    assert store.uri("q", "p/a") == "memory://q/p/a"
