"""No Parquet of strangers is ever read: what CVE-2026-92287 (pyarrow before 26) needs does not come about.

Files in the landing bucket are read by the reading process alone. It takes CSV and JSON, and refuses what begins like Parquet
(tests/golden); here: no other kind can be asked for, and no module on the way from those bytes to a verdict can read it.
"""

import ast
import subprocess
import sys
from pathlib import Path
from typing import get_args

from pipelines.contracts.model import CsvFormat, JsonFormat

ROOT = Path(__file__).resolve().parents[2]
READS_OUR_OWN = {
    "pipelines/publication/parquet_writer.py",  # writes the files
    "pipelines/publication/rewriting.py",  # takes rows out of files of the table, or of this run's scratch folder
}
"""Modules of the core that know Parquet: all stand behind the verdict, on files that Lakegate wrote."""
READING = ("pyarrow.parquet", "pyarrow.dataset", "pyarrow.feather", "pyarrow.orc")


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_a_dataset_can_ask_for_csv_and_json_alone() -> None:
    kinds = {kind for model in (CsvFormat, JsonFormat) for kind in get_args(model.model_fields["type"].annotation)}
    assert kinds == {"csv", "tsv", "json", "jsonl"}


def test_only_what_stands_behind_the_verdict_knows_parquet() -> None:
    core = {str(path.relative_to(ROOT)): _imports(path) for path in sorted((ROOT / "pipelines").rglob("*.py"))}
    assert {name for name, names in core.items() if names & set(READING)} == READS_OUR_OWN
    assert not [name for name, names in core.items() if name.startswith("pipelines/reading/") and names & set(READING)]


def test_the_process_that_reads_strangers_files_never_loads_what_reads_parquet() -> None:
    code = (
        "import sys, pkgutil, importlib, pipelines.reading as room\n"
        "for found in pkgutil.iter_modules(room.__path__): importlib.import_module('pipelines.reading.' + found.name)\n"
        f"print([name for name in {READING!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
