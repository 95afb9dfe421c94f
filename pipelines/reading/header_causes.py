"""Why a CSV header is not the contract's: columns under other names, or a row of values where names should stand."""

import difflib
from collections.abc import Iterable, Sequence
from itertools import islice

from pipelines.contracts.model import ColumnType
from pipelines.reading.csv_blocks import CsvBlock
from pipelines.reading.csv_cells import split_record
from pipelines.reading.evidence import Rename
from pipelines.reading.headers import Matching, match_columns, normalised
from pipelines.reading.rows import Plan
from pipelines.reading.values import Misfit, value_reader

__all__ = ["alike", "line_of_names", "renames", "values_in_order"]

_ROWS = 200
_ROWS_ABOVE = 50
"""Titles and remarks that may stand above the names."""
_PAIRS = 10_000
_ALIKE, _ALIKE_IN_PLACE = 0.7, 0.5
_FITTING = 0.95
_TEXTUAL = (ColumnType.STRING, ColumnType.JSON)


def alike(one: str, other: str) -> float:
    """From 0 to 1, how alike two column names are: by their letters, or by their words."""
    first, second = normalised(one).strip("_"), normalised(other).strip("_")
    words, others = set(first.split("_")) - {""}, set(second.split("_")) - {""}
    smaller = min(words, others, key=len)
    # One name holds all words of the other: `state` and `province_state`.
    shared = 0.8 if smaller and smaller <= (words & others) and max(map(len, smaller)) > 2 else 0.0
    short, long = sorted((first, second), key=len)
    cut = 0.75 if len(short) >= 3 and long.startswith(short) else 0.0  # `lat` for `latitude`
    return max(shared, cut, difflib.SequenceMatcher(None, first, second).ratio())


def renames(
    plan: Plan, block: CsvBlock, names: Sequence[str], matching: Matching, delimiter: str
) -> tuple[Rename, ...]:
    """Columns of the file that look like missing ones: alike in name, less so where they stand in its place, and fitting in type."""
    missing, extra = matching.missing, matching.extra
    if len(missing) * len(extra) > _PAIRS:
        return ()
    order = plan.dataset.file_columns
    scored: list[tuple[float, str, int]] = []
    for column in missing:
        spellings = [s for s in (plan.dataset.columns[column].source, column) if s is not None]
        for position in extra:
            score = max(alike(spelling, names[position]) for spelling in spellings)
            in_place = position < len(order) and order[position] == column
            if score >= (_ALIKE_IN_PLACE if in_place else _ALIKE):
                scored.append((score + 0.2 * in_place, column, position))
    records = [
        split_record(block.content[start:end], delimiter)
        for start, end in zip(block.starts[1 : _ROWS + 1].tolist(), block.ends[1 : _ROWS + 1].tolist(), strict=True)
    ]
    found: dict[str, Rename] = {}
    taken: set[int] = set()
    for _, column, position in sorted(scored, key=lambda s: -s[0]):
        if column in found or position in taken:
            continue
        texts = [r[position].text for r in records if len(r) == len(names) and r[position].text]
        fitting = len(texts) - _misfits(plan, column, texts)
        if fitting >= _FITTING * len(texts):
            found[column] = Rename(names[position], column, len(texts), fitting)
            taken.add(position)
    return tuple(found[column] for column in missing if column in found)


def _misfits(plan: Plan, column: str, texts: Sequence[str]) -> int:
    read = value_reader(plan.dataset.columns[column])
    return sum(isinstance(read(text), Misfit) for text in texts)


def line_of_names(plan: Plan, blocks: Iterable[CsvBlock], delimiter: str) -> int:
    """The first line near the top, but the first, that names every column of the contract; 0 when none does."""
    records = ((block, row) for block in blocks for row in range(len(block.starts)))
    for block, row in islice(records, _ROWS_ABOVE):
        start, end = int(block.starts[row]), int(block.ends[row])
        if end - start > plan.limits.header_bytes:
            return 0
        names = [field.text for field in split_record(block.content[start:end], delimiter)]
        matching = match_columns(plan.dataset, names)
        if matching.positions and not matching.missing and (line := int(block.lines[row])) > 1:
            return line
    return 0


def values_in_order(plan: Plan, fields: Sequence[str]) -> int:
    """How many fields a first line has, when they are values of the contract's columns, in order; 0 when they are not.

    Text is a value of a text column whatever it says: at least one other column must have a value.
    """
    columns = [plan.dataset.columns[name] for name in plan.dataset.file_columns]
    if len(fields) != len(columns):
        return 0
    proofs = 0
    for column, text in zip(columns, fields, strict=True):
        if not text or column.kind in _TEXTUAL:
            continue
        if isinstance(value_reader(column)(text), Misfit):
            return 0
        proofs += 1
    return len(fields) if proofs else 0
