"""`lakegate history`: the tables of what happened to files."""

import typer

from lakegate.cli.connection import connect
from lakegate.cli.output import JsonOption, console, print_json

__all__ = ["history_app"]

history_app = typer.Typer(
    help="What happened to files, as tables: file_history and balance_sheet.", no_args_is_help=True
)


@history_app.callback()
def history() -> None:
    """Keep `export` a command of its own: typer folds a single one into its group."""


@history_app.command("export")
def export(as_json: JsonOption = False) -> None:
    """Add what waits in the outbox to `file_history` and `balance_sheet` now; the schedule does so every five minutes."""
    from pipelines.publication.export import export_history

    _, gate = connect()
    report = export_history(gate)
    if as_json:
        print_json(
            {
                "version": 1,
                "changes": report.changes,
                "days": report.days,
                "pages": report.pages,
                "outbox_empty": gate.ledger.outbox.is_empty(),
            }
        )
        return
    console.print(report.sentence())
