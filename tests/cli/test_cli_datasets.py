"""`lakegate datasets check|list|show`: every fault with its line, and one broken file takes no other down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import ORDERS, inside, lakegate


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "assets" / "datasets"
    folder.mkdir(parents=True)
    (folder / "orders.yaml").write_text(ORDERS)
    (folder / "broken.yaml").write_text("name: broken\ndescription: 7\nlanding: {key: nowhere}\nformat: {type: xml}\n")
    monkeypatch.delenv("LAKEGATE_DATASETS", raising=False)
    with inside(tmp_path):
        yield folder


def test_check_lists_every_fault_with_file_line_key_and_remedy(here: Path) -> None:
    answer = lakegate("datasets", "check")
    assert answer.code == 2
    lines = answer.out.splitlines()
    assert lines[0].startswith("good   orders: 4 columns, landing/orders/")
    assert lines[1].startswith("wrong  ")
    assert lines[1].endswith(f"broken.yaml: {len(lines) - 2} faults")
    assert all("broken.yaml:" in line for line in lines[2:])
    assert any("broken.yaml:4:" in line and "xml" in line for line in lines[2:])


def test_check_answers_in_json(here: Path) -> None:
    answer = lakegate("datasets", "check", "--json")
    assert answer.code == 2
    assert answer.json["good"] == ["orders"]
    [broken] = answer.json["broken"]
    assert broken["file"].endswith("broken.yaml")
    assert {"line", "column", "key", "found", "expected", "remedy"} == set(broken["faults"][0])


def test_check_of_single_files_looks_at_those_alone(here: Path) -> None:
    assert lakegate("datasets", "check", here / "orders.yaml").code == 0
    answer = lakegate("datasets", "check", here / "broken.yaml", here / "missing.yaml")
    assert answer.code == 2
    assert "missing.yaml" in answer.out
    assert "orders.yaml" not in answer.out


def test_two_datasets_that_claim_the_same_keys_are_both_wrong(here: Path) -> None:
    (here / "broken.yaml").unlink()
    (here / "sales.yaml").write_text(ORDERS.replace("name: orders", "name: sales"))
    answer = lakegate("datasets", "check")
    assert answer.code == 2
    assert answer.out.count("shares keys with") == 2


def test_list_shows_the_good_and_the_broken(here: Path) -> None:
    answer = lakegate("datasets", "list")
    assert answer.code == 0
    rows = answer.out.splitlines()
    assert any(row.startswith("orders") and "landing/orders/" in row and "csv" in row for row in rows)
    assert any(row.startswith("broken") and "run `lakegate datasets check`" in row for row in rows)
    document = lakegate("datasets", "list", "--json").json
    assert document["datasets"] == [
        {"name": "orders", "landing": "landing/orders/{day:%Y-%m-%d}.csv", "format": "csv", "columns": 4}
    ]
    assert [Path(path).name for path in document["broken"]] == ["broken.yaml"]


def test_show_tells_columns_rules_and_the_contract(here: Path) -> None:
    answer = lakegate("datasets", "show", "orders")
    assert answer.code == 0
    assert "Orders of a shop" in answer.out
    assert any(line.split() == ["amount", "decimal(10,2)", "yes"] for line in answer.out.splitlines())
    assert "_source_file" in answer.out
    document = lakegate("datasets", "show", "orders", "--json").json
    assert document["dataset"]["name"] == "orders"
    assert document["fingerprint"] in answer.out


def test_a_broken_dataset_is_told_by_name_with_its_faults(here: Path) -> None:
    for command in (["datasets", "show", "broken"], ["validate", here / "orders.yaml", "-d", "broken"]):
        answer = lakegate(*command)
        assert (answer.code, answer.out) == (2, "")
        assert "broken.yaml is wrong:" in answer.err
        assert "broken.yaml:4" in answer.err


def test_a_good_dataset_works_beside_a_broken_one(here: Path) -> None:
    Path("2026-02-01.csv").write_bytes(b"id,amount,note\n1,1,\n")
    assert lakegate("validate", "2026-02-01.csv", "-d", "orders").code == 0


def test_the_folder_can_be_named(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sales.yaml").write_text(ORDERS.replace("orders", "sales"))
    monkeypatch.setenv("LAKEGATE_DATASETS", str(other))
    assert lakegate("datasets", "list", "--json").json["datasets"][0]["name"] == "sales"


def test_the_datasets_of_the_project_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEGATE_DATASETS", str(Path(__file__).parents[2] / "assets" / "datasets"))
    answer = lakegate("datasets", "check")
    assert (answer.code, "wrong" in answer.out) == (0, False)
