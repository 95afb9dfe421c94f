"""Settings, read in the doors only: where the dataset files lie, where the laptop keeps its state."""

from collections.abc import Mapping
from pathlib import Path

__all__ = ["datasets_folder", "home_folder", "repository_root"]


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
