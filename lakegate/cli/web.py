"""`lakegate web`: Dagster's web server, which has no login, behind a door that knows it."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from lakegate.listening import PROXY_FLAG, require_loopback
from pipelines.errors import ConfigurationError

__all__ = ["web", "webserver_arguments"]

PROGRAM = "dagster-webserver"


def webserver_arguments(host: str, port: int, workspace: Path, *, read_only: bool = False) -> tuple[str, ...]:
    """The command line of Dagster's web server. Says the host always: else its environment could name another.

    Raises:
        ConfigurationError: it is not installed.
    """
    script = Path(sys.executable).with_name(PROGRAM)
    if not script.exists():
        raise ConfigurationError(f"{script} does not exist. Run `make install`.")
    said = (str(script), "-h", host, "-p", str(port), "-w", str(workspace))
    return (*said, "--read-only") if read_only else said


def web(
    workspace: Annotated[
        Path, typer.Option("--workspace", "-w", help="Which code it shows; `infra/workspace.yaml` on AWS.")
    ] = Path("workspace.yaml"),
    host: Annotated[
        str, typer.Option("--host", "-h", help="Where it listens; anything but loopback is refused.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="The port.")] = 3000,
    read_only: Annotated[bool, typer.Option("--read-only", help="Pages without buttons, for people who look.")] = False,
    behind_authenticating_proxy: Annotated[
        bool,
        typer.Option(
            PROXY_FLAG,
            help="Listen where others reach it: a proxy that asks for a login stands before it, and only that proxy reaches the port.",
        ),
    ] = False,
) -> None:
    """Serve Dagster's pages, on this machine only unless a proxy asks for a login. In the foreground, in place of this process."""
    require_loopback("Dagster's web server", host, behind_proxy=behind_authenticating_proxy)
    if not workspace.is_file():
        raise ConfigurationError(f"There is no workspace file {workspace}. Name it with --workspace.")
    arguments = webserver_arguments(host, port, workspace, read_only=read_only)
    os.execv(arguments[0], arguments)  # noqa: S606 - a list that was built here; no shell
