"""Bad rows for the wide feed: each kind with the column and the rule that must name it.

Only faults of a single row: a quote out of place puts the rows around it in doubt, and rejects the whole file.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.feeds import WIDE

__all__ = ["Bad", "damaged_csv", "damaged_json"]


@dataclass(frozen=True, slots=True)
class Bad:
    """One bad row: its text, and the column (none: the row as a whole) and rule that must be told of it."""

    raw: str
    column: str | None
    rule: str


# What replaces a cell: (column, text, rule). In JSON Lines text that is no number goes into quotes; empty text leaves the key out.
_CELLS = [
    ("customer_id", "12x", "type"),
    ("store_id", "2.7", "type"),
    ("quantity", "99999999999", "number_range"),
    ("quantity", "5000", "range"),
    ("score", "n/a", "type"),
    ("price", "1.239", "number_range"),
    ("price", "", "null"),
    ("event_date", "2024-02-30", "type"),
    ("updated_at", "2024-01-05 10:00:00", "type"),
    ("code", "ab1234", "pattern"),
    ("country", "XX", "allowed"),
    ("active", "yes", "type"),
]
_WRITTEN_AS_TEXT = {"customer_id": "12x", "score": "n/a", "active": "yes"}
_CSV_KINDS = len(_CELLS) + 2


def damaged_csv(rng: np.random.Generator, cells: list[str]) -> Bad:
    """A bad line from the cells of a good one, as they stand in the file."""
    kind = int(rng.integers(0, _CSV_KINDS))
    if kind == len(_CELLS):
        return Bad(",".join(cells[:-2]), None, "short_row")
    if kind > len(_CELLS):
        return Bad(",".join([*cells, "x", "y"]), None, "long_row")
    column, text, rule = _CELLS[kind]
    texts = dict(zip(WIDE.columns, cells, strict=True)) | {column: text}
    return Bad(",".join(texts.values()), column, rule)


def damaged_json(rng: np.random.Generator, members: list[str]) -> Bad:
    """A bad line from the members of a good one: `"name":value`, empty where the key is left out."""
    kind = int(rng.integers(0, len(_CELLS) + 1))
    texts = dict(zip(WIDE.columns, members, strict=True))
    if kind == len(_CELLS):
        whole = _object(texts)
        return Bad(whole[: len(whole) // 2], None, "json_syntax")
    column, text, rule = _CELLS[kind]
    is_text = texts[column].endswith('"') or _WRITTEN_AS_TEXT.get(column) == text
    texts[column] = "" if not text else f'"{column}":"{text}"' if is_text else f'"{column}":{text}'
    return Bad(_object(texts), column, rule)


def _object(texts: dict[str, str]) -> str:
    return "{" + ",".join(filter(None, texts.values())) + "}"
