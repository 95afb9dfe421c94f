"""Settings, read in the doors only: where the dataset files lie, where the laptop keeps its state."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pipelines.errors import ConfigurationError
from pipelines.intake.sweep import SWEEP_GRACE

__all__ = ["SweepSettings", "datasets_folder", "home_folder", "repository_root", "sweep_settings"]


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """When the sweep runs by itself (a cron line, UTC), and how old a version must be before it acts on it."""

    cron: str
    grace: timedelta


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

    Raises ConfigurationError when a number is none, or below zero.
    """
    return SweepSettings(
        cron=environment.get("LAKEGATE_SWEEP_CRON") or "30 3 * * *",
        grace=_duration(environment, "LAKEGATE_SWEEP_GRACE_MINUTES", timedelta(minutes=1), SWEEP_GRACE),
    )


def _duration(environment: Mapping[str, str], name: str, unit: timedelta, default: timedelta) -> timedelta:
    said = environment.get(name)
    if not said:
        return default
    try:
        number = float(said)
        if not number >= 0:
            raise ValueError(said)
        return number * unit
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{name} is {said!r}: it must be a number, zero or more") from None
