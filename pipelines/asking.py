"""Questions to the query engine: SQL made of validated names and quoted texts; no answer is a value, never "all is well"."""

import re
from dataclasses import dataclass
from typing import Any

from pipelines.contracts.model import NAME_PATTERN
from pipelines.errors import LakegateError
from pipelines.ports import QueryEngine

__all__ = ["NotLooked", "ask", "sql_name", "sql_text"]


@dataclass(frozen=True, slots=True)
class NotLooked:
    """The question got no answer; `reason` says why."""

    reason: str


def sql_name(name: str) -> str:
    """A name as SQL. Raises ValueError for one that no dataset can have: nothing else becomes part of a statement."""
    if not re.fullmatch(rf"_?{NAME_PATTERN}", name):
        raise ValueError(f"{name!r} is no name of a table or column")
    return f'"{name}"'


def sql_text(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def ask(queries: QueryEngine | None, sql: str) -> list[dict[str, Any]] | NotLooked:
    """The rows that answer a statement."""
    if queries is None:
        return NotLooked("this deployment has no query engine")
    try:
        return queries.query(sql).table.to_pylist()
    except LakegateError as error:
        return NotLooked(" ".join(str(error).split()))
