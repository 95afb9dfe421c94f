"""Taking sources out of data files: exactly their rows, the rest unchanged, older schemas understood."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.ports import SourceVersion
from pipelines.publication.parquet_writer import field_ids, file_schema
from pipelines.publication.rewriting import copy_without, count_sources, open_parquet, rewrite_without
from pipelines.publication.staged import StagedFile
from tests.publication.samples import COLUMNS, dataset, row, source, stage

OF = dataset()


def contents(files: Sequence[StagedFile]) -> list[tuple[str, str, int]]:
    rows = [r for f in files for r in pq.ParquetFile(f.path).read().to_pylist()]
    return sorted((r["_source_file"], r["_source_version"], r["id"]) for r in rows)


def test_only_files_that_hold_the_version_are_written_again(tmp_path: Path) -> None:
    first, second = date(2024, 1, 1), date(2024, 1, 2)
    staged = stage(OF, {source("a"): [row(1, first)], source("b", "w"): [row(2, first), row(3, second)]}, tmp_path)
    rewritten = rewrite_without(staged, [source("a")])
    assert contents(rewritten) == [("b", "w", 2), ("b", "w", 3)]
    changed = next(f for f in rewritten if f.partition == {"day": first})
    unchanged = next(f for f in rewritten if f.partition == {"day": second})
    assert unchanged in staged
    assert changed.name.startswith("b1-1-0-")
    assert changed.relative_key == f"day=2024-01-01/{changed.name}"
    assert (changed.rows, changed.rows_by_source, changed.size_bytes) == (1, {"w": 1}, changed.path.stat().st_size)
    assert field_ids(pq.read_schema(changed.path)) == field_ids(file_schema(OF))


def test_a_file_of_which_nothing_is_left_is_dropped(tmp_path: Path) -> None:
    staged = stage(OF, {source("a"): [row(1)]}, tmp_path)
    assert rewrite_without(staged, [source("a")]) == ()


def test_nothing_to_take_out_changes_nothing(tmp_path: Path) -> None:
    staged = stage(OF, {source("a"): [row(1)]}, tmp_path)
    assert rewrite_without(staged, []) == staged
    assert rewrite_without(staged, [source("zz", "other")]) == staged


def test_different_versions_taken_out_give_different_names(tmp_path: Path) -> None:
    staged = stage(OF, {source("a", "1"): [row(1)], source("b", "2"): [row(2)], source("c", "3"): [row(3)]}, tmp_path)
    names = {
        rewrite_without(staged, gone)[0].name
        for gone in ([source("a", "1")], [source("b", "2")], [source("a", "1"), source("b", "2")])
    }
    assert len(names) == 3


@settings(max_examples=40, deadline=None)
@given(
    written=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(1, 30)), min_size=1, max_size=12
    ),
    gone=st.sets(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"))),
)
def test_exactly_the_rows_of_the_sources_go(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[str, str, int]], gone: set[tuple[str, str]]
) -> None:
    scratch = tmp_path_factory.mktemp("rewriting")
    files: dict[SourceVersion, list[dict[str, object]]] = {}
    for key, version, count in written:
        files.setdefault(source(key, version), []).extend(row(n) for n in range(count))
    staged = stage(OF, files, scratch)
    expected = {(s.key, s.version_id): len(rows) for s, rows in files.items() if (s.key, s.version_id) not in gone}
    left = rewrite_without(staged, [source(*pair) for pair in gone])
    counted = {(s.key, s.version_id): n for f in left for s, n in count_sources(open_parquet(f.path)).items()}
    assert counted == expected
    for file in left:
        assert sum(file.rows_by_source.values()) == file.rows == sum(expected.values())


def test_large_files_are_copied_in_order_and_keep_provenance_as_dictionaries(tmp_path: Path) -> None:
    of = dataset("wide", partition_by=(), columns={"id": {"type": "bigint"}, "day": {"type": "date"}})
    files = {source(f"f{n}", f"v{n}"): [row(n * 50_000 + k) for k in range(50_000)] for n in range(4)}
    [staged] = stage(of, files, tmp_path)
    [left] = rewrite_without([staged], [source("f1", "v1")])
    read = pq.ParquetFile(left.path)
    assert read.read(["id"])["id"].to_pylist() == [*range(50_000), *range(100_000, 200_000)]
    sizes = [
        read.metadata.row_group(g).column(c)
        for g in range(read.metadata.num_row_groups)
        for c in range(read.metadata.num_columns)
    ]
    assert all(c.total_compressed_size < 1000 for c in sizes if c.path_in_schema.startswith("_source_v"))


def test_columns_are_found_by_id_added_as_null_and_widened(tmp_path: Path) -> None:
    """What schema evolution leaves behind: a renamed column, a new one, an int that became a bigint."""
    [staged] = stage(OF, {source("a"): [row(1)], source("b", "w"): [row(2)]}, tmp_path)
    ids = field_ids(file_schema(OF))
    evolved = dataset(
        columns={
            **{name: column for name, column in COLUMNS.items() if name not in ("carrier", "stops")},
            "airline": {"type": "string"},
            "stops": {"type": "bigint"},
            "fresh": {"type": "double"},
        }
    )
    new_ids = {**ids, "airline": ids["carrier"], "fresh": 99}
    schema = file_schema(evolved, new_ids)
    with open_parquet(staged.path) as parquet:
        copied = copy_without(parquet, {source("a")}, tmp_path / "new.parquet", schema)
    assert (copied.rows, copied.rows_removed, copied.rows_by_source) == (1, 1, {"w": 1})
    table = pq.read_table(tmp_path / "new.parquet")
    assert copied.nulls == {name: table[name].null_count for name in table.column_names}
    assert table.schema.field("stops").type == pa.int64()
    [only] = table.to_pylist()
    assert (only["airline"], only["stops"], only["fresh"], only["id"]) == (row(2)["carrier"], 2, None, 2)
