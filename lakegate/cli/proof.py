"""The proof behind `lakegate status --prove`: a sweep that only looks, and a query for each table."""

import os
from typing import Any

from lakegate.cli.output import console, safe, table
from lakegate.settings import sweep_settings
from pipelines.accounting.proof import Proof, prove
from pipelines.gate import Gate
from pipelines.intake.sweep import sweep

__all__ = ["print_proof", "proof_document", "prove_books"]


def prove_books(gate: Gate) -> Proof:
    """Compare ledger, bucket and tables; change nothing."""
    return prove(gate, sweep(gate, grace=sweep_settings(os.environ).grace, correct=False))


def print_proof(proof: Proof) -> None:
    """What each table holds beside what the ledger says, and everything that does not add up."""
    shown = table("table", "#files in it", "#rows in it", "#rows by the ledger")
    for one in proof.tables:
        if one.rows is not None:
            shown.add_row(one.table, f"{one.files:,}", f"{one.rows:,}", f"{one.rows_in_ledger:,}")
    console.print(shown)
    for note in proof.notes:
        console.print(f"[dim]{safe(note)}[/dim]")
    for problem in proof.problems:
        if problem not in proof.sheet.problems:  # those stand under the sheet already
            console.print(f"[red]does not add up:[/red] {safe(problem)}")
    sentence = proof.sentence()
    console.print(f"Proved against the bucket and the tables: {sentence}.")


def proof_document(proof: Proof) -> dict[str, Any]:
    """The proof for `--json`."""
    return {
        "adds_up": not proof.problems,
        "problems": list(proof.problems),
        "notes": list(proof.notes),
        "tables": [
            {"table": t.table, "files": t.files, "rows": t.rows, "rows_in_ledger": t.rows_in_ledger}
            for t in proof.tables
        ],
    }
