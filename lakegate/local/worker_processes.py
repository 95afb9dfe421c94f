"""Warm workers on the laptop: how their keeper is started, and when they are ready."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from lakegate.local.processes import Command
from lakegate.workers.notes import is_ready

WORKERS = "workers"
PROCESSES = 2
"""As many as `max_concurrent_runs` in dagster.yaml: a run that is launched finds an idle process."""


def workers_command(folder: Path, workspace: Path, environment: Mapping[str, str]) -> Command:
    """Return the command of the keeper of one worker; `folder` is where it notes which runs are under way."""
    arguments = (
        sys.executable,
        "-m",
        "lakegate.workers.keeper",
        "--processes",
        str(PROCESSES),
        "--folder",
        str(folder),
    )
    return Command(WORKERS, arguments, environment, workspace.parent)


def workers_are_ready(folder: Path) -> bool:
    """Whether the worker has warmed up and takes runs."""
    return is_ready(folder)
