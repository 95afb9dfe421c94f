"""docs/security.md holds to the tests: every one it names exists, and every threat in a table names at least one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
THREATS = [
    line
    for table in re.findall(r"\| proved by \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE)
    for line in table.splitlines()
]  # fmt: skip


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_the_page_names_exists(path: str, name: str) -> None:
    assert name in functions_of(path)


def test_every_threat_is_proved_by_a_test() -> None:
    assert len(THREATS) > 50
    assert [line for line in THREATS if not re.search(r"\| `tests/[^|]+::test_\w+` \|$", line)] == []


def test_every_module_that_the_page_names_exists() -> None:
    for path in re.findall(r"\(`([\w/]+\.py)`", PAGE):
        assert (ROOT / path).exists() or (ROOT / "pipelines" / path).exists(), path


def test_all_kinds_of_threat_have_a_chapter() -> None:
    chapters = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert {"What is not defended", "What could not be proved without an account"} <= set(chapters)
