"""Each string of the Big List of Naughty Strings survives CSV and JSON -> Parquet -> query unchanged: in cells, keys and object names."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import duckdb

from pipelines.contracts.loading import load_dataset
from pipelines.contracts.model import Dataset
from resources.folder import folder_tables
from tests.cli.command import inside, lakegate
from tests.ingest.world import World, dataset
from tests.reading.support import shared

CONTRACT = """
name: naughty
description: Strings that break programs.
landing: {key: "landing/naughty/*", start: 2024-01-01}
format: {type: csv, null_values: []}
columns:
  n: {type: int}
  s: {type: string}
"""
AS_JSON = CONTRACT.replace("{type: csv, null_values: []}", "{type: json}") + "  doc: {type: json}\n"
RESCUING = AS_JSON + "schema: {new_columns: rescue}\n"


def naughty_strings() -> list[str]:
    """All strings of the list that are text."""
    path = shared("conformance/blns/blns.base64.json")
    found: list[str] = []
    for encoded in json.loads(path.read_text("utf-8")):
        try:
            found.append(base64.b64decode(encoded).decode("utf-8"))
        except UnicodeDecodeError:
            continue
    assert len(found) > 450
    return found


def convert(folder: Path, contract: str, content: bytes) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
    """The rows as PyIceberg and as DuckDB have them, after the whole way into a folder."""
    (folder / "naughty.yaml").write_text(contract, "utf-8")
    (folder / "rows").write_bytes(content)
    with inside(folder):
        answer = lakegate("convert", "rows", "-d", "naughty.yaml", "--out", "out")
        assert answer.code == 0, answer.out
    loaded = load_dataset(folder / "naughty.yaml")
    assert isinstance(loaded, Dataset)
    rows = folder_tables(folder / "out").load(loaded).scan().to_arrow().sort_by("n").to_pylist()
    files = f"{folder}/out/processed/naughty/data/**/*.parquet"
    asked = f"SELECT n, s FROM read_parquet('{files}', hive_partitioning=false) ORDER BY n"
    return rows, duckdb.execute(asked).fetchall()


def test_in_cells_of_csv(tmp_path: Path) -> None:
    naughty = naughty_strings()
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([["n", "s"], *([n, s] for n, s in enumerate(naughty))])
    rows, seen = convert(tmp_path, CONTRACT, written.getvalue().encode())
    assert [row["s"] for row in rows] == naughty
    assert [s for _, s in seen] == naughty


def test_in_cells_of_json(tmp_path: Path) -> None:
    naughty = naughty_strings()
    rows, seen = convert(
        tmp_path, AS_JSON, json.dumps([{"n": n, "s": s, "doc": s} for n, s in enumerate(naughty)]).encode()
    )
    assert [row["s"] for row in rows] == naughty
    assert [json.loads(row["doc"]) for row in rows] == naughty
    assert [s for _, s in seen] == naughty


def test_in_keys_within_a_value_of_json(tmp_path: Path) -> None:
    naughty = naughty_strings()
    records = [{"n": n, "s": None, "doc": {s: s, "in": [{s: 1}]}} for n, s in enumerate(naughty)]
    rows, _ = convert(tmp_path, AS_JSON, json.dumps(records).encode())
    assert [json.loads(row["doc"]) for row in rows] == [{s: s, "in": [{s: 1}]} for s in naughty]


def test_in_keys_of_records(tmp_path: Path) -> None:
    from pipelines.reading.headers import normalised

    naughty = [s for s in naughty_strings() if normalised(s) not in ("n", "s", "doc")]
    rows, _ = convert(
        tmp_path, RESCUING, json.dumps([{"n": n, "s": "", "doc": 1, s: s} for n, s in enumerate(naughty)]).encode()
    )
    assert [[(v["column"], v["value"]) for v in json.loads(row["_rescued"])] for row in rows] == [
        [(s, s)] for s in naughty
    ]


def test_as_names_of_columns_of_csv(tmp_path: Path) -> None:
    from pipelines.reading.headers import normalised

    named = {normalised(s): s for s in naughty_strings() if s.strip() and normalised(s) not in ("n", "s", "doc")}
    naughty = list(named.values())[:250]  # a header has a limit of its own
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([["n", "s", *naughty], [1, "", *naughty]])
    rows, _ = convert(tmp_path, CONTRACT + "schema: {new_columns: rescue}\n", written.getvalue().encode())
    assert {v["column"]: v["value"] for v in json.loads(rows[0]["_rescued"])} == {s: s for s in naughty}


def test_what_is_no_text_is_quarantined(tmp_path: Path) -> None:
    (tmp_path / "naughty.yaml").write_text(CONTRACT, "utf-8")
    (tmp_path / "rows").write_bytes(b"n,s\n1,\xc2\n")
    with inside(tmp_path):
        answer = lakegate("validate", "rows", "-d", "naughty.yaml", "--json")
    assert [v["rule"] for v in answer.json["files"][0]["violations"]] == ["encoding"]


def object_names() -> list[str]:
    """The strings as names of objects: without slashes, which are folders, and no longer than S3 allows."""
    found = [s.replace("/", "|") for s in naughty_strings()]
    return list(dict.fromkeys(s for s in found if s and len(s.encode()) < 900 and "\0" not in s))


def test_in_object_names(tmp_path: Path) -> None:
    world = World(datasets=(dataset(CONTRACT),), tables=folder_tables(tmp_path))
    keys = [f"landing/naughty/{name}" for name in object_names()]
    for n, key in enumerate(keys):
        world.put(key, f'n,s\n{n},"x"\n'.encode())
    world.settle_down()
    rows = folder_tables(tmp_path).load(world.datasets[0]).scan().to_arrow().sort_by("n").to_pylist()
    assert [row["_source_file"] for row in rows] == keys
    for path in tmp_path.rglob("*"):
        assert str(path.relative_to(tmp_path)).isascii()
        assert str(path.relative_to(tmp_path)).isprintable()


def test_object_names_never_reach_a_log_line_as_they_are(tmp_path: Path) -> None:
    world = World(datasets=(dataset(CONTRACT),))
    for name in [*object_names()[::7], "a\nINFO forged line", "\x1b[31mred", "\u202egnp.exe", "a\x9b2Jb"]:
        world.put(f"landing/naughty/{name}", b"n,s\nbad,x\n")
    reports = [file for report in world.settle_down() for file in report.files]
    assert len(reports) > 50
    for file in reports:
        assert file.sentence().isprintable()


def test_what_is_wrong_with_them_is_told_in_lines_that_can_be_printed(tmp_path: Path) -> None:
    naughty = [
        *(s for s in naughty_strings() if s.strip()),
        "a'; drop table x--",
        "__proto__",
        "x" * 300,
        "\u202eexe",
        "a\nb",
    ]
    contract = CONTRACT.replace("s: {type: string}", "s: {type: string, allowed: [never]}\n  i: {type: int}")
    (tmp_path / "naughty.yaml").write_text(contract, "utf-8")
    for position, start in enumerate(
        range(0, len(naughty), 90)
    ):  # as names of columns, as values, and as the file's own name
        some = list(dict.fromkeys(naughty[start : start + 90]))
        written = io.StringIO(newline="")
        table = [["n", "s", "i", *(f"{s}{i}" for i, s in enumerate(some))], *([1, s, s, *some] for s in some)]
        csv.writer(written, quoting=csv.QUOTE_ALL).writerows(table)
        name = f"rows {position}\x1b[31m\u202e\n.csv"
        (tmp_path / name).write_bytes(written.getvalue().encode())
        with inside(tmp_path):
            told = lakegate("validate", name, "-d", "naughty.yaml")
            document = lakegate("validate", name, "-d", "naughty.yaml", "--json")
        assert (told.code, document.code) == (1, 1)
        for line in (told.out + told.err + document.out + document.err).split("\n"):
            assert line.isprintable(), ascii(line)
        assert document.json["files"][0]["file"] == name
