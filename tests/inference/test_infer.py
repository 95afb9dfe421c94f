"""From files to one dataset: names, keys, delimiters, several files, and what is broken in itself."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ConfigurationError
from pipelines.inference.infer import Inferred
from pipelines.reading.violations import Rule
from tests.inference.support import inferred, line_of, of_csv, outcome, rows, types


def landing(*names: str, **told: Any) -> tuple[str, str | None, str]:
    """Key pattern, landing day and start for files of these names."""
    dataset, _ = inferred(dict.fromkeys(names, b"a,b\n1,x\n"), **told)
    return dataset.landing.key, dataset.landing.day, dataset.landing.start.isoformat()


@pytest.mark.parametrize(
    ("names", "key", "day", "start"),
    [
        (["in/2024-01-31.csv", "in/2023-12-01.csv"], "landing/in_files/{file_date:%Y-%m-%d}.csv*", "file_date", "2023-12-01"),
        (["s/sales_20240131.csv"], "landing/sales/sales_{file_date:%Y%m%d}.csv*", "file_date", "2024-01-31"),
        (["s/01-31-2024_1200.csv", "s/02-01-2024_0900.csv"], "landing/s/{file_date:%m-%d-%Y}_*00.csv*", "file_date", "2024-01-31"),
        (["s/31-01-2024.csv"], "landing/dataset/{file_date:%d-%m-%Y}.csv*", "file_date", "2024-01-31"),
        (["s/01-02-2024.csv"], "landing/dataset/*.csv*", None, "2026-01-02"),
        (["w/2024-01.csv", "w/2024-02.csv"], "landing/dataset/{file_month:%Y-%m}.csv*", "file_month", "2024-01-01"),
        (["x/2010-summary.csv", "x/2011-summary.csv"], "landing/summary/{file_year}-summary.csv*", None, "2026-01-02"),
        (["x/orders.csv"], "landing/orders/*.csv*", None, "2026-01-02"),
        (["x/orders-a.csv", "x/orders-b.csv.gz"], "landing/orders/orders-*", None, "2026-01-02"),
        (["2024-01-01/rows.csv", "2024-01-02/rows.csv"], "landing/rows/{file_date:%Y-%m-%d}/rows.csv*", "file_date", "2024-01-01"),
        (["x/{odd}.csv"], "landing/odd/*.csv*", None, "2026-01-02"),
        (["x/2024-02-30.csv"], "landing/dataset/{file_year}-02-30.csv*", None, "2026-01-02"),
    ],
)  # fmt: skip
def test_the_key_pattern_comes_from_the_files_names(names: list[str], key: str, day: str | None, start: str) -> None:
    found = landing(*names)
    assert found == (key.replace("/s/", "/dataset/", 1) if names[0].startswith("s/0") else key, day, start)


def test_a_key_told_gives_the_columns_of_its_fields() -> None:
    dataset, text = inferred(
        {"drop/store=7/20240131.csv": b"a,b\n1,x\n"},
        name="orders",
        key="landing/orders/store={store}/{day:%Y%m%d}.csv*",
    )
    assert {n: c.type for n, c in dataset.columns.items() if c.from_ == "key"} == {"store": "bigint", "day": "date"}
    assert dataset.landing.day == "day"
    assert [str(p.name) for p in dataset.partition_by] == ["day"]
    assert "from the key: 7 to 7" in text


def test_a_key_told_that_does_not_fit_the_files_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="does not fit"):
        inferred({"a.csv": b"a\n1\n"}, name="orders", key="landing/orders/{day:%Y%m%d}.csv")
    with pytest.raises(ConfigurationError, match="--key"):
        inferred({"a.csv": b"a\n1\n"}, name="orders", key="landing/orders/{day")


@pytest.mark.parametrize(("mark", "said"), [(",", "a comma"), (";", "';'"), ("\t", "a tab"), ("|", "'|'")])
def test_the_delimiter_is_the_one_that_fits_and_is_declared(mark: str, said: str) -> None:
    content = f"a{mark}b{mark}c\n1,5{mark}x{mark}y\n".replace("1,5", '"1,5"' if mark == "," else "1,5") * 1
    dataset, text = of_csv(content)
    assert dataset.format.delimiter == mark  # type: ignore[union-attr]
    assert f"delimiter {said}: with it 2 of the first 2 records" in text
    assert list(dataset.columns) == ["a", "b", "c"]


def test_files_with_the_columns_spelt_otherwise_are_one_table() -> None:
    files: dict[str, bytes | Path] = {
        "d/2024-01-01.csv": b"Province/State,Lat,n\nA,1.5,1\n",
        "d/2024-01-02.csv": "\ufeffn,Province_State,Größe\r\n2,B,7\r\n".encode(),
    }
    dataset, text = inferred(files)
    assert list(dataset.columns) == ["file_date", "province_state", "lat", "n", "grosse"]
    assert dataset.columns["grosse"].source == "Größe"
    assert dataset.schema_.missing_columns == "allow"
    assert '"Province/State" in 1 file, "Province_State" in 1 file' in line_of(text, "province_state")
    assert "Not in every file: lat, grosse" in text
    assert "1 file with a byte order mark" in text
    (row,) = rows(dataset, files["d/2024-01-02.csv"], {"file_date": date(2024, 1, 2)})  # type: ignore[arg-type]
    assert (row["province_state"], row["lat"], row["n"], row["grosse"]) == ("B", None, 2, 7)


def test_a_column_that_may_have_been_renamed_is_pointed_out() -> None:
    _, text = inferred({"d/2024-01-01.csv": b"lat,n\n1.5,1\n", "d/2024-01-02.csv": b"latitude,n\n1.5,1\n"})
    assert "CHECK: lat and latitude never stand in one file" in text


@pytest.mark.parametrize(
    "header",
    [
        ("_id", "id"), ("数量", "价格"), ("数量_a", "价格_a"), ("2nd", "c_2nd"), ("osterreich", "Österreich", "osterreich_1"),
        ("a'; drop table x--", "__proto__"), ("x" * 300, "x" * 301), ("😀 a", "\u200fabc\u202e"), ("line\nbreak", "tab\there"),
        ("select", "class"), ("file_date", "true"), ("lakegate_infer_0", "lakegate_infer_1"), ("column_1", "数"),
    ],
)  # fmt: skip
def test_any_names_become_columns_that_are_told_apart(header: tuple[str, ...]) -> None:
    names = ",".join(f'"{name}"' for name in header)
    values = [f"value {i}" for i in range(len(header))]
    content = f"{names}\n{','.join(values)}\n".encode()
    dataset, _ = inferred({"d/2024-01-01.csv": content})
    own = dataset.file_columns
    assert len(own) == len(header)
    (row,) = rows(dataset, content, {n: date(2024, 1, 1) for n in dataset.key_columns})
    assert [row[name] for name in own] == values


@pytest.mark.parametrize("header", [("Lat", "lat"), ("a b", "a_b", "A B"), ("%", "#"), ("é", "e\u0301"), ("😀", "a")])
def test_names_that_are_one_name_to_the_reader_are_refused(header: tuple[str, ...]) -> None:
    found = outcome({"rows.csv": f"{','.join(header)}\n{','.join('1' for _ in header)}\n".encode()})
    assert not isinstance(found, Inferred)
    assert found[0].why
    assert "name" in found[0].why


def test_files_of_one_dataset_must_be_told_apart_and_of_one_format() -> None:
    with pytest.raises(ConfigurationError, match="one format"):
        inferred({"a.csv": b"a\n1\n", "b.json": b'[{"a": 1}]'})
    with pytest.raises(ConfigurationError, match="no column"):
        inferred({"a.csv": b"", "b.csv": b""})


def test_an_empty_file_among_others_takes_no_part() -> None:
    dataset, _ = inferred({"d/2024-01-01.csv": b"a,b\n1,x\n", "d/2024-01-02.csv": b""})
    assert types(dataset) == {"file_date": "date", "a": "int", "b": "string"}
    assert dataset.schema_.missing_columns == "reject"


def test_a_gzipped_file_is_read_and_said() -> None:
    dataset, text = inferred({"rows.csv.gz": gzip.compress(b"a,b\n1,x\n")})
    assert types(dataset) == {"a": "int", "b": "string"}
    assert "1 file compressed with gzip" in text


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"a,b\n1,x\n2\n", Rule.SHORT_ROW),
        (b'a,b\n1,"x\n', Rule.UNCLOSED_QUOTE),
        (b'"a,b\n1,x\n', Rule.UNCLOSED_QUOTE),
        (b"a,a\n1,x\n", Rule.HEADER_DUPLICATE),
        (b"a,\n1,x\n", Rule.HEADER_BLANK),
        (b"a,b\n1,\xe9\n", Rule.ENCODING),
        (b"a,b\n1,\0\n", Rule.NUL_BYTE),
        (b'[{"a": 1}, {"a": NaN}]', Rule.JSON_SYNTAX),
        (b'{"a": 1}\n{"a": 1, "a": 2}\n', Rule.JSON_DUPLICATE_KEY),
        (b"[1, 2]", Rule.JSON_SHAPE),
    ],
)
def test_a_file_broken_in_itself_is_told_and_not_guessed_around(content: bytes, rule: Rule) -> None:
    found = outcome({"good.csv": b"a,b\n1,x\n", "bad.csv": content} if content[:1] not in b"[{" else {"bad": content})
    assert not isinstance(found, Inferred)
    (broken,) = found
    assert broken.name.startswith("bad")
    assert rule in {v.rule for v in broken.violations}


def test_a_fault_is_told_at_the_column_as_the_file_spells_it() -> None:
    found = outcome({"rows.csv": b'No,Said\n1,x\n2,he "said"\n'})
    assert not isinstance(found, Inferred)
    assert [(v.rule, v.line, v.column) for v in found[0].violations] == [(Rule.BARE_QUOTE, 3, "Said")]


def test_files_without_rows_prove_nothing() -> None:
    _, text = inferred({"rows.csv": b"id,b\n"})
    assert "# CHECK: the files have no row" in text
    assert "Proven" not in text
    assert "Never null" not in text


def test_an_encoding_is_never_guessed_and_may_be_told() -> None:
    content = "a,b\n1,é\n".encode("cp1252")
    found = outcome({"rows.csv": content})
    assert not isinstance(found, Inferred)
    assert "windows-1252" in found[0].violations[0].message
    dataset, _ = inferred({"rows.csv": content}, encoding="cp1252")
    assert [row["b"] for row in rows(dataset, content)] == ["é"]


def test_a_key_is_suggested_only_when_every_row_proves_it() -> None:
    many = "id,pair,half,z\n" + "".join(f"{i},{i % 100},{i // 100},x\n" for i in range(5_000))
    assert "primary_key: [id]  - a promise" in of_csv(many)[1]
    repeated = many + "4999,1,1,x\n"
    assert "primary_key: [id]" not in of_csv(repeated)[1]
    pairs = "\n".join(line.split(",", 1)[1] for line in many.splitlines())
    assert "primary_key: [pair, half]  - a promise" in of_csv(pairs + "\n")[1]


def test_a_key_that_repeats_over_files_is_said_to() -> None:
    _, text = inferred({"d/2024-01-01.csv": b"id,b\n1,x\n2,x\n", "d/2024-01-02.csv": b"id,b\n2,x\n3,x\n"})
    assert (
        "primary_key: [id]  - a promise you could make: never null and unique within each file, but not over all"
        in text
    )


def test_the_file_says_that_it_was_proven() -> None:
    _, text = inferred({"d/2024-01-01.csv": b"a,b\n1,x\n", "d/2024-01-02.csv": b"a,b\n2,x\n3,x\n"})
    assert "# Proven: read again under this contract, 2 files with 3 rows were accepted" in text
