"""Staging: what is accepted is written once, what is not never; memory stays within the budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import reading_schema, table_schema
from pipelines.publication.parquet_writer import field_ids, file_schema
from pipelines.publication.staged import StagedFile
from pipelines.publication.staging import Staging
from tests.publication.samples import INGESTED_AT, batch, dataset, row, source, stage

DAYS = [date(2024, 1, 1) + timedelta(days=n) for n in range(30)]


def staging_of(of: Dataset, scratch: Path, **more: Any) -> Staging:
    return Staging(of, "b1", 1, scratch, INGESTED_AT, **more)


def read(files: Sequence[StagedFile]) -> list[dict[str, Any]]:
    return [r for f in files for r in pq.ParquetFile(f.path).read().to_pylist()]


def ids(files: Sequence[StagedFile]) -> list[int]:
    return sorted(r["id"] for r in read(files))


def on_disk(scratch: Path) -> list[str]:
    return sorted(p.name for p in scratch.rglob("*") if p.is_file())


def big_batches(of: Dataset, rows: int, partitions: int, batch_rows: int = 25_000) -> list[pa.RecordBatch]:
    """Rows shuffled over partitions, each batch in memory of its own."""
    random = np.random.default_rng(7)
    made: list[pa.RecordBatch] = []
    for start in range(0, rows, batch_rows):
        count = min(batch_rows, rows - start)
        made.append(
            pa.RecordBatch.from_pydict(
                {
                    "day": pa.array(np.datetime64("2024-01-01") + random.integers(0, partitions, count)).cast(
                        pa.date32()
                    ),
                    "id": pa.array(np.arange(start, start + count)),
                    "name": pa.array(np.char.add("name ", random.integers(0, 10**9, count).astype(str))),
                    "_source_line": pa.array(np.arange(start + 2, start + count + 2)),
                },
                schema=reading_schema(of),
            )
        )
    return made


def test_nulls_are_counted_as_a_reader_counts_them(tmp_path: Path) -> None:
    of = dataset()
    files = {source(f"f{n}", f"v{n}"): [row(n * 7 + k, DAYS[k % 2]) for k in range(7)] for n in range(9)}
    for budget in (64 << 20, 1):
        with staging_of(of, tmp_path / str(budget), budget_bytes=budget) as staging:
            for origin, rows in files.items():
                pending = staging.open_file(origin)
                pending.write(batch(of, rows))
                pending.accept()
            found: Counter[str] = Counter()
            for file in staging.finish():
                read_back = pq.ParquetFile(file.path).read()
                assert file.nulls == {name: read_back[name].null_count for name in read_back.column_names}
                found.update(file.nulls)
            assert {name for name, count in found.items() if count} >= {"weight", "ok", "stops", "actor", "counts"}


@pytest.fixture
def wide() -> Dataset:
    return dataset("wide", columns={"day": {"type": "date"}, "id": {"type": "bigint"}, "name": {"type": "string"}})


def test_a_thousand_small_files_make_one_parquet_file_a_partition(tmp_path: Path) -> None:
    of = dataset()
    files = {source(f"f{n:04}", f"v{n}"): [row(n * 3 + k, DAYS[k]) for k in range(3)] for n in range(1000)}
    staged = stage(of, files, tmp_path)
    assert len(staged) == 3
    assert [f.rows for f in staged] == [1000, 1000, 1000]
    assert ids(staged) == list(range(3000))
    assert staged[0].rows_by_source == {f"v{n}": 1 for n in range(1000)}
    assert {r["_source_file"] for r in read(staged)} == {f"f{n:04}" for n in range(1000)}


def test_files_are_named_and_placed_for_the_table(tmp_path: Path) -> None:
    of = dataset(partition_by=["carrier", "month(day)"])
    staged = stage(of, {source("a"): [row(2, DAYS[0]), row(1, DAYS[0])]}, tmp_path, batch_id="01jb2x", epoch=7)
    assert sorted(f.relative_key for f in staged) == [
        "carrier=a%2Fb%3Dc/day_month=2024-01/01jb2x-7-0.parquet",
        "carrier=gr%C3%B6%C3%9Fe/day_month=2024-01/01jb2x-7-1.parquet",
    ]
    assert sorted(map(str, (dict(f.partition) for f in staged))) == [
        "{'carrier': 'a/b=c', 'day_month': 648}",
        "{'carrier': 'größe', 'day_month': 648}",
    ]
    assert all(f.size_bytes == f.path.stat().st_size and f.path.name == f.name for f in staged)


def test_the_layout_is_what_the_catalog_and_athena_expect(tmp_path: Path) -> None:
    of = dataset(partition_by=())
    [staged] = stage(of, {source("a"): [row(n) for n in range(5000)]}, tmp_path)
    with pq.ParquetFile(staged.path) as parquet:
        footer, schema = parquet.metadata, parquet.schema_arrow
    assert schema.remove_metadata().equals(table_schema(of))
    assert (
        field_ids(schema)
        == field_ids(file_schema(of))
        == {
            **{n: i for i, n in enumerate(table_schema(of).names, 1)},
            "actor.login": 20,
            "actor.since": 21,
            "labels.element": 22,
            "labels.element.name": 23,
            "labels.element.tags": 24,
            "labels.element.tags.element": 25,
            "counts.key": 26,
            "counts.value": 27,
        }
    )
    columns = {c.path_in_schema: c for c in (footer.row_group(0).column(n) for n in range(footer.num_columns))}
    assert {c.compression for c in columns.values()} == {"ZSTD"}
    assert all(c.is_stats_set for c in columns.values())
    for name in ("_source_file", "_source_version", "_batch_id", "_ingested_at"):
        assert columns[name].has_dictionary_page
        assert columns[name].total_compressed_size < 200
    assert columns["_source_line"].total_compressed_size < 500
    assert columns["price"].physical_type == "INT64"
    assert columns["weight"].physical_type == "FIXED_LEN_BYTE_ARRAY"
    assert (columns["_source_file"].statistics.min, columns["_source_file"].statistics.max) == ("a", "a")


def test_field_ids_of_the_catalog_are_taken_over(tmp_path: Path) -> None:
    of = dataset()
    moved = {path: number * 10 for path, number in field_ids(file_schema(of)).items()}
    [staged] = stage(of, {source("a"): [row(1)]}, tmp_path, schema=file_schema(of, moved))
    assert field_ids(pq.read_schema(staged.path)) == moved


def test_a_discarded_file_leaves_nothing_and_harms_no_neighbour(tmp_path: Path) -> None:
    of = dataset()
    staging = staging_of(of, tmp_path)
    for number in range(6):
        one = staging.open_file(source(f"f{number}", f"v{number}"))
        one.write(batch(of, [row(number)]))
        if number % 2:
            one.discard()
        else:
            one.accept()
    staged = staging.finish()
    assert ids(staged) == [0, 2, 4]
    assert staged[0].rows_by_source == {"v0": 1, "v2": 1, "v4": 1}


def test_files_may_be_judged_in_another_order_than_opened(tmp_path: Path) -> None:
    of = dataset()
    staging = staging_of(of, tmp_path)
    first, second = staging.open_file(source("a")), staging.open_file(source("b"))
    first.write(batch(of, [row(1)]))
    second.write(batch(of, [row(2)]))
    second.accept()
    first.discard()
    assert ids(staging.finish()) == [2]


@pytest.mark.parametrize("budget", [64 << 20, 256 << 10], ids=["small", "spilled"])
def test_a_file_that_is_read_again_has_its_rows_once(tmp_path: Path, wide: Dataset, budget: int) -> None:
    staging = staging_of(wide, tmp_path, budget_bytes=budget)
    neighbour = staging.open_file(source("n", "n1"))
    neighbour.write(big_batches(wide, 10, 2)[0])
    neighbour.accept()
    one = staging.open_file(source("a"))
    for _ in range(2):
        for rows in big_batches(wide, 40_000, 3, 5_000):
            one.write(rows)
        one.restart()
        assert one.rows == 0
    for rows in big_batches(wide, 30_000, 3, 5_000):
        one.write(rows)
    assert (one.rows, one.partitions) == (30_000, 3)
    one.accept()
    staged = staging.finish()
    assert sum((Counter(f.rows_by_source) for f in staged), Counter()) == {"v1": 30_000, "n1": 10}
    assert on_disk(tmp_path) == sorted(f.name for f in staged)


def test_a_large_files_rows_share_no_parquet_file_while_its_verdict_is_open(tmp_path: Path, wide: Dataset) -> None:
    staging = staging_of(wide, tmp_path, budget_bytes=256 << 10)
    small = staging.open_file(source("small", "s"))
    small.write(big_batches(wide, 100, 2)[0])
    small.accept()
    large = staging.open_file(source("large", "l"))
    for rows in big_batches(wide, 60_000, 2, 5_000):
        large.write(rows)
    assert on_disk(tmp_path)
    large.discard()
    staged = staging.finish()
    assert [dict(f.rows_by_source) for f in staged] in (
        [{"s": 50}, {"s": 50}],
        [{"s": n} for n in (f.rows for f in staged)],
    )
    assert on_disk(tmp_path) == sorted(f.name for f in staged)


def test_an_accepted_large_file_keeps_its_own_files(tmp_path: Path, wide: Dataset) -> None:
    staging = staging_of(wide, tmp_path, budget_bytes=256 << 10)
    for name in ("x", "y"):
        one = staging.open_file(source(name, name))
        for rows in big_batches(wide, 30_000, 2, 5_000):
            one.write(rows)
        one.accept()
    staged = staging.finish()
    assert len({f.name for f in staged}) == len(staged) == 4
    assert sorted(tuple(f.rows_by_source) for f in staged) == [("x",), ("x",), ("y",), ("y",)]
    assert ids(staged) == sorted([*range(30_000)] * 2)


def test_a_data_file_rolls_over_at_its_target_size(tmp_path: Path, wide: Dataset) -> None:
    staging = staging_of(wide, tmp_path, budget_bytes=1 << 20, file_bytes=100 << 10)
    one = staging.open_file(source("a"))
    for rows in big_batches(wide, 100_000, 1, 5_000):
        one.write(rows)
    one.accept()
    staged = staging.finish()
    assert len(staged) >= 4
    assert all(f.size_bytes < 300 << 10 for f in staged)
    assert ids(staged) == list(range(100_000))


def test_rows_of_a_partition_keep_the_files_order(tmp_path: Path, wide: Dataset) -> None:
    staging = staging_of(wide, tmp_path, budget_bytes=1 << 20)
    one = staging.open_file(source("a"))
    for rows in big_batches(wide, 100_000, 4):
        one.write(rows)
    one.accept()
    for staged in staging.finish():
        lines = pq.ParquetFile(staged.path).read(["_source_line"])["_source_line"].to_pylist()
        assert lines == sorted(lines)


def test_two_million_shuffled_rows_stay_within_the_budget(tmp_path: Path, wide: Dataset) -> None:
    budget = 24 << 20
    before = pa.total_allocated_bytes()
    peak = 0
    staging = staging_of(wide, tmp_path, budget_bytes=budget)
    one = staging.open_file(source("a"))
    for part in range(20):
        for rows in big_batches(wide, 100_000, 30):
            one.write(rows)
            peak = max(peak, pa.total_allocated_bytes() - before)
            assert staging.pool.total_bytes <= budget
        del part, rows
    one.accept()
    staged = staging.finish()
    assert sum(f.rows for f in staged) == 2_000_000
    assert len(staged) == 30
    # The budget, the batch at hand with its parent, and what two encoders hold of a row group.
    assert peak < budget + (24 << 20)


def test_a_slice_does_not_keep_its_parent_in_memory(tmp_path: Path, wide: Dataset) -> None:
    staging = staging_of(wide, tmp_path)
    one = staging.open_file(source("a"))
    before = pa.total_allocated_bytes()
    parent = big_batches(wide, 200_000, 1, 200_000)[0]
    one.write(parent.slice(100, 10))
    del parent
    assert pa.total_allocated_bytes() - before < 1 << 20
    one.accept()
    assert ids(staging.finish()) == list(range(100, 110))


def test_many_partitions_do_not_hold_many_files_open(
    tmp_path: Path, wide: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.publication.buffers.MAX_OPEN_FILES", 3)
    staging = staging_of(wide, tmp_path, budget_bytes=256 << 10)
    one = staging.open_file(source("a"))
    for rows in big_batches(wide, 50_000, 20, 5_000):
        one.write(rows)
        assert len(staging.pool._open) <= 3 + 2
    one.accept()
    staged = staging.finish()
    assert len(staged) > 20
    assert ids(staged) == list(range(50_000))


def test_a_verdict_comes_once_and_before_the_end(tmp_path: Path) -> None:
    of = dataset()
    staging = staging_of(of, tmp_path)
    one = staging.open_file(source("a"))
    with pytest.raises(ValueError, match="no verdict yet"):
        staging.finish()
    one.accept()
    for again in (one.accept, one.discard, lambda: one.write(batch(of, [row(1)]))):
        with pytest.raises(ValueError, match="verdict"):
            again()


def test_rows_of_another_schema_are_refused(tmp_path: Path) -> None:
    one = staging_of(dataset(), tmp_path).open_file(source("a"))
    with pytest.raises(ValueError, match="another schema"):
        one.write(pa.RecordBatch.from_pydict({"id": [1]}))


def test_a_null_in_a_required_column_never_reaches_a_file(tmp_path: Path) -> None:
    of = dataset(columns={"day": {"type": "date"}, "id": {"type": "bigint", "nullable": False}})
    staging = staging_of(of, tmp_path)
    one = staging.open_file(source("a"))
    schema = reading_schema(of)
    one.write(
        pa.RecordBatch.from_arrays([pa.array([DAYS[0]]), pa.array([None], pa.int64()), pa.array([2])], schema=schema)
    )
    one.accept()
    with pytest.raises(pa.ArrowInvalid, match="null"):
        staging.finish()


def test_an_empty_batch_of_files_stages_nothing(tmp_path: Path) -> None:
    of = dataset()
    staging = staging_of(of, tmp_path)
    one = staging.open_file(source("a"))
    one.write(batch(of, []))
    one.accept()
    assert staging.finish() == ()


def test_leaving_cleans_the_scratch_folder_whatever_happened(tmp_path: Path, wide: Dataset) -> None:
    def work() -> None:
        with staging_of(wide, tmp_path, budget_bytes=256 << 10) as staging:
            for name in ("kept", "pending"):
                one = staging.open_file(source(name))
                for rows in big_batches(wide, 30_000, 2, 5_000):
                    one.write(rows)
                if name == "kept":
                    one.accept()
            assert on_disk(tmp_path)
            raise RuntimeError("the worker stops")

    with pytest.raises(RuntimeError):
        work()
    assert on_disk(tmp_path) == []


def test_a_full_disk_stops_the_batch(tmp_path: Path, wide: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    staging = staging_of(wide, tmp_path, budget_bytes=256 << 10)
    monkeypatch.setattr("pipelines.publication.parquet_writer.DataFileWriter.write", no_space)
    one = staging.open_file(source("a"))

    def work() -> None:
        for rows in big_batches(wide, 60_000, 2, 5_000):
            one.write(rows)
        one.accept()

    with pytest.raises(OSError, match="No space"):
        work()
    staging.close()
    assert on_disk(tmp_path) == []


def test_a_batch_id_cannot_lead_out_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch id"):
        Staging(dataset(), "../b", 1, tmp_path, INGESTED_AT)


@settings(max_examples=40, deadline=None)
@given(
    plan=st.lists(
        st.tuples(st.lists(st.integers(0, 400), max_size=4), st.sampled_from(["accept", "discard", "restart"])),
        max_size=8,
    ),
    budget=st.sampled_from([20_000, 60_000, 64 << 20]),
)
def test_exactly_the_accepted_rows_are_staged(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[list[int], str]], budget: int
) -> None:
    of = dataset("wide", columns={"day": {"type": "date"}, "id": {"type": "bigint"}, "name": {"type": "string"}})
    scratch = tmp_path_factory.mktemp("staging")
    expected: Counter[tuple[str, int]] = Counter()
    with Staging(of, "b1", 1, scratch, INGESTED_AT, budget_bytes=budget) as staging:
        for number, (sizes, verdict) in enumerate(plan):
            one = staging.open_file(source(f"f{number}", f"v{number}"))
            for size in sizes:
                for rows in big_batches(of, size, 5):
                    one.write(rows)
            if verdict == "restart":
                one.restart()
                one.accept()
            elif verdict == "accept":
                one.accept()
                expected.update((f"v{number}", n) for size in sizes for n in range(size))
            else:
                one.discard()
        staged = staging.finish()
        assert Counter((r["_source_version"], r["id"]) for r in read(staged)) == expected
        assert sum((Counter(f.rows_by_source) for f in staged), Counter()) == Counter(v for v, _ in expected.elements())
        assert staging.pool.total_bytes == 0
    assert on_disk(scratch) == []
