"""Golden cases: each folder under `golden/` is a contract, an input and what must be said about it. Adding one needs no Python.

contract.yaml   the dataset; `name`, `description` and `landing` may be left out
input.*         the file, byte for byte
request.json    optional: key_values (dates written YYYY-MM-DD), size_bytes, landed_at
expected.json   verdict, rows_read, read_complete, new_columns and wider_types (what the table lacked; the file is read again then),
                rows (for accepted files, each value as text), rejected (rows that were left out of an accepted file),
                violations; optional: messages, likely_causes
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipelines.contracts.evolution import extended
from pipelines.contracts.model import Dataset
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest, judge
from tests.reading.support import RowList

CASES = sorted(p.parent for p in (Path(__file__).parent / "golden").glob("*/contract.yaml"))
OPTIONAL = {"messages", "likely_causes"}
LISTED = ("rule", "column", "line", "byte_offset", "found", "count")


def load_contract(path: Path) -> Dataset:
    said: dict[str, Any] = YAML(typ="safe").load(path)
    said.setdefault("name", "golden")
    said.setdefault("description", path.parent.name)
    said.setdefault("landing", {"key": "landing/golden/*", "start": "2024-01-01"})
    return Dataset.model_validate(said)


def outcome(case: Path, block_bytes: int) -> dict[str, Any]:
    """What the reader says about a case, in the form of expected.json."""
    dataset = load_contract(case / "contract.yaml")
    (source,) = case.glob("input.*")
    request_path = case / "request.json"
    asked = json.loads(request_path.read_text("utf-8")) if request_path.exists() else {}
    landed_at = datetime.fromisoformat(asked["landed_at"]) if "landed_at" in asked else None
    request = ReadRequest(dataset, asked.get("size_bytes"), asked.get("key_values", {}), landed_at)
    sink = RowList()
    summary = InProcessReader(block_bytes).read(request, lambda: [source.read_bytes()], sink)
    grown = {"new_columns": summary.new_columns, "wider_types": summary.wider_types}
    verdict = type(judge(dataset, summary)).__name__.lower()
    if summary.changes_table and verdict == "accepted":
        # The table changes first; then the file is read again, and must not ask for more.
        request, sink = replace(request, dataset=extended(dataset, summary.new_columns, summary.wider_types)), RowList()
        summary = InProcessReader(block_bytes).read(request, lambda: [source.read_bytes()], sink)
        assert not summary.changes_table
        verdict = type(judge(dataset, summary)).__name__.lower()
    said: dict[str, Any] = {
        "verdict": verdict,
        "rows_read": summary.rows_read,
        "rows_bad": summary.rows_bad,
        "read_complete": summary.read_complete,
        **{name: dict(changes) for name, changes in grown.items() if changes},
    }
    if verdict == "accepted":
        said["rows"] = [{k: None if v is None else str(v) for k, v in row.items()} for row in sink.rows]
        assert len(sink.rows) + len(sink.rejected) == summary.rows_read
        assert len(sink.rejected) == summary.rows_bad
        if sink.rejected:
            said["rejected"] = sorted(map(rejected_row, sink.rejected), key=lambda row: row["line"])
    said["violations"] = [{name: getattr(v, name) for name in LISTED} for v in summary.violations]
    if summary.warnings:
        said["warnings"] = [{name: getattr(v, name) for name in LISTED} for v in summary.warnings]
    said["messages"] = [v.message for v in (*summary.violations, *summary.warnings)]
    said["likely_causes"] = list(summary.likely_causes)
    for violation in summary.violations:
        assert violation.message.startswith(violation.rule.meaning)
        assert len(violation.found) <= 256
    return json.loads(json.dumps(said))


def rejected_row(row: dict[str, Any]) -> dict[str, Any]:
    """A rejected row with its reasons opened; the words of what was expected are the violations' own."""
    reasons = json.loads(row["reasons"])
    assert row["rules"].split(",") == list(dict.fromkeys(reason["rule"] for reason in reasons))
    told = [{name: reason[name] for name in ("rule", "column", "found")} for reason in reasons]
    assert all(reason["expected"] for reason in reasons)
    return {"line": row["_source_line"], "raw": row["raw"], "reasons": told}


@pytest.mark.parametrize("block_bytes", [4 << 20, 7], ids=["one-block", "tiny-blocks"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden_case(case: Path, block_bytes: int) -> None:
    expected = json.loads((case / "expected.json").read_text("utf-8"))
    said = outcome(case, block_bytes)
    assert {name: said[name] for name in expected.keys() | (said.keys() - OPTIONAL)} == expected
