"""What every item store does: in memory and on DynamoDB alike. The ledger relies on each of these."""

import threading
import uuid
from collections.abc import Callable, Mapping

import pytest

from pipelines.errors import PermanentError
from pipelines.ports import (
    Absent,
    Check,
    Delete,
    Equals,
    ItemKey,
    ItemStore,
    LessThan,
    OneOf,
    Present,
    Put,
    Refused,
    Update,
    Written,
)
from resources.memory import MemoryItemStore


@pytest.fixture(params=["memory", pytest.param("dynamodb", marks=pytest.mark.aws)])
def store(request: pytest.FixtureRequest) -> ItemStore:
    if request.param == "memory":
        return MemoryItemStore()
    deployment = request.getfixturevalue("deployment")
    from resources.dynamodb import DynamoItemStore
    from resources.environment import client

    return DynamoItemStore(client("dynamodb"), deployment.ledger_table)


@pytest.fixture
def key() -> Callable[[str], ItemKey]:
    """Keys in a partition of the test's own."""
    pk = f"test#{uuid.uuid4().hex}"
    return lambda sk: ItemKey(pk, sk)


Keys = Callable[[str], ItemKey]


def test_what_was_put_is_read_back_with_its_types(store: ItemStore, key: Keys) -> None:
    item = {
        "text": "ä\u0000\U0001f600",
        "empty": "",
        "number": -(2**62),
        "yes": True,
        "nothing": None,
        "list": [1, "a", [None, False]],
        "map": {"a": {"b": 1}},
    }
    assert store.write([Put(key("a"), item)]) == Written()
    assert store.get([key("a"), key("b")]) == {key("a"): {**item, "pk": key("a").pk, "sk": "a"}}


def test_a_put_replaces_the_whole_item(store: ItemStore, key: Keys) -> None:
    store.write([Put(key("a"), {"x": 1, "y": 2})])
    store.write([Put(key("a"), {"x": 3})])
    assert "y" not in store.get([key("a")])[key("a")]


def test_more_keys_than_one_call_takes_are_read(store: ItemStore, key: Keys) -> None:
    keys = [key(f"{i:04d}") for i in range(250)]
    for start in range(0, 250, 100):
        store.write([Put(k, {"n": 1}) for k in keys[start : start + 100]])
    assert set(store.get(keys)) == set(keys)


def test_reading_no_keys_gives_nothing(store: ItemStore) -> None:
    assert store.get([]) == {}


@pytest.mark.parametrize(
    ("condition", "on_nothing", "on_item"),
    [
        (Absent(), True, False),
        (Present(), False, True),
        (Absent("n"), True, False),
        (Absent("other"), True, True),
        (Absent("nothing"), True, False),
        (Equals("n", 5), False, True),
        (Equals("n", 6), False, False),
        (Equals("n", "5"), False, False),
        (Equals("one", True), False, False),
        (Equals("yes", True), False, True),
        (Equals("other", "x"), False, False),
        (OneOf("s", ("a", "b")), False, True),
        (OneOf("s", ("c",)), False, False),
        (OneOf("other", ("c",)), False, False),
        (LessThan("n", 6), True, True),
        (LessThan("n", 5), True, False),
        (LessThan("s", "b"), True, True),
        (LessThan("s", "a"), True, False),
        (LessThan("other", 1), True, True),
        (LessThan("s", 9), True, False),
    ],
)
def test_a_condition_means_the_same_everywhere(
    store: ItemStore, key: Keys, condition: Check, on_nothing: bool, on_item: bool
) -> None:
    store.write([Put(key("item"), {"n": 5, "s": "a", "one": 1, "yes": True, "nothing": None})])
    for sk, holds in (("none", on_nothing), ("item", on_item)):
        written = store.write([Check(key(sk), (condition,)), Put(key("witness"), {})])
        assert written == (Written() if holds else Refused((0,)))


def test_all_conditions_of_a_change_must_hold(store: ItemStore, key: Keys) -> None:
    store.write([Put(key("a"), {"n": 5, "s": "a"})])
    assert store.write([Update(key("a"), {"n": 6}, conditions=(Equals("n", 5), Equals("s", "b")))]) == Refused((0,))


def test_one_refused_change_cancels_all_and_every_refusal_is_named(store: ItemStore, key: Keys) -> None:
    store.write([Put(key("b"), {"n": 1}), Put(key("d"), {"n": 1})])
    refused = store.write(
        [
            Put(key("a"), {"n": 1}),
            Put(key("b"), {"n": 2}, (Absent(),)),
            Update(key("c"), add={"n": 1}),
            Delete(key("d"), (Equals("n", 2),)),
        ]
    )
    assert refused == Refused((1, 3))
    found = store.get([key(sk) for sk in "abcd"])
    assert {k.sk: item["n"] for k, item in found.items()} == {"b": 1, "d": 1}


def test_an_update_sets_adds_and_removes_at_once(store: ItemStore, key: Keys) -> None:
    store.write([Put(key("a"), {"n": 5, "old": "x", "keep": "y"})])
    store.write([Update(key("a"), set_={"new": [1]}, add={"n": -2, "m": 3}, remove=("old", "never"))])
    item = dict(store.get([key("a")])[key("a")])
    assert item == {"n": 3, "m": 3, "new": [1], "keep": "y", "pk": key("a").pk, "sk": "a"}


def test_an_update_creates_the_item_that_is_not_there(store: ItemStore, key: Keys) -> None:
    store.write([Update(key("a"), add={"n": 2})])
    assert store.get([key("a")])[key("a")]["n"] == 2


def test_deleting_what_is_not_there_is_no_error(store: ItemStore, key: Keys) -> None:
    assert store.write([Delete(key("a"))]) == Written()


def test_a_hundred_changes_are_made_at_once_and_one_more_is_refused(store: ItemStore, key: Keys) -> None:
    assert store.write([Put(key(f"{i}"), {}) for i in range(100)]) == Written()
    with pytest.raises(PermanentError):
        store.write([Put(key(f"{i}"), {}) for i in range(101)])


def test_an_item_may_be_changed_only_once_in_a_write(store: ItemStore, key: Keys) -> None:
    with pytest.raises(PermanentError):
        store.write([Put(key("a"), {}), Check(key("a"), (Present(),))])


def test_an_item_too_large_for_the_store_is_refused_for_good(store: ItemStore, key: Keys) -> None:
    if not isinstance(store, MemoryItemStore):
        pytest.skip("the laptop's DynamoDB has no limit on items; the real one answers ValidationException")
    with pytest.raises(PermanentError):
        store.write([Put(key("a"), {"text": "x" * 400_001})])


def test_a_query_gives_the_items_of_a_partition_in_order(store: ItemStore, key: Keys) -> None:
    store.write([Put(key(sk), {"n": i}) for i, sk in enumerate(["b#2", "a", "b#1", "b#\U0001f600", "b#\uffee", "c"])])
    pk = key("").pk

    def order(**how: str | bool) -> list[str]:
        return [str(item["sk"]) for item in store.query(pk, **how).items]  # pyright: ignore[reportArgumentType]

    assert order() == ["a", "b#1", "b#2", "b#\uffee", "b#\U0001f600", "c"]
    assert order(descending=True) == list(reversed(order()))
    assert order(prefix="b#") == ["b#1", "b#2", "b#\uffee", "b#\U0001f600"]
    assert order(upto="b#1") == ["a", "b#1"]
    assert order(prefix="b#", upto="b#1x") == ["b#1"]
    assert order(prefix="b#", upto="c") == ["b#1", "b#2", "b#\uffee", "b#\U0001f600"]
    assert order(prefix="b#", upto="a") == []
    assert store.query(pk + "x").items == ()


@pytest.mark.parametrize("descending", [False, True])
def test_a_query_goes_on_where_its_page_ended(store: ItemStore, key: Keys, descending: bool) -> None:
    store.write([Put(key(f"{i:02d}"), {"n": i}) for i in range(25)])
    found: list[object] = []
    start: str | None = None
    for _ in range(4):
        page = store.query(key("").pk, limit=10, start=start, descending=descending)
        found.extend(item["n"] for item in page.items)
        start = page.next
        if start is None:
            break
    assert found == (list(range(24, -1, -1)) if descending else list(range(25)))
    assert start is None


def test_the_index_lists_exactly_what_carries_its_attributes(store: ItemStore, key: Keys) -> None:
    due = f"due#{uuid.uuid4().hex}"
    store.write([Put(key(str(i)), {"due_pk": due, "due_sk": f"{9 - i}"}) for i in range(5)])
    store.write([Update(key("1"), remove=("due_pk", "due_sk")), Delete(key("2"))])
    store.write([Update(key("3"), {"due_pk": f"{due}x"}), Put(key("4"), {"due_pk": due, "due_sk": "0"})])

    def listed(**how: str) -> list[str]:
        return [str(item["sk"]) for item in store.query_due(due, **how).items]  # pyright: ignore[reportArgumentType]

    assert listed() == ["4", "0"]
    assert listed(upto="8") == ["4"]
    assert listed(since="1") == ["0"]
    assert listed(since="0", upto="8") == ["4"]
    assert listed(since="a") == []
    assert store.query_due("nowhere").items == ()


@pytest.mark.parametrize("descending", [False, True])
def test_the_index_goes_on_where_its_page_ended_also_among_equals(
    store: ItemStore, key: Keys, descending: bool
) -> None:
    due = f"due#{uuid.uuid4().hex}"
    store.write([Put(key(f"{i:02d}"), {"due_pk": due, "due_sk": "same"}) for i in range(25)])
    found: set[str] = set()
    start: str | None = None
    for _ in range(10):
        page = store.query_due(due, limit=7, start=start, descending=descending)
        found |= {str(item["sk"]) for item in page.items}
        start = page.next
        if start is None:
            break
    assert found == {f"{i:02d}" for i in range(25)}


def test_a_scan_gives_every_item_once_page_by_page(store: MemoryItemStore, key: Keys) -> None:
    for n in range(7):
        store.write([Put(key(f"{n}"), {"n": n}), Put(ItemKey(f"{key('').pk}#{n}", "-"), {"n": n})])
    found: list[ItemKey] = []
    start: str | None = None
    while True:
        page = store.scan(limit=3, start=start)
        assert len(page.items) <= 3
        found += [ItemKey(str(item["pk"]), str(item["sk"])) for item in page.items]
        if page.next is None:
            break
        start = page.next
    mine = [place for place in found if place.pk.startswith(key("").pk)]
    assert sorted(mine) == sorted(
        {key(f"{n}") for n in range(7)} | {ItemKey(f"{key('').pk}#{n}", "-") for n in range(7)}
    )


def test_of_many_at_once_exactly_one_wins(store: ItemStore, key: Keys) -> None:
    outcomes: list[Written | Refused] = []

    def race(number: int) -> None:
        outcomes.append(store.write([Put(key("slot"), {"owner": number}, (Absent(),)), Put(key(f"{number}"), {})]))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(Written()) == 1
    assert outcomes.count(Refused((0,))) == 7


def test_additions_at_once_are_all_counted(store: ItemStore, key: Keys) -> None:
    def add() -> None:
        for _ in range(5):
            store.write([Update(key("count"), add={"n": 1})])

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get([key("count")])[key("count")]["n"] == 20


def test_items_given_out_are_copies(store: ItemStore, key: Keys) -> None:
    given: dict[str, list[int]] = {"list": [1]}
    store.write([Put(key("a"), given)])  # pyright: ignore[reportArgumentType]
    given["list"].append(2)
    found = store.get([key("a")])[key("a")]
    assert isinstance(found, Mapping)
    found["list"].append(3)  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
    assert store.get([key("a")])[key("a")]["list"] == [1]
