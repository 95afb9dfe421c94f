"""Cuts whole records into cells: pyarrow for blocks, a few lines of Python for the single record that a message is about."""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from pipelines.contracts.model import ColumnType, CsvFormat
from pipelines.reading.headers import Matching
from pipelines.reading.rescue import Rescued
from pipelines.reading.row_blocks import Cells
from pipelines.reading.rows import Plan
from pipelines.reading.values import Misfit, value_reader

__all__ = ["CellParser", "Field", "RaggedError", "Skipped", "split_record"]

_PARSE_BYTES = 16 << 20  # a bound, not an allocation: pyarrow slices what it is given
_TEXTUAL = (ColumnType.STRING, ColumnType.JSON)
_MAX_SKIPPED = 1_000
"""Rows of one block that may be left out one by one, each by a call from the parser into Python."""

Skipped = Mapping[int, bytes]
"""Rows that were left out because they do not have as many fields as the header, with their bytes without a line end."""


class RaggedError(Exception):
    """Many rows of the block do not have as many fields as the header, or it was not cut into its records."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record: where it starts in the record, its text without quotes, and whether it had some."""

    start: int
    text: str
    quoted: bool


def split_record(record: bytes, delimiter: str) -> list[Field]:
    """Cut one record, by RFC 4180; a wrong quote is taken as text, as the state machine of `csv_blocks` does."""
    fields: list[Field] = []
    mark = delimiter.encode()
    body = record.rstrip(b"\r\n")
    position = 0
    while True:
        start = position
        quoted = body[position : position + 1] == b'"'
        if quoted:
            position += 1
            parts: list[bytes] = []
            while True:
                close = body.find(b'"', position)
                if close < 0:
                    parts.append(body[position:])
                    position = len(body)
                    break
                parts.append(body[position:close])
                position = close + 1
                if body[position : position + 1] != b'"':
                    break
                parts.append(b'"')
                position += 1
            text = b"".join(parts)
            end = body.find(mark, position)
        else:
            end = body.find(mark, position)
            text = body[position : end if end >= 0 else len(body)]
        fields.append(Field(start, text.decode("utf-8", "replace"), quoted))
        if end < 0:
            return fields
        position = end + 1


class CellParser:
    """Parses blocks of one file, whose header is known, into text columns."""

    def __init__(self, plan: Plan, names: Sequence[str], matching: Matching, delimiter: str) -> None:
        """Prepare for a file with these column names."""
        dataset = plan.dataset
        assert isinstance(dataset.format, CsvFormat)  # noqa: S101 - the caller chose this parser by the format
        self.width = len(names)
        self.new_columns: dict[str, str] = {}
        """Columns to add to the table: the file's name to the table's."""
        self._delimiter = delimiter
        self._names = names
        self._columns = dict(matching.positions)
        self._by_position = {position: name for name, position in self._columns.items()}
        self._extra = matching.extra if dataset.schema_.new_columns == "rescue" else ()
        shared = frozenset(dataset.format.null_values)
        nulls = {
            name: shared if (own := dataset.columns[name].null_values) is None else frozenset(own)
            for name in self._columns
        }
        # Quoting protects text columns from being null; all others are made null after parsing, quoted or not.
        textual = {name for name in self._columns if dataset.columns[name].kind in _TEXTUAL}
        self._groups = _groups(self._columns, nulls, textual, self._extra, shared)
        self._late_nulls = {
            name: _LateNulls(plan, name, frozenset(nulls[name]), self._null_set_of(position))
            for name, position in self._columns.items()
            if name not in textual
        }
        self._skipped: dict[int, bytes] = {}
        self._strict, self._skipping = (
            pv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=handler
            )
            for handler in (None, self._skip)
        )
        self._generated = [str(i) for i in range(self.width)]
        self._types = dict.fromkeys(self._generated, pa.string())

    def _null_set_of(self, position: int) -> frozenset[str]:
        return next(nulls for nulls, positions in self._groups if position in positions)

    def column_name(self, index: int) -> str:
        """What messages call the column at a position of the file."""
        if index in self._by_position:
            return self._by_position[index]
        return self._names[index] if index < len(self._names) else f"field {index + 1}"

    def position(self, column: str | None) -> int | None:
        """Where a column of the contract stands in the file."""
        return None if column is None else self._columns.get(column)

    def _skip(self, row: pv.InvalidRow) -> str:
        """Called by the parser for a row of another width, with its number counted from 1."""
        if row.number is None or len(self._skipped) >= _MAX_SKIPPED:
            return "error"
        self._skipped[row.number - 1] = row.text.encode()
        return "skip"

    def parse(self, content: bytes, records: int, *, skips: bool = False) -> tuple[list[pa.Array], Skipped]:
        """Cut `records` whole records into one text column a field; with `skips`, for which the content must be UTF-8, those of
        another width than the header are left out, and told.

        Raises RaggedError when there are such records, with `skips` when they are many, or what was cut is not as many records.
        """
        columns: list[pa.Array] = [pa.nulls(0, pa.string())] * self.width
        skipped: Skipped | None = None
        for nulls, positions in self._groups:
            self._skipped = {}
            try:
                table = pv.read_csv(
                    pa.BufferReader(content),
                    pv.ReadOptions(
                        use_threads=False, block_size=max(len(content) + 1, _PARSE_BYTES), column_names=self._generated
                    ),
                    self._skipping if skips else self._strict,
                    pv.ConvertOptions(
                        check_utf8=False,
                        column_types=self._types,
                        include_columns=[str(p) for p in positions],
                        null_values=sorted(nulls),
                        strings_can_be_null=True,
                        quoted_strings_can_be_null=False,
                    ),
                )
            except pa.ArrowInvalid as error:
                raise RaggedError(str(error)) from None
            if table.num_rows + len(self._skipped) != records or skipped not in (None, self._skipped):
                raise RaggedError(f"{table.num_rows} rows of {records}")
            skipped = self._skipped
            for position, column in zip(positions, table.columns, strict=True):
                columns[position] = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
        return columns, skipped or {}

    def parse_slowly(self, records: Sequence[bytes]) -> list[pa.Array]:
        """The same as `parse`, record by record in Python: for what pyarrow does not take as RFC 4180 has it."""
        rows = [split_record(record, self._delimiter) for record in records]
        columns: list[pa.Array] = [pa.nulls(0, pa.string())] * self.width
        for nulls, positions in self._groups:
            for position in positions:
                fields = [row[position] for row in rows]
                texts = [None if not f.quoted and f.text in nulls else f.text for f in fields]
                columns[position] = pa.array(texts, pa.string())
        return columns

    def repeats_header(self, columns: Sequence[pa.Array]) -> "npt.NDArray[np.bool_] | None":
        """Which rows hold the header's names in every column that is read; None when none does, or one column alone is read."""
        read = [(name, column) for name, column in zip(self._names, columns, strict=True) if len(column)]
        if len(read) < 2:
            return None
        repeated: npt.NDArray[np.bool_] | None = None
        for name, column in read:
            same = pc.equal(column, name)
            if not pc.any(same).as_py():
                return None
            here = pc.fill_null(same, False).to_numpy(zero_copy_only=False)
            repeated = here if repeated is None else repeated & here
        return repeated if repeated is not None and repeated.any() else None

    def matched(self, columns: Sequence[pa.Array], *, has_quotes: bool) -> dict[str, Cells]:
        """The cells of each column of the contract that the file has."""
        cells: dict[str, Cells] = {}
        for name, position in self._columns.items():
            texts = columns[position]
            late = self._late_nulls.get(name)
            cells[name] = Cells(texts) if late is None else late.cells(texts, has_quotes=has_quotes)
        return cells

    def cells(self, column: pa.Array, *, has_quotes: bool) -> dict[str, Cells]:
        """The same for a file of one column."""
        return self.matched([column] * self.width, has_quotes=has_quotes)

    def rescued(self, columns: Sequence[pa.Array]) -> Rescued | None:
        """The cells of columns that the contract does not know; None where there are none."""
        if not self._extra:
            return None
        rescued = Rescued(len(columns[self._extra[0]]))
        for position in self._extra:
            rescued.add_texts(self._names[position], columns[position])
        return rescued

    def name_of(self, _row: int, column: str) -> str:
        """What the header calls a column of the contract that the file has."""
        return self._names[self._columns[column]]


class _LateNulls:
    """Makes the null texts of a column that is not text null after parsing, where parsing could not."""

    def __init__(self, plan: Plan, name: str, nulls: frozenset[str], parsed: frozenset[str]) -> None:
        column = plan.dataset.columns[name]
        read = value_reader(column)
        everything = nulls | {""}
        self._texts = pa.array(sorted(everything), pa.string())
        self._always = everything != parsed | {""} or "" not in parsed
        # A null text that is also a value ("-999") must be looked for in quotes even when the conversion succeeds.
        self._in_quotes = bool(everything) and any(not isinstance(read(t), Misfit) for t in everything)

    def cells(self, texts: pa.Array, *, has_quotes: bool) -> Cells:
        if self._always or (has_quotes and self._in_quotes):
            return Cells(self._apply(texts))
        return Cells(texts, late_nulls=self._apply if has_quotes else None)

    def _apply(self, texts: pa.Array) -> pa.Array:
        return pc.if_else(pc.is_in(texts, value_set=self._texts), pa.scalar(None, pa.string()), texts)


def _groups(
    columns: dict[str, int],
    nulls: dict[str, frozenset[str]],
    textual: set[str],
    extra: Sequence[int],
    shared: frozenset[str],
) -> list[tuple[frozenset[str], list[int]]]:
    """Columns by the null texts that parsing itself must know: one group, as long as all columns share them."""
    groups: dict[frozenset[str], list[int]] = {}
    for name in textual:
        groups.setdefault(nulls[name], []).append(columns[name])
    for name, position in columns.items():
        if name not in textual:
            # Only a set whose texts are all null in this column too: any other would take values away.
            fitting = [known for known in groups if known <= nulls[name] | {""}]
            best = shared if shared in fitting else next(iter(fitting), nulls[name])
            groups.setdefault(best, []).append(position)
    for position in extra:
        groups.setdefault(shared, []).append(position)
    if not groups:
        groups[shared] = [0]
    return [(key, sorted(positions)) for key, positions in groups.items()]
