"""`lakegate simulate`: the promise, under thousands of schedules of everything that goes wrong."""

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from lakegate.cli.output import Exit, JsonOption, console, counted, errors, print_json, safe
from lakegate.simulate.guards import Guard

if TYPE_CHECKING:
    from lakegate.simulate.campaign import Tally

__all__ = ["simulate"]


def simulate(
    schedules: Annotated[int, typer.Option("--schedules", "-n", min=1, help="How many schedules.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", "-s", help="The same seed gives the same schedules.")] = 1,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0 for one a processor.")] = 0,
    schedule: Annotated[
        int | None, typer.Option("--schedule", "-k", min=0, help="Run this one alone, and tell its whole story.")
    ] = None,
    without: Annotated[
        list[Guard] | None,
        typer.Option("--without", help="Take a guard away, in the simulated world alone, to see that it is missed."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove the promise: run the real code on a world in memory where events are lost, doubled and late, workers die or sleep past
    their lease, answers get lost, files are sent again and removed; then check every row and every count.

    Needs no AWS. A violation is shown with its seed, its number and its shortest history, and the exit code is 1.
    """
    guards = tuple(without or ())
    if schedule is not None:
        _one(seed, schedule, guards, as_json=as_json)
    else:
        _many(seed, schedules, jobs or os.cpu_count() or 1, guards, as_json=as_json)


def _one(seed: int, number: int, without: tuple[Guard, ...], *, as_json: bool) -> None:
    from lakegate.simulate.running import run_number

    ended = run_number(seed, number, without, telling=True)
    if as_json:
        print_json(
            {"version": 1, "seed": seed, "schedule": number, "violation": _found(ended.violated), "story": ended.story}
        )
    else:
        console.print("\n".join(map(safe, ended.story)))
    if ended.violated is not None:
        raise typer.Exit(Exit.BAD_DATA)


def _many(seed: int, schedules: int, jobs: int, without: tuple[Guard, ...], *, as_json: bool) -> None:
    from lakegate.simulate.campaign import Tally, campaign
    from lakegate.simulate.running import run_number
    from lakegate.simulate.shrinking import shortest

    total, started = Tally(), time.monotonic()
    next_word_s = 10.0
    for tally in campaign(seed, 0, schedules, jobs, without):
        total.add(tally)
        if not as_json and time.monotonic() - started > next_word_s:
            next_word_s += 10
            errors.print(f"[dim]{total.schedules:,} of {schedules:,} schedules[/dim]")
    seconds = time.monotonic() - started
    broken = shortest(run_number(seed, total.broken, without), without) if total.broken is not None else None
    if as_json:
        print_json(
            {
                "version": 1,
                "seed": seed,
                "schedules": total.schedules,
                "without": list(without),
                "calls": total.steps,
                "simulated_hours": round(total.virtual_s / 3600, 1),
                "counts": dict(sorted(total.counts.items())),
                "seconds": round(seconds, 1),
                "broken": total.broken,
                "violation": _found(broken.violated) if broken else None,
                "story": broken.story if broken else [],
            }
        )
    else:
        _tell(total, seed, seconds, jobs)
        if broken is not None:
            console.print(
                f"[red]Schedule {total.broken} of seed {seed} breaks the promise[/red] ({safe(broken.violated)}). "
                "The shortest history found that still does:"
            )
            console.print("\n".join(map(safe, broken.story)))
            again = "".join(f" --without {guard}" for guard in without)
            console.print(f"The whole of it: lakegate simulate --seed {seed} --schedule {total.broken}{again}")
    if broken is not None:
        raise typer.Exit(Exit.BAD_DATA)


def _found(violated: Exception | None) -> str | None:
    return None if violated is None else str(violated)


def _tell(total: "Tally", seed: int, seconds: float, jobs: int) -> None:
    counts = total.counts
    console.print(
        f"{counted(total.schedules, 'schedule')} of seed {seed} in {seconds:,.0f} s on {jobs} {'process' if jobs == 1 else 'processes'}: "
        f"{total.steps:,} calls of ports in {total.virtual_s / 3600:,.0f} simulated hours."
    )
    console.print(
        f"  files put {counts['puts']:,}, removals {counts['removals']:,}, backfills {counts['backfills']:,}; "
        f"events lost {counts['lost']:,}, doubled {counts['duplicates']:,}"
    )
    console.print(
        f"  processes killed {counts['crashes']:,}, stopped past their lease {counts['zombies']:,}, slow {counts['sleeps']:,}, "
        f"interrupted {counts['switches']:,}; calls without an answer {counts['unanswered']:,}; runs lost or doubled {counts['launches']:,}"
    )
    console.print(
        f"  partitions compacted {counts['compactions done']:,}, left to ingestion {counts['compactions gave way']:,}; "
        f"compactions killed {counts['compactions died']:,}, stopped by a fault {counts['compactions stopped']:,}"
    )
    console.print(f"  violations: {0 if total.broken is None else 1}")
