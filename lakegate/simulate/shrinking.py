"""From a schedule that breaks something to the shortest that still breaks the same: what can be left out is left out."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from lakegate.simulate.guards import Guard
from lakegate.simulate.running import Ended, run_again
from lakegate.simulate.schedule import Action, Place, Put, Remove, Restore, Schedule, Setting

__all__ = ["shortest"]

_PLAIN = Setting(by_rows=False, accept_empty=False, retract=False, max_attempts=5, days_per_run=31, tick_s=60.0)
Part = Action | Place
Breaks = Callable[[Schedule], bool]


def shortest(ended: Ended, without: Collection[Guard] = ()) -> Ended:
    """A schedule as short as could be found that violates the same kind of promise. Runs it some hundred times."""
    if ended.violated is None:
        return ended
    kind, schedule = ended.violated.kind, ended.schedule

    def breaks(candidate: Schedule) -> bool:
        again = run_again(candidate, without)
        return again.violated is not None and again.violated.kind == kind

    for setting in (_PLAIN, replace(_PLAIN, retract=True)):
        if setting != schedule.setting and breaks(plain := replace(schedule, setting=setting)):
            schedule = plain
            break
    before = -1
    while before != len(_parts(schedule)):
        before = len(_parts(schedule))
        schedule = _without_pieces(schedule, breaks)
        schedule = _with_fewer_messages(schedule, breaks)
    return run_again(schedule, without, telling=True)


def _parts(schedule: Schedule) -> list[Part]:
    return [*schedule.disturbances, *schedule.actions]


def _kept(schedule: Schedule, parts: Collection[Part]) -> Schedule:
    return replace(
        schedule,
        actions=tuple(action for action in schedule.actions if action in parts),
        disturbances={place: what for place, what in schedule.disturbances.items() if place in parts},
    )


def _without_pieces(schedule: Schedule, breaks: Breaks) -> Schedule:
    """Leave out pieces of half the parts, then of a quarter, down to single ones."""
    size = max(1, len(_parts(schedule)) // 2)
    while True:
        start = 0
        while start < len(parts := _parts(schedule)):
            left: Sequence[Part] = parts[:start] + parts[start + size :]
            candidate = _kept(schedule, frozenset(left))
            if breaks(candidate):
                schedule = candidate
            else:
                start += size
        if size == 1:
            return schedule
        size //= 2


def _with_fewer_messages(schedule: Schedule, breaks: Breaks) -> Schedule:
    for position, action in enumerate(schedule.actions):
        if isinstance(action, Put | Remove | Restore) and action.deliveries != (1.0,):
            for deliveries in ((1.0,), action.deliveries[:1]):
                changed = replace(action, deliveries=deliveries)
                candidate = replace(
                    schedule, actions=(*schedule.actions[:position], changed, *schedule.actions[position + 1 :])
                )
                if breaks(candidate):
                    schedule = candidate
                    break
    return schedule
