"""The columns of all files together: under which names they stand, and what their cells hold.

A column is one wherever its name differs in spelling only (`contracts.names.plain_name`). Two names of one file that the reader
takes for one (`reading.headers.normalised`) cannot both be columns of a dataset, nor can a name without a letter or digit.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.column_checks import MAX_COLUMN_NAME
from pipelines.contracts.names import plain_name
from pipelines.inference.lexical import LexicalFacts
from pipelines.inference.nested import NestedFacts
from pipelines.reading.collector import shown
from pipelines.reading.headers import normalised

__all__ = ["ColumnFacts", "group_columns", "name_fault"]

_KINDS = {'"': "text", "t": "boolean", "f": "boolean", "{": "object", "[": "array"}


@dataclass(slots=True)
class ColumnFacts:
    """One column: the table's name for it, the files' names with the number of files that have each, and its cells.

    `kinds` counts JSON values by kind (text, number, boolean, object, array). `rows` are the rows of all files, `nulls` those
    without a value, of files that lack the column too.
    """

    name: str
    spellings: Counter[str] = field(default_factory=Counter[str])
    exact_only: bool = False
    rows: int = 0
    nulls: int = 0
    kinds: Counter[str] = field(default_factory=Counter[str])
    lexical: LexicalFacts = field(default_factory=LexicalFacts)
    nested: NestedFacts = field(default_factory=NestedFacts)

    @property
    def values(self) -> int:
        """Cells with a value; a blank cell of CSV is none unless the column is text."""
        return self.rows - self.nulls

    def source_names(self) -> tuple[str | None, tuple[str, ...]]:
        """`source` and `aliases` that the reader needs to find this column under all its names."""
        wanted = [s for s, _ in self.spellings.most_common()]
        if self.exact_only:
            return wanted[0], ()
        known, needed = {normalised(self.name)}, list[str]()
        for spelling in wanted:
            if normalised(spelling) not in known:
                known.add(normalised(spelling))
                needed.append(spelling)
        return (needed[0] if needed else None), tuple(needed[1:])

    def add_missing(self, rows: int) -> None:
        """Rows of a file that lacks the column."""
        self.rows += rows
        self.nulls += rows

    def add_texts(self, texts: pa.StringArray, lines: pa.Int64Array, file: str) -> None:
        """One block of CSV cells."""
        self.rows += len(texts)
        self.nulls += texts.null_count
        self.lexical.add(texts, lines, file)

    def add_documents(self, documents: pa.StringArray, lines: pa.Int64Array, file: str) -> None:
        """One block of JSON values, each as compact JSON text."""
        self.rows += len(documents)
        self.nulls += documents.null_count
        firsts = pc.value_counts(pc.utf8_slice_codeunits(documents.drop_null(), 0, 1))
        for first, count in zip(firsts.field("values").to_pylist(), firsts.field("counts").to_pylist(), strict=True):
            self.kinds[_KINDS.get(first, "number")] += count
        if self.kinds["object"] or self.kinds["array"]:
            self.nested.add(documents.to_pylist())
        scalars = pc.if_else(pc.match_substring_regex(documents, '^["0-9-]'), documents, pa.scalar(None, pa.string()))
        self.lexical.add(_unquoted(scalars), lines, file)


def _unquoted(documents: pa.StringArray) -> pa.StringArray:
    """JSON texts and numbers as what they say."""
    if pc.any(pc.match_substring(documents, "\\")).as_py():
        said = [None if d is None else json.loads(d) if d[0] == '"' else d for d in documents.to_pylist()]
        return pa.array(said, pa.string())
    is_text = pc.starts_with(documents, '"')
    return pc.if_else(is_text, pc.utf8_slice_codeunits(documents, 1, -1), documents)


def group_columns(names_by_file: Sequence[Iterable[str]]) -> tuple[list[ColumnFacts], list[Mapping[str, ColumnFacts]]]:
    """The columns of all files in the order first seen, and for each file which column each of its names is."""
    files = [tuple(names) for names in names_by_file]
    clashing = {
        identity
        for names in set(files)
        for identity, count in Counter(_identity(name) for name in names).items()
        if count > 1
    }
    # No column may have the name of another one's header: the reader would find it there.
    taken = {plain_name(name) for names in files for name in names}
    by_identity: dict[str, ColumnFacts] = {}
    by_file: list[Mapping[str, ColumnFacts]] = []
    for names in files:
        found: dict[str, ColumnFacts] = {}
        for position, name in enumerate(names):
            identity, plain = _identity(name), plain_name(name)
            is_exact = identity in clashing
            key = f"exactly {name}" if is_exact else identity
            column = by_identity.get(key)
            if column is None:
                is_own = identity == plain and not is_exact and len(plain) <= MAX_COLUMN_NAME
                named = plain if is_own else _free_name(plain or f"column_{position + 1}", taken)
                column = by_identity[key] = ColumnFacts(named, exact_only=is_exact)
            column.spellings[name] += 1
            found[name] = column
        by_file.append(found)
    return list(by_identity.values()), by_file


def name_fault(names: Sequence[str]) -> str | None:
    """Why these names of one file cannot all be columns of a dataset, if they cannot."""
    seen: dict[str, str] = {}
    for name in names:
        same = normalised(name)
        if not same.strip("_"):
            return f"its column {shown(name)} has no letter and no digit in its name: give it one"
        if same in seen:
            return f"its columns {shown(seen[same])} and {shown(name)} are one name once case and punctuation are set aside: rename one"
        seen[same] = name
    return None


def _identity(name: str) -> str:
    """What two names have in common that differ in spelling only: the plain name, unless letters would be lost in it."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    loses = any(c.isalnum() and not c.isascii() for c in decomposed)
    plain = plain_name(name)
    return plain if plain and not loses else f"letters {normalised(name)}"


def _free_name(wanted: str, taken: set[str]) -> str:
    name, number = wanted[:MAX_COLUMN_NAME], 1
    while name in taken:
        tail = f"_{number}"
        name, number = wanted[: MAX_COLUMN_NAME - len(tail)] + tail, number + 1
    taken.add(name)
    return name
