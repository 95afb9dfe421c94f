"""`lakegate up`, `down`, `reset`, `env`, `demo`: the laptop's AWS and Dagster."""

import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from lakegate.cli.output import Exit, JsonOption, console, errors, print_json
from lakegate.local.laptop import Laptop
from lakegate.local.roles import CONTAINER_VARIABLES, KEY_VARIABLES, Role
from lakegate.settings import home_folder, repository_root

__all__ = ["demo", "down", "env", "reset", "up"]

_LOOK_S = 2.0
PortOption = Annotated[
    int | None, typer.Option("--port", help="The port of the Dagster UI; default: 3000, or a free one.")
]


EnforceOption = Annotated[
    bool | None,
    typer.Option(
        "--enforce/--no-enforce",
        help="Have the laptop's AWS check signatures and policies, and start each part under its own role of the template; "
        "default: as the last time, and not at first.",
    ),
]


def _laptop(*, enforce: bool | None = None) -> Laptop:
    return Laptop(home_folder(os.environ, Path.cwd()), enforce_iam=enforce)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when all is up; `lakegate down` stops it.")
    ] = False,
    port: PortOption = None,
    simple: Annotated[
        bool, typer.Option("--simple", help="A new process for each run instead of warm workers: slower, less memory.")
    ] = False,
    enforce: EnforceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start the laptop's AWS and Dagster; in the foreground until Ctrl-C, or in the background with --detach."""
    laptop = _laptop(enforce=enforce)
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    if not detach:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
    try:
        if not as_json:
            console.print("Starting the laptop's AWS …")
        environment = laptop.start(tied=not detach)
        if not as_json:
            console.print("Starting Dagster …")
        address = laptop.start_dagster(environment, port, tied=not detach, warm_workers=not simple)
        if as_json:
            print_json({"version": 1, "dagster": address, "environment": laptop.as_role(environment, Role.OPERATOR)})
        else:
            console.print(f"\n[bold green]Lakegate is up.[/bold green]  Dagster: [bold]{address}[/bold]")
            if laptop.enforces_iam:
                console.print(
                    "  roles          each part has its own; `lakegate env --role NAME` prints one's environment"
                )
            console.print("  drop a file    lakegate drop FILE --dataset NAME")
            console.print("  look           lakegate status, lakegate quarantine list, lakegate query 'SELECT …'")
            console.print("  stop           lakegate down" if detach else "  stop           Ctrl-C")
        if detach:
            return
        while not stopping.wait(_LOOK_S):
            if laptop.tend_workers() and not as_json:
                console.print("The keeper of the warm workers had died: it is started again.")
    finally:
        if not detach:
            if not as_json:
                console.print("\nStopping …")
            laptop.stop_started()


def down(as_json: JsonOption = False) -> None:
    """Stop everything that runs for this folder; the state stays."""
    stopped = _laptop().stop()
    if as_json:
        print_json({"version": 1, "stopped": stopped})
    else:
        console.print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")


def env(
    role: Annotated[
        Role | None, typer.Option("--role", help="Where roles are enforced: whose; default: the operator's.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the running laptop's environment, for a shell: eval "$(lakegate env)", then `dg dev`, or `dagster dev -w workspace.yaml`."""
    quiet = {
        "DG_CLI_CONFIG": str(repository_root() / "lakegate" / "local" / "dg.toml"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    environment = _laptop().environment(role) | quiet
    if as_json:
        print_json({"version": 1, "environment": environment})
        return
    for name in (*KEY_VARIABLES, *CONTAINER_VARIABLES, "LAKEGATE_OPERATOR_WORKGROUP"):
        if name not in environment:
            # What the shell had before would be used instead.
            sys.stdout.write(f"unset {name}\n")
    for name, value in sorted(environment.items()):
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop everything and forget all local state: buckets, ledger, tables, runs."""
    if not yes and not typer.confirm("Forget all local buckets, tables, the ledger and Dagster's runs?"):
        raise typer.Exit(Exit.MISUSE)
    _laptop().reset()
    if as_json:
        print_json({"version": 1, "reset": True})
    else:
        console.print("All local state is gone.")


def demo(port: PortOption = None, enforce: EnforceOption = None) -> None:
    """Run the main job on real files, from landing to Athena's answer, and check every count against the source."""
    from lakegate.demo.run import run_demo

    raise typer.Exit(run_demo(_laptop(enforce=enforce), console, errors, port))
