"""JSONTestSuite: what a JSON parser must take (`y_`), must refuse (`n_`), and may do either with (`i_`).

Each document is read three times: as a file of type `json`, as one of type `jsonl`, and as the value of a column, where every
root is welcome. What it says is told by the tests' own parser.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.conformance.cases import Broken, Case, Either, Rows, Says
from tests.conformance.suite import Suite, conformance
from tests.conformance.written import Rescued, Written
from tests.reading.reference_json import NotJson, parse
from tests.reading.support import dataset

FOLDER = conformance("JSONTestSuite")
ANY_KEY = {"new_columns": "rescue", "missing_columns": "allow"}
SHAPE = "its root is no array of objects (or, a line each, no object)"
TWICE = "a key stands twice in an object"
BOM = b"\xef\xbb\xbf"


def documents(folder: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each document."""
    for path in sorted((FOLDER / folder).glob("*.json")):
        yield path.name, path.read_bytes()


def _value(content: bytes) -> Any:
    return parse(content.decode("utf-8"))


def _rows(records: list[Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for record in records:
        rest = {key: value for key, value in record.items() if key != "j"}
        rows.append({"j": None if record.get("j") is None else Written(record["j"])})
        if rest:
            rows[-1]["_rescued"] = Rescued(rest)
    return rows


def _says(kind: str, records: list[Any] | None, decided: str | None) -> Says:
    """What a document says, from its kind by the suite and its records by the parser (None: it has none)."""
    if kind == "n":
        return Broken()
    if decided:
        return Rows((), decided) if kind == "y" else Either()
    assert records is not None or kind == "i"
    return Either(None if records is None else _rows(records)) if kind == "i" else Rows(_rows(records or []))


def _records(content: bytes, form: str) -> tuple[list[Any] | None, str | None]:
    """The records of a file, and the reason for which it is refused though it is JSON."""
    try:
        if form == "json":
            root = _value(content.removeprefix(BOM))
        else:
            root = [_value(line) for line in content.removeprefix(BOM).rstrip(b" \t\r\n").split(b"\n")]
    except UnicodeDecodeError:
        return None, None
    except NotJson as fault:
        if fault.rule == "json_duplicate_key":
            return None, TWICE
        return None, SHAPE if form == "jsonl" and _is_json(content) else None
    is_shape = isinstance(root, list) and all(isinstance(element, dict) for element in root)
    return (root, None) if is_shape else (None, SHAPE)


def _is_json(content: bytes) -> bool:
    try:
        _value(content)
    except NotJson:
        return False
    return True


def _files(form: str) -> Iterator[Case]:
    contract = dataset({"j": {"type": "json"}}, form, schema=ANY_KEY)
    for name, content in documents("test_parsing"):
        kind = name[0]
        records, decided = _records(content, form)
        # Nothing at all, or blanks where lines may be blank, is an empty file: it is not accepted.
        said = Either() if kind == "n" and not content.strip(BOM + b" \n") else _says(kind, records, decided)
        yield Case(name, content, contract, said)


def _cells() -> Iterator[Case]:
    contract = dataset({"j": {"type": "json"}}, "json")
    for folder in ("test_parsing", "test_transform"):
        for name, content in documents(folder):
            kind = name[0] if folder == "test_parsing" else "i"
            whole = b'[{"j": ' + content.removeprefix(BOM) + b"}]"
            try:
                records, decided = _value(whole), None
            except NotJson as fault:
                records, decided = None, TWICE if fault.rule == "json_duplicate_key" else None
            except UnicodeDecodeError:
                records, decided = None, None
            yield Case(name, whole, contract, _says(kind, records, decided))


SUITES = (
    Suite("JSONTestSuite, json", lambda: _files("json"), folder=FOLDER),
    Suite("JSONTestSuite, jsonl", lambda: _files("jsonl"), folder=FOLDER),
    Suite("JSONTestSuite, a cell", _cells, folder=FOLDER),
)
