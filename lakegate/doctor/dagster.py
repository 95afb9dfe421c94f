"""Whether Dagster does its part: the daemon's heartbeat, the landing sensor and its ticks, the workers. From Dagster's own books.

The one place that uses what Dagster does not document: heartbeats, the states of sensors and their ticks have no public way but the web
server's GraphQL, and a doctor must be able to say that the web server is down.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lakegate.local.instance import has_warm_workers
from lakegate.local.worker_processes import workers_are_ready
from pipelines.ports import Clock
from pipelines.wiring.diagnosis import Finding

__all__ = ["dagster_home", "look_at_daemon", "look_at_sensor", "look_at_workers"]

_SENSOR = "landing_sensor"
_TICK_LATE = timedelta(minutes=5)
"""A tick takes up to a minute, and the next one follows at once."""
_NOWHERE = "no Dagster is known here: set DAGSTER_HOME, or run it where the daemon runs"


def dagster_home(environment: Mapping[str, str], home: Path) -> Path | None:
    """Where Dagster's instance is described: `DAGSTER_HOME`, else the laptop's; None where there is neither."""
    if named := environment.get("DAGSTER_HOME"):
        return Path(named)
    near = home / "dagster"
    return near if (near / "dagster.yaml").exists() else None


def look_at_daemon(home: Path | None, clock: Clock) -> Finding:
    """Whether every daemon that the instance needs gave a sign of life lately."""
    if home is None:
        return Finding.skipped(_NOWHERE)
    with _instance(home) as instance:
        silent: list[str] = []
        faulty: list[str] = []
        for name, status in instance.get_daemon_statuses().items():
            beat = status.last_heartbeat
            if not status.required:
                continue
            if beat is None:
                silent.append(f"{name} has never been heard of")
            elif not status.healthy:
                silent.append(f"{name} is silent since {_shown(beat.timestamp, clock)}")
            elif beat.errors:
                faulty.append(f"{name} reports {beat.errors[0].message.strip()[:200]}")
    if silent:
        return Finding.wrong(
            "; ".join(silent), "a heartbeat every 30 s",
            "start `dagster-daemon run` (`lakegate up` does on a laptop); nothing is lost meanwhile: messages and the ledger wait",
        )  # fmt: skip
    if faulty:
        return Finding.warning("; ".join(faulty), "no errors", "look into the daemon's log")
    return Finding.ok("alive")


def look_at_sensor(home: Path | None, clock: Clock) -> Finding:
    """Whether the landing sensor is switched on, and its last tick was lately and well."""
    if home is None:
        return Finding.skipped(_NOWHERE)
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus

    with _instance(home) as instance:
        states: Any = [
            s
            for s in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
            if s.instigator_name == _SENSOR
        ]
        if not states:
            return Finding.wrong(
                "the landing sensor has never run",
                "a tick a minute, or more",
                "start the daemon with workspace.yaml (`dagster-daemon run -w workspace.yaml`)",
            )
        if all(state.status is InstigatorStatus.STOPPED for state in states):
            return Finding.wrong(
                "the landing sensor is switched off", "RUNNING",
                "switch it on in Dagster (Automation, landing_sensor); messages wait in the queue for four days",
            )  # fmt: skip
        ticks: Any = [t for s in states for t in instance.get_ticks(s.instigator_origin_id, s.selector_id, limit=5)]
    ended = [tick for tick in ticks if tick.status is not TickStatus.STARTED]
    if not ended:
        return Finding.warning(
            "the landing sensor has not finished a tick yet",
            "a tick a minute, or more",
            "wait a minute, then look again",
        )
    last = max(ended, key=lambda tick: tick.timestamp)
    if last.status is TickStatus.FAILURE:
        said = last.error.message.strip()[:300] if last.error else "no reason was given"
        return Finding.wrong(
            f"the last tick failed: {said}",
            "a tick that succeeds",
            "see the message; the tick's page in Dagster has the whole trace",
        )
    if clock() - datetime.fromtimestamp(last.timestamp, UTC) > _TICK_LATE:
        return Finding.wrong(
            f"the last tick was {_shown(last.timestamp, clock)}",
            "a tick a minute, or more",
            "look whether the daemon runs, and into its log",
        )
    return Finding.ok(f"switched on, last tick {_shown(last.timestamp, clock)}")


def look_at_workers(home: Path | None, laptop: Path) -> Finding:
    """Whether a laptop's warm workers take runs. Elsewhere Dagster's daemon says so, run by run."""
    if home is None or home != laptop / "dagster" or not has_warm_workers(home):
        return Finding.skipped("no warm workers of this machine")
    if workers_are_ready(laptop / "workers"):
        return Finding.ok("ready")
    return Finding.wrong(
        "no worker takes runs",
        "a worker that has warmed up",
        "`lakegate up` starts them; runs wait in their queue meanwhile",
    )


def _instance(home: Path) -> Any:
    from dagster import DagsterInstance

    return DagsterInstance.from_config(str(home))


def _shown(timestamp: float, clock: Clock) -> str:
    moment = datetime.fromtimestamp(timestamp, UTC)
    ago_s = max(0.0, (clock() - moment).total_seconds())
    ago = (
        f"{ago_s:.0f} s"
        if ago_s < 120
        else f"{ago_s / 60:.0f} minutes"
        if ago_s < 7200
        else f"{ago_s / 3600:.0f} hours"
    )
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC, {ago} ago"
