"""`lakegate sweep`: the landing bucket against the ledger, and what dead attempts left behind."""

import os
from typing import Annotated, Any

import typer

from lakegate.cli.connection import connect
from lakegate.cli.naming import named_dataset
from lakegate.cli.output import Exit, JsonOption, console, print_json, safe, table
from lakegate.cli.replaying import asked
from lakegate.settings import SweepSettings, sweep_settings
from lakegate.status import UNCLAIMED
from pipelines.errors import ConfigurationError
from pipelines.gate import Gate
from pipelines.intake.sweep import sweep
from pipelines.intake.sweep_report import SweepReport
from pipelines.publication.orphans import OrphanReport, find_orphans

__all__ = ["sweep_command"]

_WORDS = {
    "registered": "registered; no event had told of",
    "removed": "removal recorded; no event had told of",
    "restored": "restored; no event had told of",
    "missing": "gone from the bucket; no event had told of",
}


def sweep_command(
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only this dataset.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look: change nothing.")] = False,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Look for files that dead attempts left behind, too; they stay.")
    ] = False,
    remove_orphans: Annotated[
        bool,
        typer.Option(
            "--remove-orphans", help="The same, and remove those that are older than a day and that nobody owns."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the landing bucket with the ledger, and put right what events did not tell. Exit code 1 when they do not agree."""
    settings = sweep_settings(os.environ)
    if dataset and (orphans or remove_orphans):
        raise ConfigurationError("orphans are looked for in all tables at once: leave --dataset out")
    if dry_run and remove_orphans:
        raise ConfigurationError("--dry-run changes nothing: use --orphans with it")
    of = named_dataset(dataset) if dataset else None
    _, gate = connect()
    report = sweep(gate, of, grace=settings.grace, correct=not dry_run)
    left = _orphans(gate, settings, remove=remove_orphans) if orphans or remove_orphans else None
    if as_json:
        print_json({"version": 1, **report_document(report), **({"orphans": orphan_document(left)} if left else {})})
    else:
        print_report(report)
        if left:
            print_orphans(left)
    if report.problems:
        raise typer.Exit(Exit.BAD_DATA)


def _orphans(gate: Gate, settings: SweepSettings, *, remove: bool) -> OrphanReport:
    if not remove:
        return find_orphans(gate, grace=settings.orphan_grace)
    with gate.ledger.audit.doing(asked("").to("remove orphans", grace=settings.orphan_grace)) as outcome:
        left = find_orphans(gate, grace=settings.orphan_grace, remove=True)
        outcome["removed"] = left.removed
    return left


def print_report(report: SweepReport) -> None:
    """A line a dataset, what events had not told, and where bucket and ledger differ."""
    names = [name for name in _COLUMNS if name in _ALWAYS or report.total(name)]
    shown = table("dataset", *(f"#{name}" for name in names), title="Sweep: object versions in the landing bucket")
    for line in sorted(report.datasets.values(), key=lambda line: line.dataset or "~"):
        shown.add_row(line.dataset or UNCLAIMED, *(f"{getattr(line, name):,}" for name in names))
    console.print(shown)
    if report.corrects:
        for kind, named in report.findings.items():
            for what in named:
                console.print(f"[yellow]{_WORDS[kind]}:[/yellow] {safe(what)}")
            if more := report.total(kind) - len(named):
                console.print(f"  … and {more:,} more")
    for problem in report.problems:
        console.print(f"[red]differs:[/red] {safe(problem)}")
    sentence = report.sentence()
    console.print(f"{sentence[0].upper()}{sentence[1:]}.")


def report_document(report: SweepReport) -> dict[str, Any]:
    """The report for `--json`."""
    return {
        "started_at": report.started_at.isoformat(),
        "corrected": report.corrects,
        **{name: report.total(name) for name in _COLUMNS},
        "datasets": [
            {"dataset": line.dataset, **{name: getattr(line, name) for name in _COLUMNS}}
            for line in report.datasets.values()
        ],
        "findings": report.findings,
        "problems": list(report.problems),
        "days": report.days,
        "days_under_way": report.under_way,
        "sentence": report.sentence(),
    }


def print_orphans(report: OrphanReport) -> None:
    """Each orphan by name, and why it is one."""
    for orphan in report.named:
        console.print(f"[yellow]orphan:[/yellow] {safe(orphan.sentence())}")
    if more := report.orphans - len(report.named):
        console.print(f"  … and {more:,} more")
    for orphan in report.named_foreign:
        console.print(f"[dim]left alone: {safe(orphan.sentence())}[/dim]")
    for note in report.notes:
        console.print(f"[dim]{safe(note)}[/dim]")
    sentence = report.sentence()
    console.print(f"{sentence[0].upper()}{sentence[1:]}.")


def orphan_document(report: OrphanReport) -> dict[str, Any]:
    """The same for `--json`."""
    numbers = ("files", "orphans", "orphan_bytes", "removed", "owned", "young", "foreign")
    return {
        **{name: getattr(report, name) for name in numbers},
        "named": [
            {
                "bucket": o.bucket,
                "key": o.key,
                "size_bytes": o.size_bytes,
                "written_at": o.written_at.isoformat(),
                "why": o.why,
            }
            for o in report.named
        ],
        "notes": report.notes,
        "sentence": report.sentence(),
    }


_COLUMNS = ("listed", "known", "registered", "young", "removed", "restored", "missing", "gone")
_ALWAYS = ("listed", "known", "registered")
