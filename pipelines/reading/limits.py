"""The limits on untrusted input: the published defaults, and what a dataset overrides. Nothing here enforces them."""

from dataclasses import dataclass, fields

from pipelines.contracts.model import Dataset

__all__ = ["BOMB_FLOOR_BYTES", "Limits", "limits_of"]

BOMB_FLOOR_BYTES = 10 << 20
"""Content up to this size is never called a bomb, however well it compresses: ten mebibytes harm nobody."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Every limit with its published default. Sizes are in bytes, `reader_seconds` is wall time for one file."""

    object_bytes: int = 50 << 30
    decompressed_bytes: int = 10 << 30
    compression_ratio: int = 200
    record_bytes: int = 8 << 20
    cell_bytes: int = 1 << 20
    columns: int = 2_000
    header_bytes: int = 256 << 10
    keys: int = 10_000
    depth: int = 32
    partitions: int = 200
    batch_partitions: int = 1_000
    reader_memory_bytes: int = 768 << 20
    reader_seconds: int = 3_600


def limits_of(dataset: Dataset) -> Limits:
    """The limits that hold for a dataset: the defaults, less what its `limits` override."""
    said = {limit.name: value for limit in fields(Limits) if (value := getattr(dataset.limits, limit.name)) is not None}
    return Limits(**said)
