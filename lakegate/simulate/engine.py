"""Actors that run one at a time, and a clock turned by hand. The same decisions give the same history, byte for byte.

Each actor is a thread of its own, because the product is written for threads; but only the one that holds the baton runs. It goes
on until a disturbance takes the baton away, until it sleeps, or ends. Then the next in line has it; when none is left, the clock moves to the
next thing that is due.
"""

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import datetime, timedelta
from typing import NoReturn, ParamSpec, TypeVar, assert_never

from lakegate.simulate.schedule import CALM_AT_S, Crash, Disturbance, Fail, Launching, Place, Sleep, Switch
from lakegate.simulate.story import ending
from pipelines.errors import LakegateError, TransientError

__all__ = ["Actor", "Engine", "InLine", "Stopped"]

STEP_S = 0.05
"""What one call of a port takes."""
T = TypeVar("T")
P = ParamSpec("P")


class Stopped(BaseException):
    """The process is gone. Nobody handles it: it is no Exception, and once dead an actor makes no further call."""


class _Hand:
    """A thread that runs one actor after another. `lock` is its turn."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()
        self.job: Callable[[], None] = lambda: None
        threading.Thread(target=self._loop, name="actor", daemon=True).start()

    def _loop(self) -> None:
        while True:
            self.lock.acquire()
            self.job()


_idle: list[_Hand] = []


class Actor:
    """One process of the simulated deployment. `calls` counts its calls of ports; `death` is the crash that ended it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.stopped = False
        """Its process stands still: no heartbeat either."""
        self.dead = False
        self.ended = False
        self.death: Crash | None = None
        self.on_waking: list[Callable[[], None]] = []
        self.on_sleep: Callable[[Sleep], None] = lambda _: None
        self.hand: _Hand | None = None


class Engine:
    """Runs actors and timers until none is left. `disturb` says what disturbs a place; `tell` takes lines of the story."""

    def __init__(
        self,
        start: datetime,
        disturb: Callable[[Place], Disturbance | None],
        tell: Callable[[float, str, str], None] | None = None,
    ) -> None:
        self.start = start
        self.now_s = 0.0
        self.steps = 0
        self.fault: BaseException | None = None
        self._disturb = disturb
        self._tell = tell
        self._actors: list[Actor] = []
        self._ready: deque[Actor] = deque()
        self._timers: list[tuple[float, int, bool, Callable[[], None]]] = []
        self._order = itertools.count()
        self._in_timer = False
        self._main = threading.Lock()
        self._main.acquire()

    # ---- time and story

    def clock(self) -> datetime:
        """The present moment of the simulation."""
        return self.start + timedelta(seconds=self.now_s)

    @property
    def telling(self) -> bool:
        """Whether somebody listens to the story: what it takes to tell it costs time."""
        return self._tell is not None

    def tell(self, who: str, what: str) -> None:
        """Add a line to the story."""
        if self._tell is not None:
            self._tell(self.now_s, who, what)

    @property
    def calm(self) -> bool:
        """Whether the time of disturbances is over."""
        return self.now_s >= CALM_AT_S

    def at(self, when_s: float, do: Callable[[], None], *, idle: bool = False) -> None:
        """Do something at a time; `idle` is what goes on for ever and keeps nothing from coming to rest."""
        heapq.heappush(self._timers, (when_s, next(self._order), idle, do))

    @property
    def busy(self) -> bool:
        """Whether an actor lives or something else is still to happen."""
        return bool(self._actors) or any(not idle for _, _, idle, _ in self._timers)

    # ---- actors

    def spawn(self, name: str, body: Callable[[Actor], None]) -> Actor:
        """A new actor; it runs when its turn comes."""
        actor = Actor(name)
        actor.hand = _idle.pop() if _idle else _Hand()
        actor.hand.job = lambda: self._run(actor, body)
        self._actors.append(actor)
        self._ready.append(actor)
        return actor

    def _run(self, actor: Actor, body: Callable[[Actor], None]) -> None:
        try:
            if not actor.dead:
                body(actor)
        except Stopped:
            pass
        except BaseException as fault:  # noqa: BLE001 - it is raised again where the schedule was started
            self.fault = self.fault or fault
        actor.ended = True
        self._actors.remove(actor)
        assert actor.hand is not None  # noqa: S101 - it runs on it
        _idle.append(actor.hand)
        self._give(self._next())

    def run(self) -> None:
        """Run all actors and timers to the end. Raises what an actor or a timer raised."""
        following = self._next()
        if following is not None:
            self._give(following)
            self._main.acquire()
        if self.fault is not None:
            raise self.fault

    def stop(self, fault: BaseException) -> None:
        """End the schedule: every actor dies at its next call."""
        self.fault = self.fault or fault

    def _next(self) -> Actor | None:
        while True:
            if self.fault is not None:
                for actor in self._actors:
                    actor.dead = True
                return self._actors[0] if self._actors else None
            if self._ready:
                return self._ready.popleft()
            if not self._timers:
                return None
            self._fire()

    def _fire(self) -> None:
        when, _, _, do = heapq.heappop(self._timers)
        self.now_s = max(self.now_s, when)
        self._in_timer = True
        try:
            do()
        except BaseException as fault:  # noqa: BLE001 - it is raised again where the schedule was started
            self.stop(fault)
        finally:
            self._in_timer = False

    def _give(self, actor: Actor | None) -> None:
        if actor is None:
            self._main.release()
        else:
            assert actor.hand is not None  # noqa: S101 - every actor has one from birth
            actor.hand.lock.release()

    def _wait(self, actor: Actor) -> None:
        """Let others run until it is this actor's turn again."""
        following = self._next()
        if following is not actor:
            self._give(following)
            assert actor.hand is not None  # noqa: S101 - it runs on it
            actor.hand.lock.acquire()
        if actor.dead:
            raise Stopped

    # ---- steps

    def call(self, actor: Actor, what: Callable[[], str], do: Callable[[], T], *, quiet: bool = False) -> T:
        """One call of a port by an actor: the only place where anything can come in between.

        `what` says what it is about to do, for the story; `quiet` calls are only told when something goes wrong at them.
        """
        if self._in_timer:
            return do()
        if actor.dead:
            raise Stopped
        place = actor.name, actor.calls
        actor.calls += 1
        self.steps += 1
        self.now_s += STEP_S
        while self._timers and self._timers[0][0] <= self.now_s and self.fault is None:
            self._fire()
        disturbance = None if self.calm or self.fault is not None else self._disturb(place)
        if self.fault is not None:
            actor.dead = True
            raise Stopped
        match disturbance:
            case None | Launching():
                pass
            case Switch():
                self._switch(actor, disturbance, what)
            case Sleep():
                self._sleep(actor, disturbance, what)
            case Crash():
                self._crash(actor, disturbance, what, do)
            case Fail():
                self._fail(actor, disturbance, what, do)
            case _ as never:
                assert_never(never)
        result = do()
        if self.telling and not quiet:
            self.tell(actor.name, what() + ending(result))
        return result

    def pause(self, actor: Actor, seconds: float) -> None:
        """The actor waits, on purpose."""
        if actor.dead:
            raise Stopped
        self.at(self.now_s + seconds, lambda: self._ready.append(actor))
        self._wait(actor)

    def _switch(self, actor: Actor, switch: Switch, what: Callable[[], str]) -> None:
        if not self._ready:
            return
        self._ready.rotate(-(switch.to % len(self._ready)))
        if self.telling:
            self.tell(actor.name, f"INTERRUPTED by {self._ready[0].name} before: {what()}")
        self._ready.append(actor)
        self._wait(actor)

    def _sleep(self, actor: Actor, sleep: Sleep, what: Callable[[], str]) -> None:
        if self.telling:
            self.tell(actor.name, f"{'STOPPED' if sleep.stopped else 'SLOW'} for {sleep.seconds:g} s before: {what()}")
        actor.stopped = sleep.stopped
        actor.on_sleep(sleep)
        self.at(self.now_s + sleep.seconds, lambda: self._wake(actor))
        self._wait(actor)
        self.tell(actor.name, "wakes up" if sleep.stopped else "goes on")

    def _wake(self, actor: Actor) -> None:
        actor.stopped = False
        self._ready.append(actor)
        waking, actor.on_waking = actor.on_waking, []
        for do in waking:
            do()

    def _crash(self, actor: Actor, crash: Crash, what: Callable[[], str], do: Callable[[], object]) -> NoReturn:
        if crash.after:
            do()
        if self.telling:
            self.tell(actor.name, f"DIES right {'after' if crash.after else 'before'}: {what()}")
        actor.dead = True
        actor.death = crash
        raise Stopped

    def _fail(self, actor: Actor, fail: Fail, what: Callable[[], str], do: Callable[[], object]) -> NoReturn:
        if fail.applied:
            do()
        elif fail.late_s:
            self.at(self.now_s + fail.late_s, lambda: self._late(actor, what, do))
        if self.telling:
            done = (
                "it was done"
                if fail.applied
                else f"it is done {fail.late_s:.1f} s later"
                if fail.late_s
                else "not done"
            )
            self.tell(actor.name, f"NO ANSWER ({done}) to: {what()}")
        raise TransientError("simulated: no answer")

    def _late(self, actor: Actor, what: Callable[[], str], do: Callable[[], object]) -> None:
        try:
            result = do()
        except LakegateError:
            return  # nobody waits for the answer any more
        if self.telling:
            self.tell(actor.name, f"LATE, takes effect now: {what()}{ending(result)}")


class InLine(Executor):
    """An executor without threads: what is handed in is done at once."""

    def __init__(self, max_workers: int, /) -> None:
        """As many threads as asked for: none."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Do it, and give its result as a future."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the future raises it
            future.set_exception(error)
        return future
