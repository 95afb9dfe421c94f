"""Many schedules on many processes: what they came to together, and the first that broke something."""

import itertools
import multiprocessing
import os
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lakegate.simulate.guards import Guard
from lakegate.simulate.running import run_number
from lakegate.simulate.schedule import Backfill, Crash, Fail, Put, Remove, Sleep, Switch

__all__ = ["Tally", "campaign"]

_PIECE = 25
_MEMORY = Path("/dev/shm")  # noqa: S108 - scratch folders of simulated workers, made by tempfile
_LEASE_S = 30.0


@dataclass(slots=True)
class Tally:
    """What schedules came to. `counts` names what happened in them; `broken` is the number of the first that violated something."""

    schedules: int = 0
    steps: int = 0
    virtual_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter[str])
    broken: int | None = None

    def add(self, other: "Tally") -> None:
        """Take another's numbers in; its schedules come after these."""
        self.schedules += other.schedules
        self.steps += other.steps
        self.virtual_s += other.virtual_s
        self.counts.update(other.counts)
        if self.broken is None:
            self.broken = other.broken


def campaign(seed: int, first: int, number: int, jobs: int, without: Collection[Guard] = ()) -> Iterator[Tally]:
    """Run `number` schedules from the `first` on, by `jobs` processes; tallies in the order of the schedules.

    Ends with the first that violated something.
    """
    pieces = [(start, min(start + _PIECE, first + number)) for start in range(first, first + number, _PIECE)]
    if jobs == 1:
        for start, end in pieces:
            tally = _run_piece(seed, start, end, tuple(without))
            yield tally
            if tally.broken is not None:
                return
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin) as pool:
        left = iter(pieces)
        running: list[Future[Tally]] = []
        try:
            for start, end in itertools.islice(left, 2 * jobs):
                running.append(pool.submit(_run_piece, seed, start, end, tuple(without)))
            while running:
                tally = running.pop(0).result()
                for start, end in itertools.islice(left, 1):
                    running.append(pool.submit(_run_piece, seed, start, end, tuple(without)))
                yield tally
                if tally.broken is not None:
                    return
        finally:
            for future in running:
                future.cancel()


def _begin() -> None:
    """Scratch folders of simulated workers go to memory where there is some: no disk is simulated."""
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK):
        tempfile.tempdir = str(_MEMORY)


def _run_piece(seed: int, start: int, end: int, without: tuple[Guard, ...]) -> Tally:
    tally = Tally()
    for number in range(start, end):
        ended = run_number(seed, number, without)
        tally.schedules += 1
        tally.steps += ended.steps
        tally.virtual_s += ended.virtual_s
        tally.counts.update({f"compactions {what}": number for what, number in ended.compactions.items()})
        for what in ended.schedule.disturbances.values():
            match what:
                case Crash():
                    tally.counts["crashes"] += 1
                case Fail():
                    tally.counts["unanswered"] += 1
                case Sleep():
                    tally.counts["zombies" if what.stopped and what.seconds > _LEASE_S else "sleeps"] += 1
                case Switch():
                    tally.counts["switches"] += 1
                case _:
                    tally.counts["launches"] += 1
        for action in ended.schedule.actions:
            match action:
                case Put():
                    tally.counts["puts"] += 1
                    tally.counts["lost"] += not action.deliveries
                    tally.counts["duplicates"] += max(0, len(action.deliveries) - 1)
                case Remove():
                    tally.counts["removals"] += 1
                case Backfill():
                    tally.counts["backfills"] += 1
                case _:
                    pass
        if ended.violated is not None:
            tally.broken = number
            return tally
    return tally
