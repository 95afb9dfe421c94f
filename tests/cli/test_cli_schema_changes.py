"""`validate` and `convert` say what a table would need to hold a file, and what of the file fits nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.cli.command import inside, lakegate

ORDERS = """
name: orders
description: Orders.
landing: {key: "landing/orders/*.csv", start: 2024-01-01}
format: {type: csv}
columns:
  id: {type: int, nullable: false}
  amount: {type: "decimal(5,2)"}
schema: {new_columns: add, missing_columns: allow, type_changes: widen_or_rescue}
"""
TOLD = """accepted  a.csv: 2 rows
          new column gate_no for Gate No.
          column id becomes bigint
          1 value rescued: amount 1
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "orders.yaml").write_text(ORDERS)
    (tmp_path / "a.csv").write_text("id,amount,Gate No.\n1,1.50,A7\n5000000000,heavy,B8\n")
    (tmp_path / "b.csv").write_text("Gate No.,id\nC9,7\n")
    with inside(tmp_path):
        yield tmp_path


def test_validate_tells_what_the_table_would_become(here: Path) -> None:
    answer = lakegate("validate", "a.csv", "-d", "orders.yaml")
    assert (answer.code, answer.out) == (0, TOLD)
    [file] = json.loads(lakegate("validate", "a.csv", "-d", "orders.yaml", "--json").out)["files"]
    assert file["columns_added"] == {"Gate No.": "gate_no"}
    assert file["types_widened"] == {"id": "bigint"}
    assert file["values_rescued"] == {"amount": 1}
    assert not (here / "processed").exists()


def test_convert_lets_the_folders_table_grow(here: Path) -> None:
    answer = lakegate("convert", "a.csv", "-d", "orders.yaml", "--out", "lake")
    assert (answer.code, answer.out) == (0, TOLD)
    answer = lakegate("convert", "b.csv", "-d", "orders.yaml", "--out", "lake")
    assert (answer.code, answer.out) == (0, "accepted  b.csv: 1 row\n")
    files = [str(path) for path in (here / "lake/processed/orders/data").rglob("*.parquet")]
    rows = duckdb.connect().execute(
        "SELECT id, amount, gate_no FROM read_parquet($1, union_by_name=true) ORDER BY id", [files]
    )
    assert [(r[0], str(r[1]), r[2]) for r in rows.fetchall()] == [
        (1, "1.50", "A7"),
        (7, "None", "C9"),
        (5_000_000_000, "None", "B8"),
    ]


def test_a_rejected_file_tells_its_faults_alone(here: Path) -> None:
    (here / "c.csv").write_text("id,amount,Gate No.\nx,1.50,A7\n")
    answer = lakegate("validate", "c.csv", "-d", "orders.yaml")
    assert answer.code == 1
    assert "new column" not in answer.out
