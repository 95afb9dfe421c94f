"""`lakegate audit list`: who had files processed again, sent messages back, paused, resumed or changed what."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from lakegate.cli.connection import connect
from lakegate.cli.output import JsonOption, console, print_json, safe, table
from pipelines.errors import ConfigurationError

__all__ = ["app"]

app = typer.Typer(help="Who did what by hand: a log that nobody changes.", no_args_is_help=True)

_USUAL = timedelta(days=30)


@app.callback()
def audit() -> None:
    """Keep `list` a command of its own: typer folds a single one into its group."""


@app.command("list")
def list_records(
    since: Annotated[
        str | None, typer.Option("--since", help="A day, such as 2026-03-01 (usual: 30 days ago).")
    ] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only what was done to this dataset.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what was done by hand, the oldest first: when, by whom, what, with which arguments, why, and what it came to."""
    _, gate = connect()
    records = [r for r in gate.ledger.audit.since(_moment(since)) if dataset is None or r.dataset == dataset]
    if as_json:
        print_json({"version": 1, "records": [record.document() for record in records]})
        return
    outcomes = {record.of: record for record in records if record.of is not None}
    shown = table("when (UTC)", "who", "what", "dataset", "with", "came to", "why")
    for record in (r for r in records if r.of is None):
        done = outcomes.get(record.record_id)
        shown.add_row(
            f"{record.at:%Y-%m-%d %H:%M:%S}",
            safe(record.who),
            safe(record.what),
            safe(record.dataset or ""),
            _words(record.arguments.items()),
            _words(done.outcome.items()) if done else "",
            safe(record.why),
        )
    console.print(shown if records else "Nothing was done by hand.")


def _words(said: Iterable[tuple[str, str]]) -> str:
    return safe("; ".join(f"{name}: {value}" for name, value in said))


def _moment(since: str | None) -> datetime:
    if since is None:
        return datetime.now(UTC) - _USUAL
    try:
        day = date.fromisoformat(since)
    except ValueError:
        raise ConfigurationError(f"{since!r} is not a day such as 2026-03-01") from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
