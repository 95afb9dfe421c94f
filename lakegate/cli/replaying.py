"""What commands that change something by hand share: who asks and why, and what it came to."""

from typing import Annotated

import typer

from lakegate.cli.output import console, counted, print_json
from pipelines.intake.replay import Asked, Replayed

__all__ = ["WhyOption", "asked", "print_replayed"]

WhyOption = Annotated[
    str, typer.Option("--why", help="In your words; stands in the audit log, and in the history of each file.")
]


def asked(why: str) -> Asked:
    """Whoever gives the command."""
    from resources.identity import caller

    return Asked(caller(), why)


def print_replayed(done: Replayed, what: str, *, as_json: bool) -> None:
    """Say how many were made due, and what became of the rest."""
    if as_json:
        print_json({"version": 1, "due": done.due, "held": done.held, "left": done.left})
        return
    console.print(f"{counted(done.due, what)} due again; the landing sensor plans and runs them within a minute.")
    if done.held:
        console.print(f"{counted(done.held, what)} with a run just now: left to it.")
    if done.left:
        console.print(f"{counted(done.left, what)} settled otherwise meanwhile: nothing to do.")
