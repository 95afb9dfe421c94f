"""What a replacement changed: counted against a slow reference, and what is said of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contracts.model import Dataset
from pipelines.errors import TransientError
from pipelines.ports import SourceVersion
from pipelines.publication import row_changes
from pipelines.publication.publish import AcceptedFile, KnownVersion, Published, publish, source_of
from pipelines.publication.row_changes import RowChanges, compare_replaced
from resources.memory_tables import MemoryTables
from tests.publication.samples import dataset, object_version, row, stage

V1, V2, OTHER = object_version("k", "v1", 1), object_version("k", "v2", 2), object_version("other", "o1", 9)
KEYED = dataset().model_copy(update={"primary_key": ("id",)})
Rows = list[tuple[int, str]]
ROWS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["x", "y", "ü" * 12])), max_size=12)


def rows_of(rows: Rows) -> list[dict[str, Any]]:
    return [row(n, carrier=text) for n, text in rows]


def replaced(of: Dataset, old: Rows, new: Rows, scratch: Path, tables: MemoryTables | None = None) -> Published:
    """Publish v1 beside another file, then v2 in its place."""
    tables = tables or MemoryTables()
    tables.ensure(of)
    first = stage(of, {source_of(V1): rows_of(old), source_of(OTHER): [row(99)]}, scratch, "b1")
    publish(tables, of, "b1", [AcceptedFile(V1), AcceptedFile(OTHER)], first, list)
    second = stage(of, {source_of(V2): rows_of(new)}, scratch, "b2")
    return publish(tables, of, "b2", [AcceptedFile(V2)], second, lambda: [KnownVersion(V1, accepted=True)])


def changes(of: Dataset, old: Rows, new: Rows, scratch: Path) -> RowChanges | None:
    tables = MemoryTables()
    published = replaced(of, old, new, scratch, tables)
    return compare_replaced(tables, of, published, {source_of(V2): len(new)}).get(source_of(V2))


def counts(of: Dataset, old: Rows, new: Rows, scratch: Path) -> tuple[int | None, ...]:
    found = changes(of, old, new, scratch)
    assert found is not None
    return found.added, found.removed, found.changed, found.unchanged


def test_with_a_primary_key_rows_are_added_removed_changed_or_as_before(tmp_path: Path) -> None:
    old, new = [(1, "x"), (2, "x"), (3, "x")], [(2, "x"), (3, "y"), (4, "x"), (5, "x")]
    assert counts(KEYED, old, new, tmp_path) == (2, 1, 1, 1)
    found = changes(KEYED, old, new, tmp_path)
    assert found is not None
    assert found.sentence() == "replaces version v1: 2 rows added, 1 removed, 1 changed, 1 as before"


def test_without_a_primary_key_whole_rows_are_compared_as_often_as_they_stand_there(tmp_path: Path) -> None:
    old, new = [(1, "x"), (1, "x"), (3, "x")], [(1, "x"), (3, "y"), (3, "y")]
    assert counts(dataset(), old, new, tmp_path) == (2, 2, None, 1)


def test_the_same_bytes_again_change_nothing(tmp_path: Path) -> None:
    assert counts(KEYED, [(1, "x"), (2, "y")], [(2, "y"), (1, "x")], tmp_path) == (0, 0, 0, 2)


def test_a_file_that_replaces_nothing_is_not_compared(tmp_path: Path) -> None:
    tables = MemoryTables()
    tables.ensure(KEYED)
    staged = stage(KEYED, {source_of(V1): [row(1)]}, tmp_path, "b1")
    published = publish(tables, KEYED, "b1", [AcceptedFile(V1)], staged, list)
    assert compare_replaced(tables, KEYED, published, {source_of(V1): 1}) == {}


@given(st.dictionaries(st.integers(0, 9), st.text("ab", max_size=2)), st.dictionaries(st.integers(0, 9), st.text("ab", max_size=2)))  # fmt: skip
def test_keys_are_counted_as_a_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory, old: dict[int, str], new: dict[int, str]
) -> None:
    if not old:
        return
    both = old.keys() & new.keys()
    changed = sum(old[n] != new[n] for n in both)
    expected = (len(new) - len(both), len(old) - len(both), changed, len(both) - changed)
    assert counts(KEYED, [*old.items()], [*new.items()], tmp_path_factory.mktemp("rows")) == expected


@given(ROWS, ROWS)
def test_rows_are_counted_as_a_multiset_would(tmp_path_factory: pytest.TempPathFactory, old: Rows, new: Rows) -> None:
    if not old:
        return
    before, after = Counter(old), Counter(new)
    expected = (sum((after - before).values()), sum((before - after).values()), None, sum((before & after).values()))
    scratch = tmp_path_factory.mktemp("rows")
    assert counts(dataset(), old, new, scratch) == expected
    if len(dict(old)) < len(old):  # a key that repeats, from before it was one: rows are compared as a whole
        assert counts(KEYED, old, new, scratch) == expected


def test_beyond_the_limit_it_says_that_nothing_was_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_changes, "MOST_ROWS", 3)
    found = changes(KEYED, [(1, "x"), (2, "x")], [(1, "x"), (2, "x")], tmp_path)
    assert found is not None
    assert found.sentence() == (
        "replaces version v1: 2 rows before, 2 now (not compared: more than 3 rows in one batch)"
    )


def test_a_fault_while_comparing_is_told_and_takes_nothing_back(tmp_path: Path) -> None:
    class Silent(MemoryTables):
        def read_rows(self, base: Any, dataset: Any, sources: Any) -> Any:
            raise TransientError("no answer")
            yield SourceVersion("", ""), pa.table({})

    tables = Silent()
    published = replaced(KEYED, [(1, "x")], [(2, "x")], tmp_path, tables)
    found = compare_replaced(tables, KEYED, published, {source_of(V2): 1})[source_of(V2)]
    assert (found.added, found.reason) == (None, "the older rows could not be read: no answer")
    assert published.commit is not None
