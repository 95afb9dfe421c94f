"""`lakegate failed …`: files whose attempts were used up by faults of ours, by what killed them, and another try."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from lakegate.cli.connection import connect
from lakegate.cli.output import JsonOption, console, counted, print_json, safe, table
from lakegate.cli.replaying import WhyOption, asked, print_replayed
from pipelines.accounting.entries import LedgerEntry
from pipelines.intake.replay import failed_for, failure_reason, retry_failed
from pipelines.printable import printable

__all__ = ["app"]

app = typer.Typer(
    help="Files whose attempts were used up by faults of ours: what killed them, and another try.", no_args_is_help=True
)

_FILES_SHOWN = 10
DatasetOption = Annotated[str | None, typer.Option("--dataset", "-d", help="Only this dataset.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only those in whose error this text stands.")]


@app.command("list")
def list_files(
    dataset: DatasetOption = None,
    reason: ReasonOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Name every file, not the first ten of each reason.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List failed files, grouped by the error that ended their last attempt."""
    _, gate = connect()
    groups = _grouped(failed_for(gate.ledger, dataset, reason))
    if as_json:
        print_json(
            {
                "version": 1,
                "failed": sum(map(len, groups.values())),
                "reasons": [
                    {"reason": why, "count": len(entries), "files": [_document(entry) for entry in entries]}
                    for why, entries in groups.items()
                ],
            }
        )
        return
    if not groups:
        console.print("No file has failed.")
        return
    for why, entries in groups.items():
        console.print(f"[bold]{counted(len(entries), 'file')}[/bold]: {safe(why)}")
        named = entries if everything else entries[:_FILES_SHOWN]
        shown = table("file", "version", "landing day", "failed at (UTC)", "its error")
        for entry in named:
            shown.add_row(
                safe(entry.version.key),
                safe(entry.version.version_id),
                entry.landing_day.isoformat(),
                f"{entry.changed_at:%Y-%m-%d %H:%M:%S}",
                safe(entry.error or "unknown"),
            )
        console.print(shown)
        if len(entries) > len(named):
            console.print(f"… and {len(entries) - len(named):,} more (`--all`)")
    console.print("Mend the cause, then: lakegate failed retry (with `--dataset`, `--reason`).")


@app.command("retry")
def retry(
    dataset: DatasetOption = None,
    reason: ReasonOption = None,
    why: WhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Make failed files due again, with all their attempts; the landing sensor runs them."""
    _, gate = connect()
    print_replayed(retry_failed(gate.ledger, asked(why), dataset=dataset, text=reason), "failed file", as_json=as_json)


def _grouped(entries: Iterable[LedgerEntry]) -> dict[str, list[LedgerEntry]]:
    groups: dict[str, list[LedgerEntry]] = {}
    for entry in entries:
        groups.setdefault(failure_reason(entry.error), []).append(entry)
    return dict(sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])))


def _document(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "dataset": entry.dataset,
        "key": entry.version.key,
        "version_id": entry.version.version_id,
        "landing_day": entry.landing_day.isoformat(),
        "failed_at": entry.changed_at.isoformat(),
        "error": printable(entry.error or "unknown"),
        "attempts": entry.attempts,
    }
