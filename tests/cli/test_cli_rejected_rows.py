"""`validate` and `convert` of a file some of whose rows are bad, where the contract rejects them one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.cli.command import GOOD, ORDERS, inside, lakegate, tree

MIXED = b"id,amount,note\n1,1.50,a\n2,much,b\nx,3,c\n4,4.50,d\n"
CONVERT = ("convert", "-d", "orders.yaml", "--out", "out")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "orders.yaml").write_text(ORDERS + "rows: {on_bad: quarantine_rows, max_bad: 2}\n")
    (tmp_path / "2026-02-01.csv").write_bytes(MIXED)
    (tmp_path / "2026-02-02.csv").write_bytes(MIXED + b"5,more,e\n")
    with inside(tmp_path):
        yield tmp_path


def rejected() -> list[dict[str, Any]]:
    """What somebody sees who knows nothing of Iceberg."""
    files = sorted(Path("out/rejected/orders/data").rglob("*.parquet"))
    rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    return sorted(rows, key=lambda row: (row["_source_file"], row["_source_line"]))


def test_validate_accepts_the_good_rows_and_names_the_bad_ones(here: Path) -> None:
    before = tree(here)
    answer = lakegate("validate", "-d", "orders.yaml", "2026-02-01.csv")
    assert answer.code == 0
    first, *others = answer.out.splitlines()
    assert first == "accepted  2026-02-01.csv: 2 rows in day=2026-02-01, 2 rows rejected"
    assert [line.split(":")[:3] for line in others] == [
        ["          2026-02-01.csv", "3", "amount"],
        ["          2026-02-01.csv", "4", "id"],
    ]
    assert tree(here) == before


def test_one_bad_row_more_rejects_the_file(here: Path) -> None:
    answer = lakegate("validate", "-d", "orders.yaml", "2026-02-02.csv")
    assert answer.code == 1
    assert answer.out.startswith("rejected  2026-02-02.csv: 4 faults in 5 rows read\n")
    assert 'found "3 bad rows of 5", expected at most 2, by rows.max_bad.' in answer.out


def test_its_json_counts_rejected_rows_and_convert_says_the_same(here: Path) -> None:
    names = ["2026-02-01.csv", "2026-02-02.csv"]
    validated = lakegate("validate", "-d", "orders.yaml", "--json", *names)
    assert validated.code == 1
    counts = ("verdict", "rows_read", "rows_accepted", "rows_rejected", "violations_total")
    assert [[file[name] for name in counts] for file in validated.json["files"]] == [
        ["accepted", 4, 2, 2, 2],
        ["rejected", 5, 0, 5, 4],
    ]
    assert [v["rule"] for v in validated.json["files"][0]["violations"]] == ["type", "type"]
    assert lakegate(*CONVERT, "--json", *names).json == validated.json


def test_convert_puts_the_bad_rows_beside_the_good_ones_and_takes_them_away_with_their_version(here: Path) -> None:
    assert lakegate(*CONVERT, "2026-02-01.csv").code == 0
    assert [(row["_source_line"], row["raw"], row["rules"]) for row in rejected()] == [
        (3, "2,much,b", "type"),
        (4, "x,3,c", "type"),
    ]
    [reason] = json.loads(rejected()[0]["reasons"])
    assert (reason["column"], reason["found"]) == ("amount", "much")
    [loaded] = Path("out/processed/orders/data").rglob("*.parquet")
    assert pq.ParquetFile(loaded).read()["id"].to_pylist() == [1, 4]

    assert lakegate(*CONVERT, "2026-02-02.csv").code == 1
    assert len(rejected()) == 2, "of a rejected file there is no rejected row"

    Path("2026-02-01.csv").write_bytes(GOOD)
    assert lakegate(*CONVERT, "2026-02-01.csv").code == 0
    assert rejected() == []
