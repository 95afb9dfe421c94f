"""Matches the columns of a file to the contract's, by name, and explains what does not match.

A column of the contract is looked for by its `source` first, then by its own name, then by its aliases. Names are compared
as they are; only where that finds nothing are both sides normalised: stripped, case-folded, composed (NFC: macOS writes é as
two code points), each run of characters that are not alphanumeric made one `_`.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.contracts.column_sources import spellings
from pipelines.contracts.model import Dataset
from pipelines.reading.collector import shown

__all__ = ["Fault", "Matching", "likely_delimiter", "match_columns", "names_meant", "normalised"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with the columns of a file: `column` as messages name it, the words, `position` in the file."""

    column: str
    found: str
    expected: str
    position: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Matching:
    """Where each column of the contract stands in the file, and what did not match.

    `positions` maps a column of the contract to its position; `extra` are positions of columns the contract does not
    know; `missing` are columns of the contract that the file lacks; `collisions` are two columns of the file that both
    claim one column of the contract.
    """

    positions: dict[str, int]
    extra: tuple[int, ...]
    missing: tuple[str, ...]
    collisions: tuple[Fault, ...]


def normalised(name: str) -> str:
    """A name as it is compared where no exact match is found."""
    return re.sub(r"[\W_]+", "_", unicodedata.normalize("NFC", name.strip().casefold()))


def match_columns(dataset: Dataset, names: Sequence[str]) -> Matching:
    """Match a file's column names to the contract's file columns."""
    exact = {name: position for position, name in reversed(list(enumerate(names)))}
    positions: dict[str, int] = {}
    taken: dict[int, str] = {}
    collisions: list[Fault] = []
    wanted = {name: _spellings(dataset, name) for name in dataset.file_columns}
    for column, said in wanted.items():
        found = list(dict.fromkeys(exact[s] for s in said if s in exact and exact[s] not in taken))
        if found:
            positions[column] = found[0]
            taken[found[0]] = column
            collisions += [_collision(column, names, found[0], other) for other in found[1:]]
            taken.update(dict.fromkeys(found[1:], column))
    loose: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        if position not in taken:
            loose.setdefault(normalised(name), []).append(position)
    for column, said in wanted.items():
        candidates = [p for s in dict.fromkeys(map(normalised, said)) for p in loose.get(s, ()) if p not in taken]
        if not candidates:
            continue
        if column in positions:
            collisions += [_collision(column, names, positions[column], other) for other in candidates]
        else:
            positions[column] = candidates[0]
            collisions += [_collision(column, names, candidates[0], other) for other in candidates[1:]]
        taken.update(dict.fromkeys(candidates, column))
    return Matching(
        positions,
        tuple(p for p in range(len(names)) if p not in taken),
        tuple(c for c in dataset.file_columns if c not in positions),
        tuple(collisions),
    )


def names_meant(dataset: Dataset, names: Iterable[str]) -> dict[str, list[str]]:
    """The names among these (of a file's columns, or of keys of its JSON records) that mean a column of the contract, by column."""
    said = {name: _spellings(dataset, name) for name in dataset.file_columns if dataset.columns[name].path is None}
    exact = {spelling: column for column, spelt in reversed(said.items()) for spelling in spelt}
    loose = {normalised(spelling): column for column, spelt in reversed(said.items()) for spelling in spelt}
    meant: dict[str, list[str]] = {}
    for name in names:
        column = exact.get(name) or loose.get(normalised(name))
        if column is not None:
            meant.setdefault(column, []).append(name)
    return meant


def _spellings(dataset: Dataset, name: str) -> tuple[str, ...]:
    return spellings(name, dataset.columns[name])


def _collision(column: str, names: Sequence[str], first: int, second: int) -> Fault:
    return Fault(column, names[second], f"one column only; {shown(names[first])} is {column} already", second)


def likely_delimiter(header: str, delimiter: str, dataset: Dataset) -> str | None:
    """A sentence about another delimiter, when with it the header's names fit the contract better."""
    known = {normalised(s) for name in dataset.file_columns for s in _spellings(dataset, name)}

    def fit(by: str) -> int:
        return sum(normalised(part.strip('"')) in known for part in header.split(by))

    best = max((c for c in (",", ";", "\t", "|", ":", " ") if c != delimiter), key=fit)
    if fit(best) <= max(fit(delimiter), 0) or (fit(best) < 2 and len(known) > 1):
        return None
    spoken = "a tab" if best == "\t" else repr(best)
    return f"The delimiter looks like {spoken}: with it, {fit(best)} of {len(known)} columns are found in the header."


def likely_name(missing: str, dataset: Dataset, extra: Sequence[str]) -> str | None:
    """A sentence about a column of the file that may be the missing one under another name."""
    close = {normalised(e): e for e in extra}
    for spelling in _spellings(dataset, missing):
        found = difflib.get_close_matches(normalised(spelling), list(close), 1, 0.75)
        if found:
            return f"The file's column {shown(close[found[0]])} may be it: then add it to `aliases`."
    return None
