"""What happens in one schedule: actions of the producer and of operators, and disturbances. Values, and how they are drawn.

A schedule is drawn while it runs: whatever was drawn is kept by the place it was drawn for (the actor and the number of its call), so
the same schedule can be run again without a draw, with some of it left out.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "LAST_COMPACTION_S",
    "LAST_SWEEP_S",
    "Action",
    "Backfill",
    "Compact",
    "Crash",
    "Disturbance",
    "Fail",
    "Launching",
    "Noise",
    "Put",
    "Rates",
    "Remove",
    "Restore",
    "Schedule",
    "Setting",
    "Sleep",
    "Sweep",
    "Switch",
    "draw",
    "draw_disturbance",
    "draw_launching",
]

Place = tuple[str, int]
"""An actor's name and the number of its call."""
CALM_AT_S = 400.0
"""From then on nothing is disturbed, and everything has to come to rest."""
LAST_SWEEP_S = 620.0
"""The bucket is swept once more: by then all that was put is older than a sweep's grace."""
LAST_COMPACTION_S = 700.0
"""Small files are put together once more: by then all of them have settled."""
_LAST_ACTION_S = 300.0
_SETTLED_S = 60.0


@dataclass(frozen=True, slots=True)
class Put:
    """The producer puts an object. `content` is its bytes as text; `deliveries` are the delays of its messages, none when they are lost."""

    number: int
    at: float
    key: str
    content: str
    deliveries: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Remove:
    """Somebody deletes a key: with a delete marker, or (not `marker`) its newest version for good."""

    number: int
    at: float
    key: str
    marker: bool
    deliveries: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Restore:
    """Somebody deletes the newest delete marker of a key: what it hid is there again."""

    number: int
    at: float
    key: str
    deliveries: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Noise:
    """A message that is none of ours: not understood, of another bucket, a test event."""

    number: int
    at: float
    body: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """The bucket is listed and what the ledger does not know is registered."""

    number: int
    at: float


@dataclass(frozen=True, slots=True)
class Backfill:
    """An operator asks for both days again."""

    number: int
    at: float


@dataclass(frozen=True, slots=True)
class Compact:
    """A run puts the small files of the dataset's tables together; to read one of them takes `reading_s`."""

    number: int
    at: float
    reading_s: float


Action = Put | Remove | Restore | Noise | Sweep | Backfill | Compact


@dataclass(frozen=True, slots=True)
class Switch:
    """Another actor goes on first: `to` chooses among those that can, in turn."""

    to: int


@dataclass(frozen=True, slots=True)
class Crash:
    """The process is gone, before the call or after it took effect. Who notices: nobody, or Dagster, which may retry the run."""

    after: bool
    noticed_after_s: float | None
    retried: bool


@dataclass(frozen=True, slots=True)
class Fail:
    """The call raises TransientError: it took no effect, it did, or (`late_s`) it does so many seconds later."""

    applied: bool
    late_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Sleep:
    """The actor makes this call so much later. `stopped`: its process stands still, heartbeat and all; else it is only slow.

    `retried`: Dagster takes a stopped run for dead and starts it again beside.
    """

    seconds: float
    stopped: bool
    retried: bool


@dataclass(frozen=True, slots=True)
class Launching:
    """What becomes of a requested run: `lost`, or made once, or (`again_after_s`) twice."""

    lost: bool
    again_after_s: float | None


Disturbance = Switch | Crash | Fail | Sleep | Launching


@dataclass(frozen=True, slots=True)
class Rates:
    """How often an actor is disturbed at a call, each from 0 to 1; drawn anew for each schedule, so that some are rough in one way alone."""

    switch: float
    crash: float
    fail: float
    sleep: float
    launching: float


@dataclass(frozen=True, slots=True)
class Setting:
    """The deployment of one schedule. `tick_s` is the time between two looks of the sensor."""

    by_rows: bool
    accept_empty: bool
    retract: bool
    max_attempts: int
    days_per_run: int
    tick_s: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule, as drawn so far."""

    seed: int
    number: int
    setting: Setting
    rates: Rates
    actions: tuple[Action, ...]
    disturbances: Mapping[Place, Disturbance] = field(default_factory=dict[Place, Disturbance])


def draw(seed: int, number: int, rough: Rates | None = None) -> tuple[Schedule, random.Random]:
    """The schedule of this number, without its disturbances, and the source to draw those from; `rough` sets their rates."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311 - a simulation, no secret
    setting = Setting(
        by_rows=rng.random() < 0.4,
        accept_empty=rng.random() < 0.2,
        retract=rng.random() < 0.4,
        max_attempts=rng.choice((2, 5)),
        days_per_run=rng.choice((1, 31)),
        tick_s=rng.choice((20.0, 60.0)),
    )
    rates = rough or Rates(
        switch=rng.choice((0.02, 0.1, 0.3)),
        crash=rng.choice((0.0, 0.004, 0.02)),
        fail=rng.choice((0.0, 0.01, 0.04)),
        sleep=rng.choice((0.0, 0.008, 0.03)),
        launching=rng.choice((0.0, 0.2)),
    )
    # A table must have several files for any to be put together, and files that are replaced meanwhile.
    compacted = rng.random() < 0.25
    keys = "abcd" if compacted else "abc"[: rng.choice((1, 1, 2, 3))]
    # Two actions of one second could not be told apart by a listing; S3's sequencers can.
    times = sorted(rng.sample(range(int(_LAST_ACTION_S)), rng.randint(6, 14) if compacted else rng.randint(2, 8)))
    contents: list[str] = []
    actions = tuple(_draw_action(rng, number, float(at), keys, contents) for number, at in enumerate(times, start=1))
    compactions = _draw_compactions(rng, len(actions) + 1) if compacted else []
    return Schedule(seed, number, setting, rates, (*actions, *compactions)), rng


def _draw_compactions(rng: random.Random, first: int) -> list[Compact]:
    """Runs commit while a long one still reads."""
    times = sorted(round(rng.uniform(_SETTLED_S, CALM_AT_S), 1) for _ in range(rng.randint(1, 6)))
    return [
        Compact(number, at, round(rng.choice((0.0, rng.uniform(0, 10), rng.uniform(10, 60))), 1))
        for number, at in enumerate(times, start=first)
    ]


def _draw_action(rng: random.Random, number: int, at: float, keys: str, contents: list[str]) -> Action:
    kind = rng.random()
    if kind < 0.72 or number == 1:
        return Put(number, at, rng.choice(keys), _draw_content(rng, number, contents), _draw_deliveries(rng))
    if kind < 0.83:
        return Remove(number, at, rng.choice(keys), rng.random() < 0.5, _draw_deliveries(rng))
    if kind < 0.86:
        return Restore(number, at, rng.choice(keys), _draw_deliveries(rng))
    if kind < 0.9:
        return Sweep(number, at)
    if kind < 0.97:
        return Backfill(number, at)
    return Noise(
        number, at, rng.choice(("not JSON", '{"Event": "s3:TestEvent", "Bucket": "landing-bucket"}', _FOREIGN))
    )


_FOREIGN = '{"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "s3": {"bucket": {"name": "another"}, "object": {}}}]}'


def _draw_content(rng: random.Random, number: int, contents: list[str]) -> str:
    if contents and rng.random() < 0.15:
        return rng.choice(contents)  # bytes that come back
    kind = rng.choices(("good", "mixed", "bad", "empty"), (60, 12, 18, 10))[0]
    rows, bad = rng.randint(1, 4), rng.randint(1, 2)
    content = {
        "good": f"good {rows} 0 #{number}",
        "mixed": f"mixed {rng.choice((0, rows))} {bad} #{number}",
        "bad": f"bad {rows} 1 #{number}",
        "empty": "",
    }[kind]
    contents.append(content)
    return content


def _draw_deliveries(rng: random.Random) -> tuple[float, ...]:
    chance = rng.random()
    if chance < 0.12:
        return ()
    number = 1 if chance < 0.75 else rng.randint(2, 3)
    return tuple(_draw_delay(rng) for _ in range(number))


def _draw_delay(rng: random.Random) -> float:
    return round(rng.choice((rng.uniform(0, 2), rng.uniform(0, 2), rng.uniform(0, 60), rng.uniform(0, 450))), 1)


def draw_disturbance(rng: random.Random, rates: Rates) -> Disturbance | None:
    """What disturbs one call, if anything."""
    chance = rng.random()
    if chance < rates.switch:
        return Switch(rng.randrange(8))
    chance -= rates.switch
    if chance < rates.crash:
        noticed = rng.choice((None, rng.uniform(1, 40)))
        return Crash(rng.random() < 0.5, noticed, noticed is not None and rng.random() < 0.5)
    chance -= rates.crash
    if chance < rates.fail:
        applied = rng.random() < 0.4
        late = 0.0 if applied or rng.random() < 0.7 else rng.uniform(0.1, 40)
        return Fail(applied, late)
    chance -= rates.fail
    if chance < rates.sleep:
        seconds = rng.choice((rng.uniform(1, 29), rng.uniform(31, 60), rng.uniform(60, 150), rng.uniform(150, 600)))
        stopped = rng.random() < 0.8
        return Sleep(round(seconds, 1), stopped, stopped and rng.random() < 0.5)
    return None


def draw_launching(rng: random.Random, rates: Rates) -> Launching | None:
    """What becomes of a requested run, if it is not simply made."""
    if rng.random() >= rates.launching:
        return None
    lost = rng.random() < 0.4
    return Launching(lost, None if lost else round(rng.uniform(0, 90), 1))
