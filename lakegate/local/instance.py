"""The settings of Dagster's instance: what `dagster.yaml` is put together from, and where its books are kept.

`dagster.yaml` beside this module holds for every instance and keeps Dagster's books in SQLite files below DAGSTER_HOME.
Where LAKEGATE_DAGSTER_POSTGRES names a server, `dagster-postgres.yaml` is added to it, where warm workers are to run,
`dagster-workers.yaml`. The file names the variable and never its value: the password is in the environment of processes, and in no file, log or command line.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from pipelines.errors import ConfigurationError, PermanentError

POSTGRES_VARIABLE = "LAKEGATE_DAGSTER_POSTGRES"
# SQLAlchemy 2.1 takes `postgresql://` for psycopg 3; Dagster's storage is written for psycopg2.
_DRIVER = "postgresql+psycopg2"
_EXAMPLE = f"{POSTGRES_VARIABLE}=postgresql://USER:PASSWORD@HOST:5432/DATABASE"
_PARTS = Path(__file__).parent
_CREATE = "from dagster import DagsterInstance\nwith DagsterInstance.get():\n    pass\n"


def postgres_of(environment: Mapping[str, str]) -> str | None:
    """Return the address of the server that keeps Dagster's books, with the driver's name in it; None: SQLite.

    Raises:
        ConfigurationError: it is no address of a Postgres database; the message does not repeat it.
    """
    url = _url(environment)
    return None if url is None else url.render_as_string(hide_password=False)


def dagster_yaml(environment: Mapping[str, str], *, warm_workers: bool = False) -> str:
    """Return the text of `dagster.yaml` for this environment; it holds no secret. With `warm_workers` runs are handed to them."""
    parts = ["dagster.yaml"]
    if _url(environment) is not None:
        parts.append("dagster-postgres.yaml")
    if warm_workers:
        parts.append("dagster-workers.yaml")
    return "\n".join((_PARTS / part).read_text(encoding="utf-8") for part in parts)


def has_warm_workers(dagster_home: Path) -> bool:
    """Whether the instance there hands its runs to warm workers."""
    path = dagster_home / "dagster.yaml"
    launcher = (_PARTS / "dagster-workers.yaml").read_text(encoding="utf-8")
    return path.exists() and launcher in path.read_text(encoding="utf-8")


def create_instance(dagster_home: Path, environment: Mapping[str, str]) -> None:
    """Make the tables of the instance unless they are there; `environment` is that of Dagster's processes.

    Done once before any of them starts: two processes that make SQLite files at the same time race.

    Raises:
        PermanentError: Dagster could not make them; the message holds its output, and no password.
    """
    url = _url(environment)
    if url is None and (dagster_home / "schedules" / "schedules.db").exists():
        return
    made = subprocess.run(
        [sys.executable, "-c", _CREATE], env=dict(environment), capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        where = dagster_home if url is None else url.render_as_string(hide_password=True)
        output = made.stderr[-4000:]
        if url is not None and url.password:
            output = output.replace(str(url.password), "***")
        raise PermanentError(f"Dagster could not make its instance in {where}:\n{output}")


def _url(environment: Mapping[str, str]) -> URL | None:
    said = environment.get(POSTGRES_VARIABLE)
    if not said:
        return None
    try:
        url = make_url(said)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in ("postgres", "postgresql", _DRIVER):
        raise ConfigurationError(f"{POSTGRES_VARIABLE} is no address of a Postgres database. Expected: {_EXAMPLE}")
    return url.set(drivername=_DRIVER)
