"""The whole verdict on a file, slowly: rows, or every rule broken with its column and first line.

Contracts as tests write them: UTF-8, columns by their own name, no rows beyond a file's. The rules are said again, cell by cell.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pipelines.contracts.model import Column, CsvFormat, Dataset
from tests.reading import reference_values
from tests.reading.reference_csv import Record, tokenize
from tests.reading.reference_json import Document, NotJson, Number
from tests.reading.reference_values import Wrong

BOM = b"\xef\xbb\xbf"
NULL = object()


Place = tuple[int, int | None]
PlaceOf = Callable[[int], Place]


@dataclass
class Said:
    """What a file says. `faults`: (rule, column) to line and byte offset of the first (None: which byte is the reader's affair). `is_certain` is False where only the verdict is compared.

    `starts` are the places of the rows; `bad` are the records with a fault, by their places, with their lines; `of_file` are the
    faults that are no single record's.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    faults: dict[tuple[str, str | None], Place] = field(default_factory=dict)
    bad: dict[int, int] = field(default_factory=dict)
    of_file: set[str] = field(default_factory=set)
    is_certain: bool = True
    record: tuple[int, int] | None = None

    def at(self, start: int, line: int) -> None:
        """Go on with the record at this place."""
        self.record = start, line

    def add(self, rule: str, column: str | None, place: Place, *, of_file: bool = False) -> None:
        """Note a breach, of the record at hand if there is one."""
        known = self.faults.get((rule, column), place)
        self.faults[rule, column] = min(place, known, key=lambda p: (p[0], p[1] or 0))
        if self.record is None or of_file:
            self.of_file.add(rule)
        else:
            self.bad[self.record[0]] = self.record[1]

    @property
    def good_rows(self) -> list[dict[str, Any]]:
        """The rows without a fault."""
        return [row for row, start in zip(self.rows, self.starts, strict=True) if start not in self.bad]


def line_at(content: bytes, position: int) -> int:
    """The line of a byte, as an editor counts: LF, CRLF and lone CR each end one."""
    ends = len(re.findall(rb"\r\n|\n|\r", content[:position]))
    return 1 + ends - (content[position - 1 : position + 1] == b"\r\n")


def places(content: bytes) -> tuple[bytes, PlaceOf]:
    """The content without its mark, and line and byte offset in the file of its positions."""
    body = content.removeprefix(BOM)
    return body, lambda position: (line_at(body, position), position + len(content) - len(body))


def bad_bytes(content: bytes) -> list[int]:
    """Where each sequence starts that is not UTF-8."""
    places: list[int] = []
    position = 0
    while True:
        try:
            content[position:].decode("utf-8")
        except UnicodeDecodeError as error:
            places.append(position + error.start)
            position += error.end
        else:
            return places


# ---- CSV ------------------------------------------------------------------------------------------------------------


def csv_says(contract: Dataset, content: bytes) -> Said:
    """What a CSV file says under a contract that matches columns by their names, exactly."""
    said = Said()
    content, place = places(content)
    assert isinstance(contract.format, CsvFormat)
    records = tokenize(content, contract.format.delimiter)
    if all(record.is_blank for record in records):
        return said
    header, *rest = records
    bad = {p for p, byte in enumerate(content) if byte == 0} | set(bad_bytes(content))
    if header.is_blank:
        said.add("header_missing", None, place(0))
        said.is_certain = not bad
        return said
    if not header.is_whole or any(p < header.end for p in bad):
        said.add("the header is broken", None, place(0))
        said.is_certain = False
        return said
    names = [_text(f.text) for f in header.fields]
    columns = _header(contract, names, [place(min(f.start, header.end - 1)) for f in header.fields], said)
    if columns is None:
        said.is_certain = not bad  # how much of what follows is looked at is the reader's affair
        return said
    while rest and rest[-1].is_blank:
        rest.pop()
    whole: list[tuple[Record, dict[str, tuple[str, bool]]]] = []
    for record in rest:
        said.at(record.start, record.line)
        if _is_sound(record, columns, content, bad, place, said) and not _repeats(
            record, names, columns, contract, place, said
        ):
            cells = [(_text(f.text), f.quoted) for f in record.fields]
            whole.append((record, dict(zip(columns, cells, strict=True))))
    for record, texts in whole:
        said.at(record.start, record.line)
        cells = {n: _csv_cell(contract, n, texts.get(n)) for n in contract.file_columns}
        spellings = dict(zip(columns, names, strict=True))
        starts = dict(zip(columns, [f.start for f in record.fields], strict=True))

        def cell_place(name: str, record: Record = record, starts: Mapping[str, int] = starts) -> Place:
            return record.line, place(starts.get(name, record.start))[1]  # a cell is on its record's line

        said.rows.append(_row(contract, cells, spellings, cell_place, said))
        said.rows[-1]["_source_line"] = record.line
        if contract.schema_.new_columns == "rescue":
            nulls = contract.format.null_values
            unknown = {n: cell for n, cell in texts.items() if n not in contract.file_columns}
            said.rows[-1]["_rescued"] |= {
                n: text for n, (text, quoted) in unknown.items() if quoted or text not in nulls
            }
        said.starts.append(record.start)
    _keys(contract, said)
    return said


def _text(latin: str) -> str:
    return latin.encode("latin-1").decode("utf-8")


def _header(contract: Dataset, names: list[str], starts: list[Place], said: Said) -> list[str] | None:
    """What messages call the file's columns: the contract's names for those it knows; None where no row can be read."""
    seen: set[str] = set()
    for name, place in zip(names, starts, strict=True):
        if not name.strip():
            said.add("header_blank", None, place)
        elif name in seen:
            said.add("header_duplicate", name, place)
        seen.add(name)
    if said.faults:
        return None
    columns = _Columns(contract)
    known = [columns.exactly.get(name) for name in names]
    taken = set(known)
    for position, (name, place) in enumerate(zip(names, starts, strict=True)):
        meant = columns.of(name)
        if known[position] is None and meant is not None:
            if meant in taken:
                said.add("header_duplicate", meant, place)
            else:
                known[position] = meant
                taken.add(meant)
        elif known[position] is None and contract.schema_.new_columns == "reject":
            said.add("column_unexpected", name, place)
    for name in contract.file_columns:
        if name not in taken and not _may_be_missing(contract, name):
            said.add("column_missing", name, starts[0])
    if not any(known) and not any(rule == "column_missing" for rule, _ in said.faults):
        said.add("column_missing", None, starts[0])
    return (
        [name if column is None else column for name, column in zip(names, known, strict=True)] if any(known) else None
    )


def _rescues(contract: Dataset) -> bool:
    return "rescue" in (contract.schema_.new_columns, contract.schema_.type_changes)


def _may_be_missing(contract: Dataset, name: str) -> bool:
    return contract.schema_.missing_columns == "allow" and not _is_required(contract, name)


def _is_required(contract: Dataset, name: str) -> bool:
    return not contract.columns[name].nullable or name in contract.primary_key


class _Columns:
    """The contract's columns by the names a file may have for them."""

    def __init__(self, contract: Dataset) -> None:
        self.exactly: dict[str, str] = {}
        self.loosely: dict[str, str] = {}
        for column in contract.file_columns:
            said = contract.columns[column]
            for spelling in (said.source, column, *said.aliases):
                if spelling is not None:
                    self.exactly.setdefault(spelling, column)
                    self.loosely.setdefault(_loose(spelling), column)

    def of(self, name: str) -> str | None:
        """The column that a name means."""
        return self.exactly.get(name) or self.loosely.get(_loose(name))


def _loose(name: str) -> str:
    """A name as names are compared where they are not the same: composed, case-folded, runs of other characters one `_`."""
    composed = unicodedata.normalize("NFC", name.strip().casefold())
    return re.sub("_+", "_", "".join(c if c.isalnum() else "_" for c in composed))


def _is_sound(record: Record, names: list[str], content: bytes, bad: set[int], place: PlaceOf, said: Said) -> bool:
    """Whether the record's cells can be looked at; what is wrong with it otherwise."""
    width = len(names)
    inside = sorted(p for p in bad if record.start <= p < record.end)
    for position in inside:
        said.add("nul_byte" if content[position] == 0 else "encoding", None, place(position))
    if record.fault is not None and not inside:
        number = record.fault.field
        name = names[number] if number < width else f"field {width + 1}"
        said.add(record.fault.rule, name, place(record.fault.position), of_file=True)
    if record.unclosed is not None:
        said.add("unclosed_quote", None, place(record.unclosed), of_file=True)
    if inside or not record.is_whole:
        return False
    if record.is_blank and width == 1:
        return True
    if len(record.fields) != width:
        said.add("short_row" if len(record.fields) < width else "long_row", None, place(record.start))
        return False
    return True


def _repeats(
    record: Record, names: list[str], columns: list[str], contract: Dataset, place: PlaceOf, said: Said
) -> bool:
    """Whether the record is the header once more, in the columns that are read: at least two."""
    is_read = [contract.schema_.new_columns != "reject" or column in contract.file_columns for column in columns]
    cells = [(_text(f.text), name) for f, name, read in zip(record.fields, names, is_read, strict=True) if read]
    if len(cells) < 2 or any(text != name for text, name in cells):
        return False
    said.add("header_repeated", None, place(record.start))
    return True


def _csv_cell(contract: Dataset, name: str, cell: tuple[str, bool] | None) -> Any:
    """A cell's text, or NULL."""
    column, form = contract.columns[name], contract.format
    nulls = set(getattr(form, "null_values", ()) if column.null_values is None else column.null_values)
    if cell is None:
        return NULL
    text, quoted = cell
    if column.type in ("string", "json"):
        return NULL if text in nulls and not quoted else text
    return NULL if text in nulls or not text else text


# ---- JSON -----------------------------------------------------------------------------------------------------------


def jsonl_says(contract: Dataset, content: bytes) -> Said:
    """What a JSON Lines file says."""
    said = Said()
    body, place = places(content)
    lines = body.split(b"\n")
    while lines and not lines[-1].strip(b" \t\r\n"):
        lines.pop()
    position = 0
    records: list[tuple[Document, dict[str, Any], int]] = []
    for raw in lines:
        bad = bad_bytes(raw)
        at = position + len(raw) - len(raw.lstrip(b" \t\r"))
        said.at(position, line_at(body, at))
        if not raw.strip(b" \t\r"):
            said.add("json_shape", None, place(position))
        elif bad:
            said.add("encoding", None, place(position + bad[0]))
        else:
            found = _element(raw.decode("utf-8"), contract)
            if isinstance(found, NotJson):
                # Depth is looked at first, in whatever has that many brackets.
                is_flat = raw.count(b"[") + raw.count(b"{") <= (contract.limits.depth or 32)
                said.is_certain = said.is_certain and found.is_certain and is_flat
                behind = len(raw.decode("utf-8")[: found.position].encode("utf-8"))
                said.add(found.rule, None, (line_at(body, position + min(behind, len(raw))), None))
            elif not isinstance(found.root, dict):
                said.add("json_shape", None, place(at))
            else:
                records.append((found.document, found.root, position))
        position += len(raw) + 1
    _objects(contract, records, place, said)
    return said


@dataclass
class _Element:
    document: Document
    root: Any


def _element(text: str, contract: Dataset) -> _Element | NotJson:
    document = Document(text, contract.limits.depth or 32)
    try:
        return _Element(document, document.read())
    except NotJson as fault:
        return fault


def json_says(contract: Dataset, content: bytes) -> Said:
    """What a file says that holds one array of objects."""
    said = Said()
    if not content:
        return said
    body, place = places(content)
    if bad_bytes(body):
        said.add("encoding", None, place(0))
        said.is_certain = False
        return said
    found = _element(body.decode("utf-8"), contract)
    if isinstance(found, NotJson):
        said.add(found.rule, None, place(len(body.decode("utf-8")[: found.position].encode("utf-8"))))
        said.is_certain = False
        return said
    if not isinstance(found.root, list):
        said.add("json_shape", None, place(0))
        said.is_certain = False
        return said
    document = found.document
    records: list[tuple[Document, dict[str, Any], int]] = []
    text = body.decode("utf-8")
    for number, element in enumerate(found.root):
        start = len(text[: document.places[(number,)]].encode("utf-8"))
        said.at(start, line_at(body, start))
        if not isinstance(element, dict):
            said.add("json_shape", None, place(start))
            continue
        inner = Document(text[document.places[(number,)] :], contract.limits.depth or 32)
        inner.value(())
        records.append((inner, element, start))
    _objects(contract, records, place, said)
    return said


def _objects(
    contract: Dataset, records: list[tuple[Document, dict[str, Any], int]], place: PlaceOf, said: Said
) -> None:
    is_broken, present, columns = bool(said.faults), set[str](), _Columns(contract)
    for document, members, start in records:

        def place_of(key: str | None, document: Document = document, start: int = start) -> Place:
            position = document.places[()] if key is None else document.places[key,]
            return place(start + len(document.text[:position].encode("utf-8")))

        said.at(start, place_of(None)[0])
        keys: dict[str, str] = {}
        unknown: dict[str, Any] = {}
        is_refused = False
        for key in members:
            name = columns.of(key)
            if name is None and contract.schema_.new_columns == "rescue":
                unknown[key] = members[key]
            elif name is None:
                said.add("column_unexpected", key, place_of(key))
            elif name in keys:
                said.add("json_duplicate_key", name, place_of(key))
                is_refused = is_broken = True
            else:
                keys[name] = key
        present.update(keys)
        if is_refused:
            continue
        cells = {
            name: _json_cell(contract.columns[name], members[keys[name]] if name in keys else None)
            for name in contract.file_columns
        }
        said.rows.append(_row(contract, cells, keys, lambda name, keys=keys, of=place_of: of(keys.get(name)), said))
        said.rows[-1]["_source_line"] = place_of(None)[0]
        if _rescues(contract):
            # A value of the wrong type is rescued as it stands in the document, not as a text.
            said.rows[-1]["_rescued"] = {k: members[k] for k in said.rows[-1]["_rescued"]} | unknown
        said.starts.append(start)
    if said.rows and (not is_broken or contract.rows.on_bad == "quarantine_rows"):
        for name in contract.file_columns:
            if name not in present and not _may_be_missing(contract, name):
                said.faults.pop(("null", name), None)
                said.add("column_missing", name, (0, None), of_file=True)
    _keys(contract, said)


def _json_cell(column: Column, value: Any) -> Any:
    """A text to be read as the column's type, a value, or what is of the wrong kind as Wrong."""
    if value is None:
        return NULL
    if column.type == "boolean":
        return ("true" if value else "false") if isinstance(value, bool) else Wrong()
    if isinstance(value, Number):
        fits = column.type in ("int", "bigint", "double") or column.type.startswith("decimal")
        return str(value) if fits else Wrong()
    if isinstance(value, str):
        fits = column.type in ("string", "date", "timestamp") or column.type.startswith("decimal")
        return value if fits else Wrong()
    return Wrong()


# ---- rows -----------------------------------------------------------------------------------------------------------


def _row(
    contract: Dataset,
    cells: Mapping[str, Any],
    spellings: Mapping[str, str],
    place_of: Callable[[str], Place],
    said: Said,
) -> dict[str, Any]:
    """The row's values, and under the file's names in `_rescued` those that are none of their column; breaches go to `said`."""
    row: dict[str, Any] = {"_rescued": {}} if _rescues(contract) else {}
    for name, cell in cells.items():
        row[name] = None
        if ("column_missing", name) in said.faults:
            continue
        column = contract.columns[name]
        if cell is NULL:
            if _is_required(contract, name):
                said.add("null", name, place_of(name))
            continue
        try:
            if isinstance(cell, Wrong):
                raise cell
            row[name] = reference_values.read(column.type, cell, zone=column.zone)
        except Wrong as wrong:
            if contract.schema_.type_changes == "rescue" and not _is_required(contract, name):
                row["_rescued"][spellings[name]] = cell
            else:
                said.add(wrong.rule, name, place_of(name))
            continue
        for rule in _breaches(column, cell, row[name]):
            said.add(rule, name, place_of(name))
    return row


def _breaches(column: Column, text: str, value: Any) -> Iterable[str]:
    if column.pattern is not None and not re.fullmatch(column.pattern, text):
        yield "pattern"
    if column.min is not None and value < _bound(column, column.min):
        yield "range"
    if column.max is not None and value > _bound(column, column.max):
        yield "range"
    if column.allowed is not None and value not in [_bound(column, a) for a in column.allowed]:
        yield "allowed"
    if column.min_length is not None and len(text) < column.min_length:
        yield "length"
    if column.max_length is not None and len(text) > column.max_length:
        yield "length"


def _bound(column: Column, raw: Any) -> Any:
    if column.type.startswith("decimal"):
        return Decimal(str(raw))
    return raw


def _keys(contract: Dataset, said: Said) -> None:
    """Rows whose key stood before."""
    names = contract.primary_key
    seen: set[tuple[Any, ...]] = set()
    for row, start in zip(said.rows, said.starts, strict=True) if names else ():
        said.at(start, row["_source_line"])
        key = tuple(row[name] for name in names)
        if None in key:
            continue
        if key in seen:
            said.add("primary_key", names[0] if len(names) == 1 else None, (row["_source_line"], None))
        seen.add(key)
