"""The examples of docs/nested-json.md: each contract makes those rows of that file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.reading.support import dataset, read

PAGE = Path(__file__).resolve().parents[2] / "docs" / "nested-json.md"
EXAMPLES = re.findall(r"## ([^\n]+)\n\n```yaml\n(.*?)```\n\n```json\n(.*?)```\n\n```json\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)  # fmt: skip


def test_there_is_an_example_of_every_way() -> None:
    assert [title for title, *_ in EXAMPLES] == [
        "Kept as JSON text",
        "As struct, array and map columns",
        "Flattened by path",
        "Exploded into rows",
        "Records under a path",
    ]


@pytest.mark.parametrize(("title", "contract", "content", "shown"), EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_an_example_makes_the_rows_it_shows(title: str, contract: str, content: str, shown: str) -> None:
    del title
    said = YAML(typ="safe").load(contract)
    rows, summary = read(dataset(said["columns"], said["format"]), content.encode())
    assert summary.violations == ()
    for row in rows:
        del row["_source_line"]
    assert json.loads(json.dumps(rows, default=str)) == [json.loads(line) for line in shown.splitlines()]
