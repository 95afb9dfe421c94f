"""The operator's hand on a dataset's breaker: pause, resume, and what became of it so far."""

from typing import Annotated

import typer

from lakegate.cli.connection import connect
from lakegate.cli.output import Exit, JsonOption, console, print_json, safe, table
from pipelines.accounting.pauses import Pauses
from pipelines.errors import ConfigurationError

__all__ = ["pause", "pauses", "resume"]

_Dataset = Annotated[str, typer.Argument(help="A dataset.", show_default=False)]


def pause(
    dataset: _Dataset,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; people who look at the status see it.")],
    as_json: JsonOption = False,
) -> None:
    """Plan no more files of a dataset until it is resumed. They stay pending; what is under way goes on to its end."""
    from resources.identity import caller

    breaker = _pauses_of(dataset).pause(dataset, caller(), reason)
    if as_json:
        print_json({"version": 1, "dataset": dataset, "paused": True, "reason": breaker.reason})
    else:
        console.print(safe(breaker.sentence()))


def resume(dataset: _Dataset, as_json: JsonOption = False) -> None:
    """Let a paused dataset go on with the next tick of the sensor. Exit code 1 when it was not paused."""
    from resources.identity import caller

    before = _pauses_of(dataset).resume(dataset, caller())
    if as_json:
        print_json({"version": 1, "dataset": dataset, "was_paused": before.is_paused})
    elif before.is_paused:
        console.print(f"{safe(dataset)} goes on. It was: {safe(before.sentence())}")
    else:
        console.print(f"{safe(dataset)} was not paused.")
    if not before.is_paused:
        raise typer.Exit(Exit.BAD_DATA)


def pauses(dataset: _Dataset, as_json: JsonOption = False) -> None:
    """When a dataset was paused, probed and resumed, by whom and why."""
    records = list(_pauses_of(dataset).history(dataset))
    if as_json:
        told = [{"at": r.at.isoformat(), "what": r.what, "by": r.by, "reason": r.reason} for r in records]
        print_json({"version": 1, "dataset": dataset, "history": told})
        return
    shown = table("when (UTC)", "what", "by", "reason")
    for record in records:
        shown.add_row(f"{record.at:%Y-%m-%d %H:%M:%S}", record.what, safe(record.by), safe(record.reason))
    console.print(shown if records else f"{safe(dataset)} was never paused.")


def _pauses_of(dataset: str) -> Pauses:
    _, gate = connect()
    known = {d.name for d in gate.datasets.datasets} | set(gate.ledger.datasets())
    if dataset not in known:
        raise ConfigurationError(f"there is no dataset {dataset!r}; known are {', '.join(sorted(known)) or 'none'}")
    return gate.ledger.pauses
