"""One schedule, run from beginning to rest: drawn on the way, or as it was drawn before."""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from lakegate.simulate.engine import Engine
from lakegate.simulate.guards import Guard
from lakegate.simulate.schedule import (
    Disturbance,
    Launching,
    Place,
    Rates,
    Schedule,
    draw,
    draw_disturbance,
    draw_launching,
)
from lakegate.simulate.truth import Violated
from lakegate.simulate.world import START, World

__all__ = ["Ended", "run_again", "run_number"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a schedule ended: what was violated, if anything; the schedule with all that was drawn; what became of its
    `compactions`; `story`, if it was asked for."""

    schedule: Schedule
    violated: Violated | None
    steps: int
    virtual_s: float
    compactions: Mapping[str, int]
    story: tuple[str, ...] = field(default=())


def run_number(
    seed: int, number: int, without: Collection[Guard] = (), *, rough: Rates | None = None, telling: bool = False
) -> Ended:
    """Draw and run the schedule of this number; `rough` sets how often things go wrong, else that is drawn too."""
    schedule, rng = draw(seed, number, rough)
    return _run(schedule, rng, without, telling=telling)


def run_again(schedule: Schedule, without: Collection[Guard] = (), *, telling: bool = False) -> Ended:
    """Run a schedule with the disturbances it has and no others."""
    return _run(schedule, None, without, telling=telling)


def _run(schedule: Schedule, rng: random.Random | None, without: Collection[Guard], *, telling: bool) -> Ended:
    drawn: dict[Place, Disturbance] = dict(schedule.disturbances)

    def at(place: Place, draw_one: Callable[[random.Random], Disturbance | None]) -> Disturbance | None:
        if rng is None:
            return drawn.get(place)
        found = draw_one(rng)
        if found is not None:
            drawn[place] = found
        return found

    def launching(name: str) -> Launching | None:
        found = at((name, 0), lambda source: draw_launching(source, schedule.rates))
        return found if isinstance(found, Launching) else None

    story: list[str] = []

    def tell(now_s: float, who: str, what: str) -> None:
        story.append(f"{len(story) + 1:4d}. {now_s:8.2f} s  {who}: {what}")

    engine = Engine(
        START,
        lambda place: at(place, lambda source: draw_disturbance(source, schedule.rates)),
        tell if telling else None,
    )
    world = World(schedule, engine, launching, without)
    violated: Violated | None = None
    try:
        engine.run()
        world.truth.check_rest()
    except Violated as found:
        violated = found
    except Exception as error:  # noqa: BLE001 - what nobody expected is a finding like any other
        violated = Violated("unexpected error", f"{type(error).__name__}: {error}")
        violated.__cause__ = error
    if telling:
        story.append(
            f"      VIOLATED ({violated.kind}): {violated}" if violated else "      At rest, and all is as it must be."
        )
    return Ended(
        replace(schedule, disturbances=drawn), violated, engine.steps, engine.now_s, world.compactions, tuple(story)
    )
