"""Hostile partition values, from the file to the folder and back: none shapes a path, all read back as they are."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from pipelines.contracts.loading import load_dataset
from pipelines.contracts.model import Dataset
from resources.folder import folder_tables
from tests.cli.command import inside, lakegate

CONTRACT = """
name: hostile
description: Rows whose partition values want to be paths.
landing: {key: "landing/hostile/*", start: 2024-01-01}
format: {type: json}
columns:
  n: {type: int}
  part: {type: string}
  kind: {type: string}
partition_by: [part]
"""
VALUES = [
    "/", "=", "..", ".", "../..", "../../../etc/passwd", "/etc/passwd", "a/b=c", "a=b", "part=x", "", " ", "\x00", "a\x00b",
    "__HIVE_DEFAULT_PARTITION__", "null", "NULL", "None", "NaN", "%2F", "%00", "+", "a b", "a+b", "a%20b", "é", "e\u0301",
    "😀", "\u202e", "\u200f", "a" * 300, "a" * 300 + "b", "line\nbreak", "\r\n", "\ttab", "'; drop table hostile; --", "\\",
    "\\\\server\\share", "CON", "NUL.txt", "*", "?", "[a]", "{a}", "$(id)", "`id`", "<script>", "=1+1", "-", "~", "#", "a.parquet",
    "metadata", "data", "!", "a!b", "\ufeff", "\x7f", "\x1b[31m", "\ud7ff", "٣", "A", "a",
]  # fmt: skip


@pytest.fixture
def converted(tmp_path: Path) -> tuple[Path, Dataset]:
    """The values of a file, converted into a folder."""
    (tmp_path / "hostile.yaml").write_text(CONTRACT, "utf-8")
    rows = [{"n": n, "part": value, "kind": "row"} for n, value in enumerate(VALUES)]
    (tmp_path / "rows.json").write_text(json.dumps(rows), "utf-8")
    with inside(tmp_path):
        answer = lakegate("convert", "rows.json", "-d", "hostile.yaml", "--out", "out")
        assert answer.code == 0, answer.out
    loaded = load_dataset(tmp_path / "hostile.yaml")
    assert isinstance(loaded, Dataset)
    return tmp_path, loaded


def test_no_value_shapes_a_path(converted: tuple[Path, Dataset]) -> None:
    folder, _ = converted
    data = folder / "out" / "processed" / "hostile" / "data"
    found = [p for p in folder.rglob("*.parquet") if p.is_file()]
    assert {p.parent.parent for p in found} == {data}
    folders = {p.parent.name for p in found}
    assert len(folders) == len(VALUES)
    for name in folders:
        assert name.startswith("part=")
        assert name.isascii()
        assert name.isprintable()
        assert not set(name[len("part=") :]) & set("/\\= \"'<>$`*?{}[]|")
        assert ".." not in name
        assert len(name) <= 200
    assert not list(folder.parent.glob("etc*"))


def test_values_read_back_as_they_are_in_pyiceberg(converted: tuple[Path, Dataset]) -> None:
    folder, dataset = converted
    table = folder_tables(folder / "out").load(dataset)
    rows = table.scan().to_arrow().select(["n", "part"]).to_pylist()
    assert {row["n"]: row["part"] for row in rows} == dict(enumerate(VALUES))
    assert sorted(task.file.partition[0] for task in table.scan().plan_files()) == sorted(VALUES)
    for value in ("__HIVE_DEFAULT_PARTITION__", "", "null", "../..", "\x00", "a" * 300 + "b"):
        from pyiceberg.expressions import EqualTo

        found = table.scan(row_filter=EqualTo(term="part", literal=value)).to_arrow().column("n").to_pylist()
        assert found == [VALUES.index(value)]


@pytest.mark.parametrize("hive", ["false", "true"])
def test_values_read_back_as_they_are_in_duckdb(converted: tuple[Path, Dataset], hive: str) -> None:
    folder, _ = converted
    files = f"{folder}/out/processed/hostile/data/**/*.parquet"
    read = f"read_parquet(?, hive_partitioning={hive}, hive_types_autocast=false)"
    rows = duckdb.execute(f"SELECT n, part FROM {read} ORDER BY n", [files]).fetchall()
    cut = {n for n, value in enumerate(VALUES) if hive == "true" and len(value) > 150}  # a cut path tells no value
    assert {n: v for n, v in rows if n not in cut} == {n: v for n, v in enumerate(VALUES) if n not in cut}


def test_a_million_different_values_are_a_limit_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "hostile.yaml").write_text(CONTRACT.replace("json}", "jsonl}"), "utf-8")
    with (tmp_path / "rows.jsonl").open("w") as file:
        file.writelines(f'{{"n": {n}, "part": "p{n}", "kind": ""}}\n' for n in range(1_000_000))
    with inside(tmp_path):
        answer = lakegate("convert", "rows.jsonl", "-d", "hostile.yaml", "--out", "out", "--json")
    assert answer.code == 1
    (file,) = answer.json["files"]
    assert [v["rule"] for v in file["violations"]] == ["partition_count"]
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_null_partition_value_is_a_violation(tmp_path: Path) -> None:
    (tmp_path / "hostile.yaml").write_text(CONTRACT, "utf-8")
    (tmp_path / "rows.json").write_text('[{"n": 1, "part": null, "kind": ""}]', "utf-8")
    with inside(tmp_path):
        answer = lakegate("convert", "rows.json", "-d", "hostile.yaml", "--out", "out", "--json")
    assert [v["rule"] for v in answer.json["files"][0]["violations"]] == ["partition_null"]
