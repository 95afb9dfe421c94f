"""Partition transforms agree with PyIceberg's; partition paths never collide and never lead astray."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg import types as iceberg
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import Transform, parse_transform
from pyiceberg.types import NestedField

from pipelines.contracts.model import PartitionField
from pipelines.errors import ConfigurationError
from pipelines.publication.partitioning import (
    MAX_SEGMENT_BYTES,
    Partitioner,
    parse_segment,
    partition_path,
    partition_text,
)

UTC_US = pa.timestamp("us", "UTC")
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.text(max_size=60),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.date32(): st.dates(date(1, 1, 2), date(9999, 12, 30)),
    UTC_US: st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001  # bounds are naive
    pa.decimal128(20, 3): st.decimals(-(10**12), 10**12, places=3),
    pa.bool_(): st.booleans(),
}
ICEBERG = {
    pa.string(): iceberg.StringType(),
    pa.int32(): iceberg.IntegerType(),
    pa.int64(): iceberg.LongType(),
    pa.date32(): iceberg.DateType(),
    UTC_US: iceberg.TimestamptzType(),
    pa.decimal128(20, 3): iceberg.DecimalType(20, 3),
    pa.bool_(): iceberg.BooleanType(),
}
POSSIBLE = [
    ("identity", t) for t in (pa.string(), pa.int32(), pa.int64(), pa.date32(), UTC_US, pa.bool_(), pa.decimal128(20, 3))
] + [("day", pa.date32()), ("day", UTC_US), ("month", pa.date32()), ("month", UTC_US)] + [
    ("bucket", t) for t in (pa.string(), pa.int32(), pa.int64(), pa.date32(), UTC_US, pa.decimal128(20, 3))
]  # fmt: skip


def field(transform: str, buckets: int | None = None) -> PartitionField:
    return PartitionField.model_validate({"transform": transform, "column": "c", "buckets": buckets})


def batch_of(values: list[Any], arrow: pa.DataType) -> pa.RecordBatch:
    column = pa.array(values, arrow)
    return pa.RecordBatch.from_arrays([column, pa.array(range(len(values)))], names=["c", "n"])


def internal(value: Any) -> Any:
    """A partition value as Iceberg's metadata has it."""
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if isinstance(value, date):
        return (value - date(1970, 1, 1)).days
    return value


def theirs(transform: str, arrow: pa.DataType, buckets: int) -> Transform[Any, Any]:
    return parse_transform(f"bucket[{buckets}]" if transform == "bucket" else transform)


@pytest.mark.parametrize(("transform", "arrow"), POSSIBLE, ids=str)
@settings(deadline=None)  # the first example imports PyIceberg
@given(data=st.data(), buckets=st.integers(1, 2**31 - 1))
def test_transforms_agree_with_pyicebergs(
    transform: str, arrow: pa.DataType, data: st.DataObject, buckets: int
) -> None:
    values = data.draw(st.lists(VALUES[arrow], min_size=1, max_size=20))
    batch = batch_of(values, arrow)
    ours = field(transform, buckets if transform == "bucket" else None)
    apply = theirs(transform, arrow, buckets).transform(ICEBERG[arrow])
    seen: dict[int, Any] = {}
    for (key,), rows in Partitioner([ours], batch.schema).split(batch):
        for number in rows.column("n").to_pylist():
            seen[number] = internal(key)
    given_values = batch.column("c").to_pylist()
    assert seen == {n: apply(v if transform == "bucket" else internal(v)) for n, v in enumerate(given_values)}


@pytest.mark.parametrize(("transform", "arrow"), POSSIBLE, ids=str)
@settings(deadline=None)
@given(data=st.data())
def test_paths_are_pyicebergs_but_for_blanks_where_nothing_is_cut_or_dotted(
    transform: str, arrow: pa.DataType, data: st.DataObject
) -> None:
    value = data.draw(VALUES[arrow])
    ours = field(transform, 16 if transform == "bucket" else None)
    batch = batch_of([value], arrow)
    [(key, _)] = Partitioner([ours], batch.schema).split(batch)
    path = partition_path([ours], key)
    if "!" in path or "%2E%2E" in path:
        return
    schema = Schema(NestedField(1, "c", ICEBERG[arrow], required=True))
    from pyiceberg.partitioning import PartitionField as IcebergField
    from pyiceberg.typedef import Record

    spec = PartitionSpec(IcebergField(1, 1000, theirs(transform, arrow, 16), ours.name))
    assert path == spec.partition_to_path(Record(internal(key[0])), schema).replace("+", "%20")


@given(st.lists(st.text(max_size=300) | st.sampled_from(["", ".", "..", "/", "a/b", "=", "%", "%2F", "null", "\0", "!", "a" * 250]), unique=True, max_size=30))  # fmt: skip
def test_no_two_values_share_a_path(values: list[str]) -> None:
    paths = [partition_path([field("identity")], (value,)) for value in values]
    assert len(set(paths)) == len(values)


@pytest.mark.parametrize("value", ["__HIVE_DEFAULT_PARTITION__", "a__HIVE_DEFAULT_PARTITION__", "a b", "+", ""])
def test_a_path_says_no_word_that_readers_of_folders_take_for_another_value(value: str) -> None:
    segment = partition_path([field("identity")], (value,))
    assert "__HIVE" not in segment
    assert "+" not in segment
    assert parse_segment(segment) == ("c", value)


@given(st.text(max_size=400))
def test_a_path_is_one_safe_segment_and_tells_its_value(value: str) -> None:
    segment = partition_path([field("identity")], (value,))
    assert len(segment) <= MAX_SEGMENT_BYTES
    assert re.fullmatch(r"c=[A-Za-z0-9_.~%!-]*", segment)
    assert ".." not in segment
    if "!" in segment:
        with pytest.raises(ValueError, match="whole"):
            parse_segment(segment)
    else:
        assert parse_segment(segment) == ("c", value)


@pytest.mark.parametrize(
    ("one", "value", "text"),
    [
        (field("identity"), date(2013, 1, 1), "2013-01-01"),
        (field("month"), 516, "2013-01"),
        (field("month"), -1, "1969-12"),
        (field("identity"), True, "true"),
        (field("bucket", 16), 7, "7"),
        (field("identity"), Decimal("1.50"), "1.50"),
        (field("identity"), Decimal("0E-20"), "0.00000000000000000000"),
        (field("identity"), datetime(2013, 1, 1, tzinfo=UTC), "2013-01-01T00:00:00+00:00"),
    ],
)
def test_values_read_as_people_write_them(one: PartitionField, value: Any, text: str) -> None:
    assert partition_text(one, value) == text


def test_a_null_has_no_path() -> None:
    with pytest.raises(ValueError, match="null"):
        partition_path([field("identity")], (None,))


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.dates(date(2024, 1, 1), date(2024, 1, 9)), st.integers(0, 3)),
        min_size=1,
        max_size=60,
    )
)
def test_rows_are_split_by_all_fields_together_and_keep_their_order(rows: list[tuple[str, date, int]]) -> None:
    fields = [PartitionField.parse(text) for text in ("s", "day(d)", "k")]
    batch = pa.RecordBatch.from_pylist(
        [{"s": s, "d": d, "k": k, "n": n} for n, (s, d, k) in enumerate(rows)],
        schema=pa.schema({"s": pa.string(), "d": pa.date32(), "k": pa.int32(), "n": pa.int64()}),
    )
    expected: dict[Any, list[int]] = {}
    for n, key in enumerate(rows):
        expected.setdefault(key, []).append(n)
    partitioner = Partitioner(fields, batch.schema)
    split = [(key, part.column("n").to_pylist()) for key, part in partitioner.split(batch)]
    assert split == list(expected.items())
    assert partitioner.keys(batch) == list(expected)


def test_more_partitions_than_sixteen_bits_are_split_too() -> None:
    batch = batch_of(list(range(70_000)), pa.int64())
    assert sum(1 for _ in Partitioner([field("identity")], batch.schema).split(batch)) == 70_000


def test_without_fields_there_is_one_partition() -> None:
    batch = batch_of([1, 2], pa.int64())
    assert [(key, rows.num_rows) for key, rows in Partitioner([], batch.schema).split(batch)] == [((), 2)]
    assert list(Partitioner([], batch.schema).split(batch.slice(0, 0))) == []


def test_a_null_partition_value_is_refused() -> None:
    batch = batch_of([1, None], pa.int64())
    with pytest.raises(ValueError, match="null in the partition column c"):
        list(Partitioner([field("identity")], batch.schema).split(batch))


@pytest.mark.parametrize(
    ("transform", "arrow"),
    [
        ("identity", pa.float64()),
        ("identity", pa.float32()),
        ("day", pa.string()),
        ("month", pa.int64()),
        ("bucket", pa.bool_()),
        ("bucket", pa.float64()),
    ],
)
def test_what_cannot_be_a_partition_is_refused_with_the_reason(transform: str, arrow: pa.DataType) -> None:
    with pytest.raises(ConfigurationError, match="is not possible"):
        Partitioner([field(transform, 4 if transform == "bucket" else None)], pa.schema({"c": arrow}))


def test_a_decimal_is_hashed_by_its_fewest_bytes() -> None:
    """Iceberg spec, appendix B: 14.20 hashes to -500754589."""
    batch = batch_of([Decimal("14.20")], pa.decimal128(9, 2))
    [((bucket,), _)] = Partitioner([field("bucket", 2**31 - 1)], batch.schema).split(batch)
    assert bucket == (-500754589 & 0x7FFFFFFF) % (2**31 - 1)
