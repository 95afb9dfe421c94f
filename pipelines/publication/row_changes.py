"""What a replacement changed: the rows of a file's older version against those of the new one, counted.

Rows are compared after the commit, without provenance, by 64-bit hashes: with a primary key by key (added, removed, changed,
as before), without one as a whole (then a changed row is one removed and one added). Old rows are streamed out of the state of the
table that the commit was planned against, new ones out of the staged files; what is held is a hash or two a row. Beyond
`MOST_ROWS` in a batch, files are not compared, and the report says so. A fault while comparing is no fault of the batch: what
is published is published.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import BATCH_ID, INGESTED_AT, SOURCE_FILE, SOURCE_LINE, SOURCE_VERSION
from pipelines.errors import LakegateError
from pipelines.ports import SourceVersion, Tables
from pipelines.publication.publish import Published
from pipelines.publication.rewriting import open_parquet, rows_of
from pipelines.row_hashes import Hashes, hash_rows

__all__ = ["MOST_ROWS", "RowChanges", "compare_replaced"]

MOST_ROWS = 2_000_000
"""Rows of old and new versions compared for one batch: 32 MB of hashes at most, and a second or two."""
_PROVENANCE = frozenset({SOURCE_FILE, SOURCE_VERSION, SOURCE_LINE, BATCH_ID, INGESTED_AT})


@dataclass(frozen=True, slots=True)
class RowChanges:
    """What a new version changed in the table. `replaced` are the version ids whose rows left; `rows_before` their number.

    `changed` is None without a primary key; all four counts are None where rows were not compared, and `reason` says why.
    """

    replaced: tuple[str, ...]
    rows_before: int
    rows_after: int
    added: int | None = None
    removed: int | None = None
    changed: int | None = None
    unchanged: int | None = None
    reason: str = ""

    def sentence(self) -> str:
        """`replaces version v1: 3 rows added, 1 removed, 2 changed, 9,994 as before`."""
        what = ", ".join(self.replaced[:3]) + (" …" if len(self.replaced) > 3 else "")
        head = f"replaces version{'' if len(self.replaced) == 1 else 's'} {what}"
        if self.added is None or self.removed is None or self.unchanged is None:
            return f"{head}: {self.rows_before:,} rows before, {self.rows_after:,} now (not compared: {self.reason})"
        changed = "" if self.changed is None else f", {self.changed:,} changed"
        return f"{head}: {self.added:,} rows added, {self.removed:,} removed{changed}, {self.unchanged:,} as before"


def compare_replaced(
    tables: Tables, dataset: Dataset, published: Published, rows_after: Mapping[SourceVersion, int]
) -> dict[SourceVersion, RowChanges]:
    """For each file published now that took the place of older rows under its key: what changed.

    `rows_after` are the rows of each file of the batch that serves now.
    """
    if published.base is None or not published.replaced:
        return {}
    by_key: dict[str, list[SourceVersion]] = {}
    for source in published.replaced:
        by_key.setdefault(source.key, []).append(source)
    found: dict[SourceVersion, RowChanges] = {}
    chosen: dict[str, SourceVersion] = {}
    left = MOST_ROWS
    for new, rows in rows_after.items():
        old = by_key.get(new.key)
        if old is None:
            continue
        before = sum(published.replaced[source] for source in old)
        versions = tuple(sorted(source.version_id for source in old))
        reason = f"more than {MOST_ROWS:,} rows in one batch"
        found[new] = RowChanges(versions, before, rows, reason=reason)
        if before + rows <= left:
            left -= before + rows
            chosen[new.key] = new
    try:
        found.update(_compared(tables, dataset, published, found, chosen, by_key))
    except LakegateError as error:
        why = f"the older rows could not be read: {error}"
        return {new: RowChanges(c.replaced, c.rows_before, c.rows_after, reason=why) for new, c in found.items()}
    return found


def _compared(
    tables: Tables,
    dataset: Dataset,
    published: Published,
    found: Mapping[SourceVersion, RowChanges],
    chosen: Mapping[str, SourceVersion],
    by_key: Mapping[str, Sequence[SourceVersion]],
) -> Iterator[tuple[SourceVersion, RowChanges]]:
    if not chosen or published.base is None:
        return
    columns = tables.columns(dataset)
    key = list(dataset.primary_key)
    old = [source for name in chosen for source in by_key[name]]
    before = _hashed(tables.read_rows(published.base, dataset, old), key)
    after = _hashed(_staged_rows(published, frozenset(chosen.values()), columns), key)
    for name, new in chosen.items():
        one = found[new]
        counts = _counts(before.get(name, _NONE), after.get(name, _NONE), with_key=bool(key))
        yield new, RowChanges(one.replaced, one.rows_before, one.rows_after, *counts)


def _staged_rows(
    published: Published, wanted: frozenset[SourceVersion], columns: pa.Schema
) -> Iterator[tuple[SourceVersion, pa.Table]]:
    ids = {source.version_id for source in wanted}
    for file in published.files:
        if not ids.isdisjoint(file.rows_by_source):
            with open_parquet(file.path) as parquet:
                yield from rows_of(parquet, wanted, columns)


_Sides = tuple[Hashes, Hashes]
_NONE: _Sides = (np.empty(0, np.uint64), np.empty(0, np.uint64))


def _hashed(rows: Iterable[tuple[SourceVersion, pa.Table]], key: Sequence[str]) -> dict[str, _Sides]:
    """For each object key, a hash of each row's primary key and one of the whole row."""
    pieces: dict[str, list[_Sides]] = {}
    for source, table in rows:
        for batch in table.combine_chunks().to_batches():
            names = [name for name in batch.schema.names if name not in _PROVENANCE]
            whole = hash_rows([batch.column(name) for name in sorted(names)], batch.num_rows)
            by_key = hash_rows([batch.column(name) for name in key], batch.num_rows) if key else whole
            pieces.setdefault(source.key, []).append((by_key, whole))
    return {
        name: (np.concatenate([k for k, _ in listed]), np.concatenate([w for _, w in listed]))
        for name, listed in pieces.items()
    }


def _counts(before: _Sides, after: _Sides, *, with_key: bool) -> tuple[int, int, int | None, int]:
    """Rows added, removed, changed (None where no key tells) and as before."""
    if with_key:
        old, old_at = np.unique(before[0], return_index=True)
        new, new_at = np.unique(after[0], return_index=True)
        if len(old) == len(before[0]) and len(new) == len(after[0]):
            both, in_old, in_new = np.intersect1d(old, new, assume_unique=True, return_indices=True)
            same = before[1][old_at[in_old]] == after[1][new_at[in_new]]
            unchanged = int(np.count_nonzero(same))
            return len(new) - len(both), len(old) - len(both), len(both) - unchanged, unchanged
    # No key, or rows of an earlier contract in which it repeats.
    old, old_rows = np.unique(before[1], return_counts=True)
    new, new_rows = np.unique(after[1], return_counts=True)
    _, in_old, in_new = np.intersect1d(old, new, assume_unique=True, return_indices=True)
    unchanged = int(np.minimum(old_rows[in_old], new_rows[in_new]).sum())
    return len(after[1]) - unchanged, len(before[1]) - unchanged, None, unchanged
