"""What others test their readers with, from the shared data beside the checkout; skipped where that is absent."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest

from tests.reading.reference_csv import Field, tokenize
from tests.reading.support import dataset, found, read, shared

ANY_KEY = {"new_columns": "rescue", "missing_columns": "allow"}
DOCUMENTS = {"j": {"type": "json"}}


@pytest.mark.parametrize("block_bytes", [4 << 20, 3])
@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_test_suite(form: str, block_bytes: int) -> None:
    contract = dataset(DOCUMENTS, form, schema=ANY_KEY)
    wrong: list[tuple[str, Any]] = []
    cases = sorted(shared("conformance/JSONTestSuite/test_parsing").glob("*.json"))
    for case in cases:
        content = case.read_bytes()
        _, summary = read(contract, content, block_bytes=block_bytes)
        rules = {rule for rule, _, _ in found(summary)}
        if case.name.startswith("y_"):
            # A valid document is read, or is not an array of objects (one object a line); a key twice is refused by decision.
            spread_over_lines = form == "jsonl" and b"\n" in content.strip()
            fits = rules <= {"json_shape"} or spread_over_lines or "duplicated_key" in case.name
        elif case.name.startswith("n_"):
            # Nothing at all, or white space between lines that hold nothing, is an empty file: never accepted.
            fits = bool(rules) or (summary.rows_read == 0 and not content.strip(b"\xef\xbb\xbf \n"))
        else:
            fits = True
        if not fits:
            wrong.append((case.name, rules))
    assert wrong == []
    assert len(cases) == 318


def test_each_value_of_the_transform_suite_is_kept_or_refused() -> None:
    contract = dataset(DOCUMENTS, "jsonl")
    for case in sorted(shared("conformance/JSONTestSuite/test_transform").glob("*.json")):
        text = case.read_bytes().strip()
        rows, summary = read(contract, b'{"j": ' + text.replace(b"\n", b" ") + b"}")
        if summary.violations_total:
            assert {rule for rule, _, _ in found(summary)} <= {"json_syntax", "json_duplicate_key", "encoding"}, (
                case.name
            )
        else:
            kept = rows[0]["j"]
            as_written = json.loads(text, parse_int=str, parse_float=str)
            assert json.loads(kept, parse_int=str, parse_float=str) == as_written, case.name


def test_csv_spectrum() -> None:
    folder = shared("conformance/csv-spectrum")
    for case in sorted((folder / "csvs").glob("*.csv")):
        said = json.loads((folder / "json" / f"{case.stem}.json").read_text("utf-8"))
        wanted: list[dict[str, str]] = [said] if isinstance(said, dict) else said
        names = list(wanted[0]) if wanted else []
        contract = dataset({f"c{i}": {"type": "string", "source": name} for i, name in enumerate(names)})
        rows, summary = read(contract, case.read_bytes())
        if case.stem == "location_coordinates":  # a bare quote, which RFC 4180 does not allow
            assert found(summary) == [("bare_quote", "c1", 2)]
            continue
        assert found(summary) == [], case.name
        kept = [{name: row[f"c{i}"] or "" for i, name in enumerate(names)} for row in rows]
        if case.stem == "newlines_crlf":  # the copy at hand has lost its CRs, the JSON beside it has not
            wanted = [{name: text.replace("\r\n", "\n") for name, text in row.items()} for row in wanted]
        assert kept == wanted, case.name


def _naughty() -> list[str]:
    """The strings that are text; a few of the list are bytes that no encoding of text has."""
    said = json.loads(shared("conformance/blns/blns.base64.json").read_text("utf-8"))
    texts: list[str] = []
    for one in said:
        try:
            texts.append(base64.b64decode(one).decode("utf-8"))
        except UnicodeDecodeError:
            continue
    assert len(texts) > 500
    return texts


def test_naughty_strings_survive_csv() -> None:
    texts = _naughty()
    contract = dataset({"n": {"type": "int"}, "s": {"type": "string"}})
    out = io.StringIO()
    out.write("n,s\n")
    for number, text in enumerate(texts):
        doubled = text.replace('"', '""')
        out.write(f'{number},"{doubled}"\n')
    content = out.getvalue().encode("utf-8")
    for block_bytes in (4 << 20, 1000):
        rows, summary = read(contract, content, block_bytes=block_bytes)
        assert found(summary) == []
        assert [row["s"] for row in rows] == texts


@pytest.mark.parametrize("escaped", [True, False])
def test_naughty_strings_survive_json(escaped: bool) -> None:
    texts = _naughty()
    columns = {"n": {"type": "int"}, "s": {"type": "string"}}
    objects = [json.dumps({"n": n, "s": text}, ensure_ascii=escaped) for n, text in enumerate(texts)]
    for form, content in (("jsonl", "\n".join(objects)), ("json", f"[{', '.join(objects)}]")):
        rows, summary = read(dataset(columns, form), content.encode("utf-8"))
        assert found(summary) == []
        assert [row["s"] for row in rows] == texts


def test_the_fuzz_files_of_arrow_are_no_crash() -> None:
    contract = dataset({"a": {"type": "string"}}, schema=ANY_KEY)
    lines = dataset(DOCUMENTS, "jsonl", schema=ANY_KEY)
    for case in shared("conformance/arrow-testing-csv").rglob("*"):
        if case.is_file():
            read(contract, case.read_bytes())
            read(lines, case.read_bytes())


def text(field: Field) -> str:
    return field.text.encode("latin-1").decode("utf-8")


def _frictionless() -> dict[str, list[list[Any]]]:
    """The errors of each file at hand: kind, row and field."""
    folder = shared("conformance/frictionless")
    said = json.loads((folder / "expected_frictionless.json").read_text("utf-8"))
    return {name: errors for name, errors in said.items() if (folder / name).exists()}


def test_each_file_of_frictionless_is_read_as_the_reference_reads_it_or_refused() -> None:
    read_exactly = 0
    for name in _frictionless():
        content = shared(f"conformance/frictionless/{name}").read_bytes()
        try:
            content.decode("utf-8")
            records = tokenize(content.removeprefix(b"\xef\xbb\xbf"))
        except UnicodeDecodeError:
            records = []
        while records and records[-1].is_blank:
            records.pop()
        names = [text(f) for f in records[0].fields] if records else []
        distinct = [n for n in dict.fromkeys(names) if n.strip()] or ["a"]
        columns = {f"c{i}": {"type": "string", "source": n} for i, n in enumerate(distinct)}
        contract = dataset(columns, limits={"columns": 20_000})
        rows, summary = read(contract, content)
        again, said = read(contract, content, block_bytes=7)
        assert bool(said.violations) is bool(summary.violations), name
        assert again == rows or summary.violations, name
        whole = [[text(f) or None if not f.quoted else text(f) for f in record.fields] for record in records[1:]]
        sound = distinct == names and all(record.fault is None and record.unclosed is None for record in records)
        if sound and all(len(row) == len(names) for row in whole):
            assert found(summary) == [], name
            assert [[row[f"c{i}"] for i in range(len(names))] for row in rows] == whole, name
            read_exactly += 1
        elif records:
            assert summary.violations, name
    assert read_exactly > 60


def test_the_errors_of_frictionless_are_found_at_their_rows() -> None:
    rules = {"extra-cell": "long_row", "missing-cell": "short_row", "blank-row": "short_row"}
    looked_at = 0
    for name, errors in _frictionless().items():
        content = shared(f"conformance/frictionless/{name}").read_bytes()
        wanted = {(rules[kind], row) for kind, row, _ in errors if kind in rules}
        if not wanted or any(kind.endswith("-label") for kind, _, _ in errors):
            continue
        records = tokenize(content.removeprefix(b"\xef\xbb\xbf"))
        last = max(number for number, record in enumerate(records, 1) if not record.is_blank)
        names = [text(f) for f in records[0].fields]
        contract = dataset({f"c{i}": {"type": "string", "source": n} for i, n in enumerate(names)})
        _, summary = read(contract, content)
        said = {(str(v.rule), s.line) for v in summary.violations for s in v.samples}
        places = [(rule, records[row - 1]) for rule, row in wanted if row <= last]
        # To frictionless a row of empty cells is blank; here it is a row of nulls.
        wrong = {(rule, r.line) for rule, r in places if r.is_blank or len(r.fields) != len(names)}
        assert wrong <= said or len(names) == 1, (name, wrong - said)
        looked_at += 1
    assert looked_at > 8
