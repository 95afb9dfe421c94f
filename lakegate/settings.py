"""Settings, read in the doors only: where the dataset files lie, where the laptop keeps its state."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pipelines.errors import ConfigurationError

__all__ = [
    "CompactionSettings",
    "SweepSettings",
    "UpkeepSettings",
    "compaction_settings",
    "datasets_folder",
    "home_folder",
    "repository_root",
    "sweep_settings",
    "upkeep_settings",
]


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """When the sweep runs by itself (a cron line, UTC), and how old a version must be before it acts on it.

    `orphan_grace`: how old a file must be to be an orphan; `removes_orphans`: whether the schedule removes them.
    """

    cron: str
    grace: timedelta
    orphan_grace: timedelta
    removes_orphans: bool


@dataclass(frozen=True, slots=True)
class CompactionSettings:
    """When small files are put together and old states let go of by themselves (cron lines, UTC); how many bytes a run rewrites; how long
    a state is kept after it was replaced.
    """

    cron: str
    expiry_cron: str
    run_bytes: int
    keep_states: timedelta


@dataclass(frozen=True, slots=True)
class UpkeepSettings:
    """When Dagster's old runs are removed (a cron line, UTC), and how long after their end they are kept at least."""

    cron: str
    keep_runs: timedelta
    keep_failed_runs: timedelta


def repository_root() -> Path:
    """The checkout this package lies in."""
    return Path(__file__).resolve().parent.parent


def datasets_folder(environment: Mapping[str, str], here: Path) -> Path:
    """`LAKEGATE_DATASETS`, else `assets/datasets` below the current folder, else the checkout's own."""
    if named := environment.get("LAKEGATE_DATASETS"):
        return Path(named)
    near = here / "assets" / "datasets"
    return near if near.is_dir() else repository_root() / "assets" / "datasets"


def home_folder(environment: Mapping[str, str], here: Path) -> Path:
    """Where the laptop's AWS and Dagster keep their state: `LAKEGATE_HOME`, else `.lakegate` in the current folder."""
    return Path(environment["LAKEGATE_HOME"]) if environment.get("LAKEGATE_HOME") else here / ".lakegate"


def sweep_settings(environment: Mapping[str, str]) -> SweepSettings:
    """`LAKEGATE_SWEEP_CRON`, else half past three at night; `LAKEGATE_SWEEP_GRACE_MINUTES`, else five.

    `LAKEGATE_ORPHAN_GRACE_HOURS`, else 24, and never less than one: a run must end before its files can be orphans.
    `LAKEGATE_REMOVE_ORPHANS=1`, else orphans are reported only. Raises ConfigurationError for what is none of these.
    """
    from pipelines.intake.sweep import SWEEP_GRACE
    from pipelines.publication.orphans import ORPHAN_GRACE

    orphan_grace = _duration(environment, "LAKEGATE_ORPHAN_GRACE_HOURS", timedelta(hours=1), ORPHAN_GRACE)
    if orphan_grace < timedelta(hours=1):
        raise ConfigurationError(
            "LAKEGATE_ORPHAN_GRACE_HOURS must be 1 or more, and longer than any run takes: files of a run that has not "
            "committed yet look like orphans"
        )
    removes = environment.get("LAKEGATE_REMOVE_ORPHANS") or "0"
    if removes not in ("0", "1"):
        raise ConfigurationError(f"LAKEGATE_REMOVE_ORPHANS is {removes!r}: it must be 0 or 1")
    return SweepSettings(
        cron=environment.get("LAKEGATE_SWEEP_CRON") or "30 3 * * *",
        grace=_duration(environment, "LAKEGATE_SWEEP_GRACE_MINUTES", timedelta(minutes=1), SWEEP_GRACE),
        orphan_grace=orphan_grace,
        removes_orphans=removes == "1",
    )


def compaction_settings(environment: Mapping[str, str]) -> CompactionSettings:
    """`LAKEGATE_COMPACTION_CRON`, else a quarter past one; `LAKEGATE_EXPIRY_CRON`, else a quarter to three; `LAKEGATE_COMPACTION_GB`, else 34; `LAKEGATE_KEEP_STATES_DAYS`, else 7.

    States are kept for a day at least: queries read them, and runs look for their commits in them. Raises ConfigurationError.
    """
    from pipelines.publication.compaction import RUN_BYTES
    from pipelines.publication.table_upkeep import KEPT_STATES

    keep = _duration(environment, "LAKEGATE_KEEP_STATES_DAYS", timedelta(days=1), KEPT_STATES)
    if keep < timedelta(days=1):
        raise ConfigurationError(
            "LAKEGATE_KEEP_STATES_DAYS must be 1 or more: queries and runs still read what was replaced"
        )
    size = _number(environment, "LAKEGATE_COMPACTION_GB")
    return CompactionSettings(
        environment.get("LAKEGATE_COMPACTION_CRON") or "15 1 * * *",
        environment.get("LAKEGATE_EXPIRY_CRON") or "45 2 * * *",
        RUN_BYTES if size is None else int(size * 1e9),
        keep,
    )


def upkeep_settings(environment: Mapping[str, str]) -> UpkeepSettings:
    """`LAKEGATE_UPKEEP_CRON`, else a quarter to five; `LAKEGATE_KEEP_RUNS_DAYS`, else 30; `LAKEGATE_KEEP_FAILED_RUNS_DAYS`, else 90.

    Neither less than one day: what ended just now is looked at. Raises ConfigurationError for what is none of these.
    """
    day = timedelta(days=1)
    kept: list[timedelta] = []
    for name, default in (("LAKEGATE_KEEP_RUNS_DAYS", 30), ("LAKEGATE_KEEP_FAILED_RUNS_DAYS", 90)):
        found = _duration(environment, name, day, default * day)
        if found < day:
            raise ConfigurationError(f"{name} is {environment[name]!r}: it must be 1 or more days")
        kept.append(found)
    return UpkeepSettings(environment.get("LAKEGATE_UPKEEP_CRON") or "45 4 * * *", *kept)


def _duration(environment: Mapping[str, str], name: str, unit: timedelta, default: timedelta) -> timedelta:
    number = _number(environment, name)
    try:
        return default if number is None else number * unit
    except OverflowError:
        raise ConfigurationError(f"{name} is {environment[name]!r}: it is too large") from None


def _number(environment: Mapping[str, str], name: str) -> float | None:
    said = environment.get(name)
    if not said:
        return None
    try:
        number = float(said)
        if not 0 <= number < float("inf"):
            raise ValueError(said)
    except ValueError:
        raise ConfigurationError(f"{name} is {said!r}: it must be a number, zero or more") from None
    return number
