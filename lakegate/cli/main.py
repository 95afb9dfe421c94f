"""The `lakegate` command: one door, and the only place where an exception becomes an exit code."""

import io
import os
import sys
from typing import Annotated

import typer

from lakegate.cli.commands import OPTIONS, CommandGroup
from lakegate.cli.output import Exit, console, errors, safe
from pipelines.errors import ConfigurationError, LakegateError
from pipelines.formats import RELEASE

__all__ = ["app", "main"]

app = typer.Typer(
    name="lakegate",
    help="The gate between an S3 landing bucket and tables you can trust: every file and every row accounted for.",
    cls=CommandGroup,
    no_args_is_help=True,
    **OPTIONS,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        console.print(f"lakegate {RELEASE}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which release this is.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; exit with 0 good, 1 bad data, 2 misuse, 3 AWS or system."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a letter is no reason to stop
    try:
        app()
    except ConfigurationError as error:
        errors.print(f"[red]lakegate:[/red] {safe(error)}")
        sys.exit(Exit.MISUSE)
    except LakegateError as error:
        errors.print(f"[red]lakegate:[/red] {safe(error)}")
        sys.exit(Exit.SYSTEM)
    except BrokenPipeError:
        # The reader of our output is gone (`lakegate … | head`): nothing is left to say, not even to a closed stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.GOOD)
    except Exception as error:  # the last door: Python's exit code for what nobody caught would say "bad data"
        if os.environ.get("LAKEGATE_TRACEBACK"):
            raise
        errors.print(
            f"[red]lakegate:[/red] unexpected {type(error).__name__}: {safe(error)}\n"
            "  This should not happen; with LAKEGATE_TRACEBACK=1 the command says where it did."
        )
        sys.exit(Exit.SYSTEM)


if __name__ == "__main__":
    main()
