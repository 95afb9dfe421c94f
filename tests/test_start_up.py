"""What each door imports, and what it must not: a heavy library is loaded where it is used, and by nobody else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import GOOD, ORDERS

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {
    "awswrangler",
    "boto3",
    "botocore",
    "dagster",
    "duckdb",
    "great_expectations",
    "obstore",
    "pandas",
    "pyiceberg",
    "sqlglot",
}
AWS = {"boto3", "botocore"}


def _run(program: str, folder: Path | None = None) -> tuple[set[str], float]:
    """The packages that a program had imported at its end, and the CPU seconds of it and its children."""
    before = os.times()
    told = f"{program}\nimport sys\nprint('loaded', *sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=False,
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    after = os.times()
    assert run.returncode == 0, run.stderr
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return set(run.stdout.rpartition("loaded ")[2].split()), spent


def _command(*arguments: str) -> str:
    return f"""
import sys
from lakegate.cli.main import main
sys.argv = ["lakegate", *{arguments!r}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "orders.yaml").write_text(ORDERS)
    (tmp_path / "2026-01-02.csv").write_bytes(GOOD)
    return tmp_path


def test_the_help_imports_nothing_heavy() -> None:
    loaded, _ = _run(_command("--help"))
    assert not loaded & (HEAVY | {"numpy", "pyarrow", "pydantic", "ruamel"})


def test_validate_imports_arrow_and_the_contract_alone(shop: Path) -> None:
    loaded, _ = _run(_command("validate", "2026-01-02.csv", "--dataset", "./orders.yaml"), shop)
    assert not loaded & HEAVY


def test_convert_imports_the_tables_and_no_aws(shop: Path) -> None:
    loaded, _ = _run(_command("convert", "2026-01-02.csv", "--dataset", "./orders.yaml", "--out", "out"), shop)
    assert loaded & HEAVY == {"pyiceberg"}


def test_checking_a_dataset_file_imports_no_aws(shop: Path) -> None:
    loaded, _ = _run(_command("datasets", "check", "orders.yaml"), shop)
    assert not loaded & HEAVY


@pytest.mark.parametrize("module", ["pipelines.ingest", "pipelines.reading.reader", "pipelines.intake.dispatching"])
def test_the_core_imports_nothing_heavy(module: str) -> None:
    loaded, _ = _run(f"import {module}")
    assert not loaded & HEAVY


def test_the_definitions_import_dagster_and_no_other_heavy_library() -> None:
    loaded, _ = _run("import lakegate.definitions\nassert lakegate.definitions.defs")
    assert loaded & HEAVY <= {"dagster"}


def test_the_doors_open_in_time(shop: Path) -> None:
    """Against what importing Arrow and importing Dagster cost now on this machine: a busy one is slow for all of them."""
    validate = _command("validate", "2026-01-02.csv", "--dataset", "./orders.yaml")
    arrow = min(_run("import pyarrow")[1] for _ in range(3))
    assert min(_run(_command("--help"))[1] for _ in range(2)) < 3 * arrow
    assert min(_run(validate, shop)[1] for _ in range(2)) < 13 * arrow
    dagster = min(_run("import dagster")[1] for _ in range(2))
    assert min(_run("import lakegate.definitions\nassert lakegate.definitions.defs")[1] for _ in range(2)) < 5 * dagster
