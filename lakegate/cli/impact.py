"""`lakegate datasets impact`: what was read under an older contract than today's, and processing it again."""

from datetime import date
from typing import Annotated

import typer

from lakegate.cli.connection import connect
from lakegate.cli.naming import named_dataset
from lakegate.cli.output import JsonOption, console, counted, print_json, safe, table
from lakegate.cli.replaying import WhyOption, asked, print_replayed
from pipelines.errors import ConfigurationError
from pipelines.intake.impact import ContractImpact, contract_impact, process_again

__all__ = ["impact"]


def impact(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="A dataset's name, or its YAML file as it is to be.")],
    process: Annotated[bool, typer.Option("--process", help="Make those files due again.")] = False,
    days: Annotated[
        str | None,
        typer.Option("--days", help="With --process, only these landing days: `2024-03-01..2024-03-31`, or one."),
    ] = None,
    why: WhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show what was read under another contract than today's, day by day; with --process, have it processed again.

    Give the path of a changed YAML file to see beforehand what a change would ask for.
    """
    dataset = named_dataset(name)
    first, last = _span(days)
    if days and not process:
        raise ConfigurationError("`--days` goes with `--process`")
    _, gate = connect()
    if not process:
        _show(contract_impact(gate.ledger, dataset), as_json=as_json)
        return
    if dataset != named_dataset(dataset.name):
        raise ConfigurationError(
            f"{name} is not what the landing sensor reads {dataset.name} by: put it into the datasets' folder first"
        )
    done = process_again(gate.ledger, dataset, asked(why), first=first, last=last)
    print_replayed(done, "file", as_json=as_json)


def _span(days: str | None) -> tuple[date | None, date | None]:
    if days is None:
        return None, None
    first, dots, last = days.partition("..")
    try:
        found = date.fromisoformat(first), date.fromisoformat(last if dots else first)
    except ValueError:
        raise ConfigurationError(f"{days!r} is neither a day such as 2024-03-01 nor 2024-03-01..2024-03-31") from None
    if found[0] > found[1]:
        raise ConfigurationError(f"{days!r} ends before it begins")
    return found


def _show(found: ContractImpact, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "version": 1,
                "dataset": found.dataset,
                "contract": found.contract,
                "to_process": found.total("to_process"),
                "days": [
                    {
                        "landing_day": day.landing_day.isoformat(),
                        "files": day.files,
                        "rows": day.rows,
                        "quarantined": day.quarantined,
                        "empty": day.empty,
                        "refused": day.refused,
                        "files_by_contract": dict(day.by_contract),
                    }
                    for day in found.days
                ],
            }
        )
        return
    if found.days:
        shown = table("landing day", "#files", "#rows", "#quarantined", "#empty", "#refused today", "read under")
        for day in found.days:
            under = ", ".join(f"{name or 'unknown'} ({counted(n, 'file')})" for name, n in day.by_contract)
            numbers = (day.files, day.rows, day.quarantined, day.empty, day.refused)
            shown.add_row(day.landing_day.isoformat(), *(f"{n:,}" for n in numbers), under)
        console.print(shown)
    console.print(safe(found.sentence()))
