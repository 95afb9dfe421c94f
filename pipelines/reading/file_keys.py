"""What stands once in a file: its primary key and the columns of `unique`, each with an index of its own, under one budget."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

import pyarrow as pa

from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import arrow_type
from pipelines.reading.collector import Collector
from pipelines.reading.csv_blocks import Positions
from pipelines.reading.unique import RUN_ROWS, SPOOL_BYTES, KeyIndex, shown_key
from pipelines.reading.violations import Rule, Sample
from pipelines.reading.widening import widest_columns

__all__ = ["FileKeys"]


@dataclass(frozen=True, slots=True)
class _Key:
    rule: Rule
    identity: str | None
    names: tuple[str, ...]
    index: KeyIndex


class FileKeys:
    """The keys of one file. Rows with a null in a key are left out of it: null repeats nothing."""

    def __init__(self, dataset: Dataset, run_rows: int = RUN_ROWS, spool_bytes: int = SPOOL_BYTES) -> None:
        """Keep at most `run_rows` hashes and `spool_bytes` of keys in memory, over all keys of the dataset."""
        keys: list[tuple[Rule, str | None, tuple[str, ...]]] = []
        if dataset.primary_key:
            keys.append((Rule.PRIMARY_KEY, None, dataset.primary_key))
        keys += [(Rule.UNIQUE, f"unique[{index}]", names) for index, names in enumerate(dataset.unique)]
        # A column may become wider in the middle of a file: its values are compared as the widest it can be.
        self._widest = {name: arrow_type(column) for name, column in widest_columns(dataset).items()}
        share = max(1, len(keys))
        self._keys = [_Key(*key, KeyIndex(key[2], run_rows // share, spool_bytes // share)) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def add(self, values: Mapping[str, pa.Array], lines: Positions, offsets: Positions | None) -> None:
        """Add a block's rows."""
        for key in self._keys:
            key.index.add([self._wide(name, values[name]) for name in key.names], lines, offsets)

    def _wide(self, name: str, column: pa.Array) -> pa.Array:
        return column.cast(self._widest[name]) if name in self._widest else column

    def finish(self, collector: Collector, bad_lines: Set[int]) -> int:
        """Report what repeats; returns how many rows, at least, are bad for that alone.

        `bad_lines` are the lines of rows that were bad before. A row may repeat several keys: the one that repeats most counts.
        """
        most = 0
        for key in self._keys:
            with key.index as index:
                repeats = index.repeats()
            if not repeats.count:
                continue
            what = "key" if key.rule is Rule.PRIMARY_KEY else "value"
            collector.add(
                key.rule,
                key.names[0] if len(key.names) == 1 else None,
                [Sample(r.line, r.byte_offset, shown_key(key.names, r.key)) for r in repeats.first],
                f"each {what} once; this one stood on line {repeats.first[0].first_line} already",
                count=repeats.count,
                expectation=key.identity,
            )
            most = max(most, repeats.count - sum(1 for r in repeats.first if r.line in bad_lines))
        return most

    def close(self) -> None:
        """Give back what is held on disk. Repeatable."""
        for key in self._keys:
            key.index.close()
