"""The pages hold to the code: their links lead somewhere, their YAML loads, their commands exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.core import TyperGroup

from lakegate.cli.commands import COMMANDS, load
from pipelines.contracts.loading import parse_dataset
from pipelines.contracts.model import Dataset

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not target.startswith(("http:", "https:", "mailto:"))]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_whole_dataset_on_a_page_loads(page: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        said = YAML(typ="safe").load(block)
        if isinstance(said, dict) and {"name", "landing", "format", "columns"} <= said.keys():
            loaded = parse_dataset(block.encode(), Path(f"{said['name']}.yaml"))
            assert isinstance(loaded, Dataset), str(loaded)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_on_a_page_exists(page: Path) -> None:
    known = set(_commands())
    for line in re.findall(
        r"^ {4}(?:\.venv/bin/)?lakegate ([a-z-]+(?: [a-z]+)?)", page.read_text(encoding="utf-8"), re.MULTILINE
    ):
        first, _, second = line.partition(" ")
        assert first in known or f"{first} {second}" in known, line
        if first in {"datasets", "quarantine"}:
            assert f"{first} {second}" in known, line


def test_every_make_target_on_a_page_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:^ {4}|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"


def test_the_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def _commands() -> Iterator[str]:
    for name in COMMANDS:
        yield name
        command = load(name)
        if isinstance(command, TyperGroup):
            yield from (f"{name} {inner}" for inner in command.commands)
