"""GitHub's events in the ways nested JSON can become a table, each cell as Python's own json has it.

One array of 100 objects with seven sets of keys; structs in structs, arrays of structs, keys such as `+1`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipelines.contracts.model import Dataset
from pipelines.contracts.nested_types import MEMBER_NAME
from pipelines.reading.child import ChildReader
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest, ReadSummary
from tests.reading.support import RowList, dataset, shared

Reading = Callable[[Dataset, bytes], tuple[list[dict[str, Any]], ReadSummary]]
READERS = ["child", "blocks of 1,000 bytes", "whole"]


@pytest.fixture(scope="module")
def content() -> bytes:
    return shared("feeds/github_issue_events/github_issue_events.json").read_bytes()


@pytest.fixture(params=READERS)
def reading(request: pytest.FixtureRequest) -> Iterator[Reading]:
    child = ChildReader() if request.param == "child" else None
    block_bytes = 1_000 if request.param == READERS[1] else 4 << 20
    reader = child or InProcessReader(block_bytes)

    def run(of: Dataset, content: bytes) -> tuple[list[dict[str, Any]], ReadSummary]:
        sink = RowList()
        return sink.rows, reader.read(ReadRequest(of, len(content), {}), lambda: [content], sink)

    yield run
    if child is not None:
        child.close()


def type_of(values: list[Any]) -> str:
    """A type that holds all these values, as a person would write it."""
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if kinds == {dict}:
        keys = dict.fromkeys(key for value in present for key in value)
        if all(re.fullmatch(MEMBER_NAME, key) for key in keys):
            members = (f"{key}: {type_of([value.get(key) for value in present])}" for key in keys)
            return f"struct<{', '.join(members)}>"
        return "json"
    if kinds == {list}:
        return f"array<{type_of([item for value in present for item in value])}>"
    return {frozenset({str}): "string", frozenset({bool}): "boolean", frozenset({int}): "bigint"}.get(
        frozenset(kinds), "json"
    )


def agrees(found: Any, value: Any) -> bool:
    """Whether a cell holds a JSON value: members that an object lacks are null, what no struct can hold is JSON text."""
    if isinstance(value, dict) and isinstance(found, dict):
        return value.keys() <= found.keys() and all(agrees(cell, value.get(key)) for key, cell in found.items())
    if isinstance(value, list) and isinstance(found, list):
        return len(found) == len(value) and all(map(agrees, found, value))
    if isinstance(value, dict | list) and isinstance(found, str):
        return bool(json.loads(found) == value)
    return type(found) is type(value) and found == value


def test_as_structs_and_arrays(reading: Reading, content: bytes) -> None:
    events = json.loads(content)
    keys = dict.fromkeys(key for event in events for key in event)
    columns = {key: {"type": type_of([event.get(key) for event in events])} for key in keys}
    assert columns["issue"]["type"].count("struct<") >= 4
    rows, summary = reading(dataset(columns, "json"), content)
    assert summary.violations == ()
    assert len(rows) == len(events) == 100
    for row, event in zip(rows, events, strict=True):
        assert {key for key in keys if not agrees(row[key], event.get(key))} == set()


def test_flattened_by_path(reading: Reading, content: bytes) -> None:
    columns = {
        "id": {"type": "bigint", "nullable": False},
        "happened_at": {"type": "timestamp", "path": "$.created_at", "nullable": False},
        "login": {"type": "string", "path": "$.actor.login"},
        "is_admin": {"type": "boolean", "path": "$.actor.site_admin"},
        "number": {"type": "int", "path": "$.issue.number"},
        "first_label": {"type": "string", "path": "$.issue.labels[0].name"},
        "thumbs": {"type": "int", "path": '$.issue.reactions["+1"]'},
        "renamed_from": {"type": "string", "path": "$.rename.from"},
        "reactions": {"type": "json", "path": "$.issue.reactions"},
        "event": {"type": "string"},
    }
    roots = {"created_at", "actor", "issue", "rename", "id", "event"}
    events = json.loads(content)
    of = dataset(columns, "json", schema={"new_columns": "rescue"})
    rows, summary = reading(of, content)
    assert summary.violations == ()
    for row, event in zip(rows, events, strict=True):
        issue, labels = event["issue"], event["issue"]["labels"]
        assert row["happened_at"].strftime("%Y-%m-%dT%H:%M:%SZ") == event["created_at"]
        assert json.loads(row["reactions"]) == issue["reactions"]
        assert {name: row[name] for name in columns if name not in ("happened_at", "reactions")} == {
            "id": event["id"],
            "login": event["actor"]["login"],
            "is_admin": event["actor"]["site_admin"],
            "number": issue["number"],
            "first_label": labels[0]["name"] if labels else None,
            "thumbs": issue["reactions"]["+1"],
            "renamed_from": (event.get("rename") or {}).get("from"),
            "event": event["event"],
        }
        told = {entry["column"]: entry["value"] for entry in json.loads(row["_rescued"])}
        rest = {key: value for key, value in event.items() if key not in roots}
        for root, picked in (
            ("actor", ("login", "site_admin")),
            ("issue", ("number", "reactions")),
            ("rename", ("from",)),
        ):
            rest |= {f"$.{root}.{key}": v for key, v in (event.get(root) or {}).items() if key not in picked}
        if rest["$.issue.labels"] == []:
            del rest["$.issue.labels"]  # nothing is left of it
        assert told == rest


def test_exploded_over_its_labels(reading: Reading, content: bytes) -> None:
    columns = {
        "id": {"type": "bigint"},
        "login": {"type": "string", "path": "$.actor.login"},
        "position": {"type": "int", "path": "$.issue.labels[*]#"},
        "label": {"type": "string", "path": "$.issue.labels[*].name"},
        "is_default": {"type": "boolean", "path": "$.issue.labels[*].default"},
        "whole": {"type": "struct<id: bigint, color: string>", "path": "$.issue.labels[*]"},
    }
    events = json.loads(content)
    form = {"type": "json", "explode": "$.issue.labels[*]"}
    rows, summary = reading(dataset(columns, form, schema={"new_columns": "rescue"}), content)
    assert summary.violations == ()
    expected: list[tuple[Any, ...]] = []
    for event in events:
        for position, label in enumerate(event["issue"]["labels"]):
            whole = {"id": label["id"], "color": label["color"]}
            expected.append((event["id"], event["actor"]["login"], position, label["name"], label["default"], whole))
        if not event["issue"]["labels"]:
            expected.append((event["id"], event["actor"]["login"], None, None, None, None))
    assert [tuple(row[name] for name in columns) for row in rows] == expected
    assert summary.rows_read == len(expected) > 100
    lines = content.decode().split("\n")
    for row in rows:
        if row["position"] is not None:
            assert lines[row["_source_line"] - 1].strip() == "{"
            assert f'"id": {row["whole"]["id"]},' in lines[row["_source_line"]]


def test_as_json_text(reading: Reading, content: bytes) -> None:
    events = json.loads(content)
    of = dataset({"id": {"type": "bigint"}, "issue": {"type": "json"}}, "json", schema={"new_columns": "rescue"})
    rows, summary = reading(of, content)
    assert summary.violations == ()
    assert [(row["id"], json.loads(row["issue"])) for row in rows] == [(e["id"], e["issue"]) for e in events]
