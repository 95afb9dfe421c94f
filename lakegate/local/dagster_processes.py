"""Dagster on the laptop: how its web server and daemon are started, and when they are healthy.

Both share one DAGSTER_HOME of their own, made by `instance` before either starts. The web server has no login and listens on
loopback only.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from lakegate.local.instance import POSTGRES_VARIABLE, create_instance, dagster_yaml, postgres_of
from lakegate.local.processes import Command, answers
from pipelines.errors import ConfigurationError

START_LIMIT_S = 120.0
WEBSERVER = "dagster-webserver"
DAEMON = "dagster-daemon"
_HEALTH_QUERY = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"


def prepare_dagster_home(
    dagster_home: Path, environment: Mapping[str, str], *, warm_workers: bool = False
) -> dict[str, str]:
    """Make DAGSTER_HOME and its databases if they are not there; return the environment of Dagster's processes.

    With `warm_workers` its dagster.yaml hands runs to them.

    Raises:
        ConfigurationError: the setting of its storage cannot be used.
        PermanentError: Dagster could not make its instance; the message holds its output.
    """
    dagster_home.mkdir(parents=True, exist_ok=True)
    (dagster_home / "dagster.yaml").write_text(dagster_yaml(environment, warm_workers=warm_workers), encoding="utf-8")
    own = {
        **environment,
        "DAGSTER_HOME": str(dagster_home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "PYTHONUNBUFFERED": "1",
    }
    if postgres := postgres_of(environment):
        own[POSTGRES_VARIABLE] = postgres
    # Every run is a new process: without compiled byte code each would cost twice as much.
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    create_instance(dagster_home, own)
    return own


def webserver_command(port: int, workspace: Path, environment: Mapping[str, str]) -> Command:
    """Return the command that serves Dagster's pages on 127.0.0.1:`port`."""
    arguments = (_script(WEBSERVER), "-h", "127.0.0.1", "-p", str(port), "-w", str(workspace))
    return Command(WEBSERVER, arguments, environment, workspace.parent)


def daemon_command(workspace: Path, environment: Mapping[str, str]) -> Command:
    """Return the command of the daemon that ticks sensors and schedules and launches runs."""
    return Command(DAEMON, (_script(DAEMON), "run", "-w", str(workspace)), environment, workspace.parent)


def webserver_is_healthy(port: int) -> bool:
    """Whether the pages are served."""
    return answers(f"http://127.0.0.1:{port}/server_info")


def daemon_is_healthy(port: int) -> bool:
    """Whether every daemon that the instance requires has sent its heartbeat; the web server at `port` is asked."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": _HEALTH_QUERY}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            statuses = json.load(response)["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
    except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError):
        return False
    return all(status["healthy"] for status in statuses if status["required"])


def _script(name: str) -> str:
    script = Path(sys.executable).with_name(name)
    if not script.exists():
        raise ConfigurationError(f"{script} does not exist. Run `make install`.")
    return str(script)
