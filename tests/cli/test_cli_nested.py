"""Nested files through the command line: checked, converted, converted again; read by two readers that share no code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from tests.cli.command import inside, lakegate

TRAIL = """
name: trail
description: Events of an account, some minutes in each file.
landing: {key: "landing/trail/*.json", start: 2026-01-01}
format: {type: json, records: "$.Records[*]", explode: "$.resources[*]"}
columns:
  event_id: {type: string, source: eventID, nullable: false}
  identity: {type: "struct<type: string, sessions: array<struct<id: string, cost: decimal(8,3)>>>", source: userIdentity}
  tags:     {type: "map<string, string>"}
  arn:      {type: string, path: "$.resources[*].ARN"}
  number:   {type: int, path: "$.resources[*]#"}
schema: {missing_columns: allow}
"""


def event(name: str, **more: Any) -> dict[str, Any]:
    return {"eventID": name, **more}


SESSIONS = {"type": "Role", "sessions": [{"id": "s", "cost": 1.5}, None, {"id": None, "cost": None}]}
FILES = {
    "a.json": [event("a1", userIdentity=SESSIONS, tags={"k": "v", "n": None}, resources=[{"ARN": "x"}, {"ARN": "y"}])],
    "b.json": [event("b1", userIdentity={"type": "Root", "sessions": None}, resources=[]), event("b2", tags={})],
}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "trail.yaml").write_text(TRAIL)
    for name, events in FILES.items():
        (tmp_path / name).write_text(json.dumps({"version": 1, "Records": events}))
    with inside(tmp_path):
        yield tmp_path


def by_duckdb() -> list[tuple[Any, ...]]:
    path = "out/processed/trail/data/**/*.parquet"
    asked = f"SELECT event_id, number, arn, identity, tags FROM read_parquet('{path}') ORDER BY event_id, number"
    return duckdb.sql(asked).fetchall()


def by_polars() -> list[dict[str, Any]]:
    files = sorted(Path("out/processed/trail/data").rglob("*.parquet"))
    return pl.concat([pl.read_parquet(file) for file in files]).sort("event_id", "number").to_dicts()


NULL_SESSIONS = ("b1", None, None, {"type": "Root", "sessions": None}, None)


def test_nested_files_become_nested_columns_and_stay_so_when_a_neighbour_is_replaced(here: Path) -> None:
    answer = lakegate("convert", "-d", "trail.yaml", "--out", "out", "a.json", "b.json")
    assert answer.code == 0, answer.out
    sessions = [{"id": "s", "cost": Decimal("1.500")}, None, {"id": None, "cost": None}]
    identity = {"type": "Role", "sessions": sessions}
    expected = [
        ("a1", 0, "x", identity, {"k": "v", "n": None}),
        ("a1", 1, "y", identity, {"k": "v", "n": None}),
        NULL_SESSIONS,
        ("b2", None, None, None, {}),
    ]
    assert by_duckdb() == expected
    rows = by_polars()
    assert [row["identity"] for row in rows] == [identity, identity, {"type": "Root", "sessions": None}, None]
    assert rows[0]["tags"] == {"k": "v", "n": None}
    (here / "a.json").write_text(json.dumps({"Records": [event("a9", resources=[{"ARN": "z"}])]}))
    assert lakegate("convert", "-d", "trail.yaml", "--out", "out", "a.json").code == 0
    assert by_duckdb() == [("a9", 0, "z", None, None), NULL_SESSIONS, ("b2", None, None, None, {})]


def test_a_fault_inside_is_told_with_its_path(here: Path) -> None:
    events = [event("c1", userIdentity={"type": "Role", "sessions": [{"id": "s"}, {"cost": 1.0005}]}, resources=[])]
    (here / "c.json").write_text(json.dumps({"Records": events}, indent=1))
    answer = lakegate("validate", "-d", "trail.yaml", "c.json")
    assert answer.code == 1
    assert "c.json:12:identity.sessions.cost: " in answer.out
    assert "at identity.sessions[1].cost" in answer.out


def test_a_dataset_shows_its_nested_types(here: Path) -> None:
    answer = lakegate("datasets", "show", "trail.yaml", "--json")
    assert answer.code == 0
    assert answer.json["dataset"]["columns"]["identity"]["type"] == (
        "struct<type: string, sessions: array<struct<id: string, cost: decimal(8,3)>>>"
    )
    assert "map<string" in lakegate("datasets", "show", "trail.yaml").out
