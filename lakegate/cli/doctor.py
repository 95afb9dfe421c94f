"""`lakegate doctor`: the whole chain, link by link; for each what is wrong and what to do."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakegate.cli.connection import deployment_of
from lakegate.cli.output import Exit, JsonOption, console, counted, print_json, safe
from pipelines.errors import LakegateError
from pipelines.wiring.diagnosis import Diagnosis, Verdict, examine

if TYPE_CHECKING:
    from resources.environment import Deployment

__all__ = ["doctor"]

_COLOURS = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.WRONG: "red",
    Verdict.UNKNOWN: "magenta",
    Verdict.SKIPPED: "dim",
}
_WIDTH = 16


def doctor(
    limit: Annotated[float, typer.Option("--limit", min=1, help="Seconds that each check may take.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """Look at every link of the chain, now. Exit code 0: nothing is wrong; 1: something is; 3: not everything could be looked at."""
    from lakegate.doctor.examination import checks
    from resources.clock import utc_now

    began = time.monotonic()
    deployment = _deployment()
    found = examine(checks(deployment, os.environ, Path.cwd(), utc_now), limit_s=limit)
    if as_json:
        print_json({"version": 1, "checks": [_document(one) for one in found]})
    else:
        _show(found, time.monotonic() - began)
    raise typer.Exit(exit_code(found))


def _deployment() -> "Deployment | LakegateError":
    try:
        return deployment_of()
    except LakegateError as error:
        return error


def exit_code(found: Sequence[Diagnosis]) -> Exit:
    """What the whole comes to: wrong, else unseen, else good. Without credentials nothing was seen."""
    verdicts = {one.name: one.finding.verdict for one in found}
    if verdicts.get("credentials") in (Verdict.WRONG, Verdict.UNKNOWN):
        return Exit.SYSTEM
    if Verdict.WRONG in verdicts.values():
        return Exit.BAD_DATA
    return Exit.SYSTEM if Verdict.UNKNOWN in verdicts.values() else Exit.GOOD


def _document(one: Diagnosis) -> dict[str, Any]:
    finding = one.finding
    return {
        "check": one.name,
        "verdict": finding.verdict.value,
        "found": finding.found,
        "expected": finding.expected or None,
        "todo": finding.todo or None,
        "seconds": round(one.seconds, 3),
    }


def _show(found: Sequence[Diagnosis], seconds: float) -> None:
    for one in found:
        finding = one.finding
        colour = _COLOURS[finding.verdict]
        console.print(f"[{colour}]{finding.verdict.value:<8}[/{colour}] {one.name:<{_WIDTH}} {safe(finding.found)}")
        if finding.expected:
            console.print(f"{'':<9}{'':<{_WIDTH}} expected: {safe(finding.expected)}")
        if finding.todo:
            console.print(f"{'':<9}{'':<{_WIDTH}} [bold]to do:[/bold] {safe(finding.todo)}")
    counts = {verdict: sum(one.finding.verdict is verdict for one in found) for verdict in Verdict}
    parts = [f"{counts[v]} {v.value}" for v in Verdict if counts[v]]
    console.print(f"\n{counted(len(found), 'check')} in {seconds:.1f} s: {', '.join(parts)}")
