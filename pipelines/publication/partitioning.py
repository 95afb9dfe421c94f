"""Table partitions: which partition a row belongs to, and the path its data file lies under.

The four transforms are Iceberg's (Iceberg table spec, "Partition Transforms"), computed on whole Arrow arrays. What a
partition field means in the catalog is the catalog adapter's matter; here is only what has to agree with it bit for bit.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from urllib.parse import quote, unquote_plus

import numpy as np
import pyarrow as pa

from pipelines.contracts.model import PartitionField
from pipelines.errors import ConfigurationError
from pipelines.publication.staged import PartitionValue

__all__ = [
    "MAX_SEGMENT_BYTES",
    "PartitionKey",
    "Partitioner",
    "murmur3_of_longs",
    "parse_segment",
    "partition_mapping",
    "partition_path",
    "partition_text",
]

PartitionKey = tuple[PartitionValue, ...]
"""The values of one table partition, in the order of the table's partition fields."""

MAX_SEGMENT_BYTES = 200
"""A path segment beyond this is cut and marked with a hash: file systems allow 255 bytes, S3 1,024 for a whole key."""

_EPOCH = date(1970, 1, 1)
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_CUT = "!"  # quote never leaves one, so no escaped value can look like a cut one


class Partitioner:
    """Splits record batches into the table's partitions.

    `fields` are the dataset's; `schema` is that of the batches. Raises ConfigurationError for a column whose type
    cannot be a partition under its transform.
    """

    def __init__(self, fields: Sequence[PartitionField], schema: pa.Schema) -> None:
        self.fields = tuple(fields)
        self._columns = tuple(schema.get_field_index(f.column) for f in self.fields)
        self._transforms = tuple(_transform(f, schema.field(f.column).type) for f in self.fields)

    def split(self, batch: pa.RecordBatch) -> Iterator[tuple[PartitionKey, pa.RecordBatch]]:
        """Each partition of the batch with its rows in their order, partitions as they first appear.

        The rows are copies where there is more than one partition, so that none keeps its neighbours in memory.
        Raises ValueError for a null in a partition column: the reader rejects those files.
        """
        if batch.num_rows == 0:
            return
        if not self.fields:
            yield (), batch
            return
        codes, keys = self._codes(batch)
        if len(keys) == 1:
            yield keys[0], batch
            return
        order = pa.array(np.argsort(codes, kind="stable"))
        start = 0
        for key, count in zip(keys, np.bincount(codes, minlength=len(keys)).tolist(), strict=True):
            yield key, batch.take(order.slice(start, count))
            start += count

    def keys(self, batch: pa.RecordBatch) -> list[PartitionKey]:
        """The partitions of the batch, as they first appear."""
        if batch.num_rows == 0:
            return []
        return self._codes(batch)[1] if self.fields else [()]

    def _codes(self, batch: pa.RecordBatch) -> tuple[np.ndarray[Any, Any], list[PartitionKey]]:
        """For each row the position of its partition in the list of partitions, both dense."""
        codes: np.ndarray[Any, Any] | None = None
        values: list[list[PartitionValue]] = []
        for index, (transform, typed), field in zip(self._columns, self._transforms, self.fields, strict=True):
            column = batch.column(index)
            if column.null_count:
                raise ValueError(f"null in the partition column {field.column}: such a file has to be rejected")
            encoded = transform(column)
            dictionary = [typed(v) for v in encoded.dictionary.to_pylist()]
            these = encoded.indices.to_numpy(zero_copy_only=False)
            if codes is None:
                codes, values = these, [[v] for v in dictionary]
            elif len(dictionary) == 1:
                values = [[*v, dictionary[0]] for v in values]
            else:
                pairs = codes.astype(np.int64) * len(dictionary) + these
                distinct, first, codes = np.unique(pairs, return_index=True, return_inverse=True)
                rank = np.empty(len(distinct), dtype=np.int64)
                appearance = np.argsort(first)
                rank[appearance] = np.arange(len(distinct))
                codes = rank[codes]
                pair_list = distinct[appearance].tolist()
                values = [[*values[p // len(dictionary)], dictionary[p % len(dictionary)]] for p in pair_list]
        assert codes is not None  # noqa: S101  # there is at least one field here
        # numpy sorts 16-bit integers by radix, in linear time; a batch with more partitions than that is no normal one.
        narrow = codes.astype(np.uint16) if len(values) <= 1 << 16 else codes
        return narrow, [tuple(v) for v in values]


def partition_text(field: PartitionField, value: PartitionValue) -> str:
    """The value as people and paths write it: `2013-01-01`, `2013-01` for a month, `true`, `7`, `1.50`."""
    match value:
        case None:
            raise ValueError(f"null partition value of {field.name}")
        case bool():
            return "true" if value else "false"
        case int() if field.transform == "month":
            return f"{1970 + value // 12:04d}-{1 + value % 12:02d}"
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)


def partition_path(fields: Sequence[PartitionField], key: PartitionKey) -> str:
    """`<field>=<value>/…`, URL-encoded (a space is `%20`, so that every reader decodes it alike); "" for an unpartitioned table.

    No two keys share a path. A segment never holds a slash, a control character, `..` or Hive's word for null, whatever the value.
    """
    return "/".join(_segment(field, value) for field, value in zip(fields, key, strict=True))


def parse_segment(segment: str) -> tuple[str, str]:
    """Field name and value text of a path segment. Raises ValueError for one that was cut, or is none."""
    name, equals, value = segment.partition("=")
    if not equals or _CUT in value:
        raise ValueError(f"{segment!r} does not hold a whole partition value")
    return unquote_plus(name), unquote_plus(value, errors="strict")


def _segment(field: PartitionField, value: PartitionValue) -> str:
    text = partition_text(field, value)
    # A lone dot or two are legal in a segment behind `name=`, but no reader of paths should have to know that; and readers of
    # Hive folders take a name of their own for null, and a plus for a plus.
    escaped = quote(text, safe="").replace("..", "%2E%2E").replace(_HIVE_NULL, _HIVE_NULL.replace("_", "%5F"))
    segment = f"{quote(field.name, safe='')}={escaped}"
    if len(segment) <= MAX_SEGMENT_BYTES:
        return segment
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"{segment[: MAX_SEGMENT_BYTES - 40]}{_CUT}{digest}"


# ---- transforms -----------------------------------------------------------------------------------------------------

_Encode = Callable[[pa.Array], pa.DictionaryArray]
_Typed = Callable[[Any], PartitionValue]


def _transform(field: PartitionField, arrow: pa.DataType) -> tuple[_Encode, _Typed]:
    """How a column becomes dictionary-encoded partition values, and how one of those becomes a typed value."""
    match field.transform:
        case "identity" if _identifiable(arrow):
            return _encode, _same
        case "day" if pa.types.is_date32(arrow):
            return _encode, _same
        case "day" if pa.types.is_timestamp(arrow):
            return _days, lambda days: _EPOCH + timedelta(days=days)
        case "month" if pa.types.is_date32(arrow) or pa.types.is_timestamp(arrow):
            return _months, _same
        case "bucket" if field.buckets and field.buckets > 0 and _hashable(arrow):
            buckets = field.buckets
            return lambda column: _bucket(column, buckets), _same
        case _:
            raise ConfigurationError(
                f"partition_by: {field.transform} of the column {field.column} ({arrow}) is not possible. "
                "Take a column of a type that the transform knows: any but float, double, json and nested for the column itself, "
                "date or timestamp for day and month, any of these but boolean for bucket."
            )


def _identifiable(arrow: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_string(arrow)
        or types.is_boolean(arrow)
        or types.is_integer(arrow)
        or types.is_date32(arrow)
        or types.is_timestamp(arrow)
        or types.is_decimal128(arrow)
    )


def _hashable(arrow: pa.DataType) -> bool:
    return _identifiable(arrow) and not pa.types.is_boolean(arrow)


def _same(value: Any) -> PartitionValue:
    return cast(PartitionValue, value)


def _encode(column: pa.Array) -> pa.DictionaryArray:
    return column.dictionary_encode()


def _epoch_number(column: pa.Array) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Integers as Iceberg hashes and counts them: days for dates, microseconds for timestamps."""
    if pa.types.is_date32(column.type):
        column = column.view(pa.int32())
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", "UTC")).view(pa.int64())
    return column.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)


def _days(column: pa.Array) -> pa.DictionaryArray:
    # Floor division: a moment before 1970 belongs to the day it lies in, not to the next (Iceberg spec, "Day").
    return pa.array(_epoch_number(column) // 86_400_000_000).dictionary_encode()


def _months(column: pa.Array) -> pa.DictionaryArray:
    numbers = _epoch_number(column)
    days = numbers if pa.types.is_date32(column.type) else numbers // 86_400_000_000
    return pa.array(days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)).dictionary_encode()


def _bucket(column: pa.Array, buckets: int) -> pa.DictionaryArray:
    if pa.types.is_string(column.type) or pa.types.is_decimal128(column.type):
        encoded = column.dictionary_encode()
        hashes = np.array(_hash_each(encoded.dictionary), dtype=np.int64)
        hashed = hashes[encoded.indices.to_numpy(zero_copy_only=False)]
    else:
        hashed = murmur3_of_longs(_epoch_number(column)).view(np.int32).astype(np.int64)
    # The sign bit is dropped, not negated: that is how the spec maps a hash to a bucket.
    return pa.array((hashed & 0x7FFFFFFF) % buckets).dictionary_encode()


def _hash_each(values: pa.Array) -> list[int]:
    import mmh3

    if pa.types.is_string(values.type):
        return [mmh3.hash(v) for v in values.cast(pa.binary()).to_pylist()]
    return [mmh3.hash(_unscaled_bytes(v)) for v in values.to_pylist()]


def _unscaled_bytes(value: Any) -> bytes:
    """A decimal's unscaled value in the fewest big-endian two's-complement bytes (Iceberg spec, appendix B)."""
    sign, digits, _exponent = value.as_tuple()
    unscaled = int("".join(map(str, digits)))
    unscaled = -unscaled if sign else unscaled
    magnitude = -unscaled - 1 if unscaled < 0 else unscaled
    return unscaled.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)


def murmur3_of_longs(values: "np.ndarray[Any, np.dtype[np.int64]]") -> "np.ndarray[Any, np.dtype[np.uint32]]":
    """Murmur3 (x86, 32 bit, seed 0) of each number's eight little-endian bytes, as Iceberg hashes int, long, date, timestamp."""
    unsigned = values.view(np.uint64)
    h = np.zeros(len(values), dtype=np.uint32)
    with np.errstate(over="ignore"):
        for block in (
            (unsigned & np.uint64(0xFFFFFFFF)).astype(np.uint32),
            (unsigned >> np.uint64(32)).astype(np.uint32),
        ):
            k = block * np.uint32(0xCC9E2D51)
            k = (k << np.uint32(15)) | (k >> np.uint32(17))
            h ^= k * np.uint32(0x1B873593)
            h = (h << np.uint32(13)) | (h >> np.uint32(19))
            h = h * np.uint32(5) + np.uint32(0xE6546B64)
        h ^= np.uint32(8)
        h ^= h >> np.uint32(16)
        h *= np.uint32(0x85EBCA6B)
        h ^= h >> np.uint32(13)
        h *= np.uint32(0xC2B2AE35)
        h ^= h >> np.uint32(16)
    return h


def partition_mapping(fields: Sequence[PartitionField], key: PartitionKey) -> Mapping[str, PartitionValue]:
    """The key by field name, as `StagedFile.partition` carries it."""
    return {field.name: value for field, value in zip(fields, key, strict=True)}
