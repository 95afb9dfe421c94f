"""The reference pages are those of the code, the schema agrees with the loader, and what the docs show loads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pipelines.contracts.json_schema import dataset_json_schema
from pipelines.contracts.loading import BrokenDataset, parse_dataset
from pipelines.contracts.model import Dataset
from pipelines.contracts.reference import SAMPLE, pages
from pipelines.contracts.rule_pages import GROUPS
from pipelines.contracts.yaml_source import read_yaml
from pipelines.reading.violations import Rule

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
VALID = sorted((REPOSITORY / "assets" / "datasets").glob("*.yaml"))
# Cases of `broken/` whose fault is one of shape: an editor with the schema shows it too.
SHAPES = ["expectations", "format_without_type", "freshness_as_text", "key_of_csv_on_json", "no_columns", "nothing_required",
          "overlapping_items", "policies", "root_is_a_list", "types", "unknown_format", "unknown_keys",
          "yaml_values_that_are_not_text"]  # fmt: skip


@pytest.mark.parametrize("name", list(pages()))
def test_the_committed_page_is_generated_from_the_code(name: str) -> None:
    committed = (DOCS / name).read_text(encoding="utf-8")
    assert committed == pages()[name], "run `python -m pipelines.contracts.reference`"


def test_every_key_of_the_model_is_described() -> None:
    page = pages()["reference/dataset.md"]
    assert "|  |" not in page
    for row in re.findall(r"^\| `.*$", page, re.MULTILINE):
        assert row.rstrip(" |").strip(), row


def test_every_rule_has_its_section_with_an_example() -> None:
    page = pages()["reference/rules.md"]
    for rule in Rule:
        assert f"\n## {rule.value}\n" in page


def test_every_rule_stands_once_among_the_reasons_for_quarantine() -> None:
    assert sorted(rule for group in GROUPS for rule in group.rules) == sorted(Rule)
    page = pages()["what-is-quarantined.md"]
    for rule in Rule:
        assert page.count(f"(reference/rules.md#{rule.value})") == 1


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = dataset_json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("path", VALID, ids=lambda p: p.name)
def test_the_schema_accepts_what_the_loader_accepts(path: Path, validator: Draft202012Validator) -> None:
    assert [e.message for e in validator.iter_errors(read_yaml(path.read_bytes()).data)] == []


def test_the_schema_accepts_the_worked_example_and_it_loads(validator: Draft202012Validator) -> None:
    assert [e.message for e in validator.iter_errors(read_yaml(SAMPLE.encode()).data)] == []
    outcome = parse_dataset(SAMPLE.encode(), Path("orders.yaml"))
    assert isinstance(outcome, Dataset), str(outcome)


@pytest.mark.parametrize("case", SHAPES)
def test_the_schema_refuses_what_has_the_wrong_shape(case: str, validator: Draft202012Validator) -> None:
    (file,) = [p for p in (Path(__file__).parent / "broken" / case).iterdir() if p.name != "expected.txt"]
    assert not validator.is_valid(read_yaml(file.read_bytes()).data)


def test_the_schema_is_json_without_references_outside() -> None:
    text = json.dumps(dataset_json_schema())
    assert all(reference.startswith("#/$defs/") for reference in re.findall(r'"\$ref": "([^"]*)"', text))


def yaml_blocks(page: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def test_datasets_shown_in_the_how_to_load() -> None:
    whole = [block for block in yaml_blocks("adding-a-dataset.md") if block.startswith("name:")]
    assert whole
    for block in whole:
        name = block.split("\n", 1)[0].removeprefix("name:").strip()
        outcome = parse_dataset(block.encode(), Path(f"{name}.yaml"))
        assert isinstance(outcome, Dataset), str(outcome)


def test_parts_shown_in_the_how_to_fit_into_its_dataset() -> None:
    blocks = yaml_blocks("adding-a-dataset.md")
    whole = next(block for block in blocks if block.startswith("name:"))
    name = whole.split("\n", 1)[0].removeprefix("name:").strip()
    parts = [block for block in blocks if not block.startswith("name:")]
    assert parts
    for part in parts:
        outcome = parse_dataset(_merged(whole, part).encode(), Path(f"{name}.yaml"))
        assert isinstance(outcome, Dataset), f"{part}\n{outcome}"


def test_faults_shown_in_the_how_to_are_those_of_the_file_it_shows() -> None:
    text = (DOCS / "adding-a-dataset.md").read_text(encoding="utf-8")
    whole = next(block for block in yaml_blocks("adding-a-dataset.md") if block.startswith("name:"))
    shown = re.findall(r"^(assets/datasets/\S+\.yaml:\d+: .*)$", text, re.MULTILINE)
    assert shown
    broken = whole.replace("type: bigint", "type: integer").replace("nullable", "nulable", 1)
    outcome = parse_dataset(broken.encode(), Path("assets/datasets/orders.yaml"))
    assert isinstance(outcome, BrokenDataset)
    assert shown == [str(fault) for fault in outcome.faults]


def _merged(whole: str, part: str) -> str:
    """The dataset with the part's top-level keys in place of its own; columns are added to those there are."""
    into, new = read_yaml(whole.encode()).data, read_yaml(part.encode()).data
    for key, value in new.items():
        into[key] = {**into[key], **value} if key in ("columns", "landing") else value
    return json.dumps(into)
