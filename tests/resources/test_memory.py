"""The ports in memory, beyond the shared suites: the object store plays the producer, the item store keeps its order by itself."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ObjectGoneError
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.ports import Delete, Item, ItemKey, Put
from resources.memory import MemoryItemStore, MemoryObjectStore

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


def pages(ask: Any, **how: Any) -> list[Item]:
    """All pages of a query."""
    found: list[Item] = []
    start: str | None = None
    while True:
        page = ask(start=start, **how)
        assert len(page.items) <= how["limit"]
        found.extend(page.items)
        if page.next is None:
            return found
        start = page.next


@pytest.mark.parametrize("seed", range(40))
def test_queries_answer_what_a_sorted_list_of_all_items_would(seed: int) -> None:
    rng, store = random.Random(seed), MemoryItemStore()
    there: dict[ItemKey, Item] = {}
    for _ in range(80):
        key = ItemKey(rng.choice("pq"), "".join(rng.choice("ab#") for _ in range(rng.randrange(4))))
        if rng.random() < 0.3:
            store.write([Delete(key)])
            there.pop(key, None)
            continue
        item = {"due_pk": rng.choice("xy"), "due_sk": rng.choice("abc")} if rng.random() < 0.5 else {"n": 1}
        store.write([Put(key, item)])
        there[key] = {**item, "pk": key.pk, "sk": key.sk}
    assert store.items() == there
    for _ in range(60):
        prefix, upto = rng.choice(["", "a", "ab", "#", "a#"]), rng.choice([None, "a", "ab", "b#"])
        descending, limit = rng.random() < 0.5, rng.randrange(1, 5)
        wanted = [k for k in sorted(there, reverse=descending) if k.pk == "p" and k.sk.startswith(prefix)]
        wanted = [k for k in wanted if upto is None or k.sk <= upto]
        found = pages(partial(store.query, "p"), prefix=prefix, upto=upto, descending=descending, limit=limit)
        assert found == [there[k] for k in wanted]
        listed = sorted((str(i["due_sk"]), k) for k, i in there.items() if i.get("due_pk") == "x")
        since = rng.choice([None, "a", "b"])
        listed = [(due, k) for due, k in listed if (upto is None or due <= upto) and (since is None or due >= since)]
        listed = listed[::-1] if descending else listed
        due = partial(store.query_due, "x", since=since, descending=descending)
        assert pages(due, upto=upto, limit=limit) == [there[k] for _, k in listed]
